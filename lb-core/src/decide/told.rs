//! A packet of a connection that a peer has told of: with which server it goes on here.
//!
//! The table is asked only for packets that nothing else is known of, and which can be of a connection that exists.

use super::{
    Act, Adopt, Course, Open, Told,
    classify::Parsed,
    known::{Forwarded, Known},
};
use crate::{
    conn::{
        beside::{Beside, Moved},
        entry::Direction,
    },
    counters::DropReason,
    flow::key::Key,
    ids::{ServerId, ServiceId},
    module::kind::ModuleKind,
    packet::Packet,
    peers::{
        exception::{Exception, ends},
        told::Found,
    },
    service::plan::{Standing, Unserved},
    time::Instant,
    wire::{get32, tcp},
};
use std::net::SocketAddr;

impl Known {
    /// What peers, and directors of IPVS after them, have told of the connection of packets with that key, from either side.
    #[inline]
    pub(super) fn told<F: Forwarded>(&self, key: &Key<F>) -> Option<Found> {
        let tables = self.team.told.iter().chain(&self.team.masters);
        tables.filter(|told| !told.is_empty()).find_map(|told| told.find(&ends(key)))
    }

    /// A client's packet of a connection that a peer has told of.
    #[cold]
    #[inline(never)]
    pub(super) fn take_told<F: Forwarded>(
        &self,
        now: Instant,
        parsed: &Parsed<F>,
        (service, unserved): (ServiceId, Unserved),
    ) -> Option<Course<F>> {
        let found = self.told::<F>(&parsed.key.key())?;
        if found.exception.ends != ends(&parsed.key.key()) {
            return None;
        }
        // Its packets may have arrived elsewhere there, where another service has them.
        let told = self.server_told(service, &found.exception);
        let told = match told {
            Err(DropReason::PeerServerUnknown) => self.server_told_of(&parsed.key.key(), &found.exception),
            told => told,
        };
        Some(match told {
            Ok(server) => {
                let service = self.snapshot.servers[server].service;
                let told = Some(Told { server, teller: found.teller });
                Course::Open(Open { service, unserved, adopts: true, told })
            }
            Err(reason) => self.not_taken(now, parsed, reason).into(),
        })
    }

    /// A server's packet of a connection that a peer has told of.
    #[cold]
    #[inline(never)]
    pub(super) fn take_told_reply<F: Forwarded>(
        &self,
        now: Instant,
        parsed: &Parsed<F>,
    ) -> Option<Course<F>> {
        let found = self.told::<F>(&parsed.key.key())?;
        let forward = found.exception.ends.key::<F>()?;
        if found.exception.reply_ends() != Some(ends(&parsed.key.key()))
            || !self.is_station::<F>(forward.source)
            || F::connections(self).lookup(&forward).is_some()
        {
            return None;
        }
        Some(match self.server_told_of(&forward, &found.exception) {
            Ok(server) => Course::Adopt(Adopt { server, teller: Some(found.teller) }),
            Err(reason) => self.not_taken(now, parsed, reason).into(),
        })
    }

    /// The key of the client's packets, as a peer tells it, of the connection of a server's.
    pub(super) fn told_key<F: Forwarded>(&self, parsed: &Parsed<F>) -> Option<Key<F>> {
        self.told::<F>(&parsed.key.key())?.exception.ends.key()
    }

    /// What goes on with the connection of a client's packets, as a peer tells it.
    pub(super) fn told_beside<F: Forwarded>(&self, key: &Key<F>) -> Option<Beside> {
        self.told::<F>(key)?.exception.beside
    }

    /// By how much a module has moved the numbers of the connection of a client's packets, as a peer tells it, and as is
    /// still so where this packet is the next of it.
    pub(super) fn told_moved<F: Forwarded>(
        &self,
        key: &Key<F>,
        (packet, parsed, direction): (&impl Packet, &Parsed<F>, Direction),
        module: ModuleKind,
    ) -> Result<Option<Moved>, DropReason> {
        let Some(moved) = self.told_beside(key).and_then(Beside::moved) else { return Ok(None) };
        // Of a call nothing is certain after what has been said since; but its numbers stay, and no others have moved.
        if module.reads_calls() {
            return Ok(Some(moved));
        }
        let segment = parsed.at.payload(packet.bytes());
        let [client, server] = moved.by();
        let holds = tcp::header_len(segment).is_some() && {
            let (own, others) = (get32(segment, tcp::SEQUENCE), get32(segment, tcp::ACKNOWLEDGEMENT));
            match direction {
                Direction::In => moved.holds([own, others.wrapping_sub(server)], true),
                Direction::Out => moved.holds([others.wrapping_sub(client), own], false),
            }
        };
        let is_read = self.talks.has_room() || !moved.is_moved();
        if holds && is_read { Ok(Some(moved)) } else { Err(DropReason::PeerMoved) }
    }

    /// The server that a peer tells of, in a service that a client's packets may be for.
    fn server_told_of<F: Forwarded>(
        &self,
        request: &Key<F>,
        exception: &Exception,
    ) -> Result<ServerId, DropReason> {
        let mut told = Err(DropReason::PeerServerUnknown);
        let _ = self.snapshot.find_service_for(request, |service| {
            told = self.server_told(service, exception);
            told != Err(DropReason::PeerServerUnknown)
        });
        told
    }

    /// The server that a peer tells of, if it is configured here and the packets of both directions come to this worker.
    fn server_told(&self, service: ServiceId, exception: &Exception) -> Result<ServerId, DropReason> {
        let config = &self.snapshot.services[service];
        let is_it = |id: &ServerId| {
            let server = &self.snapshot.servers[*id];
            let asked = exception.ends.destination.port();
            let endpoint = SocketAddr::new(server.plan.address, server.plan.port_for(asked));
            endpoint == exception.server && server.standing != Standing::Gone
        };
        let server = config.servers.iter().copied().find(is_it);
        let server = server.filter(|_| config.method == exception.method);
        let server = server.ok_or(DropReason::PeerServerUnknown)?;
        let is_ours = exception.local.is_none_or(|local| self.has_local(local));
        if is_ours { Ok(server) } else { Err(DropReason::PeerLocalPort) }
    }

    /// Where nothing can be done now, the sender hears nothing: the configuration may be about to come, and a reset would
    /// end what lives. A local port does not come.
    fn not_taken<F: Forwarded>(&self, now: Instant, parsed: &Parsed<F>, reason: DropReason) -> Act<F> {
        match reason {
            DropReason::PeerLocalPort => self.refuse(now, parsed, Unserved::Reject, reason),
            _ => Act::Drop(reason),
        }
    }
}
