//! RTSP over links that lose, double and delay: clients set up one medium after another, and servers name themselves in each
//! answer, several times, with frames of media within the connection behind it. Each side has to get the other's bytes, with
//! the VIP where the server was named, and each medium has to come about, whoever begins.

use crate::{
    ftp::say,
    network::{Faults, Random},
    setup::{Setup, TCP_PORT},
    talk::{Talk, take},
    world::World,
};
use lb_core::service::plan::{Method, ModuleKind, Protocol};
use smoltcp::{iface::SocketHandle, time::Duration, wire::IpEndpoint};
use std::net::IpAddr;

/// As in `exchange_reminded`.
const REMINDED: Duration = Duration::from_secs(1);
/// What ends a message without a body.
const END: &[u8] = b"\r\n\r\n";
/// Between two datagrams of a medium that has not come about, in ms.
const AGAIN_MS: u64 = 200;

/// A medium: a socket on either side.
struct Medium {
    handles: [SocketHandle; 2],
    ports: [u16; 2],
    server_begins: bool,
    sent_at: u64,
}

/// A control connection, by direction: of the client, and of the server.
struct Session {
    talk: Talk,
    server: usize,
    control: SocketHandle,
    random: Random,
    says: [Vec<u8>; 2],
    /// All that the other side has to hear, and all that it has heard.
    due: [Vec<u8>; 2],
    heard: [Vec<u8>; 2],
    /// Media that the client has asked for, and those that came about.
    asked: u16,
    done: u16,
    medium: Option<Medium>,
}

fn host(address: IpAddr) -> String {
    if address.is_ipv6() { format!("[{address}]") } else { address.to_string() }
}

/// What a server that is named so says.
fn answer(number: u16, at: IpAddr, port: u16, ports: [u16; 2]) -> Vec<u8> {
    let url = format!("rtsp://{}:{port}/{number}", host(at));
    let [client, server] = ports.map(|port| format!("{port}-{}", port + 1));
    format!(
        "RTSP/1.0 200 OK\r\nCSeq: {number}\r\nContent-Base: {url}/\r\n\
         Transport: RTP/AVP;unicast;source={at};client_port={client};server_port={server}\r\n\
         RTP-Info: url={url}/a;seq=1,url={url}/b;seq=2\r\nSession: {number}\r\n\r\n"
    )
    .into_bytes()
}

/// A frame of anything, which may look like a message.
fn frame(random: &mut Random, trap: &[u8], most: u64) -> Vec<u8> {
    let mut content = trap.to_vec();
    content.resize(random.below(most) as usize, random.below(256) as u8);
    let [high, low] = (content.len() as u16).to_be_bytes();
    [&[b'$', 1, high, low], content.as_slice()].concat()
}

impl Session {
    fn open(world: &mut World, client: usize, seed: u64) -> Self {
        let talk = world.connect(client);
        talk.established(world);
        let server = talk.server(world).expect("a server");
        let from = world.seen_as(talk.ends.source);
        let control = world.servers[server].accepted(from).expect("accepted");
        for socket in [world.clients[client].tcp(talk.handle), world.servers[server].tcp(control)] {
            socket.set_keep_alive(Some(REMINDED));
        }
        let random = Random::new(seed << 8 | client as u64);
        let [says, due, heard] = [(); 3].map(|()| [Vec::new(), Vec::new()]);
        Session { talk, server, control, random, says, due, heard, asked: 0, done: 0, medium: None }
    }

    /// Both ends do what they can at this moment. Returns whether so many media have come about.
    fn turn(&mut self, world: &mut World, media: u16) -> bool {
        if self.asked == self.done && self.asked < media {
            self.ask();
        }
        let rewrites = world.setup.method.rewrites_endpoints();
        let client = world.clients[self.talk.client].tcp(self.talk.handle);
        if rewrites {
            say(client, &mut self.says[0], &mut self.random);
        } else if client.can_send() {
            // Nothing waits for what is lost, and a message of which only a part is seen is not understood.
            let all = std::mem::take(&mut self.says[0]);
            assert_eq!(client.send_slice(&all), Ok(all.len()));
        }
        self.heard[1].extend(take(client));
        let server = world.servers[self.server].tcp(self.control);
        say(server, &mut self.says[1], &mut self.random);
        self.heard[0].extend(take(server));
        for (heard, due) in self.heard.iter().zip(&self.due) {
            assert!(due.starts_with(heard), "{} is no part of {}", heard.escape_ascii(), due.escape_ascii());
        }
        if self.heard[0].len() == self.due[0].len() && self.medium.is_none() && self.done < self.asked {
            self.answer(world);
        }
        if self.heard[1].len() == self.due[1].len() {
            self.exchange(world);
        }
        self.done == media && self.heard == self.due
    }

    fn ports(&self) -> [u16; 2] {
        [50_000, 20_000 + 1_000 * self.talk.client as u16].map(|first| first + 2 * self.asked)
    }

    /// The client asks for the next medium.
    fn ask(&mut self) {
        self.asked += 1;
        let [port, _] = self.ports();
        let text = format!(
            "SETUP rtsp://example.com/{} RTSP/1.0\r\nTransport: RTP/AVP;client_port={port}-{}\r\n\r\n",
            self.asked,
            port + 1
        );
        for _ in 0..self.random.below(2) {
            let frame = frame(&mut self.random, b"TEARDOWN", 300);
            self.says[0].extend(&frame);
            self.due[0].extend(&frame);
        }
        self.says[0].extend(text.as_bytes());
        self.due[0].extend(text.as_bytes());
    }

    /// The server answers, and waits for the medium.
    fn answer(&mut self, world: &mut World) {
        assert!(self.heard[0].ends_with(END));
        let (ports, number) = (self.ports(), self.asked);
        let own = world.setup.server_address(self.server);
        let said = answer(number, own, world.setup.server_port(Protocol::Tcp), ports);
        let told = match world.setup.method.rewrites_endpoints() {
            true => answer(number, world.setup.vip(), TCP_PORT, ports),
            false => said.clone(),
        };
        self.says[1].extend(&said);
        self.due[1].extend(told);
        for _ in 0..self.random.below(4) {
            let frame = frame(&mut self.random, &said, 2_000);
            self.says[1].extend(&frame);
            self.due[1].extend(&frame);
        }
        // RTP, or RTCP.
        let ports = ports.map(|port| port + number % 2);
        let handles =
            [world.clients[self.talk.client].bind(ports[0]), world.servers[self.server].bind(ports[1])];
        let server_begins = world.setup.method == Method::Nat && self.random.below(2) == 0;
        self.medium = Some(Medium { handles, ports, server_begins, sent_at: 0 });
    }

    /// Datagrams of the medium: who begins does so until the other has answered, where answers pass here.
    fn exchange(&mut self, world: &mut World) {
        let Some(Medium { handles, ports, server_begins, sent_at }) = &mut self.medium else { return };
        let (now, is_nat) = (world.now, world.setup.method == Method::Nat);
        let seen = [world.setup.client_address(self.talk.client), world.setup.vip()];
        let to_client = IpEndpoint::from((seen[0], ports[0]));
        let to_vip = IpEndpoint::from((seen[1], ports[1]));
        let client = world.clients[self.talk.client].udp(handles[0]);
        let mut hears = Vec::new();
        while let Ok((datagram, from)) = client.recv() {
            assert_eq!((datagram, from.endpoint), (&b"media"[..], to_vip));
            hears.push(0);
        }
        if now >= *sent_at + AGAIN_MS && !*server_begins || *server_begins && !hears.is_empty() {
            client.send_slice(b"media", to_vip).unwrap();
        }
        let server = world.servers[self.server].udp(handles[1]);
        while let Ok((datagram, from)) = server.recv() {
            assert_eq!((datagram, from.endpoint), (&b"media"[..], to_client));
            hears.push(1);
        }
        if now >= *sent_at + AGAIN_MS && *server_begins || !*server_begins && is_nat && hears.contains(&1) {
            server.send_slice(b"media", to_client).unwrap();
        }
        if now >= *sent_at + AGAIN_MS {
            *sent_at = now;
        }
        let last = usize::from(*server_begins || !is_nat);
        if hears.contains(&last) {
            (self.medium, self.done) = (None, self.done + 1);
        }
    }
}

/// Sessions of two clients side by side, over such links.
fn sessions(setup: Setup, media: u16) {
    let mut world = World::new(&setup);
    let mut sessions = [0, 1].map(|client| Session::open(&mut world, client, setup.seed));
    world.run_until("all media", |world| {
        sessions.iter_mut().filter_map(|session| (!session.turn(world, media)).then_some(())).count() == 0
    });
    assert_eq!(world.director.sum(|counters| &counters.expected_lost), 0);
    assert!(world.director.sum(|counters| &counters.expected_came) >= u64::from(2 * media));
    sessions.iter().for_each(|session| session.talk.close_by_client(&mut world));
}

/// Where servers are seen or not, in both families, with one worker and with three and every spread.
fn setups() -> Vec<Setup> {
    let is_read = |setup: &Setup| !setup.method.hides_clients();
    Setup::all()
        .into_iter()
        .filter(is_read)
        .map(|setup| Setup { module: ModuleKind::Rtsp, ..setup })
        .collect()
}

#[test]
fn media_comes_about_over_good_links() {
    for (seed, setup) in (1..).zip(setups()) {
        sessions(Setup { seed, ..setup }, 6);
    }
}

#[test]
fn media_comes_about_over_bad_links() {
    for (number, setup) in (0..).zip(setups()) {
        for seed in 0..4 {
            let faults = Faults::by_turns(seed);
            sessions(Setup { seed: 1_000 * number + seed, faults, ..setup }, 4);
        }
    }
}
