//! Does the checking: one task for each server, and one that turns what they find into orders.

use super::{
    Balancer, Wanted,
    hooks::Hooks,
    probe::{Finding, Means, Target, probe},
    report::{self, Report},
    state::{Event, State, Task},
};
use crate::config::health::Check;
use lb_core::{
    service::key::ServerKey,
    time::{self, Duration as Span},
};
use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::Notify,
};
use tracing::{debug, error};

/// How often it is looked whether somebody else has changed the plan.
const LOOK: Duration = Duration::from_millis(100);
/// Time between two changes of what servers get. Many servers that fail together make one change.
const GAP: Duration = Duration::from_millis(10);
/// File descriptors that are left for everything else.
const RESERVED_DESCRIPTORS: u64 = 256;
/// How much earlier than configured a check may come, at random, in parts of the interval: so that checks that were
/// started together do not stay together.
const JITTER: f64 = 0.1;

/// Checks servers until it is stopped.
pub(crate) struct Monitor {
    shared: Arc<Shared>,
    runtime: Mutex<Option<Runtime>>,
}

struct Shared {
    start: Instant,
    state: Mutex<State>,
    /// Something is to be judged.
    news: Notify,
    means: Arc<Means>,
    hooks: Hooks,
    /// The number of the plan that the state follows.
    seen: AtomicU64,
    balancer: Arc<dyn Balancer>,
}

impl Monitor {
    /// Starts checking.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub(crate) fn start(balancer: Arc<dyn Balancer>) -> io::Result<Self> {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("lb-health").enable_all().build()?;
        let means = Means::new(descriptors(), Some(balancer.clone()));
        means.ports.listen(runtime.handle());
        let hooks = Hooks::start(&means, runtime.handle());
        let shared = Arc::new(Shared {
            start: Instant::now(),
            state: Mutex::default(),
            news: Notify::new(),
            means,
            hooks,
            seen: AtomicU64::new(u64::MAX),
            balancer,
        });
        // Servers that are assumed to be down get nothing from the first moment on.
        runtime.block_on(async { shared.step() });
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

    /// Traffic shows that a server has failed.
    pub(crate) fn fail_passively(&self, key: ServerKey, reason: String) {
        let now = self.shared.now();
        let mut state = self.shared.state();
        let name = state.services.get(&key.service).map(|service| service.name.clone()).unwrap_or_default();
        let event = state.fail_passively(&Target { name, key }, reason, now);
        self.shared.tell(&state, event.as_slice());
        drop(state);
        self.shared.news.notify_one();
    }

    /// How many servers are down.
    pub(crate) fn down(&self) -> usize {
        let state = self.shared.state();
        let servers = state.services.values().flat_map(|service| service.servers.values());
        servers.filter(|server| !server.machine.is_up()).count()
    }

    /// What is known of all services that are checked.
    pub(crate) fn report(&self) -> Report {
        let hooks = &self.shared.hooks;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        report::make(&self.shared.state(), self.shared.now(), (count(&hooks.called), count(&hooks.failed)))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> time::Instant {
        time::Instant::from_millis(self.start.elapsed().as_millis() as u64)
    }

    fn tell(&self, state: &State, events: &[Event]) {
        let (hook, limit) = state.hook();
        for event in events {
            self.hooks.tell(event, hook, Duration::from_millis(limit.as_millis()));
        }
    }

    /// Takes a check's result in, and says whether the next one should come soon. Nothing if the server is gone.
    fn take(&self, target: &Target, result: (Finding, Duration)) -> Option<bool> {
        let mut state = self.state();
        let (event, undecided) = state.result(target, result, self.now())?;
        if let Some(event) = event {
            self.tell(&state, &[event]);
            self.news.notify_one();
        }
        Some(undecided)
    }

    /// Follows the plan, judges, and has the orders carried out.
    fn step(self: &Arc<Self>) {
        let now = self.now();
        let Some(Wanted { plan, config, number }) = self.balancer.wanted() else { return };
        let mut state = self.state();
        if self.seen.swap(number, Ordering::Relaxed) != number {
            state.follow(&plan, &config.health, now);
        }
        for (target, check) in state.take_idle() {
            let task = tokio::spawn(watch(Arc::downgrade(self), target.clone(), check));
            state.started(&target, Task(task.abort_handle()));
        }
        let mut events = state.tick(now);
        let (orders, more) = state.judge();
        events.extend(more);
        self.tell(&state, &events);
        drop(state);
        if orders.is_empty() {
            return;
        }
        match self.balancer.carry_out(&orders) {
            // Our own change needs no following, if it is the only one.
            Ok(()) => {
                if self.balancer.wanted().is_some_and(|after| after.number == number + 1) {
                    let _ =
                        self.seen.compare_exchange(number, number + 1, Ordering::Relaxed, Ordering::Relaxed);
                }
            }
            Err(reason) => {
                error!("what checks found cannot be carried out: {reason}");
                self.seen.store(u64::MAX, Ordering::Relaxed);
            }
        }
    }
}

/// Turns news into orders.
async fn judge(shared: Arc<Shared>) {
    loop {
        let due = shared.state().due().map(|due| due.since(shared.now()));
        let wait = due.map_or(LOOK, |due| Duration::from_millis(due.as_millis()).min(LOOK));
        let _ = tokio::time::timeout(wait, shared.news.notified()).await;
        // Changing the plan takes a while if it is large, and waits for the workers.
        tokio::task::block_in_place(|| shared.step());
        tokio::time::sleep(GAP).await;
    }
}

/// Checks one server again and again.
async fn watch(shared: Weak<Shared>, target: Target, check: Arc<Check>) {
    if !pause(&shared, &target, span(check.warmup).mul_f64(rand::random())).await {
        return;
    }
    loop {
        let start = Instant::now();
        let Some(means) = shared.upgrade().map(|shared| shared.means.clone()) else { return };
        if check.leave.ports && !means.ports.are_polled() {
            // Nothing is forwarded, and nothing can be found out.
            tokio::time::sleep(LOOK).await;
            continue;
        }
        let (finding, took) = probe(&means, &check, &target).await;
        debug!(service = %target.name, server = %target.key.endpoint(), ?finding, "checked");
        let taken = shared.upgrade().and_then(|shared| shared.take(&target, (finding, took)));
        let Some(undecided) = taken else { return };
        let interval = span(if undecided { check.retry_interval } else { check.interval });
        let interval = interval.mul_f64(1.0 - JITTER * rand::random::<f64>());
        // From start to start, unless the check takes longer; and never without a pause.
        let left = interval.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
        if !pause(&shared, &target, left).await {
            return;
        }
    }
}

/// Waits until the next check, and lets everybody know when that is. `false` if nobody wants it any more.
async fn pause(shared: &Weak<Shared>, target: &Target, time: Duration) -> bool {
    let note = |next: Option<Duration>| {
        let Some(shared) = shared.upgrade() else { return false };
        let next = next.map(|time| shared.now() + Span::from_millis(time.as_millis() as u64));
        shared.state().schedule(target, next);
        true
    };
    if !note(Some(time)) {
        return false;
    }
    tokio::time::sleep(time).await;
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
