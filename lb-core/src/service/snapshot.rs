//! The configuration as workers see it: a [`Plan`](super::plan::Plan) made quick to look things up in. It never
//! changes; another takes its place. [`build`](super::build) makes them.
//!
//! Connections, counters and loads know a server by its number, so a server keeps its number from one snapshot to the
//! next. One that is no longer configured stays, as [`Gone`](super::plan::Standing::Gone), while connections have its
//! number; then another server may get it. The same holds for services.

use super::{
    addresses::Addresses,
    key::{ServerKey, ServiceKey},
    lookup::{Lookup, endpoint},
    plan::{Duplicates, InterfacePlan, Mac, PortPlan, Protocol, Role},
    routing::{NextHop, Routing},
    sharing::{Holder, Sharing, Way},
    snat::SnatRule,
    stations::Stations,
};
use crate::{
    conn::entry::Connection,
    family::{Family, V4, V6},
    flow::{
        key::{Ends, Key},
        zero_window::ZeroWindow,
    },
    ids::{ById, InterfaceId, LocalId, ServerId, ServiceId},
    limits::{MAX_PORTS, MAX_SNAT_RULES},
    packet::{PortId, WorkerId},
    sched::Scheduler,
    wire::ethernet::{self, Vlans},
};
use ipnet::IpNet;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use thiserror::Error;

pub use super::parts::{Local, LocalAddress, LocalStanding, Server, Service, TunnelTo};

/// Why a plan cannot be carried out.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SnapshotError {
    /// A limit of the program is exceeded.
    #[error("too many {what}: {count}, at most {most}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// More servers than were made room for at start.
    #[error(
        "no room for another {what}: the capacity is {room}, including removed ones that still have connections"
    )]
    NoRoom {
        /// For what.
        what: &'static str,
        /// How many there can be.
        room: usize,
    },
    /// A server that no packet can reach.
    #[error("no route to server {0}")]
    NoRoute(IpAddr),
    /// A tunnel needs a source address.
    #[error("no source address for the tunnel to {0}")]
    NoTunnelAddress(IpAddr),
}

/// What is different from the snapshot before: what a worker has to look at when it takes this one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Servers that are reached, or stand, differently.
    pub servers: Vec<ServerId>,
    /// Numbers that name another server than before. Also in `servers`.
    pub renamed: Vec<ServerId>,
    /// Services with another scheduler, or with other servers to choose from.
    pub services: Vec<ServiceId>,
    /// Static routes or attached networks.
    pub routing: bool,
    /// Addresses remain to be announced, as they are new or the director was on standby.
    pub new_addresses: bool,
}

/// How many services and servers there can be. Workers make room for that many at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Virtual services.
    pub services: usize,
    /// Real servers over all services.
    pub servers: usize,
}

impl Room {
    /// How many numbers of servers there can be: each rule of SNAT has one as well.
    #[must_use]
    pub const fn numbers(self) -> usize {
        self.servers + MAX_SNAT_RULES
    }
}

/// Everything that workers need to know. Immutable.
pub struct Snapshot {
    /// Ports, by [`PortId`].
    pub ports: Vec<PortPlan>,
    /// Interfaces of all ports.
    pub interfaces: ById<InterfaceId, InterfacePlan>,
    /// By port: the interface that untagged frames are for; if it has none, any of its own.
    pub(super) untagged: [InterfaceId; MAX_PORTS],
    /// The interfaces in VLANs by port and VLANs, in order.
    pub(super) vlans: Vec<((PortId, Vlans), InterfaceId)>,
    /// How many there were before it.
    pub generation: u64,
    /// Where packets go.
    pub routing: Routing,
    /// Virtual services by number. Those that are not configured any more are not in `order`.
    pub services: ById<ServiceId, Service>,
    /// The configured services, in the operator's order.
    pub order: Vec<ServiceId>,
    /// The rules of SNAT, in the operator's order. They are services as well, but not in `order`.
    pub rules: Vec<SnatRule>,
    /// The same by what they are known by.
    pub(super) by_key: HashMap<ServiceKey, ServiceId>,
    /// Those that are known by their names as well, by what they are known by without.
    pub(super) by_place: HashMap<ServiceKey, Vec<ServiceId>>,
    /// Those that directors of IPVS know by a mark, by that and whether they are of IPv4.
    pub(super) by_fwmark: HashMap<(u32, bool), ServiceId>,
    /// Real servers of all services by number.
    pub servers: ById<ServerId, Server>,
    /// Local addresses of all services by number.
    pub local_addresses: ById<LocalId, LocalAddress>,
    /// What is different from the snapshot before.
    pub changes: Changes,
    /// How many services and servers this and later snapshots can have.
    pub room: Room,
    /// By port: whether servers are behind it.
    pub(super) server_ports: [bool; MAX_PORTS],
    /// Verify checksums that the port did not verify.
    pub verify_checksums: bool,
    /// A service tells its servers of clients.
    pub tells_clients: bool,
    /// A module reads the connections of a service, or of a rule of SNAT.
    pub has_modules: bool,
    /// Packets of GRE go with connections of a service, by what its module reads.
    pub has_calls: bool,
    /// Of a service.
    pub has_readers: bool,
    /// Of a rule.
    pub has_outward_readers: bool,
    /// Services of which a module announces connections, by protocol and VIP.
    pub readers: HashMap<(Protocol, IpAddr), ServiceId>,
    /// Networks that outer packets come from, each flow's from one of their addresses.
    pub tunnel_sources: Vec<IpNet>,
    /// Under NAT, every port delivers both directions of a flow to its owner.
    pub nat_arrives_at_owner: bool,
    /// See [`Plan::redirection_len`](super::plan::Plan::redirection_len).
    pub redirection_len: u16,
    /// The ports' keys, if these make every port deliver both directions of a flow to its owner.
    pub zero_window: Option<Arc<ZeroWindow>>,
    /// What the director is to its VIPs.
    pub role: Role,
    /// What is done about addresses that another station has.
    pub duplicates: Duplicates,
    /// It answers for all VIPs and local addresses.
    pub answers_for_all: bool,
    pub(super) stations: Stations,
    /// By port: whether it has a host side.
    pub(super) host_ports: [bool; MAX_PORTS],
    /// VIPs, own and local addresses, in the order they were configured.
    pub locals: Vec<(IpAddr, Local)>,
    /// A service has servers of another family than its clients.
    pub translates: bool,
    /// Addresses of IPv4, VIPs and local ones, packets to which become IPv6's.
    pub(super) translated: Lookup<V4, ()>,
    /// Which of several services has a packet.
    pub(super) sharing: Sharing,
    pub(super) v4: Addresses<V4>,
    pub(super) v6: Addresses<V6>,
}

/// A family that services can be of.
pub trait Configured: Family {
    /// Its addresses in a snapshot.
    fn addresses(snapshot: &Snapshot) -> &Addresses<Self>;
}

impl Configured for V4 {
    #[inline(always)]
    fn addresses(snapshot: &Snapshot) -> &Addresses<Self> {
        &snapshot.v4
    }
}

impl Configured for V6 {
    #[inline(always)]
    fn addresses(snapshot: &Snapshot) -> &Addresses<Self> {
        &snapshot.v6
    }
}

impl Snapshot {
    /// What `address` is to the director; `None` if it is somebody else's.
    #[inline]
    #[must_use]
    pub fn local<F: Configured>(&self, address: F::Address) -> Option<Local> {
        F::addresses(self).locals.get((address, 0))
    }

    /// The same for an address of either family.
    #[must_use]
    pub fn local_ip(&self, address: IpAddr) -> Option<Local> {
        match address {
            IpAddr::V4(address) => self.local::<V4>(address.to_bits()),
            IpAddr::V6(address) => self.local::<V6>(address.to_bits()),
        }
    }

    /// Whether the director answers for a VIP.
    #[must_use]
    pub fn answers_for(&self, vip: IpAddr) -> bool {
        self.local_ip(vip).is_some_and(Local::is_answered)
    }

    /// The Ethernet address that one of the director's addresses has on an interface.
    #[must_use]
    pub fn mac_for(&self, interface: InterfaceId, address: IpAddr) -> Mac {
        self.stations.mac_for(&self.interfaces[interface], address)
    }

    /// The Ethernet addresses of virtual routers that the director has on a port.
    #[must_use]
    pub fn virtual_macs(&self, port: PortId) -> &[Mac] {
        self.stations.virtual_macs(port)
    }

    /// The one of them that most frames on a port are for, if they are not for the port's own.
    #[must_use]
    pub fn most_asked_for(&self, port: PortId) -> Option<Mac> {
        self.stations.most_asked_for(port)
    }

    /// Whether an Ethernet address is the director's on the port of an interface.
    #[must_use]
    pub fn is_mac_of(&self, interface: InterfaceId, mac: Mac) -> bool {
        let InterfacePlan { port, mac: own, .. } = &self.interfaces[interface];
        *own == mac || self.virtual_macs(*port).contains(&mac)
    }

    /// Whether a number is that of a service, or a rule of SNAT, that is configured.
    #[must_use]
    pub fn is_configured(&self, service: ServiceId) -> bool {
        self.order.contains(&service) || self.rules.iter().any(|rule| rule.service == service)
    }

    /// The service that a client's packet is for: the most specific one. Where it arrives is asked only if that matters.
    #[inline]
    #[must_use]
    pub fn service_for<F: Configured>(
        &self,
        key: &Key<F>,
        on: impl FnOnce() -> InterfaceId,
    ) -> Option<ServiceId> {
        let exact =
            F::addresses(self).services.get((key.destination, endpoint(key.protocol, key.destination_port)));
        let sole = exact.and_then(Holder::sole);
        if sole.is_some() { sole } else { self.service_by_client(key, exact, on) }
    }

    /// The same where no service has exactly that port for all clients.
    #[cold]
    fn service_by_client<F: Configured>(
        &self,
        key: &Key<F>,
        exact: Option<Holder>,
        on: impl FnOnce() -> InterfaceId,
    ) -> Option<ServiceId> {
        let wide = || F::addresses(self).ranges.get(key.protocol, key.destination, key.destination_port);
        if exact.is_none() {
            let wide = wide()?;
            return wide.sole().or_else(|| self.sharing.choose(wide, F::ip(key.source), on()));
        }
        let (client, on) = (F::ip(key.source), on());
        let choose = |holder: Holder| self.sharing.choose(holder, client, on);
        exact.and_then(choose).or_else(|| wide().and_then(choose))
    }

    /// The first service of which `is_it` says so, of those that a client's packets may be for, depending on where they
    /// arrive, which is not known; the most specific comes first.
    #[must_use]
    pub fn find_service_for<F: Configured>(
        &self,
        key: &Key<F>,
        mut is_it: impl FnMut(ServiceId) -> bool,
    ) -> Option<ServiceId> {
        let addresses = F::addresses(self);
        let exact = addresses.services.get((key.destination, endpoint(key.protocol, key.destination_port)));
        let client = F::ip(key.source);
        // What arrives there may be for one before it.
        let mut is_it = |(on, service): Way| {
            on.is_none_or(|on| self.service_for(key, || on) == Some(service)) && is_it(service)
        };
        let of_exact = exact.and_then(|holder| self.sharing.find(holder, client, &mut is_it));
        let found = of_exact.or_else(|| {
            let wide = addresses.ranges.get(key.protocol, key.destination, key.destination_port)?;
            self.sharing.find(wide, client, &mut is_it)
        });
        found.and_then(Result::ok)
    }

    /// The configured services that are known by that protocol, address and port, whatever else they are known by.
    pub fn services_known_at(&self, key: &ServiceKey) -> impl Iterator<Item = ServiceId> + '_ {
        let key = key.place();
        let named = self.by_place.get(&key).into_iter().flatten();
        self.by_key.get(&key).into_iter().chain(named).copied()
    }

    /// The configured service of that key, with its number.
    #[must_use]
    pub fn service(&self, key: &ServiceKey) -> Option<(ServiceId, &Service)> {
        let id = *self.by_key.get(key)?;
        Some((id, &self.services[id]))
    }

    /// The configured service that directors of IPVS know by that mark, of that family.
    #[must_use]
    pub fn marked(&self, fwmark: u32, is_ipv4: bool) -> Option<ServiceId> {
        self.by_fwmark.get(&(fwmark, is_ipv4)).copied()
    }

    /// The configured server of that key, with its number.
    #[must_use]
    pub fn server(&self, key: &ServerKey) -> Option<(ServerId, &Server)> {
        let (_, service) = self.service(&key.service)?;
        let servers = service.servers.iter().map(|&id| (id, &self.servers[id]));
        servers.into_iter().find(|(_, server)| server.plan.endpoint() == key.endpoint())
    }

    /// The local address that this is the number of, if it is one.
    #[inline]
    #[must_use]
    pub fn local_address<F: Configured>(&self, address: F::Address) -> Option<LocalId> {
        F::addresses(self).sources.get((address, 0))
    }

    /// Whether packets to an address of IPv4 become IPv6's.
    #[must_use]
    pub fn is_translated(&self, address: u32) -> bool {
        self.translates && self.translated.get((address, 0)).is_some()
    }

    /// Whether there may be connections under FullNAT or SNAT.
    #[inline(always)]
    #[must_use]
    pub fn has_local_addresses(&self) -> bool {
        !self.local_addresses.is_empty()
    }

    /// The rule of SNAT for what a server sends by an interface.
    #[must_use]
    pub fn rule_for(&self, source: IpAddr, interface: InterfaceId) -> Option<&SnatRule> {
        self.rules.iter().find(|rule| rule.is_for(source) && rule.leaves_by(interface))
    }

    /// Whether connections outward may have a local address: answers to it come by any port.
    #[must_use]
    pub fn is_outward(&self, address: LocalId) -> bool {
        self.local_addresses[address].outward
    }

    /// Whether a real server under NAT answers from this endpoint.
    #[must_use]
    pub fn is_nat_server<F: Configured>(&self, protocol: Protocol, address: F::Address, port: u16) -> bool {
        let servers = &F::addresses(self).nat_servers;
        servers.get((address, endpoint(protocol, port))).is_some()
            || servers.get((address, endpoint(protocol, 0))).is_some()
    }

    /// Whether one does for a service that has exactly this port of its servers.
    #[must_use]
    pub fn is_nat_endpoint<F: Configured>(&self, protocol: Protocol, address: F::Address, port: u16) -> bool {
        F::addresses(self).nat_servers.get((address, endpoint(protocol, port))).is_some()
    }

    /// Whether a real server under NAT has this address.
    #[must_use]
    pub fn is_nat_host<F: Configured>(&self, address: F::Address) -> bool {
        F::addresses(self).nat_hosts.get((address, 0)).is_some()
    }

    /// What the ports' hash sees of a local address, as [`LocalPorts`](crate::flow::local_port::LocalPorts) wants it.
    #[must_use]
    pub fn word<F: Family>(&self, address: F::Address) -> u16 {
        match &self.zero_window {
            Some(keys) => keys.word::<F>(address),
            None => F::words(address),
        }
    }

    /// The worker that a port delivers a flow to, as far as the port says how it chooses.
    #[must_use]
    pub fn arrives_at(&self, port: PortId, flow: &Ends) -> Option<WorkerId> {
        self.ports.get(usize::from(port.0))?.hashing.queue_of(flow).map(WorkerId)
    }

    /// The real server under NAT that answers from this endpoint, if it is in one service only, and that has one address
    /// and the port is known: its packets alone tell which VIP they are to come from.
    #[must_use]
    pub fn sole_nat_server<F: Configured>(
        &self,
        protocol: Protocol,
        address: F::Address,
        port: u16,
    ) -> Option<ServerId> {
        let servers = &F::addresses(self).nat_servers;
        let of = |port| servers.get((address, endpoint(protocol, port)));
        let sole = match (of(port), of(0)) {
            (Some(_), Some(_)) => None,
            (of_port, of_any) => of_port.or(of_any).flatten(),
        }?;
        let service = self.service_of(sole);
        let is_told = service.beside.vips.is_empty()
            && (service.reach().port().is_some() || self.servers[sole].plan.port == 0);
        is_told.then_some(sole)
    }

    /// The interface that a frame which arrived on a port is for: that of its VLAN, or the untagged one. Frames of other
    /// VLANs have been dropped.
    #[inline]
    #[must_use]
    pub fn interface_of(&self, port: PortId, frame: &[u8]) -> InterfaceId {
        let of_vlan = if ethernet::is_tagged(frame) { self.interface_of_vlan(port, frame) } else { None };
        of_vlan.unwrap_or_else(|| self.untagged_of(port))
    }

    /// The interface that untagged frames of a port are for.
    #[inline]
    #[must_use]
    pub fn untagged_of(&self, port: PortId) -> InterfaceId {
        self.untagged[usize::from(port.0) % MAX_PORTS]
    }

    /// The interface that a tagged frame is for. `None` if it is of a VLAN that none is in, or cannot be read.
    #[cold]
    #[must_use]
    pub fn interface_of_vlan(&self, port: PortId, frame: &[u8]) -> Option<InterfaceId> {
        match ethernet::vlans(frame)? {
            ethernet::UNTAGGED => Some(self.untagged_of(port)),
            vlans => {
                let at = self.vlans.binary_search_by_key(&(port, vlans), |(of, _)| *of).ok()?;
                Some(self.vlans[at].1)
            }
        }
    }

    /// Whether a port has a host side.
    #[inline]
    #[must_use]
    pub fn has_host(&self, port: PortId) -> bool {
        self.host_ports[usize::from(port.0) % MAX_PORTS]
    }

    /// Whether the kernel has an interface's own addresses: its port has a host side, which is on the untagged network.
    #[inline]
    #[must_use]
    pub fn is_on_host(&self, interface: InterfaceId) -> bool {
        let on = &self.interfaces[interface];
        on.tags.is_empty() && self.has_host(on.port)
    }

    /// Whether servers are behind a port.
    #[must_use]
    pub fn leads_to_servers(&self, port: PortId) -> bool {
        self.server_ports.get(usize::from(port.0)).is_some_and(|is| *is)
    }

    /// The servers under TUN and L3DSR that have that address.
    pub fn outlying<F: Configured>(&self, address: F::Address) -> impl Iterator<Item = ServerId> {
        F::addresses(self).outlying(address)
    }

    /// The configured services with their numbers, in the operator's order.
    pub fn configured(&self) -> impl Iterator<Item = (ServiceId, &Service)> {
        self.order.iter().map(|&id| (id, &self.services[id]))
    }

    /// The schedulers of the configured services.
    pub fn schedulers(&self) -> impl Iterator<Item = &dyn Scheduler> {
        self.configured().map(|(_, service)| &*service.scheduler)
    }

    /// What the lookup tables of hashing schedulers are made of, as one number: directors that have the same choose the
    /// same servers. The order of services and servers does not count.
    #[must_use]
    pub fn tables_digest(&self) -> u64 {
        let digest = |service: &Service| {
            let table = service.scheduler.table()?;
            let name = format!("{} {} {}", service.key(), service.scheduler_kind, service.hashes.port);
            Some(table.digest(name.as_bytes()))
        };
        self.configured().filter_map(|(_, service)| digest(service)).fold(0, |sum, one| sum ^ one)
    }

    /// The server of a connection, as it is configured; under SNAT, whoever is asked.
    #[must_use]
    pub fn server_of<F: Family>(&self, connection: &Connection<F>) -> SocketAddr {
        match connection.method.is_outward() {
            // Who has connected by itself may have another port to whom it is connected to.
            true => SocketAddr::new(F::ip(connection.vip), connection.server_port),
            false => self.servers[connection.server].plan.endpoint(),
        }
    }

    /// The service of a server, which must be one of this snapshot's.
    #[inline]
    #[must_use]
    pub fn service_of(&self, server: ServerId) -> &Service {
        &self.services[self.servers[server].service]
    }

    /// The routers that static routes name, each with the interface it is behind.
    pub fn gateways(&self) -> impl Iterator<Item = (NextHop, &InterfacePlan)> {
        self.routing.gateways().map(|hop| (hop, &self.interfaces[hop.interface]))
    }

    /// The director's address to answer from on an interface: its own towards `peer`, else `or`.
    #[must_use]
    pub fn answer_from<F: Family>(&self, on: InterfaceId, peer: F::Address, or: F::Address) -> F::Address {
        self.routing.own_address(on, F::ip(peer)).and_then(F::embed).unwrap_or(or)
    }
}
