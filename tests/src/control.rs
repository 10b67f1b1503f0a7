//! `lbctl` and the control socket of a running director.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Result, ensure};

use crate::director::{Director, program};

/// `lbctl`, which was built beside `lb-app`.
pub fn lbctl() -> Result<PathBuf> {
    beside("lbctl")
}

/// A program that was built beside `lb-app`.
pub fn beside(name: &str) -> Result<PathBuf> {
    let path = program()?.with_file_name(name);
    ensure!(path.is_file(), "no {}: build it", path.display());
    Ok(path)
}

/// A director's control socket.
#[derive(Debug)]
pub struct Control {
    socket: PathBuf,
}

impl Control {
    /// That of a running director.
    pub fn of(director: &Director) -> Result<Self> {
        Ok(Self { socket: director.control_socket()? })
    }

    /// One that the configuration put there.
    #[must_use]
    pub fn at(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// Where it is.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// `lbctl` with these arguments, ready to be started.
    pub fn command(&self, arguments: &str) -> Result<Command> {
        let mut command = Command::new("timeout");
        command.arg("60").arg(lbctl()?).arg("--socket").arg(&self.socket).args(arguments.split_whitespace());
        Ok(command)
    }

    /// What `lbctl` makes of these arguments.
    pub fn output(&self, arguments: &str) -> Result<Output> {
        Ok(self.command(arguments)?.output()?)
    }

    /// The same when it must succeed: what it prints.
    pub fn ask(&self, arguments: &str) -> Result<String> {
        let output = self.output(arguments)?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "lbctl {arguments}: {}: {errors}", output.status);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The same when it must fail: with which status, and what it says.
    pub fn refused(&self, arguments: &str) -> Result<(Option<i32>, String)> {
        let output = self.output(arguments)?;
        ensure!(!output.status.success(), "lbctl {arguments} was not refused");
        Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}
