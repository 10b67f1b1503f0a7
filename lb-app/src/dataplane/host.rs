//! The control plane's packets on the ports: those that it sends through workers, and those that workers receive for
//! it. Health checks take this way. Bounded, with buffers that exist from the start; what finds no room is lost, as on any
//! network.

use super::shutdown::Shutdown;
use crossbeam_channel::{Receiver, Sender, bounded};
use lb_core::{
    family::{Family, Header, Message, V4, V6},
    packet::PortId,
    wire::{ethernet, icmp, protocol},
    worker::host::Recipient,
};
use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
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

/// Whom a packet goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// A server, a whole IPv4 packet.
    Server(Recipient),
    /// Whoever it says itself, by that port: a whole frame of the kernel's.
    Port(PortId),
}

/// A packet that a worker is to send.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) to: To,
    /// The packet.
    pub(crate) bytes: Vec<u8>,
}

/// Whose answers a check waits for: nobody else's packets are taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    /// 0 where the protocol has no ports, and for any.
    pub(crate) port: u16,
}

/// No answer is waited for.
const NOBODY: u64 = 0;

/// What the control plane and all workers share.
#[derive(Debug)]
pub(crate) struct Host {
    /// By port, or ICMP identifier: whose answers are waited for there. See [`Host::packed`].
    expected: Box<[AtomicU64]>,
    /// Chosen at the start: outsiders find no peer that is packed as another is.
    secret: RandomState,
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
        let secret = RandomState::new();
        (Arc::new(Host { expected, secret, empty, arrived: bounded(BUFFERS), outgoing, shutdown }), ends)
    }

    /// Whether workers poll ports. Where they do not, no answer can come.
    pub(crate) fn is_polled(&self) -> bool {
        !self.shutdown.is_paused()
    }

    /// Answers to this port are waited for from now on, from that peer; or no more.
    pub(crate) fn expect(&self, port: u16, from: Option<Peer>) {
        let packed = from.map_or(NOBODY, |peer| self.packed(peer));
        self.expected[usize::from(port)].store(packed, Relaxed);
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
        if let Err(error) = worker.try_send(Outgoing { to: To::Server(to), bytes }) {
            self.give_back(error.into_inner().bytes);
        }
        outcome
    }

    /// Has a frame of the kernel's sent, by one worker so that they stay in order. Whether there was room for it.
    pub(crate) fn send_frame(&self, frame: Outgoing) -> bool {
        self.outgoing[0].try_send(frame).is_ok()
    }

    /// A packet that arrived, with the port it is for.
    pub(crate) fn next(&self) -> Option<(u16, Vec<u8>)> {
        let bytes = self.arrived.1.try_recv().ok()?;
        let packet = answer(&bytes).map(|answer| (answer.port, bytes.clone()));
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
        let Answer { len, port, from } = answer(packet)?;
        let expected = self.expected[usize::from(port)].load(Relaxed);
        let is_expected = expected != NOBODY
            && (expected == self.packed(from) || expected == self.packed(Peer { port: 0, ..from }));
        (is_expected && len <= BUFFER_LEN).then(|| &packet[..len])
    }

    /// A peer in one word of 63 bits that follow from it, which is never [`NOBODY`].
    fn packed(&self, peer: Peer) -> u64 {
        1 << 63 | self.secret.hash_one(peer)
    }
}

/// A packet that may be an answer.
struct Answer {
    /// Bytes of the packet.
    len: usize,
    /// The port that it is for: of an echo reply the identifier; of an ICMP error, which anybody on the way may send, the
    /// quoted packet's source port.
    port: u16,
    /// Whose it is: of an ICMP error, whom the quoted packet went to.
    from: Peer,
}

/// What stands at the beginning of these bytes, if that may be an answer.
fn answer(bytes: &[u8]) -> Option<Answer> {
    match version(bytes)? {
        4 => answer_of::<V4>(bytes),
        6 => answer_of::<V6>(bytes),
        _ => None,
    }
}

fn answer_of<F: Family>(bytes: &[u8]) -> Option<Answer> {
    let header = Header::<F>::read(bytes)?;
    // What the stack of a check cannot put together is of no use to it.
    let payload =
        bytes.get(header.header_len..header.total_len).filter(|_| !F::is_fragment(header.fragment))?;
    let answer = |port, (address, of): (F::Address, u16)| {
        Some(Answer { len: header.total_len, port, from: Peer { address: F::ip(address), port: of } })
    };
    match header.protocol {
        protocol::TCP | protocol::UDP => answer(word(payload, 2)?, (header.source, word(payload, 0)?)),
        icmp if icmp == F::ICMP => match F::message(*payload.first()?) {
            Message::EchoReply => answer(word(payload, 4)?, (header.source, 0)),
            message if message.is_error() => {
                let quoted = payload.get(icmp::HEADER_LEN..)?;
                let inner = Header::<F>::read_cut(quoted)?;
                let to = if inner.protocol == F::ICMP { 0 } else { word(quoted, inner.header_len + 2)? };
                let is_ours = inner.source == header.destination;
                is_ours.then(|| answer(source_port(quoted), (inner.destination, to)))?
            }
            _ => None,
        },
        _ => None,
    }
}

/// The port that a packet is from: the identifier of an echo request. 0 if it has none.
fn source_port(packet: &[u8]) -> u16 {
    let port = match version(packet) {
        Some(4) => source_port_of::<V4>(packet),
        Some(6) => source_port_of::<V6>(packet),
        _ => None,
    };
    port.unwrap_or(0)
}

fn source_port_of<F: Family>(packet: &[u8]) -> Option<u16> {
    let header = Header::<F>::read_cut(packet)?;
    word(packet, header.header_len + if header.protocol == F::ICMP { 4 } else { 0 })
}

fn version(packet: &[u8]) -> Option<u8> {
    packet.first().map(|first| first >> 4)
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|word| u16::from_be_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::{ids::ServerId, wire::icmpv6};

    /// A family, with addresses and types of ICMP messages of its own.
    trait Sample: Family {
        const DIRECTOR: &str;
        const SERVER: &str;
        const ROUTER: &str;
        const STRANGER: &str;
        const UNREACHABLE: u8;

        fn server() -> IpAddr {
            Self::SERVER.parse().unwrap()
        }
    }

    impl Sample for V4 {
        const DIRECTOR: &str = "198.51.100.1";
        const SERVER: &str = "192.0.2.100";
        const ROUTER: &str = "192.0.2.254";
        const STRANGER: &str = "203.0.113.9";
        const UNREACHABLE: u8 = icmp::UNREACHABLE;
    }

    impl Sample for V6 {
        const DIRECTOR: &str = "2001:db8:1::1";
        const SERVER: &str = "2001:db8:2::100";
        const ROUTER: &str = "2001:db8:2::fffe";
        const STRANGER: &str = "2001:db8:3::9";
        const UNREACHABLE: u8 = icmpv6::UNREACHABLE;
    }

    fn packet<F: Sample>(protocol: u8, payload: &[u8]) -> Vec<u8> {
        from_to::<F>(F::SERVER, F::DIRECTOR, protocol, payload)
    }

    fn from_to<F: Sample>(source: &str, destination: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let address = |text: &str| F::of(text.parse().unwrap()).unwrap();
        let mut bytes = vec![0; F::HEADER_LEN];
        let header = Header::<F> {
            header_len: F::HEADER_LEN,
            total_len: F::HEADER_LEN + payload.len(),
            fragment: 0,
            ttl: 64,
            protocol,
            source: address(source),
            destination: address(destination),
        };
        F::write(&mut bytes, &header);
        bytes.extend(payload);
        bytes
    }

    /// An ICMP error from a router on the way about a packet of ours.
    fn unreachable<F: Sample>(quoted: &[u8]) -> Vec<u8> {
        let message = [&[F::UNREACHABLE, 3, 0, 0, 0, 0, 0, 0], quoted].concat();
        from_to::<F>(F::ROUTER, F::DIRECTOR, F::ICMP, &message)
    }

    fn frame<F: Sample>(packet: &[u8]) -> Vec<u8> {
        [&[0; 12], &F::ETHERTYPE.to_be_bytes()[..], packet].concat()
    }

    #[test]
    fn only_what_is_waited_for_is_taken() {
        takes_what_is_waited_for::<V4>();
        takes_what_is_waited_for::<V6>();
    }

    fn takes_what_is_waited_for<F: Sample>() {
        let (host, _) = Host::new(1, Arc::new(Shutdown::new(1)));
        let server = |port| Some(Peer { address: F::server(), port });
        let frame = frame::<F>;
        let udp = packet::<F>(protocol::UDP, &[0, 53, 0x90, 0x01, 0, 8, 0, 0]);
        let request = from_to::<F>(F::DIRECTOR, F::SERVER, protocol::UDP, &[0x90, 0x01, 0, 53, 0, 8, 0, 0]);
        let ping =
            from_to::<F>(F::DIRECTOR, F::SERVER, F::ICMP, &[F::ECHO_REQUEST, 0, 0, 0, 0x90, 0x01, 0, 1]);
        let reply = packet::<F>(F::ICMP, &[F::ECHO_REPLY, 0, 0, 0, 0x90, 0x01, 0, 1]);
        let cut = &request[..F::HEADER_LEN + 4];
        for (packet, port) in [
            (&udp, 53),
            (&unreachable::<F>(&request), 53),
            (&unreachable::<F>(cut), 53),
            (&reply, 0),
            (&unreachable::<F>(&ping), 0),
        ] {
            assert!(!host.waits_for(&frame(packet)) && !host.take(&frame(packet)), "nobody waits");
            host.expect(0x9001, server(port));
            assert!(host.waits_for(&frame(packet)) && host.next().is_none(), "asking takes nothing");
            assert!(host.take(&[&frame(packet)[..], &[0; 6]].concat()), "padding does no harm");
            assert_eq!(host.next(), Some((0x9001, packet.clone())));
            assert_eq!(host.next(), None);
            host.expect(0x9001, None);
        }
        host.expect(0x9001, server(53));
        let taken = (0..BUFFERS * 2).filter(|_| host.take(&frame(&udp))).count();
        assert_eq!(taken, BUFFERS, "a flood finds its end");
        assert!(!host.waits_for(&frame(&udp)), "there is no room for it");
        while host.next().is_some() {}
        assert!(host.take(&frame(&udp)));
    }

    #[test]
    fn a_stranger_is_not_taken_for_the_server() {
        takes_nothing_of_strangers::<V4>();
        takes_nothing_of_strangers::<V6>();
    }

    fn takes_nothing_of_strangers<F: Sample>() {
        let (host, _) = Host::new(1, Arc::new(Shutdown::new(1)));
        host.expect(0x9001, Some(Peer { address: F::server(), port: 53 }));
        let frame = frame::<F>;
        let ours = |to, payload: &[u8]| from_to::<F>(F::DIRECTOR, to, protocol::UDP, payload);
        let ports = [0, 53, 0x90, 0x01, 0, 8, 0, 0];
        let back = [0x90, 0x01, 0, 53, 0, 8, 0, 0];
        let other_port = [0x90, 0x01, 0, 54, 0, 8, 0, 0];
        let theirs = from_to::<F>(F::STRANGER, F::SERVER, protocol::UDP, &back);
        for (who, packet) in [
            ("another host", from_to::<F>(F::STRANGER, F::DIRECTOR, protocol::UDP, &ports)),
            ("the same over TCP", from_to::<F>(F::STRANGER, F::DIRECTOR, protocol::TCP, &ports)),
            ("another port", packet::<F>(protocol::UDP, &[0, 54, 0x90, 0x01, 0, 8, 0, 0])),
            ("an error about another host", unreachable::<F>(&ours(F::STRANGER, &back))),
            ("an error about another port", unreachable::<F>(&ours(F::SERVER, &other_port))),
            ("an error about others' packet", unreachable::<F>(&theirs)),
            ("a ping", packet::<F>(F::ICMP, &[F::ECHO_REQUEST, 0, 0, 0, 0x90, 0x01, 0, 1])),
        ] {
            assert!(!host.take(&frame(&packet)), "{who}");
        }
        assert!(host.take(&frame(&packet::<F>(protocol::UDP, &ports))));
        host.expect(0x9001, Some(Peer { address: F::server(), port: 0 }));
        let reply = [F::ECHO_REPLY, 0, 0, 0, 0x90, 0x01, 0, 1];
        assert!(
            !host.take(&frame(&from_to::<F>(F::STRANGER, F::DIRECTOR, F::ICMP, &reply))),
            "an echo reply of another host"
        );
        assert!(host.take(&frame(&packet::<F>(F::ICMP, &reply))));
    }

    #[test]
    fn what_is_sent_goes_by_one_worker_and_is_bounded() {
        sends_by_one_worker::<V4>();
        sends_by_one_worker::<V6>();
    }

    fn sends_by_one_worker<F: Sample>() {
        let (host, workers) = Host::new(2, Arc::new(Shutdown::new(2)));
        let to = Recipient { server: ServerId::new(3), address: F::server(), as_traffic: true };
        let bytes = packet::<F>(protocol::TCP, &[0x90, 0x01, 0, 80, 0, 0, 0, 0]);
        for _ in 0..WAITING * 2 {
            host.send(to, bytes.len(), |space| space.copy_from_slice(&bytes));
        }
        host.send(to, BUFFER_LEN + 1, |space| assert_eq!(space.len(), BUFFER_LEN + 1));
        assert_eq!(workers[0].len(), 0);
        assert_eq!(workers[1].len(), WAITING);
        let sent = workers[1].try_recv().unwrap();
        assert_eq!((sent.to, sent.bytes), (To::Server(to), bytes));
    }
}
