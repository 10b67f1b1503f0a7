//! What one worker keeps of all connections that modules read.
//!
//! A connection whose client has shown that it exists has a place for as long as it lasts. Where servers answer clients
//! themselves, nothing a client sends shows that before it has gone on for a while, and its first words are to be read. So
//! such a connection has one of a few places that are given anew to whoever comes next. Who loses one begins anew: nothing
//! is replaced there, so no more is lost than half of a line, and for how long media is expected.

use super::{kept::Calls, kind::ModuleKind, talk::Talk};
use crate::{
    cast::count32,
    ids::TalkId,
    limits::{MAX_PASSING_TALKS, MAX_TALKS},
};

/// The first number of what is kept of connections of datagrams, which is nothing: their number says who reads them. So
/// however many strangers open, none of the places for connections of TCP is taken.
const DATAGRAMS: u32 = u32::MAX - 0xff;

/// The bit that says that a place is given to others. Behind it are the module and the number of the turn.
const PASSING: u32 = 1 << 31;
/// Where the module is.
const KIND_AT: u32 = 27;
/// Turns until their numbers begin again.
const TURNS: u32 = 1 << KIND_AT;

const _: () = assert!(MAX_TALKS < PASSING as usize && (TURNS as usize).is_multiple_of(MAX_PASSING_TALKS));
const _: () = assert!(ModuleKind::ALL.len() <= ((DATAGRAMS - PASSING) >> KIND_AT) as usize);

/// What one worker keeps of all connections that modules read. It grows up to its bound within memory that is there from
/// the beginning, and that is not touched before.
pub struct Talks {
    all: Vec<Talk>,
    free: Vec<TalkId>,
    /// Those that give way, each with its number, in places by their turns.
    passing: Vec<(TalkId, Talk)>,
    turn: u32,
    /// How many there may be that do not give way.
    most: usize,
}

impl Talks {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Talks::with_room(MAX_TALKS)
    }

    /// None, and no more than so many that do not give way.
    fn with_room(most: usize) -> Self {
        let (all, free) = (Vec::with_capacity(most), Vec::with_capacity(most));
        Talks { all, free, passing: Vec::with_capacity(MAX_PASSING_TALKS), turn: 0, most }
    }

    /// One of datagrams.
    #[must_use]
    pub const fn of_datagrams(kind: ModuleKind) -> TalkId {
        TalkId::new(DATAGRAMS + kind as u32)
    }

    /// Who reads it, if it is one of datagrams.
    fn reader_of_datagrams(id: TalkId) -> Option<ModuleKind> {
        let number = id.number().checked_sub(DATAGRAMS)?;
        let kind = u8::try_from(number).ok().and_then(ModuleKind::of_number);
        Some(kind.unwrap_or(ModuleKind::None))
    }

    /// Whether its place is given to others.
    #[must_use]
    pub const fn gives_way(id: TalkId) -> bool {
        id.number() >= PASSING && id.number() < DATAGRAMS
    }

    /// The place of one that gives way, if it still has it.
    fn place_of_passing(&self, id: TalkId) -> Option<usize> {
        let place = id.index() % MAX_PASSING_TALKS;
        self.passing.get(place).filter(|(other, _)| *other == id).map(|_| place)
    }

    /// One more. `None` if there are as many as there may be.
    pub fn add(&mut self, talk: Talk) -> Option<TalkId> {
        if let Some(id) = self.free.pop() {
            self.all[id.index()] = talk;
            return Some(id);
        }
        let id = TalkId::new(count32(self.all.len()));
        (self.all.len() < self.most).then(|| self.all.push(talk)).map(|()| id)
    }

    /// One more that gives way to others, and for which another does, if there are as many as there may be.
    fn pass(&mut self, talk: Talk) -> TalkId {
        let id = TalkId::new(PASSING | (talk.kind as u32) << KIND_AT | self.turn);
        self.turn = (self.turn + 1) % TURNS;
        let place = id.index() % MAX_PASSING_TALKS;
        match self.passing.get_mut(place) {
            Some(before) => *before = (id, talk),
            None => self.passing.push((id, talk)),
        }
        id
    }

    /// This is kept from now on, of a connection that had that place or none. `stays` says whether its place is its own; there
    /// is [room](Talks::has_room) then. Returns its place.
    pub fn keep(&mut self, id: Option<TalkId>, talk: Talk, stays: bool) -> TalkId {
        match id {
            Some(id) if !Talks::gives_way(id) => {
                self.put(id, talk);
                return id;
            }
            Some(id) if !stays => {
                if let Some(place) = self.place_of_passing(id) {
                    self.passing[place].1 = talk;
                    return id;
                }
            }
            _ => {}
        }
        let own = if stays { self.add(talk) } else { None };
        own.unwrap_or_else(|| self.pass(talk))
    }

    /// Its connection has ended.
    pub fn remove(&mut self, id: TalkId) {
        if id.number() < PASSING {
            self.free.push(id);
        }
    }

    /// What is kept; of one that has given way, that it begins.
    #[must_use]
    pub fn get(&self, id: TalkId) -> Talk {
        if let Some(kind) = Self::reader_of_datagrams(id) {
            return Talk::new(kind);
        }
        if !Talks::gives_way(id) {
            return self.all[id.index()];
        }
        let begins = || {
            let kind = id.number().wrapping_sub(PASSING) >> KIND_AT;
            Talk::new(u8::try_from(kind).ok().and_then(ModuleKind::of_number).unwrap_or(ModuleKind::None))
        };
        self.place_of_passing(id).map_or_else(begins, |place| self.passing[place].1)
    }

    /// The call that it is about.
    #[must_use]
    pub fn calls(&self, id: TalkId) -> Calls {
        self.all.get(id.index()).map_or([None; 2], Talk::calls)
    }

    /// Whether there is room for one more that does not give way.
    #[must_use]
    pub fn has_room(&self) -> bool {
        !self.free.is_empty() || self.all.len() < self.most
    }

    /// Something else is kept.
    fn put(&mut self, id: TalkId, talk: Talk) {
        if Self::reader_of_datagrams(id).is_none() {
            self.all[id.index()] = talk;
        }
    }

    /// How many connections are read whose places are their own.
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
    use crate::conn::entry::Direction;

    fn begun(number: u32) -> Talk {
        let mut talk = Talk::new(ModuleKind::Ftp);
        talk.begins(Direction::In, number);
        talk
    }

    #[test]
    fn connections_of_datagrams_take_no_room() {
        let mut talks = Talks::with_room(1);
        for &kind in ModuleKind::ALL {
            let id = Talks::of_datagrams(kind);
            assert_eq!(talks.get(id).kind, kind);
            assert_eq!(talks.keep(Some(id), Talk::new(ModuleKind::None), true), id);
            talks.remove(id);
        }
        assert!(talks.is_empty());
        let first = talks.add(Talk::new(ModuleKind::Ftp)).unwrap();
        assert_eq!((first.number(), talks.get(first).kind, talks.len()), (0, ModuleKind::Ftp, 1));
        assert!(!talks.has_room() && talks.add(Talk::new(ModuleKind::Ftp)).is_none());
        talks.remove(first);
        assert!(talks.is_empty() && talks.has_room());
    }

    #[test]
    fn places_that_give_way_take_no_others() {
        let mut talks = Talks::with_room(2);
        let own = talks.keep(None, begun(7), true);
        let first = talks.keep(None, begun(0), false);
        assert_eq!((talks.keep(Some(first), begun(1), false), talks.get(first)), (first, begun(1)));
        let last =
            (2..=count32(MAX_PASSING_TALKS)).map(|number| talks.keep(None, begun(number), false)).last();
        assert_eq!(talks.get(first), begun(1), "there is room for all");
        let over = talks.keep(None, begun(0), false);
        assert_eq!(talks.get(first), Talk::new(ModuleKind::Ftp), "it begins anew");
        assert_eq!(
            (talks.get(over), talks.get(last.unwrap())),
            (begun(0), begun(count32(MAX_PASSING_TALKS)))
        );
        assert_eq!((talks.get(own), talks.len()), (begun(7), 1));
        talks.remove(first);
        assert_eq!(talks.get(over), begun(0));
    }

    #[test]
    fn who_has_shown_that_he_exists_gets_a_place_of_his_own() {
        let mut talks = Talks::with_room(1);
        let passing = talks.keep(None, begun(1), false);
        let own = talks.keep(Some(passing), begun(2), true);
        assert!(Talks::gives_way(passing) && !Talks::gives_way(own));
        assert_eq!((talks.keep(Some(own), begun(3), false), talks.get(own)), (own, begun(3)));
        let lost = talks.keep(Some(passing), begun(4), false);
        assert_eq!(talks.get(lost), begun(4));
        talks.remove(own);
        assert!(talks.is_empty());
    }
}
