//! Commands that change the running configuration.

use super::{
    args::{
        Endpoint, OrDefault, balanced, destination, duration, duration_or_default, endpoint, network,
        service_endpoint,
    },
    connections::WhichConnection,
    options::{Given, NewServer, NewService, OldServer, OldService},
};
use crate::protocol::{Protocol, Request, connections, director, persistence, routes, services, timeouts};
use clap::Subcommand;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// `add ...`
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Add {
    /// A virtual service, without servers yet
    Service {
        /// Its name
        name: String,
        /// Transport protocol
        #[arg(value_parser = balanced())]
        protocol: Protocol,
        /// What clients send to; `any` in the place of the port for any port
        #[arg(value_name = "VIP:PORT", value_parser = service_endpoint)]
        vip: SocketAddr,
        /// Forwarding method: nat, fullnat, tun, dr, l3dsr
        method: String,
        #[command(flatten)]
        options: Given<NewService>,
    },
    /// A real server of a service
    Server {
        /// The service, by name or address
        service: String,
        /// Its address, and its port if it differs from the service's
        #[arg(value_name = "ADDRESS[:PORT]", value_parser = endpoint)]
        server: Endpoint,
        #[command(flatten)]
        options: Given<NewServer>,
    },
    /// A static route
    Route {
        /// Destination: a network, an address or `default`
        #[arg(value_name = "TO", value_parser = destination)]
        to: IpNet,
        /// The router
        #[arg(long)]
        via: IpAddr,
        /// The port or interface that the router is behind, where no network says so
        #[arg(long, value_name = "PORT|INTERFACE")]
        interface: Option<String>,
    },
}

impl Add {
    pub(super) fn request(self) -> Request {
        match self {
            Add::Service { name, protocol, vip, method, options } => {
                Request::Services(services::Request::Add(services::NewService {
                    name,
                    protocol,
                    vip: vip.ip(),
                    port: vip.port(),
                    method,
                    options: options.0,
                }))
            }
            Add::Server { service, server: Endpoint { address, port }, options } => {
                Request::Services(services::Request::AddServer { service, address, port, options: options.0 })
            }
            Add::Route { to, via, interface } => Request::Routes(routes::Request::Add { to, via, interface }),
        }
    }
}

/// `drain ...`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Drain {
    /// The director: its VIPs are withdrawn from routing daemons, and then it polls no port; `start` undoes it
    Director,
}

/// `set ...`
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Set {
    /// What can be set of a service
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
    Service {
        /// Its name or address
        #[arg(id = "service", value_name = "SERVICE")]
        name: String,
        #[command(flatten)]
        options: Given<OldService>,
    },
    /// A server's weight or state
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
    Server {
        /// The service, by name or address
        service: String,
        /// Its address, and its port if the service has several servers there
        #[arg(value_name = "ADDRESS[:PORT]", value_parser = endpoint)]
        server: Endpoint,
        #[command(flatten)]
        options: Given<OldServer>,
        /// enabled, drain: no new connections, or disabled: its connections end as well
        #[arg(long, group = "what", value_parser = ["enabled", "drain", "disabled"])]
        state: Option<String>,
        /// With drain: disable the server after this time
        #[arg(long, value_name = "TIME", value_parser = duration, requires = "state")]
        within: Option<u64>,
    },
    /// How long connections in a state may be idle
    Timeout {
        /// The state
        state: String,
        /// Time after the last packet, such as 90s, 15m, 2h; default: of a service that of all, of all lb-app's
        #[arg(value_name = "TIME|default", value_parser = duration_or_default)]
        time: OrDefault,
        /// For this service only
        #[arg(long)]
        service: Option<String>,
    },
    /// What the director is to its VIPs
    Director {
        /// active: it answers for VIPs; standby: it says nothing for them and opens no connections; follow: active for those
        /// that the kernel has on a host side
        #[arg(long, required = true, value_parser = ["active", "standby", "follow"])]
        role: String,
    },
    /// The log level
    Verbose {
        /// 0 errors, 1 warnings, 2 information, 3 debug, 4 everything
        #[arg(value_parser = clap::value_parser!(u8).range(0..=4))]
        level: u8,
    },
}

impl Set {
    pub(super) fn request(self) -> Request {
        match self {
            Set::Service { name, options } => {
                let change = services::ServiceChange { name, options: options.0 };
                Request::Services(services::Request::Change(change))
            }
            Set::Server { service, server: Endpoint { address, port }, options, state, within } => {
                let change = services::ServerChange {
                    service,
                    address,
                    port,
                    state,
                    within_ms: within,
                    options: options.0,
                };
                Request::Services(services::Request::ChangeServer(change))
            }
            Set::Timeout { state, time, service } => {
                Request::Timeouts(timeouts::Request::Set { service, state, timeout_ms: time.0 })
            }
            Set::Director { role } => Request::Director(director::Request::Role { role }),
            Set::Verbose { level } => Request::Director(director::Request::Verbose { level }),
        }
    }
}

/// `delete ...`
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Delete {
    /// A virtual service with its servers
    Service {
        /// Its name or address
        #[arg(id = "service", value_name = "SERVICE")]
        name: String,
    },
    /// A real server of a service
    Server {
        /// The service, by name or address
        service: String,
        /// Its address, and its port if the service has several servers there
        #[arg(value_name = "ADDRESS[:PORT]", value_parser = endpoint)]
        server: Endpoint,
    },
    /// A static route
    Route {
        /// Destination: a network, an address or `default`
        #[arg(value_name = "TO", value_parser = destination)]
        to: IpNet,
        /// The router, if several routes have this destination
        #[arg(long)]
        via: Option<IpAddr>,
    },
    /// One connection; its later packets belong to none
    Connection(WhichConnection),
    /// Which servers clients stay with; their connections go on
    Persistence {
        /// Their address or network
        #[arg(value_name = "ADDRESS[/PREFIX]", value_parser = network)]
        client: IpNet,
        /// Of this service
        #[arg(long)]
        service: Option<String>,
    },
}

impl Delete {
    pub(super) fn request(self) -> Request {
        match self {
            Delete::Service { name } => Request::Services(services::Request::Remove { name }),
            Delete::Server { service, server: Endpoint { address, port } } => {
                Request::Services(services::Request::RemoveServer { service, address, port })
            }
            Delete::Route { to, via } => Request::Routes(routes::Request::Remove { to, via }),
            Delete::Connection(which) => {
                Request::Connections(connections::Request::Delete(which.endpoints()))
            }
            Delete::Persistence { client, service } => {
                let filter = persistence::Filter { service, client: Some(client) };
                Request::Persistence(persistence::Request::Forget(filter))
            }
        }
    }
}
