//! What an entry of IPVS means here: its states, flags and methods (Linux, `include/net/ip_vs.h` and
//! `include/uapi/linux/ip_vs.h`).

use super::message::{Has, Raw};
use crate::{
    conn::{method::Method, state::State, timeouts::Timeouts},
    flow::key::Ends,
    named::named,
    peers::{
        client::Client,
        exception::{Exception, is_missed},
    },
    time::Duration,
    wire::protocol::Protocol,
};

/// Bits of the flags that say how packets reach the server.
const FORWARDING: u32 = 0x7;
const MASQUERADE: u32 = 0;
const TUNNEL: u32 = 2;
const ROUTE: u32 = 3;
/// Servers' packets do not pass.
const NO_OUTPUT: u32 = 0x80;
/// It does not count as active.
const INACTIVE: u32 = 0x100;
/// Sequence numbers are changed in either direction.
const SEQUENCES: u32 = 0x600;
/// The client's port is not known yet.
const NO_CLIENT_PORT: u32 = 0x800;
/// It is a client of a persistent service.
const TEMPLATE: u32 = 0x1000;
/// It ends with its first packet.
const ONE_PACKET: u32 = 0x2000;

/// States of TCP and SCTP that there are, and of a template.
const TCP_STATES: u16 = 11;
const SCTP_STATES: u16 = 14;
const TEMPLATE_STATES: u16 = 2;

/// How long anything is believed, at most, whatever a message says.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a template is kept whose message has no time: `ip_vs_proc_conn`'s three minutes.
const TEMPLATE_TIME: Duration = Duration::from_secs(3 * 60);

named! {
    /// Why an entry that can be read is not taken.
    Unfit {
        /// It is of a protocol other than TCP, UDP and SCTP.
        Protocol = "protocol",
        /// Its state is none.
        State = "state",
        /// Its packets stay at the director, or pass it by: localnode, bypass.
        Method = "method",
        /// Its sequence numbers are changed, as those of FTP are.
        Sequences = "sequence-numbers",
        /// The client's port is yet to come, as in passive FTP, or it ends with its first packet.
        Unfinished = "unfinished",
        /// It has an option that has to be known.
        Option = "option",
        /// It is a client of a persistence engine, or of a service by mark.
        Client = "persistence",
    }
}

/// What a master tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A connection, and for how long it is known if no more is heard.
    Connection(Exception, Duration),
    /// A connection is over.
    Over(Ends),
    /// A client of a persistent service, and its server.
    Client(Client),
}

/// What an entry means.
///
/// # Errors
/// Why nothing comes of it.
pub fn read(raw: &Raw) -> Result<Told, Unfit> {
    let Raw { client, vip, server, .. } = *raw;
    if raw.has.unknown {
        return Err(Unfit::Option);
    }
    let protocol = Protocol::from_number(raw.protocol);
    if raw.flags & TEMPLATE != 0 {
        let protocol = protocol.filter(|_| raw.mark == 0 && !raw.has.engine && vip.port() != 0);
        let protocol = protocol.ok_or(Unfit::Client)?;
        if raw.state >= TEMPLATE_STATES {
            return Err(Unfit::State);
        }
        let left = time(raw, TEMPLATE_TIME);
        let (network, is_learned) = (client.ip(), false);
        return Ok(Told::Client(Client { protocol, network, vip, server, left, is_learned }));
    }
    let protocol = protocol.ok_or(Unfit::Protocol)?;
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
    let method = match raw.flags & FORWARDING {
        MASQUERADE => Method::Nat,
        TUNNEL => Method::Tun,
        ROUTE => Method::Dr,
        _ => return Err(Unfit::Method),
    };
    let time = time(raw, Timeouts::default().of(state));
    Ok(Told::Connection(Exception { ends, server, method, local: None, second: None }, time))
}

fn time(raw: &Raw, default: Duration) -> Duration {
    let said = Duration::from_secs(raw.timeout_s.into());
    if said == Duration::ZERO { default } else { said.min(LONGEST) }
}

/// A state by IPVS's number; `LISTEN` and `SYNACK` are no states of a connection that is told.
fn state_of(protocol: Protocol, number: u16) -> Option<State> {
    match protocol {
        Protocol::Udp => (number == 0).then_some(State::Udp),
        Protocol::Tcp if number < TCP_STATES => State::ALL
            .into_iter()
            .find(|&state| state != State::Udp && !state.is_sctp() && number_of(state) == number)
            .or(Some(State::None)),
        Protocol::Sctp if number < SCTP_STATES => State::ALL
            .into_iter()
            .find(|&state| (state == State::None || state.is_sctp()) && number_of(state) == number),
        Protocol::Tcp | Protocol::Sctp => None,
    }
}

/// IPVS's number of a state.
const fn number_of(state: State) -> u16 {
    match state {
        State::None | State::Udp => 0,
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
pub fn tell(exception: &Exception, state: State, timeout: Duration) -> Option<Raw> {
    let Exception { ends, server, method, .. } = *exception;
    let forwarding = match method {
        Method::Nat => MASQUERADE,
        Method::Tun => TUNNEL | NO_OUTPUT,
        Method::Dr => ROUTE | NO_OUTPUT,
        Method::FullNat | Method::L3Dsr => return None,
    };
    if server.is_ipv4() != ends.source.is_ipv4() {
        return None;
    }
    let inactive = if state.is_active() { 0 } else { INACTIVE };
    Some(Raw {
        protocol: ends.protocol.number(),
        flags: forwarding | inactive,
        state: number_of(state),
        client: ends.source,
        vip: ends.destination,
        server,
        mark: 0,
        timeout_s: u32::try_from(timeout.as_millis() / 1_000).unwrap_or(u32::MAX).max(1),
        has: Has::default(),
    })
}
