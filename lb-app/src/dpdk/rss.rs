//! How a port spreads packets over its receive queues: what we ask for, and what can be relied on.

use super::{device::Device, port_info::PortInfo};
use lb_core::flow::{
    hashing::{DESTINATION_ONLY, Hashing, SOURCE_ONLY},
    owner::RSS_KEY_WORD,
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

/// What a port may leave out although it was asked for.
const V6_TYPES: u64 = dpdk_sys::SHIM_RSS_IPV6 | dpdk_sys::SHIM_RSS_IPV6_TCP | dpdk_sys::SHIM_RSS_IPV6_UDP;

/// What to configure, and the spread it gives if the port applies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Bits of `RTE_ETH_RSS_*`; 0 for no RSS.
    pub(super) types: u64,
    pub(super) spread: Spread,
}

impl Plan {
    /// Chooses from what the port offers.
    pub(super) fn new(wish: RssWish, queues: u16, info: &PortInfo) -> Plan {
        if queues <= 1 {
            return Plan { types: 0, spread: Spread::Single };
        }
        let offered = info.rss_types;
        // Addresses alone still keep a connection together.
        let of = |ports, addresses| match offered & ports {
            0 => offered & addresses,
            fields => fields,
        };
        let v4 = of(dpdk_sys::SHIM_RSS_IPV4_TCP | dpdk_sys::SHIM_RSS_IPV4_UDP, dpdk_sys::SHIM_RSS_IPV4);
        let v6 = of(dpdk_sys::SHIM_RSS_IPV6_TCP | dpdk_sys::SHIM_RSS_IPV6_UDP, dpdk_sys::SHIM_RSS_IPV6);
        // Where a port does not hash IPv6, all of it arrives on the first queue.
        let fields = if v4 == 0 { 0 } else { v4 | v6 };
        // A driver without RSS may still have several queues, and fills them as it likes: net_af_packet's kernel side,
        // for one, sends a flow to another queue when its own is full.
        if wish == RssWish::None || fields == 0 || info.drivers().any(|driver| PRETENDERS.contains(&driver)) {
            return Plan { types: 0, spread: Spread::Unknown };
        }
        let side = match wish {
            RssWish::ClientSource => dpdk_sys::SHIM_RSS_SOURCE_ONLY,
            RssWish::ClientDestination => dpdk_sys::SHIM_RSS_DESTINATION_ONLY,
            RssWish::Flow | RssWish::None => 0,
        };
        if side != 0 && offered & side == side {
            Plan { types: fields | side, spread: Spread::ByClient }
        } else {
            Plan { types: fields, spread: Spread::ByFlow }
        }
    }
}

/// What a port would choose the queue by if it were started with that wish.
#[must_use]
pub fn expected(wish: RssWish, queues: u16, info: &PortInfo) -> Spread {
    Plan::new(wish, queues, info).spread
}

/// The key in the length that the port wants.
pub(super) fn hash_key(info: &PortInfo) -> Vec<u8> {
    let len = if info.hash_key_size == 0 { HASH_KEY.len() } else { usize::from(info.hash_key_size) };
    HASH_KEY.iter().copied().cycle().take(len).collect()
}

/// Spreads the table's entries evenly over the queues. Ports that cannot do that have an even table of their own.
pub(super) fn write_table(device: &Device, size: u16, queues: u16) {
    let group_size = dpdk_sys::SHIM_RETA_GROUP;
    let mut groups = Vec::new();
    for start in (0..size).step_by(usize::from(group_size)) {
        let used = group_size.min(size - start);
        let mut group = dpdk_sys::rte_eth_rss_reta_entry64 { mask: u64::MAX, reta: [0; 64] };
        if used < group_size {
            group.mask = (1 << used) - 1;
        }
        for (offset, queue) in (0..used).zip(&mut group.reta) {
            *queue = (start + offset) % queues;
        }
        groups.push(group);
    }
    if groups.is_empty() {
        return;
    }
    // SAFETY: the device exists while `device` does, and the groups cover the table's `size` entries.
    unsafe { dpdk_sys::rte_eth_dev_rss_reta_update(device.id, groups.as_mut_ptr(), size) };
}

/// The spread of the started port: `plan`'s, unless the port reports something else.
pub(super) fn verify(device: &Device, plan: Plan, key: &[u8]) -> Spread {
    if plan.types == 0 {
        return plan.spread;
    }
    let mut types = 0;
    let mut actual = vec![0; key.len()];
    let size = u8::try_from(actual.len()).unwrap_or(u8::MAX);
    // SAFETY: the device exists while `device` does; `actual` has room for `size` bytes of key.
    let code = unsafe { dpdk_sys::shim_port_rss(device.id, &raw mut types, actual.as_mut_ptr(), size) };
    if code != 0 {
        return plan.spread; // A driver that cannot be asked; it did not refuse the settings.
    }
    // Two ports must hash a client alike, so for that the key matters too.
    let other_key = actual != key && actual.iter().any(|&byte| byte != 0);
    if !types & plan.types & !V6_TYPES != 0 || (plan.spread == Spread::ByClient && other_key) {
        return Spread::Unknown;
    }
    plan.spread
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
    use lb_core::service::plan::Mac;

    const V4_L4: u64 = dpdk_sys::SHIM_RSS_IPV4_TCP | dpdk_sys::SHIM_RSS_IPV4_UDP;
    const L4: u64 = V4_L4 | dpdk_sys::SHIM_RSS_IPV6_TCP | dpdk_sys::SHIM_RSS_IPV6_UDP;

    fn info(driver: &str, rss_types: u64) -> PortInfo {
        PortInfo {
            device: "test".to_owned(),
            driver: driver.to_owned(),
            member_drivers: Vec::new(),
            mac: Mac::default(),
            max_rx_queues: 8,
            max_tx_queues: 8,
            min_mtu: 68,
            max_mtu: 9000,
            reta_size: 128,
            hash_key_size: 52,
            rss_types,
            rx_offload_bits: 0,
            tx_offload_bits: 0,
            socket: None,
            kernel_interface: None,
        }
    }

    #[test]
    fn the_wish_is_met_as_far_as_the_port_can() {
        let source = dpdk_sys::SHIM_RSS_SOURCE_ONLY;
        let full = info("net_mlx5", u64::MAX);
        let plan = |wish, queues, info: &PortInfo| Plan::new(wish, queues, info);
        assert_eq!(plan(RssWish::Flow, 1, &full), Plan { types: 0, spread: Spread::Single });
        assert_eq!(plan(RssWish::Flow, 2, &full), Plan { types: L4, spread: Spread::ByFlow });
        assert_eq!(plan(RssWish::None, 2, &full), Plan { types: 0, spread: Spread::Unknown });
        let by_client = Plan { types: L4 | source, spread: Spread::ByClient };
        assert_eq!(plan(RssWish::ClientSource, 2, &full), by_client);
        let by_flow = Plan { types: L4, spread: Spread::ByFlow };
        assert_eq!(plan(RssWish::ClientDestination, 2, &info("net_ixgbe", L4 | source)), by_flow);
        assert_eq!(plan(RssWish::Flow, 2, &info("net_ixgbe", V4_L4)), Plan { types: V4_L4, ..by_flow });
        let addresses = info("net_e1000", dpdk_sys::SHIM_RSS_IPV4);
        assert_eq!(plan(RssWish::Flow, 2, &addresses).types, dpdk_sys::SHIM_RSS_IPV4);
    }

    #[test]
    fn ports_without_rss_are_not_relied_on() {
        let bond = PortInfo { member_drivers: vec!["net_tap".to_owned()], ..info("net_bonding", u64::MAX) };
        for info in [info("net_af_packet", 0), info("net_tap", u64::MAX), info("net_null", u64::MAX), bond] {
            assert_eq!(Plan::new(RssWish::Flow, 2, &info), Plan { types: 0, spread: Spread::Unknown });
        }
    }

    #[test]
    fn the_key_fills_whatever_length_a_port_has() {
        let key = hash_key(&info("net_i40e", 0));
        assert_eq!(key.len(), 52);
        assert_eq!(key[..40], HASH_KEY);
        assert_eq!(key[40..], HASH_KEY[..12]);
    }
}
