//! The loop of a worker lcore.

use super::{
    BURST,
    activity::Activity,
    ask::Desk,
    clock::Clock,
    host::{Host, Outgoing, SEND_BURST, To},
    idle::Rest,
    io::PortTraffic,
    shutdown::Shutdown,
    wired::WiredWorker,
};
use crate::dpdk::{self, Mbuf, RxQueue, TxQueue};
use crossbeam_channel::Receiver;
use lb_core::{decide::Origin, limits::MAX_BURST, packet::Burst, time::Instant, worker::Worker};
use std::sync::Arc;

/// Busy rounds between two looks at the desk.
const ROUNDS_PER_REQUEST: u32 = 64;

/// A worker with everything it works with.
pub(crate) struct Lcore {
    pub(crate) wired: WiredWorker,
    pub(crate) desk: Desk,
    pub(crate) host: Arc<Host>,
    /// What the control plane wants sent.
    pub(crate) outgoing: Receiver<Outgoing>,
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
    /// Polls until it is asked to stop, then releases every packet.
    pub(crate) fn run(mut self) -> Ended {
        let mut burst = Burst::<Mbuf>::new();
        let mut rounds = 0u32;
        let mut began = dpdk::tsc();
        while !self.shutdown.is_requested() {
            let now = self.clock.at(began);
            let mut busy = self.poll_ports(now, &mut burst);
            busy |= self.take_over(&mut burst);
            self.wired.tick(now);
            if !self.shutdown.is_paused() {
                self.wired.announce(now);
            }
            self.wired.io.flush();
            rounds = rounds.wrapping_add(1);
            if !busy || rounds.is_multiple_of(ROUNDS_PER_REQUEST) {
                self.desk.serve(now, &mut self.wired);
                self.send_for_control(now);
                self.wired.io.let_bonds_speak();
            }
            self.rest.after(busy);
            let ended = dpdk::tsc();
            self.activity.round(ended.wrapping_sub(began), busy);
            began = ended;
        }

        // Once every worker is here, nobody receives any more, so nothing new is handed over.
        self.shutdown.wait_for_quiet();
        while self.take_over(&mut burst) {}
        let WiredWorker { mut worker, rx, mut io, .. } = self.wired;
        worker.shut_down(&mut io);
        io.flush();
        Ended { rx, tx: io.into_queues(), worker }
    }

    /// Deals with what ports have received. Returns whether there was anything.
    #[inline]
    fn poll_ports(&mut self, now: Instant, burst: &mut Burst<Mbuf>) -> bool {
        let mut any = false;
        let polled = if self.shutdown.is_paused() { 0 } else { self.wired.rx.len() };
        for (port, traffic) in self.traffic.iter().enumerate().take(polled) {
            let received = self.wired.rx[port].receive(burst, BURST);
            self.activity.poll(received);
            if received > 0 {
                any = true;
                traffic.rx.add(received as u64);
                self.wired.process(now, burst, Origin::Port);
                // Each port's burst leaves before the next one is looked at, so that no packet waits for two.
                self.wired.io.flush();
            }
        }
        any
    }

    /// Deals with what other workers handed over. Returns whether there was anything.
    #[inline]
    fn take_over(&mut self, burst: &mut Burst<Mbuf>) -> bool {
        let mut any = false;
        for ring in 0..self.wired.io.consumers().len() {
            if self.wired.io.consumers()[ring].receive_burst(burst, MAX_BURST) > 0 {
                any = true;
                let now = self.clock.now();
                self.wired.process(now, burst, Origin::Worker);
                self.wired.io.flush();
            }
        }
        any
    }

    /// Sends some of what the control plane wants sent.
    #[inline]
    fn send_for_control(&mut self, now: Instant) {
        if self.outgoing.is_empty() {
            return;
        }
        for Outgoing { to, bytes } in self.outgoing.try_iter().take(SEND_BURST) {
            match to {
                To::Server(to) => {
                    self.wired.originate(now, to, &bytes);
                    self.host.give_back(bytes);
                }
                To::Port(port) => self.wired.originate_frame(port, &bytes),
            }
        }
    }
}
