//! The states of a connection, with the names that IPVS gives them.

use crate::wire::tcp::{ACK, FIN, RST, SYN};

/// The state of a connection as the director sees it.
///
/// The director stands between two TCPs and knows neither's state for certain, so a state names the side that moved:
/// in `FinWait` the server closed first, in `CloseWait` the client did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum State {
    /// No packet seen yet. No connection rests in it.
    None = 0,
    /// The client's SYN went to the server.
    SynSent = 1,
    /// The server answered it with SYN and ACK.
    SynRecv = 2,
    /// Data may flow both ways.
    Established = 3,
    /// The server closed its direction first.
    FinWait = 4,
    /// Both directions are closed.
    TimeWait = 5,
    /// Reset, or closed and acknowledged: only stragglers are expected.
    Close = 6,
    /// The client closed its direction first.
    CloseWait = 7,
    /// The client closed first, the server followed, the last acknowledgement is outstanding.
    LastAck = 8,
    /// A UDP flow; it has no other state.
    Udp = 9,
}

/// What a packet means to the state of its connection, as far as can be told in one comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning(u8);

impl Meaning {
    /// More than that.
    pub const NONE: Meaning = Meaning(u8::MAX);
    /// A datagram of UDP. Not a combination of TCP's flags.
    pub const DATAGRAM: Meaning = Meaning(0x40);

    /// That of a TCP segment: the flags that the state tables look at.
    #[inline(always)]
    #[must_use]
    pub const fn of_segment(flags: u8) -> Meaning {
        Meaning(flags & (SYN | FIN | RST | ACK))
    }
}

/// What leaves a connection in each state where it is, and says by that which protocol it is of.
const STEADY: [Meaning; State::COUNT] = {
    let mut steady = [Meaning(u8::MAX - 1); State::COUNT];
    steady[State::Established as usize] = Meaning(ACK);
    steady[State::Udp as usize] = Meaning::DATAGRAM;
    steady
};

impl State {
    /// Whether a packet that means this is the most usual one of a connection in this state, leaves it there, and is of
    /// its protocol. The state tables say so, too; this is what is asked for every packet.
    #[inline(always)]
    #[must_use]
    pub fn is_steady(self, meaning: Meaning) -> bool {
        STEADY[self as usize] == meaning
    }

    /// How many states there are.
    pub const COUNT: usize = 10;

    /// Every state, by its number.
    pub const ALL: [State; State::COUNT] = [
        State::None,
        State::SynSent,
        State::SynRecv,
        State::Established,
        State::FinWait,
        State::TimeWait,
        State::Close,
        State::CloseWait,
        State::LastAck,
        State::Udp,
    ];

    /// The name shown to operators: that of `ipvsadm -Lnc`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            State::None => "NONE",
            State::SynSent => "SYN_SENT",
            State::SynRecv => "SYN_RECV",
            State::Established => "ESTABLISHED",
            State::FinWait => "FIN_WAIT",
            State::TimeWait => "TIME_WAIT",
            State::Close => "CLOSE",
            State::CloseWait => "CLOSE_WAIT",
            State::LastAck => "LAST_ACK",
            State::Udp => "UDP",
        }
    }

    /// Whether the client has yet to prove that it receives what the server sends. These make room first when the
    /// table is full.
    #[must_use]
    pub const fn is_half_open(self) -> bool {
        matches!(self, State::None | State::SynSent | State::SynRecv)
    }

    /// Whether both sides have closed the connection, or one has reset it.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, State::TimeWait | State::Close)
    }

    /// Whether the connection counts as active for the schedulers and in `ActiveConn`: it can carry data.
    /// IPVS counts the same (`ip_vs_proto_tcp.c`, `ip_vs_proto_udp.c`).
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, State::Established | State::Udp)
    }

    /// Whether a client's SYN on a connection in this state opens a new one in its place: IPVS's
    /// `is_new_conn_expected`. `sees_replies` says whether the director sees what the server sends.
    ///
    /// Only where both sides have closed. A connection that one side has closed still carries data, and anybody can send
    /// a SYN; so it goes to the connection's server, which knows the sequence numbers. If the connection lives there, it
    /// answers with a challenge (RFC 9293 3.10.7.4), and a client that has really forgotten it resets it. Where the
    /// server is not seen, `FinWait` may be the end of both sides.
    #[must_use]
    pub const fn reopens(self, sees_replies: bool) -> bool {
        match self {
            State::TimeWait | State::Close => true,
            State::FinWait => !sees_replies,
            State::None
            | State::SynSent
            | State::SynRecv
            | State::Established
            | State::CloseWait
            | State::LastAck
            | State::Udp => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_both_sides_have_closed_is_reopened() {
        let by_state = State::ALL.map(|state| (state.name(), state.reopens(true), state.reopens(false)));
        let expected = [
            ("NONE", false, false),
            ("SYN_SENT", false, false),
            ("SYN_RECV", false, false),
            ("ESTABLISHED", false, false),
            ("FIN_WAIT", false, true),
            ("TIME_WAIT", true, true),
            ("CLOSE", true, true),
            ("CLOSE_WAIT", false, false),
            ("LAST_ACK", false, false),
            ("UDP", false, false),
        ];
        assert_eq!(by_state, expected);
    }
}
