//! What an importer has understood, in our terms, before it is written as a configuration.

use crate::config::{
    health::{Check, Pool},
    options::read_text,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use lb_core::{
    conn::timeouts::Timeouts,
    service::{
        key::{Protocol, ServiceKey},
        option::{Kind, Value},
        plan::{ClientAddress, Method, ServerPlan, ServicePlan},
    },
};
use std::{fmt, net::IpAddr, rc::Rc};
use thiserror::Error;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its name, as in messages.
    pub(super) file: Rc<str>,
    /// From 1.
    pub(super) line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Why a file cannot be read as what it is said to be.
#[derive(Debug, Error)]
#[error("{place}: {what}")]
pub(super) struct Wrong {
    place: Place,
    what: String,
}

impl Place {
    /// Something is wrong here.
    pub(super) fn wrong(&self, what: impl Into<String>) -> Wrong {
        Wrong { place: self.clone(), what: what.into() }
    }
}

/// Something that has no equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) place: Place,
    /// What it is.
    pub(super) what: String,
    /// The nearest thing, or why nothing is needed.
    pub(super) nearest: String,
}

/// Everything that was understood.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) services: Vec<Service>,
    /// VIPs beside those of services, each with what it is.
    pub(super) vips: Vec<(IpAddr, String)>,
    /// Addresses of the director's own, with the interface that has them.
    pub(super) own: Vec<(IpNet, String)>,
    /// Networks that VIPs were said to be in, with the interface.
    pub(super) hints: Vec<(IpNet, String)>,
    pub(super) routes: Vec<Route>,
    /// Devices that were said to be in a VLAN, with what they are on top of and its number.
    pub(super) vlans: Vec<(String, String, u16)>,
    pub(super) timeouts: Timeouts,
    /// Somebody else decides which director is active.
    pub(super) standby: bool,
    /// Remarks about the whole, one paragraph each.
    pub(super) remarks: Vec<String>,
    pub(super) missing: Vec<Missing>,
}

/// One route.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) place: Place,
    pub(super) to: IpNet,
    pub(super) via: IpAddr,
    /// The interface that the router is said to be behind.
    pub(super) device: Option<String>,
}

/// One service.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) place: Place,
    /// Without servers.
    pub(super) plan: ServicePlan,
    pub(super) pool: Pool,
    /// The check of servers that say nothing else.
    pub(super) check: Option<Check>,
    pub(super) servers: Vec<Server>,
    /// Where its meaning differs.
    pub(super) notes: Vec<String>,
}

/// One server.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) place: Place,
    pub(super) plan: ServerPlan,
    pub(super) check: Option<Check>,
    pub(super) agent: Option<Check>,
    pub(super) notes: Vec<String>,
}

impl Draft {
    /// What a device is on top of, and its VLAN, if it is in one: as was said, or as its name says, like `eth0.100`.
    pub(super) fn vlan_of<'d>(&'d self, device: &'d str) -> Option<(&'d str, u16)> {
        let said = self.vlans.iter().find(|(name, _, _)| name == device);
        let named = || {
            let (link, id) = device.rsplit_once('.').filter(|(link, _)| !link.is_empty())?;
            Some((link, id.parse().ok()?))
        };
        let vlan = said.map(|(_, link, id)| (link.as_str(), *id)).or_else(named);
        vlan.filter(|(_, id)| (1..4_095).contains(id))
    }

    /// Notes that something has no equal.
    pub(super) fn miss(&mut self, place: &Place, what: impl Into<String>, nearest: impl Into<String>) {
        self.missing.push(Missing { place: place.clone(), what: what.into(), nearest: nearest.into() });
    }
}

/// The network that `default` stands for in a route by that router.
pub(super) fn default_route(via: Option<IpAddr>) -> IpNet {
    match via {
        Some(IpAddr::V6(_)) => Ipv6Net::default().into(),
        Some(IpAddr::V4(_)) | None => Ipv4Net::default().into(),
    }
}

/// Why an address cannot be in a configuration, if it cannot.
pub(super) fn refused(address: IpAddr) -> Option<String> {
    let text = Value::Address(address).to_string();
    read_text(&Kind::Address, &text).err().map(|complaint| complaint.what)
}

/// A name for a service that has none.
pub(super) fn name_of(key: &ServiceKey) -> String {
    match key.port {
        0 => format!("{}-{}-any", key.protocol, key.vip),
        port => format!("{}-{}-{port}", key.protocol, key.vip),
    }
}

/// The word as a name, if it can be one.
pub(super) fn as_name(word: &str) -> Option<String> {
    read_text(&Kind::Name, &Value::Text(word.to_owned()).to_string()).ok().and_then(|value| match value {
        Value::Text(name) => Some(name),
        _ => None,
    })
}

/// What a scheduler of IPVS's or DPVS's is here, with a note if it is not the same.
pub(super) fn scheduler(word: &str) -> Option<(&'static str, Option<&'static str>)> {
    use lb_core::service::plan::SchedulerKind;
    let same = SchedulerKind::NAMES.iter().find(|name| **name == word);
    same.map(|name| (*name, None)).or(match word {
        "conhash" => Some((
            "mh",
            Some("differs: the scheduler was conhash, which mh is nearest to: hashing by a Maglev table"),
        )),
        _ => None,
    })
}

/// Whether a method reaches servers on attached networks only, and so says which networks these are.
pub(super) fn is_local(method: Method) -> bool {
    method.is_link_local() || method.rewrites_endpoints()
}

/// What a version of the PROXY protocol is here, as DPVS writes it.
pub(super) fn proxy_version(word: &str) -> Option<ClientAddress> {
    // An "insecure" one lets clients' own headers stand instead, which are data here.
    match word.trim_end_matches("-insecure") {
        "v1" => Some(ClientAddress::ProxyV1),
        "v2" => Some(ClientAddress::ProxyV2),
        _ => None,
    }
}

/// How servers are told of clients, if the service's method and protocol allow it.
pub(super) fn client_address(
    place: &Place,
    (key, method): (&ServiceKey, Method),
    told: ClientAddress,
    draft: &mut Draft,
) -> ClientAddress {
    // DPVS's FullNAT tells by TOA where nothing else is said.
    if (told, method, key.protocol) == (ClientAddress::Packets, Method::FullNat, Protocol::Tcp) {
        return ClientAddress::Toa;
    }
    let nearest = if !method.sees_replies() {
        "servers see the client's address anyway"
    } else if key.protocol == Protocol::Sctp {
        "servers see the client's address under tun and dr"
    } else if told == ClientAddress::ProxyV1 && key.protocol == Protocol::Udp {
        "`client_address = \"proxy-v2\"` is for datagrams as well"
    } else {
        return told;
    };
    if told.is_told() {
        draft.miss(place, format!("the PROXY protocol of {key} under {method}"), nearest);
    }
    ClientAddress::Packets
}

/// FullNAT, or the nearest thing where nothing says from which addresses.
pub(super) fn full_nat(
    place: &Place,
    key: &ServiceKey,
    local: &[IpAddr],
    notes: &mut Vec<String>,
    draft: &mut Draft,
) -> Method {
    if !local.is_empty() {
        return Method::FullNat;
    }
    let nearest = "`method = \"nat\"` is used; `method = \"fullnat\"` needs `local_addresses`";
    draft.miss(place, format!("FullNAT of {key} without local addresses"), nearest);
    notes.push(
        "differs: the method was FullNAT. Under NAT servers see clients' addresses, and the director must be their default \
         gateway."
            .to_owned(),
    );
    Method::Nat
}
