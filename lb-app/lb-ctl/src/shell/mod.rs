//! The shell on a terminal: editing, completion with help, history.

use crate::{
    command::complete::{self, Candidate},
    failure::Failure,
    protocol::director::Names,
    session::{Flow, Session, history_file},
    transport::{CallError, Transport},
};
use rustyline::{
    CompletionType, Config, Context, Editor, Helper, completion::Completer, error::ReadlineError,
    highlight::Highlighter, hint::Hinter, history::FileHistory, validate::Validator,
};
use std::{
    cell::RefCell,
    fs,
    io::{IsTerminal, Write},
    rc::Rc,
    time::{Duration, Instant},
};

/// Lines of history that are kept.
const HISTORY: usize = 1_000;
/// How long names serve for completion.
const NAMES_SERVE: Duration = Duration::from_secs(1);

/// How a shell ended.
#[derive(Debug)]
pub enum End {
    /// `quit` or the end of input.
    Quit,
    /// A line of standard input failed, which was no terminal.
    Failed(Failure),
    /// The connection to the director was lost.
    Lost(CallError),
}

/// Runs a shell on standard input: with editing on a terminal, else line by line until one fails.
pub fn run<T: Transport>(session: Session<T>, prompt: &str, out: &mut dyn Write) -> End {
    if !std::io::stdin().is_terminal() {
        let mut session = session;
        return match session.script("<stdin>", std::io::stdin().lock(), false, out) {
            Ok(_) => End::Quit,
            Err(failure) => End::Failed(failure),
        };
    }
    match interact(session, prompt, out) {
        Ok(end) => end,
        Err(error) => End::Failed(Failure::Wrong(format!("cannot use the terminal: {error}"))),
    }
}

fn interact<T: Transport>(session: Session<T>, prompt: &str, out: &mut dyn Write) -> rustyline::Result<End> {
    let session = Rc::new(RefCell::new(session));
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .completion_show_all_if_ambiguous(true)
        .max_history_size(HISTORY)?
        .history_ignore_dups(true)?
        .auto_add_history(true)
        .build();
    let mut editor: Editor<Assistant<T>, FileHistory> = Editor::with_config(config)?;
    let asked = RefCell::new((Instant::now().checked_sub(NAMES_SERVE), Names::default()));
    editor.set_helper(Some(Assistant { session: session.clone(), names: asked }));
    let history = history_file();
    if let Some(file) = &history {
        // There is none the first time.
        let _ = editor.load_history(file);
    }
    let end = loop {
        match editor.readline(prompt) {
            Ok(line) => match session.borrow_mut().line(&line, out) {
                Ok(Flow::GoOn) => {}
                Ok(Flow::Quit) => break End::Quit,
                Err(Failure::Call(error @ CallError::Lost(_))) => break End::Lost(error),
                Err(Failure::Output(_)) => break End::Quit,
                Err(failure) => {
                    let _ = writeln!(out, "{failure}");
                }
            },
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break End::Quit,
            Err(error) => return Err(error),
        }
        let _ = out.flush();
    };
    if let Some(file) = &history {
        if let Some(directory) = file.parent() {
            let _ = fs::create_dir_all(directory);
        }
        if let Err(error) = editor.append_history(file) {
            let _ = writeln!(out, "cannot save the history to {}: {error}", file.display());
        }
    }
    Ok(end)
}

/// Completes words, with the names that the director has.
struct Assistant<T> {
    session: Rc<RefCell<Session<T>>>,
    names: RefCell<(Option<Instant>, Names)>,
}

impl<T: Transport> Assistant<T> {
    fn candidates(&self, line: &str) -> (usize, Vec<Candidate>) {
        let (asked, names) = &mut *self.names.borrow_mut();
        if asked.is_none_or(|asked| asked.elapsed() > NAMES_SERVE) {
            *names = self.session.borrow_mut().names();
            *asked = Some(Instant::now());
        }
        complete::complete(line, names)
    }
}

/// A candidate as it is listed and put in.
#[derive(Debug)]
pub struct Shown {
    listed: String,
    word: String,
}

impl rustyline::completion::Candidate for Shown {
    fn display(&self) -> &str {
        &self.listed
    }

    fn replacement(&self) -> &str {
        &self.word
    }
}

impl<T: Transport> Completer for Assistant<T> {
    type Candidate = Shown;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Shown>)> {
        let (start, candidates) = self.candidates(&line[..at]);
        let width = candidates.iter().map(|candidate| candidate.word.len()).max().unwrap_or(0);
        let show = |Candidate { word, help }| Shown {
            listed: format!("{word:<width$}  {help}"),
            word: format!("{word} "),
        };
        Ok((start, candidates.into_iter().map(show).collect()))
    }
}

impl<T: Transport> Helper for Assistant<T> {}
impl<T: Transport> Highlighter for Assistant<T> {}
impl<T: Transport> Validator for Assistant<T> {}

impl<T: Transport> Hinter for Assistant<T> {
    type Hint = String;

    /// The rest of the word when there is only one, what it does when it is whole.
    fn hint(&self, line: &str, at: usize, _: &Context<'_>) -> Option<String> {
        if at < line.len() || line.trim().is_empty() || line.ends_with(char::is_whitespace) {
            return None;
        }
        let (start, candidates) = self.candidates(line);
        let [only] = &candidates[..] else { return None };
        only.word.strip_prefix(&line[start..]).map(str::to_owned)
    }
}
