//! How a request reaches the director.

use crate::protocol::{Call, Outcome, Refusal, Reply, Request, Return, framing};
use std::{
    fs,
    io::{self, BufReader, Write},
    os::unix::{fs::FileTypeExt, net::UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};
use thiserror::Error;

/// How long an answer may take. The director's own timeout for workers is much shorter.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum CallError {
    /// The director refused.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// It could not be reached, or the connection was lost.
    #[error("{0}")]
    Lost(String),
}

/// A way to the director.
pub trait Transport {
    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// See [`CallError`].
    fn call(&mut self, request: Request) -> Result<Reply, CallError>;

    /// Reaches the director again after the way to it was lost.
    ///
    /// # Errors
    /// [`CallError::Lost`] if it cannot be reached, now or ever.
    fn reconnect(&mut self) -> Result<(), CallError> {
        Err(CallError::Lost("the director ended".to_owned()))
    }
}

impl<T: Transport + ?Sized> Transport for &mut T {
    fn call(&mut self, request: Request) -> Result<Reply, CallError> {
        (**self).call(request)
    }

    fn reconnect(&mut self) -> Result<(), CallError> {
        (**self).reconnect()
    }
}

/// The way over the UNIX socket.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Socket {
    /// Connects to the director that listens at `path`.
    ///
    /// # Errors
    /// [`CallError::Lost`], with what to do about it.
    pub fn connect(path: &Path) -> Result<Self, CallError> {
        let stream = UnixStream::connect(path).map_err(|error| CallError::Lost(unreachable(path, &error)))?;
        let set_up = || {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.try_clone()
        };
        let writer = set_up().map_err(lost)?;
        Ok(Socket { path: path.to_owned(), reader: BufReader::new(stream), writer })
    }
}

impl Transport for Socket {
    fn call(&mut self, request: Request) -> Result<Reply, CallError> {
        let mut line =
            serde_json::to_vec(&Call::new(request)).map_err(|error| CallError::Lost(error.to_string()))?;
        line.push(b'\n');
        // A director that rejects a client sends the reason before it closes, perhaps before our request.
        let written = self.writer.write_all(&line);
        let answer = match framing::read_line(&mut self.reader, framing::MAX_REPLY) {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                written.map_err(lost)?;
                return Err(CallError::Lost("the director closed the connection".to_owned()));
            }
            Err(error) => return Err(lost(written.err().unwrap_or(error))),
        };
        let answer: Return = serde_json::from_slice(&answer).map_err(|error| {
            CallError::Lost(format!("this lbctl does not understand the director's answer: {error}"))
        })?;
        match answer.outcome {
            Outcome::Reply(reply) => Ok(reply),
            Outcome::Error(refusal) => Err(CallError::Refused(refusal)),
        }
    }

    fn reconnect(&mut self) -> Result<(), CallError> {
        *self = Socket::connect(&self.path)?;
        Ok(())
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn lost(error: io::Error) -> CallError {
    let what = match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            "the director did not respond in time".to_owned()
        }
        _ => format!("the connection to the director was lost: {error}"),
    };
    CallError::Lost(what)
}

fn unreachable(path: &Path, error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => "is lb-app running? --socket sets another path",
        io::ErrorKind::ConnectionRefused => "nobody listens on it: lb-app exited without removing it",
        io::ErrorKind::PermissionDenied => "run as root, or as a member of a group in [control]",
        _ => "--socket sets another path",
    };
    let others = path.parent().map(sockets).unwrap_or_default();
    let others: Vec<String> =
        others.iter().filter(|other| *other != path).map(|other| other.display().to_string()).collect();
    let others = if others.is_empty() {
        String::new()
    } else {
        format!("; other sockets there: {}", others.join(", "))
    };
    format!("cannot connect to {}: {error}; {remedy}{others}", path.display())
}

/// The sockets in a directory, by name.
#[must_use]
pub fn sockets(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let is_socket = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_socket());
    let mut found: Vec<PathBuf> = entries.flatten().filter(is_socket).map(|entry| entry.path()).collect();
    found.sort();
    found
}
