//! What can be wrong with a plan, in words.

use crate::{
    limits::{MAX_PORTS_OF_SERVICE, MAX_ROUTES, MAX_VIPS_OF_SERVICE, MAX_WEIGHT},
    sched::threshold::Thresholds,
    service::{
        from,
        key::ServiceKey,
        marks::Clash,
        module::ModuleMistake,
        plan::{ClientAddress, Method, SchedulerKind},
        quic::QuicMistake,
        snat,
        stays::StaysMistake,
    },
};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use thiserror::Error;

/// What is wrong with a plan.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// Two services have the same key.
    #[error("two services have {0}")]
    SameService(ServiceKey),
    /// Two services could have a packet, and none of them is more specific.
    #[error("{claim} would be of service {one:?} and of service {other:?}, and neither is more specific")]
    Overlap {
        /// What they have in common.
        claim: String,
        /// The first.
        one: String,
        /// The other.
        other: String,
    },
    /// A service has an address or port twice.
    #[error("service {service:?} has {claim} twice; remove one")]
    Twice {
        /// The service.
        service: String,
        /// What it has twice.
        claim: String,
    },
    /// Something is wrong with which clients a service is for.
    #[error(transparent)]
    From(#[from] from::Mistake),
    /// A service has too much that clients send to.
    #[error(
        "service {0:?} has {1} addresses and {2} ports: at most {MAX_VIPS_OF_SERVICE} and {MAX_PORTS_OF_SERVICE}"
    )]
    TooManyVips(String, usize, usize),
    /// The addresses of a service are not of one family.
    #[error("VIPs {one} and {other} of service {service:?} are not of one family; make two services")]
    Families {
        /// The service.
        service: String,
        /// One address.
        one: IpAddr,
        /// Another.
        other: IpAddr,
    },
    /// Two services have one name.
    #[error("two services are named {0:?}")]
    SameName(String),
    /// A server is in a service twice.
    #[error("{server} is in service {service} twice; to give it more connections, raise its weight")]
    SameServer {
        /// The service.
        service: String,
        /// Address and port.
        server: SocketAddr,
    },
    /// An address is used for two things that do not go together.
    #[error("{address} would be both {one} and {other}; use another address for one of them")]
    TwoUses {
        /// The address.
        address: IpAddr,
        /// What it is.
        one: String,
        /// What else it is.
        other: String,
    },
    /// No host can have the address.
    #[error("{address} cannot be {wanted}: it is not the address of one host")]
    NotAHost {
        /// The address.
        address: IpAddr,
        /// What it is to be.
        wanted: String,
    },
    /// There are too many routes.
    #[error("{0} routes are too many: at most {MAX_ROUTES}")]
    Routes(usize),
    /// Two routes lead to the same network, so that one of them is never used.
    #[error("{0} has a route already; delete it first")]
    SameRoute(String),
    /// A route leads to no network.
    #[error("{0} is not a network of single hosts")]
    NotRouted(IpNet),
    /// A route leads to a network that an interface is on, so that it is never used.
    #[error("{to} is attached to {interface}, which comes first")]
    RouteToAttached {
        /// The network.
        to: IpNet,
        /// The interface.
        interface: String,
    },
    /// A router has to be reached directly.
    #[error(
        "router {0} is on no attached network: `show routes` lists them; or name the interface that it is behind"
    )]
    RouterNotAttached(IpAddr),
    /// Every link has such an address.
    #[error("router {0} has the address of one link: name the interface that it is behind")]
    RouterOfSomeLink(IpAddr),
    /// A router is said to be elsewhere than its address is.
    #[error("router {via} is on the network of {other}, not behind {interface}")]
    RouterElsewhere {
        /// The router.
        via: IpAddr,
        /// Where its address is.
        other: String,
        /// Where it is said to be.
        interface: String,
    },
    /// An interface without addresses of a family asks nobody of that family.
    #[error("{interface} has no {family} address to ask router {via} from: add one to its `addresses`")]
    NoAddressToAskFrom {
        /// The router.
        via: IpAddr,
        /// Its family.
        family: &'static str,
        /// Where it is said to be.
        interface: String,
    },
    /// A port is 0.
    #[error("port 0 is not valid")]
    PortZero,
    /// Only NAT and FullNAT change ports.
    #[error("port {port} is not the service's {service}, and {method} cannot change it")]
    Port {
        /// The server's.
        port: u16,
        /// The service's.
        service: u16,
        /// How packets reach the server.
        method: Method,
    },
    /// Only NAT and FullNAT change ports.
    #[error(
        "port {port} of server {server} would be that of all packets, and {method} cannot change ports; give no port"
    )]
    FixedPort {
        /// The server's port.
        port: u16,
        /// Its address.
        server: IpAddr,
        /// How packets reach it.
        method: Method,
    },
    /// Only a tunnel takes packets of the other family.
    #[error(
        "server {server} and VIP {vip} are not of one family, as {method} requires; method tun takes either"
    )]
    OtherFamily {
        /// The server's address.
        server: IpAddr,
        /// The service's.
        vip: IpAddr,
        /// How packets reach the server.
        method: Method,
    },
    /// A router of one family knows no networks of the other.
    #[error("router {via} and network {to} are not of one family")]
    RouterOfOtherFamily {
        /// The network.
        to: IpNet,
        /// The router.
        via: IpAddr,
    },
    /// IPv6 needs more than the way to a server carries.
    #[error(
        "{0} carries packets of {1} bytes behind the tunnel's header, and IPv6 needs 1280 (RFC 8200): raise the MTU of its port"
    )]
    TooNarrow(IpAddr, u16),
    /// The same of an interface.
    #[error(
        "port {0:?} has MTU {1}, and IPv6 needs 1280 (RFC 8200): raise it, or use no address of IPv6 there"
    )]
    MtuForIpv6(String, u16),
    /// DR reaches attached networks only.
    #[error("{0} is on no attached network, as dr requires")]
    NotAttached(IpAddr),
    /// FullNAT takes local addresses.
    #[error(
        "fullnat takes `local_addresses`: addresses of the director that servers see in the place of clients'"
    )]
    NoLocalAddresses,
    /// Nothing else does.
    #[error("`local_addresses` are for fullnat: with {0}, servers see clients' own addresses")]
    LocalAddresses(Method),
    /// A local address is listed twice.
    #[error("{address} is a local address of service {service} twice; remove one")]
    SameLocalAddress {
        /// The service.
        service: String,
        /// The address.
        address: IpAddr,
    },
    /// Servers see addresses of their own family.
    #[error(
        "local addresses {one} and {other} of service {service:?} are not of one family; make two services"
    )]
    LocalAddressesOfFamilies {
        /// The service.
        service: String,
        /// An address.
        one: IpAddr,
        /// One of the other family.
        other: IpAddr,
    },
    /// Servers answer to local addresses.
    #[error(
        "server {server} and local address {local} are not of one family, as servers answer to local addresses"
    )]
    OtherFamilyThanLocal {
        /// The server.
        server: IpAddr,
        /// The first local address of its service.
        local: IpAddr,
    },
    /// What is translated is told by its destination.
    #[error(
        "{address} is of services {one:?} and {other:?}, and only one of them has servers of another family than its VIP; \
         use another address for one of them"
    )]
    Translated {
        /// A VIP or local address of IPv4.
        address: IpAddr,
        /// A service.
        one: String,
        /// The other.
        other: String,
    },
    /// An address of IPv4 tells by itself whether packets to it are translated, and those to a rule of SNAT are not.
    #[error(
        "{address} is a local address of service {service:?}, whose servers are of another family than its VIP, and an \
         address of SNAT rule {rule:?}; use another address for one of them"
    )]
    TranslatedOutward {
        /// The address.
        address: IpAddr,
        /// The service.
        service: String,
        /// The rule.
        rule: String,
    },
    /// Only what goes back through the director can be told of clients.
    #[error(
        "client_address = \"{0}\" is for {methods}: with {1}, servers see clients' own addresses, and answer them",
        methods = .0.methods()
    )]
    ClientAddress(ClientAddress, Method),
    /// What would go in front of data is not data of SCTP.
    #[error(
        "client_address = \"{0}\" is for tcp and udp: remove it, or use tun or dr, under which servers see clients"
    )]
    ClientAddressOfSctp(ClientAddress),
    /// A line of text begins a stream, and an option is TCP's.
    #[error("client_address = \"{0}\" is for tcp: use \"proxy-v2\", which datagrams can have as well")]
    ClientAddressOfStreams(ClientAddress),
    /// A module cannot read a service.
    #[error(transparent)]
    Module(#[from] ModuleMistake),
    /// What is said of connection IDs is wrong.
    #[error(transparent)]
    Quic(#[from] QuicMistake),
    /// A tunnel is said to be what it cannot be.
    #[error("{}: {}", .0.0, .0.1)]
    Tunnel((&'static str, &'static str)),
    /// The networks that outer packets come from are none.
    #[error("sources of tunnels: {0}")]
    TunnelSources(String),
    /// A rule of SNAT is wrong.
    #[error(transparent)]
    Snat(#[from] snat::Mistake),
    /// L3DSR takes a DSCP.
    #[error("l3dsr takes `dscp`: a number from 1 to 63 by which servers know packets for the VIP")]
    NoDscp,
    /// Nothing else does.
    #[error("`dscp` is for l3dsr: with {0}, packets keep their own; set 0")]
    Dscp(Method),
    /// Servers would not know which of several VIPs a packet is for.
    #[error("a service under l3dsr has one VIP, which its DSCP stands for; make a service for each")]
    DscpOfSeveral,
    /// A server would take packets for one VIP for those of another.
    #[error(transparent)]
    SameDscp(#[from] Clash),
    /// A connection that began elsewhere has another local port.
    #[error("fullnat cannot adopt connections: their servers know them by another local port")]
    Adopt,
    /// Replies are translated by what is known of their connection.
    #[error("one_packet keeps no connection, by which {0} would translate replies; use tun, dr or l3dsr")]
    OnePacket(Method),
    /// Clients of that kind are not known by that.
    #[error("persistence.{} {}; {}", .0.key(), .0.what(), .0.remedy())]
    Persistence(StaysMistake),
    /// Nobody knows how many connections there are.
    #[error("one_packet keeps no connection, and thresholds count connections; use one of them")]
    OnePacketThreshold,
    /// Not every scheduler hashes.
    #[error("hash_port is for sh and mh: {0} does not hash the client's address")]
    HashPort(SchedulerKind),
    /// The same; and others choose among those that are not full anyway.
    #[error("hash_fallback is for sh and mh: {0} does not hash the client's address")]
    HashFallback(SchedulerKind),
    /// Only what hashes has a table.
    #[error("hash_servers is for sh, dh and mh: {0} has no lookup table")]
    HashServers(SchedulerKind),
    /// There is nothing that could be followed.
    #[error(
        "role follow takes a port with a host side, where the kernel has VIPs: set `host` of a port and restart"
    )]
    NothingToFollow,
    /// A weight is too high.
    #[error("weight {0} is too high: at most {MAX_WEIGHT}")]
    Weight(u32),
    /// Whoever is full would be full for good.
    #[error(
        "lower_threshold {} is above upper_threshold {}: a server is full from the upper one until it has fewer than the \
         lower", .0.lower, .0.upper
    )]
    Thresholds(Thresholds),
}
