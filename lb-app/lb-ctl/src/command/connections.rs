//! Commands about connections.

use super::args::{duration, full_endpoint, network, target};
use crate::protocol::{Protocol, Request, connections, keys::Target, persistence};
use clap::{Args, Subcommand};
use ipnet::IpNet;
use std::net::SocketAddr;

/// Which connections; one must match all that is given.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub struct FilterArgs {
    /// Transport protocol
    #[arg(long)]
    protocol: Option<Protocol>,
    /// Client's address or network
    #[arg(long, value_name = "ADDRESS[/PREFIX]", value_parser = network)]
    client: Option<IpNet>,
    /// Client's port
    #[arg(long, value_name = "PORT")]
    client_port: Option<u16>,
    /// Virtual address or network
    #[arg(long, value_name = "ADDRESS[/PREFIX]", value_parser = network)]
    vip: Option<IpNet>,
    /// Virtual port
    #[arg(long, value_name = "PORT")]
    vip_port: Option<u16>,
    /// Server's address or network
    #[arg(long, value_name = "ADDRESS[/PREFIX]", value_parser = network)]
    server: Option<IpNet>,
    /// Server's port
    #[arg(long, value_name = "PORT")]
    server_port: Option<u16>,
    /// Local address or network, which the server sees under fullnat
    #[arg(long, value_name = "ADDRESS[/PREFIX]", value_parser = network)]
    local: Option<IpNet>,
    /// Local port, which the server sees under fullnat
    #[arg(long, value_name = "PORT")]
    local_port: Option<u16>,
    /// Service, by name or address
    #[arg(long)]
    service: Option<String>,
    /// Forwarding method
    #[arg(long)]
    method: Option<String>,
    /// State
    #[arg(long)]
    state: Option<String>,
    /// Worker's number
    #[arg(long)]
    worker: Option<u32>,
    /// Time since the first packet, at least
    #[arg(long, value_name = "TIME", value_parser = duration)]
    age: Option<u64>,
    /// Time since the last packet, at least
    #[arg(long, value_name = "TIME", value_parser = duration)]
    idle: Option<u64>,
    /// Time until it expires, at most
    #[arg(long, value_name = "TIME", value_parser = duration)]
    remaining: Option<u64>,
    /// Packets in both directions, at least
    #[arg(long, value_name = "N")]
    packets: Option<u64>,
    /// Bytes in both directions, at least
    #[arg(long, value_name = "N")]
    bytes: Option<u64>,
}

impl FilterArgs {
    /// In the protocol's words.
    #[must_use]
    pub fn filter(self) -> connections::Filter {
        connections::Filter {
            protocol: self.protocol,
            client: self.client,
            client_port: self.client_port,
            vip: self.vip,
            vip_port: self.vip_port,
            server: self.server,
            server_port: self.server_port,
            local: self.local,
            local_port: self.local_port,
            service: self.service,
            method: self.method,
            state: self.state,
            worker: self.worker,
            age_ms: self.age,
            idle_ms: self.idle,
            remaining_ms: self.remaining,
            packets: self.packets,
            bytes: self.bytes,
        }
    }
}

/// What names one connection.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct WhichConnection {
    /// Transport protocol
    protocol: Protocol,
    /// The client
    #[arg(value_name = "CLIENT:PORT", value_parser = full_endpoint)]
    client: SocketAddr,
    /// The virtual service, by address or name
    #[arg(value_name = "VIP:PORT|SERVICE", value_parser = target)]
    vip: Target,
}

impl WhichConnection {
    /// In the protocol's words.
    #[must_use]
    pub fn endpoints(&self) -> connections::Endpoints {
        connections::Endpoints { protocol: self.protocol, client: self.client, vip: self.vip.clone() }
    }
}

/// `flush ...`
#[expect(clippy::large_enum_variant, reason = "there is one for each command line")]
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Flush {
    /// End connections; their later packets belong to none
    #[command(group = clap::ArgGroup::new("which").required(true).multiple(true))]
    Connections {
        /// All of them
        #[arg(long, group = "which")]
        all: bool,
        /// Those that match
        #[command(flatten)]
        filter: FlushFilter,
    },
    /// Forget which servers clients stay with; their connections go on
    #[command(group = clap::ArgGroup::new("which").required(true).multiple(true))]
    Persistence {
        /// Of all services
        #[arg(long, group = "which", conflicts_with_all = ["client", "service"])]
        all: bool,
        /// Of these clients
        #[arg(long, group = "which", value_name = "ADDRESS[/PREFIX]", value_parser = network)]
        client: Option<IpNet>,
        /// Of this service
        #[arg(long, group = "which", value_name = "SERVICE")]
        service: Option<String>,
    },
}

/// Clients that are remembered.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct WhichClients {
    /// These clients
    #[arg(long, value_name = "ADDRESS[/PREFIX]", value_parser = network)]
    client: Option<IpNet>,
    /// Of this service
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
}

impl WhichClients {
    pub(super) fn filter(self) -> persistence::Filter {
        persistence::Filter { service: self.service, client: self.client }
    }
}

/// A filter that must not be empty.
#[derive(Clone, Debug, PartialEq)]
pub struct FlushFilter(FilterArgs);

impl Args for FlushFilter {
    fn augment_args(command: clap::Command) -> clap::Command {
        let plain = FilterArgs::augment_args(clap::Command::new("filter"));
        let names: Vec<clap::Id> = plain.get_arguments().map(|arg| arg.get_id().clone()).collect();
        let command = FilterArgs::augment_args(command);
        names.into_iter().fold(command, |command, name| {
            command.mut_arg(name, |arg| arg.group("which").conflicts_with("all"))
        })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for FlushFilter {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        FilterArgs::from_arg_matches(matches).map(FlushFilter)
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl Flush {
    pub(super) fn request(self) -> Request {
        match self {
            Flush::Connections { filter: FlushFilter(filter), .. } => {
                Request::Connections(connections::Request::Flush { filter: filter.filter(), cursor: None })
            }
            Flush::Persistence { client, service, .. } => {
                Request::Persistence(persistence::Request::Forget(persistence::Filter { service, client }))
            }
        }
    }
}

/// `count ...`
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum CountWhat {
    /// How many connections there are
    Connections,
}

impl CountWhat {
    pub(super) fn request(&self) -> Request {
        let CountWhat::Connections = self;
        Request::Connections(connections::Request::Count)
    }
}
