//! A program that runs: what it prints, how it ends, and that it ends.

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, killpg},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use std::{
    io,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::ExitStatus,
    time::Duration,
};
use tokio::{net::unix::pipe, runtime::Handle, sync::OwnedSemaphorePermit};
use tracing::warn;

/// How much of a program's output is kept to explain why it failed.
const MOST_OUTPUT: usize = 4_096;
/// How often to check whether a killed program has exited.
const LOOK: Duration = Duration::from_millis(100);

/// The first signal of real-time programs.
const REAL_TIME: i32 = 34;

/// A running program. Dropping it kills it and its descendants.
pub(super) struct Process {
    id: Pid,
    /// Once it has been waited for.
    status: Option<ExitStatus>,
    output: Option<OwnedFd>,
    /// Its place among those that may run, which it keeps until it has ended.
    turn: Option<OwnedSemaphorePermit>,
}

impl Process {
    /// The process of that id, in a group of its own, whose output can be read there.
    pub(super) fn new(id: i32, output: OwnedFd, turn: OwnedSemaphorePermit) -> Self {
        Process { id: Pid::from_raw(id), status: None, output: Some(output), turn: Some(turn) }
    }

    /// Waits until the program has ended; what it printed, or the beginning of it.
    pub(super) async fn finish(&mut self) -> io::Result<(ExitStatus, String)> {
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
                        if read.is_err() && self.has_ended()?.is_some() {
                            break;
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        loop {
            if let Some(status) = self.has_ended()? {
                return Ok((status, String::from_utf8_lossy(&output).into_owned()));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// How it ended, if it has.
    fn has_ended(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = match waitpid(self.id, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, code)) => Some(ExitStatus::from_raw(code << 8)),
                Ok(WaitStatus::Signaled(_, signal, _)) => Some(ExitStatus::from_raw(signal as i32)),
                Ok(_) => None,
                // It ended by a signal that has no name: one of those for real-time programs.
                Err(Errno::EINVAL) => Some(ExitStatus::from_raw(REAL_TIME)),
                Err(error) => return Err(error.into()),
            };
        }
        Ok(self.status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(turn) = self.turn.take() else { return };
        // Until it has been waited for, its id cannot have gone to anybody else.
        if !matches!(self.has_ended(), Ok(None)) {
            return;
        }
        match killpg(self.id, Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => {
                let id = self.id;
                warn!("process {id} takes too long and cannot be killed: {error}; give lb-app CAP_KILL");
            }
        }
        // It is gone in a moment, or when it wants to: nobody waits for that here.
        let (id, status) = (self.id, self.status);
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                let mut rest = Process { id, status, output: None, turn: None };
                while matches!(rest.has_ended(), Ok(None)) {
                    tokio::time::sleep(LOOK).await;
                }
                drop(turn);
            });
        }
    }
}
