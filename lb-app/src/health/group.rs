//! Checks that are the same are made once: where several services have a server, one probe tells all of them.
//!
//! A group is all servers of services that are checked in the same way at the same place. Each judges what is found by its
//! own `rise` and `fall`. A server leaves its group when whoever holds its [`Member`] drops it, and the last one to leave
//! ends the checks.

use super::target::Target;
use crate::config::health::{Check, Kind};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Instant,
};
use tokio::task::AbortHandle;

/// All groups that others may join, by the place that they ask.
#[derive(Debug, Default)]
pub(super) struct Groups(Mutex<HashMap<SocketAddr, Vec<Weak<Group>>>>);

/// Servers that are checked together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) check: Arc<Check>,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    members: Vec<Target>,
    /// When the next check begins. Nothing while one is under way.
    next: Option<Instant>,
    task: Option<AbortHandle>,
    /// Its checks have ended, since there was nobody left.
    over: bool,
}

impl Groups {
    /// A place in the group of such a check; `start` starts its checks if there is none yet.
    pub(super) fn join(
        &self,
        target: Target,
        check: Arc<Check>,
        start: impl FnOnce(Weak<Group>) -> AbortHandle,
    ) -> Member {
        let place = place(&check, &target);
        let mut groups = lock(&self.0);
        let known = place.and_then(|place| {
            let at = groups.get(&place)?.iter().filter_map(Weak::upgrade);
            at.into_iter().find(|group| group.check.asks_like(&check) && group.admit(&target))
        });
        let group = known.unwrap_or_else(|| {
            let inside = Inside { members: vec![target.clone()], ..Inside::default() };
            let group = Arc::new(Group { check, inside: Mutex::new(inside) });
            if let Some(place) = place {
                let at = groups.entry(place).or_default();
                at.retain(|group| group.strong_count() > 0);
                at.push(Arc::downgrade(&group));
            }
            lock(&group.inside).task = Some(start(Arc::downgrade(&group)));
            group
        });
        Member { group, target }
    }

    /// Forgets places where nobody is asked any more.
    pub(super) fn tidy(&self) {
        lock(&self.0).retain(|_, groups| groups.iter().any(|group| group.strong_count() > 0));
    }
}

impl Group {
    /// Takes in another one, unless it is over.
    fn admit(&self, target: &Target) -> bool {
        let mut inside = lock(&self.inside);
        if !inside.over {
            inside.members.push(target.clone());
        }
        !inside.over
    }

    /// Any one of them, who stands for all. Nobody if there is none, and there will not be any more.
    pub(super) fn anyone(&self) -> Option<Target> {
        let mut inside = lock(&self.inside);
        inside.over = inside.members.is_empty();
        inside.members.first().cloned()
    }

    /// All who are in it now.
    pub(super) fn members(&self) -> Vec<Target> {
        lock(&self.inside).members.clone()
    }

    /// The next check begins then, or now.
    pub(super) fn schedule(&self, next: Option<Instant>) {
        lock(&self.inside).next = next;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.inside).task.take() {
            task.abort();
        }
    }
}

/// A server's place in a group. Dropping it leaves the group.
#[derive(Debug)]
pub(crate) struct Member {
    group: Arc<Group>,
    target: Target,
}

impl Member {
    /// When the group's next check begins, if that is known.
    pub(super) fn next(&self) -> Option<Instant> {
        lock(&self.group.inside).next
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut inside = lock(&self.group.inside);
        if let Some(at) = inside.members.iter().position(|member| *member == self.target) {
            inside.members.swap_remove(at);
        }
    }
}

/// What is asked, if others may be told what it answers: not programs, which learn whom they are run for, and not what
/// goes to a VIP, which is one service's.
fn place(check: &Check, target: &Target) -> Option<SocketAddr> {
    let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    match check.kind {
        Kind::Command(_) => None,
        _ if check.to_vip => None,
        // The file says the same to everybody.
        Kind::File(_) => Some(nowhere),
        Kind::Icmp => Some(SocketAddr::new(address(check, target).ip(), 0)),
        _ => Some(address(check, target)),
    }
}

/// Where a check goes to.
pub(super) fn address(check: &Check, target: &Target) -> SocketAddr {
    let key = &target.key;
    let to = if check.to_vip { key.service.endpoint() } else { key.endpoint() };
    let ip: IpAddr = check.address.unwrap_or(to.ip());
    SocketAddr::new(ip, check.port.unwrap_or(to.port()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{super::tests::service, *};
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn check(keys: &str) -> Arc<Check> {
        service(&format!("check = {{ {keys} }}\n")).health.services[0].check.clone().unwrap()
    }

    fn target(service: &str, server: &str) -> Target {
        let key = format!("{server} of tcp {service}").parse().unwrap();
        Target { name: service.to_owned(), key }
    }

    /// In how many groups these checks of these servers are.
    fn groups(checks: &[(&str, &str, &str)]) -> usize {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let groups = Groups::default();
        let started = AtomicUsize::new(0);
        let members = checks.iter().map(|(keys, service, server)| {
            groups.join(target(service, server), check(keys), |_| {
                started.fetch_add(1, Ordering::Relaxed);
                runtime.spawn(std::future::pending::<()>()).abort_handle()
            })
        });
        let members: Vec<Member> = members.collect();
        drop(members);
        groups.tidy();
        assert!(lock(&groups.0).is_empty());
        started.into_inner()
    }

    #[test]
    fn the_same_question_to_the_same_place_is_asked_once() {
        let (a, b) = ("192.0.2.100:80", "192.0.2.101:443");
        let (one, two) = ("192.0.2.11:80", "192.0.2.12:80");
        let tcp = "type = \"tcp\"";
        assert_eq!(groups(&[(tcp, a, one), (tcp, b, one), (tcp, a, two)]), 2);
        assert_eq!(
            groups(&[(tcp, a, one), ("type = \"tcp\", fall = 7, rise = 1, assume_down = true", b, one)]),
            1
        );
        assert_eq!(groups(&[(tcp, a, one), ("type = \"tcp\", interval = \"9s\"", b, one)]), 2);
        assert_eq!(groups(&[(tcp, a, one), ("type = \"http\"", b, one)]), 2);
        let port = "type = \"tcp\", port = 81";
        assert_eq!(groups(&[(port, a, one), (port, b, "192.0.2.11:443")]), 1, "that is where both go");
        let icmp = "type = \"icmp\"";
        assert_eq!(groups(&[(icmp, a, one), (icmp, b, "192.0.2.11:443")]), 1, "a ping has no port");
        let program = "type = \"command\", command = [\"/bin/true\"]";
        assert_eq!(groups(&[(program, a, one), (program, b, one)]), 2, "it is told for which service");
        let vip = "type = \"tcp\", to = \"vip\"";
        assert_eq!(groups(&[(vip, a, one), (vip, b, one)]), 2);
        let file = "type = \"file\", file = \"/run/x\"";
        assert_eq!(groups(&[(file, a, one), (file, b, two)]), 1);
    }

    #[test]
    fn whoever_is_left_is_still_checked() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let groups = Groups::default();
        let join = |service: &str| {
            let server = target(service, "192.0.2.11:80");
            groups.join(server, check("type = \"tcp\""), |_| {
                runtime.spawn(std::future::pending::<()>()).abort_handle()
            })
        };
        let first = join("192.0.2.100:80");
        let second = join("192.0.2.101:80");
        let group = Arc::downgrade(&first.group);
        let members = || group.upgrade().map(|group| group.members().len());
        assert_eq!(members(), Some(2));
        drop(first);
        assert_eq!(members(), Some(1));
        let third = join("192.0.2.102:80");
        drop(second);
        assert_eq!(members(), Some(1));
        drop(third);
        assert_eq!(members(), None);
    }
}
