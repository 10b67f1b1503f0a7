//! Who handles a packet: every connection has one worker, whichever queue its packets arrive in, and every packet
//! that changes hands is counted with its reason.

use crate::{setup::Setup, talk::exchange, world::World};
use lb_core::{
    conn::entry::Direction,
    packet::HandOver,
    service::plan::{Method, Spread},
};

/// Hand-overs of each kind: from clients, from servers.
fn handed_over(world: &World) -> (u64, u64) {
    (world.director.handed_over(HandOver::Client), world.director.handed_over(HandOver::Reply))
}

/// A few connections with some data on them.
fn talk_a_lot(world: &mut World) {
    for number in 0..12 {
        let talk = world.connect_watched(number % 2);
        talk.established(world);
        exchange(world, &talk, 20_000, 20_000);
        talk.close_by_client(world);
    }
}

/// Packets of all connections, by what the connections say: from clients, from servers.
fn packets(world: &World) -> (u64, u64) {
    let of = |direction| world.director.entries().map(|(_, entry)| entry.packets(direction)).sum();
    (of(Direction::In), of(Direction::Out))
}

fn world_of(method: Method, spread: Spread) -> World {
    let mut world = World::new(&Setup::new(method, 3, spread));
    talk_a_lot(&mut world);
    world
}

/// A connection's worker has seen all of its packets: none was lost, so what hosts sent is what connections count.
#[test]
fn a_connection_sees_each_of_its_packets() {
    for setup in Setup::all() {
        let mut world = World::new(&setup);
        talk_a_lot(&mut world);
        let (from_clients, from_servers) = packets(&world);
        let sent = |hosts: &[crate::host::Host]| hosts.iter().map(|host| host.sent_tcp).sum::<u64>();
        assert_eq!(from_clients, sent(&world.clients));
        assert_eq!(from_servers, if setup.method.sees_replies() { sent(&world.servers) } else { 0 });
        world.finish();
    }
}

/// Ports that know about clients and servers bring each packet to its owner.
#[test]
fn nothing_is_handed_over_where_ports_spread_by_client() {
    for method in Method::ALL {
        let world = world_of(*method, Spread::ByClient);
        assert_eq!(handed_over(&world), (0, 0), "{method}");
        world.finish();
    }
}

/// Under TUN and DR a connection stays with the worker that its packets arrive at.
#[test]
fn nothing_is_handed_over_under_tun_and_dr_where_ports_spread_by_flow() {
    for method in [Method::Tun, Method::Dr, Method::L3Dsr] {
        let world = world_of(method, Spread::ByFlow);
        assert_eq!(handed_over(&world), (0, 0), "{method}");
        world.finish();
    }
}

/// Under NAT both directions arrive anywhere: two thirds of three workers' packets at one that is not their owner.
#[test]
fn about_two_thirds_are_handed_over_where_ports_spread_at_random() {
    for method in Method::ALL {
        let world = world_of(*method, Spread::Unknown);
        let (clients, servers) = handed_over(&world);
        let (from_clients, from_servers) = packets(&world);
        assert!((60..=73).contains(&(clients * 100 / from_clients)), "{method}: {clients} of {from_clients}");
        if method.sees_replies() {
            assert!((60..=73).contains(&(servers * 100 / from_servers)), "{servers} of {from_servers}");
        } else {
            assert_eq!(servers, 0, "{method}");
        }
        world.finish();
    }
}

/// A flow that arrives at the wrong worker does so with all of its packets, and one that arrives right with none.
#[test]
fn whole_flows_are_handed_over_under_nat_where_ports_spread_by_flow() {
    for reply in [false, true] {
        let mut world = World::new(&Setup { clients: 1, ..Setup::new(Method::Nat, 3, Spread::ByFlow) });
        for _ in 0..12 {
            let before = handed_over(&world);
            let talk = world.connect_watched(0);
            talk.established(&mut world);
            exchange(&mut world, &talk, 20_000, 20_000);
            talk.close_by_client(&mut world);
            let (_, entry) = talk.entry(&world).unwrap();
            let after = handed_over(&world);
            let (handed, all) = if reply {
                (after.1 - before.1, entry.packets(Direction::Out))
            } else {
                (after.0 - before.0, entry.packets(Direction::In))
            };
            assert!(handed == 0 || handed == all, "{handed} of {all}");
        }
        world.finish();
    }
}

/// One worker never hands anything over.
#[test]
fn a_single_worker_keeps_everything() {
    for method in Method::ALL {
        let mut world = World::new(&Setup::new(*method, 1, Spread::Unknown));
        talk_a_lot(&mut world);
        assert_eq!(world.director.sum(|counters| &counters.taken_over), 0);
        world.finish();
    }
}
