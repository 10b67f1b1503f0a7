//! Where a worker's packets go: transmit queues, hand-over rings, and back to the pool. Packets for a port are
//! collected and given to it in bursts.

use super::{
    hand_over::{Ends, Peer},
    host::Host,
    host_side::HostSides,
};
use crate::dpdk::{self, Consumer, Mbuf, Mempool, QueuePause, TxQueue};
use crossbeam_channel::Sender;
use lb_core::{
    counters::{Counter, DropReason, WorkerCounters},
    packet::{Burst, Io, Notice, Packet, PortId, WorkerId},
};
use std::sync::Arc;

/// What one worker moved through one port.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct PortTraffic {
    /// Packets received.
    pub(crate) rx: Counter,
    /// Packets the port took for transmission.
    pub(crate) tx: Counter,
    /// Packets it did not take.
    pub(crate) tx_dropped: Counter,
}

/// The queues, rings and pool of one worker.
pub(crate) struct LcoreIo {
    queues: Vec<TxQueue>,
    /// Packets for each port that have not been given to it yet.
    pending: Vec<Burst<Mbuf>>,
    /// By worker; none for this one.
    peers: Vec<Option<Peer>>,
    consumers: Vec<Consumer>,
    /// Packets on their way back to the pool.
    released: Burst<Mbuf>,
    pool: Mempool,
    counters: Arc<WorkerCounters>,
    traffic: Arc<[PortTraffic]>,
    notices: Sender<Notice>,
    host: Arc<Host>,
    sides: Arc<HostSides>,
}

impl LcoreIo {
    pub(crate) fn new(
        queues: Vec<TxQueue>,
        rings: Ends,
        pool: Mempool,
        counters: Arc<WorkerCounters>,
        traffic: Arc<[PortTraffic]>,
        (notices, host, sides): (Sender<Notice>, Arc<Host>, Arc<HostSides>),
    ) -> Self {
        let pending = queues.iter().map(|_| Burst::new()).collect();
        let peers = rings.to.into_iter().map(|ring| ring.map(Peer::new)).collect();
        let released = Burst::new();
        let consumers = rings.from;
        LcoreIo { queues, pending, peers, consumers, released, pool, counters, traffic, notices, host, sides }
    }

    /// The rings from other workers.
    pub(crate) fn consumers(&mut self) -> &mut [Consumer] {
        &mut self.consumers
    }

    /// Gives everything collected to the ports, the other workers and the pool.
    #[inline]
    pub(crate) fn flush(&mut self) {
        for port in 0..self.pending.len() {
            if !self.pending[port].is_empty() {
                self.flush_port(port);
            }
        }
        for peer in self.peers.iter_mut().flatten() {
            peer.flush();
        }
        if !self.released.is_empty() {
            dpdk::free_bulk(&mut self.released);
        }
    }

    /// Lets bonds send what is theirs.
    #[inline]
    pub(crate) fn let_bonds_speak(&mut self) {
        self.queues.iter_mut().for_each(TxQueue::let_bond_speak);
    }

    /// Lets the queue of a port take nothing for a while.
    pub(super) fn pause(&mut self, port: PortId) -> Option<QueuePause> {
        self.queues.get_mut(usize::from(port.0)).map(TxQueue::pause)
    }

    /// The transmit queues, to close their ports with.
    pub(crate) fn into_queues(self) -> Vec<TxQueue> {
        self.queues
    }

    fn flush_port(&mut self, port: usize) {
        let count = self.pending[port].len();
        let taken = self.queues[port].transmit(&mut self.pending[port]);
        self.counters.sent.add(taken as u64);
        self.traffic[port].tx.add(taken as u64);
        if taken < count {
            let refused = (count - taken) as u64;
            let stopped = self.queues[port].is_paused();
            let reason = if stopped { DropReason::PortStopped } else { DropReason::TxFull };
            self.counters.dropped[reason as usize].add(refused);
            self.traffic[port].tx_dropped.add(refused);
        }
    }
}

impl Io for LcoreIo {
    type Packet = Mbuf;

    #[inline]
    fn transmit(&mut self, port: PortId, packet: Mbuf) {
        let port = usize::from(port.0);
        if self.pending[port].is_full() {
            self.flush_port(port);
        }
        self.pending[port].push(packet);
    }

    #[inline]
    fn release(&mut self, packet: Mbuf) {
        if self.released.is_full() {
            dpdk::free_bulk(&mut self.released);
        }
        self.released.push(packet);
    }

    fn hand_over(&mut self, to: WorkerId, packet: Mbuf) -> Result<(), Mbuf> {
        match self.peers.get_mut(usize::from(to.0)) {
            Some(Some(peer)) => peer.take(packet),
            _ => Err(packet),
        }
    }

    fn to_host(&mut self, packet: Mbuf) -> Result<(), Mbuf> {
        if !self.host.take(packet.bytes()) {
            return Err(packet);
        }
        self.release(packet);
        Ok(())
    }

    fn to_kernel(&mut self, packet: Mbuf, eighths: u8) -> Result<(), Mbuf> {
        if !self.sides.take(packet.port(), packet.bytes(), eighths) {
            return Err(packet);
        }
        self.release(packet);
        Ok(())
    }

    fn waits_for(&self, frame: &[u8]) -> bool {
        self.host.waits_for(frame)
    }

    fn allocate(&mut self, port: PortId) -> Option<Mbuf> {
        let mut packet = self.pool.allocate()?;
        packet.set_port(port);
        Some(packet)
    }

    fn notice(&mut self, notice: Notice) {
        // Full: the operator has enough to read.
        let _ = self.notices.try_send(notice);
    }
}
