//! A port that moves packets.

use super::{
    bond::{self, Bond},
    device::Device,
    eal::describe_error,
    link::{Link, read_link},
    mempool::OnlyPool,
    pause::{Direction, QueuePause},
    port_error::PortError,
    port_info::{
        IPV4_CHECKSUM, L4_CHECKSUMS, PortInfo, read_promiscuous, rx_offload_names, tx_offload_names,
    },
    port_settings::PortSettings,
    queue::{RxQueue, TxQueue},
    rss::{self, Plan, Spread},
    stats::{self, PortStats},
    tx_work::TxWork,
};
use lb_core::{flow::hashing::Hashing, packet::PortId, service::plan::Mac};
use std::{cell::Cell, fmt::Write, marker::PhantomData, mem::ManuallyDrop};

/// A port that moves packets: its state and counters. The packets move through its queues, which are apart.
///
/// One thread at a time may ask. Dropped without [`StartedPort::stop_and_close`] it keeps running until the process
/// ends,
/// because its queues may still be polled.
#[derive(Debug)]
pub struct StartedPort {
    device: ManuallyDrop<Device>,
    index: PortId,
    info: PortInfo,
    settings: PortSettings,
    configured: ManuallyDrop<Configured>,
    /// Of all queues while the port is stopped.
    paused: Vec<QueuePause>,
    /// Ethernet addresses that it takes in beside its own.
    virtual_macs: Vec<Mac>,
    /// DPDK wants its control functions to be called by one thread at a time.
    not_sync: PhantomData<Cell<()>>,
}

/// How a port was set up, with what came of it.
#[derive(Clone, Debug)]
pub struct Setup {
    /// In bytes; may be larger than the one asked for.
    pub mtu: u16,
    /// Receive queues.
    pub rx_queues: u16,
    /// Transmit queues.
    pub tx_queues: u16,
    /// Descriptors of each receive queue.
    pub rx_descriptors: u16,
    /// Descriptors of each transmit queue.
    pub tx_descriptors: u16,
    /// Whether it verifies checksums of IPv4 headers.
    pub verifies_ipv4: bool,
    /// Whether it verifies those of TCP and UDP.
    pub verifies_l4: bool,
    /// What it does to packets while it sends them.
    pub work: TxWork,
    /// Names of receive offloads in use.
    pub rx_offloads: Vec<String>,
    /// Names of transmit offloads in use.
    pub tx_offloads: Vec<String>,
    /// Names of receive offloads there are.
    pub rx_offload_capabilities: Vec<String>,
    /// Names of transmit offloads there are.
    pub tx_offload_capabilities: Vec<String>,
}

/// What starting a port came to.
#[derive(Debug)]
pub(super) struct Configured {
    pub(super) rx_offloads: u64,
    pub(super) tx_offloads: u64,
    pub(super) work: TxWork,
    /// In bytes; may be larger than the one asked for.
    pub(super) mtu: u16,
    pub(super) rx_descriptors: u16,
    pub(super) tx_descriptors: u16,
    pub(super) plan: Plan,
    pub(super) key: Vec<u8>,
    /// The queue of each entry of the redirection table.
    pub(super) table: Vec<u16>,
    pub(super) spread: Spread,
    /// Why it spreads so.
    pub(super) why: String,
    /// Whether it takes in frames to any group of stations.
    pub(super) takes_multicast: bool,
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
        StartedPort {
            device,
            index,
            info,
            settings,
            configured,
            paused: Vec::new(),
            virtual_macs: Vec::new(),
            not_sync: PhantomData,
        }
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

    /// Why it spreads packets in that way, for operators.
    #[must_use]
    pub fn spread_reason(&self) -> &str {
        &self.configured.why
    }

    /// Whether it sees one end of a flow only by means of its key, as was verified.
    #[must_use]
    pub fn has_zero_window(&self) -> bool {
        self.configured.plan.seen.is_some() && self.configured.spread == Spread::ByClient
    }

    /// Has the port take in frames for these Ethernet addresses beside its own, and for no others any more. One that cannot
    /// have several takes in all frames from then on.
    ///
    /// # Errors
    /// When it can do neither.
    pub fn set_virtual_macs(&mut self, macs: &[Mac]) -> Result<(), PortError> {
        let raw = |mac: Mac| dpdk_sys::rte_ether_addr { addr_bytes: mac.0 };
        for &gone in self.virtual_macs.iter().filter(|mac| !macs.contains(mac)) {
            let mut address = raw(gone);
            // SAFETY: the port is ours, and the address outlives the call. An error means that it was not there.
            unsafe { dpdk_sys::rte_eth_dev_mac_addr_remove(self.device.id, &raw mut address) };
        }
        let new: Vec<Mac> = macs.iter().copied().filter(|mac| !self.virtual_macs.contains(mac)).collect();
        self.virtual_macs = macs.to_vec();
        for mac in new {
            let mut address = raw(mac);
            // SAFETY: as above. Pool 0 is what there is without virtual machines' queues.
            let code = unsafe { dpdk_sys::rte_eth_dev_mac_addr_add(self.device.id, &raw mut address, 0) };
            if code != 0 && !self.is_promiscuous() {
                // SAFETY: the port is ours.
                let code = unsafe { dpdk_sys::rte_eth_promiscuous_enable(self.device.id) };
                self.check(code, "take in frames for another Ethernet address")?;
            }
        }
        Ok(())
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
        if let Some(bond) = self.bond() {
            line("bond", bond.to_string());
        }
        line("MAC", mac.to_string());
        line("link", self.link().to_string());
        line("MTU", mtu.to_string());
        line("NUMA node", self.info.socket.map_or_else(|| "none".to_owned(), |socket| socket.to_string()));
        line("promiscuous", if read_promiscuous(&self.device) { "yes" } else { "no" }.to_owned());
        line("multicast", if self.takes_multicast() { "yes" } else { "no" }.to_owned());
        line("receive", format!("{rx_queues} of {max_rx_queues} queues, {rx_descriptors} descriptors each"));
        line("transmit", format!("{tx_queues} of {max_tx_queues} queues, {tx_descriptors} descriptors each"));
        line("spread", spread.to_string());
        line("  because", self.configured.why.clone());
        if self.configured.plan.types != 0 {
            line("hash table", format!("{reta_size} entries"));
        }
        line("checksums", format!("of packets that leave: {}", self.configured.work.computed_by()));
        line("VLAN tags", format!("inserted by {}", self.configured.work.tagged_by()));
        line("offloads used", offloads(*rx_offloads, *tx_offloads));
        line("  not used", offloads(rx_offload_bits & !rx_offloads, tx_offload_bits & !tx_offloads));
        text
    }

    /// Whether it takes in frames to any group of stations, because it was asked to or because it takes in all frames.
    #[must_use]
    pub fn takes_multicast(&self) -> bool {
        self.configured.takes_multicast || read_promiscuous(&self.device)
    }

    /// Has it take in frames to another Ethernet address than its own: as one more of its addresses, or where its driver has
    /// no room for it, with all frames that pass.
    ///
    /// # Errors
    /// [`PortError::Failed`] when the driver can do neither.
    pub fn accept(&self, mac: Mac) -> Result<(), PortError> {
        let mut address = dpdk_sys::rte_ether_addr { addr_bytes: mac.0 };
        // SAFETY: the port is ours and started; DPDK copies the address.
        let added = unsafe { dpdk_sys::rte_eth_dev_mac_addr_add(self.device.id, &raw mut address, 0) };
        if added == 0 {
            return Ok(());
        }
        // SAFETY: the port is ours and started.
        let code = unsafe { dpdk_sys::rte_eth_promiscuous_enable(self.device.id) };
        self.check(code, "have it take in frames to the `mac` of an interface")
    }

    /// Has it take in frames of all VLANs. Drivers leave filters off that nobody asked for; but a virtio device keeps out what
    /// is in a VLAN that it was not told of, unless it takes in all frames (VIRTIO 1.2, 5.1.6.5.4).
    ///
    /// # Errors
    /// [`PortError::Failed`] when the driver cannot.
    pub fn accept_vlans(&self) -> Result<(), PortError> {
        if !self.info.driver.starts_with("net_virtio") {
            return Ok(());
        }
        // SAFETY: the port is ours and started.
        let code = unsafe { dpdk_sys::rte_eth_promiscuous_enable(self.device.id) };
        self.check(code, "have it take in frames of VLANs")
    }

    /// Whether it moves packets: it does not while it is paused.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        self.paused.is_empty()
    }

    /// Stops the port until [`StartedPort::resume`]. Wants the proofs that all its queues are paused.
    ///
    /// # Errors
    /// [`PortError::QueuesOut`] when proofs are missing, [`PortError::Failed`] when the driver refuses. It runs on then.
    pub fn pause(&mut self, proofs: Vec<QueuePause>) -> Result<(), PortError> {
        let covers = |direction, count| {
            (0..count).all(|queue| {
                let is_it = |proof: &QueuePause| {
                    (proof.device, proof.direction, proof.queue) == (self.device.id, direction, queue)
                };
                proofs.iter().any(is_it)
            })
        };
        let PortSettings { rx_queues, tx_queues, .. } = self.settings;
        if !covers(Direction::Receive, rx_queues) || !covers(Direction::Transmit, tx_queues) {
            return Err(PortError::QueuesOut { device: self.info.device.clone() });
        }
        if self.is_moving() && !self.stops_for_good() {
            // SAFETY: the port is ours and started, and nobody uses its queues, by the proofs.
            let code = unsafe { dpdk_sys::rte_eth_dev_stop(self.device.id) };
            self.check(code, "stop the port")?;
        }
        self.paused = proofs;
        Ok(())
    }

    /// Starts the port again, if it is paused, and resumes its queues.
    ///
    /// # Errors
    /// [`PortError::Failed`] when the driver refuses. The port stays paused then.
    pub fn resume(&mut self) -> Result<(), PortError> {
        if self.is_moving() {
            return Ok(());
        }
        if !self.stops_for_good() {
            // SAFETY: the port is ours and configured, with all its queues set up; it was stopped in `pause`.
            let code = unsafe { dpdk_sys::rte_eth_dev_start(self.device.id) };
            self.check(code, "start the port")?;
        }
        if self.configured.plan.types != 0 {
            rss::write_table(&self.device, &self.configured.table);
        }
        self.paused.clear();
        Ok(())
    }

    /// Whether its driver cannot start a port again that it has stopped: net_af_packet closes its sockets. Such a port
    /// keeps running while it is paused; what it receives waits in its ring, and is lost when that is full.
    fn stops_for_good(&self) -> bool {
        self.info.drivers().any(|driver| driver == "net_af_packet")
    }

    fn check(&self, code: i32, step: &'static str) -> Result<(), PortError> {
        if code >= 0 {
            return Ok(());
        }
        let (device, driver) = (self.info.device.clone(), self.info.driver.clone());
        Err(PortError::Failed { device, driver, step, reason: describe_error(code) })
    }

    /// How it was set up, with what came of it.
    #[must_use]
    pub fn setup(&self) -> Setup {
        let Configured { mtu, rx_descriptors, tx_descriptors, rx_offloads, tx_offloads, work, .. } =
            *self.configured;
        let PortSettings { rx_queues, tx_queues, .. } = self.settings;
        let names = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        Setup {
            mtu,
            rx_queues,
            tx_queues,
            rx_descriptors,
            tx_descriptors,
            verifies_ipv4: rx_offloads & IPV4_CHECKSUM == IPV4_CHECKSUM,
            verifies_l4: rx_offloads & L4_CHECKSUMS == L4_CHECKSUMS,
            work,
            rx_offloads: names(rx_offload_names(rx_offloads)),
            tx_offloads: names(tx_offload_names(tx_offloads)),
            rx_offload_capabilities: names(rx_offload_names(self.info.rx_offload_bits)),
            tx_offload_capabilities: names(tx_offload_names(self.info.tx_offload_bits)),
        }
    }

    /// Its members, if it is a bond.
    #[must_use]
    pub fn bond(&self) -> Option<Bond> {
        self.info.is_bond().then(|| bond::read(self.device.id))
    }

    /// If it is a bond that has not noticed that a member's link went down or came up, has packets pass by those that are up.
    pub fn fail_over(&self) {
        if self.info.is_bond() {
            bond::fail_over(self.device.id);
        }
    }

    /// The link now.
    #[must_use]
    pub fn link(&self) -> Link {
        read_link(self.device.id, self.info.kernel_interface)
    }

    /// Whether it accepts frames for other hosts (promiscuous mode).
    #[must_use]
    pub fn is_promiscuous(&self) -> bool {
        read_promiscuous(&self.device)
    }

    /// Its counters in its driver's words; none if the driver has none.
    #[must_use]
    pub fn xstats(&self) -> Vec<(String, u64)> {
        stats::read_extended(&self.device)
    }

    /// Its hash and redirection table, as it reports them.
    #[must_use]
    pub fn hashing(&self) -> Hashing {
        rss::read(&self.device, &self.info)
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
