//! Packets in plain memory, and an [`Io`] that keeps what it is given: for tests, simulations and benchmarks.

use crate::packet::{Checksum, Io, Notice, Packet, PortId, WorkerId};
use std::collections::VecDeque;

/// Room in front of a frame, as DPDK's mbufs have.
const HEADROOM: usize = 128;
/// Bytes of a buffer, as DPDK's default.
const SIZE: usize = 2048 + HEADROOM;

/// A packet in plain memory.
#[derive(Clone, Debug)]
pub struct MemoryPacket {
    buffer: Vec<u8>,
    start: usize,
    len: usize,
    port: PortId,
    /// What the port is supposed to have found out about the IPv4 header checksum.
    pub ipv4_checksum: Checksum,
    /// What the port is supposed to have found out about the TCP or UDP checksum.
    pub l4_checksum: Checksum,
}

impl MemoryPacket {
    /// A frame that arrived on `port`. Frames longer than 2 KiB get a buffer of their size.
    #[must_use]
    pub fn new(port: PortId, frame: &[u8]) -> Self {
        let mut buffer = vec![0; SIZE.max(HEADROOM + frame.len())];
        buffer[HEADROOM..HEADROOM + frame.len()].copy_from_slice(frame);
        MemoryPacket {
            buffer,
            start: HEADROOM,
            len: frame.len(),
            port,
            ipv4_checksum: Checksum::Unknown,
            l4_checksum: Checksum::Unknown,
        }
    }
}

impl Packet for MemoryPacket {
    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.start + self.len]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..self.start + self.len]
    }

    fn prepend(&mut self, count: usize) -> bool {
        let enough = count <= self.start;
        if enough {
            self.start -= count;
            self.len += count;
        }
        enough
    }

    fn trim_front(&mut self, count: usize) -> bool {
        let enough = count <= self.len;
        if enough {
            self.start += count;
            self.len -= count;
        }
        enough
    }

    fn set_len(&mut self, len: usize) -> bool {
        let enough = self.start + len <= self.buffer.len();
        if enough {
            self.len = len;
        }
        enough
    }

    fn port(&self) -> PortId {
        self.port
    }

    fn set_port(&mut self, port: PortId) {
        self.port = port;
    }

    fn ipv4_checksum(&self) -> Checksum {
        self.ipv4_checksum
    }

    fn l4_checksum(&self) -> Checksum {
        self.l4_checksum
    }
}

/// Queues and rings in plain memory. What a worker does is found in its fields.
#[derive(Debug)]
pub struct MemoryIo {
    /// Transmitted frames, oldest first, with their ports.
    pub transmitted: VecDeque<(PortId, MemoryPacket)>,
    /// Packets handed over, oldest first, with the worker they go to.
    pub handed_over: VecDeque<(WorkerId, MemoryPacket)>,
    /// Packets that host sides got.
    pub kernel: VecDeque<MemoryPacket>,
    /// Packets that ended.
    pub released: usize,
    /// Packets allocated.
    pub allocated: usize,
    /// Notices for the operator.
    pub notices: Vec<Notice>,
    /// Packets that the pool still has.
    pub pool: usize,
    /// Packets that a hand-over ring takes.
    pub ring: usize,
    /// Which frames the control plane waits for.
    pub waits_for: fn(&[u8]) -> bool,
}

impl Default for MemoryIo {
    fn default() -> Self {
        MemoryIo {
            transmitted: VecDeque::new(),
            handed_over: VecDeque::new(),
            kernel: VecDeque::new(),
            released: 0,
            allocated: 0,
            notices: Vec::new(),
            pool: usize::MAX,
            ring: usize::MAX,
            waits_for: |_| false,
        }
    }
}

impl Io for MemoryIo {
    type Packet = MemoryPacket;

    fn transmit(&mut self, port: PortId, packet: MemoryPacket) {
        self.transmitted.push_back((port, packet));
    }

    fn release(&mut self, _packet: MemoryPacket) {
        self.released += 1;
    }

    fn hand_over(&mut self, to: WorkerId, packet: MemoryPacket) -> Result<(), MemoryPacket> {
        if self.handed_over.len() >= self.ring {
            return Err(packet);
        }
        self.handed_over.push_back((to, packet));
        Ok(())
    }

    fn to_host(&mut self, packet: MemoryPacket) -> Result<(), MemoryPacket> {
        if !self.waits_for(packet.bytes()) {
            return Err(packet);
        }
        self.release(packet);
        Ok(())
    }

    fn to_kernel(&mut self, packet: MemoryPacket, _eighths: u8) -> Result<(), MemoryPacket> {
        self.released += 1;
        self.kernel.push_back(packet);
        Ok(())
    }

    fn waits_for(&self, frame: &[u8]) -> bool {
        (self.waits_for)(frame)
    }

    fn allocate(&mut self, port: PortId) -> Option<MemoryPacket> {
        self.pool = self.pool.checked_sub(1)?;
        self.allocated += 1;
        Some(MemoryPacket::new(port, &[]))
    }

    fn notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }
}
