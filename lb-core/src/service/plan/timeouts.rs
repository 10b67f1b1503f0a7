//! The options of timeouts, one for each state that a connection can rest in. Some keys stand for several states.

use crate::{
    conn::{state::State, timeouts::Timeouts},
    service::option::{Kind, Opt, Setting, Value},
};

/// A key's state, the states that follow it unless their own key comes later, and what the state is.
macro_rules! timeout {
    ($key:literal, $state:ident, [$($follower:ident),*], $help:literal) => {
        Opt::<Timeouts>::new(
            $key,
            Kind::Timeout,
            $help,
            |timeouts| timeouts.of(State::$state).to_value(),
            |timeouts, value| set(timeouts, &[State::$state, $(State::$follower),*], value),
        )
    };
}

/// What can be said of timeouts.
pub const TIMEOUTS: &[Opt<Timeouts>] = &[
    timeout!("syn", SynSent, [SynRecv], "SYN_SENT: the client's SYN went to the server"),
    timeout!("syn_recv", SynRecv, [], "SYN_RECV: the server answered it").default("as `syn`"),
    timeout!("established", Established, [], "ESTABLISHED"),
    timeout!("fin", FinWait, [TimeWait, CloseWait], "FIN_WAIT: the server closed first"),
    timeout!("time_wait", TimeWait, [], "TIME_WAIT: both sides closed").default("as `fin`"),
    timeout!("close", Close, [], "CLOSE: reset, or closed and acknowledged"),
    timeout!("close_wait", CloseWait, [], "CLOSE_WAIT: the client closed first").default("as `fin`"),
    timeout!("last_ack", LastAck, [], "LAST_ACK: the last acknowledgement is outstanding"),
    timeout!("udp", Udp, [], "UDP"),
    timeout!("echo", Echo, [], "ECHO: pings of servers, under `[[snat]]`"),
    timeout!("sctp_init1", SctpInit1, [], "SCTP, INIT1: the client's first INIT went to the server"),
    timeout!(
        "sctp_init",
        SctpInit,
        [SctpCookieSent, SctpCookieReplied, SctpCookieWait, SctpCookie, SctpCookieEchoed],
        "SCTP, INIT, C-SENT, C-REPLIED, C-WAIT, COOKIE, C-ECHOED: the association is not established yet"
    ),
    timeout!("sctp_established", SctpEstablished, [], "SCTP, ESTABLISHED"),
    timeout!(
        "sctp_shutdown",
        SctpShutdownSent,
        [SctpShutdownReceived, SctpShutdownAckSent],
        "SCTP, S-SENT, S-RECEIVED, S-ACK-SENT: one side has no more data"
    ),
    timeout!("sctp_rejected", SctpRejected, [], "SCTP, REJECTED: the server refused the association"),
    timeout!("sctp_closed", SctpClosed, [], "SCTP, CLOSED: aborted, or shut down by both sides"),
];

fn set(timeouts: &mut Timeouts, states: &[State], value: &Value) -> bool {
    let Some(timeout) = Setting::from_value(value) else { return false };
    states.iter().for_each(|state| timeouts.set(*state, timeout));
    true
}
