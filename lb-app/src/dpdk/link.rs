//! The links of ports: what drivers know of them, and the kernel of its own interfaces.

use std::{fmt, mem, net::UdpSocket, os::fd::AsRawFd};

/// Drivers on top of an interface of the kernel that call its link up whatever becomes of it.
pub const BESIDE_THE_KERNEL: [&str; 3] = ["net_af_packet", "net_af_xdp", "net_pcap"];

/// How a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Packets can pass.
    Up,
    /// They cannot, for the time being.
    Down,
    /// The kernel's interface does not exist any more. One of the same name would be another one.
    Gone,
}

/// State of a port's link.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Whether it is up.
    pub state: LinkState,
    /// Mbit/s, if known.
    pub speed_mbps: Option<u32>,
    /// Whether it sends and receives at the same time.
    pub full_duplex: bool,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.state, self.speed_mbps) {
            (LinkState::Up, Some(speed)) => {
                write!(f, "up, {speed} Mbit/s {} duplex", if self.full_duplex { "full" } else { "half" })
            }
            (LinkState::Up, None) => f.write_str("up"),
            (LinkState::Down, _) => f.write_str("down"),
            (LinkState::Gone, _) => f.write_str("gone: its network interface does not exist"),
        }
    }
}

/// The index of the kernel's interface that a port is on top of, if its driver does not know the link.
pub(super) fn kernel_interface(driver: &str, index: u32) -> Option<u32> {
    (BESIDE_THE_KERNEL.contains(&driver) && index != 0).then_some(index)
}

/// What the kernel knows of the link of a bond's member that is on top of one of its interfaces, or is one. Of those DPDK's
/// bond hears nothing: their drivers call the link up, or tell nobody when it changes (net_tap).
pub(super) fn of_member(driver: &str, index: u32) -> Option<LinkState> {
    let is_known = index != 0 && (driver == "net_tap" || BESIDE_THE_KERNEL.contains(&driver));
    is_known.then(|| state_of(index))
}

/// The port's link now. Does not wait for it to come up. `interface` is the kernel's that it is on top of.
pub(super) fn read_link(device: u16, interface: Option<u32>) -> Link {
    let mut link = dpdk_sys::shim_link { speed_mbps: 0, up: false, full_duplex: false };
    // SAFETY: any number may be passed, and `link` is a place to write to.
    let code = unsafe { dpdk_sys::shim_port_link(device, &raw mut link) };
    let known = link.speed_mbps != dpdk_sys::SHIM_SPEED_UNKNOWN && link.speed_mbps != 0;
    let own = if code == 0 && link.up { LinkState::Up } else { LinkState::Down };
    let state = match interface.map_or(LinkState::Up, state_of) {
        LinkState::Up => own,
        other => other,
    };
    Link { state, speed_mbps: known.then_some(link.speed_mbps), full_duplex: link.full_duplex }
}

/// Asks the kernel rather than `/sys`, which shows the interfaces of the network namespace that mounted it.
fn state_of(interface: u32) -> LinkState {
    // SAFETY: numbers and pointers, for which zero is a value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // SAFETY: it writes a name to where there is room for one.
    if unsafe { libc::if_indextoname(interface, request.ifr_name.as_mut_ptr()) }.is_null() {
        return LinkState::Gone;
    }
    // Any socket will do. Without one nothing is known, and the driver's word counts.
    let Ok(socket) = UdpSocket::bind("127.0.0.1:0") else { return LinkState::Up };
    // SAFETY: the socket is open; the request names an interface and has room for its flags.
    let code = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as _, &raw mut request) };
    if code != 0 {
        return LinkState::Gone;
    }
    // SAFETY: the kernel has written the flags.
    let flags = i32::from(unsafe { request.ifr_ifru.ifru_flags });
    // An interface that runs is operational, as far as anybody knows (RFC 2863).
    if flags & libc::IFF_UP != 0 && flags & libc::IFF_RUNNING != 0 { LinkState::Up } else { LinkState::Down }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_of_the_kernel_are_up_or_gone() {
        // SAFETY: the name is a C string.
        let loopback = unsafe { libc::if_nametoindex(c"lo".as_ptr()) };
        assert_eq!(state_of(loopback), LinkState::Up);
        assert_eq!(state_of(u32::MAX >> 1), LinkState::Gone);
        assert_eq!(kernel_interface("net_af_packet", 3), Some(3));
        assert_eq!(kernel_interface("net_ixgbe", 3), None);
        assert_eq!(kernel_interface("net_af_xdp", 0), None);
    }
}
