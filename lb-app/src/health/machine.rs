//! The state of one server, from a row of check results: a state machine without a clock.
//!
//! A server is up or down. `fall` failures in a row bring it down, `rise` successes in a row bring it up. One that goes
//! down too often is held down until it has passed its checks for a while. Traffic itself may bring a server down as
//! well, for a while or until its check succeeds.
//!
//! So there are four reasons to be down, and a server is up when none is left: its check counts it as failed, its agent
//! says so, traffic showed lately that it fails, or it is held down. The last two hold a server back that may be well; what
//! that costs a service is for [`super::pool`] to weigh.

use crate::config::health::{Check, Pool};
use lb_core::time::{Duration, Instant};
use std::collections::VecDeque;

/// What counts, of a check and of the service it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) rise: u32,
    pub(crate) fall: u32,
    pub(crate) assume_down: bool,
    /// It has a check.
    pub(crate) checked: bool,
    /// It has an agent.
    pub(crate) advised: bool,
    /// Traffic may bring it down.
    pub(crate) passive: bool,
    /// Failures within `flap_window` from which on a server is held down; 0 is never.
    pub(crate) flap_limit: u32,
    pub(crate) flap_window: Duration,
    pub(crate) flap_hold: Duration,
}

impl Rules {
    /// The rules of a check and its service. Without a check only an agent and passive checks can bring a server down.
    pub(crate) fn new(check: Option<&Check>, advised: bool, pool: &Pool) -> Self {
        Rules {
            rise: check.map_or(1, |check| check.rise),
            fall: check.map_or(1, |check| check.fall),
            assume_down: check.is_some_and(|check| check.assume_down),
            checked: check.is_some(),
            advised,
            passive: pool.passive.is_some(),
            flap_limit: pool.flap_limit,
            flap_window: pool.flap_window,
            flap_hold: pool.flap_hold,
        }
    }
}

/// One server's state.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    rules: Rules,
    up: bool,
    /// Its check counts it as failed, or it is assumed to have.
    failed: bool,
    /// Its agent says that it is down.
    told_down: bool,
    /// Traffic brought it down, until then.
    passive_until: Option<Instant>,
    /// It is held down.
    held: bool,
    /// The last result of its check.
    last: Option<bool>,
    /// No result so far, and nothing else that is more than an assumption.
    fresh: bool,
    /// Results in a row that contradict `up`.
    against: u32,
    /// Since when results of a server that is down have been good.
    good_since: Option<Instant>,
    since: Instant,
    /// When it went down lately, not longer ago than the window.
    falls: VecDeque<Instant>,
}

/// What a result changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The server takes connections again.
    Up,
    /// It has failed.
    Down {
        /// It failed too often, and is held.
        held: bool,
    },
}

impl Machine {
    /// A server without results.
    pub(crate) fn new(rules: Rules, now: Instant) -> Self {
        Machine {
            rules,
            up: !rules.assume_down,
            failed: rules.assume_down,
            told_down: false,
            passive_until: None,
            held: false,
            last: None,
            fresh: true,
            against: 0,
            good_since: None,
            since: now,
            falls: VecDeque::new(),
        }
    }

    /// Other rules from now on. The state stays, as far as there is still a reason for it.
    pub(crate) fn set_rules(&mut self, rules: Rules, now: Instant) -> Option<Change> {
        self.rules = rules;
        if !rules.passive {
            self.passive_until = None;
        }
        self.told_down &= rules.advised;
        self.held &= rules.flap_limit > 0 && self.falls.len() >= rules.flap_limit as usize;
        if !rules.checked {
            // Nobody would ever find out that it works again.
            self.failed = false;
            self.last = None;
        }
        self.up_if_nothing_is_left(now)
    }

    /// Whether it is up.
    pub(crate) fn is_up(&self) -> bool {
        self.up
    }

    /// Whether it is held because it failed too often.
    pub(crate) fn is_held(&self) -> bool {
        self.held
    }

    /// Whether nothing is known yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Whether it is down although nothing is known to be wrong with it now: it is held down, or traffic brought it
    /// down a while ago.
    pub(crate) fn is_held_back(&self) -> bool {
        !self.up && !self.failed && !self.told_down
    }

    /// Whether it is held down, and its check has succeeded as often as it takes.
    pub(crate) fn is_well(&self) -> bool {
        self.is_held_back() && self.held && self.passive_until.is_none() && self.last == Some(true)
    }

    /// Since when it is up or down.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// Whether results are being counted: the next check should come soon.
    pub(crate) fn is_undecided(&self) -> bool {
        self.against > 0
    }

    /// Results in a row that contradict its state.
    pub(crate) fn against(&self) -> u32 {
        self.against
    }

    /// How many of them it takes to change it. What was only assumed needs one success.
    pub(crate) fn needed(&self) -> u32 {
        match (self.up, self.fresh) {
            (true, _) => self.rules.fall,
            (false, true) => 1,
            (false, false) => self.rules.rise,
        }
    }

    /// Failures that count for being held next time.
    pub(crate) fn recent_falls(&self, now: Instant) -> u32 {
        let recent = self.falls.iter().filter(|fall| now.since(**fall) <= self.rules.flap_window);
        recent.count() as u32
    }

    /// How long one that is held down must still pass its checks; or just wait, if it has none.
    pub(crate) fn held_for(&self, now: Instant) -> Option<Duration> {
        let begin = if self.rules.checked { self.good_since } else { Some(self.since) };
        let passed = begin.map_or(0, |since| now.since(since).as_millis());
        let left = self.rules.flap_hold.as_millis().saturating_sub(passed);
        self.held.then(|| Duration::from_millis(left))
    }

    /// A check's result.
    pub(crate) fn result(&mut self, good: bool, now: Instant) -> Option<Change> {
        let first = std::mem::take(&mut self.fresh);
        self.last = Some(good);
        if self.up {
            self.against = if good { 0 } else { self.against + 1 };
            if self.against < self.rules.fall {
                return None;
            }
            self.failed = true;
            return Some(self.go_down(now));
        }
        if !good {
            // Whatever brought it down, now its check says so as well.
            self.failed = true;
            self.passive_until = None;
            self.good_since = None;
            self.against = 0;
            return None;
        }
        let good_since = *self.good_since.get_or_insert(now);
        self.against = (self.against + 1).min(self.rules.rise);
        // What was only assumed needs one success, as in keepalived.
        if first || self.against >= self.rules.rise {
            self.failed = false;
            self.passive_until = None;
        }
        if self.is_well() && now.since(good_since) >= self.rules.flap_hold {
            self.held = false;
        }
        self.up_if_nothing_is_left(now)
    }

    /// Its agent says that it is down, or that it is not. That is no failure that is counted: somebody means it.
    pub(crate) fn tell(&mut self, down: bool, now: Instant) -> Option<Change> {
        self.told_down = down;
        if !down || !self.up {
            return self.up_if_nothing_is_left(now);
        }
        self.up = false;
        self.turn(now);
        Some(Change::Down { held: false })
    }

    /// Passive checks found that the server has failed. If no check brings it back earlier, it is retried after `hold`.
    pub(crate) fn fail_passively(&mut self, hold: Duration, now: Instant) -> Option<Change> {
        if !self.up {
            return None;
        }
        self.fresh = false;
        // A check that is failing already is of the same opinion; then time alone changes nothing.
        self.failed = self.last == Some(false);
        self.passive_until = (!self.failed).then(|| now + hold);
        Some(self.go_down(now))
    }

    /// When time alone brings it back. Not while its check fails; and one that is held down for flapping has to pass
    /// its checks.
    pub(crate) fn due(&self) -> Option<Instant> {
        if self.up || self.failed || self.told_down {
            return None;
        }
        match (self.passive_until, self.held) {
            (Some(until), false) => Some(until),
            (until, true) if !self.rules.checked => {
                let held_until = self.since + self.rules.flap_hold;
                Some(until.map_or(held_until, |until| until.max(held_until)))
            }
            (_, true) | (None, false) => None,
        }
    }

    /// Retries a server that passive checks brought down, if its time is over.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<Change> {
        let over = self.due().is_some_and(|due| now >= due);
        over.then(|| self.go_up(now))
    }

    /// Holds it down no longer.
    pub(crate) fn release(&mut self, now: Instant) -> Option<Change> {
        self.held = false;
        self.up_if_nothing_is_left(now)
    }

    fn up_if_nothing_is_left(&mut self, now: Instant) -> Option<Change> {
        let is_down_for_nothing =
            !self.up && !self.failed && !self.told_down && !self.held && self.passive_until.is_none();
        is_down_for_nothing.then(|| self.go_up(now))
    }

    fn go_down(&mut self, now: Instant) -> Change {
        let Rules { flap_limit, flap_window, .. } = self.rules;
        while self.falls.front().is_some_and(|fall| now.since(*fall) > flap_window) {
            self.falls.pop_front();
        }
        self.falls.push_back(now);
        self.held = flap_limit > 0 && self.falls.len() >= flap_limit as usize;
        // More than the limit need not be remembered.
        while self.falls.len() > flap_limit.max(1) as usize {
            self.falls.pop_front();
        }
        self.up = false;
        self.turn(now);
        Change::Down { held: self.held }
    }

    fn go_up(&mut self, now: Instant) -> Change {
        self.up = true;
        self.failed = false;
        self.held = false;
        self.passive_until = None;
        self.turn(now);
        Change::Up
    }

    fn turn(&mut self, now: Instant) {
        self.against = 0;
        self.good_since = None;
        self.since = now;
    }
}

#[cfg(test)]
mod tests;
