//! What a snapshot is made of.

use super::{
    key::ServiceKey,
    plan::{
        Method, PersistBy, PersistencePlan, Protocol, SchedulerKind, ServerPlan, SnatModules, Standing,
        Unserved,
    },
    quic::QuicServers,
    reach::{Beside, PortRange, Reach},
    routing::NextHop,
};
use crate::{
    conn::{client_address::ClientAddress, timeouts::Timeouts, tunnel::Tunnel},
    ids::{InterfaceId, LocalId, ServerId, ServiceId},
    module::kind::ModuleKind,
    sched::{Candidate, Hashes, Scheduler},
};
use ipnet::IpNet;
use std::{net::IpAddr, sync::Arc};

/// What one of the director's addresses is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// Clients send to it. ARP for it is answered on the interface whose network contains it; on all if none does.
    Vip {
        /// What happens to packets that no service wants.
        unserved: Unserved,
        /// The interface on whose network it is.
        attached: Option<InterfaceId>,
        /// The director answers for it. One on standby does not.
        active: bool,
    },
    /// The director's own on that interface.
    Own(InterfaceId),
    /// Servers see it in the place of clients' addresses, and answer to it. ARP for it is answered as for a VIP.
    Source {
        /// The interface on whose network it is.
        attached: Option<InterfaceId>,
        /// The director answers for it. One on standby does not.
        active: bool,
    },
}

/// An address that servers see in the place of clients'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    /// The address.
    pub address: IpAddr,
    /// Whether it is one.
    pub standing: LocalStanding,
    /// It is of another family than the clients that it stands for.
    pub is_translated: bool,
    /// Whether it is, or was, one that connections outward leave with, whose answers come by any port.
    pub outward: bool,
}

/// What a local address does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalStanding {
    /// Connections begin with it.
    Configured,
    /// It is not configured any more, and stays for the connections that have it.
    Leaving,
    /// It is none any more: its number is free.
    Vacant,
}

impl Local {
    /// Whether the director answers for the address: it may be a VIP or local address that it is on standby for.
    #[must_use]
    pub const fn is_answered(self) -> bool {
        match self {
            Local::Vip { active, .. } | Local::Source { active, .. } => active,
            Local::Own(_) => true,
        }
    }
}

/// A virtual service.
#[derive(Clone)]
pub struct Service {
    /// The operator's name for it.
    pub name: String,
    /// Transport protocol.
    pub protocol: Protocol,
    /// The address that clients send to; the first of several.
    pub vip: IpAddr,
    /// The port that clients send to; the first of several, 0 of any.
    pub port: u16,
    /// What else clients send to.
    pub beside: Beside,
    /// How packets reach the servers.
    pub method: Method,
    /// The scheduler's kind.
    pub scheduler_kind: SchedulerKind,
    /// What a hashing scheduler looks at, and for how many servers.
    pub hashes: Hashes,
    /// Whether it chooses another server where the one that the hash says is full.
    pub hash_fallback: bool,
    /// Whether any of its servers has thresholds.
    pub has_thresholds: bool,
    /// Chooses servers; a pick is an index into `servers`.
    pub scheduler: Arc<dyn Scheduler>,
    /// What the scheduler was made of, in the order of `servers`.
    pub candidates: Vec<Candidate>,
    /// Take over TCP connections whose beginning was not seen.
    pub adopt: bool,
    /// Each datagram is scheduled by itself, and no connection is kept.
    pub one_packet: bool,
    /// The maximum segment size that SYNs tell is lowered to what fits the way.
    pub clamps_mss: bool,
    /// Timeouts of connections.
    pub timeouts: Timeouts,
    /// For how long clients stay with their servers.
    pub persistence: PersistencePlan,
    /// Which of its servers connection IDs of QUIC name, if they name any.
    pub quic: Option<Arc<QuicServers>>,
    /// The mark of the firewall by which directors of IPVS know it; 0 if they know it by address.
    pub fwmark: u32,
    /// Its servers, in the operator's order.
    pub servers: Vec<ServerId>,
    /// The addresses that they see in the place of clients', under FullNAT and SNAT.
    pub local_addresses: Vec<LocalId>,
    /// The ports of these that its connections have.
    pub local_ports: Vec<PortRange>,
    /// How servers learn clients' addresses.
    pub client_address: ClientAddress,
    /// What reads its connections.
    pub module: ModuleKind,
    /// What reads those of a rule of SNAT, by the port of who is asked.
    pub modules: SnatModules,
}

impl Service {
    /// Whether its scheduler chooses by a hash, so that directors with the same servers choose the same.
    #[must_use]
    pub fn hashes(&self) -> bool {
        self.scheduler.table().is_some()
    }

    /// What reads a connection to that port.
    #[must_use]
    pub fn reader(&self, protocol: Protocol, port: u16) -> ModuleKind {
        match self.method.is_outward() && protocol == Protocol::Tcp {
            true => self.modules.of_port(port),
            false => self.module,
        }
    }

    /// Whether calls stay with their servers.
    #[must_use]
    pub fn keeps_calls(&self, protocol: Protocol) -> bool {
        self.persistence.is_on() && self.persistence.by == PersistBy::SipCallId && protocol == Protocol::Udp
    }

    /// Whether what a server sends from its port opens a connection that no client has opened.
    #[must_use]
    pub fn lets_servers_begin(&self, protocol: Protocol) -> bool {
        self.keeps_calls(protocol) || self.module.lets_servers_begin(protocol)
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

    /// All that clients send to.
    #[must_use]
    pub const fn reach(&self) -> Reach<'_> {
        Reach { key: self.place(), beside: &self.beside }
    }
}

/// A real server of one service.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its service.
    pub service: ServiceId,
    /// Its address and so on, as configured.
    pub plan: ServerPlan,
    /// What it does. One that is not configured any more is [`Standing::Gone`].
    pub standing: Standing,
    /// Where its packets go next.
    pub next_hop: NextHop,
    /// Since which snapshot it has its number.
    pub named: u32,
    /// The tunnel to it, if the method is TUN.
    pub tunnel: Option<TunnelTo>,
    /// What its packets are marked with, if the method is L3DSR; else 0.
    pub dscp: u8,
}

impl Server {
    /// Bytes that packets to it grow by.
    #[must_use]
    pub fn overhead(&self) -> u16 {
        self.tunnel.map_or(0, |to| to.tunnel.overhead(self.plan.address))
    }
}

/// The tunnel to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelTo {
    /// How packets are wrapped.
    pub tunnel: Tunnel,
    /// Where outer packets come from.
    pub source: IpAddr,
    /// The network that they come from instead, each flow's from one of its addresses, if they are to spread.
    pub sources: Option<IpNet>,
}

impl TunnelTo {
    /// The network whose addresses outer packets come from. Those of GUE spread by their port.
    #[must_use]
    pub const fn spread(&self) -> Option<IpNet> {
        if self.tunnel.kind.is_udp() { None } else { self.sources }
    }

    /// Whether outer packets can come from an address.
    #[must_use]
    pub fn comes_from(&self, address: IpAddr) -> bool {
        self.spread().map_or(self.source == address, |network| network.contains(&address))
    }
}
