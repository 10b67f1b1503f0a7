//! What workers noticed: address conflicts, next hops lost and found.

use crate::{control::live::running::Running, journal::Happened};
use crossbeam_channel::Receiver;
use lb_core::{ids::InterfaceId, packet::Notice};
use lb_ctl::protocol::events::Kind;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// How long the same is not told again: each worker has neighbours of its own, and notices by itself.
const ONCE: Duration = Duration::from_secs(5);

/// What workers noticed, to be told once.
pub(crate) struct Notices {
    from_workers: Receiver<Notice>,
    told: Mutex<Told>,
}

/// What was told of each address lately.
#[derive(Debug, Default)]
struct Told(HashMap<(bool, IpAddr, InterfaceId), (Instant, String)>);

impl Notices {
    pub(crate) fn new(from_workers: Receiver<Notice>) -> Self {
        Notices { from_workers, told: Mutex::default() }
    }

    /// Tells what there is. Called by the director every few milliseconds.
    pub(super) fn tell(&self, running: &Running, now: Instant) {
        let mut told = self.told.lock();
        for notice in self.from_workers.try_iter() {
            let text = describe(&notice, &running.interface_names());
            let kind = match notice {
                Notice::AddressConflict { .. } | Notice::AddressTaken { .. } => Kind::AddressConflict,
                Notice::NeighbourLost { .. } => Kind::NeighbourLost,
                Notice::NeighbourFound { .. } => Kind::NeighbourFound,
            };
            if told.is_news(&notice, &text, now) {
                running.journal.tell(Happened::new(kind, text));
            }
        }
    }
}

impl Told {
    fn is_news(&mut self, notice: &Notice, text: &str, now: Instant) -> bool {
        self.0.retain(|_, (at, _)| now.duration_since(*at) < ONCE);
        let about = match *notice {
            Notice::AddressConflict { address, interface, .. }
            | Notice::AddressTaken { address, interface, .. } => (true, address, interface),
            Notice::NeighbourLost { address, interface }
            | Notice::NeighbourFound { address, interface, .. } => (false, address, interface),
        };
        if self.0.get(&about).is_some_and(|(_, before)| before == text) {
            return false;
        }
        self.0.insert(about, (now, text.to_owned()));
        true
    }
}

/// What a notice says, with the name that the interface has in the configuration.
fn describe(notice: &Notice, names: &[String]) -> String {
    let name = |interface: &InterfaceId| names.get(interface.index()).map_or("?", String::as_str);
    match notice {
        Notice::AddressConflict { address, mac, interface } => format!(
            "address conflict: {mac} on port {} claims {address}, which belongs to this director; a server with a VIP \
             must not answer ARP for it",
            name(interface)
        ),
        Notice::AddressTaken { address, mac, interface } => format!(
            "address conflict: {mac} on port {} had {address} before this director, which does not announce it as long as \
             the other answers for it; it is asked again every 30 s",
            name(interface)
        ),
        Notice::NeighbourLost { address, interface } => {
            format!("next hop {address} on port {} does not answer", name(interface))
        }
        Notice::NeighbourFound { address, mac, interface } => {
            format!("next hop {address} on port {} is at {mac}", name(interface))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::service::plan::Mac;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

    #[test]
    fn notices_name_the_interface() {
        let names = ["wan", "lan"].map(str::to_owned);
        let address = [198, 51, 100, 11].into();
        let lost = Notice::NeighbourLost { address, interface: InterfaceId(1) };
        assert_eq!(describe(&lost, &names), "next hop 198.51.100.11 on port lan does not answer");
        let conflict = Notice::AddressConflict { address, mac: MAC, interface: InterfaceId(0) };
        let text = describe(&conflict, &names);
        assert!(
            text.starts_with("address conflict: 02:00:00:00:00:01 on port wan claims 198.51.100.11,"),
            "{text}"
        );
    }

    #[test]
    fn what_two_workers_notice_is_told_once() {
        let (mut told, start) = (Told::default(), Instant::now());
        let address = [198, 51, 100, 11].into();
        let found = Notice::NeighbourFound { address, mac: MAC, interface: InterfaceId(1) };
        let lost = Notice::NeighbourLost { address, interface: InterfaceId(1) };
        let mut is_news = |notice, after_ms| {
            told.is_news(notice, &describe(notice, &[]), start + Duration::from_millis(after_ms))
        };
        assert!(is_news(&found, 0) && !is_news(&found, 1), "of two workers");
        assert!(is_news(&lost, 1_000) && !is_news(&lost, 1_010));
        assert!(is_news(&found, 2_000), "it changed in between");
        assert!(!is_news(&found, 6_999) && is_news(&found, 7_000));
    }
}
