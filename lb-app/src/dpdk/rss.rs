//! How a port spreads packets over its receive queues: what we ask for, and what can be relied on.

use super::{device::Device, port_info::PortInfo};
use lb_core::flow::{
    hashing::{DESTINATION_ONLY, Hashing, SOURCE_ONLY},
    owner::RSS_KEY_WORD,
    zero_window::{End, KEY_LEN, ZeroWindow},
};
use std::fmt;

/// What a port should choose the receive queue by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RssWish {
    /// Whatever it likes.
    None,
    /// The addresses and ports of TCP and UDP.
    Flow,
    /// The source address and port: for ports that face clients.
    ClientSource,
    /// The destination address and port: for ports that face real servers.
    ClientDestination,
}

impl RssWish {
    /// The end that a port with this wish is to see, if it is one.
    #[must_use]
    pub const fn end(self) -> Option<End> {
        match self {
            RssWish::ClientSource => Some(End::Source),
            RssWish::ClientDestination => Some(End::Destination),
            RssWish::None | RssWish::Flow => None,
        }
    }
}

/// What a port really chooses the receive queue by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// There is one queue.
    Single,
    /// The client's address and port only, as wished: the source's, or the destination's.
    ByClient,
    /// Addresses and ports: a connection's packets of one direction stay on one queue.
    ByFlow,
    /// Nothing that can be relied on: a connection's packets may arrive on any queue.
    Unknown,
}

impl Spread {
    /// The sentence shown to operators.
    #[must_use]
    pub const fn explanation(self) -> &'static str {
        match self {
            Spread::Single => "one receive queue",
            Spread::ByClient => "by the client's address and port (RSS)",
            Spread::ByFlow => "by addresses and ports (RSS)",
            Spread::Unknown => "not reliable: the port may move a connection between queues",
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.explanation())
    }
}

/// The Toeplitz key of every port. Why it is so regular: see [`RSS_KEY_WORD`].
pub const HASH_KEY: [u8; 40] = {
    let word = RSS_KEY_WORD.to_be_bytes();
    let mut key = [0; 40];
    let mut at = 0;
    while at < key.len() {
        key[at] = word[at % word.len()];
        at += 1;
    }
    key
};

/// Drivers that report RSS but do not choose queues by the requested hash: net_tap leaves it to the kernel,
/// which moves a flow to the queue its answers were sent on; net_null only remembers the settings.
const PRETENDERS: [&str; 2] = ["net_tap", "net_null"];

/// What a port hashes of IPv4, if it is to see ports.
const V4_PORTS: u64 = dpdk_sys::SHIM_RSS_IPV4_TCP | dpdk_sys::SHIM_RSS_IPV4_UDP;

/// What a port may leave out although it was asked for.
const V6_TYPES: u64 = dpdk_sys::SHIM_RSS_IPV6 | V6_PORTS | dpdk_sys::SHIM_RSS_IPV6_EX;
/// What a port hashes of IPv6, if it is to see ports.
const V6_PORTS: u64 = dpdk_sys::SHIM_RSS_IPV6_TCP | dpdk_sys::SHIM_RSS_IPV6_UDP;

/// What to configure, and the spread it gives if the port applies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Bits of `RTE_ETH_RSS_*`; 0 for no RSS.
    pub(super) types: u64,
    pub(super) spread: Spread,
    /// The end that its key is to see, if it is to see one only.
    pub(super) seen: Option<End>,
}

impl Plan {
    /// Chooses from what the port offers. With `by_key` it is to see one end by means of its key, if it is to see one.
    pub(super) fn new(wish: RssWish, by_key: bool, queues: u16, info: &PortInfo) -> Plan {
        let plain = |types, spread| Plan { types, spread, seen: None };
        if queues <= 1 {
            return plain(0, Spread::Single);
        }
        let offered = info.rss_types;
        // Addresses alone still keep a connection together.
        let of = |ports, addresses| match offered & ports {
            0 => offered & addresses,
            fields => fields,
        };
        let v4 = of(V4_PORTS, dpdk_sys::SHIM_RSS_IPV4);
        let v6 = match of(V6_PORTS, dpdk_sys::SHIM_RSS_IPV6) {
            // qemu's igb hashes TCP only if asked for it with extension headers as well.
            fields if fields & V6_PORTS != 0 => fields | offered & dpdk_sys::SHIM_RSS_IPV6_EX,
            fields => fields,
        };
        // Where a port does not hash IPv6, all of it arrives on the first queue.
        let fields = if v4 == 0 { 0 } else { v4 | v6 };
        // A driver without RSS may still have several queues, and fills them as it likes: net_af_packet's kernel side,
        // for one, sends a flow to another queue when its own is full.
        if wish == RssWish::None || fields == 0 || pretender(info).is_some() {
            return plain(0, Spread::Unknown);
        }
        if let (true, Some(end)) = (by_key && lacks_for_keys(info).is_none(), wish.end()) {
            return Plan { types: fields, spread: Spread::ByClient, seen: Some(end) };
        }
        let side = side(wish);
        if side != 0 && offered & side == side {
            plain(fields | side, Spread::ByClient)
        } else {
            plain(fields, Spread::ByFlow)
        }
    }
}

/// The bits of `RTE_ETH_RSS_*` that say which end is hashed.
const fn side(wish: RssWish) -> u64 {
    match wish {
        RssWish::ClientSource => dpdk_sys::SHIM_RSS_SOURCE_ONLY,
        RssWish::ClientDestination => dpdk_sys::SHIM_RSS_DESTINATION_ONLY,
        RssWish::Flow | RssWish::None => 0,
    }
}

/// The driver, if it only claims to choose queues by the hash.
#[must_use]
pub fn pretender(info: &PortInfo) -> Option<&str> {
    info.drivers().find(|driver| PRETENDERS.contains(driver))
}

/// What a port lacks to see one end by means of its key, if anything. Its table has to be a power of two as well.
#[must_use]
pub fn lacks_for_keys(info: &PortInfo) -> Option<String> {
    let driver = &info.driver;
    if let Some(pretender) = pretender(info) {
        return Some(format!("{pretender} does not choose queues by the hash that it is asked for"));
    }
    if info.rss_types & V4_PORTS != V4_PORTS {
        return Some(format!("{driver} does not hash addresses and ports of both TCP and UDP"));
    }
    if usize::from(info.hash_key_size) < KEY_LEN {
        return Some(format!("{driver} does not let its key be set"));
    }
    if !info.reta_size.is_power_of_two() {
        return Some(format!("{driver} has no redirection table to set, or none of a power of two"));
    }
    None
}

/// What a port would choose the queue by if it were started with that wish.
#[must_use]
pub fn expected(wish: RssWish, by_key: bool, queues: u16, info: &PortInfo) -> Spread {
    Plan::new(wish, by_key, queues, info).spread
}

/// The key in the length that the port wants.
pub(super) fn hash_key(info: &PortInfo, plan: &Plan, keys: Option<&ZeroWindow>) -> Vec<u8> {
    let len = if info.hash_key_size == 0 { HASH_KEY.len() } else { usize::from(info.hash_key_size) };
    match (plan.seen, keys) {
        (Some(end), Some(keys)) => {
            keys.key(end).iter().copied().chain(std::iter::repeat(0)).take(len).collect()
        }
        _ => HASH_KEY.iter().copied().cycle().take(len).collect(),
    }
}

/// The redirection table that goes with a plan: each entry's queue.
pub(super) fn table(info: &PortInfo, plan: &Plan, keys: Option<&ZeroWindow>, queues: u16) -> Vec<u16> {
    match (plan.seen, keys) {
        (Some(_), Some(keys)) => keys.table(info.reta_size),
        _ => (0..info.reta_size).map(|entry| entry % queues).collect(),
    }
}

/// Writes the table. Ports that cannot do that have an even table of their own.
pub(super) fn write_table(device: &Device, table: &[u16]) {
    let size = table.len() as u16;
    let group_size = dpdk_sys::SHIM_RETA_GROUP;
    let mut groups = Vec::new();
    for start in (0..size).step_by(usize::from(group_size)) {
        let used = group_size.min(size - start);
        let mut group = dpdk_sys::rte_eth_rss_reta_entry64 { mask: u64::MAX, reta: [0; 64] };
        if used < group_size {
            group.mask = (1 << used) - 1;
        }
        let queues = table.iter().skip(usize::from(start)).take(usize::from(used));
        group.reta.iter_mut().zip(queues).for_each(|(entry, &queue)| *entry = queue);
        groups.push(group);
    }
    if groups.is_empty() {
        return;
    }
    // SAFETY: the device exists while `device` does, and the groups cover the table's `size` entries.
    unsafe { dpdk_sys::rte_eth_dev_rss_reta_update(device.id, groups.as_mut_ptr(), size) };
}

/// The spread of the started port, and why it is that one: `plan`'s, unless the port reports something else. `why` says why
/// it was asked for.
pub(super) fn verify(
    device: &Device,
    info: &PortInfo,
    (plan, why): (&Plan, &str),
    (key, table): (&[u8], &[u16]),
) -> (Spread, String) {
    let driver = &info.driver;
    if plan.types == 0 {
        let reason = match (plan.spread, pretender(info)) {
            (Spread::Unknown, Some(pretender)) => {
                format!("{pretender} does not choose queues by the hash that it is asked for")
            }
            (Spread::Unknown, None) => format!("{driver} does not hash addresses"),
            _ => why.to_owned(),
        };
        return (plan.spread, reason);
    }
    let mut types = 0;
    let mut actual = vec![0; key.len()];
    let size = u8::try_from(actual.len()).unwrap_or(u8::MAX);
    // SAFETY: the device exists while `device` does; `actual` has room for `size` bytes of key.
    let code = unsafe { dpdk_sys::shim_port_rss(device.id, &raw mut types, actual.as_mut_ptr(), size) };
    if code != 0 && plan.seen.is_none() {
        return (plan.spread, why.to_owned()); // A driver that cannot be asked; it did not refuse the settings.
    }
    if code == 0 && !types & plan.types & !V6_TYPES != 0 {
        return (Spread::Unknown, format!("{driver} hashes other fields than it was asked for"));
    }
    if plan.seen.is_some() {
        // Whatever its key and table are, it hashes whole flows.
        let wrong = if code != 0 || actual != key {
            "key"
        } else if read_table(device, info.reta_size).as_deref() != Some(table) {
            "redirection table"
        } else {
            return (plan.spread, why.to_owned());
        };
        return (Spread::ByFlow, format!("{driver} does not report the {wrong} that was written to it"));
    }
    // Two ports must hash a client alike, so for that the key matters too.
    let other_key = actual != key && actual.iter().any(|&byte| byte != 0);
    if plan.spread == Spread::ByClient && other_key {
        return (Spread::Unknown, format!("{driver} reports another key than was written to it"));
    }
    (plan.spread, why.to_owned())
}

/// Asks the port.
pub(super) fn read(device: &Device, info: &PortInfo) -> Hashing {
    let mut types = 0;
    let mut key = vec![0; usize::from(info.hash_key_size)];
    // SAFETY: the device exists while `device` does; `key` has room for as many bytes as are named.
    let code =
        unsafe { dpdk_sys::shim_port_rss(device.id, &raw mut types, key.as_mut_ptr(), info.hash_key_size) };
    let known = code == 0;
    let names = [
        (dpdk_sys::SHIM_RSS_IPV4, "ipv4"),
        (dpdk_sys::SHIM_RSS_IPV4_TCP, "ipv4-tcp"),
        (dpdk_sys::SHIM_RSS_IPV4_UDP, "ipv4-udp"),
        (dpdk_sys::SHIM_RSS_IPV6, "ipv6"),
        (dpdk_sys::SHIM_RSS_IPV6_TCP, "ipv6-tcp"),
        (dpdk_sys::SHIM_RSS_IPV6_UDP, "ipv6-udp"),
        (dpdk_sys::SHIM_RSS_SOURCE_ONLY, SOURCE_ONLY),
        (dpdk_sys::SHIM_RSS_DESTINATION_ONLY, DESTINATION_ONLY),
    ];
    let on = |bits: u64| known && types & bits == bits;
    Hashing {
        types: names.iter().filter(|(bits, _)| on(*bits)).map(|(_, name)| *name).collect(),
        key: (known && !key.is_empty()).then_some(key),
        table: read_table(device, info.reta_size),
    }
}

fn read_table(device: &Device, size: u16) -> Option<Vec<u16>> {
    let group_size = dpdk_sys::SHIM_RETA_GROUP;
    let group = dpdk_sys::rte_eth_rss_reta_entry64 { mask: u64::MAX, reta: [0; 64] };
    let mut groups = vec![group; usize::from(size.div_ceil(group_size))];
    if let (Some(last), rest @ 1..) = (groups.last_mut(), size % group_size) {
        last.mask = (1 << rest) - 1;
    }
    if groups.is_empty() {
        return None;
    }
    // SAFETY: the device exists while `device` does, and the groups have room for the table's `size` entries.
    let code = unsafe { dpdk_sys::rte_eth_dev_rss_reta_query(device.id, groups.as_mut_ptr(), size) };
    (code == 0).then(|| groups.iter().flat_map(|group| group.reta).take(usize::from(size)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const L4: u64 = V4_PORTS | V6_PORTS | dpdk_sys::SHIM_RSS_IPV6_EX;

    fn info(driver: &str, rss_types: u64) -> PortInfo {
        PortInfo::of_driver(driver, rss_types)
    }

    #[test]
    fn the_wish_is_met_as_far_as_the_port_can() {
        let source = dpdk_sys::SHIM_RSS_SOURCE_ONLY;
        let full = info("net_mlx5", u64::MAX);
        let plan = |wish, queues, info: &PortInfo| Plan::new(wish, false, queues, info);
        let of = |types, spread| Plan { types, spread, seen: None };
        assert_eq!(plan(RssWish::Flow, 1, &full), of(0, Spread::Single));
        assert_eq!(plan(RssWish::Flow, 2, &full), of(L4, Spread::ByFlow));
        assert_eq!(plan(RssWish::None, 2, &full), of(0, Spread::Unknown));
        assert_eq!(plan(RssWish::ClientSource, 2, &full), of(L4 | source, Spread::ByClient));
        let by_flow = of(L4, Spread::ByFlow);
        assert_eq!(plan(RssWish::ClientDestination, 2, &info("net_ixgbe", L4 | source)), by_flow);
        assert_eq!(plan(RssWish::Flow, 2, &info("net_ixgbe", V4_PORTS)), of(V4_PORTS, Spread::ByFlow));
        let addresses = info("net_e1000", dpdk_sys::SHIM_RSS_IPV4);
        assert_eq!(plan(RssWish::Flow, 2, &addresses).types, dpdk_sys::SHIM_RSS_IPV4);
    }

    #[test]
    fn keys_serve_ports_that_see_one_end_and_can_have_them() {
        let igb = info("net_e1000_igb", L4);
        let by_key = |wish, info: &PortInfo| Plan::new(wish, true, 4, info);
        let seen = |end| Plan { types: L4, spread: Spread::ByClient, seen: Some(end) };
        assert_eq!(by_key(RssWish::ClientSource, &igb), seen(End::Source));
        assert_eq!(by_key(RssWish::ClientDestination, &igb), seen(End::Destination));
        assert_eq!(by_key(RssWish::Flow, &igb).seen, None);
        assert_eq!(Plan::new(RssWish::ClientSource, true, 1, &igb).seen, None);
        for (info, lacks) in [
            (info("net_null", u64::MAX), "net_null does not choose queues by the hash"),
            (info("net_bnxt", dpdk_sys::SHIM_RSS_IPV4_TCP), "does not hash addresses and ports of both"),
            (PortInfo { hash_key_size: 0, ..info("net_gve", L4) }, "net_gve does not let its key be set"),
            (PortInfo { reta_size: 0, ..info("net_vmxnet3", L4) }, "net_vmxnet3 has no redirection table"),
            (PortInfo { reta_size: 100, ..info("net_ena", L4) }, "none of a power of two"),
        ] {
            let told = lacks_for_keys(&info).unwrap();
            assert!(told.contains(lacks), "{told}");
            assert_eq!(by_key(RssWish::ClientSource, &info).seen, None);
        }
        assert_eq!(lacks_for_keys(&igb), None);
    }

    #[test]
    fn keys_are_as_long_as_ports_want_and_tables_as_they_say() {
        let port = info("net_i40e", L4);
        let plan = Plan::new(RssWish::ClientDestination, true, 4, &port);
        let keys = ZeroWindow::draw(1, 7, 4, &[]).unwrap();
        let key = hash_key(&port, &plan, Some(&keys));
        assert_eq!((&key[..KEY_LEN], &key[KEY_LEN..]), (&keys.key(End::Destination)[..], &[0; 12][..]));
        assert_eq!(table(&port, &plan, Some(&keys), 4), keys.table(128));
        let plain = Plan::new(RssWish::Flow, true, 4, &port);
        assert_eq!(table(&port, &plain, Some(&keys), 4)[..5], [0, 1, 2, 3, 0]);
    }

    #[test]
    fn ports_without_rss_are_not_relied_on() {
        let bond = PortInfo { member_drivers: vec!["net_tap".to_owned()], ..info("net_bonding", u64::MAX) };
        for info in [info("net_af_packet", 0), info("net_tap", u64::MAX), info("net_null", u64::MAX), bond] {
            let plan = Plan::new(RssWish::Flow, true, 2, &info);
            assert_eq!(plan, Plan { types: 0, spread: Spread::Unknown, seen: None });
        }
    }

    #[test]
    fn the_key_fills_whatever_length_a_port_has() {
        let port = info("net_i40e", L4);
        let key = hash_key(&port, &Plan::new(RssWish::Flow, false, 2, &port), None);
        assert_eq!(key.len(), 52);
        assert_eq!(key[..40], HASH_KEY);
        assert_eq!(key[40..], HASH_KEY[..12]);
    }
}
