//! `lb-app -i`: the shell on the terminal that the director was started from, and files of commands.

use crate::control::api::{Api, Local};
use lb_ctl::{
    session::{Flow, Session},
    shell::{self, End},
};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use std::{
    io,
    path::PathBuf,
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
            // The terminal may be closed; then there is nothing to restore.
            let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, settings);
        }
    }
}

/// Commands to run while serving.
pub(crate) struct Script {
    /// Commands to begin with.
    pub(crate) file: Option<PathBuf>,
    /// A shell after that.
    pub(crate) interactive: bool,
}

/// What a shell shares with others: Ctrl-C was typed, the director is to end, a command of a file failed.
pub(crate) type Flags = (Arc<AtomicBool>, Arc<AtomicBool>, Arc<AtomicBool>);

/// Runs the script on its own thread, if there is anything to run. A file that fails ends the director, as does the end
/// of the shell.
///
/// # Errors
/// When a thread cannot be started.
pub(crate) fn open(api: Arc<Api>, script: Script, (interrupt, stop, failed): Flags) -> io::Result<()> {
    if script.file.is_none() && !script.interactive {
        return Ok(());
    }
    let shell = move || {
        let mut session = Session::new(Local::new(api.clone()), false, interrupt);
        let mut out = io::stdout();
        let outcome = script.file.map_or(Ok(Flow::GoOn), |file| session.load(&file, false, &mut out));
        if matches!(outcome, Ok(Flow::GoOn)) {
            api.begin();
        }
        drop(api);
        let end = match outcome {
            Ok(Flow::GoOn) if script.interactive => shell::run(session, "lb> ", &mut out),
            Ok(Flow::GoOn) => return,
            Ok(Flow::Quit) => End::Quit,
            Err(failure) => End::Failed(failure),
        };
        match end {
            End::Quit => {}
            End::Lost(error) => eprintln!("{error}"),
            End::Failed(failure) => {
                eprintln!("{failure}");
                failed.store(true, Ordering::Relaxed);
            }
        }
        stop.store(true, Ordering::Relaxed);
    };
    thread::Builder::new().name("lb-shell".to_owned()).spawn(shell).map(drop)
}
