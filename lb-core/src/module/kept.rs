//! What a module keeps of a connection for both of its directions. RTSP: where media of its sessions is waited for, so that it
//! stays expected while a session lives, and only so long. PPTP: the call that it is about.

use crate::conn::entry::Direction;

/// Ports that are kept of a connection, at most: video, sound and text of two sessions, and some. Media beyond that is expected
/// as long as one message says.
const MOST: usize = 8;

/// A medium: a port of whom waits for it, 0 for none, and its session, 0 while that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Medium {
    port: u16,
    session: u16,
}

/// The numbers that both sides have given a call, by the direction in which each says so: the client's, the server's.
pub type Calls = [Option<u16>; 2];

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    media: [Medium; MOST],
    /// The session that each side's message names, as far as it has been read; 0 if it names none.
    named: [u16; 2],
    /// The call.
    pub calls: Calls,
}

impl Kept {
    /// Nothing.
    pub const NONE: Kept =
        Kept { media: [Medium { port: 0, session: 0 }; MOST], named: [0; 2], calls: [None; 2] };

    /// A message of a side's begins, or says anew which session it is of.
    pub fn names_none(&mut self, direction: Direction) {
        self.named[direction as usize] = 0;
    }

    /// Another byte of a session's name. Names are kept as hashes: who makes two of his own the same ends both at once.
    pub fn names(&mut self, direction: Direction, byte: u8) {
        let named = &mut self.named[direction as usize];
        *named = named.wrapping_mul(0x6255).wrapping_add(u16::from(byte) + 1).max(1);
    }

    /// The session that a side's message names; 0 if it names none.
    #[must_use]
    pub fn named(&self, direction: Direction) -> u16 {
        self.named[direction as usize]
    }

    /// A medium, of a session that is yet to be named. Where there is no room the oldest makes some.
    pub fn add(&mut self, port: u16) {
        let place = self.media.iter().position(|it| it.port == port || it.port == 0);
        let place = place.unwrap_or_else(|| {
            self.media.rotate_left(1);
            MOST - 1
        });
        self.media[place] = Medium { port, session: 0 };
    }

    /// What has no session yet is of this one, if that is one.
    pub fn belongs_to(&mut self, session: u16) {
        self.media.iter_mut().filter(|it| it.session == 0).for_each(|it| it.session = session);
    }

    /// All ports.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.media.into_iter().map(|it| it.port).take_while(|port| *port != 0)
    }

    /// Forgets a session. Returns its ports.
    pub fn end(&mut self, session: u16) -> impl Iterator<Item = u16> {
        let before = *self;
        let is_its = move |it: &Medium| it.port != 0 && it.session == session;
        self.media = Kept::NONE.media;
        let others = before.media.into_iter().filter(move |it| !is_its(it));
        self.media.iter_mut().zip(others).for_each(|(place, it)| *place = it);
        before.media.into_iter().filter(is_its).map(|it| it.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(kept: &Kept) -> Vec<u16> {
        kept.ports().collect()
    }

    #[test]
    fn a_session_ends_and_others_stay() {
        let mut kept = Kept::NONE;
        kept.add(6_970);
        kept.add(6_972);
        kept.belongs_to(7);
        kept.add(6_974);
        kept.belongs_to(8);
        kept.add(6_970);
        assert_eq!(ports(&kept), [6_970, 6_972, 6_974]);
        assert_eq!(kept.end(7).collect::<Vec<_>>(), [6_972], "the other is a new one's");
        assert_eq!(ports(&kept), [6_970, 6_974]);
        assert_eq!(kept.end(0).collect::<Vec<_>>(), [6_970]);
        assert_eq!(kept.end(0).count(), 0);
        assert_eq!(ports(&kept), [6_974]);
    }

    #[test]
    fn sessions_are_told_apart_by_name() {
        let named = |name: &str| {
            let mut kept = Kept::NONE;
            name.bytes().for_each(|byte| kept.names(Direction::In, byte));
            assert_eq!(kept.named(Direction::Out), 0);
            kept.named(Direction::In)
        };
        let names = ["", "1", "12", "21", "a\0", "0E8B9F4C", "0E8B9F4D"];
        let mut hashes = names.map(named).to_vec();
        hashes.dedup();
        assert_eq!((hashes.len(), hashes[0]), (names.len(), 0));
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut kept = Kept::NONE;
        let most = u16::try_from(MOST).unwrap();
        (1..=most + 2).for_each(|port| kept.add(port));
        assert_eq!(ports(&kept), (3..=most + 2).collect::<Vec<_>>());
    }
}
