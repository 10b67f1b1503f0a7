//! Announcing: facts out, decisions elsewhere. A file always has the VIPs that may be sent to this director, and a command
//! lets a routing daemon know. `lb-app` speaks no routing protocol.
//!
//! * `facts`: which VIPs, and why not others.
//! * `text`: what the file says.
//! * `kernel`: VIPs as addresses of an interface.
//! * `command`: when the command runs.
//!
//! Whoever leaves in good order goes step by step: peers are told of the connections that they would not know yet, VIPs are
//! announced as being about to go, then withdrawn, and packets are forwarded until routers have heard of it.

mod command;
mod facts;
mod kernel;
mod text;

use super::{file::replace::replace, live::running::Running};
use crate::{
    config::{self, Announce},
    journal::Happened,
};
pub(crate) use command::Calls;
use facts::Facts;
pub(crate) use facts::Verdicts;
use lb_core::{
    neigh::entry::{Knowledge, Neighbour},
    service::routing::NextHop,
};
use lb_ctl::protocol::events::Kind;
use parking_lot::Mutex;
use std::{
    collections::{BTreeSet, HashSet},
    fs,
    io::{self, Write},
    net::IpAddr,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use text::{Standing, Standings, named, text};

/// Time between two looks.
pub(crate) const LOOK: Duration = Duration::from_millis(200);
/// Time between two questions to workers about next hops.
const ASK: Duration = Duration::from_secs(1);
/// How long peers are told of young connections, at most.
const TELLING: lb_core::time::Duration = lb_core::time::Duration::from_secs(2);
/// Questions in a row that a worker leaves unanswered before VIPs are withdrawn: one may be a large change of the plan.
const PATIENCE: u32 = 2;

/// Runs a program with these environment variables.
pub(crate) type Run<'a> = &'a dyn Fn(&[String], Vec<(&'static str, String)>) -> Result<(), String>;

/// What is announced, and what becomes of it.
#[derive(Debug, Default)]
pub(crate) struct Announcer {
    state: Mutex<State>,
    /// Calls of the command.
    pub(crate) calls: Arc<Calls>,
    /// Held by who writes the file: what the kernel is to have.
    turn: Mutex<kernel::Addresses>,
}

#[derive(Debug, Default)]
struct State {
    verdicts: Verdicts,
    /// What the file says, once it has been written.
    written: Option<Standings>,
    /// VIPs that a daemon may have heard of: from this run, or from the file of an earlier one.
    known: BTreeSet<IpAddr>,
    /// Why the file could not be written, when that was tried last.
    unwritten: Option<String>,
    leaving: Leaving,
    /// Forwarding stops when it has left.
    stops: bool,
}

/// How far somebody who leaves has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// Nobody leaves.
    #[default]
    Stays,
    /// It is about to.
    Asked,
    /// Peers are told of connections, since then.
    Telling(Instant),
    /// VIPs are announced as being about to go, since then.
    Going(Instant),
    /// They are withdrawn, since then.
    Withdrawn(Instant),
    /// Nothing comes any more.
    Left,
}

impl Leaving {
    /// The next step, if it is time for one. How long VIPs are about to go, and packets are forwarded after that, counts from
    /// when daemons know: their command may take longer than either.
    ///
    /// Peers are told whatever announces, or nothing does: who moves VIPs by other means has them go on elsewhere, too.
    fn next(
        self,
        (config, peers_know): (&Announce, bool),
        is_announced: bool,
        (calls, now): (&Calls, Instant),
    ) -> Self {
        let long = |time: lb_core::time::Duration| Duration::from_millis(time.as_millis());
        let is_over = |since: Instant, time| now.saturating_duration_since(since) >= long(time);
        let is_known = |since: Instant, time| calls.known_for(since, now) >= long(time);
        match self {
            Leaving::Asked if !peers_know => Leaving::Telling(now),
            Leaving::Telling(since) if !peers_know && !is_over(since, TELLING) => self,
            Leaving::Asked | Leaving::Telling(_) if !is_announced => Leaving::Left,
            Leaving::Asked | Leaving::Telling(_) if config.can_say_leaving() => {
                if config.gshut == lb_core::time::Duration::ZERO {
                    return Leaving::Withdrawn(now);
                }
                Leaving::Going(now)
            }
            Leaving::Asked | Leaving::Telling(_) => Leaving::Withdrawn(now),
            Leaving::Going(since) if is_known(since, config.gshut) => Leaving::Withdrawn(now),
            Leaving::Withdrawn(since) if is_known(since, config.settle) => Leaving::Left,
            other => other,
        }
    }
}

/// Who looks, and what it knows of next hops.
#[derive(Debug, Default)]
pub(crate) struct Looker {
    asked: Option<Instant>,
    resolved: HashSet<NextHop>,
    /// Rounds of questions that not all workers answered.
    silent: u32,
}

impl Looker {
    /// Which VIPs may be announced now. Asks workers once a second.
    pub(crate) fn look(&mut self, running: &Running, now: Instant) -> Verdicts {
        let is_paused = running.shutdown.is_paused();
        if self.asked.is_none_or(|asked| now.duration_since(asked) >= ASK) {
            self.asked = Some(now);
            match resolved(running) {
                Some(resolved) => (self.resolved, self.silent) = (resolved, 0),
                None => self.silent += 1,
            }
        }
        let facts = Facts {
            forwarding: !is_paused,
            alive: self.silent < PATIENCE,
            told: running.told.load(Ordering::Relaxed),
            up: running.links.polled_since(),
            resolved: self.resolved.clone(),
            lost: running.health.without_quorum(),
            passed: running.health.passed(),
        };
        facts.judge(&running.current().snapshot)
    }
}

/// The next hops that all workers have the Ethernet address of; nothing if one does not answer.
fn resolved(running: &Running) -> Option<HashSet<NextHop>> {
    let is_known = |neighbour: &Neighbour| neighbour.knowledge == Knowledge::Known;
    let mut all: Option<HashSet<NextHop>> = None;
    for worker in &running.workers {
        let neighbours = worker.neighbours().ok()?.into_iter();
        let known: HashSet<NextHop> = neighbours.filter(is_known).map(|neighbour| neighbour.hop).collect();
        all = Some(all.map_or_else(|| known.clone(), |all| all.intersection(&known).copied().collect()));
    }
    all
}

impl Announcer {
    /// Puts into effect what was found: changes the interface and the file if they have to say something else, and has the
    /// command run.
    pub(crate) fn step(&self, running: &Running, found: Verdicts, now: Instant) {
        let config = &running.config.announce;
        let mut addresses = self.turn.lock();
        let (events, standings, has_left) = {
            let mut state = self.state.lock();
            let before = state.leaving;
            let is_announced = state.verdicts.values().any(Option::is_none);
            let peers_know = running.young_told.load(Ordering::Relaxed);
            state.leaving = before.next((config, peers_know), is_announced, (&self.calls, now));
            running.leaves.store(state.leaving != Leaving::Stays, Ordering::Relaxed);
            if !config.is_on() {
                return;
            }
            let verdicts = match state.leaving {
                Leaving::Withdrawn(_) | Leaving::Left => {
                    let why = || Some("the director is drained".to_owned());
                    found.into_keys().map(|vip| (vip, why())).collect()
                }
                _ => found,
            };
            let events = news(&state.verdicts, &verdicts);
            state.verdicts = verdicts;
            if state.written.is_none() {
                state.known = config.file.as_deref().map_or_else(BTreeSet::new, |file| of_file(file, true));
            }
            let has_left = state.leaving == Leaving::Left && before != Leaving::Left && state.stops;
            (events, state.standings(), has_left)
        };
        let trouble = |what: String, why: String| {
            running.journal.tell(Happened::new(Kind::HookFailed, what).because(why));
        };
        if let Some(interface) = &config.interface {
            let announced = standings.iter().filter(|(_, standing)| **standing != Standing::Withdrawn);
            let wanted = announced.map(|(vip, _)| *vip).collect();
            if let Err(why) = addresses.settle(interface, &wanted, now) {
                trouble(format!("cannot change the VIPs on interface {interface}"), why);
            }
        }
        if self.state.lock().written.as_ref() != Some(&standings) {
            let write = |file: &String| write(Path::new(file), &text(config.format, &standings));
            match config.file.as_ref().map_or(Ok(()), write) {
                Ok(()) => {
                    let mut state = self.state.lock();
                    (state.written, state.unwritten) = (Some(standings), None);
                    if config.command.is_some() {
                        self.calls.tell(now);
                    }
                }
                // It is tried again with each look, and said when it is news.
                Err(error) => {
                    let why = error.to_string();
                    let before = self.state.lock().unwritten.replace(why.clone());
                    if before.as_ref() != Some(&why) {
                        let file = config.file.as_deref().unwrap_or_default();
                        trouble(format!("cannot write {file}"), why);
                    }
                }
            }
        }
        events.into_iter().map(happened).for_each(|happened| running.journal.tell(happened));
        if has_left {
            // A worker that is stuck forwards nothing either way.
            let _ = running.pause();
            let text = "the director is drained: no port is polled until `start`";
            running.journal.tell(Happened::new(Kind::ForwardingStopped, text));
        }
    }

    /// Runs the command if that is due.
    pub(crate) fn call(&self, running: &Running, run: Run<'_>) {
        let config = &running.config.announce;
        let Some(command) = &config.command else { return };
        let file = config.file.as_deref().unwrap_or_default();
        if let Some(Err(reason)) = self.calls.run(|| run(command, self.environment(file))) {
            let text = "the command of [announce] failed";
            running.journal.tell(Happened::new(Kind::HookFailed, text).because(reason));
        }
    }

    /// What the command is told.
    fn environment(&self, file: &str) -> Vec<(&'static str, String)> {
        let state = self.state.lock();
        let which = |announced: bool| {
            let those = state.verdicts.iter().filter(|(_, why)| why.is_none() == announced);
            those.map(|(vip, _)| vip.to_string()).collect::<Vec<_>>().join(" ")
        };
        vec![("LB_FILE", file.to_owned()), ("LB_ANNOUNCED", which(true)), ("LB_WITHDRAWN", which(false))]
    }

    /// Begins to leave. Forwarding stops at the end if `stops` says so; otherwise it is somebody else's affair.
    pub(crate) fn leave(&self, stops: bool) {
        let mut state = self.state.lock();
        if state.leaving == Leaving::Stays {
            state.leaving = Leaving::Asked;
        }
        state.stops = stops;
    }

    /// Stays after all.
    pub(crate) fn stay(&self) {
        self.state.lock().leaving = Leaving::Stays;
    }

    /// How far it has got.
    pub(crate) fn leaving(&self) -> Leaving {
        self.state.lock().leaving
    }

    /// What is announced, and why the rest is not.
    pub(crate) fn verdicts(&self) -> Verdicts {
        self.state.lock().verdicts.clone()
    }

    /// Withdraws everything at once.
    pub(crate) fn end(&self, running: &Running, run: Run<'_>) {
        let vips = {
            let mut state = self.state.lock();
            (state.leaving, state.stops) = (Leaving::Left, false);
            state.verdicts.clone()
        };
        self.step(running, vips, Instant::now());
        self.call(running, run);
    }
}

impl State {
    /// How everything stands that a daemon may have heard of.
    fn standings(&mut self) -> Standings {
        self.known.extend(self.verdicts.keys());
        let stands = match self.leaving {
            Leaving::Going(_) => Standing::Leaving,
            _ => Standing::Announced,
        };
        let is_announced = |vip: &IpAddr| self.verdicts.get(vip).is_some_and(Option::is_none);
        let standing = |vip: &IpAddr| if is_announced(vip) { stands } else { Standing::Withdrawn };
        self.known.iter().map(|vip| (*vip, standing(vip))).collect()
    }
}

/// Has nothing announced: before anything is forwarded, and when nothing is any more. Returns the VIPs.
///
/// # Errors
/// When the file cannot be written or the interface cannot be changed.
pub(crate) fn clear(config: &config::Config) -> io::Result<BTreeSet<IpAddr>> {
    let mut vips: BTreeSet<IpAddr> =
        config.plan.services.iter().flat_map(|service| service.reach().vips()).collect();
    if let Some(interface) = &config.announce.interface {
        kernel::clear(interface)?;
    }
    if let Some(file) = &config.announce.file {
        vips.extend(of_file(file, false));
        let withdrawn = vips.iter().map(|vip| (*vip, Standing::Withdrawn)).collect();
        write(Path::new(file), &text(config.announce.format, &withdrawn))?;
    }
    Ok(vips)
}

/// What a file has that was written earlier.
fn of_file(file: &str, all: bool) -> BTreeSet<IpAddr> {
    fs::read_to_string(file).map_or_else(|_| BTreeSet::new(), |text| named(&text, all))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    replace(path, 0o644, |mut file| file.write_all(text.as_bytes()))
}

/// VIPs that are announced now and were not before, and those that are not any more, with why.
fn news(before: &Verdicts, after: &Verdicts) -> Vec<(IpAddr, Option<String>)> {
    let was = |vip: &IpAddr| before.get(vip).is_some_and(Option::is_none);
    let different = after.iter().filter(|(vip, why)| why.is_none() != was(vip));
    let mut news: Vec<_> = different.map(|(vip, why)| (*vip, why.clone())).collect();
    let gone = before.keys().filter(|vip| was(vip) && !after.contains_key(vip));
    news.extend(gone.map(|vip| (*vip, Some("it has no service any more".to_owned()))));
    news
}

/// The same for operators.
fn happened((vip, why): (IpAddr, Option<String>)) -> Happened {
    match why {
        None => Happened::new(Kind::VipAnnounced, format!("VIP {vip} is announced")),
        Some(why) => Happened::new(Kind::VipWithdrawn, format!("VIP {vip} is withdrawn")).because(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Format;

    #[test]
    fn leaving_goes_step_by_step() {
        let config = Announce { file: Some("/run/lb/announced.conf".to_owned()), ..Announce::default() };
        let (start, calls) = (Instant::now(), Calls::default());
        let at = |ms| start + Duration::from_millis(ms);
        let going = Leaving::Asked.next((&config, true), true, (&calls, start));
        assert_eq!(going, Leaving::Going(start));
        assert_eq!(going.next((&config, true), true, (&calls, at(999))), going);
        let withdrawn = going.next((&config, true), true, (&calls, at(1_000)));
        assert_eq!(withdrawn, Leaving::Withdrawn(at(1_000)));
        assert_eq!(withdrawn.next((&config, true), false, (&calls, at(2_999))), withdrawn);
        assert_eq!(withdrawn.next((&config, true), false, (&calls, at(3_000))), Leaving::Left);
        assert_eq!(Leaving::Left.next((&config, true), false, (&calls, at(9_000))), Leaving::Left);
        let telling = Leaving::Asked.next((&config, false), true, (&calls, start));
        assert_eq!(telling, Leaving::Telling(start), "peers hear of young connections first");
        assert_eq!(telling.next((&config, false), true, (&calls, at(1_999))), telling);
        assert_eq!(telling.next((&config, false), true, (&calls, at(2_000))), Leaving::Going(at(2_000)));
        assert_eq!(
            telling.next((&config, true), true, (&calls, at(300))),
            Leaving::Going(at(300)),
            "they know them"
        );
    }

    /// A daemon that is slow to hear, such as a cloud's interface, does not take from the time that routers need.
    #[test]
    fn steps_count_from_when_daemons_know() {
        let file = Some("/run/lb/announced.conf".to_owned());
        let config = Announce { file, command: Some(vec!["slow".to_owned()]), ..Announce::default() };
        let (start, calls) = (Instant::now(), Calls::default());
        let after = |since: Instant, ms| since + Duration::from_millis(ms);
        let going = Leaving::Going(start);
        calls.tell(start);
        assert_eq!(going.next((&config, true), true, (&calls, after(start, 4_900))), going, "it runs still");
        assert_eq!(calls.run(|| Ok(())), Some(Ok(())));
        let told = Instant::now();
        assert_eq!(going.next((&config, true), true, (&calls, after(told, 900))), going);
        let withdrawn = going.next((&config, true), true, (&calls, after(told, 1_000)));
        assert_eq!(withdrawn, Leaving::Withdrawn(after(told, 1_000)));
    }

    #[test]
    fn peers_are_told_before_the_end_whatever_announces_or_nothing() {
        let config = Announce::default();
        let (start, calls) = (Instant::now(), Calls::default());
        let at = |ms| start + Duration::from_millis(ms);
        let telling = Leaving::Asked.next((&config, false), false, (&calls, start));
        assert_eq!(telling, Leaving::Telling(start));
        assert_eq!(telling.next((&config, false), false, (&calls, at(1_999))), telling);
        assert_eq!(telling.next((&config, false), false, (&calls, at(2_000))), Leaving::Left, "not longer");
        assert_eq!(telling.next((&config, true), false, (&calls, at(100))), Leaving::Left);
    }

    #[test]
    fn nobody_waits_for_what_was_not_announced() {
        let (now, calls) = (Instant::now(), Calls::default());
        assert_eq!(Leaving::Asked.next((&Announce::default(), true), false, (&calls, now)), Leaving::Left);
        let file = || Some("/run/lb/announced.conf".to_owned());
        let list = Announce { file: file(), format: Format::List, ..Announce::default() };
        let interface = Announce { interface: Some("lb-vips".to_owned()), ..Announce::default() };
        for config in [list, interface] {
            let next = Leaving::Asked.next((&config, true), true, (&calls, now));
            assert_eq!(next, Leaving::Withdrawn(now), "it has no word for going");
        }
        let gshut = lb_core::time::Duration::from_millis(0);
        let at_once = Announce { file: file(), gshut, ..Announce::default() };
        assert_eq!(Leaving::Asked.next((&at_once, true), true, (&calls, now)), Leaving::Withdrawn(now));
    }

    #[test]
    fn what_is_different_is_told() {
        let vip = |last: u8| IpAddr::from([192, 0, 2, last]);
        let before = Verdicts::from([(vip(1), None), (vip(2), Some("a".to_owned())), (vip(3), None)]);
        let after = Verdicts::from([
            (vip(1), Some("its quorum is lost".to_owned())),
            (vip(2), None),
            (vip(4), Some("b".to_owned())),
        ]);
        let why = |text: &str| Some(text.to_owned());
        assert_eq!(
            news(&before, &after),
            [
                (vip(1), why("its quorum is lost")),
                (vip(2), None),
                (vip(3), why("it has no service any more")),
            ]
        );
    }
}
