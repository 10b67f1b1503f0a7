//! Which of the words that may stand somewhere is meant: the whole word, or an abbreviation that only one begins with.
//!
//! What ends something (a connection, a server, the director) is written in full: who types `du` or `sh` in a hurry gets
//! `dump` or `show`, never `delete` or `shutdown`. For the same reason such words come last in every list.

use crate::{foreign, near::nearest};
use clap::Command;

/// Words that end something.
const ENDING: [&str; 8] = ["delete", "disabled", "exit", "flush", "quit", "remove", "shutdown", "stop"];

/// What a word is short for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Picked<'a> {
    /// This one.
    One(&'a str),
    /// It could be any of these.
    Several(Vec<&'a str>),
    /// This one, which is not abbreviated.
    Ending(&'a str),
    /// None.
    Nothing,
}

/// Whether a word ends something.
pub(super) fn is_ending(word: &str) -> bool {
    ENDING.contains(&word)
}

/// Which of the known words is meant.
pub(super) fn word<'a>(word: &str, known: &[&'a str]) -> Picked<'a> {
    if let Some(whole) = known.iter().find(|known| **known == word) {
        return Picked::One(whole);
    }
    let begin = known.iter().copied().filter(|known| !word.is_empty() && known.starts_with(word));
    let (ending, others): (Vec<_>, Vec<_>) = begin.partition(|known| is_ending(known));
    match (&others[..], &ending[..]) {
        ([one], _) => Picked::One(one),
        ([], [one]) => Picked::Ending(one),
        ([], []) => Picked::Nothing,
        _ => Picked::Several(others.into_iter().chain(ending).collect()),
    }
}

impl Picked<'_> {
    /// Why `word` cannot stand behind `path`, where only `known` may.
    pub(super) fn sentence(&self, path: &str, word: &str, known: &[&str]) -> String {
        let what = if path.is_empty() {
            format!("unknown command {word:?}")
        } else {
            format!("unknown word {word:?} after `{path}`")
        };
        match self {
            Picked::Several(several) => format!("{word:?} is short for several: {}", several.join(", ")),
            Picked::Ending(whole) => {
                format!("write {whole:?} in full: what ends something is not abbreviated")
            }
            Picked::One(_) | Picked::Nothing => {
                let (ending, others): (Vec<&str>, Vec<&str>) =
                    known.iter().partition(|known| is_ending(known));
                if let Some(here) = foreign::command(path, word) {
                    return format!("{what}: it is `{here}` here");
                }
                if let Some(remedy) = foreign::key(word).filter(|_| !path.is_empty()) {
                    return format!("{what}: {remedy}");
                }
                let remedy = match nearest(word, &others).or_else(|| nearest(word, &ending)) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None if path.is_empty() => "`help` lists them".to_owned(),
                    None if known.is_empty() => "it takes no more".to_owned(),
                    None => format!("it takes {}", known.join(", ")),
                };
                format!("{what}: {remedy}")
            }
        }
    }
}

/// What is said of a command that lacks its next word.
pub(super) fn missing(path: &str, known: &[&str]) -> String {
    format!("`{path}` what? It takes {}", known.join(", "))
}

/// The words that may follow a command, those that end something last.
pub(super) fn subcommands(command: &Command) -> Vec<&str> {
    let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    let names = shown.flat_map(|sub| std::iter::once(sub.get_name()).chain(sub.get_visible_aliases()));
    sorted(names.collect())
}

/// The qualifiers of a command.
pub(super) fn options(command: &Command) -> Vec<&str> {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    sorted(shown.filter_map(clap::Arg::get_long).filter(|long| *long != "help").collect())
}

fn sorted(mut words: Vec<&str>) -> Vec<&str> {
    words.sort_by_key(|word| (is_ending(word), *word));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abbreviation_is_that_of_one_word() {
        let known = ["drain", "disabled", "enabled"];
        assert_eq!(word("e", &known), Picked::One("enabled"));
        assert_eq!(word("d", &known), Picked::One("drain"), "the other one ends connections");
        assert_eq!(word("dis", &known), Picked::Ending("disabled"));
        assert_eq!(word("disabled", &known), Picked::One("disabled"));
        assert_eq!(word("", &known), Picked::Nothing);
        assert_eq!(word("tc", &["tcp", "tcp-x"]), Picked::Several(vec!["tcp", "tcp-x"]));
        assert_eq!(word("tcp", &["tcp", "tcp-x"]), Picked::One("tcp"));
    }

    #[test]
    fn what_ends_something_is_never_the_first_advice() {
        let known = ["shutdown", "shutdowm"];
        assert!(Picked::Nothing.sentence("", "shutdwn", &known).contains("shutdowm"));
        assert!(
            subcommands(&<super::super::ShellLine as clap::CommandFactory>::command())
                .ends_with(&["delete", "exit", "flush", "quit", "shutdown", "stop"])
        );
    }
}
