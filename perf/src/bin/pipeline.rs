//! What a packet costs in the core: cycles, on packets in memory.

use anyhow::Result;
use clap::Parser;
use lb_core::{
    service::plan::{Method, Protocol},
    wire::tcp,
};
use lb_perf::{
    measure::{established, tsc_hz},
    rows::{self, Row},
    scene::{Scene, Setup, Which},
};
use std::path::PathBuf;

/// Measures the core on packets in memory.
#[derive(Parser)]
struct Options {
    /// Where the rows go.
    #[arg(long, default_value = "target/bench/pipeline.json")]
    output: PathBuf,
    /// Numbers of connections.
    #[arg(long, value_delimiter = ',', default_value = "1,10000,1000000,10000000")]
    connections: Vec<u32>,
    /// Packets of each case.
    #[arg(long, default_value_t = 2_000_000)]
    packets: usize,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let hz = tsc_hz();
    println!("TSC {:.3} GHz; bursts of {}", hz / 1e9, lb_perf::scene::BURST);
    println!(
        "{:<12} {:<6} {:<4} {:<4} {:>11} {:>8} {:>8}",
        "case", "method", "dir", "prot", "connections", "cycles", "ns"
    );
    let mut rows = Vec::new();
    for &connections in &options.connections {
        for method in Method::ALL.iter().copied() {
            for protocol in Protocol::ALL.iter().copied() {
                let setup = Setup { method, protocol, connections, services: 1, servers: 2, verify: false };
                let mut scene = Scene::new(setup);
                scene.open();
                let directions = [("in", Which::In(tcp::ACK)), ("out", Which::Out(tcp::ACK))];
                for (direction, which) in
                    directions.into_iter().take(if method == Method::Nat { 2 } else { 1 })
                {
                    let cost = established(&mut scene, which, options.packets);
                    let ns = cost.cycles / hz * 1e9;
                    println!(
                        "{:<12} {:<6} {:<4} {:<4} {:>11} {:>8.1} {:>8.1}",
                        "established", method, direction, protocol, connections, cost.cycles, ns
                    );
                    rows.push(Row {
                        case: "established".into(),
                        method: Some(method.to_string()),
                        direction: Some(direction.into()),
                        protocol: Some(protocol.to_string()),
                        connections: Some(connections.into()),
                        cycles_per_packet: Some(cost.cycles),
                        ns_per_packet: Some(ns),
                        ..Row::default()
                    });
                }
            }
        }
    }
    rows::save(&options.output, &rows)
}
