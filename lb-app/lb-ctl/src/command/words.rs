//! Lines become words.

use super::tree::ShellLine;
use clap::{ArgAction, CommandFactory};

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

/// Turns the words of a line into what clap's tree expects: qualifiers get their dashes, and testpmd's `show port 0
/// rss reta` names the port behind.
#[must_use]
pub fn canonical(mut words: Vec<String>) -> Vec<String> {
    reorder(&mut words);
    let tree = ShellLine::command();
    let mut command = &tree;
    let mut at = 0;
    while let Some(next) = words.get(at).and_then(|word| command.find_subcommand(word)) {
        command = next;
        at += 1;
    }
    let positionals = command.get_positionals().filter(|arg| arg.is_required_set()).count();
    // Values of qualifiers are not qualifiers, and what is not optional comes first.
    let mut skip = positionals;
    for word in &mut words[at..] {
        if skip > 0 {
            skip -= 1;
            continue;
        }
        let name = word.strip_prefix("--").unwrap_or(word);
        let Some(option) = command.get_opts().chain(flags(command)).find(|arg| arg.get_long() == Some(name))
        else {
            continue;
        };
        if matches!(option.get_action(), ArgAction::Set | ArgAction::Append) {
            skip = 1;
        }
        if !word.starts_with("--") {
            word.insert_str(0, "--");
        }
    }
    words
}

fn flags(command: &clap::Command) -> impl Iterator<Item = &clap::Arg> {
    command.get_arguments().filter(|arg| matches!(arg.get_action(), ArgAction::SetTrue))
}

/// `show port X rss Y` is `show port rss X Y`, and `rss-hash` needs no `rss` in front.
fn reorder(words: &mut Vec<String>) {
    let is = |at: usize, word: &str| words.get(at).is_some_and(|it| it == word);
    if !is(0, "show") || !is(1, "port") {
        return;
    }
    if is(3, "rss") {
        words.swap(2, 3);
    } else if is(3, "rss-hash") {
        words.insert(2, "rss".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canon(line: &str) -> String {
        canonical(split(line).unwrap()).join(" ")
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
