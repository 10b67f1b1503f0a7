//! What a packet costs in the core: cycles, on packets in memory.

use anyhow::Result;
use clap::{Parser, ValueEnum};
use lb_perf::{
    measure::tsc_hz,
    pipeline::{Bench, established, expiry, memory, mixed, opening},
    rows,
    scene::BURST,
};
use std::path::PathBuf;

/// Measures the core on packets in memory.
#[derive(Parser)]
struct Options {
    /// Where the rows go.
    #[arg(long, default_value = "target/bench/pipeline.json")]
    output: PathBuf,
    /// What to measure; everything by default.
    #[arg(long, value_delimiter = ',')]
    cases: Vec<Case>,
    /// Numbers of established connections.
    #[arg(long, value_delimiter = ',', default_value = "1,10000,1000000,10000000")]
    connections: Vec<u32>,
    /// Connections of the cases that ask for a million.
    #[arg(long, default_value_t = 1_000_000)]
    million: u32,
    /// Connections that there is room for where memory is measured.
    #[arg(long, default_value_t = 10_000_000)]
    capacity: u32,
    /// Rounds of each case.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Packets of each round.
    #[arg(long, default_value_t = 500_000)]
    packets: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    Memory,
    Established,
    Verified,
    Crowd,
    Open,
    Cycle,
    Mixed,
    Expiry,
    Workers,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let hz = tsc_hz();
    println!("TSC {:.3} GHz; bursts of {BURST}; {} rounds", hz / 1e9, options.rounds);
    let mut bench = Bench::new(options.rounds, options.packets, options.million, hz);
    let cases = if options.cases.is_empty() { Case::value_variants() } else { &options.cases };
    for case in cases {
        match case {
            // First: what others leave in the allocator's hands would be counted as free.
            Case::Memory => memory::memory(&mut bench, options.capacity)?,
            Case::Established => {
                options.connections.iter().for_each(|count| established::all(&mut bench, *count));
            }
            Case::Verified => established::verified(&mut bench),
            Case::Crowd => {
                established::crowds(&mut bench);
                opening::crowds(&mut bench);
            }
            Case::Open => opening::first_packets(&mut bench),
            Case::Cycle => opening::cycles(&mut bench),
            Case::Mixed => mixed::all(&mut bench),
            Case::Expiry => expiry::expiry(&mut bench)?,
            Case::Workers => established::two_workers(&mut bench),
        }
        // So that a long run that is broken off is not lost.
        rows::save(&options.output, &bench.rows)?;
    }
    println!("{}", options.output.display());
    Ok(())
}
