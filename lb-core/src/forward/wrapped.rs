//! A tunnel's packet as an ICMP error quotes it: which tunnel it went through, and what was inside.

use super::shim::Spread;
use crate::{
    conn::tunnel::{Encapsulation, Tunnel},
    family::{Family, Header, V4, V6},
    wire::{gre, gue, protocol, tcp, udp},
};

/// What is known of the tunnel that a quoted packet went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// IP in IP.
    Ip,
    /// GRE, with a checksum or without.
    Gre {
        /// There is one.
        checksum: bool,
    },
    /// GUE, to that UDP port.
    Udp {
        /// The port.
        port: u16,
        /// Whether a header of GUE's follows; nothing if the quote ends before.
        has_header: Option<bool>,
    },
}

impl Carrier {
    /// Whether a packet through that tunnel looks like this.
    #[must_use]
    pub fn is_of(self, tunnel: Tunnel) -> bool {
        match (self, tunnel.kind) {
            (Carrier::Ip, Encapsulation::Ipip) => true,
            (Carrier::Gre { checksum }, Encapsulation::Gre) => checksum == tunnel.checksum,
            (Carrier::Udp { port, has_header }, kind @ (Encapsulation::Gue | Encapsulation::Gue1)) => {
                port == tunnel.port && has_header.is_none_or(|has| has == (kind == Encapsulation::Gue))
            }
            _ => false,
        }
    }
}

/// A tunnel's packet, as far as it is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrapped<F: Family = V4> {
    /// Its header.
    pub header: Header<F>,
    /// The tunnel.
    pub carrier: Carrier,
    /// The UDP port that it came from; 0 if there is none.
    pub port: u16,
    /// Protocol number of the packet inside, and where that starts in the quote; nothing if the quote ends before.
    pub inside: Option<(u8, usize)>,
}

impl<F: Family> Wrapped<F> {
    /// Reads a quote; `None` if it is not of a tunnel's packet.
    #[must_use]
    pub fn read(quote: &[u8]) -> Option<Self> {
        let header = Header::<F>::read_cut(quote)?;
        let behind = quote.get(header.header_len..).unwrap_or_default();
        let inside = |protocol, len: usize| Some((protocol, header.header_len + len));
        let (carrier, port, inside) = match header.protocol {
            protocol if protocol == V4::INSIDE || protocol == V6::INSIDE => {
                (Carrier::Ip, 0, inside(protocol, 0))
            }
            gre::PROTOCOL => {
                let (ethertype, checksum) = gre::read(behind)?;
                let protocol = protocol_of(ethertype)?;
                (Carrier::Gre { checksum }, 0, inside(protocol, gre::header_len(checksum)))
            }
            protocol::UDP => {
                let (from, port) = tcp::ports(behind)?;
                let datagram = behind.get(udp::HEADER_LEN..).filter(|datagram| !datagram.is_empty());
                // One that is neither variant has not been sent from here.
                let carried = datagram
                    .map(|datagram| gue::read(datagram, V4::INSIDE, V6::INSIDE).ok_or(()))
                    .transpose();
                let (has_header, inside) = match carried.ok()? {
                    Some((has, protocol)) => {
                        let len = udp::HEADER_LEN + if has { gue::HEADER_LEN } else { 0 };
                        (Some(has), inside(protocol, len))
                    }
                    None => (None, None),
                };
                (Carrier::Udp { port, has_header }, from, inside)
            }
            _ => return None,
        };
        Some(Wrapped { header, carrier, port, inside })
    }
}

impl<F: Family> Wrapped<F> {
    /// Whether a flow's packets have the UDP port that it came from, if there is one.
    #[must_use]
    pub fn comes_from(&self, spread: Spread) -> bool {
        !matches!(self.carrier, Carrier::Udp { .. }) || self.port == spread.port()
    }
}

/// The protocol number that packets of an Ethertype have inside others.
fn protocol_of(ethertype: u16) -> Option<u8> {
    match ethertype {
        V4::ETHERTYPE => Some(V4::INSIDE),
        V6::ETHERTYPE => Some(V6::INSIDE),
        _ => None,
    }
}
