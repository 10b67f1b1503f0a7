//! A program on a terminal, as somebody at a keyboard has it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process::PATIENCE;

/// Pieces of output that wait for somebody to look. Then the program waits, too.
const AHEAD: usize = 4;
/// How long nothing new appears on a screen that is at rest.
const REST: Duration = Duration::from_millis(300);

/// A program on a terminal of 120 columns and 50 rows.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keys: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    /// Starts a program on a terminal of its own.
    pub fn start(mut command: Command) -> Result<Self> {
        let size = Winsize { ws_row: 50, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None)?;
        let end = |fd: &OwnedFd| -> Result<Stdio> { Ok(Stdio::from(fd.try_clone()?)) };
        command
            .stdin(end(&pty.slave)?)
            .stdout(end(&pty.slave)?)
            .stderr(end(&pty.slave)?)
            .env("TERM", "xterm");
        let child = command.spawn()?;
        drop((command, pty.slave));
        let keys = File::from(pty.master);
        let mut output = keys.try_clone()?;
        let (send, screen) = sync_channel(AHEAD);
        thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                if send.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, keys, screen, seen: String::new() })
    }

    /// What has appeared since the last key.
    #[must_use]
    pub fn seen(&self) -> &str {
        &self.seen
    }

    /// Types once the screen is at rest, so that what is seen afterwards is of these keys.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        while self.screen.recv_timeout(REST).is_ok() {}
        self.seen.clear();
        Ok(self.keys.write_all(keys.as_bytes())?)
    }

    /// Waits until all these words have appeared since the last key.
    pub fn shows(&mut self, words: &[&str]) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !words.iter().all(|word| self.seen.contains(word)) {
            match self.screen.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => bail!("{words:?} did not appear in {:?}", self.seen),
            }
        }
        Ok(())
    }

    /// Ctrl-C, while the program and not the editor of its lines has the terminal.
    pub fn interrupt(&self) -> Result<()> {
        Ok(kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGINT)?)
    }

    /// How it ended, which it does soon.
    pub fn ends(&mut self) -> Result<Option<i32>> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("it does not end; it showed {:?}", self.seen)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
