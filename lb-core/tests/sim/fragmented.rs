//! TCP whose packets come in fragments, which may be lost, doubled and overtake one another: what is lost is TCP's to send
//! again, and the books balance.

use crate::{
    network::Faults,
    setup::Setup,
    talk::{exchange, exchange_reminded},
    world::World,
};
use lb_core::{counters::DropReason, packet::HandOver, service::plan::Spread};

const BYTES: usize = 128 << 10;

/// Where fragments and whole packets have one owner.
fn setups() -> impl Iterator<Item = Setup> {
    let setups = Setup::all().into_iter().filter(|setup| setup.spread == Spread::Unknown);
    setups.map(|setup| Setup { fragments: Some(600), buffers: 32 << 10, ..setup })
}

#[test]
fn every_byte_arrives_in_fragments() {
    for setup in setups() {
        let mut world = World::new(&setup);
        let talk = world.connect_watched(0);
        talk.established(&mut world);
        exchange(&mut world, &talk, BYTES, BYTES);
        if setup.workers > 1 {
            assert!(world.director.handed_over(HandOver::FragmentKeeper) > 50);
        }
        let lost = [DropReason::FragmentAlone, DropReason::FragmentOrphan, DropReason::FragmentOverlap];
        assert!(lost.into_iter().all(|reason| world.director.dropped(reason) == 0), "{setup:?}");
        talk.close_by_client(&mut world);
        world.finish();
    }
}

#[test]
fn every_byte_arrives_in_fragments_over_bad_links() {
    for (seed, setup) in (1..).zip(setups()) {
        let mut world = World::new(&Setup { faults: Faults::FEW, seed, ..setup });
        let talk = world.connect_watched(0);
        talk.established(&mut world);
        exchange_reminded(&mut world, &talk, BYTES, BYTES);
        assert!(world.network.lost > 10, "{} frames lost", world.network.lost);
        talk.client_end(&mut world).close();
        talk.server_end(&mut world).close();
        world.finish();
    }
}
