//! One direction of a connection of TCP in which texts give way to others: the sender's numbers, and the receiver's.
//!
//! They are apart by what all replaced texts together were longer or shorter. Of those that the receiver has not acknowledged
//! it is remembered where they are: segments that are repeated, cut in whatever places, are given the same bytes again. What
//! has not been acknowledged of a text itself is at the same distance from its beginning on both sides, as far as the shorter
//! of the two reaches. So the numbers of each side follow from those of the other without going backwards, and no byte of
//! either text is acknowledged before it has come.

use super::{
    edits::{Edit, Edits},
    text::{MOST_TEXT, Text},
};
use crate::cast::{count32, small};

/// Texts that are remembered at once, at most: a message with several media has fewer.
pub const MOST_REPLACED: usize = 16;
/// Bytes that all of them have at once, at most.
pub const MOST_REPLACED_BYTES: usize = 256;

/// A text that takes the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Replaced {
    /// The sender's number of its first byte.
    at: u32,
    /// Bytes that it takes the place of, as far as they have been read.
    old: u16,
    /// How long it is.
    new: u8,
    /// What it takes the place of has been read to the end.
    is_whole: bool,
}

impl Replaced {
    const NONE: Replaced = Replaced { at: 0, old: 0, new: 0, is_whole: true };

    /// By how much it is longer, modulo 2^32.
    fn grown(&self) -> u32 {
        u32::from(self.new).wrapping_sub(u32::from(self.old))
    }

    /// Bytes of the old text, and of the new one.
    fn lens(&self) -> (i32, i32) {
        (i32::from(self.old), i32::from(self.new))
    }
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// What is added to the sender's numbers before all of these texts, modulo 2^32.
    delta: u32,
    /// The sender's number of the first byte that has not been read, once that is known.
    pub(super) next: Option<u32>,
    count: u8,
    /// In the order of their numbers.
    all: [Replaced; MOST_REPLACED],
    /// What takes the places, one behind the other.
    bytes: [u8; MOST_REPLACED_BYTES],
}

impl Shift {
    /// Nothing has been read or replaced.
    pub(super) const NONE: Shift = Shift {
        delta: 0,
        next: None,
        count: 0,
        all: [Replaced::NONE; MOST_REPLACED],
        bytes: [0; MOST_REPLACED_BYTES],
    };

    /// Numbers have moved by so much.
    pub(super) const fn by(delta: u32) -> Self {
        Shift { delta, ..Shift::NONE }
    }

    /// By how much they have before all that is remembered.
    pub(super) const fn delta(&self) -> u32 {
        self.delta
    }

    fn all(&self) -> &[Replaced] {
        &self.all[..usize::from(self.count)]
    }

    fn bytes_used(&self) -> usize {
        self.all().iter().map(|it| usize::from(it.new)).sum()
    }

    /// Whether the receiver has all texts that were replaced.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.count == 0
    }

    /// Texts that can be replaced before any is acknowledged, and bytes of those that take their places.
    pub(super) fn room(&self) -> (usize, usize) {
        (MOST_REPLACED - usize::from(self.count), MOST_REPLACED_BYTES - self.bytes_used())
    }

    /// Whether there is room for one more, whatever it is.
    pub(super) fn has_room(&self) -> bool {
        let (count, bytes) = self.room();
        count > 0 && bytes >= MOST_TEXT
    }

    /// How far the receiver's numbers are beyond the sender's behind all that was replaced.
    #[must_use]
    pub fn distance(&self) -> u32 {
        self.all().iter().fold(self.delta, |delta, it| delta.wrapping_add(it.grown()))
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
        let mut delta = self.delta;
        for it in self.all() {
            let inside = number.wrapping_sub(it.at).cast_signed();
            let (old, new) = it.lens();
            if inside <= 0 {
                break;
            }
            if inside < old || inside == old && !(it.is_whole && to_end) {
                return it.at.wrapping_add(delta).wrapping_add(inside.min(new).cast_unsigned());
            }
            delta = delta.wrapping_add(it.grown());
        }
        number.wrapping_add(delta)
    }

    /// The sender's number of a receiver's.
    #[must_use]
    pub fn back(&self, number: u32) -> u32 {
        let mut delta = self.delta;
        for it in self.all() {
            let inside = number.wrapping_sub(delta).wrapping_sub(it.at).cast_signed();
            let (old, new) = it.lens();
            if inside <= 0 {
                break;
            }
            if inside < new {
                return it.at.wrapping_add(inside.min(old).cast_unsigned());
            }
            delta = delta.wrapping_add(it.grown());
        }
        number.wrapping_sub(delta)
    }

    /// The receiver has all before that number of its own.
    pub(super) fn acknowledged(&mut self, number: u32) {
        while let Some(first) = self.all().first().copied() {
            let end = first.at.wrapping_add(self.delta).wrapping_add(u32::from(first.new));
            if !first.is_whole || number.wrapping_sub(end).cast_signed() < 0 {
                return;
            }
            let used = self.bytes_used();
            self.bytes.copy_within(usize::from(first.new)..used, 0);
            self.all.copy_within(1..usize::from(self.count), 0);
            self.count -= 1;
            self.delta = self.delta.wrapping_add(first.grown());
        }
    }

    /// What begins at that number of the sender's gives way to this text from now on. It is behind all others, and there is
    /// room.
    fn add(&mut self, at: u32, (old, is_whole): (u16, bool), new: Text) {
        let used = self.bytes_used();
        let (Some(bytes), Some(place)) = (
            self.bytes.get_mut(used..used + usize::from(new.len())),
            self.all.get_mut(usize::from(self.count)),
        ) else {
            debug_assert!(false, "no room for a text");
            return;
        };
        bytes.copy_from_slice(new.as_bytes());
        *place = Replaced { at, old, new: new.as_bytes().len().try_into().unwrap_or_default(), is_whole };
        self.count += 1;
    }

    /// What begins there gives way to this text, until that ends.
    pub(super) fn begin(&mut self, at: u32, new: Text) {
        self.add(at, (0, false), new);
    }

    /// So many more bytes have been read of what gives way, if something does that has not ended.
    pub(super) fn go_on(&mut self, count: usize) {
        if let Some(last) = self.last().filter(|last| !last.is_whole) {
            last.old = last.old.saturating_add(small(count));
        }
    }

    /// What gives way has been read to its end.
    pub(super) fn finish(&mut self) {
        if let Some(last) = self.last() {
            last.is_whole = true;
        }
    }

    fn last(&mut self) -> Option<&mut Replaced> {
        self.all[..usize::from(self.count)].last_mut()
    }

    /// These texts of what begins at that number give way. There is [room](Shift::room).
    pub(super) fn replace(&mut self, start: u32, edits: &Edits) {
        for edit in edits.iter() {
            self.add(start.wrapping_add(count32(edit.at)), (small(edit.old), true), edit.new);
        }
    }

    /// What is replaced in a payload that begins and ends there.
    #[must_use]
    pub fn edits(&self, start: u32, end: u32) -> Edits {
        let (mut edits, mut text_at) = (Edits::new(), 0);
        for it in self.all() {
            let text = &self.bytes[text_at..text_at + usize::from(it.new)];
            text_at += text.len();
            let from = start.wrapping_sub(it.at).cast_signed();
            let to = end.wrapping_sub(it.at).cast_signed();
            let (old, new) = it.lens();
            if to <= 0 || from > old {
                continue;
            }
            let begins = |inside: i32| usize::try_from(inside.max(0).min(new)).unwrap_or_default();
            let ends = if to > old || to == old && it.is_whole { new } else { to };
            let new = text.get(begins(from)..begins(ends)).unwrap_or_default();
            let at = usize::try_from((-from).max(0)).unwrap_or_default();
            let old = usize::try_from(to.min(old) - from.max(0)).unwrap_or_default();
            if old > 0 || !new.is_empty() {
                edits.push(Edit { at, old, new: Text::of(new) });
            }
        }
        edits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Text {
        Text::of(text.as_bytes())
    }

    /// From 1000 on, of 40 bytes: the fourth to the sixth become ten, and ten from the twentieth on become two.
    fn two() -> Shift {
        let (mut shift, mut edits) = (Shift::by(5), Edits::new());
        assert!(edits.replace(3, 3, text("0123456789")));
        assert!(edits.replace(20, 10, text("ab")));
        shift.replace(1_000, &edits);
        shift
    }

    #[test]
    fn numbers_move_by_all_texts_before_them() {
        let shift = two();
        let moved = [1_003, 1_006, 1_007, 1_020, 1_030, 1_040].map(|number| shift.end(number));
        assert_eq!(moved, [1_008, 1_018, 1_019, 1_032, 1_034, 1_044]);
        for number in [900, 1_003, 1_007, 1_019, 1_020, 1_031, 1_040] {
            assert_eq!(shift.back(shift.end(number)), number);
        }
        assert_eq!(shift.distance(), 5u32.wrapping_add(7).wrapping_sub(8));
    }

    #[test]
    fn what_is_acknowledged_is_remembered_no_more() {
        let mut shift = two();
        assert_eq!(shift.room(), (MOST_REPLACED - 2, MOST_REPLACED_BYTES - 12));
        shift.acknowledged(1_017);
        assert_eq!(shift, two(), "not all of the first");
        let before = [1_020, 1_030, 1_040].map(|number| shift.end(number));
        shift.acknowledged(1_018);
        assert_eq!(shift.room(), (MOST_REPLACED - 1, MOST_REPLACED_BYTES - 2));
        assert_eq!([1_020, 1_030, 1_040].map(|number| shift.end(number)), before);
        assert_eq!(shift.edits(1_000, 1_040).iter().map(|it| it.new).collect::<Vec<_>>(), [text("ab")]);
        shift.acknowledged(1_034);
        assert!(shift.is_settled());
        assert_eq!(shift.end(1_040), 1_044);
    }

    /// However a payload is cut, its parts follow one another on the other side and come to the same bytes.
    #[test]
    fn parts_come_to_the_same_bytes() {
        let shift = two();
        let all: Vec<u8> = (b'A'..).take(40).collect();
        let sent = |from: usize, to: usize| {
            let (start, end) = (1_000 + count32(from), 1_000 + count32(to));
            let (mut bytes, mut at) = (Vec::<u8>::new(), 0);
            let part = &all[from..to];
            for edit in shift.edits(start, end).iter() {
                bytes.extend(&part[at..edit.at]);
                bytes.extend(edit.new.as_bytes());
                at = edit.end();
            }
            bytes.extend(&part[at..]);
            (shift.start(start), bytes)
        };
        let (first, whole) = sent(0, 40);
        assert_eq!(whole.len(), 39);
        for from in 0..40 {
            for to in from + 1..=40 {
                let (number, bytes) = sent(from, to);
                let at = usize::try_from(number.wrapping_sub(first)).unwrap();
                assert_eq!(bytes, whole[at..at + bytes.len()], "{from}..{to}");
                let next = shift.start(1_000 + count32(to)).wrapping_sub(first);
                assert!(usize::try_from(next).unwrap() <= at + bytes.len(), "{from}..{to} leaves a hole");
            }
        }
    }
}
