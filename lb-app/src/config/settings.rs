//! What is laid out at start: devices, the control socket, what a worker does when there is nothing to do.

use crate::dpdk::Choice;
use ipnet::IpNet;
use lb_core::{
    limits::{MAX_CONNECTIONS, MAX_PERSISTENT_CLIENTS, MAX_SERVERS},
    option,
    service::option::{Kind, Opt, Setting, Value},
    words,
};
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

/// What a port is to DPDK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// Its name there, with its arguments.
    pub(crate) name: String,
    /// What it is made of, named in the same way, if it is a bond that the director makes.
    pub(crate) members: Vec<String>,
    /// Whether it verifies checksums, as far as it can.
    pub(crate) checksum_offload: bool,
    /// Which checksums of packets that leave it computes.
    pub(crate) tx_checksum_offload: Choice,
    /// Whether it inserts VLAN tags.
    pub(crate) tx_vlan_offload: Choice,
    /// The kernel's interface for what is the director's own there.
    pub(crate) host: Option<String>,
}

impl Device {
    /// What it is made of: its members, or itself.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &str> {
        let itself = self.members.is_empty().then_some(&self.name);
        itself.into_iter().chain(&self.members).map(String::as_str)
    }
}

/// `[config]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct File {
    /// Changes of it are applied by themselves.
    pub(crate) watch: bool,
}

impl File {
    /// What can be said of the configuration file itself.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[option!(
        watch,
        Kind::Flag,
        "Apply changes of this file, and of those that it includes, as they are made: a right one as a reload does, a wrong \
         one is refused, and what applied last stays in effect."
    )];
}

/// `[workers]`, as a file says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Workers {
    /// Capacity of each worker's connection table.
    pub(crate) connections: u32,
    /// The same for connections of IPv6; by default it follows from what is configured.
    pub(crate) connections_v6: Option<u32>,
    /// For how many servers there is room; by default it follows from those configured.
    pub(crate) servers: Option<u32>,
    /// Clients that services remember together.
    pub(crate) persistent_clients: u32,
    /// Where connections are kept from one run to the next, if they are.
    pub(crate) state_file: Option<String>,
    /// What a worker does when there is nothing to do.
    pub(crate) idle: Idle,
    /// Whether checksums are verified where ports do not.
    pub(crate) verify_checksums: bool,
}

impl Default for Workers {
    fn default() -> Self {
        // At most 128 MB of connections.
        Workers {
            connections: 1_000_000,
            connections_v6: None,
            servers: None,
            persistent_clients: 65_536,
            state_file: None,
            idle: Idle::Poll,
            verify_checksums: true,
        }
    }
}

impl Workers {
    /// What can be said of them.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[
        option!(
            connections,
            Kind::number(1, MAX_CONNECTIONS as u64),
            "Capacity of each worker's connection table. A connection takes at most 128 bytes; all tables together must fit \
             into available memory."
        )
        .default("`1_000_000`"),
        option!(
            connections_v6,
            Kind::number(1, MAX_CONNECTIONS as u64),
            "The same for connections of IPv6, which have a table of their own and take at most 192 bytes each."
        )
        .default("that of `connections` if a service of IPv6 is configured, else at most `65_536`"),
        option!(
            servers,
            Kind::number(1, MAX_SERVERS as u64),
            "Capacity for real servers, over all services: including those that are added at run time, and those that were \
             removed but still have connections. 128 bytes each on every worker."
        )
        .default("twice those configured, at least `4096`"),
        option!(
            persistent_clients,
            Kind::number(1, MAX_PERSISTENT_CLIENTS as u64),
            "Clients that all services with `persistence` remember together. 90 bytes each."
        ),
        option!(
            state_file,
            Kind::Text,
            "Where connections are saved when the director stops in good order; the next start restores them and removes \
             the file. With another number of workers, those of `tun` and `dr` are left out unless the spread of the ports \
             is unknown."
        ),
        option!(
            idle,
            Kind::Word(&["poll", "adaptive"]),
            "What a worker does while its queues are empty: keep polling, or sleep for longer and longer."
        ),
        option!(
            verify_checksums,
            Kind::Flag,
            "Verify checksums of received packets where the port does not. What a port reports as wrong is verified in any \
             case."
        ),
    ];
}

/// `[tunnel]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tunnel {
    /// Source address of tunnel headers.
    pub(crate) local: Option<IpAddr>,
    /// Networks that tunnel headers of IPIP and GRE come from instead.
    pub(crate) sources: Vec<IpNet>,
}

impl Tunnel {
    /// What can be said of it.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[
        option!(local, Kind::Address, "Source address of tunnel headers.")
            .default("the port's address towards the server"),
        option!(
            sources,
            Kind::List(&Kind::Network),
            "Networks, at most one of each family, that headers of `ipip` and `gre` come from instead: each flow's from an \
             address of its own, so that servers spread packets over their queues. They are routed to the director and \
             nobody has any of their addresses. `gue` and `gue1` need none: their source ports spread."
        )
        .example("[\"198.18.0.0/24\"]"),
    ];
}

/// `[control]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Control {
    /// Where the control socket is.
    pub(crate) socket: Wanted,
    /// Group whose members may do everything, as root may.
    pub(crate) group: Option<String>,
    /// Group whose members may also change what is not written to the file.
    pub(crate) operators: Option<String>,
    /// Group whose members may only look.
    pub(crate) readers: Option<String>,
    /// The directory that captures are written into.
    pub(crate) captures: PathBuf,
}

impl Default for Control {
    fn default() -> Self {
        Control {
            socket: Wanted::Default,
            group: None,
            operators: None,
            readers: None,
            captures: "/var/lib/lb/captures".into(),
        }
    }
}

impl Control {
    /// What can be said of it.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[
        option!(
            socket,
            Kind::SocketPath,
            "The control socket that `lbctl` connects to; `\"none\"` for none."
        )
        .default("`/run/lb/lb.sock`, or `/run/lb/PREFIX.sock` with EAL's `--file-prefix PREFIX`"),
        option!(
            group,
            Kind::Name,
            "Administrators: its members may use the socket as root may, and do everything."
        ),
        option!(
            operators,
            Kind::Name,
            "Its members may look, change weights and states of servers, end connections, trace, and reload the file."
        ),
        option!(readers, Kind::Name, "Its members may look, and change nothing."),
        Opt::new(
            "captures",
            Kind::Directory,
            "The only directory that `capture start` writes to. Created if missing, with mode 0750, for root and `group`.",
            |of: &Control| Some(Value::Text(of.captures.to_string_lossy().into_owned())),
            |of, value| {
                let Value::Text(path) = value else { return false };
                of.captures = path.into();
                true
            },
        ),
    ];
}

/// `[metrics]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Metrics {
    /// Where they are served, if they are.
    pub(crate) listen: Option<SocketAddr>,
    /// The page for people is served there, too.
    pub(crate) console: bool,
}

impl Metrics {
    /// What can be said of them.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[
        option!(
            listen,
            Kind::Listen,
            "Address of the HTTP server for metrics, such as `\"127.0.0.1:9145\"`; \
             [docs/metrics.md](../docs/metrics.md) lists them. Whoever reaches that address can read them."
        )
        .default("off"),
        option!(
            console,
            Kind::Flag,
            "A page for people at the same address, read-only: [docs/console.md](../docs/console.md)."
        ),
    ];
}

/// Where the control socket is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// At the usual place.
    #[default]
    Default,
    /// Nowhere.
    None,
    /// There.
    Path(PathBuf),
}

impl Setting for Wanted {
    fn to_value(&self) -> Option<Value> {
        match self {
            Wanted::Default => None,
            Wanted::None => Some(Value::Text("none".to_owned())),
            Wanted::Path(path) => Some(Value::Text(path.to_string_lossy().into_owned())),
        }
    }

    fn from_value(value: &Value) -> Option<Self> {
        let Value::Text(path) = value else { return None };
        Some(if path == "none" { Wanted::None } else { Wanted::Path(path.into()) })
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Default => f.write_str("the usual place"),
            Wanted::None => f.write_str("none"),
            Wanted::Path(path) => path.display().fmt(f),
        }
    }
}

/// What a worker does when there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idle {
    /// Keep polling: lowest latency, the whole core.
    Poll,
    /// Give the core away for longer and longer while queues stay empty.
    Adaptive,
}

impl Idle {
    /// Every policy.
    pub(crate) const ALL: [Idle; 2] = [Idle::Poll, Idle::Adaptive];

    /// The word used in configurations.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Idle::Poll => "poll",
            Idle::Adaptive => "adaptive",
        }
    }
}

words!(Idle);

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
