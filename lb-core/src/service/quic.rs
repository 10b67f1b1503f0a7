//! Which server a connection ID of QUIC names, and what can be wrong with what is said about that.

use super::plan::{Protocol, QuicConfig, QuicLayout, QuicPlan, ServerPlan, ServicePlan};
use crate::{
    ids::ServerId,
    wire::{
        katran,
        quic::Name,
        quic_lb::{self, CONFIGURATIONS, Encoding},
    },
};
use std::collections::{HashMap, HashSet};
use thiserror::Error;

/// Which server of a service connection IDs name.
#[derive(Clone)]
pub struct QuicServers {
    layout: Layout,
    servers: HashMap<Name, ServerId>,
}

#[derive(Clone)]
enum Layout {
    QuicLb(Box<[Option<Encoding>; CONFIGURATIONS]>),
    Katran,
}

impl QuicServers {
    /// Those of a service, each with its number. `None` if no connection ID names any.
    #[must_use]
    pub(super) fn new(service: &ServicePlan, numbers: &[ServerId]) -> Option<Self> {
        let layout = match service.quic.layout {
            QuicLayout::None => return None,
            QuicLayout::Katran => Layout::Katran,
            QuicLayout::QuicLb => {
                let mut all: [Option<Encoding>; CONFIGURATIONS] = Default::default();
                for config in &service.quic.configs {
                    if let Some(place) = all.get_mut(usize::from(config.rotation)) {
                        *place = config.encoding();
                    }
                }
                Layout::QuicLb(Box::new(all))
            }
        };
        let numbered = service.servers.iter().zip(numbers);
        let named =
            numbered.flat_map(|(server, &number)| server.quic_names().map(move |name| (name, number)));
        Some(QuicServers { layout, servers: named.collect() })
    }

    /// The name in a connection ID that begins so, of a server or of nobody.
    #[must_use]
    pub fn name(&self, id: &[u8]) -> Option<Name> {
        match &self.layout {
            Layout::QuicLb(all) => all.get(quic_lb::rotation(id)?)?.as_ref()?.name(id),
            Layout::Katran => katran::name(id),
        }
    }

    /// The server of that name.
    #[must_use]
    pub fn named(&self, name: Name) -> Option<ServerId> {
        self.servers.get(&name).copied()
    }
}

impl QuicConfig {
    fn encoding(&self) -> Option<Encoding> {
        Encoding::new(self.server_id_length, self.nonce_length, self.key.as_ref().map(|key| &key.0))
    }
}

impl ServerPlan {
    /// What connection IDs call it.
    pub fn quic_names(&self) -> impl Iterator<Item = Name> + '_ {
        let number = (self.quic_server_number != 0).then(|| Name::of_number(self.quic_server_number));
        self.quic_server_ids.iter().copied().chain(number)
    }
}

/// What is wrong with what is said of connection IDs.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{key} {what}; {remedy}")]
pub struct QuicMistake {
    /// The option that it is about, of the service or of a server.
    pub key: &'static str,
    /// The server, by its place.
    pub server: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: &'static str,
}

/// Everything that is wrong with it, in the order of what it is about.
#[must_use]
pub fn mistakes(service: &ServicePlan) -> Vec<QuicMistake> {
    let mut all = Vec::new();
    let mut complain = |key, what: String, remedy| {
        all.push(QuicMistake { key, server: None, what, remedy });
    };
    let QuicPlan { layout, configs } = &service.quic;
    if service.quic.is_on() && service.reach().protocols().all(|protocol| protocol != Protocol::Udp) {
        let what = format!("is for udp, and the service is {}", service.protocol);
        complain("quic", what, "remove it, or add udp to `protocol`");
    }
    match layout {
        QuicLayout::QuicLb if configs.is_empty() => complain(
            "quic",
            "has no `configs`, which say how servers make connection IDs".to_owned(),
            "add some, as in `configs = [{ rotation = 0, server_id_length = 3, nonce_length = 4 }]`",
        ),
        QuicLayout::None if !configs.is_empty() => {
            complain("quic", "has `configs`, but no `layout`".to_owned(), "add `layout = \"quic-lb\"`");
        }
        QuicLayout::Katran if !configs.is_empty() => {
            let what =
                "has `configs`, which are QUIC-LB's: Katran's IDs say themselves how they are laid out";
            complain("quic", what.to_owned(), "remove them, or set `layout = \"quic-lb\"`");
        }
        QuicLayout::None | QuicLayout::QuicLb | QuicLayout::Katran => {}
    }
    let mut seen = HashSet::new();
    for (at, config) in configs.iter().enumerate() {
        let QuicConfig { rotation, server_id_length, nonce_length, .. } = config;
        if !seen.insert(rotation) {
            let what = format!("has two configurations with rotation {rotation}");
            complain("quic", what, "give each a number of its own");
        }
        for (key, length) in [("server_id_length", server_id_length), ("nonce_length", nonce_length)] {
            if *length == 0 {
                let what = format!("has no `{key}` in configs[{at}]");
                complain("quic", what, "add it, as the servers have it");
            }
        }
        if *server_id_length > 0 && *nonce_length > 0 && config.encoding().is_none() {
            let sum = u16::from(*server_id_length) + u16::from(*nonce_length);
            let what =
                format!("has {sum} bytes of server ID and nonce in configs[{at}], and QUIC has room for 19");
            complain("quic", what, "make `server_id_length` or `nonce_length` smaller");
        }
    }
    mistakes_of_servers(service, &mut all);
    all
}

fn mistakes_of_servers(service: &ServicePlan, all: &mut Vec<QuicMistake>) {
    let mut names = HashMap::new();
    for (at, server) in service.servers.iter().enumerate() {
        let mut complain = |key, what: String, remedy| {
            all.push(QuicMistake { key, server: Some(at), what, remedy });
        };
        let (ids, number) = (&server.quic_server_ids, server.quic_server_number);
        let is_lb = service.quic.layout == QuicLayout::QuicLb;
        if !ids.is_empty() && !is_lb {
            let what =
                format!("is for layout \"quic-lb\", and that of the service is \"{}\"", service.quic.layout);
            complain(IDS, what, "remove it, or set `quic` of the service");
        }
        if number != 0 && service.quic.layout != QuicLayout::Katran {
            let what =
                format!("is for layout \"katran\", and that of the service is \"{}\"", service.quic.layout);
            complain(NUMBER, what, "remove it, or set `quic` of the service");
        }
        for name in ids.iter().filter(|_| is_lb) {
            let fits = |config: &QuicConfig| Some(config.server_id_length) == name.width();
            if !service.quic.configs.iter().any(fits) {
                let what =
                    format!("{name} has {} bytes, as no configuration has", name.width().unwrap_or_default());
                complain(IDS, what, "use as many bytes as `server_id_length` says, two digits each");
            }
        }
        for name in server.quic_names() {
            let key = if name.width().is_some() { IDS } else { NUMBER };
            match names.insert(name, at) {
                Some(other) if other == at => complain(key, format!("{name} is there twice"), "remove one"),
                Some(other) => {
                    let what =
                        format!("{name} is that of server {} already", service.servers[other].endpoint());
                    complain(key, what, "give each server its own");
                }
                None => {}
            }
        }
    }
}

/// The option of a server with its IDs under QUIC-LB.
const IDS: &str = "quic_server_ids";
/// The one with its number under Katran's layout.
const NUMBER: &str = "quic_server_number";
