//! Lines become words, and words what clap's tree expects.

use super::pick::{self, Picked};
use clap::{Arg, ArgAction, Command};

/// Splits a line at blanks. Quotation marks keep blanks together; `#` at the beginning of a word starts a comment.
///
/// # Errors
/// A sentence for the operator.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        match chars.peek() {
            None | Some('#') => return Ok(words),
            Some(_) => {}
        }
        let (mut word, mut quote) = (String::new(), None);
        while let Some(c) = chars.next_if(|c| quote.is_some() || !c.is_whitespace()) {
            match (quote, c) {
                (Some(mark), c) if c == mark => quote = None,
                (None, '"' | '\'') => quote = Some(c),
                _ => word.push(c),
            }
        }
        if let Some(mark) = quote {
            return Err(format!("missing closing quotation mark {mark}"));
        }
        words.push(word);
    }
}

/// Turns the words of a line into what clap's tree expects: abbreviations become whole words, qualifiers get their
/// dashes, and testpmd's `show port 0 rss reta` names the port behind.
///
/// # Errors
/// A sentence on the first word that cannot be where it is.
pub fn resolve(tree: &Command, mut words: Vec<String>) -> Result<Vec<String>, String> {
    let (command, at) = descend(tree, &mut words)?;
    let path = words[..at].join(" ");
    let required = command.get_positionals().filter(|arg| arg.is_required_set()).count();
    let mut positionals = command.get_positionals();
    let mut taken = 0;
    // The argument that the next word is a value of, whatever that word is.
    let mut awaited: Option<&Arg> = None;
    let mut open = positionals.next();
    for word in &mut words[at..] {
        if let Some(arg) = awaited.take() {
            complete_value(arg, word);
            continue;
        }
        // What is not optional comes first.
        if taken < required {
            if let Some(arg) = open {
                complete_value(arg, word);
                taken += 1;
                open = if is_many(arg) { Some(arg) } else { positionals.next() };
            }
            continue;
        }
        if let Some(option) = option_called(tree, command, word.strip_prefix("--").unwrap_or(word)) {
            awaited = takes_value(option).then_some(option);
            if !word.starts_with("--") {
                word.insert_str(0, "--");
            }
            continue;
        }
        match open {
            _ if word.starts_with('-') => {} // clap's to explain.
            Some(arg) => {
                complete_value(arg, word);
                if !is_many(arg) {
                    open = positionals.next();
                }
            }
            None => {
                let options = pick::options(command);
                let name = match pick::word(word, &options) {
                    Picked::One(name) => name.to_owned(),
                    picked => return Err(picked.sentence(&path, word, &options)),
                };
                awaited = option_called(tree, command, &name).filter(|option| takes_value(option));
                *word = format!("--{name}");
            }
        }
    }
    Ok(words)
}

/// The command that the words begin with, and how many of them it takes; abbreviations among them become whole words.
fn descend<'a>(tree: &'a Command, words: &mut Vec<String>) -> Result<(&'a Command, usize), String> {
    let (mut command, mut at) = (tree, 0);
    while command.has_subcommands() {
        if words[..at] == ["show", "port"] {
            reorder(command, words);
        }
        let path = words[..at].join(" ");
        let known = pick::subcommands(command);
        let Some(word) = words.get_mut(at) else {
            // lbctl by itself opens a shell.
            return if at == 0 { Ok((command, at)) } else { Err(pick::missing(&path, &known)) };
        };
        if word.starts_with('-') {
            break;
        }
        if command.find_subcommand(&*word).is_none() {
            match pick::word(word, &known) {
                Picked::One(name) => name.clone_into(word),
                picked => return Err(picked.sentence(&path, word, &known)),
            }
        }
        let Some(next) = command.find_subcommand(&*word) else { break };
        (command, at) = (next, at + 1);
    }
    Ok((command, at))
}

/// `show port X rss Y` is `show port rss X Y`, and `rss-hash` needs no `rss` in front.
fn reorder(show_port: &Command, words: &mut Vec<String>) {
    let is = |at: usize, word: &str| words.get(at).is_some_and(|it| it == word);
    if words.get(2).is_none_or(|port| show_port.find_subcommand(port).is_some()) {
        return;
    }
    if is(3, "rss") {
        words.swap(2, 3);
    } else if is(3, "rss-hash") {
        words.insert(2, "rss".to_owned());
    }
}

/// A value that is one of a few words may be abbreviated as commands are.
fn complete_value(arg: &Arg, word: &mut String) {
    let possible = arg.get_possible_values();
    let known: Vec<&str> = possible.iter().map(clap::builder::PossibleValue::get_name).collect();
    if takes_value(arg)
        && let Picked::One(name) = pick::word(word, &known)
    {
        *word = name.to_owned();
    }
}

fn option_called<'a>(tree: &'a Command, command: &'a Command, name: &str) -> Option<&'a Arg> {
    let own = command.get_arguments().find(|arg| arg.get_long() == Some(name));
    own.or_else(|| tree.get_arguments().find(|arg| arg.is_global_set() && arg.get_long() == Some(name)))
}

/// Whether a word behind it belongs to it.
pub(super) fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

/// Whether it takes any number of words.
pub(super) fn is_many(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

#[cfg(test)]
mod tests {
    use super::{super::tree::ShellLine, *};
    use clap::CommandFactory;
    use proptest::prelude::*;

    fn resolved(line: &str) -> Result<String, String> {
        resolve(&ShellLine::command(), split(line).unwrap()).map(|words| words.join(" "))
    }

    fn canon(line: &str) -> String {
        resolved(line).unwrap()
    }

    fn complaint(line: &str) -> String {
        resolved(line).unwrap_err()
    }

    #[test]
    fn words_are_split() {
        assert_eq!(split(" a  'b c'd \"#\" e#f # g").unwrap(), ["a", "b cd", "#", "e#f"]);
        assert!(split("a 'b").is_err());
    }

    #[test]
    fn qualifiers_get_dashes_where_they_stand() {
        assert_eq!(canon("add server weight 192.0.2.1 weight 2"), "add server weight 192.0.2.1 --weight 2");
        assert_eq!(canon("show services rate"), "show services --rate");
        assert_eq!(canon("show services web stats"), "show services web --stats");
        assert_eq!(
            canon("show connections service state state udp"),
            "show connections --service state --state udp"
        );
        assert_eq!(canon("load keep-going keep-going"), "load keep-going --keep-going");
        assert_eq!(canon("show port 1 rss reta"), "show port rss 1 reta");
        assert_eq!(canon("show port rss 1 reta"), "show port rss 1 reta");
    }

    #[test]
    fn what_is_unique_may_be_short() {
        assert_eq!(canon("sh serv web st"), "show services web --stats");
        assert_eq!(canon("sh po 1 rss re"), "show port rss 1 reta");
        assert_eq!(canon("sh port sum all"), "show port summary all");
        assert_eq!(canon("set servi web sch mh"), "set service web --scheduler mh");
        assert_eq!(
            canon("se server web 192.0.2.1 st dr wi 5m"),
            "set server web 192.0.2.1 --state drain --within 5m"
        );
        assert_eq!(canon("show services st"), "show services st", "this may be a service's name");
        assert_eq!(canon("tr add tcp cou 3"), "trace add tcp cou 3", "a filter is the operator's");
        assert_eq!(canon("show connection t a:1 b:2"), "show connection tcp a:1 b:2", "a whole word of two");
        assert_eq!(complaint("a serv"), "\"serv\" is short for several: server, service");
        assert_eq!(complaint("s"), "\"s\" is short for several: save, set, show, start, shutdown, stop");
    }

    #[test]
    fn what_ends_something_is_written_in_full() {
        for (line, whole) in
            [("del service web", "delete"), ("shutd", "shutdown"), ("q", "quit"), ("fl conn all", "flush")]
        {
            let said = complaint(line);
            assert!(said.contains(&format!("write {whole:?} in full")), "{said}");
        }
        assert_eq!(
            complaint("port sto all"),
            "write \"stop\" in full: what ends something is not abbreviated"
        );
        assert_eq!(canon("sta"), "start");
        assert_eq!(canon("flush conn all"), "flush connections --all");
    }

    #[test]
    fn words_that_cannot_be_there_are_explained() {
        assert_eq!(complaint("shwo"), "unknown command \"shwo\": did you mean \"show\"?");
        assert_eq!(complaint("frobnicate"), "unknown command \"frobnicate\": `help` lists them");
        assert_eq!(
            complaint("show serviices"),
            "unknown word \"serviices\" after `show`: did you mean \"services\"?"
        );
        assert_eq!(
            complaint("add server web 192.0.2.1 weeight 5"),
            "unknown word \"weeight\" after `add server`: did you mean \"weight\"?"
        );
        assert_eq!(
            complaint("add server web 192.0.2.1 nonsense"),
            "unknown word \"nonsense\" after `add server`: it takes description, lower-threshold, \
             quic-server-ids, quic-server-number, tunnel, tunnel-checksum, tunnel-port, upper-threshold, weight"
        );
        assert_eq!(
            complaint("count connections now"),
            "unknown word \"now\" after `count connections`: it takes no more"
        );
        assert_eq!(complaint("capture"), "`capture` what? It takes list, start, stop");
    }

    proptest! {
        #[test]
        fn any_line_is_understood_or_refused(line in "[a-z0-9#\"' .:/-]{0,80}") {
            let _ = super::super::parse(&line);
        }

        #[test]
        fn any_words_of_ours_are_understood_or_refused(words in proptest::collection::vec(
            prop::sample::select(vec!["show", "port", "rss", "all", "0", "add", "server", "weight", "set", "flush",
                "connections", "service", "stats", "fwd", "--", "-h", "help", "--help", "\"\"", "top", "load"]), 0..8)) {
            let _ = super::super::parse(&words.join(" "));
        }
    }
}
