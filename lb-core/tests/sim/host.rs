//! A host: smoltcp with a network card, and what runs on it.

use crate::{
    device::Card,
    frames::{self, Report},
    network,
    pieces::Assembly,
    setup::{self, Setup},
};
use lb_core::service::plan::{Method, Protocol};
use smoltcp::{
    iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet},
    socket::{tcp, udp},
    time::Instant,
    wire::{HardwareAddress, IpCidr, IpEndpoint},
};
use std::{collections::HashMap, net::IpAddr};

/// Datagrams that a UDP socket queues in each direction.
const DATAGRAMS: usize = 64;

pub(crate) struct Host {
    address: IpAddr,
    /// The near end of tunnels to it.
    director: IpAddr,
    /// The DSCP of packets to its own address that are for the VIP, and the VIP.
    marked: Option<(u8, IpAddr)>,
    interface: Interface,
    card: Card,
    assembly: Assembly,
    pub(crate) sockets: SocketSet<'static>,
    /// A host that is down neither hears nor says anything.
    pub(crate) is_up: bool,
    /// TCP segments that it sent.
    pub(crate) sent_tcp: u64,
    /// ICMP errors that it got.
    pub(crate) reports: Vec<Report>,
    service: Option<Service>,
    buffers: usize,
    /// When it next wants to do something by itself.
    wakes: Option<u64>,
}

/// What a server offers.
struct Service {
    port: u16,
    /// Whether it takes new connections.
    is_open: bool,
    listener: Option<SocketHandle>,
    /// Connections that the client has yet to acknowledge.
    opening: Vec<SocketHandle>,
    /// The last connection from each client endpoint.
    accepted: HashMap<IpEndpoint, SocketHandle>,
    accepted_count: usize,
    echo: SocketHandle,
}

impl Host {
    pub(crate) fn client(setup: &Setup, client: usize) -> Self {
        let mac = network::mac(setup::client_mac(client));
        let seed = setup.seed << 8 | client as u64;
        Host::new(setup, HardwareAddress::Ethernet(mac), setup.client_address(client), 1500, seed)
    }

    pub(crate) fn server(setup: &Setup, server: usize) -> Self {
        let mac = network::mac(setup::server_mac(server));
        let address = setup.server_address(server);
        let seed = setup.seed << 8 | 0x80 | server as u64;
        let mut host = Host::new(setup, HardwareAddress::Ethernet(mac), address, setup.server_mtu, seed);
        let gateway = if setup.method == Method::Nat { setup.director_lan() } else { setup.router() };
        let routes = host.interface.routes_mut();
        match gateway {
            IpAddr::V4(gateway) => routes.add_default_ipv4_route(gateway).unwrap(),
            IpAddr::V6(gateway) => routes.add_default_ipv6_route(gateway).unwrap(),
        };
        if !setup.method.rewrites_endpoints() {
            host.interface.update_ip_addrs(|addresses| {
                addresses.push(IpCidr::new(setup.vip().into(), setup.vip_prefix())).unwrap();
            });
        }
        host.marked = setup.mark().map(|mark| (mark, setup.vip()));
        host.serve(setup.server_port(Protocol::Tcp), setup.server_port(Protocol::Udp));
        host
    }

    /// A host outside takes connections at that port.
    pub(crate) fn offer(&mut self, port: u16) {
        self.serve(port, port);
        self.wakes = Some(0);
    }

    fn serve(&mut self, port: u16, echo: u16) {
        let echo = self.bind(echo);
        self.service = Some(Service {
            port,
            is_open: true,
            listener: None,
            opening: Vec::new(),
            accepted: HashMap::new(),
            accepted_count: 0,
            echo,
        });
        self.accept();
    }

    fn new(setup: &Setup, mac: HardwareAddress, address: IpAddr, mtu: usize, seed: u64) -> Self {
        let mut card = Card::new(mtu);
        let mut config = Config::new(mac);
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut card, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(address.into(), if address.is_ipv6() { 64 } else { 24 })).unwrap();
        });
        Host {
            address,
            director: setup.director_lan(),
            marked: None,
            interface,
            card,
            assembly: Assembly::default(),
            sockets: SocketSet::new(Vec::new()),
            is_up: true,
            sent_tcp: 0,
            reports: Vec::new(),
            service: None,
            buffers: setup.buffers,
            wakes: Some(0),
        }
    }

    /// Opens a TCP connection.
    pub(crate) fn connect(&mut self, to: (IpAddr, u16), port: u16) -> SocketHandle {
        let mut socket = self.tcp_socket();
        socket.connect(self.interface.context(), to, port).unwrap();
        self.wakes = Some(0);
        self.sockets.add(socket)
    }

    /// A socket that waits for one connection at a port that nothing else has.
    pub(crate) fn listen(&mut self, port: u16) -> SocketHandle {
        let mut socket = self.tcp_socket();
        socket.listen(port).unwrap();
        self.wakes = Some(0);
        self.sockets.add(socket)
    }

    /// A TCP socket, to do something with: the host will look at it at once.
    pub(crate) fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.wakes = Some(0);
        self.sockets.get_mut(handle)
    }

    /// A UDP socket, likewise.
    pub(crate) fn udp(&mut self, handle: SocketHandle) -> &mut udp::Socket<'static> {
        self.wakes = Some(0);
        self.sockets.get_mut(handle)
    }

    /// A new UDP socket on a port.
    pub(crate) fn bind(&mut self, port: u16) -> SocketHandle {
        let queue = || {
            let room = DATAGRAMS * 512;
            udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; DATAGRAMS], vec![0; room])
        };
        let mut socket = udp::Socket::new(queue(), queue());
        socket.bind(port).unwrap();
        self.sockets.add(socket)
    }

    /// A server's end of the last connection from a client's endpoint.
    pub(crate) fn accepted(&self, from: (IpAddr, u16)) -> Option<SocketHandle> {
        self.service.as_ref()?.accepted.get(&IpEndpoint::from(from)).copied()
    }

    /// How many connections a server has accepted.
    pub(crate) fn accepted_count(&self) -> usize {
        self.service.as_ref().map_or(0, |service| service.accepted_count)
    }

    /// A server stops taking connections, TCP and UDP alike; those it has go on.
    pub(crate) fn stop_listening(&mut self) {
        let service = self.service.as_mut().expect("a server");
        service.is_open = false;
        if let Some(listener) = service.listener.take() {
            self.sockets.get_mut::<tcp::Socket<'_>>(listener).abort();
        }
        self.sockets.get_mut::<udp::Socket<'_>>(service.echo).close();
    }

    pub(crate) fn receive(&mut self, frame: Vec<u8>) {
        if self.is_up {
            let frame = frames::leave_tunnel(frame, self.director, self.address);
            let Some(frame) = self.assembly.take(frame) else { return };
            let frame = match self.marked {
                Some((mark, vip)) => frames::put_back(frame, mark, (self.address, vip)),
                None => frame,
            };
            self.reports.extend(frames::report(&frame));
            self.card.received.push_back(frame);
            self.wakes = Some(0);
        }
    }

    /// When it wants to run.
    pub(crate) fn wakes(&self) -> Option<u64> {
        self.wakes.filter(|_| self.is_up)
    }

    /// Does everything there is to do, and returns the frames it sends.
    pub(crate) fn run(&mut self, now_ms: u64) -> Vec<Vec<u8>> {
        let now = Instant::from_millis(now_ms as i64);
        let Host { interface, card, sockets, .. } = self;
        while interface.poll_ingress_single(now, card, sockets) != PollIngressSingleResult::None {
            // After every frame, so that there is a listener for each of many SYNs at once.
            if let Some(service) = &mut self.service {
                service.serve(sockets, self.buffers);
            }
        }
        while interface.poll_egress(now, card, sockets) != PollResult::None {}
        self.wakes = interface.poll_at(now, sockets).map(|at| at.total_millis() as u64);
        let frames = std::mem::take(&mut self.card.to_send);
        self.sent_tcp += frames.iter().filter(|frame| frames::is_tcp(frame)).count() as u64;
        frames
    }

    fn accept(&mut self) {
        if let Some(service) = &mut self.service {
            service.serve(&mut self.sockets, self.buffers);
        }
    }

    fn tcp_socket(&self) -> tcp::Socket<'static> {
        tcp_socket(self.buffers)
    }
}

impl Service {
    fn serve(&mut self, sockets: &mut SocketSet<'static>, buffers: usize) {
        if let Some(listener) = self.listener {
            let socket = sockets.get::<tcp::Socket<'_>>(listener);
            if let Some(client) = socket.remote_endpoint() {
                self.accepted.insert(client, listener);
                self.accepted_count += 1;
                self.opening.push(listener);
                self.listener = None;
            }
        }
        self.opening.retain(|&handle| {
            let socket = sockets.get_mut::<tcp::Socket<'_>>(handle);
            if socket.state() == tcp::State::Listen {
                // smoltcp lets a socket listen again whose client gave up. One listener is enough.
                socket.abort();
            }
            socket.state() == tcp::State::SynReceived
        });
        // Sockets are never taken out of the set, so the listener is always its last: smoltcp offers a segment to
        // one socket after the other, and a repeated SYN must find its connection before it finds a listener.
        if self.listener.is_none() && self.is_open {
            let mut socket = tcp_socket(buffers);
            socket.listen(self.port).unwrap();
            self.listener = Some(sockets.add(socket));
        }
        let echo = sockets.get_mut::<udp::Socket<'_>>(self.echo);
        while let Ok((datagram, from)) = echo.recv().map(|(bytes, from)| (bytes.to_vec(), from)) {
            // The answer comes from the address that was asked, as `from` says.
            echo.send_slice(&datagram, from).unwrap();
        }
    }
}

fn tcp_socket(buffers: usize) -> tcp::Socket<'static> {
    let buffer = || tcp::SocketBuffer::new(vec![0; buffers]);
    tcp::Socket::new(buffer(), buffer())
}
