//! What of a draft cannot be in a configuration is left out and noted, and what servers of a service have in common is said
//! once.

use super::draft::{Draft, Missing, Place, Server, Service, refused};
use crate::config::health::{Check, Pool};
use lb_core::{
    conn::state::State,
    sched::threshold::Thresholds,
    service::{
        key::ServiceKey,
        module,
        plan::{Method, ModuleKind, OwnTunnel, PersistBy, ServicePlan, TunnelPlan},
        reach::PortRange,
        stays::{self, StaysMistake},
    },
    time::Duration,
};
use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
};

/// The port that IPVS takes for FTP's (`FTPPORT`, include/net/ip_vs.h).
const FTP: u16 = 21;

/// For how long a question of UDP waits for its answer where connections are kept instead of one-packet scheduling. A
/// resolver asks from ever new ports, so whatever is kept for minutes fills the table.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

impl Draft {
    /// Makes it one that can be a configuration.
    pub(super) fn settle(&mut self) {
        self.leave_out_refused();
        let vips: HashSet<IpAddr> =
            self.services.iter().flat_map(|service| service.plan.reach().vips()).collect();
        let local = self.settle_local_addresses(&vips);
        self.vips.retain(|(vip, _)| !local.contains(vip));
        self.own.retain(|(net, _)| !local.contains(&net.addr()));
        let taken: HashSet<IpAddr> =
            vips.iter().copied().chain(local).chain(self.vips.iter().map(|(vip, _)| *vip)).collect();
        let mut names = HashSet::new();
        for service in &mut self.services {
            service.plan.name = unique(&mut names, &service.plan.name);
            service.settle(&taken, &mut self.missing);
        }
        let mut listed = HashSet::new();
        self.vips.retain(|(vip, _)| !vips.contains(vip) && refused(*vip).is_none() && listed.insert(*vip));
    }

    /// Without services that cannot be, and those that are there already.
    fn leave_out_refused(&mut self) {
        let mut seen: HashSet<ServiceKey> = HashSet::new();
        let missing = &mut self.missing;
        self.services.retain(|service| {
            let key = service.plan.key();
            let why_local = |local: &IpAddr| refused(*local).map(|_| format!(": its local address {local}"));
            let why = service
                .plan
                .reach()
                .vips()
                .find_map(refused)
                .map(|why| format!(": {why}"))
                .or_else(|| service.plan.local_addresses.iter().find_map(why_local))
                .or_else(|| (!seen.insert(key)).then(|| " a second time".to_owned()));
            if let Some(why) = &why {
                miss(missing, &service.place, format!("service {key}{why}"), LEFT_OUT);
            }
            why.is_none()
        });
    }

    /// Without local addresses that are VIPs, and FullNAT that has none left. Returns those that stay.
    fn settle_local_addresses(&mut self, vips: &HashSet<IpAddr>) -> HashSet<IpAddr> {
        let missing = &mut self.missing;
        self.services.retain_mut(|service| {
            let place = &service.place;
            let mut family = service.servers.first().map(|server| server.plan.address.is_ipv4());
            service.plan.local_addresses.retain(|local| {
                let is_free = !vips.contains(local);
                if !is_free {
                    miss(missing, place, format!("local address {local}, which is a VIP"), LEFT_OUT);
                }
                // Servers are of one family, and so is what they see.
                let fits = *family.get_or_insert(local.is_ipv4()) == local.is_ipv4();
                if is_free && !fits {
                    miss(
                        missing,
                        place,
                        format!("local address {local}, which is of another family"),
                        LEFT_OUT,
                    );
                }
                is_free && fits
            });
            let is_sound = service.plan.method != Method::FullNat || !service.plan.local_addresses.is_empty();
            if !is_sound {
                miss(missing, place, format!("FullNAT of {}", service.plan.key()), LEFT_OUT);
            }
            is_sound
        });
        self.services.iter().flat_map(|service| service.plan.local_addresses.clone()).collect()
    }
}

/// What becomes of most of what is noted here.
const LEFT_OUT: &str = "it is left out";

fn miss(missing: &mut Vec<Missing>, place: &Place, what: String, nearest: &str) {
    missing.push(Missing { place: place.clone(), what, nearest: nearest.to_owned() });
}

impl Service {
    /// As it can be in a configuration where those addresses are VIPs and local ones.
    fn settle(&mut self, taken: &HashSet<IpAddr>, missing: &mut Vec<Missing>) {
        // It was said before the method that counts.
        if !self.plan.method.tunnels() {
            self.plan.tunnel = TunnelPlan::default();
            self.servers.iter_mut().for_each(|server| server.plan.tunnel = OwnTunnel::default());
        }
        self.settle_options(missing);
        let endpoints = self.settle_servers(taken, missing);
        self.settle_sorry_server(taken, &endpoints, missing);
        if self.pool.hysteresis >= self.pool.quorum {
            let hysteresis = self.pool.hysteresis;
            self.notes.push(format!("differs: the hysteresis {hysteresis} is less than the quorum here"));
            self.pool.hysteresis = self.pool.quorum - 1;
        }
        self.settle_checks(taken, missing);
        self.check = most_common(&self.servers);
    }

    /// Without options that do not go together.
    fn settle_options(&mut self, missing: &mut Vec<Missing>) {
        let key = self.plan.key();
        if self.plan.one_packet && self.plan.method.sees_replies() {
            let what = format!("one-packet scheduling of {key} under {}", self.plan.method);
            let nearest = "connections are kept, by which replies are translated, but not for longer than an answer takes";
            miss(missing, &self.place, what, nearest);
            self.plan.one_packet = false;
            self.plan.timeouts.set(State::Udp, ANSWER_WITHIN);
        }
        if stays::mistake(&self.plan) == Some(StaysMistake::Calls) {
            let what = format!("persistence engine sip of {key}, which has no datagrams");
            miss(missing, &self.place, what, "clients go by their addresses, as with IPVS");
            self.plan.persistence.by = PersistBy::Address;
            self.plan.persistence.prefix = match self.plan.persistence.prefix {
                0 => 128,
                prefix => prefix,
            };
        }
        if is_ftp(&self.plan) {
            self.plan.module = ModuleKind::Ftp;
            let note = "differs: it is read as FTP's, as IPVS does where ip_vs_ftp is loaded";
            self.notes.push(note.to_owned());
        }
    }

    /// Without servers that cannot be. Returns where those that stay are.
    fn settle_servers(&mut self, taken: &HashSet<IpAddr>, missing: &mut Vec<Missing>) -> HashSet<SocketAddr> {
        let (key, method, one_packet) = (self.plan.key(), self.plan.method, self.plan.one_packet);
        let (port, own) = (self.plan.default_server_port(), self.own_port());
        let misfit = self.misfit();
        let mut endpoints = HashSet::new();
        self.servers.retain_mut(|server| {
            if let Some((what, nearest)) = limit(&mut server.plan.thresholds, one_packet) {
                miss(missing, &server.place, format!("{what} of {key}"), nearest);
            }
            if !method.rewrites_endpoints() && server.plan.port != port {
                server.notes.push(format!(
                    "differs: port {} became {own}, since {method} does not change ports",
                    server.plan.port
                ));
                server.plan.port = port;
            }
            let endpoint = server.plan.endpoint();
            let why = refused(server.plan.address)
                .or_else(|| misfit(server.plan.address))
                .or_else(|| taken.contains(&server.plan.address).then(|| "is a VIP as well".to_owned()))
                .or_else(|| (!endpoints.insert(endpoint)).then(|| "is in the service already".to_owned()));
            if let Some(why) = &why {
                miss(missing, &server.place, format!("server {endpoint} of {key}: {why}"), LEFT_OUT);
            }
            why.is_none()
        });
        endpoints
    }

    /// Why an address cannot be a server's here: its family.
    fn misfit(&self) -> impl Fn(IpAddr) -> Option<String> + use<> {
        let ServicePlan { method, vip, ref local_addresses, .. } = self.plan;
        let local = local_addresses.first().filter(|_| method.hides_clients()).copied();
        move |server| match local {
            _ if method.tunnels() => None,
            Some(local) if local.is_ipv4() == server.is_ipv4() => None,
            Some(_) => Some("is not of the family of the local addresses".to_owned()),
            None if vip.is_ipv4() == server.is_ipv4() => None,
            None => {
                Some(format!("is not of the VIP's family, as {method} requires; tun and fullnat take either"))
            }
        }
    }

    /// The port that servers have where they are given none, in words.
    fn own_port(&self) -> String {
        match self.plan.default_server_port() {
            0 => "that of the client's packet".to_owned(),
            port => format!("the service's {port}"),
        }
    }

    fn settle_sorry_server(
        &mut self,
        taken: &HashSet<IpAddr>,
        endpoints: &HashSet<SocketAddr>,
        missing: &mut Vec<Missing>,
    ) {
        let (own, port, method) = (self.own_port(), self.plan.default_server_port(), self.plan.method);
        let misfit = self.misfit();
        let Some(sorry) = &mut self.pool.sorry_server else { return };
        if !method.rewrites_endpoints() && sorry.address.port() != port {
            self.notes.push(format!(
                "differs: the sorry server's port {} became {own}, since {method} does not change ports",
                sorry.address.port(),
            ));
            sorry.address.set_port(port);
        }
        let address = sorry.address;
        let why = refused(address.ip())
            .or_else(|| misfit(address.ip()))
            .or_else(|| taken.contains(&address.ip()).then(|| "is a VIP as well".to_owned()))
            .or_else(|| endpoints.contains(&address).then(|| "is one of the servers".to_owned()));
        if let Some(why) = why {
            let what = format!("sorry server {address} of {}: {why}", self.plan.key());
            let nearest = "it is left out; a sorry server is another host than the servers and the director";
            miss(missing, &self.place, what, nearest);
            self.pool.sorry_server = None;
            self.pool.when_all_fail = Pool::default().when_all_fail;
        }
    }

    /// Without checks that ask nowhere, and sources that they cannot have.
    fn settle_checks(&mut self, taken: &HashSet<IpAddr>, missing: &mut Vec<Missing>) {
        // Where a server has the port that a client asks for, a check has to have one.
        let first_port = self.plan.reach().ports().find_map(PortRange::port);
        for server in &mut self.servers {
            let has_no_port = server.plan.port == 0;
            if let Some(check) = server.check.as_mut().filter(|check| has_no_port && check.has_no_port(0)) {
                check.port = first_port;
                if first_port.is_none() {
                    let what = format!("a check of {}, which has no port", server.plan.address);
                    miss(missing, &server.place, what, "it is left out; add `check` with a `port`");
                    server.check = None;
                }
            }
            let source = server.check.as_mut().map(|check| &mut check.leave.source);
            if let Some(source) = source
                && let Some(address) = source.filter(|address| taken.contains(address))
            {
                let what = format!("checks from {address}, which is a VIP");
                miss(missing, &server.place, what, "the kernel chooses the source");
                *source = None;
            }
        }
    }
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
