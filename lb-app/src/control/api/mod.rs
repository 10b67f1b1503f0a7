//! What clients ask of the running director, and what they are answered: the protocol of `lb-ctl`, subject by subject.
//!
//! The shell and the socket both come here. Reading takes counters as they are, asks workers between two bursts, and
//! holds no lock that a packet waits for. Changing goes through [`Running::change`].

mod capture;
mod connections;
mod director;
mod explain;
mod forward;
mod health;
mod keys;
mod memory;
mod network;
mod ports;
mod rates;
mod services;
mod timeouts;
mod trace;
mod workers;

use crate::{
    control::{edit::change::ChangeError, live::running::Running, plane::ControlPlane},
    dataplane::ask::Silent,
};
use lb_core::service::plan::Plan;
use lb_ctl::{
    protocol::{Code, Done, Refusal, Reply, Request},
    transport::{CallError, Transport},
};
use rates::Rates;
use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// Time between two looks at whether the director ends.
const LOOK: Duration = Duration::from_millis(100);

/// What sets how much is logged.
pub(crate) type SetVerbosity = Box<dyn Fn(u8) -> Result<(), String> + Send + Sync>;

/// Answers clients.
pub(crate) struct Api {
    /// Weak, so that nobody who asks holds up the end.
    plane: Weak<ControlPlane>,
    /// Ends the director.
    stop: Arc<AtomicBool>,
    set_verbosity: SetVerbosity,
    rates: Rates,
    port_baseline: ports::Baseline,
    forward_baseline: forward::Baseline,
    /// Clients of the socket that were dropped because they broke a limit.
    pub(in crate::control) clients_dropped: AtomicU64,
}

type Answer = Result<Reply, Refusal>;

impl Api {
    /// For the director that runs. `stop` ends it.
    pub(crate) fn new(
        plane: &Arc<ControlPlane>,
        stop: Arc<AtomicBool>,
        set_verbosity: SetVerbosity,
    ) -> Arc<Self> {
        let api = Arc::new(Api {
            plane: Arc::downgrade(plane),
            stop,
            set_verbosity,
            rates: Rates::default(),
            port_baseline: ports::Baseline::default(),
            forward_baseline: forward::Baseline::default(),
            clients_dropped: AtomicU64::new(0),
        });
        let sampling = api.clone();
        // Without the thread there are no rates, and nothing else is missing.
        let _ = thread::Builder::new().name("lb-rates".to_owned()).spawn(move || sampling.sample());
        api
    }

    /// Answers one request.
    pub(crate) fn answer(&self, request: Request) -> Answer {
        let Some(plane) = self.plane.upgrade() else {
            return Err(Refusal::new(Code::Busy, "the director is ending"));
        };
        let running = &*plane.running;
        match request {
            Request::Director(request) => self.director(&plane, &request),
            Request::Services(request) => self.services(&plane, request),
            Request::Connections(request) => connections::answer(running, request),
            Request::Neighbours(request) => Ok(network::neighbours(running, &request)),
            Request::Routes(request) => network::routes(running, &request),
            Request::Ports(request) => self.ports(running, request),
            Request::Forward(request) => Ok(self.forward(running, &request)),
            Request::Health(request) => health::answer(&plane, request),
            Request::Workers(request) => Ok(self.workers(running, &request)),
            Request::Timeouts(request) => timeouts::answer(running, request),
            Request::Memory(request) => Ok(memory::answer(running, &request)),
            Request::Explain(request) => explain::answer(running, &request),
            Request::Trace(request) => trace::answer(&plane, &request),
            Request::Capture(request) => capture::answer(&plane, &request),
        }
    }

    /// Whether the director is about to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Looks at counters once a second, until the director ends.
    fn sample(&self) {
        let mut rounds = 0u32;
        while !self.is_ending() {
            if rounds.is_multiple_of(10) {
                let Some(plane) = self.plane.upgrade() else { return };
                self.rates.sample(&plane.running);
            }
            rounds = rounds.wrapping_add(1);
            thread::sleep(LOOK);
        }
    }
}

/// The way to the director from within its own process.
pub(crate) struct Local(pub(crate) Arc<Api>);

impl Transport for Local {
    fn call(&mut self, request: Request) -> Result<Reply, CallError> {
        self.0.answer(request).map_err(CallError::Refused)
    }
}

/// Edits the plan. What `edit` refuses is refused with its own words.
fn change<T>(running: &Running, edit: impl FnOnce(&mut Plan) -> Result<T, Refusal>) -> Result<T, Refusal> {
    let mut refusal = None;
    let outcome = running.change(|plan| {
        edit(plan).map_err(|why| {
            let error = ChangeError::refused(why.message.clone());
            refusal = Some(why);
            error
        })
    });
    outcome.map_err(|error| refusal.unwrap_or_else(|| translate(&error)))
}

fn translate(error: &ChangeError) -> Refusal {
    let code = match error {
        ChangeError::Silent(_) => Code::Timeout,
        ChangeError::Refused(_) | ChangeError::Plan(_) | ChangeError::Snapshot(_) => Code::Invalid,
    };
    Refusal::new(code, error.to_string())
}

#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn timeout(silent: Silent) -> Refusal {
    Refusal::new(Code::Timeout, silent.to_string())
}

fn not_found(what: &str, name: &str, known: impl IntoIterator<Item = String>) -> Refusal {
    /// Names in a message, at most.
    const MOST: usize = 20;
    let mut known: Vec<String> = known.into_iter().take(MOST + 1).collect();
    if known.len() > MOST {
        known[MOST] = "...".to_owned();
    }
    let there_are = if known.is_empty() {
        "there are none".to_owned()
    } else {
        format!("there are {}", known.join(", "))
    };
    Refusal::new(Code::NotFound, format!("there is no {what} {name:?}; {there_are}"))
}

/// What a word names, among values with names.
fn word<T: Copy>(what: &str, word: &str, all: &[T], name: fn(T) -> &'static str) -> Result<T, Refusal> {
    let found = all.iter().copied().find(|value| name(*value).eq_ignore_ascii_case(word));
    found.ok_or_else(|| not_found(what, word, all.iter().map(|value| name(*value).to_owned())))
}

fn done() -> Reply {
    Reply::Done(Done::default())
}

fn done_with(note: impl Into<String>) -> Reply {
    Reply::Done(Done { notes: vec![note.into()] })
}
