//! One case's packets through the core, for callgrind to count: only [`measured`] is.

use clap::Parser;
use lb_core::{
    packet::Burst,
    service::plan::{Method, Protocol},
    wire::tcp,
};
use lb_perf::{
    frame::Frame,
    measure::Order,
    scene::{BURST, Scene, Setup, Which},
};
use std::str::FromStr;

/// Runs one case.
#[derive(Parser)]
struct Options {
    #[arg(value_parser = |text: &str| Method::from_str(text).map_err(|()| "nat, tun or dr"))]
    method: Method,
    #[arg(value_parser = |text: &str| Protocol::from_str(text).map_err(|()| "tcp or udp"))]
    protocol: Protocol,
    /// `in` or `out`.
    direction: String,
    /// Bursts to measure.
    #[arg(default_value_t = 1_000)]
    bursts: usize,
    /// The worker verifies checksums itself.
    #[arg(long)]
    verify: bool,
}

fn main() {
    let options = Options::parse();
    let Options { method, protocol, verify, .. } = options;
    let mut scene =
        Scene::new(Setup { method, protocol, connections: 10_000, services: 1, servers: 2, verify });
    scene.open();
    let which = if options.direction == "out" { Which::Out(tcp::ACK) } else { Which::In(tcp::ACK) };
    let mut order = Order::new(10_000);
    let mut burst = Burst::new();
    for _ in 0..options.bursts {
        scene.io.take(&mut burst, BURST);
        for packet in &mut burst {
            scene.fill(packet, order.draw(), which);
        }
        measured(&mut scene, &mut burst);
    }
    println!("{}", options.bursts * BURST);
}

/// What a worker does with one burst.
#[inline(never)]
fn measured(scene: &mut Scene, burst: &mut Burst<Frame>) {
    scene.worker.process(scene.now, burst, &mut scene.io);
}
