//! The kernel's interfaces and their addresses, by rtnetlink.

use ipnet::IpNet;
use lb_core::service::plan::Mac;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkBuffer,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily as Family, RouteNetlinkMessage,
    address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressProtocol},
    link::{LinkAttribute, LinkFlags, LinkMessage},
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto, socket,
    },
};
use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

/// Bytes of one reading: the kernel fills at most 32 KiB of a dump at a time.
const BUFFER: usize = 64 << 10;
/// Types from here on are the family's own (`NLMSG_MIN_TYPE`).
const OF_FAMILY: u16 = 16;
/// Times that something is asked for which changes while it is listed, at most.
const ASKED: usize = 8;
/// `RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR` of linux/rtnetlink.h.
const CHANGES: u32 = 0x1 | 0x10 | 0x100;

/// An interface of the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) mac: Mac,
    /// The interface that it is on, such as a macvlan's.
    pub(crate) below: Option<u32>,
    /// Its administrator wants it to be used, and so does the daemon whose protocol decides about that (`protodown`).
    pub(crate) is_up: bool,
    /// Those that are no other host's.
    pub(crate) addresses: Vec<IpAddr>,
}

/// By number.
pub(crate) type Interfaces = BTreeMap<u32, Interface>;

/// All interfaces, as they are now.
///
/// # Errors
/// The kernel's.
pub(crate) fn interfaces() -> io::Result<Interfaces> {
    let mut interfaces = Interfaces::new();
    for message in ask(RouteNetlinkMessage::GetLink(LinkMessage::default()), NLM_F_DUMP)? {
        if let RouteNetlinkMessage::NewLink(link) = message {
            interfaces.insert(link.header.index, interface(&link));
        }
    }
    for message in ask(RouteNetlinkMessage::GetAddress(AddressMessage::default()), NLM_F_DUMP)? {
        if let RouteNetlinkMessage::NewAddress(message) = message
            && let Some(interface) = interfaces.get_mut(&message.header.index)
        {
            interface.addresses.extend(address(&message));
        }
    }
    Ok(interfaces)
}

fn interface(link: &LinkMessage) -> Interface {
    let mut interface =
        Interface { is_up: link.header.flags.contains(LinkFlags::Up), ..Interface::default() };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::Address(bytes) => {
                interface.mac = bytes.first_chunk().copied().map(Mac).unwrap_or_default();
            }
            LinkAttribute::Link(below) => interface.below = Some(*below),
            // So FRR says which of its virtual routers are another's.
            LinkAttribute::ProtoDown(is_down) => interface.is_up &= *is_down == 0,
            _ => {}
        }
    }
    interface
}

/// The address that is the interface's: of a link between two it is the local one. None if another host has it.
fn address(message: &AddressMessage) -> Option<IpAddr> {
    if message.header.flags.contains(AddressHeaderFlags::Dadfailed) {
        return None;
    }
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })
}

/// An address that an interface has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Assigned {
    pub(crate) net: IpNet,
    /// Who put it there (`IFA_PROTO`); 0 if nobody says, or the kernel is of before 5.18.
    pub(crate) protocol: u8,
}

/// All that an interface has, as they are now.
///
/// # Errors
/// The kernel's.
pub(crate) fn addresses_of(interface: u32) -> io::Result<Vec<Assigned>> {
    let answers = ask(RouteNetlinkMessage::GetAddress(AddressMessage::default()), NLM_F_DUMP)?;
    let assigned = answers.into_iter().filter_map(|answer| match answer {
        RouteNetlinkMessage::NewAddress(message) if message.header.index == interface => assigned(&message),
        _ => None,
    });
    Ok(assigned.collect())
}

fn assigned(message: &AddressMessage) -> Option<Assigned> {
    let net = IpNet::new(address(message)?, message.header.prefix_len).ok()?;
    let protocol = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Protocol(protocol) => Some(u8::from(*protocol)),
        _ => None,
    });
    Some(Assigned { net, protocol: protocol.unwrap_or_default() })
}

/// Gives an interface an address with this mark, or takes it away. Of IPv6, it is good at once.
///
/// # Errors
/// The kernel's.
pub(crate) fn set_marked_address(interface: u32, net: IpNet, protocol: u8, present: bool) -> io::Result<()> {
    let mut message = of_interface(interface, net);
    message.header.flags |= AddressHeaderFlags::Nodad;
    message.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(protocol)));
    change(message, present)
}

/// Gives an interface an address, or takes it away.
///
/// # Errors
/// The kernel's.
pub(super) fn set_address(interface: u32, net: IpNet, present: bool) -> io::Result<()> {
    change(of_interface(interface, net), present)
}

fn of_interface(interface: u32, net: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = interface;
    message.header.prefix_len = net.prefix_len();
    message.header.family = if net.addr().is_ipv4() { Family::Inet } else { Family::Inet6 };
    message.attributes = vec![AddressAttribute::Local(net.addr()), AddressAttribute::Address(net.addr())];
    message
}

fn change(message: AddressMessage, present: bool) -> io::Result<()> {
    match present {
        true => {
            ask(RouteNetlinkMessage::NewAddress(message), NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE).map(drop)
        }
        false => ask(RouteNetlinkMessage::DelAddress(message), NLM_F_ACK).map(drop),
    }
}

/// Notices of the kernel that a link or an address is different.
#[derive(Debug)]
pub(crate) struct Changes(OwnedFd);

impl Changes {
    /// From now on.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn watch() -> io::Result<Self> {
        open(CHANGES).map(Changes)
    }

    /// Waits until there is one, at most for so long, and takes all there are. What they say is not read: those that found
    /// no room are lost, so everything is looked at anew.
    pub(crate) fn wait(&self, limit_ms: u16) {
        let mut descriptors = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut descriptors, PollTimeout::from(limit_ms));
        let mut buffer = [0; 4_096];
        while !matches!(recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT), Err(Errno::EAGAIN)) {}
    }
}

fn open(groups: u32) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(socket)
}

/// Asks the kernel for something, and returns what it answers.
fn ask(question: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
    let socket = open(0)?;
    let mut message = NetlinkMessage::from(question);
    message.header.flags = NLM_F_REQUEST | flags;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let mut buffer = vec![0; BUFFER];
    for _ in 0..ASKED {
        sendto(socket.as_raw_fd(), &bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        let mut answers = Answers::default();
        while !answers.are_all {
            let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            answers.take(&buffer[..length])?;
        }
        if !answers.changed {
            return Ok(answers.list);
        }
    }
    Err(io::Error::new(io::ErrorKind::Interrupted, "it changes faster than it can be listed"))
}

/// What the kernel answers to one question.
#[derive(Debug, Default)]
struct Answers {
    list: Vec<RouteNetlinkMessage>,
    are_all: bool,
    /// Something has changed meanwhile, so some may be missing.
    changed: bool,
}

impl Answers {
    /// Takes what was read at once. Of what cannot be understood, which may be about an interface that is no concern of ours,
    /// nothing is taken: a kernel that knows more than this does not keep us from the rest.
    fn take(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !self.are_all && !bytes.is_empty() {
            let wrong = |error| io::Error::new(io::ErrorKind::InvalidData, error);
            let header = NetlinkBuffer::new_checked(bytes).map_err(wrong)?;
            let length = header.length() as usize;
            self.changed |= header.flags() & NLM_F_DUMP_INTR != 0;
            match NetlinkMessage::<RouteNetlinkMessage>::deserialize(&bytes[..length]).map(|it| it.payload) {
                Ok(NetlinkPayload::InnerMessage(answer)) => self.list.push(answer),
                Ok(NetlinkPayload::Done(_)) => self.are_all = true,
                Ok(NetlinkPayload::Error(error)) if error.code.is_none() => self.are_all = true,
                Ok(NetlinkPayload::Error(error)) => return Err(error.to_io()),
                Err(error) if header.message_type() < OF_FAMILY => return Err(wrong(error)),
                Ok(_) | Err(_) => {}
            }
            // Each begins at a multiple of four bytes.
            bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_and_their_addresses_are_found() {
        let interfaces = interfaces().expect("the kernel answers");
        let of = |address: &str| {
            let address = address.parse().unwrap();
            interfaces.values().find(|interface| interface.addresses.contains(&address))
        };
        let loopback = of("127.0.0.1").expect("every host has it");
        assert!(loopback.is_up && loopback.below.is_none(), "{loopback:?}");
        let net: IpNet = "192.0.2.1/24".parse().unwrap();
        let missing = set_address(u32::MAX, net, true).expect_err("there is no such interface");
        assert!(missing.raw_os_error().is_some(), "{missing}");
    }

    /// Bytes of a message's header (`struct nlmsghdr`).
    const HEADER: usize = 16;

    /// Messages as the kernel writes them: type, flags, and what follows.
    fn messages(all: &[(u16, u16, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, flags, body) in all {
            bytes.extend((HEADER as u32 + body.len() as u32).to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(flags.to_ne_bytes());
            bytes.extend([0; 8]);
            bytes.extend(*body);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    const LINK: u16 = 16;
    const DONE: u16 = 3;
    const MULTI: u16 = 2;
    /// `struct ifinfomsg` of interface 7.
    const LOOPBACK: [u8; 16] = [0, 0, 4, 3, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn what_is_not_understood_is_left_out_and_nothing_else() {
        // An attribute that says it is longer than what is there, as of a kernel that has changed it.
        let strange = [&LOOPBACK[..], &[200, 0, 1, 0]].concat();
        let bytes = messages(&[(LINK, MULTI, &strange), (LINK, MULTI, &LOOPBACK), (DONE, MULTI, &[0; 4])]);
        let mut answers = Answers::default();
        answers.take(&bytes).expect("it is read");
        assert!(answers.are_all && !answers.changed && answers.list.len() == 1, "{answers:?}");
        for cut in [1, 15, 17] {
            let mut answers = Answers::default();
            assert!(answers.take(&bytes[..cut]).is_err() && !answers.are_all, "{cut}");
        }
        let error = (-19_i32).to_ne_bytes();
        let refused = messages(&[(2, 0, &[&error[..], &[0; 16]].concat())]);
        let told = Answers::default().take(&refused).expect_err("it is an error");
        assert_eq!(told.raw_os_error(), Some(19));
    }

    #[test]
    fn a_list_that_has_changed_meanwhile_is_not_taken_for_whole() {
        let mut answers = Answers::default();
        let first = messages(&[(LINK, MULTI, &LOOPBACK), (LINK, MULTI | NLM_F_DUMP_INTR, &LOOPBACK)]);
        answers.take(&first).expect("it is read");
        assert!(answers.changed && !answers.are_all);
        answers.take(&messages(&[(DONE, MULTI, &[0; 4])])).expect("it is read");
        assert!(answers.changed && answers.are_all);
    }
}
