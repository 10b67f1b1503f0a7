//! What is kept of a connection that a module reads: how far each direction has been read, and what the text that a module
//! replaced does to sequence numbers: see [`Shift`].
//!
//! Who reads a line as it comes has one text replaced after the other, who reads whole messages all texts of one at once: in
//! both cases as far as there is room to remember them until the receiver has them.

use super::{
    edits::Edits,
    kept::{Calls, Kept},
    kind::ModuleKind,
    reader::{Host, Line, Module, Piece, Step},
    shift::Shift,
};
use crate::{
    cast::count32,
    conn::{beside::Moved, entry::Direction},
    ids::TalkId,
    limits::MAX_TALKS,
};

/// A connection that nobody has begun to close is never behind by so much.
const FAR: u32 = 1 << 30;

/// What is kept of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Talk {
    /// Which module reads it.
    pub kind: ModuleKind,
    is_sealed: bool,
    shifts: [Shift; 2],
    lines: [Line; 2],
    kept: Kept,
}

/// A segment ahead of another that has not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap;

impl Talk {
    /// Of a connection that begins, or whose beginning was not seen.
    #[must_use]
    pub const fn new(kind: ModuleKind) -> Self {
        let (shifts, lines) = ([Shift::NONE; 2], [Line::START; 2]);
        Talk { kind, is_sealed: false, shifts, lines, kept: Kept::NONE }
    }

    /// The same of one that goes on from another run or another director.
    #[must_use]
    pub fn moved(kind: ModuleKind, moved: Moved) -> Self {
        if kind.reads_calls() {
            let call = |number: u32| number.checked_sub(1).and_then(|call| u16::try_from(call).ok());
            let mut talk = Talk::new(kind);
            talk.kept.calls = moved.by().map(call);
            return talk;
        }
        let shifts = moved.by().map(Shift::by);
        Talk { is_sealed: moved.is_sealed(), shifts, ..Talk::new(kind) }
    }

    /// By how much its numbers have moved, for another run or another director. `None` if that does not go on: there is a
    /// text of which its receiver may have the one or the other. Where packets of calls go with it, no numbers move, and those
    /// of the call take their place: one more than they are, as 0 is none.
    #[must_use]
    pub fn has_moved(&self) -> Option<Moved> {
        let is_settled = self.shifts.iter().all(Shift::is_settled);
        let said = self.shifts.map(|shift| shift.next);
        let by = match self.kind.reads_calls() {
            true => self.calls().map(|call| call.map_or(0, |call| u32::from(call) + 1)),
            false => self.shifts.map(|shift| shift.delta()),
        };
        Moved::new(by, said, self.is_sealed).filter(|_| is_settled)
    }

    /// The call that it is about.
    #[must_use]
    pub const fn calls(&self) -> Calls {
        self.kept.calls
    }

    /// A direction's numbers.
    #[must_use]
    pub const fn shift(&self, direction: Direction) -> &Shift {
        &self.shifts[direction as usize]
    }

    /// The first byte of a direction has that number.
    pub fn begins(&mut self, direction: Direction, number: u32) {
        let shift = &mut self.shifts[direction as usize];
        if shift.next != Some(number) {
            *shift = Shift::NONE;
            shift.next = Some(number);
            self.lines[direction as usize] = Line::START;
        }
    }

    /// What the receiver of a direction has acknowledged, in the sender's numbers. It may have come by another way.
    pub fn acknowledged(&mut self, direction: Direction, number: u32) -> u32 {
        let shift = &mut self.shifts[direction as usize];
        let old = shift.back(number);
        shift.acknowledged(number);
        if shift.next.is_none_or(|next| (1..FAR).contains(&old.wrapping_sub(next))) {
            shift.next = Some(old);
            self.lines[direction as usize] = Line::START;
        }
        old
    }

    /// Reads what is new of a payload that begins at that number. Returns how many of its bytes may pass.
    ///
    /// # Errors
    /// When something before it has not come, and what comes later might have to be replaced. Where nothing is, it
    /// begins a line as far as anybody can tell.
    pub fn read(
        &mut self,
        (module, host): (&dyn Module, &mut dyn Host),
        direction: Direction,
        start: u32,
        payload: &[u8],
    ) -> Result<usize, Gap> {
        let (shift, line) = (&mut self.shifts[direction as usize], &mut self.lines[direction as usize]);
        if self.is_sealed || payload.is_empty() {
            return Ok(payload.len());
        }
        let next = shift.next.get_or_insert(start);
        let known = next.wrapping_sub(start);
        let mut at = match usize::try_from(known) {
            // All of it has been read before.
            Ok(known) if known < FAR as usize => known.min(payload.len()),
            _ if host.rewrites() => return Err(Gap),
            _ => {
                (*next, *line) = (start, Line::START);
                0
            }
        };
        while at < payload.len() {
            let (before, room) = (*line, shift.room());
            let mut edits = Edits::within(room);
            let piece = Piece { bytes: &payload[at..], is_first: at == 0 };
            let whole = host.rewrites().then(|| module.messages(line, direction, piece, &mut edits, host));
            let step = whole.flatten().unwrap_or_else(|| {
                let own = (&mut *line, &mut self.kept);
                module.read(own, direction, &payload[at..], shift.has_room(), host)
            });
            if edits.is_short() {
                if !shift.is_settled() {
                    // Once the receiver has what was replaced before.
                    *line = before;
                    return Ok(at);
                }
                host.missed();
            }
            shift.replace(start.wrapping_add(count32(at)), &edits);
            let (Step::Read(count)
            | Step::Replace(count, _)
            | Step::End(count)
            | Step::Wait(count)
            | Step::Sealed(count)) = step;
            let count = count.min(payload.len() - at);
            at += count;
            let number = start.wrapping_add(count32(at));
            if let Some(next) = &mut shift.next {
                *next = number;
            }
            shift.go_on(count);
            match step {
                Step::Read(_) => {}
                Step::Replace(_, new) => shift.begin(number, new),
                Step::End(_) => shift.finish(),
                Step::Wait(_) => return Ok(at),
                Step::Sealed(_) => {
                    self.is_sealed = true;
                    return Ok(payload.len());
                }
            }
            debug_assert!(count > 0 || !matches!(step, Step::Read(_)), "{step:?}");
        }
        Ok(payload.len())
    }
}

/// The first number of what is kept of connections of datagrams, which is nothing: their number says who reads them. So
/// however many strangers open, none of the places for connections of TCP is taken.
const DATAGRAMS: u32 = u32::MAX - 0xff;

/// What one worker keeps of all connections that modules read. It grows up to its bound within memory that is there from
/// the beginning, and that is not touched before.
pub struct Talks {
    all: Vec<Talk>,
    free: Vec<TalkId>,
}

impl Talks {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Talks { all: Vec::with_capacity(MAX_TALKS), free: Vec::with_capacity(MAX_TALKS) }
    }

    /// One of datagrams.
    #[must_use]
    pub const fn of_datagrams(kind: ModuleKind) -> TalkId {
        TalkId::new(DATAGRAMS + kind as u32)
    }

    /// Who reads it, if it is one of datagrams.
    fn reader_of_datagrams(id: TalkId) -> Option<ModuleKind> {
        let number = usize::try_from(id.number().checked_sub(DATAGRAMS)?).ok()?;
        Some(ModuleKind::ALL.get(number).copied().unwrap_or(ModuleKind::None))
    }

    /// One more. `None` if there are as many as there may be.
    pub fn add(&mut self, talk: Talk) -> Option<TalkId> {
        if let Some(id) = self.free.pop() {
            self.all[id.index()] = talk;
            return Some(id);
        }
        let id = TalkId::new(count32(self.all.len()));
        (self.all.len() < MAX_TALKS).then(|| self.all.push(talk)).map(|()| id)
    }

    /// Its connection has ended.
    pub fn remove(&mut self, id: TalkId) {
        if Self::reader_of_datagrams(id).is_none() {
            self.free.push(id);
        }
    }

    /// What is kept.
    #[must_use]
    pub fn get(&self, id: TalkId) -> Talk {
        Self::reader_of_datagrams(id).map_or_else(|| self.all[id.index()], Talk::new)
    }

    /// The call that it is about.
    #[must_use]
    pub fn calls(&self, id: TalkId) -> Calls {
        self.all.get(id.index()).map_or([None; 2], Talk::calls)
    }

    /// Whether there is room for one more.
    #[must_use]
    pub fn has_room(&self) -> bool {
        !self.free.is_empty() || self.all.len() < MAX_TALKS
    }

    /// Something else is kept.
    pub fn put(&mut self, id: TalkId, talk: Talk) {
        if Self::reader_of_datagrams(id).is_none() {
            self.all[id.index()] = talk;
        }
    }

    /// How many connections are read.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len() - self.free.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for Talks {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_datagrams_take_no_room() {
        let mut talks = Talks::new();
        for &kind in ModuleKind::ALL {
            let id = Talks::of_datagrams(kind);
            assert_eq!(talks.get(id).kind, kind);
            talks.put(id, Talk::new(ModuleKind::None));
            talks.remove(id);
        }
        assert!(talks.is_empty());
        let first = talks.add(Talk::new(ModuleKind::Ftp)).unwrap();
        assert_eq!((first.number(), talks.get(first).kind, talks.len()), (0, ModuleKind::Ftp, 1));
        talks.remove(first);
        assert!(talks.is_empty());
    }
}
