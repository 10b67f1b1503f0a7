//! The control plane's packets on the ports: those that it sends through workers, and those that workers receive for
//! it. Health checks
//! take this way. Bounded, with buffers that exist from the start; what finds no room is lost, as on any network.

use super::shutdown::Shutdown;
use crossbeam_channel::{Receiver, Sender, bounded};
use lb_core::{
    wire::{ethernet, icmp, ipv4, protocol},
    worker::host::Recipient,
};
use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Packets that are on their way in either direction, at most.
const BUFFERS: usize = 1_024;
/// Largest packet.
const BUFFER_LEN: usize = 1_536;
/// Packets that wait for one worker, at most.
const WAITING: usize = 256;
/// Packets that a worker sends at once.
pub(crate) const SEND_BURST: usize = 32;

/// A packet that a worker is to send.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) to: Recipient,
    /// A whole IPv4 packet.
    pub(crate) bytes: Vec<u8>,
}

/// Whose answers a check waits for: nobody else's packets are taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) address: Ipv4Addr,
    /// 0 where the protocol has no ports, and for any.
    pub(crate) port: u16,
}

impl Peer {
    /// In one word, which is never [`NOBODY`].
    fn packed(self) -> u64 {
        1 << 63 | u64::from(self.address.to_bits()) << 16 | u64::from(self.port)
    }

    /// Whether a packet of this peer is one of those that `expected`, packed, stands for.
    fn is(self, expected: u64) -> bool {
        let any_port = Peer { port: 0, ..self };
        expected == self.packed() || expected == any_port.packed()
    }
}

/// No answer is waited for.
const NOBODY: u64 = 0;

/// What the control plane and all workers share.
#[derive(Debug)]
pub(crate) struct Host {
    /// By port, or ICMP identifier: whose answers are waited for there. See [`Peer::packed`].
    expected: Box<[AtomicU64]>,
    empty: (Sender<Vec<u8>>, Receiver<Vec<u8>>),
    arrived: (Sender<Vec<u8>>, Receiver<Vec<u8>>),
    /// By worker.
    outgoing: Vec<Sender<Outgoing>>,
    shutdown: Arc<Shutdown>,
}

impl Host {
    /// For that many workers; what each of them is to send comes out of the second value.
    pub(crate) fn new(workers: usize, shutdown: Arc<Shutdown>) -> (Arc<Self>, Vec<Receiver<Outgoing>>) {
        let (outgoing, ends): (Vec<_>, Vec<_>) = (0..workers).map(|_| bounded(WAITING)).unzip();
        let empty = bounded(BUFFERS);
        for _ in 0..BUFFERS {
            let _ = empty.0.try_send(Vec::with_capacity(BUFFER_LEN));
        }
        let expected = (0..=u16::MAX).map(|_| AtomicU64::new(NOBODY)).collect();
        (Arc::new(Host { expected, empty, arrived: bounded(BUFFERS), outgoing, shutdown }), ends)
    }

    /// Whether workers poll ports. Where they do not, no answer can come.
    pub(crate) fn is_polled(&self) -> bool {
        !self.shutdown.is_paused()
    }

    /// Answers to this port are waited for from now on, from that peer; or no more.
    pub(crate) fn expect(&self, port: u16, from: Option<Peer>) {
        self.expected[usize::from(port)].store(from.map_or(NOBODY, Peer::packed), Relaxed);
    }

    /// Has a packet of `len` bytes, which `write` fills in, sent. A packet that is too large or finds no room is lost.
    pub(crate) fn send<R>(&self, to: Recipient, len: usize, write: impl FnOnce(&mut [u8]) -> R) -> R {
        let buffer = if len <= BUFFER_LEN { self.empty.1.try_recv().ok() } else { None };
        let Some(mut bytes) = buffer else { return write(&mut vec![0; len]) };
        bytes.clear();
        bytes.resize(len, 0);
        let outcome = write(&mut bytes);
        // Any worker can; those of one check go by one, so that they stay in order.
        let port = usize::from(source_port(&bytes));
        let worker = &self.outgoing[port % self.outgoing.len()];
        if let Err(error) = worker.try_send(Outgoing { to, bytes }) {
            self.give_back(error.into_inner().bytes);
        }
        outcome
    }

    /// A packet that arrived, with the port it is for.
    pub(crate) fn next(&self) -> Option<(u16, Vec<u8>)> {
        let bytes = self.arrived.1.try_recv().ok()?;
        let packet = answer(&bytes).map(|(port, _)| (port, bytes.clone()));
        self.give_back(bytes);
        packet
    }

    /// A worker's, or anybody's: a buffer is free again.
    pub(crate) fn give_back(&self, buffer: Vec<u8>) {
        let _ = self.empty.0.try_send(buffer);
    }

    /// A worker's: takes a copy of a frame, if somebody waits for it. Returns whether it did.
    #[cold]
    pub(crate) fn take(&self, frame: &[u8]) -> bool {
        let Some(packet) = self.wanted(frame) else { return false };
        let Ok(mut buffer) = self.empty.1.try_recv() else { return false };
        buffer.clear();
        buffer.extend_from_slice(packet);
        // There is room for as many as there are buffers.
        self.arrived.0.try_send(buffer).is_ok()
    }

    /// Whether [`Host::take`] would take a frame now.
    pub(crate) fn waits_for(&self, frame: &[u8]) -> bool {
        self.wanted(frame).is_some() && !self.empty.1.is_empty()
    }

    /// The packet in a frame, if somebody waits for it.
    fn wanted<'a>(&self, frame: &'a [u8]) -> Option<&'a [u8]> {
        let (_, l3) = ethernet::payload(frame)?;
        let packet = frame.get(l3..)?;
        let packet = packet.get(..ipv4::Header::read(packet)?.total_len)?;
        let (port, from) = answer(packet)?;
        let expected = self.expected[usize::from(port)].load(Relaxed);
        (from.is(expected) && packet.len() <= BUFFER_LEN).then_some(packet)
    }
}

/// The port that an answer is for, and whose it is: of an echo reply the identifier; of an ICMP error, which anybody on
/// the way may send, the quoted packet's source port, and whom that packet went to.
fn answer(packet: &[u8]) -> Option<(u16, Peer)> {
    let header = ipv4::Header::read_cut(packet)?;
    // What the stack of a check cannot put together is of no use to it.
    let payload = packet.get(header.header_len..).filter(|_| header.fragment & ipv4::IS_FRAGMENT == 0)?;
    let peer = |address: u32, port| Peer { address: Ipv4Addr::from_bits(address), port };
    match header.protocol {
        protocol::TCP | protocol::UDP => Some((word(payload, 2)?, peer(header.source, word(payload, 0)?))),
        ipv4::ICMP => match *payload.first()? {
            icmp::ECHO_REPLY => Some((word(payload, 4)?, peer(header.source, 0))),
            kind if icmp::message(kind).is_error() => {
                let quoted = payload.get(icmp::HEADER_LEN..)?;
                let inner = ipv4::Header::read_cut(quoted)?;
                let to = match inner.protocol {
                    ipv4::ICMP => 0,
                    _ => word(quoted, inner.header_len + 2)?,
                };
                let is_ours = inner.source == header.destination;
                is_ours.then(|| (source_port(quoted), peer(inner.destination, to)))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The port that a packet is from: the identifier of an echo request. 0 if it has none.
fn source_port(packet: &[u8]) -> u16 {
    let read = || {
        let header = ipv4::Header::read_cut(packet)?;
        let place = header.header_len + if header.protocol == ipv4::ICMP { 4 } else { 0 };
        word(packet, place)
    };
    read().unwrap_or(0)
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|word| u16::from_be_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::ids::ServerId;

    const DIRECTOR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
    const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

    fn packet(protocol: u8, payload: &[u8]) -> Vec<u8> {
        from_to(SERVER, DIRECTOR, protocol, payload)
    }

    fn from_to(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; ipv4::HEADER_LEN];
        let header = ipv4::Header {
            header_len: ipv4::HEADER_LEN,
            total_len: ipv4::HEADER_LEN + payload.len(),
            fragment: 0,
            ttl: 64,
            protocol,
            source: source.to_bits(),
            destination: destination.to_bits(),
        };
        ipv4::write(&mut bytes, &header, 0);
        bytes.extend(payload);
        bytes
    }

    /// An ICMP error from a router on the way about a packet of ours.
    fn unreachable(quoted: &[u8]) -> Vec<u8> {
        let message = [&[3, 3, 0, 0, 0, 0, 0, 0], quoted].concat();
        from_to(Ipv4Addr::new(192, 0, 2, 254), DIRECTOR, ipv4::ICMP, &message)
    }

    fn frame(packet: &[u8]) -> Vec<u8> {
        [&[0; 12], &[8, 0][..], packet].concat()
    }

    #[test]
    fn only_what_is_waited_for_is_taken() {
        let (host, _) = Host::new(1, Arc::new(Shutdown::new(1)));
        let udp = packet(protocol::UDP, &[0, 53, 0x90, 0x01, 0, 8, 0, 0]);
        let request = from_to(DIRECTOR, SERVER, protocol::UDP, &[0x90, 0x01, 0, 53, 0, 8, 0, 0]);
        let ping = from_to(DIRECTOR, SERVER, ipv4::ICMP, &[8, 0, 0, 0, 0x90, 0x01, 0, 1]);
        let reply = packet(ipv4::ICMP, &[0, 0, 0, 0, 0x90, 0x01, 0, 1]);
        for (packet, port) in
            [(&udp, 53), (&unreachable(&request), 53), (&reply, 0), (&unreachable(&ping), 0)]
        {
            assert!(!host.waits_for(&frame(packet)) && !host.take(&frame(packet)), "nobody waits");
            host.expect(0x9001, Some(Peer { address: SERVER, port }));
            assert!(host.waits_for(&frame(packet)) && host.next().is_none(), "asking takes nothing");
            assert!(host.take(&[&frame(packet)[..], &[0; 6]].concat()), "padding does no harm");
            assert_eq!(host.next(), Some((0x9001, packet.clone())));
            assert_eq!(host.next(), None);
            host.expect(0x9001, None);
        }
        host.expect(0x9001, Some(Peer { address: SERVER, port: 53 }));
        let taken = (0..BUFFERS * 2).filter(|_| host.take(&frame(&udp))).count();
        assert_eq!(taken, BUFFERS, "a flood finds its end");
        assert!(!host.waits_for(&frame(&udp)), "there is no room for it");
        while host.next().is_some() {}
        assert!(host.take(&frame(&udp)));
    }

    #[test]
    fn a_stranger_is_not_taken_for_the_server() {
        let (host, _) = Host::new(1, Arc::new(Shutdown::new(1)));
        host.expect(0x9001, Some(Peer { address: SERVER, port: 53 }));
        let stranger = Ipv4Addr::new(203, 0, 113, 9);
        let ports = [0, 53, 0x90, 0x01, 0, 8, 0, 0];
        let back = [0x90, 0x01, 0, 53, 0, 8, 0, 0];
        let other_port = [0x90, 0x01, 0, 54, 0, 8, 0, 0];
        for (who, packet) in [
            ("another host", from_to(stranger, DIRECTOR, protocol::UDP, &ports)),
            ("the same over TCP", from_to(stranger, DIRECTOR, protocol::TCP, &ports)),
            ("another port", packet(protocol::UDP, &[0, 54, 0x90, 0x01, 0, 8, 0, 0])),
            ("an error about another host", unreachable(&from_to(DIRECTOR, stranger, protocol::UDP, &back))),
            (
                "an error about another port",
                unreachable(&from_to(DIRECTOR, SERVER, protocol::UDP, &other_port)),
            ),
            ("an error about others' packet", unreachable(&from_to(stranger, SERVER, protocol::UDP, &back))),
            ("a ping", packet(ipv4::ICMP, &[8, 0, 0, 0, 0x90, 0x01, 0, 1])),
        ] {
            assert!(!host.take(&frame(&packet)), "{who}");
        }
        assert!(host.take(&frame(&packet(protocol::UDP, &ports))));
        host.expect(0x9001, Some(Peer { address: SERVER, port: 0 }));
        let reply = [0, 0, 0, 0, 0x90, 0x01, 0, 1];
        assert!(
            !host.take(&frame(&from_to(stranger, DIRECTOR, ipv4::ICMP, &reply))),
            "an echo reply of another host"
        );
        assert!(host.take(&frame(&packet(ipv4::ICMP, &reply))));
    }

    #[test]
    fn what_is_sent_goes_by_one_worker_and_is_bounded() {
        let (host, workers) = Host::new(2, Arc::new(Shutdown::new(2)));
        let to = Recipient {
            server: ServerId::new(3),
            address: Ipv4Addr::new(198, 51, 100, 11).into(),
            as_traffic: true,
        };
        let bytes = packet(protocol::TCP, &[0x90, 0x01, 0, 80, 0, 0, 0, 0]);
        for _ in 0..WAITING * 2 {
            host.send(to, bytes.len(), |space| space.copy_from_slice(&bytes));
        }
        host.send(to, BUFFER_LEN + 1, |space| assert_eq!(space.len(), BUFFER_LEN + 1));
        assert_eq!(workers[0].len(), 0);
        assert_eq!(workers[1].len(), WAITING);
        let sent = workers[1].try_recv().unwrap();
        assert_eq!((sent.to, sent.bytes), (to, bytes));
    }
}
