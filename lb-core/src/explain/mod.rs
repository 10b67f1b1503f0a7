//! What happens to a packet and why, in words.
//!
//! There is no second opinion here: [`Worker::explain`] asks for the same [decisions](crate::decide) that a worker acts
//! on, and [`Worker::trace`] looks on while it does. Each decision is turned into words, and the code that rewrites
//! packets rewrites a copy. `tests/explain.rs` compares the explanation with what then happens.
//!
//! It is asked for by people, so it may allocate; it takes some microseconds.

mod opening;
mod rewriting;
mod tell;
mod words;

use crate::{
    conn::entry::Direction,
    counters::DropReason,
    decide::{Act, Adopt, Course, Origin, classify::Parsed, known::Forwarded},
    explanation::{Explanation, Outcome, Stage, Step},
    family::{V4, V6},
    ids::{ServerId, ServiceId},
    memory::MemoryPacket,
    packet::{Io, Packet},
    time::Instant,
    wire::ethernet,
    worker::Worker,
};

impl<P: Packet> Worker<P> {
    /// What this worker would do now with a packet that comes from there, and why. Changes nothing. `io` is only asked
    /// what the control plane waits for.
    #[must_use]
    pub fn explain(&self, now: Instant, packet: &MemoryPacket, origin: Origin, io: &impl Io) -> Explanation {
        match is_ipv6(packet.bytes()) {
            false => self.explain_as::<V4>(now, packet, origin, io),
            true => self.explain_as::<V6>(now, packet, origin, io),
        }
    }

    fn explain_as<F: Forwarded>(
        &self,
        now: Instant,
        packet: &MemoryPacket,
        origin: Origin,
        io: &impl Io,
    ) -> Explanation {
        let mut story = Story::<F>::new(self, now, packet.clone(), origin, io);
        story.rehearse(self);
        story.end(self)
    }

    /// Processes a packet that comes from there, and explains what was done with it and why.
    pub fn trace(
        &mut self,
        now: Instant,
        packet: P,
        origin: Origin,
        io: &mut impl Io<Packet = P>,
    ) -> Explanation {
        match is_ipv6(packet.bytes()) {
            false => self.trace_as::<V4>(now, packet, origin, io),
            true => self.trace_as::<V6>(now, packet, origin, io),
        }
    }

    fn trace_as<F: Forwarded>(
        &mut self,
        now: Instant,
        packet: P,
        origin: Origin,
        io: &mut impl Io<Packet = P>,
    ) -> Explanation {
        let mut copy = MemoryPacket::new(packet.port(), packet.bytes());
        (copy.ipv4_checksum, copy.l4_checksum) = (packet.ipv4_checksum(), packet.l4_checksum());
        let mut story = Story::<F>::new(self, now, copy, origin, io);
        self.process_one(now, packet, origin, io, &mut story);
        story.end(self)
    }
}

/// Whether a frame is read as IPv6, and not as IPv4 or ARP.
fn is_ipv6(frame: &[u8]) -> bool {
    ethernet::payload(frame).is_some_and(|(ethertype, _)| ethertype == ethernet::IPV6)
}

/// An explanation in the making.
struct Story<F: Forwarded> {
    now: Instant,
    origin: Origin,
    /// Whether the control plane would take the packet, if it is for one of the director's own addresses.
    is_waited_for: bool,
    /// A copy, to be rewritten.
    packet: MemoryPacket,
    parsed: Parsed<F>,
    steps: Vec<Step>,
    service: Option<ServiceId>,
    server: Option<ServerId>,
    is_known: bool,
    /// What the scheduler's choice rests on.
    grounds: String,
    outcome: Outcome,
}

impl<F: Forwarded> Story<F> {
    fn new<P: Packet>(
        worker: &Worker<P>,
        now: Instant,
        packet: MemoryPacket,
        origin: Origin,
        io: &impl Io,
    ) -> Self {
        let parsed = worker.known.parse(&packet);
        let arrival = words::arrival(&worker.known.snapshot, &packet, &parsed, origin);
        Story {
            now,
            origin,
            is_waited_for: io.waits_for(packet.bytes()),
            outcome: Outcome::Dropped(parsed.reason),
            packet,
            parsed,
            steps: vec![Step { stage: Stage::Port, text: arrival }],
            service: None,
            server: None,
            is_known: false,
            grounds: String::new(),
        }
    }

    fn say(&mut self, stage: Stage, text: impl Into<String>) {
        self.steps.push(Step { stage, text: text.into() });
    }

    /// What would be decided, one decision after the other.
    fn rehearse<P: Packet>(&mut self, worker: &Worker<P>) {
        let known = &worker.known;
        let mut replaces = None;
        let mut decision = known.decide(self.now, &self.packet, &self.parsed, self.origin);
        loop {
            self.tell(worker, &decision);
            match decision.course {
                Course::Act(_) => return,
                Course::Fragment(fragment) => {
                    let note = known.note(self.now, &self.packet, &self.parsed, fragment);
                    let noted = note.map(|note| known.noted(&note, self.now, &self.packet, &self.parsed));
                    decision = noted.unwrap_or_else(|| Act::Drop(DropReason::BadFragment).into());
                }
                Course::Open(open) => return self.rehearse_open(worker, open, replaces),
                Course::Adopt(Adopt { server, teller }) => {
                    let is_told = teller.is_some();
                    return self.rehearse_opening(worker, (Direction::Out, server), is_told, None);
                }
                Course::End(end) => {
                    replaces = Some(end.connection);
                    decision = known.after(&end, self.now, &self.packet, &self.parsed);
                }
            }
        }
    }

    fn end<P>(mut self, worker: &Worker<P>) -> Explanation {
        let text = words::outcome(&worker.known.snapshot, &self.outcome, self.packet.port());
        self.say(Stage::Outcome, text);
        Explanation {
            worker: worker.known.id,
            steps: self.steps,
            service: self.service,
            server: self.server,
            is_known: self.is_known,
            outcome: self.outcome,
        }
    }
}
