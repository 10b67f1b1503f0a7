//! Which of a worker's connections peers are to be told of.
//!
//! Whoever wants to know goes through the entries piece by piece, between bursts, again and again: packets pay nothing for
//! it, and neither a connection that was opened with another server than today's choice, nor one that has become an
//! exception because the choice has changed, needs anybody to notice at that moment.

use super::Worker;
use crate::{
    conn::{beside::Beside, entry::Connection, reading::Reading, standing::Standing},
    decide::known::Forwarded,
    packet::Packet,
    peers::exception::{Exception, OLD_ENOUGH, Seen, is_missed},
    sched::{Request, Turn, persistence::Hold},
    service::plan,
    time::Instant,
    wire::protocol::Protocol,
};
use std::{net::SocketAddr, ops::Range};

/// Which connections are exceptions, besides those that always are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Those who are told may choose other servers than this director would, so that every connection is one.
    pub all: bool,
    /// This director is about to leave, so that others need to know connections that are not old enough as well.
    pub young: bool,
}

impl<P: Packet> Worker<P> {
    /// Tells `found` of the exceptions at these places, and the memory of clients of those that have shown that they exist.
    /// Returns whether there are places beyond.
    pub fn exceptions<F: Forwarded>(
        &self,
        now: Instant,
        places: Range<u32>,
        wanted: Wanted,
        mut found: impl FnMut(Seen),
    ) -> bool {
        let (snapshot, loads) = (&self.known.snapshot, self.known.loads());
        let connections = F::connections(&self.known);
        let end = places.end;
        for (id, connection) in connections.iter(places) {
            // Others are told of clients that exist, not of those that forged packets have.
            if connection.is_kept()
                && connection.has_gone_on()
                && let Some(hold) = Hold::of_raw(connections.kept(id))
            {
                self.known.team.persistence.prove(hold);
            }
            if !is_missed(connection.state) {
                continue;
            }
            let server = &snapshot.servers[connection.server];
            if server.standing == plan::Standing::Gone {
                continue;
            }
            let service = &snapshot.services[server.service];
            // Peers have rules and addresses of their own.
            if service.method.is_outward() {
                continue;
            }
            // Nobody can work out the local port of a connection. Where this director does not answer for the VIP, another
            // does or is about to, and needs to know the young ones as well.
            let is_young = || {
                let vip = F::ip(connection.forward_key().destination);
                !wanted.young && connections.created(id).age(now) < OLD_ENOUGH && snapshot.answers_for(vip)
            };
            // Nor how far its server has been told of its client, but every datagram begins with that; nor by how much a
            // module has moved its numbers. Where that is not certain, nobody is told of the connection.
            let is_read = service.module.reads() && service.method.rewrites_endpoints();
            let Some(beside) = self.beside::<F>(id) else { continue };
            // Nor of one whose client may not exist.
            if is_read && matches!(connections.reading(id), Some(Reading::Awaits(_))) {
                continue;
            }
            if beside.and_then(Beside::moved).is_some_and(|moved| !moved.can_be_told()) {
                continue;
            }
            let is_shifted = is_read || beside.is_some() && connection.protocol == Protocol::Tcp;
            // A director that remembers clients goes by its memory, even where it would find the server by hashing.
            let hashes = service.hashes() && !service.persistence.is_on();
            let chosen = if wanted.all || !hashes || connection.local().is_some() || is_shifted {
                is_young()
            } else {
                // A scheduler that hashes looks at neither turns nor loads.
                let pick = service.scheduler.pick(&request(now, connection), &mut Turn::default(), &loads);
                pick.and_then(|pick| service.servers.get(pick)) == Some(&connection.server)
            };
            if !chosen {
                // A server without a port of its own has the one that the client asked for.
                let port = server.plan.port_for(connection.forward_key().destination_port);
                found(Seen {
                    exception: Exception::of(
                        (connection, beside),
                        SocketAddr::new(server.plan.address, port),
                    ),
                    is_proven: connections.standing(id) == Standing::Confirmed,
                    state: connection.state,
                    timeout: service.timeouts.of(connection.state),
                    mark: service.fwmark,
                });
            }
        }
        end < connections.high_water()
    }
}

/// What a scheduler would see of a connection's first packet.
fn request<F: Forwarded>(now: Instant, connection: &Connection<F>) -> Request {
    let key = connection.forward_key();
    Request {
        client: F::ip(key.source),
        client_port: key.source_port,
        vip: F::ip(key.destination),
        vip_port: key.destination_port,
        now,
    }
}
