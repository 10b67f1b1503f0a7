//! An allocator that puts large tables on huge pages.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    ptr,
};

/// Size and alignment of a huge page, and the smallest allocation that gets some, in bytes.
const HUGE_PAGE: usize = 2 << 20;

/// The system's allocator, except that allocations of 2 MiB and more are mapped on their own, aligned to 2 MiB, and
/// the kernel is asked to back them with transparent huge pages.
///
/// A connection table is read at random: with pages of 4 KiB almost every read of a large one misses the TLB as well
/// as the cache. Where the kernel has no transparent huge pages this is an ordinary mapping.
#[derive(Clone, Copy, Debug, Default)]
pub struct HugeAlloc;

// SAFETY: every function chooses by the layout alone, and the layout of an allocation never changes, so memory goes
// back to where it came from. Mapped memory is as large as asked for, aligned to 2 MiB, and no one else's.
unsafe impl GlobalAlloc for HugeAlloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_large(layout) {
            return map(layout.size());
        }
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_large(layout) {
            return map(layout.size()); // new mappings are zero
        }
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if is_large(layout) {
            // SAFETY: the caller passes what `map` returned for this size, and does not use it again.
            unsafe { unmap(memory, layout.size()) };
            return;
        }
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.dealloc(memory, layout) };
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises a size that is a valid layout with the old alignment.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        match (is_large(layout), is_large(new_layout)) {
            // SAFETY: the caller's promises are the system allocator's.
            (false, false) => unsafe { System.realloc(memory, layout, new_size) },
            (true, true) if rounded(layout.size()) == rounded(new_size) => memory,
            // SAFETY: the caller's promises, as they are.
            _ => unsafe { self.move_to(memory, layout, new_layout) },
        }
    }
}

impl HugeAlloc {
    /// Copies to a new allocation.
    ///
    /// # Safety
    /// `memory` was allocated by `self` with layout `old`; `new` is not empty.
    unsafe fn move_to(&self, memory: *mut u8, old: Layout, new: Layout) -> *mut u8 {
        // SAFETY: `new` is not empty.
        let target = unsafe { self.alloc(new) };
        if target.is_null() {
            return target;
        }
        // SAFETY: both have at least that many bytes, and are apart because both are allocated now.
        unsafe { ptr::copy_nonoverlapping(memory, target, old.size().min(new.size())) };
        // SAFETY: the caller's promise; the memory is not used after this.
        unsafe { self.dealloc(memory, old) };
        target
    }
}

/// Nothing asks for more than 2 MiB of alignment; if something does, the system's allocator can do it.
fn is_large(layout: Layout) -> bool {
    layout.size() >= HUGE_PAGE && layout.align() <= HUGE_PAGE
}

/// Whole huge pages. A `Layout`'s size is at most `isize::MAX`, so this does not overflow.
fn rounded(size: usize) -> usize {
    size.next_multiple_of(HUGE_PAGE)
}

/// A zeroed mapping of `rounded(size)` bytes, aligned to 2 MiB; null when there is no memory.
fn map(size: usize) -> *mut u8 {
    let size = rounded(size);
    let Some(with_slack) = size.checked_add(HUGE_PAGE) else { return ptr::null_mut() };
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new private mapping at an address of the kernel's choice touches nothing that exists.
    let start = unsafe { libc::mmap(ptr::null_mut(), with_slack, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return ptr::null_mut();
    }
    let start = start.cast::<u8>();
    // What is before the first multiple of 2 MiB, and what is behind the last byte wanted, goes back.
    let before = start.addr().next_multiple_of(HUGE_PAGE) - start.addr();
    // SAFETY: `before` is less than the slack, so this is inside the mapping.
    let memory = unsafe { start.add(before) };
    // SAFETY: `before + size` is at most the mapping's length, so this is inside it or at its end.
    let end = unsafe { memory.add(size) };
    // SAFETY: the part before `memory` is ours and unused.
    unsafe { unmap(start, before) };
    // SAFETY: the part from `end` on is ours and unused.
    unsafe { unmap(end, HUGE_PAGE - before) };
    // SAFETY: advice on a mapping of ours; if it is refused the pages are small, no more.
    unsafe { libc::madvise(memory.cast(), size, libc::MADV_HUGEPAGE) };
    memory
}

/// Gives back `size` bytes, rounded up to whole pages by the kernel.
///
/// # Safety
/// The pages from `memory` on are a mapping made by [`map`] or a part of one, and are not used again.
unsafe fn unmap(memory: *mut u8, size: usize) {
    if size > 0 {
        // SAFETY: the caller's promise. It cannot fail but for a lack of kernel memory, where leaking is right.
        unsafe { libc::munmap(memory.cast(), size) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 64).expect("a valid layout")
    }

    #[test]
    fn large_allocations_are_aligned_zeroed_and_whole() {
        let layout = layout(HUGE_PAGE + 1);
        // SAFETY: the layout is not empty.
        let memory = unsafe { HugeAlloc.alloc_zeroed(layout) };
        assert!(!memory.is_null());
        assert_eq!(memory.addr() % HUGE_PAGE, 0);
        // SAFETY: so many bytes were allocated, zeroed, and are ours.
        let bytes = unsafe { std::slice::from_raw_parts_mut(memory, layout.size()) };
        assert!(bytes.iter().all(|&byte| byte == 0));
        bytes.fill(0xa5);
        // SAFETY: allocated above with this layout, not used again.
        unsafe { HugeAlloc.dealloc(memory, layout) };
    }

    #[test]
    fn contents_survive_growing_and_shrinking_across_the_border() {
        let sizes = [100, 5_000, HUGE_PAGE, HUGE_PAGE + 9, 3 * HUGE_PAGE, HUGE_PAGE - 1, 64];
        let mut current = layout(16);
        // SAFETY: the layout is not empty.
        let mut memory = unsafe { HugeAlloc.alloc(current) };
        // SAFETY: 16 bytes were allocated.
        unsafe { memory.write_bytes(0x5a, 16) };
        for size in sizes {
            // SAFETY: allocated with `current`; the new size is a valid layout.
            memory = unsafe { HugeAlloc.realloc(memory, current, size) };
            current = layout(size);
            // SAFETY: every size is 16 or more, and these bytes were written.
            let start = unsafe { std::slice::from_raw_parts(memory, 16) };
            assert_eq!(start, [0x5a; 16], "{size}");
        }
        // SAFETY: allocated with `current`, not used again.
        unsafe { HugeAlloc.dealloc(memory, current) };
    }
}
