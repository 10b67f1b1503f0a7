//! Clients of persistent services, of which directors tell one another.

use crate::{
    common::{
        frame::{ACK, RST, SYN, tcp},
        plan::*,
        world::World,
    },
    net::Net,
};
use lb_core::{
    family::V4,
    peers::{client::Client, datagram},
    sched::call,
    service::{
        key::Protocol,
        plan::{Method, PersistencePlan, Plan, SchedulerKind},
    },
    time::Duration,
    worker::{clients, exceptions::Wanted},
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

const SERVICE: &str = "192.0.2.100:80";

fn client(number: u16) -> Client {
    let [high, low] = number.to_be_bytes();
    let v6 = number.is_multiple_of(3);
    Client {
        protocol: if number.is_multiple_of(2) { Protocol::Tcp } else { Protocol::Udp },
        network: if number.is_multiple_of(7) {
            call::name(&number.to_be_bytes(), Ipv4Addr::UNSPECIFIED.into())
        } else if v6 {
            IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, number])
        } else {
            IpAddr::from([203, 0, high, low])
        },
        vip: if v6 { "[2001:db8:1::1]:80" } else { "198.51.100.1:80" }.parse().unwrap(),
        server: if v6 { "[fd00::1]:8080" } else { "10.0.0.1:8080" }.parse().unwrap(),
        left: Duration::from_secs(300),
        is_learned: false,
    }
}

/// How often a director has been told of each client.
fn told(net: &Net, node: usize) -> BTreeMap<IpAddr, usize> {
    let mut times = BTreeMap::new();
    net.nodes[node].learned.iter().for_each(|client| *times.entry(client.network).or_default() += 1);
    times
}

#[test]
fn clients_are_told_when_they_are_new_move_or_stay_longer_and_all_to_who_joins() {
    let mut net = Net::new(2, 1_000, 3);
    net.nodes[0].clients = (1..=300).map(client).collect();
    net.quiet(5_000);
    assert_eq!(told(&net, 1).len(), 300);
    assert!(told(&net, 1).values().all(|&times| times == 1), "once");
    let first = net.nodes[1].learned.iter().find(|it| it.network == client(7).network).unwrap();
    assert_eq!(Client { left: client(7).left, ..*first }, client(7));
    assert!((298..=300).contains(&(first.left.as_millis() / 1_000)), "{}", first.left);
    // Each is remembered for 300 s from every look on, as one that has connections.
    net.quiet(60_000);
    assert!(told(&net, 1).values().all(|&times| times == 1), "a quarter longer is told, less is not");
    net.quiet(20_000);
    assert!(told(&net, 1).values().all(|&times| times == 2));
    net.nodes[0].clients[6].server = "10.0.0.2:8080".parse().unwrap();
    net.quiet(2_000);
    assert_eq!(net.nodes[1].learned.last().unwrap().server, "10.0.0.2:8080".parse().unwrap());
    assert_eq!(told(&net, 1).values().sum::<usize>(), 601);
    // One that joins, and one that is remembered no more.
    net.nodes[0].clients.pop();
    net.quiet(2_000);
    net.restart(1, crate::net::KEY);
    net.quiet(5_000);
    assert_eq!(told(&net, 1).len(), 299);
    assert_eq!(net.nodes[0].machine.own().clients(), (299, 0));
    assert_eq!(net.nodes[0].machine.own().len(), 0, "connections are counted for themselves");
}

#[test]
fn clients_come_over_a_bad_network_and_beside_connections() {
    let mut net = Net::new(2, 1_000, 5);
    (net.lost, net.repeated, net.delay) = (40, 20, 300);
    net.nodes[0].clients = (1..=500).map(client).collect();
    net.nodes[0].own = (0..500).map(|number| (number, crate::net::exception(number, 1))).collect();
    net.quiet(60_000);
    (net.lost, net.delay) = (0, 5);
    net.quiet(5_000);
    assert_eq!(told(&net, 1).len(), 500);
    net.assert_told(0, 1);
}

#[test]
fn clients_without_room_are_counted() {
    let mut net = Net::new(2, 100, 5);
    net.nodes[0].clients = (1..=150).map(client).collect();
    net.quiet(3_000);
    assert_eq!(net.nodes[0].machine.own().clients(), (100, 50));
    assert_eq!(told(&net, 1).len(), 100);
}

#[test]
fn a_client_that_is_told_in_circles_is_not_remembered_longer() {
    let left = Duration::from_millis(9_999);
    let change = (1, lb_core::peers::own::Change::Client(Client { left, ..client(1) }));
    let header = datagram::Header { from: 1, to: 2, count: 3 };
    let (bytes, _) = datagram::changes(header, 1, (0, 1), std::iter::once(change));
    let Ok((_, datagram::Body::Changes(changes))) = datagram::read(&bytes) else { panic!("changes") };
    let read: Vec<_> = changes.iter().collect();
    let shorter = Client { left: Duration::from_secs(9), ..client(1) };
    assert_eq!(read, [lb_core::peers::own::Change::Client(shorter)]);
}

fn persistent(prefix: u32) -> Plan {
    let mut plan = two_servers(Method::Nat);
    let timeout = Duration::from_secs(60);
    plan.first().persistence = PersistencePlan { timeout, prefix, ..PersistencePlan::default() };
    plan
}

/// Opens a connection, and says which server it got.
fn server(world: &mut World, client: &str, port: u16) -> u8 {
    let packet = |flags| tcp(&format!("{client}:{port}"), SERVICE, flags).via_gateway();
    let opened = world.receive(WAN, &packet(SYN));
    world.receive(WAN, &packet(ACK));
    world.receive(WAN, &packet(ACK));
    opened[0].server()
}

fn remembered(world: &World) -> Vec<Client> {
    // A look at all connections comes first.
    world.workers[0].exceptions::<V4>(world.now, 0..u32::MAX, Wanted::default(), |_| {});
    clients::remembered(world.persistence(), &world.snapshot, world.now).collect()
}

fn learn(world: &World, told: &Client) -> bool {
    clients::learn(world.persistence(), &world.snapshot, world.now, told)
}

#[test]
fn a_client_stays_with_its_server_at_another_director() {
    let hosts = || (10..30).map(|host| format!("203.0.113.{host}"));
    let mut first = World::new(&persistent(32));
    let chosen: Vec<u8> = hosts().map(|host| server(&mut first, &host, 4_000)).collect();
    let told = remembered(&first);
    assert_eq!(told.len(), 20);
    assert!(told.iter().all(|it| it.left == Duration::from_secs(60) && !it.is_learned));

    let mut second = World::new(&persistent(32));
    // In another order, so that turns would choose otherwise.
    assert!(told.iter().all(|it| learn(&second, it)));
    assert!(remembered(&second).iter().all(|it| it.is_learned), "hearsay, until they come");
    let mut after: Vec<u8> = hosts().rev().map(|host| server(&mut second, &host, 5_000)).collect();
    after.reverse();
    assert_eq!(after, chosen);
    assert!(remembered(&second).iter().all(|it| !it.is_learned));

    // Who remembers networks, has not the server, or does not remember, cannot.
    let networks = World::new(&persistent(24));
    assert!(!learn(&networks, &told[0]));
    let elsewhere = Client { server: "198.51.100.99:80".parse().unwrap(), ..told[0] };
    assert!(!learn(&second, &elsewhere));
    assert!(!learn(&World::new(&two_servers(Method::Nat)), &told[0]));
    // No message makes it longer than the service does.
    let third = World::new(&persistent(32));
    assert!(learn(&third, &Client { left: Duration::from_secs(1 << 30), ..told[0] }));
    assert_eq!(remembered(&third)[0].left, Duration::from_secs(60));
}

#[test]
fn clients_that_packets_with_forged_sources_have_are_not_told() {
    let mut world = World::new(&persistent(32));
    for flags in [SYN, ACK] {
        world.receive(WAN, &tcp("203.0.113.10:4000", SERVICE, flags).via_gateway());
    }
    assert_eq!(world.persistence().iter(world.now).count(), 1, "it is remembered while its connection is");
    assert_eq!(remembered(&world), []);
    world.receive(WAN, &tcp("203.0.113.10:4000", SERVICE, ACK).via_gateway());
    assert_eq!(remembered(&world).len(), 1);
}

#[test]
fn a_forged_packet_does_not_make_a_director_forget_what_another_told() {
    let mut first = World::new(&persistent(32));
    server(&mut first, "203.0.113.10", 4_000);
    let mut second = World::new(&persistent(32));
    assert!(learn(&second, &remembered(&first)[0]));
    second.receive(WAN, &tcp("203.0.113.10:5000", SERVICE, SYN).via_gateway());
    second.receive(WAN, &tcp("203.0.113.10:5000", SERVICE, RST).via_gateway());
    second.pass(20_000);
    assert_eq!(second.persistence().iter(second.now).count(), 1);
}

/// Directors that remember another server of a client than hashing chooses do not find it by hashing.
#[test]
fn connections_of_a_persistent_service_are_told_though_its_scheduler_hashes() {
    let mut plan = persistent(32);
    plan.first().scheduler = SchedulerKind::Mh;
    plan.first().adopt = true;
    let mut world = World::new(&plan);
    server(&mut world, "203.0.113.10", 4_000);
    let exceptions = |world: &World| {
        let mut found = 0;
        world.workers[0].exceptions::<V4>(world.now, 0..u32::MAX, Wanted::default(), |_| found += 1);
        found
    };
    assert_eq!(exceptions(&world), 0, "younger than three seconds");
    world.pass(3_000);
    assert_eq!(exceptions(&world), 1);
}
