//! Why packets are not watched.

use crate::dataplane::ask::Silent;
use std::{io, path::PathBuf};
use thiserror::Error;

/// Traces and captures at one time, each.
pub(super) const MOST: usize = 16;

/// Why packets are not watched.
#[derive(Debug, Error)]
pub(crate) enum WatchError {
    #[error("{0}")]
    Filter(String),
    #[error("there are {MOST} {0} already: end one first")]
    TooMany(&'static str),
    #[error("no {what} has the number {id}")]
    Unknown { what: &'static str, id: u32 },
    #[error("unknown port {0}")]
    NoPort(String),
    #[error(
        "captures are written into {directory} only, and not to {file}: say a name alone, such as `a.pcapng`; `captures` in \
         [control] says which directory it is", directory = .directory.display(), file = .file.display()
    )]
    Elsewhere { file: PathBuf, directory: PathBuf },
    #[error("{file}: {error}", error = open_error(.error))]
    File { file: String, error: io::Error },
    #[error(transparent)]
    Silent(#[from] Silent),
}

fn open_error(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AlreadyExists => "there is such a file, and captures overwrite none".to_owned(),
        _ => format!("cannot write there: {error}"),
    }
}
