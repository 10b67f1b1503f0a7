//! Keys that see one end of a flow only: with them, requests and replies come to the worker that is computed, as a NIC
//! that does what RSS is defined as delivers them.

use crate::common::{
    frame::*,
    frame6::*,
    plan::*,
    world::{Setup, Station, World, stations},
};
use lb_core::{
    family::{Family, V4, V6},
    flow::{
        hashing::Hashing,
        key::{Ends, Key},
        zero_window::{End, MOST_BITS, ZeroWindow, bits_for},
    },
    packet::{HandOver, PortId, WorkerId},
    service::plan::{Method, Plan, Protocol, Spread},
};
use proptest::{prelude::*, sample::select};
use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

/// A port with a key of these, as it would report itself.
fn port(keys: &ZeroWindow, seen: End, table_len: u16) -> Hashing {
    Hashing {
        types: vec!["ipv4-tcp", "ipv4-udp", "ipv6-tcp", "ipv6-udp"],
        key: Some(keys.key(seen).to_vec()),
        table: Some(keys.table(table_len)),
    }
}

/// The queues that a request from a client and a server's reply to it come to.
fn queues<F: Family>(
    keys: &ZeroWindow,
    lens: (u16, u16),
    request: &Key<F>,
    reply: &Key<F>,
) -> (Option<WorkerId>, Option<WorkerId>) {
    let queue = |port: Hashing, ends: Ends| port.queue_of(&ends).map(WorkerId);
    (
        queue(port(keys, End::Source, lens.0), request.ends()),
        queue(port(keys, End::Destination, lens.1), reply.ends()),
    )
}

fn draw(seed: u64, queues: u16, lens: (u16, u16), servers: &[Ipv6Addr]) -> ZeroWindow {
    ZeroWindow::draw(seed, bits_for(queues, [lens.0, lens.1]).unwrap(), queues, servers).unwrap()
}

fn key<F: Family>(client: (F::Address, u16), other: (F::Address, u16), is_tcp: bool) -> Key<F> {
    let protocol = if is_tcp { Protocol::Tcp } else { Protocol::Udp };
    let ((source, source_port), (destination, destination_port)) = (client, other);
    Key { source, destination, source_port, destination_port, protocol }
}

const LENS: [u16; 4] = [64, 128, 512, 2048];

proptest! {
    #[test]
    fn both_directions_come_to_the_owner(
        seed: u64, workers in 1..=64u16, wan in select(&LENS), lan in select(&LENS),
        client: (u32, u16), vip: (u32, u16), server: (u32, u16), is_tcp: bool,
    ) {
        let keys = draw(seed, workers, (wan, lan), &[]);
        let reply = key::<V4>(server, client, is_tcp);
        let arrive = queues(&keys, (wan, lan), &key::<V4>(client, vip, is_tcp), &reply);
        let owner = Some(keys.owner::<V4>(client.0, client.1));
        prop_assert_eq!(arrive, (owner, owner));
    }

    #[test]
    fn requests_of_ipv6_always_do_and_replies_where_that_is_said(
        seed: u64, workers in 1..=64u16, wan in select(&LENS), lan in select(&LENS),
        client: (u128, u16), vip: (u128, u16), server: (u128, u16), near: u16, is_tcp: bool,
    ) {
        let server_address = V6::ip(server.0);
        let IpAddr::V6(first) = server_address else { unreachable!() };
        let keys = draw(seed, workers, (wan, lan), &[first]);
        // It is drawn for, and so are its neighbours.
        for server in [server, (server.0 ^ u128::from(near), server.1)] {
            prop_assert!(keys.reaches(V6::ip(server.0)));
            let reply = key::<V6>(server, client, is_tcp);
            let arrive = queues(&keys, (wan, lan), &key::<V6>(client, vip, is_tcp), &reply);
            let owner = Some(keys.owner::<V6>(client.0, client.1));
            prop_assert_eq!(arrive, (owner, owner));
        }
        // Another one is not, but what is said of it holds: its replies do, or do not, for all clients alike.
        let reply = key::<V6>(vip, client, is_tcp);
        let arrives = queues(&keys, (wan, lan), &key::<V6>(client, vip, is_tcp), &reply);
        if keys.reaches(V6::ip(vip.0)) {
            prop_assert_eq!(arrives.1, arrives.0);
        }
    }

    /// For as many queues as entries can be dealt out to evenly, no queue has more than another of the hosts of a network,
    /// of the networks of a larger one, and of a client's ports.
    #[test]
    fn neighbours_spread_evenly(seed: u64, address: u32, port: u16, workers in select(vec![2u16, 4, 8, 16])) {
        let keys = draw(seed, workers, (128, 512), &[]);
        let most = |clients: &mut dyn Iterator<Item = (u32, u16)>| {
            let mut counts = vec![0; usize::from(workers)];
            clients.for_each(|(client, port)| counts[usize::from(keys.owner::<V4>(client, port).0)] += 1);
            *counts.iter().max().unwrap()
        };
        let even = 256 / usize::from(workers);
        for octet in 0..3 {
            let (rest, shift) = (address & !(0xff << (octet * 8)), octet * 8);
            prop_assert_eq!(most(&mut (0..256).map(|host| (rest | host << shift, port))), even, "octet {}", octet);
        }
        prop_assert_eq!(most(&mut (0..256).map(|low| (address, port & 0xff00 | low))), even);
        // What Linux chooses from: 1.05 of what is even, at most.
        let ephemeral = 60_999 - 32_768 + 1;
        let all = most(&mut (32_768..=60_999).map(|port| (address, port)));
        prop_assert!(all * usize::from(workers) * 100 <= ephemeral * 105, "{} of {}", all, ephemeral);
    }

    /// Interface identifiers of a network, as they are numbered by hand.
    #[test]
    fn neighbours_of_ipv6_spread_evenly(seed: u64, network: u64, port: u16, workers in select(vec![2u16, 4, 8, 16])) {
        let keys = draw(seed, workers, (128, 128), &[]);
        let mut counts = vec![0; usize::from(workers)];
        for host in 0..256 {
            let client = u128::from(network) << 64 | host;
            counts[usize::from(keys.owner::<V6>(client, port).0)] += 1;
        }
        prop_assert_eq!(*counts.iter().max().unwrap(), 256 / usize::from(workers));
    }
}

#[test]
fn the_same_seed_draws_the_same_keys_and_others_others() {
    let servers = ["2001:db8:2::11".parse().unwrap()];
    let drawn = |seed| draw(seed, 4, (128, 128), &servers);
    assert!(drawn(7) == drawn(7));
    let keys: std::collections::HashSet<_> = (0..200).map(|seed| *drawn(seed).key(End::Source)).collect();
    assert!(keys.len() > 190, "{} of 200", keys.len());
    assert_eq!(drawn(7).key(End::Source)[8..11], [0; 3], "destinations do not count");
}

#[test]
fn servers_of_usual_networks_are_drawn_for() {
    for (servers, bits) in [
        (vec!["2001:db8:2::11", "2001:db8:2::12"], 8),
        (vec!["2001:db8:0:1::11", "2001:db8:0:2::11"], 7),
        (vec!["fd00:1:2:3::a", "fd00:1:2:4::a", "2001:db8:7:8::5"], 7),
        // Made of Ethernet addresses of one vendor.
        (vec!["2001:db8::5054:ff:fe12:3456", "2001:db8::5054:ff:fe65:4321"], 7),
    ] {
        let servers: Vec<Ipv6Addr> = servers.iter().map(|server| server.parse().unwrap()).collect();
        for seed in 0..50 {
            let keys = ZeroWindow::draw(seed, bits, 4, &servers).unwrap();
            assert!(servers.iter().all(|&server| keys.reaches(server.into())), "{servers:?}, seed {seed}");
        }
    }
    // Ten networks are too many, so the most usual are.
    let servers: Vec<Ipv6Addr> = (0..40u16)
        .map(|host| Ipv6Addr::new(0x2001, 0xdb8, 77, (host % 10) * 0x1357 + 1, 0, 0, 0, host))
        .chain((0..40).map(|host| Ipv6Addr::new(0x2001, 0xdb8, 99, 99, 0, 0, 0, host)))
        .collect();
    let keys = ZeroWindow::draw(1, 7, 4, &servers).unwrap();
    assert!(servers[40..].iter().all(|&server| keys.reaches(server.into())));
    let reached = servers.iter().filter(|&&server| keys.reaches(server.into())).count();
    assert!((44..80).contains(&reached), "{reached}");
}

#[test]
fn as_many_bits_count_as_tables_have() {
    assert_eq!(bits_for(4, [128, 512]), Some(7));
    assert_eq!(bits_for(2, [64]), Some(6));
    assert_eq!(bits_for(32, [512, 2048]), Some(8));
    assert_eq!(bits_for(128, [2048]), Some(MOST_BITS));
    assert_eq!(bits_for(64, [128, 64]), Some(6));
    assert_eq!(bits_for(65, [64]), None, "not every queue has an entry");
    assert_eq!(bits_for(2, [128, 100]), None);
    assert_eq!(bits_for(2, [0]), None);
    assert_eq!(bits_for(2, []), None);
}

/// Two ports with keys, in both families.
fn two_arms(method: Method, workers: usize) -> Plan {
    let servers = SERVERS.map(|server| format!("{server}:8080"));
    let servers6 = SERVERS6.map(|server| format!("[{server}]:8080"));
    let mut plan = network6()
        .with(service(method, "192.0.2.100:80", &[&servers[0], &servers[1]]))
        .with(service(method, "[2001:db8:1::100]:80", &[&servers6[0], &servers6[1]]))
        .spread(Spread::ByClient, Spread::ByClient);
    let keys = draw(99, workers as u16, (128, 512), &SERVERS6);
    plan.ports[0].hashing = port(&keys, End::Source, 128);
    plan.ports[1].hashing = port(&keys, End::Destination, 512);
    plan.zero_window = Some(Arc::new(keys));
    plan
}

/// Whole connections, each packet where the port's hash delivers it: nothing is handed over.
#[test]
fn nothing_is_handed_over() {
    for method in [Method::Nat, Method::FullNat] {
        for workers in [2, 3, 4, 7, 16] {
            let plan = two_arms(method, workers);
            let mut world = World::silent(&plan, Setup { workers, ..Setup::default() });
            world.stations = stations();
            world.pass(3_000);
            let mut used = vec![false; workers];
            for number in 0..200u16 {
                let is_ipv6 = number % 2 == 1;
                let (client, vip) = match is_ipv6 {
                    false => (format!("203.0.113.{}:{}", number % 50, 4_000 + number * 7), "192.0.2.100:80"),
                    true => (format!("[2001:db8:a::{number:x}]:{}", 4_000 + number), "[2001:db8:1::100]:80"),
                };
                let owner = arrives_at(&world, WAN, &client, vip);
                let frame = |port: PortId, from: &str, to: &str, flags| match (is_ipv6, port) {
                    (false, WAN) => tcp(from, to, flags).via_gateway(),
                    (false, _) => tcp(from, to, flags).via_server(),
                    (true, WAN) => tcp6(from, to, flags).via_gateway(),
                    (true, _) => tcp6(from, to, flags).via_server(),
                };
                let sent = world.burst(owner, &[(WAN, frame(WAN, &client, vip, SYN))]);
                let (from, to) = (sent[0].source(), sent[0].destination());
                let replies_at = arrives_at(&world, LAN, &to, &from);
                assert_eq!(replies_at, owner, "{method:?}, {workers} workers: {client}");
                let sent = world.burst(replies_at, &[(LAN, frame(LAN, &to, &from, SYN | ACK))]);
                assert_eq!((sent[0].worker, sent[0].port), (owner, WAN));
                used[owner] = true;
            }
            assert!(used.iter().all(|&used| used), "{workers} workers");
            let handed_over = [HandOver::Client, HandOver::Reply].map(|why| world.handed_over_for(why));
            assert_eq!(handed_over, [0, 0], "{method:?}, {workers} workers");
        }
    }
}

/// Servers that are added while the director runs, under the keys that were drawn at its start: those of IPv4, and those of
/// IPv6 beside the first ones, have no hand-overs either. Those of elsewhere have them, are told of by name, and work.
#[test]
fn servers_may_be_added_later() {
    const WORKERS: usize = 4;
    for method in [Method::Nat, Method::FullNat] {
        let mut plan = two_arms(method, WORKERS);
        let lan = &mut plan.interfaces[usize::from(LAN_SIDE.0)];
        lan.addresses.push("2001:db8:2:357::1/64".parse().unwrap());
        let setup = Setup { workers: WORKERS, ..Setup::default() };
        let mut world = World::silent(&plan, setup);
        world.stations = stations();
        let far: Ipv6Addr = "2001:db8:2:357:0:a1b2:0:13".parse().unwrap();
        let added = [
            ("198.51.100.13:8080", "192.0.2.100:80", true),
            ("[2001:db8:2::1:13]:8080", "[2001:db8:1::100]:80", true),
            ("[2001:db8:2:357:0:a1b2:0:13]:8080", "[2001:db8:1::100]:80", false),
        ];
        for (address, vip, is_reached) in added {
            let own: std::net::SocketAddr = address.parse().unwrap();
            let station = Station { port: LAN, address: own.ip(), mac: SERVER_MACS[0] };
            world.stations.push(station);
            let of_family = plan.services.iter_mut().find(|it| it.vip.is_ipv6() == own.is_ipv6()).unwrap();
            of_family.servers = vec![server(address, 1)];
            world.exchange(&plan);
            world.pass(3_000);
            let told = plan.out_of_reach();
            assert_eq!(told.contains(&own.ip()), !is_reached, "{address}");
            assert!(told.len() <= 1 && told.iter().all(|server| *server == IpAddr::from(far)));
            let mut handed_over = 0;
            for number in 0..60u16 {
                let client = match own.is_ipv6() {
                    false => format!("203.0.113.{number}:{}", 9_000 + number * 7),
                    true => format!("[2001:db8:a::{number:x}]:{}", 9_000 + number),
                };
                let frame = |port: PortId, from: &str, to: &str, flags| match (own.is_ipv6(), port) {
                    (false, WAN) => tcp(from, to, flags).via_gateway(),
                    (false, _) => tcp(from, to, flags).via_server(),
                    (true, WAN) => tcp6(from, to, flags).via_gateway(),
                    (true, _) => tcp6(from, to, flags).via_server(),
                };
                let owner = arrives_at(&world, WAN, &client, vip);
                let sent = world.burst(owner, &[(WAN, frame(WAN, &client, vip, SYN))]);
                let (from, to) = (sent[0].source(), sent[0].destination());
                assert_eq!((sent[0].worker, to.as_str()), (owner, address));
                let replies_at = arrives_at(&world, LAN, &to, &from);
                let sent = world.burst(replies_at, &[(LAN, frame(LAN, &to, &from, SYN | ACK))]);
                assert_eq!((sent[0].worker, sent[0].port), (owner, WAN), "{address}");
                handed_over += u64::from(replies_at != owner);
            }
            assert_eq!(handed_over == 0, is_reached, "{method:?}, {address}: {handed_over} of 60");
            assert_eq!(world.handed_over_for(HandOver::Client), 0);
        }
    }
}

/// The same of what servers ask by themselves: both directions come to the worker that whom they ask does.
#[test]
fn what_servers_ask_is_not_handed_over() {
    for workers in [2, 3, 4, 7, 16] {
        let mut world =
            World::with(&two_arms(Method::Nat, workers).snat(), Setup { workers, ..Setup::default() });
        let mut used = vec![false; workers];
        for number in 0..200u16 {
            let is_ipv6 = number % 2 == 1;
            let server = usize::from(number / 2 % 2);
            let port = 20_000 + number;
            let (asker, asked) = match is_ipv6 {
                false => (format!("{}:{port}", SERVERS[server]), format!("203.0.113.{}:53", 1 + number)),
                true => (format!("[{}]:{port}", SERVERS6[server]), format!("[2001:db8:a::{number:x}]:53")),
            };
            let owner = arrives_at(&world, LAN, &asker, &asked);
            let question = match is_ipv6 {
                false => tcp(&asker, &asked, SYN).via_server(),
                true => tcp6(&asker, &asked, SYN).via_server(),
            };
            let local = world.burst(owner, &[(LAN, question)])[0].source();
            assert_eq!(arrives_at(&world, WAN, &asked, &local), owner, "{workers} workers: {asker}");
            let answer = match is_ipv6 {
                false => tcp(&asked, &local, SYN | ACK).via_gateway(),
                true => tcp6(&asked, &local, SYN | ACK).via_gateway(),
            };
            let sent = world.burst(owner, &[(WAN, answer)]);
            assert_eq!((sent[0].worker, sent[0].destination()), (owner, asker));
            used[owner] = true;
        }
        assert!(used.iter().all(|&used| used), "{workers} workers");
        let handed_over = [HandOver::Client, HandOver::Reply].map(|why| world.handed_over_for(why));
        assert_eq!(handed_over, [0, 0], "{workers} workers");
    }
}

/// The worker that a port's hash delivers a packet to.
fn arrives_at(world: &World, port: PortId, from: &str, to: &str) -> usize {
    let (source, destination) = (from.parse().unwrap(), to.parse().unwrap());
    let ends = Ends { protocol: Protocol::Tcp, source, destination };
    usize::from(world.snapshot.arrives_at(port, &ends).expect("the port says how it chooses").0)
}

/// A NIC that does not do what its keys say costs hand-overs, and no connection.
#[test]
fn a_wrong_prediction_costs_hand_overs_only() {
    let plan = two_arms(Method::Nat, 3);
    let mut world = World::silent(&plan, Setup { workers: 3, ..Setup::default() });
    world.stations = stations();
    world.pass(3_000);
    for number in 0..30 {
        let client = format!("203.0.113.{number}:4000");
        let owner = arrives_at(&world, WAN, &client, "192.0.2.100:80");
        let wrong = (owner + 1) % 3;
        let sent = world.burst(wrong, &[(WAN, tcp(&client, "192.0.2.100:80", SYN).via_gateway())]);
        assert_eq!(sent[0].worker, owner);
        let reply = tcp(&sent[0].destination(), &client, SYN | ACK).via_server();
        assert_eq!(world.burst((owner + 2) % 3, &[(LAN, reply)])[0].worker, owner);
    }
    assert_eq!([HandOver::Client, HandOver::Reply].map(|why| world.handed_over_for(why)), [30, 30]);
}
