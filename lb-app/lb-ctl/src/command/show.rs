//! Commands that read.

use super::{
    args::all_or,
    connections::{FilterArgs, WhichClients, WhichConnection},
    step::Step,
};
use crate::{
    protocol::{
        Request, connections, director, events, forward, health, host, interfaces, local_addresses, memory,
        neighbours, overview, persistence, ports, routes, services, snat, sync, timeouts, workers,
    },
    render::{Columns, View},
};
use clap::{Args, Subcommand, ValueEnum};

/// `show ...`
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Show {
    /// Version, uptime, whether it forwards
    Director,
    /// Which VIPs are announced to routing daemons, and why others are not
    Announced,
    /// Host sides of ports, and which addresses the director answers for
    Host,
    /// What happened: servers, services, reloads, links and who changed what
    Events {
        /// The latest so many; the director keeps about 1,000
        #[arg(long, value_name = "N", default_value_t = 50)]
        count: u32,
    },
    /// Virtual services with their servers, as `ipvsadm -Ln`
    Services {
        /// One by its name or address
        service: Option<String>,
        /// Connections, packets and bytes, as `ipvsadm --stats`
        #[arg(long, conflicts_with = "rate")]
        stats: bool,
        /// The same per second, as `ipvsadm --rate`
        #[arg(long)]
        rate: bool,
        /// Without names, as `lbctl -Ln` prints it for what reads ipvsadm's listings
        #[arg(long, hide = true)]
        nameless: bool,
    },
    /// Services in a line each, those that need somebody first
    Overview {
        /// Words that a service or its servers must have: names, addresses, states
        filter: Vec<String>,
    },
    /// Results of health checks: each server's state, and why it last failed
    Health {
        /// Of one service
        service: Option<String>,
    },
    /// Connections, as `ipvsadm -Lnc`
    Connections {
        /// Which ones
        #[command(flatten)]
        filter: FilterArgs,
        /// At most this many
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
    },
    /// All about one connection
    Connection(WhichConnection),
    /// Next hops and their Ethernet addresses
    Neighbours,
    /// Interfaces: addresses, VLANs and what was received and sent
    Interfaces,
    /// Attached networks and static routes
    Routes,
    /// Local addresses of FullNAT and SNAT: their services, ports in use and capacity
    LocalAddresses,
    /// Rules of SNAT: addresses, ports in use and capacity, connections, drops
    Snat,
    /// Which servers clients stay with
    Persistence {
        #[command(flatten)]
        which: WhichClients,
    },
    /// Peers: what they and this director tell one another of connections
    Sync,
    /// Workers: what they did, how busy they are, what they handed over
    Workers {
        /// Packets per poll
        #[arg(long)]
        histogram: bool,
    },
    /// What was dropped, by reason
    Drops {
        /// Including reasons that did not occur
        #[arg(long)]
        all: bool,
    },
    /// Timeouts of connections
    Timeouts {
        /// Of one service
        service: Option<String>,
    },
    /// How full the tables are
    Tables,
    /// Memory in use
    Memory,
    /// Ports
    #[command(subcommand)]
    Port(ShowPort),
    /// Forwarding setup
    Config {
        /// Which part
        what: Config,
    },
    /// What was forwarded
    #[command(subcommand)]
    Fwd(ForwardStats),
}

/// `show port ...`
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum ShowPort {
    /// What a port is and can do
    Info(WhichPort),
    /// What a port counted
    Stats(WhichPort),
    /// What a port counted, in its driver's words
    Xstats(WhichPort),
    /// A line for each port
    Summary(WhichPort),
    /// How a port chooses receive queues
    Rss {
        /// Number or name of a port
        #[arg(id = "port", value_name = "PORT")]
        port: String,
        /// Which part
        what: Rss,
    },
}

/// A port, or all.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct WhichPort {
    /// Number or name of a port, or `all`
    #[arg(id = "port", value_name = "PORT|all")]
    port: String,
}

/// Parts of how a port chooses queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rss {
    /// The redirection table
    Reta,
    /// What is hashed, and the key
    RssHash,
}

/// Parts of how the director is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Config {
    /// Which worker polls which queues
    Fwd,
    /// Queues, descriptors and offloads
    Rxtx,
    /// Which lcores do what
    Cores,
}

/// `... fwd ...`
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum ForwardStats {
    /// What workers moved through ports
    Stats {
        /// Always `all`
        ports: All,
    },
}

/// The word `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum All {
    /// All ports
    All,
}

impl Show {
    pub(super) fn step(self) -> Step {
        let (request, view) = match self {
            Show::Director => (Request::Director(director::Request::About), View::Plain),
            Show::Announced => (Request::Director(director::Request::Announced), View::Plain),
            Show::Events { count } => {
                let request = events::Request::List { after: None, run: None, latest: Some(count) };
                (Request::Events(request), View::Plain)
            }
            Show::Services { service, stats, rate, nameless } => {
                let columns = match (stats, rate) {
                    (true, _) => Columns::Stats,
                    (_, true) => Columns::Rate,
                    _ => Columns::Weights,
                };
                let view = View::Services { columns, names: !nameless };
                (Request::Services(services::Request::List { name: service, cursor: None }), view)
            }
            Show::Overview { filter } => {
                let request = overview::Request { filter: filter.join(" "), limit: None };
                (Request::Overview(request), View::Plain)
            }
            Show::Health { service } => {
                (Request::Health(health::Request::List { service, cursor: None }), View::Plain)
            }
            Show::Connections { filter, limit } => {
                let page = limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX).min(connections::PAGE));
                let request =
                    connections::Request::List { filter: filter.filter(), cursor: None, limit: page };
                (Request::Connections(request), limit.map_or(View::Plain, View::Limit))
            }
            Show::Connection(which) => {
                (Request::Connections(connections::Request::Show(which.endpoints())), View::Plain)
            }
            Show::Neighbours => (Request::Neighbours(neighbours::Request::List), View::Plain),
            Show::Host => (Request::Host(host::Request::List), View::Plain),
            Show::LocalAddresses => (Request::LocalAddresses(local_addresses::Request::List), View::Plain),
            Show::Snat => (Request::Snat(snat::Request::List), View::Plain),
            Show::Interfaces => (Request::Interfaces(interfaces::Request::List), View::Plain),
            Show::Persistence { which } => {
                (Request::Persistence(persistence::Request::List(which.filter())), View::Plain)
            }
            Show::Sync => (Request::Sync(sync::Request::Show), View::Plain),
            Show::Routes => (Request::Routes(routes::Request::List), View::Plain),
            Show::Workers { histogram } => {
                let view = if histogram { View::Histogram } else { View::Plain };
                (Request::Workers(workers::Request::List), view)
            }
            Show::Drops { all } => (Request::Forward(forward::Request::Drops { all }), View::Plain),
            Show::Timeouts { service } => {
                (Request::Timeouts(timeouts::Request::List { service }), View::Plain)
            }
            Show::Tables => (Request::Memory(memory::Request::Tables), View::Plain),
            Show::Memory => (Request::Memory(memory::Request::Show), View::Plain),
            Show::Port(port) => port.request(),
            Show::Config { what } => {
                let view = match what {
                    Config::Fwd => View::ConfigForward,
                    Config::Rxtx => View::ConfigRxTx,
                    Config::Cores => View::ConfigCores,
                };
                (Request::Director(director::Request::Configuration), view)
            }
            Show::Fwd(ForwardStats::Stats { .. }) => (Request::Forward(forward::Request::Stats), View::Plain),
        };
        Step::Ask(request, view)
    }
}

impl ShowPort {
    fn request(self) -> (Request, View) {
        let (request, view) = match self {
            ShowPort::Info(which) => (ports::Request::Info { port: all_or(which.port) }, View::Plain),
            ShowPort::Stats(which) => (ports::Request::Stats { port: all_or(which.port) }, View::Plain),
            ShowPort::Xstats(which) => (ports::Request::Xstats { port: all_or(which.port) }, View::Plain),
            ShowPort::Summary(which) => (ports::Request::Info { port: all_or(which.port) }, View::Summary),
            ShowPort::Rss { port, what } => {
                (ports::Request::Rss { port }, if what == Rss::Reta { View::Reta } else { View::RssHash })
            }
        };
        (Request::Ports(request), view)
    }
}

/// `clear ...`
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Clear {
    /// Of ports
    #[command(subcommand)]
    Port(ClearPort),
    /// Of workers: what they moved through ports, and what they dropped
    #[command(subcommand)]
    Fwd(ForwardStats),
    /// Of services: what passed between clients and servers
    #[command(subcommand)]
    Service(ClearService),
}

/// `clear service ...`
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum ClearService {
    /// What the servers of a service counted
    Stats {
        /// Name of a service, or `all`
        #[arg(id = "service", value_name = "SERVICE|all")]
        service: String,
    },
}

/// `clear port ...`
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum ClearPort {
    /// What a port counted
    Stats(WhichPort),
}

impl Clear {
    pub(super) fn request(self) -> Request {
        match self {
            Clear::Port(ClearPort::Stats(which)) => {
                Request::Ports(ports::Request::Clear { port: all_or(which.port) })
            }
            Clear::Fwd(ForwardStats::Stats { .. }) => Request::Forward(forward::Request::Clear),
            Clear::Service(ClearService::Stats { service }) => {
                Request::Services(services::Request::Clear { service: all_or(service) })
            }
        }
    }
}

/// `dump ...`
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Dump {
    /// Packet pools
    Mempool,
}

impl Dump {
    pub(super) fn step(&self) -> Step {
        let Dump::Mempool = self;
        Step::Ask(Request::Memory(memory::Request::Show), View::Mempool)
    }
}
