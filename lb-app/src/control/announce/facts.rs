//! Which VIPs may be sent to this director, and why others may not: as everything that it takes to forward stands now.

use lb_core::{
    ids::InterfaceId,
    service::{
        key::{ServerKey, ServiceKey},
        plan::Role,
        routing::NextHop,
        snapshot::{Server, Service, Snapshot},
    },
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    time::Instant,
};

/// VIPs with services, each with why it may not be announced, if it may not.
pub(crate) type Verdicts = BTreeMap<IpAddr, Option<String>>;

/// What is known of everything else.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Ports are polled.
    pub(super) forwarding: bool,
    /// All workers respond.
    pub(super) alive: bool,
    /// Peers have told what they have, or were waited for long enough.
    pub(super) told: bool,
    /// By port: since when its link has been up and it has been polled. Nothing while that is not so.
    pub(super) up: Vec<Option<Instant>>,
    /// Servers that are checked, each with when its last check that succeeded began.
    pub(super) passed: HashMap<ServerKey, Option<Instant>>,
    /// Next hops whose Ethernet address all workers know.
    pub(super) resolved: HashSet<NextHop>,
    /// Services that have lost their quorum.
    pub(super) lost: HashSet<ServiceKey>,
}

impl Facts {
    /// A VIP may be announced while one of its services works. A service of many that has no servers left is no reason to
    /// take the others away.
    pub(super) fn judge(&self, snapshot: &Snapshot) -> Verdicts {
        let mut verdicts = Verdicts::new();
        for (_, service) in snapshot.configured() {
            let is_elsewhere = snapshot.role == Role::Follow && !snapshot.answers_for(service.vip);
            let elsewhere = is_elsewhere.then(|| "the kernel has it on no host side".to_owned());
            let why = self.of_director(snapshot).or(elsewhere).or_else(|| {
                self.of_service(snapshot, service).map(|why| format!("service {}: {why}", service.name))
            });
            for vip in service.reach().vips() {
                let verdict = verdicts.entry(vip).or_insert_with(|| why.clone());
                if why.is_none() {
                    *verdict = None;
                }
            }
        }
        verdicts
    }

    /// What keeps the director as a whole from it.
    fn of_director(&self, snapshot: &Snapshot) -> Option<String> {
        let why = match snapshot.role {
            Role::Standby => "the director is on standby",
            Role::Active | Role::Follow if !self.forwarding => "forwarding is stopped",
            Role::Active | Role::Follow if !self.alive => "a worker does not respond",
            Role::Active | Role::Follow if !self.told => "its peers have not told everything yet",
            Role::Active | Role::Follow => return None,
        };
        Some(why.to_owned())
    }

    fn of_service(&self, snapshot: &Snapshot, service: &Service) -> Option<String> {
        if self.lost.contains(&service.key()) {
            return Some("its quorum is lost".to_owned());
        }
        let servers = service.servers.iter().map(|&id| &snapshot.servers[id]);
        let serving: Vec<&Server> = servers.filter(|server| server.plan.effective_weight() > 0).collect();
        if serving.is_empty() {
            return Some("no server takes new connections".to_owned());
        }
        if !serving.iter().any(|server| self.is_up(snapshot, server.next_hop.interface)) {
            return Some("the links to its servers are down".to_owned());
        }
        if !serving.iter().any(|server| self.has_passed(snapshot, server, service.key())) {
            return Some("no check of its servers has succeeded since their link came up".to_owned());
        }
        if !serving.iter().any(|server| self.is_reached(snapshot, server.next_hop)) {
            return Some("no next hop to its servers answers".to_owned());
        }
        // Replies take the routes of the clients' family; where there are none, clients are on the director's own networks.
        let of_family = |hop: &NextHop| hop.address.is_ipv4() == service.vip.is_ipv4();
        let mut routers = snapshot.gateways().map(|(hop, _)| hop).filter(of_family).peekable();
        let replies = service.method.sees_replies() && routers.peek().is_some();
        if replies && !routers.any(|hop| self.is_reached(snapshot, hop)) {
            return Some("no router towards clients answers".to_owned());
        }
        None
    }

    fn is_up(&self, snapshot: &Snapshot, interface: InterfaceId) -> bool {
        self.up_since(snapshot, interface).is_some()
    }

    fn up_since(&self, snapshot: &Snapshot, interface: InterfaceId) -> Option<Instant> {
        let port = snapshot.interfaces[interface].port;
        self.up.get(usize::from(port.0)).copied().flatten()
    }

    /// What was found out before a link went down says nothing of what is behind it now.
    fn has_passed(&self, snapshot: &Snapshot, server: &Server, service: ServiceKey) -> bool {
        let Some(since) = self.up_since(snapshot, server.next_hop.interface) else { return false };
        let key = service.server(server.plan.endpoint());
        self.passed.get(&key).is_none_or(|passed| passed.is_some_and(|passed| passed >= since))
    }

    fn is_reached(&self, snapshot: &Snapshot, hop: NextHop) -> bool {
        self.is_up(snapshot, hop.interface) && self.resolved.contains(&hop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Limits};
    use std::time::Duration;

    const FILE: &str = r#"
        [[ports]]
        name = "wan"
        device = "net_null0"
        addresses = ["192.0.2.1/24"]
        [[ports]]
        name = "lan"
        device = "net_null1"
        addresses = ["198.51.100.1/24"]
        [[routes]]
        to = "default"
        via = "192.0.2.254"
        [[vips]]
        address = "198.51.100.254"
        [[services]]
        name = "web"
        vip = "203.0.113.1"
        port = 80
        protocol = "tcp"
        method = "nat"
        servers = [{ address = "198.51.100.11" }, { address = "198.51.100.12", weight = 0 }]
        [[services]]
        name = "tls"
        vip = "203.0.113.1"
        port = 443
        protocol = "tcp"
        method = "nat"
        servers = [{ address = "198.51.100.12" }]
        [[services]]
        name = "dns"
        vip = "203.0.113.2"
        port = 53
        protocol = "udp"
        method = "dr"
        servers = [{ address = "198.51.100.12" }]
    "#;

    fn snapshot(edits: &[(&str, &str)]) -> Snapshot {
        let text = edits.iter().fold(FILE.to_owned(), |text, (from, to)| text.replace(from, to));
        let limits = Limits { workers: 1, available_bytes: u64::MAX };
        Snapshot::new(&config::parse("lb.toml", &text, limits).expect("sound").plan).expect("sound")
    }

    /// Everything is well.
    fn facts() -> Facts {
        let hop = |interface, address: [u8; 4]| NextHop {
            interface: InterfaceId(interface),
            address: address.into(),
        };
        let resolved = [hop(0, [192, 0, 2, 254]), hop(1, [198, 51, 100, 11]), hop(1, [198, 51, 100, 12])];
        Facts {
            forwarding: true,
            told: true,
            alive: true,
            up: vec![Some(Instant::now()); 2],
            passed: HashMap::new(),
            resolved: resolved.into(),
            lost: HashSet::new(),
        }
    }

    fn verdicts(facts: &Facts, edits: &[(&str, &str)]) -> Vec<String> {
        let verdicts = facts.judge(&snapshot(edits)).into_iter();
        verdicts.map(|(vip, why)| format!("{vip} {}", why.unwrap_or_else(|| "yes".to_owned()))).collect()
    }

    #[test]
    fn a_vip_is_announced_when_all_that_it_takes_is_there() {
        assert_eq!(
            verdicts(&facts(), &[]),
            ["203.0.113.1 yes", "203.0.113.2 yes"],
            "and none without services"
        );
        let standby = [("[[routes]]", "[director]\nrole = \"standby\"\n[[routes]]")];
        let all = |why: &str| ["203.0.113.1", "203.0.113.2"].map(|vip| format!("{vip} {why}"));
        assert_eq!(verdicts(&facts(), &standby), all("the director is on standby"));
        assert_eq!(verdicts(&Facts { forwarding: false, ..facts() }, &[]), all("forwarding is stopped"));
        let untold = Facts { told: false, ..facts() };
        assert_eq!(verdicts(&untold, &[]), all("its peers have not told everything yet"));
        assert_eq!(verdicts(&Facts { alive: false, ..facts() }, &[]), all("a worker does not respond"));
    }

    #[test]
    fn one_service_that_works_is_enough() {
        let mut facts = facts();
        facts.lost.insert("tcp 203.0.113.1:80".parse().unwrap());
        assert_eq!(verdicts(&facts, &[]), ["203.0.113.1 yes", "203.0.113.2 yes"]);
        facts.lost.insert("tcp 203.0.113.1:443".parse().unwrap());
        facts.lost.insert("udp 203.0.113.2:53".parse().unwrap());
        assert_eq!(
            verdicts(&facts, &[]),
            ["203.0.113.1 service web: its quorum is lost", "203.0.113.2 service dns: its quorum is lost"]
        );
    }

    #[test]
    fn a_router_of_the_other_family_takes_no_replies() {
        let v6 = [
            ("addresses = [\"192.0.2.1/24\"]", "addresses = [\"192.0.2.1/24\", \"2001:db8::1/64\"]"),
            ("[[vips]]", "[[routes]]\nto = \"::/0\"\nvia = \"2001:db8::fe\"\n[[vips]]"),
        ];
        let mut only_v6 = facts();
        only_v6.resolved.remove(&NextHop { interface: InterfaceId(0), address: [192, 0, 2, 254].into() });
        only_v6
            .resolved
            .insert(NextHop { interface: InterfaceId(0), address: "2001:db8::fe".parse().unwrap() });
        let told = verdicts(&only_v6, &v6);
        assert_eq!(told[0], "203.0.113.1 service web: no router towards clients answers");
        // And the one of its own family is enough.
        assert_eq!(verdicts(&facts(), &v6)[0], "203.0.113.1 yes");
    }

    #[test]
    fn what_was_known_before_a_link_came_up_does_not_count() {
        let (mut facts, up) = (facts(), Instant::now());
        let (before, after) = (up.checked_sub(Duration::from_millis(1)), Some(up));
        facts.up = vec![Some(up); 2];
        let mut told = |passed: Option<Instant>| {
            let servers =
                ["198.51.100.11:80 of tcp 203.0.113.1:80", "198.51.100.12:53 of udp 203.0.113.2:53"];
            facts.passed = servers.iter().map(|key| (key.parse().unwrap(), passed)).collect();
            verdicts(&facts, &[])
        };
        let why = "no check of its servers has succeeded since their link came up";
        let dns = format!("203.0.113.2 service dns: {why}");
        assert_eq!(told(before), ["203.0.113.1 yes", &*dns], "nobody checks the second service");
        assert_eq!(told(None), ["203.0.113.1 yes", &*dns], "nor does what was assumed at start");
        assert_eq!(told(after), ["203.0.113.1 yes", "203.0.113.2 yes"]);
    }

    #[test]
    fn next_hops_answer_and_links_are_up() {
        let mut unresolved = facts();
        unresolved.resolved.retain(|hop| hop.address != IpAddr::from([198, 51, 100, 12]));
        let told = verdicts(&unresolved, &[]);
        assert_eq!(told, ["203.0.113.1 yes", "203.0.113.2 service dns: no next hop to its servers answers"]);
        let mut no_router = facts();
        no_router.resolved.retain(|hop| hop.interface == InterfaceId(1));
        let told = verdicts(&no_router, &[]);
        assert_eq!(told, ["203.0.113.1 service web: no router towards clients answers", "203.0.113.2 yes"]);
        let fullnat = [("method = \"nat\"", "method = \"fullnat\"\nlocal_addresses = [\"198.51.100.20\"]")];
        assert_eq!(verdicts(&no_router, &fullnat), told, "its replies take the same way");
        let down = Facts { up: vec![Some(Instant::now()), None], ..facts() };
        assert!(verdicts(&down, &[]).iter().all(|told| told.ends_with("the links to its servers are down")));
        let none = verdicts(&facts(), &[("{ address = \"198.51.100.12\" }", "")]);
        assert_eq!(none[1], "203.0.113.2 service dns: no server takes new connections");
    }
}
