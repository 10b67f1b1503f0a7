//! Taking connections over from an earlier run of the director.

use super::{Worker, owner::Basis};
use crate::{
    conn::{entry::Connection, method::Method, saved::Saved},
    flow::key::Key,
    ids::ServerId,
    packet::{Packet, WorkerId},
    service::plan::{Spread, Standing},
    time::{Duration, Instant},
};
use thiserror::Error;

/// Why a connection was not taken over.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Lost {
    /// Its packets arrive elsewhere.
    #[error("owned by another worker")]
    Elsewhere,
    /// It ended in the meantime.
    #[error("over")]
    Over,
    /// Its service or server is not configured any more.
    #[error("of a server that is gone")]
    NoServer,
    /// No free entry, a clash with another connection, or no way to its client.
    #[error("without room")]
    NoRoom,
}

impl<P: Packet> Worker<P> {
    /// Takes a connection over, if its packets arrive at this worker. `was` is whose it was, if the earlier run had as
    /// many workers as this one.
    ///
    /// # Errors
    /// Why it was not taken over; then nothing has changed.
    pub fn restore(&mut self, now: Instant, saved: &Saved, was: Option<WorkerId>) -> Result<(), Lost> {
        if self.restored_owner(saved, was) != Some(self.id) {
            return Err(Lost::Elsewhere);
        }
        let server = self.server_of(saved).ok_or(Lost::NoServer)?;
        let timeout = self.snapshot.service_of(server).timeouts.of(saved.state);
        if saved.idle >= timeout {
            return Err(Lost::Over);
        }
        let left = Duration::from_millis(timeout.as_millis() - saved.idle.as_millis());
        let mut connection = saved.connection(server, now);
        if saved.method == Method::Nat {
            let neighbour = self.next_hop_to(now, connection.client).map_err(|_| Lost::NoRoom)?;
            connection.client_neighbour = Some(neighbour);
        }
        let is_known = self.connections.lookup(&saved.key).is_some();
        let inserted = if is_known { None } else { self.connections.insert(connection).ok() };
        let Some(id) = inserted else {
            if let Some(neighbour) = connection.client_neighbour {
                self.neighbours.release(neighbour);
            }
            return Err(Lost::NoRoom);
        };
        self.connections.reschedule(id, now + left);
        self.counters.created.bump();
        self.count_load(server, saved.state, 1);
        Ok(())
    }

    /// What an earlier run's connection needs to be remembered for the next run.
    pub fn saved(&self, now: Instant) -> impl Iterator<Item = Saved> {
        let all = self.connections.iter(0..u32::MAX);
        all.map(move |(_, connection): (_, &Connection)| Saved::of(connection, now))
    }

    /// Whose it is. With as many workers as before, ports spread as before. With another number, that can be known only
    /// where the owner is computed, not where it follows from where packets arrive.
    fn restored_owner(&self, saved: &Saved, was: Option<WorkerId>) -> Option<WorkerId> {
        let Key { source, source_port, protocol, .. } = saved.key;
        let basis = match saved.method {
            Method::Nat => self.basis_under_nat(),
            Method::Tun | Method::Dr
                if self.snapshot.ports.iter().all(|port| port.spread == Spread::Unknown) =>
            {
                Basis::Client
            }
            Method::Tun | Method::Dr => Basis::Arrival,
        };
        let is_known = basis != Basis::Arrival || self.director.workers == 1;
        let computed = || is_known.then(|| self.owner(basis, source, source_port, protocol));
        was.or_else(computed)
    }

    fn server_of(&self, saved: &Saved) -> Option<ServerId> {
        let key = &saved.key;
        let service = self.snapshot.service_at(key.protocol, key.destination, key.destination_port)?;
        let service = &self.snapshot.services[service];
        let is_it = |id: &ServerId| {
            let server = &self.snapshot.servers[*id];
            (server.plan.address.to_bits(), server.plan.port) == (saved.server_address, saved.server_port)
                && server.standing != Standing::Gone
        };
        (service.method == saved.method).then(|| service.servers.iter().copied().find(is_it)).flatten()
    }
}
