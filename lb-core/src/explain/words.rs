//! The words of an explanation.

use crate::{
    conn::{
        entry::{Connection, Direction},
        method::Method,
        tunnel::{Encapsulation, Tunnel},
    },
    decide::{
        Basis, Origin,
        classify::{Kind, Parsed},
        quic::Called,
    },
    explanation::Outcome,
    family::{Family, Piece, Problem, V4, V6},
    flow::{key::Key, local_port::Dealing},
    forward::toa::Done,
    ids::ServerId,
    packet::{Packet, PortId},
    sched::Grounds,
    service::{
        routing::NextHop,
        snapshot::{Service, Snapshot},
    },
    time::Duration,
    wire::{
        ethernet, get16,
        headers::Headers,
        icmp::echo_ports,
        ipv4, ipv6, pptp,
        protocol::{self, Protocol},
        sctp::Chunk,
        tcp::{self, ACK, FIN, RST, SYN},
    },
};
use std::net::{IpAddr, SocketAddr};

pub(super) fn port_name(snapshot: &Snapshot, port: PortId) -> String {
    let plan = snapshot.ports.get(usize::from(port.0));
    plan.map_or_else(|| format!("port {}", port.0), |plan| plan.name.clone())
}

/// Where a frame is: the port, or its interface in a VLAN.
fn place(snapshot: &Snapshot, port: PortId, frame: &[u8]) -> String {
    let name = port_name(snapshot, port);
    if !ethernet::is_tagged(frame) {
        return name;
    }
    let vlans = tags(frame);
    match snapshot.interface_of_vlan(port, frame).map(|interface| &snapshot.interfaces[interface]) {
        Some(on) if !on.tags.is_empty() => format!("{} ({vlans} on {name})", on.name),
        _ => format!("{name} ({vlans})"),
    }
}

/// The VLANs of a frame, from the outer one.
fn tags(frame: &[u8]) -> String {
    let vlans = ethernet::vlans(frame).unwrap_or_default();
    match (vlans >> 16, vlans & 0xffff) {
        (0, id) => format!("VLAN {id}"),
        (service, id) => format!("VLAN {id} in {service}"),
    }
}

/// What arrived, and where.
pub(super) fn arrival<F: Family>(
    snapshot: &Snapshot,
    packet: &impl Packet,
    parsed: &Parsed<F>,
    origin: Origin,
) -> String {
    let port = place(snapshot, packet.port(), packet.bytes());
    let how = if origin == Origin::Worker { "handed over; arrived on" } else { "arrives on" };
    let frame = packet.bytes();
    let what = match parsed.kind {
        Kind::Common | Kind::Flow => {
            let name = match parsed.at.protocol {
                protocol::ESP => "ESP",
                protocol::AH => "AH",
                protocol::GRE => "GRE",
                _ => parsed.key.protocol.upper(),
            };
            format!("{name}{} {}", flags(parsed), ends(packet, &parsed.at))
        }
        Kind::Fragment => fragment(frame, parsed),
        Kind::Icmp => {
            let kind = parsed.at.payload(frame).first().copied().unwrap_or_default();
            format!("{} type {kind} {}", icmp::<F>(), addresses(&parsed.at))
        }
        Kind::Resolution if F::ETHERTYPE == ethernet::IPV4 => "ARP".into(),
        Kind::Resolution => format!("neighbour discovery {}", addresses(&parsed.at)),
        Kind::OtherProtocol => {
            format!("{} protocol {} {}", version::<F>(), parsed.at.protocol, addresses(&parsed.at))
        }
        Kind::OtherFamily | Kind::Drop => {
            let (to, from) = (ethernet::destination(frame), ethernet::source(frame));
            let text = format!("a frame from {from} to {to}, {} bytes", frame.len());
            return format!("{how} {port}: {text}: {}", parsed.reason.explanation());
        }
    };
    let size = match parsed.kind {
        Kind::Resolution => String::new(),
        _ => format!(", {} bytes, time to live {}", parsed.at.ip_len, parsed.at.ttl),
    };
    format!("{how} {port}: {what}{size}")
}

/// Which part of its datagram a fragment is.
fn fragment<F: Family>(frame: &[u8], parsed: &Parsed<F>) -> String {
    let at = &parsed.at;
    let piece = frame.get(usize::from(at.l3)..at.end()).and_then(F::piece);
    let (ends, of) = (addresses(at), version::<F>());
    let Some(Piece { id, start, end, more, .. }) = piece else { return format!("{of} fragment {ends}") };
    let last = if more { "" } else { ", the last" };
    format!("{of} fragment {ends}, bytes {start} to {end} of datagram {id}{last}")
}

fn flags<F: Family>(parsed: &Parsed<F>) -> String {
    if parsed.key.protocol == Protocol::Sctp && parsed.chunk != Chunk::NONE {
        return parsed
            .chunk
            .name()
            .map_or_else(|| format!(" chunk {}", parsed.chunk.0), |name| format!(" {name}"));
    }
    let names = [(SYN, "SYN"), (FIN, "FIN"), (RST, "RST"), (ACK, "ACK")];
    let set: Vec<&str> =
        names.iter().filter(|(flag, _)| parsed.tcp_flags & flag != 0).map(|(_, name)| *name).collect();
    if set.is_empty() { String::new() } else { format!(" {}", set.join("+")) }
}

fn addresses<F: Family>(at: &Headers<F>) -> String {
    format!("{} > {}", F::ip(at.source), F::ip(at.destination))
}

/// Source and destination of a flow's packet, as they are in the frame now.
pub(super) fn ends<F: Family>(packet: &impl Packet, at: &Headers<F>) -> String {
    let frame = packet.bytes();
    let (l3, l4) = (usize::from(at.l3), usize::from(at.l4));
    let address = |offset: usize| F::ip(F::get(&frame[l3..], offset));
    let (source, destination) = (address(F::SOURCE), address(F::DESTINATION));
    if F::is_later_fragment(at.fragment) || protocol::is_ipsec(at.protocol) {
        return format!("{source} > {destination}");
    }
    if let Some(call) = pptp::call_id(at.payload(frame)).filter(|_| at.protocol == protocol::GRE) {
        return format!("{source} > {destination} (call {call})");
    }
    let inside = &frame[l4..];
    let (from, to) = if at.protocol == F::ICMP {
        echo_ports(F::message(inside[0]), inside).unwrap_or_default()
    } else {
        (get16(inside, tcp::SOURCE_PORT), get16(inside, tcp::DESTINATION_PORT))
    };
    format!("{} > {}", SocketAddr::new(source, from), SocketAddr::new(destination, to))
}

pub(super) fn service(service: &Service) -> String {
    if service.method.is_outward() {
        return format!("{} ([[snat]]): what servers send by themselves", service.name);
    }
    let clients = service.reach().clients_shown();
    let clients = if clients.is_empty() { clients } else { format!(" {clients}") };
    format!(
        "{} ({} {}{clients}), method {}, scheduler {}, {} server{}",
        service.name,
        service.reach().protocols_shown().to_lowercase(),
        service.reach(),
        service.method.name(),
        service.scheduler_kind,
        service.servers.len(),
        if service.servers.len() == 1 { "" } else { "s" },
    )
}

/// Why no service has a packet: none has its port, or those that have it are for other clients.
pub(super) fn unserved<F: Family>(snapshot: &Snapshot, key: &Key<F>) -> String {
    /// Services that are named.
    const MOST: usize = 3;
    let vip = F::ip(key.destination);
    let services = snapshot.configured().map(|(_, service)| service);
    let mut others = services.filter(|service| service.reach().has(key.protocol, vip, key.destination_port));
    let shown = |service: &Service| format!("{} ({})", service.name, service.reach().clients_shown());
    let mut named: Vec<String> = others.by_ref().take(MOST).map(shown).collect();
    if named.is_empty() {
        return "no service has this virtual address, protocol and port".to_owned();
    }
    let more = others.count();
    named.extend((more > 0).then(|| format!("{more} more")));
    format!("services that have this port are for other clients: {}", named.join(", "))
}

/// Whose connection with whom.
pub(super) fn flow<F: Family>(snapshot: &Snapshot, connection: &Connection<F>) -> String {
    format!(
        "{} {} > {} with server {} ({})",
        connection.protocol,
        SocketAddr::new(F::ip(connection.client), connection.client_port),
        SocketAddr::new(F::ip(connection.vip), connection.vip_port),
        SocketAddr::new(snapshot.server_of(connection).ip(), connection.server_port),
        method(connection),
    )
}

/// The method of a connection, and what the server sees of it if that is not the client.
fn method<F: Family>(connection: &Connection<F>) -> String {
    let name = connection.method.name();
    match connection.local() {
        Some((address, port)) => format!("{name} from {}:{port}", F::ip(address)),
        None => name.to_owned(),
    }
}

/// Why a worker is the owner.
pub(super) fn basis(basis: Basis) -> String {
    match basis {
        Basis::Arrival => "the port always delivers this flow to the same worker".into(),
        Basis::Rss(len) => {
            format!("selected by the ports' hash of the client's address and port (table of {len} entries)")
        }
        Basis::ZeroWindow => {
            "selected by the ports' hash, whose keys see the client's address and port only".into()
        }
        Basis::Client => {
            "selected by a hash of the client's address, port and protocol, since ports do not spread by client"
                .into()
        }
        Basis::LocalPort(Dealing::Even) => "selected by the local address and port".into(),
        Basis::LocalPort(Dealing::Keyed(_)) => {
            "selected by the ports' hash, whose keys see the local address and port only".into()
        }
        Basis::LocalPort(Dealing::Hashed(len)) => {
            format!("selected by the ports' hash of the local address and port (table of {len} entries)")
        }
    }
}

/// Whom a connection ID names.
pub(super) fn called(called: Called, endpoint: impl Fn(ServerId) -> String) -> String {
    let text = match called {
        Called::Server(name, server) => format!("names server ID {name}, {}", endpoint(server)),
        Called::Gone(name, server) => {
            let server = endpoint(server);
            format!("names server ID {name}, but {server} is disabled or down; the scheduler chooses anew")
        }
        Called::Nobody { name: Some(name), begins: false } => {
            format!("names server ID {name}, which no server has; the scheduler chooses anew")
        }
        Called::Nobody { name: None, begins: false } => {
            "is too short, or of no configuration that is here; the scheduler chooses anew".to_owned()
        }
        Called::Nobody { begins: true, .. } => {
            "is the client's own, or names no server that is here; the scheduler chooses".to_owned()
        }
    };
    format!("connection ID: {text}")
}

/// What a scheduler's choice rests on.
pub(super) fn grounds(grounds: Grounds) -> String {
    match grounds {
        Grounds::Turn { place, of } => format!("turn {} of {of}", place + usize::from(of > 0)),
        Grounds::WeightedTurn => "turns in proportion to weights".into(),
        Grounds::Load => "fewest connections (active * 256 + inactive)".into(),
        Grounds::LoadByWeight => {
            "fewest connections for its weight ((active * 256 + inactive) / weight)".into()
        }
        Grounds::Delay => "shortest expected delay ((active + 1) / weight)".into(),
        Grounds::IdleOrDelay => {
            "no active connections, else shortest expected delay ((active + 1) / weight)".into()
        }
        Grounds::HighestWeight => "highest weight".into(),
        Grounds::HighestWeightWithRoom => "highest weight with no more active connections than that".into(),
        Grounds::BetterOfTwo => {
            "fewer connections for its weight ((active * 256 + inactive) / weight), of two drawn at random"
                .into()
        }
        Grounds::Destination { servers: 0 } => {
            "no server known of this destination, so fewest connections for its weight \
             ((active * 256 + inactive) / weight)"
                .into()
        }
        Grounds::Destination { servers } => {
            let whose = match servers {
                1 => "the server of this destination".to_owned(),
                _ => format!("the least loaded of the {servers} servers of this destination"),
            };
            format!(
                "{whose}, unless it has more active connections than its weight while another has less than half"
            )
        }
        Grounds::Slot { slot, of, hashed } => format!("slot {slot} of {of} by a hash of {hashed}"),
    }
}

/// What a method made of a packet whose ends were `before`.
pub(super) fn rewriting<F: Family>(
    snapshot: &Snapshot,
    connection: &Connection<F>,
    direction: Direction,
    at: &Headers<F>,
    (before, packet): (String, &impl Packet),
) -> String {
    let ttl = format!("time to live {} -> {}", at.ttl, at.ttl.saturating_sub(1));
    match connection.method {
        Method::Nat => {
            let side = if direction == Direction::In { "destination" } else { "source" };
            format!("nat: {side} rewritten: {before} -> {}; {ttl}", ends(packet, at))
        }
        Method::FullNat => {
            format!("fullnat: source and destination rewritten: {before} -> {}; {ttl}", ends(packet, at))
        }
        Method::Snat => {
            let side = if direction == Direction::In { "source" } else { "destination" };
            format!("snat: {side} rewritten: {before} -> {}; {ttl}", ends(packet, at))
        }
        Method::L3Dsr => {
            let header = &packet.bytes()[usize::from(at.l3)..];
            format!(
                "l3dsr: destination rewritten, DSCP {}: {before} -> {}; {ttl}",
                F::class(header) >> 2,
                ends(packet, at)
            )
        }
        Method::Dr => format!("dr: addresses unchanged; {ttl}"),
        Method::Tun => {
            let server = &snapshot.servers[connection.server];
            server.tunnel.map_or_else(String::new, |to| wrapped(to.tunnel, server.plan.address, at, packet))
        }
    }
}

/// What a packet is in that goes through a tunnel to a server.
fn wrapped(tunnel: Tunnel, to: IpAddr, at: &Headers<impl Family>, packet: &impl Packet) -> String {
    let outer = packet.bytes().get(usize::from(at.l3)..).unwrap_or_default();
    let version = if to.is_ipv4() { "IPv4" } else { "IPv6" };
    let (from, header_len) = match to {
        IpAddr::V4(_) => (source::<V4>(outer), ipv4::HEADER_LEN),
        IpAddr::V6(_) => (source::<V6>(outer), ipv6::HEADER_LEN),
    };
    let len = at.ip_len + tunnel.overhead(to);
    let port = outer.get(header_len..).filter(|udp| udp.len() >= 2).map_or(0, |udp| get16(udp, 0));
    let (by, ends) = match tunnel.kind {
        Encapsulation::Ipip => ("", format!("{from} > {to}")),
        Encapsulation::Gre => ("GRE and ", format!("{from} > {to}")),
        Encapsulation::Gue | Encapsulation::Gue1 => {
            let by = if tunnel.kind == Encapsulation::Gue { "GUE, UDP and " } else { "UDP and " };
            (by, format!("{} > {}", SocketAddr::new(from, port), SocketAddr::new(to, tunnel.port)))
        }
    };
    let summed = if tunnel.checksum { ", with a checksum" } else { "" };
    format!("tun: encapsulated in {by}{version} {ends}, {len} bytes in total{summed}")
}

/// The source of a header.
fn source<F: Family>(header: &[u8]) -> IpAddr {
    F::ip(if header.len() >= F::HEADER_LEN { F::get(header, F::SOURCE) } else { F::Address::default() })
}

pub(super) fn hop(snapshot: &Snapshot, hop: NextHop) -> String {
    format!("{} behind {}", hop.address, snapshot.interfaces[hop.interface].name)
}

pub(super) fn problem<F: Family>(problem: Problem) -> String {
    let is_ipv4 = F::ETHERTYPE == ethernet::IPV4;
    match problem {
        Problem::TimeExceeded => "time exceeded".into(),
        Problem::TooBig(mtu) if is_ipv4 => format!("fragmentation needed, MTU {mtu}"),
        Problem::TooBig(mtu) => format!("packet too big, MTU {mtu}"),
        Problem::Port => "port unreachable".into(),
        Problem::Protocol if is_ipv4 => "protocol unreachable".into(),
        Problem::Protocol => "unrecognized next header".into(),
    }
}

/// The name of a family.
fn version<F: Family>() -> &'static str {
    if F::ETHERTYPE == ethernet::IPV4 { "IPv4" } else { "IPv6" }
}

/// The name of a family's ICMP.
pub(super) fn icmp<F: Family>() -> &'static str {
    if F::ETHERTYPE == ethernet::IPV4 { "ICMP" } else { "ICMPv6" }
}

/// A time for people.
pub(super) fn time(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms / 1_000 % 60),
        _ => format!("{} h {} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}

/// What happens to the packet.
pub(super) fn outcome(snapshot: &Snapshot, outcome: &Outcome, arrived_on: PortId) -> String {
    match outcome {
        Outcome::Sent { port, frame } => {
            let (to, from) = (ethernet::destination(frame), ethernet::source(frame));
            let port = place(snapshot, *port, frame);
            format!("sent on {port}: {from} > {to}, {} bytes", frame.len())
        }
        Outcome::Waits { port, next_hop, .. } => {
            format!(
                "waits for the Ethernet address of {next_hop}, then is sent on {}",
                port_name(snapshot, *port)
            )
        }
        Outcome::Held => "waits for the first fragment of its datagram, at most 250 ms".into(),
        Outcome::Answered { frame } => format!("answered, on {}", place(snapshot, arrived_on, frame)),
        Outcome::HandedOver(worker, why) => format!("handed over to worker {} ({})", worker.0, why.name()),
        Outcome::Host => "received by the director itself".into(),
        Outcome::Dropped(reason) => format!("dropped: {}: {}", reason.name(), reason.explanation()),
    }
}

/// What telling a server by an option did to a segment; `None` if nothing.
pub(super) fn option(done: &Done) -> Option<String> {
    let Done { option, is_left_out, is_stripped, is_bare, mss } = *done;
    let said = [
        is_stripped.then(|| "the client's own option 254 removed".to_owned()),
        is_bare.then(|| "without its data and fast open, since servers are told first".to_owned()),
        (option > 0).then(|| format!("option 254 of {option} bytes with the client's address inserted")),
        is_left_out.then(|| "no room for the option with the client's address".to_owned()),
        mss.map(|mss| format!("MSS {mss} lowered, to leave room for the option")),
    ];
    let said: Vec<String> = said.into_iter().flatten().collect();
    (!said.is_empty()).then(|| said.join("; "))
}
