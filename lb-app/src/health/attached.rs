//! Networks that this machine's kernel is on.

use ipnet::IpNet;
use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags, sys::socket::SockaddrStorage};
use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long they are taken to stay as they are.
const FRESH: Duration = Duration::from_secs(1);

/// The networks, as they were a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Attached(Mutex<Option<(Instant, Vec<IpNet>)>>);

impl Attached {
    /// Whether the kernel has an address on the network of that one.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let networks = match &mut *known {
            Some((then, networks)) if then.elapsed() < FRESH => networks,
            known => &mut known.insert((Instant::now(), networks())).1,
        };
        networks.iter().any(|network| network.contains(&address))
    }
}

fn networks() -> Vec<IpNet> {
    // What cannot be read is no network.
    let interfaces = getifaddrs().into_iter().flatten();
    let up = interfaces.filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP));
    let networks = up.filter_map(|interface| {
        let (address, mask) = (ip(&interface.address?)?, ip(&interface.netmask?)?);
        IpNet::with_netmask(address, mask).ok()
    });
    networks.collect()
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = || Some(address.as_sockaddr_in()?.ip().into());
    address.as_sockaddr_in6().map(|address| address.ip().into()).or_else(v4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_is_on_loopback() {
        let attached = Attached::default();
        let has = |address: &str| attached.has(address.parse().unwrap());
        assert!(has("127.0.0.53"));
        assert!(!has("203.0.113.1"));
        assert!(!has("2001:db8::1"));
    }
}
