//! What else is said to a server, and which answers are good: SMTP, a datagram, a DNS query, and what an agent is asked.

use super::pattern::Pattern;
use crate::config::check_values::bytes;
use lb_core::{
    option,
    service::option::{Kind as Of, Opt, Setting, Value},
    words,
};
use std::str;

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

words!(Record);

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
