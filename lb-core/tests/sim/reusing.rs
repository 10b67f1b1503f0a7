//! A client uses a port again for a new connection while the director remembers the old one.

use crate::{
    network::Station,
    setup::{Setup, client_mac, director_mac},
    talk::{Stream, Talk},
    world::World,
};
use lb_core::conn::state::State::{self, Close, CloseWait, Established, FinWait, SynSent, TimeWait};
use std::net::IpAddr;

/// The client forgets the old connection and opens a new one from the same port. With the servers in turn it goes to
/// the other one, so that the old server's memory does not stand in its way.
fn reuse(world: &mut World, old: Talk, old_state: State) {
    assert_eq!(old.entry(world).map(|(_, entry)| entry.state), Some(old_state));
    let (holder, _) = old.entry(world).unwrap();
    let old_server = old.entry(world).unwrap().1.server;
    world.clients[old.client].sockets.remove(old.handle);
    let talk = world.connect_from(old.client, old.port);
    world.watch(talk);
    world.run_until("answered", |world| talk.client_state(world) == smoltcp::socket::tcp::State::Established);
    world.settle();
    let (new_holder, entry) = talk.entry(world).unwrap();
    assert_eq!(entry.state, Established);
    assert_eq!(new_holder, holder, "the same client endpoint, so the same worker");
    assert_ne!(entry.server, old_server);
    // It starts anew: the director sees a SYN on a closing connection, not a change of that one.
    let states = world.states().iter().copied().skip_while(|state| *state == old_state);
    assert_eq!(states.collect::<Vec<_>>().first(), Some(&SynSent));
}

#[test]
fn after_an_orderly_close() {
    for setup in Setup::all() {
        let mut world = World::new(&setup);
        let talk = world.connect(0);
        talk.ask(&mut world);
        talk.close_by_client(&mut world);
        reuse(&mut world, talk, if setup.method.sees_replies() { Close } else { FinWait });
        world.finish();
    }
}

#[test]
fn after_the_server_closed() {
    for setup in Setup::all() {
        let mut world = World::new(&setup);
        let talk = world.connect(0);
        talk.ask(&mut world);
        talk.close_by_server(&mut world);
        reuse(&mut world, talk, if setup.method.sees_replies() { TimeWait } else { FinWait });
        world.finish();
    }
}

#[test]
fn while_nobody_can_tell_whether_the_server_has_closed() {
    for setup in Setup::all().into_iter().filter(|setup| !setup.method.sees_replies()) {
        let mut world = World::new(&setup);
        let talk = world.connect(0);
        talk.ask(&mut world);
        talk.client_end(&mut world).close();
        world.settle();
        reuse(&mut world, talk, FinWait);
        world.finish();
    }
}

/// Somebody who knows the four numbers of a half-closed connection sends a SYN while the rest of the data is under way.
#[test]
fn a_syn_does_not_disturb_what_is_half_closed() {
    for setup in Setup::all().into_iter().filter(|setup| setup.method.sees_replies()) {
        for client_closes in [true, false] {
            let mut world = World::new(&setup);
            let talk = world.connect_watched(0);
            talk.ask(&mut world);
            let mut rest = Stream::new(100_000, 3);
            let closing =
                if client_closes { talk.client_end(&mut world) } else { talk.server_end(&mut world) };
            closing.close();
            world.settle();
            let (state, server) = (if client_closes { CloseWait } else { FinWait }, talk.server(&world));
            let syn = syn_of(&talk);
            world.run_until("all has arrived", |world| {
                world.network.send(world.now, Station::Client(0), &syn);
                let sender = if client_closes { talk.server_end(world) } else { talk.client_end(world) };
                rest.send(sender);
                let receiver = if client_closes { talk.client_end(world) } else { talk.server_end(world) };
                rest.receive(receiver);
                rest.is_done()
            });
            assert_eq!(talk.server(&world), server);
            assert_eq!(world.states().last(), Some(&state));
            talk.client_end(&mut world).close();
            talk.server_end(&mut world).close();
            world.settle();
            world.finish();
        }
    }
}

/// A SYN in a talk's name, with a sequence number out of thin air.
fn syn_of(talk: &Talk) -> Vec<u8> {
    let (source, destination) = (talk.ends.source, talk.ends.destination);
    let mut tcp = etherparse::TcpHeader::new(source.1, destination.1, 0x1234_5678, 1_000);
    tcp.syn = true;
    let ethernet = etherparse::PacketBuilder::ethernet2(client_mac(talk.client).0, director_mac(0).0);
    let packet = match (source.0, destination.0) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ethernet.ipv4(from.octets(), to.octets(), 64),
        (IpAddr::V6(from), IpAddr::V6(to)) => ethernet.ipv6(from.octets(), to.octets(), 64),
        _ => unreachable!("ends of one family"),
    };
    let mut frame = Vec::new();
    // The checksum is made as it is written.
    packet.tcp_header(tcp).write(&mut frame, &[]).unwrap();
    frame
}

#[test]
fn after_a_reset() {
    for setup in Setup::all() {
        let mut world = World::new(&setup);
        let talk = world.connect(0);
        talk.ask(&mut world);
        talk.client_end(&mut world).abort();
        world.settle();
        reuse(&mut world, talk, Close);
        world.finish();
    }
}
