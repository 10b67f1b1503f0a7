//! Texts of one datagram, or of what there is of a stream, that give way to others.

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

/// All of them, in order.
#[derive(Clone, Debug)]
pub struct Edits {
    all: ArrayVec<Edit, MOST_EDITS>,
    /// How many there may be, and bytes that may take the places.
    most: (usize, usize),
    /// There was no room for another.
    is_short: bool,
}

impl Edits {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Edits::within((MOST_EDITS, usize::MAX))
    }

    /// None, and no more than so many, with so many bytes that take their places.
    #[must_use]
    pub fn within(most: (usize, usize)) -> Self {
        Edits { all: ArrayVec::new(), most, is_short: false }
    }

    /// A text gives way. `false`, and it does not, if there is no room for it or part of it gives way already.
    pub fn replace(&mut self, at: usize, old: usize, new: Text) -> bool {
        let edit = Edit { at, old, new };
        let place = self.all.iter().rposition(|before| before.at < at).map_or(0, |before| before + 1);
        let is_apart = place.checked_sub(1).is_none_or(|before| self.all[before].end() <= at)
            && self.all.get(place).is_none_or(|next| edit.end() <= next.at && at < next.at);
        let has_room = self.all.len() < self.most.0 && self.bytes().1 + usize::from(new.len()) <= self.most.1;
        let fits = is_apart && has_room && self.all.try_insert(place, edit).is_ok();
        self.is_short |= is_apart && !fits;
        fits
    }

    /// What gives way there gives way to another text, no longer than the one before, or to none.
    pub fn amend(&mut self, at: usize, new: Option<Text>) {
        match (self.all.iter().position(|edit| edit.at == at), new) {
            (Some(place), Some(new)) => self.all[place].new = new,
            (Some(place), None) => drop(self.all.remove(place)),
            (None, _) => {}
        }
    }

    /// One more behind all others. Those beyond [`MOST_EDITS`] are left out.
    pub fn push(&mut self, edit: Edit) {
        self.is_short |= self.all.try_push(edit).is_err();
    }

    /// Whether there was no room for one.
    #[must_use]
    pub const fn is_short(&self) -> bool {
        self.is_short
    }

    /// The one that a cut there would go through, or be at the end of.
    #[must_use]
    pub fn at_cut(&self, at: usize) -> Option<&Edit> {
        self.all.iter().find(|edit| edit.at < at && at <= edit.end())
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Edit> {
        self.all.iter()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// By how much what is behind that place moves; negative towards the front.
    #[must_use]
    pub fn shift_at(&self, at: usize) -> isize {
        let grown = |edit: &Edit| usize::from(edit.new.len()).cast_signed() - edit.old.cast_signed();
        self.all.iter().take_while(|edit| edit.at < at).map(grown).sum()
    }

    /// Bytes by which any part in front is longer than it was, at most: room that it takes to replace all in place.
    #[must_use]
    pub fn most_growth(&self) -> usize {
        let ends = self.all.iter().map(|edit| self.shift_at(edit.at + 1));
        usize::try_from(ends.max().unwrap_or(0)).unwrap_or(0)
    }

    /// Bytes that give way, and those that take their place.
    #[must_use]
    pub fn bytes(&self) -> (usize, usize) {
        let each = self.all.iter().map(|edit| (edit.old, usize::from(edit.new.len())));
        each.fold((0, 0), |(old, new), (more_old, more_new)| (old + more_old, new + more_new))
    }
}

impl Default for Edits {
    fn default() -> Self {
        Edits::new()
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
        assert!(!edits.replace(0, 1, text("x")) && !edits.is_short(), "what gives way already");
        assert!(!edits.replace(MOST_EDITS, 1, text("")) && edits.is_short());
        assert_eq!(edits.most_growth(), 0);
    }

    #[test]
    fn there_may_be_room_for_less() {
        let mut edits = Edits::within((2, 5));
        assert!(edits.replace(0, 1, text("abc")));
        assert!(!edits.replace(5, 1, text("def")) && edits.is_short());
        assert!(edits.replace(5, 1, text("de")));
        assert!(!edits.replace(9, 1, text("")));
        edits.amend(5, Some(text("f")));
        edits.amend(0, None);
        assert_eq!(edits.iter().map(|edit| (edit.at, edit.new)).collect::<Vec<_>>(), [(5, text("f"))]);
    }
}
