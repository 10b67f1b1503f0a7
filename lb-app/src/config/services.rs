//! What the services and VIPs mean, and what they must not mean together with the network.

use super::{
    health::{Health, ServiceHealth, check_together, check_way},
    network::{Network, Reach, once, text},
    place::{At, Field, Place},
    raw::{self, Flag, Raw},
    report::{Complaint, Problems},
};
use lb_core::{
    conn::timeouts::Timeouts,
    limits::{MAX_SERVERS, MAX_SERVICES},
    service::{
        address::v4,
        key::{Protocol, ServiceKey},
        plan::{Admin, Method, SchedulerKind, ServerPlan, ServicePlan, Unserved, VipPlan},
    },
    time::Duration,
};
use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
};

/// IPVS's default.
const DEFAULT_SCHEDULER: SchedulerKind = SchedulerKind::Wlc;
/// What an unlisted VIP does.
const DEFAULT_UNSERVED: Unserved = Unserved::Reject;
/// ipvsadm's default.
const DEFAULT_WEIGHT: u32 = 1;

/// Checks of services and VIPs, with what they compare to.
pub(super) struct Services<'c, 'r> {
    raw: &'r Raw,
    network: &'c Network<'r>,
    problems: &'c Problems<'c>,
    /// Where each VIP is first named.
    vips: HashMap<Ipv4Addr, &'r Place>,
}

impl<'c, 'r> Services<'c, 'r> {
    /// Collects the VIPs.
    pub(super) fn new(raw: &'r Raw, network: &'c Network<'r>, problems: &'c Problems) -> Self {
        let mut vips = HashMap::new();
        for at in vips_of(raw) {
            vips.entry(at.value).or_insert(&at.place);
        }
        Services { raw, network, problems, vips }
    }

    /// Checks everything and says what it means. What is said is only good if no problem was found.
    pub(super) fn plan(&self, timeouts: Timeouts) -> (Vec<ServicePlan>, Vec<VipPlan>, Health) {
        vips_of(self.raw).for_each(|vip| self.check_vip(vip));
        self.check_services();
        self.raw.services.iter().for_each(|service| self.check_service(service));
        let services = self.raw.services.iter().map(|service| service_plan(service, timeouts)).collect();
        (services, self.vip_plans(), self.health())
    }

    /// A VIP must be nobody else's address.
    fn check_vip(&self, vip: &At<Ipv4Addr>) {
        let address = vip.value;
        let tunnel = self.raw.tunnel_local.as_ref().filter(|local| local.value == address);
        let complaint = if let Some(own) = self.network.own(address) {
            let what = format!("{address} is the address of a port (line {})", self.problems.line(own));
            Complaint::new(what, "use an address that no port has")
        } else if let Some(local) = tunnel {
            let what = format!(
                "{address} is the tunnel's local address (line {})",
                self.problems.line(&local.place)
            );
            Complaint::new(what, "give the tunnel or the service another")
        } else if self.network.is_broadcast(address) {
            Complaint::new(format!("{address} means all hosts of its network"), "use the address of one host")
        } else {
            return;
        };
        self.problems.add(&vip.place, complaint);
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
        let (mut names, mut keys) = (HashMap::new(), HashMap::new());
        for service in services {
            if let Some(At { value, place }) = &service.name {
                once(&mut names, value, place, problems, |line| {
                    let what = format!("another service is called {value:?} (line {line})");
                    Complaint::new(what, "give each its own name")
                });
            }
            if let (Some(key), Some(vip)) = (key(service), &service.vip) {
                once(&mut keys, key, &vip.place, problems, |line| {
                    let what = format!("{key} is another service's already (line {line})");
                    Complaint::new(what, "use another address or port, or put all servers into one service")
                });
            }
        }
    }

    /// One service by itself, and its servers.
    fn check_service(&self, service: &'r raw::Service) {
        let mut seen_flags: HashMap<&str, &Place> = HashMap::new();
        for flag in &service.flags {
            let name = flag.value.name();
            once(&mut seen_flags, name, &flag.place, self.problems, |_| {
                Complaint::new(format!("{name:?} is given twice"), "remove one")
            });
            let needed = flag.value.scheduler();
            if service.scheduler.or(DEFAULT_SCHEDULER).is_some_and(|scheduler| scheduler != needed) {
                let remedy = format!("remove it or set `scheduler = \"{needed}\"`");
                self.problems
                    .add(&flag.place, Complaint::new(format!("{name:?} is for {needed} only"), remedy));
            }
        }
        let mut seen = HashMap::new();
        for server in &service.servers {
            let Some(address) = &server.address else { continue };
            if let Some(endpoint) = endpoint(service, server) {
                once(&mut seen, endpoint, &address.place, self.problems, |line| {
                    let what = format!("{endpoint} is in this service already (line {line})");
                    Complaint::new(what, "remove one; to give it more connections, raise its weight")
                });
            }
            self.check_reachable(service, &server.port, address);
        }
        let own = service.servers.iter().filter_map(|server| server.check.as_ref());
        for check in service.check.iter().chain(own) {
            check_way(service.method.as_ref().map(|method| method.value), check, self.problems);
        }
        check_together(&service.pool, service.pool_place.as_ref(), self.problems);
        if let Some(At { value: sorry, place }) = &service.sorry {
            once(&mut seen, *sorry, place, self.problems, |line| {
                let what = format!("{sorry} is one of the service's servers (line {line})");
                Complaint::new(what, "use another server, which steps in when those fail")
            });
            if let Ok(value) = v4(sorry.ip()) {
                let address = At { value, place: place.clone() };
                let port = Field::Given(At { value: sorry.port(), place: place.clone() });
                self.check_reachable(service, &port, &address);
            }
        }
    }

    /// A server's address must be a host's that the service's method reaches.
    fn check_reachable(&self, service: &raw::Service, port: &Field<u16>, at: &At<Ipv4Addr>) {
        let address = at.value;
        let tunnel = self.raw.tunnel_local.as_ref().filter(|local| local.value == address);
        let used = if let Some(own) = self.network.own(address) {
            Some(format!("{address} is the address of a port (line {})", self.problems.line(own)))
        } else if let Some(vip) = self.vips.get(&address) {
            Some(format!("{address} is a VIP (line {})", self.problems.line(vip)))
        } else if let Some(local) = tunnel {
            Some(format!(
                "{address} is the tunnel's local address (line {})",
                self.problems.line(&local.place)
            ))
        } else if self.network.is_broadcast(address) {
            Some(format!("{address} means all hosts of its network"))
        } else {
            None
        };
        if let Some(what) = used {
            self.problems.add(&at.place, Complaint::new(what, "use the server's own address"));
        }
        let Some(method) = service.method.as_ref().map(|method| method.value) else { return };
        self.check_reach(method, at);
        if let (Some(port), Some(wanted)) = (port.given(), &service.port)
            && method != Method::Nat
            && port.value != wanted.value
        {
            let what = format!(
                "port {} is not the service's {}, and {method} cannot change it",
                port.value, wanted.value
            );
            let remedy = "only nat can: remove `port`, or set `method = \"nat\"`";
            self.problems.add(&port.place, Complaint::new(what, remedy));
        }
    }

    fn check_reach(&self, method: Method, at: &At<Ipv4Addr>) {
        let address = at.value;
        let attach = "attach its network to a port, or use nat or tun";
        let complaint = match (self.network.reach(address), method) {
            (Reach::Through(hop), Method::Dr) if hop.address != address => Complaint::new(
                format!("{address} is behind router {}, where dr does not reach", hop.address),
                attach,
            ),
            (Reach::Nowhere, Method::Dr) => Complaint::new(
                format!("{address} is on no attached network, and dr reaches no further"),
                attach,
            ),
            (Reach::Nowhere, Method::Nat | Method::Tun) => {
                let remedy = "add a route to it, or give a port an address on its network";
                Complaint::new(format!("there is no route to {address}"), remedy)
            }
            (Reach::Through(_) | Reach::Unknown, _) => return,
        };
        self.problems.add(&at.place, complaint);
    }

    fn health(&self) -> Health {
        // What has no key is never used, since that is a problem.
        let services = self.raw.services.iter().filter_map(|service| {
            let own = service.servers.iter().filter_map(|server| {
                Some((endpoint(service, server)?, server.check.as_ref()?.value.clone()))
            });
            Some(ServiceHealth {
                key: key(service)?,
                pool: service.pool.clone(),
                check: service.check.as_ref().and_then(|check| check.value.clone()),
                own: own.collect(),
            })
        });
        Health {
            hook: self.raw.hooks.hook.clone(),
            hook_timeout: self.raw.hooks.timeout,
            services: services.collect(),
        }
    }

    /// The listed VIPs, then those of services that are not listed.
    fn vip_plans(&self) -> Vec<VipPlan> {
        let mut seen = HashMap::new();
        let mut plans = Vec::new();
        for vip in &self.raw.vips {
            let Some(At { value: address, place }) = &vip.address else { continue };
            once(&mut seen, *address, place, self.problems, |line| {
                Complaint::new(format!("{address} is listed already (line {line})"), "remove one")
            });
            let unserved = vip.unserved.or(DEFAULT_UNSERVED).unwrap_or(DEFAULT_UNSERVED);
            plans.push(VipPlan { address: *address, unserved });
        }
        for At { value: address, place } in
            self.raw.services.iter().filter_map(|service| service.vip.as_ref())
        {
            if seen.insert(*address, place).is_none() {
                plans.push(VipPlan { address: *address, unserved: DEFAULT_UNSERVED });
            }
        }
        plans
    }
}

/// Every place where a VIP is named.
fn vips_of(raw: &Raw) -> impl Iterator<Item = &At<Ipv4Addr>> {
    let of_services = raw.services.iter().filter_map(|service| service.vip.as_ref());
    of_services.chain(raw.vips.iter().filter_map(|vip| vip.address.as_ref()))
}

/// What a service is known by, if all of it could be read.
fn key(service: &raw::Service) -> Option<ServiceKey> {
    Some(ServiceKey {
        protocol: service.protocol.as_ref()?.value,
        vip: service.vip.as_ref()?.value.into(),
        port: service.port.as_ref()?.value,
    })
}

/// Address and port of a server, if both are known.
fn endpoint(service: &raw::Service, server: &raw::Server) -> Option<SocketAddr> {
    Some(SocketAddr::new(server.address.as_ref()?.value.into(), server_port(service, server)?))
}

/// The port of a server: the service's unless it has its own. `None` if it is not known.
fn server_port(service: &raw::Service, server: &raw::Server) -> Option<u16> {
    match server.port.given() {
        Some(port) => Some(port.value),
        None => server.port.or(service.port.as_ref()?.value),
    }
}

/// What the service means. Where something is missing, the plan is never used, and any value will do.
fn service_plan(service: &raw::Service, timeouts: Timeouts) -> ServicePlan {
    let servers = service.servers.iter().map(|server| {
        let plan = ServerPlan::new(
            value(&server.address, Ipv4Addr::UNSPECIFIED),
            server_port(service, server).unwrap_or_default(),
            server.weight.or(DEFAULT_WEIGHT).unwrap_or_default(),
        );
        ServerPlan { admin: server.state.or(Admin::Enabled).unwrap_or(Admin::Enabled), ..plan }
    });
    ServicePlan {
        name: text(&service.name),
        protocol: value(&service.protocol, Protocol::Tcp),
        vip: value(&service.vip, Ipv4Addr::UNSPECIFIED),
        port: value(&service.port, 0),
        method: value(&service.method, Method::Nat),
        scheduler: service.scheduler.or(DEFAULT_SCHEDULER).unwrap_or(DEFAULT_SCHEDULER),
        hash_port: service.flags.iter().any(|flag| matches!(flag.value, Flag::ShPort | Flag::MhPort)),
        adopt: service.adopt.or(false).unwrap_or_default(),
        slow_start: service.slow_start.or(Duration::default()).unwrap_or_default(),
        timeouts: service.timeouts.apply(timeouts),
        servers: servers.collect(),
    }
}

fn value<T: Copy>(at: &Option<At<T>>, otherwise: T) -> T {
    at.as_ref().map_or(otherwise, |at| at.value)
}
