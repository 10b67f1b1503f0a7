//! How a port is to run.

use super::{rss::RssWish, tx_work::TxWish};
use lb_core::flow::zero_window::ZeroWindow;
use std::sync::Arc;

/// How to run a port.
#[derive(Clone, Debug)]
pub struct PortSettings {
    /// Receive queues: one per worker.
    pub rx_queues: u16,
    /// Transmit queues: one per worker.
    pub tx_queues: u16,
    /// Descriptors per receive queue: packets that it holds. Adjusted to what the driver can do.
    pub rx_descriptors: u16,
    /// Descriptors per transmit queue. Adjusted to what the driver can do.
    pub tx_descriptors: u16,
    /// Largest IP packet, in bytes. A device that is an interface of the kernel's too gets it there as well.
    pub mtu: u16,
    /// What to choose the receive queue by.
    pub rss: RssWish,
    /// Keys by which it is to see one end of a flow only, if its wish is one end.
    pub keys: Option<Arc<ZeroWindow>>,
    /// Why it is to choose the receive queue so, for operators.
    pub why: String,
    /// Whether the port is to verify checksums, as far as it can.
    pub rx_checksum: bool,
    /// What the port is to do to packets while it sends them.
    pub tx: TxWish,
    /// Whether the port is to take in frames to any group of stations: neighbours of IPv6 ask for the director by those.
    pub multicast: bool,
}
