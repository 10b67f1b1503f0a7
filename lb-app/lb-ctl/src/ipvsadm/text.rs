//! What ipvsadm prints: listings, rules, timeouts and daemons, in its own form.

use super::act::{Listing, SIP};
use crate::{
    protocol::{
        Protocol,
        connections::Connection,
        keys::Reach,
        persistence::ByServer,
        services::{Server, Service, Tunnel},
        sync::{Ipvs, Peers},
        timeouts::Timeouts,
    },
    render::short,
};
use serde_json::Value;
use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// The version of IPVS whose listings these are.
const IPVS: &str = "1.2.1";

/// `-L`, with the services of all pages.
pub(super) fn listing(services: &[Service], (capacity, clients): (u64, &[ByServer]), how: Listing) -> String {
    let mut text = format!("IP Virtual Server version {IPVS} (size={capacity})\n");
    let heads = |names: [&str; 5]| names.map(|name| format!(" {name:>8}")).concat();
    match how {
        Listing { stats: true, .. } => {
            let heads = heads(["Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"]);
            let _ = writeln!(text, "{:<33}{heads}\n  -> RemoteAddress:Port", "Prot LocalAddress:Port");
        }
        Listing { rate: true, .. } => {
            let heads = heads(["CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"]);
            let _ = writeln!(text, "{:<33}{heads}\n  -> RemoteAddress:Port", "Prot LocalAddress:Port");
        }
        Listing { thresholds: true, .. } => {
            let [upper, lower] = ["Uthreshold", "Lthreshold"];
            let _ = writeln!(
                text,
                "{:<33} {upper:<10} {lower:<10} {:<10} {:<10}\n  -> RemoteAddress:Port",
                "Prot LocalAddress:Port", "ActiveConn", "InActConn"
            );
        }
        Listing { persistent: true, .. } => {
            let _ = writeln!(
                text,
                "{:<33} {:<9} {:<11} {:<10} {:<10}\n  -> RemoteAddress:Port",
                "Prot LocalAddress:Port", "Weight", "PersistConn", "ActiveConn", "InActConn"
            );
        }
        Listing { tunnels: true, .. } => text.push_str(
            "Prot LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn \
             InActConn\n",
        ),
        _ => text.push_str(
            "Prot LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n",
        ),
    }
    let numbers = |numbers: [u64; 5]| {
        let shown = |number: u64| if how.exact { number.to_string() } else { short(number) };
        numbers.map(|number| format!(" {:>8}", shown(number))).concat()
    };
    for service in services {
        let (protocol, endpoint) = Reach::shown(service.reach.as_ref(), &service.key);
        let _ = match how {
            Listing { stats: true, .. } => {
                writeln!(text, "{protocol:<4} {endpoint:<28}{}", numbers(sums(&service.traffic)))
            }
            Listing { rate: true, .. } => {
                writeln!(text, "{protocol:<4} {endpoint:<28}{}", numbers(rates(&service.rate)))
            }
            _ => {
                let (flags, persistence) = (flags(service, " (", ")"), persistence(service));
                let engine = engine(service).map_or_else(String::new, |engine| format!(" pe {engine}"));
                let persistence = persistence.map_or_else(String::new, |(seconds, mask)| {
                    format!(
                        " persistent {seconds}{}",
                        mask.map_or_else(String::new, |mask| format!(" mask {mask}"))
                    )
                });
                let ops = if is_one_packet(service) { " ops" } else { "" };
                writeln!(
                    text,
                    "{protocol:<4} {endpoint} {}{flags}{persistence}{engine}{ops}",
                    service.scheduler
                )
            }
        };
        for server in &service.servers {
            let endpoint = SocketAddr::new(server.endpoint.address, server.endpoint.port).to_string();
            let _ = match how {
                Listing { stats: true, .. } => {
                    writeln!(text, "  -> {endpoint:<28}{}", numbers(sums(&server.traffic)))
                }
                Listing { rate: true, .. } => {
                    writeln!(text, "  -> {endpoint:<28}{}", numbers(rates(&server.rate)))
                }
                Listing { thresholds: true, .. } => {
                    let (upper, lower) = thresholds(server);
                    let (active, inactive) = (server.active, server.inactive);
                    writeln!(text, "  -> {endpoint:<28} {upper:<10} {lower:<10} {active:<10} {inactive:<10}")
                }
                Listing { persistent: true, .. } => {
                    let is_it =
                        |one: &&ByServer| one.service == service.name && one.server == server.endpoint;
                    let persistent = clients.iter().find(is_it).map_or(0, |one| one.clients);
                    let (weight, active, inactive) = (server.weight, server.active, server.inactive);
                    writeln!(
                        text,
                        "  -> {endpoint:<28} {weight:<9} {persistent:<11} {active:<10} {inactive:<10}"
                    )
                }
                Listing { tunnels: true, .. } => writeln!(
                    text,
                    "  -> {endpoint:<28} {:<7} {:<13} {:<6} {:<10} {:<10}",
                    forward(&service.method).0,
                    tunnel_info(server.tunnel.as_ref()),
                    server.weight,
                    server.active,
                    server.inactive
                ),
                _ => writeln!(
                    text,
                    "  -> {endpoint:<28} {:<7} {:<6} {:<10} {:<10}",
                    forward(&service.method).0,
                    server.weight,
                    server.active,
                    server.inactive
                ),
            };
        }
    }
    text
}

/// The order of ipvsadm's listings: services by family, protocol, address and port; servers by address and port.
pub(super) fn sort(services: &mut [Service]) {
    let number = |protocol| match protocol {
        Protocol::Icmp => 1,
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    };
    services.sort_by_key(|Service { key, .. }| (key.vip.is_ipv6(), number(key.protocol), key.vip, key.port));
    for service in services {
        service.servers.sort_by_key(|server| (server.endpoint.address, server.endpoint.port));
    }
}

/// `-L -c`
pub(super) fn connections(connections: &[Connection]) -> String {
    let mut text =
        "IPVS connection entries\npro expire state       source             virtual            destination\n"
            .to_owned();
    for connection in connections {
        let left = connection.remaining_ms / 1_000;
        let at = |address, port| SocketAddr::new(address, port).to_string();
        let _ = writeln!(
            text,
            "{:<3} {:02}:{:02}  {:<11} {:<18} {:<18} {}",
            connection.protocol.upper(),
            left / 60,
            left % 60,
            connection.state,
            at(connection.client, connection.client_port),
            at(connection.vip, connection.vip_port),
            at(connection.server, connection.server_port),
        );
    }
    text
}

/// `-S`: rules that `-R` reads. Servers that an operator has disabled are left out, since IPVS has no such state.
pub(super) fn rules(services: &[Service]) -> String {
    let mut text = String::new();
    for service in services {
        let is_any_port = service.key.port == 0 && service.options.get("vips").is_none_or(Value::is_null);
        if let Some(reach) = service
            .reach
            .as_ref()
            .filter(|reach| !is_any_port || reach.protocols.contains(',') || !reach.clients.is_empty())
        {
            let (protocols, endpoints) = Reach::shown(Some(reach), &service.key);
            let name = &service.name;
            let _ =
                writeln!(text, "# {name}: ipvsadm has no rule for {protocols} {endpoints}; `lbctl save` has");
            continue;
        }
        if forward(&service.method).1.is_empty() {
            let Service { name, method, .. } = service;
            let _ = writeln!(text, "# {name}: ipvsadm has no option for method {method}; `lbctl save` has");
            continue;
        }
        let which = match service.key.protocol {
            Protocol::Tcp => "-t",
            Protocol::Udp => "-u",
            Protocol::Sctp => "--sctp-service",
            // No service's.
            Protocol::Icmp => continue,
        };
        let endpoint = service.key.endpoint();
        let persistence = persistence(service).map_or_else(String::new, |(seconds, mask)| {
            format!(" -p {seconds}{}", mask.map_or_else(String::new, |mask| format!(" -M {mask}")))
        });
        let (scheduler, flags) = (&service.scheduler, flags(service, " -b ", ""));
        let engine = engine(service).map_or_else(String::new, |engine| format!(" --pe {engine}"));
        let ops = if is_one_packet(service) { " -o" } else { "" };
        let _ = writeln!(text, "-A {which} {endpoint} -s {scheduler}{flags}{persistence}{engine}{ops}");
        for server in service.servers.iter().filter(|server| server.state != "disabled") {
            let at = SocketAddr::new(server.endpoint.address, server.endpoint.port);
            let way = forward(&service.method).1;
            let tunnel = server.tunnel.as_ref().map_or_else(String::new, tunnel);
            let limits = match thresholds(server) {
                (0, _) => String::new(),
                (upper, 0) => format!(" -x {upper}"),
                (upper, lower) => format!(" -x {upper} -y {lower}"),
            };
            let weight = wanted_weight(server);
            let _ = writeln!(text, "-a {which} {endpoint} -r {at} {way} -w {weight}{limits}{tunnel}");
        }
    }
    text
}

/// Its thresholds, 0 for none.
fn thresholds(server: &Server) -> (u32, u32) {
    server.thresholds.map_or((0, 0), |limits| (limits.upper, limits.lower))
}

/// What is said of a tunnel that is not IPVS's default.
fn tunnel(tunnel: &Tunnel) -> String {
    if tunnel.kind == "ipip" {
        return String::new();
    }
    let port = tunnel.port.map_or_else(String::new, |port| format!(" --tun-port {port}"));
    let checksum = if tunnel.checksum { "csum" } else { "nocsum" };
    format!(" --tun-type {}{port} --tun-{checksum}", tunnel.kind)
}

/// The same in listings: whether a checksum covers packets is a sign before `c`.
fn tunnel_info(tunnel: Option<&Tunnel>) -> String {
    let Some(Tunnel { kind, port, checksum }) = tunnel else { return "n/a".to_owned() };
    if kind == "ipip" {
        return kind.clone();
    }
    let port = port.map_or_else(String::new, |port| format!("{port}:"));
    format!("{kind}:{port}{}c", if *checksum { '+' } else { '-' })
}

/// `-L --timeout`, of the first service: IPVS has one set for all.
pub(super) fn timeouts(timeouts: &Timeouts) -> String {
    let of = |state: &str| {
        let first = timeouts.services.first().map(|service| &service.timeouts);
        let found = first.and_then(|timeouts| timeouts.iter().find(|timeout| timeout.state == state));
        found.map_or(0, |timeout| timeout.timeout_ms / 1_000)
    };
    format!("Timeout (tcp tcpfin udp): {} {} {}\n", of("ESTABLISHED"), of("FIN_WAIT"), of("UDP"))
}

/// `-L --daemon`: who synchronizes connections with directors of IPVS, and nothing where nobody does.
pub(super) fn daemons(peers: &Peers) -> String {
    let Some(Ipvs { interface, group, syncid, backup, master, .. }) = peers.ipvs.as_deref() else {
        return String::new();
    };
    let runs = [("master", master.is_some()), ("backup", backup.is_some())];
    let line = |role| {
        let (address, port) = (group.ip(), group.port());
        format!("{role} sync daemon (mcast={interface}, syncid={syncid}, group={address}, port={port})\n")
    };
    runs.into_iter().filter(|(_, runs)| *runs).map(|(role, _)| line(role)).collect()
}

/// What an operator wants it to have; one that is drained gets no new connections.
fn wanted_weight(server: &Server) -> u32 {
    if server.state == "drain" { 0 } else { server.configured_weight }
}

fn is_one_packet(service: &Service) -> bool {
    service.options.get("one_packet").is_some_and(|value| *value == true)
}

/// The engine that says who is a client, if it is none of addresses.
fn engine(service: &Service) -> Option<&'static str> {
    service.options.get("persistence_by").is_some_and(|by| *by == "sip-call-id").then_some(SIP)
}

/// Seconds for which clients of a service stay with their servers, if they do, and the mask that makes one client of them.
fn persistence(service: &Service) -> Option<(u64, Option<String>)> {
    let of = |key: &str| service.options.get(key);
    let ms = crate::command::duration(of("persistence_timeout")?.as_str()?).ok()?;
    let prefix = of("persistence_prefix").and_then(Value::as_u64).unwrap_or(128);
    let mask = match service.key.vip {
        IpAddr::V4(_) if prefix < 32 => {
            let bits = u32::MAX.checked_shl(32 - prefix as u32).unwrap_or(0);
            Some(Ipv4Addr::from_bits(bits).to_string())
        }
        IpAddr::V6(_) if prefix < 128 => Some(prefix.to_string()),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    };
    (ms > 0).then(|| (ms.div_ceil(1_000), mask))
}

fn flags(service: &Service, before: &str, after: &str) -> String {
    if service.flags.is_empty() {
        String::new()
    } else {
        format!("{before}{}{after}", service.flags.join(","))
    }
}

/// The method in listings, and as an option.
fn forward(method: &str) -> (&str, &str) {
    match method {
        "nat" => ("Masq", "-m"),
        "tun" => ("Tunnel", "-i"),
        "dr" => ("Route", "-g"),
        // As DPVS's ipvsadm has it.
        "fullnat" => ("FullNat", "-b"),
        "l3dsr" => ("L3DSR", ""),
        other => (other, ""),
    }
}

fn sums(traffic: &crate::protocol::services::Traffic) -> [u64; 5] {
    [traffic.connections, traffic.packets_in, traffic.packets_out, traffic.bytes_in, traffic.bytes_out]
}

fn rates(rate: &crate::protocol::services::Rate) -> [u64; 5] {
    [
        rate.connections_per_s,
        rate.packets_in_per_s,
        rate.packets_out_per_s,
        rate.bytes_in_per_s,
        rate.bytes_out_per_s,
    ]
}
