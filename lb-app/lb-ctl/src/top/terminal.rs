//! The terminal of the live view: raw, on its second screen, and put back at the end.
//!
//! Lines that have not changed are not painted again, so that a slow line shows no flicker. Keys are read as bytes, of
//! which a terminal sends a few at once for arrows and the like.

use super::line::Line;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr},
    unistd::read,
};
use std::{
    env,
    fmt::Write as _,
    io::{self, Write},
    os::fd::AsFd,
    time::Duration,
};
use terminal_size::{Height, Width, terminal_size};

/// What a terminal has that does not say.
const USUAL: (usize, usize) = (80, 24);

/// A key that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Enter,
    Esc,
    Backspace,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    /// Ctrl-C or Ctrl-D.
    Leave,
}

/// The terminal in the state that the view needs; as it was before when dropped.
pub(super) struct Terminal {
    before: Termios,
    colour: bool,
    size: (usize, usize),
    shown: Vec<String>,
}

impl Terminal {
    pub(super) fn take() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &raw)?;
        let terminal = Terminal { before, colour: has_colour(), size: (0, 0), shown: Vec::new() };
        put("\x1b[?1049h\x1b[?25l")?;
        Ok(terminal)
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> (usize, usize) {
        size().unwrap_or(USUAL)
    }

    /// Shows these lines, and nothing else.
    pub(super) fn show(&mut self, lines: &[Line]) -> io::Result<()> {
        let (columns, rows) = self.size();
        let mut text = String::new();
        if self.size != (columns, rows) {
            text.push_str("\x1b[2J");
            self.size = (columns, rows);
            self.shown.clear();
        }
        self.shown.resize(rows, String::new());
        let blank = Line::default();
        let lines = lines.iter().chain(std::iter::repeat(&blank));
        for ((row, shown), line) in (1..).zip(&mut self.shown).zip(lines) {
            let painted = line.painted(columns, self.colour);
            if *shown != painted {
                let _ = write!(text, "\x1b[{row};1H{painted}\x1b[K");
                *shown = painted;
            }
        }
        put(&text)
    }

    /// The keys that are pressed within that time.
    pub(super) fn keys(&self, wait: Duration) -> io::Result<Vec<Key>> {
        let stdin = io::stdin();
        let mut ready = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        let wait = PollTimeout::try_from(wait).unwrap_or(PollTimeout::ZERO);
        match poll(&mut ready, wait) {
            Ok(1..) => {}
            // A signal: whoever sent it has set a flag.
            Ok(_) | Err(nix::Error::EINTR) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
        let mut bytes = [0; 256];
        match read(stdin.as_fd(), &mut bytes)? {
            // The terminal is gone.
            0 => Ok(vec![Key::Leave]),
            count => Ok(decoded(&bytes[..count])),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Whatever can be put back is.
        let _ = put("\x1b[?25h\x1b[?1049l");
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.before);
    }
}

/// Columns and rows of the terminal that output goes to, if it is one.
pub(super) fn size() -> Option<(usize, usize)> {
    let (Width(columns), Height(rows)) = terminal_size()?;
    Some((columns.into(), rows.into()))
}

fn put(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Whether there is colour, and the operator wants it (no-color.org).
fn has_colour() -> bool {
    let terminal = env::var("TERM").unwrap_or_default();
    let is_monochrome = ["dumb", "vt100", "vt102", "vt220"].contains(&terminal.as_str())
        || terminal.ends_with("-m")
        || terminal.ends_with("-mono");
    !is_monochrome && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Keys out of what a terminal sends for them.
fn decoded(bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    let text = String::from_utf8_lossy(bytes);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let key = match c {
            '\x1b' => match sequence(rest.as_str()) {
                Some((key, length)) => {
                    rest = rest.as_str()[length..].chars();
                    let Some(key) = key else { continue };
                    key
                }
                None => Key::Esc,
            },
            '\r' | '\n' => Key::Enter,
            '\x08' | '\x7f' => Key::Backspace,
            '\x03' | '\x04' => Key::Leave,
            c if c.is_control() => continue,
            c => Key::Char(c),
        };
        keys.push(key);
    }
    keys
}

/// What follows an escape if it is a sequence: its key, if we know it, and its length.
fn sequence(text: &str) -> Option<(Option<Key>, usize)> {
    let body = text.strip_prefix(['[', 'O'])?;
    let end = body.find(|c: char| ('\x40'..='\x7e').contains(&c))?;
    let key = match &body[..=end] {
        "A" => Some(Key::Up),
        "B" => Some(Key::Down),
        "5~" => Some(Key::PageUp),
        "6~" => Some(Key::PageDown),
        "H" | "1~" | "7~" => Some(Key::Home),
        "F" | "4~" | "8~" => Some(Key::End),
        _ => None,
    };
    Some((key, 1 + end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart() {
        assert_eq!(decoded(b"q\x1b[A\x1b[B\x1bOA"), [Key::Char('q'), Key::Up, Key::Down, Key::Up]);
        assert_eq!(
            decoded(b"\x1b[5~\x1b[6~\x1b[1~\x1b[F"),
            [Key::PageUp, Key::PageDown, Key::Home, Key::End]
        );
        assert_eq!(decoded(b"\x1b"), [Key::Esc]);
        assert_eq!(decoded(b"\x1b[1;5Cx"), [Key::Char('x')], "a key that is none of ours");
        assert_eq!(
            decoded("é\r\x7f\x03".as_bytes()),
            [Key::Char('é'), Key::Enter, Key::Backspace, Key::Leave]
        );
        assert_eq!(decoded(b"\x1b[\xff\x00"), [Key::Esc, Key::Char('['), Key::Char('\u{fffd}')]);
    }
}
