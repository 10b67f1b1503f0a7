//! `lb-app`, started, asked and stopped.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;

use crate::netns::Namespace;
use crate::process::{Background, Held, PATIENCE, eventually};
use crate::status::Status;

/// What `lb-app` prints when it forwards.
const READY: &str = "lb-app ready";
/// The last line of a status report.
const END_OF_STATUS: &str = "end of status";
/// How the line begins that says whether every packet is accounted for.
const ACCOUNTS: &str = "accounting:";
/// Every packet accounted for, on every worker.
const EXACT: &str = "accounting: exact";

/// Lines of its output that are shown when a story fails.
const LAST_WORDS: usize = 80;

/// A running `lb-app`.
#[derive(Debug)]
pub struct Director {
    process: Background,
    configuration: PathBuf,
    log: PathBuf,
    runtime: PathBuf,
    /// Its log is of interest if it goes without having been stopped: something went wrong before.
    stopped: bool,
}

impl Director {
    /// Starts `lb-app` in a namespace with a configuration, and waits until it is ready.
    ///
    /// `name` is unique among everything that runs on the machine; `add` may add to the command.
    pub fn start(
        namespace: &Namespace,
        directory: &Path,
        name: &str,
        configuration: &str,
        workers: usize,
        add: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let memory = ["--no-huge", "-m", "256"].map(str::to_owned);
        Self::start_on(namespace, directory, name, configuration, workers, &memory, add)
    }

    /// The same with other EAL arguments about memory.
    pub fn start_on(
        namespace: &Namespace,
        directory: &Path,
        name: &str,
        configuration: &str,
        workers: usize,
        memory: &[String],
        add: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let file = directory.join(format!("{name}.toml"));
        let log = directory.join(format!("{name}.log"));
        fs::write(&file, configuration)?;
        let mut command = namespace.command(program()?);
        command.args(memory).args(["--no-pci", "--file-prefix", name]);
        command.arg("--lcores").arg(lcores(workers)?).arg("--").arg("--conf").arg(&file);
        add(&mut command);
        let mut director = Self {
            process: namespace.spawn(&mut command, &log)?,
            configuration: file,
            log,
            runtime: Path::new("/var/run/dpdk").join(name),
            stopped: false,
        };
        let ready = eventually(PATIENCE, || {
            if let Some(status) = director.process.finished()? {
                bail!("lb-app ended at start: {status}");
            }
            Ok(director.output()?.contains(READY))
        })?;
        ensure!(ready, "lb-app is not ready after {PATIENCE:?}");
        Ok(director)
    }

    /// The process id of `lb-app`.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The file that takes everything it prints.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The directory in which DPDK keeps notes about this process.
    #[must_use]
    pub fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// The control socket, which is named after its file prefix.
    pub fn control_socket(&self) -> Result<PathBuf> {
        let prefix = self.runtime.file_name().and_then(OsStr::to_str).context("a prefix")?;
        Ok(Path::new("/run/lb").join(format!("{prefix}.sock")))
    }

    /// Asks for a status report.
    pub fn status(&self) -> Result<Status> {
        let before = self.output()?.len();
        self.process.signal(Signal::SIGUSR1)?;
        let mut report = String::new();
        let complete = eventually(PATIENCE, || {
            report = self.output()?.split_off(before);
            Ok(report.lines().any(|line| line.trim() == END_OF_STATUS))
        })?;
        ensure!(complete, "no complete status report after {PATIENCE:?}");
        Ok(Status::parse(&report))
    }

    /// What its configuration file says now.
    pub fn configuration(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.configuration)?)
    }

    /// Writes another configuration into its file, for a reload to find.
    pub fn write_configuration(&self, configuration: &str) -> Result<()> {
        Ok(fs::write(&self.configuration, configuration)?)
    }

    /// Changes its configuration, and waits until the change is in effect.
    pub fn reload(&self, configuration: &str) -> Result<()> {
        let before = self.output()?.len();
        self.write_configuration(configuration)?;
        self.process.signal(Signal::SIGHUP)?;
        let mut said = String::new();
        let done = eventually(PATIENCE, || {
            said = self.output()?.split_off(before);
            Ok(said.lines().any(|line| line.contains("reload: configuration") || line.contains(" ERROR ")))
        })?;
        ensure!(done && !said.contains(" ERROR "), "the configuration is not in effect: {said}");
        Ok(())
    }

    /// Bytes of memory that it has in use.
    pub fn memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kilobytes = line.split_whitespace().next().context("no number")?;
        Ok(kilobytes.parse::<u64>()? * 1024)
    }

    /// Asks for status reports until one is as wished; the last one is returned with whether it is.
    pub fn status_becomes(
        &self,
        limit: Duration,
        mut wish: impl FnMut(&Status) -> bool,
    ) -> Result<(bool, Status)> {
        let mut status = Status::default();
        let met = eventually(limit, || {
            status = self.status()?;
            Ok(wish(&status))
        })?;
        Ok((met, status))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Has the worker on an lcore stand still, as if it were stuck, for as long as the returned value exists.
    pub fn hold_worker(&self, lcore: usize) -> Result<Held> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid()))?;
        // The name differs from one DPDK to the next.
        let end = format!("worker-{lcore}");
        for thread in threads {
            let thread = thread?;
            if fs::read_to_string(thread.path().join("comm"))?.trim().ends_with(&end) {
                let id = thread.file_name().to_str().context("a number")?.parse()?;
                return Held::hold(id);
            }
        }
        bail!("no thread is called {end}")
    }

    /// Stops it as a service manager does, and insists on a clean exit with every packet accounted for. Returns all
    /// that it printed.
    pub fn stop(self) -> Result<String> {
        self.end(Signal::SIGTERM)
    }

    /// Stops it as Ctrl-C does; otherwise like [`Self::stop`].
    pub fn interrupt(self) -> Result<String> {
        self.end(Signal::SIGINT)
    }

    fn end(mut self, signal: Signal) -> Result<String> {
        self.process.signal(signal)?;
        let status = self.process.wait(PATIENCE)?.context("lb-app does not stop")?;
        let output = self.output()?;
        ensure!(status.success(), "lb-app ended with {status}");
        let accounts: Vec<_> = output.lines().filter(|line| line.contains(ACCOUNTS)).collect();
        let exact = accounts.iter().any(|line| line.contains(EXACT));
        ensure!(exact, "lb-app's books do not balance: {accounts:?}");
        self.stopped = true;
        Ok(output)
    }

    /// Ends it as a power failure would.
    pub fn kill(mut self) {
        self.process.kill();
        self.stopped = true;
    }

    /// Lets it outlive this value.
    pub fn keep(mut self) {
        self.process.keep();
        self.stopped = true;
    }

    /// What it has printed so far.
    pub fn output(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }
}

impl Drop for Director {
    fn drop(&mut self) {
        if !self.stopped {
            self.process.kill();
            let output = self.output().unwrap_or_default();
            let lines: Vec<_> = output.lines().collect();
            eprintln!("\nlb-app printed (the end of it):");
            for line in &lines[lines.len().saturating_sub(LAST_WORDS)..] {
                eprintln!("  {line}");
            }
        }
        if !self.process.kept() {
            // One that was killed could not.
            let _ = fs::remove_dir_all(&self.runtime);
            let _ = self.control_socket().map(fs::remove_file);
        }
    }
}

/// Lets `lb-app` check a configuration file instead of running it.
pub fn check(file: &Path) -> Result<Output> {
    let mut command = Command::new("timeout");
    Ok(command.arg("20").arg(program()?).args(["--", "--check", "--conf"]).arg(file).output()?)
}

/// Does the same with nobody reading what it prints; returns how it ended.
pub fn check_unheard(file: &Path) -> Result<ExitStatus> {
    let mut child = Command::new(program()?)
        .args(["--", "--check", "--conf"])
        .arg(file)
        .stdout(Stdio::piped())
        .spawn()?;
    drop(child.stdout.take());
    Ok(child.wait()?)
}

/// `lb-app`: where the environment says, or as built in this workspace.
pub fn program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("LB_APP") {
        return fs::canonicalize(&path).with_context(|| format!("LB_APP={}", path.display()));
    }
    let own = std::env::current_exe()?;
    let candidates = own.ancestors().flat_map(|directory| {
        ["release", "story", "debug"].map(|profile| directory.join(profile).join("lb-app"))
    });
    candidates
        .into_iter()
        .find(|path| path.is_file())
        .context("no lb-app: build it, or name it in the environment variable LB_APP")
}

/// EAL's `--lcores` for a main lcore and `workers` more, all of them on whatever CPUs there are.
fn lcores(workers: usize) -> Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let cpus = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .context("no list of CPUs in /proc/self/status")?
        .trim();
    let each: Vec<_> = (0..=workers).map(|lcore| format!("{lcore}@({cpus})")).collect();
    Ok(each.join(","))
}
