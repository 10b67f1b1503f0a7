//! Does the checking: one task for each server, or for several that are checked alike, and one that has what they find
//! made part of the plan.

use super::{
    balancer::Balancer,
    command::{Program, run, turn},
    group::{Group, Groups},
    hooks::Hooks,
    knowledge::Knowledge,
    means::Means,
    probe::probe,
    report::Report,
    target::Target,
};
use crate::journal::Journal;
use lb_core::time::Duration as Span;
use std::{
    io,
    sync::{
        Arc, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
    time::timeout,
};
use tracing::{debug, error};

/// Time between two looks at whether a port is polled that a check is to leave by, and whether there are news.
const LOOK: Duration = Duration::from_millis(100);
/// Time between two changes of what servers get. Many servers that fail together make one change.
const GAP: Duration = Duration::from_millis(10);
/// How long it takes until what could not be made part of the plan is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// File descriptors that are left for everything else.
const RESERVED_DESCRIPTORS: u64 = 256;
/// How much earlier than configured a check may come, at random, in parts of the interval: so that checks that were
/// started together do not stay together.
const JITTER: f64 = 0.1;
/// How long a change of the plan that is under way may hold up the end: it waits for workers.
const CHANGED_WITHIN: Duration = Duration::from_secs(5);
/// How far apart checks begin that are wanted at once, at most.
const HURRY: Duration = Duration::from_millis(100);

/// Checks servers until it is stopped.
pub(crate) struct Monitor {
    shared: Arc<Shared>,
    /// With the task that changes the plan. Whoever has something done there holds it, so that it does not go meanwhile.
    runtime: RwLock<Option<(Runtime, JoinHandle<()>)>>,
}

struct Shared {
    knowledge: Arc<Knowledge>,
    means: Arc<Means>,
    hooks: Hooks,
    balancer: Arc<dyn Balancer>,
    groups: Groups,
    /// It is being stopped.
    ends: AtomicBool,
}

impl Monitor {
    /// Starts checking.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub(crate) fn start(
        knowledge: Arc<Knowledge>,
        balancer: Arc<dyn Balancer>,
        journal: &Arc<Journal>,
    ) -> io::Result<Self> {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("lb-health").enable_all().build()?;
        let means = Means::new(descriptors(), Some(balancer.clone()));
        means.ports.listen(runtime.handle());
        let hooks = Hooks::start(&means, runtime.handle(), journal);
        let shared = Arc::new(Shared {
            knowledge,
            means,
            hooks,
            balancer,
            groups: Groups::default(),
            ends: AtomicBool::new(false),
        });
        let judge = runtime.spawn(judge(shared.clone()));
        Ok(Monitor { shared, runtime: RwLock::new(Some((runtime, judge))) })
    }

    /// Stops checking. To be called by a thread that may wait.
    pub(crate) fn stop(&self) {
        let runtime = self.runtime.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((runtime, judge)) = runtime {
            // A change of the plan goes on outside of the runtime, and whoever asks the time of one that is gone panics.
            self.shared.ends.store(true, Ordering::Relaxed);
            judge.abort();
            let _ = runtime.block_on(async { timeout(CHANGED_WITHIN, judge).await });
            // Programs end with their tasks; nothing else is worth waiting for.
            runtime.shutdown_timeout(Duration::from_millis(500));
        }
    }

    /// Runs a program of the operator's with these environment variables, and waits until it ends. To be called by a thread
    /// that may wait.
    ///
    /// # Errors
    /// Why it failed.
    pub(crate) fn run(
        &self,
        words: &[String],
        environment: Vec<(&'static str, String)>,
        limit: Duration,
    ) -> Result<(), String> {
        let ending = || "the director is stopping".to_owned();
        let runtime = self.runtime.read().unwrap_or_else(PoisonError::into_inner);
        let (runtime, _) = runtime.as_ref().ok_or_else(ending)?;
        let program = Program { words: words.to_vec(), user: None, memory_mib: None, environment };
        runtime.block_on(async {
            let turn = turn(&self.shared.means.hooks).await.ok_or_else(ending)?;
            run(&self.shared.means, None, program, (turn, limit)).await
        })
    }

    /// How many more programs may check.
    #[cfg(test)]
    pub(super) fn programs_left(&self) -> usize {
        self.shared.means.programs.available_permits()
    }

    /// What is known of all services that are checked.
    pub(crate) fn report(&self) -> Report {
        let hooks = &self.shared.hooks;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.shared.knowledge.report((count(&hooks.called), count(&hooks.failed)))
    }
}

/// Starts checks, tells what is news, and has it made part of the plan.
async fn judge(shared: Arc<Shared>) {
    let mut again = None;
    loop {
        let start = |target: Target, check| {
            let watch = |group| tokio::spawn(watch(Arc::downgrade(&shared), group)).abort_handle();
            shared.groups.join(target, check, watch)
        };
        if shared.knowledge.start_checks(start) {
            shared.groups.tidy();
        }
        let is_news = shared.knowledge.step(|event, hook, limit| shared.hooks.tell(event, hook, limit));
        if !is_news {
            shared.knowledge.wait(LOOK).await;
        } else if again.is_some_and(|again| Instant::now() < again) {
            tokio::time::sleep(LOOK).await;
        } else {
            // Changing the plan takes a while if it is large, and waits for the workers.
            let outcome = tokio::task::block_in_place(|| shared.balancer.refresh());
            if shared.ends.load(Ordering::Relaxed) {
                return;
            }
            again = outcome.err().map(|reason| {
                error!("cannot apply health-check results: {reason}");
                Instant::now() + AGAIN
            });
            tokio::time::sleep(GAP).await;
        }
    }
}

/// Checks the servers of a group again and again, or asks their agents.
async fn watch(shared: Weak<Shared>, group: Weak<Group>) {
    let Some(check) = group.upgrade().map(|group| group.check.clone()) else { return };
    if !pause(&shared, &group, span(check.warmup).mul_f64(rand::random())).await {
        return;
    }
    loop {
        let start = Instant::now();
        let Some(means) = shared.upgrade().map(|shared| shared.means.clone()) else { return };
        // Any of them stands for all: they are asked alike.
        let Some(target) = group.upgrade().and_then(|group| group.anyone()) else { return };
        if means.by_ports(&check, &target) && !means.ports.are_polled() {
            // Nothing is forwarded, and nothing can be found out.
            tokio::time::sleep(LOOK).await;
            continue;
        }
        let (answer, took) = probe(&means, &check, &target).await;
        let (Some(shared_now), Some(members)) =
            (shared.upgrade(), group.upgrade().map(|group| group.members()))
        else {
            return;
        };
        let mut undecided = false;
        for target in members {
            let asked = if check.is_agent { "asked an agent" } else { "checked" };
            debug!(service = %target.name, server = %target.key.endpoint(), ?answer, "{asked}");
            let taken = shared_now.knowledge.take(&target, check.is_agent, (answer.clone(), took));
            undecided |= taken.unwrap_or_default();
        }
        drop(shared_now);
        let interval = span(if undecided { check.retry_interval } else { check.interval });
        let interval = interval.mul_f64(1.0 - JITTER * rand::random::<f64>());
        // From start to start, unless the check takes longer; and never without a pause.
        let left = interval.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
        if !pause(&shared, &group, left).await {
            return;
        }
    }
}

/// Waits until the next check, or until somebody wants it at once, and lets everybody know when that is. `false` if nobody wants it any more.
async fn pause(shared: &Weak<Shared>, group: &Weak<Group>, time: Duration) -> bool {
    let note = |next: Option<Duration>| {
        let (Some(shared), Some(group)) = (shared.upgrade(), group.upgrade()) else { return false };
        group.schedule(next.map(|next| Instant::now() + next));
        for target in group.members() {
            shared.knowledge.schedule(&target.key, group.check.is_agent, next);
        }
        true
    };
    let Some(hurry) = shared.upgrade().map(|shared| shared.knowledge.hurried()) else { return false };
    if !note(Some(time)) {
        return false;
    }
    if timeout(time, hurry.notified()).await.is_ok() {
        // Not all of them in the same moment.
        tokio::time::sleep(time.min(HURRY).mul_f64(rand::random())).await;
    }
    note(None)
}

fn span(span: Span) -> Duration {
    Duration::from_millis(span.as_millis())
}

/// How many checks there are file descriptors for. As many as possible are asked for.
fn descriptors() -> usize {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((now, most)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 256 };
    let raised = setrlimit(Resource::RLIMIT_NOFILE, most, most).is_ok();
    let limit = if raised { most } else { now };
    limit.saturating_sub(RESERVED_DESCRIPTORS).clamp(16, 65_536) as usize
}
