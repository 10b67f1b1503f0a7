//! What an address asks for: a subject and its parameters become a request that reads.

use lb_ctl::protocol::{
    Code, Cursor, Refusal, Request, director, events,
    explain::{self, Flag, Packet},
    forward, health,
    keys::Target,
    overview, ports, services, workers,
};
use std::{collections::BTreeMap, fmt::Display, str::FromStr};

/// The parameters of an address.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query(BTreeMap<String, String>);

/// What there is, with its parameters.
pub(super) const SUBJECTS: [(&str, &[&str]); 9] = [
    ("about", &[]),
    ("overview", &["filter", "limit"]),
    ("services", &["name", "of", "at"]),
    ("health", &["service", "of", "at"]),
    ("workers", &[]),
    ("ports", &["counters"]),
    ("drops", &[]),
    ("events", &["after", "run", "latest"]),
    ("explain", &["protocol", "source", "destination", "flags", "port"]),
];

impl Query {
    /// Reads what stands behind the question mark.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let mut known = BTreeMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let read = |text| decode(text).ok_or_else(|| bad(format!("{text:?} is not well encoded")));
            if known.insert(read(name)?, read(value)?).is_some() {
                return Err(bad(format!("{name:?} is there twice")));
            }
        }
        Ok(Query(known))
    }

    /// The request that a subject with these parameters stands for.
    pub(super) fn request(&self, subject: &str) -> Result<Request, Refusal> {
        let Some((_, known)) = SUBJECTS.iter().find(|(known, _)| *known == subject) else {
            let known: Vec<&str> = SUBJECTS.iter().map(|(known, _)| *known).collect();
            let what = format!("unknown subject {subject:?}; known: {}", known.join(", "));
            return Err(Refusal::new(Code::NotFound, what));
        };
        if let Some(other) = self.0.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(bad(format!("unknown parameter {other:?}; known: {}", known.join(", "))));
        }
        Ok(match subject {
            "about" => Request::Director(director::Request::About),
            "overview" => Request::Overview(overview::Request {
                filter: self.text("filter").unwrap_or_default(),
                limit: self.read("limit")?,
            }),
            "services" => {
                Request::Services(services::Request::List { name: self.text("name"), cursor: self.cursor()? })
            }
            "health" => Request::Health(health::Request::List {
                service: self.text("service"),
                cursor: self.cursor()?,
            }),
            "workers" => Request::Workers(workers::Request::List),
            "ports" => Request::Ports(match self.read("counters")?.unwrap_or(false) {
                true => ports::Request::Stats { port: None },
                false => ports::Request::Info { port: None },
            }),
            "drops" => Request::Forward(forward::Request::Drops { all: false }),
            "events" => Request::Events(events::Request::List {
                after: self.read("after")?,
                run: self.read("run")?,
                latest: self.read("latest")?,
            }),
            _ => self.explain()?,
        })
    }

    fn explain(&self) -> Result<Request, Refusal> {
        let protocol = match self.text("protocol").as_deref() {
            Some("tcp") => Packet::Tcp,
            Some("udp") => Packet::Udp,
            Some("sctp") => Packet::Sctp,
            _ => return Err(bad("protocol: use tcp, udp or sctp")),
        };
        let required = |name: &str| bad(format!("{name}: write address and port, as in 192.0.2.10:40000"));
        let flags = self.text("flags").unwrap_or_default();
        let flags = flags.split(',').filter(|flag| !flag.is_empty()).map(|flag| match flag {
            "syn" => Ok(Flag::Syn),
            "ack" => Ok(Flag::Ack),
            "fin" => Ok(Flag::Fin),
            "rst" => Ok(Flag::Rst),
            _ => Err(bad("flags: use syn, ack, fin, rst, with commas between them")),
        });
        let destination = self.text("destination").filter(|text| !text.is_empty()).map(Target::from);
        Ok(Request::Explain(explain::Request {
            protocol,
            source: self.read("source")?.ok_or_else(|| required("source"))?,
            destination: destination.ok_or_else(|| required("destination"))?,
            flags: flags.collect::<Result<_, _>>()?,
            port: self.text("port").filter(|port| !port.is_empty()),
            quic_id: None,
            call: None,
        }))
    }

    fn cursor(&self) -> Result<Option<Cursor>, Refusal> {
        Ok(match (self.read("of")?, self.read("at")?) {
            (None, None) => None,
            (of, at) => Some(Cursor { of: of.unwrap_or(0), at: at.unwrap_or(0) }),
        })
    }

    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    fn read<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Refusal> {
        let value = self.0.get(name).map(|text| text.parse());
        value.transpose().map_err(|error| bad(format!("{name}: {error}")))
    }
}

fn bad(what: impl Into<String>) -> Refusal {
    Refusal::new(Code::Invalid, what)
}

/// Text without its percent signs and plus signs.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || Some(char::from(rest.next()?).to_digit(16)? as u8);
                digit()? << 4 | digit()?
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(address: &str) -> Result<Request, String> {
        let (subject, query) = address.split_once('?').unwrap_or((address, ""));
        let request = Query::parse(query).and_then(|query| query.request(subject));
        request.map_err(|refusal| refusal.message)
    }

    #[test]
    fn addresses_are_requests() {
        assert_eq!(request("about"), Ok(Request::Director(director::Request::About)));
        assert_eq!(
            request("services?name=a%20b+c&at=7"),
            Ok(Request::Services(services::Request::List {
                name: Some("a b c".to_owned()),
                cursor: Some(Cursor { of: 0, at: 7 })
            }))
        );
        let Ok(Request::Explain(explain)) = request(
            "explain?protocol=tcp&source=192.0.2.10:4000&destination=[2001:db8::1]:80&flags=syn,ack&port=",
        ) else {
            panic!()
        };
        assert_eq!((explain.flags, explain.port), (vec![Flag::Syn, Flag::Ack], None));
        for (address, what) in [
            ("quit", "unknown subject \"quit\""),
            ("about?x=1", "unknown parameter \"x\""),
            ("events?after=-1", "after: "),
            ("events?after=1&after=2", "twice"),
            ("services?name=%zz", "not well encoded"),
            ("services?name=%ff", "not well encoded"),
            ("explain?protocol=icmp", "use tcp, udp or sctp"),
            ("explain?protocol=tcp&source=192.0.2.10", "source: "),
            ("explain?protocol=tcp&source=192.0.2.10:1", "destination: write"),
        ] {
            let message = request(address).unwrap_err();
            assert!(message.contains(what), "{address}: {message}");
        }
    }

    /// Whatever is asked, nothing is changed.
    #[test]
    fn every_subject_reads() {
        for (subject, _) in SUBJECTS {
            let query = if subject == "explain" {
                "?protocol=udp&source=192.0.2.1:1&destination=192.0.2.2:2"
            } else {
                ""
            };
            let request = request(&format!("{subject}{query}")).unwrap();
            let reads = matches!(
                request,
                Request::Director(director::Request::About)
                    | Request::Overview(_)
                    | Request::Services(services::Request::List { .. })
                    | Request::Health(health::Request::List { .. })
                    | Request::Workers(workers::Request::List)
                    | Request::Ports(ports::Request::Info { .. } | ports::Request::Stats { .. })
                    | Request::Forward(forward::Request::Drops { .. })
                    | Request::Events(_)
                    | Request::Explain(_)
            );
            assert!(reads, "{subject}");
        }
    }

    proptest! {
        #[test]
        fn any_address_is_understood_or_refused(subject in "[a-z]{0,9}", query in "\\PC{0,60}") {
            let _ = Query::parse(&query).and_then(|query| query.request(&subject));
        }

        #[test]
        fn any_text_can_be_encoded(text in "\\PC{0,20}") {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            prop_assert_eq!(decode(&encoded), Some(text));
        }
    }
}
