//! Results: one row a case, as JSON for programs and as a table for people.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};

macro_rules! rows {
    ($($(#[doc = $doc:literal])+ $field:ident: $type:ty,)+) => {
        /// One case. What does not apply is left out.
        #[derive(Clone, Debug, Default, Deserialize, Serialize)]
        pub struct Row {
            /// What was measured.
            pub case: String,
            $($(#[doc = $doc])+
            #[serde(skip_serializing_if = "Option::is_none")]
            pub $field: Option<$type>,)+
        }
    };
}

rows! {
    /// `nat`, `tun` or `dr`.
    method: String,
    /// `in` or `out`.
    direction: String,
    /// `tcp` or `udp`.
    protocol: String,
    /// Connections in the table.
    connections: u64,
    /// Flows in the generated traffic.
    flows: u64,
    /// Services.
    services: u64,
    /// Servers of each.
    servers: u64,
    /// Workers that ran at the same time.
    workers: u64,
    /// Connections that there is room for.
    capacity: u64,
    /// TSC cycles, the median of all rounds.
    cycles_per_packet: f64,
    /// TSC cycles, the median of all rounds.
    cycles_per_connection: f64,
    /// The round with the fewest cycles.
    cycles_low: f64,
    /// The round with the most cycles.
    cycles_high: f64,
    /// Nanoseconds.
    ns_per_packet: f64,
    /// Millions of packets a second.
    mpps: f64,
    /// Instructions under callgrind.
    instructions_per_packet: f64,
    /// Connections a second.
    connections_per_second: f64,
    /// What testpmd's macswap costs on the same port in the same round, in cycles.
    floor_cycles: f64,
    /// How many times the floor it is.
    ratio_to_floor: f64,
    /// Cycles above the floor.
    above_floor: f64,
    /// Packets that another worker had to deal with.
    handed_over: u64,
    /// The longest time of a burst, in microseconds.
    worst_burst_us: f64,
    /// The time of a burst that one in a thousand exceeds.
    p999_burst_us: f64,
    /// The time of a burst that half exceed.
    median_burst_us: f64,
    /// Bytes of the process for each open connection.
    bytes_per_connection: f64,
    /// Time until a worker is ready.
    start_seconds: f64,
    /// Frequency of the TSC.
    tsc_ghz: f64,
}

/// Writes rows as a JSON array.
///
/// # Errors
/// When the file cannot be written.
pub fn save(path: &Path, rows: &[Row]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, serde_json::to_string_pretty(rows)? + "\n")
        .with_context(|| format!("writing {}", path.display()))
}

/// Reads rows back.
///
/// # Errors
/// When the file cannot be read, or holds something else.
pub fn load(path: &Path) -> Result<Vec<Row>> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("understanding {}", path.display()))
}

impl Row {
    /// What tells cases apart.
    #[must_use]
    pub fn key(&self) -> String {
        let words = [Some(&self.case), self.method.as_ref(), self.direction.as_ref(), self.protocol.as_ref()];
        let mut key = words.into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
        let numbers = [
            ("connections", self.connections),
            ("flows", self.flows),
            ("services", self.services),
            ("servers", self.servers),
            ("workers", self.workers),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                key += &format!(" {name}={number}");
            }
        }
        key
    }

    /// All numbers that were measured, with their names, as text.
    #[must_use]
    pub fn figures(&self) -> Vec<(&'static str, String)> {
        let one = |number: f64| format!("{number:.1}");
        let figures = [
            ("cycles", self.cycles_per_packet.map(one)),
            ("cycles/conn", self.cycles_per_connection.map(one)),
            ("from", self.cycles_low.map(one)),
            ("to", self.cycles_high.map(one)),
            ("ns", self.ns_per_packet.map(one)),
            ("Mpps", self.mpps.map(|number| format!("{number:.2}"))),
            ("instructions", self.instructions_per_packet.map(one)),
            ("M conn/s", self.connections_per_second.map(|number| format!("{:.2}", number / 1e6))),
            ("floor", self.floor_cycles.map(one)),
            ("x floor", self.ratio_to_floor.map(|number| format!("{number:.2}"))),
            ("above floor", self.above_floor.map(one)),
            ("handed over", self.handed_over.map(|number| number.to_string())),
            ("worst us", self.worst_burst_us.map(one)),
            ("p99.9 us", self.p999_burst_us.map(one)),
            ("bytes/conn", self.bytes_per_connection.map(one)),
            ("start s", self.start_seconds.map(|number| format!("{number:.2}"))),
        ];
        figures.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
    }
}

/// Results on a terminal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Table;

impl Table {
    /// One line: the case, then its figures.
    pub fn print(self, row: &Row) {
        let figures: Vec<String> =
            row.figures().into_iter().map(|(name, text)| format!("{name} {text:>7}")).collect();
        println!("{:<58} {}", row.key(), figures.join("  "));
    }
}
