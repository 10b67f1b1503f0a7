//! Connections that end badly, or do not begin: resets, refusals, and hosts that are gone.

use crate::{setup::Setup, world::World};
use lb_core::{
    conn::state::State::{Close, Established, SynRecv, SynSent},
    service::plan::Method,
};
use smoltcp::socket::tcp::State;

/// How long the director remembers an idle connection.
const ESTABLISHED_MS: u64 = 15 * 60_000;

#[test]
fn a_client_aborts() {
    for setup in Setup::all() {
        let mut world = World::new(&setup);
        let talk = world.connect_watched(0);
        talk.ask(&mut world);
        talk.client_end(&mut world).abort();
        world.settle();
        assert_eq!(talk.server(&world), None, "the server heard of it");
        assert_eq!(world.states().last(), Some(&Close));
        assert!(world.time_to_forget(&talk) < 10_500, "CLOSE is short");
        world.finish();
    }
}

#[test]
fn a_server_aborts() {
    for setup in Setup::all() {
        let mut world = World::new(&setup);
        let talk = world.connect_watched(0);
        talk.ask(&mut world);
        talk.server_end(&mut world).abort();
        world.settle();
        assert_eq!(talk.client_state(&world), State::Closed, "the client heard of it");
        // Under TUN and DR the reset went past the director, which takes the silence for patience.
        let (state, ms) =
            if setup.method.sees_replies() { (Close, 10_000) } else { (Established, ESTABLISHED_MS) };
        assert_eq!(world.states().last(), Some(&state));
        let forgotten = world.time_to_forget(&talk);
        assert!((ms - 1_000..ms + 500).contains(&forgotten), "{forgotten} ms");
        world.finish();
    }
}

#[test]
fn a_server_that_does_not_listen_refuses() {
    for setup in Setup::all() {
        let mut world = World::new(&setup);
        world.servers.iter_mut().for_each(crate::host::Host::stop_listening);
        let talk = world.connect_watched(0);
        world.run_until("refused", |world| talk.client_state(world) == State::Closed);
        world.settle();
        let expected = if setup.method.sees_replies() { &[SynSent, Close][..] } else { &[SynSent] };
        assert_eq!(world.states(), expected);
        world.finish();
    }
}

/// The next attempt after a refusal goes to the next server, even from the same port.
#[test]
fn a_refused_client_has_better_luck_with_the_other_server() {
    for workers in [1, 3] {
        for spread in [lb_core::service::plan::Spread::Unknown, lb_core::service::plan::Spread::ByFlow] {
            let mut world = World::new(&Setup::new(Method::Nat, workers, spread));
            let first = world.connect(0);
            world.run_until("scheduled", |world| first.server(world).is_some());
            let server = first.server(&world).unwrap();
            first.established(&mut world);
            first.client_end(&mut world).abort();
            world.settle();

            world.servers[1 - server].stop_listening();
            // In turn, so this one is refused...
            let talk = world.connect_from(0, first.port);
            world.run_until("refused", |world| talk.client_state(world) == State::Closed);
            // ... and this one not.
            let again = world.connect_from(0, first.port);
            again.ask(&mut world);
            assert_eq!(again.server(&world), Some(server));
            again.close_by_client(&mut world);
            world.finish();
        }
    }
}

#[test]
fn a_vanished_client_is_forgotten_and_told_so_when_it_returns() {
    for setup in Setup::all() {
        let mut world = World::new(&setup);
        let talk = world.connect_watched(0);
        talk.ask(&mut world);
        world.settle();
        world.clients[0].is_up = false;
        let ms = world.time_to_forget(&talk);
        assert!((ESTABLISHED_MS - 1_000..ESTABLISHED_MS + 500).contains(&ms), "{ms} ms");

        world.clients[0].is_up = true;
        talk.client_end(&mut world).send_slice(b"Where were we?").unwrap();
        world.run_until("told", |world| talk.client_state(world) == State::Closed);
        world.settle();
        assert_eq!(world.director.connections(), 0, "it is not taken up again");
        world.finish();
    }
}

/// A server that still sends to a client nobody knows any more is told under NAT, where its packets come by.
#[test]
fn a_server_that_outlives_the_connection_is_told() {
    for setup in Setup::all().into_iter().filter(|setup| setup.method.sees_replies()) {
        let mut world = World::new(&setup);
        let talk = world.connect_watched(0);
        talk.ask(&mut world);
        world.settle();
        world.time_to_forget(&talk);
        talk.server_end(&mut world).send_slice(b"Are you there?").unwrap();
        world.run_until("told", |world| talk.server(world).is_none());
        assert_eq!(talk.client_state(&world), State::Established, "the client is not bothered");
        world.finish();
    }
}

#[test]
fn syns_are_repeated_until_the_server_is_up() {
    for setup in Setup::all() {
        for known_before in [false, true] {
            let mut world = World::new(&Setup { servers: 1, ..setup });
            if !known_before {
                // Down since before the director looked for it: it will have given it up.
                world.servers[0].is_up = false;
                world.restart_director();
                world.run_for(10_000);
            }
            world.servers[0].is_up = false;
            let talk = world.connect_watched(0);
            world.run_for(5_000);
            assert_eq!(talk.client_state(&world), State::SynSent);
            world.servers[0].is_up = true;
            talk.ask(&mut world);
            let expected = if setup.method.sees_replies() {
                &[SynSent, SynRecv, Established][..]
            } else {
                &[SynSent, Established]
            };
            assert_eq!(world.states(), expected);
            talk.close_by_client(&mut world);
            world.finish();
        }
    }
}

/// A SYN without an answer is forgotten a minute after its last repetition.
#[test]
fn a_half_open_connection_is_forgotten() {
    for setup in Setup::all() {
        let mut world = World::new(&Setup { servers: 1, ..setup });
        world.servers[0].is_up = false;
        let talk = world.connect_watched(0);
        world.run_for(3_000);
        world.clients[0].is_up = false;
        let ms = world.time_to_forget(&talk);
        assert!(ms <= 60_500, "{ms} ms");
        assert_eq!(world.states(), [SynSent]);
        world.finish();
    }
}
