//! What a port is and can do.

use super::{
    bond, by_number::text, device::Device, eal::describe_error, link::kernel_interface, port_error::PortError,
};
use lb_core::service::plan::Mac;

/// What a port is and can do, as its driver says.
#[derive(Debug)]
pub struct PortInfo {
    /// The device, as the configuration names it.
    pub device: String,
    /// Its driver, such as `net_ixgbe`.
    pub driver: String,
    /// The drivers of its members, if it is a bond.
    pub member_drivers: Vec<String>,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Most receive queues.
    pub max_rx_queues: u16,
    /// Most transmit queues.
    pub max_tx_queues: u16,
    /// Smallest MTU, in bytes.
    pub min_mtu: u16,
    /// Largest MTU, in bytes; 65535 when the driver does not report it.
    pub max_mtu: u16,
    /// Entries of the table that maps hashes to queues; 0 when there is none to set. The queue of a hash is that of
    /// entry `hash % reta_size`, which [`Port::start`](super::Port::start) sets to `entry % queues`: two ports agree
    /// on all hashes if their sizes are equal, or if the number of queues divides both.
    pub reta_size: u16,
    /// Bytes of the hash key; 0 when the driver does not report it.
    pub hash_key_size: u8,
    /// What it can hash, as bits of `RTE_ETH_RSS_*`.
    pub rss_types: u64,
    /// Receive offloads, as bits of `RTE_ETH_RX_OFFLOAD_*`.
    pub rx_offload_bits: u64,
    /// Transmit offloads, as bits of `RTE_ETH_TX_OFFLOAD_*`.
    pub tx_offload_bits: u64,
    /// The NUMA node it is attached to, if it is to one.
    pub socket: Option<u32>,
    /// The index of the kernel's interface that it is on top of, if the kernel knows more of its link than the driver.
    pub kernel_interface: Option<u32>,
}

impl PortInfo {
    /// Of an ordinary driver, as far as that does not matter.
    #[cfg(test)]
    pub(crate) fn of_driver(driver: &str, rss_types: u64) -> PortInfo {
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

    /// Whether its driver keeps packet buffers after it was closed, so that their pool cannot be freed: net_af_xdp does
    /// with those in the rings that it shares with the kernel.
    #[must_use]
    pub fn keeps_buffers(&self) -> bool {
        self.drivers().any(|driver| driver == "net_af_xdp")
    }

    /// Its driver, and if it is a bond those of its members.
    pub fn drivers(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.driver).chain(&self.member_drivers).map(String::as_str)
    }

    /// Whether it is made of other ports.
    #[must_use]
    pub fn is_bond(&self) -> bool {
        bond::is_bond(&self.driver)
    }

    /// Whether it can be left to verify the checksums of IPv4, TCP and UDP.
    #[must_use]
    pub fn verifies_checksums(&self) -> bool {
        self.checksum_offloads() == IPV4_CHECKSUM | L4_CHECKSUMS
    }

    /// The receive offloads, of those it has, that verify checksums and can be relied on.
    pub(super) fn checksum_offloads(&self) -> u64 {
        // With this offload on, these drivers allow their peer to send packets with an incomplete TCP or UDP checksum.
        // We would forward them as they are.
        let by_shared_memory =
            self.drivers().any(|driver| driver.contains("virtio") || driver.contains("vhost"));
        let wanted = if by_shared_memory { 0 } else { L4_CHECKSUMS } | IPV4_CHECKSUM;
        wanted & self.rx_offload_bits
    }

    pub(super) fn read(device: &Device) -> Result<PortInfo, PortError> {
        let info = device.info()?;
        let driver = text(info.driver_name).unwrap_or("unknown").to_owned();
        Ok(PortInfo {
            device: device.name.clone(),
            kernel_interface: kernel_interface(&driver, info.if_index),
            member_drivers: if bond::is_bond(&driver) { bond::drivers(device.id) } else { Vec::new() },
            driver,
            mac: read_mac(device)?,
            max_rx_queues: info.max_rx_queues,
            max_tx_queues: info.max_tx_queues,
            min_mtu: info.min_mtu,
            max_mtu: max_mtu(&info),
            reta_size: info.reta_size,
            hash_key_size: info.hash_key_size,
            rss_types: info.flow_type_rss_offloads,
            rx_offload_bits: info.rx_offload_capa,
            tx_offload_bits: info.tx_offload_capa,
            socket: read_socket(device),
        })
    }
}

/// Verifying the checksum of IPv4 headers, among receive offloads.
pub(super) const IPV4_CHECKSUM: u64 = dpdk_sys::SHIM_RX_OFFLOAD_IPV4_CKSUM;
/// Verifying those of TCP and UDP.
pub(super) const L4_CHECKSUMS: u64 =
    dpdk_sys::SHIM_RX_OFFLOAD_TCP_CKSUM | dpdk_sys::SHIM_RX_OFFLOAD_UDP_CKSUM;

/// Names of receive offloads; their bits are `RTE_ETH_RX_OFFLOAD_*`.
pub(super) fn rx_offload_names(bits: u64) -> Vec<&'static str> {
    // SAFETY: any number may be passed; the name is static.
    let name = |bit| text(unsafe { dpdk_sys::rte_eth_dev_rx_offload_name(bit) });
    each_bit(bits).filter_map(name).collect()
}

/// Names of transmit offloads; their bits are `RTE_ETH_TX_OFFLOAD_*`.
pub(super) fn tx_offload_names(bits: u64) -> Vec<&'static str> {
    // SAFETY: any number may be passed; the name is static.
    let name = |bit| text(unsafe { dpdk_sys::rte_eth_dev_tx_offload_name(bit) });
    each_bit(bits).filter_map(name).collect()
}

/// The largest MTU, which some drivers give only as the largest frame.
fn max_mtu(info: &dpdk_sys::rte_eth_dev_info) -> u16 {
    /// Ethernet header and CRC, which is what DPDK assumes of such drivers.
    const OVERHEAD: u32 = 14 + 4;
    if info.max_mtu != u16::MAX || info.max_rx_pktlen <= OVERHEAD {
        return info.max_mtu;
    }
    u16::try_from(info.max_rx_pktlen - OVERHEAD).unwrap_or(u16::MAX)
}

/// The Ethernet address of a port. One whose driver has none, as `net_ring`, gets one that nobody was sold: frames have to
/// come from somebody, and the kernel takes no interface without.
pub(super) fn read_mac(device: &Device) -> Result<Mac, PortError> {
    let mut mac = dpdk_sys::rte_ether_addr { addr_bytes: [0; 6] };
    // SAFETY: the device exists while `device` does, and `mac` is a place to write to.
    let code = unsafe { dpdk_sys::rte_eth_macaddr_get(device.id, &raw mut mac) };
    if code == 0 {
        let [high, low] = device.id.to_be_bytes();
        let read = Mac(mac.addr_bytes);
        return Ok(if read == Mac::default() { Mac([2, 0, 0, 0, high, low]) } else { read });
    }
    Err(PortError::Refused { device: device.name.clone(), reason: describe_error(code) })
}

pub(super) fn read_promiscuous(device: &Device) -> bool {
    // SAFETY: the device exists while `device` does.
    unsafe { dpdk_sys::rte_eth_promiscuous_get(device.id) == 1 }
}

fn read_socket(device: &Device) -> Option<u32> {
    // SAFETY: the device exists while `device` does.
    let socket = unsafe { dpdk_sys::rte_eth_dev_socket_id(device.id) };
    u32::try_from(socket).ok()
}

fn each_bit(bits: u64) -> impl Iterator<Item = u64> {
    (0..u64::BITS).map(|shift| 1_u64 << shift).filter(move |bit| bits & bit != 0)
}
