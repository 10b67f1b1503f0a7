//! From a device's name to a started port with its queues.

use super::{
    bond,
    device::Device,
    eal::describe_error,
    mempool::{Mempool, OnlyPool},
    pause::Hold,
    port_error::PortError,
    port_info::{PortInfo, read_mac},
    port_settings::PortSettings,
    queue::{RxQueue, TxQueue},
    rss,
    started::{Configured, StartedPort},
    tx_work::TxWork,
};
use lb_core::packet::PortId;
use std::{marker::PhantomData, ptr};

/// A port that is open but moves no packets yet. Dropping it closes it.
#[derive(Debug)]
pub struct Port {
    device: Device,
    index: PortId,
    info: PortInfo,
}

/// A started port and its queues.
pub type StartedPortAndQueues = (StartedPort, Vec<RxQueue>, Vec<TxQueue>);

impl Port {
    /// Opens the port that the configuration lists at `index`. `device` is one of:
    /// * the name of a device that DPDK has, such as `net_tap0` made by EAL's `--vdev`;
    /// * a PCI address, `0000:03:00.0` or `03:00.0`, of a device bound to vfio-pci or the like;
    /// * the name and arguments of a virtual device, such as `net_af_packet0,iface=veth0,qpairs=2`, which is attached
    ///   now and detached when the port is closed.
    ///
    /// `members` are those of a bond that is attached now, each named in one of these ways; they are nobody else's then.
    ///
    /// # Errors
    /// See [`PortError`].
    pub fn open(device: &str, members: &[String], index: PortId) -> Result<Port, PortError> {
        let device = Device::open(device, members)?;
        let info = PortInfo::read(&device)?;
        Ok(Port { device, index, info })
    }

    /// What the port is and can do.
    #[must_use]
    pub fn info(&self) -> &PortInfo {
        &self.info
    }

    /// Configures and starts the port. Received packets come from `pool`.
    ///
    /// # Errors
    /// See [`PortError`]. The port is closed then.
    pub fn start(self, settings: PortSettings, pool: &Mempool) -> Result<StartedPortAndQueues, PortError> {
        self.check_queues(&settings)?;
        self.check_frame_room(settings.mtu, pool)?;
        let mtu_before = self.mtu();
        let configured = self.configure(&settings)?;
        let mtu = self.set_mtu(settings.mtu, mtu_before)?;
        let (rx_descriptors, tx_descriptors) = self.adjust_descriptors(&settings)?;
        for queue in 0..settings.rx_queues {
            self.set_up_rx_queue(queue, rx_descriptors, pool)?;
        }
        for queue in 0..settings.tx_queues {
            self.set_up_tx_queue(queue, tx_descriptors)?;
        }
        // SAFETY: the port is ours and configured, with all its queues set up.
        let code = unsafe { dpdk_sys::rte_eth_dev_start(self.device.id) };
        self.check(code, "start the port")?;

        // A bond with LACP takes frames to all stations for frames to a group, and drops them: no ARP would arrive.
        let multicast = settings.multicast || self.has_partners();
        // SAFETY: the port is ours and started.
        let takes_multicast =
            multicast && unsafe { dpdk_sys::rte_eth_allmulticast_enable(self.device.id) } == 0;
        // The table can be written on started ports only, with most drivers.
        if configured.plan.types != 0 {
            rss::write_table(&self.device, &configured.table);
        }
        let Configured { plan, key, table, .. } = &configured;
        let asked = (plan, settings.why.as_str());
        let (spread, why) = rss::verify(&self.device, &self.info, asked, (key, table));
        let (rx, tx) = self.queues(&settings, configured.work, pool);
        let configured =
            Configured { mtu, rx_descriptors, tx_descriptors, spread, why, takes_multicast, ..configured };
        // A bond takes that of the member that it starts with.
        let info = PortInfo { mac: read_mac(&self.device)?, ..self.info };
        Ok((StartedPort::new(self.device, self.index, info, settings, configured), rx, tx))
    }

    /// Whether it is a bond with LACP.
    fn has_partners(&self) -> bool {
        self.info.is_bond() && bond::mode(self.device.id).has_partners()
    }

    /// The queues' handles, each once.
    fn queues(&self, settings: &PortSettings, work: TxWork, pool: &Mempool) -> (Vec<RxQueue>, Vec<TxQueue>) {
        let (device, index) = (self.device.id, self.index);
        let rx = |queue| RxQueue {
            device,
            queue,
            index,
            discarded: 0,
            hold: Hold::default(),
            _pool: pool.clone(),
            not_sync: PhantomData,
        };
        let has_partners = self.has_partners();
        let tx = |queue| TxQueue {
            device,
            queue,
            index,
            hold: Hold::default(),
            has_partners,
            work,
            not_sync: PhantomData,
        };
        ((0..settings.rx_queues).map(rx).collect(), (0..settings.tx_queues).map(tx).collect())
    }

    fn check_queues(&self, settings: &PortSettings) -> Result<(), PortError> {
        let receive = ("receive", settings.rx_queues, self.info.max_rx_queues);
        let transmit = ("transmit", settings.tx_queues, self.info.max_tx_queues);
        for (direction, wanted, most) in [receive, transmit] {
            if wanted > most {
                let (device, driver) = (self.info.device.clone(), self.info.driver.clone());
                return Err(PortError::TooFewQueues { device, driver, direction, wanted, most });
            }
        }
        Ok(())
    }

    /// Frames are never split over several buffers, so the largest must fit one.
    fn check_frame_room(&self, mtu: u16, pool: &Mempool) -> Result<(), PortError> {
        /// Ethernet header and one VLAN tag.
        const HEADERS: u32 = 14 + 4;
        let (needed, room) = (u32::from(mtu) + HEADERS, pool.frame_room());
        if needed <= u32::from(room) {
            return Ok(());
        }
        Err(PortError::BuffersTooSmall { device: self.info.device.clone(), mtu, needed, room })
    }

    /// Asks for queues, offloads and RSS. Leaves the MTU at DPDK's default: `set_mtu` knows what to make of a refusal.
    fn configure(&self, settings: &PortSettings) -> Result<Configured, PortError> {
        let keys = settings.keys.as_deref();
        let plan = rss::Plan::new(settings.rss, keys.is_some(), settings.rx_queues, &self.info);
        let mut key = rss::hash_key(&self.info, &plan, keys);
        let table = rss::table(&self.info, &plan, keys, settings.rx_queues);
        let rx_offloads = if settings.rx_checksum { self.info.checksum_offloads() } else { 0 };
        let only_pool = self.fast_free_pool();
        let work = TxWork::of(settings.tx, &self.info);
        let fast_free = if only_pool.is_some() { dpdk_sys::SHIM_TX_OFFLOAD_MBUF_FAST_FREE } else { 0 };
        let tx_offloads = work.offloads | fast_free;
        let key_size = u8::try_from(key.len()).unwrap_or(u8::MAX);
        // SAFETY: the port is ours and not started; the key is `key_size` bytes, which DPDK copies.
        let code = unsafe {
            dpdk_sys::shim_port_configure(
                self.device.id,
                settings.rx_queues,
                settings.tx_queues,
                rx_offloads,
                tx_offloads,
                plan.types,
                key.as_mut_ptr(),
                key_size,
            )
        };
        self.check(code, "configure the port")?;
        let spread = plan.spread;
        let (mtu, rx_descriptors, tx_descriptors) =
            (settings.mtu, settings.rx_descriptors, settings.tx_descriptors);
        Ok(Configured {
            rx_offloads,
            tx_offloads,
            work,
            mtu,
            rx_descriptors,
            tx_descriptors,
            plan,
            key,
            table,
            spread,
            why: String::new(),
            takes_multicast: false,
            _only_pool: only_pool,
        })
    }

    /// With MBUF_FAST_FREE the driver puts transmitted buffers back into the first one's pool without looking: right
    /// while all buffers are from one pool and have one reference. The second is an invariant of `Mbuf`.
    fn fast_free_pool(&self) -> Option<OnlyPool> {
        // A bond sends packets of pools of its own as well (LACP, mode 6).
        let offered =
            !self.info.is_bond() && self.info.tx_offload_bits & dpdk_sys::SHIM_TX_OFFLOAD_MBUF_FAST_FREE != 0;
        if offered { OnlyPool::take() } else { None }
    }

    /// Sets the MTU and returns what the port has then. Some drivers cannot; what they have is good if large enough.
    fn set_mtu(&self, wanted: u16, before: u16) -> Result<u16, PortError> {
        // SAFETY: the port is ours, configured and not started.
        let code = unsafe { dpdk_sys::rte_eth_dev_set_mtu(self.device.id, wanted) };
        if code == 0 {
            return Ok(wanted);
        }
        if before >= wanted {
            return Ok(before);
        }
        let (least, most) = match code {
            _ if code == -libc::ENOTSUP => (before, before),
            _ => (self.info.min_mtu, self.info.max_mtu),
        };
        if (least..=most).contains(&wanted) {
            self.check(code, "set the MTU")?;
        }
        Err(PortError::MtuOutOfRange { device: self.info.device.clone(), wanted, least, most })
    }

    /// The port's MTU; 0 if it does not report it.
    fn mtu(&self) -> u16 {
        let mut mtu = 0;
        // SAFETY: the port is ours, and `mtu` a place to write to.
        let code = unsafe { dpdk_sys::rte_eth_dev_get_mtu(self.device.id, &raw mut mtu) };
        if code == 0 { mtu } else { 0 }
    }

    fn adjust_descriptors(&self, settings: &PortSettings) -> Result<(u16, u16), PortError> {
        let (mut rx, mut tx) = (settings.rx_descriptors, settings.tx_descriptors);
        // SAFETY: the port is ours; both numbers are places to read from and write to.
        let code =
            unsafe { dpdk_sys::rte_eth_dev_adjust_nb_rx_tx_desc(self.device.id, &raw mut rx, &raw mut tx) };
        self.check(code, "choose the number of descriptors")?;
        Ok((rx, tx))
    }

    fn set_up_rx_queue(&self, queue: u16, descriptors: u16, pool: &Mempool) -> Result<(), PortError> {
        // SAFETY: the port is ours, configured and not started; without settings DPDK takes the port's. The pool
        // outlives the queue, whose handle holds it.
        let code = unsafe {
            dpdk_sys::rte_eth_rx_queue_setup(
                self.device.id,
                queue,
                descriptors,
                self.socket(),
                ptr::null(),
                pool.as_ptr(),
            )
        };
        self.check(code, "set up a receive queue")
    }

    fn set_up_tx_queue(&self, queue: u16, descriptors: u16) -> Result<(), PortError> {
        // SAFETY: as for receive queues.
        let code = unsafe {
            dpdk_sys::rte_eth_tx_queue_setup(self.device.id, queue, descriptors, self.socket(), ptr::null())
        };
        self.check(code, "set up a transmit queue")
    }

    /// The NUMA node for the queues' memory; DPDK's `SOCKET_ID_ANY` is -1.
    fn socket(&self) -> u32 {
        self.info.socket.unwrap_or(u32::MAX)
    }

    fn check(&self, code: i32, step: &'static str) -> Result<(), PortError> {
        if code >= 0 {
            return Ok(());
        }
        let (device, driver) = (self.info.device.clone(), self.info.driver.clone());
        Err(PortError::Failed { device, driver, step, reason: describe_error(code) })
    }
}
