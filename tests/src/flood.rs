//! Packets from forged sources, at a steady rate.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use etherparse::PacketBuilder;
use socket2::{Domain, Protocol, Socket, Type};

use crate::client::Client;
use crate::process::until_over;

/// Protocol number for packets that bring their own header.
const RAW: i32 = 255;
/// Packets, or pairs of them, from so many sources every ten milliseconds: 3,300 a second.
const AT_ONCE: u32 = 33;
const EVERY: Duration = Duration::from_millis(10);

/// What forged sources send.
#[derive(Clone, Copy, Debug)]
pub enum Flood {
    /// One datagram each.
    Datagrams,
    /// A SYN, and the acknowledgement of an answer that they have not seen.
    Handshakes,
}

impl Flood {
    /// Sends from the client's place until `story` is over. Returns what it returns, with the number of forged sources.
    pub fn during<T>(
        self,
        client: &Client,
        target: SocketAddrV4,
        story: impl FnOnce() -> T,
    ) -> io::Result<(T, u32)> {
        let over = AtomicBool::new(false);
        let socket = client.namespace().within(|| {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW)))?;
            socket.set_header_included_v4(true)?;
            Ok(socket)
        })?;
        thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let mut sources = 0;
                while !over.load(Ordering::Relaxed) {
                    for number in sources..sources + AT_ONCE {
                        for packet in self.packets(number, target) {
                            socket.send_to(&packet, &SocketAddrV4::new(*target.ip(), 0).into())?;
                        }
                    }
                    sources += AT_ONCE;
                    thread::sleep(EVERY);
                }
                Ok(sources)
            });
            let outcome = until_over(&over, story);
            let sent = sender.join().expect("the sender does not panic");
            sent.map(|sent| (outcome, sent))
        })
    }

    /// What the `number`th forged source sends: a far address, which nobody has.
    fn packets(self, number: u32, target: SocketAddrV4) -> Vec<Vec<u8>> {
        let source = Ipv4Addr::from_bits(0xcb00_7100 + 100 + number % 100).octets();
        let port = 1_024 + u16::try_from(number / 100 % 60_000).unwrap_or_default();
        let header = || PacketBuilder::ipv4(source, target.ip().octets(), 64);
        match self {
            Flood::Datagrams => {
                let mut datagram = Vec::new();
                let written = header().udp(port, target.port()).write(&mut datagram, b"forged");
                written.expect("a vector has room");
                vec![datagram]
            }
            Flood::Handshakes => {
                let segment = || header().tcp(port, target.port(), number, 65_535);
                let both = [segment().syn(), segment().ack(0x1234_5678)].map(|segment| {
                    let mut packet = Vec::new();
                    segment.write(&mut packet, &[]).expect("a vector has room");
                    packet
                });
                both.to_vec()
            }
        }
    }
}
