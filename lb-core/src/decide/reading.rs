//! What a packet of a connection that a [module](crate::module) reads, or is to read, is read with.
//!
//! Where both directions pass, a client has shown that it exists when it acknowledges the number that the server has agreed
//! with, or when the server sends anything but that: what was forged it resets, or says nothing to. Before that no byte of
//! either side counts for the other, so nothing has to be read. Where servers answer clients themselves any segment with
//! bytes is read, and who has not gone on for a while has to give way: see [`talks`](crate::module::talks).

use super::{
    classify::Parsed,
    known::{Forwarded, Known},
    opening::{Opening, Tells},
};
use crate::{
    conn::{
        beside::Moved,
        connections::Hit,
        entry::{Connection, Direction},
        reading::{Awaited, First, Reading},
        standing::Standing,
        state::State,
    },
    family::Family,
    ids::TalkId,
    module::{kind::ModuleKind, talk::Talk, talks::Talks},
    packet::{Checksum, Packet},
    wire::{
        get32,
        protocol::Protocol,
        tcp::{self, ACK, FIN, RST, SYN},
    },
};

/// What a packet is read with.
pub(crate) enum ReadWith {
    /// Nothing yet. This is known of the connection from here on.
    NothingYet(Awaited),
    /// That talk, which gets or keeps a place of its own if the client has shown that it exists.
    Talk(Of, bool),
    /// Nothing, ever: as many connections are read as may be.
    Nothing,
}

/// Where a talk is from.
#[derive(Clone, Copy)]
pub(crate) enum Of {
    /// It is kept there.
    Kept(TalkId),
    /// It begins, with a segment that has, or acknowledges, that number of the client's.
    First(Awaited, u32),
    /// It begins with its connection, or goes on with that.
    Opened(ModuleKind, Option<Moved>),
}

impl Known {
    /// How far a connection is read with whose first packet, or with nothing but what another run or another director knows of
    /// it, it goes on: whether it has to show that its client exists.
    pub(crate) fn awaits<F: Family>(
        connection: &Connection<F>,
        module: ModuleKind,
        moved: Option<Moved>,
    ) -> Option<Awaited> {
        let first = match connection.state {
            _ if connection.protocol != Protocol::Tcp || moved.is_some() => return None,
            State::None | State::SynSent => First::Unknown,
            _ if !connection.sees_replies() => First::Unknown,
            State::SynRecv => First::Wherever,
            _ => return None,
        };
        Some(Awaited { kind: module as u8, first })
    }

    /// A talk as it is before a packet is read.
    pub(crate) fn talk(&self, of: Of) -> Talk {
        match of {
            Of::Kept(place) => self.talks.get(place),
            Of::First(awaited, near) => Talk::awaited(awaited, near),
            Of::Opened(module, moved) => {
                moved.map_or_else(|| Talk::new(module), |moved| Talk::moved(module, moved))
            }
        }
    }

    /// What the packet is read with that opens a connection.
    pub(crate) fn first_read_with<F: Forwarded>(
        &self,
        packet: &impl Packet,
        parsed: &Parsed<F>,
        opening: &Opening<F>,
    ) -> Option<ReadWith> {
        let Tells::Read(module, moved) = opening.tells else { return None };
        let connection = &opening.connection;
        Some(match Known::awaits(connection, module, moved) {
            Some(awaited) => {
                let of = (connection.sees_replies(), connection.state);
                match read_by(packet, parsed, (awaited, opening.direction), of) {
                    (awaited, None) => ReadWith::NothingYet(awaited),
                    (awaited, Some(near)) => ReadWith::Talk(Of::First(awaited, near), false),
                }
            }
            None if connection.protocol == Protocol::Udp || self.talks.has_room() => {
                ReadWith::Talk(Of::Opened(module, moved), true)
            }
            None => ReadWith::Nothing,
        })
    }

    /// What a packet is read with of a connection that is read so far.
    pub(crate) fn read_with<F: Forwarded>(
        &self,
        packet: &impl Packet,
        parsed: &Parsed<F>,
        (hit, reading): (Hit, Reading),
        state: State,
    ) -> ReadWith {
        let connections = F::connections(self);
        let sees_replies = connections.get(hit.connection()).sees_replies();
        let stays = || {
            let exists = sees_replies || connections.standing(hit.connection()) == Standing::Confirmed;
            exists && self.talks.has_room()
        };
        let awaited = match reading {
            Reading::Awaits(awaited) => awaited,
            Reading::Kept(place) => {
                return ReadWith::Talk(Of::Kept(place), !Talks::gives_way(place) || stays());
            }
        };
        match read_by(packet, parsed, (awaited, hit.direction()), (sees_replies, state)) {
            (awaited, None) => ReadWith::NothingYet(awaited),
            (_, Some(_)) if sees_replies && !self.talks.has_room() => ReadWith::Nothing,
            (awaited, Some(near)) => ReadWith::Talk(Of::First(awaited, near), stays()),
        }
    }
}

/// What is known of a connection of which nothing has been read, with this packet; and, if that is to be read, a number of the
/// client's that is near its first byte.
fn read_by<F: Family>(
    packet: &impl Packet,
    parsed: &Parsed<F>,
    (awaited, direction): (Awaited, Direction),
    (sees_replies, state): (bool, State),
) -> (Awaited, Option<u32>) {
    let segment = parsed.at.payload(packet.bytes());
    let Some(header_len) = tcp::header_len(segment).filter(|_| !parsed.is_call()) else {
        return (awaited, None);
    };
    let is_right = || {
        packet.l4_checksum() == Checksum::Good
            || tcp::checksum_is_right::<F>(parsed.at.source, parsed.at.destination, segment)
    };
    if F::is_fragment(parsed.at.fragment) || !is_right() {
        return (awaited, None);
    }
    let (number, acknowledged) = (get32(segment, tcp::SEQUENCE), get32(segment, tcp::ACKNOWLEDGEMENT));
    let (flags, has_bytes) = (segment[tcp::FLAGS], segment.len() > header_len);
    let (begins, acknowledges) = (flags & SYN != 0, flags & (RST | ACK) == ACK);
    let is_read = match direction {
        _ if !sees_replies => has_bytes,
        Direction::In => !begins && acknowledges && awaited.first.is_proven_by(acknowledged),
        Direction::Out => flags & RST == 0 && (has_bytes || !begins && flags & FIN != 0),
    };
    let first = match direction {
        Direction::In if !sees_replies && begins && state.is_half_open() => {
            First::Clients(number.wrapping_add(1))
        }
        Direction::Out if begins && acknowledges => First::both(acknowledged, number.wrapping_add(1)),
        Direction::In | Direction::Out => awaited.first,
    };
    let awaited = Awaited { first, ..awaited };
    let near = if direction == Direction::In { number } else { acknowledged };
    (awaited, is_read.then_some(near))
}
