//! A local address and port for a connection under FullNAT or SNAT.
//!
//! Any port of the worker's is free that no connection with the same server has; one that is over has it until it is
//! forgotten. The worker's own table says so by the key of the server's replies. Ports are tried in an order in which those
//! that have been tried lie evenly among all, so that a few tries find what is free, wherever it lies: where 15 of 16 are
//! taken, 16 on average.

use super::known::{Forwarded, Known};
use crate::{
    conn::connections::Vacancy,
    family::{Family, V4, V6},
    flow::{key::Key, local_port::PortTurn, table::Place},
    ids::{ConnectionId, ServerId},
    limits::{FIRST_LOCAL_PORT, PORT_TRIES},
    module::expected::Expectation,
    sched::load::Load,
    service::snapshot::Service,
};
use std::net::{IpAddr, SocketAddr};

/// Ports that are tried where connections take nearly all of them: then a search is seldom worth its time, and many may be
/// made.
const TRIES_NEARLY_FULL: usize = 16;
/// The part of the ports that is left when nearly all are taken: one over this.
const LAST_PART: u64 = 16;

/// The same of SNAT. How many connections there are with whom a server asks is not counted, so a search is neither as long as
/// where ports are known to be free, nor as short as where they are known to be taken: with 9 of 10 taken, one in a thousand
/// finds none.
const TRIES_OUTWARD: usize = 64;

/// What a connection under FullNAT or SNAT begins with.
pub(super) struct LocalPlace<F: Family> {
    /// The address and port that the server is to see.
    pub(super) local: (F::Address, u16),
    /// Where the connection would be in the table.
    pub(super) vacancy: Vacancy,
}

impl Known {
    /// Whether replies to a local endpoint come to this worker.
    pub(super) fn has_local(&self, local: SocketAddr) -> bool {
        let (address, port) = (local.ip(), local.port());
        let is_held = match address {
            IpAddr::V4(address) => self.snapshot.local_address::<V4>(address.to_bits()).is_some(),
            IpAddr::V6(address) => self.snapshot.local_address::<V6>(address.to_bits()).is_some(),
        };
        let words = match address {
            IpAddr::V4(address) => V4::words(address.to_bits()),
            IpAddr::V6(address) => V6::words(address.to_bits()),
        };
        is_held && port >= FIRST_LOCAL_PORT && self.ports.owner(words, port) == self.id
    }

    /// The place of a connection that a peer has told of, if its local port is free here but for one that is about to end.
    #[cold]
    pub(super) fn told_place<F: Forwarded>(
        &self,
        (key, forward): (&Key<F>, Place),
        server: ServerId,
        ending: Option<ConnectionId>,
    ) -> Option<LocalPlace<F>> {
        let local = self.told(key)?.exception.local.filter(|local| self.has_local(*local))?;
        let (address, port) = (F::embed(local.ip())?, local.port());
        let plan = &self.snapshot.servers[server].plan;
        let reply =
            key.answered_by(F::embed(plan.address).unwrap_or_default(), plan.port_for(key.destination_port));
        let reply = Key { destination: address, destination_port: port, ..reply };
        let vacancy = F::connections(self).vacancy(forward, Some(&reply));
        let is_free = vacancy.taken.is_none_or(|taken| Some(taken) == ending);
        is_free.then_some(LocalPlace { local: (address, port), vacancy })
    }

    /// The place of a connection that a module expects, with the local address that it is to have.
    #[cold]
    #[inline(never)]
    pub(super) fn expected_place<F: Forwarded>(
        &self,
        (key, forward): (&Key<F>, Place),
        expectation: &Expectation,
        turn: PortTurn,
        ending: Option<ConnectionId>,
    ) -> Option<LocalPlace<F>> {
        let address = expectation.local.and_then(F::of)?;
        self.snapshot.local_address::<F>(address)?;
        let plan = &self.snapshot.servers[expectation.server.0].plan;
        let reply = key.answered_by(F::of(plan.address).unwrap_or_default(), expectation.server_port);
        let ports = self.ports.words(turn).map(|word| word ^ F::words(address));
        let replies = ports.filter(|port| *port >= FIRST_LOCAL_PORT).take(PORT_TRIES);
        replies.map(|destination_port| Key { destination: address, destination_port, ..reply }).find_map(
            |reply| {
                let vacancy = F::connections(self).vacancy(forward, Some(&reply));
                let is_free = vacancy.taken.is_none_or(|taken| Some(taken) == ending);
                is_free.then_some(LocalPlace { local: (address, reply.destination_port), vacancy })
            },
        )
    }

    /// The same of a connection outward.
    #[cold]
    #[inline(never)]
    pub(super) fn outward_place<F: Forwarded>(
        &self,
        (key, forward): (&Key<F>, Place),
        expectation: &Expectation,
        turn: PortTurn,
        ending: Option<ConnectionId>,
    ) -> Option<LocalPlace<F>> {
        let destination = expectation.local.and_then(F::of)?;
        self.snapshot.local_address::<F>(destination)?;
        let Service { local_ports, .. } = self.snapshot.service_of(expectation.server.0);
        let ports = self.ports.words(turn).map(|word| word ^ self.snapshot.word::<F>(destination));
        let is_local =
            |port: &u16| *port >= FIRST_LOCAL_PORT && local_ports.iter().any(|ports| ports.contains(*port));
        let replies = ports.filter(is_local).take(TRIES_OUTWARD);
        replies.map(|destination_port| Key { destination, destination_port, ..key.reversed() }).find_map(
            |reply| {
                let vacancy = F::connections(self).vacancy(forward, Some(&reply));
                let is_free = vacancy.taken.is_none_or(|taken| Some(taken) == ending);
                is_free.then_some(LocalPlace { local: (destination, reply.destination_port), vacancy })
            },
        )
    }

    /// A local address and port that no connection with the server has, but for one that is about to end. `forward` is the
    /// place of the client's packets in the table. `None` if none was found.
    #[cold]
    #[inline(never)]
    pub(super) fn local_place<F: Forwarded>(
        &self,
        (key, forward): (&Key<F>, Place),
        server: ServerId,
        turn: PortTurn,
        ending: Option<ConnectionId>,
    ) -> Option<LocalPlace<F>> {
        let tries = match self.snapshot.service_of(server).method.is_outward() {
            true => TRIES_OUTWARD,
            false if self.ports_are_nearly_taken(server) => TRIES_NEARLY_FULL,
            false => PORT_TRIES,
        };
        self.local_replies(key, server, turn).take(tries).find_map(|reply| {
            let vacancy = F::connections(self).vacancy(forward, Some(&reply));
            // A peer's connection that may yet come here has it towards the same server.
            let is_free =
                vacancy.taken.is_none_or(|taken| Some(taken) == ending) && self.told(&reply).is_none();
            is_free.then_some(LocalPlace { local: (reply.destination, reply.destination_port), vacancy })
        })
    }

    /// Starts loading where the server's replies will be looked for if the first port that is tried is free.
    #[cold]
    #[inline(never)]
    pub(crate) fn prefetch_local<F: Forwarded>(&self, key: &Key<F>, server: ServerId, turn: PortTurn) {
        if let Some(reply) = self.local_replies(key, server, turn).next() {
            F::connections(self).prefetch_key(reply.packed());
        }
    }

    /// The keys that the server's replies can have, in the order in which they are tried.
    fn local_replies<F: Forwarded>(
        &self,
        key: &Key<F>,
        server: ServerId,
        turn: PortTurn,
    ) -> impl Iterator<Item = Key<F>> {
        let plan = &self.snapshot.servers[server].plan;
        let Service { local_addresses: addresses, local_ports, method, .. } =
            self.snapshot.service_of(server);
        let is_outward = method.is_outward();
        let reply = match is_outward {
            true => key.reversed(),
            false => {
                let port = plan.port_for(key.destination_port);
                key.answered_by(F::embed(plan.address).unwrap_or_default(), port)
            }
        };
        let addresses_in_turn = (0u32..).map(move |tried| turn.address(tried, addresses.len()));
        self.ports.words(turn).zip(addresses_in_turn).filter_map(move |(word, at)| {
            let address = self.snapshot.local_addresses[*addresses.get(at)?].address;
            // A rule has addresses of both families, and none stands for one of the other.
            let destination = if is_outward { F::of(address) } else { F::embed(address) }?;
            let destination_port = word ^ self.snapshot.word::<F>(destination);
            let is_local = destination_port >= FIRST_LOCAL_PORT
                && local_ports.iter().any(|ports| ports.contains(destination_port));
            is_local.then_some(Key { destination, destination_port, ..reply })
        })
    }

    /// Whether this worker has nearly as many connections with a server as it has ports. That counts connections of
    /// addresses that are not configured any more as well, so it only says how long to search.
    fn ports_are_nearly_taken(&self, server: ServerId) -> bool {
        let Load { active, inactive } = self.team.board.own(self.id, server);
        let addresses = self.snapshot.service_of(server).local_addresses.len() as u64;
        let ports = u64::from(self.ports.len()) * addresses;
        u64::from(active) + u64::from(inactive) > ports - ports / LAST_PART
    }
}
