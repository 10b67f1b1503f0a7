//! What is special about deciding on a packet of a call, which is GRE and has the key of its control connection: see
//! [`pptp`](crate::module::pptp).

use super::{
    Act, Course, End, Ended, Then,
    classify::Parsed,
    known::{Forwarded, Known},
};
use crate::{
    conn::connections::Hit, counters::DropReason, packet::Packet, service::plan::Unserved, time::Instant,
    wire::pptp,
};

impl Known {
    /// What becomes of a packet of a call that does not go with its connection: where no module reads that, or it is over; or
    /// where it is the first of another call, of the same number, whose server answers by itself.
    #[cold]
    pub(super) fn uncalled<F: Forwarded>(
        &self,
        now: Instant,
        packet: &impl Packet,
        parsed: &Parsed<F>,
        hit: Hit,
    ) -> Option<Course<F>> {
        let connection = F::connections(self).get(hit.connection());
        let is_control = F::connections(self).reading(hit.connection()).is_some();
        if !self.snapshot.service_of(connection.server).module.reads_calls() {
            return Some(self.refuse(now, parsed, Unserved::Reject, DropReason::Unserved).into());
        }
        if connection.method.rewrites_endpoints() {
            let is_read = F::connections(self).talk(hit.connection()).is_some();
            let has_call = is_read && !connection.state.is_over();
            return (!has_call).then_some(Act::Drop(DropReason::NoConnection).into());
        }
        let is_early = || pptp::is_early(parsed.at.payload(packet.bytes()));
        let is_another = !is_control && is_early() && self.expected(now, parsed, hit.direction()).is_some();
        let (connection, why) = (hit.connection(), Ended::Reopened);
        is_another.then_some(Course::End(End { connection, why, then: Then::Anew }))
    }
}
