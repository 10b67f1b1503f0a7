//! Programs: those that check servers, and the operator's hooks. Bounded in time, memory, output and number.

use super::{
    advice::{Share, Told},
    means::Means,
    process::Process,
    target::{Answer, Finding, Target, plain},
};
use crate::{
    config::health::Command,
    dpdk::spawn::{self, SpawnError},
};
use lb_core::service::key::ServerKey;
use nix::{
    errno::Errno,
    unistd::{AccessFlags, User, access, geteuid},
};
use std::{
    env, io,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::Arc,
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Longest explanation.
const MOST_WORDS: usize = 200;
/// Where programs are searched if our environment has no PATH.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What of our own environment is a program's business.
const PASSED_ON: [&str; 4] = ["LANG", "LC_ALL", "PATH", "TZ"];

/// The environment variables of a program.
pub(super) type Environment = Vec<(&'static str, String)>;

/// A place among the programs that may run at the same time.
pub(super) type Turn = OwnedSemaphorePermit;

/// Waits for one of these places. There is none any more when checks end.
pub(super) async fn turn(places: &Arc<Semaphore>) -> Option<Turn> {
    places.clone().acquire_owned().await.ok()
}

/// Runs a program as a check: it succeeds with exit status 0. One that is dynamic says a weight with what is more than 1,
/// as keepalived's `misc_dynamic` does; with 0 the weight stays.
pub(super) async fn ask(
    means: &Means,
    namespace: Option<&str>,
    (check, target): (&Command, &Target),
    (turn, limit): (Turn, Duration),
) -> Answer {
    let program = Program {
        words: check.command.clone(),
        user: check.user.clone(),
        memory_mib: Some(check.memory_mib),
        environment: about(target),
    };
    let Ended { status, how } = end(means, namespace, program, (turn, limit)).await?;
    match status.code() {
        Some(0) => Ok(Told::works()),
        Some(code @ 2..=255) if check.dynamic => {
            let weight = Some(Share::Exactly(code as u32 - 2));
            Ok(Told { weight, words: format!("exit status {code}"), ..Told::works() })
        }
        // It has run, and this is what it says.
        Some(1) if check.dynamic => Ok(Told { works: Some(Err(how)), ..Told::default() }),
        _ => Err(how),
    }
}

/// The environment variables about a server.
pub(super) fn about(target: &Target) -> Environment {
    let ServerKey { service, address, port } = target.key;
    vec![
        ("LB_SERVICE", target.name.clone()),
        ("LB_PROTOCOL", service.protocol.name().to_owned()),
        ("LB_VIP", service.vip.to_string()),
        // 0 of any, as in IPVS; a server's is 0 where it is the one that a client asks for.
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

/// Runs a program, and kills it and its descendants at the timeout. It has to end with status 0.
pub(super) async fn run(
    means: &Means,
    namespace: Option<&str>,
    program: Program,
    (turn, limit): (Turn, Duration),
) -> Finding {
    let Ended { status, how } = end(means, namespace, program, (turn, limit)).await?;
    if status.success() { Ok(()) } else { Err(how) }
}

/// How a program ended by itself.
struct Ended {
    status: ExitStatus,
    /// In words.
    how: String,
}

async fn end(
    means: &Means,
    namespace: Option<&str>,
    program: Program,
    (turn, limit): (Turn, Duration),
) -> Result<Ended, String> {
    let name = program.words.first().cloned().unwrap_or_default();
    let started = means.doors.within(namespace, move || program.start(turn)).await;
    let mut process = started.map_err(|error| format!("{name}: {}", plain(&error)))?;
    let finished = tokio::time::timeout(limit, process.finish()).await;
    let (status, output) = match finished {
        Ok(Ok(finished)) => finished,
        Ok(Err(error)) => return Err(format!("{name}: {error}")),
        Err(_) => {
            return Err(format!("{name} did not finish within {} ms and was killed", limit.as_millis()));
        }
    };
    let first = output.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let words: String = first.trim().chars().filter(|c| !c.is_control()).take(MOST_WORDS).collect();
    let how = match status.code() {
        Some(code) => format!("{name} exited with status {code}"),
        None => format!("{name} was killed by a signal"),
    };
    Ok(Ended { status, how: if words.is_empty() { how } else { format!("{how}: {words}") } })
}

impl Program {
    /// Starts it, in the network namespace of the calling thread.
    fn start(self, turn: Turn) -> io::Result<Process> {
        let name = self.words.first().ok_or_else(|| io::Error::other("no program"))?;
        let own = geteuid();
        let user = match &self.user {
            Some(name) => {
                let user = User::from_name(name)?;
                Some(user.ok_or_else(|| io::Error::other(format!("unknown user {name}")))?)
            }
            None => User::from_uid(own)?,
        };
        let (reader, writer) = io::pipe()?;
        let program = spawn::Program {
            path: find(name)?,
            environment: environment(user.as_ref(), &self.environment),
            arguments: self.words,
            user: user.filter(|user| user.uid != own).map(|user| (user.uid.as_raw(), user.gid.as_raw())),
            address_space: self.memory_mib.map(|mib| u64::from(mib) << 20),
        };
        let id = program.start(&writer.into()).map_err(explain)?;
        Ok(Process::new(id, reader.into(), turn))
    }
}

/// The file of a program. One without a directory is searched in PATH.
fn find(name: &str) -> io::Result<PathBuf> {
    if name.contains('/') {
        return Ok(name.into());
    }
    let path = env::var("PATH").unwrap_or_else(|_| PATH.to_owned());
    let mut files = path.split(':').map(|directory| Path::new(directory).join(name));
    files
        .find(|file| file.is_file() && access(file, AccessFlags::X_OK).is_ok())
        .ok_or_else(|| Errno::ENOENT.into())
}

/// All that a program finds in its environment: where programs are, language and time zone, whose it is, and what it is
/// told.
fn environment(user: Option<&User>, told: &Environment) -> Vec<(String, String)> {
    let passed_on = PASSED_ON.iter().filter_map(|name| Some(((*name).to_owned(), env::var(name).ok()?)));
    let mut all: Vec<(String, String)> = passed_on.collect();
    if !all.iter().any(|(name, _)| name == "PATH") {
        all.push(("PATH".to_owned(), PATH.to_owned()));
    }
    if let Some(user) = user {
        let home = user.dir.to_string_lossy().into_owned();
        let own = [("HOME", home), ("LOGNAME", user.name.clone()), ("USER", user.name.clone())];
        all.extend(own.map(|(name, value)| (name.to_owned(), value)));
    }
    all.extend(told.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    all
}

/// Why a program does not run, with what to do where that is known.
fn explain(error: SpawnError) -> io::Error {
    match error {
        SpawnError::Program(error) => error,
        SpawnError::User(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            io::Error::other("it cannot run as its user: give lb-app CAP_SETUID and CAP_SETGID")
        }
        other => io::Error::other(other.to_string()),
    }
}
