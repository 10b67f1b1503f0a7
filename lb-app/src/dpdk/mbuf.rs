//! One packet buffer.

use dpdk_sys::{shim_mbuf, shim_request};
use lb_core::{
    packet::{Checksum, Packet, PortId},
    wire::whole,
};
use std::{ptr::NonNull, slice};

/// Flags of a packet of which a checksum was put off, until it leaves: those that ask a port for one. They say so to anybody,
/// a driver that passes buffers on included.
pub(super) const UNSUMMED: u64 = dpdk_sys::SHIM_TX_L4_MASK;

/// A packet buffer of DPDK that we hold: one frame in one segment, with room before and after it.
///
/// It has no destructor, because freeing is cheaper in bulk and a packet is always given to somebody. One that goes
/// out of scope stays out of its pool until the process ends.
///
/// Its invariants, from the moment it is made until DPDK gets it back:
/// * the pointer is to an mbuf of a pool that is not freed meanwhile, and no other pointer to it is used;
/// * `buf_addr` points to `buf_len` bytes of it, and `data_off + data_len <= buf_len`;
/// * it is direct, not chained and has one reference; `pkt_len == data_len`.
#[derive(Debug)]
#[repr(transparent)]
pub struct Mbuf(NonNull<shim_mbuf>);

// SAFETY: an Mbuf is the only handle to its buffer, and pools take buffers back from any thread.
unsafe impl Send for Mbuf {}

impl Mbuf {
    /// Takes charge of a buffer.
    ///
    /// # Safety
    /// The type's invariants hold, and the caller gives up its own pointer.
    #[inline]
    pub(super) unsafe fn from_raw(mbuf: NonNull<shim_mbuf>) -> Mbuf {
        Mbuf(mbuf)
    }

    /// Gives the buffer back to its pool. For many at once there is [`free_bulk`](super::free_bulk).
    pub fn free(mut self) {
        free_slice(slice::from_mut(&mut self));
        // `self` has no destructor, so nothing touches the buffer after this.
    }

    /// Whether the frame is in one segment. Always true outside this module: receive queues discard others.
    #[inline]
    #[must_use]
    pub fn is_single_segment(&self) -> bool {
        self.view().nb_segs == 1
    }

    /// Marks the packet as received on `port`. For the receive queue, which sees frames before they are checked.
    #[inline]
    pub(super) fn mark_received(&mut self, port: PortId) {
        self.view_mut().port = port.0;
    }

    /// Whether the checksum of TCP, UDP or SCTP is still to be computed.
    #[inline]
    #[must_use]
    pub fn is_unsummed(&self) -> bool {
        self.flags() & UNSUMMED != 0
    }

    /// DPDK's flags.
    #[inline]
    pub(super) fn flags(&self) -> u64 {
        self.view().ol_flags
    }

    /// As a port marks a packet whose checksums it has verified.
    #[cfg(test)]
    pub(super) fn mark_verified(&mut self) {
        self.view_mut().ol_flags |= dpdk_sys::SHIM_RX_IP_CKSUM_GOOD | dpdk_sys::SHIM_RX_L4_CKSUM_GOOD;
    }

    /// What a port is asked to do, as flags, and the VLAN tag.
    pub(super) fn requests(&self) -> (u64, u16) {
        (self.flags() & dpdk_sys::SHIM_TX_ALL, self.view().vlan_tci)
    }

    /// Asks a port for nothing.
    #[inline]
    pub(super) fn forget_requests(&mut self) {
        self.view_mut().ol_flags &= !dpdk_sys::SHIM_TX_ALL;
    }

    /// Asks the port for what it is to do to the packet.
    #[inline]
    pub(super) fn ask(&mut self, request: &shim_request) {
        // SAFETY: the pointer is to an mbuf that nobody else uses, by the invariants; flags and lengths are numbers that no
        // pointer follows from.
        unsafe { dpdk_sys::shim_mbuf_ask(self.0.as_ptr(), request) };
    }

    #[inline]
    fn view(&self) -> &shim_mbuf {
        // SAFETY: the pointer is valid and not aliased, by the invariants; shim.c has checked the layout.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    fn view_mut(&mut self) -> &mut shim_mbuf {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { self.0.as_mut() }
    }

    /// Where the frame starts.
    #[inline]
    fn data(&self) -> *mut u8 {
        let mbuf = self.view();
        // SAFETY: data_off <= buf_len, by the invariants, so the result is inside the buffer or at its end.
        unsafe { mbuf.buf_addr.cast::<u8>().add(usize::from(mbuf.data_off)) }
    }

    /// Sets the frame's length. The caller has checked that it ends inside the buffer.
    #[inline]
    fn store_len(&mut self, len: u16) {
        let mbuf = self.view_mut();
        debug_assert!(usize::from(mbuf.data_off) + usize::from(len) <= usize::from(mbuf.buf_len));
        mbuf.data_len = len;
        mbuf.pkt_len = u32::from(len);
    }
}

impl Packet for Mbuf {
    #[inline]
    fn bytes(&self) -> &[u8] {
        // SAFETY: data_len bytes from the frame's start are inside the buffer, by the invariants. They are memory
        // that DPDK has mapped and thus initialised, and are not written while `self` is borrowed.
        unsafe { slice::from_raw_parts(self.data(), usize::from(self.view().data_len)) }
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        let (data, len) = (self.data(), usize::from(self.view().data_len));
        // SAFETY: as in `bytes`, and `self` is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(data, len) }
    }

    #[inline]
    fn prepend(&mut self, count: usize) -> bool {
        let mbuf = self.view_mut();
        if count > usize::from(mbuf.data_off) {
            return false;
        }
        // Neither overflows: count <= data_off, and the frame still ends where it did, inside the buffer.
        mbuf.data_off -= count as u16;
        let len = mbuf.data_len + count as u16;
        self.store_len(len);
        true
    }

    #[inline]
    fn trim_front(&mut self, count: usize) -> bool {
        let mbuf = self.view_mut();
        if count > usize::from(mbuf.data_len) {
            return false;
        }
        mbuf.data_off += count as u16;
        let len = mbuf.data_len - count as u16;
        self.store_len(len);
        true
    }

    #[inline]
    fn set_len(&mut self, len: usize) -> bool {
        let mbuf = self.view();
        if len > usize::from(mbuf.buf_len) - usize::from(mbuf.data_off) {
            return false;
        }
        self.store_len(len as u16);
        true
    }

    #[inline]
    fn port(&self) -> PortId {
        PortId(self.view().port)
    }

    #[inline]
    fn set_port(&mut self, port: PortId) {
        self.view_mut().port = port.0;
    }

    #[inline]
    fn ipv4_checksum(&self) -> Checksum {
        match self.view().ol_flags & dpdk_sys::SHIM_RX_IP_CKSUM_MASK {
            dpdk_sys::SHIM_RX_IP_CKSUM_GOOD => Checksum::Good,
            dpdk_sys::SHIM_RX_IP_CKSUM_BAD => Checksum::Bad,
            _ => Checksum::Unknown,
        }
    }

    #[inline]
    fn l4_checksum(&self) -> Checksum {
        match self.view().ol_flags & dpdk_sys::SHIM_RX_L4_CKSUM_MASK {
            dpdk_sys::SHIM_RX_L4_CKSUM_GOOD => Checksum::Good,
            dpdk_sys::SHIM_RX_L4_CKSUM_BAD => Checksum::Bad,
            _ => Checksum::Unknown,
        }
    }

    #[inline]
    fn worst_checksum(&self) -> Checksum {
        const BOTH: u64 = dpdk_sys::SHIM_RX_IP_CKSUM_MASK | dpdk_sys::SHIM_RX_L4_CKSUM_MASK;
        const GOOD: u64 = dpdk_sys::SHIM_RX_IP_CKSUM_GOOD | dpdk_sys::SHIM_RX_L4_CKSUM_GOOD;
        // What ports nearly always report, for both at once: good, or not checked.
        match self.view().ol_flags & BOTH {
            GOOD => Checksum::Good,
            0 => Checksum::Unknown,
            _ => self.ipv4_checksum().worse(self.l4_checksum()),
        }
    }

    #[inline]
    fn sum_later(&mut self) {
        self.view_mut().ol_flags |= UNSUMMED;
    }

    #[inline]
    fn settle(&mut self) {
        if self.is_unsummed() {
            self.view_mut().ol_flags &= !UNSUMMED;
            whole::compute(self.bytes_mut());
        }
    }

    #[inline]
    fn prefetch(&self) {
        prefetch(self.data().cast_const());
    }
}

// An Mbuf is one pointer, so that a slice of them is the array that C wants.
const _: () = assert!(size_of::<Mbuf>() == size_of::<*mut shim_mbuf>());
const _: () = assert!(align_of::<Mbuf>() == align_of::<NonNull<shim_mbuf>>());

/// Gives the packets back to their pools; the caller forgets them.
pub(super) fn free_slice(packets: &mut [Mbuf]) {
    if packets.is_empty() {
        return;
    }
    // SAFETY: a slice of Mbuf is an array of pointers to mbufs that we hold, and nobody uses them after this: the
    // callers, all in this module's siblings, forget them. A slice that long cannot exist beyond u32.
    unsafe { dpdk_sys::shim_mbuf_free_bulk(as_array(packets), packets.len() as u32) };
}

/// The packets as C sees them.
pub(super) fn as_array(packets: &mut [Mbuf]) -> *mut *mut shim_mbuf {
    packets.as_mut_ptr().cast()
}

/// Asks the CPU to load the cache line at `address` into all levels of its cache.
#[inline]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint: it neither reads nor faults, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
