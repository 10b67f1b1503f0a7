//! What a port counts by itself.

use super::device::Device;

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
