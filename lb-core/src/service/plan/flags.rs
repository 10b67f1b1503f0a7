//! IPVS's flags of schedulers, as in `ipvsadm -b sh-port,sh-fallback`.

use super::SchedulerKind;

/// All of them.
pub(super) const FLAGS: &[&str] = &["sh-port", "sh-fallback", "mh-port", "mh-fallback"];

/// The flags that a scheduler has, if any: by which it looks at the client's port beside its address, and by which it
/// chooses another server where the first is full.
#[must_use]
pub const fn flags_of(scheduler: SchedulerKind) -> Option<[&'static str; 2]> {
    match scheduler {
        SchedulerKind::Sh => Some([FLAGS[0], FLAGS[1]]),
        SchedulerKind::Mh => Some([FLAGS[2], FLAGS[3]]),
        SchedulerKind::Rr
        | SchedulerKind::Wrr
        | SchedulerKind::Lc
        | SchedulerKind::Wlc
        | SchedulerKind::Dh
        | SchedulerKind::Sed
        | SchedulerKind::Nq
        | SchedulerKind::Fo
        | SchedulerKind::Ovf
        | SchedulerKind::Twos
        | SchedulerKind::Lblc
        | SchedulerKind::Lblcr => None,
    }
}
