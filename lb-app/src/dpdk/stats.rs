//! The counters of a port.

use super::device::Device;
use std::ptr;

/// A port's counters since it was opened, as its driver keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets transmitted.
    pub tx_packets: u64,
    /// Bytes received, without preamble and mostly without CRC.
    pub rx_bytes: u64,
    /// Bytes transmitted, as above.
    pub tx_bytes: u64,
    /// Packets lost because the receive queues were full: the workers were too slow.
    pub rx_missed: u64,
    /// Packets received damaged.
    pub rx_errors: u64,
    /// Packets whose transmission failed.
    pub tx_errors: u64,
    /// Packets lost, or delayed, because the pool had no buffer: it is too small.
    pub rx_no_buffer: u64,
}

/// Zeros when the driver does not count.
pub(super) fn read(device: &Device) -> PortStats {
    let mut stats = dpdk_sys::rte_eth_stats::default();
    // SAFETY: the device exists while `device` does, and `stats` is a place to write to.
    let code = unsafe { dpdk_sys::rte_eth_stats_get(device.id, &raw mut stats) };
    if code != 0 {
        return PortStats::default();
    }
    PortStats {
        rx_packets: stats.ipackets,
        tx_packets: stats.opackets,
        rx_bytes: stats.ibytes,
        tx_bytes: stats.obytes,
        rx_missed: stats.imissed,
        rx_errors: stats.ierrors,
        tx_errors: stats.oerrors,
        rx_no_buffer: stats.rx_nombuf,
    }
}

/// A driver's own counters. Empty when it has none or they cannot be read.
pub(super) fn read_extended(device: &Device) -> Vec<(String, u64)> {
    // SAFETY: the device exists while `device` does; without a place to write to, DPDK only counts.
    let count = unsafe { dpdk_sys::rte_eth_xstats_get_names(device.id, ptr::null_mut(), 0) };
    let Ok(count) = u32::try_from(count) else { return Vec::new() };
    let mut names = vec![dpdk_sys::rte_eth_xstat_name::default(); count as usize];
    let mut values = vec![dpdk_sys::rte_eth_xstat::default(); count as usize];
    // SAFETY: as above; there is room for `count` names.
    let named = unsafe { dpdk_sys::rte_eth_xstats_get_names(device.id, names.as_mut_ptr(), count) };
    // SAFETY: as above; there is room for `count` values.
    let valued = unsafe { dpdk_sys::rte_eth_xstats_get(device.id, values.as_mut_ptr(), count) };
    // What there is more of by now than was counted was not written.
    let whole = |written: i32| u32::try_from(written).is_ok_and(|written| written <= count);
    if !whole(named) || !whole(valued) {
        return Vec::new();
    }
    values.truncate(valued as usize);
    let text = |name: &dpdk_sys::rte_eth_xstat_name| {
        let bytes: Vec<u8> = name.name.iter().map(|&c| c as u8).take_while(|&c| c != 0).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    values.iter().filter_map(|value| Some((text(names.get(value.id as usize)?), value.value))).collect()
}
