//! Every bound of the load balancer in one place, with what must hold between them.

/// Most packets in one burst.
pub const MAX_BURST: usize = 64;
/// Most workers.
pub const MAX_WORKERS: usize = 128;
/// Most ports.
pub const MAX_PORTS: usize = 32;
/// Most interfaces: that of each port, and those in VLANs.
pub const MAX_INTERFACES: usize = 1_024;
/// Most virtual services. A connection does not store its service, so this bounds memory only.
pub const MAX_SERVICES: usize = 16_384;
/// Most addresses of one service.
pub const MAX_VIPS_OF_SERVICE: usize = 256;
/// Most ports and ranges of ports of one service.
pub const MAX_PORTS_OF_SERVICE: usize = 64;
/// Most networks of clients of one service, and most ports of arrival.
pub const MAX_SOURCES_OF_SERVICE: usize = 64;
/// Most combinations of what a service of certain clients is for: protocols, addresses, ports, networks, ports of arrival.
pub const MAX_CLAIMS_OF_SERVICE: usize = 16_384;
/// Most bytes of the name of a service that is known by it.
pub const MAX_LABEL: usize = 64;
/// Most real servers over all services.
pub const MAX_SERVERS: usize = 1 << 20;
/// Most clients that persistent services remember.
pub const MAX_PERSISTENT_CLIENTS: usize = 1 << 26;
/// Most neighbours (servers, gateways, clients on attached networks) a worker knows at once.
pub const MAX_NEIGHBOURS: usize = 16_384;
/// Most static routes.
pub const MAX_ROUTES: usize = 1_024;
/// Most Ethernet addresses of virtual routers on one port: there is one for each family of a VRRP instance.
pub const MAX_VIRTUAL_MACS: usize = 16;
/// Addresses whose last defence against another host is remembered; more than that share their limits.
pub const DEFENCES: usize = 4_096;
/// Most of the director's addresses that other stations have and are left to them; more are announced nevertheless.
pub const MAX_TAKEN: usize = 64;
/// Most packets that wait for one neighbour's address; RFC 1122 2.3.2.2 asks for at least one.
pub const MAX_WAITING_PER_NEIGHBOUR: usize = 8;
/// Most packets of one worker that wait for any neighbour.
pub const MAX_WAITING: usize = 512;
/// Fragmented datagrams of one family that a worker knows at once, from clients, and as many from servers.
pub const MAX_DATAGRAMS: usize = 1_024;
/// Fragments of one datagram, at most: those of 65,535 bytes for an MTU of 576 are 119.
pub const MAX_PIECES: u8 = 128;
/// Stretches without a gap between them that a datagram's fragments may form at once. 45 fragments in any order, those of
/// 65,535 bytes for an MTU of 1,500, form 11 on average.
pub const MAX_STRETCHES: usize = 20;
/// Most fragments of one datagram that wait for the first.
pub const MAX_WAITING_PER_DATAGRAM: u8 = 64;
/// Most fragments of one family that wait at one worker, from clients, and as many from servers.
pub const MAX_WAITING_FRAGMENTS: usize = 128;
/// Most bytes of them.
pub const MAX_WAITING_FRAGMENT_BYTES: u32 = 256 << 10;
/// Most local addresses of FullNAT, those included that are not configured any more but have connections.
pub const MAX_LOCAL_ADDRESSES: usize = 256;
/// Most rules of SNAT.
pub const MAX_SNAT_RULES: usize = 64;
/// Most networks that one of them is for.
pub const MAX_SNAT_SOURCES: usize = 64;
/// Fewest ports of one: workers share them, and each is to find some.
pub const MIN_SNAT_PORTS: u32 = 1_024;
/// The lowest local port: those below are for well-known services, and servers may ask more of whoever has one.
pub const FIRST_LOCAL_PORT: u16 = 1_024;
/// Local ports that are tried for one connection, at most.
pub const PORT_TRIES: usize = 256;
/// Most connections that modules expect at once, over all workers.
pub const MAX_EXPECTED: usize = 65_536;
/// Most connections of one worker that modules read at once.
pub const MAX_TALKS: usize = 32_768;
/// Connections of one worker that modules read besides, and whose places are given to others, since nothing that anybody sees
/// shows that their clients exist.
pub const MAX_PASSING_TALKS: usize = 4_096;
/// Most connections of one worker: an index and the table's tags share 48 bits.
pub const MAX_CONNECTIONS: usize = 1 << 28;
/// Highest weight of a real server, as in IPVS.
pub const MAX_WEIGHT: u32 = 65_535;
/// Bytes one IPv4 connection may cost, everything included.
pub const MAX_BYTES_PER_CONNECTION: usize = 128;
/// The same of IPv6.
pub const MAX_BYTES_PER_CONNECTION_V6: usize = 192;
/// Connections whose deadlines are looked at after one burst, at most.
pub const EXPIRE_PER_BURST: usize = 64;
/// Unconfirmed connections that are looked at to find one that makes room, at most.
pub const EVICTION_LOOKS: usize = 16;
/// Longest timeout, in seconds: 24 days, so that a difference of 32-bit millisecond stamps is never ambiguous.
pub const MAX_TIMEOUT_S: u64 = 24 * 86_400;
/// Bytes that a way must carry for packets to be fragmented for it: what every link carries, RFC 791 3.2.
pub const MIN_FRAGMENTED: u16 = 68;
/// Fragments that one packet is cut into, at most: more than one of the largest MTU for a way of the smallest.
pub const MAX_MADE_FRAGMENTS: usize = 64;
/// Smallest MTU a port may have: RFC 791's minimum reassembly size leaves room for any header we add.
pub const MIN_MTU: u16 = 576;
/// Largest MTU a port may have.
pub const MAX_MTU: u16 = 9_000;

const _: () = assert!(MAX_NEIGHBOURS <= u16::MAX as usize);
const _: () = assert!(MAX_WORKERS <= u8::MAX as usize);
// Each has ports of each local address.
const _: () = assert!(MAX_WORKERS <= FIRST_LOCAL_PORT as usize);
const _: () = assert!(MAX_PORTS <= u8::MAX as usize);
const _: () = assert!(MAX_PORTS <= MAX_INTERFACES && MAX_INTERFACES <= u16::MAX as usize);
const _: () = assert!(MAX_WAITING_PER_NEIGHBOUR <= MAX_WAITING);
const _: () = assert!(MAX_WAITING_PER_DATAGRAM as usize <= MAX_WAITING_FRAGMENTS);
const _: () = assert!(MAX_STRETCHES <= MAX_PIECES as usize);
const _: () = assert!(MAX_TIMEOUT_S * 1_000 < (1 << 31));
// Connections are numbered from 1, and their numbers have a direction beside them.
const _: () = assert!(MAX_CONNECTIONS < (u32::MAX / 2) as usize);
