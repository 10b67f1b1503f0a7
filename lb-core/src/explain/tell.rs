//! Decisions in words, applied to a copy of the packet.

use super::{
    Story,
    words::{self, flow, time},
};
use crate::{
    conn::{
        connections::Hit,
        datagram::{Part, Verdict},
        entry::{Connection, Direction},
        state::State,
    },
    counters::DropReason,
    decide::{
        About, Act, Adopt, Answer, Basis, Course, Decision, Ended, Hear, Origin, Owner, Pass, Refusal, Told,
        classify::Kind,
        flow::Path,
        fragment::Note,
        known::{Forwarded, Known},
        opening::Opening,
        room::Room,
    },
    explanation::{Outcome, Stage},
    family::Problem,
    flow::key::Ends,
    forward::mss,
    ids::{NeighbourId, ServerId},
    neigh::entry::Neighbour,
    packet::{HandOver, Packet},
    peers::told::Teller,
    service::{plan::Role, routing::NextHop},
    time::Duration,
    wire::protocol::Protocol,
    worker::{
        Worker,
        send::{Delivery, address, untag},
    },
};

/// Who gets the packet next.
#[derive(Clone, Copy)]
pub(super) enum Next {
    /// A neighbour, if there was room for it in the table.
    Known(Option<NeighbourId>),
    /// One that is taken into the table with this packet.
    New(NextHop),
}

impl<F: Forwarded> Story<F> {
    /// One decision.
    pub(super) fn tell<P: Packet>(&mut self, worker: &Worker<P>, decision: &Decision<F>) {
        self.tell_about(&worker.known, decision);
        match decision.course {
            Course::Act(act) => self.tell_act(worker, &act),
            Course::Fragment(fragment) => {
                if let Some(note) = worker.known.note(self.now, &self.packet, &self.parsed, fragment) {
                    self.tell_fragment(&worker.known, &note);
                }
            }
            Course::Open(open) => {
                let text = match open.told {
                    Some(told) => told_by(&worker.known, told),
                    None if open.adopts => ADOPTED.to_owned(),
                    None => "none: it opens one".to_owned(),
                };
                self.server = open.told.map(|told| told.server);
                self.say(Stage::Connection, text);
            }
            Course::Adopt(Adopt { server, teller }) => {
                self.concern(&worker.known, server);
                let told = teller.map(|teller| told_by(&worker.known, Told { server, teller }));
                let service = worker.known.snapshot.service_of(server);
                let begins = service.lets_servers_begin(self.parsed.key.protocol);
                let adopted = if begins { OF_SERVER } else { ADOPTED };
                self.say(Stage::Connection, told.unwrap_or_else(|| adopted.to_owned()));
            }
            Course::End(end) => {
                // The connection was this worker's, so the next one of the flow is.
                self.origin = Origin::Worker;
                self.say(
                    Stage::Connection,
                    match end.why {
                        Ended::Orphaned => "its server is removed, disabled or down, so it ends",
                        Ended::Elsewhere => {
                            "its server has never answered here, and a peer has told of the connection: that one goes on"
                        }
                        Ended::Reopened if self.parsed.is_call() => {
                            "the first packet of another call: the one before is removed"
                        }
                        Ended::Reopened => {
                            "a SYN on a connection that is over: that one is removed, and a new one opened"
                        }
                    },
                );
            }
        }
    }
}

const OF_SERVER: &str = "none: its server opens one, which its service lets it";
const ADOPTED: &str = "none: the service adopts it, opened through another director";

/// A connection that another director has told of.
fn told_by(known: &Known, told: Told) -> String {
    let server = known.snapshot.servers[told.server].plan.endpoint();
    let peer = |peer| known.team.told.as_ref().and_then(|table| table.peer(peer));
    let teller = match told.teller {
        Teller::Peer(number) => peer(number).map_or_else(|| "peer".to_owned(), |peer| format!("peer {peer}")),
        Teller::Ipvs => "IPVS".to_owned(),
        Teller::Module => {
            let service = known.snapshot.service_of(told.server);
            if service.method.is_outward() {
                return format!("none: it opens one that a module of {} ([[snat]]) expects", service.name);
            }
            let module = service.module;
            return format!("none: it opens one that module {module} expects, with server {server}");
        }
    };
    format!("none: opened through another director; adopted with server {server} as {teller} says")
}

impl<F: Forwarded> Story<F> {
    /// The service of the packet, and the owner of its flow.
    fn tell_about(&mut self, known: &Known, decision: &Decision<F>) {
        match decision.about {
            About::Nobody => {}
            About::Connection(hit) => self.tell_connection(known, hit),
            About::Service(service, owner) => {
                self.service = Some(service);
                self.say(Stage::Service, words::service(&known.snapshot.services[service]));
                self.tell_owner(known, owner);
            }
            About::Reply(owner) => {
                let from = match owner.basis {
                    Basis::LocalPort(_) => "to a local address",
                    Basis::Arrival | Basis::Rss(_) | Basis::ZeroWindow | Basis::Client => {
                        "from a server under NAT"
                    }
                };
                self.say(Stage::Service, format!("{from}, of no connection of this worker"));
                self.tell_owner(known, owner);
            }
        }
    }

    fn tell_owner(&mut self, known: &Known, owner: Owner) {
        let worker = owner.worker.0;
        let text = match self.origin {
            _ if known.team.workers == 1 => "worker 0, the only one".to_string(),
            Origin::Port => format!("worker {worker}: {}", words::basis(owner.basis)),
            Origin::Worker => format!("worker {}", known.id.0),
        };
        self.say(Stage::Owner, text);
    }

    /// A fragment, whose flow is known from here on if it is.
    fn tell_fragment(&mut self, known: &Known, note: &Note<F>) {
        let worker = known.id.0;
        self.say(
            Stage::Owner,
            match note.part {
                Part::Keeper => format!("worker {worker}: it keeps the fragments of this datagram in order"),
                Part::Owner => format!("worker {worker}: it owns the flow of this datagram"),
            },
        );
        if let Verdict::Follow(ports) = note.finding.verdict {
            self.parsed = known.of_flow(&self.parsed, ports);
            if !note.is_first() {
                let Ends { protocol, source, destination } = self.parsed.key.key().ends();
                let text = format!("the first fragment was of {protocol} {source} > {destination}");
                self.say(Stage::Owner, text);
            }
        }
    }

    /// The connection of a packet, or of the packet that an ICMP error quotes.
    fn tell_connection(&mut self, known: &Known, hit: Hit) {
        let connection = F::connections(known).get(hit.connection());
        self.is_known = true;
        self.concern(known, connection.server);
        if self.parsed.kind == Kind::Icmp {
            return self.say(
                Stage::Connection,
                format!("an {} error about {}", words::icmp::<F>(), flow(&known.snapshot, connection)),
            );
        }
        self.say(Stage::Owner, format!("worker {}: it has the connection", known.id.0));
        let timeout = known.snapshot.service_of(connection.server).timeouts.of(connection.state);
        let created = F::connections(known).created(hit.connection());
        let (age, idle) = (created.age(self.now), connection.seen.age(self.now));
        let left = Duration::from_millis(timeout.as_millis().saturating_sub(idle.as_millis()));
        let text = format!(
            "known: {}, {}, from the {}; opened {} ago, idle for {}, expires in {} unless a packet passes; {} packets \
             in, {} out",
            flow(&known.snapshot, connection),
            connection.state.name(),
            if hit.direction() == Direction::In { "client" } else { "server" },
            time(age),
            time(idle),
            time(left),
            connection.packets(Direction::In),
            connection.packets(Direction::Out),
        );
        self.say(Stage::Connection, text);
    }

    fn concern(&mut self, known: &Known, server: ServerId) {
        self.server = Some(server);
        self.service = Some(known.snapshot.servers[server].service);
        self.say(Stage::Service, words::service(known.snapshot.service_of(server)));
    }

    fn tell_act<P: Packet>(&mut self, worker: &Worker<P>, act: &Act<F>) {
        self.outcome = match *act {
            Act::Drop(reason) => self.dropped(&worker.known, reason),
            Act::Share(_, reason) => {
                self.say(
                    Stage::Service,
                    "an ICMP error about no connection of this worker; the others get a copy",
                );
                Outcome::Dropped(reason)
            }
            Act::Host(_) if self.is_waited_for => {
                self.say(Stage::Service, "for the director itself: a health check by its ports expects it");
                Outcome::Host
            }
            Act::Host(otherwise) => self.given_to_kernel(&worker.known, otherwise),
            Act::HandOver(to, why) => {
                let text = match why {
                    HandOver::FragmentKeeper => "keeps the fragments of this datagram in order",
                    HandOver::FragmentOwner => "owns the flow of this datagram",
                    HandOver::Client | HandOver::Reply | HandOver::Shared => "",
                };
                if !text.is_empty() {
                    self.say(Stage::Owner, format!("worker {} {text}", to.0));
                }
                Outcome::HandedOver(to, why)
            }
            Act::Hold(_) => {
                self.say(
                    Stage::Owner,
                    "the first fragment of its datagram has the ports, and has yet to come",
                );
                Outcome::Held
            }
            Act::Refuse(refusal) => self.refused((&worker.known, worker.last_id), &refusal),
            Act::Pass(pass) => self.passed(worker, &pass),
            Act::Relay(relay) => self.relayed(worker, &relay),
            Act::Narrow(report) => {
                let to = F::ip(report.server);
                let then = if report.takes_fragments() { "routers may fragment" } else { "kept" };
                let text = format!("the tunnel to {to} carries {} bytes; {then} for ten minutes", report.mtu);
                self.say(Stage::Method, text);
                Outcome::Host
            }
            Act::Conflict(conflict) => {
                let claim = conflict.claim;
                let mut text =
                    format!("{} claims {}, which belongs to this director", claim.mac, claim.address);
                if conflict.yields {
                    text.push_str(", and had it first: it is not announced");
                }
                self.say(Stage::Service, text);
                Outcome::Host
            }
            Act::Hear(hear) => self.heard(&worker.known, &hear),
        };
    }

    /// It is the host side's, if its port has one.
    fn given_to_kernel(&mut self, known: &Known, otherwise: DropReason) -> Outcome {
        if !known.is_of_host(&self.packet) {
            return self.dropped(known, otherwise);
        }
        self.say(Stage::Service, "for the director itself: the host side of the port gets it");
        if known.budgets.has(known.host_purpose(self.packet.bytes()), self.now) {
            Outcome::Host
        } else {
            self.dropped(known, DropReason::HostLimited)
        }
    }

    /// Why it ends, where the reason's own sentence, which the outcome shows, does not say enough.
    fn dropped(&mut self, known: &Known, reason: DropReason) -> Outcome {
        let at = self.parsed.at;
        match reason {
            DropReason::TooBig => {
                let text = format!("{} bytes exceed the MTU on the way out", at.ip_len);
                self.say(Stage::Mtu, text);
            }
            DropReason::RejectLimited => {
                self.say(Stage::Method, "would be answered, but the limit of answers per second is reached");
            }
            DropReason::Standby => {
                let why = match known.snapshot.role {
                    Role::Follow => "the director follows the kernel, which has this VIP on no host side",
                    Role::Active | Role::Standby => "the director is on standby",
                };
                let text =
                    format!("{why}: it answers nothing for VIPs and goes on with known connections only");
                self.say(Stage::Connection, text);
            }
            DropReason::NoRoute => {
                let (client, to) = (F::ip(at.source), F::ip(at.destination));
                let text = match known.snapshot.routing.next_hop(client) {
                    Some(_) if known.snapshot.rules.iter().any(|rule| rule.is_for(client)) => {
                        format!("no route to {to}")
                    }
                    _ => format!("no route back to the client {client}"),
                };
                self.say(Stage::NextHop, text);
            }
            DropReason::NeighboursFull => {
                self.say(
                    Stage::NextHop,
                    "the neighbour table is full: no entry for the next hop to the client",
                );
            }
            DropReason::TableFull => {
                self.say(Stage::Connection, "the table is full, or what is left is kept for services with fewer connections; no unconfirmed connection can make room");
            }
            _ => {}
        }
        Outcome::Dropped(reason)
    }

    /// The packet is refused.
    fn refused(&mut self, (known, last_id): (&Known, u16), refusal: &Refusal<F>) -> Outcome {
        let (at, reason) = (self.parsed.at, refusal.reason);
        match (refusal.answer, reason) {
            (Answer::Error(_, Problem::TooBig(mtu)), DropReason::TooBig) => {
                let text = format!("{} bytes exceed the MTU {mtu} on the way out", at.ip_len);
                self.say(Stage::Mtu, text);
            }
            (_, DropReason::TtlExpired) => self.say(Stage::Mtu, "its time to live has expired"),
            (_, DropReason::PortsExhausted) => {
                self.say(Stage::Connection, "no local port towards this server is free");
            }
            (_, DropReason::Unserved) if self.parsed.kind.is_flow() => {
                let text = words::unserved(&known.snapshot, &self.parsed.key.key());
                self.say(Stage::Service, text);
            }
            (_, DropReason::Unserved) => {
                self.say(Stage::Service, format!("no service has protocol {}", at.protocol));
            }
            (_, DropReason::NoConnection) if !self.is_known => {
                let from_client = "none, and only a SYN opens one";
                let from_server = "none, and none to adopt";
                self.say(Stage::Connection, if self.service.is_some() { from_client } else { from_server });
            }
            _ => {}
        }
        if refusal.answer == Answer::Silence {
            self.say(Stage::Method, "such packets are dropped: unserved = \"drop\"");
        }
        if !refusal.write(&mut self.packet, &at) {
            return Outcome::Dropped(reason);
        }
        let text = match refusal.answer {
            Answer::Silence | Answer::Reset => format!("rejected with a TCP reset: {}", reason.name()),
            Answer::Error(from, problem) => {
                let (error, from) = (words::problem::<F>(problem), F::ip(from));
                format!("answered with {} {error} from {from}: {}", words::icmp::<F>(), reason.name())
            }
            Answer::Echo => "a ping to one of the director's addresses".to_owned(),
        };
        self.say(if refusal.answer == Answer::Echo { Stage::Service } else { Stage::Method }, text);
        if let Err(reason) = self.leave_as_ipv4(known, last_id) {
            return Outcome::Dropped(reason);
        }
        self.answered(known)
    }

    fn passed<P: Packet>(&mut self, worker: &Worker<P>, pass: &Pass) -> Outcome {
        let mut connection = *F::connections(&worker.known).get(pass.hit.connection());
        let direction = pass.hit.direction();
        let path = worker.known.path(&connection, direction);
        self.tell_fit(path.limit);
        self.tell_state(&worker.known, &connection, connection.state, pass.state);
        if pass.is_doubted {
            let what = match connection.protocol {
                Protocol::Sctp => "its verification tag is not the one that the server has told the client",
                Protocol::Tcp | Protocol::Udp if connection.method.is_outward() => {
                    "its sequence number is not what who asked expects"
                }
                Protocol::Tcp | Protocol::Udp | Protocol::Icmp => {
                    "its sequence number is not what the server expects"
                }
            };
            self.say(Stage::Connection, format!("{what}: it changes nothing"));
        }
        let client_mtu = worker.known.path(&connection, Direction::Out).limit;
        self.clamped(&worker.known, &connection, client_mtu);
        let second = F::connections(&worker.known).second(pass.hit.connection());
        let way = worker.known.grown_path(&connection, direction);
        let reading = F::connections(&worker.known).reading(pass.hit.connection());
        let read_with =
            |reading| worker.known.read_with(&self.packet, &self.parsed, (pass.hit, reading), pass.state);
        let read = reading.map(read_with);
        connection.state = pass.state;
        let next = Next::Known(pass.neighbour);
        self.rewritten(worker, (&connection, second, read), (direction, way), next)
    }

    /// The maximum segment size that a SYN tells is lowered, if its service wants that.
    fn clamped(&mut self, known: &Known, connection: &Connection<F>, client_mtu: u16) {
        let most =
            self.parsed.is_any_syn().then(|| known.most_mss::<F>(connection.server, client_mtu)).flatten();
        let Some(most) = most else { return };
        if let Some(was) = mss::clamp(self.packet.bytes_mut(), &self.parsed.at, most) {
            self.say(Stage::Mtu, format!("its MSS, {was} bytes, is lowered to the {most} that fit the way"));
        }
    }

    /// A connection is opened, and its first packet passes.
    pub(super) fn tell_opening<P: Packet>(&mut self, worker: &Worker<P>, opening: &Opening<F>) {
        let connection = &opening.connection;
        if self.server.replace(connection.server).is_some_and(|chosen| chosen != connection.server) {
            let text = "the client has another connection on this server endpoint: another server";
            self.say(Stage::Scheduler, text);
        }
        if opening.replaces.is_some() {
            self.say(
                Stage::Connection,
                "the client's connection on this server endpoint is over and is removed",
            );
        }
        if let Room::Instead(id) = opening.room {
            let flow = flow(&worker.known.snapshot, F::connections(&worker.known).get(id));
            self.say(
                Stage::Connection,
                format!("the table is full: an unconfirmed connection makes room: {flow}"),
            );
        }
        self.tell_fit(opening.limit);
        self.tell_state(&worker.known, connection, State::None, connection.state);
        let service = worker.known.snapshot.service_of(connection.server);
        if connection.state == State::Udp && service.one_packet {
            self.say(
                Stage::Connection,
                match F::is_fragment(self.parsed.at.fragment) {
                    false => "one packet: no connection is kept",
                    true => "one packet: the connection ends when all fragments have come",
                },
            );
        }
        let client_mtu = opening
            .client
            .map_or(u16::MAX, |client| worker.known.snapshot.interfaces[client.hop.interface].mtu);
        self.clamped(&worker.known, connection, client_mtu);
        let hop = match opening.direction {
            Direction::Out => opening.client,
            Direction::In => opening.outward,
        };
        let next = match hop {
            Some(to) => to.neighbour.map_or(Next::New(to.hop), |known| Next::Known(Some(known))),
            None => Next::Known(opening.neighbour),
        };
        let second = worker.known.second_line(opening);
        let way = match opening.direction {
            Direction::In if opening.outward.is_none() => worker.known.grown_path(connection, Direction::In),
            Direction::In | Direction::Out => {
                Path { neighbour: opening.neighbour, limit: opening.limit, most: opening.limit }
            }
        };
        let read = worker.known.first_read_with(&self.packet, &self.parsed, opening);
        self.outcome = self.rewritten(worker, (connection, second, read), (opening.direction, way), next);
    }

    fn tell_fit(&mut self, limit: u16) {
        self.say(Stage::Mtu, format!("{} bytes; the MTU on the way out is {limit}", self.parsed.at.ip_len));
    }

    fn tell_state(&mut self, known: &Known, connection: &Connection<F>, before: State, next: State) {
        let timeout = known.snapshot.service_of(connection.server).timeouts.of(next);
        let text = if next == before {
            format!("stays {}; timeout {timeout}", next.name())
        } else {
            format!("{} -> {}; timeout {timeout}", before.name(), next.name())
        };
        self.say(Stage::Connection, text);
    }

    /// The packet is finished but for its Ethernet addresses.
    pub(super) fn delivered<P: Packet>(&mut self, worker: &Worker<P>, next: Next) -> Outcome {
        let known = &worker.known;
        untag(&mut self.packet);
        if let Err(reason) = self.leave_as_ipv4(known, worker.last_id) {
            return Outcome::Dropped(reason);
        }
        let (number, neighbour) = match next {
            Next::Known(number) => (number, number.and_then(|number| known.neighbours.get(number).copied())),
            Next::New(hop) => {
                let interface = &known.snapshot.interfaces[hop.interface];
                (None, Some(Neighbour::new(hop, interface, self.now)))
            }
        };
        let Some(neighbour) = neighbour else {
            self.say(Stage::NextHop, "the neighbour table is full: no entry for its next hop");
            return Outcome::Dropped(DropReason::NeighboursFull);
        };
        let name = words::hop(&known.snapshot, neighbour.hop);
        let (text, reason) = match worker.delivery(self.now, number, neighbour) {
            Delivery::Now => {
                let heard = time(self.now.since(neighbour.heard));
                self.say(Stage::NextHop, format!("{name} is at {}, last heard {heard} ago", neighbour.mac));
                if !address(&mut self.packet, &neighbour) {
                    return Outcome::Dropped(DropReason::NoHeadroom);
                }
                return Outcome::Sent { port: neighbour.port, frame: self.packet.bytes().to_vec() };
            }
            Delivery::Later => {
                self.say(
                    Stage::NextHop,
                    format!("{name} has been asked where it is; packets wait until it answers"),
                );
                let (port, next_hop) = (neighbour.port, neighbour.hop.address);
                return Outcome::Waits { port, next_hop, frame: self.packet.bytes().to_vec() };
            }
            Delivery::Never(reason @ DropReason::WaitingFull) => {
                (format!("{name} has been asked where it is, and too many packets are waiting"), reason)
            }
            Delivery::Never(reason) => {
                (format!("{name} does not answer when it is asked where it is"), reason)
            }
        };
        self.say(Stage::NextHop, text);
        Outcome::Dropped(reason)
    }

    fn answered(&mut self, known: &Known) -> Outcome {
        known.retag(&mut self.packet);
        Outcome::Answered { frame: self.packet.bytes().to_vec() }
    }

    fn heard(&mut self, known: &Known, hear: &Hear) -> Outcome {
        let claim = hear.claim;
        if hear.neighbour.is_some() {
            self.say(Stage::NextHop, format!("{} is at {}; learnt", claim.address, claim.mac));
        }
        if let Some(answer) = hear.answer {
            let subject = answer.resolution.subject();
            self.say(
                Stage::Service,
                format!("asks for {subject}, which belongs to this director on this network"),
            );
            return match hear.write_answer(&mut self.packet) {
                true => self.answered(known),
                false => Outcome::Dropped(DropReason::NoHeadroom),
            };
        }
        match hear.neighbour {
            _ if hear.kernel => self.given_to_kernel(known, DropReason::ArpIgnored),
            Some(_) => Outcome::Host,
            None => Outcome::Dropped(hear.otherwise),
        }
    }
}
