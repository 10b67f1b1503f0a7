//! What DPDK and its drivers print: the log goes into ours, and usage nowhere.

use std::{
    ffi::{c_char, c_int},
    fs::File,
    io::{Read, Seek, SeekFrom},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    slice,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tracing::{Level, debug, error, info, trace, warn};

/// The last line that complains.
static LAST: Mutex<Option<String>> = Mutex::new(None);
/// The operator has set DPDK's log level.
static WANTED: AtomicBool = AtomicBool::new(false);
/// Lines that wait for standard error to be itself again.
static HELD: Mutex<Option<Vec<(Level, String)>>> = Mutex::new(None);

/// What DPDK calls a warning although it is so at every start, and nobody has to do anything about it.
const USUAL: [&str; 1] = [
    // Telemetry's old socket, which nobody asks for.
    "No legacy callbacks, legacy socket not created",
];

/// Lets DPDK's log be part of ours. What is `wanted`, because the operator has named a level, is shown whatever that is.
pub(super) fn to_our_log(wanted: bool) {
    WANTED.store(wanted, Ordering::Relaxed);
    // SAFETY: the sink takes any text from any thread.
    unsafe { dpdk_sys::shim_log_to(Some(sink)) };
}

/// What DPDK complained of last.
pub(super) fn last_words() -> Option<String> {
    lock(&LAST).clone()
}

unsafe extern "C" fn sink(level: u32, text: *const c_char, length: usize) {
    if text.is_null() {
        return;
    }
    // SAFETY: the C library passes what it has to write, which stays while this function runs.
    let bytes = unsafe { slice::from_raw_parts(text.cast::<u8>(), length) };
    for line in String::from_utf8_lossy(bytes).lines().map(str::trim).filter(|line| !line.is_empty()) {
        let level = level_of(level, line);
        match &mut *lock(&HELD) {
            Some(held) => held.push((level, line.to_owned())),
            None => log(level, line),
        }
    }
}

fn log(level: Level, line: &str) {
    if level <= Level::WARN {
        *lock(&LAST) = Some(line.to_owned());
    }
    let level = if WANTED.load(Ordering::Relaxed) { level.min(Level::INFO) } else { level };
    match level {
        Level::ERROR => error!("DPDK: {line}"),
        Level::WARN => warn!("DPDK: {line}"),
        Level::INFO => info!("DPDK: {line}"),
        Level::DEBUG => debug!("DPDK: {line}"),
        Level::TRACE => trace!("DPDK: {line}"),
    }
}

/// The level in our log of a line in DPDK's. What DPDK takes for worth knowing is how it starts, which is detail here.
fn level_of(level: u32, line: &str) -> Level {
    match level {
        _ if USUAL.iter().any(|usual| line.contains(usual)) => Level::DEBUG,
        ..=dpdk_sys::SHIM_LOG_ERR => Level::ERROR,
        dpdk_sys::SHIM_LOG_WARNING => Level::WARN,
        dpdk_sys::SHIM_LOG_NOTICE | dpdk_sys::SHIM_LOG_INFO => Level::DEBUG,
        _ => Level::TRACE,
    }
}

/// While this exists, standard output goes nowhere, and what goes to standard error waits.
pub(super) struct Hush {
    stdout: Option<OwnedFd>,
    stderr: Option<(OwnedFd, File)>,
}

/// Keeps EAL quiet while it starts: it prints its usage at a bad argument, and prints its log lines a second time. What
/// matters becomes part of our log at the end. Where that fails, EAL's output is left as it is.
pub(super) fn hush() -> Hush {
    let nowhere = File::options().write(true).open("/dev/null").ok();
    let stdout = nowhere.and_then(|nowhere| redirect(libc::STDOUT_FILENO, &nowhere));
    let stderr = memory_file().and_then(|file| Some((redirect(libc::STDERR_FILENO, &file)?, file)));
    if stderr.is_some() {
        *lock(&HELD) = Some(Vec::new());
    }
    Hush { stdout, stderr }
}

impl Drop for Hush {
    fn drop(&mut self) {
        // SAFETY: has the C library write what it holds back while that still goes nowhere.
        unsafe { libc::fflush(std::ptr::null_mut()) };
        if let Some(stdout) = &self.stdout {
            restore(libc::STDOUT_FILENO, stdout);
        }
        let Some((stderr, file)) = &mut self.stderr else { return };
        restore(libc::STDERR_FILENO, stderr);
        let mut said = String::new();
        // Nothing of it is worth an error.
        let _ = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut said));
        let held = lock(&HELD).take().unwrap_or_default();
        held.iter().for_each(|(level, line)| log(*level, line));
        // What is not in the log comes from the C library, which has no words for where it is: "lb-app: unrecognized
        // option".
        for line in said.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let line = line.strip_prefix("EAL: FATAL: ").unwrap_or(line);
            if !held.iter().any(|(_, held)| held.contains(line)) {
                log(Level::ERROR, line.strip_prefix("lb-app: ").unwrap_or(line));
            }
        }
    }
}

/// Lets what is written to a descriptor go to a file. Returns where it went before.
fn redirect(descriptor: c_int, file: &File) -> Option<OwnedFd> {
    // SAFETY: duplicates a descriptor; the result is ours or -1.
    let kept = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 3) };
    if kept < 0 {
        return None;
    }
    // SAFETY: nobody else has it.
    let kept = unsafe { OwnedFd::from_raw_fd(kept) };
    // SAFETY: both are open; the descriptor stays open throughout.
    unsafe { libc::dup2(file.as_raw_fd(), descriptor) };
    Some(kept)
}

fn restore(descriptor: c_int, kept: &OwnedFd) {
    // SAFETY: both are open.
    unsafe { libc::dup2(kept.as_raw_fd(), descriptor) };
}

/// A file that is nowhere but in memory.
fn memory_file() -> Option<File> {
    // SAFETY: the name is a C string; the result is ours or -1.
    let descriptor = unsafe { libc::memfd_create(c"lb-noise".as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return None;
    }
    // SAFETY: nobody else has it.
    Some(unsafe { File::from_raw_fd(descriptor) })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_level_that_they_deserve() {
        let usual = "TELEMETRY: No legacy callbacks, legacy socket not created";
        assert_eq!(level_of(dpdk_sys::SHIM_LOG_WARNING, usual), Level::DEBUG);
        assert_eq!(
            level_of(dpdk_sys::SHIM_LOG_WARNING, "EAL: Main core has no memory on socket"),
            Level::WARN
        );
        assert_eq!(level_of(dpdk_sys::SHIM_LOG_ERR, "EAL: Cannot get hugepage information."), Level::ERROR);
        assert_eq!(level_of(dpdk_sys::SHIM_LOG_ERR - 1, "EAL: worse"), Level::ERROR);
        assert_eq!(level_of(dpdk_sys::SHIM_LOG_INFO, "EAL: Detected CPU lcores: 2"), Level::DEBUG);
        assert_eq!(level_of(dpdk_sys::SHIM_LOG_INFO + 1, "EAL: Ask a virtual area of 0x1000"), Level::TRACE);
    }
}
