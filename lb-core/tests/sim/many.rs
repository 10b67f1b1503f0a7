//! Hundreds of connections at once: how they spread over servers and workers.

use crate::{setup::Setup, talk::Talk, world::World};
use lb_core::service::plan::{Method, SchedulerKind};
use smoltcp::socket::tcp::State;
use std::collections::HashSet;

/// Many connections from several clients, `at_once` of them at the same moment.
fn open(world: &mut World, count: usize, at_once: usize) -> Vec<Talk> {
    let mut talks = Vec::new();
    for number in 0..count {
        talks.push(world.connect(number % world.clients.len()));
        if (number + 1) % at_once == 0 {
            world.run_for(12);
        }
    }
    let all = talks.clone();
    world.run_until("all established", move |world| {
        all.iter().all(|talk| talk.client_state(world) == State::Established)
    });
    world.settle();
    talks
}

/// Closes each connection: one half of them by the client first, the other half by the server.
fn close(world: &mut World, talks: &[Talk]) {
    for first_by_client in [true, false] {
        for (number, talk) in talks.iter().enumerate() {
            if (number % 2 == 0) == first_by_client {
                talk.client_end(world).close();
            } else {
                talk.server_end(world).close();
            }
        }
        world.settle();
    }
    assert!(talks.iter().all(|talk| talk.server(world).is_none_or(|server| {
        // A server that closed first waits for stragglers.
        let end = talk.server_view(world).state();
        assert_eq!(end, State::TimeWait, "server {server}");
        true
    })));
}

/// No client endpoint is in two tables, or twice in one.
fn assert_each_has_one_owner(world: &World, count: usize) {
    let keys: Vec<_> = world.director.entries().map(|(_, entry)| entry.client).collect();
    assert_eq!(keys.len(), count);
    assert_eq!(keys.iter().collect::<HashSet<_>>().len(), count);
}

fn crowd(setup: Setup) -> Setup {
    Setup { clients: 5, servers: 3, buffers: 1 << 10, ..setup }
}

#[test]
fn servers_take_turns() {
    for setup in Setup::all().into_iter().map(crowd) {
        let mut world = World::new(&setup);
        let talks = open(&mut world, 300, 20);
        assert_each_has_one_owner(&world, 300);
        // Each worker has a round of its own, which may be at another place.
        let slack = setup.workers as u64 - 1;
        let scheduled = world.director.scheduled();
        assert!(scheduled[..3].iter().all(|count| count.abs_diff(100) <= slack), "{scheduled:?}");
        let accepted: Vec<u64> = world.servers.iter().map(|server| server.accepted_count() as u64).collect();
        assert_eq!(accepted, scheduled[..3], "what the director says is what the servers saw");
        let busy: HashSet<usize> = world.director.entries().map(|(worker, _)| worker).collect();
        assert_eq!(busy.len(), setup.workers, "every worker has its share");
        close(&mut world, &talks);
        world.finish();
    }
}

/// After one server has lost all its connections, it gets the next ones, from all workers, until it has caught up.
#[test]
fn least_connections_even_out() {
    for setup in Setup::all().into_iter().map(crowd) {
        let mut world = World::new(&Setup { scheduler: SchedulerKind::Lc, ..setup });
        let talks = open(&mut world, 150, 1);
        let active =
            |world: &World| world.director.loads()[..3].iter().map(|load| load.active).collect::<Vec<_>>();
        // One after the other: what is still opening hardly counts, as in IPVS.
        assert_eq!(active(&world), [50; 3]);

        let (gone, mut left): (Vec<Talk>, Vec<Talk>) =
            talks.into_iter().partition(|talk| talk.server(&world) == Some(1));
        for talk in &gone {
            talk.client_end(&mut world).abort();
        }
        world.settle();
        assert_eq!(active(&world)[1], 0);
        left.extend(open(&mut world, gone.len(), 1));
        assert_eq!(active(&world), [50; 3]);
        close(&mut world, &left);
        world.finish();
    }
}

/// The hashing schedulers send each client to its own server, whichever worker chooses.
#[test]
fn hashed_clients_stay_with_their_server() {
    for scheduler in [SchedulerKind::Sh, SchedulerKind::Mh] {
        for setup in Setup::all().into_iter().map(crowd) {
            let mut world = World::new(&Setup { scheduler, hash_port: false, ..setup });
            let talks = open(&mut world, 40, 8);
            for client in 0..5 {
                let of_client = talks.iter().filter(|talk| talk.client == client);
                let servers: HashSet<_> = of_client.map(|talk| talk.server(&world)).collect();
                assert_eq!(servers.len(), 1, "client {client}");
            }
            close(&mut world, &talks);
            world.finish();
        }
    }
}

/// More connections than tables hold: those that never got further than a SYN make room.
#[test]
fn established_connections_outlive_a_flood_of_syns() {
    for method in [Method::Nat, Method::Dr] {
        for setup in Setup::all().into_iter().filter(|setup| setup.method == method).map(crowd) {
            let mut world = World::new(&Setup { connections_per_worker: 40, ..setup });
            let talks = open(&mut world, 12, 12);
            // From a client that never hears an answer, so that nothing comes of it.
            world.network.deaf = Some(4);
            for _ in 0..400 {
                world.connect(4);
            }
            world.run_for(500);
            world.clients[4].is_up = false;
            assert!(world.director.sum(|counters| &counters.evicted) >= 400 - 40 * 3);
            for talk in talks.iter().filter(|talk| talk.client != 4) {
                talk.ask(&mut world);
            }
            // smoltcp repeats its answer to a SYN for ever.
            world.servers.iter_mut().for_each(|server| server.is_up = false);
            world.finish();
        }
    }
}
