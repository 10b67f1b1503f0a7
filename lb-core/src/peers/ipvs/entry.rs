//! What an entry of IPVS means here: its states, flags and methods (Linux, `include/net/ip_vs.h` and
//! `include/uapi/linux/ip_vs.h`).

pub use super::flags::Unfit;
use super::{
    flags::{INACTIVE, NO_CLIENT_PORT, ONE_PACKET, SEQUENCES, TEMPLATE, forwarding, method, time},
    message::{Has, Raw},
    template::Template,
};
use crate::{
    conn::{state::State, timeouts::Timeouts},
    flow::key::Ends,
    peers::exception::{Exception, Seen, is_missed},
    time::Duration,
    wire::protocol::Protocol,
};

/// States of TCP and SCTP that there are.
const TCP_STATES: u16 = 11;
const SCTP_STATES: u16 = 14;

/// What a master tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told<'d> {
    /// A connection, and for how long it is known if no more is heard.
    Connection(Exception, Duration),
    /// A connection is over.
    Over(Ends),
    /// A client of a persistent service, and its server.
    Client(Template<'d>),
}

/// What an entry means.
///
/// # Errors
/// Why nothing comes of it.
pub fn read<'d>(raw: &Raw<'d>) -> Result<Told<'d>, Unfit> {
    let Raw { client, vip, server, .. } = *raw;
    if raw.has.unknown {
        return Err(Unfit::Option);
    }
    if raw.flags & TEMPLATE != 0 {
        return Template::read(raw).map(Told::Client);
    }
    let protocol = Protocol::from_number(raw.protocol).ok_or(Unfit::Protocol)?;
    let state = state_of(protocol, raw.state).ok_or(Unfit::State)?;
    if raw.flags & (NO_CLIENT_PORT | ONE_PACKET) != 0 {
        return Err(Unfit::Unfinished);
    }
    let ends = Ends { protocol, source: client, destination: vip };
    if !is_missed(state) {
        return Ok(Told::Over(ends));
    }
    if raw.has.sequences || raw.flags & SEQUENCES != 0 {
        return Err(Unfit::Sequences);
    }
    let method = method(raw.flags).ok_or(Unfit::Method)?;
    let time = time(raw, Timeouts::default().of(state));
    Ok(Told::Connection(Exception { ends, server, method, local: None, beside: None }, time))
}

/// A state by IPVS's number; `LISTEN` and `SYNACK` are no states of a connection that is told.
fn state_of(protocol: Protocol, number: u16) -> Option<State> {
    match protocol {
        Protocol::Udp => (number == 0).then_some(State::Udp),
        Protocol::Tcp if number < TCP_STATES => State::ALL
            .into_iter()
            .find(|&state| {
                !matches!(state, State::Udp | State::Echo) && !state.is_sctp() && number_of(state) == number
            })
            .or(Some(State::None)),
        Protocol::Sctp if number < SCTP_STATES => State::ALL
            .into_iter()
            .find(|&state| (state == State::None || state.is_sctp()) && number_of(state) == number),
        Protocol::Tcp | Protocol::Sctp | Protocol::Icmp => None,
    }
}

/// IPVS's number of a state.
const fn number_of(state: State) -> u16 {
    match state {
        State::None | State::Udp | State::Echo => 0,
        State::Established | State::SctpInit1 => 1,
        State::SynSent | State::SctpInit => 2,
        State::SynRecv | State::SctpCookieSent => 3,
        State::FinWait | State::SctpCookieReplied => 4,
        State::TimeWait | State::SctpCookieWait => 5,
        State::Close | State::SctpCookie => 6,
        State::CloseWait | State::SctpCookieEchoed => 7,
        State::LastAck | State::SctpEstablished => 8,
        State::SctpShutdownSent => 9,
        State::SctpShutdownReceived => 10,
        State::SctpShutdownAckSent => 11,
        State::SctpRejected => 12,
        State::SctpClosed => 13,
    }
}

/// The entry that tells of a connection; nothing for a method that IPVS does not have, or where one address is not of the
/// others' family, which its format cannot say.
#[must_use]
pub fn tell(seen: &Seen) -> Option<Raw<'static>> {
    let Seen { exception: Exception { ends, server, method, .. }, state, timeout, mark, .. } = *seen;
    if server.is_ipv4() != ends.source.is_ipv4() {
        return None;
    }
    let inactive = if state.is_active() { 0 } else { INACTIVE };
    Some(Raw {
        protocol: ends.protocol.number(),
        flags: forwarding(method)? | inactive,
        state: number_of(state),
        client: ends.source,
        vip: ends.destination,
        server,
        mark,
        timeout_s: u32::try_from(timeout.as_millis() / 1_000).unwrap_or(u32::MAX).max(1),
        has: Has::default(),
        engine: None,
    })
}
