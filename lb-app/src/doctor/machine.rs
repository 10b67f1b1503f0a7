//! The host: memory, huge pages, permissions.

use super::{
    files::{names, number, read},
    finding::Finding,
    patient::Patient,
};
use crate::{
    config::{Capacity, memory},
    health::capability::Capabilities,
};
use lb_core::{limits::MAX_BYTES_PER_CONNECTION, service::footprint};
use std::path::Path;

/// Capabilities by their numbers in `/proc/self/status`.
const CAPABILITIES: [(u8, &str); 3] = [(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW"), (14, "CAP_IPC_LOCK")];

/// Everything about the host as a whole.
pub(super) fn look(patient: &Patient<'_>, root: &Path) -> Vec<Finding> {
    let mut findings = vec![huge_pages(patient, root), transparent_pages(root)];
    findings.extend(tables(patient, root));
    findings.push(permissions(root));
    findings
}

/// Packet buffers are on huge pages.
fn huge_pages(patient: &Patient<'_>, root: &Path) -> Finding {
    const SIZES: &str = "sys/kernel/mm/hugepages";
    let (mut free_kib, mut all_kib) = (0, 0);
    for size in names(root, SIZES) {
        let Some(kib) =
            size.strip_prefix("hugepages-").and_then(|size| size.strip_suffix("kB")?.parse::<u64>().ok())
        else {
            continue;
        };
        free_kib += kib * number(root, &format!("{SIZES}/{size}/free_hugepages")).unwrap_or(0);
        all_kib += kib * number(root, &format!("{SIZES}/{size}/nr_hugepages")).unwrap_or(0);
    }
    let remedy = "echo 512 > /proc/sys/vm/nr_hugepages";
    match (free_kib >> 10, patient.wants_hugepages()) {
        (0, true) if all_kib > 0 => {
            let text = format!("all {} MiB of huge pages are in use", all_kib >> 10);
            Finding::wrong("huge pages", text, format!("{remedy}, or stop what uses them"))
        }
        (0, true) => Finding::wrong("huge pages", "none are reserved", remedy),
        (_, false) => {
            let text = "--no-huge: access to packet buffers is slower";
            Finding::slow("huge pages", text, format!("{remedy}, and remove --no-huge"))
        }
        (free @ 1..256, true) => {
            let text = format!("only {free} MiB are free for packet buffers");
            Finding::slow("huge pages", text, remedy)
        }
        (free, true) => Finding::ok("huge pages", format!("{free} MiB are free")),
    }
}

/// Connection tables are on transparent huge pages.
fn transparent_pages(root: &Path) -> Finding {
    const ENABLED: &str = "sys/kernel/mm/transparent_hugepage/enabled";
    match read(root, ENABLED) {
        Some(text) if text.contains("[never]") => Finding::slow(
            "transparent",
            "no transparent huge pages: every access to a large table needs a longer page-table walk",
            format!("echo madvise > /{ENABLED}"),
        ),
        Some(_) => Finding::ok("transparent", "available for connection tables"),
        None => Finding::ok("transparent", "not supported by this kernel"),
    }
}

/// Memory for the capacity that is configured.
fn tables(patient: &Patient<'_>, root: &Path) -> Option<Finding> {
    let config = patient.config.as_ref()?;
    let (capacity, workers) = (config.capacity, patient.workers());
    let schedulers = footprint(&config.plan.services).bytes(workers);
    let needed = capacity.bytes() * workers as u64 + schedulers;
    let available = memory::available_below(root)?;
    let text = format!(
        "{} connections of IPv4 and {} of IPv6 on each of {workers} workers, and schedulers, need {} MiB, {} MiB are available",
        capacity.v4,
        capacity.v6,
        needed >> 20,
        available >> 20
    );
    if needed <= available {
        return Some(Finding::ok("memory", text));
    }
    let of_v6 = Capacity { v4: 0, ..capacity }.bytes() * workers as u64;
    let left = available.saturating_sub(schedulers).saturating_sub(of_v6);
    let most = left / (workers * MAX_BYTES_PER_CONNECTION) as u64;
    Some(Finding::wrong("memory", text, format!("[workers] connections = {most}, at most")))
}

/// What the process may do.
fn permissions(root: &Path) -> Finding {
    let status = read(root, "proc/self/status").unwrap_or_default();
    let effective = Capabilities::in_status(&status);
    let is_missing = |capability| effective.is_none_or(|effective| !effective.contains(capability));
    let missing: Vec<&str> = CAPABILITIES
        .iter()
        .filter(|(capability, _)| is_missing(*capability))
        .map(|(_, name)| *name)
        .collect();
    if missing.is_empty() {
        return Finding::ok("permissions", "sufficient for ports and memory");
    }
    let text = format!("{} missing", missing.join(", "));
    Finding::wrong("permissions", text, "run lb-app as root, or grant the service these capabilities")
}

#[cfg(test)]
mod tests {
    use super::{
        super::{finding::Verdict, tree::Tree},
        *,
    };

    fn look_at(tree: &Tree, eal: &[&str]) -> Vec<Finding> {
        let eal: Vec<String> = eal.iter().map(|&argument| argument.to_owned()).collect();
        look(&Patient { eal: &eal, cpus: vec![0, 1], config: None }, tree.path())
    }

    #[test]
    fn a_machine_is_looked_at() {
        let tree = Tree::new(&[
            ("proc/self/status", "CapEff:\t000001ffffffffff\n"),
            ("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "512\n"),
            ("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "400\n"),
            ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
        ]);
        let good = look_at(&tree, &[]);
        assert!(good.iter().all(|finding| finding.verdict == Verdict::Ok), "{good:?}");
        assert_eq!(good[0].text, "800 MiB are free");
        assert_eq!(look_at(&tree, &["--no-huge"])[0].verdict, Verdict::Slow);
        tree.write("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "0\n");
        assert_eq!(look_at(&tree, &[])[0].text, "all 1024 MiB of huge pages are in use");
        tree.write("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "0\n");
        assert_eq!(look_at(&tree, &[])[0].verdict, Verdict::Wrong);
        tree.write("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
        assert_eq!(look_at(&tree, &[])[1].verdict, Verdict::Slow);
        tree.write("proc/self/status", "CapEff:\t0000000000001000\n");
        assert_eq!(look_at(&tree, &[])[2].text, "CAP_NET_RAW, CAP_IPC_LOCK missing");
    }
}
