//! Doing what an invocation of ipvsadm says, as far as a running director can; what it cannot is refused with the nearest
//! thing, before anything is changed.

use super::{
    act::{
        Act, Forward, Listing, NO_DAEMON, NO_REMOTE_CHECKSUM, SIP, ServerOptions, ServiceOptions, Target,
        Transport as Protocol, TunnelOptions,
    },
    grammar, text,
};
use crate::{
    failure::Failure,
    protocol::{
        self, Code, Outcome, Refusal, Reply, Request, Return, VERSION, connections, options::Options,
        persistence, services, sync, timeouts,
    },
    transport::{CallError, Transport},
};
use serde_json::json;
use std::io::{self, BufRead, Write};

/// Connections that a listing shows, at most.
const MOST_CONNECTIONS: usize = 1_000_000;

/// Runs one invocation. `-R` reads its rules from `input`.
///
/// # Errors
/// See [`Failure`].
pub fn run<T: Transport>(
    transport: &mut T,
    words: &[String],
    json: bool,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let act = grammar::parse(words).map_err(Failure::Wrong)?;
    let mut runner = Runner { transport, json };
    match act {
        Act::Restore => runner.restore(input, out),
        act => runner.act(act, out),
    }
}

/// How it is used, for `-h`.
const HELP: &str = "ipvsadm's options, on a running lb-app:\n  \
    -A|-E -t|-u|--sctp-service VIP:PORT [-s SCHEDULER] [-b FLAGS] [-p [TIMEOUT]] [-M MASK] [-o]\n  -D -t|-u|... VIP:PORT\n  \
    -a|-e -t|-u VIP:PORT -r SERVER[:PORT] [-m|-i|-g] [-w WEIGHT]\n    \
    [--tun-type ipip|gue|gre [--tun-port N] [--tun-nocsum|--tun-csum]]\n  -d -t|-u VIP:PORT -r SERVER[:PORT]\n  \
    -L [-t|-u VIP:PORT] [-n] [--stats|--rate|--thresholds|--persistent-conn|--tun-info] [-X] [--nosort] | -L -c | -L --timeout | \
    -L --daemon\n  -S [-n]\n  -R\n  -C\n  -Z [-t|-u VIP:PORT]\n  --set TCP TCPFIN UDP\nWhat has no equal is refused, with the nearest thing.\n";

struct Runner<'t, T> {
    transport: &'t mut T,
    json: bool,
}

impl<T: Transport> Runner<'_, T> {
    fn act(&mut self, act: Act, out: &mut dyn Write) -> Result<(), Failure> {
        match act {
            Act::AddService(target, options) => {
                let key = key(&target)?;
                let options = service_options(&options)?;
                // ipvsadm's default; the first server may say another.
                self.tell(add_service(name_of(&key), key, "dr", options), out)
            }
            Act::EditService(target, options) => {
                let options = service_options(&options)?;
                let name = self.named(&target)?.name;
                self.tell(services::Request::Change(services::ServiceChange { name, options }), out)
            }
            Act::DeleteService(target) => {
                let name = self.named(&target)?.name;
                self.tell(services::Request::Remove { name }, out)
            }
            Act::AddServer(target, address, port, options) => {
                let service = self.named(&target)?;
                let port = its_own(port, &options);
                let options = self.server_options(&service, &options)?;
                self.tell(
                    services::Request::AddServer {
                        service: service.name,
                        address,
                        port: some(port),
                        options,
                    },
                    out,
                )
            }
            Act::EditServer(target, address, port, options) => {
                let service = self.named(&target)?;
                same_method(&service, &options)?;
                let is_it = |server: &services::Server| {
                    server.endpoint.address == address && Some(server.endpoint.port) == port
                };
                let is_known = service.servers.iter().any(is_it);
                let port = at(if is_known { port } else { its_own(port, &options) }, &service);
                let (service, options) = (service.name, weight(&options)?);
                let change =
                    services::ServerChange { service, address, port, state: None, within_ms: None, options };
                self.tell(services::Request::ChangeServer(change), out)
            }
            Act::DeleteServer(target, address, port) => {
                let service = self.named(&target)?;
                let port = at(port, &service);
                self.tell(services::Request::RemoveServer { service: service.name, address, port }, out)
            }
            Act::Clear => {
                for service in self.services(None)?.1 {
                    self.tell(services::Request::Remove { name: service.name }, out)?;
                }
                Ok(())
            }
            Act::Save => {
                let (_, services) = self.services(None)?;
                Ok(out.write_all(text::rules(&services).as_bytes())?)
            }
            Act::List(target, how) => self.list(target, how, out),
            Act::Timeouts(seconds) => {
                for (state, seconds) in ["established", "fin_wait", "udp"].into_iter().zip(seconds) {
                    if seconds > 0 {
                        let (state, timeout_ms) = (state.to_owned(), Some(u64::from(seconds) * 1_000));
                        self.say(
                            &Request::Timeouts(timeouts::Request::Set { service: None, state, timeout_ms }),
                            out,
                        )?;
                    }
                }
                Ok(())
            }
            Act::Zero(target) => {
                let service = target.map(|target| self.named(&target)).transpose()?;
                let service = service.map(|service| service.name);
                self.tell(services::Request::Clear { service }, out)
            }
            Act::Daemon => Err(refused(NO_DAEMON)),
            Act::Restore => Err(Failure::Wrong("rules cannot read rules".to_owned())),
            Act::Help => Ok(out.write_all(HELP.as_bytes())?),
            Act::Version => Ok(writeln!(out, "ipvsadm by lbctl {}", crate::version::VERSION)?),
        }
    }

    /// Rules line by line, up to the first that fails.
    fn restore(&mut self, input: &mut dyn BufRead, out: &mut dyn Write) -> Result<(), Failure> {
        for (line, text) in (1..).zip(input.lines()) {
            let at = |failure| Failure::InFile {
                file: "standard input".to_owned(),
                line,
                failure: Box::new(failure),
            };
            let text = text.map_err(|error| at(Failure::Wrong(error.to_string())))?;
            let words = crate::command::words::split(&text).map_err(|what| at(Failure::Wrong(what)))?;
            // As in a script.
            let words = words.strip_prefix(&["ipvsadm".to_owned()]).unwrap_or(&words);
            if words.is_empty() {
                continue;
            }
            let act = grammar::parse(words).map_err(|what| at(Failure::Wrong(what)))?;
            self.act(act, out).map_err(at)?;
        }
        Ok(())
    }

    fn list(&mut self, target: Option<Target>, how: Listing, out: &mut dyn Write) -> Result<(), Failure> {
        if how.daemon {
            let reply = self.transport.call(Request::Sync(sync::Request::Show))?;
            let Reply::Peers(peers) = &reply else { return Err(nonsense()) };
            let text = text::daemons(peers);
            return self.show(reply, &text, out);
        }
        if how.timeouts {
            let reply = self.transport.call(Request::Timeouts(timeouts::Request::List { service: None }))?;
            let Reply::Timeouts(timeouts) = &reply else { return Err(nonsense()) };
            let text = text::timeouts(timeouts);
            return self.show(reply, &text, out);
        }
        if how.connections {
            return self.list_connections(out);
        }
        let (capacity, mut services) = self.services(target.as_ref())?;
        if !how.unsorted {
            text::sort(&mut services);
        }
        let clients = if how.persistent { self.persistent()? } else { Vec::new() };
        let text = text::listing(&services, (capacity, &clients), how);
        let director = crate::version::VERSION.to_owned();
        self.show(
            Reply::Services(services::Services { director, capacity, services, next: None }),
            &text,
            out,
        )
    }

    /// How many clients stay with each server.
    fn persistent(&mut self) -> Result<Vec<persistence::ByServer>, Failure> {
        let request = persistence::Request::List(persistence::Filter::default());
        let Reply::Persistence(list) = self.transport.call(Request::Persistence(request))? else {
            return Err(nonsense());
        };
        Ok(list.servers)
    }

    fn list_connections(&mut self, out: &mut dyn Write) -> Result<(), Failure> {
        let mut all = connections::Connections::default();
        let mut cursor = None;
        loop {
            let filter = connections::Filter::default();
            let request = connections::Request::List { filter, cursor, limit: None };
            let Reply::Connections(page) = self.transport.call(Request::Connections(request))? else {
                return Err(nonsense());
            };
            cursor = page.next;
            all.total = page.total;
            all.looked_at += page.looked_at;
            all.connections.extend(page.connections);
            all.silent_workers.extend(page.silent_workers);
            if cursor.is_none() || all.connections.len() > MOST_CONNECTIONS {
                break;
            }
        }
        let text = text::connections(&all.connections);
        self.show(Reply::Connections(all), &text, out)
    }

    /// All services, or the one that is meant, each with all of its servers; and the capacity for connections.
    fn services(&mut self, target: Option<&Target>) -> Result<(u64, Vec<services::Service>), Failure> {
        let wanted = target.map(key).transpose()?;
        let mut found: Vec<services::Service> = Vec::new();
        let mut cursor = None;
        loop {
            let request = services::Request::List { name: None, cursor };
            let Reply::Services(page) = self.transport.call(Request::Services(request))? else {
                return Err(nonsense());
            };
            let capacity = page.capacity;
            for service in page.services {
                match found.last_mut().filter(|last| last.name == service.name) {
                    Some(last) => last.servers.extend(service.servers),
                    None => found.push(service),
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                if let Some(wanted) = wanted {
                    found.retain(|service| service.key == wanted);
                    if found.is_empty() {
                        let what =
                            format!("there is no service {} {}", wanted.protocol.upper(), wanted.endpoint());
                        return Err(CallError::Refused(Refusal::new(Code::NotFound, what)).into());
                    }
                }
                return Ok((capacity, found));
            }
        }
    }

    fn named(&mut self, target: &Target) -> Result<services::Service, Failure> {
        let mut found = self.services(Some(target))?.1;
        if found.len() > 1 {
            let clients = |service: &services::Service| {
                let clients = service.reach.as_ref().map_or("", |reach| &reach.clients);
                let clients = if clients.is_empty() { "for all clients" } else { clients };
                format!("{} ({clients})", service.name)
            };
            let named: Vec<String> = found.iter().map(clients).collect();
            let (key, names) = (found[0].key, named.join(", "));
            return Err(refused(format!(
                "several services are at {} {}: {names}; ipvsadm's words do not tell them apart, their names do: `lbctl set \
                 service NAME`",
                key.protocol.upper(),
                key.endpoint()
            )));
        }
        found.pop().ok_or_else(nonsense)
    }

    /// Options of a new server. The first one says the method of its service.
    fn server_options(
        &mut self,
        service: &services::Service,
        options: &ServerOptions,
    ) -> Result<Options, Failure> {
        let weight = weight(options)?;
        let wanted = method(options.forward);
        if service.servers.is_empty() && service.method != wanted {
            // Without servers it has no connections: it is made anew.
            let kept = service.options.iter().filter(|(_, value)| !value.is_null());
            let kept = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
            self.transport
                .call(Request::Services(services::Request::Remove { name: service.name.clone() }))?;
            let add = |method: &str, options| add_service(service.name.clone(), service.key, method, options);
            if let Err(error) = self.transport.call(Request::Services(add(wanted, kept))) {
                self.transport.call(Request::Services(add(&service.method, service.options.clone())))?;
                return Err(error.into());
            }
        } else {
            same_method(service, options)?;
        }
        Ok(weight)
    }

    fn tell(&mut self, request: services::Request, out: &mut dyn Write) -> Result<(), Failure> {
        self.say(&Request::Services(request), out)
    }

    /// Asks for a change; ipvsadm says nothing about one that was made.
    fn say(&mut self, request: &Request, out: &mut dyn Write) -> Result<(), Failure> {
        let reply = self.transport.call(request.clone())?;
        self.show(reply, "", out)
    }

    fn show(&mut self, reply: Reply, text: &str, out: &mut dyn Write) -> Result<(), Failure> {
        if !self.json {
            return Ok(out.write_all(text.as_bytes())?);
        }
        let answer = Return { version: VERSION, id: None, outcome: Outcome::Reply(reply) };
        serde_json::to_writer(&mut *out, &answer).map_err(io::Error::from)?;
        Ok(out.write_all(b"\n")?)
    }
}

fn add_service(
    name: String,
    key: protocol::keys::ServiceKey,
    method: &str,
    options: Options,
) -> services::Request {
    services::Request::Add(services::NewService {
        name,
        protocol: key.protocol,
        vip: key.vip,
        port: key.port,
        method: method.to_owned(),
        options,
    })
}

/// The name of a service that ipvsadm makes, which gives it none.
fn name_of(key: &protocol::keys::ServiceKey) -> String {
    format!("{}-{}-{}", key.protocol.upper().to_lowercase(), key.vip, key.port)
}

/// The service that is meant, if there can be one.
fn key(target: &Target) -> Result<protocol::keys::ServiceKey, Failure> {
    match *target {
        Target::Mark(_) => Err(refused(
            "packets have no fwmarks here; a service of several addresses and ports, for certain clients or ports of \
             arrival, does the same: `lbctl add service NAME tcp VIP:PORT METHOD vips VIP,VIP ports 80,443 from NETWORK on \
             PORT`",
        )),
        Target::Address { transport: Protocol::Tcp, address, port } => {
            Ok(protocol::keys::ServiceKey { protocol: protocol::Protocol::Tcp, vip: address, port })
        }
        Target::Address { transport: Protocol::Udp, address, port } => {
            Ok(protocol::keys::ServiceKey { protocol: protocol::Protocol::Udp, vip: address, port })
        }
        Target::Address { transport: Protocol::Sctp, address, port } => {
            Ok(protocol::keys::ServiceKey { protocol: protocol::Protocol::Sctp, vip: address, port })
        }
    }
}

fn service_options(options: &ServiceOptions) -> Result<Options, Failure> {
    let by = match options.engine.as_deref() {
        None => "address",
        Some(SIP) => "sip-call-id",
        Some(engine) => return Err(refused(format!("there is no persistence engine {engine:?}, but {SIP}"))),
    };
    let scheduler = options.scheduler.as_deref().unwrap_or("wlc");
    let has = |flags: [&str; 3]| options.flags.iter().any(|flag| flags.contains(&flag.as_str()));
    let known = ["sh-port", "mh-port", "flag-2", "sh-fallback", "mh-fallback", "flag-1"];
    let [port @ .., _, _, _] = known;
    let [_, _, _, fallback @ ..] = known;
    if let Some(flag) = options.flags.iter().find(|flag| !known.contains(&flag.as_str())) {
        return Err(Failure::Wrong(format!(
            "{flag:?} is no flag of a scheduler; there are {}",
            known.join(", ")
        )));
    }
    let mut said = Options::from([
        ("one_packet".to_owned(), json!(options.one_packet)),
        ("scheduler".to_owned(), json!(scheduler)),
        ("persistence_timeout".to_owned(), json!(format!("{}s", options.persistent.unwrap_or(0)))),
        ("persistence_prefix".to_owned(), json!(options.prefix().map_err(Failure::Wrong)?)),
        ("persistence_by".to_owned(), json!(by)),
    ]);
    let fits = |flag: &&String| match scheduler {
        "sh" => !flag.starts_with("mh-"),
        "mh" => !flag.starts_with("sh-"),
        _ => false,
    };
    if let Some(flag) = options.flags.iter().find(|flag| !fits(flag)) {
        return Err(Failure::Wrong(format!("scheduler {scheduler} has no flag {flag:?}")));
    }
    if matches!(scheduler, "sh" | "mh") {
        said.insert("hash_port".to_owned(), json!(has(port)));
        said.insert("hash_fallback".to_owned(), json!(has(fallback)));
    }
    Ok(said)
}

fn weight(options: &ServerOptions) -> Result<Options, Failure> {
    if options.tunnel.remote_checksum {
        return Err(refused(format!("--tun-remcsum is not supported: {NO_REMOTE_CHECKSUM}")));
    }
    let mut said = Options::from([
        ("weight".to_owned(), json!(options.weight.unwrap_or(1))),
        ("upper_threshold".to_owned(), json!(options.upper)),
        ("lower_threshold".to_owned(), json!(options.lower)),
    ]);
    if options.forward == Some(Forward::Tunnel) {
        let TunnelOptions { kind, port, checksum, .. } = &options.tunnel;
        let checksum = checksum.map_or("default", |is_on| if is_on { "on" } else { "off" });
        said.insert("tunnel".to_owned(), json!(kind.as_deref().unwrap_or("default")));
        said.insert("tunnel_port".to_owned(), json!(port.unwrap_or(0)));
        said.insert("tunnel_checksum".to_owned(), json!(checksum));
    }
    Ok(said)
}

fn same_method(service: &services::Service, options: &ServerOptions) -> Result<(), Failure> {
    let wanted = method(options.forward);
    if wanted == service.method {
        return Ok(());
    }
    let way = match service.method.as_str() {
        "nat" => "-m",
        "tun" => "-i",
        "dr" => "-g",
        other => other,
    };
    Err(refused(format!(
        "all servers of a service have its method, and {} has {}: give {way}, or make a service of its own",
        service.name, service.method
    )))
}

/// ipvsadm's default is `-g`.
const fn method(forward: Option<Forward>) -> &'static str {
    match forward {
        Some(Forward::Masquerading) => "nat",
        Some(Forward::Tunnel) => "tun",
        Some(Forward::Gatewaying) | None => "dr",
    }
}

/// The port that is given for a server; only where it is translated can it be another than the service's, and ipvsadm
/// takes no notice of one elsewhere.
fn its_own(port: Option<u16>, options: &ServerOptions) -> Option<u16> {
    port.filter(|_| options.forward == Some(Forward::Masquerading))
}

fn some(port: Option<u16>) -> Option<u16> {
    port.filter(|port| *port > 0)
}

/// A server's port; the service's if none was given, as in IPVS. Of a service of several ports, whichever it has.
fn at(port: Option<u16>, service: &services::Service) -> Option<u16> {
    // Where it has several, servers may have none of their own.
    let is_one = |reach: &protocol::keys::Reach| reach.endpoints == service.key.endpoint().to_string();
    some(port).or(service.reach.as_ref().is_none_or(is_one).then_some(service.key.port))
}

fn refused(what: impl Into<String>) -> Failure {
    CallError::Refused(Refusal::new(Code::Unsupported, what.into())).into()
}

fn nonsense() -> Failure {
    Failure::Call(CallError::Lost("unexpected answer from the director".to_owned()))
}
