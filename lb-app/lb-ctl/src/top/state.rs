//! How the live view is set, and what keys do to it.

use super::{
    data::Picture,
    rows::{Row, Subject, Wanted, rows},
    terminal::Key,
};
use crate::{command::top::Sort, protocol::services::Server};
use std::net::SocketAddr;

/// Lines that a page has, for scrolling.
const PAGE: usize = 10;

/// How the view is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) wanted: Wanted,
    /// The picture stays.
    pub(super) paused: bool,
    /// The line that was chosen.
    pub(super) chosen: Option<Subject>,
    /// Lines of services that are above the screen.
    pub(super) scrolled: usize,
    pub(super) mode: Mode,
    /// What came of the last command.
    pub(super) said: String,
}

/// What keys are for now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// Looking.
    #[default]
    Look,
    /// The filter is being typed.
    Filter,
    /// Help is shown.
    Help,
    /// A change waits for `y`.
    Confirm(Change),
    /// The client whose packet is to be explained is being typed.
    Client(Subject, String),
    /// Text is shown, from that line on.
    Read(Vec<String>, usize),
}

/// A change of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) subject: Subject,
    /// `drain` or `enabled`.
    pub(super) state: &'static str,
}

/// What a key asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Does {
    GoOn,
    Quit,
    /// Carry out a change.
    Change(Change),
    /// Explain what is chosen, and a packet of this client to it.
    Explain(Subject, Option<SocketAddr>),
}

impl State {
    pub(super) fn new(sort: Sort, filter: String) -> Self {
        State { wanted: Wanted { sort, filter, servers: true }, ..State::default() }
    }

    pub(super) fn press(&mut self, key: Key, picture: &Picture) -> Does {
        if key == Key::Leave {
            return Does::Quit;
        }
        match std::mem::take(&mut self.mode) {
            Mode::Look => return self.look(key, picture),
            Mode::Filter => self.mode = self.filter(key),
            Mode::Help => {}
            Mode::Confirm(change) if key == Key::Char('y') => return Does::Change(change),
            Mode::Confirm(_) => "nothing was changed".clone_into(&mut self.said),
            Mode::Client(subject, mut text) => match key {
                Key::Enter if text.is_empty() => return Does::Explain(subject, None),
                Key::Enter => match text.parse() {
                    Ok(client) => return Does::Explain(subject, Some(client)),
                    Err(_) => {
                        "expected an address and a port, such as 203.0.113.10:40000"
                            .clone_into(&mut self.said);
                        self.mode = Mode::Client(subject, text);
                    }
                },
                Key::Esc => {}
                key => {
                    edit(&mut text, key);
                    self.mode = Mode::Client(subject, text);
                }
            },
            Mode::Read(lines, from) => {
                let last = lines.len().saturating_sub(1);
                let from = match key {
                    Key::Down | Key::Char('j') => from + 1,
                    Key::Up | Key::Char('k') => from.saturating_sub(1),
                    Key::PageDown => from + PAGE,
                    Key::PageUp => from.saturating_sub(PAGE),
                    _ => return Does::GoOn,
                };
                self.mode = Mode::Read(lines, from.min(last));
            }
        }
        Does::GoOn
    }

    fn look(&mut self, key: Key, picture: &Picture) -> Does {
        self.said.clear();
        match key {
            Key::Char('q') | Key::Esc => return Does::Quit,
            Key::Char('?' | 'h') => self.mode = Mode::Help,
            Key::Char('s') => self.wanted.sort = self.wanted.sort.next(),
            Key::Char('v') => self.wanted.servers = !self.wanted.servers,
            Key::Char('p' | ' ') => self.paused = !self.paused,
            Key::Char('/') => self.mode = Mode::Filter,
            Key::Char('d') => self.ask("drain", picture),
            Key::Char('u') => self.ask("enabled", picture),
            Key::Char('e') | Key::Enter => match &self.chosen {
                Some(subject) => self.mode = Mode::Client(subject.clone(), String::new()),
                None => "choose a line first: arrows".clone_into(&mut self.said),
            },
            Key::Down | Key::Char('j') => self.step(picture, 1),
            Key::Up | Key::Char('k') => self.step(picture, -1),
            Key::PageDown => self.step(picture, PAGE.cast_signed()),
            Key::PageUp => self.step(picture, -PAGE.cast_signed()),
            Key::Home => self.step(picture, isize::MIN),
            Key::End => self.step(picture, isize::MAX),
            _ => {}
        }
        Does::GoOn
    }

    fn filter(&mut self, key: Key) -> Mode {
        match key {
            Key::Enter => return Mode::Look,
            Key::Esc => {
                self.wanted.filter.clear();
                return Mode::Look;
            }
            key => edit(&mut self.wanted.filter, key),
        }
        Mode::Filter
    }

    /// Asks whether a server is to be changed.
    fn ask(&mut self, state: &'static str, picture: &Picture) {
        let chosen = self.chosen.clone().filter(|subject| subject.server.is_some());
        let Some(subject) = chosen else {
            "choose a server first: arrows".clone_into(&mut self.said);
            return;
        };
        let rows = rows(picture, &self.wanted);
        let now = rows
            .iter()
            .find(|row| row.is(&subject))
            .and_then(|row| row.server)
            .map(|it: &Server| it.state.as_str());
        if now == Some(state) {
            let word = if state == "drain" { "drained" } else { state };
            self.said = format!("it is {word} already");
            return;
        }
        self.mode = Mode::Confirm(Change { subject, state });
    }

    /// Chooses a line so many further down.
    fn step(&mut self, picture: &Picture, by: isize) {
        let rows = rows(picture, &self.wanted);
        let at = self.chosen.as_ref().and_then(|subject| rows.iter().position(|row| row.is(subject)));
        let last = rows.len().saturating_sub(1);
        let to = match at {
            Some(at) => at.saturating_add_signed(by).min(last),
            // The first step chooses a line that is seen.
            None => self.scrolled.min(last),
        };
        self.chosen = rows.get(to).map(Row::subject);
    }
}

fn edit(text: &mut String, key: Key) {
    match key {
        Key::Backspace => drop(text.pop()),
        Key::Char(c) => text.push(c),
        _ => {}
    }
}
