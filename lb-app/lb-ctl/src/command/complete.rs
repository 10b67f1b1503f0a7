//! Completion: what can follow in a line, each with its help.

use super::{tree::ShellLine, words};
use crate::protocol::{director::Names, options::SETTABLE};
use clap::{Arg, ArgAction, CommandFactory, builder::StyledStr};

/// One thing that could come next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// The word.
    pub word: String,
    /// What it is.
    pub help: String,
}

/// What could stand where the cursor is at the end of `line`: the beginning of the word under the cursor in bytes, and
/// candidates that begin like it.
#[must_use]
pub fn complete(line: &str, names: &Names) -> (usize, Vec<Candidate>) {
    let start = line
        .rfind(char::is_whitespace)
        .map_or(0, |at| at + line[at..].chars().next().map_or(1, char::len_utf8));
    let begun = &line[start..];
    let Ok(before) = words::split(&line[..start]) else { return (start, Vec::new()) };
    if line[..start].contains('#') && words::split(line).is_ok_and(|all| all.len() == before.len()) {
        return (start, Vec::new()); // In a comment.
    }
    let mut candidates = next(&before, names);
    candidates.retain(|candidate| {
        candidate.word.starts_with(begun.trim_start_matches("--")) || candidate.word.starts_with(begun)
    });
    candidates.sort();
    candidates.dedup_by(|a, b| a.word == b.word);
    (start, candidates)
}

/// Everything that could follow these words.
fn next(before: &[String], names: &Names) -> Vec<Candidate> {
    // `show port 0 ...` is testpmd's, with the port's number before the last words.
    if let [show, port, id] = before
        && (show.as_str(), port.as_str()) == ("show", "port")
        && find(&["show", "port", id]).is_none()
    {
        return vec![candidate("rss", "How the port chooses queues")];
    }
    let tree = ShellLine::command();
    let before = words::canonical(before.to_vec());
    let (command, at) = deepest(&tree, &before);
    let Reached { awaited, positional, used } = Reached::by(command, &before[at..]);
    if let Some(option) = awaited {
        return values(option, names);
    }
    let mut candidates: Vec<Candidate> = command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set())
        .map(|sub| candidate(sub.get_name(), &styled(sub.get_about())))
        .collect();
    if at == 2 && before[..2] == ["show", "port"] {
        candidates.extend(ports(names, false));
    }
    if at < before.len() && command.has_subcommands() {
        return Vec::new(); // A word that is none.
    }
    if let Some(arg) = positional {
        candidates.extend(values(arg, names));
    }
    if positional.is_none_or(|arg| !arg.is_required_set()) {
        let free =
            |arg: &&Arg| arg.get_long().is_some() && !used.contains(arg.get_id()) && arg.get_id() != "help";
        let options = command.get_arguments().filter(free);
        candidates.extend(
            options.map(|arg| candidate(arg.get_long().unwrap_or_default(), &styled(arg.get_help()))),
        );
    }
    candidates
}

/// The command that the words begin with, and how many of them it takes.
fn deepest<'a>(tree: &'a clap::Command, words: &[String]) -> (&'a clap::Command, usize) {
    let (mut command, mut at) = (tree, 0);
    while let Some(next) = words.get(at).and_then(|word| command.find_subcommand(word)) {
        command = next;
        at += 1;
    }
    (command, at)
}

/// How far the words behind a command have come.
struct Reached<'a> {
    /// The option whose value is next.
    awaited: Option<&'a Arg>,
    /// The positional argument that is next.
    positional: Option<&'a Arg>,
    /// Options that have been written.
    used: Vec<clap::Id>,
}

impl<'a> Reached<'a> {
    fn by(command: &'a clap::Command, words: &[String]) -> Self {
        let mut positionals = command.get_positionals();
        let mut reached = Reached { awaited: None, positional: positionals.next(), used: Vec::new() };
        for word in words {
            if reached.awaited.take().is_some() {
                continue;
            }
            if let Some(option) = word.strip_prefix("--").and_then(|name| long(command, name)) {
                reached.used.push(option.get_id().clone());
                reached.awaited = takes_value(option).then_some(option);
            } else if reached.positional.is_some_and(|arg| !many(arg)) {
                reached.positional = positionals.next();
            }
        }
        reached
    }
}

/// The values of an argument: those that clap knows, else those that the director has, else what is expected.
fn values(arg: &Arg, names: &Names) -> Vec<Candidate> {
    let known = arg.get_possible_values();
    if !known.is_empty() && takes_value(arg) {
        return known.iter().map(|value| candidate(value.get_name(), &styled(value.get_help()))).collect();
    }
    let each = |list: &[String], what: &str| list.iter().map(|name| candidate(name, what)).collect();
    match arg.get_id().as_str() {
        "service" => each(&names.services, "service"),
        "server" => each(&names.servers, "real server"),
        "method" => each(&names.methods, "forwarding method"),
        "scheduler" => each(&names.schedulers, "scheduler"),
        "state" => each(&names.states, "state"),
        "worker" => (0..names.workers).map(|worker| candidate(&worker.to_string(), "worker")).collect(),
        "port" if arg.get_long().is_none() => {
            let value_names = arg.get_value_names().unwrap_or_default();
            ports(names, value_names.iter().any(|name| name.contains("all")))
        }
        "topic" => {
            super::help::SECTIONS.iter().map(|section| candidate(section.name, section.about)).collect()
        }
        key => {
            let option = SETTABLE.service.iter().chain(&SETTABLE.server).find(|option| option.key == key);
            option.map_or_else(Vec::new, |option| each(&option.values, key))
        }
    }
}

fn ports(names: &Names, all: bool) -> Vec<Candidate> {
    let numbered =
        names.ports.iter().enumerate().map(|(id, name)| candidate(&id.to_string(), &format!("port {name}")));
    numbered.chain(all.then(|| candidate("all", "every port"))).collect()
}

fn candidate(word: &str, help: &str) -> Candidate {
    Candidate { word: word.to_owned(), help: help.to_owned() }
}

fn styled(text: Option<&StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

fn long<'a>(command: &'a clap::Command, name: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| arg.get_long() == Some(name))
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

fn many(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

fn find(path: &[&str]) -> Option<clap::Command> {
    path.iter().try_fold(ShellLine::command(), |command, word| command.find_subcommand(word).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            services: vec!["web".into(), "dns".into()],
            ports: vec!["wan".into(), "lan".into()],
            servers: vec!["198.51.100.11:80".into()],
            workers: 2,
            schedulers: vec!["rr".into(), "wlc".into()],
            methods: vec!["nat".into()],
            states: vec!["ESTABLISHED".into()],
        }
    }

    fn offered(line: &str) -> String {
        let (_, candidates) = complete(line, &names());
        candidates.into_iter().map(|candidate| candidate.word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_are_offered_where_they_fit() {
        assert_eq!(offered("sh"), "show shutdown");
        assert_eq!(offered("show port "), "0 1 info rss stats summary xstats");
        assert_eq!(offered("show port stats "), "0 1 all");
        assert_eq!(offered("show port 0 "), "rss");
        assert_eq!(offered("show port 0 rss "), "reta rss-hash");
        assert_eq!(offered("show config "), "cores fwd rxtx");
        assert_eq!(offered("show fwd stats "), "all");
        assert_eq!(offered("show services "), "dns rate stats web");
        assert_eq!(offered("show services w"), "web");
        assert_eq!(offered("delete server "), "dns web");
        assert_eq!(offered("set server web "), "198.51.100.11:80");
        assert_eq!(offered("set server web 198.51.100.11 "), "state weight within");
        assert_eq!(offered("set server web 198.51.100.11 state "), "disabled drain enabled");
        assert_eq!(offered("set server web 198.51.100.11 weight "), "");
        assert_eq!(offered("add service x udp 192.0.2.1:53 "), "nat");
        assert_eq!(offered("add service x udp 192.0.2.1:53 nat scheduler "), "rr wlc");
        let options = offered("add service x udp 192.0.2.1:53 nat scheduler rr ");
        assert!(options.contains("adopt") && !options.contains("scheduler"), "{options}");
        assert_eq!(offered("show connections state "), "ESTABLISHED");
        assert_eq!(offered("show connections state ESTABLISHED protocol "), "tcp udp");
        assert!(offered("show connections ").contains("client-port idle limit"));
        assert_eq!(offered("port stop "), "0 1 all");
        assert_eq!(offered("shwo "), "");
        assert_eq!(offered("show # po"), "");
        assert!(offered("help ").contains("ports"));
    }

    #[test]
    fn candidates_come_with_help() {
        let (start, candidates) = complete("show nei", &names());
        assert_eq!((start, candidates.len()), (5, 1));
        assert_eq!(candidates[0].help, "Next hops and their Ethernet addresses");
    }
}
