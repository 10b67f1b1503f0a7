//! UDP flows: questions, answers, oblivion, and servers that do not listen.

use crate::{
    frames::{Ends, Report, Trouble},
    setup::{Setup, TCP_PORT, UDP_PORT},
    world::World,
};
use lb_core::{conn::state::State, service::plan::Method};
use smoltcp::{iface::SocketHandle, wire::IpEndpoint};
use std::collections::HashSet;

/// A client's socket, and the port it has.
#[derive(Clone, Copy)]
struct Asker {
    client: usize,
    port: u16,
    handle: SocketHandle,
}

impl Asker {
    fn new(world: &mut World, client: usize, port: u16) -> Self {
        Asker { client, port, handle: world.clients[client].bind(port) }
    }

    fn send(self, world: &mut World, to_port: u16, datagram: &[u8]) {
        let to = IpEndpoint::from((world.setup.vip(), to_port));
        world.clients[self.client].udp(self.handle).send_slice(datagram, to).unwrap();
    }

    fn received(self, world: &mut World) -> Option<Vec<u8>> {
        let vip = world.setup.vip();
        let socket = world.clients[self.client].udp(self.handle);
        let (datagram, from) = socket.recv().ok()?;
        assert_eq!(from.endpoint, IpEndpoint::from((vip, UDP_PORT)), "from whom it was asked");
        Some(datagram.to_vec())
    }

    /// An error about what this socket sent, as its host should see it.
    fn refusal(self, setup: &Setup, to_port: u16) -> Report {
        let source = (setup.client_address(self.client), self.port);
        Report {
            from: setup.vip(),
            trouble: Trouble::PortUnreachable,
            about: Ends { source, destination: (setup.vip(), to_port) },
        }
    }
}

#[test]
fn questions_are_answered_and_flows_forgotten() {
    for setup in Setup::all() {
        let mut world = World::new(&setup);
        let askers: Vec<Asker> = (0..30).map(|n| Asker::new(&mut world, n % 2, 50_000 + n as u16)).collect();
        for round in 0..3u8 {
            for asker in &askers {
                asker.send(&mut world, UDP_PORT, &[round, asker.port as u8]);
                world.run_for(1);
            }
            world.settle();
            for asker in &askers {
                assert_eq!(asker.received(&mut world), Some(vec![round, asker.port as u8]));
            }
            world.run_for(60_000);
        }
        let entries: Vec<_> = world.director.entries().map(|(_, entry)| entry).collect();
        assert_eq!(entries.len(), 30, "one flow for each socket, however many questions");
        assert!(entries.iter().all(|entry| entry.state == State::Udp));
        assert_eq!(entries.iter().map(|entry| entry.client.1).collect::<HashSet<_>>().len(), 30);

        let from = world.now;
        world.run_until("forgotten", |world| world.director.connections() == 0);
        let ms = world.now - from;
        assert!((200_000..300_500).contains(&ms), "five minutes after the last question: {ms} ms");
        world.finish();
    }
}

/// The first datagram waits for the server's address, or for a worker that knows it.
#[test]
fn the_first_datagrams_after_a_restart_arrive() {
    for setup in Setup::all() {
        let mut world = World::new(&setup);
        let asker = Asker::new(&mut world, 0, 50_000);
        for restart in 0..5u8 {
            world.restart_director();
            asker.send(&mut world, UDP_PORT, &[restart]);
            world.settle();
            assert_eq!(asker.received(&mut world), Some(vec![restart]));
        }
        world.finish();
    }
}

/// The server's host says that nobody listens. Under NAT that passes through the director, which has to translate
/// the packet quoted in it: the client must recognise its own.
#[test]
fn a_port_that_is_closed_at_the_server_is_reported_to_the_client() {
    for setup in Setup::all() {
        let mut world = World::new(&setup);
        // smoltcp does not let an ICMP error wait for ARP, so the servers look for their router before.
        for _ in 0..6 {
            world.connect(1).ask(&mut world);
        }
        assert!(world.servers.iter().all(|server| server.accepted_count() > 0));
        world.servers.iter_mut().for_each(crate::host::Host::stop_listening);
        for number in 0..6 {
            let asker = Asker::new(&mut world, 0, 50_000 + number);
            asker.send(&mut world, UDP_PORT, b"Anybody?");
            world.settle();
            assert_eq!(world.clients[0].reports.pop(), Some(asker.refusal(&setup, UDP_PORT)));
            assert!(world.clients[0].reports.is_empty(), "once is enough");
        }
        world.finish();
    }
}

#[test]
fn a_port_without_a_service_is_refused() {
    for setup in Setup::all() {
        let mut world = World::new(&setup);
        let asker = Asker::new(&mut world, 1, 50_000);
        asker.send(&mut world, 54, b"Anybody?");
        let talk = world.clients[1].connect((setup.vip(), TCP_PORT + 1), 41_000);
        world.settle();
        assert_eq!(world.clients[1].reports, [asker.refusal(&setup, 54)]);
        assert!(!world.clients[1].tcp(talk).is_open(), "reset");
        assert_eq!(world.director.connections(), 0);
        world.finish();
    }
}

/// A datagram that the tunnel has no room for: its sender hears how large it may be.
#[test]
fn a_datagram_too_large_for_the_tunnel_is_reported() {
    for setup in Setup::all().into_iter().filter(|setup| setup.method == Method::Tun) {
        let mut world = World::new(&setup);
        let asker = Asker::new(&mut world, 0, 50_000);
        let (outer, headers) = (if setup.to_ipv6 { 40 } else { 20 }, if setup.is_ipv6 { 48 } else { 28 });
        asker.send(&mut world, UDP_PORT, &vec![7; 1_500 - headers]);
        world.settle();
        assert_eq!(asker.received(&mut world), None);
        let report = world.clients[0].reports.pop().expect("told");
        assert_eq!(report.trouble, Trouble::TooBig(1_500 - outer));
        assert_eq!(report.about, asker.refusal(&setup, UDP_PORT).about);
        let fits = vec![7; 1_500 - outer as usize - headers];
        asker.send(&mut world, UDP_PORT, &fits);
        world.settle();
        assert_eq!(asker.received(&mut world), Some(fits));
        world.finish();
    }
}
