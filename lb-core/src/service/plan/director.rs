//! What the director is to its VIPs: the one that answers for them, or one that is ready to.

use crate::{
    named::named,
    option,
    service::option::{Kind, Opt},
    words,
};

named! {
    /// What a director is to its VIPs.
    Role {
        /// It answers ARP for them, announces them and opens connections.
        Active = "active",
        /// It polls ports, checks servers and forwards the connections that it has, and says nothing for VIPs.
        Standby = "standby",
    }
}

words!(Role);

/// What is said of the director as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectorPlan {
    /// What it is to its VIPs.
    pub role: Role,
}

#[expect(clippy::derivable_impls, reason = "the values of a named enumeration take no attributes")]
impl Default for Role {
    fn default() -> Self {
        Role::Active
    }
}

impl DirectorPlan {
    /// What can be said of it.
    pub const OPTIONS: &'static [Opt<Self>] = &[option!(
        role,
        Kind::Word(Role::NAMES),
        "An `active` director answers ARP for VIPs, announces them and opens connections. One on `standby` says nothing for \
         VIPs and goes on with the connections that it has; [docs/directors.md](../docs/directors.md)."
    )];
}
