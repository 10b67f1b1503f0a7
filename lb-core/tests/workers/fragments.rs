//! Fragments of any datagrams, in any order, at any workers: all of a flow gets to one server, and right.

use crate::common::{
    fragments::{assemble, cut, frame},
    frame::udp,
    frame6::udp6,
    plan::*,
    read,
    world::{Sent, Setup, World},
};
use lb_core::{
    flow::{
        hashing::{DESTINATION_ONLY, Hashing, SOURCE_ONLY},
        key::Ends,
        owner::RSS_KEY_WORD,
    },
    packet::PortId,
    service::{
        key::Protocol,
        plan::{Method, Plan, Spread},
    },
};
use proptest::{prelude::*, sample::select};
use std::net::SocketAddr;

/// How ports spread packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ports {
    /// By the client's end, with a table that is known.
    ByClient,
    /// By all of a flow, and they say how.
    ByFlow,
    /// In a way that nobody knows.
    Unknown,
}

fn hashing(side: &'static str, workers: usize) -> Hashing {
    Hashing {
        types: vec!["ipv4-udp", "ipv6-udp", side],
        key: Some(RSS_KEY_WORD.to_be_bytes().repeat(20)),
        table: Some((0..128).map(|entry| entry % workers as u16).collect()),
    }
}

fn plan(method: Method, is_ipv6: bool, ports: Ports, workers: usize) -> Plan {
    let port = if method.rewrites_endpoints() { 8080 } else { 80 };
    let (vip, servers) = if is_ipv6 {
        ("[2001:db8:1::100]:80", SERVERS6.map(|server| format!("[{server}]:{port}")))
    } else {
        ("192.0.2.100:80", SERVERS.map(|server| format!("{server}:{port}")))
    };
    let mut plan = network6().with(service(method, vip, &[&servers[0], &servers[1]])).udp();
    match ports {
        Ports::ByClient => {
            plan = plan.spread(Spread::ByClient, Spread::ByClient);
            plan.redirection_len = 128;
            plan.ports[0].hashing = hashing(SOURCE_ONLY, workers);
            plan.ports[1].hashing = hashing(DESTINATION_ONLY, workers);
        }
        Ports::ByFlow => {
            plan = plan.spread(Spread::ByFlow, Spread::ByFlow);
            plan.ports.iter_mut().for_each(|port| port.hashing = hashing("", workers));
        }
        Ports::Unknown => {}
    }
    plan
}

/// Where a whole packet arrives.
fn queue(world: &World, port: PortId, ends: (SocketAddr, SocketAddr), otherwise: usize) -> usize {
    let flow = Ends { protocol: Protocol::Udp, source: ends.0, destination: ends.1 };
    world.snapshot.arrives_at(port, &flow).map_or(otherwise, |worker| usize::from(worker.0))
}

fn datagram((from, to): (SocketAddr, SocketAddr), len: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..len).map(|at| (at / 7) as u8).collect();
    match from {
        SocketAddr::V4(_) => udp(&from.to_string(), &to.to_string(), &payload).may_fragment().bytes(),
        SocketAddr::V6(_) => udp6(&from.to_string(), &to.to_string(), &payload).bytes(),
    }
}

/// The ends of a whole datagram, which is right in every checksum.
fn ends(packet: &[u8]) -> (SocketAddr, SocketAddr) {
    read::check_ip(packet).unwrap_or_else(|error| panic!("{error}"));
    let line = read::line(&frame(LAN, packet));
    let words: Vec<&str> = line.split(' ').collect();
    (words[0].parse().expect("a source"), words[2].parse().expect("a destination"))
}

/// What left, put together, without a tunnel's headers; and which server's station it went to.
fn received(sent: &[Sent], method: Method) -> (Vec<u8>, [u8; 6]) {
    let station = *sent[0].frame.first_chunk().expect("a frame");
    assert!(sent.iter().all(|it| it.frame.starts_with(&station)), "all to one station");
    let inner = |sent: &Sent| {
        let packet = read::ip_packet(&sent.frame).expect("an IP packet");
        read::check_ip(packet).unwrap_or_else(|error| panic!("{error}"));
        let outer = if packet[0] >> 4 == 6 { 40 } else { 20 };
        if method == Method::Tun { packet[outer..].to_vec() } else { packet.to_vec() }
    };
    let packets: Vec<Vec<u8>> = sent.iter().map(inner).collect();
    if let [whole] = &packets[..] {
        return (whole.clone(), station);
    }
    let mut whole = assemble(packets.iter().map(Vec::as_slice));
    assert_eq!(whole.len(), 1);
    (whole.remove(0), station)
}

/// One datagram: of which client, its length, what it is cut into, in which order that arrives and where.
#[derive(Clone, Debug)]
struct Said {
    client: u16,
    len: usize,
    sizes: Vec<usize>,
    order: Vec<u32>,
    workers: Vec<usize>,
    answer: Option<usize>,
}

fn said() -> impl Strategy<Value = Said> {
    let sizes = prop::collection::vec((3..150usize).prop_map(|units| units * 8), 1..8);
    let answer = prop::option::of(1..6_000usize);
    (
        0..5u16,
        prop_oneof![1..100usize, 100..8_000usize],
        sizes,
        prop::collection::vec(any::<u32>(), 64),
        prop::collection::vec(0..4usize, 64),
        answer,
    )
        .prop_map(|(client, len, sizes, order, workers, answer)| Said {
            client,
            len,
            sizes,
            order,
            workers,
            answer,
        })
}

impl Said {
    /// Sends a datagram, in fragments or whole. Returns all that leaves.
    fn send(
        &self,
        world: &mut World,
        port: PortId,
        ends: (SocketAddr, SocketAddr),
        (id, len): (u32, usize),
    ) -> Vec<Sent> {
        let count = world.workers.len();
        let whole = datagram(ends, len);
        let sizes = self.sizes.iter().copied().chain(std::iter::repeat(1_200));
        let pieces = cut(&whole, id, sizes);
        if pieces.len() == 1 {
            let at = queue(world, port, ends, self.workers[0] % count);
            return world.burst(at, &[(port, frame(port, &whole))]);
        }
        let mut pieces: Vec<_> = pieces.into_iter().zip(&self.order).zip(&self.workers).collect();
        pieces.sort_by_key(|((_, order), _)| **order);
        pieces
            .iter()
            .flat_map(|((piece, _), worker)| world.burst(*worker % count, &[(port, frame(port, piece))]))
            .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn all_of_a_flow_gets_to_one_server_and_back(
        method in select(Method::ALL),
        is_ipv6: bool,
        ports in select(vec![Ports::ByClient, Ports::ByFlow, Ports::Unknown]),
        workers in 1..=4usize,
        (wan, lan) in (select(vec![1_500, 1_500, 600]), select(vec![1_500, 1_500, 700])),
        talk in prop::collection::vec(said(), 1..12),
    ) {
        let mut plan = plan(method, is_ipv6, ports, workers);
        if !is_ipv6 {
            // The director fragments, also what is a fragment already.
            plan = plan.mtu(WAN, wan).mtu(LAN, lan);
        }
        let mut world = World::with(&plan, Setup { workers, ..Setup::default() });
        let mut servers = std::collections::HashMap::new();
        let (host, vip) = if is_ipv6 { ("[2001:db8:a::10]", "[2001:db8:1::100]:80") } else { ("203.0.113.10", "192.0.2.100:80") };
        let vip: SocketAddr = vip.parse().unwrap();
        for (said, id) in talk.iter().zip(1..) {
            let client: SocketAddr = format!("{host}:{}", 4_000 + said.client).parse().unwrap();
            let sent = said.send(&mut world, WAN, (client, vip), (id, said.len));
            let (whole, station) = received(&sent, method);
            let said_whole = datagram((client, vip), said.len);
            prop_assert!(whole.ends_with(&said_whole[said_whole.len() - said.len..]), "what was said");
            let (source, destination) = ends(&whole);
            prop_assert_eq!(*servers.entry(said.client).or_insert((station, source, destination)), (station, source, destination));
            prop_assert_eq!(source == client, !method.hides_clients());
            prop_assert_eq!(destination == vip, !method.rewrites_endpoints() && !method.marks());
            if let Some(len) = said.answer.filter(|_| method.sees_replies()) {
                let back = said.send(&mut world, LAN, (destination, source), (id, len));
                let (whole, _) = received(&back, Method::Nat);
                prop_assert_eq!(ends(&whole), (vip, client));
            }
        }
        let connections: u64 = (0..workers).map(|worker| world.counters(worker).connections()).sum();
        prop_assert_eq!(connections, servers.len() as u64, "one for each client");
        for worker in 0..workers {
            prop_assert_eq!(world.counters(worker).held(), 0);
            prop_assert_eq!(world.counters(worker).datagrams.get(), 0, "nothing is kept of what is complete");
            prop_assert_eq!(world.counters(worker).dropped_total(), 0);
        }
    }
}
