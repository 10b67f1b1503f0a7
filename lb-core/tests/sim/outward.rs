//! SNAT: servers open connections to hosts outside, through the director, over links that lose, double and delay.

use crate::{
    network::Faults,
    setup::{OFFERED, Setup},
    talk::Stream,
    world::World,
};
use lb_core::{
    conn::state::State,
    service::plan::{Method, Spread},
};
use smoltcp::{iface::SocketHandle, time::Duration};

/// Bytes each way.
const BYTES: usize = 256 << 10;

fn setups() -> impl Iterator<Item = Setup> {
    let spreads = [(1, Spread::Unknown), (3, Spread::Unknown), (3, Spread::ByFlow), (3, Spread::ByClient)];
    let of = |(workers, spread)| {
        [false, true].map(|is_ipv6| {
            let setup = Setup::new(Method::Nat, workers, spread).families(is_ipv6, is_ipv6);
            Setup { outward: true, buffers: 64 << 10, ..setup }
        })
    };
    spreads.into_iter().flat_map(of)
}

/// A server's connection to a host outside, and that one's end of it.
pub(crate) fn connect(world: &mut World, server: usize, port: u16) -> (SocketHandle, SocketHandle) {
    let to = (world.setup.client_address(0), OFFERED);
    let asks = world.servers[server].connect(to, port);
    world.run_until("established", |world| world.servers[server].tcp(asks).may_send());
    let from = (world.setup.server_address(server), port);
    let entry = world.director.entries().find(|(_, entry)| entry.client == from).expect("a connection").1;
    let local = entry.local.expect("a local address and port");
    assert_eq!(local.0, world.setup.outbound(), "outside sees the rule's address");
    world.run_until("accepted", |world| world.clients[0].accepted(local).is_some());
    (asks, world.clients[0].accepted(local).expect("accepted"))
}

#[test]
fn every_byte_of_a_servers_own_connection_arrives() {
    for (seed, setup) in (1..).zip(setups()) {
        for faults in [Faults::NONE, Faults::FEW] {
            let mut world = World::new(&Setup { faults, seed, ..setup });
            world.clients[0].offer(OFFERED);
            let ends = connect(&mut world, 0, 40_000);
            // As in `exchange_reminded`.
            let every = (faults.lost > 0).then(|| Duration::from_secs(1));
            world.servers[0].tcp(ends.0).set_keep_alive(every);
            world.clients[0].tcp(ends.1).set_keep_alive(every);
            let (mut up, mut down) = (Stream::new(BYTES, 1), Stream::new(BYTES, 2));
            world.run_until("every byte", |world| {
                let asks = world.servers[0].tcp(ends.0);
                up.send(asks);
                down.receive(asks);
                let answers = world.clients[0].tcp(ends.1);
                down.send(answers);
                up.receive(answers);
                up.is_done() && down.is_done()
            });
            world.servers[0].tcp(ends.0).close();
            world.clients[0].tcp(ends.1).close();
            world.run_until("over", |world| world.director.entries().all(|(_, entry)| entry.state.is_over()));
            world.finish();
        }
    }
}

#[test]
fn connections_of_clients_and_of_servers_live_beside_each_other() {
    for setup in setups() {
        let mut world = World::new(&setup);
        world.clients[0].offer(OFFERED);
        let talk = world.connect(1);
        talk.established(&mut world);
        connect(&mut world, 0, 40_000);
        connect(&mut world, 1, 40_000);
        world.run_until("three are established", |world| {
            let states = world.director.entries().map(|(_, entry)| entry.state);
            states.filter(|state| *state == State::Established).count() == 3
        });
    }
}
