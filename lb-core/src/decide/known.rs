//! What a worker knows: everything that its decisions rest on.

use super::{
    Act, Origin,
    backend::Backend,
    budgets::Budgets,
    classify::{Arrival, Parsed, classify},
    common::Common,
    defences::Defences,
    taken::Taken,
};
use crate::{
    cast::small,
    conn::{connections::Connections, datagram::Datagrams},
    counters::DropReason,
    family::{V4, V6},
    flow::{
        key::Secret,
        local_port::{LocalPorts, PortTurn},
    },
    ids::{ById, InterfaceId, ServerId, ServiceId},
    limits::MAX_PORTS,
    module::{expected::Expected, talks::Talks},
    neigh::table::Neighbours,
    packet::{Packet, PortId, WorkerId},
    peers::told::Told,
    sched::{
        load::{LoadBoard, Loads},
        persistence::Persistence,
    },
    service::snapshot::{Configured, Snapshot},
    time::Instant,
    wire::ethernet::Mac,
};
use std::{net::IpAddr, sync::Arc};

/// What all workers of a director have in common.
#[derive(Clone)]
pub struct Team {
    /// How many workers there are.
    pub workers: usize,
    /// Keeps outsiders from choosing flows that collide.
    pub secret: Secret,
    /// Connections of IPv4 of each worker, at most.
    pub connections_per_worker: usize,
    /// The same of IPv6.
    pub connections_per_worker_v6: usize,
    /// Answers (resets, echo replies, ICMP errors) of each kind and worker per second, at most.
    pub refusals_per_s: u32,
    /// How many connections each server has, over all workers.
    pub board: Arc<LoadBoard>,
    /// Which servers clients stay with.
    pub persistence: Arc<Persistence>,
    /// Connections that modules expect.
    pub expected: Arc<Expected>,
    /// What peers have told of their connections, if there are peers.
    pub told: Option<Arc<Told>>,
    /// What directors of IPVS have told of theirs, if any are listened to.
    pub masters: Option<Arc<Told>>,
}

/// A family's connections, servers and neighbours.
pub(crate) type Parts<'a, F> = (&'a mut Connections<F>, &'a ById<ServerId, Backend>, &'a Neighbours);

/// A family whose packets a worker forwards: where it keeps what it knows of it.
pub trait Forwarded: Configured + Common {
    /// Its connections.
    fn connections(known: &Known) -> &Connections<Self>;
    /// The same, to be changed.
    fn connections_mut(known: &mut Known) -> &mut Connections<Self>;
    /// What is known of its datagrams that come in fragments: those of clients, and those of servers.
    fn datagrams(known: &Known) -> &[Datagrams<Self>; 2];
    /// The same, to be changed.
    fn datagrams_mut(known: &mut Known) -> &mut [Datagrams<Self>; 2];
    /// Its connections, with what is known of servers and neighbours.
    fn parts(known: &mut Known) -> Parts<'_, Self>;
    /// What is done about a packet that is about a neighbour's Ethernet address.
    fn resolution(known: &Known, now: Instant, packet: &impl Packet, origin: Origin) -> Act<Self>;
}

impl Forwarded for V4 {
    #[inline(always)]
    fn connections(known: &Known) -> &Connections<Self> {
        &known.connections
    }

    #[inline(always)]
    fn connections_mut(known: &mut Known) -> &mut Connections<Self> {
        &mut known.connections
    }

    fn datagrams(known: &Known) -> &[Datagrams<Self>; 2] {
        &known.datagrams
    }

    fn datagrams_mut(known: &mut Known) -> &mut [Datagrams<Self>; 2] {
        &mut known.datagrams
    }

    #[inline(always)]
    fn parts(known: &mut Known) -> Parts<'_, Self> {
        (&mut known.connections, &known.backends, &known.neighbours)
    }

    fn resolution(known: &Known, now: Instant, packet: &impl Packet, origin: Origin) -> Act<Self> {
        known.arp(now, packet, origin)
    }
}

impl Forwarded for V6 {
    #[inline(always)]
    fn connections(known: &Known) -> &Connections<Self> {
        &known.connections_v6
    }

    #[inline(always)]
    fn connections_mut(known: &mut Known) -> &mut Connections<Self> {
        &mut known.connections_v6
    }

    fn datagrams(known: &Known) -> &[Datagrams<Self>; 2] {
        &known.datagrams_v6
    }

    fn datagrams_mut(known: &mut Known) -> &mut [Datagrams<Self>; 2] {
        &mut known.datagrams_v6
    }

    #[inline(always)]
    fn parts(known: &mut Known) -> Parts<'_, Self> {
        (&mut known.connections_v6, &known.backends, &known.neighbours)
    }

    fn resolution(known: &Known, now: Instant, packet: &impl Packet, origin: Origin) -> Act<Self> {
        known.nd(now, packet, origin)
    }
}

/// What a worker knows.
pub struct Known {
    pub(crate) id: WorkerId,
    pub(crate) team: Team,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) connections: Connections,
    pub(crate) connections_v6: Connections<V6>,
    /// By [`Side`](super::Side).
    pub(crate) datagrams: [Datagrams<V4>; 2],
    pub(crate) datagrams_v6: [Datagrams<V6>; 2],
    pub(crate) neighbours: Neighbours,
    pub(crate) backends: ById<ServerId, Backend>,
    /// What modules keep of connections.
    pub(crate) talks: Talks,
    /// Its local ports, and the turn of the next connection that takes one.
    pub(crate) ports: LocalPorts,
    pub(crate) port_turn: PortTurn,
    /// Connections of each service.
    pub(crate) held: ById<ServiceId, u32>,
    /// By port.
    pub(crate) arrivals: [Arrival; MAX_PORTS],
    /// What it may still do that others make it do.
    pub(crate) budgets: Budgets,
    /// When addresses were last defended.
    pub(crate) defences: Defences,
    /// Addresses that another station has.
    pub(crate) taken: Taken,
}

impl Known {
    /// Nothing but the configuration, with all the memory that will ever be needed.
    pub(crate) fn new(id: WorkerId, team: &Team, snapshot: Arc<Snapshot>, now: Instant) -> Self {
        let delivers = snapshot.nat_arrives_at_owner.then_some(snapshot.redirection_len);
        let ports = match &snapshot.zero_window {
            Some(keys) => LocalPorts::keyed(id, team.workers, keys),
            None => LocalPorts::new(id, team.workers, delivers),
        };
        Known {
            port_turn: ports.first_turn(team.secret),
            ports,
            connections: Connections::new(team.connections_per_worker, team.secret, now),
            connections_v6: Connections::new(team.connections_per_worker_v6, team.secret, now),
            datagrams: std::array::from_fn(|_| Datagrams::new(team.secret)),
            datagrams_v6: std::array::from_fn(|_| Datagrams::new(team.secret)),
            neighbours: Neighbours::new(),
            backends: std::iter::repeat_n(Backend::VACANT, snapshot.room.numbers()).collect(),
            talks: Talks::new(),
            held: std::iter::repeat_n(0, snapshot.room.services).collect(),
            arrivals: arrivals(&snapshot),
            budgets: Budgets::new(team.refusals_per_s, now),
            defences: Defences::new(),
            taken: Taken::default(),
            id,
            team: team.clone(),
            snapshot,
        }
    }

    /// Reads a packet, for those who do not deal with a burst.
    pub(crate) fn parse<F: Forwarded>(&self, packet: &impl Packet) -> Parsed<F> {
        let mut parsed = Parsed::new();
        let arrival = self.arrivals[usize::from(packet.port().0) % MAX_PORTS];
        classify(packet, arrival, &self.snapshot, &mut parsed);
        if parsed.kind.is_flow() {
            parsed.place = F::connections(self).place(parsed.key);
        }
        parsed
    }

    /// Whether an address can be that of one other host, so that it may be answered: RFC 1122 3.2.2.
    pub(crate) fn is_station<F: Forwarded>(&self, address: F::Address) -> bool {
        F::is_host(address)
            && self.snapshot.local::<F>(address).is_none()
            && !self.snapshot.routing.is_broadcast(F::ip(address))
    }

    /// Why a packet for one of the director's own addresses ends if nobody waits for it there. Servers that are checked
    /// by the way of traffic answer from their VIP, which nobody else may do.
    pub(super) fn if_nobody_waits<F: Forwarded>(&self, source: F::Address, reason: DropReason) -> DropReason {
        if self.is_station::<F>(source) { reason } else { DropReason::BadSource }
    }

    /// The Ethernet address that one of the director's addresses has on an interface: its own, or a virtual router's.
    pub(crate) fn mac_for(&self, interface: InterfaceId, address: impl Into<IpAddr>) -> Mac {
        self.snapshot.mac_for(interface, address.into())
    }

    /// The interface's own address, for packets that the director makes.
    pub(crate) fn mac_of(&self, interface: InterfaceId) -> Mac {
        self.snapshot.interfaces[interface].mac
    }

    /// How this worker sees the servers' loads.
    pub(crate) fn loads(&self) -> Loads<'_> {
        self.team.board.view(self.id)
    }
}

/// What is known of each port that packets arrive on.
pub(crate) fn arrivals(snapshot: &Snapshot) -> [Arrival; MAX_PORTS] {
    std::array::from_fn(|port| {
        let untagged = snapshot.interfaces.get(snapshot.untagged_of(PortId(small(port))));
        let of_port = untagged.filter(|interface| usize::from(interface.port.0) == port);
        let own = of_port.map(|interface| interface.mac).unwrap_or_default();
        let mac = snapshot.most_asked_for(PortId(small(port))).unwrap_or(own);
        Arrival::new(mac, snapshot.verify_checksums)
    })
}
