//! A connection that a packet opens: with which server, and whether it can be.

use super::{
    Act,
    classify::{Kind, Parsed},
    flow::{Path, next_state},
    known::{Forwarded, Known},
    room::Room,
};
use crate::{
    cast::small,
    conn::{
        beside::{Beside, Moved},
        connections::{Hit, Vacancy},
        entry::{Connection, Direction},
        second::Second,
    },
    counters::DropReason,
    family::{Family, V4},
    flow::{key::Key, local_port::PortTurn, table::Place},
    forward::proxy,
    ids::{ConnectionId, NeighbourId, ServerId, ServiceId},
    limits::MAX_NEIGHBOURS,
    module::kind::ModuleKind,
    packet::Packet,
    peers::told::Teller,
    sched::{Request, Turn, load::Loads, threshold::WithRoom},
    service::{
        plan::{Method, Standing, Unserved},
        routing::NextHop,
        snapshot::{Server, Service},
    },
    time::Instant,
    wire::protocol::Protocol,
};

/// Servers that are looked at when the chosen one's endpoint is taken by the client's other connection, at most.
const TRIES: usize = 64;

/// A connection that is opened.
#[derive(Clone, Copy, Debug)]
pub struct Opening<F: Family = V4> {
    /// The connection as it is once its first packet has passed, but for times, counts and the client's next hop.
    pub connection: Connection<F>,
    /// Whether its server is told of its client, or a module reads it, so that it gets a second line.
    pub tells: Tells,
    /// Which way its first packet goes.
    pub direction: Direction,
    /// Its places in the table.
    pub(crate) vacancy: Vacancy,
    /// The client's closing connection on the same server endpoint, which goes.
    pub replaces: Option<ConnectionId>,
    /// Room for it.
    pub room: Room,
    /// The next hop to the client, if packets to it pass here.
    pub client: Option<ClientHop>,
    /// The next hop outward, under SNAT.
    pub outward: Option<ClientHop>,
    /// Who gets the packet next; `None` also for a next hop that is yet to be taken into the table.
    pub neighbour: Option<NeighbourId>,
    /// Bytes of the largest packet that can go the packet's way.
    pub limit: u16,
}

/// How the server of a connection that is opened is told of its client, or what else it gets a second line for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tells {
    /// Not at all.
    Never,
    /// From here on.
    Anew,
    /// As far as a peer says that it has been, if at all.
    AsTold,
    /// Not at all, but a module reads the connection, which takes a second line as well; from here on, or with numbers that
    /// another director's module has moved.
    Read(ModuleKind, Option<Moved>),
}

/// Where a connection is to be.
#[derive(Clone, Copy)]
struct Placed<F: Family> {
    server: ServerId,
    /// The server's port, if it is not what the server's configuration says.
    port: Option<u16>,
    local: Option<(F::Address, u16)>,
    vacancy: Vacancy,
    replaces: Option<ConnectionId>,
    client: Option<ClientHop>,
    outward: Option<ClientHop>,
}

/// The next hop to a client, or to whom one asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientHop {
    /// Where it is.
    pub hop: NextHop,
    /// Its number, if it is in the table of neighbours already.
    pub neighbour: Option<NeighbourId>,
}

/// A packet that is to open a connection.
#[derive(Clone, Copy)]
pub struct Opener<'a, P, F: Family = V4> {
    /// Now.
    pub now: Instant,
    /// The packet.
    pub packet: &'a P,
    /// What is known of it.
    pub parsed: &'a Parsed<F>,
    /// Which way it goes.
    pub direction: Direction,
    /// A connection of its flow that is about to end.
    pub replaces: Option<ConnectionId>,
    /// Where the search for a local port begins, if it takes one.
    pub turn: PortTurn,
    /// Who has told of the connection, if anybody has: it is with the chosen server or none. One that a peer has told of
    /// has the local port that it has.
    pub teller: Option<Teller>,
}

/// A packet that opens no connection with the server that the scheduler chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnedAway<F: Family = V4> {
    /// What becomes of it.
    pub act: Act<F>,
    /// It is because no local port is free.
    pub is_for_ports: bool,
}

impl<F: Family> TurnedAway<F> {
    /// It is dropped.
    const fn dropped(reason: DropReason) -> Self {
        TurnedAway { act: Act::Drop(reason), is_for_ports: false }
    }
}

impl Known {
    /// The server that the scheduler chooses for a packet, which moves its turn on.
    pub fn choose<F: Forwarded>(
        &self,
        now: Instant,
        parsed: &Parsed<F>,
        service: ServiceId,
        turn: &mut Turn,
        loads: &Loads<'_>,
    ) -> Option<ServerId> {
        let config = &self.snapshot.services[service];
        let request = &request(now, parsed);
        let pick = if config.has_thresholds {
            self.pick_with_room(config, request, turn, loads)?
        } else {
            config.scheduler.pick(request, turn, loads)?
        };
        config.servers.get(pick).copied()
    }

    #[inline(never)]
    fn pick_with_room(
        &self,
        service: &Service,
        request: &Request,
        turn: &mut Turn,
        loads: &Loads<'_>,
    ) -> Option<usize> {
        let has =
            |candidate: usize| service.servers.get(candidate).is_some_and(|&id| !self.is_full(id, loads));
        let room = WithRoom { has: &has, falls_back: service.hash_fallback };
        service.scheduler.pick_with_room(request, turn, loads, room)
    }

    /// Whether a server has as many connections as it may have.
    fn is_full(&self, server: ServerId, loads: &Loads<'_>) -> bool {
        let thresholds = self.snapshot.servers[server].plan.limits();
        thresholds.is_some() && loads.is_full(server, thresholds)
    }

    /// Why a service's scheduler has chosen none of its servers.
    pub(crate) fn why_none(&self, service: ServiceId) -> DropReason {
        let service = &self.snapshot.services[service];
        let takes = service.candidates.iter().any(|candidate| candidate.weight > 0);
        if service.has_thresholds && takes { DropReason::ServersFull } else { DropReason::NoServer }
    }

    /// The connection to open with the server that the scheduler chose, or with another if the client has a connection
    /// with that one's endpoint already, by way of another service. `Err` says what becomes of the packet instead.
    pub fn opening<F: Forwarded>(
        &self,
        opener: &Opener<'_, impl Packet, F>,
        chosen: ServerId,
    ) -> Result<Opening<F>, TurnedAway<F>> {
        if opener.teller == Some(Teller::Module) {
            return self.expected_opening(opener, chosen);
        }
        let Opener { parsed, direction, .. } = *opener;
        let is_told = opener.teller.is_some();
        let key = match direction {
            Direction::In => parsed.key.key(),
            // It may have been forgotten in this moment.
            Direction::Out if is_told => {
                self.told_key(parsed).ok_or_else(|| TurnedAway::dropped(DropReason::PeerServerUnknown))?
            }
            Direction::Out => self.request_key(&parsed.key.key(), chosen),
        };
        let method = self.snapshot.service_of(chosen).method;
        let client = self.client_hop::<F>(key.source, method.sees_replies()).map_err(TurnedAway::dropped)?;
        let outward =
            self.client_hop::<F>(key.destination, method.is_outward()).map_err(TurnedAway::dropped)?;
        let (mut server, mut replaces, mut local) = (chosen, None, None);
        let vacancy = if method.hides_clients() {
            let free = match is_told {
                false => {
                    let forward = self.forward_place(opener, &key);
                    self.local_place((&key, forward), chosen, opener.turn, opener.replaces)
                }
                true => self.told_place((&key, self.forward_place(opener, &key)), chosen, opener.replaces),
            };
            let none = if is_told { DropReason::PeerLocalPort } else { DropReason::PortsExhausted };
            let free = free.ok_or_else(|| self.turned_away(opener, none))?;
            local = Some(free.local);
            free.vacancy
        } else {
            let vacancy = self.vacancy(opener, &key, chosen, method);
            if vacancy.taken.is_none() {
                vacancy
            } else {
                let free = self.free_server(opener, &key, (chosen, method));
                let free = free.ok_or_else(|| self.turned_away(opener, DropReason::ReplyClash))?;
                (server, replaces) = (free.0, free.2);
                free.1
            }
        };
        self.opened(opener, &key, Placed { server, port: None, local, vacancy, replaces, client, outward })
    }

    /// The connection that a module expects, with the server that it is to have.
    #[cold]
    #[inline(never)]
    fn expected_opening<F: Forwarded>(
        &self,
        opener: &Opener<'_, impl Packet, F>,
        server: ServerId,
    ) -> Result<Opening<F>, TurnedAway<F>> {
        let packet = opener.parsed.key.key();
        let turned_away = |reason| self.turned_away(opener, reason);
        // It may have come by another packet in this moment.
        let found = self.expected(opener.now, opener.parsed, opener.direction);
        let expectation = found.ok_or_else(|| turned_away(DropReason::Unserved))?.expectation;
        let method = self.snapshot.service_of(server).method;
        let key = match opener.direction {
            Direction::In => packet,
            Direction::Out if method.is_outward() => {
                let key = self.outward_key(&packet, &expectation, opener.replaces);
                key.ok_or_else(|| turned_away(DropReason::ReplyClash))?
            }
            Direction::Out => {
                let request = expectation.request.key::<F>();
                let request = request.ok_or_else(|| turned_away(DropReason::Unserved))?;
                let or = |port: u16, said: u16| if port == 0 { said } else { port };
                Key {
                    source_port: or(request.source_port, packet.destination_port),
                    destination_port: or(request.destination_port, packet.source_port),
                    ..request
                }
            }
        };
        let port = match (opener.direction, expectation.server_port) {
            (Direction::Out, _) => packet.source_port,
            // What is not rewritten goes to the port that it says.
            (Direction::In, 0) => packet.destination_port,
            (Direction::In, port) => port,
        };
        let client = self.client_hop::<F>(key.source, method.sees_replies()).map_err(TurnedAway::dropped)?;
        let outward =
            self.client_hop::<F>(key.destination, method.is_outward()).map_err(TurnedAway::dropped)?;
        let forward = self.forward_place(opener, &key);
        let (vacancy, local) = match (method, opener.direction) {
            (Method::FullNat, Direction::In) => {
                let free = self.expected_place((&key, forward), &expectation, opener.turn, opener.replaces);
                let free = free.ok_or_else(|| turned_away(DropReason::PortsExhausted))?;
                (free.vacancy, Some(free.local))
            }
            (Method::Snat, Direction::In) => {
                let free = self.outward_place((&key, forward), &expectation, opener.turn, opener.replaces);
                let free = free.ok_or_else(|| turned_away(DropReason::PortsExhausted))?;
                (free.vacancy, Some(free.local))
            }
            (Method::FullNat | Method::Snat, Direction::Out) => {
                let vacancy = F::connections(self).vacancy(forward, Some(&packet));
                (vacancy, Some((packet.destination, packet.destination_port)))
            }
            (Method::Nat | Method::Tun | Method::Dr | Method::L3Dsr, _) => {
                let address = F::of(self.snapshot.servers[server].plan.address).unwrap_or_default();
                let reply = (method == Method::Nat).then(|| key.answered_by(address, port));
                (F::connections(self).vacancy(forward, reply.as_ref()), None)
            }
        };
        // The client's packets may be of another connection as well, where the server has begun this one.
        let of_client = match opener.direction {
            Direction::In => None,
            Direction::Out => F::connections(self).lookup(&key).map(Hit::connection),
        };
        let others = [vacancy.taken, of_client].map(|taken| taken.filter(|it| Some(*it) != opener.replaces));
        let gives_way = |taken: ConnectionId| F::connections(self).get(taken).gives_way();
        let replaces = match others {
            [None, taken] | [taken, None] => taken,
            [one, other] if one == other => one,
            [Some(_), Some(_)] => return Err(turned_away(DropReason::ReplyClash)),
        };
        if replaces.is_some_and(|taken| !gives_way(taken)) {
            return Err(turned_away(DropReason::ReplyClash));
        }
        let port = Some(port);
        self.opened(opener, &key, Placed { server, port, local, vacancy, replaces, client, outward })
    }

    /// The packet opens nothing, and its sender is told.
    #[cold]
    fn turned_away<F: Forwarded>(
        &self,
        opener: &Opener<'_, impl Packet, F>,
        reason: DropReason,
    ) -> TurnedAway<F> {
        TurnedAway {
            act: self.refuse(opener.now, opener.parsed, Unserved::Reject, reason),
            is_for_ports: reason == DropReason::PortsExhausted,
        }
    }

    /// The connection to open, whose place is known.
    #[inline(always)]
    fn opened<F: Forwarded>(
        &self,
        opener: &Opener<'_, impl Packet, F>,
        key: &Key<F>,
        placed: Placed<F>,
    ) -> Result<Opening<F>, TurnedAway<F>> {
        let Opener { parsed, direction, .. } = *opener;
        let Placed { server, port, local, vacancy, replaces, client, outward } = placed;
        let Server { service, plan, .. } = &self.snapshot.servers[server];
        let room = self
            .room::<F>(*service, [replaces, opener.replaces])
            .ok_or_else(|| TurnedAway::dropped(DropReason::TableFull))?;
        let Service { method, client_address, .. } = &self.snapshot.services[*service];
        let module = self.snapshot.services[*service].reader(key.protocol, key.destination_port);
        // Where the beginning was not seen, another director has told the server and says how far, or nobody need.
        let begins = parsed.begins();
        let tells = client_address.is_told() && begins;
        let mut path = self.first_path(direction, server, (client, outward));
        if tells && parsed.key.protocol == Protocol::Udp {
            path = path.less(proxy::datagram_len::<F>());
        }
        if path.fit(&parsed.at).is_none() {
            let interface = self.snapshot.interface_of(opener.packet.port(), opener.packet.bytes());
            let act = self.undeliverable(opener.now, interface, parsed, path.most);
            return Err(TurnedAway { act, is_for_ports: false });
        }
        let (address, port) = match method.is_outward() {
            true => (F::ip(key.destination), port.unwrap_or(key.destination_port)),
            false => (plan.address, port.unwrap_or_else(|| plan.port_for(key.destination_port))),
        };
        let mut connection = Connection::new(key, server, address, port, *method);
        match local {
            Some(local) if method.is_outward() => {
                connection.set_outward(local, outward.and_then(|outward| outward.neighbour));
            }
            Some((address, port)) => connection.set_local(address, port),
            None => {}
        }
        connection.state = next_state(parsed, &connection, direction);
        let Path { neighbour, limit, .. } = path;
        let tells = match (tells, opener.teller) {
            (_, None) if module.reads() => Tells::Read(module, None),
            // What a module expects is no connection of the kind that it reads.
            (_, Some(teller)) if module.reads() && teller != Teller::Module => {
                let moved = self.told_moved(key, (opener.packet, parsed, direction), module);
                Tells::Read(module, moved.map_err(|reason| self.turned_away(opener, reason))?)
            }
            (true, _) => Tells::Anew,
            (false, Some(_)) => Tells::AsTold,
            (false, None) => Tells::Never,
        };
        Ok(Opening {
            connection,
            tells,
            direction,
            vacancy,
            replaces,
            room,
            client,
            outward,
            neighbour,
            limit,
        })
    }

    /// The second line of a connection that is opened, if it gets one.
    #[cold]
    #[inline(never)]
    pub(crate) fn second_line<F: Forwarded>(&self, opening: &Opening<F>) -> Option<Second> {
        let connection = &opening.connection;
        match opening.tells {
            Tells::Never | Tells::Read(..) => None,
            Tells::Anew => {
                let told = self.snapshot.service_of(connection.server).client_address;
                let [len, _] = small(proxy::header(connection, told).len()).to_le_bytes();
                Some(Second::new(told, len))
            }
            Tells::AsTold => self.told_beside(&connection.forward_key()).and_then(Beside::second),
        }
    }

    /// The chosen server, or the next in its service that takes new connections, whose endpoint the client has no
    /// connection with, or one that gives way.
    #[cold]
    fn free_server<F: Forwarded>(
        &self,
        opener: &Opener<'_, impl Packet, F>,
        key: &Key<F>,
        (chosen, method): (ServerId, Method),
    ) -> Option<(ServerId, Vacancy, Option<ConnectionId>)> {
        let look_at = |server| {
            let vacancy = self.vacancy(opener, key, server, method);
            match vacancy.taken.filter(|&taken| Some(taken) != opener.replaces) {
                Some(taken) if !F::connections(self).get(taken).gives_way() => None,
                replaces => Some((server, vacancy, replaces)),
            }
        };
        let others = if opener.teller.is_some() { 0 } else { TRIES };
        look_at(chosen).or_else(|| self.others(chosen).take(others).find_map(look_at))
    }

    /// The other servers of a server's service that take new connections, in turn from it on.
    fn others(&self, server: ServerId) -> impl Iterator<Item = ServerId> {
        let servers = &self.snapshot.service_of(server).servers;
        let place = servers.iter().position(|&id| id == server).unwrap_or_default();
        let (before, from) = servers.split_at(place);
        let loads = self.loads();
        let serves = move |id: &ServerId| {
            self.snapshot.servers[*id].standing == Standing::Serving && !self.is_full(*id, &loads)
        };
        from.iter().skip(1).chain(before).copied().filter(serves)
    }

    /// Where a connection would be in the table.
    fn vacancy<F: Forwarded>(
        &self,
        opener: &Opener<'_, impl Packet, F>,
        key: &Key<F>,
        server: ServerId,
        method: Method,
    ) -> Vacancy {
        let forward = self.forward_place(opener, key);
        F::connections(self).vacancy(forward, self.reply_key(key, server, method).as_ref())
    }

    /// The place of the client's packets.
    fn forward_place<F: Forwarded>(&self, opener: &Opener<'_, impl Packet, F>, key: &Key<F>) -> Place {
        match opener.direction {
            Direction::In if opener.parsed.kind != Kind::Icmp => opener.parsed.place,
            // Nobody has looked for it yet.
            Direction::In | Direction::Out => F::connections(self).place(key.packed()),
        }
    }

    /// The key of a server's packets to a client, if that is whom it answers and they pass here.
    #[inline(always)]
    pub(crate) fn reply_key<F: Forwarded>(
        &self,
        key: &Key<F>,
        server: ServerId,
        method: Method,
    ) -> Option<Key<F>> {
        let plan = &self.snapshot.servers[server].plan;
        let answered =
            || key.answered_by(F::of(plan.address).unwrap_or_default(), plan.port_for(key.destination_port));
        (method == Method::Nat).then(answered)
    }

    /// The next hop to a client, or to whom one asks, if something goes there from here.
    pub(crate) fn client_hop<F: Forwarded>(
        &self,
        client: F::Address,
        is_sent_to: bool,
    ) -> Result<Option<ClientHop>, DropReason> {
        if !is_sent_to {
            return Ok(None);
        }
        let hop = self.snapshot.routing.next_hop(F::ip(client)).ok_or(DropReason::NoRoute)?;
        let neighbour = self.neighbours.find(hop);
        if neighbour.is_none() && self.neighbours.len() == MAX_NEIGHBOURS {
            return Err(DropReason::NeighboursFull);
        }
        Ok(Some(ClientHop { hop, neighbour }))
    }

    /// Where the first packet of a connection goes.
    fn first_path(
        &self,
        direction: Direction,
        server: ServerId,
        (client, outward): (Option<ClientHop>, Option<ClientHop>),
    ) -> Path {
        match (direction, client, outward) {
            (Direction::Out, Some(ClientHop { hop, neighbour }), _)
            | (Direction::In, _, Some(ClientHop { hop, neighbour })) => {
                let limit = self.snapshot.interfaces[hop.interface].mtu;
                Path { neighbour, limit, most: limit }
            }
            _ => {
                let backend = &self.backends[server];
                Path { neighbour: backend.neighbour, limit: backend.limit, most: backend.most }
            }
        }
    }
}

/// What a scheduler sees of a packet that opens a connection.
pub(crate) fn request<F: Family>(now: Instant, parsed: &Parsed<F>) -> Request {
    let key = parsed.key.key();
    Request {
        client: F::ip(key.source),
        client_port: key.source_port,
        vip: F::ip(key.destination),
        vip_port: key.destination_port,
        now,
    }
}
