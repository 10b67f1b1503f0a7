//! Bad weather and good, chosen by chance: connections that open, talk, close and abort while frames are lost, doubled
//! and overtaken, servers come and go, and the director restarts. Whatever happens, the books balance at every step.

use crate::{
    network::{Faults, Random},
    setup::Setup,
    talk::{Talk, take},
    world::World,
};
use lb_core::service::plan::SchedulerKind;

/// One thing that may happen.
fn happen(world: &mut World, random: &mut Random, talks: &mut Vec<Talk>) {
    let which = if talks.is_empty() { None } else { Some(random.below(talks.len() as u64) as usize) };
    match (random.below(20), which) {
        (0..=6, _) | (_, None) => {
            let client = random.below(world.clients.len() as u64) as usize;
            talks.push(world.connect(client));
        }
        (7..=11, Some(at)) => {
            let client = talks[at].client_end(world);
            if client.can_send() {
                client.send_slice(&[at as u8; 700]).unwrap();
            }
        }
        (12..=14, Some(at)) if talks[at].server(world).is_some() => {
            let server = talks[at].server_end(world);
            take(server);
            if server.can_send() {
                server.send_slice(&[at as u8; 900]).unwrap();
            }
        }
        (15, Some(at)) if talks[at].server(world).is_some() => talks[at].server_end(world).close(),
        (16, Some(at)) => talks[at].client_end(world).close(),
        (17, Some(at)) => talks.swap_remove(at).client_end(world).abort(),
        (18, Some(_)) => {
            let server = random.below(world.servers.len() as u64) as usize;
            world.servers[server].is_up = random.below(4) > 0;
        }
        (19, Some(_)) if random.below(10) == 0 => world.restart_director(),
        // The same client port again, with whatever became of the last connection.
        (19, Some(at)) => {
            let old = talks.swap_remove(at);
            world.clients[old.client].sockets.remove(old.handle);
            talks.push(world.connect_from(old.client, old.port));
        }
        _ => {}
    }
}

#[test]
fn the_books_balance_whatever_happens() {
    for (seed, setup) in (100..).zip(Setup::all()) {
        let schedulers = SchedulerKind::ALL;
        let setup = Setup {
            seed,
            faults: Faults { lost: 50, doubled: 50, late: 100 },
            scheduler: schedulers[seed as usize % schedulers.len()],
            adopt: seed % 2 == 0,
            clients: 3,
            servers: 3,
            buffers: 4 << 10,
            connections_per_worker: 64,
            ..setup
        };
        let mut world = World::new(&setup);
        let mut random = Random::new(seed);
        let mut talks = Vec::new();
        for _ in 0..1_500 {
            happen(&mut world, &mut random, &mut talks);
            let ms = random.below(30);
            world.run_for(ms);
        }
        // In the end nobody is left to say anything, and everything is forgotten.
        let hosts = world.clients.iter_mut().chain(&mut world.servers);
        hosts.for_each(|host| host.is_up = false);
        world.finish();
    }
}

/// After the worst, a new connection finds the director as good as new.
#[test]
fn the_sun_shines_again() {
    for (seed, setup) in (200..).zip(Setup::all()) {
        let mut world = World::new(&Setup { seed, buffers: 4 << 10, ..setup });
        let mut random = Random::new(seed);
        let mut talks = Vec::new();
        world.network.faults = Faults { lost: 200, doubled: 100, late: 200 };
        for _ in 0..300 {
            happen(&mut world, &mut random, &mut talks);
            world.run_for(10);
        }
        world.network.faults = Faults::NONE;
        world.servers.iter_mut().for_each(|server| server.is_up = true);
        for talk in talks {
            talk.client_end(&mut world).abort();
        }
        world.run_for(5_000);
        for _ in 0..5 {
            let talk = world.connect_watched(1);
            talk.ask(&mut world);
            talk.close_by_client(&mut world);
        }
        let hosts = world.clients.iter_mut().chain(&mut world.servers);
        hosts.for_each(|host| host.is_up = false);
        world.finish();
    }
}
