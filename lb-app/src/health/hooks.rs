//! What operators get to know: log lines, and calls of their hooks.

use super::{
    command::{Environment, Program, about, run, turn},
    event::Event,
    machine::Change,
    means::Means,
    target::Target,
};
use lb_core::service::key::ServiceKey;
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Handle, sync::mpsc};
use tracing::{info, warn};

/// Hooks that run at the same time, at most. Those of one service run one after the other.
const LANES: usize = 8;
/// Calls that wait in a lane. At the start, each service has one or two for what it starts with.
const WAITING: usize = 16_384;

/// The operator's programs, each called with the news.
#[derive(Debug)]
pub(super) struct Hooks {
    lanes: Vec<mpsc::Sender<(Program, Duration)>>,
    pub(super) called: Arc<AtomicU64>,
    pub(super) failed: Arc<AtomicU64>,
}

impl Hooks {
    pub(super) fn start(means: &Arc<Means>, runtime: &Handle) -> Self {
        let (called, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let lanes = (0..LANES).map(|_| {
            let (sender, mut calls) = mpsc::channel::<(Program, Duration)>(WAITING);
            let (means, called, failed) = (means.clone(), called.clone(), failed.clone());
            runtime.spawn(async move {
                while let Some((program, limit)) = calls.recv().await {
                    called.fetch_add(1, Ordering::Relaxed);
                    let Some(turn) = turn(&means).await else { return };
                    if let Err(reason) = run(&means, None, program, (turn, limit)).await {
                        failed.fetch_add(1, Ordering::Relaxed);
                        warn!("hook failed: {reason}");
                    }
                }
            });
            sender
        });
        Hooks { lanes: lanes.collect(), called, failed }
    }

    /// Tells about an event: the log, the operator's hook, and the service's own for it.
    pub(super) fn tell(&self, event: &Event, hook: Option<&Vec<String>>, limit: Duration) {
        log(event);
        let (service, environment) = describe(event);
        let own = match event {
            Event::Quorum { program, .. } => program.as_ref(),
            _ => None,
        };
        let mut hasher = DefaultHasher::new();
        service.hash(&mut hasher);
        let lane = &self.lanes[(hasher.finish() % LANES as u64) as usize];
        for words in [own, hook].into_iter().flatten() {
            let environment = environment.clone();
            let program = Program { words: words.clone(), user: None, memory_mib: None, environment };
            if lane.try_send((program, limit)).is_err() {
                self.failed.fetch_add(1, Ordering::Relaxed);
                warn!("hook {} was not run: {WAITING} hooks are waiting already", words.join(" "));
            }
        }
    }
}

fn log(event: &Event) {
    match event {
        // As it should be, and nobody has said otherwise.
        Event::Quorum { reached: true, first: true, .. }
        | Event::Sorry { serves: false, first: true, .. }
        | Event::Kept { kept: false, first: true, .. } => {}
        Event::Server { target, change: Change::Up, .. } => {
            info!(service = %target.name, server = %target.key.endpoint(), "server is up");
        }
        Event::Server { target, change: Change::Down { held: false }, reason } => {
            warn!(service = %target.name, server = %target.key.endpoint(), %reason, "server is down");
        }
        Event::Server { target, change: Change::Down { held: true }, reason } => {
            warn!(service = %target.name, server = %target.key.endpoint(), %reason, "server went down too often and \
                                                                                     is held");
        }
        Event::Quorum { name, reached: true, .. } => info!(service = %name, "quorum is reached"),
        Event::Quorum { name, reached: false, .. } => warn!(service = %name, "quorum is lost"),
        Event::Sorry { name, server, serves: true, .. } => {
            warn!(service = %name, %server, "sorry server gets new connections");
        }
        Event::Sorry { name, server, serves: false, .. } => {
            info!(service = %name, %server, "sorry server gets no more new connections");
        }
        Event::Kept { name, kept: true, .. } => {
            warn!(service = %name, "all servers failed; using those that worked last");
        }
        Event::Kept { name, kept: false, .. } => {
            info!(service = %name, "a server works again; servers that are down are no longer used");
        }
    }
}

/// The environment variables of a hook.
fn describe(event: &Event) -> (ServiceKey, Environment) {
    match event {
        Event::Server { target, change, reason } => {
            let word = match change {
                Change::Up => "server-up",
                Change::Down { held: false } => "server-down",
                Change::Down { held: true } => "server-held",
            };
            let mut environment = about(target);
            environment.push(("LB_EVENT", word.to_owned()));
            environment.push(("LB_REASON", reason.clone()));
            (target.key.service, environment)
        }
        Event::Quorum { service, name, reached, .. } => {
            (*service, of_service(*service, name, if *reached { "quorum-up" } else { "quorum-down" }))
        }
        Event::Sorry { service, name, server, serves, .. } => {
            let target = Target { name: name.clone(), key: service.server(*server) };
            let mut environment = about(&target);
            let word = if *serves { "sorry-server-up" } else { "sorry-server-down" };
            environment.push(("LB_EVENT", word.to_owned()));
            (*service, environment)
        }
        Event::Kept { service, name, kept, .. } => {
            (*service, of_service(*service, name, if *kept { "all-failed" } else { "all-failed-over" }))
        }
    }
}

fn of_service(service: ServiceKey, name: &str, event: &str) -> Environment {
    let ServiceKey { protocol, vip, port } = service;
    vec![
        ("LB_EVENT", event.to_owned()),
        ("LB_SERVICE", name.to_owned()),
        ("LB_PROTOCOL", protocol.name().to_owned()),
        ("LB_VIP", vip.to_string()),
        ("LB_VIP_PORT", port.to_string()),
    ]
}
