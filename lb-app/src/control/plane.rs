//! The control plane: the running director with all that changes and watches it over time.

use super::{
    announce::{self, Announcer, Leaving, Verdicts},
    edit::{follow::Follower, health::Link, servers::Schedule},
    file::{
        reload::Reloads,
        watched::{LOOK, Looker, Watched},
    },
    live::{host_sides::Mover, running::Running},
    sync::{self, ipvs},
    watch::Watches,
};
use crate::health::Monitor;
use parking_lot::Mutex;
use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Where metrics are served, or why they are not yet; now and later.
type Metrics = watch::Receiver<Result<SocketAddr, String>>;

/// What clients, signals and the director's own chores work with.
pub(crate) struct ControlPlane {
    /// What runs.
    pub(crate) running: Arc<Running>,
    /// What becomes of servers.
    pub(crate) servers: Schedule,
    /// The configuration file, read again.
    pub(crate) reloads: Reloads,
    /// What became of the configuration file, if it is watched.
    pub(crate) watched: Watched,
    /// What is announced to routing daemons.
    pub(crate) announcer: Announcer,
    /// Traces and captures.
    pub(crate) watches: Watches,
    /// What is known of peers, if there are any.
    pub(crate) peers: Option<Arc<sync::Known>>,
    /// What is known of directors of IPVS, if connections are synchronized with them.
    pub(crate) ipvs: Option<Arc<ipvs::Known>>,
    monitor: Mutex<Option<Arc<Monitor>>>,
    metrics: OnceLock<Metrics>,
}

impl ControlPlane {
    pub(crate) fn new(
        running: Arc<Running>,
        (peers, ipvs): (Option<Arc<sync::Known>>, Option<Arc<ipvs::Known>>),
    ) -> Self {
        ControlPlane {
            running,
            servers: Schedule::default(),
            reloads: Reloads::default(),
            watched: Watched::default(),
            announcer: Announcer::default(),
            watches: Watches::default(),
            peers,
            ipvs,
            monitor: Mutex::default(),
            metrics: OnceLock::new(),
        }
    }

    /// Begins to look at the configuration file.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn watch_file(self: &Arc<Self>) -> std::io::Result<()> {
        let plane = Arc::downgrade(self);
        // A thread of its own, as a file system may take its time.
        let watch = move || {
            let mut looker = Looker::default();
            loop {
                thread::sleep(LOOK);
                let Some(plane) = plane.upgrade() else { return };
                looker.look(&plane.running, &plane.watched, &plane.reloads);
            }
        };
        thread::Builder::new().name("lb-config".to_owned()).spawn(watch).map(drop)
    }

    /// Begins to move frames between ports and their host sides, if there are any.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn move_frames(self: &Arc<Self>) -> std::io::Result<()> {
        if self.running.taps.is_empty() {
            return Ok(());
        }
        let running = Arc::downgrade(&self.running);
        let work = move || {
            let mut mover = Mover::default();
            // It would otherwise hold what the end waits for.
            while let Some(running) = running.upgrade().filter(|running| !running.shutdown.is_requested()) {
                mover.round(&running, Instant::now());
            }
        };
        thread::Builder::new().name("lb-host".to_owned()).spawn(work).map(drop)
    }

    /// Begins to look which addresses the kernel has on host sides, if there are any.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn follow_kernel(self: &Arc<Self>) -> std::io::Result<()> {
        if self.running.taps.is_empty() {
            return Ok(());
        }
        let running = Arc::downgrade(&self.running);
        // A thread of its own: a change waits for workers, and frames of the host sides must not wait meanwhile.
        let work = move || {
            let mut follower = Follower::default();
            while let Some(running) = running.upgrade().filter(|running| !running.shutdown.is_requested()) {
                follower.round(&running);
            }
        };
        thread::Builder::new().name("lb-follow".to_owned()).spawn(work).map(drop)
    }

    /// Begins to tell routing daemons which VIPs may be sent here, if the configuration wants that, and to look after the order
    /// in which the director leaves, if anybody is to know.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn announce(self: &Arc<Self>) -> std::io::Result<()> {
        let announces = self.running.config.announce.is_on();
        if !announces && !self.running.config.sync.is_on() {
            return Ok(());
        }
        let plane = Arc::downgrade(self);
        // A thread of its own: workers may be slow to answer.
        let announce = move || {
            let mut looker = announce::Looker::default();
            loop {
                {
                    let Some(plane) = plane.upgrade() else { return };
                    let found = match announces {
                        true => looker.look(&plane.running, Instant::now()),
                        false => Verdicts::new(),
                    };
                    plane.announcer.step(&plane.running, found, Instant::now());
                }
                thread::sleep(announce::LOOK);
            }
        };
        if self.running.config.announce.command.is_some() {
            self.call_daemons()?;
        }
        thread::Builder::new().name("lb-announce".to_owned()).spawn(announce).map(drop)
    }

    /// Begins to run the command of routing daemons whenever there is something to tell them.
    fn call_daemons(self: &Arc<Self>) -> std::io::Result<()> {
        let (plane, calls) = (Arc::downgrade(self), self.announcer.calls.clone());
        let call = move || {
            while let Some(plane) = plane.upgrade() {
                plane.announcer.call(&plane.running, &|words, told| plane.run(words, told));
                drop(plane);
                calls.wait(announce::LOOK);
            }
        };
        thread::Builder::new().name("lb-announced".to_owned()).spawn(call).map(drop)
    }

    /// Withdraws all VIPs from routing daemons.
    pub(crate) fn withdraw(&self) {
        self.announcer.end(&self.running, &|words, told| self.run(words, told));
    }

    /// Whether nothing is announced any more that packets could come for, and peers know what goes on elsewhere.
    pub(crate) fn has_left(&self) -> bool {
        let config = &self.running.config;
        !(config.announce.is_on() || config.sync.is_on()) || self.announcer.leaving() == Leaving::Left
    }

    /// Runs a program of the operator's.
    fn run(&self, words: &[String], environment: Vec<(&'static str, String)>) -> Result<(), String> {
        let limit = self.running.current().config.health.hooks.hook_timeout;
        let monitor = self.monitor().ok_or("the director is stopping")?;
        monitor.run(words, environment, Duration::from_millis(limit.as_millis()))
    }

    /// Begins to check servers.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub(crate) fn start_checks(&self) -> anyhow::Result<()> {
        let link = Arc::new(Link::new(&self.running));
        let monitor = Monitor::start(self.running.health.clone(), link, &self.running.journal)?;
        *self.monitor.lock() = Some(Arc::new(monitor));
        Ok(())
    }

    /// Stops checking servers.
    pub(crate) fn stop_checks(&self) {
        let monitor = self.monitor.lock().take();
        if let Some(monitor) = monitor {
            monitor.stop();
        }
    }

    /// Metrics are served there.
    pub(crate) fn metrics_are_at(&self, place: Metrics) {
        let _ = self.metrics.set(place);
    }

    /// Why metrics that are wanted are not served yet.
    pub(crate) fn metrics_failure(&self) -> Option<String> {
        self.metrics.get()?.borrow().as_ref().err().cloned()
    }

    /// What checks servers. Nothing before the director is ready and when it ends.
    pub(crate) fn monitor(&self) -> Option<Arc<Monitor>> {
        self.monitor.lock().clone()
    }
}
