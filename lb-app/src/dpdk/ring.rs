//! A bounded queue of packets from one thread to one other, on `rte_ring`.

use super::{
    burst,
    eal::{EalError, Lease, describe_error, last_error},
    mbuf::{self, Mbuf},
};
use lb_core::packet::Burst;
use std::{cell::Cell, ffi::CString, marker::PhantomData, ptr::NonNull, sync::Arc};
use thiserror::Error;

/// Why a ring could not be created.
#[derive(Debug, Error)]
pub enum RingError {
    /// DPDK does not run.
    #[error(transparent)]
    Eal(#[from] EalError),
    /// Another ring has that name.
    #[error("the name {0:?} of the ring is in use, too long or contains a NUL byte")]
    BadName(String),
    /// The size is zero or absurd.
    #[error("a ring cannot hold {0} packets")]
    BadSize(u32),
    /// There is not enough memory.
    #[error(
        "no memory for a ring of {0} packets: reserve more huge pages, or raise -m when running with --no-huge"
    )]
    NoMemory(u32),
    /// DPDK failed otherwise.
    #[error("cannot create the ring: {0}")]
    Failed(String),
}

/// Creates a ring that holds `size` packets, with memory of NUMA node `socket`, any if `None`.
///
/// It is freed when both ends are gone, and the packets still in it go back to their pools.
///
/// # Errors
/// See [`RingError`].
pub fn ring(name: &str, size: u32, socket: Option<u32>) -> Result<(Producer, Consumer), RingError> {
    /// DPDK's `RTE_RING_SZ_MASK`, of which a power of two must stay below.
    const MOST: u32 = 1 << 30;
    const ANY_SOCKET: i32 = -1;
    let lease = Lease::take()?;
    let c_name = CString::new(name).map_err(|_| RingError::BadName(name.to_owned()))?;
    if !(1..MOST).contains(&size) {
        return Err(RingError::BadSize(size));
    }
    let socket = socket.and_then(|socket| i32::try_from(socket).ok()).unwrap_or(ANY_SOCKET);
    // SAFETY: DPDK runs, by the lease; the name is a C string that DPDK copies; the size is in range.
    let ring = unsafe { dpdk_sys::shim_ring_create(c_name.as_ptr(), size, socket) };
    let Some(ring) = NonNull::new(ring) else {
        return Err(match last_error() {
            libc::ENOMEM | libc::ENOSPC => RingError::NoMemory(size),
            libc::EEXIST | libc::ENAMETOOLONG => RingError::BadName(name.to_owned()),
            code => RingError::Failed(describe_error(code)),
        });
    };
    let shared = Arc::new(Shared { ring, _lease: lease });
    let consumer = Consumer { shared: Arc::clone(&shared), not_sync: PhantomData };
    Ok((Producer { shared, not_sync: PhantomData }, consumer))
}

/// The end that packets go in at. Exists once per ring; may move to another thread, but two cannot share it.
#[derive(Debug)]
pub struct Producer {
    shared: Arc<Shared>,
    not_sync: PhantomData<Cell<()>>,
}

impl Producer {
    /// Sends packets from the front of `packets` until the ring is full, leaves the rest there, and returns how many
    /// it sent.
    #[inline]
    pub fn send_burst(&mut self, packets: &mut Burst<Mbuf>) -> usize {
        let count = packets.len() as u32;
        // SAFETY: the ring exists while its ends do, this is its only producer, and the burst is an array of `count`
        // packets that we hold; those that fitted are forgotten below.
        let sent =
            unsafe { dpdk_sys::shim_ring_enqueue(self.shared.ring.as_ptr(), mbuf::as_array(packets), count) };
        burst::forget_front(packets, sent as usize);
        sent as usize
    }

    /// Packets in the ring now; the consumer may be taking some.
    #[must_use]
    pub fn len(&self) -> usize {
        // SAFETY: the ring exists while its ends do; the count may be read by anybody.
        unsafe { dpdk_sys::shim_ring_count(self.shared.ring.as_ptr()) as usize }
    }
}

/// The end that packets come out of. Exists once per ring; may move to another thread, but two cannot share it.
#[derive(Debug)]
pub struct Consumer {
    shared: Arc<Shared>,
    not_sync: PhantomData<Cell<()>>,
}

impl Consumer {
    /// Appends at most `most` packets to `burst`, oldest first, and returns how many. Does not wait.
    #[inline]
    pub fn receive_burst(&mut self, burst: &mut Burst<Mbuf>, most: usize) -> usize {
        self.shared.dequeue(burst, most)
    }
}

/// The ring itself, owned by both ends.
#[derive(Debug)]
struct Shared {
    ring: NonNull<dpdk_sys::rte_ring>,
    _lease: Lease,
}

// SAFETY: rte_ring is made for one producer thread and one consumer thread at a time, and each of its ends exists
// once and works through `&mut`.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// Only for the one consumer.
    #[inline]
    fn dequeue(&self, burst: &mut Burst<Mbuf>, most: usize) -> usize {
        let take = |space: *mut *mut dpdk_sys::shim_mbuf, most: u16| {
            // SAFETY: the ring exists while `self` does, the caller is its only consumer, and `space` has room for
            // `most` pointers.
            let count = unsafe { dpdk_sys::shim_ring_dequeue(self.ring.as_ptr(), space, u32::from(most)) };
            count as u16
        };
        // SAFETY: the pointers in the ring were packets of ours when they went in, and nobody has used them since.
        unsafe { burst::append(burst, most, take) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut left = Burst::<Mbuf>::new();
        while self.dequeue(&mut left, usize::MAX) > 0 {
            burst::free_bulk(&mut left);
        }
        // SAFETY: both ends are gone, so nobody refers to the ring any more. The lease is dropped after this.
        unsafe { dpdk_sys::rte_ring_free(self.ring.as_ptr()) };
    }
}
