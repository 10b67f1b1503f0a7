//! A client uses a port again for a new connection while the director remembers the old one.

use crate::{setup::Setup, talk::Talk, world::World};
use lb_core::{
    conn::state::State::{self, Close, CloseWait, Established, FinWait, SynSent, TimeWait},
    service::plan::Method,
};

/// The client forgets the old connection and opens a new one from the same port. With the servers in turn it goes to
/// the other one, so that the old server's memory does not stand in its way.
fn reuse(world: &mut World, old: Talk, old_state: State) {
    assert_eq!(old.entry(world).map(|(_, entry)| entry.state), Some(old_state));
    let (holder, _) = old.entry(world).unwrap();
    let old_server = old.entry(world).unwrap().1.server_address;
    world.clients[old.client].sockets.remove(old.handle);
    let talk = world.connect_from(old.client, old.port);
    world.watch(talk);
    world.run_until("answered", |world| talk.client_state(world) == smoltcp::socket::tcp::State::Established);
    world.settle();
    let (new_holder, entry) = talk.entry(world).unwrap();
    assert_eq!(entry.state, Established);
    assert_eq!(new_holder, holder, "the same client endpoint, so the same worker");
    assert_ne!(entry.server_address, old_server);
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
        reuse(&mut world, talk, if setup.method == Method::Nat { Close } else { FinWait });
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
        reuse(&mut world, talk, if setup.method == Method::Nat { TimeWait } else { FinWait });
        world.finish();
    }
}

#[test]
fn while_the_server_has_not_closed() {
    for setup in Setup::all() {
        let mut world = World::new(&setup);
        let talk = world.connect(0);
        talk.ask(&mut world);
        talk.client_end(&mut world).close();
        world.settle();
        reuse(&mut world, talk, if setup.method == Method::Nat { CloseWait } else { FinWait });
        world.finish();
    }
}

#[test]
fn while_the_client_had_not_closed() {
    for setup in Setup::all().into_iter().filter(|setup| setup.method == Method::Nat) {
        let mut world = World::new(&setup);
        let talk = world.connect(0);
        talk.ask(&mut world);
        talk.server_end(&mut world).close();
        world.settle();
        reuse(&mut world, talk, FinWait);
        world.finish();
    }
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
