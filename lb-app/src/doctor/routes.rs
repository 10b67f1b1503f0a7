//! The kernel's addresses, and who is logged in from where: small files of `/proc/net`.

use super::files::{names, read};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
    path::Path,
};

/// The kernel's own addresses.
pub(super) fn own_addresses(root: &Path) -> BTreeSet<IpAddr> {
    let trie = read(root, "proc/net/fib_trie").unwrap_or_default();
    let lines: Vec<&str> = trie.lines().map(str::trim).collect();
    let hosts = lines.windows(2).filter(|pair| pair[1].starts_with("/32 host LOCAL"));
    let v4 = hosts.filter_map(|pair| pair[0].strip_prefix("|-- ")?.parse().ok());
    let v6 = read(root, "proc/net/if_inet6").unwrap_or_default();
    v4.chain(v6.lines().filter_map(own_v6)).collect()
}

/// `20010db8000000000000000000000001 02 40 00 80     eth0`
fn own_v6(line: &str) -> Option<IpAddr> {
    let address = u128::from_str_radix(line.split_whitespace().next()?, 16).ok()?;
    Some(Ipv6Addr::from(address).into())
}

/// From where somebody is logged in by SSH.
pub(super) fn ssh_clients(root: &Path) -> BTreeSet<IpAddr> {
    let tables = ["proc/net/tcp", "proc/net/tcp6"].map(|table| read(root, table).unwrap_or_default());
    tables.iter().flat_map(|table| table.lines()).filter_map(ssh_client).collect()
}

/// `0: 0A00000A:0016 0200000A:D431 01 ...`: an established connection to port 22.
fn ssh_client(line: &str) -> Option<IpAddr> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, local, remote, "01", ..] = words[..] else { return None };
    local.ends_with(":0016").then_some(())?;
    let address = remote.split_once(':')?.0;
    // Words of 32 bits, each as the machine has it in memory.
    let bytes: Vec<u8> = (0..address.len() / 8)
        .filter_map(|at| u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok())
        .flat_map(u32::to_ne_bytes)
        .collect();
    match bytes.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical()),
        _ => None,
    }
}

/// An interface with those that it is made of: a VLAN's, a bond's, a bridge's.
pub(super) fn made_of(root: &Path, interface: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::from([interface.to_owned()]);
    let mut left = vec![interface.to_owned()];
    while let Some(name) = left.pop() {
        let lower = names(root, &format!("sys/class/net/{name}"));
        for lower in lower.iter().filter_map(|entry| entry.strip_prefix("lower_")) {
            if all.insert(lower.to_owned()) {
                left.push(lower.to_owned());
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{super::tree::Tree, *};
    use crate::health::routes::{Lead, Routes};

    #[cfg(target_endian = "little")]
    #[test]
    fn routes_and_clients_are_read() {
        let tree = Tree::new(&[
            (
                "proc/net/route",
                "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                 eth0\t00000000\tFE0200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
                 eth1\t006433C6\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n",
            ),
            (
                "proc/net/tcp",
                "  sl  local_address rem_address   st\n\
                 0: 00000000:0016 00000000:0000 0A\n\
                 1: 010200C0:0016 0A6433C6:D431 01\n\
                 2: 010200C0:0050 0B6433C6:D431 01\n",
            ),
            (
                "proc/net/tcp6",
                "1: 0000000000000000FFFF0000010200C0:0016 0000000000000000FFFF00000A7100CB:D431 01\n",
            ),
            (
                "proc/net/fib_trie",
                "Local:\n  |-- 192.0.2.1\n     /32 host LOCAL\n  |-- 192.0.2.0\n     /24 link UNICAST\n",
            ),
            (
                "proc/net/ipv6_route",
                "20010db8000100000000000000000000 40 00000000000000000000000000000000 00 \
                 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth1\n\
                 00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
                 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n\
                 00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
                 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n",
            ),
            ("proc/net/if_inet6", "20010db8000100000000000000000001 02 40 00 80     eth1\n"),
            ("sys/class/net/bond0.5/lower_bond0/x", ""),
            ("sys/class/net/bond0/lower_eth2/x", ""),
        ]);
        let routes = Routes::of(tree.path());
        assert_eq!(routes.defaults(), BTreeSet::from(["eth0"]));
        assert_eq!(routes.towards("198.51.100.9".parse().unwrap()), Some("eth1"));
        assert_eq!(routes.towards("203.0.113.9".parse().unwrap()), Some("eth0"));
        assert_eq!(routes.towards("2001:db8:1::9".parse().unwrap()), Some("eth1"));
        assert_eq!(routes.towards("2001:db8:2::9".parse().unwrap()), Some("eth0"));
        let lead = |to: &str| routes.lead(to.parse().unwrap());
        assert_eq!((lead("198.51.100.9"), lead("203.0.113.9")), (Lead::ThereByRoute, Lead::ThereByDefault));
        assert_eq!(Routes::default().lead("203.0.113.9".parse().unwrap()), Lead::Nowhere);
        let clients: Vec<String> = ssh_clients(tree.path()).iter().map(ToString::to_string).collect();
        assert_eq!(clients, ["198.51.100.10", "203.0.113.10"]);
        let own = ["192.0.2.1", "2001:db8:1::1"].map(|address| address.parse().unwrap());
        assert_eq!(own_addresses(tree.path()), BTreeSet::from(own));
        let names: Vec<String> = made_of(tree.path(), "bond0.5").into_iter().collect();
        assert_eq!(names, ["bond0", "bond0.5", "eth2"]);
    }
}
