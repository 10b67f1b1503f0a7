//! FTP's control connections however their bytes are cut, lost, doubled and mixed: each side gets the other's bytes, with the
//! VIP where the server said its own address or the local address where the client did, and is told no more than what has
//! arrived. And the data connections that follow, over several workers.

use crate::common::{
    frame::*,
    plan::*,
    read,
    world::{Sent, Setup, World},
};
use etherparse::{IpNumber, SlicedPacket, TcpHeader, TransportSlice};
use lb_core::{
    packet::PortId,
    service::{
        check::check,
        plan::{Method, ModuleKind, Plan},
    },
};
use proptest::prelude::*;
use std::net::{Ipv4Addr, SocketAddrV4};

const CLIENT: &str = "203.0.113.10:4000";
const VIP_PORT: &str = "192.0.2.100:21";
const SERVER: &str = "198.51.100.11:2121";
const WORKERS: usize = 4;

fn plan(method: Method) -> Plan {
    let mut service = service(method, VIP_PORT, &[SERVER]);
    service.module = ModuleKind::Ftp;
    network().with(service)
}

fn client_at(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), port)
}

/// One end of the control connection.
struct End {
    address: String,
    peer: String,
    port: PortId,
    says: Vec<u8>,
    first: u32,
    acknowledged: usize,
    sent: usize,
    /// The number of the other's first byte.
    first_heard: u32,
    heard: Vec<u8>,
}

/// What arrived at an end.
struct Arrived {
    sequence: u32,
    acknowledgement: u32,
    payload: Vec<u8>,
}

impl End {
    fn segment(&self, flags: u8, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let (from, to) = (endpoint(&self.address), endpoint(&self.peer));
        let mut header = TcpHeader::new(from.port(), to.port(), sequence, 8_192);
        (header.syn, header.ack) = (flags & SYN != 0, flags & ACK != 0);
        header.acknowledgment_number = self.first_heard.wrapping_add(self.heard.len() as u32);
        header.checksum =
            header.calc_checksum_ipv4_raw(from.ip().octets(), to.ip().octets(), payload).unwrap();
        let packet =
            Ip::new(IpNumber::TCP, *from.ip(), *to.ip(), [header.to_bytes().as_slice(), payload].concat());
        if self.port == WAN { packet.via_gateway() } else { packet.via_server() }
    }

    /// The segment with these of its bytes.
    fn part(&mut self, start: usize, end: usize) -> Vec<u8> {
        self.sent = self.sent.max(end);
        self.segment(ACK, self.first.wrapping_add(start as u32), &self.says[start..end])
    }

    /// Takes in what arrived. Returns whether it has to be answered.
    fn hear(&mut self, arrived: &Arrived) -> bool {
        let acknowledged = arrived.acknowledgement.wrapping_sub(self.first) as usize;
        assert!(acknowledged <= self.sent, "{acknowledged} acknowledged, {} sent", self.sent);
        self.acknowledged = self.acknowledged.max(acknowledged);
        let begins = arrived.sequence.wrapping_sub(self.first_heard).cast_signed();
        let known = self.heard.len() as i32 - begins;
        if known < 0 {
            return true;
        }
        for (at, byte) in arrived.payload.iter().enumerate() {
            let place = begins + at as i32;
            match usize::try_from(place) {
                Ok(place) if place < self.heard.len() => {
                    assert_eq!(self.heard[place], *byte, "the same again");
                }
                Ok(_) => self.heard.push(*byte),
                Err(_) => {}
            }
        }
        !arrived.payload.is_empty() || known > 0
    }
}

fn parse(sent: &Sent) -> Arrived {
    read::check_ip(read::ip_packet(&sent.frame).unwrap()).unwrap();
    let Some(TransportSlice::Tcp(tcp)) = SlicedPacket::from_ethernet(&sent.frame).unwrap().transport else {
        panic!("a segment");
    };
    Arrived {
        sequence: tcp.sequence_number(),
        acknowledgement: tcp.acknowledgment_number(),
        payload: tcp.payload().to_vec(),
    }
}

/// A control connection.
struct Control {
    world: World,
    ends: [End; 2],
}

impl Control {
    fn new(method: Method, says: &[Vec<u8>; 2], firsts: [u32; 2]) -> Control {
        let setup = Setup { workers: WORKERS, ..Setup::default() };
        let mut world = World::with(&plan(method), setup);
        let end = |at: usize| End {
            address: [CLIENT, SERVER][at].to_owned(),
            peer: [VIP_PORT, CLIENT][at].to_owned(),
            port: [WAN, LAN][at],
            says: says[at].clone(),
            first: firsts[at],
            acknowledged: 0,
            sent: 0,
            first_heard: firsts[1 - at],
            heard: Vec::new(),
        };
        let mut ends = [end(0), end(1)];
        let syn = ends[0].segment(SYN, firsts[0].wrapping_sub(1), b"");
        world.receive(WAN, &syn);
        if let Some((address, port)) = world.connections()[0].local() {
            ends[1].peer = format!("{}:{port}", Ipv4Addr::from_bits(address));
        }
        let syn = ends[1].segment(SYN | ACK, firsts[1].wrapping_sub(1), b"");
        world.receive(LAN, &syn);
        Control { world, ends }
    }

    /// A frame of an end arrives at a worker; what it leads to arrives, and is answered.
    fn send(&mut self, from: usize, worker: usize, frame: Vec<u8>) {
        let sent = self.world.burst(worker, &[(self.ends[from].port, frame)]);
        for sent in sent {
            let to = usize::from(sent.port != WAN);
            assert_eq!(to, 1 - from);
            let arrived = parse(&sent);
            if self.ends[to].hear(&arrived) {
                let end = &self.ends[to];
                let ack = end.segment(ACK, end.first.wrapping_add(end.acknowledged as u32), b"");
                let answered = self.world.burst(worker, &[(end.port, ack)]);
                for sent in answered {
                    let arrived = parse(&sent);
                    assert!(arrived.payload.is_empty());
                    self.ends[from].hear(&arrived);
                }
            }
        }
    }

    /// Both ends send the rest of what they have to say, with so many bytes in a segment, once what was before has been
    /// acknowledged.
    fn finish(&mut self, len: usize) {
        for from in [0, 1] {
            let mut patience = 2 * self.ends[from].says.len() + 10;
            while self.ends[from].acknowledged < self.ends[from].says.len() {
                patience -= 1;
                assert!(
                    patience > 0,
                    "{} stands still at {}",
                    ["client", "server"][from],
                    self.ends[from].acknowledged
                );
                let start = self.ends[from].acknowledged;
                let end = (start + len).min(self.ends[from].says.len());
                let frame = self.ends[from].part(start, end);
                self.send(from, 0, frame);
            }
        }
    }

    /// What becomes of the server's SYN for data, and of the client's answer, wherever each arrives.
    fn dial(&mut self, worker: usize, to: SocketAddrV4, client: u16) -> [String; 2] {
        let line = |world: &mut World, worker, port, frame| {
            let sent = world.burst(worker, &[(port, frame)]);
            sent.first().map_or_else(String::new, Sent::line)
        };
        let syn = tcp("198.51.100.11:20", &to.to_string(), SYN).via_server();
        let answer = tcp(&client_at(client).to_string(), "192.0.2.100:20", SYN | ACK).via_gateway();
        [line(&mut self.world, worker, LAN, syn), line(&mut self.world, (worker + 1) % WORKERS, WAN, answer)]
    }

    /// Where the client's connection to a port of the VIP goes.
    fn data(&mut self, worker: usize, from: u16, port: u16) -> String {
        let syn = tcp(&format!("203.0.113.10:{from}"), &format!("192.0.2.100:{port}"), SYN);
        let sent = self.world.burst(worker, &[(WAN, syn.via_gateway())]);
        assert_eq!(sent.len(), 1);
        sent[0].line()
    }
}

/// What the client says.
const ASKED: &str = "USER me\r\nPASV\r\nEPRT |1|203.0.113.10|4001|\r\nEPSV\r\nPORT 203,0,113,10,15,162\r\nPORT 1,2\r\nQUIT\r\n";

/// The server's data connections that follow from what it has been told: where to, and the client's port.
fn dialled(heard: &str, local: Option<Ipv4Addr>) -> Vec<(SocketAddrV4, u16)> {
    let (mut lines, mut asked) = (heard.split("\r\n"), ASKED.split("\r\n"));
    let mut dialled = Vec::new();
    while let (Some(line), Some(same)) = (lines.next(), asked.next()) {
        let endpoint = match line.as_bytes() {
            [b'E', b'P', b'R', ..] => {
                let fields: Vec<&str> = line.split('|').collect();
                assert_eq!((fields.len(), fields[1]), (5, "1"), "{line}");
                SocketAddrV4::new(fields[2].parse().unwrap(), fields[3].parse().unwrap())
            }
            [b'P', b'O', ..] if line.len() > 12 => {
                let numbers: Vec<u8> = line[5..].split(',').map(|number| number.parse().unwrap()).collect();
                let [a, b, c, d, high, low] = *numbers.as_slice() else { panic!("{line}") };
                SocketAddrV4::new([a, b, c, d].into(), u16::from_be_bytes([high, low]))
            }
            _ => {
                assert_eq!(line, same);
                continue;
            }
        };
        let client = if same.starts_with('E') { 4_001 } else { 4_002 };
        // What has not come whole, and is none, may have been replaced all the same.
        if same.len() > 12 {
            assert_eq!(*endpoint.ip(), local.unwrap_or(Ipv4Addr::new(203, 0, 113, 10)), "{line}");
            dialled.push((endpoint, client));
        }
    }
    assert_eq!((lines.next(), asked.next()), (None, None));
    dialled
}

/// What the server says, what the client is told, and the last port.
fn replies(ports: &[(bool, u16)]) -> (Vec<u8>, Vec<u8>) {
    let (mut said, mut told) = ("220-hi\r\n220 there\r\n".to_owned(), "220-hi\r\n220 there\r\n".to_owned());
    for (is_extended, port) in ports {
        let [high, low] = port.to_be_bytes();
        let reply = |address: &str| match is_extended {
            true => format!("200 ok\r\n229 Extended (|||{port}|)\r\n150 .\r\n"),
            false => format!("227 Passive ({address},{high},{low}).\r\n227-(1,2,3,4,5,6)\r\n226 done\r\n"),
        };
        said.push_str(&reply("198,51,100,11"));
        told.push_str(&reply("192,0,2,100"));
    }
    (said.into_bytes(), told.into_bytes())
}

/// What happens to a part of what an end says.
#[derive(Clone, Copy, Debug)]
struct Event {
    from: usize,
    worker: usize,
    /// Where it begins between what has been acknowledged, 0, and what has been sent, 255.
    place: u8,
    len: usize,
    is_lost: bool,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event =
        (0..2usize, 0..WORKERS, prop_oneof![Just(255u8), any::<u8>()], 1..60usize, prop::bool::weighted(0.2));
    let event =
        event.prop_map(|(from, worker, place, len, is_lost)| Event { from, worker, place, len, is_lost });
    prop::collection::vec(event, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn each_end_gets_the_same_bytes_however_they_are_cut(
        events in events(),
        is_full: bool,
        ports in prop::collection::vec((any::<bool>(), 1_024u16..), 1..5),
        firsts: [u32; 2],
        len in 1..50usize,
    ) {
        let method = if is_full { Method::FullNat } else { Method::Nat };
        let (said, told) = replies(&ports);
        let mut control = Control::new(method, &[ASKED.as_bytes().to_vec(), said], firsts);
        for Event { from, worker, place, len, is_lost } in events {
            let end = &mut control.ends[from];
            let open = end.sent - end.acknowledged;
            let start = end.acknowledged + (open * usize::from(place)).div_ceil(255).min(open);
            let part = end.part(start, (start + len).min(end.says.len()));
            if !is_lost {
                control.send(from, worker, part);
            }
        }
        control.finish(len);
        prop_assert_eq!(String::from_utf8_lossy(&control.ends[0].heard), String::from_utf8_lossy(&told));
        // All of them are expected, at whatever worker they arrive.
        let mut ports: Vec<u16> = ports.into_iter().map(|(_, port)| port).collect();
        ports.sort_unstable();
        ports.dedup();
        for (at, port) in ports.into_iter().enumerate() {
            let line = control.data(at % WORKERS, 10_000 + at as u16, port);
            prop_assert!(line.contains(&format!("> 198.51.100.11:{port} tcp syn")), "{}", line);
        }
        // And the server's, both directions of which come to one worker.
        let local = endpoint(&control.ends[1].peer);
        let heard = String::from_utf8(control.ends[1].heard.clone()).unwrap();
        let dialled = dialled(&heard, is_full.then(|| *local.ip()));
        let lost: u64 = (0..WORKERS).map(|worker| control.world.counters(worker).expected_lost.get()).sum();
        for (at, (to, client)) in dialled.into_iter().enumerate() {
            let lines = control.dial(at % WORKERS, to, client);
            // Where commands have not come whole, the client's packets may come to another worker.
            let goes = [
                format!("wan: 192.0.2.100:20 > 203.0.113.10:{client} tcp syn ttl 63"),
                format!("lan: {} > 198.51.100.11:20 tcp syn ack ttl 63", if is_full { to } else { client_at(client) }),
            ];
            prop_assert!(lines == goes || is_full && lost > 0, "{:?}", lines);
        }
    }
}

#[test]
fn packets_of_data_connections_may_come_to_any_worker() {
    for method in [Method::Nat, Method::FullNat] {
        let (said, _) = replies(&[(false, 50_000)]);
        for at in 0..WORKERS {
            let mut control = Control::new(method, &[b"PASV\r\n".to_vec(), said.clone()], [7, 8]);
            control.finish(100);
            assert!(control.data(at, 10_000, 50_000).contains("> 198.51.100.11:50000 tcp syn"));
            let world = &mut control.world;
            let data = |it: &lb_core::conn::entry::Connection| it.vip_port == 50_000;
            let local = world.connections().into_iter().find(data).unwrap().local();
            let client = "203.0.113.10:10000";
            let seen =
                local.map_or(client.to_owned(), |(ip, port)| format!("{}:{port}", Ipv4Addr::from_bits(ip)));
            for worker in 0..WORKERS {
                let sent =
                    world.burst(worker, &[(LAN, tcp("198.51.100.11:50000", &seen, SYN | ACK).via_server())]);
                assert_eq!(
                    sent.iter().map(Sent::line).collect::<Vec<_>>(),
                    ["wan: 192.0.2.100:50000 > 203.0.113.10:10000 tcp syn ack ttl 63"]
                );
                let sent = world.burst(worker, &[(WAN, tcp(client, "192.0.2.100:50000", ACK).via_gateway())]);
                let line = format!("lan: {seen} > 198.51.100.11:50000 tcp ack ttl 63");
                assert_eq!(sent.iter().map(Sent::line).collect::<Vec<_>>(), [line]);
            }
        }
    }
}

#[test]
fn who_sends_byte_by_byte_is_acknowledged_each() {
    for method in [Method::Nat, Method::FullNat] {
        let (said, told) = replies(&[(false, 50_000), (true, 50_001), (false, 256)]);
        let mut control = Control::new(method, &[b"PASV\r\n".to_vec(), said], [7, u32::MAX - 40]);
        control.finish(1);
        assert_eq!(control.ends[0].heard, told);
    }
}

/// The server says that it waits at port 50,000; what it and the client say goes through, as far as it passes here.
fn passive(world: &mut World, method: Method, client: &str, server: &str) {
    let end = |address: &str, peer: &str, port, first, first_heard| End {
        address: address.to_owned(),
        peer: peer.to_owned(),
        port,
        says: Vec::new(),
        first,
        acknowledged: 0,
        sent: 0,
        first_heard,
        heard: Vec::new(),
    };
    let (mut own, mut other) =
        (end(client, VIP_PORT, WAN, 1_000, 2_000), end(server, client, LAN, 2_000, 1_000));
    world.receive(WAN, &own.segment(SYN, 999, b""));
    if !method.sees_replies() {
        world.receive(WAN, &own.segment(ACK, 1_000, b""));
        assert_eq!(world.receive(WAN, &own.segment(ACK, 1_000, b"PASV\r\n")).len(), 1);
        return;
    }
    let ip = endpoint(client).ip().to_bits();
    let connection = world.connections().into_iter().find(|it| it.client == ip && it.vip_port == 21).unwrap();
    if let Some((address, port)) = connection.local() {
        other.peer = format!("{}:{port}", Ipv4Addr::from_bits(address));
    }
    world.receive(LAN, &other.segment(SYN | ACK, 1_999, b""));
    assert_eq!(world.receive(WAN, &own.segment(ACK, 1_000, b"PASV\r\n")).len(), 1);
    other.heard = b"PASV\r\n".to_vec();
    own.sent = other.heard.len();
    let says = format!("227 ={},195,80\r\n", endpoint(server).ip().to_string().replace('.', ","));
    let sent = world.receive(LAN, &other.segment(ACK, 2_000, says.as_bytes()));
    let arrived = sent.iter().find(|sent| sent.port == WAN).map(parse).unwrap();
    assert_eq!(String::from_utf8(arrived.payload).unwrap(), "227 =192,0,2,100,195,80\r\n", "{method}");
}

/// Two services of one VIP and port, told apart by their clients' networks: both servers wait at the same port.
#[test]
fn services_of_one_address_and_port_have_data_connections_of_their_own() {
    for method in [Method::Nat, Method::FullNat, Method::Dr, Method::Tun] {
        let port = if method.rewrites_endpoints() { 2_121 } else { 21 };
        let servers = SERVERS.map(|server| format!("{server}:{port}"));
        let tenant = |at: usize, name: &str, from: &str| {
            let mut service = service(method, VIP_PORT, &[&servers[at]]);
            service.module = ModuleKind::Ftp;
            service.name = name.to_owned();
            service.beside.from = vec![from.parse().unwrap()];
            service
        };
        let plan = network().with(tenant(0, "one", "203.0.113.0/24")).with(tenant(1, "two", "198.18.0.0/15"));
        check(&plan, []).unwrap();
        let mut world = World::new(&plan);
        let clients = ["203.0.113.10", "198.18.7.1"];
        for (client, server) in clients.iter().zip(&servers) {
            passive(&mut world, method, &format!("{client}:4000"), server);
        }
        let mut data = |client: &str| {
            let sent =
                world.receive(WAN, &tcp(&format!("{client}:10000"), "192.0.2.100:50000", SYN).via_gateway());
            (sent[0].port, sent[0].frame[..6].to_vec())
        };
        for (at, client) in clients.iter().enumerate().rev() {
            assert_eq!(data(client), (LAN, SERVER_MACS[at].0.to_vec()), "{method}: {client}");
        }
        for stranger in ["203.0.113.11", "198.18.7.2", "100.64.0.1"] {
            assert_eq!(data(stranger).0, WAN, "{method}: {stranger} is refused");
        }
    }
}
