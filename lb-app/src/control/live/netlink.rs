//! Addresses of the kernel's interfaces, by rtnetlink: two messages, which are 40 bytes each.

use ipnet::IpNet;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto, socket,
};
use std::{io, net::IpAddr, os::fd::AsRawFd};

/// `RTM_NEWADDR` and `RTM_DELADDR`.
const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
/// `NLM_F_REQUEST | NLM_F_ACK`; `NLM_F_CREATE | NLM_F_REPLACE`.
const REQUEST: u16 = 0x1 | 0x4;
const REPLACE: u16 = 0x400 | 0x100;
/// `IFA_ADDRESS` and `IFA_LOCAL`.
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
/// `NLMSG_ERROR`, which says 0 where all is well.
const ERROR: u16 = 2;

/// Gives an interface an address, or takes it away.
///
/// # Errors
/// The kernel's.
pub(super) fn set_address(interface: u32, net: IpNet, present: bool) -> io::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    let message = message(interface, net, present);
    sendto(socket.as_raw_fd(), &message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer = [0; 4_096];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    let answer = &answer[..length];
    let word = |at: usize| answer.get(at..at + 4).and_then(|word| word.first_chunk().copied());
    let kind = answer.get(4..6).and_then(|kind| kind.first_chunk().copied()).map(u16::from_ne_bytes);
    match (kind, word(16).map(i32::from_ne_bytes)) {
        (Some(ERROR), Some(0)) => Ok(()),
        (Some(ERROR), Some(code)) => Err(io::Error::from_raw_os_error(-code)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// `nlmsghdr`, `ifaddrmsg`, and two attributes.
fn message(interface: u32, net: IpNet, present: bool) -> Vec<u8> {
    let (family, bytes) = match net.addr() {
        IpAddr::V4(address) => (libc_family(false), address.octets().to_vec()),
        IpAddr::V6(address) => (libc_family(true), address.octets().to_vec()),
    };
    let (kind, flags) = if present { (NEW_ADDRESS, REQUEST | REPLACE) } else { (DELETE_ADDRESS, REQUEST) };
    let mut body = vec![family, net.prefix_len(), 0, 0];
    body.extend(interface.to_ne_bytes());
    for attribute in [LOCAL, ADDRESS] {
        body.extend((4 + bytes.len() as u16).to_ne_bytes());
        body.extend(attribute.to_ne_bytes());
        body.extend(&bytes);
    }
    let mut message = Vec::new();
    message.extend((16 + body.len() as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(1_u32.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    message.extend(body);
    message
}

/// `AF_INET` or `AF_INET6`.
fn libc_family(is_v6: bool) -> u8 {
    (if is_v6 { AddressFamily::Inet6 } else { AddressFamily::Inet }) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_the_kernel_wants_them() {
        let net: IpNet = "192.0.2.1/24".parse().unwrap();
        let message = message(7, net, true);
        assert_eq!((message.len(), message[0], message[4]), (40, 40, 20));
        assert_eq!(message[16..24], [2, 24, 0, 0, 7, 0, 0, 0]);
        assert_eq!(message[24..32], [8, 0, 2, 0, 192, 0, 2, 1]);
        assert_eq!(message[32..40], [8, 0, 1, 0, 192, 0, 2, 1]);
        // The loopback interface has it already in no namespace.
        let missing = set_address(u32::MAX, net, true).expect_err("there is no such interface");
        assert!(missing.raw_os_error().is_some(), "{missing}");
    }
}
