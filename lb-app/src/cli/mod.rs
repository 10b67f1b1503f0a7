//! The command line: EAL arguments, `--`, our arguments.

mod completions;
mod example;
mod from;
mod manual;
mod roff;

use crate::{dpdk, log::Format};
use clap::{CommandFactory, Parser, error::ErrorKind};
use completions::Shell;
use example::Example;
pub(crate) use from::From;
use std::{
    io,
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// A layer-4 load balancer: LVS in user space, on DPDK.
///
/// The arguments before `--` are for DPDK's environment abstraction layer (EAL): which lcores to use, how much memory,
/// which devices. The first lcore is for control; each of the others is a worker, which polls one receive queue of
/// every port. The arguments after `--` are for lb-app.
#[derive(Debug, Parser)]
#[command(
    name = "lb-app",
    version = version(),
    override_usage = "lb-app [EAL ARGUMENTS] -- --conf <FILE> [OPTIONS]",
    after_help = "Examples:\n  \
        lb-app -l 0-2 -- --conf lb.toml\n  \
        lb-app --no-huge -m 512 --no-pci -l 0,1 -- --conf lb.toml\n  \
        lb-app -- --check --conf lb.toml\n  \
        lb-app -l 0-2 -- --doctor --conf lb.toml\n  \
        lb-app --example nat > lb.toml\n  \
        lb-app --import keepalived /etc/keepalived/keepalived.conf > lb.toml\n\n\
        Signals: INT and TERM stop it and print statistics; USR1 prints a status report;\n         HUP reloads the configuration."
)]
pub(crate) struct Options {
    /// The configuration file; lb.toml(5) and conf/README.md describe it.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["doctor", "report", "example", "import", "man", "completions"])]
    conf: Option<PathBuf>,

    /// Report what is wrong or slow on this host, with the command that fixes it, and exit; with status 1 if something
    /// is wrong. With `--conf`, check the ports and the capacity in the configuration as well.
    #[arg(long, conflicts_with = "check")]
    pub(crate) doctor: bool,

    /// Write what a bug report needs to a tar file: versions, the configuration with secrets masked, what the doctor
    /// finds, what the running director counts, and its log.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["check", "doctor"])]
    pub(crate) report: Option<PathBuf>,

    /// With `--doctor`: print JSON instead of lines.
    #[arg(long, requires = "doctor")]
    pub(crate) json: bool,

    /// Validate the configuration, print it with every default filled in, and exit.
    #[arg(long)]
    pub(crate) check: bool,

    /// Withdraw all VIPs from routing daemons as `[announce]` says, and exit: for the service manager, should a director have
    /// ended without doing so.
    #[arg(long, conflicts_with_all = ["check", "doctor", "report"])]
    pub(crate) withdraw: bool,

    /// Open a shell; leaving it ends the director.
    #[arg(short, long)]
    pub(crate) interactive: bool,

    /// Run the commands of a file, then forward; with `stop` among them it does not. One that fails ends the director with
    /// an error.
    #[arg(long, value_name = "FILE")]
    pub(crate) cmdline_file: Option<PathBuf>,

    /// Format of log lines, which go to standard error. The environment variable `RUST_LOG` and the command
    /// `set verbose` set the level.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) log_format: Format,

    /// Descriptors of each receive queue: how many packets it holds while its worker is busy.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u16).range(32..=32768))]
    pub(crate) rxd: u16,

    /// Descriptors of each transmit queue.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u16).range(32..=32768))]
    pub(crate) txd: u16,

    /// Packet buffers in total; by default as many as queues, rings and caches can hold.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1024..=16_777_216))]
    pub(crate) total_num_mbufs: Option<u32>,

    /// Print a configuration to start from, with comments, and exit.
    #[arg(long, value_enum, value_name = "NAME", exclusive = true)]
    example: Option<Example>,

    /// Print a configuration made of another load balancer's files, with comments on what differs and what has no equal
    /// here, and exit. The file `-` is standard input.
    #[arg(long, value_enum, value_name = "FROM", requires = "files", conflicts_with_all = ["conf", "check", "doctor", "report"])]
    pub(crate) import: Option<From>,

    /// With `--import`: the files to read.
    #[arg(value_name = "FILE", requires = "import")]
    pub(crate) files: Vec<PathBuf>,

    /// Write the manual pages lb-app.8 and lb.toml.5 into a directory, and exit.
    #[arg(long, value_name = "DIRECTORY", exclusive = true)]
    man: Option<PathBuf>,

    /// Print what a shell needs to complete this command line, and exit.
    #[arg(long, value_name = "SHELL", exclusive = true)]
    completions: Option<Shell>,
}

impl Options {
    /// The configuration.
    pub(crate) fn conf(&self) -> &Path {
        self.conf.as_deref().expect("clap insists on it, except for what is printed and the doctor")
    }

    /// The configuration, if there is one.
    pub(crate) fn conf_if_any(&self) -> Option<&Path> {
        self.conf.as_deref()
    }

    /// What to print instead of running, if that was asked for.
    ///
    /// # Errors
    /// When manual pages cannot be written.
    pub(crate) fn print(&self) -> Option<io::Result<String>> {
        if let Some(example) = self.example {
            return Some(Ok(example.text().to_owned()));
        }
        if let Some(shell) = self.completions {
            return Some(Ok(completions::script(Options::command(), shell)));
        }
        self.man
            .as_deref()
            .map(|directory| manual::write(Options::command(), directory).map(|()| String::new()))
    }
}

/// The two halves of the command line.
#[derive(Debug)]
pub(crate) struct CommandLine {
    /// For DPDK.
    pub(crate) eal: Vec<String>,
    /// For us.
    pub(crate) options: Options,
}

/// Splits and reads the arguments behind the program's name.
///
/// # Errors
/// clap's error, help and version included: print it and exit with its code.
pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<CommandLine, clap::Error> {
    let arguments: Vec<String> = arguments.into_iter().collect();
    let (eal, ours) = match arguments.iter().position(|argument| argument == "--") {
        Some(at) => (arguments[..at].to_vec(), &arguments[at + 1..]),
        // Without `--` there are no arguments of ours, but a request for help should show ours, not EAL's.
        None if wants_ours(&arguments) => (Vec::new(), &arguments[..]),
        None => {
            let complaint = "lb-app's own arguments are missing: they come after `--`, as in `lb-app -l 0-2 -- --conf \
                             lb.toml`";
            return Err(Options::command().error(ErrorKind::MissingRequiredArgument, complaint));
        }
    };
    let program = "lb-app".to_owned();
    let options = Options::try_parse_from(std::iter::once(&program).chain(ours))?;
    Ok(CommandLine { eal, options })
}

/// Version, commit, and the DPDK that is loaded, which may be newer than the one that was compiled with.
pub(crate) fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let (version, commit) = (env!("CARGO_PKG_VERSION"), lb_ctl::version::COMMIT);
        format!("{version} (commit {commit}, {})", dpdk::version())
    });
    &VERSION
}

fn wants_ours(arguments: &[String]) -> bool {
    const OURS: &[&str] = &[
        "-h",
        "--help",
        "-V",
        "--version",
        "--conf",
        "--check",
        "--withdraw",
        "--doctor",
        "--report",
        "--example",
        "--import",
        "--man",
        "--completions",
    ];
    let first = arguments.first().map(|argument| argument.split('=').next().unwrap_or_default());
    first.is_none_or(|first| OURS.contains(&first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<CommandLine, clap::Error> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn both_halves_are_read() {
        let line = parse_line("-l 0-2 --no-huge -- --conf lb.toml --rxd 512").unwrap();
        assert_eq!(line.eal, ["-l", "0-2", "--no-huge"]);
        assert_eq!(line.options.conf(), Path::new("lb.toml"));
        assert_eq!((line.options.rxd, line.options.txd, line.options.check), (512, 1024, false));
    }

    #[test]
    fn without_dashes_only_our_own_arguments_make_sense() {
        assert!(parse_line("--check --conf lb.toml").unwrap().options.check);
        assert_eq!(parse_line("--help").unwrap_err().kind(), ErrorKind::DisplayHelp);
        let error = parse_line("-l 0-2 --conf lb.toml").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument);
        assert!(error.to_string().contains("after `--`"), "{error}");
        assert_eq!(parse_line("-l 0 --").unwrap_err().kind(), ErrorKind::MissingRequiredArgument);
    }

    #[test]
    fn the_version_names_commit_and_dpdk() {
        let text = parse_line("--version").unwrap_err().to_string();
        let rest = text.strip_prefix(concat!("lb-app ", env!("CARGO_PKG_VERSION"), " (commit ")).unwrap();
        let (commit, dpdk) = rest.trim_end().split_once(", DPDK ").unwrap();
        assert!(commit == "unknown" || commit.chars().all(|digit| digit.is_ascii_hexdigit()), "{text}");
        assert!(dpdk.ends_with(')') && dpdk.starts_with(|digit: char| digit.is_ascii_digit()), "{text}");
    }

    #[test]
    fn the_definition_is_sound() {
        Options::command().debug_assert();
    }
}
