//! Links of ports, and of members of bonds: looked at in one place, several times a second, by the director's own loop.
//!
//! * Operators are told when one goes down or comes up.
//! * Networks are told anew which addresses are here, when a port's link comes up or packets pass by other members than
//!   before: switches forget what was behind a link, and send to where they last heard an Ethernet address. Servers are
//!   checked at once when a link comes up, for the same reason.
//! * Everybody else (announcing, host sides, lists of interfaces) reads what was found: [`Links`](super::link_states::Links).

use super::running::Running;
use crate::{
    dpdk::{
        LinkState,
        bond::{Bond, Member, MemberState},
    },
    journal::Happened,
};
use lb_core::packet::PortId;
use lb_ctl::protocol::events::Kind;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// Time between two looks. DPDK itself looks at links that cannot be heard of every 10 ms.
const EVERY: Duration = Duration::from_millis(100);
/// How long members of bonds may take to come up after the start before that is news.
const START: Duration = Duration::from_secs(3);

/// Who looks, and what it found a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Looker {
    /// By port; nothing while it is stopped.
    known: Option<Vec<Option<LinkState>>>,
    /// By port, those that are bonds.
    bonds: BTreeMap<u16, Bond>,
    first: Option<Instant>,
    next: Option<Instant>,
}

/// What is different.
#[derive(Clone, Debug, PartialEq, Eq)]
enum News {
    /// A port's link. If `changed` is not set, the port has just been started.
    Link { port: PortId, state: LinkState, changed: bool },
    /// A member of a bond.
    Member(PortId, Member),
    /// Packets leave a bond by other members than before.
    Moved(PortId),
}

impl Looker {
    /// Looks, if it is time to. Called by the director every few milliseconds.
    pub(crate) fn tick(&mut self, running: &Running, now: Instant) {
        if self.next.is_some_and(|next| now < next) {
            return;
        }
        self.next = Some(now + EVERY);
        let is_start = now.duration_since(*self.first.get_or_insert(now)) < START;
        let (states, bonds): (Vec<_>, Vec<_>) = {
            let ports = running.ports();
            let look = |port: &crate::dpdk::StartedPort| {
                let is_moving = port.is_moving();
                if is_moving {
                    port.fail_over();
                }
                let state = is_moving.then(|| port.link().state);
                (state, is_moving.then(|| port.bond()).flatten().map(|bond| (port.index(), bond)))
            };
            ports.iter().map(look).unzip()
        };
        let up = states.iter().map(|state| *state == Some(LinkState::Up));
        running.links.keep(up, !running.shutdown.is_paused(), (running.health.start(), now));
        let mut news = self.ports(states);
        bonds.into_iter().flatten().for_each(|(port, bond)| news.extend(self.bond(port, bond, is_start)));
        tell(running, news);
    }

    /// What is different at ports. At start, workers announce everything anyway.
    fn ports(&mut self, states: Vec<Option<LinkState>>) -> Vec<News> {
        let known = self.known.replace(states.clone());
        let is_start = known.is_none();
        let before = known.unwrap_or_else(|| vec![None; states.len()]);
        let pairs = before.into_iter().zip(states).enumerate();
        let news = pairs.filter_map(|(port, (before, state))| {
            let (port, state) = (PortId(port as u16), state?);
            let is_news = before != Some(state) && !(is_start && state == LinkState::Up);
            is_news.then_some(News::Link { port, state, changed: before.is_some() })
        });
        news.collect()
    }

    /// What is different at a bond. At the start all members come up, and partners of LACP take a moment: then only those
    /// are news that do not. What was announced before has been lost.
    fn bond(&mut self, port: PortId, bond: Bond, is_start: bool) -> Vec<News> {
        let is_up = |member: &Member| matches!(member.state, MemberState::Active | MemberState::Standby);
        let members = bond.members.clone();
        if !self.bonds.contains_key(&port.0) && is_start && !members.iter().all(is_up) {
            return Vec::new();
        }
        let before = self.bonds.insert(port.0, bond);
        let is_active = |member: &&Member| member.state == MemberState::Active;
        let (is_moved, new): (bool, Vec<Member>) = match before {
            None => (true, members.into_iter().filter(|member| !is_up(member)).collect()),
            Some(before) => (
                !before.members.iter().filter(is_active).eq(members.iter().filter(is_active)),
                members.into_iter().filter(|member| !before.members.contains(member)).collect(),
            ),
        };
        let new = new.into_iter().map(|member| News::Member(port, member));
        new.chain(is_moved.then_some(News::Moved(port))).collect()
    }
}

/// Has everybody hear what is different who has to.
fn tell(running: &Running, news: Vec<News>) {
    let names = running.port_names();
    let name = |port: PortId| names.get(usize::from(port.0)).map_or("?", String::as_str);
    let tell = |kind, text| running.journal.tell(Happened::new(kind, text));
    let mut anew = BTreeSet::new();
    for one in news {
        match one {
            News::Link { port, state: LinkState::Up, changed } => {
                if changed {
                    tell(Kind::LinkUp, format!("the link of port {} is up", name(port)));
                }
                anew.insert(port.0);
                running.health.hurry();
            }
            News::Link { port, state: LinkState::Down, .. } => {
                tell(Kind::LinkDown, format!("the link of port {} is down", name(port)));
            }
            News::Link { port, state: LinkState::Gone, .. } => tell(
                Kind::LinkGone,
                format!(
                    "the network interface of port {} no longer exists: the port forwards no packets until lb-app is \
                     started again",
                    name(port)
                ),
            ),
            News::Member(port, Member { name: member, state }) => {
                let kind = match state {
                    MemberState::Active | MemberState::Standby => Kind::MemberUp,
                    MemberState::Waiting | MemberState::Down => Kind::MemberDown,
                };
                tell(kind, format!("member {member} of port {}: {state}", name(port)));
            }
            News::Moved(port) => drop(anew.insert(port.0)),
        }
    }
    anew.into_iter().for_each(|port| running.announce(Some(PortId(port))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use LinkState::{Down, Gone, Up};
    use MemberState::{Active, Standby, Waiting};

    #[test]
    fn links_that_change_are_news() {
        let mut looker = Looker::default();
        let mut look = |states: &[Option<LinkState>]| {
            let of = |news| match news {
                News::Link { port, state, changed } => (port.0, state, changed),
                other => panic!("{other:?}"),
            };
            looker.ports(states.to_vec()).into_iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(look(&[Some(Up), Some(Down)]), [(1, Down, false)], "that one is up at start is none");
        assert_eq!(look(&[Some(Up), Some(Down)]), []);
        assert_eq!(look(&[Some(Gone), Some(Up)]), [(0, Gone, true), (1, Up, true)]);
        assert_eq!(look(&[Some(Gone), None]), [], "it is stopped");
        assert_eq!(look(&[Some(Gone), Some(Up)]), [(1, Up, false)], "and started");
        assert_eq!(look(&[]), [], "the director ends");
    }

    #[test]
    fn members_that_change_are_news_and_announced_when_packets_pass_elsewhere() {
        let mut looker = Looker::default();
        let mut look = |states: [MemberState; 2], is_start| {
            let member = |(at, state)| Member { name: format!("net_tap{at}"), state };
            let members = states.into_iter().enumerate().map(member).collect();
            let news = looker.bond(PortId(3), Bond { members, ..Bond::default() }, is_start);
            let is_moved = news.contains(&News::Moved(PortId(3)));
            let of = |news| match news {
                News::Member(PortId(3), member) => Some((member.name, member.state)),
                _ => None,
            };
            (news.into_iter().filter_map(of).collect::<Vec<_>>(), is_moved)
        };
        let tap = |at, state| (format!("net_tap{at}"), state);
        let down = MemberState::Down;
        assert_eq!(look([Active, down], true), (vec![], false), "it may still come up");
        assert_eq!(look([Active, down], false), (vec![tap(1, down)], true));
        assert_eq!(look([Active, Standby], false), (vec![tap(1, Standby)], false));
        assert_eq!(look([down, Active], false), (vec![tap(0, down), tap(1, Active)], true));
        assert_eq!(look([down, Active], false), (vec![], false));
        assert!(look([Waiting, Waiting], false).1, "nobody is active");
    }
}
