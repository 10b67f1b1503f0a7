//! Which of the services that share an address and port a packet is for: by its client's network and by where it arrives. It
//! is asked when a connection opens to a port that several services have, or one that is not for all; [`super::reach`] says
//! in which order.
//!
//! Services that have a port equally exactly are one *rank*, and the ranks of a port are a *list*, the most exact first.
//! Within a rank there is one look-up for each length of a prefix that it has, from the longest.

use super::{lookup::Lookup, parts::Service, plan::InterfacePlan};
use crate::{
    cast::{count32, small},
    family::V6,
    ids::{ById, InterfaceId, ServiceId},
};
use ipnet::IpNet;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    ops::ControlFlow,
};

/// Whose a port is: one service's whoever asks, or that of a list. A number with a flag, so that tables of ports are as small
/// as if there were no lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder(u32);

impl Holder {
    const LIST: u32 = 1 << 31;

    /// A service's.
    const fn of(service: ServiceId) -> Self {
        debug_assert!(service.number() & Self::LIST == 0, "there are at most 2^14");
        Holder(service.number())
    }

    /// The service, if it is one's whoever asks.
    #[inline(always)]
    pub(super) const fn sole(self) -> Option<ServiceId> {
        if self.0 & Self::LIST == 0 { Some(ServiceId::new(self.0)) } else { None }
    }
}

/// The lists of all ports that services share.
#[derive(Clone, Debug)]
pub(super) struct Sharing {
    /// The ranks of each list.
    lists: Vec<Box<[u32]>>,
    /// The lengths of prefixes in each rank, from the longest. Those of IPv4 count as in `::ffff:192.0.2.0/120`.
    ranks: Vec<Box<[u8]>>,
    /// By length of the prefix: the first of a network's ways in a rank, and how many there are.
    networks: Vec<Lookup<V6, (u32, u32)>>,
    /// Those of all networks, each with anywhere at the end.
    ways: Vec<Way>,
}

/// Where packets arrive, or anywhere, and whose they are then.
pub(super) type Way = (Option<InterfaceId>, ServiceId);

/// The longest prefix.
const MAX_LENGTH: u8 = 128;

impl Sharing {
    /// The service that a client's packet is for which arrives on an interface.
    #[cold]
    pub(super) fn choose(&self, holder: Holder, client: IpAddr, on: InterfaceId) -> Option<ServiceId> {
        let is_it = |(own, service): Way| match own {
            None => ControlFlow::Break(service),
            Some(own) if own == on => ControlFlow::Break(service),
            Some(_) => ControlFlow::Continue(()),
        };
        self.each(holder, client, is_it)
    }

    /// The first service of which `is_it` says so, of those that a client's packets are for, each with where they arrive then;
    /// the most specific comes first. The error is that of one which has all that arrive anywhere, behind which none comes.
    #[cold]
    pub(super) fn find(
        &self,
        holder: Holder,
        client: IpAddr,
        mut is_it: impl FnMut(Way) -> bool,
    ) -> Option<Result<ServiceId, ServiceId>> {
        self.each(holder, client, |(on, service)| match on {
            _ if is_it((on, service)) => ControlFlow::Break(Ok(service)),
            None => ControlFlow::Break(Err(service)),
            Some(_) => ControlFlow::Continue(()),
        })
    }

    /// The first that is found at the ways of a client's packets.
    fn each<T>(
        &self,
        holder: Holder,
        client: IpAddr,
        mut look: impl FnMut(Way) -> ControlFlow<T>,
    ) -> Option<T> {
        if let Some(service) = holder.sole() {
            return look((None, service)).break_value();
        }
        let client = bits(client);
        for &rank in &self.lists[(holder.0 & !Holder::LIST) as usize] {
            for &length in &self.ranks[rank as usize] {
                let network = (client & mask(length), rank);
                let Some((first, count)) = self.networks[usize::from(length)].get(network) else { continue };
                for &way in &self.ways[first as usize..][..count as usize] {
                    if let ControlFlow::Break(found) = look(way) {
                        return Some(found);
                    }
                }
            }
        }
        None
    }
}

/// An address of either family: one of IPv4 as IPv6 writes it, RFC 4291 2.5.5.2.
const fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The first bits of an address.
const fn mask(length: u8) -> u128 {
    if length == 0 { 0 } else { u128::MAX << (MAX_LENGTH - length) }
}

/// A network of either family, as its first address and length. All of a family is what a service without networks is for.
fn prefix(network: IpNet) -> (u128, u8) {
    let length = match (network.prefix_len(), network) {
        (0, _) => 0,
        (length, IpNet::V4(_)) => length + (MAX_LENGTH - 32),
        (length, IpNet::V6(_)) => length,
    };
    (bits(network.addr()) & mask(length), length)
}

/// A network in a rank, and the first of its ways and how many there are.
type Entry = ((u128, u32), (u32, u32));

/// Makes the lists. Services of the same ranks share them, whichever ports they are at.
pub(super) struct Builder<'a> {
    services: &'a ById<ServiceId, Service>,
    interfaces: HashMap<&'a str, InterfaceId>,
    known_lists: HashMap<Box<[u32]>, u32>,
    known_ranks: HashMap<Vec<ServiceId>, u32>,
    networks: Vec<Vec<Entry>>,
    made: Sharing,
}

impl<'a> Builder<'a> {
    /// Without lists.
    pub(super) fn new(services: &'a ById<ServiceId, Service>, interfaces: &'a [InterfacePlan]) -> Self {
        let numbered = interfaces.iter().enumerate();
        Builder {
            services,
            interfaces: numbered.map(|(at, on)| (on.name.as_str(), InterfaceId(small(at)))).collect(),
            known_lists: HashMap::new(),
            known_ranks: HashMap::new(),
            networks: vec![Vec::new(); usize::from(MAX_LENGTH) + 1],
            made: Sharing { lists: Vec::new(), ranks: Vec::new(), networks: Vec::new(), ways: Vec::new() },
        }
    }

    /// Whose a port is that these services have: those that have it equally exactly are together, the most exact first.
    /// `None` if there are none.
    pub(super) fn holder(&mut self, ranks: impl IntoIterator<Item = Vec<ServiceId>>) -> Option<Holder> {
        let mut list = Vec::new();
        for rank in ranks {
            let is_for_all = |id: &&ServiceId| !self.services[**id].beside.is_choosy();
            let for_all = rank.iter().find(is_for_all).copied();
            // Of two that are for all, which is a mistake, the first counts.
            let is_alone = rank.iter().all(|id| for_all == Some(*id) || is_for_all(&id));
            if let Some(service) = for_all.filter(|_| list.is_empty() && is_alone) {
                return Some(Holder::of(service));
            }
            list.push(self.rank(rank));
            if for_all.is_some() {
                break;
            }
        }
        if list.is_empty() {
            return None;
        }
        let made = &mut self.made.lists;
        let number = *self.known_lists.entry(list.into()).or_insert_with_key(|list| {
            made.push(list.clone());
            count32(made.len() - 1)
        });
        Some(Holder(Holder::LIST | number))
    }

    fn rank(&mut self, services: Vec<ServiceId>) -> u32 {
        if let Some(&known) = self.known_ranks.get(&services) {
            return known;
        }
        let number = count32(self.made.ranks.len());
        let mut networks: BTreeMap<(Reverse<u8>, u128), Vec<Way>> = BTreeMap::new();
        for &id in &services {
            let beside = &self.services[id].beside;
            let everybody = beside.from.is_empty().then_some((0, 0));
            for (first, length) in beside.from.iter().map(|net| prefix(*net)).chain(everybody) {
                let ways = networks.entry((Reverse(length), first)).or_default();
                // An interface that is not there is none that packets arrive on.
                let on = beside.on.iter().filter_map(|name| self.interfaces.get(name.as_str()));
                ways.extend(on.map(|on| (Some(*on), id)));
                ways.extend(beside.on.is_empty().then_some((None, id)));
            }
        }
        let mut lengths: Vec<u8> = networks.keys().map(|(Reverse(length), _)| *length).collect();
        lengths.dedup();
        for ((Reverse(length), first), mut ways) in networks {
            ways.sort_by_key(|(on, _)| on.is_none());
            let place = (count32(self.made.ways.len()), count32(ways.len()));
            self.networks[usize::from(length)].push(((first, number), place));
            self.made.ways.extend(ways);
        }
        self.made.ranks.push(lengths.into());
        self.known_ranks.insert(services, number);
        number
    }

    /// All lists.
    pub(super) fn finish(self) -> Sharing {
        Sharing { networks: self.networks.into_iter().map(Lookup::new).collect(), ..self.made }
    }
}
