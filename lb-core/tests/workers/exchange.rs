//! Another plan while connections exist: what is kept, what ends and how.

use crate::common::{
    frame::*,
    plan::*,
    world::{Sent, World},
};
use lb_core::{
    counters::DropReason,
    ids::{ServerId, ServiceId},
    service::plan::{Admin, Health, Mac, Method, Plan, SchedulerKind, ServerPlan},
};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};

const SERVICE: &str = "192.0.2.100:80";

fn client(world: &mut World, port: u16, flags: u8) -> Vec<Sent> {
    world.receive(WAN, &tcp(&format!("203.0.113.10:{port}"), SERVICE, flags).via_gateway())
}

fn lines(sent: &[Sent]) -> Vec<String> {
    sent.iter().map(Sent::line).collect()
}

/// Opens a connection as far as a client alone can, and says which server it got.
fn open(world: &mut World, port: u16) -> u8 {
    let server = client(world, port, SYN)[0].server();
    let reply = tcp(&format!("198.51.100.{server}:8080"), &format!("203.0.113.10:{port}"), SYN | ACK);
    assert_eq!(world.receive(LAN, &reply.via_server()).len(), 1);
    assert_eq!(client(world, port, ACK)[0].server(), server);
    server
}

/// Both servers, the first changed.
fn with_first(change: impl FnOnce(&mut ServerPlan)) -> Plan {
    let mut plan = two_servers(Method::Nat);
    change(&mut plan.first().servers[0]);
    plan
}

#[test]
fn weights_and_schedulers_change_for_new_connections_only() {
    let mut world = World::new(&two_servers(Method::Nat));
    assert_eq!([open(&mut world, 1), open(&mut world, 2)], [11, 12]);
    let mut plan = with_first(|server| server.weight = 0);
    world.exchange(&plan);
    assert_eq!([3, 4, 5].map(|port| open(&mut world, port)), [12; 3]);
    assert_eq!(client(&mut world, 1, ACK)[0].server(), 11, "what exists goes on");
    plan.first().scheduler = SchedulerKind::Wrr;
    plan.first().servers[0].weight = 9;
    world.exchange(&plan);
    let to_first = (10..20).filter(|&port| open(&mut world, port) == 11).count();
    assert_eq!(to_first, 9);
    assert_eq!(world.connections().len(), 15);
}

#[test]
fn a_draining_server_keeps_what_it_has() {
    let changes: [fn(&mut ServerPlan); 2] =
        [|server| server.admin = Admin::Draining, |server| server.health = Health::Inhibited];
    for change in changes {
        let mut world = World::new(&two_servers(Method::Nat));
        assert_eq!(open(&mut world, 1), 11);
        world.exchange(&with_first(change));
        assert_eq!([2, 3].map(|port| open(&mut world, port)), [12; 2]);
        assert_eq!(client(&mut world, 1, ACK)[0].server(), 11);
        world.exchange(&two_servers(Method::Nat));
        assert!([4, 5].map(|port| open(&mut world, port)).contains(&11), "it is back");
    }
}

#[test]
fn a_server_that_is_gone_has_its_clients_reset_and_their_next_connections_scheduled_anew() {
    let gone = [
        with_first(|server| server.admin = Admin::Disabled),
        with_first(|server| server.health = Health::Down),
        network().with(service(Method::Nat, SERVICE, &["198.51.100.12:8080"])),
    ];
    for plan in gone {
        let mut world = World::new(&two_servers(Method::Nat));
        assert_eq!([open(&mut world, 1), open(&mut world, 2), open(&mut world, 3)], [11, 12, 11]);
        world.exchange(&plan);
        let reset = "wan: 192.0.2.100:80 > 203.0.113.10:1 tcp rst ttl 64";
        assert_eq!(lines(&client(&mut world, 1, ACK)), [reset]);
        assert_eq!(open(&mut world, 1), 12, "a SYN afterwards");
        assert_eq!(client(&mut world, 3, SYN)[0].server(), 12, "a SYN at once");
        assert_eq!(client(&mut world, 2, ACK)[0].server(), 12, "who is with the other does not notice");
        assert_eq!(world.counters(0).orphaned.get(), 2);
    }
}

#[test]
fn udp_flows_of_a_server_that_is_gone_go_on_with_another() {
    for &method in Method::ALL {
        let mut plan = two_servers(method).udp();
        let mut world = World::new(&plan);
        let flow = |world: &mut World| {
            world.receive(WAN, &udp("203.0.113.10:5", SERVICE, b"hello").via_gateway())[0].frame[..6].to_vec()
        };
        let Mac(first) = SERVER_MACS[0];
        let Mac(second) = SERVER_MACS[1];
        assert_eq!(flow(&mut world), first);
        plan.first().servers[0].admin = Admin::Disabled;
        world.exchange(&plan);
        assert_eq!([flow(&mut world), flow(&mut world)], [second; 2], "{method}");
        assert_eq!(world.connections().len(), 1);
    }
}

#[test]
fn the_half_seen_methods_reset_as_well() {
    for method in [Method::Tun, Method::Dr, Method::L3Dsr] {
        let mut plan = two_servers(method);
        let mut world = World::new(&plan);
        client(&mut world, 1, SYN);
        client(&mut world, 1, ACK);
        plan.first().servers.remove(0);
        world.exchange(&plan);
        let reset = "wan: 192.0.2.100:80 > 203.0.113.10:1 tcp rst ttl 64";
        assert_eq!(lines(&client(&mut world, 1, ACK)), [reset], "{method}");
        assert!(world.connections().is_empty());
    }
}

#[test]
fn a_server_that_comes_back_finds_its_connections_again() {
    let mut world = World::new(&two_servers(Method::Nat));
    open(&mut world, 1);
    world.exchange(&network().with(service(Method::Nat, SERVICE, &["198.51.100.12:8080"])));
    world.exchange(&two_servers(Method::Nat));
    assert_eq!(client(&mut world, 1, ACK)[0].server(), 11);
}

#[test]
fn a_number_is_nobody_elses_while_connections_have_it() {
    let mut world = World::new(&two_servers(Method::Nat));
    assert_eq!(open(&mut world, 1), 11);
    let traffic = world.workers[0].traffic();
    let others = |hosts: &[u8]| {
        let servers: Vec<String> = hosts.iter().map(|host| format!("198.51.100.{host}:8080")).collect();
        let servers: Vec<&str> = servers.iter().map(String::as_str).collect();
        network().with(service(Method::Nat, SERVICE, &servers))
    };
    world.exchange(&others(&[12, 13]));
    assert_eq!(world.snapshot.services[ServiceId::new(0)].servers, [1, 2].map(ServerId::new), "0 is in use");
    assert_eq!(traffic[0].connections.get(), 1);
    assert_eq!(lines(&client(&mut world, 1, RST | ACK)), [""; 0], "a reset is not answered");
    assert_eq!(world.dropped(DropReason::NoConnection), 1);
    assert!(world.connections().is_empty());
    world.exchange(&others(&[12, 13, 14]));
    assert_eq!(world.snapshot.services[ServiceId::new(0)].servers, [1, 2, 0].map(ServerId::new));
    assert_eq!(traffic[0].connections.get(), 0, "another server begins at 0");
}

#[test]
fn a_service_that_is_gone_is_like_one_that_never_was() {
    let dns = service(Method::Nat, "192.0.2.100:53", &["198.51.100.12:53"]);
    let mut world = World::new(&two_servers(Method::Nat).with(dns.clone()));
    open(&mut world, 1);
    world.exchange(&network().with(dns));
    let reset =
        |port: u16, ack: &str| format!("wan: 192.0.2.100:80 > 203.0.113.10:{port} tcp rst{ack} ttl 64");
    assert_eq!(lines(&client(&mut world, 1, ACK)), [reset(1, "")]);
    assert_eq!(lines(&client(&mut world, 2, SYN)), [reset(2, " ack")]);
    // With the VIP gone as well, its packets are nobody's.
    world.exchange(&network());
    assert_eq!(lines(&client(&mut world, 3, SYN)), [""; 0]);
    assert_eq!(world.dropped(DropReason::NotForUs), 1);
}

#[test]
fn another_method_is_another_service() {
    let mut world = World::new(&two_servers(Method::Nat));
    open(&mut world, 1);
    world.exchange(&two_servers(Method::Dr));
    let reset = "wan: 192.0.2.100:80 > 203.0.113.10:1 tcp rst ttl 64";
    assert_eq!(lines(&client(&mut world, 1, ACK)), [reset]);
    assert_eq!(client(&mut world, 1, SYN)[0].port, LAN);
}

#[test]
fn a_new_vip_is_announced() {
    let mut world = World::new(&two_servers(Method::Nat));
    world.pass(10_000);
    let more = service(Method::Nat, "192.0.2.101:80", &["198.51.100.12:8080"]);
    let plan = two_servers(Method::Nat).with(more);
    world.exchange(&plan);
    let announced = world.pass(5_000);
    let vip = Ipv4Addr::new(192, 0, 2, 101).octets();
    let of_vip = |sent: &&Sent| sent.frame[12..14] == [8, 6] && sent.frame[28..32] == vip;
    assert_eq!(announced.iter().filter(of_vip).count(), 2);
    world.exchange(&plan);
    assert_eq!(world.pass(5_000).iter().filter(of_vip).count(), 0, "nothing is new");
}

#[test]
fn clients_are_answered_through_another_gateway() {
    let mut world = World::new(&two_servers(Method::Nat));
    let mut plan = two_servers(Method::Nat);
    let gateway = Ipv4Addr::new(192, 0, 2, 253);
    let mac = Mac([2, 0, 0, 0, 1, 253]);
    plan.routes[0].via = gateway.into();
    world.stations.push(crate::common::world::Station { port: WAN, address: gateway.into(), mac });
    world.exchange(&plan);
    world.pass(2_000);
    client(&mut world, 1, SYN);
    let reply = tcp("198.51.100.11:8080", "203.0.113.10:1", SYN | ACK);
    assert_eq!(world.receive(LAN, &reply.via_server())[0].frame[..6], mac.0);
}

#[test]
fn there_is_room_for_so_many_and_no_more() {
    let mut world = World::new(&two_servers(Method::Nat));
    let room = world.snapshot.room.servers;
    let many = |count: usize| {
        let mut plan = two_servers(Method::Nat);
        let server = |number: usize| ServerPlan::new(Ipv4Addr::new(198, 51, 100, 20 + number as u8), 8080, 1);
        plan.first().servers = (0..count).map(server).collect();
        plan
    };
    open(&mut world, 1);
    world.exchange(&many(room - 2));
    let error = world.snapshot.successor(&many(room + 1), &|_| true).err().unwrap();
    assert!(error.to_string().starts_with("no room for another server"), "{error}");
}

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A client's packet: its port and flags.
    Client(u16, u8),
    /// Which of five servers are there, in bits, and how the first of them stands.
    Servers(u8, Admin),
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let flags = prop::sample::select(vec![SYN, ACK, FIN | ACK, RST]);
    prop_oneof![
        6 => (1..20u16, flags).prop_map(|(port, flags)| Event::Client(port, flags)),
        2 => (0..32u8, prop::sample::select(Admin::ALL)).prop_map(|(set, admin)| Event::Servers(set, admin)),
        1 => (1..100_000u64).prop_map(Event::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is changed while whatever arrives: a connection's server number always names its server, packets go
    /// nowhere else, and the accounts are exact (the world checks them after every step).
    #[test]
    fn numbers_always_name_the_right_server(
        method in prop::sample::select(Method::ALL),
        events in prop::collection::vec(event(), 1..120),
    ) {
        let mut world = World::new(&two_servers(method));
        for event in events {
            match event {
                Event::Client(port, flags) => {
                    client(&mut world, port, flags);
                }
                Event::Pass(ms) => {
                    world.pass(ms);
                }
                Event::Servers(set, admin) => {
                    let mut plan = two_servers(method);
                    let port = plan.first().servers[0].port;
                    let there = (0..5u8).filter(|bit| set >> bit & 1 == 1);
                    plan.first().servers =
                        there.map(|bit| ServerPlan::new(Ipv4Addr::new(198, 51, 100, 11 + bit), port, 1)).collect();
                    if let Some(first) = plan.first().servers.first_mut() {
                        first.admin = admin;
                    }
                    world.exchange(&plan);
                }
            }
            for connection in world.connections() {
                let server = &world.snapshot.servers[connection.server].plan;
                prop_assert_eq!(server.address, IpAddr::from(Ipv4Addr::from_bits(connection.server_address)));
            }
            let total: u32 = world.snapshot.servers.ids()
                .map(|server| { let load = world.board.total(server); load.active + load.inactive })
                .sum();
            prop_assert_eq!(total as usize, world.connections().len());
        }
    }
}
