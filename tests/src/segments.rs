//! TCP as it is on the wire: a reader of segments and their options, and a client that says what no kernel does.

use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use socket2::{Domain, Protocol, Socket, Type};

use crate::netns::Namespace;
use crate::process::PATIENCE;

/// All of Ethernet, for packet sockets.
const EVERYTHING: u16 = 0x0003;
/// Protocol number for packets that bring their own header, in either family.
const RAW: i32 = 255;
/// Longer than any frame here.
const FRAME_LEN: usize = 2_048;
/// The first number of a client that is no kernel.
const FIRST: u32 = 1_000;

/// A segment, as it came.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Who sent it.
    pub from: SocketAddr,
    /// Where to.
    pub to: SocketAddr,
    /// SYN is set.
    pub syn: bool,
    /// RST is set.
    pub rst: bool,
    /// The number of its first byte.
    pub sequence: u32,
    /// Its options: kind, and what is behind kind and length.
    pub options: Vec<(u8, Vec<u8>)>,
    /// Its data.
    pub payload: Vec<u8>,
}

impl Segment {
    /// What options of a kind have in them.
    #[must_use]
    pub fn options_of(&self, kind: u8) -> Vec<&[u8]> {
        self.options.iter().filter(|(own, _)| *own == kind).map(|(_, value)| value.as_slice()).collect()
    }
}

/// Everything that is sent and received in a namespace, from its beginning on.
#[derive(Debug)]
pub struct Reader {
    socket: Socket,
}

impl Reader {
    /// Listens on all interfaces of a namespace.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let protocol = Protocol::from(i32::from(EVERYTHING.to_be()));
        let socket = namespace.within(|| Socket::new(Domain::PACKET, Type::RAW, Some(protocol)))?;
        socket.set_recv_buffer_size(1 << 20)?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        Ok(Self { socket })
    }

    /// All segments from the last one that was read up to the first that is wanted, which is the last of these.
    pub fn up_to(&self, is_wanted: impl Fn(&Segment) -> bool) -> Result<Vec<Segment>> {
        let (start, mut frame, mut segments) = (Instant::now(), [0; FRAME_LEN], Vec::new());
        while start.elapsed() < PATIENCE {
            match (&self.socket).read(&mut frame) {
                Ok(length) => segments.extend(segment(&frame[..length.min(FRAME_LEN)])),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            if segments.last().is_some_and(&is_wanted) {
                return Ok(segments);
            }
        }
        anyhow::bail!("what was waited for is not among {segments:?}")
    }
}

/// The segment in a frame.
fn segment(frame: &[u8]) -> Option<Segment> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let (source, destination): (IpAddr, IpAddr) = match packet.net? {
        NetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Arp(_) => return None,
    };
    let Some(TransportSlice::Tcp(tcp)) = packet.transport else { return None };
    Some(Segment {
        from: SocketAddr::new(source, tcp.source_port()),
        to: SocketAddr::new(destination, tcp.destination_port()),
        syn: tcp.syn(),
        rst: tcp.rst(),
        sequence: tcp.sequence_number(),
        options: options(tcp.options()),
        payload: tcp.payload().to_vec(),
    })
}

/// Options one by one. What is behind one that does not fit is none.
fn options(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut options = Vec::new();
    while let [kind, rest @ ..] = bytes {
        bytes = match (kind, rest) {
            (0, _) => break,
            (1, rest) => rest,
            (kind, [length, ..]) => {
                let Some(value) = bytes.get(2..usize::from(*length)) else { break };
                options.push((*kind, value.to_vec()));
                &bytes[usize::from(*length).max(2)..]
            }
            (_, []) => break,
        };
    }
    options
}

/// A client that writes its segments itself, with any options. Its kernel knows nothing of the connection.
#[derive(Debug)]
pub struct Handmade {
    socket: Socket,
    reader: Reader,
    from: SocketAddr,
    to: SocketAddr,
    /// The number of the next byte.
    next: u32,
    /// The number of the other side's next byte.
    expected: u32,
}

impl Handmade {
    /// Opens a connection from one endpoint to another with these options in the SYN and in the acknowledgement that follows.
    /// `namespace` is the client's, where resets are kept back from now on: its kernel would send one.
    pub fn connect(namespace: &Namespace, from: SocketAddr, to: SocketAddr, options: &[u8]) -> Result<Self> {
        namespace.run("nft", &["add table inet handmade"])?;
        namespace.run("nft", &["add chain inet handmade out { type filter hook output priority 0; }"])?;
        namespace.run("nft", &["add rule inet handmade out tcp flags & rst == rst drop"])?;
        let reader = Reader::start(namespace)?;
        let domain = if from.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = namespace.within(|| Socket::new(domain, Type::RAW, Some(Protocol::from(RAW))))?;
        let mut own = Self { socket, reader, from, to, next: FIRST, expected: 0 };
        own.send(true, options, &[])?;
        let answers = own.reader.up_to(|segment| segment.from == to && segment.to == from)?;
        let answer = answers.last().context("an answer")?;
        ensure!(answer.syn && !answer.rst, "{answer:?}");
        own.next += 1;
        own.expected = answer.sequence.wrapping_add(1);
        own.send(false, options, &[])?;
        Ok(own)
    }

    /// Says something, with these options.
    pub fn say(&mut self, options: &[u8], payload: &[u8]) -> Result<()> {
        self.send(false, options, payload)?;
        self.next += u32::try_from(payload.len())?;
        Ok(())
    }

    fn send(&self, is_syn: bool, options: &[u8], payload: &[u8]) -> Result<()> {
        let header = match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), 64),
            (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), 64),
            _ => anyhow::bail!("{} and {} are of two families", self.from, self.to),
        };
        let segment = header.tcp(self.from.port(), self.to.port(), self.next, 65_535);
        let segment = if is_syn { segment.syn() } else { segment.ack(self.expected) };
        let mut packet = Vec::new();
        segment.options_raw(options)?.write(&mut packet, payload)?;
        // Raw sockets of IPv6 want no port.
        self.socket.send_to(&packet, &SocketAddr::new(self.to.ip(), 0).into()).map(drop).map_err(whose)
    }
}

fn whose(error: io::Error) -> anyhow::Error {
    anyhow::Error::from(error).context("cannot send a segment of one's own making")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_one_by_one() {
        let bytes = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 254, 4, 7, 9, 0, 0];
        assert_eq!(options(&bytes), [(8, vec![0, 0, 0, 1, 0, 0, 0, 2]), (254, vec![7, 9])]);
        assert_eq!(options(&[254, 9, 1]), []);
        assert_eq!(options(&[254]), []);
        assert_eq!(options(&[254, 0, 1]), []);
        assert_eq!(options(&[254, 1, 254, 2]), []);
    }
}
