//! The director's control plane on the ports: what it sends through workers, and what they hear for it. Health checks
//! take this way. Bounded, with buffers that exist from the start; what finds no room is lost, as on any network.

use super::shutdown::Shutdown;
use crossbeam_channel::{Receiver, Sender, bounded};
use lb_core::{
    wire::{ethernet, icmp, ipv4},
    worker::host::Recipient,
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Packets that are on their way in either direction, at most.
const BUFFERS: usize = 1_024;
/// Largest packet.
const BUFFER_LEN: usize = 1_536;
/// Packets that wait for one worker, at most.
const WAITING: usize = 256;
/// Packets that a worker sends at a time.
pub(crate) const SEND_BURST: usize = 32;

/// A packet that a worker is to send.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) to: Recipient,
    /// A whole IPv4 packet.
    pub(crate) bytes: Vec<u8>,
}

/// What the control plane and all workers share.
#[derive(Debug)]
pub(crate) struct Host {
    /// A bit for each port, or ICMP identifier, that answers are waited for on.
    open: Box<[AtomicU64]>,
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
        let open = (0..=usize::from(u16::MAX) / 64).map(|_| AtomicU64::new(0)).collect();
        (Arc::new(Host { open, empty, arrived: bounded(BUFFERS), outgoing, shutdown }), ends)
    }

    /// Whether workers poll ports. Where they do not, no answer can come.
    pub(crate) fn is_polled(&self) -> bool {
        !self.shutdown.is_paused()
    }

    /// Answers to this port are waited for from now on, or no more.
    pub(crate) fn set_open(&self, port: u16, open: bool) {
        let (word, bit) = (&self.open[usize::from(port) / 64], 1 << (port % 64));
        if open {
            word.fetch_or(bit, Relaxed);
        } else {
            word.fetch_and(!bit, Relaxed);
        }
    }

    /// Has a packet of `len` bytes, which `write` fills in, sent. A packet that is too large or finds no room is lost.
    pub(crate) fn send<R>(&self, to: Recipient, len: usize, write: impl FnOnce(&mut [u8]) -> R) -> R {
        let buffer = if len <= BUFFER_LEN { self.empty.1.try_recv().ok() } else { None };
        let Some(mut bytes) = buffer else { return write(&mut vec![0; len]) };
        bytes.clear();
        bytes.resize(len, 0);
        let outcome = write(&mut bytes);
        // Any worker can; those of one check go by one, so that they stay in order.
        let port = addressee(&bytes).map_or(0, |_| usize::from(source_port(&bytes)));
        let worker = &self.outgoing[port % self.outgoing.len()];
        if let Err(error) = worker.try_send(Outgoing { to, bytes }) {
            self.give_back(error.into_inner().bytes);
        }
        outcome
    }

    /// A packet that arrived, with the port it is for.
    pub(crate) fn next(&self) -> Option<(u16, Vec<u8>)> {
        let bytes = self.arrived.1.try_recv().ok()?;
        let packet = addressee(&bytes).map(|port| (port, bytes.clone()));
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
        let port = addressee(packet)?;
        let is_open = self.open[usize::from(port) / 64].load(Relaxed) & (1 << (port % 64)) != 0;
        (is_open && packet.len() <= BUFFER_LEN).then_some(packet)
    }
}

/// The port that a packet is for: of an echo reply its identifier, of an ICMP error the quoted packet's source port.
fn addressee(packet: &[u8]) -> Option<u16> {
    let header = ipv4::Header::read_cut(packet)?;
    let payload = packet.get(header.header_len..)?;
    let at = |place: usize| word(payload, place);
    match header.protocol {
        ipv4::TCP | ipv4::UDP => at(2),
        ipv4::ICMP => match *payload.first()? {
            icmp::ECHO_REPLY | icmp::ECHO_REQUEST => at(4),
            kind if icmp::is_error(kind) => {
                let quoted = payload.get(icmp::HEADER_LEN..)?;
                Some(source_port(quoted))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The port that a packet is from: of an echo request its identifier. 0 if that cannot be told.
fn source_port(packet: &[u8]) -> u16 {
    let read = || {
        let header = ipv4::Header::read_cut(packet)?;
        let place = match header.protocol {
            ipv4::ICMP => 4,
            ipv4::TCP | ipv4::UDP => 0,
            _ => return None,
        };
        word(packet, header.header_len + place)
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
    use std::net::Ipv4Addr;

    fn packet(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; ipv4::HEADER_LEN];
        let header = ipv4::Header {
            header_len: ipv4::HEADER_LEN,
            total_len: ipv4::HEADER_LEN + payload.len(),
            fragment: 0,
            ttl: 64,
            protocol,
            source: Ipv4Addr::new(192, 0, 2, 100).to_bits(),
            destination: Ipv4Addr::new(198, 51, 100, 1).to_bits(),
        };
        ipv4::write(&mut bytes, &header, 0);
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn only_what_is_waited_for_is_taken() {
        let (host, _) = Host::new(1, Arc::new(Shutdown::new(1)));
        let udp = packet(ipv4::UDP, &[0, 53, 0x90, 0x01, 0, 8, 0, 0]);
        let mut request = packet(ipv4::UDP, &[0x90, 0x01, 0, 53, 0, 8, 0, 0]);
        let mut error = vec![3, 3, 0, 0, 0, 0, 0, 0];
        error.append(&mut request);
        let unreachable = packet(ipv4::ICMP, &error);
        let reply = packet(ipv4::ICMP, &[0, 0, 0, 0, 0x90, 0x01, 0, 1]);
        let frame = |packet: &[u8]| [&[0; 12], &[8, 0][..], packet].concat();
        for packet in [&udp, &unreachable, &reply] {
            assert!(!host.waits_for(&frame(packet)) && !host.take(&frame(packet)), "nobody waits");
            host.set_open(0x9001, true);
            assert!(host.waits_for(&frame(packet)) && host.next().is_none(), "asking takes nothing");
            assert!(host.take(&[&frame(packet)[..], &[0; 6]].concat()), "padding does no harm");
            assert_eq!(host.next(), Some((0x9001, packet.clone())));
            assert_eq!(host.next(), None);
            host.set_open(0x9001, false);
        }
        host.set_open(0x9001, true);
        let taken = (0..BUFFERS * 2).filter(|_| host.take(&frame(&udp))).count();
        assert_eq!(taken, BUFFERS, "a flood finds its end");
        assert!(!host.waits_for(&frame(&udp)), "there is no room for it");
        while host.next().is_some() {}
        assert!(host.take(&frame(&udp)));
    }

    #[test]
    fn what_is_sent_goes_by_one_worker_and_is_bounded() {
        let (host, workers) = Host::new(2, Arc::new(Shutdown::new(2)));
        let to = Recipient {
            server: ServerId::new(3),
            address: Ipv4Addr::new(198, 51, 100, 11),
            as_traffic: true,
        };
        let bytes = packet(ipv4::TCP, &[0x90, 0x01, 0, 80, 0, 0, 0, 0]);
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
