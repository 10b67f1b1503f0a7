//! What keys do to the live view.

use crate::command::top::Sort;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// How the view is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) sort: Sort,
    pub(super) filter: String,
    /// The filter is being typed.
    pub(super) typing: bool,
    /// Lines of services that are above the screen.
    pub(super) scrolled: usize,
    /// Servers are shown, not services alone.
    pub(super) servers: bool,
}

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    GoOn,
    Quit,
}

impl State {
    pub(super) fn new(sort: Sort, filter: String) -> Self {
        State { sort, filter, typing: false, scrolled: 0, servers: true }
    }

    pub(super) fn press(&mut self, key: KeyEvent) -> Does {
        if key.modifiers.contains(KeyModifiers::CONTROL) && matches!(key.code, KeyCode::Char('c' | 'd')) {
            return Does::Quit;
        }
        if self.typing {
            match key.code {
                KeyCode::Enter => self.typing = false,
                KeyCode::Esc => (self.typing, self.filter) = (false, String::new()),
                KeyCode::Backspace => drop(self.filter.pop()),
                KeyCode::Char(c) => self.filter.push(c),
                _ => {}
            }
            return Does::GoOn;
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Does::Quit,
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('v') => self.servers = !self.servers,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Down | KeyCode::Char('j') => self.scrolled += 1,
            KeyCode::Up | KeyCode::Char('k') => self.scrolled = self.scrolled.saturating_sub(1),
            KeyCode::PageDown => self.scrolled += 10,
            KeyCode::PageUp => self.scrolled = self.scrolled.saturating_sub(10),
            KeyCode::Home => self.scrolled = 0,
            _ => {}
        }
        Does::GoOn
    }
}
