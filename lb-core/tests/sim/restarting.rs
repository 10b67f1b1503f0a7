//! The director is replaced while connections are open.

use crate::{
    setup::Setup,
    talk::{Stream, exchange},
    world::World,
};
use lb_core::{
    conn::state::State::{Close, Established, FinWait},
    service::plan::SchedulerKind,
};
use smoltcp::socket::tcp::State;

#[test]
fn an_unknown_connection_is_reset() {
    for setup in Setup::all() {
        let mut world = World::new(&setup);
        let talk = world.connect(0);
        talk.ask(&mut world);
        world.settle();
        world.restart_director();
        talk.client_end(&mut world).send_slice(b"Still there?").unwrap();
        world.run_until("reset", |world| talk.client_state(world) == State::Closed);
        world.settle();
        assert_eq!(world.director.connections(), 0);

        let again = world.connect(0);
        again.ask(&mut world);
        again.close_by_client(&mut world);
        world.finish();
    }
}

/// With a hash that every director has in common, connections survive their director.
#[test]
fn an_unknown_connection_is_adopted_where_so_configured() {
    for setup in Setup::all().into_iter().filter(|setup| !setup.method.hides_clients()) {
        let setup = Setup { adopt: true, scheduler: SchedulerKind::Mh, servers: 5, ..setup };
        let mut world = World::new(&setup);
        let talks: Vec<_> = (0..10).map(|number| world.connect_watched(number % 2)).collect();
        for talk in &talks {
            talk.ask(&mut world);
        }
        world.settle();
        world.restart_director();
        for talk in &talks {
            world.watch(*talk);
            talk.ask(&mut world);
            assert_eq!(world.states(), [Established]);
            talk.client_end(&mut world).close();
            world.settle();
            talk.server_end(&mut world).close();
            world.settle();
            let last = if setup.method.sees_replies() { Close } else { FinWait };
            assert_eq!(world.states().last(), Some(&last));
        }
        world.finish();
    }
}

/// The same in the middle of a transfer, with segments of both sides under way.
#[test]
fn a_transfer_goes_on_with_the_next_director() {
    for setup in Setup::all().into_iter().filter(|setup| !setup.method.hides_clients()) {
        let setup = Setup { adopt: true, scheduler: SchedulerKind::Mh, servers: 5, ..setup };
        let mut world = World::new(&setup);
        let talk = world.connect_watched(0);
        talk.established(&mut world);
        let (mut up, mut down) = (Stream::new(300_000, 3), Stream::new(300_000, 4));
        let mut restarts = 0;
        world.run_until("everything arrived", |world| {
            up.send(talk.client_end(world));
            down.send(talk.server_end(world));
            up.receive(talk.server_end(world));
            down.receive(talk.client_end(world));
            if up.received() > 100_000 * restarts + 50_000 {
                world.restart_director();
                restarts += 1;
            }
            up.is_done() && down.is_done()
        });
        assert_eq!(restarts, 3);
        talk.close_by_client(&mut world);
        world.finish();
    }
}

/// Under NAT a director that knows nothing may hear from the server first: of a client that only listens it hears
/// nothing else.
#[test]
fn a_silent_client_still_receives_from_the_next_director() {
    for setup in Setup::all().into_iter().filter(|setup| !setup.method.hides_clients()) {
        let setup = Setup { adopt: true, scheduler: SchedulerKind::Mh, servers: 5, ..setup };
        let mut world = World::new(&setup);
        let talk = world.connect_watched(0);
        talk.ask(&mut world);
        world.settle();
        world.restart_director();
        world.watch(talk);
        exchange(&mut world, &talk, 0, 50_000);
        assert_eq!(world.states(), [Established]);
        talk.close_by_server(&mut world);
        world.finish();
    }
}

/// The client has closed, the server has not, and the new director knows neither. What the client still says, its
/// acknowledgements, is enough to go on by; under NAT also what the server says.
#[test]
fn a_half_closed_connection_is_adopted() {
    for setup in Setup::all().into_iter().filter(|setup| !setup.method.hides_clients()) {
        // No more at once than may wait for the client's Ethernet address: in CLOSE_WAIT smoltcp does not repeat
        // what is lost behind the last acknowledgement.
        let setup = Setup { adopt: true, scheduler: SchedulerKind::Mh, buffers: 8 << 10, ..setup };
        let mut world = World::new(&setup);
        let talk = world.connect_watched(0);
        talk.ask(&mut world);
        talk.client_end(&mut world).close();
        world.settle();
        world.restart_director();
        world.watch(talk);
        exchange(&mut world, &talk, 0, 50_000);
        assert_eq!(world.states(), [Established]);
        talk.server_end(&mut world).close();
        world.settle();
        assert_eq!(talk.client_state(&world), State::TimeWait);
        world.finish();
    }
}
