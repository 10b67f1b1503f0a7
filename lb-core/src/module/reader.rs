//! What a module is, and what it deals in.

use crate::conn::entry::Direction;
use std::net::{IpAddr, SocketAddr};

/// A protocol that says in its payload which connections come next.
pub trait Module: Sync {
    /// Reads bytes of one direction that come behind all that were read before. `line` is what it has kept of those, and is
    /// its own. It may only want to replace text while `may_replace`.
    fn read(
        &self,
        line: &mut Line,
        direction: Direction,
        bytes: &[u8],
        may_replace: bool,
        host: &mut dyn Host,
    ) -> Step;
}

/// How far a module has read, and what is to be done there. Each says how many of the bytes have been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So far there is nothing.
    Read(usize),
    /// What follows is replaced by this text, until it ends.
    Replace(usize, Text),
    /// The text that is replaced ends there.
    End(usize),
    /// What follows cannot pass yet: it is to be replaced, and what was replaced last may not have arrived.
    Wait(usize),
    /// Nothing that follows can be read, in either direction: it is encrypted.
    Sealed(usize),
}

/// What a module asks of where its connection runs.
pub trait Host {
    /// Whether the other side is told of addresses that are not those of packets, which are rewritten.
    fn rewrites(&self) -> bool;

    /// The address that clients send to.
    fn vip(&self) -> IpAddr;

    /// The client's address.
    fn client(&self) -> IpAddr;

    /// Whether servers see other addresses in the place of clients'.
    fn hides_clients(&self) -> bool;

    /// Whether what is [shown](Host::shown) depends on the client's port.
    fn is_choosy(&self) -> bool;

    /// What a server is to be told in the place of a client's address and port, if that port is known. `None` if nothing is
    /// free.
    fn shown(&mut self, port: Option<u16>) -> Option<SocketAddr>;

    /// The server is about to connect to the client, which waits there. `shown` is the port that the server has been told in
    /// the place of the client's, if it has been told another one.
    fn active(&mut self, client: SocketAddr, shown: u16);

    /// The client is about to connect to the VIP, at a port that the server tells it by another way.
    fn passive_somewhere(&mut self);

    /// The client is about to connect to the VIP, where the server waits at that port. Returns the port that the client is
    /// to use: the same if it can be. `fixed` says that the client has been told the same already. `None` if the connection
    /// cannot be expected.
    fn passive(&mut self, port: u16, fixed: bool) -> Option<u16>;
}

/// Bytes that a module keeps of a line, and that it puts in the place of others: enough for an address of IPv6 and a port.
pub const MOST_TEXT: usize = Text::ROOM as usize;

/// A short text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    len: u8,
    bytes: [u8; MOST_TEXT],
}

impl Text {
    /// Bytes that there is room for.
    pub const ROOM: u16 = 62;

    /// No bytes.
    pub const EMPTY: Text = Text { len: 0, bytes: [0; MOST_TEXT] };

    /// As many of these bytes as there is room for.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        let mut all = Text::EMPTY;
        text.iter().all(|&byte| all.push(byte));
        all
    }

    /// Adds a byte. `false` if there is no room.
    pub fn push(&mut self, byte: u8) -> bool {
        let Some(place) = self.bytes.get_mut(usize::from(self.len)) else { return false };
        *place = byte;
        self.len += 1;
        true
    }

    /// Forgets all of it.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> u16 {
        self.len as u16
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// What a module keeps of a direction: where it is in a line, and what it has not read to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it is; 0 at the beginning of a line.
    pub place: u8,
    /// What it means to do there.
    pub note: u8,
    /// The port that takes the place of what it reads.
    pub port: u16,
    /// What it has read.
    pub text: Text,
}

impl Line {
    /// At the beginning of a line.
    pub const START: Line = Line { place: 0, note: 0, port: 0, text: Text::EMPTY };
}
