//! One arm: clients and servers behind the same port of the director. It cannot tell directions apart, and what it sends
//! leaves by the port that it came by.

use crate::{setup::Setup, talk::exchange, world::World};
use lb_core::conn::entry::Direction;

#[test]
fn every_byte_arrives_by_one_port_and_nobody_is_redirected() {
    for setup in Setup::one_arm() {
        let mut world = World::new(&setup);
        for client in 0..2 {
            let talk = world.connect_watched(client);
            talk.established(&mut world);
            exchange(&mut world, &talk, 100_000, 100_000);
            world.settle();
            let (_, entry) = talk.entry(&world).unwrap();
            assert!(entry.bytes(Direction::In) > 100_000, "{setup:?}");
            assert_eq!(entry.bytes(Direction::Out) > 100_000, setup.method.sees_replies(), "{setup:?}");
            talk.close_by_client(&mut world);
        }
        let told = world.clients.iter().chain(&world.servers).flat_map(|host| &host.reports);
        assert_eq!(told.count(), 0, "no redirect, and no other error: {setup:?}");
        world.finish();
    }
}
