//! `top`: services, servers, workers, rates and drops, live.

mod data;
mod draw;
mod keys;

#[cfg(test)]
mod tests;

use crate::{command::top::TopArgs, failure::Failure, transport::Transport};
use data::Picture;
use keys::{Does, State};
use ratatui::{
    Terminal,
    backend::{CrosstermBackend, TestBackend},
    buffer::Buffer,
    crossterm::{
        event::{self, Event, KeyEventKind},
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};
use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Columns of a frame that is printed.
const PRINTED_COLUMNS: u16 = 100;
/// Most rows of one.
const MOST_ROWS: u16 = 1_000;

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
        let picture = Picture::take(transport)?;
        out.write_all(print(&picture, &mut state, PRINTED_COLUMNS).as_bytes())?;
        return Ok(());
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let what = "the live view needs a terminal: `top once` prints one frame";
        return Err(Failure::Wrong(what.to_owned()));
    }
    let mut picture = Picture::take(transport)?;
    let _screen = Screen::take()?;
    let mut terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
    let interval = Duration::from_secs(args.interval);
    let mut due = Instant::now() + interval;
    loop {
        terminal.draw(|frame| {
            let area = frame.area();
            draw::draw(frame.buffer_mut(), area, &picture, &mut state);
        })?;
        if event::poll(due.saturating_duration_since(Instant::now()))?
            && let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
            && state.press(key) == Does::Quit
        {
            return Ok(());
        }
        if interrupt.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        if Instant::now() >= due {
            picture = Picture::take(transport)?;
            due = Instant::now() + interval;
        }
    }
}

/// The terminal in the state that the view needs; as it was before when dropped.
struct Screen;

impl Screen {
    fn take() -> io::Result<Self> {
        enable_raw_mode()?;
        let screen = Screen;
        execute!(io::stdout(), EnterAlternateScreen)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Whatever can be put back is.
        let _ = execute!(io::stdout(), LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

/// One frame as text, as high as it takes.
fn print(picture: &Picture, state: &mut State, columns: u16) -> String {
    let rows = draw::rows(picture, state).min(MOST_ROWS);
    let Ok(mut terminal) = Terminal::new(TestBackend::new(columns, rows));
    let Ok(_) = terminal.draw(|frame| {
        let area = frame.area();
        draw::draw(frame.buffer_mut(), area, picture, state);
    });
    lines(terminal.backend().buffer())
}

fn lines(buffer: &Buffer) -> String {
    let mut text = String::new();
    for row in buffer.content().chunks(usize::from(buffer.area.width.max(1))) {
        let line: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
