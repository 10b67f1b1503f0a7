//! `lb-app -i`: the shell on the terminal that the director was started from, and files of commands.

use super::api::{Api, Local};
use anyhow::Result;
use lb_ctl::{
    session::{Failure, Flow, Session},
    shell::{self, End},
};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// What the terminal was set to; restored when dropped, since the shell's thread may be in the middle of a line when
/// the director ends.
pub(crate) struct Terminal(Option<Termios>);

impl Terminal {
    /// As it is now.
    pub(crate) fn keep() -> Self {
        Terminal(tcgetattr(io::stdin()).ok())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(settings) = &self.0 {
            // It may be gone, and then there is nothing to restore.
            let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, settings);
        }
    }
}

/// Runs the commands of a file.
///
/// # Errors
/// That of the first command that fails.
pub(crate) fn run_file(api: &Arc<Api>, file: &Path, interrupt: &Arc<AtomicBool>) -> Result<Flow, Failure> {
    Session::new(Local(api.clone()), false, interrupt.clone()).load(file, false, &mut io::stdout())
}

/// Opens the shell on a thread of its own. When it ends, so does the director; `failed` is set if a command of a
/// script on standard input failed.
///
/// # Errors
/// When there is no thread for it.
pub(crate) fn open(
    api: Arc<Api>,
    interrupt: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    failed: Arc<AtomicBool>,
) -> io::Result<()> {
    let shell = move || {
        let session = Session::new(Local(api), false, interrupt);
        match shell::run(session, "lb> ", &mut io::stdout()) {
            End::Quit => {}
            End::Failed(failure) => {
                eprintln!("{failure}");
                failed.store(true, Ordering::Relaxed);
            }
            End::Lost(error) => eprintln!("{error}"),
        }
        stop.store(true, Ordering::Relaxed);
    };
    thread::Builder::new().name("lb-shell".to_owned()).spawn(shell).map(drop)
}
