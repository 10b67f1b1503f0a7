//! What is laid out at start: devices, the control socket, what a worker does when there is nothing to do.

use lb_core::{
    option,
    service::option::{Kind, Opt, Setting, Value},
};
use std::{fmt, net::SocketAddr, path::PathBuf};

/// What a port is to DPDK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// Its name there, with its arguments.
    pub(crate) name: String,
    /// Whether it verifies checksums, as far as it can.
    pub(crate) checksum_offload: bool,
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

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
