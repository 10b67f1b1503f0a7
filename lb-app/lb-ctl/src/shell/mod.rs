//! The shell on a terminal: editing, completion with help, history, `?`.

mod question;

use crate::{
    command::{
        ShellLine,
        complete::{self, Candidate, Next},
    },
    failure::Failure,
    protocol::director::Names,
    session::{Flow, Session, history_file},
    transport::{CallError, Transport},
};
use clap::CommandFactory;
use question::Question;
use rustyline::{
    CompletionType, Config, Context, Editor, Helper,
    completion::{Completer, FilenameCompleter},
    error::ReadlineError,
    highlight::Highlighter,
    hint::Hinter,
    history::FileHistory,
    validate::Validator,
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
        .build();
    let mut editor: Editor<Assistant<T>, FileHistory> = Editor::with_config(config)?;
    let names = RefCell::new((None, Names::default()));
    editor.set_helper(Some(Assistant { session: session.clone(), names, files: FilenameCompleter::new() }));
    let question = Question::bind(&mut editor);
    let history = history_file();
    if let Some(file) = &history {
        // There is none the first time.
        let _ = editor.load_history(file);
    }
    match session.borrow_mut().greeting() {
        Ok(greeting) => {
            let _ = out.write_all(greeting.as_bytes());
        }
        Err(error) => return Ok(End::Lost(error)),
    }
    // What is left of a line on which something was asked.
    let mut begun = (String::new(), String::new());
    let end = loop {
        let _ = out.flush();
        let line = editor.readline_with_initial(prompt, (&begun.0, &begun.1));
        begun = (String::new(), String::new());
        match line {
            Ok(line) => {
                if let Some(at) = question.take() {
                    let (left, right) = line.split_at(at.min(line.len()));
                    if session.borrow_mut().list_next(left, out).is_err() {
                        break End::Quit;
                    }
                    begun = (left.to_owned(), right.to_owned());
                    continue;
                }
                editor.add_history_entry(&line)?;
                match session.borrow_mut().line(&line, out) {
                    Ok(Flow::GoOn) => {}
                    Ok(Flow::Quit) => break End::Quit,
                    Err(Failure::Call(error @ CallError::Lost(_))) => break End::Lost(error),
                    Err(Failure::Output(_)) => break End::Quit,
                    Err(failure) => {
                        let _ = writeln!(out, "{failure}");
                    }
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break End::Quit,
            Err(error) => return Err(error),
        }
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
    files: FilenameCompleter,
}

impl<T: Transport> Assistant<T> {
    fn next(&self, line: &str) -> Next {
        let (asked, names) = &mut *self.names.borrow_mut();
        if asked.is_none_or(|asked| asked.elapsed() > NAMES_SERVE) {
            *names = self.session.borrow_mut().names();
            *asked = Some(Instant::now());
        }
        complete::complete(&ShellLine::command(), line, names)
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
        let Next { start, candidates, files, .. } = self.next(&line[..at]);
        if files {
            let (start, files) = self.files.complete_path(line, at)?;
            let show =
                |file: rustyline::completion::Pair| Shown { listed: file.display, word: file.replacement };
            return Ok((start, files.into_iter().map(show).collect()));
        }
        let width = candidates.iter().map(|candidate| candidate.word.len()).max().unwrap_or(0);
        let show = |Candidate { word, help }| Shown {
            listed: format!("{word:<width$}  {help}").trim_end().to_owned(),
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
        let Next { start, candidates, .. } = self.next(line);
        let [only] = &candidates[..] else { return None };
        only.word.strip_prefix(&line[start..]).map(str::to_owned)
    }
}
