//! The option of TCP by which load balancers tell servers the client's address: TOA, as LVS's FullNAT and DPVS write it
//! (`include/ipvs/proto_tcp.h`, `TCP_OPT_ADDR`). Kind, length, port, address, in the network's order. The kind is one for
//! experiments (RFC 6994), which others use as well.

use arrayvec::ArrayVec;
use std::net::{IpAddr, SocketAddr};

/// The option's kind.
pub const KIND: u8 = super::options::EXPERIMENT;
/// Bytes of an option with an address of IPv4.
pub const LEN_IPV4: usize = 8;
/// The same with one of IPv6.
pub const LEN_IPV6: usize = 20;

/// An option.
pub type Toa = ArrayVec<u8, LEN_IPV6>;

/// The option that tells of a client.
#[must_use]
pub fn option(client: SocketAddr) -> Toa {
    let mut option = Toa::new();
    let len = if client.is_ipv4() { LEN_IPV4 } else { LEN_IPV6 };
    option.extend([KIND, len.to_le_bytes()[0]]);
    option.extend(client.port().to_be_bytes());
    match client.ip() {
        IpAddr::V4(address) => option.extend(address.octets()),
        IpAddr::V6(address) => option.extend(address.octets()),
    }
    option
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_port_and_address() {
        let option = |client: &str| option(client.parse().unwrap()).to_vec();
        assert_eq!(option("203.0.113.10:4000"), [254, 8, 0x0f, 0xa0, 203, 0, 113, 10]);
        let expected = [&[254, 20, 0x0f, 0xa0, 0x20, 1, 0xd, 0xb8][..], &[0; 11], &[9]].concat();
        assert_eq!(option("[2001:db8::9]:4000"), expected);
    }
}
