//! What a worker is to deal with: services, servers, connections.

use ipnet::IpNet;
use lb_core::{
    conn::{state::State, timeouts::Timeouts},
    packet::PortId,
    service::{
        key::{Protocol, ServiceKey},
        plan::{
            DirectorPlan, HeldAddresses, InterfacePlan, Mac, Method, Plan, PortPlan, QuicConfig, QuicKey,
            QuicLayout, QuicPlan, RoutePlan, SchedulerKind, ServerPlan, ServicePlan, SnatPlan, Spread,
        },
    },
    time::Duration,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(crate) const WAN: PortId = PortId(0);
pub(crate) const LAN: PortId = PortId(1);
pub(crate) const WAN_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
pub(crate) const LAN_MAC: Mac = Mac([2, 0, 0, 0, 0, 2]);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);
/// The first client.
pub(crate) const FIRST_CLIENT: u32 = 0x0a00_0000;
/// The first VIP; service number n has the nth address from here.
pub(crate) const FIRST_VIP: u32 = 0xcb00_7100;
pub(crate) const SERVICE_PORT: u16 = 80;
/// Connections of one local address with one server: less than half of what there are ports for, so that no search for a
/// free one gives up.
const PER_LOCAL: u32 = 25_000;
/// Servers under NAT and FullNAT listen elsewhere.
pub(crate) const NAT_PORT: u16 = 8_080;

/// Those that there are packets of here: every packet of SCTP takes the general way, whatever its method.
pub(crate) const PROTOCOLS: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

/// What the worker is to deal with.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// How packets are forwarded.
    pub method: Method,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Services of the other protocol stand beside those of this one.
    pub both_protocols: bool,
    /// How servers are chosen.
    pub scheduler: SchedulerKind,
    /// Connections to open before anything is measured.
    pub connections: u32,
    /// Room for more.
    pub spare: u32,
    /// Virtual services, each with its own address.
    pub services: u32,
    /// Servers of each service.
    pub servers: u32,
    /// The worker verifies checksums itself.
    pub verify: bool,
    /// Connection IDs of QUIC name servers, encrypted by four passes.
    pub reads_ids: bool,
    /// Everything has an address of IPv6 instead: see [`ipv6`].
    pub is_ipv6: bool,
    /// But servers, and what they see of the director, are of the other family: for FullNAT, which translates.
    pub is_translated: bool,
}

impl Setup {
    /// One service with two servers, and room for the connections.
    #[must_use]
    pub fn new(method: Method, protocol: Protocol, connections: u32) -> Self {
        Setup {
            method,
            protocol,
            both_protocols: false,
            scheduler: SchedulerKind::Rr,
            connections,
            spare: 0,
            // Whom servers ask under SNAT: so many that addresses are enough for all connections.
            services: if method.is_outward() { 8 } else { 1 },
            servers: 2,
            verify: false,
            reads_ids: false,
            is_ipv6: false,
            is_translated: false,
        }
    }

    /// What a case is called behind its name because of the families of clients and servers.
    #[must_use]
    pub fn families(&self) -> &'static str {
        match (self.is_ipv6, self.is_translated) {
            (false, false) => "",
            (true, false) => "-ipv6",
            (true, true) => "-nat64",
            (false, true) => "-nat46",
        }
    }

    /// Whether servers are of IPv6.
    pub(crate) fn serves_by_ipv6(&self) -> bool {
        self.is_ipv6 != self.is_translated
    }

    /// The address of a server.
    pub(crate) fn server_address(&self, service: u32, server: u32) -> u32 {
        // 198.18.0.0/15 is for benchmarks, RFC 2544; the director's own address is its first.
        0xc612_0001 + 1 + service * self.servers + server
    }

    /// The configuration.
    pub(crate) fn plan(&self) -> Plan {
        let one = [self.protocol];
        let protocols: &[Protocol] = if self.both_protocols { &[Protocol::Tcp, Protocol::Udp] } else { &one };
        let numbers = (0..self.services).flat_map(|number| protocols.iter().map(move |each| (number, *each)));
        Plan {
            ports: vec![port("wan"), port("lan")],
            interfaces: vec![
                interface("wan", WAN, WAN_MAC, [("192.0.2.1", 24), ("2001:db8::192.0.2.1", 120)]),
                interface("lan", LAN, LAN_MAC, [("198.18.0.1", 15), ("2001:db8::198.18.0.1", 111)]),
            ],
            routes: self.routes(),
            timeouts: timeouts(),
            services: match self.method.is_outward() {
                true => Vec::new(),
                false => numbers.map(|(number, protocol)| self.service(number, protocol)).collect(),
            },
            snat: self.method.is_outward().then(|| self.rule()).into_iter().collect(),
            vips: Vec::new(),
            tunnel_local: None,
            tunnel_sources: Vec::new(),
            verify_checksums: self.verify,
            redirection_len: 0,
            zero_window: None,
            director: DirectorPlan::default(),
            held: HeldAddresses::new(),
            host_ports: Vec::new(),
        }
    }

    /// Outward by the one router; under SNAT, to those who ask by another.
    fn routes(&self) -> Vec<RoutePlan> {
        let mut routes: Vec<RoutePlan> = ["0.0.0.0/0", "::/0"].map(route).into();
        if self.method.is_outward() {
            routes.push(RoutePlan::new(self.askers(), address(self.is_ipv6, 0xc612_0009)));
        }
        routes
    }

    /// Where clients are; under SNAT, the servers that ask.
    fn askers(&self) -> IpNet {
        let bits = if self.is_ipv6 { 104 } else { 8 };
        IpNet::new(address(self.is_ipv6, FIRST_CLIENT), bits).expect("a network")
    }

    /// What is asked under SNAT stands where services do otherwise.
    fn rule(&self) -> SnatPlan {
        SnatPlan {
            sources: vec![self.askers()],
            addresses: self.local_addresses(self.services, 0xc633_6401),
            ..SnatPlan::new("outbound")
        }
    }

    /// As many as all connections need, and some more, from an address on, with so many endpoints to have them with.
    fn local_addresses(&self, endpoints: u32, first: u32) -> Vec<IpAddr> {
        let count = 1 + (self.connections + self.spare) / (endpoints * PER_LOCAL);
        (0..count).map(|number| address(self.serves_by_ipv6(), first + number)).collect()
    }

    fn service(&self, number: u32, protocol: Protocol) -> ServicePlan {
        let server = |server| {
            let port = if self.method.rewrites_endpoints() { NAT_PORT } else { SERVICE_PORT };
            ServerPlan::new(address(self.serves_by_ipv6(), self.server_address(number, server)), port, 1)
        };
        let vip = SocketAddr::new(address(self.is_ipv6, FIRST_VIP + number), SERVICE_PORT);
        let key = ServiceKey::new(protocol, vip);
        ServicePlan {
            scheduler: self.scheduler,
            timeouts: timeouts(),
            servers: (0..self.servers).map(server).collect(),
            // At the end of the servers' network.
            local_addresses: match self.method.hides_clients() {
                true => self.local_addresses(self.services * self.servers, 0xc613_ff01),
                false => Vec::new(),
            },
            dscp: if self.method.marks() { 11 } else { 0 },
            quic: if self.reads_ids { quic() } else { QuicPlan::default() },
            ..ServicePlan::new(format!("{protocol}-{number}"), key, self.method)
        }
    }
}

/// A configuration that takes all of four passes, as the name reaches into the right half.
fn quic() -> QuicPlan {
    let config =
        QuicConfig { rotation: 0, server_id_length: 8, nonce_length: 4, key: Some(QuicKey([7; 16])) };
    QuicPlan { layout: QuicLayout::QuicLb, configs: vec![config] }
}

/// Connections that are there to be touched outlive every measurement.
fn timeouts() -> Timeouts {
    let mut timeouts = Timeouts::default();
    timeouts.set(State::Established, Duration::from_secs(10 * 86_400));
    timeouts
}

fn port(name: &str) -> PortPlan {
    PortPlan {
        name: name.to_owned(),
        spread: Spread::ByClient,
        hashing: lb_core::flow::hashing::Hashing::default(),
    }
}

/// An address in a family.
pub(crate) fn address(is_ipv6: bool, bits: u32) -> IpAddr {
    if is_ipv6 { Ipv6Addr::from_bits(ipv6(bits)).into() } else { Ipv4Addr::from_bits(bits).into() }
}

/// The address of IPv6 in the place of one of IPv4.
pub(crate) const fn ipv6(bits: u32) -> u128 {
    0x2001_0db8 << 96 | bits as u128
}

fn route(to: &str) -> RoutePlan {
    let to: IpNet = to.parse().expect("a network");
    let via = match to {
        IpNet::V4(_) => GATEWAY.into(),
        IpNet::V6(_) => Ipv6Addr::from_bits(ipv6(GATEWAY.to_bits())).into(),
    };
    RoutePlan::new(to, via)
}

fn interface(name: &str, port: PortId, mac: Mac, networks: [(&str, u8); 2]) -> InterfacePlan {
    let network =
        |(own, bits): (&str, u8)| IpNet::new(own.parse().expect("an address"), bits).expect("a network");
    let addresses = networks.map(network).into();
    InterfacePlan { mac, addresses, ..InterfacePlan::new(name, port) }
}
