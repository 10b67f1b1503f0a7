//! The cases of the pipeline benchmark.
//!
//! * [`established`]: packets of connections that are open: methods, directions, table sizes, services and servers,
//!   checksum verification, two workers.
//! * [`opening`]: connections a second.
//! * [`mixed`]: new and old connections, TCP and UDP, sizes.
//! * [`expiry`]: a million connections that end within a second, while packets pass.
//! * [`memory`]: bytes of a connection, time to start.

pub mod established;
pub mod expiry;
pub mod memory;
pub mod mixed;
pub mod opening;

use crate::{
    measure::Spread,
    rows::{Row, Table},
    setup::Setup,
};
use std::time::Instant;

/// How much to measure, and where results go.
pub struct Bench {
    /// Results so far.
    pub rows: Vec<Row>,
    /// Rounds of each case.
    pub rounds: usize,
    /// Packets of each round.
    pub packets: usize,
    /// Connections of the cases that ask for a million.
    pub million: u32,
    /// TSC cycles a second.
    pub hz: f64,
    began: Instant,
}

impl Bench {
    /// Nothing measured yet.
    #[must_use]
    pub fn new(rounds: usize, packets: usize, million: u32, hz: f64) -> Self {
        Bench { rows: Vec::new(), rounds, packets, million, hz, began: Instant::now() }
    }

    /// Takes a result in.
    pub fn push(&mut self, row: Row) {
        let row = Row { tsc_ghz: Some(self.hz / 1e9), ..row };
        Table.print(&row);
        self.rows.push(row);
    }

    /// Says what is being done, which may take a while.
    pub fn progress(&self, what: &str) {
        eprintln!("[{:>4.0} s] {what}", self.began.elapsed().as_secs_f64());
    }

    /// Takes in cycles a packet.
    pub fn push_cycles(&mut self, row: Row, cycles: Spread) {
        let row = Row {
            cycles_per_packet: Some(cycles.median),
            cycles_low: Some(cycles.low),
            cycles_high: Some(cycles.high),
            ns_per_packet: Some(cycles.median / self.hz * 1e9),
            mpps: Some(self.hz / cycles.median / 1e6),
            ..row
        };
        self.push(row);
    }

    /// Takes in cycles a connection.
    pub fn push_connections(&mut self, row: Row, cycles: Spread) {
        let row = Row {
            connections_per_second: Some(self.hz / cycles.median),
            cycles_per_connection: Some(cycles.median),
            cycles_low: Some(cycles.low),
            cycles_high: Some(cycles.high),
            ..row
        };
        self.push(row);
    }
}

/// A row that says what a set-up is.
#[must_use]
pub fn row(case: &str, setup: &Setup, direction: &str) -> Row {
    Row {
        case: case.to_owned(),
        method: Some(setup.method.to_string()),
        direction: Some(direction.to_owned()),
        protocol: Some(setup.protocol.to_string()),
        connections: Some(setup.connections.into()),
        ..Row::default()
    }
}
