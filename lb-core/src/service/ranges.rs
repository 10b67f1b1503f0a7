//! Which service a port of an address is of, where services have ranges of ports. It is asked when a connection opens to a
//! port that no service has exactly.

use super::{
    lookup::{Lookup, endpoint},
    reach::PortRange,
    sharing::{Builder, Holder},
};
use crate::{cast::count32, family::Family, ids::ServiceId, wire::protocol::Protocol};
use std::collections::BTreeMap;

/// Services by address, protocol and ranges of ports.
#[derive(Clone, Debug)]
pub(super) struct Ranges<F: Family> {
    /// The stretches of each address and protocol: the place of the first, and how many there are.
    of: Lookup<F, (u32, u32)>,
    stretches: Box<[Stretch]>,
}

/// Ports, and whose they are.
type Range = (PortRange, ServiceId);

/// Ports up to that one, from behind the stretch before, which are the same services' or nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    last: u16,
    holder: Option<Holder>,
}

impl<F: Family> Ranges<F> {
    /// Of ranges of more than one port.
    pub(super) fn new(
        ranges: impl IntoIterator<Item = (Protocol, F::Address, PortRange, ServiceId)>,
        sharing: &mut Builder,
    ) -> Self {
        let mut by_address: BTreeMap<(F::Address, u32), Vec<Range>> = BTreeMap::new();
        for (protocol, address, ports, service) in ranges {
            by_address.entry((address, endpoint(protocol, 0))).or_default().push((ports, service));
        }
        let mut stretches = Vec::new();
        let of: Vec<_> = by_address
            .into_iter()
            .map(|(key, ranges)| {
                let first = stretches.len();
                cut(ranges, sharing, &mut stretches);
                (key, (count32(first), count32(stretches.len() - first)))
            })
            .collect();
        Ranges { of: Lookup::new(of), stretches: stretches.into() }
    }

    /// Whose the port is: the narrowest range that has it decides, and the next where services of that are for other clients.
    #[cold]
    pub(super) fn get(&self, protocol: Protocol, address: F::Address, port: u16) -> Option<Holder> {
        let (first, count) = self.of.get((address, endpoint(protocol, 0)))?;
        let of = &self.stretches[first as usize..][..count as usize];
        of.get(of.partition_point(|stretch| stretch.last < port))?.holder
    }
}

/// Cuts ranges that may overlap into stretches, each of the services of the ranges that have it; all ports get one.
fn cut(mut ranges: Vec<Range>, sharing: &mut Builder, into: &mut Vec<Stretch>) {
    ranges.sort_by_key(|(ports, _)| ports.width());
    let mut firsts: Vec<u32> = vec![0];
    firsts.extend(ranges.iter().flat_map(|(ports, _)| [ports.first.into(), u32::from(ports.last) + 1]));
    firsts.sort_unstable();
    firsts.dedup();
    let beyond = u32::from(u16::MAX) + 1;
    let ends = firsts.iter().copied().skip(1).chain([beyond]);
    for (first, end) in firsts.iter().copied().zip(ends) {
        let (Ok(first), Ok(last)) = (u16::try_from(first), u16::try_from(end - 1)) else { continue };
        let having: Vec<&Range> = ranges.iter().filter(|(ports, _)| ports.contains(first)).collect();
        let ranks = having.chunk_by(|(one, _), (other, _)| one.width() == other.width());
        let ranks = ranks.map(|rank| rank.iter().map(|(_, service)| *service).collect());
        into.push(Stretch { last, holder: sharing.holder(ranks) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        family::V4,
        service::{
            key::ServiceKey,
            plan::{Method, Plan, ServicePlan},
            snapshot::Snapshot,
        },
    };
    use proptest::prelude::*;

    fn any_range() -> impl Strategy<Value = PortRange> {
        // Few bounds, so that ranges often share some.
        let bound = prop_oneof![0_u16..12, Just(u16::MAX), Just(u16::MAX - 1), any::<u16>()];
        (bound.clone(), bound).prop_map(|(a, b)| PortRange { first: a.min(b), last: a.max(b) })
    }

    proptest! {
        #[test]
        fn the_narrowest_range_has_a_port(
            ranges in prop::collection::vec((any_range(), any::<bool>(), 0_u32..3), 0..12),
            ports in prop::collection::vec(prop_oneof![0_u16..14, any::<u16>()], 1..20),
        ) {
            let protocol = |udp| if udp { Protocol::Udp } else { Protocol::Tcp };
            let all: Vec<_> = (0_u32..).zip(&ranges).map(|(number, (ports, udp, address))| {
                (protocol(*udp), *address, *ports, ServiceId::new(number))
            }).collect();
            // None of them is for certain clients only.
            let service = |number: u16| {
                let key = ServiceKey::new(Protocol::Tcp, ([192, 0, 2, 100], number + 1).into());
                ServicePlan::new(format!("s{number}"), key, Method::Nat)
            };
            let plan = Plan { services: (0..12).map(service).collect(), ..Plan::default() };
            let snapshot = Snapshot::new(&plan).unwrap();
            let mut sharing = Builder::new(&snapshot.services, &[]);
            let built = Ranges::<V4>::new(all.iter().copied(), &mut sharing);
            for port in ports {
                for (address, udp) in [(0, false), (0, true), (1, false), (2, true), (3, false)] {
                    let naive = all
                        .iter()
                        .filter(|(of, at, ports, _)| {
                            (*of, *at) == (protocol(udp), address) && ports.contains(port)
                        })
                        .min_by_key(|(_, _, ports, id)| (ports.width(), id.number()));
                    let expected = naive.map(|(_, _, _, id)| *id);
                    let holder = built.get(protocol(udp), address, port);
                    prop_assert_eq!(holder.map(|holder| holder.sole().unwrap()), expected);
                }
            }
        }
    }
}
