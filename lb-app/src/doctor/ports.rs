//! Ports: the devices in the configuration, as the kernel reports them. Those on its own interfaces are in
//! [`interface`]; what only DPDK's drivers know is in [`drivers`](super::drivers).

use super::{
    cpus,
    files::{names, number, read},
    finding::Finding,
    interface,
    patient::Patient,
};
use crate::dpdk::link::BESIDE_THE_KERNEL;
use std::{fs, path::Path};

/// Drivers that DPDK takes devices from.
const USER_SPACE: [&str; 3] = ["vfio-pci", "igb_uio", "uio_pci_generic"];
/// Drivers that DPDK works beside: the kernel keeps the device.
pub(super) const SHARED: [&str; 4] = ["mlx4_core", "mlx5_core", "mana", "gve"];

/// Everything about ports.
pub(super) fn look(patient: &Patient<'_>, root: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(config) = &patient.config else {
        findings.push(cards(root));
        return findings;
    };
    let plan = &config.plan;
    for ((interface, port), device) in plan.interfaces.iter().zip(&plan.ports).zip(&config.devices) {
        for device in device.parts() {
            if let Some(on_kernel) = interface::look(patient, root, interface, device) {
                findings.extend(on_kernel);
            } else if let Some(address) = pci_address(root, device) {
                findings.extend(card(patient, root, &port.name, &address));
            }
        }
        findings.extend(bond(&port.name, &device.name, &device.members));
    }
    findings
}

/// By port, the PCI addresses of what it is made of, of which there is one if it is no bond.
pub(super) fn cards_of(patient: &Patient<'_>, root: &Path) -> Vec<Vec<Option<String>>> {
    let devices = patient.config.iter().flat_map(|config| &config.devices);
    devices.map(|device| device.parts().map(|part| pci_address(root, part)).collect()).collect()
}

/// Whether a bond notices when a member's link goes down.
fn bond(port: &str, device: &str, members: &[String]) -> Option<Finding> {
    let mode = device.split(',').find_map(|argument| argument.strip_prefix("mode="))?;
    let is_deaf = |member: &&String| BESIDE_THE_KERNEL.iter().any(|driver| member.starts_with(driver));
    let deaf: Vec<&str> =
        members.iter().filter(is_deaf).map(|member| member.split(',').next().unwrap_or_default()).collect();
    Some(match mode {
        _ if members.is_empty() => return None,
        "1" => Finding::ok("bond", format!("port {port}: active-backup of {} members", members.len())),
        _ if deaf.is_empty() => Finding::ok("bond", format!("port {port}: {} members", members.len())),
        "4" => Finding::slow(
            "bond",
            format!("port {port}: of a link that is down, {} hears only by LACP, after 3 s", deaf.join(", ")),
            "NICs as members, or mode=1",
        ),
        _ => Finding::wrong(
            "bond",
            format!("port {port}: nobody notices when a link of {} is down", deaf.join(", ")),
            "NICs as members, mode=1 or mode=4",
        ),
    })
}

/// The PCI address that a device is named by, with its domain.
pub(super) fn pci_address(root: &Path, device: &str) -> Option<String> {
    let name = device.split(',').next()?;
    let address = if name.matches(':').count() == 1 { format!("0000:{name}") } else { name.to_owned() };
    root.join("sys/bus/pci/devices").join(&address).exists().then_some(address)
}

pub(super) fn driver(root: &Path, address: &str) -> Option<String> {
    let link = fs::read_link(root.join(format!("sys/bus/pci/devices/{address}/driver"))).ok()?;
    Some(link.file_name()?.to_str()?.to_owned())
}

/// Without a configuration: which cards DPDK could have.
fn cards(root: &Path) -> Finding {
    let mut listed = Vec::new();
    for address in names(root, "sys/bus/pci/devices") {
        let class = read(root, &format!("sys/bus/pci/devices/{address}/class")).unwrap_or_default();
        if class.starts_with("0x0200") {
            let driver = driver(root, &address).unwrap_or_else(|| "no driver".to_owned());
            listed.push(format!("{address} ({driver})"));
        }
    }
    let text = if listed.is_empty() {
        "no NIC on the PCI bus; kernel interfaces work with net_af_packet".to_owned()
    } else {
        format!("NICs: {}", listed.join(", "))
    };
    Finding::ok("ports", text)
}

/// A card that DPDK is to drive.
fn card(patient: &Patient<'_>, root: &Path, port: &str, address: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let bind = format!("dpdk-devbind.py --bind=vfio-pci {address}");
    match driver(root, address) {
        Some(driver) if SHARED.contains(&driver.as_str()) => {
            findings.push(Finding::ok(
                "driver",
                format!("port {port}: {driver}, which works together with DPDK"),
            ));
        }
        Some(driver) if USER_SPACE.contains(&driver.as_str()) => {
            let has_iommu = !names(root, "sys/kernel/iommu_groups").is_empty();
            let unsafe_mode = read(root, "sys/module/vfio/parameters/enable_unsafe_noiommu_mode");
            if driver == "vfio-pci" && !has_iommu && unsafe_mode.as_deref() != Some("Y") {
                findings.push(Finding::wrong(
                    "iommu",
                    format!("port {port}: vfio-pci requires an IOMMU, and none is enabled"),
                    "add to the kernel's command line: intel_iommu=on iommu=pt; without an IOMMU: \
                     echo Y > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
                ));
            } else {
                findings.push(Finding::ok("driver", format!("port {port}: bound to {driver}")));
            }
        }
        Some(driver) => {
            let text = format!("port {port}: {address} is in use by the kernel's driver {driver}");
            findings.push(Finding::wrong("driver", text, bind));
        }
        None => {
            findings.push(Finding::wrong("driver", format!("port {port}: {address} has no driver"), bind));
        }
    }
    findings.extend(distance(patient, root, port, &format!("sys/bus/pci/devices/{address}/numa_node")));
    findings
}

/// Workers should be on the NUMA node that a card is on.
fn distance(patient: &Patient<'_>, root: &Path, port: &str, node_file: &str) -> Option<Finding> {
    let node = number(root, node_file)?;
    let away = |cpu: &&usize| cpus::node_of(root, **cpu).is_some_and(|other| other != node);
    let away: Vec<String> = patient.cpus.iter().skip(1).filter(away).map(ToString::to_string).collect();
    if away.is_empty() {
        return Some(Finding::ok("numa", format!("port {port} and all workers are on node {node}")));
    }
    let cpus = read(root, &format!("sys/devices/system/node/node{node}/cpulist")).unwrap_or_default();
    let text = format!("port {port} is on NUMA node {node}, but not CPU {} of workers", away.join(", "));
    Some(Finding::slow("numa", text, format!("lb-app -l with CPUs of {cpus}")))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{finding::Verdict, tree::Tree},
        *,
    };

    #[test]
    fn bonds_whose_members_nobody_notices_are_wrong() {
        use Verdict::{Ok, Slow, Wrong};
        let verdict = |device: &str, member: &str| {
            bond("wan", device, &[member.to_owned()]).map(|finding| finding.verdict)
        };
        let (card, socket) = ("0000:3b:00.0", "net_af_packet0,iface=eth0");
        for (mode, of_sockets) in [(1, Ok), (2, Wrong), (4, Slow)] {
            let device = format!("net_bonding0,mode={mode}");
            assert_eq!(verdict(&device, card), Some(Ok));
            assert_eq!(verdict(&device, "net_tap0,iface=lb0"), Some(Ok), "the director has the bond look");
            assert_eq!(verdict(&device, socket), Some(of_sockets), "{mode}");
        }
        assert_eq!(bond("wan", card, &[]), None);
    }

    #[test]
    fn cards_are_looked_at() {
        let address = "0000:3b:00.0";
        let file = |name: &str| format!("sys/bus/pci/devices/{address}/{name}");
        let tree = Tree::new(&[
            (&file("class"), "0x020000\n"),
            (&file("numa_node"), "1\n"),
            ("sys/devices/system/node/node0/cpulist", "0-1\n"),
            ("sys/devices/system/node/node1/cpulist", "2-3\n"),
        ]);
        let at = |cpus: &[usize]| {
            let patient = Patient { eal: &[], cpus: cpus.to_vec(), config: None };
            card(&patient, tree.path(), "wan", address)
        };
        assert_eq!(pci_address(tree.path(), "3b:00.0,arg=1").as_deref(), Some(address));
        assert_eq!(at(&[0, 2])[0].text, "port wan: 0000:3b:00.0 has no driver");
        tree.link(&file("driver"), "/sys/bus/pci/drivers/ixgbe");
        assert_eq!(at(&[0, 2])[0].remedy.as_deref(), Some("dpdk-devbind.py --bind=vfio-pci 0000:3b:00.0"));
        assert_eq!(cards(tree.path()).text, "NICs: 0000:3b:00.0 (ixgbe)");
        fs::remove_file(tree.path().join(file("driver"))).unwrap();
        tree.link(&file("driver"), "/sys/bus/pci/drivers/vfio-pci");
        assert_eq!(at(&[0, 2])[0].subject, "iommu");
        tree.write("sys/kernel/iommu_groups/0/devices", "");
        let findings = at(&[0, 2, 3]);
        assert!(findings.iter().all(|finding| finding.verdict == Verdict::Ok), "{findings:?}");
        assert_eq!(at(&[0, 1, 2])[1].text, "port wan is on NUMA node 1, but not CPU 1 of workers");
    }
}
