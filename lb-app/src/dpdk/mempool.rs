//! Pools of packet buffers.

use super::{
    eal::{EalError, Lease, describe_error, last_error},
    mbuf::Mbuf,
    memory::Shortage,
};
use std::{
    ffi::{CString, c_int},
    mem::ManuallyDrop,
    ptr::NonNull,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use thiserror::Error;

/// Why a pool could not be created.
#[derive(Debug, Error)]
pub enum PoolError {
    /// DPDK does not run.
    #[error(transparent)]
    Eal(#[from] EalError),
    /// Another pool, or something else inside DPDK, has that name.
    #[error("the name {0:?} of the packet pool is in use, too long or contains a NUL byte")]
    BadName(String),
    /// There is not enough memory.
    #[error("{0}")]
    NoMemory(Shortage),
    /// A frame of that size does not fit a buffer.
    #[error("frames of {0} bytes are too large for a packet buffer")]
    FrameTooLarge(u16),
    /// A port relies on there being one pool.
    #[error(
        "packet pools must be created before the first port starts: a running port relies on there being one"
    )]
    TooLate,
    /// DPDK failed otherwise.
    #[error("cannot create the packet pool: {0}")]
    Failed(String),
}

/// A handle to a pool of packet buffers of one size. Clones are handles to the same pool.
///
/// Any thread may take buffers out and put them back: DPDK keeps a cache per lcore, so that lcores seldom meet at the
/// common part, and that is lock-free. Threads that are no lcores go to the common part every time.
///
/// The pool is freed with its last handle, if all its buffers are back by then. If not, it stays until the process
/// ends, because somebody may still use them. A thread that uses a pool's packets keeps a handle.
#[derive(Clone, Debug)]
pub struct Mempool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: NonNull<dpdk_sys::rte_mempool>,
    name: String,
    cache: u32,
    frame_room: u16,
    lease: ManuallyDrop<Lease>,
}

// SAFETY: rte_mempool is made for use by many threads at once (the default handler is multi-producer and
// multi-consumer, the caches are per lcore), and the pointer is not used for anything else.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Mempool {
    /// Creates a pool of `count` buffers that hold frames of up to `frame_room` bytes, with DPDK's usual headroom
    /// (128 bytes) before each. Each lcore caches up to `cache` buffers; less when DPDK's limits or `count` ask for
    /// it. `socket` is the NUMA node to take the memory from, any if `None`. Memory is used best when `count` is a
    /// power of two less one.
    ///
    /// # Errors
    /// See [`PoolError`].
    pub fn create(
        name: &str,
        count: u32,
        cache: u32,
        frame_room: u16,
        socket: Option<u32>,
    ) -> Result<Mempool, PoolError> {
        let lease = Lease::take()?;
        let c_name = CString::new(name).map_err(|_| PoolError::BadName(name.to_owned()))?;
        let data_room =
            frame_room.checked_add(dpdk_sys::SHIM_HEADROOM).ok_or(PoolError::FrameTooLarge(frame_room))?;
        // DPDK requires the cache times 1.5 to be at most the pool, so that one lcore cannot hold all of it.
        let cache = cache.min(dpdk_sys::SHIM_MAX_POOL_CACHE).min(count / 2);
        let socket = socket.and_then(|socket| c_int::try_from(socket).ok()).unwrap_or(ANY_SOCKET);
        let mut census = lock_census();
        if census.relied_on > 0 {
            return Err(PoolError::TooLate);
        }
        // SAFETY: DPDK runs, by the lease; the name is a C string that DPDK copies; the numbers are checked by DPDK.
        let pool =
            unsafe { dpdk_sys::rte_pktmbuf_pool_create(c_name.as_ptr(), count, cache, 0, data_room, socket) };
        let Some(pool) = NonNull::new(pool) else {
            return Err(create_error(last_error(), name, count, data_room));
        };
        census.pools += 1;
        Ok(Mempool(Arc::new(Inner {
            pool,
            name: name.to_owned(),
            cache,
            frame_room,
            lease: ManuallyDrop::new(lease),
        })))
    }

    /// Its name inside DPDK.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Buffers that each lcore keeps at hand.
    #[must_use]
    pub fn cache(&self) -> u32 {
        self.0.cache
    }

    /// Takes one buffer: an empty frame on no port. `None` when the pool is exhausted.
    #[inline]
    #[must_use]
    pub fn allocate(&self) -> Option<Mbuf> {
        // SAFETY: the pool exists while the handle does.
        let mbuf = unsafe { dpdk_sys::shim_mbuf_alloc(self.as_ptr()) };
        // SAFETY: DPDK has just given it to us, reset: one segment, one reference, no data.
        NonNull::new(mbuf).map(|mbuf| unsafe { Mbuf::from_raw(mbuf) })
    }

    /// Buffers that are neither in the pool nor in an lcore's cache: in queues, rings and hands. Slow: looks at every
    /// lcore. Approximate while lcores run.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        self.0.in_use()
    }

    /// Buffers in total.
    #[must_use]
    pub fn size(&self) -> u32 {
        // SAFETY: the pool exists while the handle does.
        unsafe { dpdk_sys::shim_pool_size(self.as_ptr()) }
    }

    /// The largest frame a buffer holds without using its headroom, in bytes.
    #[must_use]
    pub fn frame_room(&self) -> u16 {
        self.0.frame_room
    }

    pub(super) fn as_ptr(&self) -> *mut dpdk_sys::rte_mempool {
        self.0.pool.as_ptr()
    }
}

impl Inner {
    fn in_use(&self) -> u32 {
        // SAFETY: the pool exists while `self` does.
        unsafe { dpdk_sys::rte_mempool_in_use_count(self.pool.as_ptr()) }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.in_use() > 0 {
            return; // Leaked, with its lease, rather than pulled from under whoever holds a buffer.
        }
        // SAFETY: this was the last handle, and all buffers are back, so nothing refers to the pool any more.
        unsafe { dpdk_sys::rte_mempool_free(self.pool.as_ptr()) };
        lock_census().pools -= 1;
        // SAFETY: not used or dropped after this; `self` ends here.
        unsafe { ManuallyDrop::drop(&mut self.lease) };
    }
}

/// While it exists no second pool does: every packet in the process comes from one pool.
#[derive(Debug)]
pub(super) struct OnlyPool(());

impl OnlyPool {
    /// `None` when there are several pools already.
    pub(super) fn take() -> Option<OnlyPool> {
        let mut census = lock_census();
        if census.pools != 1 {
            return None;
        }
        census.relied_on += 1;
        Some(OnlyPool(()))
    }
}

impl Drop for OnlyPool {
    fn drop(&mut self) {
        lock_census().relied_on -= 1;
    }
}

/// How many pools there are, and how many ports rely on there being one.
struct Census {
    pools: usize,
    relied_on: usize,
}

static CENSUS: Mutex<Census> = Mutex::new(Census { pools: 0, relied_on: 0 });

fn lock_census() -> MutexGuard<'static, Census> {
    CENSUS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// DPDK's `SOCKET_ID_ANY`.
const ANY_SOCKET: c_int = -1;

fn create_error(code: c_int, name: &str, count: u32, data_room: u16) -> PoolError {
    match code {
        libc::ENOMEM | libc::ENOSPC => PoolError::NoMemory(Shortage::of(count, data_room)),
        libc::EEXIST | libc::ENAMETOOLONG => PoolError::BadName(name.to_owned()),
        _ => PoolError::Failed(describe_error(code)),
    }
}
