//! Packets that the director's control plane sends by the ports: health checks that take the way of traffic. The
//! answers come to the director's own addresses, and [`Io::to_host`] takes them. And what goes between a port and its
//! host side.

use super::Worker;
use crate::{
    counters::DropReason,
    decide::backend::Backend,
    family::{Family, Header, V4, V6},
    forward,
    ids::ServerId,
    packet::{Io, Packet, PortId},
    time::Instant,
    wire::{ethernet, headers::Headers},
};
use std::net::IpAddr;

/// Whom a packet of the control plane goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The server's number.
    pub server: ServerId,
    /// Its address: the number may be another server's by now.
    pub address: IpAddr,
    /// The packet is for the VIP, and goes to the server as clients' packets do. Otherwise it is for the server itself.
    pub as_traffic: bool,
}

impl<P: Packet> Worker<P> {
    /// A packet for the director itself that nobody else waits for: the host side's of its port, if that has one.
    #[cold]
    pub(super) fn give_to_kernel(
        &mut self,
        now: Instant,
        packet: P,
        otherwise: DropReason,
        io: &mut impl Io<Packet = P>,
    ) {
        if !self.known.is_of_host(&packet) {
            return self.drop(packet, otherwise, io);
        }
        let purpose = self.known.host_purpose(packet.bytes());
        if !self.known.budgets.take(purpose, now) {
            return self.drop(packet, DropReason::HostLimited, io);
        }
        match io.to_kernel(packet, purpose.eighths()) {
            Ok(()) => self.books.counters.host.bump(),
            Err(packet) => self.drop(packet, DropReason::HostFull, io),
        }
    }

    /// Sends a frame that the kernel gave to the host side of a port.
    #[cold]
    pub fn originate_frame(&mut self, port: PortId, frame: &[u8], io: &mut impl Io<Packet = P>) {
        let Some(mut packet) = io.allocate(port) else { return self.books.counters.no_buffer.bump() };
        self.books.counters.originated.bump();
        if !packet.set_len(frame.len()) {
            return self.drop(packet, DropReason::TooBig, io);
        }
        packet.bytes_mut().copy_from_slice(frame);
        self.transmit(port, packet, io);
    }

    /// Sends a whole IP packet of the director's own to a server. One for a server that is not there any more is
    /// passed over.
    pub fn originate(&mut self, now: Instant, to: Recipient, bytes: &[u8], io: &mut impl Io<Packet = P>) {
        match bytes.first().map(|first| first >> 4) {
            Some(4) => self.originate_as::<V4>(now, to, bytes, io),
            Some(6) => self.originate_as::<V6>(now, to, bytes, io),
            _ => {}
        }
    }

    #[cold]
    fn originate_as<F: Family>(
        &mut self,
        now: Instant,
        to: Recipient,
        bytes: &[u8],
        io: &mut impl Io<Packet = P>,
    ) {
        let Some(server) = self.known.snapshot.servers.get(to.server) else { return };
        let Some(header) = Header::<F>::read(bytes) else { return };
        if server.plan.address != to.address {
            return;
        }
        let Some(mut packet) = io.allocate(self.known.snapshot.interfaces[server.next_hop.interface].port)
        else {
            return self.books.counters.no_buffer.bump();
        };
        self.books.counters.originated.bump();
        if !packet.set_len(ethernet::HEADER_LEN + header.total_len) {
            return self.drop(packet, DropReason::TooBig, io);
        }
        let frame = packet.bytes_mut();
        ethernet::set_ethertype(frame, F::ETHERTYPE);
        frame[ethernet::HEADER_LEN..].copy_from_slice(&bytes[..header.total_len]);
        let at = Headers::new(ethernet::HEADER_LEN, &header);
        let Backend { neighbour, outer, .. } = &self.known.backends[to.server];
        let neighbour = *neighbour;
        let method = self.known.snapshot.service_of(to.server).method;
        let done = match to.as_traffic {
            true => forward::steer(&mut packet, &at, method, outer, &mut self.last_id),
            false => Ok(()),
        };
        match done {
            Ok(()) => self.send(now, packet, neighbour, io),
            Err(reason) => self.drop(packet, reason, io),
        }
    }
}
