//! Programs, run to completion with their output checked or in the background until dropped, and their files.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use signal_hook::consts::{SIGINT, SIGTERM};

/// How long a story waits at most for what has to happen. It says nothing about how long that takes: a busy machine may
/// stand still for seconds.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Runs `command` and returns its standard output; a failing exit status is an error that shows what it printed.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{command:?}: {}\n{stdout}{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(stdout)
}

/// A process in the background. Dropping it ends it and its descendants.
#[derive(Debug)]
pub struct Background {
    child: Child,
    kept: bool,
}

impl Background {
    /// Starts `command` with everything it prints appended to `log`.
    ///
    /// It becomes the leader of its own process group, so that Ctrl-C on a terminal reaches the demo alone, which
    /// then takes things down in order, and so that a group kill reaches nginx's workers too.
    pub fn spawn(command: &mut Command, log: &Path) -> Result<Self> {
        Self::spawn_with(command, Stdio::null(), log)
    }

    /// The same with something to read from, and to write to.
    pub fn spawn_with(command: &mut Command, stdin: Stdio, log: &Path) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log).context("log file")?;
        let errors = output.try_clone()?;
        let child = command
            .stdin(stdin)
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { child, kept: false })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process itself.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.group(), signal).with_context(|| format!("{signal} to process {}", self.pid()))
    }

    /// Sends a signal to the process and its descendants.
    pub fn signal_group(&self, signal: Signal) -> Result<()> {
        killpg(self.group(), signal)
            .with_context(|| format!("{signal} to the group of process {}", self.pid()))
    }

    /// The exit status if the process has ended.
    pub fn finished(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for the end of the process, at most `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.finished()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends the process at once, and whatever is left of its group.
    pub fn kill(&mut self) {
        // Until the child has been waited for, its id cannot have gone to anybody else.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = killpg(self.group(), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }

    /// Lets the process outlive this value.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// Whether it will outlive this value.
    pub(crate) fn kept(&self) -> bool {
        self.kept
    }

    fn group(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if !self.kept {
            self.kill();
        }
    }
}

/// A thread of another process that stands still as long as this exists.
#[derive(Debug)]
pub struct Held {
    // What a debugger does with a thread, only the thread that began it may go on with.
    over: Option<Sender<()>>,
    holder: Option<JoinHandle<()>>,
}

impl Held {
    /// Stops a thread, by its id.
    pub fn hold(thread: i32) -> Result<Self> {
        let thread = Pid::from_raw(thread);
        let (over, wait) = channel::<()>();
        let (tell, held) = channel();
        let holder = std::thread::spawn(move || {
            let stop = || -> nix::Result<()> {
                ptrace::seize(thread, ptrace::Options::empty())?;
                ptrace::interrupt(thread)?;
                waitpid(thread, Some(WaitPidFlag::__WALL)).map(drop)
            };
            let stopped = stop();
            let goes_on = stopped.is_ok();
            let _ = tell.send(stopped);
            if goes_on {
                // Until the other end is dropped.
                let _ = wait.recv();
                let _ = ptrace::detach(thread, None);
            }
        });
        held.recv().context("the holder ended")?.with_context(|| format!("cannot stop thread {thread}"))?;
        Ok(Self { over: Some(over), holder: Some(holder) })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(holder) = self.holder.take() {
            let _ = holder.join();
        }
    }
}

/// Tells `story`; then, whatever becomes of it, `over` says to the threads beside it that they have to end.
pub(crate) fn until_over<T>(over: &AtomicBool, story: impl FnOnce() -> T) -> T {
    let outcome = catch_unwind(AssertUnwindSafe(story));
    over.store(true, Ordering::Relaxed);
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Asks `probe` every few milliseconds until it says yes, at most `limit`; what it says at last is returned.
pub fn eventually(limit: Duration, mut probe: impl FnMut() -> Result<bool>) -> Result<bool> {
    let deadline = Instant::now() + limit;
    while !probe()? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(true)
}

/// Whether somebody wants the program to end before it has finished: it does so between two steps, and takes down what it
/// has built.
#[derive(Debug)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on INT and TERM do not end the program by themselves.
    pub fn watch() -> Result<Self> {
        let wanted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&wanted))?;
        }
        Ok(Self(wanted))
    }

    /// An error if the program is to end.
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { bail!("interrupted") } else { Ok(()) }
    }
}

/// A directory for files of the moment, removed with everything in it.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    kept: bool,
}

impl Scratch {
    /// A directory under a name that nobody else has.
    pub fn new() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self::named(&format!("lb{}-{count}", std::process::id()))
    }

    /// A directory under a name of the caller's choice.
    pub fn named(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { path, kept: false })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets the directory outlive this value.
    pub fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
