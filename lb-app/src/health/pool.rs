//! What the states of a service's servers mean together: who gets new connections, and how much of them.
//!
//! Without a clock, like [`super::machine`].

use crate::config::health::{Pool, WhenAllFail};
use lb_core::time::{Duration, Instant};

/// One server as its service sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// The configured weight.
    pub(crate) weight: u32,
    /// Its checks say that it works.
    pub(crate) up: bool,
    /// Since when.
    pub(crate) since: Instant,
    /// It has come back, rather than been there from the start, and starts slowly.
    pub(crate) came_back: bool,
    /// When it fails it keeps its connections.
    pub(crate) inhibit: bool,
    /// How long it takes its check to notice a failure. Servers that fail closer together fail together.
    pub(crate) reaction: Duration,
}

/// What becomes of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It gets this many percent of its share of new connections; 100 after its slow start.
    Serves(u8),
    /// It keeps its connections and gets no new ones.
    Inhibited,
    /// It is taken out.
    Out,
}

/// Everything that follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// By server.
    pub(crate) roles: Vec<Role>,
    /// The sorry server's.
    pub(crate) sorry: Role,
    /// Whether the quorum is reached.
    pub(crate) quorum: bool,
    /// No server works, and those that worked last are kept.
    pub(crate) kept: bool,
    /// When this should be looked at again although nothing has changed: a slow start goes on.
    pub(crate) again: Option<Instant>,
}

/// Percent that a slow start begins with.
const FIRST_SHARE: u64 = 10;
/// Steps of a slow start.
const STEPS: u64 = 20;

/// Judges a service. `quorum` is whether it was reached so far.
pub(crate) fn judge(pool: &Pool, members: &[Member], quorum: bool, now: Instant) -> Outcome {
    let working = |member: &&Member| member.up && member.weight > 0;
    let total: u32 = members.iter().filter(working).fold(0, |sum, member| sum.saturating_add(member.weight));
    // As keepalived: the quorum must be clearly gained, or clearly lost, to change.
    let needed = match quorum {
        true => pool.quorum - pool.hysteresis,
        false => pool.quorum.saturating_add(pool.hysteresis),
    };
    let quorum = total >= needed;
    let all_failed = total == 0 && members.iter().any(|member| member.weight > 0);
    let sorry = pool.sorry_server.is_some()
        && match pool.when_all_fail {
            WhenAllFail::Sorry => !quorum && !members.is_empty(),
            WhenAllFail::Reject | WhenAllFail::Keep => false,
        };
    let kept = all_failed && pool.when_all_fail == WhenAllFail::Keep;
    let last = members.iter().filter(|member| member.weight > 0).map(|member| member.since).max();
    let mut again: Option<Instant> = None;
    let roles = members.iter().map(|member| {
        let failed_last = || last.is_some_and(|last| last.since(member.since) <= member.reaction);
        let serves = (member.up && !sorry) || (kept && member.weight > 0 && failed_last());
        if serves {
            let (share, next) = share(pool.slow_start, member, now);
            again = [again, next].into_iter().flatten().min();
            return Role::Serves(share);
        }
        // A server that works keeps what it has while the sorry server stands in.
        if member.inhibit || member.up { Role::Inhibited } else { Role::Out }
    });
    let roles = roles.collect();
    let idle = if pool.sorry_server_inhibit { Role::Inhibited } else { Role::Out };
    Outcome { roles, sorry: if sorry { Role::Serves(100) } else { idle }, quorum, kept, again }
}

/// The share of a server that came back at `since`, and when it grows.
fn share(slow_start: Duration, member: &Member, now: Instant) -> (u8, Option<Instant>) {
    let (whole, age) = (slow_start.as_millis(), now.since(member.since).as_millis());
    if !member.up || !member.came_back || age >= whole {
        return (100, None);
    }
    // Rounded down to a step, so that a snapshot is made STEPS times and not at every look.
    let step = age * STEPS / whole;
    let percent = FIRST_SHARE + (100 - FIRST_SHARE) * step / STEPS;
    let next = (whole * (step + 1)).div_ceil(STEPS);
    (percent as u8, Some(member.since + Duration::from_millis(next)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::health::Sorry;
    use proptest::prelude::*;

    const MEMBER: Member = Member {
        weight: 1,
        up: true,
        since: Instant::ZERO,
        came_back: false,
        inhibit: false,
        reaction: Duration::from_secs(4),
    };
    const DOWN: Member = Member { up: false, ..MEMBER };

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn sorry() -> Pool {
        let address = "198.51.100.99:80".parse().unwrap();
        let when_all_fail = WhenAllFail::Sorry;
        Pool { sorry_server: Some(Sorry { address }), when_all_fail, ..Pool::default() }
    }

    #[test]
    fn failed_servers_are_taken_out_or_inhibited() {
        let inhibited = Member { inhibit: true, ..DOWN };
        let outcome = judge(&Pool::default(), &[MEMBER, DOWN, inhibited], true, at(0));
        assert_eq!(outcome.roles, [Role::Serves(100), Role::Out, Role::Inhibited]);
        assert_eq!((outcome.quorum, outcome.kept, outcome.again), (true, false, None));
        let outcome = judge(&Pool::default(), &[DOWN, DOWN], true, at(0));
        assert_eq!(outcome.roles, [Role::Out, Role::Out], "reject");
        assert!(!outcome.quorum);
    }

    #[test]
    fn the_quorum_has_hysteresis() {
        let pool = Pool { quorum: 4, hysteresis: 1, ..Pool::default() };
        let with = |weight, quorum| judge(&pool, &[Member { weight, ..MEMBER }], quorum, at(0)).quorum;
        assert!(with(3, true), "not clearly lost");
        assert!(!with(2, true));
        assert!(!with(4, false), "not clearly gained");
        assert!(with(5, false));
    }

    #[test]
    fn the_sorry_server_stands_in_when_the_quorum_is_lost() {
        let pool = Pool { quorum: 2, ..sorry() };
        let outcome = judge(&pool, &[MEMBER, DOWN], true, at(0));
        assert_eq!(outcome.roles, [Role::Inhibited, Role::Out]);
        assert_eq!(outcome.sorry, Role::Serves(100));
        let outcome = judge(&pool, &[MEMBER, MEMBER], false, at(0));
        assert_eq!(outcome.roles, [Role::Serves(100); 2]);
        assert_eq!(outcome.sorry, Role::Out);
        let pool = Pool { sorry_server_inhibit: true, ..pool };
        assert_eq!(judge(&pool, &[MEMBER, MEMBER], false, at(0)).sorry, Role::Inhibited);
    }

    #[test]
    fn those_that_worked_last_are_kept() {
        let pool = Pool { when_all_fail: WhenAllFail::Keep, ..Pool::default() };
        let early = Member { since: at(1_000), ..DOWN };
        let late = Member { since: at(9_000), ..DOWN };
        let last = Member { since: at(10_000), ..DOWN };
        let drained = Member { weight: 0, ..last };
        let outcome = judge(&pool, &[early, late, last, drained], true, at(10_000));
        assert_eq!(outcome.roles, [Role::Out, Role::Serves(100), Role::Serves(100), Role::Out]);
        assert!(outcome.kept && !outcome.quorum);
        let outcome = judge(&pool, &[early, late, last, MEMBER], false, at(11_000));
        assert_eq!(outcome.roles, [Role::Out, Role::Out, Role::Out, Role::Serves(100)], "until one works");
    }

    #[test]
    fn a_server_that_comes_back_starts_slowly() {
        let pool = Pool { slow_start: Duration::from_secs(20), ..Pool::default() };
        let back = Member { since: at(5_000), came_back: true, ..MEMBER };
        let look = |ms| {
            let outcome = judge(&pool, &[MEMBER, back], true, at(ms));
            assert_eq!(outcome.roles[0], Role::Serves(100));
            let Role::Serves(share) = outcome.roles[1] else { panic!("it serves") };
            (share, outcome.again.map(Instant::as_millis))
        };
        assert_eq!(look(5_000), (10, Some(6_000)));
        assert_eq!(look(5_999), (10, Some(6_000)));
        assert_eq!(look(6_000), (14, Some(7_000)));
        assert_eq!(look(15_000), (55, Some(16_000)));
        assert_eq!(look(24_999), (95, Some(25_000)));
        assert_eq!(look(25_000), (100, None));
    }

    fn member() -> impl Strategy<Value = Member> {
        (0..3_u32, any::<bool>(), 0..20_000_u64, any::<bool>(), any::<bool>()).prop_map(
            |(weight, up, since, came_back, inhibit)| Member {
                weight,
                up,
                since: at(since),
                came_back,
                inhibit,
                ..MEMBER
            },
        )
    }

    proptest! {
        #[test]
        fn what_always_holds(
            members in prop::collection::vec(member(), 0..6),
            (quorum, hysteresis) in (1..5_u32).prop_flat_map(|quorum| (Just(quorum), 0..quorum)),
            which in 0..3_usize,
            had in any::<bool>(),
            slow_ms in 0..10_000_u64,
        ) {
            let pool = Pool {
                quorum, hysteresis, when_all_fail: WhenAllFail::ALL[which], slow_start: Duration::from_millis(slow_ms), ..sorry()
            };
            let now = at(20_000);
            let outcome = judge(&pool, &members, had, now);
            prop_assert_eq!(outcome.roles.len(), members.len());
            let serving = |role: &Role| matches!(role, Role::Serves(share) if (FIRST_SHARE as u8..=100).contains(share));
            let works = |member: &Member| member.up && member.weight > 0;
            for (member, role) in members.iter().zip(&outcome.roles) {
                // Only a server that works, or that is kept for want of one, gets connections.
                prop_assert!(!matches!(role, Role::Serves(_)) || serving(role));
                prop_assert!(!serving(role) || member.up || outcome.kept);
                prop_assert!(member.up || !member.inhibit || *role != Role::Out, "inhibited ones are never taken out");
            }
            // Somebody serves if anybody works, and if all fail it is as configured.
            let anybody = serving(&outcome.sorry) || members.iter().zip(&outcome.roles).any(|(m, r)| m.weight > 0 && serving(r));
            let weighted = members.iter().any(|member| member.weight > 0);
            if members.iter().any(works) || (weighted && pool.when_all_fail == WhenAllFail::Keep) {
                prop_assert!(anybody);
            }
            prop_assert!(outcome.again.is_none_or(|again| again > now), "no busy loop");
            // Judging again what was just judged changes nothing.
            prop_assert_eq!(judge(&pool, &members, outcome.quorum, now), outcome);
        }
    }
}
