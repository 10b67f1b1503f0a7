//! The one piece of this crate that needs `unsafe`: telling the processor to start loading a cache line.

/// Starts loading the cache line that holds `value`. A hint; it changes nothing that can be observed.
#[inline(always)]
pub fn prefetch<T>(value: &T) {
    start_loading(value);
}

/// The same for the element of that number. The number is not checked: a wrong one has no effect.
#[inline(always)]
pub fn prefetch_at<T>(slice: &[T], number: u32) {
    start_loading(slice.as_ptr().wrapping_add(number as usize));
}

#[inline(always)]
#[allow(unsafe_code)]
fn start_loading<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching reads nothing and has no effect but on caches and on those of page tables, for any address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
