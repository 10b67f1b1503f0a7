//! A port's queues. Each has one owner, so no queue has two pollers.

use super::{
    burst,
    mbuf::{self, Mbuf},
    mempool::Mempool,
    pause::{Direction, Hold, QueuePause},
    tx_work::{self, TxWork},
};
use lb_core::packet::{Burst, PortId};
use std::{cell::Cell, marker::PhantomData};

/// A queue that a port puts received packets in. May move to another thread, but two cannot share it.
#[derive(Debug)]
pub struct RxQueue {
    pub(super) device: u16,
    pub(super) queue: u16,
    pub(super) index: PortId,
    pub(super) discarded: u64,
    pub(super) hold: Hold,
    /// The driver takes buffers from this pool, so it must outlive the queue.
    pub(super) _pool: Mempool,
    pub(super) not_sync: PhantomData<Cell<()>>,
}

impl RxQueue {
    /// The port the queue belongs to.
    #[must_use]
    pub fn port(&self) -> PortId {
        self.index
    }

    /// Lets the queue bring nothing while the proof exists that is returned.
    pub fn pause(&mut self) -> QueuePause {
        self.hold.begin(self.device, Direction::Receive, self.queue)
    }

    /// Appends at most `most` received packets to `burst`, and returns how many it did. Does not wait. Every packet's
    /// port is our index of it, which may differ from DPDK's number.
    #[inline]
    pub fn receive(&mut self, burst: &mut Burst<Mbuf>, most: usize) -> usize {
        if self.hold.is_on() {
            return 0;
        }
        let old = burst.len();
        let (device, queue) = (self.device, self.queue);
        let poll = |space: *mut *mut dpdk_sys::shim_mbuf, most: u16| {
            // SAFETY: the port is started and stays so while this queue exists, nobody else polls the queue, and
            // `space` has room for `most` pointers.
            unsafe { dpdk_sys::shim_rx_burst(device, queue, space, most) }
        };
        // SAFETY: what a driver receives is ours, direct and with one reference. That it is one segment is checked
        // below, before anybody else sees it.
        let count = unsafe { burst::append(burst, most, poll) };
        let mut chained = false;
        // The driver has just written these headers, so they are in this CPU's cache.
        for packet in &mut burst[old..] {
            packet.mark_received(self.index);
            chained |= !packet.is_single_segment();
        }
        if chained { self.discard_chained(burst, old) } else { count }
    }

    /// Packets that came in several segments, although we do not ask for that, and were freed unseen. Some virtual
    /// drivers (pcap) do so with frames larger than a buffer.
    #[must_use]
    pub fn discarded(&self) -> u64 {
        self.discarded
    }

    /// Frees the chained ones among the packets from `old` on, and returns how many are left of those.
    #[cold]
    fn discard_chained(&mut self, burst: &mut Burst<Mbuf>, old: usize) -> usize {
        for packet in burst.drain(old..).collect::<Burst<Mbuf>>() {
            if packet.is_single_segment() {
                burst.push(packet);
            } else {
                packet.free();
                self.discarded += 1;
            }
        }
        burst.len() - old
    }
}

/// A queue of packets that a port transmits. May move to another thread, but two cannot share it.
#[derive(Debug)]
pub struct TxQueue {
    pub(super) device: u16,
    pub(super) queue: u16,
    pub(super) index: PortId,
    pub(super) hold: Hold,
    /// The port is a bond whose members have something of their own to send now and then (LACP).
    pub(super) has_partners: bool,
    /// What the port does to packets while it sends them.
    pub(super) work: TxWork,
    pub(super) not_sync: PhantomData<Cell<()>>,
}

impl TxQueue {
    /// The port the queue belongs to.
    #[must_use]
    pub fn port(&self) -> PortId {
        self.index
    }

    /// Lets the queue take nothing while the proof exists that is returned.
    pub fn pause(&mut self) -> QueuePause {
        self.hold.begin(self.device, Direction::Transmit, self.queue)
    }

    /// Whether the queue takes nothing because it is paused.
    #[must_use]
    pub fn is_paused(&mut self) -> bool {
        self.hold.is_on()
    }

    /// Lets a bond send what its members tell their partners, which it does only when it is asked to send something: at
    /// least every 100 ms, or partners take a member for dead. Other ports are not asked.
    #[inline]
    pub fn let_bond_speak(&mut self) {
        if self.has_partners && !self.hold.is_on() {
            // SAFETY: the port is started and stays so while this queue exists, and nobody else uses the queue. No packet is
            // given, so no pointer is read.
            unsafe { dpdk_sys::shim_tx_burst(self.device, self.queue, std::ptr::null_mut(), 0) };
        }
    }

    /// Gives all packets to the port, frees those it has no room for, and empties the burst. Returns how many the
    /// port took. Does not wait, and does not try twice: what a full queue cannot take is for the caller to count.
    #[inline]
    pub fn transmit(&mut self, packets: &mut Burst<Mbuf>) -> usize {
        if packets.is_empty() {
            return 0;
        }
        if self.hold.is_on() {
            mbuf::free_slice(packets);
            packets.clear();
            return 0;
        }
        if self.work.concerns_all() || tx_work::any_unsummed(packets) {
            self.assign(packets);
        }
        let count = packets.len() as u16;
        // SAFETY: the port is started and stays so while this queue exists, and nobody else uses the queue. The burst
        // is an array of `count` packets that we hold; those that the driver takes, it frees.
        let taken =
            unsafe { dpdk_sys::shim_tx_burst(self.device, self.queue, mbuf::as_array(packets), count) };
        let taken = usize::from(taken);
        mbuf::free_slice(&mut packets[taken..]);
        packets.clear();
        taken
    }

    /// Has what was put off done, by the port or here, and what else the port is to do asked for.
    #[inline(never)]
    fn assign(&mut self, packets: &mut Burst<Mbuf>) {
        let mut any = false;
        for packet in packets.iter_mut() {
            any |= self.work.assign(packet);
        }
        let mut ready = 0;
        while any && ready < packets.len() {
            let rest = &mut packets[ready..];
            let count = rest.len() as u16;
            // SAFETY: as in `transmit`. The driver changes packets, and puts no others in their places.
            let good =
                unsafe { dpdk_sys::shim_tx_prepare(self.device, self.queue, mbuf::as_array(rest), count) };
            ready += usize::from(good);
            if let Some(refused) = packets.get_mut(ready) {
                tx_work::do_instead(refused);
                ready += 1;
            }
        }
    }
}
