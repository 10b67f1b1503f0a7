//! Lists that must be complete, and messages that are quoted.

use crate::pages::{Page, root};
use lb_core::counters::DropReason;
use lb_ctl::command::help::{SECTIONS, Section};
use std::{collections::BTreeSet, fs, path::Path, process::Command};

#[test]
fn every_drop_reason_is_listed() {
    let text = Page::read("docs/drops.md").text;
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
    let expected =
        DropReason::ALL.map(|reason| format!("| `{}` | {} |", reason.name(), reason.explanation()));
    assert_eq!(rows, expected);
}

/// A command counts as documented if all its words are in one code span of the pages about commands.
#[test]
fn every_command_is_documented() {
    let spans: Vec<BTreeSet<String>> = ["docs/control.md", "docs/packets.md"]
        .iter()
        .flat_map(|path| {
            let page = Page::read(*path);
            let spans = page.spans().into_iter().map(|(_, span)| span.to_owned());
            let lines = page.fences().into_iter().filter(|fence| fence.info == "lbctl");
            spans.chain(lines.flat_map(|fence| fence.lines)).collect::<Vec<_>>()
        })
        .map(|span| span.split(|c: char| c.is_whitespace() || "|\\".contains(c)).map(str::to_owned).collect())
        .collect();
    for usage in SECTIONS.iter().flat_map(Section::usages) {
        let path = usage.usage.split(' ').take_while(|word| !word.starts_with(['<', '[']));
        let path: Vec<&str> = path.collect();
        let is_it = |span: &BTreeSet<String>| path.iter().all(|word| span.contains(*word));
        assert!(spans.iter().any(is_it), "{} is not documented", path.join(" "));
    }
}

#[test]
fn every_option_is_documented() {
    let help = Command::new(env!("CARGO_BIN_EXE_lb-app")).arg("--help").output().expect("lb-app runs");
    let help = String::from_utf8(help.stdout).expect("text");
    let options = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '-');
        words.filter(|word| word.starts_with("--") && word.len() > 2).map(str::to_owned).collect()
    };
    let defined = help.lines().filter(|line| line.trim_start().starts_with('-'));
    let defined: BTreeSet<String> = defined.flat_map(options).collect();
    let text = Page::read("docs/running.md").text;
    let ours = text.split("| before `--` |").next().expect("a part");
    let cells = ours.lines().filter(|line| line.starts_with("| `")).filter_map(|row| row.split('|').nth(1));
    assert_eq!(cells.flat_map(options).collect::<BTreeSet<_>>(), defined);
}

/// Messages that pages quote are those of the program: each piece between placeholders is in the sources.
#[test]
fn quoted_messages_exist() {
    let sources = sources();
    let quoted = |page: &'static str, heading: &'static str| {
        let text = Page::read(page).text;
        let rows = text.lines().skip_while(move |line| *line != heading).skip(1);
        let rows: Vec<String> = rows.take_while(|line| line.starts_with('|')).map(str::to_owned).collect();
        assert!(rows.len() > 3, "{page}: {heading}");
        rows
    };
    let log = quoted("docs/troubleshooting.md", "| symptom | cause and remedy |");
    let log = log.into_iter().filter(|row| row.starts_with("| Log:"));
    let messages = quoted("docs/troubleshooting.md", "| message | cause and remedy |").into_iter();
    let mistakes = quoted("conf/README.md", "| message | remedy |").into_iter();
    for row in messages.chain(mistakes).chain(log) {
        let Some(message) = row.split('`').nth(1) else { continue };
        for piece in pieces(message) {
            assert!(sources.contains(&piece), "no message has {piece:?}, of {message:?}");
        }
    }
}

/// The longer pieces of a message between what differs from case to case: numbers, addresses, names.
fn pieces(message: &str) -> Vec<String> {
    let differs = |word: &str| {
        word.chars().any(|c| c.is_ascii_digit() || c == '"')
            || word.chars().all(|c| c.is_ascii_uppercase())
            || ["nat", "tun", "dr", "tcp", "udp"].contains(&word.trim_end_matches(','))
    };
    let mut pieces = vec![String::new()];
    for word in message.split(' ') {
        let last = pieces.last_mut().expect("there is one");
        match differs(word) && word != "DPDK" && word != "ARP" {
            true => pieces.push(String::new()),
            false if last.is_empty() => last.push_str(word),
            false => *last = format!("{last} {word}"),
        }
    }
    pieces.retain(|piece| piece.len() > 8);
    pieces
}

/// All sources in one text, in which strings that go over several lines are joined.
fn sources() -> String {
    let mut text = String::new();
    let mut folders = ["lb-app/src", "lb-core/src"].map(|folder| root().join(folder)).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension() == Some(Path::new("rs").as_os_str()) {
                text.push_str(&fs::read_to_string(path).expect("a source"));
            }
        }
    }
    let lines: Vec<&str> = text.split("\\\n").collect();
    let first = lines.first().copied().unwrap_or_default().to_owned();
    lines.iter().skip(1).fold(first, |joined, line| joined + line.trim_start())
}
