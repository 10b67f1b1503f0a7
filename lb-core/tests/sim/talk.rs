//! A connection as the two hosts see it, and what they say to each other.

use crate::{director::Entry, frames::Ends, world::World};
use smoltcp::{
    iface::SocketHandle,
    socket::tcp::{Socket, State},
    time::Duration,
};

/// A client's TCP connection to the service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Talk {
    pub(crate) client: usize,
    pub(crate) handle: SocketHandle,
    pub(crate) port: u16,
    /// Where the client's packets are from and to.
    pub(crate) ends: Ends,
}

impl Talk {
    /// The client's end.
    pub(crate) fn client_end<'a>(&self, world: &'a mut World) -> &'a mut Socket<'static> {
        world.clients[self.client].tcp(self.handle)
    }

    /// The server that has the other end, once it has accepted. Of several, the last that still has it open.
    pub(crate) fn server(&self, world: &World) -> Option<usize> {
        let from = world.seen_as(self.ends.source);
        let is_open = |server: &usize| {
            let host = &world.servers[*server];
            let handle = host.accepted(from);
            handle.is_some_and(|handle| host.sockets.get::<Socket<'_>>(handle).is_open())
        };
        (0..world.servers.len()).find(is_open)
    }

    /// The server's end. It must be there.
    pub(crate) fn server_end<'a>(&self, world: &'a mut World) -> &'a mut Socket<'static> {
        let (server, handle) = self.other_end(world);
        world.servers[server].tcp(handle)
    }

    /// The client's end, only to look at.
    pub(crate) fn client_view<'a>(&self, world: &'a World) -> &'a Socket<'static> {
        world.clients[self.client].sockets.get(self.handle)
    }

    /// The server's end, only to look at.
    pub(crate) fn server_view<'a>(&self, world: &'a World) -> &'a Socket<'static> {
        let (server, handle) = self.other_end(world);
        world.servers[server].sockets.get(handle)
    }

    /// The state of the client's end.
    pub(crate) fn client_state(&self, world: &World) -> State {
        self.client_view(world).state()
    }

    /// The director's entry of it, and the number of the worker that has it.
    pub(crate) fn entry(&self, world: &World) -> Option<(usize, Entry)> {
        world.director.holders(&self.ends).first().copied()
    }

    /// Waits until the client may send and a server has accepted.
    pub(crate) fn established(&self, world: &mut World) {
        world.run_until("established", |world| {
            self.client_state(world) == State::Established && self.server(world).is_some()
        });
    }

    /// The client asks, the server answers.
    pub(crate) fn ask(&self, world: &mut World) {
        self.established(world);
        self.client_end(world).send_slice(b"How are you?").unwrap();
        world.run_until("the request arrived", |world| self.server_view(world).recv_queue() == 12);
        assert_eq!(take(self.server_end(world)), b"How are you?");
        self.server_end(world).send_slice(b"Balanced, thanks.").unwrap();
        world.run_until("the answer arrived", |world| self.client_view(world).recv_queue() == 17);
        assert_eq!(take(self.client_end(world)), b"Balanced, thanks.");
    }

    /// The client closes, then the server.
    pub(crate) fn close_by_client(&self, world: &mut World) {
        self.client_end(world).close();
        world
            .run_until("the server heard of it", |world| self.server_view(world).state() == State::CloseWait);
        let (server, handle) = self.other_end(world);
        self.server_end(world).close();
        world.run_until("the server is done", |world| {
            !world.servers[server].sockets.get::<Socket<'_>>(handle).is_open()
        });
        world.settle();
    }

    /// The server closes, then the client.
    pub(crate) fn close_by_server(&self, world: &mut World) {
        self.server_end(world).close();
        world.run_until("the client heard of it", |world| self.client_state(world) == State::CloseWait);
        self.client_end(world).close();
        world.run_until("the client is done", |world| self.client_state(world) == State::Closed);
        world.settle();
    }

    fn other_end(&self, world: &World) -> (usize, SocketHandle) {
        let server = self.server(world).expect("a server that has the connection open");
        let from = world.seen_as(self.ends.source);
        (server, world.servers[server].accepted(from).expect("accepted"))
    }
}

/// Takes everything that a socket has received.
pub(crate) fn take(socket: &mut Socket<'_>) -> Vec<u8> {
    let mut bytes = vec![0; socket.recv_queue()];
    let taken = socket.recv_slice(&mut bytes).unwrap_or(0);
    bytes.truncate(taken);
    bytes
}

/// Bytes that flow one way, made as they are sent and compared when they arrive.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    total: usize,
    sent: usize,
    received: usize,
    salt: usize,
}

impl Stream {
    pub(crate) fn new(total: usize, salt: usize) -> Self {
        Stream { total, sent: 0, received: 0, salt }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.received == self.total
    }

    /// Bytes that have arrived.
    pub(crate) fn received(&self) -> usize {
        self.received
    }

    /// Sends as much as the socket takes.
    pub(crate) fn send(&mut self, socket: &mut Socket<'_>) {
        while self.sent < self.total && socket.can_send() {
            let (at, salt, left) = (self.sent, self.salt, self.total - self.sent);
            let sent = socket.send(|room| {
                let count = room.len().min(left);
                for (offset, byte) in room[..count].iter_mut().enumerate() {
                    *byte = byte_at(at + offset, salt);
                }
                (count, count)
            });
            self.sent += sent.unwrap();
        }
    }

    /// Takes what has arrived; every byte must be the one that was sent there.
    pub(crate) fn receive(&mut self, socket: &mut Socket<'_>) {
        while socket.can_recv() {
            let (at, salt) = (self.received, self.salt);
            let taken = socket.recv(|bytes| {
                let mut expected = (at..).map(|at| byte_at(at, salt));
                assert!(bytes.iter().all(|byte| expected.next() == Some(*byte)), "spoilt behind byte {at}");
                (bytes.len(), bytes.len())
            });
            self.received += taken.unwrap();
        }
    }
}

/// No two stretches of this are alike for long.
fn byte_at(at: usize, salt: usize) -> u8 {
    let mixed = (at ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 40) as u8
}

/// Both ends send that many bytes at the same time.
pub(crate) fn exchange(world: &mut World, talk: &Talk, up: usize, down: usize) {
    let (mut up, mut down) = (Stream::new(up, 1), Stream::new(down, 2));
    world.run_until("everything arrived", |world| {
        let client = talk.client_end(world);
        up.send(client);
        down.receive(client);
        let server = talk.server_end(world);
        down.send(server);
        up.receive(server);
        up.is_done() && down.is_done()
    });
}

/// The same over links that lose packets: smoltcp now and then loses its retransmission timer when the end of a window is
/// lost. Answers to keep-alives are duplicate acknowledgements, which remind it.
pub(crate) fn exchange_reminded(world: &mut World, talk: &Talk, up: usize, down: usize) {
    let remind = |world: &mut World, every| {
        talk.client_end(world).set_keep_alive(every);
        talk.server_end(world).set_keep_alive(every);
    };
    remind(world, Some(Duration::from_secs(1)));
    exchange(world, talk, up, down);
    remind(world, None);
}
