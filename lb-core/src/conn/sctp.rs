//! The two SCTP state tables.
//!
//! As with [TCP](super::tcp), [`FULL`] is for NAT and FullNAT, where both directions pass through the director, and [`HALF`]
//! for the other methods, where only what the client sends is seen. They are written as lists of arrows and compiled to
//! arrays; `sctp/tables.txt` shows all of it.
//!
//! The arrows follow RFC 9260 and Linux IPVS (`net/netfilter/ipvs/ip_vs_proto_sctp.c`); the tests list every difference from
//! the latter with its reason. As in IPVS, an association is one connection: of one address of the client and one VIP.
//! Addresses that either side names in INIT and INIT ACK are not looked at.

use super::{
    entry::Direction::{self, In as Client, Out as Server},
    method::Method,
    state::State::{
        self, SctpClosed as Closed, SctpCookie as Cookie, SctpCookieEchoed as CookieEchoed,
        SctpCookieReplied as CookieReplied, SctpCookieSent as CookieSent, SctpCookieWait as CookieWait,
        SctpEstablished as Established, SctpInit as Init, SctpInit1 as Init1, SctpRejected as Rejected,
        SctpShutdownAckSent as ShutdownAckSent, SctpShutdownReceived as ShutdownReceived,
        SctpShutdownSent as ShutdownSent,
    },
};
use crate::wire::sctp::{Chunk, chunk};

/// What a packet means to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// Data, acknowledgements, heartbeats, and whatever nobody here knows.
    Traffic,
    /// INIT: asks for an association.
    Begin,
    /// INIT ACK: answers that.
    BeginAck,
    /// COOKIE ECHO: the other side's answer has come.
    Echo,
    /// COOKIE ACK: agrees.
    EchoAck,
    /// SHUTDOWN: no more data.
    Shutdown,
    /// SHUTDOWN ACK: nor here.
    ShutdownAck,
    /// SHUTDOWN COMPLETE: the last word.
    Complete,
    /// ERROR.
    Error,
    /// ABORT.
    Abort,
}
use Event::{Abort, Begin, BeginAck, Complete, Echo, EchoAck, Error, Shutdown, ShutdownAck, Traffic};

/// How many events there are.
const EVENTS: usize = 10;

/// What a packet means that is about that chunk.
#[must_use]
pub const fn event(chunk: Chunk) -> Event {
    match chunk.0 {
        chunk::INIT => Begin,
        chunk::INIT_ACK => BeginAck,
        chunk::COOKIE_ECHO => Echo,
        chunk::COOKIE_ACK => EchoAck,
        chunk::SHUTDOWN => Shutdown,
        chunk::SHUTDOWN_ACK => ShutdownAck,
        chunk::SHUTDOWN_COMPLETE => Complete,
        chunk::ERROR => Error,
        chunk::ABORT => Abort,
        _ => Traffic,
    }
}

/// Whether a packet about that chunk goes on with an association that another director may know of.
#[must_use]
pub const fn continues(chunk: Chunk) -> bool {
    matches!(event(chunk), Traffic | Echo | Shutdown | ShutdownAck) && chunk.0 != Chunk::NONE.0
}

impl Method {
    /// The state table of SCTP's connections: the full one where both directions are seen.
    #[must_use]
    pub const fn sctp_states(self) -> &'static Table {
        if self.sees_replies() { &FULL } else { &HALF }
    }
}

/// The state a packet from `direction` about that chunk takes a connection to.
#[must_use]
pub const fn next(table: &Table, state: State, direction: Direction, chunk: Chunk) -> State {
    table.0[state as usize][direction as usize][event(chunk) as usize]
}

/// A state table, made from a list of arrows: next state by state, direction and event.
#[derive(Debug)]
pub struct Table([[[State; EVENTS]; 2]; State::COUNT]);

/// From any of these states, on a packet from that side with that meaning, to that state.
type Arrow = (&'static [State], Direction, Event, State);

/// For NAT and FullNAT: both directions are seen.
static FULL: Table = Table::new(&[
    // Opening.
    //
    // The client asks. The first time it is not waited for long: clients ask again after a second or three.
    (&[State::None], Client, Begin, Init1),
    (&[Init1], Client, Begin, Init),
    // The server answers with a cookie, and remembers nothing.
    (&[Init1, Init], Server, BeginAck, CookieSent),
    // The client gives a cookie back, the server's if it looks right to that. The answer may have come through another
    // worker's ring, later than this.
    (&[Init1, Init, CookieSent], Client, Echo, CookieReplied),
    // It did, so the client receives what the server sends: it is who it says.
    (
        &[Init1, Init, CookieSent, CookieReplied, CookieWait, Cookie, CookieEchoed],
        Server,
        EchoAck,
        Established,
    ),
    //
    // Adopting: a connection whose beginning was not seen, after a restart or from another director.
    //
    (&[State::None], Client, Traffic, Established),
    (&[State::None], Server, Traffic, Established),
    (&[State::None], Client, Echo, CookieReplied),
    (&[State::None], Server, BeginAck, CookieSent),
    (&[State::None], Server, EchoAck, Established),
    (&[State::None], Client, Shutdown, ShutdownReceived),
    (&[State::None], Server, Shutdown, ShutdownSent),
    // The server has no more data, and waits for this.
    (&[State::None], Client, ShutdownAck, ShutdownSent),
    (&[State::None], Server, ShutdownAck, ShutdownAckSent),
    //
    // The server asks, at the same time as the client or because it has forgotten: RFC 9260 5.2.
    //
    (
        &[
            Init1,
            Init,
            CookieSent,
            CookieReplied,
            Cookie,
            CookieEchoed,
            ShutdownSent,
            ShutdownReceived,
            ShutdownAckSent,
        ],
        Server,
        Begin,
        CookieWait,
    ),
    // The client answers a question that was not seen.
    (&[Init1, Init], Client, BeginAck, CookieWait),
    (&[CookieWait], Client, BeginAck, Cookie),
    (&[Init1, Init, CookieSent, CookieReplied, CookieWait, Cookie], Server, Echo, CookieEchoed),
    (&[CookieEchoed], Client, EchoAck, Established),
    //
    // Closing. Unlike TCP, both directions are over then, but for what is on its way.
    //
    (&[Established], Client, Shutdown, ShutdownReceived),
    (
        &[Init1, Init, CookieSent, CookieReplied, CookieWait, Cookie, CookieEchoed, Established],
        Server,
        Shutdown,
        ShutdownSent,
    ),
    (
        &[Init1, Init, CookieSent, CookieReplied, ShutdownSent, ShutdownReceived],
        Server,
        ShutdownAck,
        ShutdownAckSent,
    ),
    // The client's last word, or its answer to the server, whose last word changes nothing any more.
    (&[Init1, Init, ShutdownAckSent], Client, Complete, Closed),
    (&[ShutdownSent, ShutdownAckSent], Client, ShutdownAck, Closed),
    // It answers an older association's end.
    (&[Init1], Client, ShutdownAck, Init),
    //
    // Failing and aborting.
    //
    // The cookie is too old.
    (&[Init1, Init, CookieSent, CookieReplied], Server, Error, Closed),
    (&[CookieEchoed], Client, Error, Closed),
    // The server refuses. The client's next attempt may go to another server.
    (&[Init1], Server, Abort, Rejected),
    (&[CookieWait], Client, Abort, Rejected),
    (
        &[
            State::None,
            Init1,
            Init,
            CookieSent,
            CookieReplied,
            Cookie,
            CookieEchoed,
            Established,
            ShutdownSent,
            ShutdownReceived,
            ShutdownAckSent,
        ],
        Client,
        Abort,
        Closed,
    ),
    (
        &[
            State::None,
            Init,
            CookieSent,
            CookieReplied,
            CookieWait,
            Cookie,
            CookieEchoed,
            Established,
            ShutdownSent,
            ShutdownReceived,
            ShutdownAckSent,
        ],
        Server,
        Abort,
        Closed,
    ),
]);

/// For the other methods: only what the client sends is seen.
static HALF: Table = Table::new(&[
    // The client asks.
    (&[State::None], Client, Begin, Init1),
    (&[Init1], Client, Begin, Init),
    // It gives a cookie back that was not seen, so it received the server's answer, if that finds it right.
    (&[Init1, Init], Client, Echo, Established),
    // Adopted.
    (&[State::None], Client, Traffic, Established),
    (&[State::None], Client, Echo, Established),
    (&[State::None], Client, Shutdown, ShutdownReceived),
    (&[State::None], Client, ShutdownAck, ShutdownSent),
    // It answers a server that asked.
    (&[Init1, Init], Client, BeginAck, CookieEchoed),
    (&[CookieEchoed], Client, EchoAck, Established),
    // The client has no more data; its last word ends it. Or it answers the server, whose last word is not seen.
    (&[Established], Client, Shutdown, ShutdownReceived),
    (&[ShutdownReceived], Client, Complete, Closed),
    (&[Established, ShutdownSent], Client, ShutdownAck, Closed),
    (&[Init1], Client, ShutdownAck, Init),
    (&[Init1, Init], Client, Complete, Closed),
    // The client gives up.
    (
        &[State::None, Init1, Init, CookieEchoed, Established, ShutdownSent, ShutdownReceived],
        Client,
        Abort,
        Closed,
    ),
    //
    // States that only the full table leads to, of a connection whose service became one of these methods meanwhile.
    //
    (&[CookieSent, CookieReplied, CookieWait], Client, Begin, Init),
    (&[CookieSent, CookieReplied, CookieWait], Client, Echo, Established),
    (&[CookieWait], Client, Traffic, Established),
    (&[CookieSent, CookieReplied, CookieWait], Client, BeginAck, CookieEchoed),
    (&[CookieSent, CookieReplied, Cookie], Client, EchoAck, Established),
    (&[CookieSent, CookieReplied, ShutdownAckSent], Client, Complete, Closed),
    (&[ShutdownAckSent], Client, ShutdownAck, Closed),
    (&[CookieSent, CookieReplied, Cookie, ShutdownAckSent], Client, Abort, Closed),
    (&[CookieWait], Client, Abort, Rejected),
]);

impl Table {
    const fn new(arrows: &[Arrow]) -> Table {
        let mut table = [[[State::None; EVENTS]; 2]; State::COUNT];
        let mut at = 0;
        while at < State::COUNT {
            table[at] = [[State::ALL[at]; EVENTS]; 2];
            at += 1;
        }
        let mut arrow = 0;
        while arrow < arrows.len() {
            let (from, direction, on, to) = arrows[arrow];
            let mut at = 0;
            while at < from.len() {
                let next = &mut table[from[at] as usize][direction as usize][on as usize];
                // Two arrows for one event would make the order of the list matter.
                assert!(*next as u8 == from[at] as u8);
                *next = to;
                at += 1;
            }
            arrow += 1;
        }
        Table(table)
    }
}

#[cfg(test)]
mod tests;
