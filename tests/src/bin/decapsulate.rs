//! The far end of an IP-in-IP tunnel, for kernels without the `ipip` device.
//!
//! Takes every packet of IP protocol 4 that is addressed to this machine, strips the outer header and gives the inner
//! packet to the kernel. A raw socket that brings its own header does that: sent to an address that is local (the
//! VIP on loopback), the packet is delivered here, whatever its source. A TUN device would do too, but containers
//! often lack `/dev/net/tun`. An open raw socket for protocol 4 also keeps the kernel from answering
//! "protocol unreachable".

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context, Result};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

/// IP in IP, RFC 2003.
const IPIP: i32 = 4;
/// A socket of this protocol only sends, packets that are complete from the IP header on.
const RAW: i32 = 255;
/// Shortest IPv4 header.
const HEADER: usize = 20;
/// Where the destination address is in it.
const DESTINATION: std::ops::Range<usize> = 16..20;

fn main() -> Result<()> {
    let mut outside =
        Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(IPIP))).context("raw socket")?;
    // A thousand connections say hello at once.
    setsockopt(&outside, sockopt::RcvBufForce, &(8 << 20))?;
    let inside = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW))).context("raw socket")?;
    inside.set_header_included_v4(true)?;
    let mut buffer = vec![0; 65536];
    loop {
        let length = outside.read(&mut buffer)?;
        let Some((packet, to)) = inner(&buffer[..length]) else { continue };
        if let Err(error) = inside.send_to(packet, &SocketAddrV4::new(to, 0).into()) {
            eprintln!("packet to {to}: {error}");
        }
    }
}

/// The packet inside an IP-in-IP packet, and its destination.
fn inner(outer: &[u8]) -> Option<(&[u8], Ipv4Addr)> {
    let header = usize::from(outer.first()? & 0x0f) * 4;
    let packet = outer.get(header..)?;
    if packet.len() < HEADER || packet[0] >> 4 != 4 {
        return None;
    }
    let destination: [u8; 4] = packet[DESTINATION].try_into().ok()?;
    Some((packet, destination.into()))
}
