//! What ports take from the host, and what the host's kernel does on interfaces that it shares with ports.

use super::{
    files::{names, number},
    finding::Finding,
    interface::{self, Socket},
    patient::Patient,
    ports::{SHARED, driver, pci_address},
    routes::{made_of, own_addresses, ssh_clients},
};
use crate::{
    config::{
        Config,
        health::{Check, Kind, Via},
    },
    health::{caution::is_on_host_side, routes::Routes},
};
use ipnet::IpNet;
use lb_core::service::plan::ServerPlan;
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    path::Path,
};

/// A port with what the kernel has of it.
struct Held<'a> {
    port: &'a str,
    /// The kernel's interfaces that it is on, or would take.
    interfaces: BTreeSet<String>,
    how: How,
}

/// How a port has its interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// DPDK takes the card; the kernel loses it.
    Takes,
    /// An XDP program takes what arrives on its queues.
    Redirects,
    /// A packet socket sees what the kernel sees, too.
    Shares,
    /// The driver works beside the kernel's.
    Beside,
}

/// Everything about ports and the host.
pub(super) fn look(patient: &Patient<'_>, root: &Path) -> Vec<Finding> {
    let Some(config) = &patient.config else { return Vec::new() };
    let ports = config.plan.ports.iter().zip(&config.devices);
    let held: Vec<Held<'_>> =
        ports.filter_map(|(port, device)| hold(root, &port.name, &device.name)).collect();
    let routes = Routes::of(root);
    let mut findings = twice(&held);
    findings.extend(held.iter().flat_map(|port| port.taken(root, &routes)));
    findings.extend(held.iter().flat_map(|port| port.links(root)));
    findings.extend(held.iter().flat_map(|port| port.shared(root, config)));
    findings.extend(unreachable(root, config, &held, &routes));
    findings
}

fn hold<'a>(root: &Path, port: &'a str, device: &str) -> Option<Held<'a>> {
    if let Some((socket, name)) = interface::of(device) {
        let how = if socket == Socket::Xdp { How::Redirects } else { How::Shares };
        return Some(Held { port, interfaces: made_of(root, name), how });
    }
    let address = pci_address(root, device)?;
    let interfaces: BTreeSet<String> =
        names(root, &format!("sys/bus/pci/devices/{address}/net")).into_iter().collect();
    let is_shared = driver(root, &address).is_some_and(|driver| SHARED.contains(&driver.as_str()));
    Some(Held { port, interfaces, how: if is_shared { How::Beside } else { How::Takes } })
}

/// Ports that are on one interface, in whatever way.
fn twice(held: &[Held<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, one) in held.iter().enumerate() {
        for other in &held[at + 1..] {
            if let Some(name) = one.interfaces.intersection(&other.interfaces).next() {
                let text = format!("ports {} and {} are both on {name}", one.port, other.port);
                findings.push(Finding::wrong(
                    "device",
                    text,
                    "give each port an interface or a NIC of its own",
                ));
            }
        }
    }
    findings
}

impl Held<'_> {
    /// What the host loses with the interface.
    fn taken(&self, root: &Path, routes: &Routes) -> Vec<Finding> {
        let what = match self.how {
            How::Takes => "the host loses it when DPDK takes the NIC",
            How::Redirects => "its packets go to lb-app and not to the host",
            How::Shares | How::Beside => return Vec::new(),
        };
        let is_ours =
            |name: &str| made_of(root, name).iter().find(|name| self.interfaces.contains(*name)).cloned();
        let mut findings = Vec::new();
        for name in routes.defaults() {
            if let Some(own) = is_ours(name) {
                findings.push(self.lost(&own, "the default route", what));
            }
        }
        for client in ssh_clients(root) {
            if let Some(own) = routes.towards(client).and_then(is_ours) {
                findings.push(self.lost(&own, &format!("an SSH session from {client}"), what));
            }
        }
        findings
    }

    fn lost(&self, own: &str, load: &str, what: &str) -> Finding {
        let text = format!("port {}: {own} carries {load}, and {what}", self.port);
        Finding::wrong("management", text, "use another NIC, or move the host's addresses to one first")
    }

    /// The link of a card that the kernel still has. Those of packet and XDP sockets are looked at with their interfaces.
    fn links(&self, root: &Path) -> Vec<Finding> {
        if !matches!(self.how, How::Takes | How::Beside) {
            return Vec::new();
        }
        let link = |name: &String| match number(root, &format!("sys/class/net/{name}/carrier")) {
            Some(0) => {
                let text = format!("port {}: {name} has no link", self.port);
                Some(Finding::wrong("link", text, "check its cable, transceiver and peer"))
            }
            Some(_) => Some(Finding::ok("link", format!("port {}: {name} has a link", self.port))),
            // An interface that is down says nothing.
            None => None,
        };
        self.interfaces.iter().filter_map(link).collect()
    }

    /// What the kernel does with packets that a packet socket shows to us, too.
    fn shared(&self, root: &Path, config: &Config) -> Vec<Finding> {
        if self.how != How::Shares {
            return Vec::new();
        }
        let port = self.port;
        let mut findings = Vec::new();
        for name in &self.interfaces {
            let set = |key: &str, of: &str| {
                number(root, &format!("proc/sys/net/ipv4/conf/{of}/{key}")).unwrap_or(0)
            };
            let strongest = |key: &str| set(key, "all").max(set(key, name));
            if set("forwarding", name) != 0 {
                let text = format!(
                    "port {port}: ip_forward is on for {name}, so that the kernel forwards packets of clients as well as \
                     lb-app does"
                );
                findings.push(Finding::wrong(
                    "forwarding",
                    text,
                    format!("sysctl -w net.ipv4.conf.{name}.forwarding=0"),
                ));
            }
            let set6 = |key: &str, of: &str| {
                number(root, &format!("proc/sys/net/ipv6/conf/{of}/{key}")).unwrap_or(0)
            };
            // It is all interfaces together that forward IPv6.
            if set6("forwarding", "all") != 0
                && set6("disable_ipv6", name) == 0
                && config.plan.every_vip().any(|vip| vip.address.is_ipv6())
            {
                let text = format!(
                    "port {port}: net.ipv6.conf.all.forwarding is on, so that the kernel forwards packets of clients on \
                     {name} as well as lb-app does"
                );
                let remedy = "sysctl -w net.ipv6.conf.all.forwarding=0";
                findings.push(Finding::wrong("forwarding", text, remedy.to_owned()));
            }
            if strongest("rp_filter") == 1 && asks_by_kernel(config) {
                let text = format!(
                    "port {port}: rp_filter is strict on {name}: answers to checks that come by it, but by whose route \
                     the kernel would not answer, are dropped"
                );
                findings.push(Finding::slow(
                    "rp_filter",
                    text,
                    format!("sysctl -w net.ipv4.conf.{name}.rp_filter=2 net.ipv4.conf.all.rp_filter=0"),
                ));
            }
            let theirs = own_addresses(root);
            let ours = config.plan.interfaces.iter().flat_map(|on| on.addresses.iter().map(IpNet::addr));
            let vips = config.plan.every_vip().map(|vip| vip.address).collect::<Vec<_>>();
            let both: BTreeSet<IpAddr> =
                ours.chain(vips).filter(|address| theirs.contains(address)).collect();
            if let Some(address) = both.first() {
                let arp = match (address, strongest("arp_ignore")) {
                    (IpAddr::V4(_), 0) => ", also to ARP on every interface (arp_ignore is 0)",
                    _ => "",
                };
                let text = format!(
                    "port {port}: {address} is an address of the kernel, too, which answers what arrives on {name} for \
                     it{arp}, and resets its connections"
                );
                findings.push(Finding::wrong(
                    "addresses",
                    text,
                    format!("ip address del {address} dev INTERFACE"),
                ));
            }
        }
        if findings.is_empty() {
            let name = self.interfaces.first().map(String::as_str).unwrap_or_default();
            findings.push(Finding::ok(
                "kernel",
                format!("port {port}: the kernel leaves packets on {name} to lb-app"),
            ));
        }
        findings
    }
}

/// All servers with their checks, by the names of services.
fn checked(config: &Config) -> impl Iterator<Item = (&str, SocketAddr, &Check)> {
    let settings = config.health.by_service();
    config.plan.services.iter().flat_map(move |service| {
        let health = settings.get(&service.key()).copied();
        let servers = service.servers.iter().map(ServerPlan::endpoint);
        servers.flat_map(move |server| {
            let both = health.map(|health| [health.check_of(server), health.agent_of(server)]);
            both.into_iter()
                .flatten()
                .flatten()
                .map(move |check| (service.name.as_str(), server, check.as_ref()))
        })
    })
}

/// Whether a check of IPv4 may leave by the kernel, which has such a filter for IPv4 only.
fn asks_by_kernel(config: &Config) -> bool {
    checked(config).any(|(_, server, check)| {
        check.leave.via != Via::Ports && check.address.unwrap_or(server.ip()).is_ipv4()
    })
}

/// Checks that have no way to their servers.
fn unreachable(root: &Path, config: &Config, held: &[Held<'_>], routes: &Routes) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut said = BTreeSet::new();
    for (service, server, check) in checked(config) {
        let leave = &check.leave;
        let missing = |directory: &str, name: &Option<String>| {
            name.clone().filter(|name| !root.join(directory).join(name).exists())
        };
        let (what, remedy) = if let Some(netns) = missing("run/netns", &leave.netns) {
            (format!("network namespace {netns}, which does not exist"), format!("ip netns add {netns}"))
        } else if leave.netns.is_some() {
            // What is within it, its own routes say.
            continue;
        } else if let Some(device) = missing("sys/class/net", &leave.device) {
            (format!("interface {device}, which does not exist"), "ip link".to_owned())
        } else if (leave.via != Via::Kernel && !matches!(check.kind, Kind::Command(_)))
            || matches!(check.kind, Kind::File(_))
        {
            continue;
        } else {
            let target = check.address.unwrap_or(server.ip());
            if leave.device.is_none() && is_on_host_side(&config.plan, target) {
                // The kernel is there as soon as the director runs.
                continue;
            }
            match leave.device.as_deref().or_else(|| routes.towards(target)) {
                None => (
                    format!("the kernel, which has no route to {target}"),
                    "leave out `via`, or give `via = \"ports\"`".to_owned(),
                ),
                Some(name) => {
                    let own = made_of(root, name);
                    let taker = held.iter().find(|port| {
                        port.how == How::Takes && port.interfaces.iter().any(|name| own.contains(name))
                    });
                    let Some(taker) = taker else { continue };
                    (
                        format!("the kernel's {name}, which port {} takes", taker.port),
                        "leave out `via`, or give `via = \"ports\"`".to_owned(),
                    )
                }
            }
        };
        // Servers of one service mostly have one fate.
        if said.insert((service.to_owned(), what.clone())) {
            let text = format!("service {service}: checks of {server} leave by {what}");
            findings.push(Finding::wrong("checks", text, remedy));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{super::tree::Tree, *};
    use crate::config::{Limits, parse};

    const CARD: &str = "0000:03:00.0";
    /// 203.0.113.0/24 by eth0, as the default route.
    const ROUTES: &str = "eth0\t00000000\tFE0200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n";

    fn findings(tree: &Tree, devices: [&str; 2], check: &str) -> Vec<String> {
        findings_at(tree, devices, check, ("192.0.2.100", "198.51.100.11"))
    }

    fn findings_at(tree: &Tree, devices: [&str; 2], check: &str, (vip, server): (&str, &str)) -> Vec<String> {
        let text = format!(
            "[[ports]]\nname = \"wan\"\ndevice = \"{}\"\naddresses = [\"192.0.2.1/24\", \"2001:db8:1::1/64\"]\n\
             [[ports]]\nname = \"lan\"\ndevice = \"{}\"\naddresses = [\"198.51.100.1/24\", \"2001:db8:2::1/64\"]\n\
             [[services]]\nname = \"web\"\nvip = \"{vip}\"\nport = 80\nprotocol = \"tcp\"\nmethod = \"nat\"\n{check}\n\
             [[services.servers]]\naddress = \"{server}\"\n",
            devices[0], devices[1]
        );
        let limits = Limits { workers: 1, available_bytes: u64::MAX };
        let config = parse("lb.toml", &text, limits).unwrap_or_else(|report| panic!("{report}"));
        let patient = Patient { eal: &[], cpus: vec![0, 1], config: Some(config) };
        look(&patient, tree.path())
            .iter()
            .map(|finding| format!("{:?} {}", finding.verdict, finding.text))
            .collect()
    }

    fn card(files: &[(&str, &str)]) -> Tree {
        let tree = Tree::new(files);
        tree.write(&format!("sys/bus/pci/devices/{CARD}/net/eth0/carrier"), "1");
        tree.link(&format!("sys/bus/pci/devices/{CARD}/driver"), "/sys/bus/pci/drivers/ixgbe");
        tree
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn a_card_that_the_host_needs_is_not_taken_unsaid() {
        let tree = card(&[
            ("proc/net/route", ROUTES),
            ("proc/net/tcp", "1: 010200C0:0016 0A7100CB:D431 01\n"),
            ("sys/class/net/eth0/carrier", "0\n"),
        ]);
        assert_eq!(
            findings(&tree, [CARD, "net_null0"], ""),
            [
                "Wrong port wan: eth0 carries the default route, and the host loses it when DPDK takes the NIC",
                "Wrong port wan: eth0 carries an SSH session from 203.0.113.10, and the host loses it when DPDK takes the NIC",
                "Wrong port wan: eth0 has no link",
            ]
        );
        // mlx5 leaves it to the kernel, and a route by a VLAN on another card is none of ours.
        std::fs::remove_file(tree.path().join(format!("sys/bus/pci/devices/{CARD}/driver"))).unwrap();
        tree.link(&format!("sys/bus/pci/devices/{CARD}/driver"), "/sys/bus/pci/drivers/mlx5_core");
        assert_eq!(findings(&tree, [CARD, "net_null0"], ""), ["Wrong port wan: eth0 has no link"]);
        // An XDP program takes what arrives.
        let xdp = findings(&tree, ["net_af_xdp0,iface=eth0", "net_null0"], "");
        assert!(xdp[0].contains("its packets go to lb-app and not to the host"), "{xdp:?}");
    }

    #[test]
    fn one_interface_is_not_two_ports() {
        let tree = card(&[("sys/class/net/eth0.5/lower_eth0/x", "")]);
        let said = findings(&tree, [CARD, "net_af_packet0,iface=eth0.5"], "");
        assert_eq!(said[0], "Wrong ports wan and lan are both on eth0");
    }

    #[test]
    fn what_the_kernel_does_beside_a_packet_socket_is_said() {
        let conf = |key: &str, of: &str| format!("proc/sys/net/ipv4/conf/{of}/{key}");
        let tree = Tree::new(&[]);
        let devices = ["net_af_packet0,iface=wan0", "net_null0"];
        let check = "check = { type = \"tcp\" }";
        assert_eq!(
            findings(&tree, devices, check),
            ["Ok port wan: the kernel leaves packets on wan0 to lb-app"]
        );
        tree.write(&conf("forwarding", "wan0"), "1\n");
        tree.write(&conf("rp_filter", "all"), "1\n");
        tree.write("proc/net/fib_trie", "Local:\n  |-- 192.0.2.100\n     /32 host LOCAL\n");
        let said = findings(&tree, devices, check);
        for (finding, words) in
            said.iter().zip(["ip_forward is on for wan0", "rp_filter is strict", "arp_ignore is 0"])
        {
            assert!(finding.contains(words), "{finding}");
        }
        assert_eq!(said.len(), 3, "{said:?}");
        let by_ports = findings(&tree, devices, "check = { type = \"tcp\", via = \"ports\" }");
        assert!(!by_ports.iter().any(|finding| finding.contains("rp_filter")), "{by_ports:?}");

        tree.write("proc/sys/net/ipv6/conf/all/forwarding", "1\n");
        tree.write("proc/net/if_inet6", "20010db8000100000000000000000100 02 40 00 80     wan0\n");
        let said = findings_at(&tree, devices, check, ("2001:db8:1::100", "2001:db8:2::11"));
        for words in ["net.ipv6.conf.all.forwarding is on", "2001:db8:1::100 is an address of the kernel"] {
            assert!(said.iter().any(|finding| finding.contains(words)), "{words}: {said:?}");
        }
        for words in ["rp_filter", "arp_ignore"] {
            assert!(!said.iter().any(|finding| finding.contains(words)), "{words}: {said:?}");
        }
        let v4 = findings(&tree, devices, check);
        assert!(!v4.iter().any(|finding| finding.contains("ipv6")), "{v4:?}");
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn checks_without_a_way_are_said() {
        let tree = card(&[]);
        let by = |keys: &str| {
            let check = format!("check = {{ type = \"tcp\", {keys} }}");
            let said = findings(&tree, [CARD, "net_null0"], &check);
            said.into_iter().filter(|finding| finding.contains("checks of")).collect::<Vec<_>>()
        };
        let said =
            |what: &str| vec![format!("Wrong service web: checks of 198.51.100.11:80 leave by {what}")];
        assert_eq!(by("via = \"kernel\""), said("the kernel, which has no route to 198.51.100.11"));
        assert_eq!(by("netns = \"blue\""), said("network namespace blue, which does not exist"));
        assert_eq!(by("device = \"eth7\""), said("interface eth7, which does not exist"));
        assert!(by("via = \"ports\"").is_empty());
        let program = "check = { type = \"command\", command = [\"/bin/true\"] }";
        let of_program = |tree: &Tree, devices| {
            let said = findings(tree, devices, program);
            said.into_iter().filter(|finding| finding.contains("checks of")).count()
        };
        assert_eq!(of_program(&tree, [CARD, "net_null0"]), 1);
        let with_host_side = "net_null0\"\nhost = \"lb-lan";
        assert_eq!(of_program(&tree, [CARD, with_host_side]), 0, "the kernel will be there");
        tree.write("proc/net/route", ROUTES);
        assert_eq!(by("via = \"kernel\""), said("the kernel's eth0, which port wan takes"));
        tree.write("run/netns/blue", "");
        assert!(by("netns = \"blue\"").is_empty());

        let by = |keys: &str| {
            let check = format!("check = {{ type = \"tcp\", {keys} }}");
            let service = ("2001:db8:1::100", "2001:db8:2::11");
            let said = findings_at(&tree, [CARD, "net_null0"], &check, service);
            said.into_iter().filter(|finding| finding.contains("checks of")).collect::<Vec<_>>()
        };
        let said =
            |what: &str| vec![format!("Wrong service web: checks of [2001:db8:2::11]:80 leave by {what}")];
        assert_eq!(by("via = \"kernel\""), said("the kernel, which has no route to 2001:db8:2::11"));
        assert!(by("via = \"ports\"").is_empty());
        let none = "0".repeat(32);
        tree.write(
            "proc/net/ipv6_route",
            &format!("{none} 00 {none} 00 {none} 00000400 00000001 00000000 00000003 eth0\n"),
        );
        assert_eq!(by("via = \"kernel\""), said("the kernel's eth0, which port wan takes"));
    }
}
