//! What happens to a packet and why, in words.
//!
//! There is no second opinion here: [`Worker::explain`] asks for the same [decisions](crate::decide) that a worker acts
//! on, and [`Worker::trace`] looks on while it does. Each decision is turned into words, and the code that rewrites
//! packets rewrites a copy. `tests/workers/explain.rs` compares the explanation with what then happens.
//!
//! It is asked for by people, so it may allocate; it takes some microseconds.

mod opening;
mod rewriting;
mod tell;
mod words;

use crate::{
    conn::entry::Direction,
    counters::DropReason,
    decide::{
        Act, Adopt, Course, Origin,
        arriving::Arriving,
        classify::Parsed,
        known::{Forwarded, Known},
    },
    explanation::{Explanation, Outcome, Stage, Step},
    family::{V4, V6},
    forward::translate,
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
        match self.arrive_for(packet, origin) {
            Some((packet, Ok(()))) => self.explain_as::<V6>(now, (&packet, true), origin, io),
            Some((packet, Err(reason))) => self.explain_end(now, packet, (origin, reason), io),
            None if is_ipv6(packet.bytes()) => self.explain_as::<V6>(now, (packet, false), origin, io),
            None => self.explain_as::<V4>(now, (packet, false), origin, io),
        }
    }

    /// A copy of a packet that becomes another family's as it arrives, or why it ends. `None` of any other.
    fn arrive_for(
        &self,
        packet: &MemoryPacket,
        origin: Origin,
    ) -> Option<(MemoryPacket, Result<(), DropReason>)> {
        if !self.known.snapshot.translates {
            return None;
        }
        let arriving = match is_ipv6(packet.bytes()) {
            false => self.known.arriving(&self.known.parse::<V4>(packet), packet.bytes(), origin, false),
            true => self.known.arriving(&self.known.parse::<V6>(packet), packet.bytes(), origin, false),
        };
        let mut packet = packet.clone();
        Some(match arriving? {
            Arriving::Translated(at) => {
                let translated = translate::to_ipv6(&mut packet, &at);
                (packet, translated)
            }
            Arriving::Dropped(reason) => (packet, Err(reason)),
        })
    }

    /// A packet that ends as it arrives.
    fn explain_end(
        &self,
        now: Instant,
        packet: MemoryPacket,
        (origin, reason): (Origin, DropReason),
        io: &impl Io,
    ) -> Explanation {
        let mut story = Story::<V4>::new(self, now, packet, origin, io);
        story.outcome = Outcome::Dropped(reason);
        story.end(self)
    }

    fn explain_as<F: Forwarded>(
        &self,
        now: Instant,
        (packet, is_translated): (&MemoryPacket, bool),
        origin: Origin,
        io: &impl Io,
    ) -> Explanation {
        let mut story = Story::<F>::new(self, now, packet.clone(), origin, io);
        story.tell_arriving(is_translated);
        story.rehearse(self);
        story.end(self)
    }

    /// Processes a packet that comes from there, and explains what was done with it and why.
    pub fn trace(
        &mut self,
        now: Instant,
        mut packet: P,
        origin: Origin,
        io: &mut impl Io<Packet = P>,
    ) -> Explanation {
        let copy = copy_of(&packet);
        match self.arrive_for(&copy, origin) {
            Some((copy, Ok(()))) if copy_to(&mut packet, &copy) => {
                self.trace_as::<V6>(now, packet, (origin, true), io)
            }
            Some((_, ended)) => {
                let reason = ended.err().unwrap_or(DropReason::NoHeadroom);
                match origin {
                    Origin::Port => self.books.counters.received.bump(),
                    Origin::Worker => self.books.counters.taken_over.bump(),
                }
                if origin == Origin::Port && ethernet::is_tagged(packet.bytes()) {
                    self.count_tagged(&packet);
                }
                self.drop(packet, reason, io);
                self.explain_end(now, copy, (origin, reason), io)
            }
            None if is_ipv6(packet.bytes()) => self.trace_as::<V6>(now, packet, (origin, false), io),
            None => self.trace_as::<V4>(now, packet, (origin, false), io),
        }
    }

    fn trace_as<F: Forwarded>(
        &mut self,
        now: Instant,
        packet: P,
        (origin, is_translated): (Origin, bool),
        io: &mut impl Io<Packet = P>,
    ) -> Explanation {
        let mut story = Story::<F>::new(self, now, copy_of(&packet), origin, io);
        story.tell_arriving(is_translated);
        self.process_one(now, packet, origin, io, &mut story);
        story.end(self)
    }
}

/// A packet in plain memory.
fn copy_of(packet: &impl Packet) -> MemoryPacket {
    let mut copy = MemoryPacket::new(packet.port(), packet.bytes());
    (copy.ipv4_checksum, copy.l4_checksum) = (packet.ipv4_checksum(), packet.l4_checksum());
    copy
}

/// Makes a packet what a copy of it has become. `false` if there is no room.
fn copy_to(packet: &mut impl Packet, copy: &MemoryPacket) -> bool {
    let (len, new) = (packet.bytes().len(), copy.bytes());
    let fits = match new.len().checked_sub(len) {
        Some(more) => packet.prepend(more),
        None => packet.trim_front(len - new.len()),
    };
    if fits {
        packet.bytes_mut().copy_from_slice(new);
    }
    fits
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

    /// The packet has become another family's.
    fn tell_arriving(&mut self, is_translated: bool) {
        if is_translated {
            self.say(
                Stage::Port,
                "IPv4 becomes IPv6, since its service's servers and clients are of different families",
            );
        }
    }

    /// The packet leaves as one of IPv4, if it goes to such an address.
    fn leave_as_ipv4(&mut self, known: &Known, mut last_id: u16) -> Result<(), DropReason> {
        if !known.snapshot.translates || !translate::goes_to_ipv4(self.packet.bytes()) {
            return Ok(());
        }
        translate::to_ipv4(&mut self.packet, &mut last_id)?;
        self.say(Stage::Method, "IPv6 becomes IPv4");
        Ok(())
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
                    return self.rehearse_opening(worker, (Direction::Out, server), teller, None);
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
