//! The two TCP state tables.
//!
//! [`FULL`] is for NAT and FullNAT, where both directions pass through the director. [`HALF`] is for TUN and DR,
//! where the server answers the client itself and only what the client sends is seen.
//!
//! A table is written as a list of arrows; a state that no arrow leaves for an event stays. From the list the
//! compiler makes an array by state, direction and flags, so that a packet costs one load. `tcp/tables.txt` shows all
//! of it.
//!
//! The arrows follow RFC 9293 and Linux IPVS (`net/netfilter/ipvs/ip_vs_proto_tcp.c`); the tests list every
//! difference from the latter with its reason. Sequence numbers are not looked at here: see
//! [`Connection::is_expected`](super::entry::Connection::is_expected). SYNs that reopen a
//! connection ([`State::reopens`]) never get here: the worker starts a new connection, in [`State::None`]. A packet
//! that leaves a connection there, or closes it there, begins none.

use super::{
    entry::Direction::{self, In as Client, Out as Server},
    method::Method,
    state::State::{self, CloseWait, Established, FinWait, LastAck, SynRecv, SynSent, TimeWait},
};
use crate::wire::tcp::{ACK, FIN, RST, SYN};
use Event::{Ack, Fin, Rst, Syn, SynAck};

/// What a segment means to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// SYN without ACK: opens a connection.
    Syn,
    /// SYN and ACK: agrees to one.
    SynAck,
    /// FIN: closes the sender's direction.
    Fin,
    /// An acknowledgement, with or without data.
    Ack,
    /// RST: aborts the connection.
    Rst,
    /// None of these. RFC 9293 has the receiver drop it, so it means nothing here either.
    Other,
}

/// What a segment with these flags means. Where several are set, that which changes most counts, as in IPVS:
/// RST, then SYN, then FIN, then ACK.
#[must_use]
pub const fn event(flags: u8) -> Event {
    if flags & RST != 0 {
        Rst
    } else if flags & SYN != 0 {
        if flags & ACK != 0 { SynAck } else { Syn }
    } else if flags & FIN != 0 {
        Fin
    } else if flags & ACK != 0 {
        Ack
    } else {
        Event::Other
    }
}

impl Method {
    /// The state table of TCP connections: the full one where both directions are seen.
    #[inline(always)]
    #[must_use]
    pub const fn states(self) -> &'static Table {
        if self.sees_replies() { &FULL } else { &HALF }
    }
}

/// The state a segment from `direction` with these flags takes a connection to.
#[inline]
#[must_use]
pub const fn next(table: &Table, state: State, direction: Direction, flags: u8) -> State {
    table.0[state as usize][direction as usize][(flags & FLAGS) as usize]
}

/// A state table, made from a list of arrows: next state by state, direction and flags.
#[derive(Debug)]
pub struct Table([[[State; FLAGS as usize + 1]; 2]; State::COUNT]);

/// The flags a table looks at. PSH (0x08) lies between them; both its values have the same entries.
const FLAGS: u8 = 0x1f;

/// From any of these states, on a packet from that side with that meaning, to that state.
type Arrow = (&'static [State], Direction, Event, State);

/// For NAT and FullNAT: both directions are seen.
pub static FULL: Table = Table::new(&[
    // Opening.
    //
    // The client asks.
    (&[State::None], Client, Syn, SynSent),
    // The server agrees. Not yet established: a forged SYN gets as far as this.
    (&[SynSent], Server, SynAck, SynRecv),
    // The client acknowledges, so it received the server's answer: it is who it says.
    (&[SynRecv], Client, Ack, Established),
    // The same when the answer was seen too late, as it came through another worker's ring, or not at all.
    (&[SynSent], Client, Ack, Established),
    // The server asks, where a module expects that it does. The client proves itself as ever, by acknowledging.
    (&[State::None], Server, Syn, SynRecv),
    //
    // Adopting: a connection whose beginning was not seen, after a restart or from another director.
    //
    // Only an established connection acknowledges.
    (&[State::None], Client, Ack, Established),
    (&[State::None], Server, Ack, Established),
    // It agrees to a request of which only another director knows.
    (&[State::None], Server, SynAck, SynRecv),
    // It was established and now closes; the other side has yet to.
    (&[State::None], Client, Fin, CloseWait),
    (&[State::None], Server, Fin, FinWait),
    //
    // Closing. A FIN from the side that already closed is a retransmission and changes nothing.
    //
    // The client closes first; the server may have more to send.
    (&[Established], Client, Fin, CloseWait),
    // So it may with its first acknowledgement, which the FIN then carries.
    (&[SynRecv], Client, Fin, CloseWait),
    // The server closes too; the client's acknowledgement of that is to come.
    (&[CloseWait], Server, Fin, LastAck),
    // There it is. One that was under way before the server's FIN looks the same; CLOSE lasts long enough for both.
    (&[LastAck], Client, Ack, State::Close),
    // The server closes first; the client may have more to send.
    (&[Established], Server, Fin, FinWait),
    // RFC 9293 3.10.4: a server may close before it is established.
    (&[SynRecv], Server, Fin, FinWait),
    // The client closes too. Who closed first, the server, answers stragglers for a while.
    (&[FinWait], Client, Fin, TimeWait),
    //
    // Beginning anew: the client has forgotten a connection that it had not closed, or the server had not, and asks for
    // another. A server that remembers it answers with an acknowledgement. One that agrees has forgotten it, too.
    (&[FinWait, CloseWait, LastAck], Server, SynAck, SynRecv),
    //
    // Aborting. TIME_WAIT survives, so that a stray RST does not cut it short (RFC 1337).
    //
    // The client gives up. Before it is established: it never asked, and answers an answer to a forged SYN; or the
    // server remembers an older connection and the client tells it to forget. Its next SYN starts anew either way.
    (&[State::None, SynSent, SynRecv], Client, Rst, State::Close),
    (&[Established, FinWait, CloseWait, LastAck], Client, Rst, State::Close),
    // The server refuses. The client's next attempt may go to another server.
    (&[State::None, SynSent, SynRecv], Server, Rst, State::Close),
    // The server gives up, or has restarted.
    (&[Established, FinWait, CloseWait, LastAck], Server, Rst, State::Close),
]);

/// For TUN and DR: only what the client sends is seen.
///
/// Nobody can tell here whether the server has closed, so a connection that the client closes waits in `FinWait`.
/// That is forgotten after a minute of silence, and a server that goes on sending keeps the client acknowledging.
pub static HALF: Table = Table::new(&[
    // The client asks.
    (&[State::None], Client, Syn, SynSent),
    // The client acknowledges an answer that was not seen, so it received it: it is who it says.
    (&[SynSent], Client, Ack, Established),
    // The client agrees to what the server has asked for, where a module expects that it does.
    (&[State::None], Client, SynAck, SynRecv),
    // Adopted: only an established connection acknowledges.
    (&[State::None], Client, Ack, Established),
    // The client closes; the server may have closed before, or may have more to send.
    (&[Established], Client, Fin, FinWait),
    // Its first acknowledgement was lost, or is in the FIN.
    (&[SynSent], Client, Fin, FinWait),
    // Adopted while closing.
    (&[State::None], Client, Fin, FinWait),
    // The client gives up, at any time; see the full table for the beginning.
    (&[State::None, SynSent, Established, FinWait], Client, Rst, State::Close),
    //
    // States that the full table leads to, of a connection whose service became TUN or DR meanwhile, or, SYN_RECV, of one
    // that the server has asked for.
    //
    // The client acknowledges, as above.
    (&[SynRecv], Client, Ack, Established),
    (&[SynRecv], Client, Fin, FinWait),
    // The server's FIN will not be seen, or has been: nothing more to wait for than in the full table.
    (&[LastAck], Client, Ack, State::Close),
    (&[SynRecv, CloseWait, LastAck], Client, Rst, State::Close),
]);

impl Table {
    const fn new(arrows: &[Arrow]) -> Table {
        let mut table = [[[State::None; FLAGS as usize + 1]; 2]; State::COUNT];
        let mut at = 0;
        while at < State::COUNT {
            table[at] = [[State::ALL[at]; FLAGS as usize + 1]; 2];
            at += 1;
        }
        let mut arrow = 0;
        while arrow < arrows.len() {
            let (from, direction, on, to) = arrows[arrow];
            let mut at = 0;
            while at < from.len() {
                let row = &mut table[from[at] as usize][direction as usize];
                let mut flags = 0;
                while flags <= FLAGS {
                    if event(flags) as u8 == on as u8 {
                        // Two arrows for one event would make the order of the list matter.
                        assert!(row[flags as usize] as u8 == from[at] as u8);
                        row[flags as usize] = to;
                    }
                    flags += 1;
                }
                at += 1;
            }
            arrow += 1;
        }
        Table(table)
    }
}

#[cfg(test)]
mod tests;
