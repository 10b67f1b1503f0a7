//! What DPDK's drivers report about the devices: queues, MTU, RSS, offloads.
//!
//! They are asked without starting a port. A device that another process has is not to be had, and is left alone, as are
//! those whose driver would do something to the kernel's interfaces or to files just by being asked.

use super::{finding::Finding, patient::Patient};
use crate::{
    director::{
        keys::{self, Spreading},
        ports::{tx_wish, wishes},
    },
    dpdk::{Choice, Eal, Port, RssWish, Spread, TxWish, TxWork, port_info::PortInfo, rss},
};
use lb_core::packet::PortId;

/// Virtual devices that asking does nothing to.
const HARMLESS: [&str; 2] = ["net_null", "net_ring"];

/// Everything that drivers know of ports. `cards` are the PCI addresses of those that are cards, or made of cards.
pub(super) fn look(patient: &Patient<'_>, cards: &[Vec<Option<String>>]) -> Vec<Finding> {
    let Some(config) = &patient.config else { return Vec::new() };
    let ports = config.plan.ports.iter().zip(&config.devices).zip(cards).enumerate();
    let asked: Vec<_> = ports
        .filter(|(_, ((_, device), cards))| {
            let is_harmless = |part: &str| HARMLESS.iter().any(|driver| part.starts_with(driver));
            device.parts().zip(*cards).all(|(part, card)| card.is_some() || is_harmless(part))
        })
        .collect();
    if asked.is_empty() {
        return Vec::new();
    }
    let eal = match Eal::init(&arguments(patient, cards)) {
        Ok(eal) => eal,
        Err(error) => return vec![Finding::ok("rss", format!("cannot ask the drivers: {error}"))],
    };
    let wishes = wishes(&config.plan, patient.workers());
    let mut findings = Vec::new();
    let mut known = Vec::new();
    for (index, ((plan, device), _)) in asked {
        match Port::open(&device.name, &device.members, PortId(index as u16)) {
            Ok(port) => known.push((index, plan, device, port)),
            Err(error) => {
                findings
                    .push(Finding::ok("rss", format!("port {}: cannot ask its driver: {error}", plan.name)));
            }
        }
    }
    // How one port spreads depends on what all can do.
    let infos: Vec<_> = known.iter().map(|(_, plan, _, port)| (plan.name.as_str(), port.info())).collect();
    let spreading = if known.len() == config.plan.ports.len() {
        keys::choose(&config.plan, &wishes, &infos, patient.workers(), 0)
    } else {
        Spreading { keys: None, why: vec!["not all ports can be asked".to_owned(); known.len()] }
    };
    for ((index, plan, device, port), why) in known.iter().zip(spreading.why) {
        findings.extend(judge(
            &plan.name,
            port.info(),
            (patient.workers(), config.plan.mtu_of(PortId(*index as u16))),
            &Asked { wish: wishes[*index], by_key: spreading.keys.is_some(), why },
            (config.plan.verify_checksums, device.checksum_offload),
        ));
        let wish = tx_wish(&config.plan, device, PortId(*index as u16));
        findings.push(leaving(&plan.name, port.info(), wish));
    }
    drop(known);
    // The end of the process does the same.
    let _ = eal.cleanup();
    findings
}

/// As little of EAL as it takes: no huge pages, no files, no other devices.
fn arguments(patient: &Patient<'_>, cards: &[Vec<Option<String>>]) -> Vec<String> {
    let cpu = patient.cpus.first().copied().unwrap_or(0);
    let mut arguments = vec!["--no-huge".to_owned(), "-m".to_owned(), "64".to_owned()];
    arguments.extend([
        "--no-shconf".to_owned(),
        "--no-telemetry".to_owned(),
        "-l".to_owned(),
        cpu.to_string(),
    ]);
    let mut cards = cards.iter().flatten().flatten().peekable();
    if cards.peek().is_none() {
        arguments.push("--no-pci".to_owned());
    }
    arguments.extend(cards.flat_map(|card| ["-a".to_owned(), card.clone()]));
    arguments
}

/// How a port is to spread packets, and why.
struct Asked {
    wish: RssWish,
    by_key: bool,
    why: String,
}

fn judge(
    port: &str,
    info: &PortInfo,
    (workers, mtu): (usize, u16),
    asked: &Asked,
    (verify, offload): (bool, bool),
) -> Vec<Finding> {
    let queues = info.max_rx_queues.min(info.max_tx_queues);
    let text = format!("port {port}: {} offers {queues} for {workers} workers", info.driver);
    let mut findings = vec![if usize::from(queues) < workers {
        Finding::wrong("queues", text, format!("lb-app -l with {} lcores at most", u32::from(queues) + 1))
    } else {
        Finding::ok("queues", text)
    }];
    let text = format!("port {port}: MTU {mtu}; the driver supports {} to {}", info.min_mtu, info.max_mtu);
    findings.push(if (info.min_mtu..=info.max_mtu).contains(&mtu) {
        Finding::ok("mtu", text)
    } else {
        Finding::wrong(
            "mtu",
            text,
            format!("mtu = {} in its [[ports]]", mtu.clamp(info.min_mtu, info.max_mtu)),
        )
    });
    findings.push(spread(port, info, workers, asked));
    findings.push(match (verify, offload, info.verifies_checksums()) {
        (true, true, true) => Finding::ok("checksums", format!("port {port}: the port verifies them")),
        (false, ..) => Finding::ok("checksums", format!("port {port}: not verified, as configured")),
        (true, false, _) => {
            Finding::ok("checksums", format!("port {port}: workers verify them, as configured"))
        }
        (true, true, false) => Finding::slow(
            "checksums",
            format!("port {port}: {} does not verify them all, so workers do", info.driver),
            "verify_checksums = false in [workers], if servers verify them as well",
        ),
    });
    findings
}

/// Who computes checksums of packets that leave.
fn leaving(port: &str, info: &PortInfo, wish: TxWish) -> Finding {
    let work = TxWork::of(wish, info);
    if wish.checksums == Choice::On && !work.computes_any() {
        let text = format!(
            "port {port}: {} computes no checksums of packets that leave, so workers do",
            info.driver
        );
        return Finding::slow("checksums", text, "tx_checksum_offload = \"auto\" in its [[ports]]");
    }
    Finding::ok("checksums", format!("port {port}: of packets that leave computed by {}", work.computed_by()))
}

/// Whether packets arrive at the worker that they belong to.
fn spread(port: &str, info: &PortInfo, workers: usize, asked: &Asked) -> Finding {
    let &Asked { wish, by_key, ref why } = asked;
    let spread = rss::expected(wish, by_key, workers as u16, info);
    let table = match info.reta_size {
        0 => "no configurable redirection table".to_owned(),
        entries => format!("a redirection table of {entries}"),
    };
    let text = format!("port {port}: {spread}, because {why}; {table}");
    let wants_client = matches!(wish, RssWish::ClientSource | RssWish::ClientDestination);
    match spread {
        Spread::Unknown => Finding::slow(
            "rss",
            format!("{text}; workers hand over packets to each other"),
            "lb-app -l with two lcores, that is one worker, or a NIC with RSS",
        ),
        Spread::ByFlow if wants_client => Finding::slow(
            "rss",
            format!("{text}; not by the client alone, so NAT's packets are handed over to their workers"),
            "lb-app -l with two lcores, that is one worker, or ports whose key and redirection table can be set",
        ),
        Spread::Single | Spread::ByClient | Spread::ByFlow => Finding::ok("rss", text),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Verdict, *};
    use lb_core::service::plan::Mac;

    fn card() -> PortInfo {
        PortInfo {
            device: "0000:3b:00.0".to_owned(),
            driver: "net_ice".to_owned(),
            member_drivers: Vec::new(),
            mac: Mac::default(),
            max_rx_queues: 8,
            max_tx_queues: 4,
            min_mtu: 68,
            max_mtu: 9_000,
            reta_size: 512,
            hash_key_size: 52,
            rss_types: u64::MAX,
            rx_offload_bits: u64::MAX,
            tx_offload_bits: 0,
            socket: None,
            kernel_interface: None,
        }
    }

    fn verdicts(findings: &[Finding]) -> Vec<Verdict> {
        findings.iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn who_computes_checksums_is_told() {
        let on = TxWish { checksums: Choice::On, ..TxWish::default() };
        let found = leaving("wan", &card(), on);
        assert_eq!((found.verdict, found.remedy.is_some()), (Verdict::Slow, true));
        assert_eq!(
            found.text,
            "port wan: net_ice computes no checksums of packets that leave, so workers do"
        );
        let able = PortInfo { tx_offload_bits: u64::MAX, ..card() };
        let found = leaving("wan", &able, on);
        assert_eq!(found.verdict, Verdict::Ok);
        assert!(found.text.contains("computed by the port (IPV4, "), "{}", found.text);
        let found = leaving("wan", &card(), TxWish::default());
        assert_eq!(
            (found.verdict, &*found.text),
            (Verdict::Ok, "port wan: of packets that leave computed by workers")
        );
    }

    #[test]
    fn what_a_driver_says_is_judged() {
        use Verdict::{Ok, Slow, Wrong};
        let asked = |wish| Asked { wish, by_key: false, why: "of a reason".to_owned() };
        let good = judge("wan", &card(), (4, 1_500), &asked(RssWish::ClientSource), (true, true));
        assert_eq!(verdicts(&good), [Ok, Ok, Ok, Ok], "{good:?}");
        assert_eq!(
            good[2].text,
            "port wan: by the client's address and port (RSS), because of a reason; a redirection table of 512"
        );
        let poor = PortInfo { rx_offload_bits: 0, rss_types: 0, reta_size: 0, max_mtu: 1_500, ..card() };
        let bad = judge("wan", &poor, (5, 9_000), &asked(RssWish::Flow), (true, true));
        assert_eq!(verdicts(&bad), [Wrong, Wrong, Slow, Slow], "{bad:?}");
        assert_eq!(bad[0].text, "port wan: net_ice offers 4 for 5 workers");
        assert_eq!(bad[0].remedy.as_deref(), Some("lb-app -l with 5 lcores at most"));
        assert_eq!(bad[1].remedy.as_deref(), Some("mtu = 1500 in its [[ports]]"));
        assert_eq!(
            verdicts(&judge("wan", &poor, (1, 1_500), &asked(RssWish::None), (false, true))),
            [Ok, Ok, Ok, Ok]
        );
        for (info, set, who) in [
            (&card(), (true, true), "the port verifies them"),
            (&card(), (true, false), "workers verify them, as configured"),
            (&poor, (true, false), "workers verify them, as configured"),
            (&card(), (false, true), "not verified, as configured"),
        ] {
            let found = judge("wan", info, (1, 1_500), &asked(RssWish::None), set);
            assert_eq!((found[3].verdict, &*found[3].text), (Ok, &*format!("port wan: {who}")));
        }
    }
}
