//! Links of ports: operators are told when one goes down or comes up, and then its network is told which addresses are
//! here: switches forget what was behind a link, and the network may be another one. Servers are checked at once, for the
//! same reason.

use super::running::Running;
use crate::{dpdk::LinkState, journal::Happened};
use lb_core::packet::PortId;
use lb_ctl::protocol::events::Kind;
use std::time::{Duration, Instant};

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// Links, as they were a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Links {
    /// By port; nothing while it is stopped.
    known: Option<Vec<Option<LinkState>>>,
    next: Option<Instant>,
}

/// What is different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct News {
    port: PortId,
    state: LinkState,
    /// It was otherwise before. If not, the port has just been started.
    changed: bool,
}

impl Links {
    /// Looks, if it is time to. Called by the director every few milliseconds.
    pub(crate) fn tick(&mut self, running: &Running, now: Instant) {
        if self.next.is_some_and(|next| now < next) {
            return;
        }
        self.next = Some(now + EVERY);
        let states = running.ports().iter().map(|port| port.is_moving().then(|| port.link().state)).collect();
        let names = running.port_names();
        let tell = |kind, text| running.journal.tell(Happened::new(kind, text));
        for News { port, state, changed } in self.look(states) {
            let name = names.get(usize::from(port.0)).map_or("?", String::as_str);
            match state {
                LinkState::Up => {
                    if changed {
                        tell(Kind::LinkUp, format!("the link of port {name} is up"));
                    }
                    running.announce(Some(port));
                    running.health.hurry();
                }
                LinkState::Down => tell(Kind::LinkDown, format!("the link of port {name} is down")),
                LinkState::Gone => tell(
                    Kind::LinkGone,
                    format!(
                        "the network interface of port {name} no longer exists: the port forwards no packets until \
                         lb-app is started again"
                    ),
                ),
            }
        }
    }

    /// What is different from what is known. At start, workers announce everything anyway.
    fn look(&mut self, states: Vec<Option<LinkState>>) -> Vec<News> {
        let known = self.known.replace(states.clone());
        let is_start = known.is_none();
        let before = known.unwrap_or_else(|| vec![None; states.len()]);
        let pairs = before.into_iter().zip(states).enumerate();
        let news = pairs.filter_map(|(port, (before, state))| {
            let (port, state) = (PortId(port as u16), state?);
            let is_news = before != Some(state) && !(is_start && state == LinkState::Up);
            is_news.then_some(News { port, state, changed: before.is_some() })
        });
        news.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LinkState::{Down, Gone, Up};

    #[test]
    fn links_that_change_are_news() {
        let mut links = Links::default();
        let mut look = |states: &[Option<LinkState>]| {
            let news = links.look(states.to_vec()).into_iter();
            news.map(|news| (news.port.0, news.state, news.changed)).collect::<Vec<_>>()
        };
        assert_eq!(look(&[Some(Up), Some(Down)]), [(1, Down, false)], "that one is up at start is none");
        assert_eq!(look(&[Some(Up), Some(Down)]), []);
        assert_eq!(look(&[Some(Gone), Some(Up)]), [(0, Gone, true), (1, Up, true)]);
        assert_eq!(look(&[Some(Gone), None]), [], "it is stopped");
        assert_eq!(look(&[Some(Gone), Some(Up)]), [(1, Up, false)], "and started");
        assert_eq!(look(&[]), [], "the director ends");
    }
}
