//! One arm: clients and servers behind the same port, in all methods and families. A packet leaves by the port that it came
//! by, and nobody is redirected.

use super::{
    common::{
        frame::*,
        frame6::*,
        plan::*,
        read,
        world::{Sent, Setup, Station, World, stations},
    },
    expect,
};
use lb_core::{
    counters::DropReason,
    service::plan::{Mac, Method, Plan, ServicePlan},
};

const CLIENTS: [&str; 2] = ["203.0.113.10:4000", "[2001:db8:a::10]:4000"];
const VIPS: [&str; 2] = ["192.0.2.100:80", "[2001:db8:1::100]:80"];
const SERVERS_AT: [&str; 2] = ["198.51.100.11", "[2001:db8:2::11]"];

/// A server on the clients' own network.
const NEAR: Station = Station {
    port: WAN,
    address: std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 21)),
    mac: NEAR_MAC,
};
const NEAR_MAC: Mac = Mac([2, 0, 0, 0, 2, 21]);
/// A client on that network.
const NEIGHBOUR: Mac = Mac([2, 0, 0, 0, 1, 9]);

fn world(plan: &Plan) -> World {
    let mut world = World::silent(plan, Setup::default());
    world.stations = stations().into_iter().map(|station| Station { port: WAN, ..station }).collect();
    world.stations.push(NEAR);
    world.stations.push(Station { port: WAN, address: [192, 0, 2, 9].into(), mac: NEIGHBOUR });
    world.pass(3_000);
    world
}

/// A segment that arrives.
fn segment(from: &str, to: &str, flags: u8, sender: Mac) -> Vec<u8> {
    let mut frame = match from.starts_with('[') {
        true => tcp6(from, to, flags).via_gateway(),
        false => tcp(from, to, flags).via_gateway(),
    };
    frame[6..12].copy_from_slice(&sender.0);
    frame
}

/// What a method makes of a client's SYN, but for the port that FullNAT draws.
fn request(method: Method, family: usize, to_ipv6: usize) -> String {
    let (client, vip, server) = (CLIENTS[family], VIPS[family], SERVERS_AT[to_ipv6]);
    match method {
        Method::Nat => format!("wan: {client} > {server}:8080 tcp syn ttl 63"),
        Method::FullNat => format!(" > {server}:8080 tcp syn ttl 63"),
        Method::Dr => format!("wan: {client} > {vip} tcp syn ttl 63"),
        Method::L3Dsr => format!("wan: {client} > {server}:80 tcp syn ttl 63"),
        Method::Snat => unreachable!("no service's"),
        Method::Tun => {
            let (own, to) = match to_ipv6 {
                0 => ("198.51.100.1", "198.51.100.11"),
                _ => ("2001:db8:2::1", "2001:db8:2::11"),
            };
            format!("wan: {own} > {to} ttl 64 [{client} > {vip} tcp syn ttl 63]")
        }
    }
}

#[test]
fn every_method_and_family_leaves_by_the_port_that_it_came_by() {
    for method in Method::ALL.iter().copied() {
        for (family, to_ipv6) in [(0, 0), (1, 1), (0, 1), (1, 0)] {
            if family != to_ipv6 && method != Method::Tun {
                continue;
            }
            let port = if method.rewrites_endpoints() { 8080 } else { 80 };
            let server = format!("{}:{port}", SERVERS_AT[to_ipv6]);
            let plan = network6().with(service(method, VIPS[family], &[&server])).one_arm();
            let mut world = world(&plan);
            let syn = segment(CLIENTS[family], VIPS[family], SYN, GATEWAY_MAC);
            let sent = world.receive(WAN, &syn);
            let [one] = &sent[..] else { panic!("{method}: one frame, and no redirect: {sent:?}") };
            assert!(one.line().ends_with(&request(method, family, to_ipv6)), "{method}: {}", one.line());
            assert_eq!(read::stations(&one.frame), (SERVER_MACS[0], WAN_MAC), "{method}");

            if family != to_ipv6 {
                continue;
            }
            let to = if method == Method::FullNat { one.source() } else { CLIENTS[family].to_owned() };
            let reply = segment(&server, &to, SYN | ACK, SERVER_MACS[0]);
            let answer = world.receive(WAN, &reply);
            if method.sees_replies() {
                let line = format!("wan: {} > {} tcp syn ack ttl 63", VIPS[family], CLIENTS[family]);
                assert_eq!(answer.iter().map(Sent::line).collect::<Vec<_>>(), [line], "{method}");
                assert_eq!(read::stations(&answer[0].frame), (GATEWAY_MAC, WAN_MAC), "{method}");
            } else {
                // It is for the client, by another way; the director is no router.
                assert!(answer.is_empty(), "{method}: {answer:?}");
                assert_eq!(world.dropped(DropReason::NotForUs), 1, "{method}");
            }
        }
    }
}

/// Client and server are neighbours, as of each other so of the director: RFC 1812 5.2.7.2 would have a router redirect them.
#[test]
fn neighbours_of_each_other_are_not_redirected() {
    const CLIENT: &str = "192.0.2.9:4000";
    for method in Method::ALL.iter().copied() {
        let port = if method.rewrites_endpoints() { 8080 } else { 80 };
        let server = format!("192.0.2.21:{port}");
        let local = Vec::from_iter(method.hides_clients().then_some([192, 0, 2, 200].into()));
        let web = ServicePlan { local_addresses: local, ..service(method, VIPS[0], &[&server]) };
        let mut world = world(&network().with(web).one_arm());
        let sent = world.receive(WAN, &segment(CLIENT, VIPS[0], SYN, NEIGHBOUR));
        let to_server: Vec<_> =
            sent.iter().filter(|sent| read::stations(&sent.frame).0 == NEAR_MAC).collect();
        let [one] = to_server[..] else { panic!("{method}: {sent:?}") };
        assert!(sent.iter().all(|sent| !sent.line().contains("icmp")), "{method}: {sent:?}");
        if !method.sees_replies() {
            continue;
        }
        // Under NAT by a route of the server's; under FullNAT because it knows nobody else.
        let to = if method.hides_clients() { one.source() } else { CLIENT.to_owned() };
        let reply = segment(&server, &to, SYN | ACK, NEAR_MAC);
        let line = format!("wan: {} > {CLIENT} tcp syn ack ttl 63", VIPS[0]);
        assert_eq!(read::stations(&expect(&mut world, WAN, &reply, &line).frame), (NEIGHBOUR, WAN_MAC));
    }
}
