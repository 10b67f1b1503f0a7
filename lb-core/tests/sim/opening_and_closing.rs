//! A connection's life when nothing goes wrong: handshake, a question and its answer, an orderly close; the director
//! sees the states that it should, and forgets in time.

use crate::{setup::Setup, talk::exchange, world::World};
use lb_core::{
    conn::{
        state::State::{self, Close, CloseWait, Established, FinWait, LastAck, SynRecv, SynSent, TimeWait},
        timeouts::Timeouts,
    },
    service::plan::Method,
};

/// The director forgets when the timeout of a state has run out: not before, and soon after.
fn assert_forgotten_after(state: State, ms: u64) {
    let timeout = Timeouts::default().of(state).as_millis();
    assert!((timeout - 1_000..timeout + 500).contains(&ms), "{state:?} lasted {ms} ms");
}

#[test]
fn the_client_closes_first() {
    for setup in Setup::all() {
        let mut world = World::new(&setup);
        let talk = world.connect_watched(0);
        talk.ask(&mut world);
        talk.close_by_client(&mut world);
        let expected: &[State] = match setup.method {
            Method::Nat | Method::FullNat => &[SynSent, SynRecv, Established, CloseWait, LastAck, Close],
            Method::Tun | Method::Dr | Method::L3Dsr | Method::Snat => &[SynSent, Established, FinWait],
        };
        assert_eq!(world.states(), expected);
        let ms = world.time_to_forget(&talk);
        assert_forgotten_after(expected[expected.len() - 1], ms);
        world.finish();
    }
}

#[test]
fn the_server_closes_first() {
    for setup in Setup::all() {
        let mut world = World::new(&setup);
        let talk = world.connect_watched(0);
        talk.ask(&mut world);
        talk.close_by_server(&mut world);
        let expected: &[State] = match setup.method {
            Method::Nat | Method::FullNat => &[SynSent, SynRecv, Established, FinWait, TimeWait],
            Method::Tun | Method::Dr | Method::L3Dsr | Method::Snat => &[SynSent, Established, FinWait],
        };
        assert_eq!(world.states(), expected);
        let ms = world.time_to_forget(&talk);
        assert_forgotten_after(expected[expected.len() - 1], ms);
        world.finish();
    }
}

/// Half of the connection is enough for the other half's data.
#[test]
fn a_closed_client_still_receives() {
    for setup in Setup::all() {
        let mut world = World::new(&setup);
        let talk = world.connect_watched(0);
        talk.ask(&mut world);
        talk.client_end(&mut world).close();
        world.settle();
        exchange(&mut world, &talk, 0, 100_000);
        let half_closed = if setup.method.sees_replies() { CloseWait } else { FinWait };
        assert_eq!(world.states().last(), Some(&half_closed));
        talk.server_end(&mut world).close();
        world.settle();
        let closed = if setup.method.sees_replies() { Close } else { FinWait };
        assert_eq!(world.states().last(), Some(&closed));
        world.finish();
    }
}

#[test]
fn a_closed_server_still_receives() {
    for setup in Setup::all() {
        let mut world = World::new(&setup);
        let talk = world.connect_watched(0);
        talk.ask(&mut world);
        talk.server_end(&mut world).close();
        world.settle();
        exchange(&mut world, &talk, 100_000, 0);
        talk.client_end(&mut world).close();
        world.settle();
        let closed = if setup.method.sees_replies() { TimeWait } else { FinWait };
        assert_eq!(world.states().last(), Some(&closed));
        world.finish();
    }
}

/// An idle connection outlives any number of packets' worth of silence shorter than its timeout.
#[test]
fn a_connection_that_speaks_now_and_then_is_kept() {
    for setup in Setup::all() {
        let mut world = World::new(&setup);
        let talk = world.connect_watched(0);
        for _ in 0..3 {
            talk.ask(&mut world);
            world.run_for(14 * 60_000);
        }
        talk.ask(&mut world);
        assert_eq!(world.states().last(), Some(&Established));
        talk.close_by_client(&mut world);
        world.finish();
    }
}
