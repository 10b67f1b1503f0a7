//! Megabytes in both directions, over links that lose, double and delay.

use crate::{
    network::Faults,
    setup::Setup,
    talk::{exchange, exchange_reminded},
    world::World,
};
use lb_core::{
    conn::entry::Direction,
    counters::DropReason,
    packet::HandOver,
    service::plan::{Method, Spread},
};

const MEGABYTE: usize = 1 << 20;

fn large_buffers(setup: Setup) -> Setup {
    Setup { buffers: 64 << 10, ..setup }
}

#[test]
fn every_byte_arrives_over_good_links() {
    for setup in Setup::all().into_iter().map(large_buffers) {
        let mut world = World::new(&setup);
        let talk = world.connect_watched(0);
        talk.established(&mut world);
        exchange(&mut world, &talk, 2 * MEGABYTE, 2 * MEGABYTE);
        world.settle();
        let (_, entry) = talk.entry(&world).unwrap();
        assert!(entry.bytes(Direction::In) > 2 * MEGABYTE as u64);
        let seen_out = if setup.method.sees_replies() { 2 * MEGABYTE as u64 } else { 0 };
        assert!(entry.bytes(Direction::Out) >= seen_out);
        talk.close_by_client(&mut world);
        world.finish();
    }
}

#[test]
fn every_byte_arrives_over_bad_links() {
    for (seed, setup) in (1..).zip(Setup::all().into_iter().map(large_buffers)) {
        let mut world = World::new(&Setup { faults: Faults::FEW, seed, ..setup });
        let talk = world.connect_watched(0);
        talk.established(&mut world);
        exchange_reminded(&mut world, &talk, MEGABYTE, MEGABYTE);
        assert!(world.network.lost > 20, "{} frames lost", world.network.lost);
        talk.client_end(&mut world).close();
        talk.server_end(&mut world).close();
        world.finish();
    }
}

/// A ring that takes one packet in a round loses many. TCP makes up for it, and every loss is on the books.
#[test]
fn every_byte_arrives_through_a_ring_that_is_far_too_small() {
    let setup = Setup::new(Method::Nat, 3, Spread::Unknown);
    let mut world = World::new(&Setup { ring: 1, ..large_buffers(setup) });
    let talk = world.connect_watched(0);
    talk.established(&mut world);
    exchange(&mut world, &talk, MEGABYTE / 4, MEGABYTE / 4);
    assert!(world.director.dropped(DropReason::RingFull) > 0);
    assert!(world.director.handed_over(HandOver::Client) > 0);
    assert!(world.director.handed_over(HandOver::Reply) > 0);
    talk.close_by_client(&mut world);
    world.finish();
}
