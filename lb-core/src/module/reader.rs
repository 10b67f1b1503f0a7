//! What a module is, and what it deals in.

use super::{edits::Edits, kept::Kept, text::Text};
use crate::conn::entry::Direction;
use std::net::{IpAddr, SocketAddr};

/// A protocol that says in its payload which connections come next: over TCP, over UDP, or over both.
pub trait Module: Sync {
    /// Reads bytes of one direction of a connection of TCP that come behind all that were read before. `line` is what it has
    /// kept of those, and `kept` what it has kept of both directions, where what one side says depends on what the other has
    /// said; both are its own. It may only want to replace text while `may_replace`.
    fn read(
        &self,
        (line, kept): (&mut Line, &mut Kept),
        direction: Direction,
        bytes: &[u8],
        may_replace: bool,
        host: &mut dyn Host,
    ) -> Step {
        let _ = (line, kept, direction, may_replace, host);
        Step::Read(bytes.len())
    }

    /// Reads bytes of one direction of a connection of TCP whose addresses are rewritten, as [`Module::read`] does, of a
    /// protocol of messages: texts that give way are whole in these bytes, and there may be any number of them. `None`, as
    /// long as nothing else is said here, is who reads them line by line instead. It is asked again for what it has not read,
    /// and is given another state than it left if there was no room in `edits`.
    fn messages(
        &self,
        line: &mut Line,
        direction: Direction,
        piece: Piece<'_>,
        edits: &mut Edits,
        host: &mut dyn Host,
    ) -> Option<Step> {
        let _ = (line, direction, piece, edits, host);
        None
    }

    /// Reads a datagram, which is whole and by itself: nothing is kept of those before. What is to be replaced of its text
    /// goes into `edits`, and is replaced where the [host](Host::rewrites) rewrites addresses.
    fn datagram(&self, direction: Direction, text: &[u8], edits: &mut Edits, host: &mut dyn Host) {
        let _ = (direction, text, edits, host);
    }
}

/// Bytes of a stream that come behind all that have been read.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// They begin their segment: what could come with them from their sender has come.
    pub is_first: bool,
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
    /// What follows cannot pass yet: it is to be replaced and has not come whole, or what was replaced before may not have
    /// arrived.
    Wait(usize),
    /// Nothing that follows can be read, in either direction: it is encrypted.
    Sealed(usize),
}

/// What has to be done before a byte is read, for modules that read byte by byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Nothing,
    /// What begins there is replaced by this text.
    Replace(Text),
    /// What is replaced ends there.
    End,
    /// It cannot pass yet.
    Wait,
}

impl Before {
    /// The same as a step of a module that has read so many bytes before.
    pub(super) const fn step(self, read: usize) -> Option<Step> {
        match self {
            Before::Nothing => None,
            Before::Replace(text) => Some(Step::Replace(read, text)),
            Before::End => Some(Step::End(read)),
            Before::Wait => Some(Step::Wait(read)),
        }
    }
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

    /// The server answers the client that has asked from another port of its own, and the client goes on with that.
    fn answered_elsewhere(&mut self);

    /// Whether the client is behind the director, and the server anywhere: what that one says of itself is right.
    fn is_outward(&self) -> bool {
        false
    }

    /// The client waits there for a connection from anybody, and has its address told. Returns what is to be told instead.
    /// `None` if it cannot be expected, or is not the client's to say.
    fn open_to_anybody(&mut self, client: SocketAddr) -> Option<SocketAddr> {
        let _ = client;
        None
    }

    /// The port that such a connection has on the other side, in a text of that direction. `None` if none is expected.
    fn port_to_anybody(&self, direction: Direction, port: u16) -> Option<u16> {
        let _ = (direction, port);
        None
    }

    /// The server's address.
    fn server(&self) -> IpAddr;

    /// The numbers that the other side is told of a call, by the direction in which each is told: the server in the place of
    /// the client's, and the client in the place of the server's.
    fn calls(&self) -> [u16; 2];

    /// A call is asked for: the first, or another one while there is one.
    fn called(&mut self, is_first: bool);

    /// What an endpoint in a text of that direction is on the other side: the VIP, where the server is named to the client, and
    /// the other way round. `None` if it is the same there.
    fn translated(&self, direction: Direction, endpoint: SocketAddr) -> Option<SocketAddr>;

    /// The server waits for media over UDP at that port, and for reports about it at the next; either side may begin. Returns
    /// the port that the client is to use, that of reports next to it: the same if it can be, or if it is `fixed`. `None` if
    /// media cannot be expected.
    fn media(&mut self, port: u16, fixed: bool) -> Option<u16>;

    /// Media that was announced by that port is not expected any more.
    fn media_is_over(&mut self, port: u16);

    /// Where servers answer clients themselves: the client has media over UDP at that port, and reports about it at the next.
    /// What it sends from there to ports of the VIP that no service has is its server's.
    fn media_of_client(&mut self, port: u16);

    /// A text passes as it is that should have been replaced.
    fn missed(&mut self);
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
    /// Bytes of a body that are still to come.
    pub left: u32,
}

impl Line {
    /// At the beginning of a line.
    pub const START: Line = Line { place: 0, note: 0, port: 0, text: Text::EMPTY, left: 0 };
}
