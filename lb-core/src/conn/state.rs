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
    /// The server answered it with SYN and ACK. Or it asks itself, as FTP's servers do for data.
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
    // SCTP's are those of the server, as far as the director can tell. Where the client asks:
    /// SCTP: the client's first INIT went to the server.
    SctpInit1 = 10,
    /// SCTP: the client repeated its INIT.
    SctpInit = 11,
    /// SCTP: the server answered it with INIT ACK, and a cookie.
    SctpCookieSent = 12,
    /// SCTP: the client gave the cookie back.
    SctpCookieReplied = 13,
    // Where the server asks, in an association that it has forgotten or at the same time as the client:
    /// SCTP: the server's INIT went to the client.
    SctpCookieWait = 14,
    /// SCTP: the client answered it with INIT ACK, and a cookie.
    SctpCookie = 15,
    /// SCTP: the server gave the cookie back.
    SctpCookieEchoed = 16,
    /// SCTP: data may flow both ways.
    SctpEstablished = 17,
    /// SCTP: the server has no more data.
    SctpShutdownSent = 18,
    /// SCTP: the client has no more data.
    SctpShutdownReceived = 19,
    /// SCTP: nor has the server; the client's last word is to come.
    SctpShutdownAckSent = 20,
    /// SCTP: the server refused the association.
    SctpRejected = 21,
    /// SCTP: aborted, or shut down by both sides.
    SctpClosed = 22,
    /// Echo requests and their replies; it has no other state.
    Echo = 23,
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
    pub const COUNT: usize = 24;

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
        State::SctpInit1,
        State::SctpInit,
        State::SctpCookieSent,
        State::SctpCookieReplied,
        State::SctpCookieWait,
        State::SctpCookie,
        State::SctpCookieEchoed,
        State::SctpEstablished,
        State::SctpShutdownSent,
        State::SctpShutdownReceived,
        State::SctpShutdownAckSent,
        State::SctpRejected,
        State::SctpClosed,
        State::Echo,
    ];

    /// The name shown to operators: that of `ipvsadm -Lnc`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            State::None => "NONE",
            State::SynSent => "SYN_SENT",
            State::SynRecv => "SYN_RECV",
            State::Established | State::SctpEstablished => "ESTABLISHED",
            State::FinWait => "FIN_WAIT",
            State::TimeWait => "TIME_WAIT",
            State::Close => "CLOSE",
            State::CloseWait => "CLOSE_WAIT",
            State::LastAck => "LAST_ACK",
            State::Udp => "UDP",
            State::SctpInit1 => "INIT1",
            State::SctpInit => "INIT",
            State::SctpCookieSent => "C-SENT",
            State::SctpCookieReplied => "C-REPLIED",
            State::SctpCookieWait => "C-WAIT",
            State::SctpCookie => "COOKIE",
            State::SctpCookieEchoed => "C-ECHOED",
            State::SctpShutdownSent => "S-SENT",
            State::SctpShutdownReceived => "S-RECEIVED",
            State::SctpShutdownAckSent => "S-ACK-SENT",
            State::SctpRejected => "REJECTED",
            State::SctpClosed => "CLOSED",
            State::Echo => "ECHO",
        }
    }

    /// The word by which operators mean it, where its protocol is not said as well.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            State::SctpInit1 => "SCTP_INIT1",
            State::SctpInit => "SCTP_INIT",
            State::SctpCookieSent => "SCTP_C-SENT",
            State::SctpCookieReplied => "SCTP_C-REPLIED",
            State::SctpCookieWait => "SCTP_C-WAIT",
            State::SctpCookie => "SCTP_COOKIE",
            State::SctpCookieEchoed => "SCTP_C-ECHOED",
            State::SctpEstablished => "SCTP_ESTABLISHED",
            State::SctpShutdownSent => "SCTP_S-SENT",
            State::SctpShutdownReceived => "SCTP_S-RECEIVED",
            State::SctpShutdownAckSent => "SCTP_S-ACK-SENT",
            State::SctpRejected => "SCTP_REJECTED",
            State::SctpClosed => "SCTP_CLOSED",
            other => other.name(),
        }
    }

    /// Whether it is one of SCTP.
    #[must_use]
    pub const fn is_sctp(self) -> bool {
        self as u8 >= State::SctpInit1 as u8 && self as u8 <= State::SctpClosed as u8
    }

    /// Whether the client has yet to prove that it receives what the server sends. These make room first when the
    /// table is full. A cookie that the client gives back proves nothing before the server has found it right.
    #[must_use]
    pub const fn is_half_open(self) -> bool {
        matches!(
            self,
            State::None
                | State::SynSent
                | State::SynRecv
                | State::SctpInit1
                | State::SctpInit
                | State::SctpCookieSent
                | State::SctpCookieReplied
                | State::SctpCookieWait
                | State::SctpCookie
                | State::SctpCookieEchoed
        )
    }

    /// Whether the client has asked for a connection and the server has said nothing.
    #[must_use]
    pub const fn is_unanswered(self) -> bool {
        matches!(self, State::SynSent | State::SctpInit1 | State::SctpInit)
    }

    /// Whether both sides have closed the connection, or one has reset it.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, State::TimeWait | State::Close | State::SctpRejected | State::SctpClosed)
    }

    /// Whether the connection counts as active for the schedulers and in `ActiveConn`: it can carry data.
    /// IPVS counts the same (`ip_vs_proto_tcp.c`, `ip_vs_proto_udp.c`, `ip_vs_proto_sctp.c`).
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, State::Established | State::Udp | State::SctpEstablished | State::Echo)
    }

    /// Whether a client's SYN or INIT on a connection in this state opens a new one in its place: IPVS's
    /// `is_new_conn_expected`. `sees_replies` says whether the director sees what the server sends.
    ///
    /// Only where both sides have closed. A connection that one side has closed still carries data, and anybody can send
    /// a SYN; so it goes to the connection's server, which knows the sequence numbers. If the connection lives there, it
    /// answers with a challenge (RFC 9293 3.10.7.4), and a client that has really forgotten it resets it. Where the
    /// server is not seen, `FinWait` may be the end of both sides.
    #[must_use]
    pub const fn reopens(self, sees_replies: bool) -> bool {
        match self {
            State::TimeWait | State::Close | State::SctpRejected | State::SctpClosed => true,
            State::FinWait => !sees_replies,
            State::None
            | State::SynSent
            | State::SynRecv
            | State::Established
            | State::CloseWait
            | State::LastAck
            | State::Udp
            | State::SctpInit1
            | State::SctpInit
            | State::SctpCookieSent
            | State::SctpCookieReplied
            | State::SctpCookieWait
            | State::SctpCookie
            | State::SctpCookieEchoed
            | State::SctpEstablished
            | State::SctpShutdownSent
            | State::SctpShutdownReceived
            | State::SctpShutdownAckSent
            | State::Echo => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_a_word_of_its_own() {
        let words: std::collections::HashSet<&str> = State::ALL.iter().map(|state| state.word()).collect();
        assert_eq!(words.len(), State::COUNT);
        assert!(State::ALL.iter().all(|state| state.word().ends_with(state.name())));
    }

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
            ("INIT1", false, false),
            ("INIT", false, false),
            ("C-SENT", false, false),
            ("C-REPLIED", false, false),
            ("C-WAIT", false, false),
            ("COOKIE", false, false),
            ("C-ECHOED", false, false),
            ("ESTABLISHED", false, false),
            ("S-SENT", false, false),
            ("S-RECEIVED", false, false),
            ("S-ACK-SENT", false, false),
            ("REJECTED", true, true),
            ("CLOSED", true, true),
            ("ECHO", false, false),
        ];
        assert_eq!(by_state, expected);
    }
}
