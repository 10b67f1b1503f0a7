//! The far end of tunnels of IP in IP, GRE and GUE, for kernels without tunnel devices.
//!
//! Takes every packet of IP protocols 4, 41 and 47 and every datagram to port 6080, in IPv4 or IPv6, that is addressed to
//! this machine, strips the outer headers and gives the inner packet to the kernel. The kernel verifies UDP's checksum, this
//! program GRE's. A raw socket that brings its own header does that: sent to an address that is local (the VIP on loopback),
//! the packet is delivered here, whatever its source. A TUN device would do too, but containers often lack `/dev/net/tun`.
//! An open raw socket for a protocol also keeps the kernel from answering "protocol unreachable".

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
/// Generic routing encapsulation.
const GRE: i32 = 47;
/// Where datagrams of GUE go.
const GUE_PORT: u16 = 6080;
/// A socket of this protocol only sends, packets that are complete from the IP header on.
const RAW: i32 = 255;

/// What a socket's packets are.
#[derive(Clone, Copy)]
enum Kind {
    IpInIp,
    Gre,
    Gue,
}

/// A socket, the family of its outer packets, and what they are.
type Tunnel = (Domain, Socket, Kind);

fn main() -> Result<()> {
    let mut tunnels = ends(Domain::IPV4)?;
    // A kernel may be without IPv6.
    tunnels.extend(ends(Domain::IPV6).into_iter().flatten());
    thread::scope(|scope| {
        let ends: Vec<_> = tunnels.into_iter().map(|tunnel| scope.spawn(move || run(tunnel))).collect();
        ends.into_iter()
            .try_for_each(|end| end.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn ends(domain: Domain) -> Result<Vec<Tunnel>> {
    let any = if domain == Domain::IPV4 {
        SocketAddr::from(([0; 4], GUE_PORT))
    } else {
        SocketAddr::from(([0; 16], GUE_PORT))
    };
    let datagrams = Socket::new(domain, Type::DGRAM, None)?;
    if domain == Domain::IPV6 {
        datagrams.set_only_v6(true)?;
    }
    datagrams.bind(&any.into()).context("the port of GUE")?;
    let raw = |protocol| Socket::new(domain, Type::RAW, Some(Protocol::from(protocol))).context("raw socket");
    let ends = vec![
        (domain, raw(IPV4)?, Kind::IpInIp),
        (domain, raw(IPV6)?, Kind::IpInIp),
        (domain, raw(GRE)?, Kind::Gre),
        (domain, datagrams, Kind::Gue),
    ];
    // A thousand connections say hello at once.
    ends.iter().try_for_each(|(_, socket, _)| setsockopt(socket, sockopt::RcvBufForce, &(8 << 20)))?;
    Ok(ends)
}

fn run((domain, mut outside, kind): Tunnel) -> Result<()> {
    let sender = |domain| Socket::new(domain, Type::RAW, Some(Protocol::from(RAW))).context("raw socket");
    let inside_v4 = sender(Domain::IPV4)?;
    inside_v4.set_header_included_v4(true)?;
    let inside_v6 = sender(Domain::IPV6).ok();
    let mut buffer = vec![0; 65536];
    loop {
        let length = outside.read(&mut buffer)?;
        // Of IPv6, a raw socket is not given the header; one for datagrams is given none at all.
        let is_raw_v4 = domain == Domain::IPV4 && !matches!(kind, Kind::Gue);
        let header = if is_raw_v4 { usize::from(buffer[0] & 0x0f) * 4 } else { 0 };
        let carried = buffer.get(header..length).and_then(|behind| match kind {
            Kind::IpInIp => Some(behind),
            Kind::Gre => gre(behind),
            Kind::Gue => gue(behind),
        });
        let Some((packet, to)) = carried.and_then(inner) else { continue };
        let inside = if to.is_ipv4() { Some(&inside_v4) } else { inside_v6.as_ref() };
        if let Some(Err(error)) = inside.map(|inside| inside.send_to(packet, &to.into())) {
            eprintln!("packet to {to}: {error}");
        }
    }
}

/// What is behind a header of GRE, RFC 2784, if that is sound.
fn gre(bytes: &[u8]) -> Option<&[u8]> {
    match bytes.first_chunk::<4>()? {
        [0, 0, 8, 0] | [0, 0, 0x86, 0xdd] => bytes.get(4..),
        [0x80, 0, ..] => {
            let words =
                bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0)));
            let sum: u32 = words.sum();
            let folded = (sum & 0xffff) + (sum >> 16);
            let is_right = (folded & 0xffff) + (folded >> 16) == 0xffff;
            if !is_right {
                eprintln!("wrong checksum of GRE");
            }
            bytes.get(8..).filter(|_| is_right)
        }
        other => {
            eprintln!("GRE with {other:02x?}");
            None
        }
    }
}

/// What a datagram of GUE carries, with its header or without.
fn gue(bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [0, 4 | 41, 0, 0, packet @ ..] => Some(packet),
        [0x40..=0x6f, ..] => Some(bytes),
        other => {
            eprintln!("GUE with {:02x?}", other.first_chunk::<4>());
            None
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
