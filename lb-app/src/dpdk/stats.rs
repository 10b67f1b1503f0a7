//! What a port counts by itself.

use super::device::Device;
use std::{ffi::CStr, ptr};

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

/// All the driver's counters with its names for them; empty when it has none.
pub(super) fn read_extended(device: &Device) -> Vec<(String, u64)> {
    // SAFETY: the device exists while `device` does; without room DPDK answers how much it needs.
    let needed = unsafe { dpdk_sys::rte_eth_xstats_get_names(device.id, ptr::null_mut(), 0) };
    let Ok(size) = u32::try_from(needed) else { return Vec::new() };
    let mut names = vec![dpdk_sys::rte_eth_xstat_name { name: [0; _] }; size as usize];
    let mut values = vec![dpdk_sys::rte_eth_xstat { id: 0, value: 0 }; size as usize];
    // SAFETY: the device exists while `device` does, and `names` has room for `size`.
    let named = unsafe { dpdk_sys::rte_eth_xstats_get_names(device.id, names.as_mut_ptr(), size) };
    // SAFETY: the device exists while `device` does, and `values` has room for `size`.
    let valued = unsafe { dpdk_sys::rte_eth_xstats_get(device.id, values.as_mut_ptr(), size) };
    if named != needed || valued < 0 {
        return Vec::new();
    }
    values.truncate(valued as usize);
    let label = |value: dpdk_sys::rte_eth_xstat| {
        let name = names.get(usize::try_from(value.id).ok()?)?;
        // SAFETY: the array was zero and DPDK's names are terminated within it.
        let name = unsafe { CStr::from_ptr(name.name.as_ptr()) };
        Some((name.to_string_lossy().into_owned(), value.value))
    };
    values.into_iter().filter_map(label).collect()
}
