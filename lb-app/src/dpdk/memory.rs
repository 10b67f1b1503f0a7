//! How much memory packet buffers need, and the message when there is too little.

use super::eal;
use std::fmt;

/// Too little memory for a pool of packet buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Buffers asked for.
    pub count: u32,
    /// Bytes of one of them, with what DPDK keeps about it.
    buffer_bytes: u64,
    /// Of the smallest pages that DPDK has.
    page_bytes: u64,
    heap: Heap,
    /// Huge pages that DPDK could still take; `None` if it may take none.
    huge_bytes: Option<u64>,
}

/// DPDK's own memory, as far as it has it already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heap {
    pub(super) total_bytes: u64,
    pub(super) free_bytes: u64,
}

impl Shortage {
    /// Of a pool of that many buffers that was not to be had just now. DPDK must be running.
    pub(super) fn of(count: u32, data_room: u16) -> Self {
        // SAFETY: reads EAL's configuration.
        let has_huge_pages = unsafe { dpdk_sys::rte_eal_has_hugepages() != 0 };
        Shortage {
            count,
            buffer_bytes: buffer_bytes(data_room),
            page_bytes: if has_huge_pages { HUGE_PAGE_BYTES } else { small_page_bytes() },
            heap: Heap::now(),
            huge_bytes: has_huge_pages.then(|| eal::free_hugepages_kib() << 10),
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shortage { count, buffer_bytes, page_bytes, heap, .. } = *self;
        let needed = pool_bytes(count, buffer_bytes, page_bytes);
        write!(f, "no memory for {count} packet buffers, which need {} MiB", mib(needed))?;
        let fewer = "request fewer (--total-num-mbufs, or fewer workers, smaller --rxd and --txd)";
        let Some(huge_bytes) = self.huge_bytes else {
            let used = heap.total_bytes.saturating_sub(heap.free_bytes);
            return write!(
                f,
                " without huge pages, where each takes whole pages ({} KiB), while {} MiB are free: raise -m to {}, \
                 or use huge pages, of which {} MiB are enough (remove --no-huge, /proc/sys/vm/nr_hugepages), or \
                 {fewer}",
                pool_bytes(1, buffer_bytes, page_bytes) >> 10,
                heap.free_bytes >> 20,
                mib(used + needed + needed / 50) + ROOM_MIB,
                mib(pool_bytes(count, buffer_bytes, HUGE_PAGE_BYTES)),
            );
        };
        let free = heap.free_bytes + huge_bytes;
        write!(f, " of huge pages, while {} MiB are free", free >> 20)?;
        if free < needed {
            let more = mib(needed - free) + ROOM_MIB;
            write!(f, ": reserve {more} MiB more (/proc/sys/vm/nr_hugepages), or {fewer}")
        } else {
            write!(
                f,
                ", but not for DPDK: -m, --legacy-mem or --socket-limit limits it, or they are on another NUMA node; \
                 or {fewer}"
            )
        }
    }
}

impl Heap {
    /// What it has and what of it is free. DPDK must be running.
    pub(super) fn now() -> Self {
        let mut heap = Heap { total_bytes: 0, free_bytes: 0 };
        // SAFETY: DPDK looks through its heaps under their locks, and writes the two numbers.
        unsafe { dpdk_sys::shim_heap(&raw mut heap.total_bytes, &raw mut heap.free_bytes) };
        heap
    }
}

/// Of huge pages, buffers lose only what is left over at the end of each, which is next to nothing in all of them.
const HUGE_PAGE_BYTES: u64 = 2 << 20;
/// For what DPDK and its drivers need as well: rings between workers, queues.
const ROOM_MIB: u64 = 32;

/// Bytes of one buffer in a pool.
pub(super) fn buffer_bytes(data_room: u16) -> u64 {
    // SAFETY: arithmetic on a number, which DPDK knows best: it adds a header, and fills up to spread memory channels.
    u64::from(unsafe { dpdk_sys::shim_pool_buffer_bytes(data_room) })
}

/// Bytes of a page of ordinary memory.
pub(super) fn small_page_bytes() -> u64 {
    // SAFETY: asks for a constant of the system.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).unwrap_or(4_096)
}

/// What a pool of that many buffers takes. DPDK lets no buffer cross the end of a page, lest it lie in two places of
/// physical memory: as many are in each page as fit whole, and one that is larger has pages of its own
/// (`rte_mempool_op_calc_mem_size_helper`). The ring of free ones is a power of two of pointers.
pub(super) fn pool_bytes(count: u32, buffer_bytes: u64, page_bytes: u64) -> u64 {
    let count = u64::from(count);
    let ring = (count + 1).next_power_of_two() * 8;
    let buffers = match page_bytes / buffer_bytes {
        0 => buffer_bytes.next_multiple_of(page_bytes) * count,
        in_a_page => {
            let (full, rest) = (count / in_a_page, count % in_a_page);
            full * page_bytes + rest * buffer_bytes
        }
    };
    buffers + ring
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn buffers_fill_pages_as_dpdk_lays_them_out() {
        assert_eq!(pool_bytes(1_023, 2_432, 4_096), 1_023 * 4_096 + 8_192, "a page each");
        assert_eq!(pool_bytes(1_023, 9_344, 4_096), 1_023 * 3 * 4_096 + 8_192, "three pages each");
        assert_eq!(pool_bytes(7, 1_024, 4_096), 4_096 + 3 * 1_024 + 64, "four in a page");
        assert_eq!(
            pool_bytes(1_000, 2_432, 2 * MIB),
            2 * MIB + (1_000 - 862) * 2_432 + 8_192,
            "862 in a page"
        );
    }

    #[test]
    fn a_shortage_says_what_is_needed_and_what_to_do() {
        let heap = Heap { total_bytes: 256 * MIB, free_bytes: 250 * MIB };
        let small =
            Shortage { count: 131_071, buffer_bytes: 2_432, page_bytes: 4_096, heap, huge_bytes: None };
        assert_eq!(
            small.to_string(),
            "no memory for 131071 packet buffers, which need 513 MiB without huge pages, where each takes whole \
             pages (4 KiB), while 250 MiB are free: raise -m to 562, or use huge pages, of which 306 MiB are enough \
             (remove --no-huge, /proc/sys/vm/nr_hugepages), or request fewer (--total-num-mbufs, or fewer workers, smaller --rxd and --txd)"
        );
        let huge = Shortage { page_bytes: 2 * MIB, huge_bytes: Some(20 * MIB), ..small };
        assert_eq!(
            huge.to_string(),
            "no memory for 131071 packet buffers, which need 306 MiB of huge pages, while 270 MiB are free: reserve 68 MiB \
             more (/proc/sys/vm/nr_hugepages), or request fewer (--total-num-mbufs, or fewer workers, smaller --rxd and --txd)"
        );
        let elsewhere = Shortage { huge_bytes: Some(500 * MIB), ..huge };
        assert!(elsewhere.to_string().contains("750 MiB are free, but not for DPDK: -m,"), "{elsewhere}");
    }
}
