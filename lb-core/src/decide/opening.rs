//! A connection that a packet opens: with which server, and whether it can be.

use super::{
    Act,
    classify::Parsed,
    flow::{Way, next_state},
    known::Known,
};
use crate::{
    conn::{
        connections::Vacancy,
        entry::{Connection, Direction},
    },
    counters::DropReason,
    flow::key::Key,
    ids::{ConnectionId, NeighbourId, ServerId, ServiceId},
    limits::MAX_NEIGHBOURS,
    packet::PortId,
    sched::{Request, Turn, load::Loads},
    service::{routing::NextHop, snapshot::Service},
    time::Instant,
};
use std::net::Ipv4Addr;

/// How often another server is tried when the chosen one's endpoint is taken by the client's other connection.
pub const TRIES: usize = 3;

/// A connection that is opened.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// The connection as it is once its first packet has passed, but for times, counts and the client's next hop.
    pub connection: Connection,
    /// Which way its first packet goes.
    pub direction: Direction,
    /// Its places in the table.
    pub(crate) vacancy: Vacancy,
    /// The client's closing connection on the same server endpoint, which goes.
    pub replaces: Option<ConnectionId>,
    /// Whether the oldest half-open connection makes room.
    pub evicts: bool,
    /// The next hop to the client, if packets to it pass here.
    pub client: Option<ClientHop>,
    /// Who gets the packet next; `None` also for a next hop that is yet to be taken into the table.
    pub neighbour: Option<NeighbourId>,
    /// Bytes of the largest packet that can go the packet's way.
    pub limit: u16,
}

/// The next hop to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientHop {
    /// Where it is.
    pub hop: NextHop,
    /// Its number, if it is in the table of neighbours already.
    pub neighbour: Option<NeighbourId>,
}

/// A packet that is to open a connection.
#[derive(Clone, Copy)]
pub struct Opener<'a> {
    /// Now.
    pub now: Instant,
    /// The packet.
    pub parsed: &'a Parsed,
    /// The port that it arrived on.
    pub port: PortId,
    /// Which way it goes.
    pub direction: Direction,
    /// A connection of its flow that is about to end.
    pub replaces: Option<ConnectionId>,
}

impl Known {
    /// The server that the scheduler chooses for a packet, which moves its turn on.
    pub fn choose(
        &self,
        parsed: &Parsed,
        service: ServiceId,
        turn: &mut Turn,
        loads: &Loads<'_>,
    ) -> Option<ServerId> {
        let config = &self.snapshot.services[service];
        let pick = config.scheduler.pick(&request(parsed, config), turn, loads)?;
        config.servers.get(pick).copied()
    }

    /// The connection to open with `server`, or with one that `another` names because the client has a connection with
    /// the last one's endpoint already. `Err` says what becomes of the packet instead, and which server was the last.
    pub fn opening(
        &self,
        opener: &Opener<'_>,
        mut server: ServerId,
        mut another: impl FnMut(ServerId) -> Option<ServerId>,
    ) -> Result<Opening, (ServerId, Act)> {
        let Opener { parsed, direction, .. } = *opener;
        let key = match direction {
            Direction::In => parsed.key.key(),
            Direction::Out => self.request_key(&parsed.key.key(), server),
        };
        let client = self.client_hop(key.source, server).map_err(|reason| (server, Act::Drop(reason)))?;
        let mut tries_left = TRIES;
        let (vacancy, replaces) = loop {
            tries_left -= 1;
            let vacancy = self.vacancy(opener, &key, server);
            match vacancy.taken.filter(|&taken| Some(taken) != opener.replaces) {
                Some(taken) if !self.connections.get(taken).gives_way() => {}
                replaces => break (vacancy, replaces),
            }
            let next = if tries_left > 0 { another(server) } else { None };
            server = next.ok_or((server, Act::Drop(DropReason::ReplyClash)))?;
        };
        let ended = usize::from(replaces.is_some()) + usize::from(opener.replaces.is_some());
        let evicts = self.connections.len() - ended >= self.connections.capacity();
        if evicts && self.connections.half_open() == 0 {
            return Err((server, Act::Drop(DropReason::TableFull)));
        }
        let way = self.first_way(direction, server, client);
        if parsed.at.ttl <= 1 || parsed.at.ip_len > way.limit {
            return Err((server, self.undeliverable(opener.now, opener.port, parsed, way.limit)));
        }
        let plan = &self.snapshot.servers[server].plan;
        let method = self.snapshot.service_of(server).method;
        let mut connection = Connection::new(&key, server, plan.address.to_bits(), plan.port, method);
        connection.state = next_state(parsed, &connection, direction);
        let Way { neighbour, limit } = way;
        Ok(Opening { connection, direction, vacancy, replaces, evicts, client, neighbour, limit })
    }

    /// Where a connection would be in the table.
    fn vacancy(&self, opener: &Opener<'_>, key: &Key<u32>, server: ServerId) -> Vacancy {
        let forward = match opener.direction {
            Direction::In => opener.parsed.place,
            Direction::Out => self.connections.place(key.packed()),
        };
        self.connections.vacancy(forward, self.reply_key(key, server).as_ref())
    }

    /// The key of a server's packets to a client, if they pass here.
    pub(crate) fn reply_key(&self, key: &Key<u32>, server: ServerId) -> Option<Key<u32>> {
        let plan = &self.snapshot.servers[server].plan;
        let sees_replies = self.snapshot.service_of(server).method.sees_replies();
        sees_replies.then(|| key.answered_by(plan.address.to_bits(), plan.port))
    }

    /// The next hop to the client of a connection whose replies pass here.
    pub(crate) fn client_hop(&self, client: u32, server: ServerId) -> Result<Option<ClientHop>, DropReason> {
        if !self.snapshot.service_of(server).method.sees_replies() {
            return Ok(None);
        }
        let hop = self.snapshot.routing.next_hop(Ipv4Addr::from_bits(client)).ok_or(DropReason::NoRoute)?;
        let neighbour = self.neighbours.find(hop);
        if neighbour.is_none() && self.neighbours.len() == MAX_NEIGHBOURS {
            return Err(DropReason::NeighboursFull);
        }
        Ok(Some(ClientHop { hop, neighbour }))
    }

    /// Where the first packet of a connection goes.
    fn first_way(&self, direction: Direction, server: ServerId, client: Option<ClientHop>) -> Way {
        match (direction, client) {
            (Direction::Out, Some(ClientHop { hop, neighbour })) => {
                Way { neighbour, limit: self.snapshot.ports[usize::from(hop.port.0)].mtu }
            }
            _ => {
                let backend = &self.backends[server];
                Way { neighbour: backend.neighbour, limit: backend.limit }
            }
        }
    }
}

/// What a scheduler is told of a packet that opens a connection.
pub(crate) fn request(parsed: &Parsed, service: &Service) -> Request {
    let key = parsed.key.key();
    Request {
        client: Ipv4Addr::from_bits(key.source),
        client_port: key.source_port,
        vip: service.vip,
        vip_port: service.port,
    }
}
