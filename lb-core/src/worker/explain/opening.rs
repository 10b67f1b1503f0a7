//! A packet without a connection: whose it is, what it opens, or why not.

use super::*;
use crate::{
    conn::connections::Connections,
    limits::MAX_NEIGHBOURS,
    packet::WorkerId,
    sched::{
        Turn,
        load::{Load, LoadBoard},
    },
    worker::connect::{self, TRIES},
};

/// Servers whose numbers are listed, beside the chosen one.
const MOST_LISTED: usize = 16;

impl<P: Packet> Story<'_, P> {
    /// `replaced` is a connection that is over and makes room for the new one.
    pub(super) fn connect(&mut self, replaced: Option<ConnectionId>) -> Outcome {
        let key = self.stage.key.key();
        let course = self.worker.course(self.packet.port(), &key, self.origin);
        match course {
            Course::Open(service, unserved) => {
                self.told_service(service);
                self.owner(self.worker.basis_of_inbound(self.packet.port(), service));
                self.open(service, unserved, replaced)
            }
            Course::Reply => {
                self.say(Stage::Service, "from a server under NAT, of no connection that this worker has");
                self.owner(self.worker.basis_under_nat());
                self.reply()
            }
            Course::HandOver(owner, why) => {
                let basis = if why == HandOver::Client {
                    let service =
                        self.worker.snapshot.service_at(key.protocol, key.destination, key.destination_port);
                    service.inspect(|&service| self.told_service(service));
                    service.map_or(Basis::Client, |service| {
                        self.worker.basis_of_inbound(self.packet.port(), service)
                    })
                } else {
                    self.say(Stage::Service, "from a server under NAT");
                    self.worker.basis_under_nat()
                };
                let text = format!("worker {}: {}", owner.0, words::basis(basis));
                self.say(Stage::Owner, text);
                Outcome::HandedOver(owner, why)
            }
            Course::Refuse(unserved, reason) => {
                self.say(Stage::Service, "no service has this virtual address, protocol and port");
                self.refuse(unserved, reason)
            }
            Course::Host(otherwise) => self.deliver(otherwise),
            Course::Drop(reason) => {
                self.say(Stage::Service, reason.explanation());
                Outcome::Dropped(reason)
            }
        }
    }

    fn told_service(&mut self, service: ServiceId) {
        self.service = Some(service);
        let text = words::service(&self.worker.snapshot.services[service]);
        self.say(Stage::Service, text);
    }

    fn owner(&mut self, basis: Basis) {
        let worker = self.worker.id.0;
        let text = match self.origin {
            _ if self.worker.director.workers == 1 => "worker 0, the only one".to_string(),
            Origin::Port => format!("worker {worker}: {}", words::basis(basis)),
            Origin::Worker => format!("worker {worker}"),
        };
        self.say(Stage::Owner, text);
    }

    /// A packet for a service, whose owner this worker is.
    fn open(&mut self, service: ServiceId, unserved: Unserved, replaced: Option<ConnectionId>) -> Outcome {
        let begins = connect::begins(&self.stage);
        if !begins && !self.worker.adopts(&self.stage, service) {
            self.say(Stage::Connection, "none, and only a SYN opens one");
            return self.stray();
        }
        let text = if begins { "none: it opens one" } else { "none: the service adopts one begun elsewhere" };
        self.say(Stage::Connection, text);
        let connections = &self.worker.connections;
        let mut free = connections.capacity() - connections.len() + usize::from(replaced.is_some());
        let (board, mut turn) = (self.loads(service, replaced), self.worker.turns[service].clone());
        for _ in 0..TRIES {
            let Some(connection) = self.choose(service, &mut turn, &board) else {
                return self.refuse(unserved, DropReason::NoServer);
            };
            if let Some(clash) = clash(connections, &connection).filter(|&clash| Some(clash) != replaced) {
                if !connections.get(clash).gives_way() {
                    let text = "the client has another connection on this server endpoint: another server";
                    self.say(Stage::Scheduler, text);
                    continue;
                }
                self.say(
                    Stage::Connection,
                    "the client's connection on this server endpoint is over and goes",
                );
                free += 1;
            }
            self.server = Some(connection.server);
            return match self.make_room(free) {
                Some(dropped) => dropped,
                None => self.first(&connection, Direction::In),
            };
        }
        Outcome::Dropped(DropReason::ReplyClash)
    }

    /// A NAT server's packet without a connection.
    fn reply(&mut self) -> Outcome {
        let Some(connection) = self.worker.adopted(&self.stage) else {
            self.say(Stage::Connection, "none, and nothing says that one began elsewhere");
            return self.stray();
        };
        self.concern(connection.server);
        self.say(Stage::Connection, "none: the service adopts one begun elsewhere");
        let connections = &self.worker.connections;
        let free = connections.capacity() - connections.len();
        if clash(connections, &connection).is_some() {
            return Outcome::Dropped(DropReason::ReplyClash);
        }
        match self.make_room(free) {
            Some(dropped) => dropped,
            None => self.first(&connection, Direction::Out),
        }
    }

    /// The scheduler's choice, with the numbers it rests on.
    fn choose(&mut self, service: ServiceId, turn: &mut Turn, board: &LoadBoard) -> Option<Connection> {
        let config = &self.worker.snapshot.services[service];
        let loads = board.view(WorkerId(0));
        let grounds = config.scheduler.grounds(&connect::request(&self.stage, config), turn);
        let chosen = self.worker.choose(&self.stage, service, turn, &loads);
        let chosen = chosen.map(|server| self.worker.connection(&self.stage.key.key(), server));
        let mut text = format!("{}, {}: ", config.scheduler_kind, words::grounds(grounds));
        match &chosen {
            Some(connection) => {
                let server = &self.worker.snapshot.servers[connection.server].plan;
                text += &format!("{}:{}", server.address, server.port);
            }
            None => text += "no server takes new connections",
        }
        self.say(Stage::Scheduler, text);
        let listed = config.servers.iter().copied().take(MOST_LISTED);
        let lines: Vec<String> = listed
            .map(|id| {
                let server = &self.worker.snapshot.servers[id].plan;
                let mark = if chosen.is_some_and(|chosen| chosen.server == id) { " <- chosen" } else { "" };
                let Load { active, inactive } = loads.of(id);
                format!(
                    "{}:{} weight {}, connections {active} active, {inactive} inactive{mark}",
                    server.address, server.port, server.weight
                )
            })
            .collect();
        let more = config.servers.len().saturating_sub(MOST_LISTED);
        lines.into_iter().for_each(|line| self.say(Stage::Scheduler, line));
        if more > 0 {
            self.say(Stage::Scheduler, format!("and {more} servers more"));
        }
        chosen
    }

    /// The loads that the scheduler will see: those of now, less a connection that makes room for the new one.
    fn loads(&self, service: ServiceId, replaced: Option<ConnectionId>) -> LoadBoard {
        let snapshot = &self.worker.snapshot;
        let board = LoadBoard::new(1, snapshot.servers.len());
        let view = self.worker.director.board.view(self.worker.id);
        let gone = replaced.map(|id| self.worker.connections.get(id));
        for server in snapshot.services[service].servers.iter().copied() {
            let mut load = view.of(server);
            if let Some(gone) = gone.filter(|gone| gone.server == server) {
                let count = if gone.state.is_active() { &mut load.active } else { &mut load.inactive };
                *count = count.wrapping_sub(1);
            }
            board.publish(WorkerId(0), server, load);
        }
        board
    }

    /// Room for one more connection, with that many free entries; the outcome if there is none.
    fn make_room(&mut self, free: usize) -> Option<Outcome> {
        let connections = &self.worker.connections;
        if free > 0 {
            return None;
        }
        if connections.half_open() == 0 {
            self.say(Stage::Connection, "the table is full of connections that are not half-open");
            return Some(Outcome::Dropped(DropReason::TableFull));
        }
        self.say(Stage::Connection, "the table is full: the oldest half-open connection makes room");
        None
    }

    /// The packet that a connection is made for.
    fn first(&mut self, connection: &Connection, direction: Direction) -> Outcome {
        let mut client = None;
        if connection.method == Method::Nat {
            let to = Ipv4Addr::from_bits(connection.client);
            let Some(hop) = self.worker.snapshot.routing.next_hop(to) else {
                self.say(Stage::NextHop, format!("no route back to the client {to}"));
                return Outcome::Dropped(DropReason::NoRoute);
            };
            let neighbours = &self.worker.neighbours;
            let number = neighbours.find(hop);
            if number.is_none() && neighbours.len() == MAX_NEIGHBOURS {
                self.say(
                    Stage::NextHop,
                    "the next hop to the client finds no place in the table of neighbours",
                );
                return Outcome::Dropped(DropReason::NeighboursFull);
            }
            let mtu = self.worker.snapshot.ports[usize::from(hop.port.0)].mtu;
            client = Some((number.map_or(Way::New(hop), |id| Way::Known(Some(id))), mtu));
        }
        let way = match (direction, client) {
            (Direction::Out, Some(way)) => way,
            _ => self.way(connection, Direction::In),
        };
        match self.check_size(way) {
            Some(outcome) => outcome,
            None => self.pass(connection, direction, way),
        }
    }

    /// A packet of no connection: its sender is told that there is none.
    fn stray(&mut self) -> Outcome {
        if !self.is_tcp() || self.stage.tcp_flags & RST != 0 {
            return Outcome::Dropped(DropReason::NoConnection);
        }
        self.refuse(Unserved::Reject, DropReason::NoConnection)
    }

    /// The packet is turned away.
    pub(super) fn refuse(&mut self, how: Unserved, reason: DropReason) -> Outcome {
        if how == Unserved::Drop {
            self.say(Stage::Method, "such packets are met with silence: unserved = \"drop\"");
            return Outcome::Dropped(reason);
        }
        let at = self.stage.at;
        if at.protocol != ipv4::TCP {
            let code = match at.protocol {
                ipv4::UDP => wire_icmp::PORT_UNREACHABLE,
                _ => wire_icmp::PROTOCOL_UNREACHABLE,
            };
            let error = Error { kind: wire_icmp::UNREACHABLE, code, mtu: 0 };
            return self.answer_error(at.destination, error, reason);
        }
        if !self.may_answer() {
            return Outcome::Dropped(DropReason::RejectLimited);
        }
        if !reject::reset(&mut self.packet, &at) {
            return Outcome::Dropped(reason);
        }
        self.say(Stage::Method, format!("refused with a TCP reset: {}", reason.name()));
        Outcome::Answered { frame: self.packet.bytes().to_vec() }
    }

    /// An ICMP error from the director's own address, or silence for `otherwise`.
    pub(super) fn report(&mut self, error: Error, otherwise: DropReason) -> Outcome {
        let at = &self.stage.at;
        let from = self.worker.snapshot.answer_from(self.packet.port(), at.source, at.destination);
        self.answer_error(from, error, otherwise)
    }

    fn answer_error(&mut self, from: u32, error: Error, otherwise: DropReason) -> Outcome {
        if !self.may_answer() {
            return Outcome::Dropped(DropReason::RejectLimited);
        }
        if !reject::icmp_error(&mut self.packet, &self.stage.at, from, error) {
            return Outcome::Dropped(otherwise);
        }
        self.say(
            Stage::Method,
            format!(
                "answered with ICMP {} from {}: {}",
                words::icmp_error(error),
                Ipv4Addr::from_bits(from),
                otherwise.name()
            ),
        );
        Outcome::Answered { frame: self.packet.bytes().to_vec() }
    }

    /// Whether the limit of refusals leaves one more.
    pub(super) fn may_answer(&mut self) -> bool {
        // A copy.
        let mut refusals = self.worker.refusals;
        let may = refusals.allow(self.now);
        if !may {
            self.say(Stage::Method, "would be answered, but too many answers were sent lately");
        }
        may
    }
}

/// The connection that has the same reply key.
fn clash(connections: &Connections, connection: &Connection) -> Option<ConnectionId> {
    let found = connection.sees_replies().then(|| connections.lookup(&connection.reply_key())).flatten();
    found.map(Hit::connection)
}
