//! Services of several addresses, ports and protocols: which service a packet is for, and where it goes.

use crate::common::{frame::*, plan::*, world::World};
use ipnet::IpNet;
use lb_core::{
    conn::entry::Direction::{In, Out},
    family::V4,
    flow::key::Key,
    ids::{InterfaceId, ServiceId},
    service::{
        check::{PlanError, check},
        key::{Protocol, ServiceKey},
        plan::{Method, Plan, ServicePlan},
        reach::{ClientClaim, PortRange},
        snapshot::Snapshot,
    },
};
use proptest::prelude::*;
use std::{
    cmp::Reverse,
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

const CLIENT: &str = "203.0.113.10:4000";

/// A service of these ports, whose servers have the port that a client asks for.
fn group(method: Method, name: &str, ports: &[&str], servers: &[&str]) -> ServicePlan {
    let servers: Vec<String> = servers.iter().map(|server| format!("{server}:0")).collect();
    let servers: Vec<&str> = servers.iter().map(String::as_str).collect();
    let mut group = service(method, "192.0.2.100:1", &servers);
    group.name = name.to_owned();
    group.set_ports(ports.iter().map(|ports| ports.parse().unwrap()).collect());
    group
}

fn opened(world: &mut World, to: &str) -> Vec<String> {
    world.lines(WAN, &tcp(CLIENT, to, SYN).via_gateway())
}

#[test]
fn a_server_without_a_port_has_the_one_that_the_client_asks_for() {
    for method in [Method::Nat, Method::FullNat] {
        let plan = network().with(group(method, "web", &["80", "443", "8000-8099"], &["198.51.100.11"]));
        check(&plan, []).unwrap();
        let mut world = World::new(&plan);
        for port in [80, 443, 8042] {
            let to = format!("192.0.2.100:{port}");
            let sent = opened(&mut world, &to);
            assert!(sent[0].contains(&format!("> 198.51.100.11:{port}")), "{method}: {sent:?}");
            // What it answers comes from where the client sent to.
            let connection = *world.connections().iter().find(|one| one.vip_port == port).unwrap();
            let (server, _) = (connection.ends(In).destination, ());
            assert_eq!(server.1, port);
            assert_eq!(connection.ends(Out).source.1, port);
            let (to_client, to_port) = connection.ends(In).source;
            let reply = tcp(
                &format!("198.51.100.11:{port}"),
                &format!("{}:{to_port}", Ipv4Addr::from_bits(to_client)),
                SYN | ACK,
            );
            let sent = world.lines(LAN, &reply.via_server());
            assert!(sent[0].contains(&format!("{to} > {CLIENT}")), "{method}: {sent:?}");
        }
        let refused = opened(&mut world, "192.0.2.100:81");
        assert!(refused[0].contains("192.0.2.100:81 > 203.0.113.10:4000"), "reset: {refused:?}");
    }
}

#[test]
fn a_server_may_have_one_port_for_all() {
    let mut web = group(Method::Nat, "web", &["any"], &["198.51.100.11"]);
    web.servers[0].port = 8080;
    let mut world = World::new(&network().with(web));
    for port in [1, 80, 65_535] {
        let sent = opened(&mut world, &format!("192.0.2.100:{port}"));
        // The second connection of the same client endpoint would have the same reply key.
        assert_eq!(sent.len(), 1);
        if port == 1 {
            assert!(sent[0].contains("> 198.51.100.11:8080"), "{sent:?}");
        }
    }
    assert_eq!(world.connections().len(), 1, "its replies could not be told from the first one's");
}

#[test]
fn both_protocols_are_one_service() {
    let mut dns = group(Method::Tun, "dns", &["53", "853"], &["198.51.100.11", "198.51.100.12"]);
    dns.beside.protocols = vec![Protocol::Udp];
    dns.beside.vips.push("192.0.2.101".parse().unwrap());
    let plan = network().with(dns);
    check(&plan, []).unwrap();
    let mut world = World::new(&plan);
    let tunnelled = [
        world.lines(WAN, &tcp(CLIENT, "192.0.2.100:53", SYN).via_gateway()),
        world.lines(WAN, &udp(CLIENT, "192.0.2.101:53", b"question").via_gateway()),
        world.lines(WAN, &udp(CLIENT, "192.0.2.100:853", b"question").via_gateway()),
        world.lines(WAN, &tcp(CLIENT, "192.0.2.101:853", SYN).via_gateway()),
    ];
    assert!(tunnelled.iter().all(|sent| sent.len() == 1), "{tunnelled:?}");
    // One scheduler's turn over all of it.
    let servers: Vec<_> = world.connections().iter().map(|one| one.server).collect();
    assert_eq!(servers.iter().filter(|one| **one == servers[0]).count(), 2, "{servers:?}");
}

#[test]
fn an_adopted_reply_of_a_group_comes_from_the_port_that_it_answers() {
    let mut web = group(Method::Nat, "web", &["80", "443"], &["198.51.100.11"]);
    web.adopt = true;
    let mut world = World::new(&network().with(web));
    let reply = |port: u16| tcp(&format!("198.51.100.11:{port}"), CLIENT, ACK).via_server();
    let sent = world.lines(LAN, &reply(443));
    assert!(sent[0].contains("192.0.2.100:443 > 203.0.113.10:4000"), "{sent:?}");
    assert_eq!(world.connections().len(), 1);
    world.lines(LAN, &reply(22));
    assert_eq!(world.connections().len(), 1, "nobody is served on that port");
}

#[test]
fn a_connection_outlives_its_port() {
    let mut plan = network().with(group(Method::Dr, "web", &["80", "443"], &["198.51.100.11"]));
    let mut world = World::new(&plan);
    opened(&mut world, "192.0.2.100:443");
    plan.services[0].set_ports(vec![PortRange::one(80), PortRange::one(8443)]);
    world.exchange(&plan);
    let more = world.lines(WAN, &tcp(CLIENT, "192.0.2.100:443", ACK).via_gateway());
    assert!(more[0].starts_with("lan:"), "it goes on: {more:?}");
    let other = world.lines(WAN, &tcp("203.0.113.10:4001", "192.0.2.100:443", SYN).via_gateway());
    assert!(other[0].starts_with("wan:"), "another is refused: {other:?}");
}

#[test]
fn what_does_not_go_together_is_refused() {
    let wrong = |edit: &dyn Fn(&mut Plan)| {
        let mut plan = network()
            .with(group(Method::Nat, "web", &["80", "443"], &["198.51.100.11"]))
            .with(group(Method::Nat, "rest", &["any"], &["198.51.100.11"]));
        check(&plan, []).unwrap();
        edit(&mut plan);
        check(&plan, []).unwrap_err()
    };
    let range = |text: &str| text.parse::<PortRange>().unwrap();
    let shown = |error: PlanError| error.to_string();
    assert_eq!(
        shown(wrong(&|plan| plan.services[1].set_ports(vec![range("1-9"), range("443")]))),
        "tcp 192.0.2.100:443 would be of service \"web\" and of service \"rest\", and neither is more specific"
    );
    assert_eq!(
        shown(wrong(&|plan| plan.services[0].beside.ports.push(range("80")))),
        "service \"web\" has tcp 192.0.2.100:80 twice; remove one"
    );
    assert!(
        shown(wrong(&|plan| plan.services[0].beside.vips.push("2001:db8::1".parse().unwrap())))
            .contains("are not of one family")
    );
    assert!(
        shown(wrong(&|plan| {
            plan.services[0].method = Method::Dr;
            plan.services[0].servers[0].port = 80;
        }))
        .contains("would be that of all packets")
    );
    assert_eq!(
        wrong(&|plan| plan.services[0].set_ports(vec![range("80")])),
        PlanError::PortZero,
        "a service of one port is not of the one that clients ask for"
    );
}

/// Networks of clients, and ports of arrival.
type Clients = (Vec<IpNet>, Vec<String>);

fn any_clients() -> impl Strategy<Value = Clients> {
    let networks = ["203.0.113.0/24", "203.0.113.0/25", "203.0.0.0/16", "0.0.0.0/0"];
    let networks = networks.map(|net| net.parse().unwrap()).to_vec();
    let ports = vec!["wan".to_owned(), "lan".to_owned()];
    (prop::sample::subsequence(networks, 0..=2), prop::sample::subsequence(ports, 0..=2))
}

fn any_service() -> impl Strategy<Value = (bool, bool, bool, Vec<PortRange>, Clients)> {
    let bound = prop_oneof![1_u16..8, Just(u16::MAX)];
    let range = prop_oneof![
        (1_u16..8).prop_map(PortRange::one),
        (bound.clone(), bound).prop_map(|(a, b)| PortRange { first: a.min(b), last: a.max(b) }),
        Just(PortRange::ANY),
    ];
    let ports = prop::collection::vec(range, 1..4);
    // Of many services that share all ports few would be a sound plan.
    let clients = prop_oneof![Just((vec![], vec![])), any_clients(), any_clients()];
    (any::<bool>(), any::<bool>(), any::<bool>(), ports, clients)
}

/// The claim that has a client's packet, with the place of its service.
fn naive(plan: &Plan, (key, on): (&Key<V4>, Option<&str>)) -> Option<usize> {
    let claims = plan
        .services
        .iter()
        .enumerate()
        .flat_map(|(at, service)| service.reach().claims_by_client().map(move |claim| (claim, at)));
    let has = |it: &ClientClaim| {
        it.claim.protocol == key.protocol
            && it.claim.vip == Ipv4Addr::from_bits(key.destination)
            && it.claim.ports.contains(key.destination_port)
            && it.from.is_none_or(|net| net.contains(&IpAddr::from(Ipv4Addr::from_bits(key.source))))
            && it.on.is_none_or(|name| on == Some(name))
    };
    let rank = |it: &ClientClaim| {
        let length = it.from.map_or(0, |net| net.prefix_len());
        (it.claim.ports.width(), Reverse(length), it.on.is_none())
    };
    claims.filter(|(claim, _)| has(claim)).min_by_key(|(claim, _)| rank(claim)).map(|(_, at)| at)
}

proptest! {
    /// The most specific service of a sound plan gets a packet, whatever services there are.
    #[test]
    fn the_most_specific_service_gets_a_packet(services in prop::collection::vec(any_service(), 1..6)) {
        let mut plan = network();
        for (number, (second_vip, both_vips, udp, ports, (from, on))) in services.into_iter().enumerate() {
            let mut one = group(Method::Nat, &format!("s{number}"), &["any"], &["198.51.100.11"]);
            one.vip = [192, 0, 2, if second_vip { 101 } else { 100 }].into();
            if both_vips && !second_vip {
                one.beside.vips.push([192, 0, 2, 101].into());
            }
            one.beside.protocols = if udp { vec![Protocol::Udp] } else { Vec::new() };
            one.set_ports(ports);
            (one.beside.from, one.beside.on) = (from, on);
            one.servers[0].port = 8080;
            plan.services.push(one);
        }
        prop_assume!(check(&plan, []).is_ok());
        let snapshot = Snapshot::new(&plan).unwrap();
        for (protocol, vip) in [(Protocol::Tcp, 100), (Protocol::Udp, 100), (Protocol::Tcp, 101), (Protocol::Udp, 101)] {
            for port in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 65_534, 65_535] {
                let vip = Ipv4Addr::new(192, 0, 2, vip);
                for client in [[203, 0, 113, 1], [203, 0, 113, 200], [203, 0, 1, 1], [198, 18, 0, 1]] {
                    let key = Key {
                        source: Ipv4Addr::from(client).to_bits(),
                        destination: vip.to_bits(),
                        source_port: 4000,
                        destination_port: port,
                        protocol,
                    };
                    let id = |at| ServiceId::new(u32::try_from(at).unwrap());
                    let mut possible = BTreeSet::new();
                    let elsewhere = InterfaceId(7);
                    for (name, on) in [(Some("wan"), WAN_SIDE), (Some("lan"), LAN_SIDE), (None, elsewhere)] {
                        let expected = naive(&plan, (&key, name)).map(id);
                        prop_assert_eq!(snapshot.service_for(&key, || on), expected);
                        possible.extend(expected);
                    }
                    // Where nobody knows where it arrives, it may be any of these.
                    for service in (0..plan.services.len()).map(id) {
                        let found = snapshot.find_service_for(&key, |it| it == service);
                        prop_assert_eq!(found.is_some(), possible.contains(&service), "{:?} {}", key, service);
                    }
                }
            }
        }
        for service in &plan.services {
            let key: ServiceKey = service.key();
            prop_assert_eq!(&snapshot.service(&key).unwrap().1.name, &service.name);
        }
    }
}

#[test]
fn one_packet_keeps_no_connection() {
    let mut plan = two_servers(Method::Dr).udp();
    plan.first().one_packet = true;
    check(&plan, []).unwrap();
    let mut world = World::new(&plan);
    let mut frames: Vec<_> =
        (0..6).map(|_| udp(CLIENT, "192.0.2.100:80", b"question").via_gateway()).collect();
    let mut stations = Vec::new();
    for frame in frames.split_off(3) {
        stations.extend(world.receive(WAN, &frame).into_iter().map(|sent| sent.frame[..6].to_vec()));
    }
    // In one burst as well.
    let burst: Vec<_> = frames.into_iter().map(|frame| (WAN, frame)).collect();
    stations.extend(world.burst(0, &burst).into_iter().map(|sent| sent.frame[..6].to_vec()));
    assert_eq!(stations.len(), 6);
    let first = stations.iter().filter(|station| **station == stations[0]).count();
    assert_eq!(first, 3, "each is scheduled by itself: {stations:?}");
    assert!(world.connections().is_empty());
    plan.first().method = Method::Nat;
    assert_eq!(check(&plan, []), Err(PlanError::OnePacket(Method::Nat)));
}
