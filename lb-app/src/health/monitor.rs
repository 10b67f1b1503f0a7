//! Does the checking: one task for each server, and one that has what they find made part of the plan.

use super::{
    balancer::Balancer,
    command::{Program, run, turn},
    hooks::Hooks,
    knowledge::Knowledge,
    means::Means,
    probe::probe,
    report::Report,
    state::Task,
    target::Target,
};
use crate::{config::health::Check, journal::Journal};
use lb_core::{service::key::ServerKey, time::Duration as Span};
use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::runtime::{Builder, Runtime};
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
/// How far apart checks begin that are wanted at once, at most.
const HURRY: Duration = Duration::from_millis(100);

/// Checks servers until it is stopped.
pub(crate) struct Monitor {
    shared: Arc<Shared>,
    runtime: Mutex<Option<Runtime>>,
}

struct Shared {
    knowledge: Arc<Knowledge>,
    means: Arc<Means>,
    hooks: Hooks,
    balancer: Arc<dyn Balancer>,
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
        let shared = Arc::new(Shared { knowledge, means, hooks, balancer });
        runtime.spawn(judge(shared.clone()));
        Ok(Monitor { shared, runtime: Mutex::new(Some(runtime)) })
    }

    /// Stops checking. To be called by a thread that may wait.
    pub(crate) fn stop(&self) {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
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
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        let handle = runtime.as_ref().map(|runtime| runtime.handle().clone()).ok_or_else(ending)?;
        drop(runtime);
        let program = Program { words: words.to_vec(), user: None, memory_mib: None, environment };
        handle.block_on(async {
            let turn = turn(&self.shared.means).await.ok_or_else(ending)?;
            run(&self.shared.means, None, program, (turn, limit)).await
        })
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
            Task(tokio::spawn(watch(Arc::downgrade(&shared), target, check)).abort_handle())
        };
        shared.knowledge.start_checks(start);
        let is_news = shared.knowledge.step(|event, hook, limit| shared.hooks.tell(event, hook, limit));
        if !is_news {
            shared.knowledge.wait(LOOK).await;
        } else if again.is_some_and(|again| Instant::now() < again) {
            tokio::time::sleep(LOOK).await;
        } else {
            // Changing the plan takes a while if it is large, and waits for the workers.
            let outcome = tokio::task::block_in_place(|| shared.balancer.refresh());
            again = outcome.err().map(|reason| {
                error!("cannot apply health-check results: {reason}");
                Instant::now() + AGAIN
            });
            tokio::time::sleep(GAP).await;
        }
    }
}

/// Checks one server again and again.
async fn watch(shared: Weak<Shared>, target: Target, check: Arc<Check>) {
    if !pause(&shared, &target.key, span(check.warmup).mul_f64(rand::random())).await {
        return;
    }
    loop {
        let start = Instant::now();
        let Some(means) = shared.upgrade().map(|shared| shared.means.clone()) else { return };
        if means.by_ports(&check, &target) && !means.ports.are_polled() {
            // Nothing is forwarded, and nothing can be found out.
            tokio::time::sleep(LOOK).await;
            continue;
        }
        let (finding, took) = probe(&means, &check, &target).await;
        debug!(service = %target.name, server = %target.key.endpoint(), ?finding, "checked");
        let taken = shared.upgrade().and_then(|shared| shared.knowledge.take(&target, (finding, took)));
        let Some(undecided) = taken else { return };
        let interval = span(if undecided { check.retry_interval } else { check.interval });
        let interval = interval.mul_f64(1.0 - JITTER * rand::random::<f64>());
        // From start to start, unless the check takes longer; and never without a pause.
        let left = interval.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
        if !pause(&shared, &target.key, left).await {
            return;
        }
    }
}

/// Waits until the next check, or until somebody wants it at once, and lets everybody know when that is. `false` if nobody wants it any more.
async fn pause(shared: &Weak<Shared>, key: &ServerKey, time: Duration) -> bool {
    let note = |next: Option<Duration>| {
        shared.upgrade().map(|shared| shared.knowledge.schedule(key, next)).is_some()
    };
    let Some(hurry) = shared.upgrade().map(|shared| shared.knowledge.hurried()) else { return false };
    if !note(Some(time)) {
        return false;
    }
    if tokio::time::timeout(time, hurry.notified()).await.is_ok() {
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
