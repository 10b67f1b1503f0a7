//! Ports on the kernel's own interfaces, through AF_PACKET or AF_XDP.

use super::{
    files::{number, read},
    finding::Finding,
    patient::Patient,
};
use crate::dpdk::ethtool;
use lb_core::service::plan::InterfacePlan;
use std::path::Path;

/// How packets get from the kernel's interface to DPDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Socket {
    Packet,
    Xdp,
}

impl Socket {
    fn of(device: &str) -> Option<Self> {
        match device {
            device if device.starts_with("net_af_packet") => Some(Socket::Packet),
            device if device.starts_with("net_af_xdp") => Some(Socket::Xdp),
            _ => None,
        }
    }

    /// The argument of the device that says how many queues it has.
    fn queues(self) -> &'static str {
        match self {
            Socket::Packet => "qpairs",
            Socket::Xdp => "queue_count",
        }
    }
}

/// A port on the kernel's interface.
struct Interface<'a> {
    port: &'a str,
    socket: Socket,
    name: &'a str,
    /// Where the kernel keeps its facts.
    directory: String,
}

/// Everything about a port, if it is on an interface of the kernel.
pub(super) fn look(
    patient: &Patient<'_>,
    root: &Path,
    plan: &InterfacePlan,
    device: &str,
) -> Option<Vec<Finding>> {
    let (socket, name) = of(device)?;
    let interface = Interface { port: &plan.name, socket, name, directory: format!("sys/class/net/{name}") };
    Some(interface.look(patient, root, plan.mtu, device))
}

/// The interface of the kernel that a device is on, if it is on one, and how.
pub(super) fn of(device: &str) -> Option<(Socket, &str)> {
    Some((Socket::of(device)?, argument(device, "iface")?))
}

/// The value of one of a device's arguments: `net_af_packet0,iface=eth1,qpairs=2`.
fn argument<'a>(device: &'a str, name: &str) -> Option<&'a str> {
    device.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

impl Interface<'_> {
    fn look(&self, patient: &Patient<'_>, root: &Path, mtu: u16, device: &str) -> Vec<Finding> {
        if !root.join(&self.directory).exists() {
            let text = format!("port {}: no network interface {}", self.port, self.name);
            return vec![Finding::wrong("driver", text, "ip link")];
        }
        let workers = patient.workers();
        let mut findings = vec![self.driver(), self.link(root)];
        // An XDP program gets packets as they arrive.
        let is_changed = self.socket == Socket::Packet;
        findings.extend(is_changed.then(|| self.fragments()));
        findings.extend([self.queues(device, workers), self.spread(workers)]);
        findings.extend(self.mtu(root, mtu));
        findings.extend(is_changed.then(|| self.offloads()).flatten());
        findings
    }

    fn driver(&self) -> Finding {
        let Self { port, name, .. } = self;
        match self.socket {
            Socket::Packet => Finding::slow(
                "driver",
                format!("port {port}: {name} goes through the kernel: a system call and a copy per burst"),
                "give DPDK its own NIC: dpdk-devbind.py --status",
            ),
            Socket::Xdp => Finding::ok(
                "driver",
                format!("port {port}: {name} is shared with the kernel's driver by AF_XDP"),
            ),
        }
    }

    fn link(&self, root: &Path) -> Finding {
        let Self { port, name, directory, .. } = self;
        match read(root, &format!("{directory}/operstate")) {
            Some(state) if !["up", "unknown"].contains(&state.as_str()) => Finding::wrong(
                "link",
                format!("port {port}: {name} is {state}"),
                format!("ip link set {name} up, there and at its peer"),
            ),
            _ => Finding::ok("link", format!("port {port}: {name} is up")),
        }
    }

    fn fragments(&self) -> Finding {
        let text = format!(
            "port {}: the kernel puts fragments together before net_af_packet sees them: what fits the MTU passes, \
             larger packets are dropped as bad-ipv4, and fragments whose rest is missing are not counted here",
            self.port
        );
        Finding::ok("fragments", text)
    }

    fn queues(&self, device: &str, workers: usize) -> Finding {
        let Self { port, name, socket, .. } = self;
        let argument_name = socket.queues();
        let queues = argument(device, argument_name).and_then(|value| value.parse().ok()).unwrap_or(1);
        if queues >= workers {
            return Finding::ok("queues", format!("port {port}: {queues} for {workers} workers"));
        }
        Finding::wrong(
            "queues",
            format!("port {port}: {queues} queues for {workers} workers"),
            format!("device = \"...,iface={name},{argument_name}={workers}\""),
        )
    }

    /// DPDK does not report how either of them chooses queues.
    fn spread(&self, workers: usize) -> Finding {
        let port = self.port;
        if workers == 1 {
            return Finding::ok("rss", format!("port {port}: none, and not needed for one worker"));
        }
        Finding::slow(
            "rss",
            format!(
                "port {port}: none: the kernel may move a connection between queues, and workers hand over its packets"
            ),
            "lb-app -l with two lcores, that is one worker, or a NIC with RSS",
        )
    }

    fn mtu(&self, root: &Path, mtu: u16) -> Option<Finding> {
        let Self { port, name, directory, .. } = self;
        let own = number(root, &format!("{directory}/mtu"))?;
        let text = format!("port {port}: MTU {mtu}; {name} has {own}");
        Some(if own < u64::from(mtu) {
            Finding::wrong("mtu", text, format!("ip link set {name} mtu {mtu}"))
        } else {
            Finding::ok("mtu", text)
        })
    }

    /// What the kernel puts together or leaves unfinished arrives so at a packet socket.
    fn offloads(&self) -> Option<Finding> {
        let Self { port, name, .. } = self;
        let on: Vec<&str> =
            ethtool::offloads(name)?.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect();
        if on.is_empty() {
            return Some(Finding::ok("offloads", format!("port {port}: the kernel does not change packets")));
        }
        let text = format!(
            "port {port}: {} enabled on {name}: packets arrive larger than the MTU or with incomplete checksums, and \
             are dropped",
            on.join(", ")
        );
        let off: Vec<String> = on.iter().map(|name| format!("{name} off")).collect();
        let remedy = format!("ethtool -K {name} {}, there and on its peer", off.join(" "));
        Some(Finding::wrong("offloads", text, remedy))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{finding::Verdict, tree::Tree},
        *,
    };
    use lb_core::packet::PortId;

    const PACKET: &str = "net_af_packet0,iface=nosuch0";
    const XDP: &str = "net_af_xdp0,iface=nosuch0";

    fn port() -> InterfacePlan {
        InterfacePlan::new("wan", PortId(0))
    }

    fn findings(tree: &Tree, device: &str) -> Vec<Finding> {
        let patient = Patient { eal: &[], cpus: vec![0, 1, 2], config: None };
        look(&patient, tree.path(), &port(), device).expect("it is on an interface of the kernel")
    }

    fn verdict(findings: &[Finding], subject: &str) -> Option<Verdict> {
        findings.iter().find(|finding| finding.subject == subject).map(|finding| finding.verdict)
    }

    #[test]
    fn what_interfaces_lack_is_said_with_the_remedy() {
        let tree = Tree::new(&[("sys/class/net/nosuch0/mtu", "1400\n")]);
        for (device, argument) in [(PACKET, "qpairs"), (XDP, "queue_count")] {
            let findings = findings(&tree, device);
            let wrong = findings.iter().filter(|finding| finding.verdict == Verdict::Wrong);
            let wrong: Vec<_> = wrong.filter_map(|finding| finding.remedy.as_deref()).collect();
            let queues = format!("device = \"...,iface=nosuch0,{argument}=2\"");
            assert_eq!(wrong, [queues.as_str(), "ip link set nosuch0 mtu 1500"], "{findings:?}");
            assert_eq!(verdict(&findings, "rss"), Some(Verdict::Slow), "{findings:?}");
        }
        assert_eq!(findings(&tree, "net_af_packet0,iface=gone0")[0].verdict, Verdict::Wrong);
        assert_eq!(findings(&tree, "net_af_xdp0,iface=gone0")[0].verdict, Verdict::Wrong);
    }

    #[test]
    fn links_that_are_down_are_wrong_whatever_the_socket() {
        let tree = Tree::new(&[("sys/class/net/nosuch0/mtu", "1500\n")]);
        for device in [PACKET, XDP] {
            tree.write("sys/class/net/nosuch0/operstate", "up\n");
            assert_eq!(verdict(&findings(&tree, device), "link"), Some(Verdict::Ok));
            tree.write("sys/class/net/nosuch0/operstate", "lowerlayerdown\n");
            assert_eq!(verdict(&findings(&tree, device), "link"), Some(Verdict::Wrong));
        }
    }

    #[test]
    fn devices_without_an_interface_of_the_kernel_are_left_to_others() {
        let tree = Tree::new(&[]);
        let patient = Patient { eal: &[], cpus: vec![0, 1], config: None };
        assert_eq!(look(&patient, tree.path(), &port(), "net_tap0,iface=nosuch0"), None);
        assert_eq!(look(&patient, tree.path(), &port(), "0000:3b:00.0"), None);
    }
}
