//! Fragments. Only the first of a datagram has ports, and a port's hash of a fragment leads to any worker. So each goes by
//! way of its datagram's keeper, a worker that follows from what all fragments of it have in common. The keeper learns from
//! the first which flow the datagram belongs to, and hands all on to the flow's owner, the first before the others; those
//! that come before it wait. The owner learns it in the same way.
//!
//! A first fragment is dealt with as a whole packet is. The others do nothing but follow its connection.

use super::{
    About, Act, Course, Decision, Fragment, Hold, Origin, Pass, Side,
    classify::Parsed,
    known::{Forwarded, Known},
};
use crate::{
    conn::{
        datagram::{DatagramKey, Finding, Part, Ports, Verdict},
        entry::Direction,
    },
    counters::DropReason,
    family::{Family, Piece},
    packet::{HandOver, Packet},
    service::snapshot::Local,
    time::Instant,
    wire::protocol::Protocol,
};

/// What is to be taken note of: where a fragment belongs, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note<F: Family> {
    /// Whose it is.
    pub side: Side,
    /// What this worker is to its datagram.
    pub part: Part,
    /// Where it belongs.
    pub piece: Piece,
    /// What becomes of it.
    pub finding: Finding,
    pub(crate) key: DatagramKey<F>,
}

impl<F: Family> Note<F> {
    /// Whether it is the first of its datagram.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.piece.start == 0
    }
}

impl Known {
    /// A fragment.
    #[cold]
    pub(super) fn fragment<F: Forwarded>(
        &self,
        packet: &impl Packet,
        parsed: &Parsed<F>,
        origin: Origin,
    ) -> Decision<F> {
        let side = match self.side_of(packet, parsed) {
            Ok(side) => side,
            Err(act) => return act.into(),
        };
        let Some((_, key)) = datagram_of(packet, parsed) else {
            return Act::Drop(DropReason::BadFragment).into();
        };
        let keeper = key.keeper(self.team.workers, self.team.secret);
        let part = match origin {
            _ if keeper == self.id => Part::Keeper,
            Origin::Port => return Act::HandOver(keeper, HandOver::FragmentKeeper).into(),
            Origin::Worker => Part::Owner,
        };
        Decision { about: About::Nobody, course: Course::Fragment(Fragment { side, part }) }
    }

    /// What is to be taken note of when a fragment has come, if it is one.
    #[must_use]
    pub fn note<F: Forwarded>(
        &self,
        now: Instant,
        packet: &impl Packet,
        parsed: &Parsed<F>,
        Fragment { side, part }: Fragment,
    ) -> Option<Note<F>> {
        let (piece, key) = datagram_of(packet, parsed)?;
        let ports =
            (piece.start == 0).then_some(Ports { ports: parsed.key.ports, protocol: parsed.key.protocol });
        let datagrams = &F::datagrams(self)[side as usize];
        let finding = datagrams.find(now, &key, (&piece, parsed.at.ip_len), ports, part);
        Some(Note { side, part, piece, finding, key })
    }

    /// Whose a fragment is, by its addresses alone; or what becomes of it.
    fn side_of<F: Forwarded>(&self, packet: &impl Packet, parsed: &Parsed<F>) -> Result<Side, Act<F>> {
        let at = &parsed.at;
        let local = self.snapshot.local::<F>(at.destination);
        if matches!(local, Some(Local::Own(_))) {
            return Err(Act::Host(self.if_nobody_waits::<F>(at.source, DropReason::OwnAddress)));
        }
        if !self.is_station::<F>(at.source) || !F::leaves_link(at.source) && local.is_some() {
            return Err(Act::Drop(DropReason::BadSource));
        }
        let side = match local {
            Some(Local::Vip { .. }) => Side::Clients,
            // From whoever a server has asked, or from a server.
            Some(Local::Source { .. }) if !self.snapshot.leads_to_servers(packet.port()) => Side::Clients,
            Some(Local::Source { .. }) => Side::Servers,
            None if self.snapshot.is_nat_host::<F>(at.source) => Side::Servers,
            None => match self.rule_for::<F>(packet, (at.source, at.destination)) {
                Ok(_) => Side::Servers,
                Err(reason) => return Err(Act::Drop(reason)),
            },
            Some(Local::Own(_)) => return Err(Act::Drop(DropReason::NotForUs)),
        };
        let takes_any = || self.is_outward_end::<F>(at.destination);
        let is_to_local = matches!(local, Some(Local::Source { .. }));
        if (side == Side::Servers || is_to_local && !takes_any())
            && self.is_on_wrong_port(packet.port(), Direction::Out)
        {
            return Err(Act::Drop(DropReason::WrongPort));
        }
        // In IPv6 only the first says what it is.
        let tells = F::FRAGMENTS_SHARE_PROTOCOL || !F::is_later_fragment(at.fragment);
        // Of a call's packet the first has a key.
        let is_call = self.snapshot.has_calls
            && parsed.is_call()
            && (parsed.key.ports != 0 || F::is_later_fragment(at.fragment));
        if tells && !is_call && Protocol::from_number(at.protocol).is_none() {
            return Err(Act::Drop(DropReason::Fragment));
        }
        Ok(side)
    }

    /// A fragment's packet as it is once its flow is known.
    pub(crate) fn of_flow<F: Forwarded>(&self, parsed: &Parsed<F>, ports: Ports) -> Parsed<F> {
        let mut parsed = *parsed;
        (parsed.key.ports, parsed.key.protocol) = (ports.ports, ports.protocol);
        parsed.place = F::connections(self).place(parsed.key);
        parsed.hit = None;
        parsed
    }

    /// What is done with a fragment once it has been taken note of. `parsed` says which flow it is of, if that is known.
    #[cold]
    #[must_use]
    pub fn noted<F: Forwarded>(
        &self,
        note: &Note<F>,
        now: Instant,
        packet: &impl Packet,
        parsed: &Parsed<F>,
    ) -> Decision<F> {
        match note.finding.verdict {
            Verdict::Drop(reason) | Verdict::End(reason) => Act::Drop(reason).into(),
            Verdict::Wait => {
                let place = note.finding.place.unwrap_or_default();
                Act::Hold(Hold { side: note.side, place }).into()
            }
            Verdict::Follow(_) => self.follow(note.part, now, packet, parsed),
        }
    }

    /// A fragment whose flow is known.
    pub(crate) fn follow<F: Forwarded>(
        &self,
        part: Part,
        now: Instant,
        packet: &impl Packet,
        parsed: &Parsed<F>,
    ) -> Decision<F> {
        let hit = F::connections(self).find(parsed.key, parsed.place);
        let is_later = F::is_later_fragment(parsed.at.fragment);
        if let Some(hit) = hit
            && !is_later
        {
            return self.matched(now, packet, parsed, hit);
        }
        if let Some(hit) = hit {
            let connection = F::connections(self).get(hit.connection());
            let path = self.path(connection, hit.direction());
            let is_gone = hit.direction() == Direction::In && self.backends[connection.server].is_gone();
            let act = if is_gone {
                Act::Drop(DropReason::FragmentOrphan)
            } else if self.comes_wrongly(packet.port(), connection, hit.direction()) {
                Act::Drop(DropReason::WrongPort)
            } else if path.fit(&parsed.at).is_none() {
                let interface = self.arrival(packet);
                self.undeliverable(now, interface, parsed, path.most)
            } else {
                let (state, neighbour) = (connection.state, path.neighbour);
                Act::Pass(Pass { hit, state, is_doubted: false, neighbour })
            };
            return Decision { about: About::Connection(hit), course: act.into() };
        }
        let (owner, is_guess) = self.owner_of_fragment(packet, &parsed.key.key());
        if part == Part::Keeper && owner.worker != self.id {
            return Act::HandOver(owner.worker, HandOver::FragmentOwner).into();
        }
        if is_later {
            return Act::Drop(DropReason::FragmentOrphan).into();
        }
        // A reset would end a connection that another worker may have.
        if is_guess && !parsed.begins() {
            return Act::Drop(DropReason::NoConnection).into();
        }
        self.unmatched(now, packet, parsed, Origin::Worker)
    }
}

/// Where a fragment belongs, and in which datagram.
fn datagram_of<F: Family>(packet: &impl Packet, parsed: &Parsed<F>) -> Option<(Piece, DatagramKey<F>)> {
    let at = &parsed.at;
    let piece = packet.bytes().get(usize::from(at.l3)..at.end()).and_then(F::piece)?;
    Some((piece, DatagramKey::new(F::pair(at.source, at.destination), at.protocol, &piece)))
}
