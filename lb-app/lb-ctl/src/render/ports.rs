//! Ports, as testpmd shows them.

use super::view::View;
use crate::protocol::ports::{Info, Infos, PortStats, Rss, Stats, Xstats};
use std::{collections::HashMap, fmt::Write};

/// What ports had counted when they were last shown, by number.
#[derive(Debug, Default)]
pub(super) struct Earlier(HashMap<u32, (u64, PortStats)>);

/// What a port counted, as testpmd shows it.
pub fn counters(text: &mut String, port: &PortStats) {
    let title = format!(" NIC statistics for port {:<2}", port.id);
    let _ = writeln!(text, "\n  {0}{title} {0}", "#".repeat(24));
    let _ = writeln!(
        text,
        "  RX-packets: {:<10} RX-missed: {:<10} RX-bytes:  {}",
        port.rx_packets, port.rx_missed, port.rx_bytes
    );
    let _ = writeln!(text, "  RX-errors: {}", port.rx_errors);
    let _ = writeln!(text, "  RX-nombuf:  {:<10}", port.rx_nombuf);
    let _ = writeln!(
        text,
        "  TX-packets: {:<10} TX-errors: {:<10} TX-bytes:  {}",
        port.tx_packets, port.tx_errors, port.tx_bytes
    );
}

/// testpmd's `show port stats`: the rates are since the last show, 0 the first time.
pub(super) fn statistics(text: &mut String, stats: &Stats, earlier: &mut Earlier) {
    for port in &stats.ports {
        counters(text, port);
        let before = earlier.0.insert(port.id, (stats.at_ns, port.clone()));
        let rate = |now: u64, then: fn(&PortStats) -> u64| match &before {
            Some((at_ns, before)) if stats.at_ns > *at_ns => {
                let difference = u128::from(now.saturating_sub(then(before)));
                (difference * 1_000_000_000 / u128::from(stats.at_ns - at_ns)) as u64
            }
            _ => 0,
        };
        let (rx_pps, tx_pps) =
            (rate(port.rx_packets, |port| port.rx_packets), rate(port.tx_packets, |port| port.tx_packets));
        let (rx_bytes, tx_bytes) =
            (rate(port.rx_bytes, |port| port.rx_bytes), rate(port.tx_bytes, |port| port.tx_bytes));
        let _ = writeln!(text, "\n  Throughput (since last show)");
        let _ = writeln!(text, "  Rx-pps: {rx_pps:>12}          Rx-bps: {:>12}", rx_bytes.saturating_mul(8));
        let _ = writeln!(text, "  Tx-pps: {tx_pps:>12}          Tx-bps: {:>12}", tx_bytes.saturating_mul(8));
        let _ = writeln!(text, "  {}", "#".repeat(76));
    }
}

pub(super) fn xstats(text: &mut String, xstats: &Xstats) {
    for port in &xstats.ports {
        let _ = writeln!(text, "###### NIC extended statistics for port {:<2}", port.id);
        for counter in &port.counters {
            let _ = writeln!(text, "{}: {}", counter.name, counter.value);
        }
    }
}

pub(super) fn summary(text: &mut String, infos: &Infos) {
    let _ = writeln!(text, "Number of available ports: {}", infos.ports.len());
    let _ = writeln!(text, "Port MAC Address       Name         Driver         Status   Link");
    for port in &infos.ports {
        let (id, mac, name, driver) = (port.id, &port.mac, &port.name, &port.driver);
        let _ =
            writeln!(text, "{id:<4} {mac:<17} {name:<12} {driver:<14} {:<8} {}", status(port), speed(port));
    }
}

fn status(port: &Info) -> &'static str {
    match (port.started, port.link_up) {
        (false, _) => "stopped",
        (true, true) => "up",
        (true, false) => link(port),
    }
}

fn link(port: &Info) -> &'static str {
    match (port.link_up, port.link_gone) {
        (true, _) => "up",
        (false, false) => "down",
        (false, true) => "gone",
    }
}

fn speed(port: &Info) -> String {
    match port.link_mbps {
        Some(mbps) if mbps >= 1_000 && mbps % 1_000 == 0 => format!("{} Gbps", mbps / 1_000),
        Some(mbps) => format!("{mbps} Mbps"),
        None => "Unknown".to_owned(),
    }
}

pub(super) fn infos(text: &mut String, infos: &Infos) {
    for port in &infos.ports {
        let on = |yes| if yes { "enabled" } else { "disabled" };
        let title = format!(" Infos for port {:<2}", port.id);
        let _ = writeln!(text, "\n{0}{title} {0}", "*".repeat(21));
        let _ = writeln!(text, "MAC address: {}", port.mac);
        let _ = writeln!(text, "Device name: {}", port.device);
        let _ = writeln!(text, "Driver name: {}", port.driver);
        if let Some(bond) = &port.bond {
            let _ = writeln!(text, "Bonding mode: {}", bond.mode);
            for member in &bond.members {
                let _ = writeln!(text, "  Member {}: {}", member.name, member.state);
            }
        }
        let _ = writeln!(text, "Name: {}, addresses {}", port.name, list(&port.addresses));
        let _ = writeln!(
            text,
            "Connect to socket: {}",
            port.node.map_or("any".to_owned(), |node| node.to_string())
        );
        let _ = writeln!(text, "Port status: {}", if port.started { "started" } else { "stopped" });
        let _ = writeln!(text, "Link status: {}", link(port));
        let _ = writeln!(text, "Link speed: {}", speed(port));
        let _ =
            writeln!(text, "Link duplex: {}", if port.full_duplex { "full-duplex" } else { "half-duplex" });
        let _ = writeln!(text, "Promiscuous mode: {}", on(port.promiscuous));
        let _ = writeln!(text, "MTU: {} (minimum {}, maximum {})", port.mtu, port.min_mtu, port.max_mtu);
        let _ = writeln!(text, "Current number of RX queues: {}", port.rx_queues);
        let _ = writeln!(text, "Max possible RX queues: {}", port.max_rx_queues);
        let _ = writeln!(text, "Number of RXDs per queue: {}", port.rx_descriptors);
        let _ = writeln!(text, "Current number of TX queues: {}", port.tx_queues);
        let _ = writeln!(text, "Max possible TX queues: {}", port.max_tx_queues);
        let _ = writeln!(text, "Number of TXDs per queue: {}", port.tx_descriptors);
        let _ = writeln!(text, "Hash key size in bytes: {}", port.hash_key_bytes);
        let _ = writeln!(text, "Redirection table size: {}", port.reta_entries);
        let _ = writeln!(text, "Spread over workers: {}", spread(&port.spread, &port.spread_reason));
        let _ = writeln!(text, "Checksums verified by: {}", port.checksums);
        for (what, whom) in [
            ("Checksums computed by", &port.checksums_computed),
            ("VLAN tags inserted by", &port.tags_inserted),
        ] {
            if !whom.is_empty() {
                let _ = writeln!(text, "{what}: {whom}");
            }
        }
        let _ = writeln!(
            text,
            "RX offloads: {} of {}",
            list(&port.rx_offloads),
            list(&port.rx_offload_capabilities)
        );
        let _ = writeln!(
            text,
            "TX offloads: {} of {}",
            list(&port.tx_offloads),
            list(&port.tx_offload_capabilities)
        );
    }
}

pub(super) fn rss(text: &mut String, rss: &Rss, view: View) {
    if view == View::Reta {
        match &rss.reta {
            None => {
                let _ = writeln!(
                    text,
                    "port {} does not report its redirection table; spread over workers: {}",
                    rss.id,
                    spread(&rss.spread, &rss.spread_reason)
                );
            }
            Some(reta) => reta.iter().enumerate().for_each(|(entry, queue)| {
                let _ = writeln!(text, "RSS RETA configuration: hash index={entry}, queue={queue}");
            }),
        }
        return;
    }
    if rss.hash_types.is_empty() {
        let _ =
            writeln!(text, "RSS disabled; spread over workers: {}", spread(&rss.spread, &rss.spread_reason));
    } else {
        let _ = writeln!(
            text,
            "RSS functions:\n  {}\nSpread over workers: {}",
            rss.hash_types.join(" "),
            spread(&rss.spread, &rss.spread_reason)
        );
    }
    if let Some(key) = &rss.key {
        let _ = writeln!(text, "RSS key:\n{key}");
    }
}

/// What the receive queue is chosen by, with the reason if it is known.
fn spread(spread: &str, reason: &str) -> String {
    if reason.is_empty() { spread.to_owned() } else { format!("{spread}, because {reason}") }
}

fn list(words: &[String]) -> String {
    if words.is_empty() { "none".to_owned() } else { words.join(" ") }
}
