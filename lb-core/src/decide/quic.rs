//! A datagram of QUIC that no connection is known for: which server its connection ID names. A client goes on with a
//! connection from another address with an ID that its server gave it, so to this one connection after the other is opened.

use super::{
    classify::Parsed,
    known::{Forwarded, Known},
};
use crate::{
    ids::{ServerId, ServiceId},
    packet::Packet,
    service::plan::Standing,
    wire::{
        protocol::Protocol,
        quic::{self, Name},
        udp,
    },
};

/// Whom a connection ID names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// A server, which gets the datagram whether or not it takes new connections: for the server this is none.
    Server(Name, ServerId),
    /// One that is disabled or down.
    Gone(Name, ServerId),
    /// Nobody who is known.
    Nobody {
        /// The name that is nobody's, if the ID has one at all.
        name: Option<Name>,
        /// The ID may be the client's own, as those of its first packets are: the header is a long one.
        begins: bool,
    },
}

impl Called {
    /// The server that gets the datagram.
    #[must_use]
    pub const fn server(self) -> Option<ServerId> {
        match self {
            Called::Server(_, server) => Some(server),
            Called::Gone(..) | Called::Nobody { .. } => None,
        }
    }

    /// Whether a connection most likely ends by that: it goes on, or wants to, where its server is not.
    #[must_use]
    pub const fn is_lost(self) -> bool {
        matches!(self, Called::Gone(..) | Called::Nobody { begins: false, .. })
    }
}

impl Known {
    /// Whom the connection ID of a client's datagram names. `None` if its service does not ask, or it has no ID.
    ///
    /// A name may be there by chance, where clients choose IDs. Such a connection has that server, as
    /// draft-ietf-quic-load-balancers-21 section 4.2 has it: nothing that is the same in all versions of QUIC tells it from
    /// one that goes on.
    #[cold]
    #[inline(never)]
    #[must_use]
    pub fn called_by_id<F: Forwarded>(
        &self,
        packet: &impl Packet,
        parsed: &Parsed<F>,
        service: ServiceId,
    ) -> Option<Called> {
        let servers = self.snapshot.services[service].quic.as_deref()?;
        if parsed.key.protocol != Protocol::Udp {
            return None;
        }
        let datagram = parsed.at.payload(packet.bytes());
        // Bytes behind its length are not of it.
        let len = datagram.len().min(udp::len(datagram)?);
        let id = quic::destination(datagram.get(udp::HEADER_LEN..len)?)?;
        let Some(name) = servers.name(id.bytes) else {
            return Some(Called::Nobody { name: None, begins: id.is_long });
        };
        Some(match servers.named(name) {
            Some(server) if self.snapshot.servers[server].standing != Standing::Gone => {
                Called::Server(name, server)
            }
            Some(server) => Called::Gone(name, server),
            None => Called::Nobody { name: Some(name), begins: id.is_long },
        })
    }
}
