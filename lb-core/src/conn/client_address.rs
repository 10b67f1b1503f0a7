//! How a server learns the address of the client that it serves.

use crate::named::named;

named! {
    /// What tells a server its client's address and port, and those that the client sent to.
    ClientAddress {
        /// Nothing but the packets' own addresses.
        Packets = "none",
        /// A line of text in front of the client's bytes: version 1 of the PROXY protocol. TCP only.
        ProxyV1 = "proxy-v1",
        /// The same in binary: version 2. With UDP in front of every datagram.
        ProxyV2 = "proxy-v2",
    }
}

impl ClientAddress {
    /// Whether a connection has to remember how far its server has been told.
    #[must_use]
    pub const fn is_told(self) -> bool {
        match self {
            ClientAddress::Packets => false,
            ClientAddress::ProxyV1 | ClientAddress::ProxyV2 => true,
        }
    }
}
