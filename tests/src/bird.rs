//! BIRD, the routing daemon: one beside a director, one on a router.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::netns::Namespace;
use crate::process::{Background, PATIENCE, eventually, run};

/// BIRD in a namespace, until it is dropped.
#[derive(Debug)]
pub struct Bird {
    _process: Background,
    /// Where `birdc` asks it.
    pub socket: PathBuf,
}

impl Bird {
    /// Starts it with this configuration, and waits until it answers. Its files are in `directory`, named `name`.
    pub fn start(namespace: &Namespace, directory: &Path, name: &str, configuration: &str) -> Result<Self> {
        let at = |extension: &str| directory.join(format!("{name}.{extension}"));
        fs::write(at("conf"), configuration)?;
        let socket = at("ctl");
        let mut command = namespace.command("bird");
        command.arg("-f").arg("-c").arg(at("conf")).arg("-s").arg(&socket).arg("-P").arg(at("pid"));
        let process = namespace.spawn(&mut command, &at("log"))?;
        let bird = Self { _process: process, socket };
        let answers = eventually(PATIENCE, || Ok(bird.ask("show status").is_ok()))?;
        ensure!(answers, "BIRD does not answer: {}", fs::read_to_string(at("log"))?);
        Ok(bird)
    }

    /// What it answers to a question of `birdc`'s.
    pub fn ask(&self, question: &str) -> Result<String> {
        run(Command::new("birdc").arg("-s").arg(&self.socket).args(question.split(' ')))
    }
}
