//! The PROXY protocol, which tells a server whom it serves (HAProxy's `proxy-protocol.txt`): version 1 is a line of text,
//! version 2 binary. Both begin the client's stream; of UDP, version 2 begins every datagram.

use super::protocol::Protocol;
use arrayvec::ArrayVec;
use std::{io::Write, net::SocketAddr};

/// Bytes of a header at most: a line with two addresses of IPv6.
pub const MAX_LEN: usize = 107;
/// What every header of version 2 begins with; no other protocol does.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, on behalf of somebody.
const PROXIED: u8 = 0x21;
/// Bytes of a header of version 2 between IPv4 endpoints.
pub const V2_LEN_IPV4: u16 = 28;
/// The same between IPv6 endpoints.
pub const V2_LEN_IPV6: u16 = 52;

/// A header.
pub type Header = ArrayVec<u8, MAX_LEN>;

/// A line of text. The endpoints are of one family, and the protocol is TCP: the text has no word for another.
#[must_use]
pub fn v1(client: SocketAddr, vip: SocketAddr) -> Header {
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    let mut header = Header::new();
    let (from, to) = (client.ip(), vip.ip());
    // It fits: the longest addresses and ports take 104 bytes.
    let _ = write!(header, "PROXY {family} {from} {to} {} {}\r\n", client.port(), vip.port());
    header
}

/// The binary form. The endpoints are of one family.
#[must_use]
pub fn v2(protocol: Protocol, client: SocketAddr, vip: SocketAddr) -> Header {
    let transport = match protocol {
        Protocol::Tcp => 1,
        Protocol::Udp => 2,
        // Has no number there: it is none that is known.
        Protocol::Sctp | Protocol::Icmp => 0,
    };
    let mut header = Header::new();
    header.extend(SIGNATURE);
    match (client, vip) {
        (SocketAddr::V4(client), SocketAddr::V4(vip)) => {
            header.extend([PROXIED, 0x10 | transport, 0, 12]);
            header.extend(client.ip().octets());
            header.extend(vip.ip().octets());
        }
        (client, vip) => {
            header.extend([PROXIED, 0x20 | transport, 0, 36]);
            for address in [client.ip(), vip.ip()] {
                let address = match address {
                    std::net::IpAddr::V4(address) => address.to_ipv6_mapped(),
                    std::net::IpAddr::V6(address) => address,
                };
                header.extend(address.octets());
            }
        }
    }
    header.extend(client.port().to_be_bytes());
    header.extend(vip.port().to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(endpoint: &str) -> SocketAddr {
        endpoint.parse().unwrap()
    }

    #[test]
    fn lines_of_text() {
        let header = v1(at("203.0.113.10:40000"), at("192.0.2.100:80"));
        assert_eq!(header.as_slice(), b"PROXY TCP4 203.0.113.10 192.0.2.100 40000 80\r\n");
        let long = at("[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:65535");
        let header = v1(long, long);
        let address = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff";
        assert_eq!(header.as_slice(), format!("PROXY TCP6 {address} {address} 65535 65535\r\n").as_bytes());
    }

    #[test]
    fn binary() {
        let header = v2(Protocol::Tcp, at("203.0.113.10:40000"), at("192.0.2.100:80"));
        let expected =
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x0a\xc0\x00\x02\x64\x9c\x40\x00\x50";
        assert_eq!(header.as_slice(), expected);
        assert_eq!(header.len(), usize::from(V2_LEN_IPV4));
        let header = v2(Protocol::Udp, at("[2001:db8::10]:40000"), at("[2001:db8::100]:53"));
        assert_eq!(header[12..16], [0x21, 0x22, 0, 36]);
        assert_eq!(header[16..20], [0x20, 0x01, 0x0d, 0xb8]);
        assert_eq!(header[48..], [0x9c, 0x40, 0, 53]);
        assert_eq!(header.len(), usize::from(V2_LEN_IPV6));
    }
}
