//! Second lines, of connections that have one.

use super::Connections;
use crate::{
    conn::second::{Line, Second, line_of_talk, talk_of_line},
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

    /// Where it is kept what a module has read of a connection, if one reads it.
    #[must_use]
    pub fn talk(&self, id: ConnectionId) -> Option<TalkId> {
        if self.get(id).has_second() { talk_of_line(self.second[id.index()]) } else { None }
    }

    /// A module reads a connection, which has no second line yet.
    pub fn set_talk(&mut self, id: ConnectionId, talk: TalkId) {
        self.set_line(id, line_of_talk(talk));
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
