//! What operators get to know: events, and calls of their hooks.

use super::{
    command::{Environment, Program, about, run, turn},
    event::Event,
    machine::Change,
    means::Means,
    target::Target,
};
use crate::journal::{Happened, Journal};
use lb_core::service::key::ServiceKey;
use lb_ctl::protocol::events::Kind;
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Handle, sync::mpsc};

/// Hooks that run at the same time, at most. Those of one service run one after the other.
const LANES: usize = 8;
/// Calls that wait in a lane. At the start, each service has one or two for what it starts with.
const WAITING: usize = 16_384;

/// The operator's programs, each called with the news.
#[derive(Debug)]
pub(super) struct Hooks {
    journal: Arc<Journal>,
    lanes: Vec<mpsc::Sender<(Program, Duration)>>,
    pub(super) called: Arc<AtomicU64>,
    pub(super) failed: Arc<AtomicU64>,
}

impl Hooks {
    pub(super) fn start(means: &Arc<Means>, runtime: &Handle, journal: &Arc<Journal>) -> Self {
        let (called, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let lanes = (0..LANES).map(|_| {
            let (sender, mut calls) = mpsc::channel::<(Program, Duration)>(WAITING);
            let (means, called, failed) = (means.clone(), called.clone(), failed.clone());
            let journal = journal.clone();
            runtime.spawn(async move {
                while let Some((program, limit)) = calls.recv().await {
                    called.fetch_add(1, Ordering::Relaxed);
                    let Some(turn) = turn(&means.hooks).await else { return };
                    if let Err(reason) = run(&means, None, program, (turn, limit)).await {
                        failed.fetch_add(1, Ordering::Relaxed);
                        journal.tell(Happened::new(Kind::HookFailed, "hook failed").because(reason));
                    }
                }
            });
            sender
        });
        Hooks { journal: journal.clone(), lanes: lanes.collect(), called, failed }
    }

    /// Tells about an event: the journal, the operator's hook, and the service's own for it.
    pub(super) fn tell(&self, event: &Event, hook: Option<&Vec<String>>, limit: Duration) {
        happened(event).into_iter().for_each(|happened| self.journal.tell(happened));
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
                let reason = format!("{WAITING} hooks are waiting already");
                let text = format!("hook {} was not run", words.join(" "));
                self.journal.tell(Happened::new(Kind::HookFailed, text).because(reason));
            }
        }
    }
}

/// What there is to say of an event. Nothing where it is as it should be, and nobody has said otherwise.
fn happened(event: &Event) -> Option<Happened> {
    let of_server = |kind, text, target: &Target| {
        Happened::new(kind, text).service(&*target.name).server(target.key.endpoint())
    };
    Some(match event {
        Event::Quorum { reached: true, first: true, .. }
        | Event::Sorry { serves: false, first: true, .. }
        | Event::Kept { kept: false, first: true, .. } => return None,
        Event::Server { target, change: Change::Up, .. } => of_server(Kind::ServerUp, "server is up", target),
        Event::Server { target, change: Change::Down { held: false }, reason } => {
            of_server(Kind::ServerDown, "server is down", target).because(reason)
        }
        Event::Server { target, change: Change::Down { held: true }, reason } => {
            of_server(Kind::ServerHeld, "server went down too often and is held", target).because(reason)
        }
        Event::Quorum { name, reached: true, .. } => {
            Happened::new(Kind::QuorumReached, "quorum is reached").service(name)
        }
        Event::Quorum { name, reached: false, .. } => {
            Happened::new(Kind::QuorumLost, "quorum is lost").service(name)
        }
        Event::Sorry { name, server, serves: true, .. } => {
            Happened::new(Kind::SorryServerServes, "sorry server gets new connections")
                .service(name)
                .server(*server)
        }
        Event::Sorry { name, server, serves: false, .. } => {
            Happened::new(Kind::SorryServerWaits, "sorry server gets no more new connections")
                .service(name)
                .server(*server)
        }
        Event::Kept { name, kept: true, .. } => {
            Happened::new(Kind::AllFailed, "all servers failed; using those that worked last").service(name)
        }
        Event::Kept { name, kept: false, .. } => Happened::new(
            Kind::AllFailedOver,
            "a server works again; servers that are down are no longer used",
        )
        .service(name),
    })
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
    let ServiceKey { protocol, vip, port, .. } = service;
    vec![
        ("LB_EVENT", event.to_owned()),
        ("LB_SERVICE", name.to_owned()),
        ("LB_PROTOCOL", protocol.name().to_owned()),
        ("LB_VIP", vip.to_string()),
        ("LB_VIP_PORT", port.to_string()),
    ]
}
