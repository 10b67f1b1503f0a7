//! `lbctl`: asks and changes a running `lb-app`.

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use lb_ctl::{
    DEFAULT_SOCKET,
    command::{self, Command, help, ipvsadm},
    man::{self, Section},
    session::{Failure, Session},
    shell::{self, End},
    transport::Socket,
};
use signal_hook::{consts::SIGINT, flag};
use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

/// Asks and changes a running lb-app.
///
/// Without a command it opens a shell. Commands are those of the shell; `lbctl help all` lists them. ipvsadm's listings work as well: -Ln, -Ln --stats, -Ln --rate, -Lnc.
#[derive(Debug, Parser)]
#[command(name = "lbctl", version, disable_help_subcommand = true)]
struct Options {
    /// Where lb-app listens
    #[arg(long, global = true, value_name = "PATH", default_value = DEFAULT_SOCKET, env = "LB_SOCKET")]
    socket: PathBuf,
    /// Print answers as JSON, one document a line
    #[arg(long, global = true)]
    json: bool,
    /// Run the commands of a file; it stops at the first that fails
    #[arg(long, value_name = "FILE")]
    cmdline_file: Option<PathBuf>,
    /// The command; none opens a shell
    #[command(subcommand)]
    command: Option<Own>,
}

/// The shell's commands, and those that only a program has.
#[derive(Clone, Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one")]
enum Own {
    #[command(flatten)]
    Shared(Command),
    /// Print what a shell needs to complete lbctl's words
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual page into a directory
    #[command(hide = true)]
    Man {
        /// The directory
        directory: PathBuf,
    },
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let status = failure.exit_status();
            if let Failure::Usage(error) = &failure {
                let _ = error.print();
            } else if !matches!(failure, Failure::Output(_)) {
                eprintln!("lbctl: {failure}");
            }
            ExitCode::from(status)
        }
    }
}

fn run() -> Result<(), Failure> {
    let options = options()?;
    let interrupt = Arc::new(AtomicBool::new(false));
    // Ctrl-C ends a listing between two pages; a second one, should that take too long, ends the program.
    let set_up = || {
        flag::register_conditional_shutdown(SIGINT, 130, interrupt.clone())?;
        flag::register(SIGINT, interrupt.clone())
    };
    set_up()?;
    let mut out = io::stdout().lock();
    let session =
        || Ok::<_, Failure>(Session::new(Socket::connect(&options.socket)?, options.json, interrupt.clone()));
    if let Some(file) = &options.cmdline_file {
        session()?.load(file, false, &mut out)?;
    }
    match options.command {
        Some(Own::Shared(Command::Help { topic })) => {
            Ok(out.write_all(help::help(&topic).map_err(Failure::Wrong)?.as_bytes())?)
        }
        Some(Own::Shared(command)) => session()?.run(command, &mut out).map(drop),
        Some(Own::Completions { shell }) => {
            clap_complete::generate(shell, &mut Options::command(), "lbctl", &mut out);
            Ok(())
        }
        Some(Own::Man { directory }) => Ok(man::write(&Options::command(), &directory, Section::Commands)?),
        None if options.cmdline_file.is_some() => Ok(()),
        None => match shell::run(session()?, "lbctl> ", &mut out) {
            End::Quit => out.flush().map_err(Failure::Output),
            End::Failed(failure) => Err(failure),
            End::Lost(error) => Err(Failure::Call(error)),
        },
    }
}

fn options() -> Result<Options, Failure> {
    let matches = Options::command().try_get_matches_from(arrange(std::env::args().collect()))?;
    Ok(Options::from_arg_matches(&matches)?)
}

/// Gives a command's qualifiers their dashes, and translates ipvsadm's listings.
fn arrange(mut arguments: Vec<String>) -> Vec<String> {
    let mut at = 1;
    while let Some(argument) = arguments.get(at).filter(|argument| argument.starts_with('-')) {
        if let Some(command) = ipvsadm::listing(&arguments[at..]) {
            arguments.splice(at.., command);
            return arguments;
        }
        at += if matches!(argument.as_str(), "--socket" | "--cmdline-file") { 2 } else { 1 };
    }
    let command = arguments.split_off(at.min(arguments.len()));
    arguments.extend(command::words::canonical(command));
    arguments
}
