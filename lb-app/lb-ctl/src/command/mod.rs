//! The command language: verb, object, qualifiers.
//!
//! The tree of commands is clap's, so that parsing, completion, help, man pages and shell completions come from one
//! place. Qualifiers are clap's long options; in a command's line they are written with or without dashes: `weight 5`
//! is `--weight 5`.

mod args;
mod change;
pub mod complete;
mod connections;
pub mod help;
pub mod ipvsadm;
mod show;
mod watch;
pub mod words;

pub use connections::{FilterArgs, WhichConnection};

use crate::protocol::{Request, director, ports};
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// A line of the shell or of a file.
#[derive(Debug, Parser)]
#[command(multicall = true, disable_help_subcommand = true, subcommand_required = true)]
pub struct Line {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands, by verb.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Forward: poll all ports
    Start,
    /// Poll no port, and print the accumulated statistics; workers keep their connections
    Stop,
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
    /// Let counters start from 0
    #[command(subcommand)]
    Clear(show::Clear),
    /// Start or stop a port
    #[command(subcommand)]
    Port(PortCommand),
    /// Tell what would become of a packet, and why
    Explain(watch::Explain),
    /// Tell what becomes of packets as they pass
    #[command(subcommand)]
    Trace(watch::Trace),
    /// Write packets to a file
    #[command(subcommand)]
    Capture(watch::Capture),
    /// Show the insides
    #[command(subcommand)]
    Dump(show::Dump),
    /// Run the commands of a file
    Load {
        /// The file; a line is a command, `#` begins a comment
        #[arg(value_hint = clap::ValueHint::FilePath)]
        file: PathBuf,
        /// Go on after a command that failed
        #[arg(long)]
        keep_going: bool,
    },
    /// Read the configuration file again, and make it so
    Reload {
        /// Say what is different, and leave it
        #[arg(long, conflicts_with = "confirm_within")]
        dry_run: bool,
        /// Go back unless there is a `confirm` within that time
        #[arg(long, value_name = "TIME", value_parser = args::duration)]
        confirm_within: Option<u64>,
    },
    /// Keep what was reloaded on condition
    Confirm,
    /// Make the configuration file say what runs
    Save,
    /// Show the live view
    Top(crate::top::TopArgs),
    /// Show the commands of a section, or how one command is written
    Help {
        /// A section or the words of a command
        topic: Vec<String>,
    },
    /// End the director, wherever this is typed
    Shutdown,
    /// Leave the shell; in that of `lb-app -i`, end the director
    #[command(visible_alias = "exit")]
    Quit,
}

/// `port ...`
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum PortCommand {
    /// Let a port move packets again
    Start {
        /// Number or name of a port, or `all`
        #[arg(id = "port", value_name = "PORT|all")]
        port: String,
    },
    /// Let a port move no packets
    Stop {
        /// Number or name of a port, or `all`
        #[arg(id = "port", value_name = "PORT|all")]
        port: String,
    },
}

/// What a command comes to.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "one at a time")]
pub enum Step {
    /// Ask the director, and show the answer in some way.
    Ask(Request, View),
    /// Run a file.
    Load(PathBuf, bool),
    /// The live view.
    Top(crate::top::TopArgs),
    /// Text that needs no director.
    Help(Vec<String>),
    /// End of the session.
    Quit,
}

/// In which way an answer is shown, where there are several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// The way that there is.
    #[default]
    Plain,
    /// `--stats`: sums.
    Stats,
    /// `--rate`: a second.
    Rate,
    /// A line for each.
    Summary,
    /// Distribution of polls.
    Histogram,
    /// testpmd's `show config fwd`.
    ConfigForward,
    /// testpmd's `show config rxtx`.
    ConfigRxTx,
    /// testpmd's `show config cores`.
    ConfigCores,
    /// The redirection table.
    Reta,
    /// The hash.
    RssHash,
    /// Packet pools.
    Mempool,
    /// As many connections, at most.
    Limit(u64),
}

impl Command {
    /// What the command comes to.
    #[must_use]
    pub fn step(self) -> Step {
        let ask = |request| Step::Ask(request, View::Plain);
        match self {
            Command::Start => ask(Request::Director(director::Request::Start)),
            Command::Stop => ask(Request::Director(director::Request::Stop)),
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
            Command::Capture(capture) => ask(capture.request()),
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
            Command::Help { topic } => Step::Help(topic),
            Command::Shutdown => ask(Request::Director(director::Request::Quit)),
            Command::Quit => Step::Quit,
        }
    }
}

/// Reads a line. `None` when there is nothing on it but a comment.
///
/// # Errors
/// What clap has to say.
pub fn parse(line: &str) -> Result<Option<Command>, clap::Error> {
    let words = words::split(line)
        .map_err(|what| clap::Error::raw(clap::error::ErrorKind::InvalidValue, format!("{what}\n")))?;
    if words.is_empty() {
        return Ok(None);
    }
    parse_words(words).map(Some)
}

/// Reads a command's words.
///
/// # Errors
/// What clap has to say.
pub fn parse_words(words: Vec<String>) -> Result<Command, clap::Error> {
    let words = words::canonical(words);
    Line::try_parse_from(words).map(|line| line.command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Protocol, connections, services, timeouts};
    use clap::CommandFactory;

    fn request(line: &str) -> Request {
        match parse(line).unwrap_or_else(|error| panic!("{line}: {error}")).unwrap().step() {
            Step::Ask(request, _) => request,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn complaint(line: &str) -> String {
        parse(line).unwrap_err().to_string()
    }

    #[test]
    fn the_tree_is_sound() {
        Line::command().debug_assert();
    }

    #[test]
    fn comments_and_blank_lines_are_nothing() {
        assert_eq!(parse("  # start").unwrap(), None);
        assert_eq!(parse("").unwrap(), None);
        assert_eq!(parse("start # now").unwrap(), Some(Command::Start));
    }

    #[test]
    fn testpmds_commands_are_known() {
        assert_eq!(request("show port stats all"), Request::Ports(ports::Request::Stats { port: None }));
        assert_eq!(
            request("show port info 1"),
            Request::Ports(ports::Request::Info { port: Some("1".into()) })
        );
        assert_eq!(request("show port 0 rss reta"), Request::Ports(ports::Request::Rss { port: "0".into() }));
        assert_eq!(request("show port 0 rss-hash"), Request::Ports(ports::Request::Rss { port: "0".into() }));
        assert_eq!(
            request("clear port stats 1"),
            Request::Ports(ports::Request::Clear { port: Some("1".into()) })
        );
        assert_eq!(request("port stop 1"), Request::Ports(ports::Request::Stop { port: Some("1".into()) }));
        assert_eq!(request("set verbose 3"), Request::Director(director::Request::Verbose { level: 3 }));
        for line in [
            "start",
            "stop",
            "show config fwd",
            "show config rxtx",
            "show config cores",
            "show fwd stats all",
        ] {
            request(line);
        }
        for line in ["clear fwd stats all", "dump mempool", "show port xstats all", "show port summary all"] {
            request(line);
        }
        assert_eq!(parse("quit").unwrap(), Some(Command::Quit));
        assert_eq!(
            parse("load a.cmd").unwrap(),
            Some(Command::Load { file: "a.cmd".into(), keep_going: false })
        );
    }

    #[test]
    fn qualifiers_go_without_dashes() {
        let server = |weight| services::Request::AddServer {
            service: "web".into(),
            address: "198.51.100.11".parse().unwrap(),
            port: Some(8080),
            weight,
        };
        assert_eq!(request("add server web 198.51.100.11:8080 weight 5"), Request::Services(server(Some(5))));
        assert_eq!(
            request("add server web 198.51.100.11:8080 --weight 5"),
            Request::Services(server(Some(5)))
        );
        assert_eq!(request("add server web 198.51.100.11:8080"), Request::Services(server(None)));
        let Request::Services(services::Request::Add(new)) =
            request("add service weight udp [2001:db8::1]:53 tun scheduler mh hash-port")
        else {
            panic!()
        };
        assert_eq!(
            (new.name.as_str(), new.protocol, new.port, new.hash_port),
            ("weight", Protocol::Udp, 53, true)
        );
    }

    #[test]
    fn connections_are_chosen_by_any_field() {
        let line = "show connections protocol tcp client 192.0.2.0/24 client-port 7 vip 192.0.2.100 vip-port 80 \
                    server 198.51.100.11 server-port 8080 service web method nat state established worker 1 age 5s \
                    idle 2m remaining 1h packets 3 bytes 4 limit 9";
        let Request::Connections(connections::Request::List { filter, cursor: None, limit }) = request(line)
        else {
            panic!()
        };
        assert_eq!(limit, Some(9));
        assert_eq!(filter.client, Some("192.0.2.0/24".parse().unwrap()));
        assert_eq!(filter.vip, Some("192.0.2.100/32".parse().unwrap()));
        assert_eq!(
            (filter.age_ms, filter.idle_ms, filter.remaining_ms),
            (Some(5_000), Some(120_000), Some(3_600_000))
        );
        assert_eq!((filter.worker, filter.packets, filter.bytes), (Some(1), Some(3), Some(4)));
        assert!(complaint("flush connections").contains("required"), "everything is said, not implied");
        request("flush connections all");
        request("flush connections service web");
        request("delete connection tcp 192.0.2.10:40000 192.0.2.100:80");
    }

    #[test]
    fn timeouts_have_units() {
        let set =
            |timeout_ms| timeouts::Request::Set { service: None, state: "established".into(), timeout_ms };
        assert_eq!(request("set timeout established 15m"), Request::Timeouts(set(900_000)));
        assert_eq!(request("set timeout established 90"), Request::Timeouts(set(90_000)));
        assert!(complaint("set timeout established soon").contains("a number of seconds, or with a unit"));
    }

    #[test]
    fn mistakes_are_explained() {
        assert!(complaint("shwo").contains("show"), "{}", complaint("shwo"));
        assert!(complaint("show").contains("port"), "{}", complaint("show"));
        assert!(complaint("add server web 198.51.100.11:0").contains("port"));
        assert!(complaint("add service \"web").contains("quotation mark"));
        assert!(complaint("set server web 198.51.100.11").contains("weight"));
    }
}
