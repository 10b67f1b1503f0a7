//! What the operator wants: plain, validated values, in the order of the configuration.

use super::key::{ServerKey, ServiceKey};
use crate::{conn::timeouts::Timeouts, limits::MAX_WEIGHT, named::named, packet::PortId, time::Duration};
use ipnet::Ipv4Net;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

// Words of a plan that layers below this one need as well.
pub use super::key::Protocol;
pub use crate::{conn::method::Method, sched::kind::SchedulerKind, wire::ethernet::Mac};

named! {
    /// What happens to a packet for a VIP's port or protocol that no service uses.
    Unserved {
        /// Answer TCP with a reset and the rest with an ICMP error, at a limited rate.
        Reject = "reject",
        /// Say nothing.
        Drop = "drop",
    }
}

/// How a port spreads received packets over its queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// In a way that may change from packet to packet of one flow, or that is not known.
    Unknown,
    /// By a fixed function of addresses and ports.
    ByFlow,
    /// By a fixed function of the client's address and port, the same in both directions and on every port.
    ByClient,
}

/// One port.
#[derive(Clone, Debug)]
pub struct PortPlan {
    /// The operator's name for it.
    pub name: String,
    /// Its Ethernet address. All zero until the port has been opened.
    pub mac: Mac,
    /// The director's own addresses on the networks attached to it.
    pub addresses: Vec<Ipv4Net>,
    /// Largest IPv4 packet it carries, in bytes.
    pub mtu: u16,
    /// How it spreads packets over workers. [`Spread::Unknown`] until the port has been started.
    pub spread: Spread,
}

/// One static route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutePlan {
    /// Where to.
    pub to: Ipv4Net,
    /// Through which router; it is on an attached network.
    pub via: Ipv4Addr,
}

named! {
    /// What the operator wants of a server.
    Admin {
        /// New connections by its weight.
        Enabled = "enabled",
        /// No new connections; those that exist go on.
        Draining = "drain",
        /// Nothing: its connections end with their next packet.
        Disabled = "disabled",
    }
}

/// What is known of a server's health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It serves, or nobody checks it.
    #[default]
    Up,
    /// It serves again, with this many thousandths of its weight: slow start.
    Warming(u16),
    /// It does not serve. It gets no new connections, and those that exist end with their next packet.
    Down,
    /// It does not serve. It gets no new connections; those that exist go on: keepalived's `inhibit_on_failure`.
    Inhibited,
}

/// What a server does, everything considered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It takes new connections by its weight.
    Serving,
    /// It takes no new connections; those that exist go on.
    Draining,
    /// Its connections end with their next packet.
    Gone,
}

/// One real server of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerPlan {
    /// Its address.
    pub address: Ipv4Addr,
    /// Its port; that of the service unless the method is NAT.
    pub port: u16,
    /// Its share of new connections, 0 to 65,535; 0 means none.
    pub weight: u32,
    /// What the operator wants of it.
    pub admin: Admin,
    /// What checks found.
    pub health: Health,
}

impl ServerPlan {
    /// A server that is enabled and well.
    #[must_use]
    pub const fn new(address: Ipv4Addr, port: u16, weight: u32) -> Self {
        ServerPlan { address, port, weight, admin: Admin::Enabled, health: Health::Up }
    }

    /// Its address and port: what tells it from the other servers of its service.
    #[must_use]
    pub const fn endpoint(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.address), self.port)
    }

    /// What it does, everything considered.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        match (self.admin, self.health) {
            (Admin::Disabled, _) | (_, Health::Down) => Standing::Gone,
            (Admin::Draining, _) | (_, Health::Inhibited) => Standing::Draining,
            (Admin::Enabled, Health::Up | Health::Warming(_)) if self.weight == 0 => Standing::Draining,
            (Admin::Enabled, Health::Up | Health::Warming(_)) => Standing::Serving,
        }
    }

    /// The weight that it has now. One that serves at all has at least 1.
    #[must_use]
    pub fn effective_weight(&self) -> u32 {
        self.scaled_weight(1)
    }

    /// The same, `scale` times as fine.
    fn scaled_weight(&self, scale: u32) -> u32 {
        match (self.standing(), self.health) {
            (Standing::Serving, Health::Warming(thousandths)) => {
                (self.weight * scale * u32::from(thousandths.min(1_000)) / 1_000).max(1)
            }
            (Standing::Serving, _) => self.weight * scale,
            (Standing::Draining | Standing::Gone, _) => 0,
        }
    }
}

impl ServicePlan {
    /// What it is known by.
    #[must_use]
    pub const fn key(&self) -> ServiceKey {
        ServiceKey { protocol: self.protocol, vip: IpAddr::V4(self.vip), port: self.port }
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

    /// The weights that its scheduler goes by. While a server warms up all are larger by the same factor, so that one
    /// of weight 1 can have a part of it.
    #[must_use]
    pub fn scheduler_weights(&self) -> Vec<u32> {
        let warms = self.servers.iter().any(|server| matches!(server.health, Health::Warming(_)));
        let highest = self.servers.iter().map(|server| server.weight).max().unwrap_or_default();
        let scale = if warms && highest <= MAX_WEIGHT / WARMING_SCALE { WARMING_SCALE } else { 1 };
        self.servers.iter().map(|server| server.scaled_weight(scale)).collect()
    }
}

/// How much finer weights are while a server warms up.
const WARMING_SCALE: u32 = 20;

/// One virtual service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePlan {
    /// The operator's name for it.
    pub name: String,
    /// Transport protocol.
    pub protocol: Protocol,
    /// The address that clients send to.
    pub vip: Ipv4Addr,
    /// The port that clients send to.
    pub port: u16,
    /// How packets reach the servers.
    pub method: Method,
    /// How servers are chosen.
    pub scheduler: SchedulerKind,
    /// Hashing schedulers look at the client's port beside its address: IPVS's flags `sh-port` and `mh-port`.
    pub hash_port: bool,
    /// Take over TCP connections whose beginning was not seen, instead of resetting them.
    pub adopt: bool,
    /// When its connections are forgotten.
    pub timeouts: Timeouts,
    /// How long a server that comes back takes to get its whole weight; 0 gives it at once.
    pub slow_start: Duration,
    /// Its servers. No two have the same address and port.
    pub servers: Vec<ServerPlan>,
}

/// What to do about one VIP, whatever its services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VipPlan {
    /// The address.
    pub address: Ipv4Addr,
    /// What happens to packets that no service wants.
    pub unserved: Unserved,
}

/// Everything the operator configured that packets can notice.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Ports; a [`PortId`] is an index into this.
    pub ports: Vec<PortPlan>,
    /// Static routes, in any order.
    pub routes: Vec<RoutePlan>,
    /// Virtual services. No two have the same protocol, VIP and port.
    pub services: Vec<ServicePlan>,
    /// Policies for VIPs; a service's VIP that is not listed is [`Unserved::Reject`].
    pub vips: Vec<VipPlan>,
    /// Source of tunnel headers; `None` takes the director's address on the way to the server.
    pub tunnel_local: Option<Ipv4Addr>,
    /// Verify checksums of received packets that the port did not verify.
    pub verify_checksums: bool,
    /// Entries of the ports' redirection tables, if all ports are [`Spread::ByClient`]: then the owner of a client is
    /// computed as the ports compute it, and a packet that arrives elsewhere is handed over. 0 relies on where packets
    /// arrive.
    pub redirection_len: u16,
}

impl Plan {
    /// The port of that index, if there is one.
    #[must_use]
    pub fn port(&self, id: PortId) -> Option<&PortPlan> {
        self.ports.get(usize::from(id.0))
    }

    /// The port of that name.
    #[must_use]
    pub fn port_named(&self, name: &str) -> Option<&PortPlan> {
        self.ports.iter().find(|port| port.name == name)
    }

    /// The service of that key.
    #[must_use]
    pub fn service(&self, key: &ServiceKey) -> Option<&ServicePlan> {
        self.services.iter().find(|service| service.key() == *key)
    }

    /// The same, to be changed.
    pub fn service_mut(&mut self, key: &ServiceKey) -> Option<&mut ServicePlan> {
        self.services.iter_mut().find(|service| service.key() == *key)
    }

    /// The service of that name.
    #[must_use]
    pub fn service_named(&self, name: &str) -> Option<&ServicePlan> {
        self.services.iter().find(|service| service.name == name)
    }

    /// The same, to be changed.
    pub fn service_named_mut(&mut self, name: &str) -> Option<&mut ServicePlan> {
        self.services.iter_mut().find(|service| service.name == name)
    }

    /// All servers of all services with what they are known by.
    pub fn keyed_servers(&self) -> impl Iterator<Item = (ServerKey, &ServerPlan)> {
        self.services.iter().flat_map(ServicePlan::keyed_servers)
    }

    /// The policy for that VIP.
    #[must_use]
    pub fn vip(&self, address: IpAddr) -> Option<&VipPlan> {
        self.vips.iter().find(|vip| IpAddr::V4(vip.address) == address)
    }
}

const _: () = assert!(MAX_WEIGHT <= u32::MAX / 1_000, "a weight times a thousandth fits");
const _: () = assert!(MAX_WEIGHT == 65_535, "the documentation of ServerPlan::weight says so");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standing_and_weight_follow_from_operator_and_health() {
        use Admin::{Disabled, Enabled};
        use Health::{Down, Inhibited, Up, Warming};
        use Standing::{Gone, Serving};
        let server = |weight, admin, health| {
            let server = ServerPlan { admin, health, ..ServerPlan::new(Ipv4Addr::LOCALHOST, 80, weight) };
            (server.standing(), server.effective_weight())
        };
        assert_eq!(server(5, Enabled, Up), (Serving, 5));
        assert_eq!(server(0, Enabled, Up), (Standing::Draining, 0), "weight 0 is drain");
        assert_eq!(server(0, Enabled, Warming(999)), (Standing::Draining, 0));
        assert_eq!(server(65_535, Enabled, Warming(500)), (Serving, 32_767));
        assert_eq!(server(5, Enabled, Warming(1)), (Serving, 1), "a server that serves gets something");
        assert_eq!(server(5, Enabled, Warming(60_000)), (Serving, 5));
        assert_eq!(server(5, Enabled, Inhibited), (Standing::Draining, 0));
        assert_eq!(server(5, Enabled, Down), (Gone, 0));
        assert_eq!(server(5, Admin::Draining, Up), (Standing::Draining, 0));
        assert_eq!(server(5, Admin::Draining, Down), (Gone, 0));
        assert_eq!(server(5, Disabled, Up), (Gone, 0));
    }

    #[test]
    fn a_part_of_a_small_weight_is_possible_while_a_server_warms_up() {
        let servers = [1, 2].map(|weight| ServerPlan::new(Ipv4Addr::LOCALHOST, 80, weight));
        let mut service = ServicePlan {
            name: "web".to_owned(),
            protocol: Protocol::Tcp,
            vip: Ipv4Addr::LOCALHOST,
            port: 80,
            method: Method::Nat,
            scheduler: SchedulerKind::Wlc,
            hash_port: false,
            adopt: false,
            timeouts: Timeouts::default(),
            slow_start: Duration::default(),
            servers: servers.to_vec(),
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
