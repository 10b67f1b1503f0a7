//! Services and servers, as `ipvsadm -Ln`, `--stats` and `--rate` list them.

use super::{
    units::{short, span},
    view::{Columns, View},
};
use crate::protocol::{
    keys::Reach,
    options::{Options, SETTABLE},
    overview::Overview,
    services::{Rate, Server, Services, Thresholds, Traffic},
};
use serde_json::Value as Json;
use std::fmt::Write;

pub(super) fn page(text: &mut String, page: &Services, view: View, first: bool, before: &mut Option<String>) {
    let View::Services { columns, names } = view else { return };
    if first {
        head(text, page, columns, names);
    }
    for service in &page.services {
        let described = |text: &mut String, description: &str| {
            if names && !description.is_empty() {
                let _ = writeln!(text, "       {description}");
            }
        };
        // A service with very many servers continues under the same name.
        if before.as_ref() != Some(&service.name) {
            let (protocol, address) = Reach::shown(service.reach.as_ref(), &service.key);
            let called = if names { format!("{address} {}", service.name) } else { address };
            let _ = match columns {
                Columns::Stats => writeln!(text, "{protocol}  {called:<33}{}", sums(&service.traffic)),
                Columns::Rate => writeln!(text, "{protocol}  {called:<33}{}", rates(&service.rate)),
                Columns::Weights => {
                    let flags = if service.flags.is_empty() {
                        String::new()
                    } else {
                        format!(" ({})", service.flags.join(","))
                    };
                    let options = options(&service.options);
                    writeln!(text, "{protocol}  {called} {}{flags}{options}", service.scheduler)
                }
            };
            described(text, &service.description);
        }
        for server in &service.servers {
            let address = &server.endpoint;
            let _ = match columns {
                Columns::Stats => writeln!(text, "  -> {address:<33}{}", sums(&server.traffic)),
                Columns::Rate => writeln!(text, "  -> {address:<33}{}", rates(&server.rate)),
                Columns::Weights => writeln!(
                    text,
                    "  -> {address:<28} {:<7} {:<6} {:<10} {:<10}{}",
                    forward(&service.method),
                    server.weight,
                    server.active,
                    server.inactive,
                    remark(server),
                ),
            };
            described(text, &server.description);
        }
        *before = Some(service.name.clone());
    }
}

pub(super) fn overview(text: &mut String, overview: &Overview) {
    let _ = writeln!(
        text,
        "{:<10} {:<28} {:<4} {:<22} {:>8} {:>8} {:>8} {:>6}",
        "State", "Service", "Prot", "LocalAddress:Port", "Serving", "Active", "Inact", "CPS"
    );
    for service in &overview.services {
        let (protocol, address) = Reach::shown(service.reach.as_ref(), &service.key);
        let _ = writeln!(
            text,
            "{:<10} {:<28} {:<4} {:<22} {:>8} {:>8} {:>8} {:>6}",
            service.state.name(),
            service.name,
            protocol,
            address,
            format!("{}/{}", service.serving, service.servers),
            short(service.active),
            short(service.inactive),
            short(service.rate.connections_per_s),
        );
        if !service.description.is_empty() {
            let _ = writeln!(text, "           {}", service.description);
        }
        for failure in &service.failures {
            let _ = writeln!(text, "           {} is down: {}", failure.server, failure.reason);
        }
    }
    let states: Vec<String> = overview
        .states
        .iter()
        .filter(|count| count.services > 0)
        .map(|count| format!("{} {}", count.services, count.state.name()))
        .collect();
    let shown = overview.services.len();
    let _ = writeln!(text, "{shown} of {} services: {}", overview.total, states.join(", "));
}

/// Options that have places of their own.
const PLACED: [&str; 9] =
    ["scheduler", "hash_port", "hash_fallback", "description", "vips", "ports", "protocols", "from", "on"];

/// What else was set, in the shell's words.
fn options(of: &Options) -> String {
    let described = SETTABLE
        .service
        .iter()
        // Each server shows its tunnel.
        .filter(|option| !PLACED.contains(&&*option.key) && !option.key.starts_with("tunnel"));
    // Without a timeout no client is remembered, however many addresses one would be.
    let remembers =
        of.get("persistence_timeout").and_then(Json::as_str).is_some_and(|timeout| timeout != "0s");
    let described = described.filter(|option| remembers || !option.key.starts_with("persistence"));
    let words = described.filter_map(|option| match of.get(&option.key)? {
        Json::Bool(true) => Some(format!(" {}", option.word)),
        Json::Null | Json::Bool(false) => None,
        Json::Number(number) if number.as_u64() == Some(0) => None,
        Json::String(text) if matches!(&**text, "" | "0s" | "default" | "none") => None,
        Json::String(text) => Some(format!(" {} {text}", option.word)),
        Json::Array(list) if list.is_empty() => None,
        Json::Array(list) => {
            let words: Vec<String> =
                list.iter().map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned)).collect();
            Some(format!(" {} {}", option.word, words.join(",")))
        }
        value => Some(format!(" {} {value}", option.word)),
    });
    words.collect()
}

fn head(text: &mut String, page: &Services, columns: Columns, names: bool) {
    let _ = writeln!(text, "lb-app {} (size={})", page.director, page.capacity);
    let headings = |names: [&str; 5]| names.map(|name| format!("{name:>9}")).join("");
    let called = if names { "Prot LocalAddress:Port Service" } else { "Prot LocalAddress:Port" };
    let _ = match columns {
        Columns::Stats => {
            let headings = headings(["Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"]);
            writeln!(text, "{called:<38}{headings}\n  -> RemoteAddress:Port")
        }
        Columns::Rate => {
            let headings = headings(["CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"]);
            writeln!(text, "{called:<38}{headings}\n  -> RemoteAddress:Port")
        }
        Columns::Weights => writeln!(
            text,
            "{called} Scheduler Flags\n  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn"
        ),
    };
}

fn sums(traffic: &Traffic) -> String {
    let Traffic { connections, packets_in, packets_out, bytes_in, bytes_out } = *traffic;
    columns([connections, packets_in, packets_out, bytes_in, bytes_out])
}

fn rates(rate: &Rate) -> String {
    columns([
        rate.connections_per_s,
        rate.packets_in_per_s,
        rate.packets_out_per_s,
        rate.bytes_in_per_s,
        rate.bytes_out_per_s,
    ])
}

fn columns(numbers: [u64; 5]) -> String {
    numbers.map(|number| format!("{:>9}", short(number))).join("")
}

/// What is unusual about a server.
fn remark(server: &Server) -> String {
    let mut words = Vec::new();
    if server.state != "enabled" {
        words.push(server.state.clone());
    }
    if let Some(left) = server.drains_within_ms {
        words.push(format!("for {}", span(left)));
    }
    if server.health != "up" {
        words.push(server.health.clone());
    }
    if let Some(tunnel) = server.tunnel.as_ref().filter(|tunnel| tunnel.kind != "ipip") {
        words.push(tunnel.kind.clone());
        words.extend(tunnel.port.map(|port| format!("port {port}")));
        words.extend(tunnel.checksum.then(|| "csum".to_owned()));
    }
    if let Some(Thresholds { upper, full, .. }) = server.thresholds {
        words.push(format!("{} {upper}", if full { "full from" } else { "up to" }));
    }
    if !server.quic.is_empty() {
        words.push(format!("quic {}", server.quic.join(",")));
    }
    if words.is_empty() { String::new() } else { format!(" {}", words.join(" ")) }
}

/// The method in ipvsadm's words.
fn forward(method: &str) -> &str {
    match method {
        "nat" => "Masq",
        "tun" => "Tunnel",
        "dr" => "Route",
        "fullnat" => "FullNAT",
        "l3dsr" => "L3DSR",
        other => other,
    }
}
