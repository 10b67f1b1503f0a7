//! `lb-app --report`: everything that a bug report needs, in one file: versions, configuration, what the doctor finds, what
//! the running director counts, and its log. What may be secret in a configuration is masked; connections, packets and
//! clients' addresses are not in it.

mod archive;
mod masked;

use crate::{
    cli::CommandLine,
    config::{self, Config, Limits, Wanted, source::Source},
    doctor,
    say::say,
};
use anyhow::{Context, Result};
use archive::Archive;
use lb_ctl::{session::Session, transport::Socket};
use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, atomic::AtomicBool},
};

/// What the running director is asked, in the shell's words.
const QUESTIONS: [&str; 22] = [
    "show director",
    "show config cores",
    "show config rxtx",
    "show config fwd",
    "show port info all",
    "show port stats all",
    "show port xstats all",
    "show services stats",
    "show services rate",
    "show health",
    "show events count 1024",
    "show workers",
    "show workers histogram",
    "show drops all",
    "show fwd stats all",
    "show neighbours",
    "show routes",
    "show timeouts",
    "show tables",
    "show memory",
    "dump mempool",
    "count connections",
];
/// Lines of the log, the last ones.
const LOG_LINES: &str = "2000";
/// Where everything is within the file.
const DIRECTORY: &str = "lb-app-report";

/// Writes the file, which must not exist, for root only.
///
/// # Errors
/// When it cannot be written. What cannot be found out is said within.
pub(crate) fn run(command: &CommandLine, file: &Path) -> Result<()> {
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut out = created.with_context(|| format!("cannot create {}", file.display()))?;
    let mut archive = Archive::new(DIRECTORY);
    archive.add("README.txt", README);
    archive.add("versions.txt", &versions());
    let conf = command.options.conf_if_any();
    let limits = Limits { workers: 1, available_bytes: u64::MAX };
    let config = conf.and_then(|conf| config::load(conf, limits).ok());
    archive
        .add("configuration.toml", &conf.map_or_else(|| "no --conf was given\n".to_owned(), configuration));
    archive.add("doctor.txt", &doctor::text_for(command));
    let socket = socket(config.as_ref(), &command.eal);
    match Socket::connect(&socket) {
        Ok(socket) => {
            let mut session = Session::new(socket, false, Arc::new(AtomicBool::new(false)));
            for question in QUESTIONS {
                let mut answer = Vec::new();
                if let Err(failure) = session.line(question, &mut answer) {
                    answer.extend_from_slice(format!("{failure}\n").as_bytes());
                }
                let name = format!("director/{}.txt", question.replace(' ', "-"));
                archive.add(&name, &String::from_utf8_lossy(&answer));
            }
        }
        Err(error) => archive.add("director/not-asked.txt", &format!("{error}\n")),
    }
    archive.add("log.txt", &log());
    let names = archive.names().join(", ");
    out.write_all(&archive.finish()).with_context(|| format!("cannot write {}", file.display()))?;
    say(format!("{}: {names}\nLook through it before you send it: tar -xf {0}\n", file.display()));
    Ok(())
}

const README: &str = "\
What lb-app --report found on one host, for a bug report. Secrets of the configuration are masked as far as lb-app knows
them: arguments of programs, payloads and patterns of checks, what follows a ? in paths. Comments are left out. Names,
addresses of servers and the log are as they are: look through it before you send it.

versions.txt         lb-app, DPDK, kernel, distribution, CPU, memory
configuration.toml   the file that was named by --conf
doctor.txt           lb-app --doctor
director/            what the running director answers to lbctl
log.txt              the last lines of the unit's journal
";

fn versions() -> String {
    let mut text = format!("lb-app {}\n", crate::cli::version());
    let mut file = |name: &str, prefixes: &[&str], most: usize| {
        let read = fs::read_to_string(name).unwrap_or_default();
        let lines =
            read.lines().filter(|line| prefixes.iter().any(|prefix| line.starts_with(prefix))).take(most);
        lines.for_each(|line| {
            let _ = writeln!(text, "{name}: {line}");
        });
    };
    file("/proc/version", &[""], 1);
    file("/proc/cmdline", &[""], 1);
    file("/etc/os-release", &["PRETTY_NAME"], 1);
    file("/proc/cpuinfo", &["model name", "flags"], 2);
    file("/proc/meminfo", &["MemTotal", "MemAvailable", "HugePages", "Hugepagesize"], 8);
    text
}

/// The file, and those that it includes, without comments and secrets; why not, if it cannot be read.
fn configuration(path: &Path) -> String {
    let sources = match config::read(path) {
        Ok(sources) => sources,
        // What a report shows of a file may be secret.
        Err(report) => {
            return report.problems.iter().map(|problem| format!("# {}\n", problem.line())).collect();
        }
    };
    let is_alone = sources.files().len() == 1;
    let files = sources.files().iter().map(|Source { path, text }| {
        let text = masked::masked(text).unwrap_or_else(|error| format!("# {}: {error}\n", path.display()));
        if is_alone { text } else { format!("# {}\n{text}", path.display()) }
    });
    files.collect()
}

/// Where the director listens that these arguments would start.
fn socket(config: Option<&Config>, eal: &[String]) -> PathBuf {
    let usual = Path::new(lb_ctl::DEFAULT_SOCKET);
    match config.map(|config| &config.control.socket) {
        Some(Wanted::Path(path)) => path.clone(),
        _ => file_prefix(eal).map_or(usual.to_owned(), |name| usual.with_file_name(format!("{name}.sock"))),
    }
}

/// EAL's `--file-prefix`, as one word or two.
fn file_prefix(eal: &[String]) -> Option<&str> {
    let at = eal.iter().position(|argument| argument.starts_with("--file-prefix"))?;
    match eal[at].split_once('=') {
        Some((_, name)) => Some(name),
        None => eal.get(at + 1).map(String::as_str),
    }
}

/// The unit's journal.
fn log() -> String {
    let mut journal = Command::new("journalctl");
    journal.args(["--unit", "lb-app", "--lines", LOG_LINES, "--no-pager", "--output", "short-iso-precise"]);
    match journal.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        Ok(output) => format!("journalctl: {}\n", String::from_utf8_lossy(&output.stderr).trim_end()),
        Err(error) => {
            format!("journalctl: {error}; where lb-app is no unit of systemd, add its log yourself\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_ctl::command;

    #[test]
    fn every_question_is_a_command() {
        for question in QUESTIONS {
            assert!(command::parse(question).is_ok_and(|command| command.is_some()), "{question}");
        }
    }

    #[test]
    fn the_directors_socket_follows_from_its_arguments() {
        let words = |line: &str| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
        assert_eq!(socket(None, &words("-l 0-2")), Path::new("/run/lb/lb.sock"));
        assert_eq!(socket(None, &words("--file-prefix two -l 0")), Path::new("/run/lb/two.sock"));
        assert_eq!(socket(None, &words("--file-prefix=two")), Path::new("/run/lb/two.sock"));
    }
}
