//! Completion: what can follow in a line, each with its help. The shell, `?`, and bash, zsh and fish all ask here.

use super::{
    help::SECTIONS,
    offer::{self, Spot, candidate},
    pick::is_ending,
    words::{self, is_many, takes_value},
};
use crate::protocol::director::Names;
use clap::{Arg, Command, ValueHint, builder::StyledStr};
use std::fmt::Write;

pub use offer::Candidate;

/// What could stand where the cursor is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Next {
    /// Where the word under the cursor begins, in bytes.
    pub start: usize,
    /// Words that begin like it; those that end something last.
    pub candidates: Vec<Candidate>,
    /// What is expected there: a value that nobody can list, such as a new address.
    pub expected: Option<Candidate>,
    /// The name of a file of this host is expected.
    pub files: bool,
    /// The line is a command as it is, without the word under the cursor.
    pub whole: bool,
}

/// What could stand at the end of `line`, which is a command of `tree`.
#[must_use]
pub fn complete(tree: &Command, line: &str, names: &Names) -> Next {
    let start = line
        .rfind(char::is_whitespace)
        .map_or(0, |at| at + line[at..].chars().next().map_or(1, char::len_utf8));
    let nothing = Next { start, ..Next::default() };
    let begun = &line[start..];
    let Ok(before) = words::split(&line[..start]) else { return nothing };
    if line[..start].contains('#') && words::split(line).is_ok_and(|all| all.len() == before.len()) {
        return nothing; // In a comment.
    }
    let mut next = Next { start, ..follow(tree, before, begun, names) };
    let fits = |word: &str| word.starts_with(begun.trim_start_matches("--")) || word.starts_with(begun);
    next.candidates.retain(|candidate| fits(&candidate.word));
    next.candidates.sort_by(|a, b| (is_ending(&a.word), &a.word).cmp(&(is_ending(&b.word), &b.word)));
    next.candidates.dedup_by(|a, b| a.word == b.word);
    next
}

/// The same as lines of text, for whoever asked with `?`.
#[must_use]
pub fn listing(tree: &Command, line: &str, names: &Names) -> String {
    let Next { candidates, expected, files, whole, .. } = complete(tree, line, names);
    let ends_with_blank = line.is_empty() || line.ends_with(char::is_whitespace);
    let enter = Candidate { word: "<Enter>".to_owned(), help: "Run it".to_owned() };
    let file = Candidate { word: "<FILE>".to_owned(), help: "A file of this host".to_owned() };
    let lines: Vec<Candidate> = (whole && ends_with_blank)
        .then_some(enter)
        .into_iter()
        .chain(expected.filter(|_| !files))
        .chain(files.then_some(file))
        .chain(candidates)
        .collect();
    if lines.is_empty() {
        return "nothing can follow here\n".to_owned();
    }
    let width = lines.iter().map(|candidate| candidate.word.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for Candidate { word, help } in lines {
        let _ = writeln!(text, "{}", format!("  {word:<width$}  {help}").trim_end());
    }
    text
}

/// Everything that could follow these words; `begun` is what there is of the next one.
fn follow(tree: &Command, before: Vec<String>, begun: &str, names: &Names) -> Next {
    let candidates = |candidates| Next { candidates, ..Next::default() };
    let resolved = words::resolve(tree, before.clone());
    // Words that are incomplete as a command may well be its beginning.
    let words = resolved.clone().unwrap_or(before);
    let (command, at) = deepest(tree, &words);
    if command.get_name() == "port" && at == 2 && words[0] == "show" && at < words.len() {
        // `show port 0 ...` is testpmd's, with the port's number before the last words.
        let is_bare = words.len() == 3;
        return candidates(
            is_bare.then(|| candidate("rss", "How the port chooses queues")).into_iter().collect(),
        );
    }
    if command.has_subcommands() && at < words.len() && !words[at].starts_with('-') {
        return Next::default(); // A word that is none.
    }
    let reached = Reached::by(tree, command, &words[at..]);
    let mut next = Next {
        whole: resolved.is_ok() && at > 0 && !command.has_subcommands() && reached.is_whole(command),
        ..Next::default()
    };
    let spot = Spot { path: &words[..at], values: &reached.values, begun };
    if let Some(option) = reached.awaited {
        return Next { whole: false, ..offered(option, spot, names) };
    }
    if command.has_subcommands() {
        let subs = command.get_subcommands().filter(|sub| !sub.is_hide_set());
        next.candidates = subs.map(|sub| candidate(sub.get_name(), &styled(sub.get_about()))).collect();
        if at == 2 && words[..2] == ["show", "port"] {
            next.candidates.extend(offer::ports(names, false));
        }
        if at > 0 {
            return next;
        }
    }
    if let Some(arg) = reached.positional {
        next = Next { whole: next.whole, ..offered(arg, spot, names) };
    }
    if reached.positional.is_none_or(|arg| !arg.is_required_set()) {
        let free = |arg: &&Arg| {
            arg.get_long().is_some() && !reached.used.contains(arg.get_id()) && !arg.is_hide_set()
        };
        let options = command.get_arguments().filter(free).filter(|arg| arg.get_id() != "help");
        // Those of the program itself have dashes.
        let dashes = if at == 0 { "--" } else { "" };
        next.candidates.extend(options.map(|arg| {
            candidate(&format!("{dashes}{}", arg.get_long().unwrap_or_default()), &styled(arg.get_help()))
        }));
    }
    next
}

/// The values that an argument can have here.
fn offered(arg: &Arg, spot: Spot<'_>, names: &Names) -> Next {
    let known = arg.get_possible_values();
    let listed: Vec<Candidate> = if !known.is_empty() && takes_value(arg) {
        known.iter().map(|value| candidate(value.get_name(), &styled(value.get_help()))).collect()
    } else if arg.get_id() == "topic" {
        SECTIONS.iter().map(|section| candidate(section.name, section.about)).collect()
    } else {
        offer::live(arg, spot, names)
    };
    let placeholder = arg
        .get_value_names()
        .map_or_else(String::new, |names| names.iter().map(|name| format!("<{name}>")).collect());
    Next {
        expected: listed.is_empty().then(|| candidate(&placeholder, &styled(arg.get_help()))),
        candidates: listed,
        files: arg.get_value_hint() == ValueHint::FilePath,
        ..Next::default()
    }
}

/// The command that the words begin with, and how many of them it takes.
fn deepest<'a>(tree: &'a Command, words: &[String]) -> (&'a Command, usize) {
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
    /// Values of positional arguments that have been written.
    values: Vec<String>,
}

impl<'a> Reached<'a> {
    fn by(tree: &'a Command, command: &'a Command, words: &[String]) -> Self {
        let mut positionals = command.get_positionals();
        let mut reached =
            Reached { awaited: None, positional: positionals.next(), used: Vec::new(), values: Vec::new() };
        for word in words {
            if reached.awaited.take().is_some() {
                continue;
            }
            let option =
                word.strip_prefix("--").and_then(|name| long(command, name).or_else(|| long(tree, name)));
            if let Some(option) = option {
                reached.used.push(option.get_id().clone());
                reached.awaited = takes_value(option).then_some(option);
            } else {
                reached.values.push(word.clone());
                if reached.positional.is_some_and(|arg| !is_many(arg)) {
                    reached.positional = positionals.next();
                }
            }
        }
        reached
    }

    /// Whether nothing is missing.
    fn is_whole(&self, command: &Command) -> bool {
        let required = command.get_positionals().filter(|arg| arg.is_required_set()).count();
        let mut options =
            command.get_arguments().filter(|arg| arg.get_long().is_some() && arg.is_required_set());
        let mut groups = command.get_groups().filter(|group| group.is_required_set());
        self.awaited.is_none()
            && self.values.len() >= required
            && options.all(|option| self.used.contains(option.get_id()))
            && groups.all(|group| group.get_args().any(|arg| self.used.contains(arg)))
    }
}

fn styled(text: Option<&StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

fn long<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| arg.get_long() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::{super::ShellLine, *};
    use crate::protocol::{
        Protocol,
        director::{NamedServer, NamedService},
        keys::{ServerEndpoint, ServiceKey},
    };
    use clap::CommandFactory;

    fn names() -> Names {
        let server = |last: u8, state: &str, health: &str| NamedServer {
            endpoint: ServerEndpoint { address: [198, 51, 100, last].into(), port: 80 },
            state: state.into(),
            health: health.into(),
        };
        let service = |name: &str, protocol, last: u8, port, servers| NamedService {
            name: name.into(),
            key: ServiceKey { protocol, vip: [192, 0, 2, last].into(), port },
            method: "nat".into(),
            scheduler: "wlc".into(),
            servers,
        };
        Names {
            services: vec!["web".into(), "dns".into()],
            ports: vec!["wan".into(), "lan".into()],
            interfaces: vec!["clients".into()],
            servers: vec!["198.51.100.11:80".into(), "198.51.100.12:80".into(), "198.51.100.13:80".into()],
            workers: 2,
            schedulers: vec!["rr".into(), "wlc".into()],
            methods: vec!["nat".into()],
            states: vec!["ESTABLISHED".into()],
            listed: vec![
                service(
                    "web",
                    Protocol::Tcp,
                    100,
                    80,
                    vec![server(11, "enabled", "up"), server(12, "drain", "down")],
                ),
                service("dns", Protocol::Udp, 101, 53, vec![server(13, "enabled", "up")]),
            ],
            routes: vec!["0.0.0.0/0".into()],
            traces: vec![3],
            captures: vec![4, 5],
        }
    }

    fn next(line: &str) -> Next {
        complete(&ShellLine::command(), line, &names())
    }

    fn offered(line: &str) -> String {
        next(line).candidates.into_iter().map(|candidate| candidate.word).collect::<Vec<_>>().join(" ")
    }

    fn told(line: &str) -> String {
        listing(&ShellLine::command(), line, &names())
    }

    #[test]
    fn words_are_offered_where_they_fit() {
        assert_eq!(offered("sh"), "show shutdown");
        assert_eq!(offered("d"), "drain dump delete");
        assert_eq!(offered("show port "), "0 1 info rss stats summary xstats");
        assert_eq!(offered("show port stats "), "0 1 all");
        assert_eq!(offered("show port 0 "), "rss");
        assert_eq!(offered("show port 0 rss "), "reta rss-hash");
        assert_eq!(offered("show config "), "cores fwd rxtx");
        assert_eq!(offered("show fwd stats "), "all");
        assert_eq!(offered("show services "), "dns rate stats web");
        assert_eq!(offered("show services w"), "web");
        assert_eq!(offered("sh serv w"), "web");
        assert_eq!(offered("delete server "), "dns web");
        assert_eq!(
            offered("set server web 198.51.100.11 "),
            "description lower-threshold quic-server-ids quic-server-number state tunnel tunnel-checksum tunnel-port upper-threshold weight within"
        );
        assert_eq!(offered("set server web 198.51.100.11 state "), "drain enabled disabled");
        assert_eq!(offered("set server web 198.51.100.11 weight "), "");
        assert_eq!(offered("add service x udp 192.0.2.1:53 "), "nat");
        assert_eq!(offered("add service x udp 192.0.2.1:53 nat scheduler "), "rr wlc");
        let options = offered("add service x udp 192.0.2.1:53 nat scheduler rr ");
        assert!(options.contains("adopt") && !options.contains("scheduler"), "{options}");
        assert_eq!(offered("show connections state "), "ESTABLISHED");
        assert_eq!(offered("show connections state ESTABLISHED protocol "), "icmp sctp tcp udp");
        assert!(offered("show connections ").contains("client-port idle limit"));
        assert_eq!(offered("port stop "), "0 1 all");
        assert_eq!(offered("shwo "), "");
        assert_eq!(offered("show # po"), "");
        assert!(offered("help ").contains("ports"));
        assert!(next("load ").files && !next("capture start all tcp ").files);
    }

    #[test]
    fn what_the_director_has_is_offered() {
        assert_eq!(offered("set server web "), "198.51.100.11:80 198.51.100.12:80");
        assert_eq!(offered("set server 192.0.2.101:53 "), "198.51.100.13:80");
        assert_eq!(offered("set server nonsense "), "");
        assert_eq!(offered("add server web "), "");
        assert_eq!(offered("delete service 192."), "192.0.2.100:80 192.0.2.101:53");
        assert_eq!(offered("show connections server "), "198.51.100.11 198.51.100.12 198.51.100.13");
        assert_eq!(offered("show connections vip "), "192.0.2.100 192.0.2.101");
        assert_eq!(offered("show connections vip-port "), "53 80");
        assert_eq!(offered("explain tcp 203.0.113.1:1 "), "192.0.2.100:80 web");
        assert_eq!(offered("show connection udp 203.0.113.1:1 "), "192.0.2.101:53 dns");
        assert_eq!(offered("delete route "), "0.0.0.0/0");
        assert_eq!(offered("add route default via 192.0.2.254 interface "), "clients lan wan");
        assert_eq!(offered("trace remove "), "3");
        assert_eq!(offered("capture stop "), "4 5");
        assert_eq!(next("set server web 198.51.100.12").candidates[0].help, "drain, down");
        assert_eq!(
            next("show services we").candidates[0].help,
            "TCP 192.0.2.100:80 nat wlc, 1 of 2 servers down"
        );
    }

    #[test]
    fn candidates_come_with_help() {
        let Next { start, candidates, .. } = next("show nei");
        assert_eq!((start, candidates.len()), (5, 1));
        assert_eq!(candidates[0].help, "Next hops and their Ethernet addresses");
    }

    #[test]
    fn a_question_is_answered_with_what_can_follow() {
        assert_eq!(told("set server web 198.51.100.11 state "), "  drain\n  enabled\n  disabled\n");
        assert_eq!(told("set server web 198.51.100.11 weight "), "  <WEIGHT>  Share of new connections\n");
        assert_eq!(told("count connections "), "  <Enter>  Run it\n");
        assert_eq!(told("show services w"), "  web  TCP 192.0.2.100:80 nat wlc, 1 of 2 servers down\n");
        assert!(
            told("show services ").starts_with("  <Enter>  Run it\n  dns "),
            "{}",
            told("show services ")
        );
        assert_eq!(told("shwo "), "nothing can follow here\n");
        assert!(told("").contains("\n  show      Show something\n"), "{}", told(""));
        assert!(!told("set server web 198.51.100.11 ").contains("Enter"), "something has to be set");
    }
}
