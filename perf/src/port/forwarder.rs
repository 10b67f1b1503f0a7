//! lb-app or testpmd as a process: its counters, and its forwarding thread's CPU time.

use anyhow::{Context, Result, anyhow, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

/// How long a forwarder may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// How to ask a program for its counters.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// By a signal.
    LbApp,
    /// By a command.
    Testpmd,
}

/// What was counted at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Packets the port received.
    pub received: u64,
    /// Packets the port transmitted.
    pub transmitted: u64,
    /// CPU time of the forwarding thread.
    pub cpu_ns: u64,
}

/// A running program. Ends when dropped.
pub struct Forwarder {
    kind: Kind,
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
    schedstat: PathBuf,
    stop: Arc<AtomicBool>,
}

impl Forwarder {
    /// Starts a program and waits until it forwards.
    ///
    /// It is [preferred].
    ///
    /// # Errors
    /// When it does not start; with what it said.
    pub fn start(kind: Kind, program: &str, arguments: &[String], stop: Arc<AtomicBool>) -> Result<Self> {
        // testpmd keeps what it says to itself until it has a page of it.
        let mut child = preferred("stdbuf")
            .args(["-oL", program])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| program.to_owned())?;
        let (sender, lines) = channel();
        read_lines(child.stdout.take().context("its output")?, sender.clone());
        read_lines(child.stderr.take().context("its errors")?, sender);
        let mut forwarder =
            Forwarder { kind, child, lines, said: Vec::new(), schedstat: PathBuf::new(), stop };
        let ready = match kind {
            Kind::LbApp => "lb-app ready",
            Kind::Testpmd => "packet forwarding - ports=",
        };
        forwarder.wait_for(ready).with_context(|| format!("starting {program}"))?;
        forwarder.schedstat = forwarder.find_worker()?;
        prefer_session(&forwarder.child);
        Ok(forwarder)
    }

    /// Whether it said something like this so far.
    #[must_use]
    pub fn has_said(&self, text: &str) -> bool {
        self.said.iter().any(|line| line.contains(text))
    }

    /// Its counters now.
    ///
    /// # Errors
    /// When it does not tell.
    pub fn sample(&mut self) -> Result<Sample> {
        match self.kind {
            Kind::LbApp => kill(Pid::from_raw(self.child.id() as i32), Signal::SIGUSR1)?,
            Kind::Testpmd => {
                let input = self.child.stdin.as_mut().context("its input")?;
                input.write_all(b"show port stats 0\n")?;
            }
        }
        let received = number_after(&self.wait_for("RX-packets: ")?, "RX-packets: ")?;
        // The counters are from just now, so this is too.
        let cpu_ns = self.cpu_ns()?;
        let transmitted = number_after(&self.wait_for("TX-packets: ")?, "TX-packets: ")?;
        Ok(Sample { received, transmitted, cpu_ns })
    }

    /// Lets it run for a while.
    ///
    /// # Errors
    /// When the run is to end.
    pub fn wait(&mut self, time: Duration) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < time {
            self.check()?;
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn check(&mut self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        if let Some(status) = self.child.try_wait()? {
            self.said.extend(self.lines.try_iter());
            bail!("it ended with {status}:\n{}", self.said.join("\n"));
        }
        Ok(())
    }

    fn wait_for(&mut self, text: &str) -> Result<String> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Ok(line) = self.lines.recv_timeout(Duration::from_millis(50)) {
                let found = line.contains(text);
                self.said.push(line.clone());
                if found {
                    return Ok(line);
                }
            } else {
                self.check()?;
            }
        }
        Err(anyhow!("it did not say \"{text}\" in {PATIENCE:?}; it said:\n{}", self.said.join("\n")))
    }

    /// The forwarding thread is the only worker lcore.
    fn find_worker(&self) -> Result<PathBuf> {
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let folder = task?.path();
            if fs::read_to_string(folder.join("comm"))?.contains("worker") {
                return Ok(folder.join("schedstat"));
            }
        }
        bail!("it has no worker thread")
    }

    fn cpu_ns(&self) -> Result<u64> {
        let text = fs::read_to_string(&self.schedstat)?;
        Ok(text.split_whitespace().next().context("schedstat")?.parse()?)
    }
}

/// A program with real CPU share: where the kernel groups processes by session, `nice` counts within a group only, so it
/// gets a session of its own; [`prefer_session`] has its group preferred. And it ends with us, whatever ends us.
#[must_use]
pub fn preferred(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setsid");
    command.args(["nice", "-n", "-20", "setpriv", "--pdeathsig", "KILL"]).arg(program);
    command
}

/// The other half of [`preferred`], once it runs.
pub fn prefer_session(child: &Child) {
    // Without groups there is no such file.
    let _ = fs::write(format!("/proc/{}/autogroup", child.id()), "-20");
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lines(from: impl Read + Send + 'static, to: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if to.send(line).is_err() {
                return;
            }
        }
    });
}

fn number_after(line: &str, label: &str) -> Result<u64> {
    let (_, rest) = line.split_once(label).context("the label")?;
    Ok(rest.split_whitespace().next().context("a number")?.parse()?)
}
