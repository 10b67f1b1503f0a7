//! Packets that open connections within one burst: as if each had come alone.

use crate::common::{
    frame::*,
    plan::*,
    world::{Sent, Setup, World},
};
use lb_core::{
    ids::ServerId,
    service::plan::{Method, SchedulerKind},
};

const SERVICE: &str = "192.0.2.100:80";

fn syn(port: u16) -> Vec<u8> {
    tcp(&format!("203.0.113.10:{port}"), SERVICE, SYN).via_gateway()
}

fn burst(world: &mut World, frames: &[Vec<u8>]) -> Vec<Sent> {
    let frames: Vec<_> = frames.iter().map(|frame| (WAN, frame.clone())).collect();
    world.burst(0, &frames)
}

fn loads(world: &World) -> [(u32, u32); 2] {
    [0, 1].map(|server| world.board.total(ServerId::new(server))).map(|load| (load.active, load.inactive))
}

#[test]
fn all_leave_in_the_order_in_which_they_came() {
    for &method in Method::ALL {
        let mut world = World::new(&one_server(method));
        let sent = burst(&mut world, &(1..=32).map(syn).collect::<Vec<_>>());
        let lines: Vec<_> = sent.iter().map(Sent::line).collect();
        assert_eq!(lines.len(), 32, "{method}");
        for (port, line) in (1..=32).zip(lines) {
            let client = format!("203.0.113.10:{port} >");
            assert!(line.contains(&client) || method.hides_clients(), "{method}: {line}");
        }
        assert_eq!(world.connections().len(), 32);
    }
}

#[test]
fn each_counts_before_the_next_server_is_chosen() {
    for scheduler in [SchedulerKind::Lc, SchedulerKind::Wlc, SchedulerKind::Rr] {
        let mut plan = two_servers(Method::Nat);
        plan.first().scheduler = scheduler;
        let mut world = World::new(&plan);
        let sent = burst(&mut world, &(1..=32).map(syn).collect::<Vec<_>>());
        let to = |server| sent.iter().filter(|sent| sent.server() == server).count();
        assert_eq!([to(11), to(12)], [16, 16], "{scheduler}");
        assert_eq!(loads(&world), [(0, 16), (0, 16)], "{scheduler}");
    }
}

#[test]
fn what_follows_an_opening_finds_it() {
    let mut world = World::new(&two_servers(Method::Nat).udp());
    let datagram = |port: u16| udp(&format!("203.0.113.10:{port}"), SERVICE, b"?").via_gateway();
    // The third and fourth are of the first two's flows, behind packets that open others.
    let sent = burst(&mut world, &[datagram(1), datagram(2), datagram(2), datagram(1), datagram(3)]);
    let servers: Vec<_> = sent.iter().map(Sent::server).collect();
    assert_eq!(servers, [11, 12, 12, 11, 11]);
    assert_eq!(world.counters(0).created.get(), 3);

    let mut world = World::new(&one_server(Method::Nat));
    let ack = tcp("203.0.113.10:1", SERVICE, ACK).via_gateway();
    let sent = burst(&mut world, &[syn(1), ack]);
    assert_eq!(
        sent.iter().map(Sent::server).collect::<Vec<_>>(),
        [11, 11],
        "no reset for the acknowledgement"
    );
}

#[test]
fn an_opening_whose_replies_would_be_anothers_leaves_no_load_behind() {
    let other = service(Method::Nat, "192.0.2.101:80", &["198.51.100.11:8080"]);
    let mut world = World::new(&one_server(Method::Nat).with(other));
    let clash = tcp("203.0.113.10:7", "192.0.2.101:80", SYN).via_gateway();
    assert_eq!(burst(&mut world, &[syn(7), clash]).len(), 2, "one is forwarded, one answered");
    assert_eq!(world.counters(0).resets.get(), 1);
    assert_eq!(loads(&world), [(0, 1), (0, 0)]);
}

#[test]
fn a_full_table_leaves_no_load_behind() {
    let mut plan = one_server(Method::Nat).udp();
    plan.first().scheduler = SchedulerKind::Lc;
    let mut world = World::with(&plan, Setup { connections: 10, ..Setup::default() });
    let frames: Vec<_> =
        (1..=20).map(|port| udp(&format!("203.0.113.10:{port}"), SERVICE, b"?").via_gateway()).collect();
    assert_eq!(burst(&mut world, &frames).len(), 20, "the oldest make room: nobody has answered them");
    assert_eq!(world.counters(0).evicted.get(), 10);
    let load = world.board.total(ServerId::new(0));
    assert_eq!(load.active + load.inactive, 10);
}
