//! Finding the DPDK device that a name in the configuration means, or making it.

use super::{
    bond,
    by_number::{port_name, raw_info, text},
    eal::{Lease, describe_error},
    port_error::PortError,
};
use std::{
    collections::BTreeSet,
    ffi::{CStr, CString},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// An Ethernet device that is ours alone. Dropping it closes it, and detaches it if we attached it.
#[derive(Debug)]
pub(super) struct Device {
    /// DPDK's number of it.
    pub(super) id: u16,
    /// The name by which it was asked for.
    pub(super) name: String,
    attached: bool,
    /// If it is a bond: the members that were named for it, which go after it.
    members: Vec<Device>,
    /// If it is a bond: all members, which nobody else may have.
    held: Vec<u16>,
    _lease: Lease,
}

impl Device {
    /// See [`Port::open`](super::Port::open).
    pub(super) fn open(name: &str, members: &[String]) -> Result<Device, PortError> {
        let lease = Lease::take()?;
        let members: Vec<Device> =
            members.iter().map(|member| Device::open(member, &[])).collect::<Result<_, _>>()?;
        let (id, attached) = {
            let mut open = lock_open();
            let (id, attached) = find_or_attach(name, &members)?;
            if !open.insert(id) {
                return Err(PortError::InUse { device: name.to_owned() });
            }
            (id, attached)
        };
        let mut device =
            Device { id, name: name.to_owned(), attached, members, held: Vec::new(), _lease: lease };
        if device.is_bond()? {
            device.hold_members()?;
        }
        Ok(device)
    }

    /// Whether it is made of other ports.
    fn is_bond(&self) -> Result<bool, PortError> {
        Ok(text(self.info()?.driver_name).is_some_and(bond::is_bond))
    }

    /// Sees to it that members are nobody else's, and that a bond has all that were named for it.
    fn hold_members(&mut self) -> Result<(), PortError> {
        let has = bond::gather(self.id, &self.name)?;
        let name = |id| port_name(id).unwrap_or_default();
        if let Some(missing) = self.members.iter().find(|member| !has.contains(&member.id)) {
            return Err(PortError::NotTaken { device: self.name.clone(), member: missing.name.clone() });
        }
        let mut open = lock_open();
        for id in has {
            let is_named = self.members.iter().any(|member| member.id == id);
            if !is_named && !open.insert(id) {
                return Err(PortError::InUse { device: name(id) });
            }
            if !is_named {
                self.held.push(id);
            }
        }
        Ok(())
    }

    /// What DPDK knows of the device. Its pointers are valid until it is closed.
    pub(super) fn info(&self) -> Result<dpdk_sys::rte_eth_dev_info, PortError> {
        raw_info(self.id)
            .map_err(|code| PortError::Refused { device: self.name.clone(), reason: describe_error(code) })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let members = std::mem::take(&mut self.members);
        let mut open = lock_open();
        let device = raw_info(self.id).map(|info| info.device);
        // SAFETY: the id is ours, and its queues are not polled: they never left, or were handed back. Closing stops
        // it if need be. There is nothing to do about an error: the device is gone or will be at the process's end.
        unsafe { dpdk_sys::rte_eth_dev_close(self.id) };
        if let Ok(device) = device
            && self.attached
        {
            // SAFETY: closing a port leaves its device, which we attached and nobody else uses.
            unsafe { dpdk_sys::rte_dev_remove(device) };
        }
        open.remove(&self.id);
        for member in &self.held {
            open.remove(member);
        }
        drop(open);
        // A bond gives its members back as it is closed.
        drop(members);
    }
}

/// The ids of all open devices: a port must not be had twice, or its queues would.
static OPEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

fn lock_open() -> MutexGuard<'static, BTreeSet<u16>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The id of the device that `name` means, and whether it was attached for that.
fn find_or_attach(name: &str, members: &[Device]) -> Result<(u16, bool), PortError> {
    let own_name = name.split(',').next().unwrap_or(name);
    let pci = full_pci_address(own_name);
    let own_name = pci.as_deref().unwrap_or(own_name);
    if let Some(id) = find(own_name)? {
        // The arguments of a device that exists are what it was made with, which may be others.
        let with_arguments = name.contains(',');
        return if with_arguments {
            Err(PortError::Exists { device: name.to_owned() })
        } else {
            Ok((id, false))
        };
    }
    check_interface(name)?;
    let arguments = pci.as_ref().map_or_else(|| name.to_owned(), |full| with_address(full, name));
    let arguments = bond::arguments(&arguments, members.iter().map(|member| member.id));
    let c_arguments = CString::new(arguments).map_err(|_| PortError::BadName(name.to_owned()))?;
    // SAFETY: DPDK runs, by the caller's lease; the argument is a C string that DPDK copies.
    let code = unsafe { dpdk_sys::rte_dev_probe(c_arguments.as_ptr()) };
    if code < 0 {
        return Err(attach_error(code, name, pci.as_deref()));
    }
    match find(own_name)? {
        Some(id) => Ok((id, true)),
        None => {
            Err(PortError::Refused { device: name.to_owned(), reason: "it has no Ethernet port".to_owned() })
        }
    }
}

/// The port of that name, or the first port of the device of that name: a card may have several.
fn find(name: &str) -> Result<Option<u16>, PortError> {
    let c_name = CString::new(name).map_err(|_| PortError::BadName(name.to_owned()))?;
    let mut id = 0;
    // SAFETY: DPDK runs; the name is a C string and `id` a place to write to.
    let code = unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(c_name.as_ptr(), &raw mut id) };
    if code == 0 {
        return Ok(Some(id));
    }
    Ok(ids().find(|&id| device_name(id).is_some_and(|device| device == name)))
}

/// The ids of all ports that DPDK has.
fn ids() -> impl Iterator<Item = u16> {
    let next = |from: u16| {
        // SAFETY: DPDK runs, and any number may be passed.
        let id = unsafe { dpdk_sys::rte_eth_find_next_owned_by(from, dpdk_sys::SHIM_NO_OWNER) };
        u16::try_from(id).ok().filter(|&id| id < dpdk_sys::SHIM_MAX_PORTS)
    };
    std::iter::successors(next(0), move |&id| next(id + 1))
}

/// The name of the device that a port belongs to, as its bus knows it.
fn device_name(id: u16) -> Option<String> {
    let device = raw_info(id).ok()?.device;
    if device.is_null() {
        return None;
    }
    // SAFETY: the device belongs to a port that exists.
    let name = unsafe { dpdk_sys::rte_dev_name(device) };
    // SAFETY: a device's name is NUL-terminated and lives as long as the device; it is copied here.
    Some(unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
}

/// Why a device could not be attached. DPDK's error numbers are few, so the name is looked at too.
fn attach_error(code: i32, name: &str, pci: Option<&str>) -> PortError {
    let device = name.to_owned();
    let reason = describe_error(code);
    let Some(address) = pci else {
        return match vdev_driver(name) {
            // The bus of virtual devices takes a device only if a driver's name is how its name begins.
            Some(_) if code == -libc::EFAULT || code == -libc::ENODEV => PortError::NoDriver { device },
            Some(_) => PortError::Refused { device, reason },
            None => no_such_device(name),
        };
    };
    let in_kernel = Path::new("/sys/bus/pci/devices").join(address).exists();
    match code {
        _ if !in_kernel => no_such_device(name),
        _ if code == -libc::ENOTSUP => PortError::NotBound { device: address.to_owned() },
        _ if code == -libc::ENODEV => {
            let hint =
                " The host has it, but EAL's arguments exclude PCI (--no-pci) or this device (-a, -b).";
            PortError::NoSuchDevice {
                device,
                seen: ids().filter_map(port_name).collect(),
                hint: hint.to_owned(),
            }
        }
        _ => PortError::Refused { device, reason },
    }
}

fn no_such_device(name: &str) -> PortError {
    let interface = !name.contains(',') && interface_exists(name);
    let hint = if interface {
        format!(
            " {name} is a network interface of the kernel: use its PCI address after binding it to vfio-pci, or \
             net_af_packet0,iface={name} to share it with the kernel."
        )
    } else {
        " Name a PCI address, a device made by --vdev, or a virtual device with its arguments, such as \
         net_af_packet0,iface=eth0."
            .to_owned()
    };
    PortError::NoSuchDevice { device: name.to_owned(), seen: ids().filter_map(port_name).collect(), hint }
}

/// Checks whether the interface of a virtual device exists, because drivers only report "invalid argument".
fn check_interface(name: &str) -> Result<(), PortError> {
    let Some(driver) = vdev_driver(name) else { return Ok(()) };
    // net_tap has the same argument, and makes the interface.
    if !["net_af_packet", "net_af_xdp", "net_pcap", "eth_af_packet", "eth_pcap"].contains(&driver) {
        return Ok(());
    }
    let missing = name.split(',').filter_map(|argument| argument.strip_prefix("iface="));
    match missing.into_iter().find(|interface| !interface_exists(interface)) {
        None => Ok(()),
        Some(interface) => {
            Err(PortError::NoInterface { device: name.to_owned(), interface: interface.to_owned() })
        }
    }
}

/// Asks the kernel rather than `/sys`, which shows the interfaces of the network namespace that mounted it.
fn interface_exists(interface: &str) -> bool {
    let Ok(name) = CString::new(interface) else { return false };
    // SAFETY: the name is a C string.
    unsafe { libc::if_nametoindex(name.as_ptr()) != 0 }
}

/// The driver that a virtual device's name asks for: the name without its number and arguments.
fn vdev_driver(name: &str) -> Option<&str> {
    let own_name = name.split(',').next().unwrap_or(name);
    let driver = own_name.trim_end_matches(|c: char| c.is_ascii_digit());
    let virtual_device = ["net_", "eth_"].iter().any(|prefix| driver.starts_with(prefix))
        || ["virtio_user"].contains(&driver)
        || name.contains(',');
    virtual_device.then_some(driver)
}

/// `name` is a PCI address with or without the domain, and perhaps arguments: the arguments behind the full address.
fn with_address(full: &str, name: &str) -> String {
    match name.split_once(',') {
        Some((_, arguments)) => format!("{full},{arguments}"),
        None => full.to_owned(),
    }
}

/// `0000:03:00.0` for itself and for `03:00.0`; `None` for what is no PCI address.
fn full_pci_address(name: &str) -> Option<String> {
    let (head, function) = name.split_once('.')?;
    let parts: Vec<&str> = head.split(':').collect();
    let (domain, bus, slot) = match parts[..] {
        [domain, bus, slot] => (domain, bus, slot),
        [bus, slot] => ("0000", bus, slot),
        _ => return None,
    };
    let hex = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let valid = hex(domain, 4..=8) && hex(bus, 2..=2) && hex(slot, 2..=2) && hex(function, 1..=1);
    valid.then(|| format!("{domain}:{bus}:{slot}.{function}").to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_addresses_are_completed_and_nothing_else_is_taken_for_one() {
        assert_eq!(full_pci_address("03:00.0").as_deref(), Some("0000:03:00.0"));
        assert_eq!(full_pci_address("0000:AF:1f.7").as_deref(), Some("0000:af:1f.7"));
        for other in ["eth0", "eth0.100", "3:0.0", "net_tap0", "03:00", "zz:00.0", "0:03:00.0"] {
            assert_eq!(full_pci_address(other), None, "{other}");
        }
    }

    #[test]
    fn a_virtual_device_is_known_by_its_name() {
        assert_eq!(vdev_driver("net_af_packet0,iface=veth0"), Some("net_af_packet"));
        assert_eq!(vdev_driver("net_null12"), Some("net_null"));
        assert_eq!(vdev_driver("virtio_user0,path=/dev/vhost-net"), Some("virtio_user"));
        assert_eq!(vdev_driver("eth0"), None);
    }
}
