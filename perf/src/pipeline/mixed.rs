//! Traffic as it may come: 5 % of the packets open a connection, 30 % are UDP, sizes from 64 to 1500.

use super::{Bench, row};
use crate::{
    measure::{Order, READING, Spread, Stopwatch},
    rows::Row,
    scene::{Head, Scene, Which},
    setup::Setup,
};
use lb_core::{
    conn::tunnel::Tunnel,
    service::plan::{Method, Protocol},
    wire::tcp,
};
use std::net::Ipv4Addr;

/// Lengths of frames, without the four bytes that the wire adds. Each is as frequent as it stands here.
const SIZES: [u16; 12] = [60, 60, 60, 60, 60, 124, 252, 508, 590, 590, 1_020, 1_514];
/// Packets of a hundred that open a connection.
const NEW: u32 = 5;
/// Packets of a hundred that are UDP.
const UDP: u32 = 30;

/// Mixed traffic for each method.
pub fn all(bench: &mut Bench) {
    for method in Method::ALL.iter().copied() {
        bench.progress(&format!("mixed traffic, {method}"));
        let udp = bench.million / 100 * UDP;
        let tcp = bench.million - udp;
        // Some more are warmed up with than are asked for.
        let new = bench.rounds * (bench.packets + 10 * READING) / 100 * (NEW as usize + 1);
        let setup =
            Setup { both_protocols: true, spare: udp + new as u32, ..Setup::new(method, Protocol::Tcp, tcp) };
        let mut scene = Scene::opened(setup);
        scene.send(0..udp, |scene, index| scene.head_of(Protocol::Udp, index, Which::In(0), 60));

        // Behind a tunnel header there is less room.
        let overhead = if method.tunnels() { Tunnel::IPIP.overhead(Ipv4Addr::UNSPECIFIED.into()) } else { 0 };
        let largest = 1_514 - overhead;
        let mut next = bench.million;
        let mut head = |scene: &Scene, order: &mut Order| -> Head {
            let len = SIZES[order.below(SIZES.len() as u32) as usize].min(largest);
            let is_udp = order.below(100) < UDP;
            let protocol = if is_udp { Protocol::Udp } else { Protocol::Tcp };
            if order.below(100) < NEW {
                next += 1;
                return scene.head_of(protocol, next, Which::In(tcp::SYN), len);
            }
            let index = order.below(if is_udp { udp } else { tcp });
            scene.head_of(protocol, index, Which::In(tcp::ACK), len)
        };
        let mut stopwatch = Stopwatch::default();
        let mut order = Order::new(tcp);
        let mut rounds = Vec::new();
        for _ in 0..bench.rounds {
            rounds.push(stopwatch.round(&mut scene, bench.packets, &mut head, &mut order));
        }
        let dropped = scene.worker.counters().dropped_total();
        assert_eq!(dropped, 0, "every packet was forwarded");
        let row = Row {
            protocol: Some("mixed".into()),
            connections: Some(bench.million.into()),
            ..row("mixed", &setup, "in")
        };
        bench.push_cycles(row, Spread::of(rounds));
    }
}
