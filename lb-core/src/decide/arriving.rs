//! Which packets become packets of another family as they arrive: see [`translate`](crate::forward::translate).

use super::{
    Origin,
    classify::{Kind, Parsed},
    known::{Forwarded, Known},
};
use crate::{
    counters::DropReason,
    family::{Message, V4},
    wire::headers::Headers,
};

/// What becomes of a packet before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arriving {
    /// It becomes one of IPv6. Its headers are there.
    Translated(Headers<V4>),
    /// It ends.
    Dropped(DropReason),
}

impl Known {
    /// What becomes of a packet before anything else, where the snapshot has services between families. `None` if nothing
    /// does. `is_translated` says whether it has been translated.
    #[cold]
    #[inline(never)]
    pub(crate) fn arriving<F: Forwarded>(
        &self,
        parsed: &Parsed<F>,
        frame: &[u8],
        origin: Origin,
        is_translated: bool,
    ) -> Option<Arriving> {
        let at = &parsed.at;
        match parsed.kind {
            Kind::Common | Kind::Flow | Kind::Fragment => {}
            // Pings are answered in their own family.
            Kind::Icmp if F::message(*at.payload(frame).first()?) == Message::ConnectionError => {}
            Kind::Icmp | Kind::Resolution | Kind::OtherFamily | Kind::OtherProtocol | Kind::Drop => {
                return None;
            }
        }
        // Other workers hand over what they have translated.
        let is_from_network = origin == Origin::Port && !is_translated;
        if is_from_network && (F::is_embedded(at.source) || F::is_embedded(at.destination)) {
            // Written so by nobody but us.
            return Some(Arriving::Dropped(DropReason::BadSource));
        }
        let at = at.of_ipv4()?;
        self.snapshot.is_translated(at.destination).then_some(Arriving::Translated(at))
    }
}
