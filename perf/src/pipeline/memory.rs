//! What connections take of the process's memory, and how long a worker takes to get ready.

use super::{Bench, row};
use crate::{rows::Row, scene::Scene, setup::Setup};
use anyhow::{Context, Result};
use lb_core::service::plan::{Method, Protocol};
use std::{fs, time::Instant};

/// A table of that capacity, 90 % full of NAT connections, which are in it twice.
///
/// # Errors
/// When the process's memory cannot be read.
pub fn memory(bench: &mut Bench, capacity: u32) -> Result<()> {
    bench.progress(&format!("memory of {capacity} connections"));
    let open = capacity / 10 * 9;
    let setup = Setup { spare: capacity - open, ..Setup::new(Method::Nat, Protocol::Udp, open) };
    // The buffers of a first, small worker are reused by the second.
    drop(Scene::opened(Setup::new(Method::Nat, Protocol::Udp, 1)));
    let before = resident_bytes()?;
    let start = Instant::now();
    let mut scene = Scene::new(setup);
    let seconds = start.elapsed().as_secs_f64();
    scene.open();
    let bytes = resident_bytes()?.saturating_sub(before);
    bench.push(Row {
        capacity: Some(capacity.into()),
        bytes_per_connection: Some(bytes as f64 / f64::from(open)),
        start_seconds: Some(seconds),
        ..row("memory", &setup, "in")
    });
    Ok(())
}

fn resident_bytes() -> Result<u64> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split_whitespace().nth(1).context("resident pages")?.parse()?;
    Ok(pages * 4_096)
}
