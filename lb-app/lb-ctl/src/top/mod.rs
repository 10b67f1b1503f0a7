//! `top`: services, servers, ports, workers, rates and drops, live.

mod data;
mod draw;
mod explain;
mod line;
mod rows;
mod state;
mod terminal;

#[cfg(test)]
mod tests;

use crate::{command::top::TopArgs, failure::Failure, transport::Transport};
use data::Picture;
use state::{Does, Mode, State};
use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use terminal::Terminal;

/// Columns of a frame that is printed into a file.
const PRINTED_COLUMNS: usize = 100;
/// Between the two looks at ports that a frame to be printed takes.
const ONCE: Duration = Duration::from_millis(500);
/// Between two looks at the terminal's size and at who wants the view to end.
const LOOK: Duration = Duration::from_millis(250);

/// Shows it until `q`, or prints one frame.
///
/// # Errors
/// See [`Failure`].
pub fn run<T: Transport + ?Sized>(
    transport: &mut T,
    args: &TopArgs,
    interrupt: &Arc<AtomicBool>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut state = State::new(args.sort, args.filter.clone());
    if args.once {
        let before = Picture::take(transport, None)?;
        thread::sleep(ONCE);
        let picture = Picture::take(transport, Some(&before))?;
        let columns = terminal::size().map_or(PRINTED_COLUMNS, |(columns, _)| columns);
        for line in draw::all(&picture, &mut state, columns) {
            writeln!(out, "{}", line.text())?;
        }
        return Ok(());
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let what = "the live view needs a terminal: `top once` prints one frame";
        return Err(Failure::Wrong(what.to_owned()));
    }
    let mut picture = Picture::take(transport, None)?;
    let mut terminal = Terminal::take()?;
    let interval = Duration::from_secs(args.interval);
    let mut due = Instant::now() + interval;
    loop {
        let (columns, rows) = terminal.size();
        terminal.show(&draw::screen(&picture, &mut state, columns, rows))?;
        let wait = if state.paused { LOOK } else { due.saturating_duration_since(Instant::now()).min(LOOK) };
        for key in terminal.keys(wait)? {
            match state.press(key, &picture) {
                Does::GoOn => {}
                Does::Quit => return Ok(()),
                Does::Change(change) => {
                    state.said = explain::change(transport, &change)?;
                    picture = Picture::take(transport, Some(&picture))?;
                }
                Does::Explain(subject, client) => {
                    state.mode = Mode::Read(explain::explain(transport, &subject, client)?, 0);
                }
            }
        }
        if interrupt.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        if Instant::now() >= due && !state.paused {
            picture = Picture::take(transport, Some(&picture))?;
            due = Instant::now() + interval;
        }
    }
}
