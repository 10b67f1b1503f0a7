//! A packet buffer as small to move as an mbuf: one pointer, with metadata and frame behind it.

use crate::scene::{HEAD_LEN, Head};
use lb_core::packet::{Burst, Checksum, Io, Notice, Packet, PortId, WorkerId};

/// Room in front of the frame.
const HEADROOM: usize = 128;
/// Most bytes of a frame, and one more; a power of two.
const ROOM: usize = 2048;
/// Bytes of a buffer. More than any start and length can add up to, so that neither needs a check.
const SIZE: usize = 256 + ROOM;

/// What stands beside the frame, as in an mbuf.
#[repr(align(64))]
struct Buffer {
    start: u8,
    len: u16,
    port: PortId,
    checksum: Checksum,
    bytes: Line,
}

/// The frame begins on a cache line of its own.
#[repr(align(64))]
struct Line([u8; SIZE]);

/// A packet.
pub struct Frame(Box<Buffer>);

impl Frame {
    /// An empty packet whose checksums the port has verified, or has not looked at.
    #[must_use]
    pub fn new(checksum: Checksum) -> Self {
        Frame(Box::new(Buffer {
            start: HEADROOM as u8,
            len: 0,
            port: PortId(0),
            checksum,
            bytes: Line([0; SIZE]),
        }))
    }

    /// As if it had just arrived. What is behind the head stays what it was.
    #[inline]
    pub fn arrive(&mut self, head: &Head) {
        self.begin(head.port, head.len);
        self.0.bytes.0[HEADROOM..HEADROOM + HEAD_LEN].copy_from_slice(&head.bytes);
    }

    /// The same for a whole frame.
    pub fn arrive_whole(&mut self, port: PortId, frame: &[u8]) {
        self.begin(port, frame.len() as u16);
        self.0.bytes.0[HEADROOM..HEADROOM + frame.len()].copy_from_slice(frame);
    }

    #[inline]
    fn begin(&mut self, port: PortId, len: u16) {
        let buffer = &mut *self.0;
        buffer.start = HEADROOM as u8;
        buffer.len = len;
        buffer.port = port;
    }
}

impl Packet for Frame {
    #[inline(always)]
    fn bytes(&self) -> &[u8] {
        let (start, len) = (usize::from(self.0.start), usize::from(self.0.len) % ROOM);
        &self.0.bytes.0[start..start + len]
    }

    #[inline(always)]
    fn bytes_mut(&mut self) -> &mut [u8] {
        let (start, len) = (usize::from(self.0.start), usize::from(self.0.len) % ROOM);
        &mut self.0.bytes.0[start..start + len]
    }

    #[inline(always)]
    fn prepend(&mut self, count: usize) -> bool {
        let enough = count <= usize::from(self.0.start) && usize::from(self.0.len) + count < ROOM;
        if enough {
            self.0.start -= count as u8;
            self.0.len += count as u16;
        }
        enough
    }

    #[inline(always)]
    fn trim_front(&mut self, count: usize) -> bool {
        let enough = count <= usize::from(self.0.len) && usize::from(self.0.start) + count < 256;
        if enough {
            self.0.start += count as u8;
            self.0.len -= count as u16;
        }
        enough
    }

    #[inline(always)]
    fn set_len(&mut self, len: usize) -> bool {
        let enough = len < ROOM;
        if enough {
            self.0.len = len as u16;
        }
        enough
    }

    #[inline(always)]
    fn port(&self) -> PortId {
        self.0.port
    }

    #[inline(always)]
    fn set_port(&mut self, port: PortId) {
        self.0.port = port;
    }

    #[inline(always)]
    fn ipv4_checksum(&self) -> Checksum {
        self.0.checksum
    }

    #[inline(always)]
    fn l4_checksum(&self) -> Checksum {
        self.0.checksum
    }

    #[inline(always)]
    fn worst_checksum(&self) -> Checksum {
        self.0.checksum
    }
}

/// An `Io` that collects every packet for the next burst, whatever became of it.
#[derive(Default)]
pub struct Recycler {
    /// Packets to be used again.
    pub free: Vec<Frame>,
    /// Packets that were transmitted.
    pub transmitted: u64,
    /// Packets that were dropped.
    pub released: u64,
    /// Packets that belong to another worker.
    pub handed_over: u64,
}

impl Recycler {
    /// With that many packets.
    #[must_use]
    pub fn new(count: usize, checksum: Checksum) -> Self {
        Recycler { free: (0..count).map(|_| Frame::new(checksum)).collect(), ..Recycler::default() }
    }

    /// Moves `count` packets into a burst.
    #[inline]
    pub fn take(&mut self, burst: &mut Burst<Frame>, count: usize) {
        burst.extend(self.free.drain(self.free.len() - count..));
    }
}

impl Io for Recycler {
    type Packet = Frame;

    #[inline(always)]
    fn transmit(&mut self, _port: PortId, packet: Frame) {
        self.transmitted += 1;
        self.free.push(packet);
    }

    #[inline]
    fn release(&mut self, packet: Frame) {
        self.released += 1;
        self.free.push(packet);
    }

    fn hand_over(&mut self, _to: WorkerId, packet: Frame) -> Result<(), Frame> {
        self.handed_over += 1;
        self.free.push(packet);
        Ok(())
    }

    fn allocate(&mut self, port: PortId) -> Option<Frame> {
        let mut frame = self.free.pop()?;
        frame.begin(port, 0);
        Some(frame)
    }

    fn notice(&mut self, _notice: Notice) {}
}
