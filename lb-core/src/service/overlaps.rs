//! What two services must not have in common: of those that could have a packet, the most specific gets it, and there has to
//! be one.

use super::reach::{Claim, ClientClaim, PortRange};
use std::{collections::HashMap, hash::Hash};

/// Claims that are equally specific and have a port in common: of each, the claim that came second, with whom both belong to.
/// The first mistake of each pair of owners is enough.
pub fn overlaps<'a, T: Copy + Eq + Hash>(
    claims: impl IntoIterator<Item = (ClientClaim<'a>, T)>,
) -> Vec<(ClientClaim<'a>, T, T)> {
    let mut alike: HashMap<_, Vec<(usize, PortRange, T)>> = HashMap::new();
    for (place, (ClientClaim { claim, from, on }, of)) in claims.into_iter().enumerate() {
        let key = (claim.protocol, claim.vip, claim.ports.width(), from, on);
        alike.entry(key).or_default().push((place, claim.ports, of));
    }
    let mut found: HashMap<(T, T), (usize, ClientClaim)> = HashMap::new();
    for ((protocol, vip, _, from, on), mut ranges) in alike {
        // All are as wide, so those that overlap are neighbours in this order.
        ranges.sort_by_key(|(place, ports, _)| (ports.first, *place));
        for pair in ranges.windows(2) {
            let [(one, first, of_one), (other, second, of_other)] = [pair[0], pair[1]];
            if first.last < second.first {
                continue;
            }
            let (owners, place, ports) = if one < other {
                ((of_one, of_other), other, second)
            } else {
                ((of_other, of_one), one, first)
            };
            let claim = ClientClaim { claim: Claim { protocol, vip, ports }, from, on };
            let known = found.entry(owners).or_insert((place, claim));
            if place < known.0 {
                *known = (place, claim);
            }
        }
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(|(_, (place, _))| *place);
    found.into_iter().map(|((before, by), (_, claim))| (claim, before, by)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{
        key::{Protocol, ServiceKey},
        reach::{Beside, Reach},
    };

    fn range(text: &str) -> PortRange {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_equally_specific_must_not_overlap() {
        let claim = |port: &str| Claim {
            protocol: Protocol::Tcp,
            vip: "192.0.2.100".parse().unwrap(),
            ports: range(port),
        };
        let found = |claims: &[(&str, u8)]| -> Vec<(String, u8, u8)> {
            let claims = claims.iter().map(|(ports, of)| (claim(ports).into(), *of));
            overlaps(claims).into_iter().map(|(it, a, b)| (it.claim.ports.to_string(), a, b)).collect()
        };
        assert_eq!(found(&[("80", 1), ("80-90", 2), ("any", 3), ("1-65535", 4)]), []);
        assert_eq!(found(&[("80", 1), ("443", 2), ("80", 2)]), [("80".to_owned(), 1, 2)]);
        assert_eq!(found(&[("85-95", 1), ("80-90", 2)]), [("80-90".to_owned(), 1, 2)]);
        assert_eq!(found(&[("any", 1), ("any", 1)]), [("any".to_owned(), 1, 1)], "twice in one service");
        assert_eq!(found(&[("80-90", 1), ("91-101", 2), ("85-96", 3)]), []);
    }

    #[test]
    fn what_is_for_the_same_clients_must_not_overlap() {
        let key: ServiceKey = "tcp 192.0.2.100:80".parse().unwrap();
        let found = |services: &[(&[&str], &[&str])]| -> Vec<String> {
            let of = |(from, on): &(&[&str], &[&str])| Beside {
                from: from.iter().map(|net| net.parse().unwrap()).collect(),
                on: on.iter().map(|&name| name.to_owned()).collect(),
                ..Beside::default()
            };
            let all: Vec<Beside> = services.iter().map(of).collect();
            let claims = all.iter().enumerate().flat_map(|(at, beside)| {
                Reach { key, beside }.claims_by_client().map(move |claim| (claim, at))
            });
            overlaps(claims).into_iter().map(|(claim, a, b)| format!("{a} {b}: {claim}")).collect()
        };
        let (a, b) = (["203.0.113.0/24"], ["203.0.113.0/25", "198.18.0.0/15"]);
        let none: [String; 0] = [];
        assert_eq!(found(&[(&a, &[]), (&b, &[]), (&a, &["wan"]), (&[], &["wan"]), (&[], &[])]), none);
        let wan = "tcp 192.0.2.100:80 from 203.0.113.0/24 on wan";
        assert_eq!(found(&[(&a, &["wan"]), (&a, &["lan", "wan"])]), [format!("0 1: {wan}")]);
        assert_eq!(found(&[(&a, &["wan", "wan"])]), [format!("0 0: {wan}")]);
        let host_bits = ["203.0.113.7/24"];
        assert_eq!(found(&[(&a, &[]), (&host_bits, &[])]), ["0 1: tcp 192.0.2.100:80 from 203.0.113.0/24"]);
        let everybody = ["0.0.0.0/0"];
        assert_eq!(found(&[(&everybody, &[]), (&[], &[])]), ["0 1: tcp 192.0.2.100:80"]);
    }
}
