//! Which persistence a service can have.

use super::plan::{PersistBy, Protocol, ServicePlan};

/// Why a service cannot have a persistence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaysMistake {
    /// One client that is everybody.
    Everybody,
    /// Call-IDs of what is no datagram.
    Calls,
}

impl StaysMistake {
    /// The option that is wrong.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            StaysMistake::Everybody => "prefix",
            StaysMistake::Calls => "by",
        }
    }

    /// What is wrong with it.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            StaysMistake::Everybody => "is 0, which makes one client of all",
            StaysMistake::Calls => "means calls, which are read in datagrams only",
        }
    }

    /// What to do.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            StaysMistake::Everybody => "use 1 to 128, or by = \"sip-call-id\"",
            StaysMistake::Calls => "use protocol = \"udp\", or by = \"address\"",
        }
    }
}

/// What is wrong with a service's persistence, if something is.
#[must_use]
pub fn mistake(service: &ServicePlan) -> Option<StaysMistake> {
    let persistence = &service.persistence;
    match persistence.by {
        PersistBy::Address => (persistence.prefix == 0).then_some(StaysMistake::Everybody),
        PersistBy::SipCallId => {
            let has_datagrams = service.reach().protocols().any(|protocol| protocol == Protocol::Udp);
            (!has_datagrams).then_some(StaysMistake::Calls)
        }
    }
}
