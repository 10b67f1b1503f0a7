//! The scheduler that the operator names.

use super::{Candidate, Scheduler, dh, kind::SchedulerKind, lc, mh, rr, sh, wlc, wrr};
use std::sync::Arc;

/// The scheduler of a service with these servers.
///
/// Costs time and memory with the hashing schedulers only: a table of 256 KiB and a few milliseconds.
#[must_use]
pub fn build(kind: SchedulerKind, hash_port: bool, candidates: &[Candidate]) -> Arc<dyn Scheduler> {
    match kind {
        SchedulerKind::Rr => Arc::new(rr::Rr::new(candidates)),
        SchedulerKind::Wrr => Arc::new(wrr::Wrr::new(candidates)),
        SchedulerKind::Lc => Arc::new(lc::Lc::new(candidates)),
        SchedulerKind::Wlc => Arc::new(wlc::Wlc::new(candidates)),
        SchedulerKind::Sh => Arc::new(sh::Sh::new(candidates, hash_port)),
        SchedulerKind::Dh => Arc::new(dh::Dh::new(candidates)),
        SchedulerKind::Mh => Arc::new(mh::Mh::new(candidates, hash_port)),
    }
}
