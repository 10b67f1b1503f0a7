//! A director on standby: what it says, and what becomes of packets that come nevertheless.

use super::{
    common::{
        frame::*,
        plan::*,
        world::{Sent, Setup, World},
    },
    expect, expect_nothing,
};
use lb_core::{
    counters::DropReason,
    packet::Notice,
    service::plan::{Mac, Method, Plan, Role},
};
use std::net::Ipv4Addr;

const CLIENT: &str = "203.0.113.10:4000";
const SERVICE: &str = "192.0.2.100:80";
const OTHER_DIRECTOR: Mac = Mac([2, 0, 0, 0, 7, 7]);

fn plan(role: Role) -> Plan {
    one_server(Method::Nat).role(role)
}

/// ARP packets that name the VIP as their sender's address.
fn about_vip(sent: &[Sent]) -> Vec<String> {
    let is_it = |sent: &&Sent| sent.frame[12..14] == [8, 6] && sent.frame[28..32] == VIP.octets();
    sent.iter().filter(is_it).map(Sent::line).collect()
}

fn own(address: &str) -> Ipv4Addr {
    address.parse().unwrap()
}

#[test]
fn a_standby_director_says_nothing_for_a_vip_and_answers_for_itself() {
    let mut world = World::silent(&plan(Role::Standby), Setup::default());
    assert_eq!(about_vip(&world.tick()), [""; 0]);
    assert_eq!(about_vip(&world.pass(60_000)), [""; 0]);
    expect_nothing(&mut world, WAN, &arp_request((GATEWAY_MAC, GATEWAY), VIP));
    expect_nothing(&mut world, WAN, &echo(own("203.0.113.10"), VIP).via_gateway());
    let line = "wan: arp to 192.0.2.254: 192.0.2.1 is at 02:00:00:00:00:01";
    expect(&mut world, WAN, &arp_request((GATEWAY_MAC, GATEWAY), own("192.0.2.1")), line);
}

#[test]
fn the_active_director_is_not_argued_with() {
    let mut world = World::new(&plan(Role::Standby));
    expect_nothing(&mut world, WAN, &arp_request((OTHER_DIRECTOR, VIP), VIP));
    let is_conflict = |notice: &Notice| matches!(notice, Notice::AddressConflict { .. });
    assert!(!world.ios[0].notices.iter().any(is_conflict));
    assert_eq!(world.counters(0).address_conflicts.get(), 0);
    world.exchange(&plan(Role::Active));
    world.receive(WAN, &arp_request((OTHER_DIRECTOR, VIP), VIP));
    assert_eq!(world.counters(0).address_conflicts.get(), 1, "an active one is");
}

#[test]
fn known_connections_go_on_and_nothing_else_is_answered() {
    let mut world = World::new(&plan(Role::Active));
    let to_server = |flags: &str| format!("lan: {CLIENT} > 198.51.100.11:8080 tcp {flags} ttl 63");
    expect(&mut world, WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway(), &to_server("syn"));
    world.exchange(&plan(Role::Standby));
    expect(&mut world, WAN, &tcp(CLIENT, SERVICE, ACK).via_gateway(), &to_server("ack"));
    let reply = tcp("198.51.100.11:8080", CLIENT, ACK).via_server();
    expect(&mut world, LAN, &reply, "wan: 192.0.2.100:80 > 203.0.113.10:4000 tcp ack ttl 63");
    for packet in [
        tcp("203.0.113.10:4001", SERVICE, SYN),
        tcp("203.0.113.10:4001", SERVICE, ACK),
        tcp("203.0.113.10:4001", "192.0.2.100:81", SYN),
        udp("203.0.113.10:4001", SERVICE, b"hello"),
    ] {
        expect_nothing(&mut world, WAN, &packet.via_gateway());
    }
    let reply = tcp("198.51.100.11:8080", "203.0.113.10:4001", ACK).via_server();
    expect_nothing(&mut world, LAN, &reply);
    assert_eq!(world.dropped(DropReason::Standby), 5);
}

#[test]
fn the_connections_of_a_server_that_is_gone_end_without_a_word() {
    let mut world = World::new(&plan(Role::Active));
    world.receive(WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway());
    let mut without = plan(Role::Standby);
    without.first().servers.clear();
    world.exchange(&without);
    expect_nothing(&mut world, WAN, &tcp(CLIENT, SERVICE, ACK).via_gateway());
    assert_eq!(world.dropped(DropReason::Standby), 1);
}

#[test]
fn becoming_active_is_announced_at_once_and_again_after_two_seconds() {
    let mut world = World::new(&plan(Role::Standby));
    world.pass(10_000);
    world.exchange(&plan(Role::Active));
    let line = ["wan: arp 192.0.2.100 is at 02:00:00:00:00:01"];
    assert_eq!(about_vip(&world.tick()), line);
    assert_eq!(about_vip(&world.pass(1_900)), [""; 0]);
    assert_eq!(about_vip(&world.pass(100)), line);
    assert_eq!(about_vip(&world.pass(60_000)), [""; 0]);
    world.exchange(&plan(Role::Standby));
    world.exchange(&plan(Role::Standby));
    assert_eq!(about_vip(&world.pass(5_000)), [""; 0]);
}

#[test]
fn nothing_is_announced_while_nothing_is_forwarded() {
    let mut world = World::silent(&plan(Role::Active), Setup::default());
    world.paused = true;
    let more = service(Method::Nat, "192.0.2.101:80", &["198.51.100.12:8080"]);
    assert_eq!(about_vip(&world.pass(5_000)), [""; 0]);
    world.exchange(&plan(Role::Active).with(more));
    assert_eq!(about_vip(&world.pass(5_000)), [""; 0]);
    world.paused = false;
    assert_eq!(about_vip(&world.pass(100)).len(), 1, "it goes on");
}
