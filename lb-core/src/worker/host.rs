//! Packets that the director's control plane sends by the ports: health checks that take the way of traffic. The
//! answers come to the director's own addresses, and [`Io::deliver`] takes them.

use super::Worker;
use crate::{
    conn::method::Method,
    counters::DropReason,
    forward::dr,
    ids::ServerId,
    packet::{Io, Packet},
    time::Instant,
    verdict::Verdict,
    wire::{ethernet, headers::Headers, ipv4},
};
use std::net::Ipv4Addr;

/// Whom a packet of the control plane goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The server.
    pub server: ServerId,
    /// Its address: the number may be another server's by now.
    pub address: Ipv4Addr,
    /// The packet is for the VIP, and goes to the server as clients' packets do. Otherwise it is for the server itself.
    pub as_traffic: bool,
}

impl<P: Packet> Worker<P> {
    /// Sends a whole IPv4 packet of the director's own to a server. One for a server that is not there any more is
    /// passed over.
    #[cold]
    pub fn originate(&mut self, now: Instant, to: Recipient, bytes: &[u8], io: &mut impl Io<Packet = P>) {
        let snapshot = self.snapshot.clone();
        let Some(server) = snapshot.servers.get(to.server) else { return };
        let Some(header) = ipv4::Header::read(bytes) else { return };
        if server.plan.address != to.address {
            return;
        }
        let Some(mut packet) = io.allocate(server.next_hop.port) else {
            self.counters.no_buffer.bump();
            return;
        };
        self.counters.originated.bump();
        if !packet.set_len(ethernet::HEADER_LEN + header.total_len) {
            return self.drop(packet, DropReason::TooBig, io);
        }
        let frame = packet.bytes_mut();
        ethernet::set_ethertype(frame, ethernet::IPV4);
        frame[ethernet::HEADER_LEN..].copy_from_slice(&bytes[..header.total_len]);
        let at = Headers::new(ethernet::HEADER_LEN, &header);
        let neighbour = self.backends[to.server].neighbour;
        let verdict = match snapshot.service_of(to.server).method {
            Method::Tun if to.as_traffic => {
                let wrapped = self.tunnel(&mut packet, &at, to.server);
                wrapped.map_or_else(Verdict::Drop, |()| Verdict::Forward(neighbour))
            }
            Method::Dr if to.as_traffic => {
                dr::inbound(packet.bytes_mut(), &at);
                Verdict::Forward(neighbour)
            }
            Method::Nat | Method::Tun | Method::Dr => Verdict::Forward(neighbour),
        };
        self.carry_out(now, packet, verdict, io);
    }
}
