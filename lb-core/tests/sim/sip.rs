//! SIP over TCP over links that lose, double and delay: messages in both directions, in which addresses are replaced by longer
//! and shorter ones, sent in whatever parts. Each arrives as long as it says, and with the address that is true there.

use crate::{
    network::{Faults, Random},
    setup::Setup,
    talk::{Talk, take},
    world::World,
};
use lb_core::service::{
    key::Protocol,
    plan::{Method, ModuleKind},
};
use smoltcp::{iface::SocketHandle, socket::tcp::Socket, time::Duration};
use std::net::IpAddr;

/// As in `exchange_reminded`.
const REMINDED: Duration = Duration::from_secs(1);

/// What one end says and hears.
struct Side {
    /// Where the server is for it, in what it says and in what it hears.
    at: (IpAddr, u16),
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    sent: u32,
    heard: u32,
}

impl Side {
    fn new(at: (IpAddr, u16)) -> Self {
        Side { at, outgoing: Vec::new(), incoming: Vec::new(), sent: 0, heard: 0 }
    }

    /// Its next message: the client names the VIP, the server itself.
    fn speak(&mut self, is_server: bool, random: &mut Random) {
        self.sent += 1;
        let message = message(is_server, self.sent, self.at, random.below(900) as usize);
        self.outgoing.extend(message.into_bytes());
    }

    /// Sends what is to be said, or now and then only the beginning of it, where it `cuts`.
    fn send(&mut self, socket: &mut Socket<'_>, cuts: bool, random: &mut Random) {
        if socket.can_send() && !self.outgoing.is_empty() {
            let all = self.outgoing.len();
            let most = if cuts && random.below(3) == 0 { 1 + random.below(all as u64) as usize } else { all };
            let sent = socket.send_slice(&self.outgoing[..most]).unwrap();
            self.outgoing.drain(..sent);
        }
    }

    /// Hears messages of the other that have come whole. Returns how many were not replaced.
    fn hear(&mut self, from_server: bool) -> u64 {
        let mut missed = 0;
        while let Some(end) = self.incoming.windows(4).position(|end| end == b"\r\n\r\n") {
            let head = str::from_utf8(&self.incoming[..end + 4]).unwrap();
            let said = |name: &str| {
                let line = head.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap_or_else(|| panic!("no {name} in {head:?}")).parse::<usize>().unwrap()
            };
            let (len, padding) = (said("Content-Length: "), said("Padding: "));
            if self.incoming.len() < end + 4 + len {
                break;
            }
            self.heard += 1;
            let got: Vec<u8> = self.incoming.drain(..end + 4 + len).collect();
            let got = String::from_utf8(got).unwrap();
            missed += u64::from(got != message(from_server, self.heard, self.at, padding));
        }
        missed
    }
}

/// A message of that number that names an address.
fn message(is_server: bool, number: u32, (address, port): (IpAddr, u16), padding: usize) -> String {
    let (host, family) = match address {
        IpAddr::V4(_) => (address.to_string(), 4),
        IpAddr::V6(_) => (format!("[{address}]"), 6),
    };
    let (first, body) = match is_server {
        false => (format!("OPTIONS sip:b@{host}:{port} SIP/2.0"), "c=IN IP4 203.0.113.1\r\n".repeat(3)),
        true => {
            let at = format!("IN IP{family} {address}\r\n");
            (
                format!("SIP/2.0 200 OK\r\nContact: <sip:b@{host}:{port}>"),
                format!("v=0\r\no=- {number} 1 {at}s=-\r\nc={at}t=0 0\r\nm=audio 30000 RTP/AVP 0\r\n"),
            )
        }
    };
    let is_sdp = !number.is_multiple_of(3);
    let kind = if is_sdp { "application/sdp" } else { "text/plain" };
    // What is no description stays as it is.
    let body = if !is_sdp { "c=IN IP4 198.51.100.99\r\n".to_owned() } else { body };
    format!(
        "{first}\r\nCSeq: {number}\r\nPadding: {padding}\r\nX: {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        "x".repeat(padding),
        body.len()
    )
}

/// So many messages each way. Returns how many of them came as they were sent.
fn call(setup: Setup, messages: u32, cuts: bool) -> u64 {
    let mut world = World::new(&setup);
    let talk: Talk = world.connect(0);
    talk.established(&mut world);
    let server = talk.server(&world).expect("a server");
    let control: SocketHandle =
        world.servers[server].accepted(world.seen_as(talk.ends.source)).expect("accepted");
    let mut random = Random::new(setup.seed);
    for socket in [world.clients[0].tcp(talk.handle), world.servers[server].tcp(control)] {
        socket.set_keep_alive(Some(REMINDED));
        socket.set_nagle_enabled(random.below(2) == 0);
    }
    let mut client = Side::new(talk.ends.destination);
    let mut other = Side::new((setup.server_address(server), setup.server_port(Protocol::Tcp)));
    let mut missed = 0;
    world.run_until("all messages", |world| {
        for (side, is_server) in [(&mut client, false), (&mut other, true)] {
            if side.sent < messages && side.outgoing.is_empty() {
                (0..1 + random.below(3)).for_each(|_| side.speak(is_server, &mut random));
            }
        }
        let socket = world.clients[0].tcp(talk.handle);
        client.incoming.extend(take(socket));
        client.send(socket, cuts, &mut random);
        let socket = world.servers[server].tcp(control);
        other.incoming.extend(take(socket));
        other.send(socket, cuts, &mut random);
        missed += client.hear(true) + other.hear(false);
        client.sent.min(other.sent) >= messages && client.heard == other.sent && other.heard == client.sent
    });
    let lost = world.director.sum(|counters| &counters.expected_lost);
    assert!(missed <= lost, "{missed} messages were not replaced, and {lost} are said to be");
    assert!(world.director.sum(|counters| &counters.rewritten) > u64::from(messages));
    assert!(world.director.sum(|counters| &counters.expected) > 0);
    missed
}

fn setups() -> impl Iterator<Item = Setup> {
    let same = |setup: &Setup| setup.method == Method::Nat && setup.is_ipv6 == setup.to_ipv6;
    Setup::all().into_iter().filter(same).map(|setup| Setup { module: ModuleKind::Sip, ..setup })
}

#[test]
fn messages_arrive_as_long_as_they_say_over_good_links() {
    for (seed, setup) in (1..).zip(setups()) {
        assert_eq!(call(Setup { seed, ..setup }, 15, false), 0, "{setup:?}");
    }
}

#[test]
fn messages_arrive_as_long_as_they_say_over_bad_links() {
    let (mut all, mut missed) = (0, 0);
    for (number, setup) in (0..).zip(setups()) {
        for seed in 0..4 {
            let faults = Faults::by_turns(seed);
            missed += call(Setup { seed: 9_000 + 1_000 * number + seed, faults, ..setup }, 12, true);
            all += 24;
        }
    }
    println!("{missed} of {all} messages were not replaced");
    assert!(missed * 100 <= all, "{missed} of {all}");
}
