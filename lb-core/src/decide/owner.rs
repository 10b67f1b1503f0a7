//! Whose is a packet that this worker knows no connection for?

use super::{Basis, Owner, known::Known};
use crate::{
    conn::method::Method,
    family::Family,
    flow::{key::Key, owner},
    ids::ServiceId,
    packet::PortId,
    service::plan::Spread,
    wire::protocol::Protocol,
};

impl Known {
    /// The owner of a packet from a client to a service.
    pub(super) fn owner_of_inbound<F: Family>(
        &self,
        port: PortId,
        key: &Key<F>,
        service: ServiceId,
    ) -> Owner {
        self.owner::<F>(self.basis_of_inbound(port, service), key.source, key.source_port, key.protocol)
    }

    /// The owner of a packet to a local address. It follows from the port, which its owner chose.
    pub(super) fn owner_by_local_port<F: Family>(&self, key: &Key<F>) -> Owner {
        let worker = self.ports.owner(F::words(key.destination), key.destination_port);
        Owner { worker, basis: Basis::LocalPort(self.ports.dealing()) }
    }

    /// The owner of a NAT server's packet to a client.
    pub(super) fn owner_of_reply<F: Family>(&self, key: &Key<F>) -> Owner {
        self.owner::<F>(self.basis_under_nat(), key.destination, key.destination_port, key.protocol)
    }

    /// What the owner of a client's packets to a service follows from.
    fn basis_of_inbound(&self, port: PortId, service: ServiceId) -> Basis {
        let spread = self.snapshot.ports.get(usize::from(port.0)).map(|port| port.spread);
        match self.snapshot.services[service].method {
            Method::Nat => self.basis_under_nat(),
            // Only this direction passes through us, or the local port brings the other to the same worker. So wherever it
            // always arrives will do.
            Method::Tun | Method::Dr | Method::FullNat
                if spread.is_some_and(|spread| spread != Spread::Unknown) =>
            {
                Basis::Arrival
            }
            Method::Tun | Method::Dr | Method::FullNat => Basis::Client,
        }
    }

    /// Where ports spread by client, both directions should arrive at one worker by themselves. It is computed all the
    /// same, because a NIC that does not do as it says must cost hand-overs, which are counted, and not connections.
    pub(crate) fn basis_under_nat(&self) -> Basis {
        match (self.snapshot.nat_arrives_at_owner, self.snapshot.redirection_len) {
            (true, 0) => Basis::Arrival,
            (true, len) => Basis::Rss(len),
            (false, _) => Basis::Client,
        }
    }

    pub(crate) fn owner<F: Family>(
        &self,
        basis: Basis,
        client: F::Address,
        port: u16,
        protocol: Protocol,
    ) -> Owner {
        let workers = self.team.workers;
        let worker = match basis {
            Basis::Arrival | Basis::LocalPort(_) => self.id,
            _ if workers == 1 => self.id,
            Basis::Rss(len) => owner::by_client_rss::<F>(client, port, len, workers),
            Basis::Client => owner::by_client::<F>(client, port, protocol, workers, self.team.secret),
        };
        Owner { worker, basis }
    }
}
