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
