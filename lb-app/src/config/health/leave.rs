//! How a check's packets leave this host.

use lb_core::words;
use std::net::IpAddr;

/// How a check's packets leave this host, as far as the kernel should not decide.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Leave {
    /// By whom. By the director's own ports there is nothing else to say.
    pub(crate) via: Via,
    /// The network namespace, by its name under `/run/netns`.
    pub(crate) netns: Option<String>,
    /// The network interface.
    pub(crate) device: Option<String>,
    /// The source address; keepalived's `bindto`.
    pub(crate) source: Option<IpAddr>,
    /// The mark that routing rules can look for; keepalived's `fwmark`.
    pub(crate) mark: Option<u32>,
}

/// By whom a check's packets leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Via {
    /// By the kernel where it is on the server's network, by the director's own ports where it is not: DPDK's ports are
    /// not the kernel's.
    #[default]
    Auto,
    /// By the kernel.
    Kernel,
    /// By the director's own ports, as traffic does.
    Ports,
}

impl Via {
    const ALL: [Via; 3] = [Via::Auto, Via::Kernel, Via::Ports];
    pub(super) const NAMES: [&str; 3] = [Via::Auto.name(), Via::Kernel.name(), Via::Ports.name()];

    /// The word used in configurations.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Via::Auto => "auto",
            Via::Kernel => "kernel",
            Via::Ports => "ports",
        }
    }
}

words!(Via);
