//! The scheduler that the operator names.

use super::{
    Candidate, Scheduler,
    destinations::Destinations,
    dh, fo,
    kind::{Hashes, SchedulerKind},
    lblc, lblcr, lc, mh, nq, ovf, rr, sed, sh,
    start::Start,
    tables::Tables,
    twos, wlc, wrr,
};
use std::sync::Arc;

/// The scheduler of a service with these servers. Those that take turns begin at `start`; those that hash have one of
/// `tables`, which is made if it is not there: some milliseconds and, for a few servers, 32 KiB; those that remember
/// destinations ask for the service's.
#[must_use]
pub fn build(
    kind: SchedulerKind,
    hashes: Hashes,
    candidates: &[Candidate],
    start: Start,
    tables: &mut Tables,
    destinations: &dyn Fn() -> Arc<Destinations>,
) -> Arc<dyn Scheduler> {
    match kind {
        SchedulerKind::Rr => Arc::new(rr::Rr::new(candidates, start)),
        SchedulerKind::Wrr => Arc::new(wrr::Wrr::new(candidates, start)),
        SchedulerKind::Lc => Arc::new(lc::new(candidates, start)),
        SchedulerKind::Wlc => Arc::new(wlc::new(candidates, start)),
        SchedulerKind::Sh => Arc::new(sh::new(candidates, hashes, tables)),
        SchedulerKind::Dh => Arc::new(dh::new(candidates, hashes.servers, tables)),
        SchedulerKind::Mh => Arc::new(mh::new(candidates, hashes, tables)),
        SchedulerKind::Sed => Arc::new(sed::new(candidates, start)),
        SchedulerKind::Nq => Arc::new(nq::new(candidates, start)),
        SchedulerKind::Fo => Arc::new(fo::Fo::new(candidates)),
        SchedulerKind::Ovf => Arc::new(ovf::Ovf::new(candidates)),
        SchedulerKind::Twos => Arc::new(twos::Twos::new(candidates, start)),
        SchedulerKind::Lblc => Arc::new(lblc::Lblc::new(candidates, start, destinations())),
        SchedulerKind::Lblcr => Arc::new(lblcr::Lblcr::new(candidates, start, destinations())),
    }
}
