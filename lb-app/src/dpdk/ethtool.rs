//! What a network interface of the kernel does to packets before anybody else sees them.

use std::{mem, net::UdpSocket, os::fd::AsRawFd};

/// What is asked, and in which words `ethtool -K` knows it. linux/ethtool.h.
const FEATURES: [(u32, &str); 3] = [(0x1e, "tso"), (0x23, "gso"), (0x2b, "gro")];
const FLAGS: u32 = 0x25;
/// Large receive offload among the flags.
const LRO: u32 = 1 << 15;
const SIOCETHTOOL: libc::c_ulong = 0x8946;

#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// The offloads that merge or delay packets, and whether each is on. `None` if there is no such interface, or the
/// kernel does not report them.
pub fn offloads(interface: &str) -> Option<Vec<(&'static str, bool)>> {
    // Any socket will do.
    let socket = UdpSocket::bind("127.0.0.1:0").ok()?;
    let mut offloads = Vec::new();
    for (command, name) in FEATURES {
        offloads.push((name, ask(&socket, interface, command)? != 0));
    }
    offloads.push(("lro", ask(&socket, interface, FLAGS)? & LRO != 0));
    Some(offloads)
}

fn ask(socket: &UdpSocket, interface: &str, command: u32) -> Option<u32> {
    // SAFETY: numbers and pointers, for which zero is a value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // With room for the NUL byte at the end.
    if interface.len() >= request.ifr_name.len() {
        return None;
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    let mut value = Value { command, data: 0 };
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the socket is open; the request names an interface and points to what these commands write to.
    let code = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
    (code == 0).then_some(value.data)
}
