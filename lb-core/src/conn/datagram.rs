//! Datagrams that come in fragments: only the first has ports, so what they say is kept for the others.
//!
//! Fragments go on one by one and are not put together. What is kept of a datagram is which bytes of it have come, so that
//! overlaps are found (RFC 5722 4, which also holds for IPv4: RFC 1858, RFC 3128), and which flow it belongs to. An entry
//! is free again when all has come, and after a while in any case. Where one is wanted and none is free, the oldest of a
//! few makes room: fragments of one datagram come within moments, so what is old is a flood's, or has lost one.

use crate::{
    cast::{low16, small},
    counters::DropReason,
    family::{Family, Piece, V4, V6},
    flow::key::Secret,
    limits::{
        MAX_DATAGRAMS, MAX_PIECES, MAX_STRETCHES, MAX_WAITING_FRAGMENT_BYTES, MAX_WAITING_FRAGMENTS,
        MAX_WAITING_PER_DATAGRAM,
    },
    mix::{fold_multiply, scale},
    packet::WorkerId,
    time::{Duration, Instant},
    wire::protocol::Protocol,
};

/// How long a datagram is remembered from its first fragment on. Linux puts together for 30 s; here every id that is lost
/// is in the way of the next datagram with it, and at speed there is one soon.
const LIFE: Duration = Duration::from_secs(5);
/// How old a datagram must be to make room for another: more than fragments of one are ever apart on a way that works.
const YOUNG: Duration = Duration::from_millis(50);
/// How long a fragment waits for the first: far longer than ways differ by, and short for who sends none.
pub const FIRST_WITHIN: Duration = Duration::from_millis(250);
/// Entries that one may be in.
const WAYS: usize = 8;

const _: () = assert!(MAX_DATAGRAMS.is_multiple_of(WAYS));

/// What the fragments of one datagram have in common, RFC 791 3.2 and RFC 8200 4.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatagramKey<F: Family> {
    addresses: F::Pair,
    id: u32,
    /// Of IPv4 only: in IPv6 fragments of one datagram may differ in it.
    protocol: u8,
}

impl<F: Family> DatagramKey<F> {
    /// That of a fragment.
    #[must_use]
    pub fn new(addresses: F::Pair, protocol: u8, piece: &Piece) -> Self {
        let protocol = if F::FRAGMENTS_SHARE_PROTOCOL { protocol } else { 0 };
        DatagramKey { addresses, id: piece.id, protocol }
    }

    fn hash(&self, secret: Secret) -> u64 {
        let rest = u64::from(self.protocol) << 32 | u64::from(self.id);
        fold_multiply(F::mix(self.addresses, secret.0), rest ^ 0x1319_8a2e_0370_7344)
    }

    /// The worker that keeps what is known of the datagram: it follows from nothing else, since later fragments have no
    /// ports, and where a port delivers a fragment is the port's own business.
    #[must_use]
    pub fn keeper(&self, workers: usize, secret: Secret) -> WorkerId {
        // Other bits than those that its place follows from.
        WorkerId(small(scale(self.hash(secret).rotate_left(32), workers)))
    }
}

/// What the first fragment of a datagram says of its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Source port in the upper half, destination port in the lower.
    pub ports: u32,
    /// Transport protocol.
    pub protocol: Protocol,
}

/// What a worker is to a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It keeps what is known of it.
    Keeper,
    /// It owns the flow, and has the fragments from the keeper, the first before all others.
    Owner,
}

/// What becomes of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It belongs to that flow.
    Follow(Ports),
    /// It waits for the first.
    Wait,
    /// It ends here.
    Drop(DropReason),
    /// It ends here, and so do all that are still to come of its datagram.
    End(DropReason),
}

/// What becomes of a fragment, and of what is known of its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The place of its datagram, if it has or gets one.
    pub place: Option<u16>,
    /// The datagram is new: what was there before makes room.
    pub begins: bool,
    /// What becomes of the fragment.
    pub verdict: Verdict,
}

/// The datagrams of one family that a worker knows fragments of.
pub struct Datagrams<F: Family> {
    entries: Box<[Entry<F>]>,
    secret: Secret,
    len: usize,
    waiting: usize,
    waiting_bytes: u32,
}

/// Bytes from one place to another, in units of eight as places are counted in fragments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stretch {
    from: u16,
    to: u16,
}

#[derive(Clone, Copy, Debug)]
struct Entry<F: Family> {
    key: DatagramKey<F>,
    /// When its first fragment came; `None` if it is nobody's.
    since: Option<Instant>,
    ports: Option<Ports>,
    /// Why its fragments are dropped.
    ended: Option<DropReason>,
    /// Where it ends, once that is known.
    end: Option<u16>,
    pieces: u8,
    waiting: u8,
    stretches_len: u16,
    /// What has come, in order, no two of them adjacent.
    stretches: [Stretch; MAX_STRETCHES],
}

/// Bytes of all of a worker's tables: of each family, clients' and servers'.
pub const TABLES_BYTES: usize = 2 * MAX_DATAGRAMS * (size_of::<Entry<V4>>() + size_of::<Entry<V6>>());

impl<F: Family> Datagrams<F> {
    /// None, with all the room there will ever be.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        let key = DatagramKey { addresses: F::Pair::default(), id: 0, protocol: 0 };
        let nobody = Entry::new(key, None);
        let entries = vec![nobody; MAX_DATAGRAMS].into_boxed_slice();
        Datagrams { entries, secret, len: 0, waiting: 0, waiting_bytes: 0 }
    }

    /// Datagrams that are known, or have been and nobody has needed their place since.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What becomes of a fragment, of a packet of that many bytes. `ports` are those of a first one. Changes nothing.
    #[must_use]
    pub fn find(
        &self,
        now: Instant,
        key: &DatagramKey<F>,
        (piece, bytes): (&Piece, u16),
        ports: Option<Ports>,
        part: Part,
    ) -> Finding {
        let begins = |place| {
            let verdict = match ports {
                Some(ports) => Verdict::Follow(ports),
                None if part == Part::Owner => Verdict::Drop(DropReason::FragmentOrphan),
                None if self.has_room(0, bytes) => Verdict::Wait,
                None => Verdict::Drop(DropReason::FragmentsWaiting),
            };
            let goes_on = matches!(verdict, Verdict::Follow(_) | Verdict::Wait);
            Finding { place: goes_on.then_some(place), begins: goes_on, verdict }
        };
        match self.place(now, key) {
            // The keeper has looked at it, so it is another datagram with the same number.
            Some(Place::Of(place)) if part == Part::Owner && ports.is_some() => begins(place),
            Some(Place::Of(place)) => {
                let entry = &self.entries[usize::from(place)];
                let verdict = match (entry.ended, entry.with(piece)) {
                    (Some(reason), _) => Verdict::Drop(reason),
                    (None, Err(verdict)) => verdict,
                    (None, Ok(_)) => match ports.or(entry.ports) {
                        Some(ports) => Verdict::Follow(ports),
                        None if self.has_room(entry.waiting, bytes) => Verdict::Wait,
                        None => Verdict::Drop(DropReason::FragmentsWaiting),
                    },
                };
                Finding { place: Some(place), begins: false, verdict }
            }
            Some(Place::Free(place)) => begins(place),
            None => Finding { place: None, begins: false, verdict: Verdict::Drop(DropReason::FragmentsFull) },
        }
    }

    /// Takes note of a fragment that has been found so.
    pub fn note(&mut self, now: Instant, key: &DatagramKey<F>, piece: &Piece, finding: &Finding) {
        let Some(place) = finding.place else { return };
        let entry = &mut self.entries[usize::from(place)];
        if finding.begins {
            self.len += usize::from(entry.since.is_none());
            *entry = Entry::new(*key, Some(now));
        }
        match finding.verdict {
            Verdict::Drop(_) => {}
            Verdict::End(reason) => entry.ended = Some(reason),
            Verdict::Follow(_) | Verdict::Wait => {
                if let Ok(grown) = entry.with(piece) {
                    *entry = grown;
                }
                if let Verdict::Follow(ports) = finding.verdict {
                    entry.ports = Some(ports);
                }
            }
        }
    }

    /// Frees the place of a datagram all of whose fragments have come and gone on. Returns whether they have.
    pub fn settle(&mut self, place: u16) -> bool {
        let entry = &mut self.entries[usize::from(place)];
        let is_over = entry.since.is_some() && entry.waiting == 0 && entry.is_complete();
        if is_over {
            entry.since = None;
            self.len -= 1;
        }
        is_over
    }

    /// A fragment of a packet of that many bytes begins to wait.
    pub fn hold(&mut self, place: u16, bytes: u16) {
        self.entries[usize::from(place)].waiting += 1;
        self.waiting += 1;
        self.waiting_bytes += u32::from(bytes);
    }

    /// It waits no longer.
    pub fn let_go(&mut self, place: u16, bytes: u16) {
        self.entries[usize::from(place)].waiting -= 1;
        self.waiting -= 1;
        self.waiting_bytes -= u32::from(bytes);
    }

    fn has_room(&self, of_datagram: u8, bytes: u16) -> bool {
        of_datagram < MAX_WAITING_PER_DATAGRAM
            && self.waiting < MAX_WAITING_FRAGMENTS
            && self.waiting_bytes + u32::from(bytes) <= MAX_WAITING_FRAGMENT_BYTES
    }

    /// Where a datagram is, or could be.
    fn place(&self, now: Instant, key: &DatagramKey<F>) -> Option<Place> {
        let bucket = scale(key.hash(self.secret), MAX_DATAGRAMS / WAYS);
        let ways = self.entries.iter().zip(0..).skip(bucket * WAYS).take(WAYS);
        let age = |entry: &Entry<F>| entry.since.map_or(LIFE, |since| now.since(since));
        if let Some((_, place)) = ways.clone().find(|(entry, _)| entry.key == *key && age(entry) < LIFE) {
            return Some(Place::Of(place));
        }
        let (oldest, place) = ways.max_by_key(|(entry, _)| age(entry))?;
        (age(oldest) >= YOUNG).then_some(Place::Free(place))
    }
}

/// Where a datagram is.
enum Place {
    /// There.
    Of(u16),
    /// Nowhere, but it can be there.
    Free(u16),
}

impl<F: Family> Entry<F> {
    /// Of a datagram of which nothing has come.
    fn new(key: DatagramKey<F>, since: Option<Instant>) -> Self {
        Entry {
            key,
            since,
            ports: None,
            ended: None,
            end: None,
            pieces: 0,
            waiting: 0,
            stretches_len: 0,
            stretches: [Stretch::default(); MAX_STRETCHES],
        }
    }

    fn stretches(&self) -> &[Stretch] {
        &self.stretches[..usize::from(self.stretches_len)]
    }

    fn is_complete(&self) -> bool {
        self.end.is_some_and(|end| self.stretches() == [Stretch { from: 0, to: end }])
    }

    /// The same with another fragment, if it fits in.
    fn with(&self, piece: &Piece) -> Result<Self, Verdict> {
        let new = Stretch { from: units(piece.start), to: units(piece.end) };
        let has = |it: &&Stretch| it.from <= new.from && new.to <= it.to;
        let is_last = !piece.more;
        if self.stretches().iter().any(|it| has(&it)) && (!is_last || self.end == Some(new.to)) {
            return Err(Verdict::Drop(DropReason::FragmentDuplicate));
        }
        let reaches = self.stretches().last().map_or(0, |last| last.to);
        let contradicts = match self.end {
            Some(end) if is_last => end != new.to,
            Some(end) => new.to >= end,
            None => is_last && reaches > new.to,
        };
        if contradicts || self.stretches().iter().any(|it| it.from < new.to && new.from < it.to) {
            return Err(Verdict::End(DropReason::FragmentOverlap));
        }
        let before = self.stretches().iter().take_while(|it| it.to < new.from).count();
        let touching = self.stretches()[before..].iter().take_while(|it| it.from <= new.to).count();
        let (mut from, mut to) = (new.from, new.to);
        for it in &self.stretches()[before..before + touching] {
            (from, to) = (from.min(it.from), to.max(it.to));
        }
        if self.pieces >= MAX_PIECES || touching == 0 && usize::from(self.stretches_len) == MAX_STRETCHES {
            return Err(Verdict::End(DropReason::FragmentExcess));
        }
        let mut grown = *self;
        let behind = before + touching..usize::from(self.stretches_len);
        grown.stretches_len = self.stretches_len + 1 - small(touching);
        grown.stretches.copy_within(behind, before + 1);
        grown.stretches[before] = Stretch { from, to };
        grown.pieces += 1;
        grown.end = if is_last { Some(new.to) } else { self.end };
        Ok(grown)
    }
}

/// A place in units of eight bytes. Only the last fragment ends between two.
fn units(bytes: u32) -> u16 {
    low16(bytes.div_ceil(8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PORTS: Ports = Ports { ports: 0x0fa0_0050, protocol: Protocol::Udp };

    fn piece(from: u32, to: u32, more: bool) -> Piece {
        Piece { id: 7, start: from * 8, end: to * 8, more, most: 65_515 }
    }

    fn key(id: u32) -> DatagramKey<V4> {
        DatagramKey { addresses: 0xcb00_710a_c000_0264, id, protocol: 17 }
    }

    /// What becomes of a piece of some datagram, which is taken note of.
    fn take(datagrams: &mut Datagrams<V4>, ms: u64, id: u32, piece: &Piece) -> Verdict {
        let ports = (piece.start == 0).then_some(PORTS);
        let now = Instant::from_millis(ms);
        let finding = datagrams.find(now, &key(id), (piece, 1_500), ports, Part::Keeper);
        datagrams.note(now, &key(id), piece, &finding);
        if let Some(place) = finding.place {
            datagrams.settle(place);
        }
        finding.verdict
    }

    #[test]
    fn tables_are_as_large_as_they_are_said_to_be() {
        assert_eq!((size_of::<Entry<V4>>(), size_of::<Entry<V6>>()), (136, 160));
        assert_eq!(TABLES_BYTES, 592 << 10);
    }

    #[test]
    fn an_end_that_another_contradicts_ends_all() {
        for other in [piece(10, 12, false), piece(8, 10, true), piece(10, 12, true), piece(0, 9, false)] {
            let mut datagrams = Datagrams::new(Secret(1));
            assert_eq!(take(&mut datagrams, 0, 7, &piece(0, 4, true)), Verdict::Follow(PORTS));
            assert_eq!(take(&mut datagrams, 0, 7, &piece(6, 10, false)), Verdict::Follow(PORTS));
            let verdict = take(&mut datagrams, 0, 7, &other);
            assert_eq!(
                verdict,
                match other {
                    // All of it has come, so it says nothing new.
                    Piece { start: 64, .. } => Verdict::Drop(DropReason::FragmentDuplicate),
                    _ => Verdict::End(DropReason::FragmentOverlap),
                },
                "{other:?}"
            );
        }
    }

    #[test]
    fn protocols_tell_datagrams_apart_where_fragments_share_them() {
        let piece = piece(0, 4, true);
        let differs = |a: u8, b: u8| DatagramKey::<V4>::new(1, a, &piece) != DatagramKey::new(1, b, &piece);
        assert!(differs(6, 17));
        assert_eq!(DatagramKey::<V6>::new([1; 4], 6, &piece), DatagramKey::new([1; 4], 60, &piece));
    }

    #[test]
    fn keepers_are_all_workers() {
        let of = |id| key(id).keeper(4, Secret(0x1234_5678_9abc_def1)).0;
        let mut counts = [0; 4];
        (0..4_000).for_each(|id| counts[usize::from(of(id))] += 1);
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
    }

    proptest! {
        /// As a list of bytes has it.
        #[test]
        fn what_has_come_is_known_exactly(pieces in prop::collection::vec((0..40u32, 1..12u32, any::<bool>()), 1..60)) {
            let mut datagrams = Datagrams::new(Secret(1));
            let (mut come, mut end, mut over) = ([false; 64], None, false);
            let mut stretches = 0;
            for (from, len, last) in pieces {
                let (to, is_last) = (from + len, last && len < 3);
                let span = from as usize..to as usize;
                let verdict = take(&mut datagrams, 0, 7, &piece(from, to, !is_last));
                let covered = span.clone().all(|at| come[at]);
                let touches = span.clone().any(|at| come[at]);
                let reaches = come.iter().rposition(|&has| has).map_or(0, |at| at as u32 + 1);
                let contradicts = match end {
                    Some(end) if is_last => end != to,
                    Some(end) => to >= end,
                    None => is_last && reaches > to,
                };
                if over {
                    prop_assert!(matches!(verdict, Verdict::Drop(DropReason::FragmentOverlap | DropReason::FragmentExcess)));
                } else if covered && (!is_last || end == Some(to)) {
                    prop_assert_eq!(verdict, Verdict::Drop(DropReason::FragmentDuplicate));
                } else if touches || contradicts {
                    prop_assert_eq!(verdict, Verdict::End(DropReason::FragmentOverlap));
                    over = true;
                } else if verdict == Verdict::End(DropReason::FragmentExcess) {
                    prop_assert!(stretches == MAX_STRETCHES);
                    over = true;
                } else {
                    prop_assert!(matches!(verdict, Verdict::Follow(_) | Verdict::Wait), "{:?}", verdict);
                    come[span].fill(true);
                    end = if is_last { Some(to) } else { end };
                }
                stretches = (0..64).filter(|&at| come[at] && (at == 0 || !come[at - 1])).count();
                if end.is_some_and(|end| come[..end as usize].iter().all(|has| *has)) {
                    prop_assert!(datagrams.is_empty(), "all has come");
                    (come, end) = ([false; 64], None);
                }
                prop_assert_eq!(datagrams.len(), usize::from(over || come.contains(&true)));
            }
        }
    }
}
