//! The ways in which a connection's packets reach its server.

use crate::named::named;

named! {
    /// How packets reach the real server.
    Method {
        /// Rewrite the destination, and the source of the reply. Replies come back through the director.
        Nat = "nat",
        /// Wrap the packet in another IPv4 header, RFC 2003. The server answers the client itself.
        Tun = "tun",
        /// Rewrite only the Ethernet addresses. The server, on an attached network, answers the client itself.
        Dr = "dr",
    }
}

impl Method {
    /// Whether replies come back through the director.
    #[inline(always)]
    #[must_use]
    pub const fn sees_replies(self) -> bool {
        match self {
            Method::Nat => true,
            Method::Tun | Method::Dr => false,
        }
    }
}
