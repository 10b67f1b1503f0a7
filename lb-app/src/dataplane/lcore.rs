//! The loop of a worker lcore.

use super::{
    activity::Activity,
    clock::Clock,
    idle::Rest,
    io::{LcoreIo, PortTraffic},
    request::Desk,
    tap,
};
use crate::dpdk::{self, Mbuf, RxQueue, TxQueue};
use lb_core::{decide::Origin, limits::MAX_BURST, packet::Burst, worker::Worker};
use std::sync::{
    Arc, Barrier,
    atomic::{AtomicBool, Ordering},
};

/// Packets of one poll: enough to overlap cache misses, few enough to stay in the first-level cache.
pub(crate) const BURST: usize = 32;

/// Busy rounds between two looks at the desk.
const ROUNDS_PER_REQUEST: u32 = 64;

/// What all workers watch to end together.
#[derive(Debug)]
pub(crate) struct Shutdown {
    stop: AtomicBool,
    /// Ports are not polled.
    paused: AtomicBool,
    /// All workers have stopped receiving from ports.
    quiet: Barrier,
}

impl Shutdown {
    pub(crate) fn new(workers: usize) -> Self {
        Shutdown {
            stop: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            quiet: Barrier::new(workers),
        }
    }

    /// Tells all workers to end.
    pub(crate) fn request(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Tells all workers to poll no port, or to poll again. They go on with everything else.
    pub(crate) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// Whether no port is polled.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    fn is_requested(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// A worker with everything it works with.
pub(crate) struct Lcore {
    pub(crate) worker: Worker<Mbuf>,
    /// One receive queue of each port.
    pub(crate) rx: Vec<RxQueue>,
    pub(crate) io: LcoreIo,
    pub(crate) desk: Desk,
    pub(crate) clock: Clock,
    pub(crate) rest: Rest,
    /// By port.
    pub(crate) traffic: Arc<[PortTraffic]>,
    pub(crate) activity: Arc<Activity>,
    pub(crate) shutdown: Arc<Shutdown>,
}

/// What is left of a worker that has ended.
pub(crate) struct Ended {
    /// By port.
    pub(crate) rx: Vec<RxQueue>,
    /// By port.
    pub(crate) tx: Vec<TxQueue>,
    /// It holds no packet any more, but its connections.
    pub(crate) worker: Worker<Mbuf>,
}

impl Lcore {
    /// Polls until told to stop, then leaves no packet behind.
    pub(crate) fn run(mut self) -> Ended {
        let mut burst = Burst::<Mbuf>::new();
        let mut rounds = 0u32;
        let mut began = dpdk::tsc();
        while !self.shutdown.is_requested() {
            let now = self.clock.at(began);
            let mut busy = false;
            let polled = if self.shutdown.is_paused() { 0 } else { self.rx.len() };
            for (queue, traffic) in self.rx[..polled].iter_mut().zip(&*self.traffic) {
                let received = queue.receive(&mut burst, BURST);
                self.activity.poll(received);
                if received > 0 {
                    busy = true;
                    traffic.rx.add(received as u64);
                    if self.io.taps.is_none() {
                        self.worker.process(now, &mut burst, &mut self.io);
                    } else {
                        tap::process(&mut self.worker, now, &mut burst, &mut self.io, Origin::Port);
                    }
                    // Each port's burst leaves before the next one is looked at, so that no packet waits for two.
                    self.io.flush();
                }
            }
            busy |= self.take_over(&mut burst);
            if self.io.taps.is_none() {
                self.worker.tick(now, &mut self.io);
            } else {
                tap::tick(&mut self.worker, now, &mut self.io);
            }
            self.io.flush();
            rounds = rounds.wrapping_add(1);
            if !busy || rounds.is_multiple_of(ROUNDS_PER_REQUEST) {
                self.desk.serve(now, &mut self.worker, &mut self.rx, &mut self.io);
            }
            self.rest.after(busy);
            let ended = dpdk::tsc();
            self.activity.round(ended.wrapping_sub(began), busy);
            began = ended;
        }

        // Once every worker is here, nobody receives any more, so nothing new is handed over.
        self.shutdown.quiet.wait();
        while self.take_over(&mut burst) {}
        self.worker.shut_down(&mut self.io);
        self.io.flush();
        Ended { rx: self.rx, tx: self.io.into_queues(), worker: self.worker }
    }

    /// Deals with what other workers handed over. Returns whether there was anything.
    fn take_over(&mut self, burst: &mut Burst<Mbuf>) -> bool {
        let mut any = false;
        for ring in 0..self.io.consumers().len() {
            if self.io.consumers()[ring].receive_burst(burst, MAX_BURST) > 0 {
                any = true;
                let now = self.clock.now();
                if self.io.taps.is_none() {
                    self.worker.process_handed_over(now, burst, &mut self.io);
                } else {
                    tap::process(&mut self.worker, now, burst, &mut self.io, Origin::Worker);
                }
                self.io.flush();
            }
        }
        any
    }
}
