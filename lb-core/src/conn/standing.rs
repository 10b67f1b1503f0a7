//! Which connections make room for others when the table is full.
//!
//! Whoever sends packets with forged sources can make as many connections as it likes. So one that is not confirmed makes
//! room, and confirmed ones never do. There are three kinds of unconfirmed ones, because there are three kinds of floods:
//! of SYNs, of SYNs with a forged acknowledgement behind them, and of datagrams. The kind of which there are most makes
//! room, the oldest first. So a flood of one kind leaves the others alone, and the handshakes and first packets of real
//! clients, which are few and young, outlive it. Before all of them goes what is over: a server answers a forged
//! acknowledgement with a reset, and what that leaves behind would fill the table for as long as it is remembered.

/// Whether a connection makes room for others, and among which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Standing {
    /// A TCP connection whose client has yet to acknowledge what the server sent.
    HalfOpen = 0,
    /// A TCP connection of which nothing has been seen that could not be forged.
    Unproven = 1,
    /// A flow of UDP that has not been answered, or has not gone on.
    Datagrams = 2,
    /// A TCP connection that both sides have closed, or one has reset: nobody misses it.
    Over = 3,
    /// Its client has shown that it exists and goes on: it stays.
    Confirmed = 4,
}

impl Standing {
    /// The kinds that make room.
    pub const UNCONFIRMED: [Standing; 4] =
        [Standing::Over, Standing::HalfOpen, Standing::Unproven, Standing::Datagrams];
    /// How many kinds there are.
    pub const COUNT: usize = 5;
}

/// One byte of a connection's first line: what it was when it was scheduled, and what its packets are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Marks(u8);

/// The bit that says that there is a second line.
const SECOND: u8 = 0x80;
/// The bit that says that its client is remembered.
const KEPT: u8 = 0x40;
/// The bit that says that its server is of another family than its client.
const TRANSLATED: u8 = 0x20;
/// The bit that says that the server sees a local address and port.
const LOCAL: u8 = 0x10;
/// The bits of the standing, and what they mean.
const STANDINGS: [Standing; 8] = [
    Standing::HalfOpen,
    Standing::Unproven,
    Standing::Datagrams,
    Standing::Over,
    Standing::Confirmed,
    Standing::Confirmed,
    Standing::Confirmed,
    Standing::Confirmed,
];

impl Marks {
    /// Of a connection without a second line that has not been scheduled.
    pub(super) const fn new() -> Self {
        Marks(Standing::Confirmed as u8)
    }

    /// What it was when it was scheduled.
    #[inline(always)]
    pub(super) const fn scheduled_as(self) -> Standing {
        STANDINGS[self.0 as usize % STANDINGS.len()]
    }

    /// It is scheduled as that.
    #[inline(always)]
    pub(super) fn schedule_as(&mut self, standing: Standing) {
        self.0 = self.0 & (SECOND | KEPT | TRANSLATED | LOCAL) | standing as u8;
    }

    /// Whether it has a second line.
    #[inline(always)]
    pub(super) const fn has_second(self) -> bool {
        self.0 & SECOND != 0
    }

    /// Whether its packets take more than what is done to most: it has a second line, or they are translated.
    #[inline(always)]
    pub(super) const fn is_special(self) -> bool {
        self.0 & (SECOND | TRANSLATED) != 0
    }

    /// Whether its packets are translated between families.
    #[inline(always)]
    pub(super) const fn is_translated(self) -> bool {
        self.0 & TRANSLATED != 0
    }

    /// They are.
    pub(super) fn translate(&mut self) {
        self.0 |= TRANSLATED;
    }

    /// Whether its replies come to a local address and port: the same as what its method says, and quicker to ask.
    #[inline(always)]
    pub(super) const fn is_local(self) -> bool {
        self.0 & LOCAL != 0
    }

    /// They do.
    pub(super) fn localise(&mut self) {
        self.0 |= LOCAL;
    }

    /// It has one now.
    pub(super) fn add_second(&mut self) {
        self.0 |= SECOND;
    }

    /// It has none any more.
    pub(super) fn remove_second(&mut self) {
        self.0 &= !SECOND;
    }

    /// Whether its client is remembered by persistence.
    #[inline(always)]
    pub(super) const fn is_kept(self) -> bool {
        self.0 & KEPT != 0
    }

    /// It is.
    pub(super) fn keep(&mut self) {
        self.0 |= KEPT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_holds_both() {
        let mut marks = Marks::new();
        assert_eq!((marks.scheduled_as(), marks.has_second()), (Standing::Confirmed, false));
        for with_second in [false, true] {
            for standing in Standing::UNCONFIRMED.into_iter().chain([Standing::Confirmed]) {
                marks.schedule_as(standing);
                assert_eq!((marks.scheduled_as(), marks.has_second()), (standing, with_second));
            }
            assert_eq!((marks.is_special(), marks.is_translated()), (with_second, with_second));
            marks.add_second();
            assert!(marks.is_special());
            marks.keep();
            marks.translate();
            marks.localise();
            assert!(marks.is_kept() && marks.is_translated() && marks.is_local() && marks.has_second());
        }
        marks.remove_second();
        assert!(marks.is_kept() && marks.is_translated() && !marks.has_second());
    }
}
