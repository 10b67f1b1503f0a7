//! One virtual service, as the operator wants it.

use super::{
    Choice, ClientAddress, Encapsulation, Health, Method, ModuleKind, OwnTunnel, PersistBy, PersistencePlan,
    Protocol, QuicLayout, QuicPlan, SchedulerKind, ServerPlan, TunnelPlan, flags::FLAGS, flags_of,
    timeouts::TIMEOUTS,
};
use crate::{
    conn::timeouts::Timeouts,
    limits::{MAX_SERVERS, MAX_WEIGHT},
    option,
    service::{
        key::{ServerKey, ServiceKey},
        option::{Effect, Kind, Opt, PORT, Scope, Setting, Value, fields, from_table, to_table},
        reach::{Beside, PortRange, Reach},
    },
    time::Duration,
};
use std::net::{IpAddr, SocketAddr};

/// The greatest DSCP, RFC 2474 3.
const MAX_DSCP: u8 = 63;

/// One virtual service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePlan {
    /// The operator's name for it.
    pub name: String,
    /// What else the operator says of it; empty if nothing.
    pub description: String,
    /// Transport protocol; the first, if there are several.
    pub protocol: Protocol,
    /// The address that clients send to; the first of several.
    pub vip: IpAddr,
    /// The port that clients send to; the first of several, 0 of any.
    pub port: u16,
    /// What else clients send to.
    pub beside: Beside,
    /// How packets reach the servers.
    pub method: Method,
    /// The director's addresses that servers see in the place of clients', under FullNAT.
    pub local_addresses: Vec<IpAddr>,
    /// How servers learn clients' addresses.
    pub client_address: ClientAddress,
    /// What reads its connections to know of further ones.
    pub module: ModuleKind,
    /// How packets are wrapped under TUN.
    pub tunnel: TunnelPlan,
    /// What tells servers the VIP under L3DSR: the DSCP of packets. 0 if nothing does.
    pub dscp: u8,
    /// How servers are chosen.
    pub scheduler: SchedulerKind,
    /// Hashing schedulers look at the client's port beside its address: IPVS's flags `sh-port` and `mh-port`.
    pub hash_port: bool,
    /// Hashing schedulers choose another server where the one that the hash says is full: IPVS's flags `sh-fallback` and
    /// `mh-fallback`.
    pub hash_fallback: bool,
    /// For how many servers the table of a hashing scheduler is made, if more are to come.
    pub hash_servers: u32,
    /// Take over TCP connections whose beginning was not seen, instead of resetting them.
    pub adopt: bool,
    /// Each datagram is scheduled by itself, and no connection is kept.
    pub one_packet: bool,
    /// Lower the maximum segment size that SYNs tell to what fits the way.
    pub mss_clamp: Choice,
    /// Timeouts of its connections.
    pub timeouts: Timeouts,
    /// For how long clients stay with their servers.
    pub persistence: PersistencePlan,
    /// How connection IDs of QUIC name its servers.
    pub quic: QuicPlan,
    /// The mark of the firewall by which directors of IPVS know it; 0 if they know it by address.
    pub fwmark: u32,
    /// How long a server that comes back takes to get its whole weight; 0 gives it at once.
    pub slow_start: Duration,
    /// Its servers. No two have the same address and port.
    pub servers: Vec<ServerPlan>,
}

impl ServicePlan {
    /// What can be said of it, beside its servers and how they are checked.
    pub const OPTIONS: &'static [Opt<Self>] = &[
        option!(name, Kind::Name, "Your name for it, unique.").required("\"web\""),
        option!(
            description,
            Kind::Line,
            "What it is, for people: `show services`, metrics, the page and `top` show it. Up to 200 characters."
        )
        .scope(Scope::Everywhere),
        Opt::<Self>::new(
            "vip",
            Kind::Address,
            "The address that clients send to. No port, router or server may have it.",
            |service| service.beside.vips.is_empty().then_some(Value::Address(service.vip)),
            |service, value| {
                service.beside.vips.clear();
                service.vip.assign(value)
            },
        )
        .required_or("vips", "\"192.0.2.100\""),
        Opt::<Self>::new(
            "vips",
            Kind::List(&Kind::Address),
            "In the place of `vip`: several addresses of one family, whose connections share servers, scheduler and \
             all else. The service is known by the first.",
            |service| {
                let vips = service.reach().vips().map(Value::Address);
                (!service.beside.vips.is_empty()).then(|| Value::List(vips.collect()))
            },
            |service, value| {
                let Some(vips) = Vec::<IpAddr>::from_value(value) else { return false };
                if let [first, others @ ..] = &vips[..] {
                    service.vip = *first;
                    service.beside.vips = others.to_vec();
                }
                true
            },
        )
        .required_or("vip", "[\"192.0.2.100\", \"192.0.2.101\"]")
        .effect(Effect::EndsConnections)
        .scope(Scope::Everywhere),
        Opt::<Self>::new(
            "port",
            PORT,
            "The port that clients send to.",
            |service| service.reach().port().map(|port| Value::Number(port.into())),
            |service, value| {
                u16::from_value(value).map(|port| service.set_ports(vec![PortRange::one(port)])).is_some()
            },
        )
        .required_or("ports", "80"),
        Opt::<Self>::new(
            "ports",
            Kind::Ports,
            "In the place of `port`: `\"any\"`, or several ports and ranges of them. Of services that could have a \
             packet, that of exactly its port gets it, else that of the narrowest range. The service is known by the \
             first.",
            |service| {
                let ports = service.beside.ports.iter().map(|ports| ports.to_value());
                (!service.beside.ports.is_empty()).then(|| Value::List(ports.collect()))
            },
            |service, value| {
                let Value::List(values) = value else { return false };
                let ports: Option<Vec<_>> = values.iter().map(PortRange::from_value).collect();
                ports.map(|ports| service.set_ports(ports)).is_some()
            },
        )
        .required_or("port", "[80, 443, \"8000-8099\"]")
        .effect(Effect::EndsConnections)
        .scope(Scope::Everywhere),
        Opt::<Self>::new(
            "protocol",
            Kind::Several(&Kind::Word(Protocol::NAMES)),
            "One, or several in a list. A protocol, VIP and port are one service's, unless `from` or `on` tell its clients apart.",
            |service| {
                let mut names: Vec<Value> = service.protocol_names().collect();
                if names.len() == 1 { names.pop() } else { Some(Value::List(names)) }
            },
            ServicePlan::set_protocols,
        )
        .required("\"tcp\""),
        option!(
            "from" => beside.from,
            Kind::List(&Kind::Network),
            "Networks of the clients that the service is for, of the VIP's family. Services that say different ones, or \
             ports of arrival, may have one VIP and port: of those that have the port equally exactly, a client is served by \
             that of its longest network, then by one with `on` before one without. Such a service is known by its name as \
             well: with another name it is another one. Connections that are open go on when this changes."
        )
        .example("[\"203.0.113.0/24\"]")
        .default("all")
        .scope(Scope::Everywhere),
        option!(
            "on" => beside.on,
            Kind::List(&Kind::Name),
            "Names of the ports or interfaces that clients' packets arrive on, where the service is not for all of them. See \
             `from`."
        )
        .example("[\"wan\"]")
        .default("all")
        .scope(Scope::Everywhere),
        Opt::<Self>::new(
            "protocols",
            Kind::Several(&Kind::Word(Protocol::NAMES)),
            "All its protocols, the first of which it is known by. In a file, `protocol` says so.",
            |service| {
                let is_more = !service.beside.protocols.is_empty();
                is_more.then(|| Value::List(service.protocol_names().collect()))
            },
            ServicePlan::set_protocols,
        )
        .example("[\"tcp\", \"udp\"]")
        .effect(Effect::EndsConnections)
        .scope(Scope::Control),
        option!(method, Kind::Word(Method::NAMES), "How packets reach the servers.")
            .required("\"nat\"")
            .effect(Effect::EndsConnections),
        Opt::<Self>::new(
            "local_addresses",
            Kind::List(&Kind::Address),
            "Addresses of the director that servers see in the place of clients', under fullnat: nobody else's, and \
             answered for as VIPs are. Each has 60,000 connections with each server. One that is removed serves its \
             connections until they end. They are of the servers' family, which may be another than the VIP's: packets are \
             translated then.",
            |service| {
                Some(Value::List(service.local_addresses.iter().copied().map(Value::Address).collect()))
            },
            |service, value| {
                let Value::List(values) = value else { return false };
                let addresses = values.iter().map(|value| match value {
                    Value::Address(address) => Some(*address),
                    _ => None,
                });
                let Some(addresses) = addresses.collect() else { return false };
                service.local_addresses = addresses;
                true
            },
        )
        .example("[\"198.51.100.20\"]")
        .scope(Scope::Everywhere),
        option!(
            client_address,
            Kind::Word(ClientAddress::NAMES),
            "What tells servers the client's address, under nat and fullnat: a header of the PROXY protocol, of version 1 \
             (a line of text, tcp only) or 2 (binary; with udp in front of every datagram), which servers must expect; or, \
             under fullnat, option 254 in the first segments of tcp (`toa`), which others ignore. Connections that are \
             adopted have none."
        )
        .scope(Scope::Everywhere),
        option!(
            module,
            Kind::Word(ModuleKind::NAMES),
            "What reads connections to know which further ones belong to their servers. `ftp`: data connections, in \
             passive and active mode; under nat and fullnat, servers' addresses become the VIP, and under fullnat clients' \
             the local address; tcp only. `rtsp`: media over UDP goes to the server that it was agreed on with, and under nat \
             servers' addresses in headers become the VIP; tcp only, not under fullnat. `pptp`: packets of a call (GRE) go with \
             their control connection; tcp port 1723 only. `sip`: under nat, media goes to the \
             server that says where it waits for it, and servers' addresses become the VIP; under tun, dr and l3dsr, media \
             from where the client says goes to the server that it called; udp and tcp. `tftp`: the rest of a transfer, \
             between the client's port and one of the server's own; udp only. `irc` is for rules of `[[snat]]`. Not together \
             with `client_address`."
        )
        .scope(Scope::Everywhere),
        option!(
            "tunnel" => tunnel.kind,
            Kind::Word(Encapsulation::NAMES),
            "What packets are wrapped in under `tun`: IP in IP, GRE, or UDP with GUE's header (`gue`) or without \
             (`gue1`, its variant 1). Servers may differ."
        )
        .scope(Scope::Everywhere),
        option!(
            "tunnel_port" => tunnel.port,
            PORT,
            "The UDP port that servers take packets at under `gue` and `gue1`."
        )
        .scope(Scope::Everywhere),
        option!(
            "tunnel_checksum" => tunnel.checksum,
            Kind::Word(Choice::NAMES),
            "Whether a checksum in GRE's or UDP's header covers packets. It costs reading all of each. `default` is on \
             for UDP over IPv6, else off."
        )
        .scope(Scope::Everywhere),
        option!(
            dscp,
            Kind::number(0, MAX_DSCP as u64),
            "The DSCP by which servers under `l3dsr` know packets for the VIP: 1 to 63, and no other VIP's at its \
             servers. A change is for all connections at once. 0 for other methods."
        )
        .scope(Scope::Everywhere),
        Opt::<Self>::new(
            "scheduler",
            Kind::Word(SchedulerKind::NAMES),
            "How a server is chosen for a new connection.",
            |service| service.scheduler.to_value(),
            |service, value| {
                // What is said of the scheduler before does not hold for every other.
                let is_set = service.scheduler.assign(value);
                let has_flags = flags_of(service.scheduler).is_some();
                service.hash_port &= has_flags;
                service.hash_fallback &= has_flags;
                service.hash_servers *= u32::from(service.scheduler.has_table());
                is_set
            },
        )
        .scope(Scope::Everywhere),
        Opt::<Self>::new(
            "flags",
            Kind::List(&Kind::Word(FLAGS)),
            "`-port`: the scheduler of that name hashes the client's port as well as its address. `-fallback`: it \
             chooses another server where the one that the hash says is full.",
            |service| Some(Value::List(service.flags().map(|flag| Value::Text(flag.to_owned())).collect())),
            |service, value| {
                let Value::List(words) = value else { return false };
                let has = |end: &str| {
                    words.iter().any(|word| matches!(word, Value::Text(word) if word.ends_with(end)))
                };
                (service.hash_port, service.hash_fallback) = (has("-port"), has("-fallback"));
                true
            },
        )
        .example("[\"mh-port\"]"),
        option!(
            hash_port,
            Kind::Flag,
            "The scheduler hashes the client's port as well as its address. In a file, `flags` say so."
        )
        .scope(Scope::Control),
        option!(
            hash_fallback,
            Kind::Flag,
            "The scheduler chooses another server where the one that the hash says is full. In a file, `flags` say so."
        )
        .scope(Scope::Control),
        option!(
            hash_servers,
            Kind::number(0, MAX_SERVERS as u64),
            "For how many servers the lookup table of `sh`, `dh` and `mh` is made, where more are to come. A service that grows \
             beyond 32, 1,024 or 16,384 servers gets a larger table, and nearly all clients get another server; with this it \
             has the larger one from the start. 0: those that there are."
        )
        .scope(Scope::Everywhere),
        option!(
            adopt,
            Kind::Flag,
            "Adopt TCP connections whose handshake was not seen, instead of resetting them. For directors behind \
             ECMP, with a hashing scheduler."
        )
        .scope(Scope::Everywhere),
        option!(
            mss_clamp,
            Kind::Word(Choice::NAMES),
            "Lower the MSS that SYNs tell to what fits the way to the server and, with `nat` and `fullnat`, which see \
             SYN+ACKs too, to the client. `default` is on for `tun`, else off."
        )
        .scope(Scope::Everywhere),
        option!(
            one_packet,
            Kind::Flag,
            "Each datagram is scheduled by itself, and no connection is kept: for UDP, under tun, dr and l3dsr. ipvsadm: `-o`."
        )
        .scope(Scope::Everywhere),
        Opt::<Self>::new(
            "persistence",
            Kind::Table(|| fields(PersistencePlan::OPTIONS)),
            "Clients stay with their servers, as in `persistence = { timeout = \"5m\" }`, over all that they send to the \
             service.",
            |service| Some(to_table(PersistencePlan::OPTIONS, &service.persistence)),
            |service, value| from_table(PersistencePlan::OPTIONS, &mut service.persistence, value),
        )
        .default("none"),
        option!(
            "persistence_timeout" => persistence.timeout,
            Kind::Duration,
            "How long clients stay with their servers; 0 for not at all. In a file, `persistence.timeout`."
        )
        .scope(Scope::Control),
        option!(
            "persistence_prefix" => persistence.prefix,
            Kind::number(0, 128),
            "Bits of addresses that are one client's. In a file, `persistence.prefix`."
        )
        .scope(Scope::Control),
        option!(
            "persistence_by" => persistence.by,
            Kind::Word(PersistBy::NAMES),
            "What clients are known by: their addresses, or SIP's Call-IDs. In a file, `persistence.by`."
        )
        .scope(Scope::Control),
        option!(
            "persistence_expire_quiescent" => persistence.expire_quiescent,
            Kind::Flag,
            "Clients do not stay with a server that takes no new connections."
        )
        .scope(Scope::Control),
        Opt::<Self>::new(
            "quic",
            Kind::Table(|| fields(QuicPlan::OPTIONS)),
            "Connections of QUIC go to the server that their connection ID names, also from another address of the client, \
             as in `quic = { layout = \"katran\" }`.",
            |service| Some(to_table(QuicPlan::OPTIONS, &service.quic)),
            |service, value| {
                // Of another layout there may be no configurations, which tables then say nothing of.
                let mut quic = QuicPlan::default();
                let is_set = from_table(QuicPlan::OPTIONS, &mut quic, value);
                service.quic = quic;
                is_set
            },
        )
        .default("none"),
        option!(
            "quic_layout" => quic.layout,
            Kind::Word(QuicLayout::NAMES),
            "Where a server's ID stands in connection IDs of QUIC. In a file, `quic.layout`."
        )
        .scope(Scope::Control),
        option!(
            fwmark,
            Kind::number(0, u32::MAX as u64),
            "The mark of the firewall by which directors of IPVS know the service, if `[ipvs_sync]` is used; 0 where they \
             know it by address and port. ipvsadm: `-f`."
        )
        .scope(Scope::Everywhere),
        option!(
            slow_start,
            Kind::Duration,
            "How long a server that is enabled, up again, or added to a service that runs takes to get its full \
             weight: it starts with a twentieth of it, so that a server with cold caches is not overloaded. 0 \
             gives the full weight at once."
        )
        .scope(Scope::Everywhere),
        Opt::<Self>::new(
            "timeouts",
            Kind::Table(|| fields(TIMEOUTS)),
            "Timeouts of this service, as in `timeouts = { established = \"1h\" }`.",
            |service| Some(to_table(TIMEOUTS, &service.timeouts)),
            |service, value| from_table(TIMEOUTS, &mut service.timeouts, value),
        )
        .default("those of `[timeouts]`"),
    ];

    /// A service without servers, with the default of everything that has one.
    #[must_use]
    pub fn new(name: impl Into<String>, key: ServiceKey, method: Method) -> Self {
        ServicePlan {
            name: name.into(),
            description: String::new(),
            protocol: key.protocol,
            vip: key.vip,
            port: key.port,
            beside: if key.port == 0 {
                Beside { ports: vec![PortRange::ANY], ..Beside::default() }
            } else {
                Beside::default()
            },
            method,
            local_addresses: Vec::new(),
            client_address: ClientAddress::Packets,
            module: ModuleKind::None,
            tunnel: TunnelPlan::default(),
            dscp: 0,
            // IPVS's default.
            scheduler: SchedulerKind::Wlc,
            hash_port: false,
            hash_fallback: false,
            hash_servers: 0,
            adopt: false,
            one_packet: false,
            mss_clamp: Choice::Default,
            timeouts: Timeouts::default(),
            persistence: PersistencePlan::default(),
            quic: QuicPlan::default(),
            fwmark: 0,
            slow_start: Duration::ZERO,
            servers: Vec::new(),
        }
    }

    /// Bytes that packets to a server of that address grow by, if it says of its tunnel what is given.
    #[must_use]
    pub fn overhead(&self, own: OwnTunnel, server: IpAddr) -> u16 {
        if self.method.tunnels() { self.tunnel.with(own, server).overhead(server) } else { 0 }
    }

    /// IPVS's flags that say what it is.
    pub fn flags(&self) -> impl Iterator<Item = &'static str> {
        let is_said = [self.hash_port, self.hash_fallback];
        let flags = flags_of(self.scheduler).into_iter().flatten().zip(is_said);
        flags.filter(|(_, said)| *said).map(|(flag, _)| flag)
    }

    /// Whether its servers are of another family than its clients, so that packets are translated. Its local addresses say
    /// so: they are of the servers' family.
    #[must_use]
    pub fn translates(&self) -> bool {
        self.method.hides_clients()
            && self.local_addresses.first().is_some_and(|local| local.is_ipv4() != self.vip.is_ipv4())
    }

    /// What it is known by.
    #[must_use]
    pub fn key(&self) -> ServiceKey {
        self.beside.key(self.place(), &self.name)
    }

    /// The same without its name.
    #[must_use]
    pub const fn place(&self) -> ServiceKey {
        ServiceKey { protocol: self.protocol, vip: self.vip, port: self.port, label: None }
    }

    /// What it would be known by if it said `from` or `on` and does not, or the other way round.
    #[must_use]
    pub fn key_otherwise(&self) -> ServiceKey {
        if self.beside.is_choosy() { self.place() } else { self.place().named(&self.name) }
    }

    /// All that clients send to.
    #[must_use]
    pub const fn reach(&self) -> Reach<'_> {
        Reach { key: self.place(), beside: &self.beside }
    }

    /// Its port, if it has one only.
    #[must_use]
    pub fn one_port(&self) -> Option<u16> {
        self.reach().port()
    }

    /// The port of a server that has none of its own: the service's, or 0, which is the port that a packet was sent to.
    #[must_use]
    pub fn default_server_port(&self) -> u16 {
        self.one_port().unwrap_or(0)
    }

    /// Clients send to these ports.
    pub fn set_ports(&mut self, ports: Vec<PortRange>) {
        let Some(first) = ports.first() else { return };
        self.port = first.first;
        self.beside.ports = if ports.len() == 1 && first.port().is_some() { Vec::new() } else { ports };
    }

    fn protocol_names(&self) -> impl Iterator<Item = Value> + '_ {
        self.reach().protocols().map(|protocol| Value::Text(protocol.name().to_owned()))
    }

    fn set_protocols(&mut self, value: &Value) -> bool {
        let one = Value::List(vec![value.clone()]);
        let list = if matches!(value, Value::List(_)) { value } else { &one };
        let Some(protocols) = Vec::<Protocol>::from_value(list) else { return false };
        if let [first, others @ ..] = &protocols[..] {
            self.protocol = *first;
            self.beside.protocols.clear();
            for other in others.iter().filter(|other| *other != first) {
                if !self.beside.protocols.contains(other) {
                    self.beside.protocols.push(*other);
                }
            }
        }
        true
    }

    /// Its servers with what they are known by.
    pub fn keyed_servers(&self) -> impl Iterator<Item = (ServerKey, &ServerPlan)> {
        let key = self.key();
        self.servers.iter().map(move |server| (key.server(server.endpoint()), server))
    }

    /// Its server at that address and port.
    #[must_use]
    pub fn server(&self, endpoint: SocketAddr) -> Option<&ServerPlan> {
        self.servers.iter().find(|server| server.endpoint() == endpoint)
    }

    /// The same, to be changed.
    pub fn server_mut(&mut self, endpoint: SocketAddr) -> Option<&mut ServerPlan> {
        self.servers.iter_mut().find(|server| server.endpoint() == endpoint)
    }

    /// The weights that its scheduler uses. While a server warms up all are larger by the same factor, so that one
    /// of weight 1 can have a part of it.
    #[must_use]
    pub fn scheduler_weights(&self) -> Vec<u32> {
        let warms = self.servers.iter().any(|server| matches!(server.health, Health::Warming(_)));
        let highest = self.servers.iter().map(ServerPlan::advised_weight).max().unwrap_or_default();
        let scale = if warms && highest <= MAX_WEIGHT / WARMING_SCALE { WARMING_SCALE } else { 1 };
        self.servers.iter().map(|server| server.scaled_weight(scale)).collect()
    }
}

/// How much finer weights are while a server warms up.
const WARMING_SCALE: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::plan::Health;
    use std::net::Ipv4Addr;

    #[test]
    fn a_part_of_a_small_weight_is_possible_while_a_server_warms_up() {
        let servers = [1, 2].map(|weight| ServerPlan::new(Ipv4Addr::LOCALHOST, 80, weight));
        let mut service = ServicePlan {
            servers: servers.to_vec(),
            ..ServicePlan::new("web", "tcp 127.0.0.1:80".parse().unwrap(), Method::Nat)
        };
        assert_eq!(service.scheduler_weights(), [1, 2]);
        service.servers[0].health = Health::Warming(50);
        assert_eq!(service.scheduler_weights(), [1, 40]);
        service.servers[0].health = Health::Warming(950);
        assert_eq!(service.scheduler_weights(), [19, 40]);
        service.servers[1].weight = MAX_WEIGHT;
        assert_eq!(service.scheduler_weights(), [1, MAX_WEIGHT], "there is no room for finer ones");
    }
}
