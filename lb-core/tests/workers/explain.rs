//! What an explanation says is what happens.

use crate::common::{any::*, frame::*, frame6::*, plan::*, world::*};
use etherparse::{Icmpv4Type, icmpv4::DestUnreachableHeader};
use lb_core::{
    conn::{
        entry::{Connection, Direction},
        state::State,
    },
    counters::DropReason,
    decide::{Act, Course, Decision, Origin, Then, known::Forwarded},
    explanation::{Explanation, Outcome},
    family::{V4, V6},
    flow::key::Key,
    ids::{ConnectionId, ServerId},
    memory::MemoryPacket,
    packet::{HandOver, Packet, PortId, WorkerId},
    service::plan::{Method, Role, SchedulerKind, ServerPlan},
    time::Duration,
    wire::ethernet,
    worker::exchange::Exchange,
};
use proptest::{prelude::*, sample::select};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    sync::Arc,
};

fn explain(world: &World, worker: usize, packet: &MemoryPacket, origin: Origin) -> Explanation {
    world.workers[worker].explain(world.now, packet, origin, &world.ios[worker])
}

/// The connections of a worker in a family, and where each is in its life.
fn connections_of<F: Forwarded>(world: &World, worker: usize) -> Connections<F> {
    let all = world.workers[worker].connections::<F>().iter(0..u32::MAX);
    let packets =
        |connection: &Connection<F>| [Direction::In, Direction::Out].map(|way| connection.packets(way));
    all.map(|(id, it)| (id, (it.forward_key(), it.server, it.state, packets(it)))).collect()
}

/// What is decided about connections is what becomes of them.
fn check_effect<F: Forwarded>(
    world: &World,
    worker: usize,
    decision: &Decision<F>,
    told: &Explanation,
    before: &Connections<F>,
) {
    let after = connections_of(world, worker);
    match decision.course {
        Course::Act(Act::Pass(pass)) => {
            let id = pass.hit.connection();
            let (key, server, _, packets) = before[&id];
            let mut expected = packets;
            expected[pass.hit.direction() as usize] += 1;
            assert_eq!(after[&id], (key, server, pass.state, expected), "{:#?}", told.steps);
            assert_eq!(after.len(), before.len());
        }
        // What becomes of it is decided when it has been taken note of.
        Course::Fragment(_) => {}
        Course::Act(_) => assert_eq!(&after, before, "{:#?}", told.steps),
        Course::End(end) if end.then == Then::Refuse => {
            assert!(!after.contains_key(&end.connection));
            assert_eq!(after.len() + 1, before.len());
        }
        Course::End(_) | Course::Open(_) | Course::Adopt(_) => {
            let opened = after.iter().filter(|(id, is)| before.get(id) != Some(is));
            // A connection is open although its first packet does not reach the next hop.
            let opens = match told.outcome {
                Outcome::Dropped(reason) => {
                    matches!(
                        reason,
                        DropReason::Unresolved | DropReason::WaitingFull | DropReason::NoHeadroom
                    )
                }
                Outcome::Sent { .. } | Outcome::Waits { .. } => true,
                _ => false,
            };
            let servers: Vec<ServerId> = opened.map(|(_, (_, server, ..))| *server).collect();
            assert_eq!(servers, Vec::from_iter(told.server.filter(|_| opens)), "{:#?}", told.steps);
        }
    }
}

type Connections<F> = BTreeMap<ConnectionId, (Key<F>, ServerId, State, [u64; 2])>;

/// What really becomes of a packet, as far as can be seen at once: an answer looks like any packet that is sent, and
/// one that waits is not seen at all.
fn happens(
    world: &mut World,
    worker: usize,
    packet: &MemoryPacket,
    (origin, traced): (Origin, Option<&Explanation>),
) -> Outcome {
    let counters = world.counters(worker);
    let read = || {
        let drops = DropReason::ALL.map(|reason| counters.dropped[reason as usize].get());
        let handed_over = HandOver::ALL.map(|why| counters.handed_over[why as usize].get());
        (drops, handed_over, counters.waiting.get(), counters.host.get(), counters.waiting_fragments.get())
    };
    let before = read();
    match traced {
        Some(told) => assert_eq!(&world.trace(worker, packet.clone(), origin), told, "another decision"),
        None => world.arrive(worker, packet.clone(), origin),
    }
    let after = read();
    let io = &world.ios[worker];
    let is_nd = |l3: &[u8]| l3[6] == 58 && matches!(l3.get(40), Some(135 | 136));
    let is_resolution = |frame: &[u8]| match ethernet::payload(frame) {
        Some((ethernet::ARP, _)) => true,
        Some((ethernet::IPV6, l3)) if frame.len() > l3 + 40 => is_nd(&frame[l3..]),
        _ => false,
    };
    if let Some(at) = (0..DropReason::ALL.len()).find(|&at| after.0[at] > before.0[at]) {
        return Outcome::Dropped(DropReason::ALL[at]);
    }
    let copied = HandOver::Shared as usize;
    if let Some(why) = (0..HandOver::ALL.len()).find(|&why| why != copied && after.1[why] > before.1[why]) {
        return Outcome::HandedOver(io.handed_over[0].0, HandOver::ALL[why]);
    }
    if after.3 > before.3 {
        return Outcome::Host;
    }
    if after.4 > before.4 {
        return Outcome::Held;
    }
    if after.2 > before.2 {
        return waits();
    }
    // Whatever waited for such a packet leaves before the answer to that does; questions leave after packets.
    let sent = if is_resolution(packet.bytes()) {
        io.transmitted.back()
    } else {
        io.transmitted.iter().find(|(_, sent)| !is_resolution(sent.bytes()))
    };
    let (port, sent) = sent.expect("every packet has an outcome");
    Outcome::Sent { port: *port, frame: sent.bytes().to_vec() }
}

/// The same, with what is decided about connections compared with what becomes of them.
fn happens_as_decided<F: Forwarded>(
    world: &mut World,
    worker: usize,
    packet: &MemoryPacket,
    traced: (Origin, Option<&Explanation>),
    told: &Explanation,
) -> Outcome {
    let decision = world.workers[worker].decide::<F>(world.now, packet, traced.0);
    let before = connections_of::<F>(world, worker);
    let happened = happens(world, worker, packet, traced);
    check_effect(world, worker, &decision, told, &before);
    happened
}

/// Whether a packet becomes one of the other family as it arrives, so that what is decided is decided about that.
fn becomes_another(world: &World, frame: &[u8], is_ipv6: bool) -> bool {
    let Some((ethernet::IPV4, l3)) = ethernet::payload(frame).filter(|_| !is_ipv6) else { return false };
    let to = frame.get(l3 + 16..l3 + 20).and_then(|to| to.first_chunk::<4>());
    to.is_some_and(|to| world.snapshot.is_translated(u32::from_be_bytes(*to)))
}

fn waits() -> Outcome {
    Outcome::Waits { port: PortId(0), next_hop: [0; 4].into(), frame: Vec::new() }
}

/// What an explanation says as far as it can be seen at once.
fn seen(outcome: Outcome, arrived_on: PortId) -> Outcome {
    match outcome {
        Outcome::Answered { frame } => Outcome::Sent { port: arrived_on, frame },
        Outcome::Waits { .. } => waits(),
        other => other,
    }
}

/// What arrives.
#[derive(Clone, Debug)]
enum Arriving {
    /// What a client says to a service, or a server to a client.
    Said { client: u16, port: u16, server: u8, is_in: bool, is_ipv6: bool, flags: u8 },
    /// Some frame.
    Frame(PortId, Vec<u8>),
}

impl Arriving {
    /// Conversations of few clients: they open, close and reset, and meet on the same servers from two services.
    fn conversation() -> impl Strategy<Value = Self> {
        let flags = select(vec![SYN, SYN | ACK, ACK, ACK, FIN | ACK, FIN | ACK, RST]);
        (0..2u16, select(vec![80, 81]), 11..13u8, any::<(bool, bool)>(), flags).prop_map(
            |(client, port, server, (is_in, is_ipv6), flags)| Arriving::Said {
                client,
                port,
                server,
                is_in,
                is_ipv6,
                flags,
            },
        )
    }

    /// As a frame. A server answers to what it sees in the place of the client.
    fn frame(self, world: &World) -> (PortId, Vec<u8>) {
        let (client, port, server, is_in, is_ipv6, flags) = match self {
            Arriving::Said { client, port, server, is_in, is_ipv6, flags } => {
                (4_000 + client, port, server, is_in, is_ipv6, flags)
            }
            Arriving::Frame(port, frame) => return (port, frame),
        };
        match (is_ipv6, is_in) {
            (false, true) => {
                let segment = tcp(&format!("203.0.113.10:{client}"), &format!("192.0.2.100:{port}"), flags);
                (WAN, segment.via_gateway())
            }
            (true, true) => {
                let ends = (format!("[2001:db8:a::10]:{client}"), format!("[2001:db8:1::100]:{port}"));
                (WAN, tcp6(&ends.0, &ends.1, flags).via_gateway())
            }
            (false, false) => {
                let from = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, server), 8_080);
                let to = match seen_by(world, (client, port), (*from.ip()).into()) {
                    Some(SocketAddr::V4(to)) => to,
                    _ => SocketAddrV4::new(CLIENT_IP, client),
                };
                (LAN, tcp_with(from, to, flags, b"").via_server())
            }
            (true, false) => {
                let from = SocketAddrV6::new(SERVERS6[usize::from(server - 11)], 8_080, 0, 0);
                let to = match seen_by(world, (client, port), (*from.ip()).into()) {
                    Some(SocketAddr::V6(to)) => to,
                    _ => SocketAddrV6::new(CLIENT6, client, 0, 0),
                };
                (LAN, tcp6_with(from, to, flags, b"").via_server())
            }
        }
    }
}

/// What a server sees in the place of a client that has a connection with it, under FullNAT.
fn seen_by(world: &World, ports: (u16, u16), server: IpAddr) -> Option<SocketAddr> {
    seen_in::<V4>(world, ports, server).or_else(|| seen_in::<V6>(world, ports, server))
}

fn seen_in<F: Forwarded>(
    world: &World,
    (client_port, vip_port): (u16, u16),
    server: IpAddr,
) -> Option<SocketAddr> {
    let all = world.workers.iter().flat_map(|worker| worker.connections::<F>().iter(0..u32::MAX));
    let mut found = all.map(|(_, it)| it).filter(|it| {
        (it.client_port, it.vip_port, F::ip(it.server_address)) == (client_port, vip_port, server)
    });
    let (address, port) = found.next()?.local()?;
    Some(SocketAddr::new(F::ip(address), port))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn what_is_explained_is_what_happens(
        mut plan in plan(),
        scheduler in select(SchedulerKind::ALL.to_vec()),
        weights in prop::collection::vec(0..4u32, 2),
        workers in 1..=3usize,
        connections in select(vec![1, 3, 100]),
        refusals_per_s in select(vec![1, 5, 1_000_000]),
        (is_silent, verified) in any::<(bool, bool)>(),
        waits_for in select(vec![(|_| false) as fn(&[u8]) -> bool, |_| true, |frame| frame.len() % 2 == 0]),
        frames in prop::collection::vec(
            (0..3usize, prop_oneof![
                Arriving::conversation(),
                any_frame().prop_map(|(port, frame)| Arriving::Frame(port, frame)),
            ], select(vec![Origin::Port, Origin::Worker]), prop_oneof![3 => Just(0), 1 => 0..100_000u64],
                prop::bool::weighted(0.1), any::<bool>()),
            1..40,
        ),
    ) {
        for at in [0, 2] {
            let mut other = plan.services[at].clone();
            other.port = 81;
            plan.services.push(other);
        }
        for service in &mut plan.services {
            service.scheduler = scheduler;
            for (server, weight) in service.servers.iter_mut().zip(&weights) {
                server.weight = *weight;
            }
        }
        plan.verify_checksums &= !verified;
        let mut world = World::with(&plan, Setup { workers, connections, refusals_per_s, ..Setup::default() });
        if is_silent {
            world.stations.clear();
        }
        world.ios.iter_mut().for_each(|io| io.waits_for = waits_for);
        for (worker, arriving, origin, wait_ms, changes, is_traced) in frames {
            let worker = worker % workers;
            world.now = world.now + Duration::from_millis(wait_ms);
            world.tick();
            world.board.sum_up(world.snapshot.servers.len());
            if changes {
                // One server of every service goes, or comes.
                for service in &mut plan.services {
                    let server = service.servers[0].clone();
                    match service.servers.len() {
                        1 => {
                            let other: IpAddr = if server.address.is_ipv4() {
                                SERVERS[usize::from(server.address == IpAddr::V4(SERVERS[0]))].into()
                            } else {
                                SERVERS6[usize::from(server.address == IpAddr::V6(SERVERS6[0]))].into()
                            };
                            service.servers.push(ServerPlan { address: other, ..server });
                        }
                        _ => drop(service.servers.remove(0)),
                    }
                }
                let next = world.workers[0].snapshot().successor(&plan, &|_| true).unwrap();
                let next = Arc::new(next);
                world.snapshot = next.clone();
                for (id, worker) in world.workers.iter_mut().enumerate() {
                    worker.exchange(world.now, Exchange::new(next.clone(), WorkerId(id as u16)));
                }
            }
            let (port, frame) = arriving.frame(&world);
            let packet = MemoryPacket::new(port, &frame);
            let told = explain(&world, worker, &packet, origin);
            prop_assert_eq!(&told, &explain(&world, worker, &packet, origin), "it changed something");
            let is_ipv6 = ethernet::payload(&frame).is_some_and(|(ethertype, _)| ethertype == ethernet::IPV6);
            let traced = (origin, is_traced.then_some(&told));
            let waiting = world.counters(worker).waiting_fragments.get();
            let happened = if becomes_another(&world, &frame, is_ipv6) {
                happens(&mut world, worker, &packet, traced)
            } else if is_ipv6 {
                happens_as_decided::<V6>(&mut world, worker, &packet, traced, &told)
            } else {
                happens_as_decided::<V4>(&mut world, worker, &packet, traced, &told)
            };
            // What has waited for a fragment goes along with it, and may end otherwise.
            let is_alone = world.counters(worker).waiting_fragments.get() >= waiting;
            prop_assert!(!is_alone || seen(told.outcome.clone(), port) == happened, "{:?}: {:#?}", happened, told.steps);
            let sent = world.settle();
            let answers = |next_hop| world.stations.iter().any(|station| station.address == next_hop);
            if let Outcome::Waits { port, next_hop, frame } = told.outcome && answers(next_hop) {
                let left = |sent: &Sent| sent.port == port && sent.frame[12..] == frame[12..];
                prop_assert!(sent.iter().any(left), "{:#?}", told.steps);
            }
        }
    }
}

/// All steps, a line each, under a title.
fn story(title: &str, world: &World, port: PortId, frame: &[u8]) -> String {
    let told =
        world.workers[0].explain(world.now, &MemoryPacket::new(port, frame), Origin::Port, &world.ios[0]);
    let steps = told.steps.iter().map(|step| format!("{:<11}{}\n", step.stage, step.text));
    format!("# {title}\n{}\n", steps.collect::<String>())
}

/// What operators read, word for word, is in `explain.txt`; `UPDATE_EXPECTED=1` writes it anew.
#[test]
fn stories_read_well() {
    let (client, vip) = ("203.0.113.10:4000", "192.0.2.100:80");
    let syn = tcp(client, vip, SYN).via_gateway();
    let ack = tcp(client, vip, ACK).via_gateway();
    let mut text = String::new();
    for &method in Method::ALL {
        let mut world = World::new(&two_servers(method));
        text += &story(&format!("{method}: a client opens a connection"), &world, WAN, &syn);
        world.receive(WAN, &syn);
        world.pass(1_500);
        text += &story(&format!("{method}: the client's next packet"), &world, WAN, &ack);
    }
    let mut world = World::with(&two_servers(Method::FullNat), Setup { workers: 2, ..Setup::default() });
    let sent = world.burst(0, &[(WAN, syn.clone())]);
    let back = tcp("198.51.100.11:8080", &sent[0].source(), SYN | ACK).via_server();
    world.workers.swap(0, sent[0].worker);
    text += &story("fullnat: the server's reply", &world, LAN, &back);
    world.workers.swap(0, sent[0].worker);
    let strangers = (20_000..).map(|port| {
        let reply = tcp("198.51.100.11:8080", &format!("198.51.100.20:{port}"), ACK).via_server();
        story("fullnat: a reply to another worker", &world, LAN, &reply)
    });
    text += &{ strangers }.find(|story| story.contains("handed over")).expect("half of them are");
    let mut world = World::new(&two_servers(Method::Nat));
    world.receive(WAN, &syn);
    let reply = tcp("198.51.100.11:8080", client, SYN | ACK).via_server();
    text += &story("nat: the server's reply", &world, LAN, &reply);
    world.receive(LAN, &reply);
    world.receive(WAN, &tcp(client, vip, RST).via_gateway());
    text += &story("nat: a SYN on a connection that is over", &world, WAN, &syn);
    text += &story(
        "an acknowledgement of no connection",
        &world,
        WAN,
        &tcp("203.0.113.9:1", vip, ACK).via_gateway(),
    );
    let unserved = tcp(client, "192.0.2.100:81", SYN).via_gateway();
    text += &story("a port without a service", &world, WAN, &unserved);
    let mut tenants = two_servers(Method::Nat);
    tenants.first().beside.from = vec!["203.0.113.0/24".parse().unwrap(), "198.18.0.0/15".parse().unwrap()];
    tenants.first().beside.on = vec!["wan".to_owned()];
    let tenants = World::new(&tenants);
    let from = |client: &str| tcp(client, "192.0.2.100:80", SYN).via_gateway();
    text += &story("a service for some clients", &tenants, WAN, &from(client));
    text += &story("services for other clients", &tenants, WAN, &from("198.20.0.1:4000"));
    text += &story("udp without a service", &world, WAN, &udp(client, vip, b"hello").via_gateway());
    text += &story("time to live runs out", &world, WAN, &tcp(client, vip, SYN).ttl(1).via_gateway());
    let large = tcp_with(endpoint("203.0.113.9:2"), endpoint(vip), SYN, &[7; 1470]);
    text += &story("larger than the way out", &world, WAN, &large.via_gateway());
    let mut narrow = World::new(&two_servers(Method::Nat).udp().mtu(LAN, 576));
    let large = udp("203.0.113.9:2", vip, &[7; 1400]).may_fragment().via_gateway();
    text += &story("larger than the way out, and may be fragmented", &narrow, WAN, &large);
    assert_eq!(narrow.receive(WAN, &large).len(), 3);
    let narrow = World::new(&two_servers(Method::Tun).udp().mtu(LAN, 580));
    let small = udp("203.0.113.9:2", vip, &[7; 548]).via_gateway();
    text += &story("a tunnel's packet is fragmented", &narrow, WAN, &small);
    text += &story("a stranger", &world, LAN, &tcp("198.51.100.99:9", client, ACK).via_server());
    text += &story("ping", &world, WAN, &echo(CLIENT_IP, VIP).via_gateway());
    text += &story("cut off", &world, WAN, &syn[..30]);
    let answer = tcp("198.51.100.11:8080", "198.51.100.1:40000", SYN | ACK).via_server();
    text += &story("nobody waits for it", &world, LAN, &answer);
    let quoted = udp("198.51.100.1:40000", "198.51.100.11:53", b"?");
    let unreachable = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port);
    let unreachable = icmp(SERVERS[0], [198, 51, 100, 1].into(), unreachable, &quoted.bytes()).via_server();
    world.ios[0].waits_for = |_| true;
    text += &story("a health check waits for it", &world, LAN, &answer);
    text += &story("a health check waits for an error", &world, LAN, &unreachable);

    let standby = World::new(&two_servers(Method::Nat).role(Role::Standby));
    text += &story("a client, on standby", &standby, WAN, &syn);
    let follows = World::new(&two_servers(Method::Nat).role(Role::Follow));
    text += &story("a client, of a VIP that the kernel does not have", &follows, WAN, &syn);
    let silence = two_servers(Method::Nat).unserved(VIP, lb_core::service::plan::Unserved::Drop);
    text += &story("a port without a service, silently", &World::new(&silence), WAN, &unserved);
    let mut drained = two_servers(Method::Nat);
    drained.first().servers.iter_mut().for_each(|server| server.weight = 0);
    text += &story("no server takes connections", &World::new(&drained), WAN, &syn);
    let setup = Setup { workers: 2, connections: 1, ..Setup::default() };
    let mut world = World::with(&two_servers(Method::Nat), setup);
    let mut strangers = (4_001..).map(|port| {
        let syn = tcp(&format!("203.0.113.10:{port}"), vip, SYN).via_gateway();
        story("another worker is the owner", &world, WAN, &syn)
    });
    text += &strangers.find(|story| story.contains("handed over")).expect("half of them are");
    world.receive(WAN, &syn);
    text += &story(
        "half-open connections make room",
        &world,
        WAN,
        &tcp("203.0.113.9:4000", vip, SYN).via_gateway(),
    );
    world.receive(LAN, &reply);
    world.receive(WAN, &ack);
    text += &story("the table is full", &world, WAN, &tcp("203.0.113.9:4000", vip, SYN).via_gateway());
    let world = World::silent(&two_servers(Method::Nat), Setup::default());
    text += &story("the next hop is yet to be found", &world, WAN, &syn);
    for (scheduler, weights) in
        [("wrr", [1, 2]), ("wlc", [1, 3]), ("lc", [1, 1]), ("mh", [2, 1]), ("lblc", [2, 1])]
    {
        let mut plan = two_servers(Method::Dr);
        plan.first().scheduler = scheduler.parse().unwrap();
        for (server, weight) in plan.first().servers.iter_mut().zip(weights) {
            server.weight = weight;
        }
        let mut world = World::new(&plan);
        world.receive(WAN, &tcp("203.0.113.9:1", vip, SYN).via_gateway());
        text += &story(&format!("{scheduler} chooses"), &world, WAN, &syn);
    }

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/workers/explain.txt");
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(path).unwrap(), "UPDATE_EXPECTED=1 writes it anew");
}
