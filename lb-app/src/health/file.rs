//! A file as a check: somebody else writes what is to be thought of a server.

use super::{advice::Told, target::plain};
use crate::config::health::File;
use std::{
    fs,
    io::{self, Read},
};
use tokio::task::spawn_blocking;

/// Most bytes that are read.
const MOST: u64 = 1 << 10;

/// Reads it. One that is not there is one that holds 0, as in keepalived: whoever is to write it may not have begun.
///
/// # Errors
/// Why it cannot be read, or what in it means nothing.
pub(super) async fn ask(file: &File) -> Result<Told, String> {
    let path = file.path.clone();
    // A file system may be far away.
    let read = spawn_blocking(move || {
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(MOST).read_to_end(&mut bytes).map(|_| bytes)
    });
    let path = file.path.display();
    let bytes = match read.await.map_err(|_| format!("{path}: checks are ending"))? {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(format!("{path}: {}", plain(&error))),
    };
    Told::read_file(&String::from_utf8_lossy(&bytes), file).map_err(|reason| format!("{path}: {reason}"))
}
