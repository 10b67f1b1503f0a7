//! Which schedulers there are, and what is said of those that hash.

use crate::named::named;

named! {
    /// How a server is chosen for a new connection.
    SchedulerKind {
        /// One server after the other.
        Rr = "rr",
        /// In turn, by weight, spread smoothly.
        Wrr = "wrr",
        /// The server with the fewest connections.
        Lc = "lc",
        /// The server with the fewest connections for its weight.
        Wlc = "wlc",
        /// By a hash of the client's address.
        Sh = "sh",
        /// By a hash of the destination address.
        Dh = "dh",
        /// By a hash of the client's address into a weighted Maglev table.
        Mh = "mh",
        /// The server where a new connection has the shortest expected delay.
        Sed = "sed",
        /// A server without connections, else the one with the shortest expected delay.
        Nq = "nq",
        /// The server with the highest weight.
        Fo = "fo",
        /// The server with the highest weight that has no more active connections than that.
        Ovf = "ovf",
        /// The better of two that are drawn at random.
        Twos = "twos",
        /// The server that the destination had before, unless that is overloaded.
        Lblc = "lblc",
        /// The least loaded of the servers that the destination had before, unless all are overloaded.
        Lblcr = "lblcr",
    }
}

/// What operators say of schedulers that hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hashes {
    /// The client's port is hashed as well.
    pub port: bool,
    /// For how many servers the table is made, if that is more than there are.
    pub servers: u32,
}

impl SchedulerKind {
    /// Whether it looks a hash up in a table.
    #[must_use]
    pub const fn has_table(self) -> bool {
        match self {
            SchedulerKind::Sh | SchedulerKind::Dh | SchedulerKind::Mh => true,
            SchedulerKind::Rr
            | SchedulerKind::Wrr
            | SchedulerKind::Lc
            | SchedulerKind::Wlc
            | SchedulerKind::Sed
            | SchedulerKind::Nq
            | SchedulerKind::Fo
            | SchedulerKind::Ovf
            | SchedulerKind::Twos
            | SchedulerKind::Lblc
            | SchedulerKind::Lblcr => false,
        }
    }
}
