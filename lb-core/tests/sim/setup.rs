//! What a simulated world consists of, and where everything is.

use crate::network::Faults;
use lb_core::{
    packet::PortId,
    service::{
        key::{Protocol, ServiceKey},
        plan::{InterfacePlan, Mac, Method, Plan, PortPlan, SchedulerKind, ServerPlan, ServicePlan, Spread},
    },
};
use std::net::{Ipv4Addr, SocketAddr};

/// The address that clients send to. It is on the clients' network, so they ask for it by ARP.
pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
/// The TCP port that clients send to.
pub(crate) const TCP_PORT: u16 = 80;
/// The UDP port that clients send to.
pub(crate) const UDP_PORT: u16 = 53;
/// The director on the clients' network.
pub(crate) const DIRECTOR_WAN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The director on the servers' network.
pub(crate) const DIRECTOR_LAN: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// What servers see in the place of clients, under FullNAT.
pub(crate) const LOCAL: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 20);
/// The router from the servers' network to the clients', by which servers answer under TUN and DR.
pub(crate) const ROUTER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 254);

/// Entries of the ports' redirection tables.
pub(crate) const TABLE: u16 = 128;

/// A world to be simulated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) method: Method,
    pub(crate) workers: usize,
    pub(crate) spread: Spread,
    pub(crate) scheduler: SchedulerKind,
    /// Hashing schedulers look at the client's port as well.
    pub(crate) hash_port: bool,
    pub(crate) adopt: bool,
    pub(crate) connections_per_worker: usize,
    pub(crate) clients: usize,
    pub(crate) servers: usize,
    pub(crate) faults: Faults,
    /// Bytes of each socket's two buffers.
    pub(crate) buffers: usize,
    /// Packets that a hand-over ring takes.
    pub(crate) ring: usize,
    /// Largest IPv4 packet that servers say they take.
    pub(crate) server_mtu: usize,
    pub(crate) seed: u64,
}

impl Setup {
    /// Two clients, two servers in turn, a network without faults.
    pub(crate) fn new(method: Method, workers: usize, spread: Spread) -> Self {
        Setup {
            method,
            workers,
            spread,
            scheduler: SchedulerKind::Rr,
            hash_port: true,
            adopt: false,
            connections_per_worker: 1024,
            clients: 2,
            servers: 2,
            faults: Faults::NONE,
            buffers: 16 << 10,
            ring: usize::MAX,
            // As on a real tunnel interface, so that clients send segments that fit the tunnel.
            server_mtu: if method == Method::Tun { 1480 } else { 1500 },
            seed: 1,
        }
    }

    /// Every method with one worker, and with three and every spread.
    pub(crate) fn all() -> Vec<Setup> {
        let spreads =
            [(1, Spread::Unknown), (3, Spread::Unknown), (3, Spread::ByFlow), (3, Spread::ByClient)];
        let of = |&method: &Method| spreads.map(|(workers, spread)| Setup::new(method, workers, spread));
        Method::ALL.iter().flat_map(of).collect()
    }

    /// The port that servers listen on; only NAT can map it.
    pub(crate) fn server_port(&self, protocol: Protocol) -> u16 {
        match (self.method.rewrites_endpoints(), protocol) {
            (true, Protocol::Tcp) => 8080,
            (true, Protocol::Udp) => 5353,
            (false, Protocol::Tcp) => TCP_PORT,
            (false, Protocol::Udp) => UDP_PORT,
        }
    }

    /// The director's configuration.
    pub(crate) fn plan(&self) -> Plan {
        let port = |name: &str| PortPlan { name: name.to_owned(), spread: self.spread };
        let interface = |name: &str, port: u8, address: Ipv4Addr| InterfacePlan {
            mac: director_mac(port),
            addresses: vec![format!("{address}/24").parse().unwrap()],
            ..InterfacePlan::new(name, PortId(port.into()))
        };
        Plan {
            ports: vec![port("wan"), port("lan")],
            interfaces: vec![interface("wan", 0, DIRECTOR_WAN), interface("lan", 1, DIRECTOR_LAN)],
            services: vec![self.service(Protocol::Tcp), self.service(Protocol::Udp)],
            verify_checksums: true,
            redirection_len: if self.spread == Spread::ByClient { TABLE } else { 0 },
            ..Plan::default()
        }
    }

    fn service(&self, protocol: Protocol) -> ServicePlan {
        let port = self.server_port(protocol);
        let vip = SocketAddr::new(VIP.into(), if protocol == Protocol::Tcp { TCP_PORT } else { UDP_PORT });
        ServicePlan {
            scheduler: self.scheduler,
            hash_port: self.hash_port,
            adopt: self.adopt,
            local_addresses: Vec::from_iter(self.method.hides_clients().then_some(LOCAL.into())),
            servers: (0..self.servers)
                .map(|server| ServerPlan::new(server_address(server), port, 1))
                .collect(),
            ..ServicePlan::new(protocol.name(), ServiceKey::new(protocol, vip), self.method)
        }
    }
}

pub(crate) fn client_address(client: usize) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, 10 + client as u8)
}

pub(crate) fn server_address(server: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, 11 + server as u8)
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
