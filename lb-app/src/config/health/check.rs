//! One check: what is asked, how often, and what counts as an answer.

use lb_core::time::Duration;
use std::{fmt, net::Ipv4Addr, path::PathBuf};

/// A check of one server or of all servers of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// What is asked.
    pub(crate) kind: Kind,
    /// Time between two checks; keepalived's `delay_loop`.
    pub(crate) interval: Duration,
    /// How long one check may take in all.
    pub(crate) timeout: Duration,
    /// Time until the next check while it is open whether a server has failed; keepalived's `delay_before_retry`.
    pub(crate) retry_interval: Duration,
    /// The first check is made at a random time within this; keepalived's `warmup`.
    pub(crate) warmup: Duration,
    /// Successes in a row that bring a server back.
    pub(crate) rise: u32,
    /// Failures in a row that make a server count as failed; keepalived's `retry` plus one.
    pub(crate) fall: u32,
    /// A server counts as failed until its first success; keepalived's `alpha`.
    pub(crate) assume_down: bool,
    /// A failed server keeps its connections and only gets no new ones, instead of being taken out.
    pub(crate) inhibit_on_failure: bool,
    /// The check is addressed to the VIP; how it gets to the server is a matter of `leave`.
    pub(crate) to_vip: bool,
    /// Another address than the server's; keepalived's `connect_ip`.
    pub(crate) address: Option<Ipv4Addr>,
    /// Another port than the server's; keepalived's `connect_port`.
    pub(crate) port: Option<u16>,
    /// Where the check's packets leave.
    pub(crate) leave: Leave,
}

impl Check {
    /// A check that comes so often, with the default of everything else.
    pub(crate) fn new(kind: Kind, interval: Duration) -> Self {
        Check {
            kind,
            interval,
            timeout: Duration::from_secs(3),
            retry_interval: interval.min(Duration::from_secs(1)),
            warmup: interval,
            rise: 2,
            fall: 3,
            assume_down: false,
            inhibit_on_failure: false,
            to_vip: false,
            address: None,
            port: None,
            leave: Leave::default(),
        }
    }
}

/// Where a check's packets leave this machine, as far as the kernel should not decide by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Leave {
    /// The network namespace, by its name under `/run/netns`.
    pub(crate) netns: Option<String>,
    /// The network interface.
    pub(crate) device: Option<String>,
    /// The source address; keepalived's `bindto`.
    pub(crate) source: Option<Ipv4Addr>,
    /// The mark that routing rules can look for; keepalived's `fwmark`.
    pub(crate) mark: Option<u32>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Does it accept a connection?
    Tcp,
    /// Does it answer a request, with TLS or without?
    Http(Http),
    /// Does it answer an ICMP echo request?
    Icmp,
    /// Does it answer a datagram, or at least not reject it?
    Udp(Udp),
    /// Does it answer a DNS query without an error?
    Dns(Dns),
    /// Does a program end with status 0?
    Command(Command),
}

impl Kind {
    /// The words of configurations, all of them.
    pub(crate) const NAMES: [&'static str; 7] = ["tcp", "http", "https", "icmp", "udp", "dns", "command"];

    /// The word used in configurations.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Kind::Tcp => "tcp",
            Kind::Http(Http { tls: None, .. }) => "http",
            Kind::Http(Http { tls: Some(_), .. }) => "https",
            Kind::Icmp => "icmp",
            Kind::Udp(_) => "udp",
            Kind::Dns(_) => "dns",
            Kind::Command(_) => "command",
        }
    }
}

/// An HTTP request and the answer that is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Http {
    pub(crate) tls: Option<Tls>,
    pub(crate) method: String,
    pub(crate) path: String,
    /// The `Host` field; the address and port that the check goes to if there is none.
    pub(crate) host: Option<String>,
    /// Ranges of status codes.
    pub(crate) status: Vec<(u16, u16)>,
    /// What the body must contain.
    pub(crate) body: Option<Pattern>,
}

/// How TLS is spoken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    /// The server name that is asked for, which is also the one that a certificate must have.
    pub(crate) sni: Option<String>,
    /// The certificate must be valid.
    pub(crate) verify: bool,
    /// Certificates of authorities, instead of the machine's own.
    pub(crate) ca: Option<PathBuf>,
}

/// A datagram and the answer that is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Udp {
    pub(crate) payload: Vec<u8>,
    /// Silence is a failure.
    pub(crate) require_reply: bool,
    /// What the answer must contain.
    pub(crate) expect: Option<Pattern>,
}

/// A DNS query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dns {
    pub(crate) name: String,
    pub(crate) record: Record,
}

/// A type of DNS records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    A = 1,
    Ns = 2,
    Cname = 5,
    Soa = 6,
    Mx = 15,
    Txt = 16,
    Aaaa = 28,
}

impl Record {
    pub(crate) const ALL: [Record; 7] =
        [Record::A, Record::Aaaa, Record::Cname, Record::Mx, Record::Ns, Record::Soa, Record::Txt];

    /// The word used in configurations.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Record::A => "A",
            Record::Ns => "NS",
            Record::Cname => "CNAME",
            Record::Soa => "SOA",
            Record::Mx => "MX",
            Record::Txt => "TXT",
            Record::Aaaa => "AAAA",
        }
    }
}

/// A program and what it may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    /// The program and its arguments; no shell is involved.
    pub(crate) command: Vec<String>,
    /// Whose rights it runs with; ours if there is none.
    pub(crate) user: Option<String>,
    /// Largest address space, in MiB.
    pub(crate) memory_mib: u32,
}

/// A regular expression, over bytes.
#[derive(Clone)]
pub(crate) struct Pattern(pub(crate) regex::bytes::Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.0.as_str())
    }
}
