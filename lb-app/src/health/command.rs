//! Programs: those that check servers, and the operator's hooks. Bounded in time, memory, output and number.

use super::probe::{Finding, Means, Target};
use crate::config::health::Command;
use lb_core::service::key::ServerKey;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::{Pid, User},
};
use rustix::process::{Resource, Rlimit, prlimit};
use std::{
    io,
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::{self, Child, ExitStatus, Stdio},
    time::Duration,
};
use tokio::net::unix::pipe;

/// How much of a program's output is kept to explain why it failed.
const MOST_OUTPUT: usize = 4_096;
/// Longest explanation.
const MOST_WORDS: usize = 200;

/// What a program is told about, as environment variables.
pub(super) type Environment = Vec<(&'static str, String)>;

/// Runs a program as a check: it succeeds with exit status 0.
pub(super) async fn ask(
    means: &Means,
    namespace: Option<&str>,
    check: &Command,
    target: &Target,
    limit: Duration,
) -> Finding {
    let program = Program {
        words: check.command.clone(),
        user: check.user.clone(),
        memory_mib: Some(check.memory_mib),
        environment: about(target),
    };
    run(means, namespace, program, limit).await
}

/// What programs are told about a server.
pub(super) fn about(target: &Target) -> Environment {
    let ServerKey { service, address, port } = target.key;
    vec![
        ("LB_SERVICE", target.name.clone()),
        ("LB_PROTOCOL", service.protocol.name().to_owned()),
        ("LB_VIP", service.vip.to_string()),
        ("LB_VIP_PORT", service.port.to_string()),
        ("LB_SERVER", address.to_string()),
        ("LB_SERVER_PORT", port.to_string()),
    ]
}

/// A program to run.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) words: Vec<String>,
    pub(super) user: Option<String>,
    pub(super) memory_mib: Option<u32>,
    pub(super) environment: Environment,
}

/// Runs a program to its end, or ends it and its descendants in time.
pub(super) async fn run(
    means: &Means,
    namespace: Option<&str>,
    program: Program,
    limit: Duration,
) -> Finding {
    let _turn = means.programs.acquire().await;
    let name = program.words.first().cloned().unwrap_or_default();
    let started = means.doors.within(namespace, move || program.start()).await;
    let mut running = started.map_err(|error| format!("{name}: {}", super::socket::plain(&error)))?;
    let finished = tokio::time::timeout(limit, running.finish()).await;
    let (status, output) = match finished {
        Ok(Ok(finished)) => finished,
        Ok(Err(error)) => return Err(format!("{name}: {error}")),
        Err(_) => return Err(format!("{name} took longer than {} ms and was ended", limit.as_millis())),
    };
    if status.success() {
        return Ok(());
    }
    let first = output.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let words: String = first.trim().chars().filter(|c| !c.is_control()).take(MOST_WORDS).collect();
    let how = match status.code() {
        Some(code) => format!("{name} ended with status {code}"),
        None => format!("{name} was ended by a signal"),
    };
    Err(if words.is_empty() { how } else { format!("{how}: {words}") })
}

impl Program {
    /// Starts it, in the network namespace of the calling thread.
    fn start(self) -> io::Result<Running> {
        let Some((name, arguments)) = self.words.split_first() else {
            return Err(io::Error::other("no program"));
        };
        let (reader, writer) = io::pipe()?;
        let mut command = process::Command::new(name);
        command.args(arguments).envs(self.environment).stdin(Stdio::null());
        command.stdout(writer.try_clone()?).stderr(writer);
        // A group of its own, so that all of it can be ended.
        command.process_group(0);
        if let Some(user) = &self.user {
            let user = User::from_name(user)?.ok_or_else(|| io::Error::other(format!("no user {user}")))?;
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        let child = command.spawn()?;
        drop(command);
        if let Some(mib) = self.memory_mib
            && let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed())
        {
            let bytes = Some(u64::from(mib) << 20);
            // It may have ended already, which is fine.
            let _ = prlimit(Some(pid), Resource::As, Rlimit { current: bytes, maximum: bytes });
        }
        Ok(Running { child, output: Some(reader.into()) })
    }
}

/// A program that runs. Dropping it ends it and its descendants.
struct Running {
    child: Child,
    output: Option<OwnedFd>,
}

impl Running {
    /// Waits until the program has ended; what it printed, or the beginning of it.
    async fn finish(&mut self) -> io::Result<(ExitStatus, String)> {
        let mut output = Vec::new();
        if let Some(reader) = self.output.take() {
            let reader = pipe::Receiver::from_owned_fd(reader)?;
            let mut chunk = [0; 1_024];
            loop {
                // A descendant may keep the pipe open when the program itself has ended.
                let read = tokio::time::timeout(Duration::from_millis(20), reader.readable()).await;
                match reader.try_read(&mut chunk) {
                    Ok(0) => break,
                    Ok(length) => {
                        let room = MOST_OUTPUT - output.len();
                        output.extend_from_slice(&chunk[..length.min(room)]);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        if read.is_err() && self.child.try_wait()?.is_some() {
                            break;
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok((status, String::from_utf8_lossy(&output).into_owned()));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Until the child has been waited for, its id cannot have gone to anybody else.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}
