//! The tree of commands, and what each comes to.

use super::{args, change, connections, follow::WatchArgs, show, step::Step, top::TopArgs, watch};
use crate::{
    protocol::{Request, director, ports},
    render::View,
};
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// A line of the shell or of a file.
#[derive(Debug, Parser)]
#[command(multicall = true, disable_help_subcommand = true, subcommand_required = true)]
pub struct ShellLine {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands, by verb.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Start forwarding: poll all ports
    Start,
    /// Stop polling and print the accumulated statistics; workers keep their connections
    Stop,
    /// Withdraw what is announced, then stop
    #[command(subcommand)]
    Drain(change::Drain),
    /// Show something
    #[command(subcommand)]
    Show(show::Show),
    /// Add something
    #[command(subcommand)]
    Add(change::Add),
    /// Change something
    #[command(subcommand)]
    Set(change::Set),
    /// Delete something
    #[command(subcommand)]
    Delete(change::Delete),
    /// End connections
    #[command(subcommand)]
    Flush(connections::Flush),
    /// Count connections
    #[command(subcommand)]
    Count(connections::CountWhat),
    /// Count from 0 again
    #[command(subcommand)]
    Clear(show::Clear),
    /// Start or stop a port
    #[command(subcommand)]
    Port(PortCommand),
    /// Explain what would happen to a packet, and why
    Explain(watch::Explain),
    /// Explain packets as they pass
    #[command(subcommand)]
    Trace(watch::Trace),
    /// Write packets to a file
    #[command(subcommand)]
    Capture(watch::Capture),
    /// Show internals
    #[command(subcommand)]
    Dump(show::Dump),
    /// Run the commands of a file
    Load {
        /// The file; a line is a command, `#` begins a comment
        #[arg(value_hint = clap::ValueHint::FilePath)]
        file: PathBuf,
        /// Continue after a command that failed
        #[arg(long)]
        keep_going: bool,
    },
    /// Read the configuration file again and apply what is different
    Reload {
        /// Show what is different, change nothing
        #[arg(long, conflicts_with = "confirm_within")]
        dry_run: bool,
        /// Roll back unless `confirm` comes within this time
        #[arg(long, value_name = "TIME", value_parser = args::duration)]
        confirm_within: Option<u64>,
    },
    /// Confirm the pending reload
    Confirm,
    /// Write the running configuration to the configuration file
    Save,
    /// Show the live view
    Top(TopArgs),
    /// Follow events as they happen, until Ctrl-C
    Watch(WatchArgs),
    /// Show the commands of a section, or the usage of one command
    Help {
        /// A section or the words of a command
        topic: Vec<String>,
    },
    /// End the director, from any client
    Shutdown,
    /// Leave the shell; in that of `lb-app -i`, end the director
    #[command(visible_alias = "exit")]
    Quit,
}

/// `port ...`
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum PortCommand {
    /// Enable a port that was stopped
    Start {
        /// Number or name of a port, or `all`
        #[arg(id = "port", value_name = "PORT|all")]
        port: String,
    },
    /// Disable a port: it neither receives nor sends
    Stop {
        /// Number or name of a port, or `all`
        #[arg(id = "port", value_name = "PORT|all")]
        port: String,
    },
}

impl Command {
    /// What the command does.
    #[must_use]
    pub fn step(self) -> Step {
        let ask = |request| Step::Ask(request, View::Plain);
        match self {
            Command::Start => ask(Request::Director(director::Request::Start)),
            Command::Stop => ask(Request::Director(director::Request::Stop)),
            Command::Drain(change::Drain::Director) => ask(Request::Director(director::Request::Drain)),
            Command::Show(show) => show.step(),
            Command::Add(add) => ask(add.request()),
            Command::Set(set) => ask(set.request()),
            Command::Delete(delete) => ask(delete.request()),
            Command::Flush(flush) => ask(flush.request()),
            Command::Count(count) => ask(count.request()),
            Command::Clear(clear) => ask(clear.request()),
            Command::Port(PortCommand::Start { port }) => {
                ask(Request::Ports(ports::Request::Start { port: args::all_or(port) }))
            }
            Command::Port(PortCommand::Stop { port }) => {
                ask(Request::Ports(ports::Request::Stop { port: args::all_or(port) }))
            }
            Command::Explain(explain) => ask(explain.request()),
            Command::Trace(trace) => ask(trace.request()),
            Command::Capture(capture) => capture.step(),
            Command::Dump(dump) => dump.step(),
            Command::Load { file, keep_going } => Step::Load(file, keep_going),
            Command::Reload { dry_run, confirm_within } => {
                ask(Request::Director(director::Request::Reload {
                    dry_run,
                    confirm_within_ms: confirm_within,
                }))
            }
            Command::Confirm => ask(Request::Director(director::Request::Confirm)),
            Command::Save => ask(Request::Director(director::Request::Save)),
            Command::Top(args) => Step::Top(args),
            Command::Watch(args) => Step::Watch(args.latest()),
            Command::Help { topic } => Step::Help(topic),
            Command::Shutdown => ask(Request::Director(director::Request::Quit)),
            Command::Quit => Step::Quit,
        }
    }
}
