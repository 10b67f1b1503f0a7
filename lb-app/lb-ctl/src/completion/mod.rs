//! Completion in other shells: bash, zsh and fish ask `lbctl __complete LINE`, and show what it answers.
//!
//! The answer is a line for each candidate, `WORD<tab>HELP`, and `:files` where the name of a file belongs. Whatever is
//! wrong (no director, one that does not answer, a line that is no command), it comes soon and without a word of
//! complaint: then the director's names are missing from it, and nothing else.

use crate::{
    DEFAULT_SOCKET,
    command::complete::{self, Candidate, Next},
    command::words::split,
    protocol::{
        Reply, Request,
        director::{self, Names},
    },
    transport::{Socket, Transport, sockets},
};
use clap::{Command, ValueEnum};
use std::{
    env,
    fmt::Write,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

/// How long the director has to answer. Somebody waits with a finger on a key.
const PATIENCE: Duration = Duration::from_millis(500);

/// A shell that there is a script for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

impl Shell {
    /// What the shell is to read.
    #[must_use]
    pub fn script(self) -> &'static str {
        match self {
            Shell::Bash => include_str!("lbctl.bash"),
            Shell::Zsh => include_str!("lbctl.zsh"),
            Shell::Fish => include_str!("lbctl.fish"),
        }
    }
}

/// What could stand at the end of a line of a shell's, which begins with the name of `program`.
#[must_use]
pub fn answer(program: &Command, line: &str) -> String {
    let Next { candidates, files, .. } = next(program, line);
    let mut text = String::new();
    for Candidate { word, help } in candidates {
        let _ = writeln!(text, "{word}\t{}", help.lines().next().unwrap_or_default());
    }
    if files {
        text.push_str(":files\n");
    }
    text
}

/// What can follow these arguments, the program's name first, for whoever asked with `?`.
#[must_use]
pub fn listing(program: &Command, arguments: &[String]) -> String {
    let line = arguments.join(" ") + " ";
    let own = Own::of(&line);
    complete::listing(program, own.command, &names(&own.socket))
}

fn next(program: &Command, line: &str) -> Next {
    let own = Own::of(line);
    match own.awaits {
        Some("--socket") => {
            let directory = Path::new(DEFAULT_SOCKET).parent().map(sockets).unwrap_or_default();
            let all = directory.iter().map(|socket| socket.display().to_string());
            let candidates = all.filter(|socket| socket.starts_with(own.command));
            let help = "control socket".to_owned();
            let candidates: Vec<Candidate> =
                candidates.map(|word| Candidate { word, help: help.clone() }).collect();
            Next { files: candidates.is_empty(), candidates, ..Next::default() }
        }
        Some(_) => Next { files: true, ..Next::default() },
        None => complete::complete(program, own.command, &names(&own.socket)),
    }
}

/// The names of the director that listens at `socket`; none if that takes too long.
fn names(socket: &Path) -> Names {
    let (send, answer) = mpsc::channel();
    let socket = socket.to_owned();
    // Connecting can wait for ever, and has no time limit of its own. The thread ends with the program.
    thread::spawn(move || {
        let names =
            Socket::connect(&socket).and_then(|mut it| it.call(Request::Director(director::Request::Names)));
        let _ = send.send(names);
    });
    match answer.recv_timeout(PATIENCE) {
        Ok(Ok(Reply::Names(names))) => names,
        _ => Names::default(),
    }
}

/// What a line says before its command: the program's name and options.
#[derive(Debug, PartialEq, Eq)]
struct Own<'a> {
    socket: PathBuf,
    /// The option whose value is next.
    awaits: Option<&'static str>,
    /// The rest of the line: the command, or the beginning of that value.
    command: &'a str,
}

impl<'a> Own<'a> {
    fn of(line: &'a str) -> Self {
        let by_default = || env::var_os("LB_SOCKET").map_or_else(|| DEFAULT_SOCKET.into(), PathBuf::from);
        let (mut socket, mut awaits) = (None, None);
        let mut rest = after_word(line.trim_start()).unwrap_or_default();
        // A word without a blank behind it is still being written.
        while let Some(behind) = after_word(rest) {
            let word =
                split(&rest[..rest.len() - behind.len()]).ok().and_then(|words| words.into_iter().next());
            match (awaits.take(), word.as_deref().unwrap_or_default()) {
                (Some("--socket"), value) => socket = Some(PathBuf::from(value)),
                (Some(_), _) | (None, "--json") => {}
                (None, "--socket") => awaits = Some("--socket"),
                (None, "--cmdline-file") => awaits = Some("--cmdline-file"),
                (None, word) if word.starts_with("--socket=") => socket = Some(PathBuf::from(&word[9..])),
                (None, _) => break,
            }
            rest = behind;
        }
        Own { socket: socket.unwrap_or_else(by_default), awaits, command: rest }
    }
}

/// What stands behind the first word and the blanks after it, if there are any. Quotation marks keep blanks together.
fn after_word(text: &str) -> Option<&str> {
    let mut quote = None;
    let at = text.find(|c: char| {
        match (quote, c) {
            (Some(mark), c) if c == mark => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            _ => {}
        }
        quote.is_none() && c.is_whitespace()
    })?;
    Some(text[at..].trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Options;
    use clap::CommandFactory;
    use std::{os::unix::net::UnixListener, time::Instant};

    fn words(line: &str) -> String {
        answer(&Options::command(), line)
            .lines()
            .map(|line| line.split('\t').next().unwrap_or_default())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn words_need_no_director() {
        let socket = "--socket /nonexistent/lb.sock";
        assert_eq!(words(&format!("lbctl {socket} show port s")), "stats summary");
        assert_eq!(words(&format!("/usr/bin/lbctl {socket} --json sh")), "show shutdown");
        assert_eq!(words(&format!("lbctl {socket} compl")), "completions");
        assert_eq!(words(&format!("lbctl {socket} completions ")), "bash fish zsh");
        assert_eq!(words(&format!("lbctl {socket} load ")), ":files");
        assert_eq!(words(&format!("lbctl {socket} set server ")), "");
        assert_eq!(words(&format!("lbctl {socket} nonsense ")), "");
        assert_eq!(words("lbctl --cmdline-file "), ":files");
        assert!(words("lbctl ").starts_with("--cmdline-file --json --socket add "), "{}", words("lbctl "));
        assert!(words("lbctl ").ends_with(" delete flush quit shutdown stop"), "{}", words("lbctl "));
        assert_eq!(words("lbctl --js"), "--json");
        assert_eq!(words("lbctl \"unfinished "), "");
        assert_eq!(words(""), words("lbctl "));
    }

    #[test]
    fn the_socket_is_the_one_of_the_line() {
        let own = Own::of("lbctl --json --socket '/run/lb/a b.sock' show ser");
        assert_eq!((own.socket, own.awaits, own.command), ("/run/lb/a b.sock".into(), None, "show ser"));
        let own = Own::of("lbctl --socket=/run/lb/b.sock show ");
        assert_eq!((own.socket, own.awaits, own.command), ("/run/lb/b.sock".into(), None, "show "));
        let own = Own::of("lbctl --socket /run/l");
        assert_eq!((own.awaits, own.command), (Some("--socket"), "/run/l"));
    }

    /// It accepts nobody, so connections wait; and it says nothing to those that came first.
    #[test]
    fn a_director_that_does_not_answer_is_not_waited_for() {
        let path = env::temp_dir().join(format!("lb-silent-{}.sock", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let start = Instant::now();
        assert_eq!(words(&format!("lbctl --socket {} show port s", path.display())), "stats summary");
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        drop(listener);
        std::fs::remove_file(&path).unwrap();
    }
}
