//! The ways in which a connection's packets reach its server.

use crate::named::named;

named! {
    /// How packets reach the real server.
    Method {
        /// Rewrite the destination, and the source of the reply. Replies come back through the director.
        Nat = "nat",
        /// Wrap the packet in another IP header of the server's family, by a [tunnel](super::tunnel). The server answers the
        /// client itself.
        Tun = "tun",
        /// Rewrite only the Ethernet addresses. The server, on an attached network, answers the client itself.
        Dr = "dr",
        /// Rewrite the destination and, to a local address of the director, the source; of the reply both. Replies come
        /// back to the local address, whatever the server's way to clients.
        FullNat = "fullnat",
        /// Rewrite the destination, and mark the packet with a number that stands for the VIP. The server puts the VIP back,
        /// and answers the client itself. As direct routing, but through routers.
        L3Dsr = "l3dsr",
    }
    besides {
        /// No service's: what servers send by themselves, with a local address as its source. The connection's client is the
        /// server that begins it, and its server whoever that asks; both may be anywhere.
        Snat = "snat",
    }
}

impl Method {
    /// What stands for it in files and datagrams, whatever else methods are numbered by.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Method::Nat => 0,
            Method::Tun => 1,
            Method::Dr => 2,
            Method::FullNat => 3,
            Method::L3Dsr => 4,
            Method::Snat => 5,
        }
    }

    /// Every method that connections have.
    pub const OF_CONNECTIONS: &[Method] =
        &[Method::Nat, Method::Tun, Method::Dr, Method::FullNat, Method::L3Dsr, Method::Snat];

    /// The method that a number stands for.
    #[must_use]
    pub fn of_code(code: u8) -> Option<Self> {
        Self::OF_CONNECTIONS.iter().copied().find(|method| method.code() == code)
    }

    /// Whether connections lead outward: begun by a server behind the director, with whom the operator has not configured.
    #[inline(always)]
    #[must_use]
    pub const fn is_outward(self) -> bool {
        match self {
            Method::Snat => true,
            Method::Nat | Method::Tun | Method::Dr | Method::FullNat | Method::L3Dsr => false,
        }
    }

    /// Whether replies come back through the director.
    #[inline(always)]
    #[must_use]
    pub const fn sees_replies(self) -> bool {
        match self {
            Method::Nat | Method::FullNat | Method::Snat => true,
            Method::Tun | Method::Dr | Method::L3Dsr => false,
        }
    }

    /// Whether servers see a local address of the director in the place of the client's; under SNAT, whom servers ask.
    #[inline(always)]
    #[must_use]
    pub const fn hides_clients(self) -> bool {
        match self {
            Method::FullNat | Method::Snat => true,
            Method::Nat | Method::Tun | Method::Dr | Method::L3Dsr => false,
        }
    }

    /// Whether a server must be of its service's family. A tunnel takes packets of either; under FullNAT they are translated,
    /// and a server is of its local addresses' family.
    #[must_use]
    pub const fn keeps_family(self) -> bool {
        match self {
            Method::Nat | Method::Dr | Method::L3Dsr | Method::Snat => true,
            Method::Tun | Method::FullNat => false,
        }
    }

    /// Whether servers get packets with another address and port than the client sent to, so that a server's port need not be
    /// its service's. Otherwise servers have the VIP themselves.
    #[inline(always)]
    #[must_use]
    pub const fn rewrites_endpoints(self) -> bool {
        match self {
            Method::Nat | Method::FullNat | Method::Snat => true,
            Method::Tun | Method::Dr | Method::L3Dsr => false,
        }
    }

    /// Whether it reaches servers on attached networks only.
    #[must_use]
    pub const fn is_link_local(self) -> bool {
        match self {
            Method::Dr => true,
            Method::Nat | Method::Tun | Method::FullNat | Method::L3Dsr | Method::Snat => false,
        }
    }

    /// Whether packets go through a tunnel, whose end at the director has an address.
    #[must_use]
    pub const fn tunnels(self) -> bool {
        match self {
            Method::Tun => true,
            Method::Nat | Method::Dr | Method::FullNat | Method::L3Dsr | Method::Snat => false,
        }
    }

    /// Whether servers know by packets' DSCP which VIP they are for.
    #[must_use]
    pub const fn marks(self) -> bool {
        match self {
            Method::L3Dsr => true,
            Method::Nat | Method::Tun | Method::Dr | Method::FullNat | Method::Snat => false,
        }
    }
}
