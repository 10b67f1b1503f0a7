//! One check: what is asked, how often, and what counts as an answer.

use crate::config::check_values::bytes;
use lb_core::{
    limits::MAX_WEIGHT,
    option,
    service::option::{Kind as Of, Opt, PORT, Setting, Value, fields, from_table, pairs, to_table},
    time::Duration,
    words,
};
use std::{fmt, net::IpAddr, path::PathBuf, str};

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
    const NAMES: [&str; 3] = [Via::Auto.name(), Via::Kernel.name(), Via::Ports.name()];

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

/// HTTP requests and the answers that are expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Http {
    pub(crate) tls: Option<Tls>,
    /// What is asked for, one after the other: at least one. All of them have to succeed.
    pub(crate) pages: Vec<Page>,
}

impl Http {
    /// What can be said of it, beside what its page has if there is one only.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[Opt::<Self>::new(
        "urls",
        Of::Tables(|| fields(Page::OPTIONS)),
        "Several requests in place of `path`, each with a `path`, `method`, `host`, `status`, `body` and `digest` of \
         its own; all have to succeed within the timeout. What one does not say is what the check says beside \
         `urls`. keepalived: `url`.",
        |http| match &http.pages[..] {
            [_] => None,
            pages => Some(Value::List(pages.iter().map(|page| to_table(Page::OPTIONS, page)).collect())),
        },
        |http, value| {
            // What all of them have in common has been read.
            let (Value::List(tables), Some(common)) = (value, http.pages.first()) else { return false };
            let page = |table| {
                let mut page = common.clone();
                from_table(Page::OPTIONS, &mut page, table).then_some(page)
            };
            let pages: Option<Vec<Page>> = tables.iter().map(page).collect();
            pages.filter(|pages| !pages.is_empty()).map(|pages| http.pages = pages).is_some()
        },
    )
    .default("`path`")
    .example("[{ path = \"/\" }, { path = \"/cart\", status = [200] }]")];

    /// Its page, if there is one only.
    pub(crate) fn only(&self) -> Option<&Page> {
        self.pages.first().filter(|_| self.pages.len() == 1)
    }
}

impl Default for Http {
    fn default() -> Self {
        Http { tls: None, pages: vec![Page::default()] }
    }
}

/// One HTTP request and the answer that is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) method: String,
    pub(crate) path: String,
    /// The `Host` field; the address and port that the check goes to if there is none.
    pub(crate) host: Option<String>,
    /// Ranges of status codes.
    pub(crate) status: Vec<(u16, u16)>,
    /// What the body must contain.
    pub(crate) body: Option<Pattern>,
    /// What the body must be, byte for byte.
    pub(crate) digest: Option<Digest>,
}

impl Page {
    /// What can be said of it.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[
        option!(method, Of::Token, "The request's method."),
        option!(path, Of::UrlPath, "The requested path."),
        option!(host, Of::Token, "The `Host` header.").default("the address checked"),
        Opt::<Self>::new(
            "status",
            Of::List(&Of::StatusCodes),
            "Status codes that are successes.",
            |page| Some(Value::List(page.status.iter().map(codes_to_value).collect())),
            |page, value| {
                let Value::List(codes) = value else { return false };
                let codes: Option<Vec<_>> = codes.iter().map(codes_from_value).collect();
                // An empty list would let nothing succeed.
                codes
                    .map(|codes| page.status = if codes.is_empty() { vec![SUCCESS] } else { codes })
                    .is_some()
            },
        )
        .example("[200, \"301-399\"]"),
        option!(body, Of::Pattern, "What the first MiB of the body must match.").default("any"),
        option!(
            digest,
            Of::Digest,
            "MD5 or SHA-256 of the whole body, as `genhash`, `md5sum` and `sha256sum` print it. keepalived: `digest`."
        )
        .default("any"),
    ];
}

impl Default for Page {
    fn default() -> Self {
        Page {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            host: None,
            status: vec![SUCCESS],
            body: None,
            digest: None,
        }
    }
}

/// Status codes that say that all is well.
const SUCCESS: (u16, u16) = (200, 299);

fn codes_to_value(&(from, to): &(u16, u16)) -> Value {
    if from == to { Value::Number(from.into()) } else { Value::Text(format!("{from}-{to}")) }
}

fn codes_from_value(value: &Value) -> Option<(u16, u16)> {
    match value {
        Value::Number(code) => u16::try_from(*code).ok().map(|code| (code, code)),
        Value::Text(range) => {
            let (from, to) = range.split_once('-')?;
            Some((from.parse().ok()?, to.parse().ok()?))
        }
        _ => None,
    }
}

/// How TLS is spoken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    /// The server name that is asked for, which is also the one that a certificate must have.
    pub(crate) sni: Option<String>,
    /// The certificate must be valid.
    pub(crate) verify: bool,
    /// A file with CA certificates, instead of the host's.
    pub(crate) ca: Option<PathBuf>,
}

impl Tls {
    /// What can be said of it, beside what HTTP has.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[
        option!(sni, Of::Domain, "With `\"https\"`: the server name in the TLS handshake.")
            .default("`host`, if that is a name"),
        option!(verify, Of::Flag, "With `\"https\"`: the certificate must be valid and have that name."),
        Opt::<Self>::new(
            "ca",
            Of::Text,
            "With `\"https\"`: a file with CA certificates.",
            |tls| tls.ca.as_ref().map(|path| Value::Text(path.display().to_string())),
            |tls, value| String::from_value(value).map(|path| tls.ca = Some(path.into())).is_some(),
        )
        .default("the host's"),
    ];
}

/// What is said to a mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Smtp {
    /// What the director calls itself; keepalived's `helo_name`.
    pub(crate) helo: String,
}

impl Smtp {
    /// What can be said of it.
    pub(crate) const OPTIONS: &'static [Opt<Self>] =
        &[option!(helo, Of::Domain, "The name that it says HELO with. keepalived: `helo_name`.")];
}

impl Default for Smtp {
    fn default() -> Self {
        Smtp { helo: "localhost".to_owned() }
    }
}

/// A datagram and the answer that is expected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Udp {
    pub(crate) payload: Vec<u8>,
    /// Silence is a failure.
    pub(crate) require_reply: bool,
    /// What the answer must contain.
    pub(crate) expect: Option<Pattern>,
}

impl Udp {
    /// What can be said of it.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[
        Opt::<Self>::new(
            "payload",
            Of::Payload,
            "What is sent.",
            |udp| str::from_utf8(&udp.payload).ok().map(|text| Value::Text(text.to_owned())),
            |udp, value| String::from_value(value).map(|text| udp.payload = text.into_bytes()).is_some(),
        )
        .default("empty"),
        Opt::<Self>::new(
            "payload_hex",
            Of::Hexadecimal,
            "The same where it is no text.",
            |udp| {
                let digits = || udp.payload.iter().map(|byte| format!("{byte:02x}")).collect();
                str::from_utf8(&udp.payload).is_err().then(|| Value::Text(digits()))
            },
            |udp, value| {
                let payload = String::from_value(value).and_then(|digits| bytes(&digits));
                payload.map(|payload| udp.payload = payload).is_some()
            },
        ),
        option!(require_reply, Of::Flag, "Silence is a failure; otherwise only an ICMP error is."),
        option!(expect, Of::Pattern, "What the reply must match.").default("any"),
    ];
}

/// A DNS query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dns {
    pub(crate) name: String,
    pub(crate) record: Record,
}

impl Dns {
    /// What can be said of it.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[
        option!(name, Of::Domain, "The name in the query."),
        option!(record, Of::Word(Record::NAMES), "The record type in the query."),
    ];
}

impl Default for Dns {
    fn default() -> Self {
        Dns { name: ".".to_owned(), record: Record::Soa }
    }
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
    /// Their words, in the same order.
    pub(crate) const NAMES: &[&str] = &["A", "AAAA", "CNAME", "MX", "NS", "SOA", "TXT"];

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
    /// The user it runs as; ours if not given.
    pub(crate) user: Option<String>,
    /// Largest address space, in MiB.
    pub(crate) memory_mib: u32,
    /// Its exit status says a weight as well; keepalived's `misc_dynamic`.
    pub(crate) dynamic: bool,
}

impl Command {
    /// What can be said of it.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[
        option!(command, Of::Program, "The program and its arguments.")
            .required("[\"/usr/local/bin/probe\", \"--fast\"]"),
        option!(user, Of::Name, "The user it runs as.").default("lb-app's"),
        option!(memory_mib, Of::number(16, 65_536), "Its memory limit, in MiB."),
        option!(
            dynamic,
            Of::Flag,
            "Exit status 2 to 255 is a success, too, and gives the server a weight that is 2 less: 0 to 253. \
             keepalived: `misc_dynamic`."
        )
        .default("`false`; of an agent `true`"),
    ];
}

impl Default for Command {
    fn default() -> Self {
        Command { command: Vec::new(), user: None, memory_mib: 512, dynamic: false }
    }
}

/// The digest of a page. It is for noticing a page that is not the one it should be, not for keeping secrets: MD5 is what
/// keepalived's `genhash` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Digest {
    Md5([u8; 16]),
    Sha256([u8; 32]),
}

impl Digest {
    /// What hexadecimal digits stand for, by their number.
    pub(crate) fn read(digits: &str) -> Option<Self> {
        let bytes = bytes(digits)?;
        let md5 = bytes.as_slice().try_into().ok().map(Digest::Md5);
        md5.or_else(|| bytes.as_slice().try_into().ok().map(Digest::Sha256))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: &[u8] = match self {
            Digest::Md5(bytes) => bytes,
            Digest::Sha256(bytes) => bytes,
        };
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Setting for Digest {
    fn to_value(&self) -> Option<Value> {
        Some(Value::Text(self.to_string()))
    }

    fn from_value(value: &Value) -> Option<Self> {
        String::from_value(value).and_then(|digits| Digest::read(&digits))
    }
}

/// A file that somebody else writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    /// What a number in it counts for; 0 is that any number but 0 is a failure.
    pub(crate) weight: u32,
    /// The other way round.
    pub(crate) reverse: bool,
}

impl File {
    /// What can be said of it.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[
        Opt::<Self>::new(
            "file",
            Of::FilePath,
            "What is read: the first line. keepalived: `file` of `track_file`.",
            |file| Some(Value::Text(file.path.display().to_string())),
            |file, value| String::from_value(value).map(|path| file.path = path.into()).is_some(),
        )
        .required("\"/run/lb/web1\""),
        option!(
            weight,
            Of::number(0, MAX_WEIGHT as u64),
            "A number in it, times this, is added to the server's weight. With 0 the server is down while the \
             number is not 0. keepalived: `weight` of `track_file`."
        ),
        option!(
            reverse,
            Of::Flag,
            "It is subtracted instead; or the server is down while the number is 0. keepalived: `reverse`."
        ),
    ];
}

/// An agent on a server, in HAProxy's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Agent {
    /// What it is sent first; HAProxy's `agent-send`.
    pub(crate) send: String,
}

impl Agent {
    /// What can be said of it.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[option!(
        send,
        Of::Payload,
        "What it is sent before it answers, as in `\"web\\n\"`. HAProxy: `agent-send`."
    )
    .default("nothing")];
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

impl Setting for Pattern {
    fn to_value(&self) -> Option<Value> {
        Some(Value::Text(self.0.as_str().to_owned()))
    }

    fn from_value(value: &Value) -> Option<Self> {
        String::from_value(value).and_then(|text| regex::bytes::Regex::new(&text).ok()).map(Pattern)
    }
}

words!(Record);
