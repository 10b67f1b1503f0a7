//! Values that only the running director knows: names, addresses and numbers of what it has.

use crate::protocol::{
    director::{NamedServer, NamedService, Names},
    options::SETTABLE,
};
use clap::Arg;

/// One thing that could come next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The word.
    pub word: String,
    /// What it is.
    pub help: String,
}

/// Where in a line a value stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot<'a> {
    /// The words of the command.
    pub(super) path: &'a [String],
    /// The values of the arguments before this one.
    pub(super) values: &'a [String],
    /// What there is of this one.
    pub(super) begun: &'a str,
}

/// The values of an argument that the director has.
pub(super) fn live(arg: &Arg, spot: Spot<'_>, names: &Names) -> Vec<Candidate> {
    let Spot { path, values, begun } = spot;
    let verb = path.first().map_or("", String::as_str);
    let first = values.first().map_or("", String::as_str);
    // What is new is not among what there is.
    let is_new = verb == "add";
    let each = |list: &[String], what: &str| list.iter().map(|name| candidate(name, what)).collect();
    let is_option = arg.get_long().is_some();
    match arg.get_id().as_str() {
        "service" => services(names, begun.starts_with(|c: char| c.is_ascii_digit() || c == '[')),
        "server" if is_option => addresses(names.listed.iter().flat_map(|service| {
            service.servers.iter().map(|server| (server.endpoint.address.to_string(), "real server"))
        })),
        "server" if !is_new => servers(names, first),
        "vip" if is_option => {
            addresses(names.listed.iter().map(|service| (service.key.vip.to_string(), "VIP")))
        }
        "vip_port" => {
            addresses(names.listed.iter().map(|service| (service.key.port.to_string(), "port of a service")))
        }
        "vip" | "destination" if !is_new => targets(names, first),
        "method" => each(&names.methods, "forwarding method"),
        "scheduler" => each(&names.schedulers, "scheduler"),
        "state" => each(&names.states, "state"),
        "worker" => (0..names.workers).map(|worker| candidate(&worker.to_string(), "worker")).collect(),
        "port" => {
            let value_names = arg.get_value_names().unwrap_or_default();
            ports(names, value_names.iter().any(|name| name.contains("all")))
        }
        "interface" => interfaces(names),
        "to" if !is_new => each(&names.routes, "static route"),
        "id" if verb == "trace" => numbered(&names.traces, "trace"),
        "id" => numbered(&names.captures, "capture"),
        key => {
            let option = SETTABLE.service.iter().chain(&SETTABLE.server).find(|option| option.key == key);
            option.map_or_else(Vec::new, |option| each(&option.values, key))
        }
    }
}

/// Ports by number, and all of them.
pub(super) fn ports(names: &Names, all: bool) -> Vec<Candidate> {
    let numbered =
        names.ports.iter().enumerate().map(|(id, name)| candidate(&id.to_string(), &format!("port {name}")));
    numbered.chain(all.then(|| candidate("all", "every port"))).collect()
}

/// Ports and interfaces, by name.
fn interfaces(names: &Names) -> Vec<Candidate> {
    let ports = names.ports.iter().map(|name| candidate(name, "port"));
    ports.chain(names.interfaces.iter().map(|name| candidate(name, "interface in a VLAN"))).collect()
}

/// A candidate.
pub(super) fn candidate(word: &str, help: &str) -> Candidate {
    Candidate { word: word.to_owned(), help: help.to_owned() }
}

fn services(names: &Names, by_address: bool) -> Vec<Candidate> {
    let mut all: Vec<Candidate> =
        names.listed.iter().map(|service| candidate(&service.name, &told(service))).collect();
    if by_address {
        let addressed = names.listed.iter();
        all.extend(addressed.map(|service| {
            candidate(&service.key.endpoint().to_string(), &format!("{}: {}", service.name, told(service)))
        }));
    }
    all
}

/// What clients send to, by address and by name.
fn targets(names: &Names, protocol: &str) -> Vec<Candidate> {
    let of_protocol = |service: &&NamedService| {
        service.key.protocol.upper().eq_ignore_ascii_case(protocol) || protocol.is_empty()
    };
    let both = names.listed.iter().filter(of_protocol).flat_map(|service| {
        [
            candidate(&service.name, &told(service)),
            candidate(&service.key.endpoint().to_string(), &service.name),
        ]
    });
    both.collect()
}

/// The servers of a service that is called by its name or address.
fn servers(names: &Names, service: &str) -> Vec<Candidate> {
    let is_it = |known: &&NamedService| known.name == service || known.key.endpoint().to_string() == service;
    let servers = names.listed.iter().filter(is_it).flat_map(|service| &service.servers);
    let told = |NamedServer { endpoint, state, health }: &NamedServer| {
        candidate(&endpoint.to_string(), &format!("{state}, {health}"))
    };
    servers.map(told).collect()
}

fn told(service: &NamedService) -> String {
    let NamedService { key, method, scheduler, servers, .. } = service;
    let out = servers.iter().filter(|server| server.health == "down").count();
    let down = if out == 0 { String::new() } else { format!(", {out} of {} servers down", servers.len()) };
    format!("{} {} {method} {scheduler}{down}", key.protocol.upper(), key.endpoint())
}

fn addresses<'a>(all: impl Iterator<Item = (String, &'a str)>) -> Vec<Candidate> {
    all.map(|(address, what)| candidate(&address, what)).collect()
}

fn numbered(ids: &[u32], what: &str) -> Vec<Candidate> {
    ids.iter().map(|id| candidate(&id.to_string(), what)).collect()
}
