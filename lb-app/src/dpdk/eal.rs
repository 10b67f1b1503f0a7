//! DPDK's environment abstraction layer: memory, lcores and drivers, started once per process.

use super::{lcore_id::LcoreId, noise};
use std::{
    ffi::{CStr, CString, OsStr, c_char, c_int},
    fs,
    marker::PhantomData,
    os::{fd::AsRawFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};
use thiserror::Error;

/// Why DPDK could not be started or stopped.
#[derive(Debug, Error)]
pub enum EalError {
    /// It can be started only once in the life of a process.
    #[error("DPDK was started before in this process; it can be started only once")]
    AlreadyStarted,
    /// It has not been started, or was stopped.
    #[error("DPDK is not running in this process")]
    NotRunning,
    /// An argument holds a NUL byte.
    #[error("the EAL argument {0:?} contains a NUL byte")]
    NulInArgument(String),
    /// No free huge page, and --no-huge was not given.
    #[error(
        "DPDK found no free huge pages: reserve some (echo 256 > /proc/sys/vm/nr_hugepages), \
         or run with --no-huge -m 512"
    )]
    NoHugepages,
    /// Huge pages are there, but EAL finds no file system of theirs.
    #[error(
        "huge pages are reserved, but no hugetlbfs is mounted: mount -t hugetlbfs none {directory}, or run with \
         --in-memory"
    )]
    NoHugetlbfs {
        /// Where there should be one.
        directory: String,
    },
    /// Fewer free huge pages than were asked for.
    #[error(
        "DPDK did not get the requested memory: {free_mib} MiB of huge pages are free; request less (-m, \
         --socket-mem), or reserve more (/proc/sys/vm/nr_hugepages)"
    )]
    TooFewHugepages {
        /// What is free.
        free_mib: u64,
    },
    /// EAL did not accept its arguments.
    #[error(
        "DPDK did not accept its arguments `{arguments}`{}; see `lb-app --help` for usage and `lb-app --help -- \
         --conf FILE` for the list of EAL's arguments", because(.said)
    )]
    BadArguments {
        /// The arguments as given to EAL.
        arguments: String,
        /// EAL's last message about it.
        said: Option<String>,
    },
    /// The user may not do what EAL needs.
    #[error(
        "DPDK was denied access ({reason}); run as root, or with --in-memory and CAP_IPC_LOCK, CAP_NET_ADMIN"
    )]
    NotPermitted {
        /// The operating system's words.
        reason: String,
    },
    /// Another process has the same runtime directory.
    #[error(
        "another DPDK process uses {0}: stop it, or give this one its own --file-prefix", .directory.display()
    )]
    PrefixInUse {
        /// The directory that both would use.
        directory: PathBuf,
    },
    /// EAL failed otherwise.
    #[error("DPDK did not start ({reason}){}", because(.said))]
    NotStarted {
        /// The operating system's words.
        reason: String,
        /// EAL's last message about it.
        said: Option<String>,
    },
    /// EAL failed to stop.
    #[error("DPDK did not stop ({reason})")]
    Failed {
        /// The operating system's words.
        reason: String,
    },
    /// Other processes cannot ask for copies of packets.
    #[error("DPDK does not allow other processes to capture packets ({reason})")]
    NoDump {
        /// The operating system's words.
        reason: String,
    },
    /// Ports, pools, rings or lcores are still in use.
    #[error("cannot stop DPDK: {0} of its ports, pools, rings and lcores are still in use")]
    StillInUse(usize),
}

/// DPDK, running. Stays on the thread that started it, which is DPDK's main lcore.
#[derive(Debug)]
pub struct Eal {
    /// EAL takes the starting thread for its main lcore, so the handle must not leave it.
    not_send: PhantomData<*const ()>,
}

impl Eal {
    /// Starts DPDK with EAL arguments such as `-l 0-3`, without a program name in front.
    ///
    /// Pins this thread to the first of its lcores' CPUs, and threads started later inherit that.
    ///
    /// EAL's log becomes part of ours, unless the arguments hold `--syslog`; if they hold `--log-level`, all that this lets
    /// pass. With `--help` among the arguments EAL prints its options and ends the process.
    ///
    /// # Errors
    /// See [`EalError`]. After an error DPDK cannot be started again in this process.
    pub fn init(arguments: &[String]) -> Result<Eal, EalError> {
        let mut state = lock_state();
        if !matches!(*state, State::Fresh) {
            return Err(EalError::AlreadyStarted);
        }
        let argv = argument_vector(arguments)?;
        *state = State::Stopped;
        if !arguments.iter().any(|argument| argument.starts_with("--syslog")) {
            noise::to_our_log(arguments.iter().any(|argument| argument.starts_with("--log-level")));
        }
        // When EAL does not like its arguments it prints all those it would have liked. Who asked for them gets them.
        let asked = arguments.iter().any(|argument| argument == "-h" || argument == "--help");
        let quiet = (!asked).then(noise::hush);
        let count = c_int::try_from(argv.len() - 1).map_err(|_| bad_arguments(arguments))?;
        // SAFETY: argv holds `count` strings and a null pointer behind them, as main's does. It is leaked, because
        // EAL reorders it and keeps pointers into it. The state above makes this the only call in the process.
        let result = unsafe { dpdk_sys::rte_eal_init(count, argv.leak().as_mut_ptr()) };
        drop(quiet);
        if result < 0 {
            let error = start_error(last_error(), arguments);
            remove_runtime_dir();
            return Err(error);
        }
        *state = State::Running { users: 0 };
        Ok(Eal { not_send: PhantomData })
    }

    /// The lcore of this thread.
    #[must_use]
    pub fn main_lcore(&self) -> LcoreId {
        // SAFETY: reads EAL's configuration, which exists while `self` does.
        LcoreId(unsafe { dpdk_sys::rte_get_main_lcore() })
    }

    /// The lcores that closures can be launched on: all but the main one, in ascending order.
    #[must_use]
    pub fn lcores(&self) -> Vec<LcoreId> {
        let next = |after: u32| {
            // SAFETY: any number may be passed (one is added first, wrapping); reads EAL's configuration only.
            let lcore = unsafe { dpdk_sys::rte_get_next_lcore(after, 1, 0) };
            (lcore < dpdk_sys::SHIM_MAX_LCORE).then_some(lcore)
        };
        std::iter::successors(next(u32::MAX), |&lcore| next(lcore)).map(LcoreId).collect()
    }

    /// The value of `--file-prefix`, or the default; `None` if DPDK has no directory at run time.
    #[must_use]
    pub fn file_prefix(&self) -> Option<String> {
        Some(runtime_dir()?.file_name()?.to_str()?.to_owned())
    }

    /// Whether DPDK's memory is on huge pages.
    #[must_use]
    pub fn has_hugepages(&self) -> bool {
        // SAFETY: reads EAL's configuration, which exists while `self` does.
        unsafe { dpdk_sys::rte_eal_has_hugepages() != 0 }
    }

    /// Stops DPDK, gives its memory back and removes its runtime directory. Dropping does the same, silently.
    ///
    /// # Errors
    /// [`EalError::StillInUse`] when a port, pool, ring or lcore is still in use: then it runs on, and the end of the
    /// process cleans up.
    pub fn cleanup(self) -> Result<(), EalError> {
        stop()
    }
}

impl Drop for Eal {
    fn drop(&mut self) {
        // Nobody is left to report to, and the end of the process frees the rest.
        let _ = stop();
        remove_runtime_dir();
    }
}

/// Proof that DPDK runs, and will as long as the lease exists. Each thing that lives inside DPDK holds one; what must
/// outlive its handle leaks it.
#[derive(Debug)]
pub(super) struct Lease(());

impl Lease {
    /// Fails with [`EalError::NotRunning`] before [`Eal::init`] and after the stop.
    pub(super) fn take() -> Result<Lease, EalError> {
        match &mut *lock_state() {
            State::Running { users } => *users += 1,
            State::Fresh | State::Stopped => return Err(EalError::NotRunning),
        }
        Ok(Lease(()))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let State::Running { users } = &mut *lock_state() {
            *users -= 1;
        }
    }
}

/// DPDK's version, as the library that is loaded gives it: `DPDK 24.11.3`.
pub fn version() -> &'static str {
    // SAFETY: needs no EAL; the first call writes the text, every one the same.
    let text = unsafe { dpdk_sys::rte_version() };
    // SAFETY: the text is NUL-terminated, and DPDK keeps it in a variable of its own that it writes once.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("DPDK")
}

/// The text of an error number, whichever sign DPDK gave it.
pub(super) fn describe_error(code: c_int) -> String {
    if code == 0 {
        return "no reason given".to_owned();
    }
    // SAFETY: any number has a text, unknown ones as well.
    let text = unsafe { dpdk_sys::rte_strerror(code.abs()) };
    // SAFETY: the text is NUL-terminated and stays until this thread asks for another one.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// The error number of DPDK's last failed call on this thread.
pub(super) fn last_error() -> c_int {
    // SAFETY: reads a variable of this thread.
    unsafe { dpdk_sys::shim_errno() }
}

/// Where DPDK is in its one life.
enum State {
    Fresh,
    Running { users: usize },
    Stopped,
}

static STATE: Mutex<State> = Mutex::new(State::Fresh);

fn lock_state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// See [`Eal::cleanup`].
pub(super) fn stop() -> Result<(), EalError> {
    let mut state = lock_state();
    match *state {
        State::Running { users: 0 } => *state = State::Stopped,
        State::Running { users } => return Err(EalError::StillInUse(users)),
        State::Fresh | State::Stopped => return Ok(()),
    }
    // SAFETY: DPDK runs, nothing inside it is in use, and the state makes this the only call.
    let result = unsafe { dpdk_sys::rte_eal_cleanup() };
    if result < 0 { Err(EalError::Failed { reason: describe_error(result) }) } else { Ok(()) }
}

/// Where DPDK keeps its sockets and files, named after `--file-prefix`. `None` before EAL has looked at its arguments,
/// and when the prefix leads out of the directory that all DPDK processes share.
pub(super) fn runtime_dir() -> Option<PathBuf> {
    // SAFETY: returns the address of a static variable.
    let path = unsafe { dpdk_sys::rte_eal_get_runtime_dir() };
    // SAFETY: a NUL-terminated path, empty at first; only `Eal::init` writes it.
    let path = unsafe { CStr::from_ptr(path) };
    let path = PathBuf::from(OsStr::from_bytes(path.to_bytes()));
    let inside = path.file_name().is_some() && path.parent().is_some_and(|parent| parent.ends_with("dpdk"));
    inside.then_some(path)
}

/// Removes the runtime directory, which EAL leaves behind. Not if it is another process's.
fn remove_runtime_dir() {
    if let Some(directory) = runtime_dir()
        && !is_another_process_s(&directory)
    {
        // It may be gone, or never have been there; what stays does no harm.
        let _ = fs::remove_dir_all(directory);
    }
}

/// Whether another DPDK process uses the directory: its EAL has locked the file `config`.
fn is_another_process_s(directory: &Path) -> bool {
    let Ok(file) = fs::File::options().read(true).write(true).open(directory.join("config")) else {
        return false;
    };
    // SAFETY: numbers, for which zero is a value: the whole file, from its start.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as _;
    // SAFETY: the file is open, and `lock` is what this command reads and writes.
    let code = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut lock) };
    // Locks of this process do not count. Closing the file gives those up, but whoever asks is about to end.
    code == 0 && i32::from(lock.l_type) != libc::F_UNLCK
}

/// The arguments as C strings that live forever, with the program's name in front and a null pointer at the end.
fn argument_vector(arguments: &[String]) -> Result<Vec<*mut c_char>, EalError> {
    let all = ["lb-app"].into_iter().chain(arguments.iter().map(String::as_str));
    let mut argv = Vec::new();
    for argument in all {
        let argument = CString::new(argument).map_err(|_| EalError::NulInArgument(argument.to_owned()))?;
        argv.push(argument.into_raw());
    }
    argv.push(std::ptr::null_mut());
    Ok(argv)
}

fn bad_arguments(arguments: &[String]) -> EalError {
    EalError::BadArguments { arguments: arguments.join(" "), said: noise::last_words() }
}

/// EAL reports many causes with one number, so the likeliest cause is looked up where it can be.
fn start_error(code: c_int, arguments: &[String]) -> EalError {
    let says = |what: &str| arguments.iter().any(|argument| argument.split('=').next() == Some(what));
    let wants_hugepages = !says("--no-huge");
    let free_mib = free_hugepages_kib() >> 10;
    if let Some(directory) = runtime_dir().filter(|directory| is_another_process_s(directory)) {
        return EalError::PrefixInUse { directory };
    }
    match code {
        libc::EINVAL => bad_arguments(arguments),
        libc::EALREADY => EalError::AlreadyStarted,
        _ if wants_hugepages && free_mib == 0 => EalError::NoHugepages,
        _ if wants_hugepages && !says("--in-memory") && !has_hugetlbfs(value_of("--huge-dir", arguments)) => {
            let directory = value_of("--huge-dir", arguments).unwrap_or("/dev/hugepages").to_owned();
            EalError::NoHugetlbfs { directory }
        }
        libc::ENOMEM if wants_hugepages => EalError::TooFewHugepages { free_mib },
        libc::EACCES | libc::EPERM => EalError::NotPermitted { reason: describe_error(code) },
        _ => EalError::NotStarted { reason: describe_error(code), said: noise::last_words() },
    }
}

/// EAL's last message, as a part of a sentence.
fn because(said: &Option<String>) -> String {
    said.as_ref().map(|said| format!(": its last message is \"{said}\"")).unwrap_or_default()
}

/// Free huge pages of any size on the host, in KiB.
pub(super) fn free_hugepages_kib() -> u64 {
    let Ok(sizes) = fs::read_dir("/sys/kernel/mm/hugepages") else { return 0 };
    let free = |size: fs::DirEntry| {
        let name = size.file_name();
        let kib: u64 = name.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let free = fs::read_to_string(size.path().join("free_hugepages")).ok()?;
        Some(kib * free.trim().parse::<u64>().ok()?)
    };
    sizes.flatten().filter_map(free).sum()
}

/// Whether a file system of huge pages is mounted: anywhere, or where that directory is.
fn has_hugetlbfs(directory: Option<&str>) -> bool {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    mounts.lines().any(|mount| {
        let mut fields = mount.split(' ').skip(1);
        let (place, kind) = (fields.next().unwrap_or_default(), fields.next());
        kind == Some("hugetlbfs") && directory.is_none_or(|directory| Path::new(directory).starts_with(place))
    })
}

/// What follows an argument that has a value, in either way of writing it.
fn value_of<'a>(name: &str, arguments: &'a [String]) -> Option<&'a str> {
    let at = arguments.iter().position(|argument| argument.split('=').next() == Some(name))?;
    match arguments[at].split_once('=') {
        Some((_, value)) => Some(value),
        None => arguments.get(at + 1).map(String::as_str),
    }
}
