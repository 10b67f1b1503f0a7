//! Commands: which run here, which are only read, and why.

use crate::{
    fences::Scratch,
    pages::{Fence, Page, pages, root},
};
use lb_ctl::command::{self, words};
use std::{collections::BTreeSet, fs, path::Path, process::Command};

/// What is done with a program's command lines.
#[derive(Clone, Copy)]
enum How {
    /// `lbctl`'s own parser reads it.
    Lbctl,
    /// It runs, with `--check` if it would forward.
    LbApp,
    /// The Makefile has the target.
    Make,
    /// Packages, tests and programs that it names exist.
    Cargo,
    /// A program of lb-perf.
    Perf,
    /// A script of ours, which exists.
    Script,
    /// It does not run, for this reason.
    Not(#[expect(dead_code, reason = "for readers")] &'static str),
}

/// Every program that the documentation shows.
const PROGRAMS: &[(&str, How)] = &[
    ("lbctl", How::Lbctl),
    ("lb-app", How::LbApp),
    ("make", How::Make),
    ("cargo", How::Cargo),
    ("target/release/pipeline", How::Perf),
    ("target/release/io", How::Perf),
    ("target/release/instructions", How::Perf),
    ("perf/ab", How::Script),
    ("perf/scrape", How::Script),
    ("tests/stories.sh", How::Script),
    ("valgrind", How::Not("takes minutes; make bench-instructions runs it")),
    ("apt", How::Not("installs a package; make test-deb does, in a chroot")),
    ("editor", How::Not("is interactive")),
    ("vtysh", How::Not("configures FRR; the story of followers does")),
    ("systemctl", How::Not("needs systemd; make test-deb runs it in namespaces")),
    ("docker", How::Not("needs a container engine; make test-container runs the image without one")),
    ("podman", How::Not("needs a container engine")),
    ("kill", How::Not("needs a running director; the stories send every signal")),
    ("dpdk-dumpcap", How::Not("needs huge pages; the story dumpcap runs it")),
    ("dpdk-devbind.py", How::Not("takes a NIC from the kernel")),
    ("modprobe", How::Not("loads a kernel module")),
    ("echo", How::Not("reserves the host's memory")),
    ("sysctl", How::Not("changes the host; the stories set the same in namespaces")),
    ("nft", How::Not("changes the host; stories with host sides run it in namespaces")),
    ("ip", How::Not("changes the host; the stories set the same in namespaces")),
    ("ethtool", How::Not("changes an interface; the stories do, in namespaces")),
];

/// One command: its words, without comment, and where it stands.
struct Line {
    place: String,
    words: Vec<String>,
}

/// The commands of all fences of a kind.
fn lines(info: &str) -> Vec<Line> {
    let pages = pages();
    let fences = pages.iter().flat_map(Page::fences).filter(|fence| fence.info == info);
    fences.flat_map(|fence| commands(&fence)).collect()
}

fn commands(fence: &Fence) -> Vec<Line> {
    let text = fence.lines.join("\n").replace("\\\n", " ");
    let mut commands = Vec::new();
    for line in text.lines() {
        let words = words::split(line).unwrap_or_else(|error| panic!("{}: {line}: {error}", fence.place));
        for words in words.split(|word| word == "&&").filter(|words| !words.is_empty()) {
            commands.push(Line { place: format!("{}: {line}", fence.place), words: words.to_vec() });
        }
    }
    commands
}

/// Commands in code spans, as far as they are written out: without placeholders and alternatives.
fn spans_of(program: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for page in pages() {
        for (place, span) in page.spans() {
            let rest = span.strip_prefix(program).and_then(|rest| rest.strip_prefix(' '));
            let is_pattern = |rest: &str| {
                rest.contains(['|', '[', '<', '~'])
                    || rest.contains("...")
                    || rest.split(' ').any(is_placeholder)
            };
            if rest.is_some_and(|rest| !is_pattern(rest)) {
                let words = words::split(span).unwrap_or_else(|error| panic!("{place}: {span}: {error}"));
                lines.push(Line { place: format!("{place}: {span}"), words });
            }
        }
    }
    lines
}

fn is_placeholder(word: &str) -> bool {
    word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase() || matches!(c, ':' | '_'))
}

/// The words without settings of variables in front.
fn without_variables(words: &[String]) -> &[String] {
    let is_setting = |word: &String| {
        let name = word.split_once('=').map(|(name, _)| name);
        name.is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
    };
    let settings = words.iter().take_while(|word| is_setting(word)).count();
    &words[settings..]
}

#[test]
fn commands_are_as_the_programs_want_them() {
    let scratch = Scratch::new("sh");
    fs::create_dir_all(scratch.0.join("conf")).expect("a directory");
    for entry in fs::read_dir(root().join("conf")).expect("conf") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.file_name().expect("a name");
            fs::copy(&path, scratch.0.join("conf").join(name)).expect("a copy");
            fs::copy(&path, scratch.0.join(name)).expect("a copy");
        }
    }
    // What is imported.
    let imports = root().join("lb-app/src/import/tests");
    fs::create_dir_all(scratch.0.join("conf.d")).expect("a directory");
    for name in ["keepalived.conf", "conf.d/10-database.conf", "ipvsadm.rules", "dpvs.conf", "dpvs.sh"] {
        fs::copy(imports.join(name), scratch.0.join(name)).expect("a copy");
    }
    let mut unused: BTreeSet<&str> = PROGRAMS.iter().map(|(program, _)| *program).collect();
    let spans = ["lbctl", "lb-app", "make"].into_iter().flat_map(spans_of);
    // `lb-app -i` alone is a short name of the shell.
    let spans =
        spans.filter(|line| line.words[0] != "lb-app" || line.words.iter().any(|word| word == "--conf"));
    for line in lines("sh").into_iter().chain(spans) {
        let words = without_variables(&line.words);
        let Some(program) = words.first() else { continue };
        let known = PROGRAMS.iter().find(|(known, _)| known == program);
        let (program, how) = known.unwrap_or_else(|| panic!("{}: {program} is not in PROGRAMS", line.place));
        unused.remove(program);
        match how {
            How::Lbctl => lbctl(&line.place, words),
            How::LbApp => lb_app(&line.place, words, &scratch.0),
            How::Make => make(&line.place, words),
            How::Cargo => cargo(&line.place, words),
            How::Perf => perf(&line.place, program),
            How::Script => assert!(root().join(program).is_file(), "{}: no {program}", line.place),
            How::Not(_) => {}
        }
    }
    assert!(unused.is_empty(), "no page shows {unused:?}");
}

#[test]
fn commands_of_the_shell_are_read() {
    let lines = lines("lbctl");
    assert!(lines.len() > 10, "{} commands", lines.len());
    for line in lines {
        let command = command::parse_words(line.words);
        command.unwrap_or_else(|error| panic!("{}: {error}", line.place));
    }
}

fn lbctl(place: &str, words: &[String]) {
    // What reads its output is another program.
    let ours = words.iter().take_while(|word| *word != "|").cloned().collect();
    lb_ctl::cli::parse(ours).unwrap_or_else(|error| panic!("{place}: {error}"));
}

/// What would forward is checked instead; the arguments for DPDK are left out, since nothing starts it.
fn lb_app(place: &str, words: &[String], folder: &Path) {
    let at = words.iter().position(|word| word == "--").map_or(1, |at| at + 1);
    // Where the output goes is up to a shell.
    let ours = words[at..].iter().map(String::as_str).take_while(|word| *word != ">");
    let mut ours: Vec<&str> = ours.collect();
    let exits = ["--check", "--doctor", "--report", "--example", "--import", "--help", "--version"]
        .iter()
        .any(|option| ours.contains(option));
    if !exits {
        ours.push("--check");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_lb-app"));
    let output = command.arg("--").args(&ours).current_dir(folder).output().expect("lb-app runs");
    // The doctor's verdict is about this host.
    let is_well = output.status.success() || ours.contains(&"--doctor") && output.status.code() == Some(1);
    assert!(is_well, "{place}: {}", String::from_utf8_lossy(&output.stderr));
}

fn make(place: &str, words: &[String]) {
    let makefile = fs::read_to_string(root().join("Makefile")).expect("the Makefile");
    for word in words[1..].iter().filter(|word| !word.contains('=')) {
        let has = makefile.lines().any(|line| line.split_once(':').is_some_and(|(target, _)| target == word));
        assert!(has, "{place}: the Makefile has no target {word}");
    }
}

fn cargo(place: &str, words: &[String]) {
    let value = |option: &str| {
        let at = words.iter().position(|word| word == option)?;
        words.get(at + 1).map(String::as_str)
    };
    let package = value("-p").unwrap_or_else(|| panic!("{place}: no package"));
    let folders = ["dpdk-sys", "lb-core", "lb-app", "lb-app/lb-ctl", "perf", "tests"];
    let name = format!("name = \"{package}\"");
    let is_it = |folder: &&&str| {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest");
        manifest.lines().any(|line| line == name)
    };
    let folder = folders.iter().find(is_it).unwrap_or_else(|| panic!("{place}: no package {package}"));
    let folder = root().join(folder);
    if let Some(test) = value("--test") {
        let files =
            [format!("tests/{test}.rs"), format!("tests/{test}/main.rs"), format!("stories/{test}.rs")];
        assert!(files.iter().any(|file| folder.join(file).is_file()), "{place}: no test {test}");
    }
    if let Some(bin) = value("--bin") {
        assert!(folder.join(format!("src/bin/{bin}.rs")).is_file(), "{place}: no program {bin}");
    }
}

fn perf(place: &str, program: &str) {
    let name = program.rsplit('/').next().expect("a name");
    assert!(root().join(format!("perf/src/bin/{name}.rs")).is_file(), "{place}: no program {name}");
}
