//! The kernel's side of a port: a TAP interface, which the control plane reads and writes.
//!
//! There is nothing of DPDK here, but calls that only libc has.

use lb_core::service::plan::Mac;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
};

/// Longest name of an interface.
const NAME_LEN: usize = 15;
/// `TUNSETIFF` and `TUNSETCARRIER` of linux/if_tun.h.
const SET_INTERFACE: u64 = 0x4004_54ca;
const SET_CARRIER: u64 = 0x4004_54e2;
/// `IFF_TAP`, and `IFF_NO_PI`: frames and nothing in front of them.
const TAP: i16 = 0x0002 | 0x1000;
/// `ARPHRD_ETHER`.
const ETHERNET: u16 = 1;

/// `struct ifreq`: a name, and a union of 24 bytes.
#[repr(C)]
struct Request {
    name: [u8; NAME_LEN + 1],
    data: [u8; 24],
}

impl Request {
    fn new(name: &str) -> io::Result<Self> {
        if name.is_empty() || name.len() > NAME_LEN {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut request = Request { name: [0; NAME_LEN + 1], data: [0; 24] };
        request.name[..name.len()].copy_from_slice(name.as_bytes());
        Ok(request)
    }

    fn with(mut self, data: &[u8]) -> Self {
        self.data[..data.len()].copy_from_slice(data);
        self
    }
}

/// A TAP interface that exists as long as this value.
#[derive(Debug)]
pub struct HostTap {
    file: File,
    name: String,
}

impl HostTap {
    /// Makes the interface and brings it up.
    ///
    /// # Errors
    /// The kernel's, such as that there is one of that name.
    pub fn create(name: &str, mac: Mac, mtu: u16) -> io::Result<Self> {
        let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/net/tun")?;
        let mut request = Request::new(name)?.with(&TAP.to_ne_bytes());
        call(file.as_fd(), SET_INTERFACE, &mut request)?;
        let tap = HostTap { file, name: name.to_owned() };
        let control = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
        let address = [&ETHERNET.to_ne_bytes()[..], &mac.0].concat();
        tap.set(&control, libc::SIOCSIFHWADDR, &address)?;
        tap.set(&control, libc::SIOCSIFMTU, &i32::from(mtu).to_ne_bytes())?;
        let up = (libc::IFF_UP | libc::IFF_MULTICAST | libc::IFF_BROADCAST) as i16;
        tap.set(&control, libc::SIOCSIFFLAGS, &up.to_ne_bytes())?;
        Ok(tap)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether there is a link, as the kernel is to see it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_carrier(&self, up: bool) -> io::Result<()> {
        let mut up = i32::from(up);
        call(self.file.as_fd(), SET_CARRIER, &mut up)
    }

    /// A frame that the kernel sends, and its length. [`io::ErrorKind::WouldBlock`] if there is none.
    ///
    /// # Errors
    /// The kernel's.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(buffer)
    }

    /// Gives the kernel a frame.
    ///
    /// # Errors
    /// The kernel's, such as that the interface is down.
    pub fn write(&self, frame: &[u8]) -> io::Result<()> {
        (&self.file).write(frame).map(drop)
    }

    fn set(&self, control: &OwnedFd, what: libc::c_ulong, data: &[u8]) -> io::Result<()> {
        call(control.as_fd(), what, &mut Request::new(&self.name)?.with(data))
    }
}

impl AsFd for HostTap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn call<T>(descriptor: BorrowedFd<'_>, what: libc::c_ulong, argument: &mut T) -> io::Result<()> {
    // SAFETY: these calls read and write no more than what their argument, an `ifreq` or an `int`, has room for, and it
    // outlives the call.
    let code = unsafe { libc::ioctl(descriptor.as_raw_fd(), what, std::ptr::from_mut(argument)) };
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
