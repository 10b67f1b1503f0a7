//! The far end of tunnels of IP in IP, for kernels without tunnel devices.
//!
//! Takes every packet of IP protocols 4 and 41, in IPv4 or IPv6, that is addressed to this machine, strips the outer header
//! and gives the inner packet to the kernel. A raw socket that brings its own header does that: sent to an address that is
//! local (the VIP on loopback), the packet is delivered here, whatever its source. A TUN device would do too, but containers
//! often lack `/dev/net/tun`. An open raw socket for a protocol also keeps the kernel from answering "protocol unreachable".

use std::io::Read;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread;

use anyhow::{Context, Result};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

/// IPv4 in IP, RFC 2003 and RFC 2473.
const IPV4: i32 = 4;
/// IPv6 in IP, RFC 4213 and RFC 2473.
const IPV6: i32 = 41;
/// A socket of this protocol only sends, packets that are complete from the IP header on.
const RAW: i32 = 255;

fn main() -> Result<()> {
    let mut tunnels = vec![tunnel(Domain::IPV4, IPV4)?, tunnel(Domain::IPV4, IPV6)?];
    // A kernel may be without IPv6.
    tunnels.extend(
        tunnel(Domain::IPV6, IPV4)
            .and_then(|first| Ok([first, tunnel(Domain::IPV6, IPV6)?]))
            .into_iter()
            .flatten(),
    );
    thread::scope(|scope| {
        let ends: Vec<_> =
            tunnels.into_iter().map(|(domain, socket)| scope.spawn(move || run(domain, socket))).collect();
        ends.into_iter()
            .try_for_each(|end| end.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn tunnel(domain: Domain, protocol: i32) -> Result<(Domain, Socket)> {
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(protocol))).context("raw socket")?;
    // A thousand connections say hello at once.
    setsockopt(&socket, sockopt::RcvBufForce, &(8 << 20))?;
    Ok((domain, socket))
}

fn run(domain: Domain, mut outside: Socket) -> Result<()> {
    let sender = |domain| Socket::new(domain, Type::RAW, Some(Protocol::from(RAW))).context("raw socket");
    let inside_v4 = sender(Domain::IPV4)?;
    inside_v4.set_header_included_v4(true)?;
    let inside_v6 = sender(Domain::IPV6).ok();
    let mut buffer = vec![0; 65536];
    loop {
        let length = outside.read(&mut buffer)?;
        // Of IPv6, a raw socket is not given the header.
        let header = if domain == Domain::IPV4 { usize::from(buffer[0] & 0x0f) * 4 } else { 0 };
        let Some((packet, to)) = buffer.get(header..length).and_then(inner) else { continue };
        let inside = if to.is_ipv4() { Some(&inside_v4) } else { inside_v6.as_ref() };
        if let Some(Err(error)) = inside.map(|inside| inside.send_to(packet, &to.into())) {
            eprintln!("packet to {to}: {error}");
        }
    }
}

/// The packet inside a tunnel's, and its destination.
fn inner(packet: &[u8]) -> Option<(&[u8], SocketAddr)> {
    let to = match packet.first()? >> 4 {
        4 => Ipv4Addr::from(*packet.get(16..20)?.first_chunk::<4>()?).into(),
        6 => Ipv6Addr::from(*packet.get(24..40)?.first_chunk::<16>()?).into(),
        _ => return None,
    };
    Some((packet, SocketAddr::new(to, 0)))
}
