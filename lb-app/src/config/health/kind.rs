//! What a check asks, and the words for it.

use super::{
    http::{Http, Tls},
    local::{Command, File},
    talk::{Agent, Dns, Smtp, Udp},
};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Does it accept a connection?
    Tcp,
    /// Does it answer a request, with TLS or without?
    Http(Http),
    /// Does it greet, and answer a HELO?
    Smtp(Smtp),
    /// Does it answer an ICMP echo request?
    Icmp,
    /// Does it answer a datagram, or at least not reject it?
    Udp(Udp),
    /// Does it answer a DNS query without an error?
    Dns(Dns),
    /// Does a program end with status 0?
    Command(Command),
    /// What does a file say?
    File(File),
    /// What does an agent on the server say? Only agents are of this kind.
    Agent(Agent),
}

impl Kind {
    /// The words of configurations, all of them.
    pub(crate) const NAMES: [&'static str; 9] =
        ["tcp", "http", "https", "smtp", "icmp", "udp", "dns", "command", "file"];
    /// The same of agents.
    pub(crate) const AGENTS: [&'static str; 3] = ["tcp", "file", "command"];

    /// The same with the default of whatever it can say.
    pub(crate) fn plain(&self) -> Self {
        match self {
            Kind::Http(Http { tls, .. }) => {
                Kind::Http(Http { tls: tls.as_ref().map(|_| Tls::default()), ..Http::default() })
            }
            Kind::Smtp(_) => Kind::Smtp(Smtp::default()),
            Kind::Udp(_) => Kind::Udp(Udp::default()),
            Kind::Dns(_) => Kind::Dns(Dns::default()),
            Kind::Command(_) => Kind::Command(Command::default()),
            Kind::File(_) => Kind::File(File::default()),
            Kind::Agent(_) => Kind::Agent(Agent::default()),
            Kind::Tcp | Kind::Icmp => self.clone(),
        }
    }

    /// The word used in configurations.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Kind::Tcp | Kind::Agent(_) => "tcp",
            Kind::Http(Http { tls: None, .. }) => "http",
            Kind::Http(Http { tls: Some(_), .. }) => "https",
            Kind::Smtp(_) => "smtp",
            Kind::Icmp => "icmp",
            Kind::Udp(_) => "udp",
            Kind::Dns(_) => "dns",
            Kind::Command(_) => "command",
            Kind::File(_) => "file",
        }
    }
}
