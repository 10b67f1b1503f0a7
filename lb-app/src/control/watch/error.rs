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
    #[error("{MOST} {0} are running, which is the limit: stop one first")]
    TooMany(&'static str),
    #[error("unknown {what} {id}")]
    Unknown { what: &'static str, id: u32 },
    #[error("unknown port {0}")]
    NoPort(String),
    #[error(
        "captures are written to {directory} only, not to {file}: give a file name without a directory, such as \
         `a.pcapng`; `captures` in [control] sets the directory", directory = .directory.display(), file = .file.display()
    )]
    Elsewhere { file: PathBuf, directory: PathBuf },
    #[error("{file}: {error}", error = open_error(.error))]
    File { file: String, error: io::Error },
    #[error(transparent)]
    Silent(#[from] Silent),
}

fn open_error(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AlreadyExists => "the file exists, and captures do not overwrite files".to_owned(),
        _ => format!("cannot write there: {error}"),
    }
}
