//! What can go wrong with a port, in the operator's terms and with the remedy.

use super::{by_number::member_key, eal::EalError};
use thiserror::Error;

/// Why a port could not be opened, started or closed. `device` is the port's device as the configuration names it.
#[derive(Debug, Error)]
pub enum PortError {
    /// DPDK does not run.
    #[error(transparent)]
    Eal(#[from] EalError),
    /// The device's name holds a NUL byte.
    #[error("the device name {0:?} contains a NUL byte")]
    BadName(String),
    /// DPDK has no such device, and none can be made from the name.
    #[error("DPDK has no device {device:?}; it has {}.{hint}", list(.seen))]
    NoSuchDevice {
        /// The device.
        device: String,
        /// The names of the devices that DPDK sees.
        seen: Vec<String>,
        /// What the operator can do about it, with a space in front.
        hint: String,
    },
    /// No plug-in knows the virtual device's driver.
    #[error(
        "DPDK has no driver for {device:?}: the name must begin with a driver's, such as net_af_packet, net_tap or \
         net_pcap, and on Debian the package librte-net-* of that driver must be installed"
    )]
    NoDriver {
        /// The device.
        device: String,
    },
    /// The network interface that a virtual device is to use does not exist.
    #[error("{device:?} uses the network interface {interface:?}, which does not exist (see: ip link)")]
    NoInterface {
        /// The device.
        device: String,
        /// The interface.
        interface: String,
    },
    /// The PCI device is there, but bound to a driver of the kernel.
    #[error(
        "the PCI device {device} is not bound to a driver that DPDK can use; bind it with: \
         dpdk-devbind.py --bind=vfio-pci {device}"
    )]
    NotBound {
        /// The device.
        device: String,
    },
    /// The driver refused the device.
    #[error("the driver did not accept the device {device:?} ({reason}); see its messages above")]
    Refused {
        /// The device.
        device: String,
        /// DPDK's words.
        reason: String,
    },
    /// Arguments were given for a device that exists already.
    #[error("a device named {device:?} exists already; use its name without arguments, or another name")]
    Exists {
        /// The device.
        device: String,
    },
    /// The configuration names the device twice.
    #[error("the device {device:?} is in use as another port")]
    InUse {
        /// The device.
        device: String,
    },
    /// A bond without members.
    #[error(
        "the bond {device:?} has no members: name them in `members`, or in its arguments, as in \
         \"{device},{}=net_tap0\"; see DPDK's messages above",
        member_key()
    )]
    NoMembers {
        /// The device.
        device: String,
    },
    /// A bond did not take one of its members.
    #[error("the bond {device:?} did not take {member:?} as a member; see DPDK's messages above")]
    NotTaken {
        /// The device.
        device: String,
        /// The member, as the configuration names it.
        member: String,
    },
    /// The port has fewer queues than there are workers.
    #[error(
        "{device}: {wanted} {direction} queues are needed, one per worker, but the driver {driver} offers {most} \
         here; use fewer workers{}",
        queue_remedy(.driver)
    )]
    TooFewQueues {
        /// The device.
        device: String,
        /// Its driver.
        driver: String,
        /// `receive` or `transmit`.
        direction: &'static str,
        /// Queues asked for.
        wanted: u16,
        /// Queues offered.
        most: u16,
    },
    /// The MTU is outside of what the port can do.
    #[error("{device}: MTU {wanted} is out of range; the port supports {least} to {most}")]
    MtuOutOfRange {
        /// The device.
        device: String,
        /// MTU asked for.
        wanted: u16,
        /// The smallest.
        least: u16,
        /// The largest.
        most: u16,
    },
    /// A frame of the MTU's size does not fit a packet buffer.
    #[error("{device}: MTU {mtu} needs packet buffers for frames of {needed} bytes, but they hold {room}")]
    BuffersTooSmall {
        /// The device.
        device: String,
        /// MTU asked for.
        mtu: u16,
        /// Bytes of the largest frame.
        needed: u32,
        /// Bytes a buffer holds.
        room: u16,
    },
    /// One of the steps of starting failed in the driver.
    #[error("{device}: cannot {step}: {reason}; see messages of the driver {driver} above")]
    Failed {
        /// The device.
        device: String,
        /// Its driver.
        driver: String,
        /// What was being done.
        step: &'static str,
        /// DPDK's words.
        reason: String,
    },
    /// Not all of the port's queues were handed back.
    #[error("{device}: cannot close it: not all of its queues were returned; it keeps running")]
    QueuesOut {
        /// The device.
        device: String,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// How to get more queues out of a virtual device. PCI devices have what they have.
fn queue_remedy(driver: &str) -> &'static str {
    match driver {
        "net_af_packet" => ", or add qpairs=N to the device's arguments",
        "net_af_xdp" => ", or add queue_count=N to the device's arguments",
        "net_pcap" => ", or repeat rx_pcap= and tx_pcap= once per queue",
        "net_vhost" | "net_virtio_user" => ", or add queues=N to the device's arguments",
        _ => "",
    }
}
