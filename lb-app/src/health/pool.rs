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
    /// Its operator lets it take new connections.
    pub(crate) wanted: bool,
    /// It is up.
    pub(crate) up: bool,
    /// It is held down for flapping, although its check says that it works.
    pub(crate) well: bool,
    /// It is down, but its check, if it has one, does not say so: it is held down, or traffic brought it down.
    pub(crate) held_back: bool,
    /// Since when it is up or down.
    pub(crate) since: Instant,
    /// When it fails it keeps its connections.
    pub(crate) inhibit: bool,
    /// How long it takes its check to notice a failure. Servers that fail closer together fail together.
    pub(crate) reaction: Duration,
}

/// The role of a server in its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It gets its share of new connections, if its operator lets it.
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
    /// Those that are well are held down no longer: the service cannot do without them.
    pub(crate) released: bool,
    /// The sorry server's.
    pub(crate) sorry: Role,
    /// Whether the quorum is reached.
    pub(crate) quorum: bool,
    /// No server works, and those that worked last are kept.
    pub(crate) kept: bool,
}

/// Judges a service. `quorum` is whether it was reached so far.
///
/// Whoever takes new connections counts, and nobody else: a server that its operator drains or disables does not.
pub(crate) fn judge(pool: &Pool, members: &[Member], quorum: bool) -> Outcome {
    let weight_of = |is_one: &dyn Fn(&Member) -> bool| {
        let those = members.iter().filter(|member| member.wanted && is_one(member));
        those.fold(0_u32, |sum, member| sum.saturating_add(member.weight))
    };
    // As keepalived: the quorum must be clearly gained, or clearly lost, to change.
    let needed = match quorum {
        true => pool.quorum - pool.hysteresis,
        false => pool.quorum.saturating_add(pool.hysteresis),
    };
    let (up, with_well) = (weight_of(&|member| member.up), weight_of(&|member| member.up || member.well));
    // Flapping servers are held down for as long as there are enough others.
    let released = up < needed && with_well > up && (up == 0 || with_well >= needed);
    let works = |member: &Member| member.up || (released && member.well);
    let total = if released { with_well } else { up };
    let quorum = total >= needed;
    let sorry = pool.sorry_server.is_some() && pool.when_all_fail == WhenAllFail::Sorry && !quorum;
    let nobody = total == 0 && !sorry;
    let last = members.iter().filter(|member| member.wanted).map(|member| member.since).max();
    let is_kept = |member: &Member| {
        let failed_last = last.is_some_and(|last| last.since(member.since) <= member.reaction);
        let keep_last = pool.when_all_fail == WhenAllFail::Keep && failed_last;
        nobody && member.wanted && (keep_last || member.held_back)
    };
    let roles = members.iter().map(|member| {
        if (works(member) && !sorry) || is_kept(member) {
            return Role::Serves;
        }
        // A server that works keeps what it has while the sorry server stands in.
        if member.inhibit || works(member) { Role::Inhibited } else { Role::Out }
    });
    let roles = roles.collect();
    let idle = if pool.sorry_server_inhibit { Role::Inhibited } else { Role::Out };
    let sorry = if sorry { Role::Serves } else { idle };
    Outcome { roles, released, sorry, quorum, kept: members.iter().any(is_kept) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::health::Sorry;
    use proptest::prelude::*;

    const MEMBER: Member = Member {
        weight: 1,
        wanted: true,
        up: true,
        well: false,
        held_back: false,
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
        let drained = Member { weight: 0, wanted: false, ..last };
        let outcome = judge(&pool, &[early, late, last, drained], true);
        assert_eq!(outcome.roles, [Role::Out, Role::Serves, Role::Serves, Role::Out]);
        assert!(outcome.kept && !outcome.quorum);
        let outcome = judge(&pool, &[early, late, last, MEMBER], false);
        assert_eq!(outcome.roles, [Role::Out, Role::Out, Role::Out, Role::Serves], "until one works");
    }

    #[test]
    fn only_those_count_that_take_new_connections() {
        // Drained or disabled, it is up and keeps what it has, but takes nothing new.
        let drained = Member { wanted: false, weight: 5, ..MEMBER };
        let outcome = judge(&sorry(), &[drained, DOWN], true);
        assert_eq!((outcome.quorum, outcome.sorry), (false, Role::Serves));
        assert_eq!(outcome.roles, [Role::Inhibited, Role::Out]);
        let outcome = judge(&sorry(), &[drained, MEMBER], false);
        assert_eq!((outcome.quorum, outcome.sorry), (true, Role::Out));
        let keep = Pool { when_all_fail: WhenAllFail::Keep, ..Pool::default() };
        let outcome = judge(&keep, &[drained, DOWN], true);
        assert_eq!(
            (outcome.roles, outcome.kept),
            (vec![Role::Serves, Role::Serves], true),
            "the one that failed is kept"
        );
        assert_eq!(judge(&sorry(), &[], true).sorry, Role::Serves, "there is no server at all");
    }

    #[test]
    fn holding_down_never_removes_the_last_servers() {
        let held = Member { well: true, held_back: true, ..DOWN };
        let ill = Member { held_back: true, ..DOWN };
        let outcome = judge(&Pool::default(), &[held, held, DOWN], true);
        assert_eq!(outcome.roles, [Role::Serves, Role::Serves, Role::Out]);
        assert!(outcome.released && outcome.quorum && !outcome.kept);
        let outcome = judge(&sorry(), &[held, DOWN], false);
        assert_eq!((outcome.sorry, outcome.quorum), (Role::Out, true), "it is better than the sorry server");
        let outcome = judge(&Pool::default(), &[held, MEMBER], true);
        assert_eq!(outcome.roles, [Role::Out, Role::Serves], "there is another");
        let two = Pool { quorum: 2, ..Pool::default() };
        assert_eq!(judge(&two, &[held, MEMBER], true).roles, [Role::Serves; 2], "one is not enough");
        let three = Pool { quorum: 3, ..Pool::default() };
        assert_eq!(judge(&three, &[held, MEMBER], true).roles, [Role::Out, Role::Serves], "nor would two be");
        // Of one that traffic brought down nothing is known.
        let outcome = judge(&Pool::default(), &[ill, ill, DOWN], true);
        assert_eq!(outcome.roles, [Role::Serves, Role::Serves, Role::Out]);
        assert!(outcome.kept && !outcome.quorum && !outcome.released);
        let outcome = judge(&sorry(), &[ill, ill], true);
        assert_eq!((outcome.roles, outcome.sorry), (vec![Role::Out; 2], Role::Serves));
    }

    fn member() -> impl Strategy<Value = Member> {
        let parts = (0..3_u32, any::<bool>(), any::<bool>(), 0..20_000_u64, any::<bool>(), 0..4_u8);
        parts.prop_map(|(weight, enabled, up, since, inhibit, why)| Member {
            weight,
            wanted: enabled && weight > 0,
            up,
            well: !up && why == 1,
            held_back: !up && (why == 1 || why == 2),
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
            let works = |member: &Member| (member.up || member.well) && member.wanted;
            for (member, role) in members.iter().zip(&outcome.roles) {
                let serves = *role == Role::Serves;
                let released = outcome.released && member.well;
                prop_assert!(!serves || member.up || released || outcome.kept, "only one that works, or for want of one");
                prop_assert!(member.up || !member.inhibit || *role != Role::Out, "inhibited ones are never taken out");
            }
            // Somebody serves if anybody works, and if all fail it is as configured.
            let of_servers = members.iter().zip(&outcome.roles);
            let mut serving = of_servers.filter(|(member, role)| member.wanted && **role == Role::Serves);
            let anybody = outcome.sorry == Role::Serves || serving.next().is_some();
            let keeps = pool.when_all_fail == WhenAllFail::Keep && members.iter().any(|member| member.wanted);
            let keeps = keeps || members.iter().any(|member| member.wanted && member.held_back);
            prop_assert!(anybody || !(keeps || members.iter().any(works)));
            prop_assert_eq!(outcome.kept && members.iter().any(|member| member.up && member.wanted), false);
            // What is released is up from then on.
            let released = |member: &Member| outcome.released && member.well;
            let after: Vec<Member> = members
                .iter()
                .map(|member| match released(member) {
                    true => Member { up: true, well: false, held_back: false, ..*member },
                    false => *member,
                })
                .collect();
            let again = judge(&pool, &after, outcome.quorum);
            prop_assert_eq!(again, Outcome { released: false, ..outcome }, "judged again nothing changes");
        }
    }
}
