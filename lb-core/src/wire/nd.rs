//! Neighbour discovery for Ethernet and IPv6, RFC 4861: solicitations and advertisements of neighbours. Whole packets,
//! since what makes one valid is in the IPv6 header as well.

use super::{
    ethernet::Mac,
    get128, icmp,
    icmpv6::{NEIGHBOUR_ADVERTISEMENT as ADVERTISEMENT, NEIGHBOUR_SOLICITATION as SOLICITATION},
    ipv6::{HEADER_LEN, Header, ICMPV6},
    put128,
};
use crate::{
    cast::small,
    family::{Family, V6},
};
use std::net::Ipv6Addr;

/// Hop limit of all of them: no router has passed one on.
const HOP_LIMIT: u8 = 255;

/// Where the target address is in a message.
const TARGET: usize = 8;
/// Where options are.
const OPTIONS: usize = 24;
/// Option: the sender's Ethernet address.
const SOURCE_LINK: u8 = 1;
/// Option: the target's Ethernet address.
const TARGET_LINK: u8 = 2;
/// Options have lengths in units of so many bytes.
const UNIT: usize = 8;
/// Most options that are looked at.
const MAX_OPTIONS: usize = 8;

/// Flag of an advertisement: it answers a solicitation.
const SOLICITED: u8 = 0x40;
/// Flag of an advertisement: it counts more than what is known.
const OVERRIDES: u8 = 0x20;

/// Bytes of an IPv6 packet with a message that we make: with one option.
pub const LEN: usize = HEADER_LEN + OPTIONS + UNIT;
/// The same without an option.
pub const PROBE_LEN: usize = HEADER_LEN + OPTIONS;

/// All nodes of a link, RFC 4291 2.7.1.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Who has the target address?
    Solicitation,
    /// The sender has it.
    Advertisement {
        /// It was asked.
        solicited: bool,
        /// It counts more than what is known.
        overrides: bool,
    },
}

/// One message, with the addresses of its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nd {
    /// Who says it; nobody, if a station asks whether somebody else has an address before it takes it (RFC 4862 5.4).
    pub source: Ipv6Addr,
    /// To whom.
    pub destination: Ipv6Addr,
    /// Question or answer.
    pub operation: Operation,
    /// The address that it is about.
    pub target: Ipv6Addr,
    /// The Ethernet address that it tells: of a question the sender's, of an answer the target's.
    pub link: Option<Mac>,
}

impl Nd {
    /// Reads a whole IPv6 packet; `None` when RFC 4861 7.1 has it discarded.
    #[must_use]
    pub fn read(packet: &[u8]) -> Option<Nd> {
        let header = Header::read(packet)?;
        let message = packet.get(header.header_len..header.total_len)?;
        let sum = V6::message_sum(header.source, header.destination, small(message.len()));
        let is_valid = header.protocol == ICMPV6
            && header.ttl == HOP_LIMIT
            && message.len() >= OPTIONS
            && message[1] == 0
            && icmp::checksum_is_right(sum, message);
        if !is_valid {
            return None;
        }
        let (source, destination) =
            (Ipv6Addr::from_bits(header.source), Ipv6Addr::from_bits(header.destination));
        let target = Ipv6Addr::from_bits(get128(message, TARGET));
        let (operation, told) = match message[0] {
            SOLICITATION => (Operation::Solicitation, SOURCE_LINK),
            ADVERTISEMENT => {
                let has = |flag| message[4] & flag != 0;
                let operation =
                    Operation::Advertisement { solicited: has(SOLICITED), overrides: has(OVERRIDES) };
                (operation, TARGET_LINK)
            }
            _ => return None,
        };
        let link = link(&message[OPTIONS..], told)?;
        let is_probe = operation == Operation::Solicitation && source.is_unspecified();
        let answers_all = matches!(operation, Operation::Advertisement { solicited: true, .. })
            && destination.is_multicast();
        let from_nobody = source.is_unspecified() && !is_probe || source.is_multicast();
        let strange_probe = is_probe && (link.is_some() || destination != solicited_node(target));
        if target.is_multicast() || answers_all || from_nobody || strange_probe {
            return None;
        }
        Some(Nd { source, destination, operation, target, link })
    }

    /// Bytes of the packet.
    #[must_use]
    pub const fn packet_len(&self) -> usize {
        if self.link.is_some() { LEN } else { PROBE_LEN }
    }

    /// Asks everybody who may have an address.
    #[must_use]
    pub const fn question(source: Ipv6Addr, mac: Mac, target: Ipv6Addr) -> Nd {
        let (operation, destination) = (Operation::Solicitation, solicited_node(target));
        Nd { source, destination, operation, target, link: Some(mac) }
    }

    /// Asks whether somebody else has an address of our own, RFC 4862 5.4.2.
    #[must_use]
    pub const fn probe(target: Ipv6Addr) -> Nd {
        let source = Ipv6Addr::UNSPECIFIED;
        Nd {
            source,
            destination: solicited_node(target),
            operation: Operation::Solicitation,
            target,
            link: None,
        }
    }

    /// Tells everybody that an address is at `mac`, RFC 4861 7.2.6.
    #[must_use]
    pub const fn announcement(target: Ipv6Addr, mac: Mac) -> Nd {
        let operation = Operation::Advertisement { solicited: false, overrides: true };
        Nd { source: target, destination: ALL_NODES, operation, target, link: Some(mac) }
    }

    /// The answer to a question: the target is at `mac`. Who asks without having an address is told with all others.
    #[must_use]
    pub const fn answered_by(&self, mac: Mac) -> Nd {
        if self.source.is_unspecified() {
            return Nd::announcement(self.target, mac);
        }
        let operation = Operation::Advertisement { solicited: true, overrides: true };
        Nd { source: self.target, destination: self.source, operation, target: self.target, link: Some(mac) }
    }

    /// Writes the packet to the first [`Nd::packet_len`] bytes.
    pub fn write(&self, bytes: &mut [u8]) {
        let len = self.packet_len();
        let header = Header {
            header_len: HEADER_LEN,
            total_len: len,
            fragment: 0,
            ttl: HOP_LIMIT,
            protocol: ICMPV6,
            source: self.source.to_bits(),
            destination: self.destination.to_bits(),
        };
        V6::write(bytes, &header);
        let message = &mut bytes[HEADER_LEN..len];
        message.fill(0);
        let told = match self.operation {
            Operation::Solicitation => {
                message[0] = SOLICITATION;
                SOURCE_LINK
            }
            Operation::Advertisement { solicited, overrides } => {
                message[0] = ADVERTISEMENT;
                message[4] = if solicited { SOLICITED } else { 0 } | if overrides { OVERRIDES } else { 0 };
                TARGET_LINK
            }
        };
        put128(message, TARGET, self.target.to_bits());
        if let Some(mac) = self.link {
            (message[OPTIONS], message[OPTIONS + 1]) = (told, 1);
            message[OPTIONS + 2..].copy_from_slice(&mac.0);
        }
        let sum = V6::message_sum(header.source, header.destination, small(message.len()));
        icmp::set_checksum(sum, message);
    }
}

/// The Ethernet address that an option of that kind tells, if there is one. `None` where options are not sound.
fn link(mut options: &[u8], told: u8) -> Option<Option<Mac>> {
    let mut link = None;
    for _ in 0..MAX_OPTIONS {
        let [kind, units, ..] = *options else { return options.is_empty().then_some(link) };
        let len = usize::from(units) * UNIT;
        if units == 0 || len > options.len() {
            return None;
        }
        if kind == told && units == 1 {
            let &[a, b, c, d, e, f] = options[2..].first_chunk()?;
            link = Some(Mac([a, b, c, d, e, f]));
        }
        options = &options[len..];
    }
    Some(link)
}

/// The group of all who may have an address, RFC 4291 2.7.1.
#[must_use]
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (high & 0xff), low)
}

/// The Ethernet address of a group of IPv6, RFC 2464 7.
#[must_use]
pub const fn group(address: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = address.octets();
    Mac([0x33, 0x33, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    const B: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0x12, 0x3456);
    const MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);

    fn written(nd: &Nd) -> Vec<u8> {
        let mut bytes = vec![0xee; nd.packet_len()];
        nd.write(&mut bytes);
        bytes
    }

    /// With the checksum made anew after a change.
    fn changed(nd: &Nd, at: usize, value: u8) -> Option<Nd> {
        let mut bytes = written(nd);
        bytes[at] = value;
        let len = small(bytes.len() - HEADER_LEN);
        let (source, destination) = (get128(&bytes, 8), get128(&bytes, 24));
        icmp::set_checksum(V6::message_sum(source, destination, len), &mut bytes[HEADER_LEN..]);
        Nd::read(&bytes)
    }

    #[test]
    fn what_is_written_is_read() {
        let question = Nd::question(A, MAC, B);
        for nd in [
            question,
            Nd::probe(B),
            Nd::announcement(B, MAC),
            question.answered_by(Mac([2, 0, 0, 0, 0, 8])),
            Nd::probe(B).answered_by(MAC),
        ] {
            assert_eq!(Nd::read(&written(&nd)), Some(nd));
        }
        assert_eq!(question.destination, "ff02::1:ff12:3456".parse::<Ipv6Addr>().unwrap());
        assert_eq!(group(question.destination), Mac([0x33, 0x33, 0xff, 0x12, 0x34, 0x56]));
        assert_eq!(Nd::probe(B).answered_by(MAC).destination, ALL_NODES);
        assert!(V6::is_asked_at(group(ALL_NODES).0) && V6::is_asked_at(group(question.destination).0));
        assert!(!V6::is_asked_at(group(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2)).0), "routers");
    }

    #[test]
    fn what_is_not_valid_is_not_read() {
        let (question, answer) = (Nd::question(A, MAC, B), Nd::announcement(B, MAC));
        assert_eq!(changed(&question, 7, 254), None, "a router passed it on");
        assert_eq!(changed(&question, 41, 1), None, "a code");
        assert_eq!(changed(&question, 48, 0xff), None, "a group as its target");
        assert_eq!(changed(&question, 65, 0), None, "an option without length");
        assert_eq!(changed(&question, 65, 2), None, "an option longer than the packet");
        assert_eq!(changed(&question, 64, 9).map(|nd| nd.link), Some(None), "an option of another kind");
        assert_eq!(changed(&answer, 44, SOLICITED), None, "an answer to all");
        assert_eq!(changed(&answer, 40, 137), None, "a redirect");
        let mut wrong = written(&question);
        wrong[71] ^= 1;
        assert_eq!(Nd::read(&wrong), None, "a wrong checksum");
        assert_eq!(Nd::read(&written(&question)[..71]), None, "cut off");
        let from_nobody = Nd { source: Ipv6Addr::UNSPECIFIED, ..question };
        assert_eq!(Nd::read(&written(&from_nobody)), None, "nobody is nowhere");
        let elsewhere = Nd { destination: B, ..Nd::probe(B) };
        assert_eq!(Nd::read(&written(&elsewhere)), None, "a probe is for the group");
    }
}
