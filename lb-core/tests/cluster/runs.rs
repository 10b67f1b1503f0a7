//! Random runs. `make sim SEEDS=N` makes more of them; a seed that fails says how to run it alone.

use crate::{
    random::Random,
    world::{Cluster, Event, Setup},
};
use lb_core::service::plan::{Method, SchedulerKind};
use std::{
    panic::{catch_unwind, resume_unwind},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Seeds in every test run.
const SEEDS: u64 = 200;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.trim().parse().ok()
}

/// One run: what it is made of, and what happens in it, follow from the seed.
fn run(seed: u64, is_told: bool) {
    let mut random = Random::new(seed ^ 0x5eed);
    let directors = if seed.is_multiple_of(50) { 64 } else { random.between(2, 5) as usize };
    let servers = random.between(2, 8) as usize;
    let setup = Setup {
        seed,
        directors,
        servers,
        clients: random.between(10, 60) as usize,
        method: [Method::Nat, Method::FullNat, Method::Tun, Method::Dr][random.below(4) as usize],
        scheduler: [SchedulerKind::Mh, SchedulerKind::Wlc, SchedulerKind::Rr][random.below(3) as usize],
        resilient: random.chance(50),
        syncs: true,
        sync_loss: random.below(30),
        sync_delay: random.between(1, 150),
        loss: random.below(3),
        strangers: random.below(2),
        persistent: seed % 3 == 1,
    };
    let mut cluster = Cluster::new(setup.clone());
    cluster.is_told = is_told;
    for _ in 0..setup.clients {
        cluster.open(random.between(100, 25_000), random.between(200, 4_000));
    }
    // Events of one kind or another, with time in between for some and without for others.
    let mut now = random.between(5_000, 12_000);
    let mut is_up = vec![true; directors];
    for _ in 0..random.between(1, 5) {
        let victim = random.below(directors as u64) as usize;
        let others = is_up.iter().filter(|up| **up).count() - usize::from(is_up[victim]);
        match random.below(10) {
            0 | 1 if is_up[victim] && others > 0 => {
                let drains = random.chance(40);
                cluster.at(now, if drains { Event::Drains(victim) } else { Event::Dies(victim) });
                is_up[victim] = false;
            }
            2 if !is_up[victim] => {
                // A director that drains is given the time to end.
                now += 4_000;
                cluster.at(now, Event::Returns(victim));
                is_up[victim] = true;
            }
            3 => cluster.at(now, Event::Silence(random.between(500, 10_000))),
            4 if is_up[victim] => cluster.at(now, Event::Stalls(victim, random.between(100, 900))),
            6 => cluster.at(now, Event::Splits(random.between(500, 10_000))),
            // Less than what idle connections are kept for.
            5 if is_up[victim] => cluster.at(now, Event::Leaps(victim, random.between(1, 20_000))),
            _ => {
                let mut weights = vec![Some(1); servers];
                let changed = random.below(servers as u64) as usize;
                weights[changed] = match random.below(3) {
                    0 => Some(random.between(2, 5) as u32),
                    1 => Some(0),
                    _ if servers > 2 => None,
                    _ => Some(1),
                };
                let skew = random.below(5_000);
                for number in 0..directors {
                    cluster.at(now + random.below(skew + 1), Event::Weights(number, weights.clone()));
                }
                now += skew;
            }
        }
        now += random.between(500, 12_000);
    }
    cluster.pass(now + 3_000);
    for number in 0..cluster.talks.len() {
        if random.chance(30) {
            cluster.close(number);
        }
    }
    cluster.pass(5_000);
    if seed.is_multiple_of(4) {
        cluster.assert_empty_at_last();
    }
}

#[test]
fn promised_connections_survive_whatever_happens() {
    let first = number("FIRST").unwrap_or(1);
    let seeds = AtomicU64::new(first);
    let end = first + number("SEEDS").unwrap_or(SEEDS);
    // Runs have nothing in common, and this is the longest test of all: each processor takes the next.
    let take_turns = || {
        std::iter::repeat_with(|| seeds.fetch_add(1, Relaxed)).take_while(|seed| *seed < end).for_each(told);
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(take_turns))));
}

/// A run whose failure, whatever it is, says how to have it again.
fn told(seed: u64) {
    if let Err(failure) = catch_unwind(|| run(seed, false)) {
        eprintln!("replay: SEED={seed} cargo test -p lb-core --test cluster one_seed -- --nocapture");
        resume_unwind(failure);
    }
}

/// The seed in the environment, alone. What happens in it is told.
#[test]
fn one_seed() {
    run(number("SEED").unwrap_or(50), true);
}
