//! A port that moves packets.

use super::{
    device::Device,
    mempool::OnlyPool,
    port::PortSettings,
    port_error::PortError,
    port_info::{PortInfo, read_link, read_promiscuous, rx_offload_names, tx_offload_names},
    queue::{RxQueue, TxQueue},
    rss::{Plan, Spread},
    stats::{self, PortStats},
};
use lb_core::{packet::PortId, service::plan::Mac};
use std::{cell::Cell, fmt::Write, marker::PhantomData, mem::ManuallyDrop};

/// A port that moves packets: its state and counters. The packets move through its queues, which are apart.
///
/// One thread at a time may ask. Dropped without [`StartedPort::stop_and_close`] it runs on until the process ends,
/// because its queues may still be polled.
#[derive(Debug)]
pub struct StartedPort {
    device: ManuallyDrop<Device>,
    index: PortId,
    info: PortInfo,
    settings: PortSettings,
    configured: ManuallyDrop<Configured>,
    /// DPDK wants its control functions to be called by one thread at a time.
    not_sync: PhantomData<Cell<()>>,
}

/// What starting a port came to.
#[derive(Debug)]
pub(super) struct Configured {
    pub(super) rx_offloads: u64,
    pub(super) tx_offloads: u64,
    /// In bytes; may be larger than the one asked for.
    pub(super) mtu: u16,
    pub(super) rx_descriptors: u16,
    pub(super) tx_descriptors: u16,
    pub(super) plan: Plan,
    pub(super) key: Vec<u8>,
    pub(super) spread: Spread,
    /// There while the driver frees buffers without asking for their pool.
    pub(super) _only_pool: Option<OnlyPool>,
}

impl StartedPort {
    pub(super) fn new(
        device: Device,
        index: PortId,
        info: PortInfo,
        settings: PortSettings,
        configured: Configured,
    ) -> StartedPort {
        let (device, configured) = (ManuallyDrop::new(device), ManuallyDrop::new(configured));
        StartedPort { device, index, info, settings, configured, not_sync: PhantomData }
    }

    /// What the port is and can do.
    #[must_use]
    pub fn info(&self) -> &PortInfo {
        &self.info
    }

    /// The port's place in the configuration.
    #[must_use]
    pub fn index(&self) -> PortId {
        self.index
    }

    /// The port's Ethernet address.
    #[must_use]
    pub fn mac(&self) -> Mac {
        self.info.mac
    }

    /// What it chooses the receive queue by.
    #[must_use]
    pub fn spread(&self) -> Spread {
        self.configured.spread
    }

    /// The common counters.
    #[must_use]
    pub fn stats(&self) -> PortStats {
        stats::read(&self.device)
    }

    /// Several lines for operators: what the port is, and how it runs.
    #[must_use]
    pub fn describe(&self) -> String {
        let PortInfo { device, driver, mac, max_rx_queues, max_tx_queues, reta_size, .. } = &self.info;
        let PortInfo { rx_offload_bits, tx_offload_bits, .. } = &self.info;
        let PortSettings { rx_queues, tx_queues, .. } = self.settings;
        let Configured { mtu, rx_descriptors, tx_descriptors, spread, rx_offloads, tx_offloads, .. } =
            &*self.configured;
        let mut text = format!("port {}: {device}\n", self.index.0);
        let mut line = |name: &str, value: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {name:<14}{value}");
        };
        line("driver", driver.clone());
        line("MAC", mac.to_string());
        line("link", read_link(&self.device).to_string());
        line("MTU", mtu.to_string());
        line("NUMA node", self.info.socket.map_or_else(|| "none".to_owned(), |socket| socket.to_string()));
        line("promiscuous", if read_promiscuous(&self.device) { "yes" } else { "no" }.to_owned());
        line("receive", format!("{rx_queues} of {max_rx_queues} queues, {rx_descriptors} descriptors each"));
        line("transmit", format!("{tx_queues} of {max_tx_queues} queues, {tx_descriptors} descriptors each"));
        line("spread", spread.to_string());
        if self.configured.plan.types != 0 {
            line("hash table", format!("{reta_size} entries"));
        }
        line("offloads used", offloads(*rx_offloads, *tx_offloads));
        line("  not used", offloads(rx_offload_bits & !rx_offloads, tx_offload_bits & !tx_offloads));
        text
    }

    /// Stops and closes the port, and detaches its device if opening it attached it. Wants all queues back, so that
    /// nobody can poll them afterwards.
    ///
    /// # Errors
    /// [`PortError::QueuesOut`] when queues are missing: then the port is left running until the process ends.
    pub fn stop_and_close(mut self, rx: Vec<RxQueue>, tx: Vec<TxQueue>) -> Result<(), PortError> {
        let id = self.device.id;
        // Each queue exists once, so that having as many as there are is having all.
        let all_rx =
            rx.len() == usize::from(self.settings.rx_queues) && rx.iter().all(|queue| queue.device == id);
        let all_tx =
            tx.len() == usize::from(self.settings.tx_queues) && tx.iter().all(|queue| queue.device == id);
        if !all_rx || !all_tx {
            // The missing ones' pool must stay, and the ones handed back keep it.
            std::mem::forget(rx);
            return Err(PortError::QueuesOut { device: self.info.device.clone() });
        }
        // SAFETY: the port is ours and started. An error means that it is not running, which is what is wanted.
        unsafe { dpdk_sys::rte_eth_dev_stop(id) };
        // SAFETY: not used again; `self` has no destructor and ends here.
        drop(unsafe { ManuallyDrop::take(&mut self.device) });
        // SAFETY: as above. The driver has given all buffers back, so the pool may get company now.
        drop(unsafe { ManuallyDrop::take(&mut self.configured) });
        drop((rx, tx));
        Ok(())
    }
}

/// Names of the offloads with these bits.
fn offloads(rx: u64, tx: u64) -> String {
    let rx = rx_offload_names(rx).into_iter().map(|name| format!("RX_{name}"));
    let tx = tx_offload_names(tx).into_iter().map(|name| format!("TX_{name}"));
    let names: Vec<String> = rx.chain(tx).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}
