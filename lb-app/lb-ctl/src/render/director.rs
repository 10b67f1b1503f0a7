//! The director as a whole, and testpmd's `show config`.

use super::{units::span, view::View};
use crate::protocol::{
    connections::Fill,
    director::{About, Announced, AnnouncedVip, Configuration, Names},
};
use std::fmt::Write;

pub(super) fn about(text: &mut String, about: &About) {
    let About {
        version,
        dpdk,
        pid,
        uptime_ms,
        forwarding,
        role,
        workers,
        ports,
        capacity,
        tables,
        generation,
        file_sha256,
        drain,
        file_watched,
        file_refused,
        unconfirmed_ms,
        metrics_failure,
        clients_dropped,
    } = about;
    let _ = writeln!(text, "lb-app {version}, {dpdk}, process {pid}, up for {}", span(*uptime_ms));
    let state = if *forwarding { "forwarding" } else { "stopped (`start` resumes)" };
    let _ = writeln!(text, "{}", said_of_role(role));
    let _ = writeln!(text, "{state}; {workers} workers, {ports} ports, capacity {capacity} connections");
    if !tables.is_empty() {
        let fill = |it: &Fill| format!("{} of {} of {}", it.connections, it.capacity, it.family);
        let fills: Vec<String> = tables.iter().map(fill).collect();
        let _ = writeln!(text, "connections: {}", fills.join(", "));
    }
    let _ = writeln!(text, "configuration {generation} is in effect: {generation} changes since the start");
    let _ = writeln!(text, "the file that was applied last has SHA-256 {file_sha256}");
    if let Some(drain) = drain {
        let _ = writeln!(text, "the director is {drain}: its VIPs are withdrawn (`start` undoes it)");
    }
    if *file_watched {
        let _ = writeln!(text, "the file is watched: changes of it are applied as they are made");
    }
    if let Some(why) = file_refused {
        let _ = writeln!(text, "the file as it is now was refused: {why}");
    }
    if let Some(left) = unconfirmed_ms {
        let _ = writeln!(
            text,
            "a reload is pending confirmation ({} left): run `confirm`, or wait for the rollback",
            span(*left)
        );
    }
    if let Some(failure) = metrics_failure {
        let _ = writeln!(text, "{failure}; trying again every few seconds");
    }
    if *clients_dropped > 0 {
        let _ = writeln!(
            text,
            "{clients_dropped} clients of the control socket were disconnected because they were too slow"
        );
    }
}

pub(super) fn announced(text: &mut String, announced: &Announced) {
    let Announced { file, interface, drain, vips } = announced;
    if file.is_none() && interface.is_none() {
        text.push_str("nothing is announced: [announce] has neither `file` nor `interface`\n");
        return;
    }
    if let Some(file) = file {
        let _ = writeln!(text, "{file} has what is announced");
    }
    if let Some(interface) = interface {
        let _ = writeln!(text, "interface {interface} of the kernel has what is announced");
    }
    if let Some(drain) = drain {
        let _ = writeln!(text, "the director is {drain}");
    }
    let width = vips.iter().map(|vip| vip.vip.to_string().len()).max().unwrap_or_default();
    for AnnouncedVip { vip, announced, reason } in vips {
        let (vip, state) = (vip.to_string(), if *announced { "announced" } else { "withdrawn" });
        let _ = match reason {
            Some(reason) => writeln!(text, "{vip:<width$}  {state}: {reason}"),
            None => writeln!(text, "{vip:<width$}  {state}"),
        };
    }
}

/// What the role means. A director of another version may have one that is not known here.
fn said_of_role(role: &str) -> String {
    let meaning = match role {
        "active" => "it answers for its VIPs",
        "follow" => "it answers for VIPs that the kernel has on a host side (`show host`)",
        "standby" => "it says nothing for its VIPs (`set director role active` takes them)",
        _ => return format!("role {role}"),
    };
    format!("role {role}: {meaning}")
}

/// What a shell says at its beginning.
pub(crate) fn greeting(about: &About, names: &Names) -> String {
    let state = if about.forwarding { "forwarding" } else { "stopped (`start` resumes)" };
    let servers = || names.listed.iter().flat_map(|service| &service.servers);
    let down = servers().filter(|server| server.health == "down").count();
    let mut text = format!(
        "lb-app {}, up {}: {state}{}; {} ports, {} services, {down} of {} servers down\n",
        about.version,
        span(about.uptime_ms / 1_000 * 1_000),
        if about.role == "standby" { ", on standby" } else { "" },
        about.ports,
        names.listed.len(),
        servers().count(),
    );
    if let Some(left) = about.unconfirmed_ms {
        let left = span(left / 1_000 * 1_000);
        let _ = writeln!(
            text,
            "a reload is pending confirmation ({left} left): run `confirm`, or wait for the rollback"
        );
    }
    text.push_str("`help` lists commands, `?` shows what can follow, TAB completes\n");
    text
}

pub(super) fn names(text: &mut String, names: &Names) {
    for (what, list) in [("services", &names.services), ("ports", &names.ports), ("servers", &names.servers)]
    {
        let _ = writeln!(text, "{what}: {}", list.join(" "));
    }
}

pub(super) fn configuration(text: &mut String, config: &Configuration, view: View) {
    match view {
        View::ConfigRxTx => rxtx(text, config),
        View::ConfigCores => {
            let lcores: Vec<String> = config.workers.iter().map(|worker| worker.lcore.to_string()).collect();
            let _ = writeln!(text, "List of forwarding lcores: {}", lcores.join(","));
            let _ = writeln!(text, "Control lcore: {}", config.main_lcore);
        }
        _ => forward(text, config),
    }
}

fn forward(text: &mut String, config: &Configuration) {
    let (ports, workers) = (config.ports.len(), config.workers.len());
    let _ = writeln!(
        text,
        "lb packet forwarding - ports={ports} - cores={workers} - streams={} - idle policy {}",
        ports * workers,
        config.idle
    );
    for worker in &config.workers {
        let _ = writeln!(
            text,
            "Logical Core {} (socket {}) forwards packets on {ports} streams:",
            worker.lcore, worker.node
        );
        for port in &config.ports {
            let _ = writeln!(
                text,
                "  RX P={}/Q={} (socket {}) -> any port by route",
                port.id, worker.id, worker.node
            );
        }
    }
}

fn rxtx(text: &mut String, config: &Configuration) {
    let _ = writeln!(
        text,
        "  lb packet forwarding packets/burst={}\n  nb forwarding cores={} - nb forwarding ports={}",
        config.burst,
        config.workers.len(),
        config.ports.len()
    );
    let _ = writeln!(
        text,
        "  packet buffers={} of {} bytes - checksums verified in software where ports do not: {}",
        config.buffers,
        config.buffer_bytes,
        if config.verify_checksums { "on" } else { "off" }
    );
    for port in &config.ports {
        let _ = writeln!(
            text,
            "  port {}: RX queue number: {} Tx queue number: {}\n    RX offloads={} Tx offloads={}",
            port.id,
            port.rx_queues,
            port.tx_queues,
            list(&port.rx_offloads),
            list(&port.tx_offloads)
        );
        let _ = writeln!(
            text,
            "    RX desc={} - TX desc={} - MTU={}",
            port.rx_descriptors, port.tx_descriptors, port.mtu
        );
    }
}

fn list(words: &[String]) -> String {
    if words.is_empty() { "none".to_owned() } else { words.join(",") }
}
