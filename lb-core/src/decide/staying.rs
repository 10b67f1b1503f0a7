//! Which server a client stays with, where its service is persistent.

use super::{
    classify::Parsed,
    known::{Forwarded, Known},
};
use crate::{
    family::Family,
    ids::{ServerId, ServiceId},
    packet::Packet,
    sched::{
        Turn,
        load::Loads,
        persistence::{Client, Hold, Kept},
    },
    service::{
        plan::{Health, PersistBy, Standing},
        snapshot::Server,
    },
    time::Instant,
    wire::{protocol, sip, udp},
};

impl Known {
    /// The client of a packet, as its service remembers it; nothing if it remembers none.
    pub(crate) fn client_of<F: Forwarded>(
        &self,
        packet: &impl Packet,
        parsed: &Parsed<F>,
        service: ServiceId,
    ) -> Option<Client> {
        let persistence = &self.snapshot.services[service].persistence;
        let call_id = match persistence.by {
            PersistBy::Address => None,
            PersistBy::SipCallId => call_id(packet, parsed),
        };
        let network = || persistence.client(F::ip(parsed.key.key().source), call_id);
        persistence.is_on().then(|| Client { service, network: network() })
    }

    /// Whether a client stays with a server: it is still the same and takes connections, or would but for its weight.
    pub(crate) fn stays_with(&self, service: ServiceId, kept: Kept) -> bool {
        let Some(server) = self.snapshot.servers.get(kept.server) else { return false };
        let quiescent = !self.snapshot.services[service].persistence.expire_quiescent
            && server.plan.health != Health::Inhibited;
        (server.service, server.named) == (service, kept.named)
            && match server.standing {
                Standing::Serving => true,
                Standing::Draining => quiescent,
                Standing::Gone => false,
            }
    }

    /// The server that a client stays with, or that the scheduler chooses for it and it stays with from now on.
    #[cold]
    #[inline(never)]
    pub(crate) fn choose_kept<F: Forwarded>(
        &self,
        now: Instant,
        (packet, parsed, service): (&impl Packet, &Parsed<F>, ServiceId),
        turn: &mut Turn,
        loads: &Loads<'_>,
    ) -> (Option<ServerId>, Option<Hold>) {
        let table = &self.team.persistence;
        let Some(client) = &self.client_of(packet, parsed, service) else {
            return (self.choose(now, parsed, service, turn, loads), None);
        };
        let time = (now, self.snapshot.services[client.service].persistence.timeout);
        let stays = |kept| self.stays_with(client.service, kept);
        if let Some((kept, hold)) = table.join(client, time, stays) {
            return (Some(kept.server), Some(hold));
        }
        let Some(chosen) = self.choose(now, parsed, client.service, turn, loads) else { return (None, None) };
        let kept = Kept { server: chosen, named: self.snapshot.servers[chosen].named };
        match table.enter(client, kept, time, stays) {
            Some((kept, hold)) => (Some(kept.server), Some(hold)),
            None => (Some(chosen), None),
        }
    }

    /// A call that a server makes stays with it.
    #[cold]
    pub(crate) fn keep_call<F: Forwarded>(
        &self,
        now: Instant,
        (packet, parsed): (&impl Packet, &Parsed<F>),
        server: ServerId,
    ) -> Option<Hold> {
        let (key, Server { service, named, .. }) = (parsed.key.key(), &self.snapshot.servers[server]);
        let config = &self.snapshot.services[*service];
        if !config.keeps_calls(key.protocol) {
            return None;
        }
        let persistence = &config.persistence;
        let name = persistence.client(F::ip(key.destination), call_id(packet, parsed));
        let client = Client { service: *service, network: name };
        let kept = Kept { server, named: *named };
        let entered =
            self.team.persistence.enter(&client, kept, (now, persistence.timeout), |known| known == kept);
        entered.map(|(_, hold)| hold)
    }
}

/// The Call-ID of a datagram of SIP's, or of the first of its fragments.
#[cold]
fn call_id<'p, F: Family>(packet: &'p impl Packet, parsed: &Parsed<F>) -> Option<&'p [u8]> {
    let text = parsed.at.payload(packet.bytes()).get(udp::HEADER_LEN..)?;
    if parsed.at.protocol == protocol::UDP { sip::call_id(text) } else { None }
}
