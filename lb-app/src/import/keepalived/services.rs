//! `virtual_server`, its groups, and its real servers.

use super::{
    super::draft::{
        Draft, Place, Server, Service, Wrong, as_name, client_address, full_nat, name_of, proxy_version,
        scheduler,
    },
    blocks::Node,
    checks::{self, Common, flag, program},
};
use crate::config::health::{Check, File, Pool, Sorry, WhenAllFail};
use lb_core::{
    conn::tunnel::Encapsulation,
    limits::{MAX_PORTS_OF_SERVICE, MAX_TIMEOUT_S, MAX_VIPS_OF_SERVICE},
    sched::threshold::Thresholds,
    service::{
        key::{Protocol, ServiceKey},
        plan::{Choice, Method, OwnTunnel, PersistBy, SchedulerKind, ServerPlan, ServicePlan, TunnelPlan},
        reach::PortRange,
    },
    time::Duration,
};
use lb_ctl::{
    foreign,
    ipvsadm::act::{NO_REMOTE_CHECKSUM, SIP, ServiceOptions},
};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

/// Most addresses of a group's range.
const MOST_ADDRESSES: u32 = 1_024;

/// A server as a virtual server has it, before it is known for which service.
struct Real {
    place: Place,
    address: IpAddr,
    port: Option<u16>,
    weight: u32,
    tunnel: OwnTunnel,
    thresholds: Thresholds,
    check: Option<Check>,
    agent: Option<Check>,
}

/// Reads one virtual server.
pub(super) fn read(
    node: &Node,
    groups: &HashMap<String, &Node>,
    (user, tracked): &(Option<String>, Rc<HashMap<String, File>>),
    draft: &mut Draft,
) -> Result<(), Wrong> {
    let (endpoints, group) = endpoints(node, groups, draft)?;
    let lines = node.block()?;
    let mut common = Common::new(user.as_deref(), tracked);
    let mut plan = ServicePlan::new(
        "",
        ServiceKey::new(Protocol::Tcp, SocketAddr::new([0, 0, 0, 0].into(), 1)),
        Method::Dr,
    );
    let mut pool = Pool::default();
    let mut notes = Vec::new();
    let (mut protocol, mut weight, mut method, mut name, mut flags) =
        (Protocol::Tcp, 1, None, None, Vec::new());
    // What the servers need to know first.
    for line in lines.iter().filter(|line| line.key() != "real_server") {
        if common.take(line)? {
            continue;
        }
        match line.key() {
            "lb_algo" | "lvs_sched" => {
                let word = line.value()?;
                match scheduler(word) {
                    Some((here, note)) => {
                        plan.scheduler = here.parse::<SchedulerKind>().map_err(|_| line.place.wrong(word))?;
                        notes.extend(note.map(str::to_owned));
                    }
                    None => {
                        return Err(line.place.wrong(format!("{}: {word:?} is no scheduler", line.key())));
                    }
                }
            }
            "lb_kind" | "lvs_method" => {
                method = Some(method_of(line)?);
                let own = tunnel_of(line, draft)?;
                plan.tunnel = TunnelPlan {
                    kind: own.kind.unwrap_or(plan.tunnel.kind),
                    port: if own.port == 0 { plan.tunnel.port } else { own.port },
                    checksum: own.checksum,
                };
            }
            "protocol" => {
                protocol = match line.value()?.to_ascii_uppercase().as_str() {
                    "TCP" => Protocol::Tcp,
                    "UDP" => Protocol::Udp,
                    "SCTP" => Protocol::Sctp,
                    other => return Err(line.place.wrong(format!("protocol: {other:?} is not known"))),
                };
            }
            "weight" => weight = weight_of(line)?,
            "laddr_group_name" => {
                let group = groups.get(line.value()?);
                for line in group.map(|group| group.block()).transpose()?.unwrap_or_default() {
                    plan.local_addresses.extend(range(line)?);
                }
            }
            "proxy_protocol" => {
                let word = line.value()?;
                match proxy_version(word) {
                    Some(told) => plan.client_address = told,
                    None => {
                        let nearest = "`client_address = \"proxy-v2\"` of the service";
                        draft.miss(&line.place, format!("proxy_protocol {word}"), nearest);
                    }
                }
            }
            "snmp_name" => name = Some(line.value()?.to_owned()),
            "flag-1" | "flag-2" | "flag-3" | "mh-port" | "sh-port" | "mh-fallback" | "sh-fallback"
            | "hashed" => {
                flags.push((line.place.clone(), line.key().to_owned()));
            }
            "persistence_timeout" => {
                // Without a number it is IPVS's default.
                let seconds: u64 = if line.words.len() > 1 { line.parsed("number of seconds")? } else { 360 };
                plan.persistence.timeout = Duration::from_secs(seconds.min(MAX_TIMEOUT_S));
            }
            "persistence_granularity" => {
                // Calls may come from any address.
                let is_of_calls = |line: &&Node| {
                    line.key() == "persistence_engine" && line.value().is_ok_and(|engine| engine == SIP)
                };
                let engine = lines.iter().find(|line| is_of_calls(line)).map(|_| SIP.to_owned());
                let netmask = Some(line.value()?.to_owned());
                let options = ServiceOptions { netmask, engine, ..Default::default() };
                plan.persistence.prefix = options.prefix().map_err(|what| line.place.wrong(what))?;
            }
            "persistence_engine" => match line.value()? {
                SIP => plan.persistence.by = PersistBy::SipCallId,
                other => {
                    let what = format!("persistence_engine {other}");
                    draft.miss(&line.place, what, "none; clients go by their addresses");
                }
            },
            "ops" => plan.one_packet = true,
            "quorum" => pool.quorum = positive(line)?,
            "hysteresis" => pool.hysteresis = line.parsed("number")?,
            "quorum_up" => pool.quorum_up = Some(command(line)?),
            "quorum_down" => pool.quorum_down = Some(command(line)?),
            "sorry_server" => {
                let address: IpAddr = line.parsed("address")?;
                let port = line.words.get(2).map(|port| port_of(line, port)).transpose()?.flatten();
                let port = port.or(endpoints.iter().find_map(|(_, port)| *port)).unwrap_or(0);
                pool.sorry_server = Some(Sorry { address: SocketAddr::new(address, port) });
                pool.when_all_fail = WhenAllFail::Sorry;
            }
            "sorry_server_inhibit" => pool.sorry_server_inhibit = flag(line)?,
            "ip_family" | "log_all_failures" | "retry_delay" => {}
            other => left_out(line, other, draft),
        }
    }
    let method = method.unwrap_or(Method::Dr);
    let mut servers = Vec::new();
    for line in lines.iter().filter(|line| line.key() == "real_server") {
        servers.push(real_server(line, (&common, weight, method), draft)?);
    }
    for (place, flag) in flags {
        match (flag.as_str(), plan.scheduler) {
            ("sh-port" | "flag-2", SchedulerKind::Sh) | ("mh-port" | "flag-2", SchedulerKind::Mh) => {
                plan.hash_port = true;
            }
            ("sh-fallback" | "flag-1", SchedulerKind::Sh) | ("mh-fallback" | "flag-1", SchedulerKind::Mh) => {
                plan.hash_fallback = true;
            }
            _ => draft.miss(&place, flag, "flags are for the scheduler that they are named after"),
        }
    }
    if let Some(group) = &group {
        notes.push(format!(
            "of virtual_server_group {group}: its addresses and ports are one service, so they share turns of the scheduler"
        ));
    }
    let local = std::mem::take(&mut plan.local_addresses);
    for (number, (vips, ports)) in together(&endpoints).into_iter().enumerate() {
        let (vip, port) = (vips[0], ports[0]);
        let key = ServiceKey::new(protocol, SocketAddr::new(vip, port));
        let named = name.as_deref().or(group.as_deref()).and_then(as_name);
        let name = match named {
            Some(name) if number == 0 => name,
            Some(name) => format!("{name}-{}", number + 1),
            None => name_of(&key),
        };
        let mut notes = notes.clone();
        let method = match method {
            Method::FullNat => full_nat(&node.place, &key, &local, &mut notes, draft),
            method => method,
        };
        let local_addresses = if method == Method::FullNat { local.clone() } else { Vec::new() };
        let client_address = client_address(&node.place, (&key, method), plan.client_address, draft);
        let own = servers.iter().map(|real| Server {
            place: real.place.clone(),
            plan: ServerPlan {
                tunnel: real.tunnel,
                thresholds: real.thresholds,
                // A server without a port has the one that a client asks for.
                ..ServerPlan::new(
                    real.address,
                    real.port.unwrap_or(if ports.len() == 1 { port } else { 0 }),
                    real.weight,
                )
            },
            check: real.check.clone(),
            agent: real.agent.clone(),
            notes: Vec::new(),
        });
        draft.services.push(Service {
            place: node.place.clone(),
            plan: {
                let mut plan = ServicePlan {
                    name,
                    protocol,
                    vip,
                    method,
                    local_addresses,
                    client_address,
                    ..plan.clone()
                };
                plan.beside.vips = vips[1..].to_vec();
                let range = |port: &u16| if *port == 0 { PortRange::ANY } else { PortRange::one(*port) };
                plan.set_ports(ports.iter().map(range).collect());
                plan
            },
            pool: pool.clone(),
            check: None,
            servers: own.collect(),
            notes,
        });
    }
    Ok(())
}

/// Addresses with ports that are one service: all, if each address has the same ports; else those that have. Families are
/// apart. Port 0 is any.
fn together(endpoints: &[(IpAddr, Option<u16>)]) -> Vec<(Vec<IpAddr>, Vec<u16>)> {
    let mut of_vips: Vec<(IpAddr, Vec<u16>)> = Vec::new();
    for (vip, port) in endpoints {
        let port = port.unwrap_or(0);
        match of_vips.iter_mut().find(|(known, _)| known == vip) {
            Some((_, ports)) if ports.contains(&port) => {}
            Some((_, ports)) => ports.push(port),
            None => of_vips.push((*vip, vec![port])),
        }
    }
    let mut services: Vec<(Vec<IpAddr>, Vec<u16>)> = Vec::new();
    for (vip, ports) in of_vips {
        let fits = |(vips, others): &&mut (Vec<IpAddr>, Vec<u16>)| {
            let is_same = ports.iter().all(|port| others.contains(port)) && ports.len() == others.len();
            is_same && vips[0].is_ipv4() == vip.is_ipv4() && vips.len() < MAX_VIPS_OF_SERVICE
        };
        match services.iter_mut().find(fits) {
            Some((vips, _)) => vips.push(vip),
            // More ports than a service can have are several services.
            None => {
                let parts = ports.chunks(MAX_PORTS_OF_SERVICE);
                services.extend(parts.map(|ports| (vec![vip], ports.to_vec())));
            }
        }
    }
    services
}

/// Addresses with ports, where they are given; and the group's name.
type Endpoints = (Vec<(IpAddr, Option<u16>)>, Option<String>);

/// The addresses and ports of a virtual server, and its group's name.
fn endpoints(node: &Node, groups: &HashMap<String, &Node>, draft: &mut Draft) -> Result<Endpoints, Wrong> {
    match node.value()? {
        "fwmark" => {
            fwmark(node, node.words.get(2), draft)?;
            Ok((Vec::new(), None))
        }
        "group" => {
            let name = node.words.get(2).ok_or_else(|| node.place.wrong("group needs a name"))?;
            let group = groups.get(name);
            let group =
                group.ok_or_else(|| node.place.wrong(format!("there is no virtual_server_group {name}")))?;
            let mut endpoints = Vec::new();
            for line in group.block()? {
                if line.key() == "fwmark" {
                    fwmark(line, line.words.get(1), draft)?;
                    continue;
                }
                let port = line.words.get(1).map(|port| port_of(line, port)).transpose()?.flatten();
                endpoints.extend(range(line)?.into_iter().map(|address| (address, port)));
            }
            Ok((endpoints, Some(name.clone())))
        }
        _ => {
            let port = node.words.get(2).map(|port| port_of(node, port)).transpose()?.flatten();
            // A prefix means nothing there, and some write it.
            let address = node.value()?.split('/').next().and_then(|address| address.parse().ok());
            let address = address.map_or_else(|| node.parsed("address"), Ok)?;
            Ok((vec![(address, port)], None))
        }
    }
}

fn fwmark(node: &Node, mark: Option<&String>, draft: &mut Draft) -> Result<(), Wrong> {
    let mark = mark.and_then(|mark| mark.parse::<u32>().ok());
    let mark = mark.ok_or_else(|| node.place.wrong("fwmark needs a number"))?;
    let nearest = "it is left out; write a service with `vips` and `ports`, all that packets with the mark are sent to, and `from` and \
         `on` where the rule of the firewall asks for clients' networks or an interface";
    draft.miss(&node.place, format!("a service by fwmark {mark}"), nearest);
    Ok(())
}

/// `10.0.0.1` or `10.0.0.1-20`.
fn range(line: &Node) -> Result<Vec<IpAddr>, Wrong> {
    let text = line.key();
    let wrong = || line.place.wrong(format!("{text:?} is no address or range of addresses"));
    let Some((first, last)) = text.split_once('-') else {
        return Ok(vec![text.parse().map_err(|_| wrong())?]);
    };
    let first: IpAddr = first.parse().map_err(|_| wrong())?;
    // The end is the last part of the address: decimal in one family, hexadecimal in the other.
    let count = match first {
        IpAddr::V4(first) => {
            let last: u8 = last.parse().map_err(|_| wrong())?;
            u32::from(last).checked_sub(u32::from(first.octets()[3]))
        }
        IpAddr::V6(first) => {
            let last = u16::from_str_radix(last, 16).map_err(|_| wrong())?;
            u32::from(last).checked_sub(u32::from(first.segments()[7]))
        }
    };
    let count = count.filter(|count| *count < MOST_ADDRESSES).ok_or_else(wrong)?;
    let addresses = (0..=count).map(|at| match first {
        IpAddr::V4(first) => IpAddr::V4((u32::from(first) + at).into()),
        IpAddr::V6(first) => IpAddr::V6((u128::from(first) + u128::from(at)).into()),
    });
    Ok(addresses.collect())
}

fn real_server(
    node: &Node,
    (common, weight, method): (&Common, u32, Method),
    draft: &mut Draft,
) -> Result<Real, Wrong> {
    let address: IpAddr = node.parsed("address")?;
    let port = node.words.get(2).map(|port| port_of(node, port)).transpose()?.flatten();
    let (tunnel, thresholds) = (OwnTunnel::default(), Thresholds::default());
    let mut real = Real {
        place: node.place.clone(),
        address,
        port,
        weight,
        tunnel,
        thresholds,
        check: None,
        agent: None,
    };
    let mut common = common.clone();
    let mut checkers = Vec::new();
    for line in node.block.iter().flatten() {
        if common.take(line)? {
            continue;
        }
        match line.key() {
            "weight" => real.weight = weight_of(line)?,
            "uthreshold" => real.thresholds.upper = line.parsed("number of connections")?,
            "lthreshold" => real.thresholds.lower = line.parsed("number of connections")?,
            key if checks::is_checker(key) => checkers.push(line),
            "lvs_method" | "lb_kind" if method_of(line)? == method => real.tunnel = tunnel_of(line, draft)?,
            "lvs_method" | "lb_kind" => {
                draft.miss(
                    &line.place,
                    "a server's own method",
                    "it has its service's; make a service of its own for it",
                );
            }
            "log_all_failures" | "snmp_name" => {}
            other => left_out(line, other, draft),
        }
    }
    // The one that asks most is the check. One that can say a weight, or reads a file, stands beside it.
    checkers.sort_by_key(|line| match line.key() {
        "TCP_CHECK" | "PING_CHECK" => 2,
        "MISC_CHECK" => 3,
        "BFD_CHECK" | "FILE_CHECK" => 4,
        _ => 1,
    });
    let mut checkers = checkers.into_iter();
    if let Some(first) = checkers.next() {
        real.check = checks::check(first, &common, draft)?;
        for other in checkers {
            if real.agent.is_none() && checks::can_advise(other.key()) {
                real.agent = checks::agent(other, &common, draft)?;
                continue;
            }
            let what = format!("{} beside {}", other.key(), first.key());
            let nearest = "a server has one check and one agent; a `command` can ask several things";
            draft.miss(&other.place, what, nearest);
        }
    }
    Ok(real)
}

/// A line whose key is somebody else's word for something, or not known.
fn left_out(line: &Node, key: &str, draft: &mut Draft) {
    let nearest = match key {
        "notify_up" | "notify_down" => {
            Some("the program of `[health] hook` is run for every server and told which".to_owned())
        }
        _ => foreign::nearest(key),
    };
    let what = line.words.iter().take(4).cloned().collect::<Vec<_>>().join(" ");
    draft.miss(
        &line.place,
        what,
        nearest.unwrap_or_else(|| "the importer does not know it; it is left out".to_owned()),
    );
}

fn method_of(line: &Node) -> Result<Method, Wrong> {
    let word = line.value()?;
    Ok(match word.to_ascii_uppercase().as_str() {
        "NAT" => Method::Nat,
        // DPVS's own keepalived.
        "FNAT" | "FULLNAT" => Method::FullNat,
        "DR" => Method::Dr,
        "TUN" => Method::Tun,
        _ => return Err(line.place.wrong(format!("{}: {word:?} is none of NAT, DR and TUN", line.key()))),
    })
}

/// What follows `TUN`: `type ipip`, `type gue port NUMBER`, or `type gre`, then `nocsum`, `csum` or `remcsum`.
fn tunnel_of(line: &Node, draft: &mut Draft) -> Result<OwnTunnel, Wrong> {
    let mut tunnel = OwnTunnel::default();
    let mut words = line.words.iter().skip(2).map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "type" => {
                let kind = words.next().unwrap_or_default();
                let known = [Encapsulation::Ipip, Encapsulation::Gue, Encapsulation::Gre];
                let found = known.into_iter().find(|known| known.name() == kind);
                let wrong = || line.place.wrong(format!("type: {kind:?} is none of ipip, gue and gre"));
                tunnel.kind = Some(found.ok_or_else(wrong)?);
            }
            "port" => {
                let port = port_of(line, words.next().unwrap_or_default())?;
                tunnel.port = port.ok_or_else(|| line.place.wrong("port: 0 is out of range"))?;
            }
            "csum" => tunnel.checksum = Choice::On,
            "nocsum" => tunnel.checksum = Choice::Off,
            "remcsum" => draft.miss(&line.place, "remcsum", NO_REMOTE_CHECKSUM),
            other => return Err(line.place.wrong(format!("{}: {other:?} is not known", line.key()))),
        }
    }
    let kind = tunnel.kind.unwrap_or(Encapsulation::Ipip);
    if !kind.is_udp() {
        tunnel.port = 0;
    }
    if !kind.has_checksum() {
        tunnel.checksum = Choice::Default;
    }
    Ok(tunnel)
}

fn command(line: &Node) -> Result<Vec<String>, Wrong> {
    line.value()?;
    // Behind the script may stand who runs it.
    Ok(program(&line.values()[..1]))
}

fn weight_of(line: &Node) -> Result<u32, Wrong> {
    let weight: u32 = line.parsed("weight")?;
    if weight > 65_535 {
        return Err(line.place.wrong(format!("weight: {weight} is out of range; use 0 to 65535")));
    }
    Ok(weight)
}

fn positive(line: &Node) -> Result<u32, Wrong> {
    match line.parsed("number")? {
        0 => Err(line.place.wrong(format!("{}: 0 is out of range", line.key()))),
        number => Ok(number),
    }
}

/// A port; none for 0, which is any.
fn port_of(node: &Node, text: &str) -> Result<Option<u16>, Wrong> {
    let port: u16 = text.parse().map_err(|_| node.place.wrong(format!("{text:?} is no port")))?;
    Ok((port > 0).then_some(port))
}
