//! What the operator wants: plain, validated values, in the order of the configuration.

pub mod director;
mod flags;
mod persistence;
mod quic;
mod server;
mod service;
mod snat;
mod snat_modules;
mod table;
pub mod timeouts;
mod tunnel;

pub use director::{DirectorPlan, Duplicates, Held, HeldAddresses, Role};
pub use flags::flags_of;
pub use persistence::{PersistBy, PersistencePlan};
pub use quic::{QuicConfig, QuicKey, QuicLayout, QuicPlan};
pub use server::{Admin, Advice, Health, ServerPlan, Standing};
pub use service::ServicePlan;
pub use snat::SnatPlan;
pub use snat_modules::SnatModules;
pub use tunnel::{Choice, Misfit, OwnTunnel, TunnelPlan};

use super::{
    key::{ServerKey, ServiceKey},
    option::{Kind, Opt},
};
use crate::{
    conn::timeouts::Timeouts,
    flow::{hashing::Hashing, zero_window::ZeroWindow},
    ids::InterfaceId,
    named::named,
    option,
    packet::PortId,
    words,
};
use ipnet::IpNet;
use std::{
    collections::{BTreeSet, HashSet},
    net::IpAddr,
    sync::Arc,
};

// Words of a plan that layers below this one need as well.
pub use super::key::Protocol;
pub use crate::{
    conn::{client_address::ClientAddress, method::Method, tunnel::Encapsulation},
    module::kind::ModuleKind,
    sched::kind::SchedulerKind,
    wire::ethernet::{Mac, Tags},
};

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

/// One port: a device that packets are received from and sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortPlan {
    /// The operator's name for it.
    pub name: String,
    /// How it spreads packets over workers. [`Spread::Unknown`] until the port has been started.
    pub spread: Spread,
    /// By what it chooses the queue of a flow, as far as it says. Nothing until the port has been started.
    pub hashing: Hashing,
}

/// One interface: what the director is on a network that a port is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfacePlan {
    /// The operator's name for it; that of its port, if its frames are untagged.
    pub name: String,
    /// The port that its frames come from and go to.
    pub port: PortId,
    /// The VLAN tags that its frames have on that port.
    pub tags: Tags,
    /// Its Ethernet address: its own, or that of its port. Of the port's, all zero until it has been opened.
    pub mac: Mac,
    /// The Ethernet address that it has of its own, if it is not to have its port's.
    pub own_mac: Option<Mac>,
    /// The director's own addresses on the network, with that network's prefix.
    pub addresses: Vec<IpNet>,
    /// Largest IPv4 packet it carries, in bytes.
    pub mtu: u16,
}

impl InterfacePlan {
    /// One of that name on a port, without addresses.
    #[must_use]
    pub fn new(name: impl Into<String>, port: PortId) -> Self {
        InterfacePlan {
            name: name.into(),
            port,
            tags: Tags::NONE,
            mac: Mac::default(),
            own_mac: None,
            addresses: Vec::new(),
            mtu: 1500,
        }
    }

    /// What it is called in messages: its port, if it is that one's.
    #[must_use]
    pub fn shown(&self) -> String {
        let what = if self.tags.is_empty() { "port" } else { "interface" };
        format!("{what} {:?}", self.name)
    }

    /// Whether it has an address of the same family as `other`.
    #[must_use]
    pub fn has_family_of(&self, other: IpAddr) -> bool {
        self.addresses.iter().any(|network| network.addr().is_ipv4() == other.is_ipv4())
    }
}

/// One static route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutePlan {
    /// Where to.
    pub to: IpNet,
    /// Through which router; it is on an attached network, or behind `interface`.
    pub via: IpAddr,
    /// The interface that the router is behind, where no network says so: that of an address of one link is not told by it.
    pub interface: Option<InterfaceId>,
}

impl RoutePlan {
    /// Through a router on an attached network.
    #[must_use]
    pub const fn new(to: IpNet, via: IpAddr) -> Self {
        RoutePlan { to, via, interface: None }
    }
}

/// What to do about one VIP, whatever its services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VipPlan {
    /// The address.
    pub address: IpAddr,
    /// What happens to packets that no service wants.
    pub unserved: Unserved,
}

impl VipPlan {
    /// What can be said of it.
    pub const OPTIONS: &'static [Opt<Self>] = &[
        option!(address, Kind::Address, "A VIP. It need not have services.").required("\"192.0.2.100\""),
        option!(
            unserved,
            Kind::Word(Unserved::NAMES),
            "Packets for ports that no service uses are rejected with a TCP reset or ICMP error, or dropped. VIPs \
             that are not listed reject."
        ),
    ];

    /// That of a VIP which nothing is said about.
    #[must_use]
    pub fn new(address: impl Into<IpAddr>) -> Self {
        VipPlan { address: address.into(), unserved: Unserved::Reject }
    }
}

/// Everything the operator configured that packets can notice.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Ports; a [`PortId`] is an index into this.
    pub ports: Vec<PortPlan>,
    /// Interfaces: first those that untagged frames of each port are for, then those in VLANs. An [`InterfaceId`] is an index
    /// into this.
    pub interfaces: Vec<InterfacePlan>,
    /// Static routes, in any order.
    pub routes: Vec<RoutePlan>,
    /// Timeouts of services that do not set their own.
    pub timeouts: Timeouts,
    /// Virtual services. No two are known by the same protocol, VIP and port.
    pub services: Vec<ServicePlan>,
    /// What servers send by themselves and leaves with other addresses. The first rule that fits counts.
    pub snat: Vec<SnatPlan>,
    /// Policies for VIPs; a service's VIP that is not listed is [`Unserved::Reject`].
    pub vips: Vec<VipPlan>,
    /// Source of tunnel headers; `None` takes the director's address on the way to the server.
    pub tunnel_local: Option<IpAddr>,
    /// Networks, at most one of each family, whose addresses are the sources of tunnel headers instead, so that each flow
    /// has one of its own. They are routed to the director, and nobody has any of their addresses.
    pub tunnel_sources: Vec<IpNet>,
    /// Verify checksums of received packets that the port did not verify.
    pub verify_checksums: bool,
    /// Entries of the ports' redirection tables, if all ports are [`Spread::ByClient`]: then the owner of a client is
    /// computed as the ports compute it, and a packet that arrives elsewhere is handed over. 0 relies on where packets
    /// arrive.
    pub redirection_len: u16,
    /// The ports' keys, if they have some that see one end of a flow only; the owner of a client is computed with them then.
    pub zero_window: Option<Arc<ZeroWindow>>,
    /// What the director is to its VIPs.
    pub director: DirectorPlan,
    /// VIPs and local addresses that the kernel has on host sides now, which is nobody's wish. Of [`Role::Follow`] only.
    pub held: HeldAddresses,
    /// Ports that have a host side: the director's own addresses there belong to the kernel.
    pub host_ports: Vec<PortId>,
}

impl Plan {
    /// Servers whose replies pass here and come to another worker than their owner, since the ports' keys were drawn for other
    /// ones; the owner gets them from there.
    #[must_use]
    pub fn out_of_reach(&self) -> BTreeSet<IpAddr> {
        let services = self.services.iter().filter(|service| service.method.sees_replies());
        let servers = services.flat_map(|service| &service.servers).map(|server| server.address);
        let is_out = |server: &IpAddr| self.zero_window.as_ref().is_some_and(|keys| !keys.reaches(*server));
        servers.filter(is_out).collect()
    }

    /// The interface of that number, if there is one.
    #[must_use]
    pub fn interface(&self, id: InterfaceId) -> Option<&InterfacePlan> {
        self.interfaces.get(id.index())
    }

    /// The interfaces of a port.
    pub fn interfaces_of(&self, port: PortId) -> impl Iterator<Item = &InterfacePlan> {
        self.interfaces.iter().filter(move |interface| interface.port == port)
    }

    /// Bytes of the largest IPv4 packet that any interface of a port carries.
    #[must_use]
    pub fn mtu_of(&self, port: PortId) -> u16 {
        self.interfaces_of(port).map(|interface| interface.mtu).max().unwrap_or_default()
    }

    /// The interface of that name.
    #[must_use]
    pub fn interface_named(&self, name: &str) -> Option<&InterfacePlan> {
        self.interfaces.iter().find(|interface| interface.name == name)
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

    /// All servers of all services with what they are known by.
    pub fn keyed_servers(&self) -> impl Iterator<Item = (ServerKey, &ServerPlan)> {
        self.services.iter().flat_map(ServicePlan::keyed_servers)
    }

    /// The same without what checks found, which is nobody's wish.
    #[must_use]
    pub fn without_health(&self) -> Self {
        let mut plan = self.clone();
        let servers = plan.services.iter_mut().flat_map(|service| &mut service.servers);
        servers.for_each(|server| (server.health, server.advice) = (Health::Up, Advice::default()));
        plan
    }

    /// All VIPs, each once: those that are listed, then those of services only.
    pub fn every_vip(&self) -> impl Iterator<Item = VipPlan> {
        let of_services = self.services.iter().flat_map(|service| service.reach().vips()).map(VipPlan::new);
        let mut known = HashSet::new();
        self.vips.iter().copied().chain(of_services).filter(move |vip| known.insert(vip.address))
    }
}

words!(
    Protocol,
    Method,
    ClientAddress,
    ModuleKind,
    PersistBy,
    SchedulerKind,
    Unserved,
    Admin,
    Encapsulation,
    Choice
);
