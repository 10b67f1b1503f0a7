//! Second lines, of connections that have one.

use super::Connections;
use crate::{
    conn::{
        reading::Reading,
        second::{Line, Second},
    },
    family::Family,
    ids::{ConnectionId, TalkId},
};

impl<F: Family> Connections<F> {
    /// A connection's second line, if it has one.
    #[inline(always)]
    #[must_use]
    pub fn second(&self, id: ConnectionId) -> Option<Second> {
        if self.get(id).has_second() { Second::of_line(self.second[id.index()]) } else { None }
    }

    /// Gives a connection a second line, or another one. It is gone with the connection.
    pub fn set_second(&mut self, id: ConnectionId, second: Second) {
        self.set_line(id, second.line());
    }

    /// How far a module has read a connection, if one reads it or is to.
    #[must_use]
    pub fn reading(&self, id: ConnectionId) -> Option<Reading> {
        if self.get(id).has_second() { Reading::of_line(self.second[id.index()]) } else { None }
    }

    /// Where it is kept what a module has read of a connection, if one has.
    #[must_use]
    pub fn talk(&self, id: ConnectionId) -> Option<TalkId> {
        if let Some(Reading::Kept(talk)) = self.reading(id) { Some(talk) } else { None }
    }

    /// A module reads a connection, or is to, or has read more. It has no second line for anything else.
    pub fn set_reading(&mut self, id: ConnectionId, reading: Reading) {
        self.set_line(id, reading.line());
    }

    /// A connection has no second line any more.
    pub fn drop_line(&mut self, id: ConnectionId) {
        self.with_second -= u32::from(self.get(id).has_second());
        self.get_mut(id).marks.remove_second();
    }

    fn set_line(&mut self, id: ConnectionId, line: Line) {
        self.second[id.index()] = line;
        if !self.get(id).has_second() {
            self.get_mut(id).marks.add_second();
            self.with_second += 1;
        }
    }

    /// Whether any connection has a second line.
    #[inline(always)]
    #[must_use]
    pub fn has_second_lines(&self) -> bool {
        self.with_second > 0
    }
}
