//! FullNAT: whose a reply is, which local ports connections take, and what becomes of local addresses.

use crate::common::{
    frame::*,
    plan::*,
    read,
    world::{Sent, Setup, Station, World},
};
use etherparse::{Icmpv4Type, icmpv4::DestUnreachableHeader};
use lb_core::{
    conn::{entry::Connection, saved::Saved, state::State},
    counters::DropReason,
    family::V4,
    flow::{local_port::LocalPorts, owner::by_client_rss},
    packet::{HandOver, PortId, WorkerId},
    service::plan::{Mac, Method, Plan, SchedulerKind, Spread},
    time::Duration,
    worker::life::Lost,
};
use proptest::{prelude::*, sample::select};
use std::{collections::HashSet, net::Ipv4Addr};

const SERVICE: &str = "192.0.2.100:80";
const OTHER_LOCAL: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 21);

fn datagram(client: u32) -> Vec<u8> {
    let host = 20 + client / 50_000;
    udp(&format!("203.0.113.{host}:{}", 10_000 + client % 50_000), SERVICE, b"?").via_gateway()
}

/// What a packet to a server comes from.
fn local_of(sent: &Sent) -> (Ipv4Addr, u16) {
    let source: std::net::SocketAddrV4 = sent.source().parse().unwrap();
    (*source.ip(), source.port())
}

fn locals(plan: &mut Plan, addresses: &[Ipv4Addr]) {
    plan.first().local_addresses = addresses.iter().map(|&address| address.into()).collect();
}

/// For every way in which ports may spread packets and any number of workers: a reply finds the worker that has the
/// connection, and comes to it by itself where ports deliver it by the local address and port.
#[test]
fn a_reply_belongs_to_the_worker_that_has_the_connection() {
    for spread in [Spread::Unknown, Spread::ByFlow, Spread::ByClient] {
        for table in [0, 128, 512] {
            for workers in 1..=16 {
                let mut plan = two_servers(Method::FullNat).spread(spread, spread);
                plan.redirection_len = table;
                let mut world = World::with(&plan, Setup { workers, ..Setup::default() });
                for number in 0..64 {
                    let client = format!("203.0.113.10:{}", 4_000 + number);
                    let at = number % workers;
                    let sent = world.burst(at, &[(WAN, tcp(&client, SERVICE, SYN).via_gateway())]);
                    let ((address, port), owner) = (local_of(&sent[0]), sent[0].worker);
                    let delivers = spread == Spread::ByClient && table > 0;
                    let arrives_at = match delivers {
                        true => usize::from(by_client_rss::<V4>(address.to_bits(), port, table, workers).0),
                        false => (number * 7 + 3) % workers,
                    };
                    assert!(!delivers || arrives_at == owner, "{spread:?}, {workers} workers");
                    let server = format!("198.51.100.{}:8080", sent[0].server());
                    let reply = tcp(&server, &format!("{address}:{port}"), SYN | ACK).via_server();
                    let before = world.handed_over_for(HandOver::Reply);
                    let sent = world.burst(arrives_at, &[(LAN, reply)]);
                    let line = format!("wan: {SERVICE} > {client} tcp syn ack ttl 63");
                    assert_eq!((sent[0].line(), sent[0].worker), (line, owner));
                    let handed_over = world.handed_over_for(HandOver::Reply) - before;
                    assert_eq!(handed_over, u64::from(arrives_at != owner));
                }
            }
        }
    }
}

#[test]
fn sixty_thousand_connections_have_one_local_address_and_server() {
    let mut plan = one_server(Method::FullNat).udp();
    plan.verify_checksums = false;
    let mut world = World::with(&plan, Setup { connections: 100_000, ..Setup::default() });
    let arriving = |clients: std::ops::Range<u32>| clients.map(|client| (WAN, datagram(client)));
    let sent = world.burst(0, &arriving(0..60_000).collect::<Vec<_>>());
    assert_eq!(world.counters(0).ports_exhausted.get(), 0);
    let locals: HashSet<_> = sent.iter().map(local_of).collect();
    assert_eq!(locals.len(), 60_000, "no two connections have one port");
    assert!(locals.iter().all(|(address, port)| *address == LOCAL && *port >= 1_024));
    // Beyond that, searches are short, and those that find nothing are counted.
    world.burst(0, &arriving(60_000..66_000).collect::<Vec<_>>());
    let (created, refused) = (world.counters(0).created.get(), world.counters(0).ports_exhausted.get());
    assert_eq!(created + refused, 66_000);
    assert!(created <= 64_512 && refused >= 1_488);
}

/// Openings were refused once with 72 % of the ports taken, since each lap of the search met the same addresses; and with
/// 91 %, since every other word that was tried met one of two addresses only.
#[test]
fn nobody_is_refused_before_fourteen_of_fifteen_ports_are_taken() {
    /// More take too long.
    const MOST: u32 = 130_000;
    for (workers, table) in [(1, 0), (2, 128), (3, 512), (4, 0), (16, 128)] {
        for count in [1, 2, 3, 8] {
            let addresses: Vec<Ipv4Addr> =
                (20..20 + count).map(|last| Ipv4Addr::new(198, 51, 100, last)).collect();
            let mut plan = one_server(Method::FullNat).udp().spread(Spread::ByClient, Spread::ByClient);
            plan.redirection_len = table;
            if table == 0 {
                plan = plan.spread(Spread::ByFlow, Spread::ByFlow);
            }
            plan.verify_checksums = false;
            locals(&mut plan, &addresses);
            let at = workers - 1;
            let delivered = (table > 0).then_some(table);
            let ports = LocalPorts::new(WorkerId(at as u16), workers, delivered).len();
            let clients = ports * u32::from(count) / 15 * 14;
            if clients > MOST {
                continue;
            }
            let mut world =
                World::with(&plan, Setup { workers, connections: MOST as usize, ..Setup::default() });
            let arriving: Vec<_> = (0..clients).map(|client| (WAN, datagram(client))).collect();
            world.burst(at, &arriving);
            let counters = world.counters(at);
            let (created, refused) = (counters.created.get(), counters.ports_exhausted.get());
            assert_eq!((created, refused), (clients.into(), 0), "{workers}, {table}, {count} addresses");
        }
    }
}

#[test]
fn who_finds_no_port_is_told_and_counted() {
    for is_tcp in [true, false] {
        // A hundred workers, so that each has few ports.
        let mut plan = two_servers(Method::FullNat).spread(Spread::ByFlow, Spread::ByFlow);
        if !is_tcp {
            plan = plan.udp();
        }
        plan.first().servers[1].weight = 0;
        let mut world = World::with(&plan, Setup { workers: 100, ..Setup::default() });
        let packet = |client: u16| {
            let from = format!("203.0.113.10:{}", 1_000 + client);
            (WAN, if is_tcp { tcp(&from, SERVICE, SYN) } else { udp(&from, SERVICE, b"?") }.via_gateway())
        };
        let sent = world.burst(7, &(0..800).map(packet).collect::<Vec<_>>());
        let (passed, answered): (Vec<_>, Vec<_>) = sent.iter().partition(|sent| sent.port == LAN);
        let counters = world.counters(7);
        assert!((590..=646).contains(&passed.len()), "15 of 16 ports at least: {}", passed.len());
        assert_eq!(counters.ports_exhausted.get(), 800 - passed.len() as u64);
        assert_eq!(answered.len(), 800 - passed.len(), "each is told");
        let refusals = if is_tcp { &counters.resets } else { &counters.icmp_errors };
        assert_eq!(refusals.get(), answered.len() as u64);
        // A port is used again towards another server.
        plan.first().servers[1].weight = 1;
        plan.first().servers[0].weight = 0;
        world.exchange(&plan);
        let again = world.burst(7, &(1_000..1_500).map(packet).collect::<Vec<_>>());
        assert!(again.iter().all(|sent| sent.server() == 12));
        let ports = |sent: &[&Sent]| sent.iter().map(|sent| local_of(sent)).collect::<HashSet<_>>();
        let (first, second) = (ports(&passed), ports(&again.iter().collect::<Vec<_>>()));
        assert!(first.intersection(&second).count() > 400);
    }
}

#[test]
fn two_local_addresses_have_twice_the_ports() {
    let mut plan = one_server(Method::FullNat).udp().spread(Spread::ByFlow, Spread::ByFlow);
    locals(&mut plan, &[LOCAL, OTHER_LOCAL]);
    let mut world = World::with(&plan, Setup { workers: 100, connections: 2_000, ..Setup::default() });
    let sent = world.burst(3, &(0..1_180).map(|client| (WAN, datagram(client))).collect::<Vec<_>>());
    assert_eq!(world.counters(3).ports_exhausted.get(), 0);
    let of = |local| sent.iter().filter(|sent| local_of(sent).0 == local).count();
    assert!(of(LOCAL).abs_diff(of(OTHER_LOCAL)) < 60, "{} and {}", of(LOCAL), of(OTHER_LOCAL));
}

/// Whether a frame that asks for an address is answered.
fn answers_for(world: &mut World, address: Ipv4Addr) -> bool {
    let asking = arp_request((SERVER_MACS[0], SERVERS[0]), address);
    let lines = world.lines(LAN, &asking);
    lines.contains(&format!("lan: arp to {}: {address} is at {LAN_MAC}", SERVERS[0]))
}

#[test]
fn a_local_address_that_is_removed_serves_its_connections_until_they_end() {
    let mut plan = one_server(Method::FullNat);
    let mut world = World::new(&plan);
    let client = "203.0.113.10:4000";
    let sent = world.receive(WAN, &tcp(client, SERVICE, SYN).via_gateway());
    let (address, port) = local_of(&sent[0]);
    assert_eq!(address, LOCAL);
    let reply = || tcp("198.51.100.11:8080", &format!("{address}:{port}"), SYN | ACK).via_server();

    locals(&mut plan, &[OTHER_LOCAL]);
    world.exchange(&plan);
    assert_eq!(world.lines(LAN, &reply()), [format!("wan: {SERVICE} > {client} tcp syn ack ttl 63")]);
    assert!(answers_for(&mut world, LOCAL) && answers_for(&mut world, OTHER_LOCAL));
    let other = world.receive(WAN, &tcp("203.0.113.10:4001", SERVICE, SYN).via_gateway());
    assert_eq!(local_of(&other[0]).0, OTHER_LOCAL);
    // It stays as long as a connection has it, through any number of changes.
    for _ in 0..3 {
        world.exchange(&plan);
        assert!(answers_for(&mut world, LOCAL));
    }
    world.pass(200_000);
    world.exchange(&plan);
    assert!(!answers_for(&mut world, LOCAL) && answers_for(&mut world, OTHER_LOCAL));
    assert!(world.receive(LAN, &reply()).is_empty());
    assert_eq!(world.dropped(DropReason::NotForUs), 1);
    // And may come back.
    locals(&mut plan, &[LOCAL]);
    world.exchange(&plan);
    assert!(answers_for(&mut world, LOCAL));
}

/// A client that uses its port again, after both sides have closed, gets a new connection; the port of the old one is free.
#[test]
fn a_tuple_in_time_wait_is_used_again() {
    let mut plan = one_server(Method::FullNat);
    plan.first().timeouts.set(State::TimeWait, Duration::from_secs(60));
    let mut world = World::new(&plan);
    let client = "203.0.113.10:4000";
    let mut locals = HashSet::new();
    for round in 0..50 {
        let sent = world.receive(WAN, &tcp(client, SERVICE, SYN).via_gateway());
        let seen = sent[0].source();
        locals.insert(seen.clone());
        for (flags, is_request) in [(SYN | ACK, false), (ACK, true), (FIN | ACK, false), (FIN | ACK, true)] {
            let (port, frame, line) = match is_request {
                true => (
                    WAN,
                    tcp(client, SERVICE, flags).via_gateway(),
                    format!("lan: {seen} > 198.51.100.11:8080"),
                ),
                false => (
                    LAN,
                    tcp("198.51.100.11:8080", &seen, flags).via_server(),
                    format!("wan: {SERVICE} > {client}"),
                ),
            };
            let lines = world.lines(port, &frame);
            assert!(lines.len() == 1 && lines[0].starts_with(&line), "round {round}: {lines:?}");
        }
        let states: Vec<State> = world.connections().iter().map(|connection| connection.state).collect();
        assert_eq!(states, [State::TimeWait], "round {round}");
    }
    assert!(locals.len() > 40, "servers meet other ports, whose connections they do not remember");
    assert_eq!(world.counters(0).ports_exhausted.get(), 0);
}

#[test]
fn a_server_that_is_drained_keeps_its_connections_and_their_ports() {
    let mut plan = two_servers(Method::FullNat);
    plan.first().servers[1].weight = 0;
    let mut world = World::new(&plan);
    let client = "203.0.113.10:4000";
    let before = world.receive(WAN, &tcp(client, SERVICE, SYN).via_gateway()).remove(0);
    assert_eq!(before.server(), 11);
    plan.first().servers[0].weight = 0;
    plan.first().servers[1].weight = 1;
    world.exchange(&plan);
    let reply = tcp("198.51.100.11:8080", &before.source(), SYN | ACK).via_server();
    assert_eq!(world.lines(LAN, &reply), [format!("wan: {SERVICE} > {client} tcp syn ack ttl 63")]);
    let after = world.receive(WAN, &tcp(client, SERVICE, ACK).via_gateway()).remove(0);
    assert_eq!((after.server(), after.source()), (11, before.source()));
    let other = world.receive(WAN, &tcp("203.0.113.10:4001", SERVICE, SYN).via_gateway()).remove(0);
    assert_eq!(other.server(), 12);
}

#[test]
fn under_every_scheduler_replies_come_back_to_their_clients() {
    for &scheduler in SchedulerKind::ALL {
        let mut plan = two_servers(Method::FullNat);
        plan.first().scheduler = scheduler;
        let mut world = World::new(&plan);
        let mut locals = HashSet::new();
        for number in 0..40 {
            let client = format!("203.0.113.{}:4000", 10 + number);
            let sent = world.receive(WAN, &tcp(&client, SERVICE, SYN).via_gateway()).remove(0);
            assert!(locals.insert((sent.server(), sent.source())), "{scheduler}");
            let server = format!("198.51.100.{}:8080", sent.server());
            let reply = tcp(&server, &sent.source(), SYN | ACK).via_server();
            let line = format!("wan: {SERVICE} > {client} tcp syn ack ttl 63");
            assert_eq!(world.lines(LAN, &reply), [line], "{scheduler}");
        }
    }
}

#[test]
fn clients_and_servers_may_be_behind_one_port() {
    let mut plan = Plan { routes: Vec::new(), ..one_server(Method::FullNat) };
    let lan = plan.interfaces.remove(0);
    plan.interfaces[0].addresses.extend(lan.addresses);
    let mut world = World::silent(&plan, Setup::default());
    let client_mac = Mac([2, 0, 0, 0, 9, 9]);
    world.stations = vec![
        Station { port: WAN, address: [198, 51, 100, 77].into(), mac: client_mac },
        Station { port: WAN, address: SERVERS[0].into(), mac: SERVER_MACS[0] },
    ];
    world.pass(3_000);
    // The client is the server's neighbour: under NAT its answer would not come by.
    let frame = |packet: Ip, from: Mac| ethernet(WAN_MAC, from, 0x0800, &packet.bytes());
    let syn = frame(tcp("198.51.100.77:4000", SERVICE, SYN), client_mac);
    let sent = world.receive(WAN, &syn);
    let (address, port) = local_of(&sent[0]);
    assert_eq!((address, read::stations(&sent[0].frame)), (LOCAL, (SERVER_MACS[0], WAN_MAC)));
    let reply = tcp("198.51.100.11:8080", &format!("{LOCAL}:{port}"), SYN | ACK);
    let sent = world.receive(WAN, &frame(reply, SERVER_MACS[0]));
    assert_eq!(sent[0].line(), format!("wan: {SERVICE} > 198.51.100.77:4000 tcp syn ack ttl 63"));
    assert_eq!(read::stations(&sent[0].frame), (client_mac, WAN_MAC));
}

#[test]
fn a_stray_to_a_local_address_is_reset_and_a_ping_answered() {
    let mut world = World::new(&one_server(Method::FullNat));
    let stray = |from: &str| tcp(from, "198.51.100.20:40000", ACK);
    let reset = "lan: 198.51.100.20:40000 > 198.51.100.11:8080 tcp rst ttl 64";
    assert_eq!(world.lines(LAN, &stray("198.51.100.11:8080").via_server()), [reset]);
    assert!(world.receive(WAN, &stray("203.0.113.10:4000").via_gateway()).is_empty());
    assert_eq!(world.dropped(DropReason::WrongPort), 1, "no server is there");
    let ping = echo(SERVERS[0], LOCAL).via_server();
    assert_eq!(world.lines(LAN, &ping), ["lan: 198.51.100.20 > 198.51.100.11 icmp echo reply ttl 64"]);
}

/// Errors find the worker by the port in the quoted packet, without copies for all.
#[test]
fn an_error_about_a_request_finds_its_connection() {
    let plan = one_server(Method::FullNat).spread(Spread::ByFlow, Spread::ByFlow);
    for workers in [2, 5] {
        let mut world = World::with(&plan, Setup { workers, ..Setup::default() });
        let client = "203.0.113.10:4000";
        let sent = world.burst(1, &[(WAN, tcp(client, SERVICE, SYN).via_gateway())]);
        let (quote, shared) =
            (read::ipv4_packet(&sent[0].frame).unwrap(), world.handed_over_for(HandOver::Shared));
        let kind = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1_300 };
        let router = Ipv4Addr::new(198, 18, 0, 1);
        let error = icmp(router, LOCAL, Icmpv4Type::DestinationUnreachable(kind), quote).via_server();
        for worker in 0..workers {
            let sent = world.burst(worker, &[(LAN, error.clone())]);
            let expected = "wan: 192.0.2.100 > 203.0.113.10 icmp too big for 1300 [203.0.113.10:4000 > 192.0.2.100:80 \
                 tcp syn ttl 63] ttl 63";
            assert_eq!(sent.iter().map(Sent::line).collect::<Vec<_>>(), [expected], "at worker {worker}");
        }
        assert_eq!(world.handed_over_for(HandOver::Reply), workers as u64 - 1);
        assert_eq!(world.handed_over_for(HandOver::Shared), shared);
    }
}

#[test]
fn a_connection_goes_on_in_the_next_run_where_its_replies_come() {
    let plan = two_servers(Method::FullNat).spread(Spread::ByFlow, Spread::ByFlow);
    let run = |plan: &Plan, workers| World::with(plan, Setup { workers, ..Setup::default() });
    let mut before = run(&plan, 3);
    let sent: Vec<Sent> = (0..30)
        .map(|client| {
            let syn = tcp(&format!("203.0.113.10:{}", 1_000 + client), SERVICE, SYN).via_gateway();
            before.burst(client % 3, &[(WAN, syn)]).remove(0)
        })
        .collect();
    let left: Vec<Vec<Saved>> =
        before.workers.iter().map(|worker| worker.saved(before.now).collect()).collect();

    let mut after = run(&plan, 3);
    for (at, saved) in left.iter().enumerate() {
        for saved in saved {
            let was = Some(WorkerId(at as u16));
            let now = after.now;
            assert_eq!(after.workers[at].restore(now, saved, was), Ok(()));
        }
    }
    after.check();
    for (client, sent) in sent.iter().enumerate() {
        let (address, port) = local_of(sent);
        let server = format!("198.51.100.{}:8080", sent.server());
        let reply = tcp(&server, &format!("{address}:{port}"), SYN | ACK).via_server();
        let back = after.burst(0, &[(LAN, reply)]);
        let line = format!("wan: {SERVICE} > 203.0.113.10:{} tcp syn ack ttl 63", 1_000 + client);
        assert_eq!((back[0].line(), back[0].worker), (line, client % 3));
    }
    // With another number of workers, nobody knows where requests arrive; one has all.
    let now = after.now;
    let mut two = run(&plan, 2);
    assert_eq!(two.workers[0].restore(now, &left[0][0], None), Err(Lost::Elsewhere));
    let mut one = run(&plan, 1);
    assert_eq!(one.workers[0].restore(now, &left[2][0], None), Ok(()));
    let mut elsewhere = plan.clone();
    locals(&mut elsewhere, &[OTHER_LOCAL]);
    let mut moved = run(&elsewhere, 1);
    assert_eq!(moved.workers[0].restore(now, &left[0][0], None), Err(Lost::NoLocalAddress));
}

/// What may happen to a director with few ports.
#[derive(Clone, Debug)]
enum Event {
    /// That many new clients send datagrams.
    Open(u32),
    /// Clients with numbers from there on send again.
    Again(u32),
    /// Time passes, in seconds.
    Pass(u64),
    /// These local addresses are configured.
    Locals(Vec<Ipv4Addr>),
}

fn event() -> impl Strategy<Value = Event> {
    let sets = vec![vec![LOCAL], vec![OTHER_LOCAL], vec![LOCAL, OTHER_LOCAL]];
    prop_oneof![
        4 => (1..300u32).prop_map(Event::Open),
        2 => (0..600u32).prop_map(Event::Again),
        2 => select(vec![1u64, 60, 200, 301, 3_600]).prop_map(Event::Pass),
        1 => select(sets).prop_map(Event::Locals),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Over hours, with few ports: no two connections with a server have one local address and port, none is taken while its
    /// connection is remembered, those that are free again are used again, and whoever finds none is counted.
    #[test]
    fn a_port_has_one_connection_with_a_server(events in prop::collection::vec(event(), 1..24)) {
        let mut plan = two_servers(Method::FullNat).udp().spread(Spread::ByFlow, Spread::ByFlow);
        let mut world = World::with(&plan, Setup { workers: 128, connections: 4_000, ..Setup::default() });
        let (mut opened, mut configured) = (0, vec![LOCAL]);
        for event in events {
            let clients: Vec<u32> = match event {
                Event::Open(count) => {
                    opened += count;
                    (opened - count..opened).collect()
                }
                Event::Again(from) => (from..opened.min(from + 50)).collect(),
                Event::Pass(seconds) => {
                    // Ticks are for what is due, which is most of this.
                    world.now = world.now + Duration::from_secs(seconds.saturating_sub(2));
                    world.pass(2_000);
                    vec![]
                }
                Event::Locals(addresses) => {
                    locals(&mut plan, &addresses);
                    world.exchange(&plan);
                    configured = addresses;
                    vec![]
                }
            };
            let frames: Vec<(PortId, Vec<u8>)> =
                clients.iter().map(|&client| (WAN, datagram(client))).collect();
            let (held, refused) = (world.connections().len(), world.counters(9).ports_exhausted.get());
            let sent = world.burst(9, &frames);
            let refused = world.counters(9).ports_exhausted.get() - refused;
            let passed = sent.iter().filter(|sent| sent.port == LAN).count() as u64;
            prop_assert_eq!(passed + refused, clients.len() as u64);
            let connections = world.connections();
            let replies: HashSet<_> = connections.iter().map(Connection::reply_key).collect();
            prop_assert_eq!(replies.len(), connections.len());
            // A worker has 500 ports of each address towards each of both servers, less one in sixteen.
            let room = 460 * configured.len();
            prop_assert!(refused == 0 || held + clients.len() > room, "{} refused of {}", refused, room);
        }
    }
}
