//! Why a command did not do what it should.

use crate::{mistake::sentence, transport::CallError};
use std::io;
use thiserror::Error;

/// Why a command failed.
#[derive(Debug, Error)]
pub enum Failure {
    /// It is not a command, or help was requested.
    #[error("{}", sentence(.0))]
    Usage(#[from] clap::Error),
    /// It is invalid.
    #[error("{0}")]
    Wrong(String),
    /// The director refused, or could not be reached.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The output could not be written.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
    /// A command in a file failed.
    #[error("{file}:{line}: {failure}")]
    InFile {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What went wrong.
        failure: Box<Failure>,
    },
}

impl Failure {
    /// The exit status of a program that ends with this; `docs/control.md` lists them.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Failure::Usage(error) if !error.use_stderr() => 0,
            Failure::Usage(_) | Failure::Wrong(_) => 2,
            Failure::Call(CallError::Refused(_)) => 1,
            Failure::Call(CallError::Lost(_)) => 3,
            Failure::Output(_) => 4,
            Failure::Interrupted => 130,
            Failure::InFile { failure, .. } => failure.exit_status(),
        }
    }

    /// Whether it is help that was asked for.
    pub(crate) fn is_only_help(&self) -> bool {
        matches!(self, Failure::Usage(error) if !error.use_stderr())
    }
}
