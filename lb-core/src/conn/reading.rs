//! The second line of a connection that a [module](crate::module) reads: where it is kept what that has read; or, until its
//! client has shown that it exists, what has to be known to read from the first byte on.
//!
//! What is kept has a place for far fewer connections than there can be, and anybody can forge a SYN, and an acknowledgement
//! behind it. So a connection takes a place when it needs one and nobody can have forged what it shows by then. Until then
//! the numbers of the first bytes are in the line itself: that of the server's, which has to be acknowledged, and of the
//! client's the low bits, as its segments are near it.

use super::second::Line;
use crate::ids::TalkId;

/// How far a connection is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Nothing has been read.
    Awaits(Awaited),
    /// It is read, and what has been is kept there.
    Kept(TalkId),
}

/// A connection that is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// The number of the module that is to read it, less than [`KINDS`].
    pub kind: u8,
    /// The numbers of the first bytes.
    pub first: First,
}

/// What is known of where the bytes of a connection begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// Nothing yet.
    Unknown,
    /// The number of the client's first byte, where the server's segments do not pass here.
    Clients(u32),
    /// The server has agreed: the low 24 bits of the number of the client's first byte, and the number of the server's.
    Both(u32, u32),
    /// The server has agreed, but that was in another run: it goes on wherever a segment begins.
    Wherever,
}

/// Modules that there can be.
pub const KINDS: u8 = 16;

// The last byte of a line, to which the number of the module is added where nothing has been read: no way of telling servers
// of clients.
const UNKNOWN: u8 = 0x80;
const CLIENTS: u8 = 0x90;
const BOTH: u8 = 0xa0;
const WHEREVER: u8 = 0xb0;
const KEPT: u8 = 0xf0;

/// Bits of the number of a client's first byte.
const BITS: u32 = 24;

impl First {
    /// Both sides' bytes begin there.
    #[must_use]
    pub const fn both(client: u32, server: u32) -> Self {
        First::Both(client & ((1 << BITS) - 1), server)
    }

    /// The number of the client's first byte, by one that is near. `None` if it is not known.
    #[must_use]
    pub fn clients(self, near: u32) -> Option<u32> {
        match self {
            First::Clients(number) => Some(number),
            First::Both(low, _) => {
                // The sign is the first of its bits.
                let beyond = near.wrapping_sub(low).wrapping_shl(32 - BITS).cast_signed() >> (32 - BITS);
                Some(near.wrapping_sub(beyond.cast_unsigned()))
            }
            First::Unknown | First::Wherever => None,
        }
    }

    /// The number of the server's first byte. `None` if it is not known.
    #[must_use]
    pub fn servers(self) -> Option<u32> {
        if let First::Both(_, number) = self { Some(number) } else { None }
    }

    /// Whether a client that acknowledges what is before that number has received what the server has agreed with: it takes a
    /// number of 32 bits to forge that.
    #[must_use]
    pub fn is_proven_by(self, acknowledged: u32) -> bool {
        match self {
            First::Both(_, number) => acknowledged == number,
            First::Wherever => true,
            First::Unknown | First::Clients(_) => false,
        }
    }
}

impl Reading {
    /// As it lies in memory.
    #[must_use]
    pub fn line(self) -> Line {
        let of = |number: u32, low: u32, tag: u8| [number, low << 8 | u32::from(tag)];
        match self {
            Reading::Kept(talk) => of(talk.number(), 0, KEPT),
            Reading::Awaits(Awaited { kind, first }) => match first {
                First::Unknown => of(0, 0, UNKNOWN | kind),
                First::Clients(number) => of(number, 0, CLIENTS | kind),
                First::Both(low, number) => of(number, low, BOTH | kind),
                First::Wherever => of(0, 0, WHEREVER | kind),
            },
        }
    }

    /// What lies there. `None` if it is the line of a connection that no module reads.
    #[must_use]
    pub fn of_line([number, rest]: Line) -> Option<Self> {
        let [.., tag] = rest.to_be_bytes();
        let first = match tag & !(KINDS - 1) {
            UNKNOWN => First::Unknown,
            CLIENTS => First::Clients(number),
            BOTH => First::Both(rest >> 8, number),
            WHEREVER => First::Wherever,
            KEPT if tag == KEPT => return Some(Reading::Kept(TalkId::new(number))),
            _ => return None,
        };
        Some(Reading::Awaits(Awaited { kind: tag & (KINDS - 1), first }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::second::Second;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_lies_in_a_line_as_it_was(kind in 0..KINDS, client: u32, server: u32, beyond in -0x7f_ffff..0x7f_ffff) {
            let both = First::both(client, server);
            for first in [First::Unknown, First::Clients(client), both, First::Wherever] {
                let reading = Reading::Awaits(Awaited { kind, first });
                prop_assert_eq!(Reading::of_line(reading.line()), Some(reading));
                prop_assert_eq!(Second::of_line(reading.line()), None);
            }
            let kept = Reading::Kept(TalkId::new(server));
            prop_assert_eq!(Reading::of_line(kept.line()), Some(kept));
            prop_assert_eq!(both.clients(client.wrapping_add_signed(beyond)), Some(client));
            prop_assert_eq!(both.servers(), Some(server));
        }

        #[test]
        fn lines_of_others_are_not_read(line: Line) {
            prop_assert!(Second::of_line(line).is_none() || Reading::of_line(line).is_none());
        }
    }

    #[test]
    fn only_the_number_that_the_server_has_said_proves_anything() {
        let both = First::both(7, 1_000);
        assert!(both.is_proven_by(1_000) && !both.is_proven_by(1_001) && !both.is_proven_by(999));
        assert!(!First::Unknown.is_proven_by(0) && !First::Clients(0).is_proven_by(0));
        assert!(First::Wherever.is_proven_by(5));
    }
}
