//! Ports, addresses and routes for what was imported: what the old file says of them, and otherwise guesses, marked as such,
//! with which the configuration is valid.

use super::draft::{Draft, Route, is_local};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
};

/// Most networks of servers that are taken for attached ones; others are behind the default route.
const MOST_ATTACHED: usize = 64;

/// What was found or guessed.
#[derive(Debug, Default)]
pub(super) struct Network {
    pub(super) ports: Vec<Port>,
    pub(super) routes: Vec<Way>,
}

/// One route.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) to: IpNet,
    pub(super) via: IpAddr,
    /// What the router is behind, where its address does not say so.
    pub(super) interface: Option<String>,
    pub(super) is_guess: bool,
}

/// One port.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) name: String,
    /// With whether it is a guess.
    pub(super) addresses: Vec<(IpNet, bool)>,
}

/// What a network is found for.
struct Finder {
    /// Addresses that somebody has.
    taken: HashSet<IpAddr>,
    /// Attached networks.
    attached: Vec<IpNet>,
    ports: Vec<Port>,
    hints: Vec<(IpNet, String)>,
}

/// A network in which the draft's services work.
pub(super) fn network(draft: &mut Draft) -> Network {
    let vips = draft.services.iter().flat_map(|service| service.plan.reach().vips());
    let vips: Vec<IpAddr> = vips.chain(draft.vips.iter().map(|(vip, _)| *vip)).collect();
    let mut finder = Finder {
        taken: vips.iter().copied().collect(),
        attached: Vec::new(),
        ports: Vec::new(),
        hints: draft.hints.clone(),
    };
    let mut local = Vec::new();
    for service in &draft.services {
        let sorry = service.pool.sorry_server.map(|sorry| sorry.address.ip());
        let servers = service.servers.iter().map(|server| server.plan.address).chain(sorry);
        finder.taken.extend(servers.clone());
        finder.taken.extend(&service.plan.local_addresses);
        if is_local(service.plan.method) {
            local.extend(servers.map(|server| (server, service.plan.method.is_link_local())));
        }
    }
    finder.taken.extend(draft.routes.iter().map(|route| route.via));
    for (net, device) in std::mem::take(&mut draft.own) {
        if finder.taken.insert(net.addr()) && !overlaps(&finder.attached, &net) {
            finder.attach(net, &device, false);
        }
    }
    let mut guessed = 0;
    for (address, is_near) in local {
        // What is behind a router is not attached, unless it has to be.
        let is_routed = |route: &Route| route.to.prefix_len() > 0 && route.to.contains(&address);
        if !is_near && draft.routes.iter().any(is_routed) {
            continue;
        }
        if guessed < MOST_ATTACHED && finder.reach(address, "lan") {
            guessed += 1;
        }
    }
    if let Some(first) = vips.first() {
        finder.reach(*first, "wan");
    }
    let mut routes = Vec::new();
    let mut seen = HashSet::new();
    for Route { place, to, via, device } in std::mem::take(&mut draft.routes) {
        let to = to.trunc();
        // An address of one link says nothing of where it is.
        let is_of_link = matches!(via, IpAddr::V6(via) if via.is_unicast_link_local());
        let interface = device.filter(|device| is_of_link && finder.has(device));
        if !is_of_link {
            finder.reach(via, "wan");
        }
        let why = match () {
            () if is_of_link && interface.is_none() => {
                "its router is of one link, and no interface of that is known"
            }
            () if to.addr().is_ipv4() != via.is_ipv4() => "its router is of another family",
            () if vips.contains(&via) => "its router is a VIP",
            () if finder.attached.iter().any(|net| net.trunc() == to) => "its network is attached",
            () if !seen.insert(to) => "there is one to that network already",
            () => {
                routes.push(Way { to, via, interface, is_guess: false });
                continue;
            }
        };
        draft.miss(&place, format!("route to {to} via {via}: {why}"), "it is left out");
    }
    // A default route of each family that VIPs have.
    for any in [IpNet::from(Ipv4Net::default()), IpNet::from(Ipv6Net::default())] {
        let vip = vips.iter().find(|vip| vip.is_ipv4() == any.addr().is_ipv4());
        if let Some(vip) = vip.filter(|_| !seen.contains(&any))
            && let Some(router) = finder.router(*vip)
        {
            routes.push(Way { to: any, via: router, interface: None, is_guess: true });
        }
    }
    if finder.ports.is_empty() {
        let example = Ipv4Net::new([192, 0, 2, 1].into(), 24).map(IpNet::from);
        finder
            .ports
            .extend(example.ok().map(|net| Port { name: "wan".to_owned(), addresses: vec![(net, true)] }));
    }
    Network { ports: finder.ports, routes }
}

impl Finder {
    fn attach(&mut self, net: IpNet, port: &str, is_guess: bool) {
        self.attached.push(net);
        match self.ports.iter_mut().find(|other| other.name == port) {
            Some(port) => port.addresses.push((net, is_guess)),
            None => self.ports.push(Port { name: port.to_owned(), addresses: vec![(net, is_guess)] }),
        }
    }

    /// Whether there is an interface of that name.
    fn has(&self, device: &str) -> bool {
        self.ports.iter().any(|port| port.name == device)
    }

    /// Attaches the address's network if none does yet. Whether it had to.
    fn reach(&mut self, address: IpAddr, port: &str) -> bool {
        if self.attached.iter().any(|net| net.contains(&address)) {
            return false;
        }
        let hint = self
            .hints
            .iter()
            .find(|(net, _)| net.contains(&address) && net.prefix_len() < net.max_prefix_len());
        let hint = hint.cloned().filter(|(net, _)| !overlaps(&self.attached, net));
        let (first, port) = hint.map_or((24, port.to_owned()), |(net, device)| (net.prefix_len(), device));
        // Longer ones where another network is in the way, shorter ones where somebody has the first or last address.
        let prefixes = match address {
            IpAddr::V4(_) => (first.clamp(1, 30)..=30).chain((16..first).rev()),
            IpAddr::V6(_) => (first.clamp(64, 126)..=126).chain((48..64).rev()),
        };
        for prefix in prefixes {
            let Ok(net) = IpNet::new(address, prefix) else { continue };
            let is_sound = ![net.network(), net.broadcast()].iter().any(|edge| self.taken.contains(edge));
            if is_sound
                && !overlaps(&self.attached, &net)
                && let Some(own) = self.free(&net, true)
                && let Ok(own) = IpNet::new(own, prefix)
            {
                self.taken.insert(own.addr());
                self.attach(own, &port, true);
                return true;
            }
        }
        false
    }

    /// A router for packets to clients: the first free address of the network that the VIP is in, or of any.
    fn router(&mut self, vip: IpAddr) -> Option<IpAddr> {
        let of_family = self.attached.iter().filter(|net| net.addr().is_ipv4() == vip.is_ipv4());
        let mut nets: Vec<IpNet> = of_family.copied().collect();
        nets.sort_by_key(|net| !net.contains(&vip));
        let router = nets.iter().find_map(|net| self.free(net, false))?;
        self.taken.insert(router);
        Some(router)
    }

    /// A host of the network that nobody has: the last, or the first.
    fn free(&self, net: &IpNet, last: bool) -> Option<IpAddr> {
        const LOOK_AT: usize = 4_096;
        let is_free = |address: &IpAddr| !self.taken.contains(address);
        match net.trunc() {
            IpNet::V4(net) if last => {
                let top = u32::from(net.broadcast());
                let hosts = (u32::from(net.network()) + 1..top).rev().take(LOOK_AT);
                hosts.map(|host| IpAddr::V4(host.into())).find(is_free)
            }
            IpNet::V6(net) if last => {
                let base = u128::from(net.network());
                (1..=0xfffe_u128)
                    .rev()
                    .take(LOOK_AT)
                    .map(|host| IpAddr::V6((base + host).into()))
                    .find(is_free)
            }
            net => net.hosts().skip(usize::from(!net.addr().is_ipv4())).take(LOOK_AT).find(is_free),
        }
    }
}

fn overlaps(attached: &[IpNet], net: &IpNet) -> bool {
    let net = net.trunc();
    attached.iter().map(IpNet::trunc).any(|other| other.contains(&net) || net.contains(&other))
}

/// The ports in the order of their names' first letters that people look for: those of clients first.
pub(super) fn in_order(ports: &mut [Port]) {
    let rank: BTreeMap<&str, usize> = BTreeMap::from([("wan", 0), ("lan", 2)]);
    ports.sort_by_key(|port| rank.get(port.name.as_str()).copied().unwrap_or(1));
}
