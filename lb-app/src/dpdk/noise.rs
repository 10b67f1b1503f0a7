//! What DPDK and its drivers print: the log goes into ours, and usage nowhere.

use std::{
    ffi::c_char,
    fs::File,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    slice,
    sync::{Mutex, PoisonError},
};
use tracing::warn;

/// The last line that complains.
static LAST: Mutex<Option<String>> = Mutex::new(None);

/// Lets DPDK's log be part of ours.
pub(super) fn to_our_log() {
    // SAFETY: the sink takes any text from any thread.
    unsafe { dpdk_sys::shim_log_to(Some(sink)) };
}

/// What DPDK said last.
pub(super) fn last_words() -> Option<String> {
    LAST.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

unsafe extern "C" fn sink(text: *const c_char, length: usize) {
    if text.is_null() {
        return;
    }
    // SAFETY: the C library passes what it has to write, which stays while this function runs.
    let bytes = unsafe { slice::from_raw_parts(text.cast::<u8>(), length) };
    for line in String::from_utf8_lossy(bytes).lines().map(str::trim).filter(|line| !line.is_empty()) {
        warn!("DPDK: {line}");
        *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(line.to_owned());
    }
}

/// Standard output goes nowhere as long as this exists.
pub(super) struct Hush {
    stdout: Option<OwnedFd>,
}

/// Lets standard output go nowhere for a while. Where that fails it goes on as it was.
pub(super) fn hush_stdout() -> Hush {
    let Ok(nowhere) = File::options().write(true).open("/dev/null") else { return Hush { stdout: None } };
    // SAFETY: duplicates a descriptor; the result is ours or -1.
    let kept = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_DUPFD_CLOEXEC, 3) };
    if kept < 0 {
        return Hush { stdout: None };
    }
    // SAFETY: nobody else has it.
    let kept = unsafe { OwnedFd::from_raw_fd(kept) };
    // SAFETY: both are open; standard output stays open throughout.
    unsafe { libc::dup2(nowhere.as_raw_fd(), libc::STDOUT_FILENO) };
    Hush { stdout: Some(kept) }
}

impl Drop for Hush {
    fn drop(&mut self) {
        if let Some(stdout) = &self.stdout {
            // SAFETY: has the C library write what it holds back while that still goes nowhere.
            unsafe { libc::fflush(std::ptr::null_mut()) };
            // SAFETY: both are open.
            unsafe { libc::dup2(stdout.as_raw_fd(), libc::STDOUT_FILENO) };
        }
    }
}
