//! The server that a hash says: what `sh`, `dh` and `mh` share, each with what it hashes.

use super::{
    Candidate, Grounds, Request, Scheduler, Turn,
    hash::with_octets,
    maglev::Table,
    tables::{Lookup, Tables},
};
use crate::sched::{load::Loads, threshold::WithRoom};
use std::{net::IpAddr, sync::Arc};

/// What is hashed.
#[derive(Clone, Copy)]
pub(super) enum Hashed {
    Client,
    ClientAndPort,
    Vip,
}

impl Hashed {
    /// The client's address, and its port as well if that is asked for.
    pub(super) const fn client(with_port: bool) -> Self {
        if with_port { Hashed::ClientAndPort } else { Hashed::Client }
    }

    fn of(self, request: &Request) -> (IpAddr, Option<u16>) {
        match self {
            Hashed::Client => (request.client, None),
            Hashed::ClientAndPort => (request.client, Some(request.client_port)),
            Hashed::Vip => (request.vip, None),
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Hashed::Client => "the client's address",
            Hashed::ClientAndPort => "the client's address and port",
            Hashed::Vip => "the virtual address",
        }
    }
}

/// A scheduler that looks a hash up.
pub(super) struct Hashing {
    lookup: Lookup,
    hashed: Hashed,
}

impl Hashing {
    pub(super) fn new(candidates: &[Candidate], hashed: Hashed, servers: u32, tables: &mut Tables) -> Self {
        Hashing { lookup: Lookup::new(candidates, servers, tables), hashed }
    }

    fn with_octets<T>(&self, request: &Request, what: impl FnOnce(&[u8]) -> T) -> T {
        let (address, port) = self.hashed.of(request);
        with_octets(address, port, what)
    }
}

impl Scheduler for Hashing {
    fn pick(&self, request: &Request, _: &mut Turn, _: &Loads<'_>) -> Option<usize> {
        self.with_octets(request, |octets| self.lookup.pick(octets))
    }

    fn pick_with_room(
        &self,
        request: &Request,
        _: &mut Turn,
        _: &Loads<'_>,
        room: WithRoom<'_>,
    ) -> Option<usize> {
        // IPVS has no flag for `dh`.
        let falls_back = room.falls_back && !matches!(self.hashed, Hashed::Vip);
        self.with_octets(request, |octets| {
            self.lookup.pick_with_room(octets, WithRoom { falls_back, ..room })
        })
    }

    fn grounds(&self, request: &Request, _: &Turn) -> Grounds {
        self.with_octets(request, |octets| self.lookup.grounds(octets, self.hashed.words()))
    }

    fn table(&self) -> Option<&Arc<Table>> {
        Some(self.lookup.table())
    }

    fn bytes(&self) -> usize {
        self.lookup.bytes()
    }
}
