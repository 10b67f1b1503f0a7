//! TFTP: transfers go on between the client's port and one of the server's own.

use super::{
    common::{
        frame::*,
        frame6::*,
        plan::*,
        world::{Sent, Setup, World},
    },
    expect,
};
use lb_core::{
    counters::DropReason,
    service::plan::{Method, ModuleKind, Plan},
};

const CLIENT: &str = "203.0.113.10:4000";
const SERVICE: &str = "192.0.2.100:69";
const SERVER: &str = "198.51.100.11:69";
/// A request to read a file, and one to write one.
const READ: &[u8] = b"\0\x01boot.img\0octet\0";
const WRITE: &[u8] = b"\0\x02boot.log\0octet\0";
const DATA: &[u8] = b"\0\x03\0\x01data";
const ACKNOWLEDGES: &[u8] = b"\0\x04\0\x01";

fn plan(method: Method) -> Plan {
    let mut service = service(method, SERVICE, &[SERVER]);
    service.module = ModuleKind::Tftp;
    network().with(service).udp()
}

/// The line of a datagram, on its way.
#[track_caller]
fn line(world: &mut World, frame: &[u8], port: lb_core::packet::PortId) -> String {
    let sent = world.receive(port, frame);
    assert_eq!(sent.len(), 1);
    sent[0].line()
}

#[test]
fn the_server_answers_from_a_port_of_its_own() {
    for (method, request) in [(Method::Nat, READ), (Method::Nat, WRITE), (Method::FullNat, READ)] {
        let mut world = World::new(&plan(method));
        let asked = world.receive(WAN, &udp(CLIENT, SERVICE, request).via_gateway());
        let seen = asked[0].source();
        assert_eq!(asked[0].destination(), SERVER);
        let own = "198.51.100.11:50123";
        expect(
            &mut world,
            LAN,
            &udp(own, &seen, DATA).via_server(),
            "wan: 192.0.2.100:50123 > 203.0.113.10:4000 udp ttl 63",
        );
        let line = format!("lan: {seen} > {own} udp ttl 63");
        expect(&mut world, WAN, &udp(CLIENT, "192.0.2.100:50123", ACKNOWLEDGES).via_gateway(), &line);
        expect(
            &mut world,
            LAN,
            &udp(own, &seen, DATA).via_server(),
            "wan: 192.0.2.100:50123 > 203.0.113.10:4000 udp ttl 63",
        );
        let counters = world.counters(0);
        assert_eq!([counters.expected.get(), counters.expected_came.get()], [1, 1], "{method}");
        // It was expected once.
        let other = world.receive(LAN, &udp("198.51.100.11:50124", &seen, DATA).via_server());
        assert!(other.is_empty(), "{method}");
    }
}

#[test]
fn both_families() {
    let (client, vip, server) = ("[2001:db8:a::10]:4000", "[2001:db8:1::100]:69", "[2001:db8:2::11]:69");
    for method in [Method::Nat, Method::FullNat] {
        let mut service = service(method, vip, &[server]);
        service.module = ModuleKind::Tftp;
        let mut world = World::new(&network6().with(service).udp());
        let asked = world.receive(WAN, &udp6(client, vip, READ).via_gateway());
        let data = udp6("[2001:db8:2::11]:50123", &asked[0].source(), DATA).via_server();
        assert_eq!(
            line(&mut world, &data, LAN),
            "wan: [2001:db8:1::100]:50123 > [2001:db8:a::10]:4000 udp ttl 63",
            "{method}"
        );
    }
}

#[test]
fn nothing_else_is_a_request() {
    let mut world = World::new(&plan(Method::Nat));
    for text in [DATA, ACKNOWLEDGES, b"\0\x05\0\x01no\0", b"\x01", b""] {
        world.receive(WAN, &udp(CLIENT, SERVICE, text).via_gateway());
        world.receive(LAN, &udp(SERVER, CLIENT, READ).via_server());
    }
    assert!(world.expected.is_empty());
    let data = udp("198.51.100.11:50123", CLIENT, DATA).via_server();
    assert!(world.receive(LAN, &data).is_empty());
    assert_eq!(world.dropped(DropReason::NoSnat), 1);
}

#[test]
fn another_clients_port_is_not_expected() {
    let mut world = World::new(&plan(Method::Nat));
    world.receive(WAN, &udp(CLIENT, SERVICE, READ).via_gateway());
    for to in ["203.0.113.10:4001", "203.0.113.11:4000"] {
        assert!(world.receive(LAN, &udp("198.51.100.11:50123", to, DATA).via_server()).is_empty());
    }
    assert!(
        world.receive(LAN, &udp("198.51.100.12:50123", CLIENT, DATA).via_server()).is_empty(),
        "another server"
    );
}

#[test]
fn packets_of_a_transfer_may_come_to_any_worker() {
    for method in [Method::Nat, Method::FullNat] {
        for at in 0..4 {
            let mut world = World::with(&plan(method), Setup { workers: 4, ..Setup::default() });
            let asked = world.burst(at, &[(WAN, udp(CLIENT, SERVICE, READ).via_gateway())]);
            let seen = asked[0].source();
            for worker in 0..4 {
                let data = udp("198.51.100.11:50123", &seen, DATA).via_server();
                let lines: Vec<String> = world.burst(worker, &[(LAN, data)]).iter().map(Sent::line).collect();
                assert_eq!(lines, ["wan: 192.0.2.100:50123 > 203.0.113.10:4000 udp ttl 63"], "{method}");
                let ack = udp(CLIENT, "192.0.2.100:50123", ACKNOWLEDGES).via_gateway();
                let lines: Vec<String> = world.burst(worker, &[(WAN, ack)]).iter().map(Sent::line).collect();
                assert_eq!(lines, [format!("lan: {seen} > 198.51.100.11:50123 udp ttl 63")], "{method}");
            }
        }
    }
}

#[test]
fn where_servers_answer_by_themselves_the_transfer_goes_to_the_server_that_was_asked() {
    for method in [Method::Tun, Method::Dr] {
        let mut service = service(method, SERVICE, &[SERVER, "198.51.100.12:69"]);
        service.module = ModuleKind::Tftp;
        let mut world = World::new(&network().with(service).udp());
        for client in ["203.0.113.10:4000", "203.0.113.10:4001", "203.0.113.11:4000", "203.0.113.12:4000"] {
            let asked = world.receive(WAN, &udp(client, SERVICE, READ).via_gateway());
            let sent = world.receive(WAN, &udp(client, "192.0.2.100:50123", ACKNOWLEDGES).via_gateway());
            assert_eq!(sent[0].frame[..12], asked[0].frame[..12], "{method}");
        }
        assert_eq!(world.counters(0).expected_came.get(), 4);
    }
}
