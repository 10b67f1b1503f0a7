//! The lookup table of a scheduler that hashes.

use super::ServicePlan;
use crate::sched::{Hashes, footprint::Footprint};

impl ServicePlan {
    /// What a scheduler that hashes is told.
    #[must_use]
    pub const fn hashes(&self) -> Hashes {
        Hashes { port: self.hash_port, servers: self.hash_servers }
    }

    /// Slots of its scheduler's lookup table, if it has one. With another number nearly all clients have another server.
    #[must_use]
    pub fn table_slots(&self) -> Option<u32> {
        Footprint::slots(self.scheduler, self.hashes(), self.servers.len())
    }
}
