//! Whose is a packet that this worker knows no connection for?

use super::{
    Basis, Owner,
    known::{Forwarded, Known},
};
use crate::{
    conn::method::Method,
    family::Family,
    flow::{key::Key, owner},
    ids::ServiceId,
    packet::{Packet, PortId},
    service::{plan::Spread, snapshot::Local},
    wire::{
        pptp,
        protocol::{ISAKMP, Protocol},
    },
};

impl Known {
    /// The owner of a packet from a client to a service.
    pub(super) fn owner_of_inbound<F: Family>(
        &self,
        port: PortId,
        key: &Key<F>,
        service: ServiceId,
    ) -> Owner {
        let basis = self.basis_of_inbound(port, service, key);
        self.owner::<F>(basis, key.source, key.source_port, key.protocol)
    }

    /// The owner of a packet to a local address. It follows from the port, which its owner chose.
    pub(super) fn owner_by_local_port<F: Family>(&self, key: &Key<F>) -> Owner {
        let worker = self.ports.owner(self.snapshot.word::<F>(key.destination), key.destination_port);
        Owner { worker, basis: Basis::LocalPort(self.ports.dealing()) }
    }

    /// The owner of a NAT server's packet to a client.
    pub(super) fn owner_of_reply<F: Family>(&self, key: &Key<F>) -> Owner {
        self.owner::<F>(self.basis_under_nat(key), key.destination, key.destination_port, key.protocol)
    }

    /// The worker whose flow a fragment's packet is of, asked by one that has no connection for it. Where whole packets are
    /// owned by whom they arrive at, that is computed as the port computes it, since fragments arrive elsewhere; if the
    /// port does not say how, a hash of the client's end decides, and `true` says that this is a guess.
    pub(super) fn owner_of_fragment<F: Forwarded>(
        &self,
        packet: &impl Packet,
        key: &Key<F>,
    ) -> (Owner, bool) {
        let port = packet.port();
        let (owner, client) = match self.snapshot.local::<F>(key.destination) {
            Some(Local::Source { .. }) => return (self.owner_by_local_port(key), false),
            Some(Local::Vip { .. } | Local::Own(_)) => {
                let service = self.snapshot.service_for(key, || self.arrival(packet));
                let here = Owner { worker: self.id, basis: Basis::Arrival };
                let Some(service) = service else { return (here, false) };
                (self.owner_of_inbound(port, key, service), (key.source, key.source_port))
            }
            None if !self.may_answer::<F>(key.protocol, key.source, key.source_port)
                && let Ok(rule) = self.rule_for::<F>(packet, (key.source, key.destination)) =>
            {
                (self.owner_of_inbound(port, key, rule), (key.source, key.source_port))
            }
            None => (self.owner_of_reply(key), (key.destination, key.destination_port)),
        };
        if owner.basis != Basis::Arrival || self.team.workers == 1 {
            return (owner, false);
        }
        let arrives_at = self.snapshot.arrives_at(port, &key.ends());
        match arrives_at.filter(|worker| usize::from(worker.0) < self.team.workers) {
            Some(worker) => (Owner { worker, basis: Basis::Arrival }, false),
            None => (self.owner::<F>(Basis::Client, client.0, client.1, key.protocol), true),
        }
    }

    /// What the owner of a client's packets to a service follows from.
    fn basis_of_inbound<F: Family>(&self, port: PortId, service: ServiceId, key: &Key<F>) -> Basis {
        let spread = self.snapshot.ports.get(usize::from(port.0)).map(|port| port.spread);
        match self.snapshot.services[service].method {
            Method::Nat => self.basis_under_nat(key),
            _ if !self.is_hashed(key) => Basis::Client,
            // Only this direction passes through us, or the local port brings the other to the same worker. So wherever it
            // always arrives will do.
            Method::Tun | Method::Dr | Method::FullNat | Method::L3Dsr | Method::Snat
                if spread.is_some_and(|spread| spread != Spread::Unknown) =>
            {
                Basis::Arrival
            }
            Method::Tun | Method::Dr | Method::FullNat | Method::L3Dsr | Method::Snat => Basis::Client,
        }
    }

    /// Where ports spread by client, both directions should arrive at one worker by themselves. It is computed all the
    /// same, because a NIC that does not do as it says must cost hand-overs, which are counted, and not connections.
    pub(crate) fn basis_under_nat<F: Family>(&self, key: &Key<F>) -> Basis {
        if !self.is_hashed(key) {
            return Basis::Client;
        }
        match (self.snapshot.nat_arrives_at_owner, self.snapshot.redirection_len) {
            _ if self.snapshot.zero_window.is_some() => Basis::ZeroWindow,
            (true, 0) => Basis::Arrival,
            (true, len) => Basis::Rss(len),
            (false, _) => Basis::Client,
        }
    }

    /// Whether ports may spread a flow's packets by their own hash of it. Packets of calls have no ports, and have to come to
    /// the worker that has their control connection; that has little to say.
    pub(crate) fn is_hashed<F: Family>(&self, key: &Key<F>) -> bool {
        let is_control = || [key.source_port, key.destination_port].contains(&pptp::PORT);
        is_hashed(key) && !(self.snapshot.has_calls && key.protocol == Protocol::Tcp && is_control())
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
            Basis::ZeroWindow => {
                let keys = self.snapshot.zero_window.as_ref();
                keys.map_or(self.id, |keys| keys.owner::<F>(client, port))
            }
            Basis::Client => owner::by_client::<F>(client, port, protocol, workers, self.team.secret),
        };
        Owner { worker, basis }
    }
}

/// Whether ports may spread a flow's packets by their own hash of it. SCTP's are not asked to: few NICs know its ports, and
/// of those, Intel's hash its tag as well, which is not that of an INIT later and another one in each direction. So its
/// packets arrive on the first queue, or where their addresses lead, and a hash of ours deals them out from there. So do
/// those of IPsec, which have no ports, and have to come to the worker that has the connection of their keys.
fn is_hashed<F: Family>(key: &Key<F>) -> bool {
    match key.protocol {
        Protocol::Tcp => true,
        Protocol::Udp => (key.source_port, key.destination_port) != (ISAKMP, ISAKMP),
        // Ports see addresses at most.
        Protocol::Sctp | Protocol::Icmp => false,
    }
}
