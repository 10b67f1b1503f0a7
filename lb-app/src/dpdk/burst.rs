//! Many packet buffers at once: where bursts of ours meet C's arrays.

use super::mbuf::{Mbuf, free_slice};
use dpdk_sys::shim_mbuf;
use lb_core::packet::Burst;

// Everything that goes out of scope here has been given away, and must not be freed twice.
const _: () = assert!(!std::mem::needs_drop::<Mbuf>());

/// Gives all packets of a burst back to their pools and empties it.
pub fn free_bulk(packets: &mut Burst<Mbuf>) {
    free_slice(packets);
    packets.clear();
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
