//! The control socket: lines of JSON over a UNIX stream socket, within fixed limits.
//!
//! Each client has a thread and one request at a time: its next request is read when the answer to the last has been
//! taken. So a client costs at most one request line and one page of an answer, and one that stops reading stops
//! nobody else; after a while it is dropped. Who may stay when there are too many is in [`super::seats`].

use super::{
    doors::Doors,
    seats::{SEATS, Seat, Seats, hang_up},
};
use crate::{
    config::Control,
    control::api::{Api, Author},
    dpdk::peer::Peer,
};
use lb_ctl::protocol::{Code, Outcome, Refusal, framing};
use nix::{
    sys::stat::{Mode, umask},
    unistd::{Group, Uid},
};
use std::{
    fs, io,
    io::{BufReader, ErrorKind, Write},
    os::unix::{
        fs::{FileTypeExt, PermissionsExt, chown},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use thiserror::Error;
use tracing::{debug, warn};

/// How long a client may take to read an answer.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);
/// How long a request may take from its first byte to its last.
const READ_PATIENCE: Duration = Duration::from_secs(10);
/// Time between two looks at whether the director ends.
const LOOK: Duration = Duration::from_millis(200);

/// Why there is no control socket.
#[derive(Debug, Error)]
pub(crate) enum SocketError {
    #[error(
        "the control socket {} is in use by another lb-app: set `socket` in [control], or give this one its own \
         --file-prefix", .0.display()
    )]
    InUse(PathBuf),
    #[error("{} exists and is not a socket: remove it, or set `socket` in [control]", .0.display())]
    NoSocket(PathBuf),
    #[error(
        "group {group:?} of the control socket does not exist: create it with `groupadd --system {group}`, or change \
         `{key}` in [control]"
    )]
    NoGroup { key: &'static str, group: String },
    #[error(
        "cannot create the control socket {}: permission denied; run as root, or set `socket` in [control] to another \
         path", .0.display()
    )]
    Denied(PathBuf),
    #[error("cannot create the control socket {}: {error}; set `socket` in [control] to another path", path.display())]
    Failed { path: PathBuf, error: io::Error },
}

/// The socket, before anybody is answered. Its file is removed when it is dropped.
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    doors: Doors,
}

impl ControlSocket {
    /// Listens at `path`, for root and members of the groups in `control`. Takes the place of a socket that nobody listens
    /// at.
    ///
    /// # Errors
    /// See [`SocketError`].
    pub(crate) fn bind(path: &Path, control: &Control) -> Result<Self, SocketError> {
        let failed = |error: io::Error| match error.kind() {
            ErrorKind::PermissionDenied => SocketError::Denied(path.to_owned()),
            _ => SocketError::Failed { path: path.to_owned(), error },
        };
        let doors = Doors::new(control, |key, name| {
            let found = Group::from_name(name).map_err(|error| failed(error.into()))?;
            Ok(found.ok_or_else(|| SocketError::NoGroup { key, group: name.to_owned() })?.gid.as_raw())
        })?;
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        if let Ok(metadata) = fs::symlink_metadata(path) {
            if !metadata.file_type().is_socket() {
                return Err(SocketError::NoSocket(path.to_owned()));
            }
            match UnixStream::connect(path) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(failed)?;
                }
                _ => return Err(SocketError::InUse(path.to_owned())),
            }
        }
        // From the beginning for nobody else: permissions set afterwards would come too late.
        let before = umask(Mode::from_bits_truncate(0o117));
        let listener = UnixListener::bind(path);
        umask(before);
        let listener = listener.map_err(failed)?;
        let (mode, group) = doors.permissions();
        let socket = ControlSocket { listener, path: path.to_owned(), doors };
        if group.is_some() {
            chown(path, None, group).map_err(failed)?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
        socket.listener.set_nonblocking(true).map_err(failed)?;
        Ok(socket)
    }

    /// Answers clients until the director ends.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn serve(self, api: Arc<Api>) -> io::Result<thread::JoinHandle<()>> {
        thread::Builder::new().name("lb-control".to_owned()).spawn(move || self.accept(&api))
    }

    fn accept(&self, api: &Arc<Api>) {
        let seats = Arc::new(Seats::default());
        let busy = Arc::new(AtomicBool::new(false));
        while !api.is_ending() {
            match self.listener.accept() {
                Ok((stream, _)) => self.welcome(stream, api, &seats, &busy),
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(ACCEPT_EVERY),
                Err(error) => {
                    warn!("control socket: {error}");
                    thread::sleep(LOOK);
                }
            }
        }
    }

    /// Gives a client its thread, or turns it away.
    fn welcome(&self, stream: UnixStream, api: &Arc<Api>, seats: &Arc<Seats>, told: &Arc<AtomicBool>) {
        // Who cannot be told apart is nobody.
        let peer = Peer::of(&stream).unwrap_or(Peer { user: u32::MAX, groups: Vec::new() });
        let Some(role) = self.doors.role(&peer) else {
            warn!("control socket: refused user {}, who has no role", peer.user);
            turn_away(
                stream,
                Code::Forbidden,
                format!("uid {} may not use this socket, only {}", peer.user, self.doors),
            );
            return;
        };
        let Some((seat, gone)) = seats.take(Uid::from_raw(peer.user), &stream) else {
            if !told.swap(true, Ordering::Relaxed) {
                warn!("control socket: {SEATS} clients are connected, refusing others");
            }
            turn_away(stream, Code::Busy, format!("{SEATS} clients are connected, which is the limit"));
            return;
        };
        match gone {
            Some(gone) => {
                debug!("control socket: disconnected an idle client to make room for another");
                api.count_dropped_client();
                turn_away(
                    gone,
                    Code::Busy,
                    "disconnected: this client was idle for the longest time, and another one needed its place"
                        .to_owned(),
                );
            }
            None => told.store(false, Ordering::Relaxed),
        }
        let api = api.clone();
        let client = move || {
            if let Err(error) = converse(stream, &seat, &api, &Author::user(peer.user, role)) {
                api.count_dropped_client();
                debug!("control socket: disconnected a client: {error}");
            }
        };
        if let Err(error) = thread::Builder::new().name("lb-client".to_owned()).spawn(client) {
            warn!("control socket: cannot start a thread for a client: {error}");
        }
    }
}

/// Time between two looks for new clients: what a client waits at most.
const ACCEPT_EVERY: Duration = Duration::from_millis(5);

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Gone already: somebody else removed it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Tells a client why, and hangs up on it.
fn turn_away(mut stream: UnixStream, code: Code, why: String) {
    let refusal = Refusal::new(code, why);
    // A line fits the socket's buffer; whoever does not read it is none of our business.
    let _ = stream.set_nonblocking(true);
    let _ = stream.write_all(&framing::write_return(None, Outcome::Error(refusal)));
    hang_up(&stream);
}

/// Answers one client until it goes, the director ends or a limit is exceeded.
fn converse(stream: UnixStream, seat: &Seat, api: &Api, author: &Author) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(LOOK))?;
    stream.set_write_timeout(Some(WRITE_PATIENCE))?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(Patient { stream, api, since: None });
    loop {
        // The beginning of the next request may have come with the last.
        let begun = !reader.buffer().is_empty();
        reader.get_mut().since = begun.then(Instant::now);
        if !seat.set_busy(false) {
            return Ok(());
        }
        let line = match framing::read_line(&mut reader, framing::MAX_REQUEST) {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                // Where the next request begins is unknown.
                let refusal = Refusal::new(Code::BadRequest, error.to_string());
                writer.write_all(&framing::write_return(None, Outcome::Error(refusal)))?;
                return Err(error);
            }
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => return Ok(()),
            Err(error) => return Err(error),
        };
        if !seat.set_busy(true) {
            return Ok(());
        }
        let (id, outcome) = match framing::parse_call(&line) {
            Ok(call) => {
                let answer = api.answer(author, call.request);
                (call.id, answer.map_or_else(Outcome::Error, Outcome::Reply))
            }
            Err((id, refusal)) => (id, Outcome::Error(refusal)),
        };
        write_within(&mut writer, &framing::write_return(id, outcome), WRITE_PATIENCE)?;
    }
}

/// Writes all of it within a time, however little is taken at once.
fn write_within(writer: &mut UnixStream, mut bytes: &[u8], patience: Duration) -> io::Result<()> {
    let deadline = Instant::now() + patience;
    while !bytes.is_empty() {
        if Instant::now() >= deadline {
            return Err(io::Error::new(ErrorKind::TimedOut, "it did not read its answer in time"));
        }
        match writer.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(io::Error::new(ErrorKind::TimedOut, "it did not read its answer in time"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits for a request as long as it takes, for the rest of one for a bounded time, and not beyond the director's end.
struct Patient<'a> {
    stream: UnixStream,
    api: &'a Api,
    /// When the first byte of the request came.
    since: Option<Instant>,
}

impl io::Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.api.is_ending() {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            if self.since.is_some_and(|since| since.elapsed() > READ_PATIENCE) {
                return Err(io::Error::new(ErrorKind::TimedOut, "a request was not complete in time"));
            }
            match self.stream.read(buffer) {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                outcome => {
                    self.since.get_or_insert_with(Instant::now);
                    return outcome;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("lb-socket-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_socket_that_nobody_listens_at_is_replaced() {
        let path = place("stale");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the file of a listener stays");
        let socket = ControlSocket::bind(&path, &Control::default()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(matches!(ControlSocket::bind(&path, &Control::default()), Err(SocketError::InUse(_))));
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn other_files_are_left_alone() {
        let path = place("file");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(ControlSocket::bind(&path, &Control::default()), Err(SocketError::NoSocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(&path).unwrap();
        let control = Control { operators: Some("no-such-group".to_owned()), ..Control::default() };
        let error = ControlSocket::bind(&path, &control).err().unwrap();
        let error = error.to_string();
        assert!(
            error.contains("groupadd --system no-such-group") && error.contains("`operators`"),
            "{error}"
        );
    }
}
