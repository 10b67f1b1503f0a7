//! Members of bonds: operators are told when one goes down or comes up. When packets pass by other members than before,
//! the network is told anew which addresses are here: a switch sends to where it last heard an Ethernet address, and under
//! active-backup that is the port of the member that has gone.

use super::running::Running;
use crate::{
    dpdk::bond::{Bond, Member, MemberState},
    journal::Happened,
};
use lb_core::packet::PortId;
use lb_ctl::protocol::events::Kind;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Time between two looks. DPDK itself looks at links that cannot be heard of every 10 ms.
const EVERY: Duration = Duration::from_millis(100);
/// How long members may take to come up after the start before that is news.
const START: Duration = Duration::from_secs(3);

/// Bonds, as they were a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Bonds {
    known: BTreeMap<u16, Bond>,
    first: Option<Instant>,
    next: Option<Instant>,
}

/// What is different at a bond.
#[derive(Debug, Default, PartialEq, Eq)]
struct News {
    members: Vec<Member>,
    /// Packets leave by others than before.
    moved: bool,
}

impl Bonds {
    /// Looks, if it is time to. Called by the director every few milliseconds.
    pub(crate) fn tick(&mut self, running: &Running, now: Instant) {
        if self.next.is_some_and(|next| now < next) {
            return;
        }
        self.next = Some(now + EVERY);
        let is_start = now.duration_since(*self.first.get_or_insert(now)) < START;
        let bonds: Vec<(PortId, Bond)> = {
            let ports = running.ports();
            let moving = ports.iter().filter(|port| port.is_moving());
            let mended = moving.inspect(|port| port.fail_over());
            mended.filter_map(|port| Some((port.index(), port.bond()?))).collect()
        };
        for (port, bond) in bonds {
            let news = self.look(port, bond, is_start);
            let names = running.port_names();
            let name = names.get(usize::from(port.0)).map_or("?", String::as_str);
            for Member { name: member, state } in news.members {
                let kind = match state {
                    MemberState::Active | MemberState::Standby => Kind::MemberUp,
                    MemberState::Waiting | MemberState::Down => Kind::MemberDown,
                };
                running.journal.tell(Happened::new(kind, format!("member {member} of port {name}: {state}")));
            }
            if news.moved {
                running.announce(Some(port));
            }
        }
    }

    /// What is different from what is known. At the start all members come up, and partners of LACP take a moment: then
    /// only those are news that do not. What was announced before has been lost.
    fn look(&mut self, port: PortId, bond: Bond, is_start: bool) -> News {
        let is_up = |member: &Member| matches!(member.state, MemberState::Active | MemberState::Standby);
        let members = bond.members.clone();
        if !self.known.contains_key(&port.0) && is_start && !members.iter().all(is_up) {
            return News::default();
        }
        let Some(before) = self.known.insert(port.0, bond) else {
            let down = members.into_iter().filter(|member| !is_up(member));
            return News { members: down.collect(), moved: true };
        };
        let is_active = |member: &&Member| member.state == MemberState::Active;
        let moved = !before.members.iter().filter(is_active).eq(members.iter().filter(is_active));
        let new = members.into_iter().filter(|member| !before.members.contains(member));
        News { members: new.collect(), moved }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MemberState::{Active, Down, Standby, Waiting};

    #[test]
    fn members_that_change_are_news_and_announced_when_packets_pass_elsewhere() {
        let mut bonds = Bonds::default();
        let mut look = |states: [MemberState; 2], is_start| {
            let member = |(at, state)| Member { name: format!("net_tap{at}"), state };
            let members = states.into_iter().enumerate().map(member).collect();
            let News { members, moved } =
                bonds.look(PortId(3), Bond { members, ..Bond::default() }, is_start);
            (members.into_iter().map(|member| (member.name, member.state)).collect::<Vec<_>>(), moved)
        };
        let tap = |at, state| (format!("net_tap{at}"), state);
        assert_eq!(look([Active, Down], true), (vec![], false), "it may still come up");
        assert_eq!(look([Active, Down], false), (vec![tap(1, Down)], true));
        assert_eq!(look([Active, Standby], false), (vec![tap(1, Standby)], false));
        assert_eq!(look([Down, Active], false), (vec![tap(0, Down), tap(1, Active)], true));
        assert_eq!(look([Down, Active], false), (vec![], false));
        assert!(look([Waiting, Waiting], false).1, "nobody is active");
    }
}
