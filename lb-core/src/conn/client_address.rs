//! How a server learns the address of the client that it serves.

use super::method::Method;
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
        /// Option 254 of TCP in the client's first segments. The client's address and port only.
        Toa = "toa",
    }
}

impl ClientAddress {
    /// Whether a connection has to remember how far its server has been told.
    #[must_use]
    pub const fn is_told(self) -> bool {
        match self {
            ClientAddress::Packets => false,
            ClientAddress::ProxyV1 | ClientAddress::ProxyV2 | ClientAddress::Toa => true,
        }
    }

    /// Whether servers can be told so under a method. A header is expected, or it is data; so it goes with every method
    /// whose packets can be changed. An option says what packets say anyway where they come from the client's address.
    #[must_use]
    pub const fn goes_with(self, method: Method) -> bool {
        match self {
            ClientAddress::Packets => true,
            ClientAddress::ProxyV1 | ClientAddress::ProxyV2 => method.sees_replies(),
            ClientAddress::Toa => method.hides_clients(),
        }
    }

    /// Those methods, to be read.
    #[must_use]
    pub const fn methods(self) -> &'static str {
        match self {
            ClientAddress::Packets => "all methods",
            ClientAddress::ProxyV1 | ClientAddress::ProxyV2 => "nat and fullnat",
            ClientAddress::Toa => "fullnat",
        }
    }

    /// Whether datagrams can have it.
    #[must_use]
    pub const fn takes_datagrams(self) -> bool {
        match self {
            ClientAddress::Packets | ClientAddress::ProxyV2 => true,
            ClientAddress::ProxyV1 | ClientAddress::Toa => false,
        }
    }
}
