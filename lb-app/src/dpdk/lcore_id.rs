//! What lcores are called.

use std::fmt;

/// EAL's number of an lcore, as in its argument `-l`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LcoreId(pub u32);

impl LcoreId {
    /// The NUMA node that the lcore's CPU belongs to.
    #[must_use]
    pub fn socket(self) -> u32 {
        if self.0 >= dpdk_sys::SHIM_MAX_LCORE {
            return 0;
        }
        // SAFETY: the number is inside EAL's table of lcores, which is static.
        unsafe { dpdk_sys::rte_lcore_to_socket_id(self.0) }
    }
}

impl fmt::Display for LcoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
