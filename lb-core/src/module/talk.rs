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
    conn::{beside::Moved, entry::Direction, reading::Awaited},
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

    /// Of a connection of which a segment near that number is the first that is read, where it begins for each side as is known
    /// of it.
    #[must_use]
    pub fn awaited(awaited: Awaited, near: u32) -> Self {
        let mut talk = Talk::new(ModuleKind::of_number(awaited.kind).unwrap_or(ModuleKind::None));
        let first = awaited.first;
        first.clients(near).into_iter().for_each(|number| talk.begins(Direction::In, number));
        first.servers().into_iter().for_each(|number| talk.begins(Direction::Out, number));
        talk
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
        if shift.next.is_none_or(|next| (1..FAR).contains(&old.wrapping_sub(next))) {
            shift.next = Some(old);
            self.lines[direction as usize] = Line::START;
            // Nobody reads on in a text that is replaced, so it ends where it has been read.
            shift.finish();
        }
        shift.acknowledged(number);
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

#[cfg(test)]
mod tests;
