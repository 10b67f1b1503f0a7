//! One check's talk with one server by the director's own ports: a TCP connection, datagrams, or an echo request, on a
//! TCP/IP stack of its own.

use super::{balancer::Way, waiting::Reserved};
use lb_core::wire::{icmp as icmp4, icmpv6};
use smoltcp::{
    iface::{Config, Interface, SocketHandle, SocketSet},
    phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken},
    socket::{icmp, tcp, udp},
    time::Instant as Moment,
    wire::{HardwareAddress, IpCidr},
};
use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::mpsc,
};

/// Room for what a server sends in one go, and for what is sent to it.
const BUFFER: usize = 16_384;
/// Datagrams that wait.
const DATAGRAMS: usize = 8;
/// Larger packets than these are never needed, whatever the port carries.
const LARGEST: u16 = 1_500;
/// How long a connection that is over has to end in good order.
const LINGER: Duration = Duration::from_millis(500);

/// A talk. Dropping it frees its local port.
pub(crate) struct Conversation {
    wire: Wire,
    interface: Interface,
    sockets: SocketSet<'static>,
    arrivals: mpsc::Receiver<Vec<u8>>,
    start: Instant,
}

/// What a UDP or ICMP socket has received.
pub(crate) enum Heard {
    /// A datagram.
    Datagram(Vec<u8>),
    /// An ICMP error: the server accepts none.
    Refused,
}

impl Conversation {
    pub(super) fn new(way: Way, reserved: Reserved, arrivals: mpsc::Receiver<Vec<u8>>) -> Self {
        let mut wire = Wire { way, reserved, received: VecDeque::new() };
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = rand::random();
        let mut interface = Interface::new(config, &mut wire, Moment::ZERO);
        // Everybody is a neighbour: who gets the packets is decided elsewhere.
        let own = IpCidr::new(way.source.into(), 0);
        interface.update_ip_addrs(|addresses| {
            let _ = addresses.push(own);
        });
        Conversation { wire, interface, sockets: SocketSet::new(Vec::new()), arrivals, start: Instant::now() }
    }

    /// The local port, which is also the identifier of echo requests.
    pub(crate) fn port(&self) -> u16 {
        self.wire.reserved.port
    }

    /// Opens a TCP connection. What is done with the stream is done with the connection.
    pub(crate) async fn connect(mut self, to: SocketAddr) -> io::Result<DuplexStream> {
        let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        let local = self.port();
        let connected = socket.connect(self.interface.context(), to, local);
        connected.map_err(|error| io::Error::other(format!("cannot open the connection: {error}")))?;
        let handle = self.sockets.add(socket);
        loop {
            // Packet by packet: a connection that was accepted and is over already was accepted.
            let more = self.turn_once();
            match self.sockets.get::<tcp::Socket<'_>>(handle).state() {
                tcp::State::SynSent | tcp::State::SynReceived if more => {}
                tcp::State::SynSent | tcp::State::SynReceived => self.wait().await,
                tcp::State::Closed => return Err(io::ErrorKind::ConnectionRefused.into()),
                _ => break,
            }
        }
        let (ours, theirs) = tokio::io::duplex(BUFFER);
        tokio::spawn(self.pump(handle, ours));
        Ok(theirs)
    }

    /// Sends a datagram; answers are received from then on.
    pub(crate) fn send_datagram(&mut self, to: SocketAddr, payload: &[u8]) -> io::Result<()> {
        let local = self.port();
        let lost =
            |what: &dyn std::fmt::Display| io::Error::other(format!("cannot send the datagram: {what}"));
        let mut socket = udp::Socket::new(udp_buffer(), udp_buffer());
        socket.bind((self.wire.way.source, local)).map_err(|error| lost(&error))?;
        socket.send_slice(payload, to).map_err(|error| lost(&error))?;
        let mut errors = icmp::Socket::new(icmp_buffer(), icmp_buffer());
        errors.bind(icmp::Endpoint::Udp(local.into())).map_err(|error| lost(&error))?;
        self.sockets.add(socket);
        self.sockets.add(errors);
        self.turn();
        Ok(())
    }

    /// Sends an echo request, whose identifier is the local port; replies are received from then on.
    pub(crate) fn send_echo(&mut self, to: IpAddr, message: &[u8]) -> io::Result<()> {
        let lost =
            |what: &dyn std::fmt::Display| io::Error::other(format!("cannot send the request: {what}"));
        let mut socket = icmp::Socket::new(icmp_buffer(), icmp_buffer());
        socket.bind(icmp::Endpoint::Ident(self.port())).map_err(|error| lost(&error))?;
        socket.send_slice(message, to.into()).map_err(|error| lost(&error))?;
        self.sockets.add(socket);
        self.turn();
        Ok(())
    }

    /// The next datagram or ICMP message. Whose it is has been seen to by those who take it from the ports.
    pub(crate) async fn hear(&mut self) -> Heard {
        loop {
            self.turn();
            for (_, socket) in self.sockets.iter_mut() {
                match socket {
                    smoltcp::socket::Socket::Udp(socket) => {
                        if let Ok((bytes, _)) = socket.recv() {
                            return Heard::Datagram(bytes.to_vec());
                        }
                    }
                    smoltcp::socket::Socket::Icmp(socket) => {
                        while let Ok((message, _)) = socket.recv() {
                            if let Some(heard) = heard(self.wire.way.source, message) {
                                return heard;
                            }
                        }
                    }
                    _ => {}
                }
            }
            self.wait().await;
        }
    }

    /// Carries bytes between the connection and the check, until one of them is done.
    async fn pump(mut self, handle: SocketHandle, check: DuplexStream) {
        let (mut from_check, mut to_check) = tokio::io::split(check);
        let mut chunk = vec![0; 4_096];
        let mut peer_is_done = false;
        loop {
            self.turn();
            let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
            if socket.can_recv() {
                let data = socket.recv(|data| (data.len(), data.to_vec())).unwrap_or_default();
                if to_check.write_all(&data).await.is_err() {
                    break;
                }
                continue;
            }
            if !socket.may_recv() && !peer_is_done {
                peer_is_done = true;
                if to_check.shutdown().await.is_err() {
                    break;
                }
            }
            if !socket.is_active() {
                break;
            }
            let room = (socket.send_capacity() - socket.send_queue()).min(chunk.len());
            tokio::select! {
                read = from_check.read(&mut chunk[..room]), if room > 0 => match read {
                    Ok(0) | Err(_) => break,
                    Ok(length) => {
                        let _ = self.sockets.get_mut::<tcp::Socket<'_>>(handle).send_slice(&chunk[..length]);
                    }
                },
                () = self.wait() => {}
            }
        }
        // As a kernel would: to the end, but for ever with nobody.
        self.sockets.get_mut::<tcp::Socket<'_>>(handle).close();
        let _ = tokio::time::timeout(LINGER, self.finish(handle)).await;
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
        if !matches!(socket.state(), tcp::State::Closed | tcp::State::TimeWait) {
            socket.abort();
        }
        self.turn();
    }

    async fn finish(&mut self, handle: SocketHandle) {
        loop {
            self.turn();
            let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
            // What still comes is not wanted any more.
            let _ = socket.recv(|data| (data.len(), ()));
            if matches!(socket.state(), tcp::State::Closed | tcp::State::TimeWait) {
                return;
            }
            self.wait().await;
        }
    }

    fn now(&self) -> Moment {
        Moment::from_micros(self.start.elapsed().as_micros() as i64)
    }

    /// Lets the stack do what is due.
    fn turn(&mut self) {
        while let Ok(packet) = self.arrivals.try_recv() {
            self.wire.received.push_back(packet);
        }
        let now = self.now();
        self.interface.poll(now, &mut self.wire, &mut self.sockets);
    }

    /// The same for one packet that has come. Whether more may have.
    fn turn_once(&mut self) -> bool {
        if self.wire.received.is_empty() {
            self.wire.received.extend(self.arrivals.try_recv().ok());
        }
        let now = self.now();
        let is_there = !self.wire.received.is_empty();
        self.interface.poll_ingress_single(now, &mut self.wire, &mut self.sockets);
        self.interface.poll_egress(now, &mut self.wire, &mut self.sockets);
        is_there
    }

    /// Waits until something is due, or a packet has come.
    async fn wait(&mut self) {
        let delay = self.interface.poll_delay(self.now(), &self.sockets);
        let delay = delay.map_or(Duration::MAX, |delay| Duration::from_micros(delay.total_micros()));
        if let Ok(Some(packet)) = tokio::time::timeout(delay, self.arrivals.recv()).await {
            self.wire.received.push_back(packet);
        }
    }
}

/// What a message of a family's ICMP says, if that matters here.
fn heard(own: IpAddr, message: &[u8]) -> Option<Heard> {
    match (own, message) {
        (IpAddr::V4(_), [icmp4::ECHO_REPLY, ..]) | (IpAddr::V6(_), [icmpv6::ECHO_REPLY, ..]) => {
            Some(Heard::Datagram(message.to_vec()))
        }
        // Too large is nobody's refusal.
        (IpAddr::V4(_), [icmp4::UNREACHABLE, icmp4::FRAGMENTATION_NEEDED, ..]) => None,
        (IpAddr::V4(_), [icmp4::UNREACHABLE, ..]) | (IpAddr::V6(_), [icmpv6::UNREACHABLE, ..]) => {
            Some(Heard::Refused)
        }
        _ => None,
    }
}

fn udp_buffer() -> udp::PacketBuffer<'static> {
    udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; DATAGRAMS], vec![0; BUFFER])
}

fn icmp_buffer() -> icmp::PacketBuffer<'static> {
    icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; DATAGRAMS], vec![0; BUFFER])
}

/// The stack's network: packets without Ethernet, to one server and from it.
struct Wire {
    way: Way,
    reserved: Reserved,
    received: VecDeque<Vec<u8>>,
}

impl Device for Wire {
    type RxToken<'a> = Received;
    type TxToken<'a> = ToServer<'a>;

    fn receive(&mut self, _: Moment) -> Option<(Received, ToServer<'_>)> {
        let packet = self.received.pop_front()?;
        Some((Received(packet), ToServer { way: &self.way, reserved: &self.reserved }))
    }

    fn transmit(&mut self, _: Moment) -> Option<ToServer<'_>> {
        Some(ToServer { way: &self.way, reserved: &self.reserved })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = usize::from(self.way.mtu.min(LARGEST));
        capabilities
    }
}

struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

struct ToServer<'a> {
    way: &'a Way,
    reserved: &'a Reserved,
}

impl TxToken for ToServer<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        self.reserved.host.send(self.way.to, len, write)
    }
}
