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
    /// When it fails it keeps its connections.
    pub(crate) inhibit: bool,
    /// How long it takes its check to notice a failure. Servers that fail closer together fail together.
    pub(crate) reaction: Duration,
}

/// What becomes of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It gets its share of new connections.
    Serves,
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
}

/// Judges a service. `quorum` is whether it was reached so far.
pub(crate) fn judge(pool: &Pool, members: &[Member], quorum: bool) -> Outcome {
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
    let roles = members.iter().map(|member| {
        let failed_last = || last.is_some_and(|last| last.since(member.since) <= member.reaction);
        if (member.up && !sorry) || (kept && member.weight > 0 && failed_last()) {
            return Role::Serves;
        }
        // A server that works keeps what it has while the sorry server stands in.
        if member.inhibit || member.up { Role::Inhibited } else { Role::Out }
    });
    let roles = roles.collect();
    let idle = if pool.sorry_server_inhibit { Role::Inhibited } else { Role::Out };
    Outcome { roles, sorry: if sorry { Role::Serves } else { idle }, quorum, kept }
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
        let outcome = judge(&Pool::default(), &[MEMBER, DOWN, inhibited], true);
        assert_eq!(outcome.roles, [Role::Serves, Role::Out, Role::Inhibited]);
        assert_eq!((outcome.quorum, outcome.kept), (true, false));
        let outcome = judge(&Pool::default(), &[DOWN, DOWN], true);
        assert_eq!(outcome.roles, [Role::Out, Role::Out], "reject");
        assert!(!outcome.quorum);
    }

    #[test]
    fn the_quorum_has_hysteresis() {
        let pool = Pool { quorum: 4, hysteresis: 1, ..Pool::default() };
        let with = |weight, quorum| judge(&pool, &[Member { weight, ..MEMBER }], quorum).quorum;
        assert!(with(3, true), "not clearly lost");
        assert!(!with(2, true));
        assert!(!with(4, false), "not clearly gained");
        assert!(with(5, false));
    }

    #[test]
    fn the_sorry_server_stands_in_when_the_quorum_is_lost() {
        let pool = Pool { quorum: 2, ..sorry() };
        let outcome = judge(&pool, &[MEMBER, DOWN], true);
        assert_eq!(outcome.roles, [Role::Inhibited, Role::Out]);
        assert_eq!(outcome.sorry, Role::Serves);
        let outcome = judge(&pool, &[MEMBER, MEMBER], false);
        assert_eq!(outcome.roles, [Role::Serves; 2]);
        assert_eq!(outcome.sorry, Role::Out);
        let pool = Pool { sorry_server_inhibit: true, ..pool };
        assert_eq!(judge(&pool, &[MEMBER, MEMBER], false).sorry, Role::Inhibited);
    }

    #[test]
    fn those_that_worked_last_are_kept() {
        let pool = Pool { when_all_fail: WhenAllFail::Keep, ..Pool::default() };
        let early = Member { since: at(1_000), ..DOWN };
        let late = Member { since: at(9_000), ..DOWN };
        let last = Member { since: at(10_000), ..DOWN };
        let drained = Member { weight: 0, ..last };
        let outcome = judge(&pool, &[early, late, last, drained], true);
        assert_eq!(outcome.roles, [Role::Out, Role::Serves, Role::Serves, Role::Out]);
        assert!(outcome.kept && !outcome.quorum);
        let outcome = judge(&pool, &[early, late, last, MEMBER], false);
        assert_eq!(outcome.roles, [Role::Out, Role::Out, Role::Out, Role::Serves], "until one works");
    }

    fn member() -> impl Strategy<Value = Member> {
        let parts = (0..3_u32, any::<bool>(), 0..20_000_u64, any::<bool>());
        parts.prop_map(|(weight, up, since, inhibit)| Member {
            weight,
            up,
            since: at(since),
            inhibit,
            ..MEMBER
        })
    }

    proptest! {
        #[test]
        fn what_always_holds(
            members in prop::collection::vec(member(), 0..6),
            (quorum, hysteresis) in (1..5_u32).prop_flat_map(|quorum| (Just(quorum), 0..quorum)),
            which in 0..3_usize,
            had in any::<bool>(),
        ) {
            let pool = Pool { quorum, hysteresis, when_all_fail: WhenAllFail::ALL[which], ..sorry() };
            let outcome = judge(&pool, &members, had);
            prop_assert_eq!(outcome.roles.len(), members.len());
            let works = |member: &Member| member.up && member.weight > 0;
            for (member, role) in members.iter().zip(&outcome.roles) {
                let serves = *role == Role::Serves;
                prop_assert!(!serves || member.up || outcome.kept, "only one that works, or for want of one");
                prop_assert!(member.up || !member.inhibit || *role != Role::Out, "inhibited ones are never taken out");
            }
            // Somebody serves if anybody works, and if all fail it is as configured.
            let of_servers = members.iter().zip(&outcome.roles);
            let mut serving = of_servers.filter(|(member, role)| member.weight > 0 && **role == Role::Serves);
            let anybody = outcome.sorry == Role::Serves || serving.next().is_some();
            let keeps = pool.when_all_fail == WhenAllFail::Keep && members.iter().any(|member| member.weight > 0);
            prop_assert!(anybody || !(keeps || members.iter().any(works)));
            prop_assert_eq!(judge(&pool, &members, outcome.quorum), outcome, "judged again nothing changes");
        }
    }
}
