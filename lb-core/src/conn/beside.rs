//! What has to go on with a connection besides its first line, in another run or with another director: how far its server
//! has been told of its client, or by how much a [module](crate::module) has moved the numbers of its bytes.
//!
//! What a module keeps besides, a text that it has replaced a moment ago or half of a line, does not go on. A connection of
//! which there is such a text does not either: its sender may send the old one again, and its receiver may have the new one.

use super::second::{Line, Second};
use crate::{
    cast::{high32, low16, low32},
    mix::fold_multiply,
};

/// What goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// How far the server has been told.
    Told(Second),
    /// By how much the numbers have moved.
    Moved(Moved),
}

/// By how much receivers' numbers are beyond their senders'. Where a module has packets of calls go with a connection, no
/// numbers move, and those of the call take their place (`Talk::has_moved`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// By [direction](super::entry::Direction): at most [`FARTHEST`] either way.
    by: [i32; 2],
    /// Nothing more can be read and replaced, so that it stays so.
    is_sealed: bool,
    /// What both sides had said by then: see [`Moved::mark`]. 0 if that is not known.
    mark: u16,
}

/// Bytes by which the numbers of a direction may have moved: some hundred thousand replaced texts.
const FARTHEST: i32 = (1 << (BITS - 1)) - 1;
/// Bits of each in a line.
const BITS: u32 = 20;
/// The last byte of a line: no way of telling servers of clients.
const MOVED: u8 = 0xf1;
/// The same where nothing more can be read.
const SEALED: u8 = 0xf2;

impl Moved {
    /// So far, by direction, where each side has said so much, in its own numbers. `None` if that is too far.
    #[must_use]
    pub fn new(by: [u32; 2], said: [Option<u32>; 2], is_sealed: bool) -> Option<Self> {
        let by = by.map(u32::cast_signed);
        let mark = if let [Some(client), Some(server)] = said { Moved::mark([client, server]) } else { 0 };
        let is_near = by.iter().all(|by| (-FARTHEST..=FARTHEST).contains(by));
        is_near.then_some(Moved { by, is_sealed, mark })
    }

    /// By how much, by direction.
    #[must_use]
    pub fn by(&self) -> [u32; 2] {
        self.by.map(i32::cast_unsigned)
    }

    /// Whether nothing more can be read.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    /// Whether any have.
    #[must_use]
    pub fn is_moved(&self) -> bool {
        self.by != [0; 2]
    }

    /// Whether another director may go on with the connection, if nothing has been said since.
    #[must_use]
    pub fn can_be_told(&self) -> bool {
        self.is_sealed || self.mark != 0
    }

    /// Whether that is still so when the next bytes of the client and the server have these numbers, each in its own: then
    /// nothing can have moved. A probe of whether the other side is still there has the number of the last byte (RFC 9293
    /// 3.8.4), so one of the two, that of the packet's sender, may be one less.
    #[must_use]
    pub fn holds(&self, [client, server]: [u32; 2], is_clients: bool) -> bool {
        let after = match is_clients {
            true => [client.wrapping_add(1), server],
            false => [client, server.wrapping_add(1)],
        };
        self.is_sealed
            || self.mark != 0
                && (self.mark == Moved::mark([client, server]) || self.mark == Moved::mark(after))
    }

    /// 15 bits of two numbers, as there is no room for them. Never 0.
    fn mark([client, server]: [u32; 2]) -> u16 {
        let both = u64::from(client) << 32 | u64::from(server);
        let hash = fold_multiply(both ^ 0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93);
        low16(low32(hash)) | 1
    }

    /// As it lies in memory, in files and in what peers are told.
    #[must_use]
    pub fn line(self) -> Line {
        let bits = |by: i32| u64::from(by.cast_unsigned()) & ((1 << BITS) - 1);
        let [client, server] = self.by.map(bits);
        let last = if self.is_sealed { SEALED } else { MOVED };
        let line =
            client << (64 - BITS) | server << (64 - 2 * BITS) | u64::from(self.mark) << 8 | u64::from(last);
        [high32(line), low32(line)]
    }

    fn of_line([high, low]: Line) -> Option<Self> {
        let [.., last] = low.to_be_bytes();
        if last != MOVED && last != SEALED {
            return None;
        }
        let line = u64::from(high) << 32 | u64::from(low);
        // The sign is the first of its bits.
        let by = |from: u32| low32(line >> from).wrapping_shl(32 - BITS).cast_signed() >> (32 - BITS);
        let by = [by(64 - BITS), by(64 - 2 * BITS)];
        Some(Moved { by, is_sealed: last == SEALED, mark: low16(low >> 8) })
    }
}

impl Beside {
    /// As it lies in files and in what peers are told.
    #[must_use]
    pub fn line(self) -> Line {
        match self {
            Beside::Told(second) => second.line(),
            Beside::Moved(moved) => moved.line(),
        }
    }

    /// What lies there. `None` if it is none.
    #[must_use]
    pub fn of_line(line: Line) -> Option<Self> {
        Second::of_line(line).map(Beside::Told).or_else(|| Moved::of_line(line).map(Beside::Moved))
    }

    /// How far the server has been told, if it is told.
    #[must_use]
    pub fn second(self) -> Option<Second> {
        if let Beside::Told(second) = self { Some(second) } else { None }
    }

    /// By how much numbers have moved, if a module reads the connection.
    #[must_use]
    pub fn moved(self) -> Option<Moved> {
        if let Beside::Moved(moved) = self { Some(moved) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_lies_in_a_line_as_it_was(
            by in prop::array::uniform2(-FARTHEST..=FARTHEST),
            said: [Option<u32>; 2],
            is_sealed: bool,
        ) {
            let moved = Moved::new(by.map(i32::cast_unsigned), said, is_sealed).unwrap();
            prop_assert_eq!(moved.by(), by.map(i32::cast_unsigned));
            prop_assert_eq!(Beside::of_line(moved.line()), Some(Beside::Moved(moved)));
        }

        #[test]
        fn any_line_is_read_as_it_lies(line: Line) {
            if let Some(beside) = Beside::of_line(line) {
                prop_assert_eq!(Beside::of_line(beside.line()), Some(beside));
            }
        }
    }

    #[test]
    fn what_is_too_far_does_not_go_on() {
        let far = FARTHEST + 1;
        for by in [[far, 0], [0, far], [-far, 0], [i32::MIN, i32::MAX]] {
            assert_eq!(Moved::new(by.map(i32::cast_unsigned), [None; 2], false), None);
        }
    }

    #[test]
    fn it_holds_until_more_is_said() {
        let moved = Moved::new([2, 0], [Some(1_000), Some(u32::MAX)], false).unwrap();
        assert!(moved.can_be_told() && moved.is_moved());
        for is_clients in [false, true] {
            assert!(moved.holds([1_000, u32::MAX], is_clients));
            assert_eq!(moved.holds([999, u32::MAX], is_clients), is_clients, "a probe");
            assert_eq!(moved.holds([1_000, u32::MAX - 1], is_clients), !is_clients, "a probe");
            for said in [[1_001, u32::MAX], [1_000, 0], [1_006, 9], [998, u32::MAX]] {
                assert!(!moved.holds(said, is_clients), "{said:?}");
            }
        }
        let unknown = Moved::new([2, 0], [Some(1_000), None], false).unwrap();
        assert!(!unknown.can_be_told() && !unknown.holds([1_000, 0], true));
        let sealed = Moved::new([2, 0], [None; 2], true).unwrap();
        assert!(sealed.can_be_told() && sealed.holds([7, 7], false));
    }
}
