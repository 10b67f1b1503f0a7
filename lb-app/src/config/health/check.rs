//! One check: what is asked, how often, and what counts as an answer.

use super::{
    http::{Http, Page, Tls},
    kind::Kind,
    leave::{Leave, Via},
    local::{Command, File},
    talk::{Agent, Dns, Smtp, Udp},
};
use lb_core::{
    option,
    service::option::{Kind as Of, Opt, PORT, Setting, Value, pairs},
    time::Duration,
};
use std::net::IpAddr;

/// A check of one server or of all servers of a service; or an agent, which is asked in the same ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// What is asked.
    pub(crate) kind: Kind,
    /// Time between two checks; keepalived's `delay_loop`.
    pub(crate) interval: Duration,
    /// How long one check may take in total.
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
    pub(crate) address: Option<IpAddr>,
    /// Another port than the server's; keepalived's `connect_port`.
    pub(crate) port: Option<u16>,
    /// Where the check's packets leave.
    pub(crate) leave: Leave,
    /// It is an agent: what it says counts at once, and that it says nothing does not count.
    pub(crate) is_agent: bool,
}

impl Check {
    const INTERVAL: Opt<Self> = Opt::<Self>::new(
        "interval",
        Of::Timeout,
        "Time between two checks, at random up to a tenth shorter. keepalived: `delay_loop`.",
        |check| check.interval.to_value(),
        |check, value| {
            // What follows from it, unless it is said itself.
            Duration::from_value(value).map(|interval| check.set_interval(interval)).is_some()
        },
    );

    const WARMUP: Opt<Self> =
        option!(warmup, Of::Duration, "The first check comes at a random time within this.")
            .default("`interval`");

    /// What can be said of every check.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[
        Self::INTERVAL.default("`\"5s\"`; of a file `\"1s\"`"),
        option!(timeout, Of::Timeout, "How long one check may take in total. keepalived: `connect_timeout`."),
        option!(
            fall,
            Of::number(1, 100),
            "Failures in a row that bring a server down. keepalived: `retry` plus one."
        )
        .default("`3`; of a file `1`"),
        option!(rise, Of::number(1, 100), "Successes in a row that bring it up.")
            .default("`2`; of a file `1`"),
        option!(
            retry_interval,
            Of::Timeout,
            "Time to the next check while failures or successes are being counted. keepalived: \
             `delay_before_retry`."
        )
        .default("`\"1s\"`, or `interval` if that is less"),
        Self::WARMUP,
        option!(assume_down, Of::Flag, "A server is down until its first success. keepalived: `alpha`."),
        option!(
            inhibit_on_failure,
            Of::Flag,
            "A server that is down keeps its connections and gets no new ones. Otherwise its TCP connections are \
             reset when their clients next send."
        ),
    ];

    /// What can be said of every agent.
    pub(crate) const AGENT: &'static [Opt<Self>] = &[
        Self::INTERVAL
            .help("Time between two questions, at random up to a tenth shorter. HAProxy: `agent-inter`.")
            .default("`\"2s\"`; of a file `\"1s\"`"),
        option!(timeout, Of::Timeout, "How long an answer may take."),
        Self::WARMUP.help("The first question comes at a random time within this."),
    ];

    /// What can be said of what goes by the kernel's network.
    pub(crate) const NETNS: &'static [Opt<Self>] = &[option!(
        "netns" => leave.netns,
        Of::Name,
        "The network namespace, as in `/run/netns`, that checks are sent from. Commands run there."
    )
    .default("lb-app's")];

    /// What can be said of checks that send packets themselves. A program learns both addresses and makes its own
    /// connections.
    pub(crate) const PACKETS: &'static [Opt<Self>] = &[
        option!(
            "via" => leave.via,
            Of::Word(&Via::NAMES),
            "Its packets leave by the kernel's interfaces, or by the director's own ports, as traffic does. `\"auto\"` is \
             the kernel if it has an address on the server's network, and the ports if not, unless they have no \
             address to send from. With `\"ports\"` there is \
             no `address`, `netns`, `device`, `source` or `mark`; with one of these `\"auto\"` is the kernel."
        ),
        Opt::<Self>::new(
            "to",
            Of::Word(&TO),
            "The address that the check is sent to. With `\"vip\"` and `via = \"ports\"`, for TUN and DR, it takes \
             the path of traffic; with the kernel, routes, rules, `device`, `mark` or `netns` must lead it to the \
             server.",
            |check| Some(Value::Text(check.to().to_owned())),
            |check, value| is_last(value, TO).map(|vip| check.to_vip = vip).is_some(),
        ),
        option!(address, Of::Address, "Another address than the server's. keepalived: `connect_ip`.")
            .default("the server's"),
        option!(
            "device" => leave.device,
            Of::Device,
            "The network interface its packets leave by."
        )
        .default("any"),
        option!("source" => leave.source, Of::Address, "Their source address. keepalived: `bindto`.")
            .default("the kernel's choice"),
        option!(
            "mark" => leave.mark,
            Of::number(1, u32::MAX as u64),
            "Their mark, for routing rules. keepalived: `fwmark`."
        ),
    ];

    /// What can be said of checks that go to a port.
    pub(crate) const PORTS: &'static [Opt<Self>] =
        &[option!(port, PORT, "Another port than the server's. keepalived: `connect_port`.")
            .default("the server's")];

    /// What can be said of one of its kind, beside what the kind has of its own.
    pub(crate) fn options(&self) -> Vec<&'static [Opt<Self>]> {
        let mut options = vec![if self.is_agent { Self::AGENT } else { Self::OPTIONS }];
        match self.kind {
            Kind::File(_) => {}
            Kind::Command(_) => options.push(Self::NETNS),
            Kind::Icmp => options.extend([Self::NETNS, Self::PACKETS]),
            Kind::Tcp | Kind::Http(_) | Kind::Smtp(_) | Kind::Udp(_) | Kind::Dns(_) | Kind::Agent(_) => {
                options.extend([Self::NETNS, Self::PACKETS, Self::PORTS]);
            }
        }
        options
    }

    /// Whether it sends packets by itself; a program makes its own connections.
    pub(crate) const fn sends_packets(&self) -> bool {
        !matches!(self.kind, Kind::Command(_) | Kind::File(_))
    }

    /// Whether it goes to a port and nothing says which, of a server that has none of its own. `asked` is the first port of
    /// the service; 0 if clients may ask for any.
    pub(crate) fn has_no_port(&self, asked: u16) -> bool {
        let goes_to_one = self.sends_packets() && !matches!(self.kind, Kind::Icmp);
        goes_to_one && self.port.is_none() && !(self.to_vip && asked > 0)
    }

    /// How a configuration writes it, with every default.
    pub(crate) fn to_value(&self) -> Value {
        let mut table = vec![("type", Value::Text(self.kind.name().to_owned()))];
        match &self.kind {
            Kind::Tcp | Kind::Icmp => {}
            Kind::Http(http) => {
                table.extend(http.only().into_iter().flat_map(|page| pairs(Page::OPTIONS, page)));
                table.extend(pairs(Http::OPTIONS, http));
                table.extend(http.tls.iter().flat_map(|tls| pairs(Tls::OPTIONS, tls)));
            }
            Kind::Smtp(smtp) => table.extend(pairs(Smtp::OPTIONS, smtp)),
            Kind::Udp(udp) => table.extend(pairs(Udp::OPTIONS, udp)),
            Kind::Dns(dns) => table.extend(pairs(Dns::OPTIONS, dns)),
            Kind::Command(command) => table.extend(pairs(Command::OPTIONS, command)),
            Kind::File(file) => table.extend(pairs(File::OPTIONS, file)),
            Kind::Agent(agent) => table.extend(pairs(Agent::OPTIONS, agent)),
        }
        table.extend(self.options().into_iter().flat_map(|options| pairs(options, self)));
        Value::Table(table)
    }

    /// Whether another check asks the same, as often and in the same way, whatever it makes of the answers.
    pub(crate) fn asks_like(&self, other: &Check) -> bool {
        let judged = Check {
            rise: self.rise,
            fall: self.fall,
            assume_down: self.assume_down,
            inhibit_on_failure: self.inhibit_on_failure,
            ..other.clone()
        };
        *self == judged
    }

    /// What its packets leave by.
    pub(crate) const fn via(&self) -> &'static str {
        self.leave.via.name()
    }

    /// Whom its packets are addressed to.
    pub(crate) const fn to(&self) -> &'static str {
        TO[self.to_vip as usize]
    }

    fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
        self.retry_interval = interval.min(Duration::from_secs(1));
        self.warmup = interval;
    }

    /// A check with the default of everything.
    pub(crate) fn of(kind: Kind) -> Self {
        let interval = if let Kind::File(_) = kind { FILE_INTERVAL } else { DEFAULT_INTERVAL };
        Check::new(kind, interval)
    }

    /// An agent with the default of everything.
    pub(crate) fn agent(kind: Kind) -> Self {
        let interval = if let Kind::File(_) = kind { FILE_INTERVAL } else { AGENT_INTERVAL };
        Check { is_agent: true, rise: 1, fall: 1, ..Check::new(kind, interval) }
    }

    /// A check that comes so often, with the default of everything else.
    pub(crate) fn new(kind: Kind, interval: Duration) -> Self {
        // A file says the same until somebody writes it, and it is no server's fault that it is slow.
        let (rise, fall) = if let Kind::File(_) = kind { (1, 1) } else { (2, 3) };
        let mut check = Check {
            kind,
            interval,
            timeout: Duration::from_secs(3),
            retry_interval: interval,
            warmup: interval,
            rise,
            fall,
            assume_down: false,
            inhibit_on_failure: false,
            to_vip: false,
            address: None,
            port: None,
            leave: Leave::default(),
            is_agent: false,
        };
        check.set_interval(interval);
        check
    }
}

/// Whom they are addressed to.
const TO: [&str; 2] = ["server", "vip"];

/// Whether the value is the last of two words, or the first.
fn is_last(value: &Value, words: [&str; 2]) -> Option<bool> {
    let Value::Text(text) = value else { return None };
    words.iter().position(|word| word == text).map(|at| at == 1)
}

/// Time between two checks unless the file says otherwise.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
/// The same of files, which cost nothing to read.
const FILE_INTERVAL: Duration = Duration::from_secs(1);
/// The same of agents: HAProxy's `agent-inter`.
const AGENT_INTERVAL: Duration = Duration::from_secs(2);
