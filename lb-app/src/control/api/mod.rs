//! What clients ask of the running director, and what they are answered: the protocol of `lb-ctl`, subject by subject.
//!
//! The shell and the socket both come here. Reading takes counters as they are, asks workers between two bursts, and
//! holds no lock that a packet waits for. Changing goes through
//! [`Running::change`](crate::control::live::running::Running::change).

pub(crate) mod access;
mod answer;
mod author;
mod called;
mod capture;
mod connections;
mod director;
mod events;
mod explain;
mod forward;
mod health;
mod host;
mod interfaces;
mod keys;
mod local_addresses;
mod memory;
mod network;
mod options;
mod overview;
mod persistence;
mod ports;
mod process;
mod rates;
mod services;
mod snat;
mod sync;
mod timeouts;
mod trace;
mod traffic;
mod workers;

#[cfg(test)]
mod tests;

use crate::{control::plane::ControlPlane, journal::Happened};
use answer::Answer;
pub(crate) use author::Author;
use lb_ctl::{
    protocol::{Code, Refusal, Reply, Request, events::Kind},
    transport::{CallError, Transport},
};
use process::Process;
pub(crate) use process::SetVerbosity;
use rates::Rates;
use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tracing::info;

/// Time between two looks at whether the director ends.
const LOOK: Duration = Duration::from_millis(100);

/// Answers clients.
pub(crate) struct Api {
    /// Weak, so that nobody who asks holds up the end.
    plane: Weak<ControlPlane>,
    process: Process,
    rates: Rates,
    port_baseline: ports::Baseline,
    forward_baseline: forward::Baseline,
    traffic_baseline: traffic::Baseline,
}

impl Api {
    /// For the running director. `stop` ends it.
    pub(crate) fn new(
        plane: &Arc<ControlPlane>,
        stop: Arc<AtomicBool>,
        set_verbosity: SetVerbosity,
    ) -> Arc<Self> {
        let api = Arc::new(Api {
            plane: Arc::downgrade(plane),
            process: Process::new(stop, set_verbosity),
            rates: Rates::default(),
            port_baseline: ports::Baseline::default(),
            forward_baseline: forward::Baseline::default(),
            traffic_baseline: traffic::Baseline::default(),
        });
        let sampling = api.clone();
        // Without the thread there are no rates; everything else works.
        let _ = thread::Builder::new().name("lb-rates".to_owned()).spawn(move || sampling.sample());
        api
    }

    /// Answers one request of somebody, if they may ask it. They are named in the journal for what it changes, and in the
    /// log with what they asked for.
    pub(crate) fn answer(&self, author: &Author, request: Request) -> Answer {
        let Some(plane) = self.plane.upgrade() else {
            return Err(Refusal::new(Code::Busy, "the director is stopping"));
        };
        let who = author.to_string();
        let words = access::is_logged(&request).then(|| request.words());
        let needed = access::needed(&request);
        if author.role < needed {
            let (role, holders) = (author.role, needed.holders(&plane.running.config.control));
            let why = format!("{who} has the role {role}; this takes the role {needed}, as have {holders}");
            let asked = Happened::new(Kind::Forbidden, format!("refused: {}", words.unwrap_or_default()));
            plane.running.journal.tell(asked.because(format!("it takes the role {needed}")).by(&who));
            return Err(Refusal::new(Code::Forbidden, why));
        }
        if let Some(words) = &words {
            info!("{who} asks for: {words}");
        }
        let answer = self.carry_out(&plane, request, &who);
        if let (Some(words), Err(refusal)) = (&words, &answer) {
            // A report on a file has more lines, which the journal has already.
            info!("{who} was refused: {words}: {}", refusal.message.lines().next().unwrap_or_default());
        }
        answer
    }

    fn carry_out(&self, plane: &Arc<ControlPlane>, request: Request, who: &str) -> Answer {
        let running = &*plane.running;
        match request {
            Request::Director(request) => {
                director::answer(plane, &self.process, &self.forward_baseline, &request, who)
            }
            Request::Services(request) => {
                services::answer(plane, (&self.rates, &self.traffic_baseline), request, who)
            }
            Request::Overview(request) => Ok(overview::answer(plane, &self.rates, &request)),
            Request::Connections(request) => connections::answer(running, request, who),
            Request::Neighbours(request) => Ok(network::neighbours(running, &request)),
            Request::Routes(request) => network::routes(running, &request, who),
            Request::Host(request) => Ok(host::answer(running, &request)),
            Request::Interfaces(request) => Ok(interfaces::answer(running, &request)),
            Request::LocalAddresses(request) => Ok(local_addresses::answer(running, &request)),
            Request::Snat(request) => {
                Ok(snat::answer(running, &self.forward_baseline, &self.rates, &request))
            }
            Request::Persistence(request) => persistence::answer(running, request, who),
            Request::Sync(request) => Ok(sync::answer(plane, &request)),
            Request::Ports(request) => ports::answer(running, &self.port_baseline, request, who),
            Request::Forward(request) => {
                Ok(forward::answer(running, &self.forward_baseline, &self.rates, &request))
            }
            Request::Health(request) => health::answer(plane, request),
            Request::Workers(request) => Ok(workers::answer(running, &self.rates, &request)),
            Request::Timeouts(request) => timeouts::answer(running, request, who),
            Request::Memory(request) => Ok(memory::answer(running, &request)),
            Request::Explain(request) => explain::answer(running, &request),
            Request::Trace(request) => trace::answer(plane, &request),
            Request::Capture(request) => capture::answer(plane, &request),
            Request::Events(request) => Ok(events::answer(running, &request)),
        }
    }

    /// The commands that the director begins with have run: it forwards, unless they say otherwise.
    pub(crate) fn begin(&self) {
        if let Some(plane) = self.plane.upgrade() {
            plane.running.shutdown.let_go();
        }
    }

    /// Whether the director is about to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.process.stop.load(Ordering::Relaxed)
    }

    /// Counts a client of the socket that was dropped because it broke a limit.
    pub(crate) fn count_dropped_client(&self) {
        self.process.clients_dropped.fetch_add(1, Ordering::Relaxed);
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
pub(crate) struct Local {
    api: Arc<Api>,
    author: Author,
}

impl Local {
    /// For whoever started the director.
    pub(crate) fn new(api: Arc<Api>) -> Self {
        Local { api, author: Author::shell() }
    }
}

impl Transport for Local {
    fn call(&mut self, request: Request) -> Result<Reply, CallError> {
        self.api.answer(&self.author, request).map_err(CallError::Refused)
    }
}
