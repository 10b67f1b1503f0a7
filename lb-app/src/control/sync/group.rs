//! The socket of a multicast group, on one interface of the kernel's.

use super::rounds::KERNEL_BUFFER;
use nix::net::if_::if_nametoindex;
use socket2::{Domain, InterfaceIndexOrAddress, Socket, Type};
use std::{
    fs, io,
    net::{IpAddr, SocketAddr, UdpSocket},
};

/// Bytes of a datagram that is sent, at most, headers not included.
const LONGEST: usize = 1_400;
/// Bytes of headers before it.
const HEADERS: usize = 48;

/// A socket that hears what is sent to a group on an interface, and sends to it there.
#[derive(Debug)]
pub(super) struct Group {
    socket: UdpSocket,
    group: SocketAddr,
    interface: String,
    index: u32,
}

impl Group {
    /// Joins a group. The interface may come later: the host side of a port does.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn join(interface: &str, group: SocketAddr, ttl: u32) -> io::Result<Self> {
        let index = if_nametoindex(interface).map_err(io::Error::from)?;
        let socket = Socket::new(Domain::for_address(group), Type::DGRAM.cloexec(), None)?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(true)?;
        // A smaller one will do, but loses more.
        let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
        socket.bind_device(Some(interface.as_bytes()))?;
        socket.bind(&group.into())?;
        match group.ip() {
            IpAddr::V4(ip) => {
                socket.join_multicast_v4_n(&ip, &InterfaceIndexOrAddress::Index(index))?;
                socket.set_multicast_loop_v4(false)?;
                socket.set_multicast_ttl_v4(ttl)?;
            }
            IpAddr::V6(ip) => {
                socket.join_multicast_v6(&ip, index)?;
                socket.set_multicast_loop_v6(false)?;
                socket.set_multicast_hops_v6(ttl)?;
                socket.set_multicast_if_v6(index)?;
            }
        }
        Ok(Group { socket: socket.into(), group, interface: interface.to_owned(), index })
    }

    /// Whether the interface is the one that was joined on. One that was made anew is another.
    pub(super) fn is_there(&self) -> bool {
        if_nametoindex(&*self.interface) == Ok(self.index)
    }

    /// Bytes that a datagram can have.
    pub(super) fn most(&self) -> usize {
        let mtu = fs::read_to_string(format!("/sys/class/net/{}/mtu", self.interface)).ok();
        let mtu: Option<usize> = mtu.and_then(|text| text.trim().parse().ok());
        mtu.map_or(LONGEST, |mtu| mtu.saturating_sub(HEADERS)).min(LONGEST)
    }

    /// Sends a datagram to the group.
    pub(super) fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        self.socket.send_to(datagram, self.group)
    }

    /// The next datagram.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(buffer)
    }
}
