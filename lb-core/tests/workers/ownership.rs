//! Who owns a flow: for every way in which ports may spread packets over workers, each connection's packets are
//! forwarded by one worker, and what had to be handed over for that is counted.

use crate::common::{
    frame::*,
    frame6::*,
    plan::*,
    read, sctp,
    world::{Setup, World, stations},
};
use lb_core::{
    packet::{HandOver, PortId},
    service::{
        key::Protocol,
        plan::{Method, Plan, Spread},
    },
};
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

const SPREADS: [Spread; 3] = [Spread::ByClient, Spread::ByFlow, Spread::Unknown];
const CLIENTS: u16 = 60;

/// The worker whose queue a port puts a packet into. `packet` tells packets of one flow apart.
fn queue(spread: Spread, port: PortId, from: &str, to: &str, packet: usize, workers: usize) -> usize {
    let client = if port == WAN { from } else { to };
    let mut hasher = DefaultHasher::new();
    match spread {
        Spread::ByClient => client.hash(&mut hasher),
        // Each port has a hash of its own, as far as the director knows.
        Spread::ByFlow => (port, from, to).hash(&mut hasher),
        Spread::Unknown => (from, to, packet).hash(&mut hasher),
    }
    hasher.finish() as usize % workers
}

/// A method with the families of clients and servers. Servers behind a tunnel, or under FullNAT, may be of the other one.
#[derive(Clone, Copy, Debug)]
struct Way {
    method: Method,
    protocol: Protocol,
    is_ipv6: bool,
    to_ipv6: bool,
}

impl Way {
    fn all() -> impl Iterator<Item = Way> {
        Way::of(Protocol::Tcp).chain(Way::of(Protocol::Sctp))
    }

    fn of(protocol: Protocol) -> impl Iterator<Item = Way> {
        let families = [(false, false), (true, true), (false, true), (true, false)];
        Method::ALL.iter().flat_map(move |&method| {
            let takes_either = matches!(method, Method::Tun | Method::FullNat);
            let fits = families.into_iter().filter(move |(own, other)| own == other || takes_either);
            fits.map(move |(is_ipv6, to_ipv6)| Way { method, protocol, is_ipv6, to_ipv6 })
        })
    }

    fn vip(self) -> &'static str {
        if self.is_ipv6 { "[2001:db8:1::100]:80" } else { "192.0.2.100:80" }
    }

    fn client(self, host: u16) -> String {
        let (last, port) = (host + 1, 4000 + host * 7);
        if self.is_ipv6 {
            format!("[2001:db8:a::{last:x}]:{port}")
        } else {
            format!("203.0.113.{last}:{port}")
        }
    }

    fn plan(self) -> Plan {
        let port = if self.method.rewrites_endpoints() { 8080 } else { 80 };
        let servers = if self.to_ipv6 {
            SERVERS6.map(|server| format!("[{server}]:{port}"))
        } else {
            SERVERS.map(|server| format!("{server}:{port}"))
        };
        let mut service = service(self.method, self.vip(), &[&servers[0], &servers[1]]);
        service.protocol = self.protocol;
        if self.method == Method::FullNat {
            service.local_addresses = vec![if self.to_ipv6 { LOCAL6.into() } else { LOCAL.into() }];
        }
        network6().with(service)
    }

    fn frame(self, port: PortId, from: &str, to: &str, flags: u8) -> Vec<u8> {
        let is_ipv6 = if port == WAN { self.is_ipv6 } else { from.starts_with('[') };
        if self.protocol == Protocol::Sctp {
            let (tag, chunk) = sctp::says(port == WAN, chunk_like(flags, port == WAN));
            return match (is_ipv6, port) {
                (false, WAN) => sctp::sctp(from, to, tag, &[chunk]).via_gateway(),
                (false, _) => sctp::sctp(from, to, tag, &[chunk]).via_server(),
                (true, WAN) => sctp::sctp6(from, to, tag, &[chunk]).via_gateway(),
                (true, _) => sctp::sctp6(from, to, tag, &[chunk]).via_server(),
            };
        }
        match (is_ipv6, port) {
            (false, WAN) => tcp(from, to, flags).via_gateway(),
            (false, _) => tcp(from, to, flags).via_server(),
            (true, WAN) => tcp6(from, to, flags).via_gateway(),
            (true, _) => tcp6(from, to, flags).via_server(),
        }
    }
}

/// What SCTP says where TCP says that.
fn chunk_like(flags: u8, is_client: bool) -> u8 {
    match flags {
        SYN => sctp::INIT,
        flags if flags & SYN != 0 => sctp::INIT_ACK,
        flags if flags & FIN != 0 && is_client => sctp::ABORT,
        flags if flags & FIN != 0 => sctp::SHUTDOWN,
        _ => sctp::DATA,
    }
}

/// What became of many connections.
struct Outcome {
    world: World,
    /// The workers that forwarded packets of each client's connection, each once.
    owners: HashMap<String, Vec<usize>>,
}

/// Whole connections of many clients, their packets interleaved.
fn run(way: Way, plan: &Plan, workers: usize) -> Outcome {
    run_on(way, plan, workers, false)
}

/// The same, where servers may be behind the clients' port.
fn run_on(way: Way, plan: &Plan, workers: usize, one_arm: bool) -> Outcome {
    let mut world = World::silent(plan, Setup { workers, ..Setup::default() });
    world.stations = stations();
    if one_arm {
        world.stations.iter_mut().for_each(|station| station.port = WAN);
    }
    world.pass(3_000);
    let method = way.method;
    // What the two sides say, in order. Under TUN, DR and L3DSR the server's half does not come by.
    let script = [
        (WAN, SYN),
        (LAN, SYN | ACK),
        (WAN, ACK),
        (WAN, ACK),
        (LAN, ACK),
        (LAN, FIN | ACK),
        (WAN, FIN | ACK),
        (WAN, SYN),
    ];
    let mut owners: HashMap<String, Vec<usize>> = HashMap::new();
    let mut servers: HashMap<String, (String, String)> = HashMap::new();
    for (number, (port, flags)) in script.into_iter().enumerate() {
        if port == LAN && !method.sees_replies() {
            continue;
        }
        for host in 0..CLIENTS {
            let client = way.client(host);
            let (from, to) = match port {
                WAN => (client.clone(), way.vip().to_string()),
                _ => servers[&client].clone(),
            };
            let mut frame = way.frame(port, &from, &to, flags);
            let port_of_frame = if one_arm { WAN } else { port };
            if one_arm {
                frame[..6].copy_from_slice(&WAN_MAC.0);
            }
            let spread = plan.ports[usize::from(port_of_frame.0)].spread;
            let at = queue(spread, port_of_frame, &from, &to, number, workers);
            let sent = world.burst(at, &[(port_of_frame, frame)]);
            assert_eq!(sent.len(), 1, "{client} {flags:#x}: every packet is forwarded");
            if port == WAN {
                let line = read::line(&sent[0].frame);
                let [from, _, to] = line.split(' ').collect::<Vec<_>>()[..3] else { panic!("{line}") };
                servers.insert(client.clone(), (to.to_string(), from.to_string()));
            }
            let owners = owners.entry(client).or_default();
            if !owners.contains(&sent[0].worker) {
                owners.push(sent[0].worker);
            }
        }
    }
    Outcome { world, owners }
}

/// What arrives where, for all ways of spreading and all numbers of workers.
fn each_setup(way: Way, mut check: impl FnMut(Spread, Spread, usize, &Outcome)) {
    for wan in SPREADS {
        for lan in SPREADS {
            for workers in 1..=4 {
                let outcome = run(way, &way.plan().spread(wan, lan), workers);
                check(wan, lan, workers, &outcome);
            }
        }
    }
}

/// Hand-overs for a reason: as counted, and as the harness saw them.
fn hand_overs(world: &World, why: HandOver, port: PortId) -> u64 {
    let mac = if port == WAN { WAN_MAC } else { LAN_MAC };
    // Beside them pass questions about neighbours.
    let is_ours = |frame: &[u8]| match frame[12..14] {
        [8, 0] => matches!(frame[23], 6 | 132),
        _ => frame[12..14] == [0x86, 0xdd] && matches!(frame[20], 6 | 132),
    };
    let is_flow = |frame: &[u8]| is_ours(frame) && read::stations(frame).0 == mac;
    let seen = world.handed_over.iter().filter(|handed| is_flow(&handed.frame)).count() as u64;
    assert_eq!(world.handed_over_for(why), seen, "{why:?}");
    seen
}

#[test]
fn every_connection_has_one_owner() {
    for way in Way::all() {
        each_setup(way, |wan, lan, workers, outcome| {
            for (client, owners) in &outcome.owners {
                assert_eq!(owners.len(), 1, "{way:?} {wan:?} {lan:?}, {workers} workers: {client}");
            }
            let counters = (0..workers).map(|worker| outcome.world.counters(worker));
            let total: u64 = counters.map(|counters| counters.created.get()).sum();
            // The last SYN comes when each has closed, and opens it anew.
            assert_eq!(total, 2 * u64::from(CLIENTS), "no connection was opened twice");
            let used =
                (0..workers).filter(|&worker| outcome.owners.values().any(|owners| owners[0] == worker));
            assert_eq!(used.count(), workers, "every worker has some");
        });
    }
}

#[test]
fn hand_overs_are_counted_by_reason() {
    for way in Way::all() {
        each_setup(way, |wan, lan, workers, Outcome { world, .. }| {
            let from_clients = hand_overs(world, HandOver::Client, WAN);
            let replies = hand_overs(world, HandOver::Reply, LAN);
            let taken: u64 = (0..workers).map(|worker| world.counters(worker).taken_over.get()).sum();
            assert_eq!(taken, world.handed_over.len() as u64);
            let setup = format!("{way:?} {wan:?} {lan:?}, {workers} workers");
            let both = wan == Spread::ByClient && lan == Spread::ByClient;
            let (clients_arrive, replies_arrive) = match way.method {
                // Ports may have any idea of how to spread SCTP, so none is relied on.
                _ if way.protocol == Protocol::Sctp => (false, !way.method.sees_replies()),
                Method::Nat => (both, both),
                Method::Tun | Method::Dr | Method::L3Dsr | Method::Snat => (wan != Spread::Unknown, true),
                // No table is known, so nobody knows where replies to a port would arrive.
                Method::FullNat => (wan != Spread::Unknown, false),
            };
            assert_eq!(from_clients == 0, workers == 1 || clients_arrive, "{setup}");
            assert_eq!(replies == 0, workers == 1 || replies_arrive, "{setup}");
        });
    }
}

/// Clients and servers behind one port, which cannot tell directions apart.
#[test]
fn every_connection_of_one_arm_has_one_owner() {
    for way in Way::all() {
        for spread in [Spread::ByFlow, Spread::Unknown] {
            for workers in 1..=4 {
                let plan = way.plan().spread(spread, spread).one_arm();
                let outcome = run_on(way, &plan, workers, true);
                for (client, owners) in &outcome.owners {
                    assert_eq!(owners.len(), 1, "{way:?} {spread:?}, {workers} workers: {client}");
                }
            }
        }
    }
}

#[test]
fn a_full_ring_drops_and_counts() {
    let plan = two_servers(Method::Nat);
    let mut world = World::with(&plan, Setup { workers: 2, ..Setup::default() });
    for io in &mut world.ios {
        io.ring = 3;
    }
    let frames: Vec<_> = (1..=60)
        .map(|port| (WAN, tcp(&format!("203.0.113.10:{port}"), "192.0.2.100:80", SYN).via_gateway()))
        .collect();
    let sent = world.burst(0, &frames);
    let dropped = world.dropped(lb_core::counters::DropReason::RingFull);
    assert_eq!(world.handed_over_for(HandOver::Client), 3);
    assert_eq!(sent.len() as u64 + dropped, 60);
    assert!(dropped > 10);
}

#[test]
fn an_error_finds_its_connection_on_whichever_worker_it_is() {
    for way in Way::all() {
        for workers in 2..=4 {
            let mut world = World::with(&way.plan(), Setup { workers, ..Setup::default() });
            let client = way.client(9);
            world.burst(0, &[(WAN, way.frame(WAN, &client, way.vip(), SYN))]);
            let error = too_big(way, &client);
            for worker in 0..workers {
                let sent = world.burst(worker, &[(WAN, error.clone())]);
                assert_eq!(sent.len(), 1, "{way:?} at worker {worker}");
            }
        }
    }
}

/// A router towards the client says that a packet of the VIP's was too large.
fn too_big(way: Way, client: &str) -> Vec<u8> {
    if way.is_ipv6 {
        let quote = match way.protocol {
            Protocol::Sctp => sctp::of_server6(way.vip(), client, sctp::DATA).bytes(),
            _ => tcp6(way.vip(), client, ACK).bytes(),
        };
        let message = etherparse::Icmpv6Type::PacketTooBig { mtu: 1300 };
        return icmp6("2001:db8:ff::1".parse().unwrap(), VIP6, message, &quote).via_gateway();
    }
    let quote = match way.protocol {
        Protocol::Sctp => sctp::of_server(way.vip(), client, sctp::DATA).bytes(),
        _ => tcp(way.vip(), client, ACK).bytes(),
    };
    let unreachable = etherparse::Icmpv4Type::DestinationUnreachable(
        etherparse::icmpv4::DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1300 },
    );
    icmp("198.18.0.1".parse().unwrap(), VIP, unreachable, &quote).via_gateway()
}

#[test]
fn what_one_worker_hears_of_a_neighbour_all_know() {
    let mut world = World::silent(&one_server(Method::Nat), Setup { workers: 4, ..Setup::default() });
    world.tick();
    let reply = arp_reply((SERVER_MACS[0], SERVERS[0]), (LAN_MAC, "198.51.100.1".parse().unwrap()));
    world.burst(2, &[(LAN, reply)]);
    assert_eq!(world.handed_over_for(HandOver::Shared), 3);
    let knows = |world: &World, worker: usize| {
        world.workers[worker].neighbours().iter().any(|(_, neighbour)| neighbour.mac == SERVER_MACS[0])
    };
    assert!((0..4).all(|worker| knows(&world, worker)));
}
