//! Services and servers, as `ipvsadm -Ln`, `--stats` and `--rate` list them.

use super::{
    units::{short, span},
    view::View,
};
use crate::protocol::{
    options::{Options, SETTABLE},
    services::{Rate, Server, Services, Traffic},
};
use serde_json::Value as Json;
use std::fmt::Write;

pub(super) fn page(text: &mut String, page: &Services, view: View, first: bool, before: &mut Option<String>) {
    if first {
        head(text, page, view);
    }
    for service in &page.services {
        // A service with very many servers continues under the same name.
        if before.as_ref() != Some(&service.name) {
            let address = service.key.endpoint();
            let protocol = service.key.protocol.upper();
            let _ = match view {
                View::Stats => writeln!(text, "{protocol}  {address:<33}{}", sums(&service.traffic)),
                View::Rate => writeln!(text, "{protocol}  {address:<33}{}", rates(&service.rate)),
                _ => {
                    let flags = if service.flags.is_empty() {
                        String::new()
                    } else {
                        format!(" ({})", service.flags.join(","))
                    };
                    let options = options(&service.options);
                    writeln!(text, "{protocol}  {address} {}{flags}{options}", service.scheduler)
                }
            };
        }
        for server in &service.servers {
            let address = &server.endpoint;
            let _ = match view {
                View::Stats => writeln!(text, "  -> {address:<33}{}", sums(&server.traffic)),
                View::Rate => writeln!(text, "  -> {address:<33}{}", rates(&server.rate)),
                _ => writeln!(
                    text,
                    "  -> {address:<28} {:<7} {:<6} {:<10} {:<10}{}",
                    forward(&service.method),
                    server.weight,
                    server.active,
                    server.inactive,
                    remark(server),
                ),
            };
        }
        *before = Some(service.name.clone());
    }
}

/// What else was set, in the shell's words.
fn options(of: &Options) -> String {
    // The scheduler and its flags have a place of their own.
    let described =
        SETTABLE.service.iter().filter(|option| !matches!(&*option.key, "scheduler" | "hash_port"));
    let words = described.filter_map(|option| match of.get(&option.key)? {
        Json::Bool(true) => Some(format!(" {}", option.word)),
        Json::Null | Json::Bool(false) => None,
        Json::Number(number) if number.as_u64() == Some(0) => None,
        Json::String(text) if text.is_empty() || text == "0s" => None,
        Json::String(text) => Some(format!(" {} {text}", option.word)),
        value => Some(format!(" {} {value}", option.word)),
    });
    words.collect()
}

fn head(text: &mut String, page: &Services, view: View) {
    let _ = writeln!(text, "lb-app {} (size={})", page.director, page.capacity);
    let columns = |names: [&str; 5]| names.map(|name| format!("{name:>9}")).join("");
    let _ = match view {
        View::Stats => {
            let names = columns(["Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"]);
            writeln!(text, "Prot LocalAddress:Port               {names}\n  -> RemoteAddress:Port")
        }
        View::Rate => {
            let names = columns(["CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"]);
            writeln!(text, "Prot LocalAddress:Port               {names}\n  -> RemoteAddress:Port")
        }
        _ => writeln!(
            text,
            "Prot LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn"
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
    if words.is_empty() { String::new() } else { format!(" {}", words.join(" ")) }
}

/// The method in ipvsadm's words.
fn forward(method: &str) -> &str {
    match method {
        "nat" => "Masq",
        "tun" => "Tunnel",
        "dr" => "Route",
        "fullnat" => "FullNAT",
        other => other,
    }
}
