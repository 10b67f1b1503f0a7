//! What a simulated world consists of, and where everything is.

use crate::network::Faults;
use ipnet::IpNet;
use lb_core::{
    flow::{
        hashing::{DESTINATION_ONLY, Hashing, SOURCE_ONLY},
        owner::RSS_KEY_WORD,
    },
    packet::PortId,
    service::{
        key::{Protocol, ServiceKey},
        plan::{
            InterfacePlan, Mac, Method, ModuleKind, Plan, PortPlan, SchedulerKind, ServerPlan, ServicePlan,
            SnatModules, SnatPlan, Spread,
        },
        reach::PortRange,
    },
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The TCP port that clients send to.
pub(crate) const TCP_PORT: u16 = 80;
/// The UDP port that clients send to.
pub(crate) const UDP_PORT: u16 = 53;
pub(crate) const SCTP_PORT: u16 = 3868;
/// The port that hosts outside offer.
pub(crate) const OFFERED: u16 = 8080;

/// What stands for the VIP, under L3DSR.
const DSCP: u8 = 11;

/// A host's address on the clients' network (1) or the servers' (2), which both families have.
fn address(is_ipv6: bool, network: u16, host: u8) -> IpAddr {
    match (is_ipv6, network) {
        (false, 1) => Ipv4Addr::new(192, 0, 2, host).into(),
        (false, _) => Ipv4Addr::new(198, 51, 100, host).into(),
        (true, _) => Ipv6Addr::new(0x2001, 0xdb8, network, 0, 0, 0, 0, host.into()).into(),
    }
}

/// Entries of the ports' redirection tables.
pub(crate) const TABLE: u16 = 128;

/// A world to be simulated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) method: Method,
    /// Whether clients and the service are of IPv6.
    pub(crate) is_ipv6: bool,
    /// Whether servers are: behind a tunnel they may be of the other family.
    pub(crate) to_ipv6: bool,
    pub(crate) workers: usize,
    pub(crate) spread: Spread,
    pub(crate) scheduler: SchedulerKind,
    /// Hashing schedulers look at the client's port as well.
    pub(crate) hash_port: bool,
    pub(crate) adopt: bool,
    /// What reads connections of TCP; of IRC, those that servers open.
    pub(crate) module: ModuleKind,
    pub(crate) connections_per_worker: usize,
    pub(crate) clients: usize,
    pub(crate) servers: usize,
    pub(crate) faults: Faults,
    /// Bytes of the largest packet that gets to the director in one piece; all do if there are none.
    pub(crate) fragments: Option<usize>,
    /// Bytes of each socket's two buffers.
    pub(crate) buffers: usize,
    /// Clients and servers are behind one port of the director.
    pub(crate) one_arm: bool,
    /// What servers send by themselves leaves with an address of the director's.
    pub(crate) outward: bool,
    /// Packets that a hand-over ring takes.
    pub(crate) ring: usize,
    /// Largest packet that servers say they take.
    pub(crate) server_mtu: usize,
    pub(crate) seed: u64,
}

impl Setup {
    /// Two clients, two servers in turn, a network without faults.
    pub(crate) fn new(method: Method, workers: usize, spread: Spread) -> Self {
        Setup {
            method,
            is_ipv6: false,
            to_ipv6: false,
            workers,
            spread,
            scheduler: SchedulerKind::Rr,
            hash_port: true,
            adopt: false,
            module: ModuleKind::None,
            connections_per_worker: 1024,
            clients: 2,
            servers: 2,
            faults: Faults::NONE,
            fragments: None,
            buffers: 16 << 10,
            one_arm: false,
            outward: false,
            ring: usize::MAX,
            // As on a real tunnel interface, so that clients send segments that fit the tunnel.
            server_mtu: if method == Method::Tun { 1480 } else { 1500 },
            seed: 1,
        }
    }

    /// The same with clients, and servers, of IPv6 or not.
    pub(crate) fn families(self, is_ipv6: bool, to_ipv6: bool) -> Self {
        let tunnel = if to_ipv6 { 40 } else { 20 };
        let server_mtu = if self.method == Method::Tun { 1500 - tunnel } else { self.server_mtu };
        Setup { is_ipv6, to_ipv6, server_mtu, ..self }
    }

    /// Every method in each family with one worker, and with three and every spread; tunnels of the other family with one
    /// of these.
    pub(crate) fn all() -> Vec<Setup> {
        let spreads =
            [(1, Spread::Unknown), (3, Spread::Unknown), (3, Spread::ByFlow), (3, Spread::ByClient)];
        let of = |&method: &Method| spreads.map(|(workers, spread)| Setup::new(method, workers, spread));
        let same = [false, true].map(|is_ipv6| (is_ipv6, is_ipv6));
        let each = |families: (bool, bool)| {
            let setups = Method::ALL.iter().flat_map(of);
            setups.map(move |setup| setup.families(families.0, families.1))
        };
        let tun = Setup::new(Method::Tun, 3, Spread::ByFlow);
        let other = [false, true].map(|is_ipv6| tun.families(is_ipv6, !is_ipv6));
        same.into_iter().flat_map(each).chain(other).collect()
    }

    /// Every method and family by one port, which cannot tell directions apart.
    pub(crate) fn one_arm() -> Vec<Setup> {
        let cannot = |setup: &Setup| setup.spread != Spread::ByClient;
        Setup::all().into_iter().filter(cannot).map(|setup| Setup { one_arm: true, ..setup }).collect()
    }

    /// The address that clients send to. It is on the clients' network, so they ask who has it.
    pub(crate) fn vip(&self) -> IpAddr {
        address(self.is_ipv6, 1, 100)
    }

    pub(crate) fn client_address(&self, client: usize) -> IpAddr {
        address(self.is_ipv6, 1, 10 + client as u8)
    }

    pub(crate) fn server_address(&self, server: usize) -> IpAddr {
        address(self.to_ipv6, 2, 11 + server as u8)
    }

    /// The director on the servers' network.
    pub(crate) fn director_lan(&self) -> IpAddr {
        address(self.to_ipv6, 2, 1)
    }

    /// What servers see in the place of clients, under FullNAT.
    fn local_address(&self) -> IpAddr {
        address(self.is_ipv6, 2, 20)
    }

    /// What servers' own packets leave with, under SNAT.
    pub(crate) fn outbound(&self) -> IpAddr {
        address(self.is_ipv6, 1, 50)
    }

    /// The router from the servers' network to the clients', by which servers answer under TUN, DR and L3DSR.
    pub(crate) fn router(&self) -> IpAddr {
        // smoltcp wants it on a network of its own addresses: of this family that is the VIP's only.
        if self.is_ipv6 == self.to_ipv6 {
            address(self.is_ipv6, 2, 254)
        } else {
            address(self.is_ipv6, 1, 101)
        }
    }

    /// Bits of the VIP's network on servers: just the VIP's own, and the router's.
    pub(crate) fn vip_prefix(&self) -> u8 {
        if self.is_ipv6 { 126 } else { 30 }
    }

    /// What tells servers that a packet to their own address is for the VIP, if anything does.
    pub(crate) fn mark(&self) -> Option<u8> {
        self.method.marks().then_some(DSCP)
    }

    /// The port that servers listen on; only NAT can map it.
    pub(crate) fn server_port(&self, protocol: Protocol) -> u16 {
        match (self.method.rewrites_endpoints(), protocol) {
            (true, Protocol::Tcp) => 8080,
            (true, Protocol::Udp) => 5353,
            (true, Protocol::Sctp) => 3868,
            (false, Protocol::Tcp) => TCP_PORT,
            (false, Protocol::Udp) => UDP_PORT,
            (false, Protocol::Sctp) => SCTP_PORT,
            // Who is asked for an echo has none.
            (_, Protocol::Icmp) => 0,
        }
    }

    /// The director's configuration.
    pub(crate) fn plan(&self) -> Plan {
        // What ports are asked for they say that they do.
        let hashing = |side| Hashing {
            types: vec!["ipv4-tcp", "ipv6-tcp", "ipv4-udp", "ipv6-udp", side],
            key: Some(RSS_KEY_WORD.to_be_bytes().repeat(20)),
            table: Some((0..TABLE).map(|entry| entry % self.workers as u16).collect()),
        };
        let port = |name: &str| PortPlan {
            name: name.to_owned(),
            spread: self.spread,
            hashing: match (self.spread, name) {
                (Spread::ByClient, "wan") => hashing(SOURCE_ONLY),
                (Spread::ByClient, _) => hashing(DESTINATION_ONLY),
                (Spread::Unknown | Spread::ByFlow, _) => Hashing::default(),
            },
        };
        let families = if self.is_ipv6 == self.to_ipv6 { vec![self.is_ipv6] } else { vec![false, true] };
        let own = |network: u16, is_ipv6: bool| {
            let prefix = if is_ipv6 { 64 } else { 24 };
            format!("{}/{prefix}", address(is_ipv6, network, 1)).parse().unwrap()
        };
        let interface = |name: &str, port: u8, networks: &[u16]| InterfacePlan {
            mac: director_mac(port),
            addresses: families
                .iter()
                .flat_map(|&is_ipv6| networks.iter().map(move |&network| own(network, is_ipv6)))
                .collect(),
            ..InterfacePlan::new(name, PortId(port.into()))
        };
        let (ports, interfaces) = match self.one_arm {
            false => {
                (vec![port("wan"), port("lan")], vec![interface("wan", 0, &[1]), interface("lan", 1, &[2])])
            }
            true => (vec![port("wan")], vec![interface("wan", 0, &[1, 2])]),
        };
        Plan {
            ports,
            interfaces,
            services: vec![self.service(Protocol::Tcp), self.service(Protocol::Udp)],
            snat: Vec::from_iter(self.outward.then(|| SnatPlan {
                sources: vec![
                    IpNet::new(self.server_address(0), if self.to_ipv6 { 64 } else { 24 }).unwrap().trunc(),
                ],
                addresses: vec![self.outbound()],
                modules: match self.module {
                    ModuleKind::Irc => {
                        SnatModules { irc: vec![PortRange::one(OFFERED)], ..SnatModules::default() }
                    }
                    _ => SnatModules::default(),
                },
                ..SnatPlan::new("outbound")
            })),
            verify_checksums: true,
            redirection_len: if self.spread == Spread::ByClient { TABLE } else { 0 },
            ..Plan::default()
        }
    }

    fn service(&self, protocol: Protocol) -> ServicePlan {
        let port = self.server_port(protocol);
        let vip = SocketAddr::new(self.vip(), if protocol == Protocol::Tcp { TCP_PORT } else { UDP_PORT });
        ServicePlan {
            scheduler: self.scheduler,
            hash_port: self.hash_port,
            adopt: self.adopt,
            module: match (protocol, self.module) {
                (Protocol::Tcp, module) if module != ModuleKind::Irc => module,
                _ => ModuleKind::None,
            },
            local_addresses: Vec::from_iter(self.method.hides_clients().then_some(self.local_address())),
            dscp: if self.method.marks() { DSCP } else { 0 },
            servers: (0..self.servers)
                .map(|server| ServerPlan::new(self.server_address(server), port, 1))
                .collect(),
            ..ServicePlan::new(protocol.name(), ServiceKey::new(protocol, vip), self.method)
        }
    }
}

pub(crate) fn director_mac(port: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, port])
}

pub(crate) fn client_mac(client: usize) -> Mac {
    Mac([2, 0, 0, 0, 1, client as u8])
}

pub(crate) fn server_mac(server: usize) -> Mac {
    Mac([2, 0, 0, 0, 2, server as u8])
}

/// The router on the clients' network (0) and on the servers' (1).
pub(crate) fn router_mac(port: u8) -> Mac {
    Mac([2, 0, 0, 0, 3, port])
}
