//! What `ipvsadm -S -n` prints, what `ipvsadm -R` reads, and scripts that call ipvsadm.

use super::{
    draft::{Draft, Place, Server, Service, Wrong, client_address, full_nat, name_of, scheduler},
    files::Files,
    script::{self, Call},
};
use crate::config::health::Pool;
use lb_core::{
    conn::{state::State, tunnel::Encapsulation},
    sched::threshold::Thresholds,
    service::{
        key::{Protocol, ServiceKey},
        plan::{Choice, ClientAddress, Method, OwnTunnel, PersistBy, SchedulerKind, ServerPlan, ServicePlan},
    },
    time::Duration,
};
use lb_ctl::ipvsadm::{
    act::{
        Act, Forward, NO_DAEMON, NO_REMOTE_CHECKSUM, SIP, ServerOptions, ServiceOptions, Target, Transport,
        TunnelOptions,
    },
    grammar,
};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

/// Programs in scripts that change nothing here.
const HARMLESS: [&str; 14] = [
    "echo", "set", "exit", "sleep", "export", "true", ":", "modprobe", "logger", "printf", "cd", "umask",
    "wait", "date",
];

/// Reads the files, one after the other.
pub(super) fn read(files: &dyn Files, paths: &[String]) -> Result<Draft, Wrong> {
    let mut table = Table::default();
    for path in paths {
        let place = Place { file: path.as_str().into(), line: 1 };
        let text = files.read(path).map_err(|error| place.wrong(error))?;
        for call in script::read(path, &text, "ipvsadm")? {
            match call.program.as_str() {
                "ipvsadm" => table.call(&call)?,
                other => table.other(&call, other),
            }
        }
    }
    Ok(table.draft())
}

/// IPVS's table, as the calls so far have made it.
#[derive(Default)]
pub(super) struct Table {
    draft: Draft,
    /// In the order in which they were added.
    order: Vec<Target>,
    services: HashMap<Target, Entry>,
    /// Local addresses of DPVS's FullNAT.
    local: HashMap<Target, Vec<IpAddr>>,
    /// How DPVS's services tell their servers of clients.
    told: HashMap<Target, ClientAddress>,
}

/// A service in the table.
struct Entry {
    place: Place,
    options: ServiceOptions,
    servers: Vec<Real>,
}

struct Real {
    place: Place,
    address: IpAddr,
    port: Option<u16>,
    options: ServerOptions,
    full_nat: bool,
}

impl Table {
    /// A program that is none of those that fill the table.
    pub(super) fn other(&mut self, call: &Call, program: &str) {
        if !HARMLESS.contains(&program) {
            let what = format!("{program} {}", call.words.join(" "));
            self.draft.miss(&call.place, what, "the importer does not know it; it is left out");
        }
    }

    /// What has no equal, for whoever reads more than ipvsadm.
    pub(super) const fn draft_mut(&mut self) -> &mut Draft {
        &mut self.draft
    }

    /// A local address of a service, which DPVS reaches its servers from by FullNAT.
    pub(super) fn local_address(&mut self, target: Target, address: IpAddr) {
        let addresses = self.local.entry(target).or_default();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }

    /// How a service tells its servers of clients.
    pub(super) fn client_address(&mut self, target: Target, told: ClientAddress) {
        self.told.insert(target, told);
    }

    /// One call of ipvsadm.
    pub(super) fn call(&mut self, call: &Call) -> Result<(), Wrong> {
        self.act(call, false)
    }

    /// The same, for servers that DPVS reaches by FullNAT.
    pub(super) fn act(&mut self, Call { place, words, .. }: &Call, full_nat: bool) -> Result<(), Wrong> {
        let act = grammar::parse(words).map_err(|what| place.wrong(what))?;
        match act {
            Act::AddService(target, options) => {
                if self.services.contains_key(&target) {
                    return Err(place.wrong("the service is there already"));
                }
                self.order.push(target);
                self.services.insert(target, Entry { place: place.clone(), options, servers: Vec::new() });
            }
            Act::EditService(target, options) => self.entry(place, &target)?.options = options,
            Act::DeleteService(target) => {
                self.entry(place, &target)?;
                self.services.remove(&target);
                self.order.retain(|other| *other != target);
            }
            Act::AddServer(target, address, port, options) => {
                let servers = &mut self.entry(place, &target)?.servers;
                if servers.iter().any(|server| (server.address, server.port) == (address, port)) {
                    return Err(place.wrong("the server is in the service already"));
                }
                servers.push(Real { place: place.clone(), address, port, options, full_nat });
            }
            Act::EditServer(target, address, port, options) => {
                let servers = &mut self.entry(place, &target)?.servers;
                let server =
                    servers.iter_mut().find(|server| (server.address, server.port) == (address, port));
                server.ok_or_else(|| place.wrong("there is no such server in the service"))?.options =
                    options;
            }
            Act::DeleteServer(target, address, port) => {
                let servers = &mut self.entry(place, &target)?.servers;
                let before = servers.len();
                servers.retain(|server| (server.address, server.port) != (address, port));
                if servers.len() == before {
                    return Err(place.wrong("there is no such server in the service"));
                }
            }
            Act::Clear => {
                self.services.clear();
                self.order.clear();
            }
            Act::Timeouts(seconds) => {
                let states = [State::Established, State::FinWait, State::Udp];
                for (state, seconds) in states.into_iter().zip(seconds).filter(|(_, seconds)| *seconds > 0) {
                    if seconds > 2_073_600 {
                        return Err(place.wrong(format!("--set: {seconds} s is out of range")));
                    }
                    self.draft.timeouts.set(state, Duration::from_secs(seconds.into()));
                }
            }
            Act::Daemon => {
                self.draft.miss(place, "the daemon that copies connections", NO_DAEMON);
            }
            Act::Zero(_) | Act::List(..) | Act::Save | Act::Restore | Act::Help | Act::Version => {}
        }
        Ok(())
    }

    fn entry(&mut self, place: &Place, target: &Target) -> Result<&mut Entry, Wrong> {
        self.services
            .get_mut(target)
            .ok_or_else(|| place.wrong("there is no such service in what was read before"))
    }

    /// What it means here.
    pub(super) fn draft(mut self) -> Draft {
        for target in std::mem::take(&mut self.order) {
            if let Some(entry) = self.services.remove(&target) {
                let local = self.local.remove(&target).unwrap_or_default();
                let told = self.told.remove(&target).unwrap_or(ClientAddress::Packets);
                service(&target, entry, (local, told), &mut self.draft);
            }
        }
        self.draft
    }
}

fn service(target: &Target, entry: Entry, (local, told): (Vec<IpAddr>, ClientAddress), draft: &mut Draft) {
    let Entry { place, options, servers } = entry;
    let (transport, vip, port) = match *target {
        Target::Mark(mark) => {
            return draft.miss(
                &place,
                format!("a service by fwmark {mark}"),
                "it is left out; write one with `vips` and `ports`, all that packets with the mark are sent to, and `from` \
                 and `on` where the rule of the firewall asks for clients' networks or an interface",
            );
        }
        Target::Address { transport, address, port } => (transport, address, port),
    };
    let protocol = match transport {
        Transport::Tcp => Protocol::Tcp,
        Transport::Udp => Protocol::Udp,
        Transport::Sctp => Protocol::Sctp,
    };
    let key = ServiceKey::new(protocol, SocketAddr::new(vip, port));
    // The method is a server's to ipvsadm, and a service's here. The default is -g.
    let forward = servers.first().and_then(|server| server.options.forward);
    let is_full_nat = servers.first().is_some_and(|server| server.full_nat);
    let mut notes = Vec::new();
    let method = match is_full_nat {
        true => full_nat(&place, &key, &local, &mut notes, draft),
        false => method_of(forward),
    };
    let mut plan = ServicePlan::new(name_of(&key), key, method);
    if method == Method::FullNat {
        plan.local_addresses = local;
    }
    plan.client_address = client_address(&place, (&key, method), told, draft);
    said(&place, &key, &options, (&mut plan, &mut notes), draft);
    let servers = servers.into_iter().map(|real| {
        let mut notes = Vec::new();
        if real.full_nat != is_full_nat || (!is_full_nat && method_of(real.options.forward) != method) {
            let nearest = format!(
                "it is reached by {method}, as the service's first; make a service of its own for it"
            );
            draft.miss(&real.place, format!("a server of {key} with a method of its own"), nearest);
        }
        let tunnel = own_tunnel(&real.options.tunnel);
        if real.options.tunnel.remote_checksum {
            draft.miss(&real.place, "--tun-remcsum", NO_REMOTE_CHECKSUM);
        }
        let weight = real.options.weight.unwrap_or(1);
        if weight == 0 {
            notes.push("of weight 0: no new connections".to_owned());
        }
        let thresholds = Thresholds { upper: real.options.upper, lower: real.options.lower };
        let port = real.port.filter(|port| *port > 0).unwrap_or(port);
        let tunnel = if method.tunnels() { tunnel } else { OwnTunnel::default() };
        let plan = ServerPlan { tunnel, thresholds, ..ServerPlan::new(real.address, port, weight) };
        Server { place: real.place, plan, check: None, agent: None, notes }
    });
    let servers = servers.collect();
    draft.services.push(Service { place, plan, pool: Pool::default(), check: None, servers, notes });
}

/// What was said of a service beside its servers.
fn said(
    place: &Place,
    key: &ServiceKey,
    options: &ServiceOptions,
    (plan, notes): (&mut ServicePlan, &mut Vec<String>),
    draft: &mut Draft,
) {
    if let Some(word) = &options.scheduler {
        match scheduler(word).and_then(|(here, note)| Some((here.parse::<SchedulerKind>().ok()?, note))) {
            Some((kind, note)) => {
                plan.scheduler = kind;
                notes.extend(note.map(str::to_owned));
            }
            None => {
                draft.miss(
                    place,
                    format!("scheduler {word} of {key}"),
                    format!("{} is used", plan.scheduler),
                );
            }
        }
    }
    for flag in &options.flags {
        match (flag.as_str(), plan.scheduler) {
            ("sh-port" | "flag-2", SchedulerKind::Sh) | ("mh-port" | "flag-2", SchedulerKind::Mh) => {
                plan.hash_port = true;
            }
            ("sh-fallback" | "flag-1", SchedulerKind::Sh) | ("mh-fallback" | "flag-1", SchedulerKind::Mh) => {
                plan.hash_fallback = true;
            }
            _ => draft.miss(
                place,
                format!("{flag} of {key}"),
                "flags are for the scheduler that they are named after",
            ),
        }
    }
    if let Some(seconds) = options.persistent {
        plan.persistence.timeout = Duration::from_secs(seconds.into());
        match options.prefix() {
            Ok(prefix) => plan.persistence.prefix = prefix,
            Err(what) => draft.miss(place, format!("the mask of {key}: {what}"), "each address is a client"),
        }
    }
    match options.engine.as_deref() {
        Some(SIP) => plan.persistence.by = PersistBy::SipCallId,
        Some(engine) => draft.miss(
            place,
            format!("persistence engine {engine} of {key}"),
            "none; clients go by their addresses",
        ),
        None => {}
    }
    plan.one_packet = options.one_packet;
}

/// How a server's packets are wrapped. What ipvsadm does by default is what services do.
fn own_tunnel(said: &TunnelOptions) -> OwnTunnel {
    let kind = said.kind.as_ref().and_then(|word| word.parse().ok());
    OwnTunnel {
        kind: kind.filter(|kind| *kind != Encapsulation::Ipip),
        port: said.port.unwrap_or(0),
        checksum: said.checksum.map_or(Choice::Default, |is_on| if is_on { Choice::On } else { Choice::Off }),
    }
}

const fn method_of(forward: Option<Forward>) -> Method {
    match forward {
        Some(Forward::Masquerading) => Method::Nat,
        Some(Forward::Tunnel) => Method::Tun,
        Some(Forward::Gatewaying) | None => Method::Dr,
    }
}
