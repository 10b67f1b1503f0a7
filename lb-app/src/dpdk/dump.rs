//! Captures by other processes: `dpdk-dumpcap` asks this one to copy packets of its ports.

use super::eal::{Eal, EalError, Lease, describe_error, last_error};

/// Answers `dpdk-dumpcap` as long as it exists. Costs packets nothing while nobody captures.
#[derive(Debug)]
pub struct Dump {
    _lease: Lease,
}

impl Dump {
    /// Lets other processes capture; `None` where there can be none, because this one's memory is its own: without huge
    /// pages.
    ///
    /// # Errors
    /// [`EalError::NoDump`] when DPDK has no memory or no socket for it.
    pub fn offer(eal: &Eal) -> Result<Option<Dump>, EalError> {
        if !eal.has_hugepages() {
            return Ok(None);
        }
        let lease = Lease::take()?;
        // SAFETY: DPDK runs, by the lease. It is called once, since there is one `Eal` in a process's life and the caller
        // has it; a second call would fail.
        if unsafe { dpdk_sys::rte_pdump_init() } < 0 {
            return Err(EalError::NoDump { reason: describe_error(last_error()) });
        }
        Ok(Some(Dump { _lease: lease }))
    }
}

impl Drop for Dump {
    fn drop(&mut self) {
        // SAFETY: it was initialised, and DPDK still runs, by the lease. It fails if it was not initialised only.
        unsafe { dpdk_sys::rte_pdump_uninit() };
    }
}
