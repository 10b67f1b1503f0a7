//! The second line of a connection, for what few connections need and a packet of all others does not look at: how far a
//! server has been told of its client, or how far a module has [read](super::reading). No connection has both.
//!
//! A bit in the first line says whether there is one. Lines are numbered as their connections are.
//!
//! A header in front of the client's bytes makes the server's numbers of them larger than the client's. It begins where
//! the client's first byte does, at [`Second::base`], and goes there again with whatever the client sends from there, until
//! the server has acknowledged it. So it is lost and repeated as the client's own bytes are, and nobody has to keep time
//! for it.
//!
//! An option of TCP (TOA) shifts nothing, and is repeated until the server shows that it has left the handshake.

use super::client_address::ClientAddress;
use crate::cast::{high16, low16};

/// How far a server has been told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Progress {
    /// It has not agreed to the connection yet. So it stays with UDP, where every datagram tells it.
    #[default]
    Asked = 0,
    /// It has agreed, so it is known where the client's bytes begin, and has not been told, as far as one can see.
    Due = 1,
    /// The header has been sent.
    Sent = 2,
    /// It has acknowledged the header, or has left the handshake.
    Taken = 3,
}

impl Progress {
    /// All, by number.
    pub const ALL: [Progress; 4] = [Progress::Asked, Progress::Due, Progress::Sent, Progress::Taken];
}

/// What a connection has besides its first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Second {
    /// How its server is told of its client.
    pub told: ClientAddress,
    /// Bytes of the header, so that nothing is shifted where there is none: an option of TCP goes without numbers.
    pub len: u8,
    /// How far the server has been told.
    pub progress: Progress,
    /// The number of the client's first byte, once the server has agreed.
    pub base: u32,
    /// Bytes of the largest packet that a router on the way to the server has said to let through; 0 if none has.
    pub way: u16,
}

/// A second line as it lies in memory. Zeros until a connection has one, so that memory is not touched before.
pub type Line = [u32; 2];

impl Second {
    /// For a connection that begins, with a header of that length.
    #[must_use]
    pub const fn new(told: ClientAddress, len: u8) -> Self {
        Second { told, len, progress: Progress::Asked, base: 0, way: 0 }
    }

    /// As it lies in memory.
    #[must_use]
    pub const fn line(self) -> Line {
        let small = u16::from_be_bytes([self.len, (self.told as u8) << 4 | self.progress as u8]);
        [self.base, (self.way as u32) << 16 | small as u32]
    }

    /// What lies there. `None` if it is none.
    #[inline]
    #[must_use]
    pub fn of_line([base, rest]: Line) -> Option<Self> {
        let [len, small] = low16(rest).to_be_bytes();
        let told = *ClientAddress::ALL.get(usize::from(small >> 4))?;
        let progress = *Progress::ALL.get(usize::from(small & 0xf))?;
        told.is_told().then_some(Second { told, len, progress, base, way: high16(rest) })
    }

    /// The server agrees to a connection whose first byte has that number.
    pub fn agreed(&mut self, number: u32) {
        if (self.progress, self.base) != (Progress::Taken, number) {
            (self.progress, self.base) = (Progress::Due, number);
        }
    }

    /// The server acknowledges what is before that number of its own.
    pub fn acknowledged(&mut self, number: u32) {
        if matches!(self.progress, Progress::Due | Progress::Sent) {
            let has_it = self.beyond_base(number) >= i32::from(self.len);
            self.progress = if has_it { Progress::Taken } else { Progress::Due };
        }
    }

    /// Whether a header goes in front of what the client sends from that number on.
    #[must_use]
    pub fn is_due_at(&self, number: u32) -> bool {
        matches!(self.progress, Progress::Due | Progress::Sent) && number == self.base
    }

    /// The server's number of a client's.
    #[inline]
    #[must_use]
    pub fn to_server(&self, number: u32) -> u32 {
        match self.progress {
            Progress::Taken => number.wrapping_add(u32::from(self.len)),
            Progress::Due | Progress::Sent if self.beyond_base(number) > 0 => {
                number.wrapping_add(u32::from(self.len))
            }
            Progress::Asked | Progress::Due | Progress::Sent => number,
        }
    }

    /// The client's number of a server's. It knows none within the header.
    #[inline]
    #[must_use]
    pub fn to_client(&self, number: u32) -> u32 {
        let (beyond, len) = (self.beyond_base(number), i32::from(self.len));
        match self.progress {
            Progress::Taken => number.wrapping_sub(u32::from(self.len)),
            Progress::Due | Progress::Sent if beyond >= len => number.wrapping_sub(u32::from(self.len)),
            Progress::Due | Progress::Sent if beyond >= 0 => self.base,
            Progress::Asked | Progress::Due | Progress::Sent => number,
        }
    }

    /// Whether everything between two numbers of the server's is within the header.
    #[must_use]
    pub fn is_of_header(&self, from: u32, to: u32) -> bool {
        let len = u32::from(self.len);
        self.progress != Progress::Asked
            && from.wrapping_sub(self.base) < len
            && to.wrapping_sub(self.base) <= len
    }

    /// Whether the server acknowledges a byte of the client's by that number of its own.
    #[must_use]
    pub fn is_beyond_base(&self, number: u32) -> bool {
        self.beyond_base(number) > 0
    }

    fn beyond_base(&self, number: u32) -> i32 {
        number.wrapping_sub(self.base).cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sent(base: u32) -> Second {
        let mut second = Second::new(ClientAddress::ProxyV2, 28);
        second.agreed(base);
        Second { progress: Progress::Sent, ..second }
    }

    #[test]
    fn it_lies_in_memory_as_it_was() {
        let second = Second { way: 1_400, ..sent(0xfedc_ba98) };
        assert_eq!(Second::of_line(second.line()), Some(second));
        assert_eq!(Second::of_line([0; 2]), None, "untouched memory");
        assert_eq!(Second::of_line([0, 0xff]), None, "no such word");
    }

    #[test]
    fn a_header_is_due_until_it_is_acknowledged() {
        let mut second = sent(1_000);
        for partly in [999, 1_000, 1_027] {
            second.acknowledged(partly);
            assert!(second.is_due_at(1_000), "{partly}");
        }
        second.acknowledged(1_028);
        assert!(!second.is_due_at(1_000));
        second.agreed(1_000);
        assert_eq!(second.progress, Progress::Taken, "a late copy of the agreement");
        second.agreed(5_000);
        assert!(second.is_due_at(5_000), "another connection in its place");
    }

    proptest! {
        #[test]
        fn what_goes_there_comes_back(base: u32, offset in 0..u32::MAX / 2, taken: bool) {
            let mut second = sent(base);
            if taken {
                second.acknowledged(base.wrapping_add(28));
            }
            let number = base.wrapping_add(offset);
            let there = second.to_server(number);
            prop_assert_eq!(second.to_client(there), number);
            let is_shifted = taken || offset > 0;
            prop_assert_eq!(there, number.wrapping_add(if is_shifted { 28 } else { 0 }));
        }
    }
}
