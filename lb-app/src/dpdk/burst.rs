//! Many packet buffers at once: where bursts of ours meet C's arrays.

use super::mbuf::Mbuf;
use dpdk_sys::shim_mbuf;
use lb_core::packet::Burst;
use std::ptr::NonNull;

// An Mbuf is one pointer, so that a slice of them is the array that C wants.
const _: () = assert!(size_of::<Mbuf>() == size_of::<*mut shim_mbuf>());
const _: () = assert!(align_of::<Mbuf>() == align_of::<NonNull<shim_mbuf>>());
// Everything that goes out of scope here has been given away, and must not be freed twice.
const _: () = assert!(!std::mem::needs_drop::<Mbuf>());

/// Gives all packets of a burst back to their pools and empties it.
pub fn free_bulk(packets: &mut Burst<Mbuf>) {
    free_slice(packets);
    packets.clear();
}

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

/// Lets `fill` append at most `most` packets to a burst, and returns how many it did. It is given the place to write
/// to and how many pointers fit there, and returns how many it wrote.
///
/// # Safety
/// The pointers that `fill` writes must meet the invariants of [`Mbuf`], and be no more than it was told.
#[inline]
pub(super) unsafe fn append(
    burst: &mut Burst<Mbuf>,
    most: usize,
    fill: impl FnOnce(*mut *mut shim_mbuf, u16) -> u16,
) -> usize {
    let most = most.min(burst.remaining_capacity());
    let len = burst.len();
    // SAFETY: `len` is within the burst's capacity, so this is inside its array or at its end.
    let space = unsafe { burst.as_mut_ptr().add(len) };
    let count = usize::from(fill(space.cast(), most as u16));
    debug_assert!(count <= most);
    // SAFETY: the caller vouches that the `count` elements behind `len` are packets now, and no more than fit.
    unsafe { burst.set_len(len + count) };
    count
}

/// Removes the first `count` packets, which have been given away.
#[inline]
pub(super) fn forget_front(burst: &mut Burst<Mbuf>, count: usize) {
    burst.drain(..count);
}
