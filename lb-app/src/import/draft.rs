//! What an importer has understood, in our terms, before it is written as a configuration.

use crate::config::{
    health::{Check, Pool},
    options::read_text,
};
use ipnet::IpNet;
use lb_core::{
    conn::timeouts::Timeouts,
    sched::threshold::Thresholds,
    service::{
        key::{Protocol, ServiceKey},
        module,
        option::{Kind, Value},
        plan::{
            ClientAddress, Method, ModuleKind, OwnTunnel, PersistBy, ServerPlan, ServicePlan, TunnelPlan,
        },
        reach::PortRange,
        stays::{self, StaysMistake},
    },
};
use std::{
    collections::HashSet,
    fmt,
    net::{IpAddr, SocketAddr},
    rc::Rc,
};
use thiserror::Error;

/// The port that IPVS takes for FTP's (`FTPPORT`, include/net/ip_vs.h).
const FTP: u16 = 21;

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
    pub(super) routes: Vec<(Place, IpNet, IpAddr)>,
    /// Devices that were said to be in a VLAN, with what they are on top of and its number.
    pub(super) vlans: Vec<(String, String, u16)>,
    pub(super) timeouts: Timeouts,
    /// Somebody else decides which director is active.
    pub(super) standby: bool,
    /// Remarks about the whole, one paragraph each.
    pub(super) remarks: Vec<String>,
    pub(super) missing: Vec<Missing>,
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

    /// What the checks of servers have in common becomes their service's; what cannot be in a configuration is left out
    /// and noted.
    pub(super) fn settle(&mut self) {
        let mut seen: HashSet<ServiceKey> = HashSet::new();
        let mut names = HashSet::new();
        let mut missing = std::mem::take(&mut self.missing);
        let mut miss = |place: &Place, what: String, nearest: &str| {
            missing.push(Missing { place: place.clone(), what, nearest: nearest.to_owned() });
        };
        self.services.retain(|service| {
            let key = service.plan.key();
            if let Some(why) = service.plan.reach().vips().find_map(refused) {
                miss(&service.place, format!("service {key}: {why}"), "it is left out");
            } else if let Some(local) =
                service.plan.local_addresses.iter().find(|local| refused(**local).is_some())
            {
                miss(&service.place, format!("service {key}: its local address {local}"), "it is left out");
            } else if !seen.insert(key) {
                miss(&service.place, format!("service {key} a second time"), "it is left out");
            } else {
                return true;
            }
            false
        });
        let vips: HashSet<IpAddr> =
            self.services.iter().flat_map(|service| service.plan.reach().vips()).collect();
        for service in &mut self.services {
            let place = service.place.clone();
            service.plan.local_addresses.retain(|local| {
                let is_free = !vips.contains(local);
                if !is_free {
                    miss(&place, format!("local address {local}, which is a VIP"), "it is left out");
                }
                is_free
            });
        }
        // Without one there is no FullNAT.
        self.services.retain(|service| {
            let is_sound = service.plan.method != Method::FullNat || !service.plan.local_addresses.is_empty();
            if !is_sound {
                miss(&service.place, format!("FullNAT of {}", service.plan.key()), "it is left out");
            }
            is_sound
        });
        let local = self.services.iter().flat_map(|service| service.plan.local_addresses.clone());
        let local: HashSet<IpAddr> = local.collect();
        self.vips.retain(|(vip, _)| !local.contains(vip));
        self.own.retain(|(net, _)| !local.contains(&net.addr()));
        let taken: HashSet<IpAddr> =
            vips.iter().copied().chain(local).chain(self.vips.iter().map(|(vip, _)| *vip)).collect();
        for service in &mut self.services {
            let key = service.plan.key();
            service.plan.name = unique(&mut names, &service.plan.name);
            // It was said before the method that counts.
            if !service.plan.method.tunnels() {
                service.plan.tunnel = TunnelPlan::default();
                service.servers.iter_mut().for_each(|server| server.plan.tunnel = OwnTunnel::default());
            }
            if service.plan.one_packet && service.plan.method.sees_replies() {
                let nearest = "connections are kept, by which replies are translated; a short `timeouts.udp` comes close";
                miss(
                    &service.place,
                    format!("one-packet scheduling of {key} under {}", service.plan.method),
                    nearest,
                );
                service.plan.one_packet = false;
            }
            if stays::mistake(&service.plan) == Some(StaysMistake::Calls) {
                let what = format!("persistence engine sip of {key}, which has no datagrams");
                miss(&service.place, what, "clients go by their addresses, as with IPVS");
                service.plan.persistence.by = PersistBy::Address;
                service.plan.persistence.prefix = match service.plan.persistence.prefix {
                    0 => 128,
                    prefix => prefix,
                };
            }
            if is_ftp(&service.plan) {
                service.plan.module = ModuleKind::Ftp;
                let note = "differs: it is read as FTP's, as IPVS does where ip_vs_ftp is loaded";
                service.notes.push(note.to_owned());
            }
            let port = service.plan.default_server_port();
            let own = if port == 0 {
                "that of the client's packet".to_owned()
            } else {
                format!("the service's {port}")
            };
            let keeps_ports = !service.plan.method.rewrites_endpoints();
            let mut endpoints: HashSet<SocketAddr> = HashSet::new();
            service.servers.retain_mut(|server| {
                if let Some((what, nearest)) = limit(&mut server.plan.thresholds, service.plan.one_packet) {
                    miss(&server.place, format!("{what} of {key}"), nearest);
                }
                if keeps_ports && server.plan.port != port {
                    let method = service.plan.method;
                    server.notes.push(format!(
                        "differs: port {} became {own}, since {method} does not change ports",
                        server.plan.port
                    ));
                    server.plan.port = port;
                }
                let endpoint = server.plan.endpoint();
                let why = refused(server.plan.address)
                    .or_else(|| taken.contains(&server.plan.address).then(|| "is a VIP as well".to_owned()))
                    .or_else(|| {
                        (!endpoints.insert(endpoint)).then(|| "is in the service already".to_owned())
                    });
                if let Some(why) = &why {
                    miss(&server.place, format!("server {endpoint} of {key}: {why}"), "it is left out");
                }
                why.is_none()
            });
            if let Some(sorry) = &mut service.pool.sorry_server {
                if keeps_ports && sorry.address.port() != port {
                    service.notes.push(format!(
                        "differs: the sorry server's port {} became {own}, since {} does not change ports",
                        sorry.address.port(),
                        service.plan.method
                    ));
                    sorry.address.set_port(port);
                }
                let address = sorry.address;
                let why = refused(address.ip())
                    .or_else(|| taken.contains(&address.ip()).then(|| "is a VIP as well".to_owned()))
                    .or_else(|| endpoints.contains(&address).then(|| "is one of the servers".to_owned()));
                if let Some(why) = why {
                    let nearest =
                        "it is left out; a sorry server is another host than the servers and the director";
                    miss(&service.place, format!("sorry server {address} of {key}: {why}"), nearest);
                    service.pool.sorry_server = None;
                    service.pool.when_all_fail = Pool::default().when_all_fail;
                }
            }
            if service.pool.hysteresis >= service.pool.quorum {
                service.notes.push(format!(
                    "differs: the hysteresis {} is less than the quorum here",
                    service.pool.hysteresis
                ));
                service.pool.hysteresis = service.pool.quorum - 1;
            }
            // Where a server has the port that a client asks for, a check has to have one.
            let first_port = service.plan.reach().ports().find_map(PortRange::port);
            for server in service.servers.iter_mut().filter(|server| server.plan.port == 0) {
                let Some(check) = server.check.as_mut().filter(|check| check.has_no_port(0)) else {
                    continue;
                };
                check.port = first_port;
                if first_port.is_none() {
                    miss(
                        &server.place,
                        format!("a check of {}, which has no port", server.plan.address),
                        "it is left out; add `check` with a `port`",
                    );
                    server.check = None;
                }
            }
            for server in &mut service.servers {
                if let Some(check) = &mut server.check
                    && let Some(source) = check.leave.source.filter(|source| taken.contains(source))
                {
                    miss(
                        &server.place,
                        format!("checks from {source}, which is a VIP"),
                        "the kernel chooses the source",
                    );
                    check.leave.source = None;
                }
            }
            service.check = most_common(&service.servers);
        }
        self.vips.retain(|(vip, _)| !vips.contains(vip) && refused(*vip).is_none());
        let mut listed = HashSet::new();
        self.vips.retain(|(vip, _)| listed.insert(*vip));
        self.missing = missing;
    }
}

/// Why an address cannot be in a configuration, if it cannot.
pub(super) fn refused(address: IpAddr) -> Option<String> {
    let text = Value::Address(address).to_string();
    read_text(&Kind::Address, &text).err().map(|complaint| complaint.what)
}

/// Whether IPVS takes it for a service of FTP, as it does by the port, and the module can read it here.
fn is_ftp(service: &ServicePlan) -> bool {
    let reach = service.reach();
    let mut ports = reach.ports().map(PortRange::port);
    let is_of_port = ports.next() == Some(Some(FTP)) && ports.next().is_none();
    let read = ServicePlan { module: ModuleKind::Ftp, ..service.clone() };
    is_of_port && module::mistake(&read).is_none()
}

/// The check that most servers have; the first of them where several have as many.
fn most_common(servers: &[Server]) -> Option<Check> {
    let mut best: Option<(&Check, usize)> = None;
    for check in servers.iter().filter_map(|server| server.check.as_ref()) {
        let count = servers.iter().filter(|server| server.check.as_ref() == Some(check)).count();
        if best.is_none_or(|(_, most)| count > most) {
            best = Some((check, count));
        }
    }
    best.map(|(check, _)| check.clone())
}

/// A name that nobody else has.
fn unique(names: &mut HashSet<String>, name: &str) -> String {
    let mut unique = name.to_owned();
    let mut number = 2;
    while !names.insert(unique.clone()) {
        unique = format!("{name}-{number}");
        number += 1;
    }
    unique
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

/// Thresholds as they can be here. Returns what cannot be, with the nearest thing.
fn limit(thresholds: &mut Thresholds, one_packet: bool) -> Option<(&'static str, &'static str)> {
    let Thresholds { upper, lower } = *thresholds;
    if one_packet && upper > 0 {
        *thresholds = Thresholds::default();
        return Some(("a server's thresholds", "connections that are not kept are not counted: no limit"));
    }
    if lower > upper {
        thresholds.lower = 0;
        let what = "a lower threshold above the upper one";
        return Some((what, "three quarters of the upper one, if there is one"));
    }
    None
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
