//! What is kept of a connection that a module reads: how far each direction has been read, and what the text that a module
//! replaced does to sequence numbers.
//!
//! Each direction has its sender's numbers and its receiver's. They are apart by what all replaced texts together were
//! longer or shorter. Of the last of these texts it is remembered where it is, until its receiver has acknowledged it:
//! segments that are repeated, cut in whatever places, are given the same bytes again. Another text is replaced only then.
//! What has not been acknowledged of the text itself is at the same distance from its beginning on both sides, as far as the
//! shorter of the two reaches. So the numbers of each side follow from those of the other without going backwards, and no
//! byte of either text is acknowledged before it has come.

use super::{
    kept::Kept,
    kind::ModuleKind,
    reader::{Host, Line, Module, Step},
    text::Text,
};
use crate::{
    cast::{count32, small},
    conn::{beside::Moved, entry::Direction},
    ids::TalkId,
    limits::MAX_TALKS,
};

/// A text that takes the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edit {
    /// The sender's number of its first byte.
    at: u32,
    /// Bytes that it takes the place of, as far as they have been read.
    old: u16,
    /// They have been read to the end.
    is_whole: bool,
    new: Text,
}

/// A connection that nobody has begun to close is never behind by so much.
const FAR: u32 = 1 << 30;

/// One direction: the sender's numbers, and the receiver's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// What is added to the sender's numbers before the edit, modulo 2^32.
    delta: u32,
    edit: Option<Edit>,
    /// The sender's number of the first byte that has not been read, once that is known.
    next: Option<u32>,
}

/// Part of a segment's payload that gives way, and what takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Splice<'a> {
    /// Where it begins in the payload.
    pub at: usize,
    /// Bytes that give way.
    pub old: usize,
    /// What takes their place.
    pub new: &'a [u8],
}

impl Shift {
    const NONE: Shift = Shift { delta: 0, edit: None, next: None };

    /// How far the receiver's numbers are beyond the sender's behind all that was replaced.
    #[must_use]
    pub fn distance(&self) -> u32 {
        let grown = |edit: Edit| u32::from(edit.new.len()).wrapping_sub(u32::from(edit.old));
        self.delta.wrapping_add(self.edit.map_or(0, grown))
    }

    /// The receiver's number of what is behind all that comes before that number of the sender's.
    #[must_use]
    pub fn end(&self, number: u32) -> u32 {
        self.over(number, true)
    }

    /// The receiver's number of what begins there. Behind a text that has grown that is where the old one would have
    /// ended: when it came in two parts, the first may have been sent without the rest of the new text.
    #[must_use]
    pub fn start(&self, number: u32) -> u32 {
        self.over(number, false)
    }

    fn over(&self, number: u32, to_end: bool) -> u32 {
        let number_there = number.wrapping_add(self.delta);
        let Some(edit) = &self.edit else { return number_there };
        let inside = number.wrapping_sub(edit.at).cast_signed();
        let (old, new) = (i32::from(edit.old), i32::from(edit.new.len()));
        if inside <= 0 {
            number_there
        } else if inside > old || inside == old && edit.is_whole && to_end {
            number.wrapping_add(self.distance())
        } else {
            edit.at.wrapping_add(self.delta).wrapping_add(inside.min(new).cast_unsigned())
        }
    }

    /// The sender's number of a receiver's.
    #[must_use]
    pub fn back(&self, number: u32) -> u32 {
        let number_there = number.wrapping_sub(self.delta);
        let Some(edit) = &self.edit else { return number_there };
        let inside = number_there.wrapping_sub(edit.at).cast_signed();
        if inside <= 0 {
            number_there
        } else if inside >= i32::from(edit.new.len()) {
            number.wrapping_sub(self.distance())
        } else {
            edit.at.wrapping_add(inside.min(i32::from(edit.old)).cast_unsigned())
        }
    }

    /// The receiver has all before that number of its own.
    fn acknowledged(&mut self, number: u32) {
        if let Some(edit) = &self.edit
            && edit.is_whole
        {
            let end = edit.at.wrapping_add(self.delta).wrapping_add(u32::from(edit.new.len()));
            if number.wrapping_sub(end).cast_signed() >= 0 {
                (self.delta, self.edit) = (self.distance(), None);
            }
        }
    }

    /// What is replaced in a payload that begins and ends there.
    #[must_use]
    pub fn splice(&self, start: u32, end: u32) -> Option<Splice<'_>> {
        let edit = self.edit.as_ref()?;
        let from = start.wrapping_sub(edit.at).cast_signed();
        let to = end.wrapping_sub(edit.at).cast_signed();
        let (old, new) = (i32::from(edit.old), i32::from(edit.new.len()));
        if to <= 0 || from > old {
            return None;
        }
        let begins = |inside: i32| usize::try_from(inside.max(0).min(new)).unwrap_or_default();
        let ends = if to > old || to == old && edit.is_whole { new } else { to };
        let new = edit.new.as_bytes().get(begins(from)..begins(ends))?;
        let at = usize::try_from((-from).max(0)).unwrap_or_default();
        let old = usize::try_from(to.min(old) - from.max(0)).unwrap_or_default();
        Some(Splice { at, old, new })
    }
}

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
        Talk { kind, is_sealed: false, shifts: [Shift::NONE; 2], lines: [Line::START; 2], kept: Kept::NONE }
    }

    /// The same of one that goes on from another run or another director.
    #[must_use]
    pub fn moved(kind: ModuleKind, moved: Moved) -> Self {
        let shifts = moved.by().map(|delta| Shift { delta, ..Shift::NONE });
        Talk { is_sealed: moved.is_sealed(), shifts, ..Talk::new(kind) }
    }

    /// By how much its numbers have moved, for another run or another director. `None` if that does not go on: there is a
    /// text of which its receiver may have the one or the other.
    #[must_use]
    pub fn has_moved(&self) -> Option<Moved> {
        let is_settled = self.shifts.iter().all(|shift| shift.edit.is_none());
        let (by, said) = (self.shifts.map(|shift| shift.delta), self.shifts.map(|shift| shift.next));
        Moved::new(by, said, self.is_sealed).filter(|_| is_settled)
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
            *shift = Shift { next: Some(number), ..Shift::NONE };
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
            let may_replace = shift.edit.is_none();
            let both = (&mut *line, &mut self.kept);
            let step = module.read_both(both, direction, &payload[at..], may_replace, host);
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
            if let Some(edit) = shift.edit.as_mut().filter(|edit| !edit.is_whole) {
                edit.old = edit.old.saturating_add(small(count));
            }
            match step {
                Step::Read(_) => {}
                Step::Replace(_, new) => {
                    shift.edit = Some(Edit { at: number, old: 0, is_whole: false, new });
                }
                Step::End(_) => {
                    if let Some(edit) = &mut shift.edit {
                        edit.is_whole = true;
                    }
                }
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
