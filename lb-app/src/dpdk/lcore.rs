//! Closures on lcores, and the clock that lcores read.
//!
//! An lcore is a thread that EAL has pinned to a CPU. It waits until a closure is launched on it, runs it, and waits
//! again.

use super::{
    eal::{Eal, EalError, Lease},
    lcore_id::LcoreId,
};
use std::{
    any::Any,
    ffi::{c_int, c_void},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};
use thiserror::Error;

/// Why a closure could not be launched.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// Not one of the worker lcores.
    #[error("lcore {0} is not a worker: add it to the EAL argument -l, not as the first or --main-lcore")]
    NotAWorker(LcoreId),
    /// It runs another closure.
    #[error("lcore {0} is busy")]
    Busy(LcoreId),
    /// DPDK does not run.
    #[error(transparent)]
    Eal(#[from] EalError),
}

/// The closure on an lcore panicked.
#[derive(Debug, Error)]
#[error("lcore {lcore} panicked: {message}")]
pub struct LcorePanic {
    /// The lcore.
    pub lcore: LcoreId,
    /// The panic's message.
    pub message: String,
}

/// A closure that was launched. It keeps running when the handle is dropped, and DPDK cannot be stopped until it
/// returns.
#[derive(Debug)]
pub struct LcoreHandle<T> {
    lcore: LcoreId,
    result: Outcome<T>,
}

/// Where the closure leaves its result, or the message of its panic.
type Outcome<T> = Arc<Mutex<Option<Result<T, String>>>>;

/// Runs `work` on a worker lcore that waits.
///
/// A panic in `work` ends it and comes out of [`LcoreHandle::join`], unless the program is built with
/// `panic = "abort"`.
///
/// # Errors
/// See [`LaunchError`].
pub fn launch<T, F>(eal: &Eal, lcore: LcoreId, work: F) -> Result<LcoreHandle<T>, LaunchError>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // EAL would index its tables with any number, and wait for itself on the main lcore.
    if !eal.lcores().contains(&lcore) {
        return Err(LaunchError::NotAWorker(lcore));
    }
    let lease = Lease::take()?;
    let result = Outcome::default();
    let slot = Arc::clone(&result);
    let job: Job = Box::new(move || {
        let outcome = catch_unwind(AssertUnwindSafe(work)).map_err(|payload| panic_message(&*payload));
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        drop(lease);
    });
    let argument = Box::into_raw(Box::new(job));
    // SAFETY: the lcore is a worker, `eal` shows that this is the main thread, and `run` is given what it expects.
    let code = unsafe { dpdk_sys::rte_eal_remote_launch(Some(run), argument.cast(), lcore.0) };
    if code < 0 {
        // SAFETY: EAL refused, so nobody else has the pointer, which came from a Box just now.
        drop(unsafe { Box::from_raw(argument) });
        return Err(LaunchError::Busy(lcore));
    }
    Ok(LcoreHandle { lcore, result })
}

impl<T> LcoreHandle<T> {
    /// The lcore.
    #[must_use]
    pub fn lcore(&self) -> LcoreId {
        self.lcore
    }

    /// Whether the lcore waits again, so that [`LcoreHandle::join`] would not block.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        // SAFETY: the lcore was a worker when the handle was made, and lcores never change.
        unsafe { dpdk_sys::rte_eal_get_lcore_state(self.lcore.0) == dpdk_sys::WAIT }
    }

    /// Waits for the closure and returns its result.
    ///
    /// # Errors
    /// [`LcorePanic`] when the closure panicked.
    pub fn join(self) -> Result<T, LcorePanic> {
        // EAL's own wait spins on the main lcore's CPU, which workers may share on a small host.
        while !self.is_finished() {
            thread::sleep(Duration::from_millis(1));
        }
        // SAFETY: a worker lcore, as above. It returns at once, and what the closure wrote is visible after it.
        unsafe { dpdk_sys::rte_eal_wait_lcore(self.lcore.0) };
        let outcome = self.result.lock().unwrap_or_else(PoisonError::into_inner).take();
        let outcome = outcome.unwrap_or_else(|| Err("it returned no result".to_owned()));
        outcome.map_err(|message| LcorePanic { lcore: self.lcore, message })
    }
}

/// The time stamp counter of this CPU; counts [`tsc_hz`] times a second.
#[inline]
#[must_use]
pub fn tsc() -> u64 {
    // SAFETY: reads a CPU register.
    unsafe { dpdk_sys::shim_rdtsc() }
}

/// How often [`tsc`] counts in a second. EAL measures it when it starts: 0 before.
#[must_use]
pub fn tsc_hz() -> u64 {
    // SAFETY: reads a static variable.
    unsafe { dpdk_sys::rte_get_tsc_hz() }
}

/// What an lcore is given to do. Boxed twice to pass through C's one pointer.
type Job = Box<dyn FnOnce() + Send>;

/// The C function that every lcore runs.
unsafe extern "C" fn run(argument: *mut c_void) -> c_int {
    // SAFETY: the caller passes a pointer made by `Box::into_raw` of a `Box<Job>`, once.
    let job = unsafe { Box::from_raw(argument.cast::<Job>()) };
    job();
    0
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message").to_owned()
}
