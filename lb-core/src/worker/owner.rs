//! Whose is a packet that this worker knows no connection for?

use super::Worker;
use crate::{
    conn::method::Method,
    flow::{key::Key, owner},
    packet::{PortId, WorkerId},
    service::plan::Spread,
};

impl<P> Worker<P> {
    /// The owner of a packet from a client to a service.
    pub(super) fn owner_of_inbound(&self, port: PortId, key: &Key<u32>, service: u32) -> WorkerId {
        let arrives_at_owner = match self.snapshot.services[service as usize].method {
            Method::Nat => return self.owner_under_nat(key.source, key.source_port, key.protocol),
            // Only this direction passes through us, so wherever it always arrives will do.
            Method::Tun | Method::Dr => self
                .snapshot
                .ports
                .get(usize::from(port.0))
                .is_some_and(|port| port.spread != Spread::Unknown),
        };
        if arrives_at_owner { self.id } else { self.by_client(key.source, key.source_port, key.protocol) }
    }

    /// The owner of a NAT server's packet to a client.
    pub(super) fn owner_of_reply(&self, key: &Key<u32>) -> WorkerId {
        self.owner_under_nat(key.destination, key.destination_port, key.protocol)
    }

    /// Where ports spread by client, both directions should arrive at one worker by themselves. It is computed all the
    /// same, because a NIC that does not do as it says must cost hand-overs, which are counted, and not connections.
    fn owner_under_nat(&self, client: u32, port: u16, protocol: u8) -> WorkerId {
        match (self.snapshot.nat_arrives_at_owner, self.snapshot.redirection_len) {
            (true, 0) => self.id,
            (true, len) => owner::by_client_rss(client, port, len, self.director.workers),
            (false, _) => self.by_client(client, port, protocol),
        }
    }

    fn by_client(&self, client: u32, port: u16, protocol: u8) -> WorkerId {
        if self.director.workers == 1 {
            return self.id;
        }
        owner::by_client(client, port, protocol, self.director.workers, self.director.secret)
    }
}
