//! The command line of `lbctl`: its own options, then a command of the shell or an invocation of ipvsadm's.

use crate::{
    DEFAULT_SOCKET,
    command::{self, Command},
    completion::Shell,
    ipvsadm::options::is_command,
};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::path::PathBuf;

/// Asks and changes a running lb-app.
///
/// Without a command it opens a shell. Commands are those of the shell; `lbctl help all` lists them. ipvsadm's options work as well (-A, -a, -Ln, -S and the like), also by a link of that name to lbctl.
#[derive(Debug, Parser)]
#[command(name = "lbctl", version = crate::version::VERSION, disable_help_subcommand = true)]
pub struct Options {
    /// Where lb-app listens
    #[arg(long, global = true, value_name = "PATH", default_value = DEFAULT_SOCKET, env = "LB_SOCKET")]
    pub socket: PathBuf,
    /// Print answers as JSON, one document a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Run the commands of a file; it stops at the first that fails
    #[arg(long, value_name = "FILE")]
    pub cmdline_file: Option<PathBuf>,
    /// The command; none opens a shell
    #[command(subcommand)]
    pub command: Option<Own>,
}

/// The shell's commands, and those that only a program has.
#[derive(Clone, Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one")]
pub enum Own {
    /// A command of the shell
    #[command(flatten)]
    Shared(Command),
    /// Print what a shell needs to complete lbctl's words
    Completions {
        /// The shell
        shell: Shell,
    },
    /// What could stand at the end of a line; the shells' scripts ask
    #[command(name = "__complete", hide = true)]
    Complete {
        /// The line up to the cursor
        #[arg(allow_hyphen_values = true)]
        line: String,
    },
    /// What ipvsadm would do with these arguments
    #[command(name = "__ipvsadm", hide = true, disable_help_flag = true)]
    Ipvsadm {
        /// Its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Write the manual page into a directory
    #[command(hide = true)]
    Man {
        /// The directory
        directory: PathBuf,
    },
}

/// Reads the arguments, the program's name first.
///
/// # Errors
/// clap's error, help and version included.
pub fn parse(arguments: Vec<String>) -> Result<Options, clap::Error> {
    let tree = Options::command();
    let arguments = arrange(&tree, arguments)?;
    Options::from_arg_matches(&tree.try_get_matches_from(arguments)?)
}

/// Makes a command's words whole and gives its qualifiers their dashes; leaves to ipvsadm what is its own.
fn arrange(tree: &clap::Command, mut arguments: Vec<String>) -> Result<Vec<String>, clap::Error> {
    let program = arguments.first().map(|program| program.rsplit('/').next().unwrap_or_default());
    let is_ipvsadm = program == Some("ipvsadm");
    let mut at = 1;
    while let Some(argument) = arguments.get(at).filter(|argument| argument.starts_with('-')) {
        if !is_ipvsadm && is_command(argument) {
            break;
        }
        match argument.split('=').next().unwrap_or_default() {
            "--socket" | "--cmdline-file" => at += if argument.contains('=') { 1 } else { 2 },
            "--json" => at += 1,
            _ if is_ipvsadm => break,
            _ => at += 1,
        }
    }
    let at = at.min(arguments.len());
    if is_ipvsadm || arguments.get(at).is_some_and(|argument| is_command(argument)) {
        arguments.splice(at..at, ["__ipvsadm", "--"].map(str::to_owned));
        return Ok(arguments);
    }
    let command = arguments.split_off(at);
    arguments.extend(command::words::resolve(tree, command).map_err(command::wrong)?);
    Ok(arguments)
}
