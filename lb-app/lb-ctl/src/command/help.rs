//! `help`: the commands by section, each with how it is written, out of clap's tree.

use super::{
    pick::{self, Picked},
    tree::ShellLine,
};
use clap::{Command, CommandFactory};
use std::fmt::Write;

/// A section of commands.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// Its name.
    pub name: &'static str,
    /// What its commands are about.
    pub about: &'static str,
    /// Beginnings of its commands.
    commands: &'static [&'static str],
}

/// The sections.
pub const SECTIONS: [Section; 7] = [
    Section {
        name: "control",
        about: "start, stop, reload, files, shutdown",
        commands: &[
            "start",
            "stop",
            "reload",
            "confirm",
            "save",
            "load",
            "help",
            "top",
            "watch",
            "quit",
            "shutdown",
            "set director",
            "drain",
            "set verbose",
            "show director",
            "show announced",
            "show host",
            "show events",
        ],
    },
    Section {
        name: "ports",
        about: "ports, and what moved through them",
        commands: &["show port", "show config", "show fwd", "clear", "port"],
    },
    Section {
        name: "services",
        about: "virtual services, real servers, weights",
        commands: &[
            "show services",
            "show overview",
            "show health",
            "add service",
            "add server",
            "set service",
            "set server",
            "delete service",
            "delete server",
        ],
    },
    Section {
        name: "connections",
        about: "connections and their timeouts",
        commands: &[
            "show connections",
            "show connection",
            "count",
            "delete connection",
            "flush",
            "show persistence",
            "delete persistence",
            "show timeouts",
            "set timeout",
        ],
    },
    Section {
        name: "network",
        about: "interfaces, routes and next hops",
        commands: &[
            "show interfaces",
            "show routes",
            "add route",
            "delete route",
            "show neighbours",
            "show local-addresses",
            "show snat",
            "show sync",
        ],
    },
    Section {
        name: "packets",
        about: "what happens to packets, and why",
        commands: &["explain", "trace", "capture"],
    },
    Section {
        name: "internals",
        about: "workers, drops, tables, memory",
        commands: &["show workers", "show drops", "show tables", "show memory", "dump"],
    },
];

/// One command as it is written, and what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Such as `show port stats <PORT|all>`.
    pub usage: String,
    /// One sentence.
    pub about: String,
}

/// The text of `help TOPIC`.
///
/// # Errors
/// A sentence when there is no such topic.
pub fn help(topic: &[String]) -> Result<String, String> {
    let mut text = String::new();
    let [first, ..] = topic else {
        text.push_str("Sections:\n");
        for section in SECTIONS {
            let _ = writeln!(text, "  help {:<12} {}", section.name, section.about);
        }
        text.push_str(
            "`help all` lists every command, `help COMMAND` shows the usage of one.\n\
             TAB completes words, `?` lists what can follow, and words may be short where only one begins so.\n\
             `#` begins a comment.\n",
        );
        return Ok(text);
    };
    for section in SECTIONS {
        if topic.len() == 1 && (section.name == first || first == "all") {
            write_usages(&mut text, &format!("{}: {}", section.name, section.about), &section.usages());
        }
    }
    if !text.is_empty() {
        return Ok(text);
    }
    let mut command = tree();
    for word in topic {
        let known = pick::subcommands(&command);
        let whole = match pick::word(word, &known) {
            // Asking about it ends nothing.
            Picked::One(whole) | Picked::Ending(whole) => whole,
            _ => word,
        };
        command = command
            .find_subcommand(whole)
            .cloned()
            .ok_or_else(|| format!("unknown section or command {:?}: try `help`", topic.join(" ")))?;
    }
    Ok(command.render_long_help().to_string())
}

fn write_usages(text: &mut String, title: &str, usages: &[Usage]) {
    /// Where explanations stand.
    const COLUMN: usize = 44;
    let _ = writeln!(text, "{title}");
    for Usage { usage, about } in usages {
        if usage.len() < COLUMN {
            let _ = writeln!(text, "  {usage:<COLUMN$} {about}");
        } else {
            let _ = writeln!(text, "  {usage}\n  {:COLUMN$} {about}", "");
        }
    }
    text.push('\n');
}

impl Section {
    /// Its commands.
    #[must_use]
    pub fn usages(&self) -> Vec<Usage> {
        let mut usages = Vec::new();
        for path in self.commands {
            let words: Vec<&str> = path.split(' ').collect();
            let mut command = tree();
            for word in &words {
                match command.find_subcommand(word) {
                    Some(next) => command = next.clone(),
                    None => return usages,
                }
            }
            leaves(&words.join(" "), &command, &mut usages);
        }
        usages
    }
}

/// The commands, ready to be shown.
fn tree() -> Command {
    let mut tree = ShellLine::command();
    tree.build();
    tree
}

/// Adds all commands below one.
fn leaves(path: &str, command: &Command, usages: &mut Vec<Usage>) {
    if command.has_subcommands() {
        for next in command.get_subcommands() {
            leaves(&format!("{path} {}", next.get_name()), next, usages);
        }
        return;
    }
    let mut usage = path.to_owned();
    for arg in command.get_positionals() {
        let _ = write!(usage, " {arg}");
    }
    let options: Vec<&clap::Arg> = command.get_arguments().filter(|arg| arg.get_long().is_some()).collect();
    for arg in options.iter().filter(|arg| arg.get_id() != "help").take(MOST_OPTIONS) {
        let text = arg.to_string().replacen("--", "", 1);
        let text = text.replace('\u{1b}', "");
        let _ = if arg.is_required_set() { write!(usage, " {text}") } else { write!(usage, " [{text}]") };
    }
    if options.len() > MOST_OPTIONS {
        usage.push_str(" ...");
    }
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    usages.push(Usage { usage, about });
}

/// Qualifiers that are written out.
const MOST_OPTIONS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_one_section() {
        let mut all = Vec::new();
        for command in tree().get_subcommands() {
            leaves(command.get_name(), command, &mut all);
        }
        let mut all: Vec<String> = all.into_iter().map(|usage| usage.usage).collect();
        let mut listed: Vec<String> =
            SECTIONS.iter().flat_map(Section::usages).map(|usage| usage.usage).collect();
        all.sort();
        listed.sort();
        assert_eq!(listed, all);
    }

    #[test]
    fn topics_are_found() {
        let text = |topic: &str| help(&topic.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert!(text("").unwrap().contains("help services"));
        assert!(
            text("services").unwrap().contains("  add server <SERVICE> <ADDRESS[:PORT]> [weight <WEIGHT>]")
        );
        assert!(text("all").unwrap().contains("show port rss <PORT> <WHAT>"));
        assert_eq!(text("del serv").unwrap_err(), "unknown section or command \"del serv\": try `help`");
        assert_eq!(text("del conn").unwrap(), text("delete connection").unwrap());
        assert!(text("set timeout").unwrap().contains("Time after the last packet"));
        assert!(text("nonsense").unwrap_err().contains("unknown section or command"));
    }
}
