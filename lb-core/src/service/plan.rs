//! What the operator wants: plain, validated values, in the order of the configuration.

use crate::{conn::timeouts::Timeouts, limits::MAX_WEIGHT, named::named, packet::PortId};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

// Words of a plan that layers below this one need as well.
pub use crate::{conn::method::Method, sched::kind::SchedulerKind, wire::ethernet::Mac};

named! {
    /// A transport protocol that can be balanced.
    Protocol {
        /// TCP, RFC 9293.
        Tcp = "tcp",
        /// UDP, RFC 768.
        Udp = "udp",
    }
}

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

/// One real server of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerPlan {
    /// Its address.
    pub address: Ipv4Addr,
    /// Its port; that of the service unless the method is NAT.
    pub port: u16,
    /// Its share of new connections, 0 to 65,535; 0 means none.
    pub weight: u32,
}

/// One virtual service.
#[derive(Clone, Debug)]
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
}

const _: () = assert!(MAX_WEIGHT == 65_535, "the documentation of ServerPlan::weight says so");
