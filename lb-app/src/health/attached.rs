//! Networks that this machine's kernel is on.

use ipnet::Ipv4Net;
use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags};
use std::{
    net::Ipv4Addr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long they are taken to stay as they are.
const FRESH: Duration = Duration::from_secs(1);

/// The networks, as they were a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Attached(Mutex<Option<(Instant, Vec<Ipv4Net>)>>);

impl Attached {
    /// Whether the kernel has an address on the network of that one.
    pub(crate) fn has(&self, address: Ipv4Addr) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let networks = match &mut *known {
            Some((then, networks)) if then.elapsed() < FRESH => networks,
            known => &mut known.insert((Instant::now(), networks())).1,
        };
        networks.iter().any(|network| network.contains(&address))
    }
}

fn networks() -> Vec<Ipv4Net> {
    // What cannot be read is no network.
    let interfaces = getifaddrs().into_iter().flatten();
    let up = interfaces.filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP));
    let networks = up.filter_map(|interface| {
        let address = interface.address?.as_sockaddr_in()?.ip();
        let mask = interface.netmask?.as_sockaddr_in()?.ip();
        Ipv4Net::with_netmask(address, mask).ok()
    });
    networks.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_is_on_loopback() {
        let attached = Attached::default();
        assert!(attached.has([127, 0, 0, 53].into()));
        assert!(!attached.has([203, 0, 113, 1].into()));
    }
}
