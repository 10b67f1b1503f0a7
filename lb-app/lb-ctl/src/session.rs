//! One command after the other: from a command line, a file or a terminal.

use crate::{
    command::{self, Command, ShellLine, Step, complete, help},
    failure::Failure,
    follow, ipvsadm,
    protocol::{
        Outcome, Reply, Request, Return, VERSION, connections, director, events, health, services, trace,
    },
    render::{self, Renderer, View},
    stream, top,
    transport::{CallError, Transport},
};
use clap::CommandFactory;
use std::{
    fs, io,
    io::{BufRead, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Files that load one another, at most.
const DEEPEST_LOAD: usize = 8;

/// Whether the session continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It continues.
    GoOn,
    /// `quit`.
    Quit,
}

/// Commands on their way to a director and answers on their way to a reader.
pub struct Session<T> {
    transport: T,
    renderer: Renderer,
    json: bool,
    interrupt: Arc<AtomicBool>,
    loads: usize,
}

impl<T: Transport> Session<T> {
    /// A session. With `json`, answers are shown as they came. `interrupt` ends a listing.
    pub fn new(transport: T, json: bool, interrupt: Arc<AtomicBool>) -> Self {
        Session { transport, renderer: Renderer::default(), json, interrupt, loads: 0 }
    }

    /// Runs a line of text. One that ends with `?` lists what can follow.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn line(&mut self, line: &str, out: &mut dyn Write) -> Result<Flow, Failure> {
        if let Some(begun) = command::asked(line) {
            self.list_next(begun, out)?;
            return Ok(Flow::GoOn);
        }
        match command::parse(line)? {
            Some(command) => self.run(command, out),
            None => Ok(Flow::GoOn),
        }
    }

    /// Runs a command.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn run(&mut self, command: Command, out: &mut dyn Write) -> Result<Flow, Failure> {
        match command.step() {
            Step::Ask(request, view) => self.ask(request, view, out)?,
            Step::Load(file, keep_going) => return self.load(&file, keep_going, out),
            Step::Watch(latest) => {
                follow::run(&mut self.transport, latest, self.json, &self.interrupt, out)?;
            }
            Step::Top(args) => top::run(&mut self.transport, &args, &self.interrupt, out)?,
            Step::Stream(request) => stream::run(&mut self.transport, request, &self.interrupt, out)?,
            Step::Help(topic) => out.write_all(help::help(&topic).map_err(Failure::Wrong)?.as_bytes())?,
            Step::Quit => return Ok(Flow::Quit),
        }
        Ok(Flow::GoOn)
    }

    /// Does what ipvsadm would do with these arguments; `-R` reads rules from `input`.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn ipvsadm(
        &mut self,
        words: &[String],
        input: &mut dyn BufRead,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        ipvsadm::run::run(&mut self.transport, words, self.json, input, out)
    }

    /// Runs the commands of a file. It stops at the first that fails, unless `keep_going`.
    ///
    /// # Errors
    /// See [`Failure`]; of several failures, the last.
    pub fn load(&mut self, file: &Path, keep_going: bool, out: &mut dyn Write) -> Result<Flow, Failure> {
        if self.loads == DEEPEST_LOAD {
            return Err(Failure::Wrong(format!(
                "{}: files that load one another are nested too deeply",
                file.display()
            )));
        }
        let text = fs::read(file).map_err(|error| Failure::Wrong(format!("{}: {error}", file.display())))?;
        self.loads += 1;
        let flow = self.script(&file.display().to_string(), &text[..], keep_going, out);
        self.loads -= 1;
        flow
    }

    /// The same for any source of lines, which is called `name` in messages.
    ///
    /// # Errors
    /// See [`Session::load`].
    pub fn script(
        &mut self,
        name: &str,
        lines: impl BufRead,
        keep_going: bool,
        out: &mut dyn Write,
    ) -> Result<Flow, Failure> {
        let mut last = None;
        for (line, text) in (1..).zip(lines.split(b'\n')) {
            let at = |failure| Failure::InFile { file: name.to_owned(), line, failure: Box::new(failure) };
            let text = text.map_err(|error| at(Failure::Wrong(error.to_string())))?;
            let text =
                String::from_utf8(text).map_err(|_| at(Failure::Wrong("not UTF-8 text".to_owned())))?;
            match self.line(&text, out) {
                Ok(Flow::GoOn) => {}
                Ok(Flow::Quit) => return Ok(Flow::Quit),
                Err(failure) if failure.is_only_help() => write!(out, "{failure}")?,
                Err(
                    failure @ (Failure::Interrupted | Failure::Output(_) | Failure::Call(CallError::Lost(_))),
                ) => {
                    return Err(at(failure));
                }
                Err(failure) if keep_going => {
                    let failure = at(failure);
                    writeln!(out, "{failure}")?;
                    last = Some(failure);
                }
                Err(failure) => return Err(at(failure)),
            }
        }
        last.map_or(Ok(Flow::GoOn), Err)
    }

    /// Lists what can follow the beginning of a line.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn list_next(&mut self, begun: &str, out: &mut dyn Write) -> Result<(), Failure> {
        let names = self.names();
        Ok(out.write_all(complete::listing(&ShellLine::command(), begun, &names).as_bytes())?)
    }

    /// What a shell says at its beginning: to whom one talks, in which state that is, and where to go from here.
    ///
    /// # Errors
    /// When the director does not answer.
    pub fn greeting(&mut self) -> Result<String, CallError> {
        let Reply::About(about) = self.transport.call(Request::Director(director::Request::About))? else {
            return Ok(String::new());
        };
        let names = self.names();
        Ok(render::greeting(&about, &names))
    }

    /// Names for completion; none when the director did not respond in time.
    pub fn names(&mut self) -> director::Names {
        match self.transport.call(Request::Director(director::Request::Names)) {
            Ok(Reply::Names(names)) => names,
            _ => director::Names::default(),
        }
    }

    /// Asks, and for the next page as long as there is one.
    fn ask(&mut self, mut request: Request, view: View, out: &mut dyn Write) -> Result<(), Failure> {
        self.interrupt.store(false, Ordering::Relaxed);
        self.renderer.begin();
        let mut left = match view {
            View::Limit(limit) => limit,
            _ => u64::MAX,
        };
        loop {
            let reply = self.transport.call(request.clone())?;
            let next = next_page(&mut request, &reply, &mut left);
            if self.json {
                let answer = Return { version: VERSION, id: None, outcome: Outcome::Reply(reply) };
                serde_json::to_writer(&mut *out, &answer).map_err(io::Error::from)?;
                out.write_all(b"\n")?;
            } else {
                out.write_all(self.renderer.page(&reply, view, !next).as_bytes())?;
            }
            out.flush()?;
            if !next {
                return Ok(());
            }
            if self.interrupt.swap(false, Ordering::Relaxed) {
                return Err(Failure::Interrupted);
            }
        }
    }
}

/// Makes the request that asks for the page after `reply`, if there is one and `left` more connections are wanted.
fn next_page(request: &mut Request, reply: &Reply, left: &mut u64) -> bool {
    match (request, reply) {
        (
            Request::Connections(connections::Request::List { cursor, limit, .. }),
            Reply::Connections(page),
        ) => {
            *left = left.saturating_sub(page.connections.len() as u64);
            *cursor = page.next;
            if *left < u64::MAX / 2 {
                *limit = Some(u32::try_from(*left).unwrap_or(u32::MAX).min(connections::PAGE));
            }
            cursor.is_some() && *left > 0
        }
        (Request::Connections(connections::Request::Flush { cursor, .. }), Reply::Flushed(page)) => {
            *cursor = page.next;
            cursor.is_some()
        }
        (Request::Services(services::Request::List { cursor, .. }), Reply::Services(page)) => {
            *cursor = page.next;
            cursor.is_some()
        }
        (Request::Health(health::Request::List { cursor, .. }), Reply::Health(page)) => {
            *cursor = page.next;
            cursor.is_some()
        }
        (Request::Events(events::Request::List { after, run, latest }), Reply::Events(page)) => {
            (*after, *run) = (Some(page.after), Some(page.run));
            // Not those that happen meanwhile.
            *latest = latest.map(|latest| latest.saturating_sub(page.events.len() as u32));
            page.more && *latest != Some(0)
        }
        (Request::Trace(request), Reply::Stories(page)) => {
            *request = trace::Request::Read { id: page.id };
            !page.over
        }
        _ => false,
    }
}

/// Where the shell's history is: `$XDG_STATE_HOME/lb/history`, by default `~/.local/state/lb/history`.
#[must_use]
pub fn history_file() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("lb/history"))
}
