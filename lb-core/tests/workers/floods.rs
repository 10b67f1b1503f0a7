//! Floods from forged sources: real connections are opened and kept meanwhile.

use crate::common::{frame::*, plan::*, world::*};
use etherparse::{Icmpv4Type, icmpv4::DestUnreachableHeader};
use lb_core::{
    counters::DropReason,
    family::V4,
    packet::{HandOver, PortId},
    service::plan::{Method, Plan, Protocol},
};

/// Entries of the table: a flood fills it in one and a half seconds.
const CONNECTIONS: usize = 5_000;
/// Forged packets, or pairs of them, in a step of ten milliseconds: 3,300 a second.
const FORGED: u32 = 33;
const STEP_MS: u64 = 10;
/// Real clients, who come one after the other.
const CLIENTS: u16 = 200;
/// How long each of them talks, and how often.
const TALKS_FOR_MS: u64 = 4_000;
const TALKS_EVERY_MS: u64 = 400;

const WEB: &str = "192.0.2.100:80";
const UNREACHABLE: Icmpv4Type = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port);

/// A web service, and a name service on the same servers.
fn plan(method: Method) -> Plan {
    let mut dns = service(method, "192.0.2.101:53", &["198.51.100.11:53", "198.51.100.12:53"]);
    dns.protocol = Protocol::Udp;
    two_servers(method).with(dns)
}

/// What the `number`th forged source sends.
type Flood = fn(u32) -> Vec<(PortId, Vec<u8>)>;

fn source(number: u32) -> String {
    let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 + number);
    format!("{address}:{}", 1_024 + number % 60_000)
}

fn datagrams(number: u32) -> Vec<(PortId, Vec<u8>)> {
    vec![(WAN, udp(&source(number), "192.0.2.101:53", b"?").via_gateway())]
}

fn syns(number: u32) -> Vec<(PortId, Vec<u8>)> {
    vec![(WAN, tcp(&source(number), WEB, SYN).via_gateway())]
}

/// A SYN and the acknowledgement of an answer that the sender has not seen.
fn syns_and_acknowledgements(number: u32) -> Vec<(PortId, Vec<u8>)> {
    [SYN, ACK].map(|flags| (WAN, tcp(&source(number), WEB, flags).via_gateway())).to_vec()
}

/// The same as it goes on under NAT: the server answers the SYN, and resets what was not acknowledged. Other servers
/// say the same of nothing.
fn answered_handshakes(number: u32) -> Vec<(PortId, Vec<u8>)> {
    let servers = ["198.51.100.11:8080", "198.51.100.12:8080"];
    let says =
        |number: u32, flags| servers.map(|server| (LAN, tcp(server, &source(number), flags).via_server()));
    let client = |number: u32, flags| (WAN, tcp(&source(number), WEB, flags).via_gateway());
    let mut packets = vec![client(number, SYN)];
    if let Some(answered) = number.checked_sub(FORGED) {
        packets.extend(says(answered, SYN | ACK));
    }
    if let Some(acknowledged) = number.checked_sub(2 * FORGED) {
        packets.push(client(acknowledged, ACK));
    }
    if let Some(reset) = number.checked_sub(3 * FORGED) {
        packets.extend(says(reset, RST));
    }
    packets
}

/// A real client of the web service.
struct Client {
    address: String,
    opened_ms: u64,
    server: u8,
}

impl Client {
    fn send(&self, world: &mut World, flags: u8) -> Vec<Sent> {
        world.receive(WAN, &tcp(&self.address, WEB, flags).via_gateway())
    }

    /// The server that a packet was sent to; 0 if it was not sent on.
    fn server_of(sent: &[Sent], method: Method) -> u8 {
        let server = |sent: &Sent| match method {
            Method::Nat | Method::FullNat => sent.server(),
            _ => SERVER_MACS.iter().find(|mac| sent.frame[..6] == mac.0).map_or(0, |mac| mac.0[5]),
        };
        sent.first().filter(|sent| sent.port == LAN).map_or(0, server)
    }

    /// Opens a connection, whose server answers at once.
    fn open(world: &mut World, number: u16, method: Method, now_ms: u64) -> Client {
        let address = format!("203.0.113.10:{}", 10_000 + number);
        let mut client = Client { address, opened_ms: now_ms, server: 0 };
        let sent = client.send(world, SYN);
        client.server = Client::server_of(&sent, method);
        if let Some(sent) = sent.first().filter(|_| method.sees_replies()) {
            let from = format!("198.51.100.{}:8080", client.server);
            world.receive(LAN, &tcp(&from, &sent.source(), SYN | ACK).via_server());
        }
        client.send(world, ACK);
        client
    }
}

/// When real clients come: the first, and then one after the other.
struct Arrivals {
    begin_ms: u64,
    every_ms: u64,
}

/// When the table is full.
const LATE: Arrivals = Arrivals { begin_ms: 2_000, every_ms: 50 };
/// While it fills.
const EARLY: Arrivals = Arrivals { begin_ms: 1_000, every_ms: 10 };

/// Lets real clients come, talk and stay while a flood runs. Returns how many were served throughout.
fn served(method: Method, flood: Flood, arrivals: &Arrivals) -> usize {
    let mut world = World::with(&plan(method), Setup { connections: CONNECTIONS, ..Setup::default() });
    let (mut clients, mut lost, mut forged, mut now_ms) = (Vec::new(), 0, 0, 0);
    let Arrivals { begin_ms, every_ms } = *arrivals;
    while now_ms < begin_ms + u64::from(CLIENTS) * every_ms + TALKS_FOR_MS {
        let packets: Vec<_> = (forged..forged + FORGED).flat_map(flood).collect();
        world.burst(0, &packets);
        forged += FORGED;
        if now_ms >= begin_ms && now_ms % every_ms == 0 && clients.len() < usize::from(CLIENTS) {
            clients.push(Client::open(&mut world, clients.len() as u16, method, now_ms));
        }
        for client in &clients {
            let age_ms = now_ms - client.opened_ms;
            if age_ms > 0 && age_ms <= TALKS_FOR_MS && age_ms % TALKS_EVERY_MS == 0 {
                let to = Client::server_of(&client.send(&mut world, ACK), method);
                lost += usize::from(to != client.server || to == 0);
            }
        }
        now_ms += STEP_MS;
        world.pass(STEP_MS);
    }
    assert!(world.workers[0].connections::<V4>().len() > CONNECTIONS * 9 / 10, "the flood fills the table");
    assert_eq!(lost, 0, "{method}: packets of real clients that did not reach their server");
    clients.iter().filter(|client| client.server != 0).count()
}

#[test]
fn datagrams_from_forged_sources_leave_tcp_alone() {
    for &method in Method::ALL {
        assert_eq!(served(method, datagrams, &LATE), usize::from(CLIENTS), "{method}");
    }
}

#[test]
fn syns_from_forged_sources_leave_real_connections_alone() {
    for &method in Method::ALL {
        assert_eq!(served(method, syns, &LATE), usize::from(CLIENTS), "{method}");
    }
}

#[test]
fn forged_acknowledgements_do_not_make_a_connection_last() {
    for &method in Method::ALL {
        assert_eq!(served(method, syns_and_acknowledgements, &LATE), usize::from(CLIENTS), "{method}");
    }
}

/// All at once many connections turn out to be of another kind than when they came: the oldest of them still go first.
#[test]
fn the_oldest_go_first_when_a_table_fills_for_the_first_time() {
    for method in [Method::Tun, Method::Dr, Method::L3Dsr] {
        assert_eq!(served(method, syns_and_acknowledgements, &EARLY), usize::from(CLIENTS), "{method}");
    }
}

/// What a server has reset is over, and nobody misses it.
#[test]
fn handshakes_that_a_server_resets_leave_real_connections_alone() {
    assert_eq!(served(Method::Nat, answered_handshakes, &LATE), usize::from(CLIENTS));
}

/// Confirmed connections stay; so the last part of the table is kept for services that have less than their share.
#[test]
fn a_service_with_more_than_its_share_leaves_room_for_the_others() {
    let plan = plan(Method::Nat);
    let mut world = World::with(&plan, Setup { connections: 800, ..Setup::default() });
    let opened =
        (0..1_000).filter(|&number| Client::open(&mut world, number, Method::Nat, 0).server != 0).count();
    assert_eq!(opened, 750, "15 of 16 parts");
    assert_eq!(world.dropped(DropReason::TableFull), 250 * 2 - 250, "each SYN; what follows is refused");
    let query = |number: u32| udp(&source(number), "192.0.2.101:53", b"?").via_gateway();
    assert!((0..50).all(|number| world.receive(WAN, &query(number)).len() == 1));
    let web = world.connections().iter().filter(|connection| connection.vip_port == 80).count();
    assert_eq!(web, 750, "confirmed connections stay");
}

/// What keeps the director alive cannot be used up by strangers.
#[test]
fn errors_about_nothing_do_not_keep_neighbours_from_other_workers() {
    let plan = two_servers(Method::Nat);
    let mut world = World::with(&plan, Setup { workers: 3, ..Setup::default() });
    let unknown = tcp(WEB, "203.0.113.77:7", ACK).bytes();
    let error = icmp(CLIENT_IP, VIP, UNREACHABLE, &unknown).via_gateway();
    world.burst(0, &vec![(WAN, error.clone()); 5_000]);
    let shared = world.handed_over_for(HandOver::Shared);
    let moved = arp_request((SERVER_MACS[1], SERVERS[0]), SERVERS[0]);
    world.burst(0, &[(LAN, moved)]);
    assert_eq!(
        world.handed_over_for(HandOver::Shared),
        shared + 2,
        "each other worker hears where a server is now"
    );
    // Nor do strangers' answers.
    let stranger = (SERVER_MACS[0], std::net::Ipv4Addr::new(198, 51, 100, 77));
    let stranger = arp_reply(stranger, (LAN_MAC, [198, 51, 100, 1].into()));
    world.burst(0, &vec![(LAN, stranger); 5_000]);
    let shared = world.handed_over_for(HandOver::Shared);
    world.burst(0, &[(LAN, arp_request((SERVER_MACS[0], SERVERS[0]), SERVERS[0]))]);
    assert_eq!(world.handed_over_for(HandOver::Shared), shared + 2);
}

/// A flood that is refused leaves what others are told alone.
#[test]
fn resets_do_not_use_up_what_pings_and_path_mtu_discovery_need() {
    let setup = Setup { refusals_per_s: 100, ..Setup::default() };
    let mut world = World::with(&one_server(Method::Nat), setup);
    let closed: Vec<_> =
        (0..1_000).map(|n| (WAN, tcp(&source(n), "192.0.2.100:81", SYN).via_gateway())).collect();
    assert_eq!(world.burst(0, &closed).len(), 100);
    let closed: Vec<_> =
        (0..1_000).map(|n| (WAN, udp(&source(n), "192.0.2.100:81", b"").via_gateway())).collect();
    assert_eq!(world.burst(0, &closed).len(), 100);
    assert_eq!(world.receive(WAN, &echo(CLIENT_IP, VIP).via_gateway()).len(), 1);
    world.receive(WAN, &tcp("203.0.113.10:1", WEB, SYN).via_gateway());
    let large = tcp_with(endpoint("203.0.113.10:1"), endpoint(WEB), ACK, &[7; 1_470]);
    assert!(world.lines(WAN, &large.via_gateway())[0].contains("too big"), "path MTU discovery goes on");
    let late = tcp("203.0.113.10:1", WEB, ACK).ttl(1).via_gateway();
    assert!(world.lines(WAN, &late)[0].contains("time exceeded"), "traceroute goes on");
}
