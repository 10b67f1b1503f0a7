//! The kernel's routes: whether they lead to a server.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    path::Path,
};

/// Where routes lead that are asked for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lead {
    /// There is none for it.
    Nowhere,
    /// Only one for all that no other is for, which says nothing of who is there.
    ThereByDefault,
    /// There is one for its network.
    ThereByRoute,
}

/// Whether the kernel would send packets to an address at all, by its routes and rules as they are now. None is sent.
pub(crate) fn is_routed(address: IpAddr) -> bool {
    let any: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // Discard; connecting such a socket asks for the route and does nothing else.
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect(SocketAddr::new(address, 9))).is_ok()
}

/// Networks, each with the interface that its packets leave by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes(Vec<(IpNet, String)>);

impl Routes {
    /// Those of the host.
    pub(crate) fn of(root: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let (v4, v6) = (read("proc/net/route"), read("proc/net/ipv6_route"));
        Routes(v4.lines().filter_map(route_v4).chain(v6.lines().filter_map(route_v6)).collect())
    }

    /// The interfaces of default routes.
    pub(crate) fn defaults(&self) -> BTreeSet<&str> {
        self.0.iter().filter(|(to, _)| to.prefix_len() == 0).map(|(_, name)| name.as_str()).collect()
    }

    /// The interface that packets to an address leave by.
    pub(crate) fn towards(&self, address: IpAddr) -> Option<&str> {
        let matching = self.0.iter().filter(|(to, _)| to.contains(&address));
        matching.max_by_key(|(to, _)| to.prefix_len()).map(|(_, name)| name.as_str())
    }

    /// Whether they lead to an address.
    pub(crate) fn lead(&self, address: IpAddr) -> Lead {
        let matching = self.0.iter().filter(|(to, _)| to.contains(&address));
        match matching.map(|(to, _)| to.prefix_len()).max() {
            None => Lead::Nowhere,
            Some(0) => Lead::ThereByDefault,
            Some(_) => Lead::ThereByRoute,
        }
    }
}

/// `eth0 00000000 FE0200C0 0003 0 0 100 00000000 ...`: addresses as the machine has them in memory.
fn route_v4(line: &str) -> Option<(IpNet, String)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let address = |word: &str| Some(Ipv4Addr::from(u32::from_str_radix(word, 16).ok()?.to_ne_bytes()));
    let [name, to, _, flags, _, _, _, mask, ..] = words[..] else { return None };
    is_usable(flags).then_some(())?;
    Some((Ipv4Net::with_netmask(address(to)?, address(mask)?).ok()?.into(), name.to_owned()))
}

/// `20010db8...  40 00000000... 00 fe80... 00000400 00000001 00000000 00000003 eth0`
fn route_v6(line: &str) -> Option<(IpNet, String)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [to, length, _, _, _, _, _, _, flags, name] = words[..] else { return None };
    is_usable(flags).then_some(())?;
    let to = Ipv6Addr::from(u128::from_str_radix(to, 16).ok()?);
    let length = u8::from_str_radix(length, 16).ok()?;
    (name != "lo").then_some((Ipv6Net::new(to, length).ok()?.into(), name.to_owned()))
}

/// Up, and not a route that rejects.
fn is_usable(flags: &str) -> bool {
    const UP: u32 = 0x1;
    const REJECT: u32 = 0x200;
    u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & UP != 0 && flags & REJECT == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_knows_the_way_to_itself() {
        assert!(is_routed(Ipv4Addr::LOCALHOST.into()));
    }
}
