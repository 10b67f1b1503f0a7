//! What the services and VIPs mean, and what they must not mean together with the network.

mod tunnels;
mod ways;

use super::{
    addresses::{Addresses, vips_of},
    families,
    health::{Check, Health, OwnCheck, ServiceHealth, check_together, check_way},
    network::Network,
    options::Said,
    place::{At, Place},
    raw::{self, Raw},
    report::{Complaint, Problems, once},
};
use lb_core::{
    limits::{
        MAX_CLAIMS_OF_SERVICE, MAX_LOCAL_ADDRESSES, MAX_PORTS_OF_SERVICE, MAX_SERVERS, MAX_SERVICES,
        MAX_VIPS_OF_SERVICE,
    },
    sched::threshold::Thresholds,
    service::{
        from,
        marks::marks,
        module::{ModuleMistake, mistake},
        option::Value,
        overlaps::overlaps,
        owners::Use,
        plan::{OwnTunnel, Protocol, SchedulerKind, ServicePlan, VipPlan, flags_of},
        quic::{self, QuicMistake},
        stays,
    },
};
use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

/// Checks of services and VIPs, with what they compare to.
pub(super) struct Services<'c, 'r> {
    raw: &'r Raw,
    network: &'c Network,
    addresses: &'c Addresses<'r>,
    problems: &'c Problems,
}

impl<'c, 'r> Services<'c, 'r> {
    /// Nothing is checked yet.
    pub(super) fn new(
        raw: &'r Raw,
        network: &'c Network,
        addresses: &'c Addresses<'r>,
        problems: &'c Problems,
    ) -> Self {
        Services { raw, network, addresses, problems }
    }

    /// Checks everything and builds the result, which is only valid if no problem was found.
    pub(super) fn plan(&self) -> (Vec<ServicePlan>, Vec<VipPlan>, Health) {
        self.check_tunnel_sources();
        for (address, by, place) in vips_of(self.raw) {
            self.check_address(address, by, place, "use the address of one host");
        }
        if let Some(local) = &self.raw.tunnel_local {
            self.check_address(local.value, Use::Tunnel, &local.place, "use the address of one host");
        }
        self.check_services();
        families::check_translated(&self.raw.services, self.problems);
        self.raw.services.iter().for_each(|service| self.check_service(service));
        let services = self.raw.services.iter().map(service_plan).collect();
        (services, self.vip_plans(), self.health())
    }

    /// Outer packets come from networks that are routed to the director, one of each family, of which nobody has an
    /// address.
    /// An address must be one host's, and nobody else's.
    fn check_address(&self, address: IpAddr, wanted: Use, place: &Place, remedy: &str) {
        let is_broadcast = || {
            let what = format!("{address} is not the address of one host of its network");
            self.network.is_broadcast(address).then(|| Complaint::new(what, remedy))
        };
        let is_source = || {
            let network = self.raw.tunnel_sources.iter().find(|at| at.value.contains(&address))?;
            let what = format!(
                "{address} is a source of tunnels (line {}: {})",
                self.problems.line(&network.place),
                network.value
            );
            Some(Complaint::new(what, remedy))
        };
        let complaint = self.addresses.complaint(address, wanted, self.problems);
        let complaint = complaint.or_else(is_broadcast).or_else(is_source);
        complaint.into_iter().for_each(|complaint| self.problems.add(place, complaint));
    }

    /// Services against each other.
    fn check_services(&self) {
        let services = &self.raw.services;
        let problems = self.problems;
        if let Some(service) = services.get(MAX_SERVICES) {
            let what = format!("{} services are too many", services.len());
            problems.add(&service.place, Complaint::new(what, format!("use at most {MAX_SERVICES}")));
        }
        let mut servers = services.iter().flat_map(|service| &service.servers);
        if let Some(server) = servers.nth(MAX_SERVERS) {
            let remedy = format!("use at most {MAX_SERVERS} over all services");
            problems.add(&server.place, Complaint::new("too many servers", remedy));
        }
        let all: HashSet<IpAddr> =
            services.iter().flat_map(|it| it.plan.local_addresses.iter().copied()).collect();
        if let Some(service) = services.last().filter(|_| all.len() > MAX_LOCAL_ADDRESSES) {
            let what = format!("{} local addresses are too many", all.len());
            problems.add(&service.place, Complaint::new(what, format!("use at most {MAX_LOCAL_ADDRESSES}")));
        }
        let (mut names, mut keys, mut fwmarks) = (HashMap::new(), HashMap::new(), HashMap::new());
        for service in services {
            let name = &service.plan.name;
            if let Some(place) = service.said.place("name") {
                once(&mut names, name, place, problems, |line| {
                    let what = format!("another service is called {name:?} (line {line})");
                    Complaint::new(what, "give each its own name")
                });
            }
            if let (Some(place), fwmark @ 1..) = (service.said.place("fwmark"), service.plan.fwmark) {
                once(&mut fwmarks, (fwmark, service.plan.vip.is_ipv4()), place, problems, |line| {
                    let what =
                        format!("directors of IPVS know another service by mark {fwmark} (line {line})");
                    Complaint::new(what, "put what clients send to into one service, with `vips` and `ports`")
                });
            }
            if let (Some(key), Some(vip)) = (service.key(), service.vip_place()) {
                once(&mut keys, key, vip, problems, |line| {
                    let what = format!("{key} is another service's already (line {line})");
                    let remedy = "use another address or port, put all servers into one service, or have each serve \
                                  other clients: `from`, `on`";
                    Complaint::new(what, remedy)
                });
            }
        }
        self.check_overlaps();
        self.check_marks();
    }

    /// A DSCP stands for one VIP at each server.
    fn check_marks(&self) {
        let mut known: HashMap<(u8, IpAddr), (IpAddr, &Place)> = HashMap::new();
        for service in &self.raw.services {
            let said = service.said.at("dscp", service.plan.dscp).filter(|said| said.value > 0);
            let (Some(dscp), Some(vip)) = (said, service.known_vip()) else { continue };
            let servers =
                service.servers.iter().filter_map(|server| server.said.at("address", server.plan.address));
            let sorry = service.pool_places.as_ref().and_then(|places| places.sorry.as_ref());
            let addresses = servers.map(|server| server.value).chain(sorry.map(|sorry| sorry.value.ip()));
            let place = service.said.place("dscp").unwrap_or(&service.place);
            for (mark, _) in marks(&service.plan, addresses) {
                let (other, first) = *known.entry(mark).or_insert((vip, place));
                if other != vip {
                    let (line, server) = (self.problems.line(first), mark.1);
                    let what = format!(
                        "DSCP {} stands for {other} ({line}) at server {server}, which could not tell {vip} from it",
                        dscp.value
                    );
                    self.problems.add(place, Complaint::new(what, "use another number for one of the two"));
                    break;
                }
            }
        }
    }

    /// No two services may want the same packets with none of them more specific.
    fn check_overlaps(&self) {
        let services = &self.raw.services;
        // What is too much has been reported.
        let is_known = |service: &raw::Service| {
            let plan = &service.plan;
            let is_bounded =
                !plan.beside.is_choosy() || plan.reach().count_by_client() <= MAX_CLAIMS_OF_SERVICE;
            is_bounded && service.key().is_some() && service.knows_clients()
        };
        let known = services.iter().enumerate().filter(|(_, service)| is_known(service));
        let claims = known
            .flat_map(|(at, service)| service.plan.reach().claims_by_client().map(move |claim| (claim, at)));
        for (claim, one, other) in overlaps(claims) {
            let [first, second] = [&services[one], &services[other]];
            // Two that are known by the same have been reported.
            if one != other && first.key() == second.key() {
                continue;
            }
            let clients = claim.from.map(|_| "from").or(claim.on.map(|_| "on"));
            let clients = clients.and_then(|key| second.said.place(key));
            let several = second.said.place("ports").or_else(|| second.said.place("vips"));
            let several = clients.or(several);
            let Some(place) = several.or_else(|| second.vip_place()) else { continue };
            let complaint = if one == other {
                Complaint::new(format!("{claim} is listed twice"), "remove one")
            } else {
                let key = claim.from.map(|_| "from").or(claim.on.map(|_| "on"));
                let there = key.and_then(|key| first.said.place(key)).or(first.port_place());
                let line = there.map_or_else(String::new, |place| self.problems.line(place));
                let what = format!(
                    "{claim} is of service {:?} as well (line {line}), and neither is more specific",
                    first.plan.name
                );
                let remedy = match (claim.from, claim.on) {
                    (None, None) => "give the port to one of them, or a narrower range, which comes first",
                    (Some(_), _) => "give the network to one of them, or a longer prefix, which comes first",
                    (None, Some(_)) => "give the port of arrival to one of them",
                };
                Complaint::new(what, remedy)
            };
            self.problems.add(place, complaint);
        }
    }

    /// One service by itself, and its servers.
    fn check_service(&self, service: &'r raw::Service) {
        self.check_reach(service);
        self.check_clients(service);
        self.check_one_packet(service);
        self.check_persistence(service);
        self.check_flags(service);
        self.check_local_addresses(service);
        self.check_client_address(service);
        self.check_module(service);
        self.check_quic(service);
        self.check_tunnels(service);
        self.check_thresholds(service);
        self.check_dscp(service);
        let mut seen = HashMap::new();
        for server in &service.servers {
            let Some(address) = server.said.at("address", server.plan.address) else { continue };
            if let Some(endpoint) = service.endpoint(server) {
                let place = server.said.place("address").unwrap_or(&server.place);
                once(&mut seen, endpoint, place, self.problems, |line| {
                    let what = format!("{endpoint} is in this service already (line {line})");
                    Complaint::new(what, "remove one; to give it more connections, raise its weight")
                });
            }
            let wanted = Use::Server(&service.plan.name);
            let port = server.said.at("port", server.plan.port);
            self.check_reachable(service, wanted, (port, server.plan.tunnel), &address);
        }
        let method = service.said.known("method", service.plan.method);
        let own = service.servers.iter().flat_map(|server| server.check.iter().chain(&server.agent));
        for check in service.check.iter().chain(&service.agent).chain(own) {
            check_way(method, check, self.problems);
            self.check_source(&service.plan.name, check);
        }
        self.check_ports(service);
        check_together(&service.pool, service.pool_places.as_ref(), self.problems);
        if let Some(At { value: sorry, place }) =
            service.pool_places.as_ref().and_then(|places| places.sorry.as_ref())
        {
            once(&mut seen, *sorry, place, self.problems, |line| {
                let what = format!("{sorry} is one of the service's servers (line {line})");
                Complaint::new(what, "use another server, which gets connections when these fail")
            });
            let address = At { value: sorry.ip(), place: place.clone() };
            let port = At { value: sorry.port(), place: place.clone() };
            let said = (Some(port), OwnTunnel::default());
            self.check_reachable(service, Use::SorryServer(&service.plan.name), said, &address);
        }
    }

    /// Addresses and ports that clients send to.
    fn check_reach(&self, service: &raw::Service) {
        let reach = service.plan.reach();
        let too_many = |key: &str, count: usize, most: usize| {
            if let Some(place) = service.said.place(key).filter(|_| count > most) {
                let complaint =
                    Complaint::new(format!("has {count} elements"), format!("use at most {most}"));
                self.problems.add(place, complaint);
            }
        };
        too_many("vips", reach.vips().count(), MAX_VIPS_OF_SERVICE);
        too_many("ports", reach.ports().count(), MAX_PORTS_OF_SERVICE);
        if let Some(place) = service.said.place("vips").filter(|_| service.known_vip().is_none()) {
            let complaint = Complaint::new("is empty", "write for example `vips = [\"192.0.2.100\"]`");
            self.problems.add(place, complaint);
        }
        let mut vips = service.vips();
        let first = vips.next();
        for (vip, place) in vips {
            if let Some((first, _)) = first.filter(|(first, _)| first.is_ipv4() != vip.is_ipv4()) {
                let what = format!("{vip} and {first} are not of one family");
                self.problems.add(place, Complaint::new(what, "make a service for each family"));
            }
        }
    }

    /// Which clients it is for.
    fn check_clients(&self, service: &raw::Service) {
        // Whose family, and which ports there are, has to be known.
        if service.known_vip().is_none() || self.network.interfaces.is_empty() {
            return;
        }
        for mistake in from::mistakes(&service.plan, &self.network.interfaces) {
            let from::Mistake { key, element, what, remedy, .. } = mistake;
            let element = element.and_then(|at| service.said.elements(key).get(at)).map(|at| &at.place);
            if let Some(place) = element.or_else(|| service.said.place(key)) {
                self.problems.add(place, Complaint::new(what, remedy));
            }
        }
    }

    /// A server that has the port that a client asked for cannot be checked on it.
    fn check_ports(&self, service: &raw::Service) {
        let asks = |check: &'_ At<Option<Arc<Check>>>| {
            let value = check.value.as_deref()?;
            value.has_no_port(service.plan.port).then(|| check.place.clone())
        };
        let is_open = |server: &&raw::Server| server.said.known("port", server.plan.port) == Some(0);
        let open = service.servers.iter().filter(is_open);
        let mut places: Vec<Place> = open
            .filter_map(|server| server.check.as_ref().or(service.check.as_ref()).and_then(asks))
            .collect();
        places.dedup_by(|one, other| one.span == other.span);
        for place in places {
            let what = "goes to no port: the service has several, and its servers none of their own";
            let remedy = "add `port`, as in `port = 80`; a check of type icmp or command needs none";
            self.problems.add(&place.below("port"), Complaint::new(what, remedy));
        }
    }

    /// FullNAT takes local addresses, which are nobody else's, and nothing else does.
    fn check_local_addresses(&self, service: &'r raw::Service) {
        let problems = self.problems;
        let mut seen = HashMap::new();
        for (address, place) in service.local_addresses() {
            let wanted = Use::Local(&service.plan.name);
            self.check_address(address, wanted, place, "use an address that nobody else has");
            once(&mut seen, address, place, problems, |_| {
                Complaint::new(format!("{address} is listed twice"), "remove one")
            });
        }
        families::check_local_addresses(service, problems);
        let Some(method) = service.said.known("method", service.plan.method) else { return };
        let said = service.said.place("local_addresses");
        if !method.hides_clients() {
            if let Some(place) = said.filter(|_| !service.plan.local_addresses.is_empty()) {
                let what = format!("is for fullnat: with {method}, servers see clients' own addresses");
                let remedy = "remove it or set `method = \"fullnat\"`";
                problems.add(place, Complaint::new(what, remedy));
            }
            return;
        }
        let is_known = service.said.known("local_addresses", ()).is_some();
        if let Some(place) = service.said.place("method").filter(|_| is_known && seen.is_empty()) {
            let what = "fullnat takes local addresses, which servers see in the place of clients'";
            let remedy = "give it one for 60,000 connections with each server, as in \
                          `local_addresses = [\"198.51.100.20\"]`";
            problems.add(said.unwrap_or(place), Complaint::new(what, remedy));
        }
        if let Some(place) = service.said.place("adopt").filter(|_| service.plan.adopt) {
            let what = "fullnat cannot adopt connections: their servers know them by another local port";
            problems.add(place, Complaint::new(what, "remove it, or use nat, tun or dr"));
        }
    }

    /// Servers are told of clients where what they answer comes back this way, and datagrams in binary.
    fn check_client_address(&self, service: &'r raw::Service) {
        let told = service.plan.client_address;
        let Some(place) = service.said.place("client_address").filter(|_| told.is_told()) else { return };
        if let Some(method) =
            service.said.known("method", service.plan.method).filter(|method| !told.goes_with(*method))
        {
            let methods = told.methods();
            let what = format!(
                "is for {methods}: with {method}, servers see clients' own addresses, and answer them"
            );
            self.problems.add(place, Complaint::new(what, "remove it"));
        } else if service.plan.reach().protocols().any(|protocol| protocol == Protocol::Sctp) {
            let remedy = "remove it, or use tun or dr, under which servers see clients";
            self.problems.add(place, Complaint::new(format!("\"{told}\" is for tcp and udp"), remedy));
        } else if !told.takes_datagrams()
            && service.plan.reach().protocols().any(|protocol| protocol == Protocol::Udp)
        {
            let remedy = "use \"proxy-v2\", which datagrams can have as well";
            self.problems.add(place, Complaint::new(format!("\"{told}\" is for tcp"), remedy));
        }
    }

    /// A module reads one protocol, in both directions.
    fn check_module(&self, service: &'r raw::Service) {
        let mistake = mistake(&service_plan(service));
        if let (Some(place), Some(ModuleMistake { why, .. })) = (service.said.place("module"), mistake) {
            self.problems.add(place, Complaint::new(why.what(), why.remedy()));
        }
    }

    /// Connection IDs name each server in one way.
    fn check_quic(&self, service: &'r raw::Service) {
        let is_known = |said: &Said, keys: &[&str]| keys.iter().all(|key| said.known(key, ()).is_some());
        let own = ["quic_server_ids", "quic_server_number"];
        let is_bad_within = service.said.place("quic").is_some_and(|place| self.problems.is_within(place));
        if is_bad_within
            || !is_known(&service.said, &["quic", "protocol"])
            || !service.servers.iter().all(|server| is_known(&server.said, &own))
        {
            return;
        }
        for QuicMistake { key, server, what, remedy } in quic::mistakes(&service_plan(service)) {
            let said = server.map_or(&service.said, |at| &service.servers[at].said);
            if let Some(place) = said.place(key) {
                self.problems.add(place, Complaint::new(what, remedy));
            }
        }
    }

    /// What comes to a VIP comes to the director, not to the kernel that made a check.
    fn check_source(&self, service: &str, check: &At<Option<Arc<Check>>>) {
        if let At { value: Some(value), place } = check
            && let Some(source) = value.leave.source
        {
            let complaint = self.addresses.complaint(source, Use::CheckSource(service), self.problems);
            let place = place.below("source");
            complaint.into_iter().for_each(|complaint| self.problems.add(&place, complaint));
        }
    }

    /// Without connections there are no replies to translate.
    fn check_one_packet(&self, service: &raw::Service) {
        let Some(place) = service.said.place("one_packet").filter(|_| service.plan.one_packet) else {
            return;
        };
        let method = service.said.known("method", service.plan.method);
        if let Some(method) = method.filter(|method| method.sees_replies()) {
            let what = format!("keeps no connection, by which {method} would translate replies");
            self.problems.add(place, Complaint::new(what, "remove it, or use tun, dr or l3dsr"));
        }
    }

    /// What clients are known by has to be something that they have.
    fn check_persistence(&self, service: &raw::Service) {
        let mistake = || stays::mistake(&service.plan);
        if let Some(place) = service.said.place("persistence")
            && let Some(mistake) = mistake()
        {
            let what = format!("`{}` {}", mistake.key(), mistake.what());
            self.problems.add(place, Complaint::new(what, mistake.remedy()));
        }
    }

    /// A server is full from its upper threshold until it has fewer connections than its lower one.
    fn check_thresholds(&self, service: &'r raw::Service) {
        for server in &service.servers {
            let Thresholds { upper, lower } = server.plan.thresholds;
            if let Some(place) = server.said.place("lower_threshold").filter(|_| lower > upper) {
                let (what, remedy) = match upper {
                    0 => ("is without `upper_threshold`".to_owned(), "add that, or remove it"),
                    _ => {
                        let what = format!("{lower} is above `upper_threshold`, {upper}");
                        (what, "use at most that; without it, it is three quarters of that")
                    }
                };
                self.problems.add(place, Complaint::new(what, remedy));
            }
            if let Some(place) =
                server.said.place("upper_threshold").filter(|_| upper > 0 && service.plan.one_packet)
            {
                let what = "counts connections, and `one_packet` of the service keeps none";
                self.problems.add(place, Complaint::new(what, "remove one of the two"));
            }
        }
    }

    /// Flags are for schedulers that have them, and are given once.
    fn check_flags(&self, service: &'r raw::Service) {
        let mut seen: HashMap<&str, &Place> = HashMap::new();
        for At { value, place } in service.said.elements("flags") {
            let Value::Text(flag) = value else { continue };
            once(&mut seen, flag, place, self.problems, |_| {
                Complaint::new(format!("{flag:?} is given twice"), "remove one")
            });
            let needed = SchedulerKind::ALL
                .iter()
                .find(|kind| flags_of(**kind).is_some_and(|flags| flags.contains(&&**flag)));
            let scheduler = service.said.known("scheduler", service.plan.scheduler);
            if let (Some(needed), Some(scheduler)) = (needed, scheduler)
                && scheduler != *needed
            {
                let remedy = format!("remove it or set `scheduler = \"{needed}\"`");
                self.problems.add(place, Complaint::new(format!("{flag:?} is for {needed} only"), remedy));
            }
        }
        let scheduler = service.said.known("scheduler", service.plan.scheduler);
        if let (Some(place), Some(scheduler)) = (service.said.place("hash_servers"), scheduler)
            && service.plan.hash_servers > 0
            && !scheduler.has_table()
        {
            let what = format!("is for sh, dh and mh: {scheduler} has no lookup table");
            self.problems.add(place, Complaint::new(what, "remove it"));
        }
    }

    fn health(&self) -> Health {
        // What has no key is never used, since that is a problem.
        let services = self.raw.services.iter().filter_map(|service| {
            let own = |of: fn(&raw::Server) -> &OwnCheck| {
                let servers = service.servers.iter();
                let own = servers.filter_map(|server| {
                    Some((service.endpoint(server)?, of(server).as_ref()?.value.clone()))
                });
                own.collect()
            };
            Some(ServiceHealth {
                key: service.key()?,
                pool: service.pool.clone(),
                check: service.check.as_ref().and_then(|check| check.value.clone()),
                own: own(|server| &server.check),
                agent: service.agent.as_ref().and_then(|agent| agent.value.clone()),
                own_agents: own(|server| &server.agent),
            })
        });
        Health { hooks: self.raw.hooks.clone(), services: services.collect() }
    }

    fn vip_plans(&self) -> Vec<VipPlan> {
        let mut seen = HashMap::new();
        let mut plans = Vec::new();
        for vip in &self.raw.vips {
            let Some(place) = vip.said.place("address") else { continue };
            let address = vip.plan.address;
            once(&mut seen, address, place, self.problems, |line| {
                Complaint::new(format!("{address} is listed already (line {line})"), "remove one")
            });
            plans.push(vip.plan);
        }
        plans
    }
}

/// What the service means. Where something is missing, the plan is never used.
fn service_plan(service: &raw::Service) -> ServicePlan {
    let servers = service.servers.iter().map(|server| server.plan.clone()).collect();
    ServicePlan { servers, ..service.plan.clone() }
}
