//! Texts of one datagram that give way to others.

use super::text::Text;
use arrayvec::ArrayVec;

/// Texts that can give way, at most: more than a message with addresses in every line of a phone's has.
pub const MOST_EDITS: usize = 48;

/// A text that gives way, and what takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Where it begins.
    pub at: usize,
    /// Bytes that give way.
    pub old: usize,
    /// What takes their place.
    pub new: Text,
}

impl Edit {
    /// Where what gives way ends.
    #[must_use]
    pub const fn end(&self) -> usize {
        self.at + self.old
    }
}

/// All of them, in the order of the datagram.
#[derive(Clone, Debug, Default)]
pub struct Edits(ArrayVec<Edit, MOST_EDITS>);

impl Edits {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A text gives way. `false`, and it does not, if there is no room for it or part of it gives way already.
    pub fn replace(&mut self, at: usize, old: usize, new: Text) -> bool {
        let edit = Edit { at, old, new };
        let place = self.0.iter().rposition(|before| before.at < at).map_or(0, |before| before + 1);
        let is_apart = place.checked_sub(1).is_none_or(|before| self.0[before].end() <= at)
            && self.0.get(place).is_none_or(|next| edit.end() <= next.at && at < next.at);
        is_apart && self.0.try_insert(place, edit).is_ok()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Edit> {
        self.0.iter()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// By how much what is behind that place moves; negative towards the front.
    #[must_use]
    pub fn shift_at(&self, at: usize) -> isize {
        let grown = |edit: &Edit| usize::from(edit.new.len()).cast_signed() - edit.old.cast_signed();
        self.0.iter().take_while(|edit| edit.at < at).map(grown).sum()
    }

    /// Bytes by which any part in front is longer than it was, at most: room that it takes to replace all in place.
    #[must_use]
    pub fn most_growth(&self) -> usize {
        let ends = self.0.iter().map(|edit| self.shift_at(edit.at + 1));
        usize::try_from(ends.max().unwrap_or(0)).unwrap_or(0)
    }

    /// Bytes that give way, and those that take their place.
    #[must_use]
    pub fn bytes(&self) -> (usize, usize) {
        let each = self.0.iter().map(|edit| (edit.old, usize::from(edit.new.len())));
        each.fold((0, 0), |(old, new), (more_old, more_new)| (old + more_old, new + more_new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Text {
        Text::of(text.as_bytes())
    }

    #[test]
    fn they_are_in_order_and_apart() {
        let mut edits = Edits::new();
        assert!(edits.replace(10, 5, text("abc")));
        assert!(edits.replace(2, 3, text("abcdefg")));
        assert!(edits.replace(15, 1, text("")));
        assert!(!edits.replace(12, 1, text("x")), "inside another");
        assert!(!edits.replace(4, 7, text("x")), "over the beginning of another");
        assert!(!edits.replace(10, 1, text("x")), "where another begins");
        assert_eq!(edits.iter().map(|edit| edit.at).collect::<Vec<_>>(), [2, 10, 15]);
        assert_eq!([2, 3, 10, 11, 16].map(|at| edits.shift_at(at)), [0, 4, 4, 2, 1]);
        assert_eq!((edits.most_growth(), edits.bytes()), (4, (9, 10)));
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut edits = Edits::new();
        for at in 0..MOST_EDITS {
            assert!(edits.replace(at, 1, text("")));
        }
        assert!(!edits.replace(MOST_EDITS, 1, text("")));
        assert_eq!(edits.most_growth(), 0);
    }
}
