//! Servers that are told of clients, between TCP peers (smoltcp) on a network that loses, doubles and delays packets. By the
//! PROXY protocol: whatever happens, a server receives one header and then the client's bytes, and the client the server's.
//! By TOA: whichever segment makes a connection at the server, it has the option, and none has a client's own. Sometimes the
//! director dies, and another goes on that it has told of the connection.

use crate::common::{
    frame::ethernet,
    plan::*,
    read,
    world::{Sent, Setup, World},
};
use lb_core::{
    decide::known::Forwarded,
    family::{V4, V6},
    flow::key::Secret,
    peers::{
        exception::Exception,
        told::{Source, Told},
    },
    service::plan::{ClientAddress, Method, Plan},
    time::Duration,
    worker::exceptions::Wanted,
};
use smoltcp::{
    iface::{Config, Interface, SocketHandle, SocketSet},
    phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken},
    socket::tcp::{self, Socket, State},
    time::Instant,
    wire::{HardwareAddress, IpAddress, IpCidr, IpEndpoint},
};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    net::{IpAddr, SocketAddr},
};

const MTU: usize = 1500;
/// Nothing that is waited for takes longer, in milliseconds.
const LONGEST: u64 = 20 * 60_000;

/// A network card for IP packets.
#[derive(Default)]
struct Card {
    received: VecDeque<Vec<u8>>,
    to_send: Vec<Vec<u8>>,
}

impl Device for Card {
    type RxToken<'a> = Received;
    type TxToken<'a> = ToSend<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, ToSend<'_>)> {
        Some((Received(self.received.pop_front()?), ToSend(&mut self.to_send)))
    }

    fn transmit(&mut self, _: Instant) -> Option<ToSend<'_>> {
        Some(ToSend(&mut self.to_send))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        (capabilities.medium, capabilities.max_transmission_unit) = (Medium::Ip, MTU);
        capabilities
    }
}

struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

struct ToSend<'a>(&'a mut Vec<Vec<u8>>);

impl TxToken for ToSend<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.push(packet);
        result
    }
}

/// One end: a host with one socket, what it has to say, and what it has heard.
struct End {
    interface: Interface,
    card: Card,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    says: Vec<u8>,
    said: usize,
    heard: Vec<u8>,
    /// What it waits for before it speaks, in bytes heard.
    listens_to: usize,
    /// It leaves what arrives until then, so that the window closes.
    sleeps_until: u64,
}

impl End {
    fn new(address: IpAddr, (buffer, stamps): (usize, bool), says: Vec<u8>, seed: u64) -> End {
        let mut card = Card::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut card, Instant::ZERO);
        let address = IpAddress::from(address);
        interface.update_ip_addrs(|addresses| addresses.push(IpCidr::new(address, 8)).unwrap());
        let routes = interface.routes_mut();
        match address {
            IpAddress::Ipv4(own) => drop(routes.add_default_ipv4_route(own).unwrap()),
            IpAddress::Ipv6(own) => drop(routes.add_default_ipv6_route(own).unwrap()),
        }
        let room = || tcp::SocketBuffer::new(vec![0; buffer]);
        let mut socket = Socket::new(room(), room());
        if stamps {
            socket.set_tsval_generator(Some(|| 7));
        }
        let mut sockets = SocketSet::new(Vec::new());
        let socket = sockets.add(socket);
        End {
            interface,
            card,
            sockets,
            socket,
            says,
            said: 0,
            heard: Vec::new(),
            listens_to: 0,
            sleeps_until: 0,
        }
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.socket)
    }

    fn state(&mut self) -> (State, usize, usize) {
        (self.socket().state(), self.said, self.heard.len())
    }

    /// Whether the other end has said that it says no more.
    fn has_ended(&mut self) -> bool {
        let socket = self.socket();
        !matches!(socket.state(), State::SynSent | State::SynReceived) && !socket.may_recv()
    }

    /// Does what there is to do, and returns the packets that it sends.
    fn run(&mut self, now: u64) -> Vec<Vec<u8>> {
        let time = Instant::from_millis(now as i64);
        self.interface.poll(time, &mut self.card, &mut self.sockets);
        let End { sockets, socket, says, said, heard, .. } = self;
        let socket = sockets.get_mut::<Socket<'_>>(*socket);
        while now >= self.sleeps_until && socket.can_recv() {
            socket.recv(|bytes| (bytes.len(), heard.extend_from_slice(bytes))).unwrap();
        }
        if heard.len() >= self.listens_to && socket.may_send() {
            if *said < says.len() && socket.can_send() {
                *said += socket.send_slice(&says[*said..]).unwrap();
            }
            if *said == says.len() {
                socket.close();
            }
        }
        self.interface.poll(time, &mut self.card, &mut self.sockets);
        std::mem::take(&mut self.card.to_send)
    }

    /// It is in the middle of a connection, and means to do nothing ever again.
    fn stands_still(&mut self, now: u64) -> bool {
        let wakes = self.interface.poll_at(Instant::from_millis(now as i64), &self.sockets);
        let is_awake = self.sleeps_until <= now && self.card.received.is_empty();
        is_awake && wakes.is_none() && self.socket().is_open()
    }

    fn wakes(&mut self, now: u64) -> u64 {
        let at = self.interface.poll_at(Instant::from_millis(now as i64), &self.sockets);
        let by_itself = at.map_or(u64::MAX, |at| at.total_millis() as u64);
        if self.sleeps_until > now { by_itself.min(self.sleeps_until) } else { by_itself }
    }
}

/// A source of randomness that repeats itself from its seed: SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound
    }

    fn bytes(&mut self, count: u64) -> Vec<u8> {
        (0..count).map(|_| self.below(256) as u8).collect()
    }
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum To {
    DirectorWan,
    DirectorLan,
    Client,
    Server,
}

/// A packet on its way: when it arrives, a number that keeps equals in order, where, and its bytes.
type Flight = (u64, u64, To, Vec<u8>);

/// What a seed's story is about.
#[derive(Clone, Copy, Debug)]
struct Story {
    seed: u64,
    method: Method,
    told: ClientAddress,
    /// Of clients, and of servers.
    are_ipv6: (bool, bool),
}

/// A director that has been told of the connections of another, which is no more. `None` if it would not be told of any.
fn next_director(world: &World, plan: &Plan, is_ipv6: bool) -> Option<World> {
    let told = if is_ipv6 { exceptions::<V6>(world) } else { exceptions::<V4>(world) };
    let (table, mut writer) = Told::new(16, Secret(7), vec!["192.0.2.2:4789".parse().unwrap()]);
    told.iter().for_each(|told| writer.tell(told, Source { peer: 0, is_odd: false }).unwrap());
    let mut next = World::told(plan, Setup::default(), table);
    next.now = world.now;
    next.tick();
    (!told.is_empty()).then_some(next)
}

fn exceptions<F: Forwarded>(world: &World) -> Vec<Exception> {
    let mut found = Vec::new();
    world.workers[0]
        .exceptions::<F>(world.now, 0..u32::MAX, Wanted::default(), |seen| found.push(seen.exception));
    found
}

/// Packets of whole size in front of which there is no room for a header, and directors that died.
fn tell(story: Story) -> (u64, u64) {
    let Story { seed, method, told, are_ipv6: (is_ipv6, server_is_ipv6) } = story;
    let mut random = Random(seed);
    let mut plan = match (is_ipv6, server_is_ipv6) {
        (false, false) => one_server(method),
        (true, true) => one_server6(method),
        _ => one_server_of_other_family(is_ipv6),
    };
    // Connections between families are of IPv6.
    let table_is_ipv6 = is_ipv6 || server_is_ipv6;
    plan.first().client_address = told;
    let mut world = World::new(&plan);
    let (client_ip, vip): (IpAddr, IpAddr) = match is_ipv6 {
        true => (CLIENT6.into(), VIP6.into()),
        false => (CLIENT_IP.into(), VIP.into()),
    };
    let server_ip: IpAddr = if server_is_ipv6 { SERVERS6[0].into() } else { SERVERS[0].into() };
    // Often nothing, often a little, and sometimes so much that the windows fill.
    let mut amount = || match random.below(4) {
        0 => 0,
        1 => 1 + random.below(20),
        2 => random.below(1_600),
        _ => random.below(40_000),
    };
    let (up, down) = (amount(), amount());
    let (up, down) = (random.bytes(up), random.bytes(down));
    let buffer = [300, 2_000, 16_384][random.below(3) as usize];
    let stamps = random.below(2) == 0;
    let mut client = End::new(client_ip, (buffer, stamps), up.clone(), seed);
    let mut server = End::new(server_ip, (buffer, stamps), down.clone(), seed ^ 0xffff);
    let client_port = 30_000 + random.below(30_000) as u16;
    server.socket().listen(8080).unwrap();
    let End { interface, sockets, socket, .. } = &mut client;
    let socket = sockets.get_mut::<Socket<'_>>(*socket);
    socket.connect(interface.context(), IpEndpoint::from(SocketAddr::new(vip, 80)), client_port).unwrap();
    // Who speaks first: the server, once it knows to whom; or the client, which the server answers.
    let header = header(told, SocketAddr::new(client_ip, client_port), SocketAddr::new(vip, 80));
    if random.below(2) == 0 {
        server.listens_to = header.len();
        client.listens_to = down.len();
    } else {
        server.listens_to = header.len() + up.len();
    }
    if random.below(3) == 0 {
        server.sleeps_until = 3_000;
    }

    let faults = [0, 20, 60][random.below(3) as usize];
    let mut flights = BinaryHeap::<Reverse<Flight>>::new();
    let mut launched = 0u64;
    let (mut now, start) = (1, world.now);
    let (mut originated, mut died, mut inserted) = (0, 0, 0);
    let mut dies_after = if random.below(2) == 0 { random.below(100) } else { u64::MAX };
    loop {
        if launched > dies_after {
            // It has to be as old as those that peers are told of.
            now += 3_000;
            world.now = start + Duration::from_millis(now);
            if let Some(next) = next_director(&world, &plan, table_is_ipv6) {
                (world, dies_after, died) = (next, u64::MAX, died + 1);
            }
        }
        let mut sent: Vec<(To, Vec<u8>)> = Vec::new();
        for (end, to) in [(&mut client, To::DirectorWan), (&mut server, To::DirectorLan)] {
            sent.extend(end.run(now).into_iter().map(|packet| (to, packet)));
        }
        if told == ClientAddress::Toa {
            for (_, packet) in sent.iter_mut().filter(|(to, _)| *to == To::DirectorWan) {
                if random.below(3) == 0 {
                    forge_option(packet, is_ipv6);
                }
            }
        }
        while let Some(Reverse((at, ..))) = flights.peek()
            && *at <= now
        {
            let Some(Reverse((_, _, to, packet))) = flights.pop() else { unreachable!() };
            match to {
                To::Client => client.card.received.push_back(packet),
                To::Server => {
                    if told == ClientAddress::Toa {
                        let client = SocketAddr::new(client_ip, client_port);
                        let is_made = !matches!(server.socket().state(), State::Listen | State::SynReceived);
                        let options = check_options(&packet, client, is_made, &story);
                        inserted += u64::from(options > 0);
                    }
                    server.card.received.push_back(packet);
                }
                To::DirectorWan | To::DirectorLan => {
                    let ethertype = if packet[0] >> 4 == 6 { 0x86dd } else { 0x0800 };
                    let (port, frame) = match to {
                        To::DirectorWan => (WAN, ethernet(WAN_MAC, GATEWAY_MAC, ethertype, &packet)),
                        _ => (LAN, ethernet(LAN_MAC, SERVER_MACS[0], ethertype, &packet)),
                    };
                    let left = world.receive(port, &frame);
                    originated += left.len().saturating_sub(1) as u64;
                    sent.extend(left.iter().map(arriving));
                }
            }
        }
        for (to, packet) in sent {
            let happens = |random: &mut Random, thousandths| random.below(1_000) < thousandths;
            if happens(&mut random, faults) {
                continue;
            }
            for _ in 0..1 + u64::from(happens(&mut random, faults)) {
                let late = if happens(&mut random, faults) { random.below(30) } else { 0 };
                launched += 1;
                flights.push(Reverse((now + 1 + late, launched, to, packet.clone())));
            }
        }
        let all_heard = client.heard.len() >= down.len() && server.heard.len() >= header.len() + up.len();
        // Where much is lost, a connection that both have closed is forgotten before the last of them knows.
        if all_heard && flights.is_empty() && (faults > 0 || client.has_ended() && server.has_ended()) {
            break;
        }
        // smoltcp forgets to ask whether a window has opened again, if it was closed when a segment was due once more.
        if flights.is_empty() && [&mut client, &mut server].into_iter().all(|end| end.stands_still(now)) {
            assert!(
                down.starts_with(&client.heard) && [&header[..], &up].concat().starts_with(&server.heard)
            );
            return (originated, died);
        }
        let has_arrived = [&client, &server].iter().any(|end| !end.card.received.is_empty());
        let next = match flights.peek() {
            _ if has_arrived => now,
            Some(Reverse((at, ..))) => *at,
            None => u64::MAX,
        };
        now = next.min(client.wakes(now)).min(server.wakes(now)).max(now + 1).min(now + 1_000);
        assert!(now < LONGEST, "{story:?}: client {:?}, server {:?}", client.state(), server.state());
        let passed = (start + Duration::from_millis(now)).as_millis() / 100 != world.now.as_millis() / 100;
        world.now = start + Duration::from_millis(now);
        if passed {
            world.tick();
        }
    }
    assert_eq!(client.heard, down, "{story:?}: what the server said");
    assert!(
        server.heard.starts_with(&header),
        "{story:?}: {:?}",
        &server.heard[..server.heard.len().min(60)]
    );
    assert_eq!(server.heard[header.len()..], up, "{story:?}: what the client said");
    // In the SYN and in an acknowledgement, unless nobody waited for that.
    let is_told = inserted >= 2 || up.is_empty() && down.is_empty();
    assert!(told != ClientAddress::Toa || is_told, "{story:?}: {inserted}");
    (originated, died)
}

/// A packet of the director's on its way; every length and checksum is right.
fn arriving(sent: &Sent) -> (To, Vec<u8>) {
    let packet = read::ip_packet(&sent.frame).expect("an IP packet").to_vec();
    read::check_ip(&packet).unwrap();
    assert!(packet.len() <= MTU);
    (if sent.port == WAN { To::Client } else { To::Server }, packet)
}

/// Where a segment starts, and where its header ends.
fn places(packet: &[u8]) -> (usize, usize) {
    let l4 = if packet[0] >> 4 == 4 { 20 } else { 40 };
    (l4, l4 + usize::from(packet[l4 + 12] >> 4) * 4)
}

/// A client's segment says that it comes from another, as far as there is room.
fn forge_option(packet: &mut Vec<u8>, is_ipv6: bool) {
    let option: &[u8] = if is_ipv6 {
        &[254, 20, 1, 1, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 66]
    } else {
        &[254, 8, 1, 1, 203, 0, 113, 66]
    };
    let (l4, end) = places(packet);
    if end - l4 + option.len() > 60 || packet.len() + option.len() > MTU {
        return;
    }
    packet.splice(l4 + 20..l4 + 20, option.iter().copied());
    packet[l4 + 12] += (option.len() as u8 / 4) << 4;
    packet[l4 + 16..l4 + 18].fill(0);
    let len = packet.len();
    let segment = etherparse::TcpSlice::from_slice(&packet[l4..]).unwrap();
    let checksum = if is_ipv6 {
        let [source, destination] = [8, 24].map(|at| packet[at..at + 16].try_into().unwrap());
        segment.calc_checksum_ipv6(source, destination)
    } else {
        let [source, destination] = [12, 16].map(|at| packet[at..at + 4].try_into().unwrap());
        segment.calc_checksum_ipv4(source, destination)
    };
    packet[l4 + 16..l4 + 18].copy_from_slice(&checksum.unwrap().to_be_bytes());
    if is_ipv6 {
        packet[4..6].copy_from_slice(&(len as u16 - 40).to_be_bytes());
    } else {
        packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        let checksum =
            etherparse::Ipv4HeaderSlice::from_slice(packet).unwrap().to_header().calc_header_checksum();
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// A client's segment has the option that it should have, and no other. Returns how many it has.
fn check_options(packet: &[u8], client: SocketAddr, is_made: bool, story: &Story) -> usize {
    let expected = match client.ip() {
        IpAddr::V4(address) => [&[254, 8][..], &client.port().to_be_bytes(), &address.octets()].concat(),
        IpAddr::V6(address) => [&[254, 20][..], &client.port().to_be_bytes(), &address.octets()].concat(),
    };
    let (l4, end) = places(packet);
    let flags = packet[l4 + 13];
    let (mut rest, mut found) = (&packet[l4 + 20..end], 0);
    while let Some(&kind) = rest.first() {
        let len = match kind {
            0 => break,
            1 => 1,
            _ => usize::from(rest[1]),
        };
        if kind == 254 {
            assert_eq!(rest[..len], expected, "{story:?}");
            found += 1;
        }
        rest = &rest[len..];
    }
    assert!(found <= 1, "{story:?}");
    // An acknowledgement, and no reset.
    let makes = !is_made && flags & 0x14 == 0x10;
    assert!(!makes || found == 1, "{story:?}: {} bytes", packet.len());
    found
}

/// What a server is to receive first, written by hand from the protocol's description.
fn header(told: ClientAddress, client: SocketAddr, vip: SocketAddr) -> Vec<u8> {
    let number = if client.is_ipv4() { 4 } else { 6 };
    match told {
        ClientAddress::Packets | ClientAddress::Toa => Vec::new(),
        ClientAddress::ProxyV1 => {
            format!("PROXY TCP{number} {} {} {} {}\r\n", client.ip(), vip.ip(), client.port(), vip.port())
                .into_bytes()
        }
        ClientAddress::ProxyV2 => {
            let mut header = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21".to_vec();
            header.extend(if client.is_ipv4() { [0x11, 0, 12] } else { [0x21, 0, 36] });
            for ip in [client.ip(), vip.ip()] {
                match ip {
                    IpAddr::V4(ip) => header.extend(ip.octets()),
                    IpAddr::V6(ip) => header.extend(ip.octets()),
                }
            }
            header.extend(client.port().to_be_bytes());
            header.extend(vip.port().to_be_bytes());
            header
        }
    }
}

/// Every method that sees replies, all that servers can be told by, and nothing at all, both families, and between them.
fn every(seeds: std::ops::Range<u64>) -> (u64, u64) {
    let (mut alone, mut deaths) = (0, 0);
    for method in [Method::Nat, Method::FullNat] {
        for told in ClientAddress::ALL.iter().copied().filter(|told| told.goes_with(method)) {
            let families = [(false, false), (true, true), (false, true), (true, false)];
            let translates =
                |&(clients, servers): &(bool, bool)| method == Method::FullNat || clients == servers;
            for are_ipv6 in families.into_iter().filter(translates) {
                for seed in seeds.clone() {
                    let (originated, died) = tell(Story { seed, method, told, are_ipv6 });
                    (alone, deaths) = (alone + originated, deaths + died);
                }
            }
        }
    }
    (alone, deaths)
}

#[test]
fn a_server_receives_a_header_and_the_clients_bytes() {
    let (alone, deaths) = every(0..200);
    assert!(alone > 20, "headers went by themselves in front of whole segments: {alone}");
    assert!(deaths > 200, "directors died: {deaths}");
}
