//! Persistence: clients stay with their servers, over ports, workers, time and changes of the configuration.

use crate::common::{
    frame::*,
    plan::*,
    world::{Setup, World},
};
use lb_core::{
    ids::{ServerId, ServiceId},
    sched::persistence::{Client, Hold, Kept, Persistence},
    service::{
        check::check,
        plan::{Admin, Method, PersistencePlan, Plan, SchedulerKind},
        reach::PortRange,
    },
    time::{Duration, Instant},
};
use proptest::prelude::*;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::Barrier,
};

const TIMEOUT_S: u64 = 300;

fn persistent(method: Method) -> Plan {
    let mut plan = two_servers(method);
    let service = plan.first();
    service.persistence = PersistencePlan { timeout: Duration::from_secs(TIMEOUT_S), ..Default::default() };
    plan
}

/// Opens connections of a client from that port on, lets them go on, and says which servers they got.
fn servers(world: &mut World, client: &str, port: u16, to: &str) -> u8 {
    let packet = |flags| tcp(&format!("{client}:{port}"), to, flags).via_gateway();
    let opened = world.receive(WAN, &packet(SYN));
    world.receive(WAN, &packet(ACK));
    world.receive(WAN, &packet(ACK));
    opened[0].server()
}

const SERVICE: &str = "192.0.2.100:80";

#[test]
fn a_client_stays_with_its_server() {
    let mut world = World::new(&persistent(Method::Nat));
    let first = servers(&mut world, "203.0.113.10", 4000, SERVICE);
    for port in 4001..4009 {
        assert_eq!(servers(&mut world, "203.0.113.10", port, SERVICE), first);
    }
    // The scheduler's turn goes on for others.
    assert_ne!(servers(&mut world, "203.0.113.11", 4000, SERVICE), first);
}

#[test]
fn all_ports_of_a_group_are_one_memory() {
    let mut plan = persistent(Method::Nat);
    plan.first().set_ports(vec![PortRange::one(80), PortRange::one(443)]);
    plan.first().servers.iter_mut().for_each(|server| server.port = 0);
    check(&plan, []).unwrap();
    let mut world = World::new(&plan);
    let first = servers(&mut world, "203.0.113.10", 4000, SERVICE);
    servers(&mut world, "203.0.113.11", 4000, SERVICE);
    servers(&mut world, "203.0.113.12", 4000, SERVICE);
    for port in 4001..4005 {
        assert_eq!(servers(&mut world, "203.0.113.10", port, "192.0.2.100:443"), first);
    }
}

#[test]
fn a_network_is_one_client() {
    let mut plan = persistent(Method::Nat);
    plan.first().persistence.prefix = 24;
    let mut world = World::new(&plan);
    let first = servers(&mut world, "203.0.113.10", 4000, SERVICE);
    for host in 11..19 {
        assert_eq!(servers(&mut world, &format!("203.0.113.{host}"), 4000, SERVICE), first);
    }
    assert_ne!(servers(&mut world, "198.18.5.1", 4000, SERVICE), first);
}

#[test]
fn it_lasts_for_its_time_and_while_it_has_connections() {
    let mut plan = persistent(Method::Nat);
    plan.first().persistence.timeout = Duration::from_secs(30);
    let mut world = World::new(&plan);
    let entries = |world: &World| world.persistence().iter(world.now).count();
    servers(&mut world, "203.0.113.10", 4000, SERVICE);
    world.pass(40_000);
    assert_eq!(entries(&world), 1, "its connection is established");
    let reset = tcp("203.0.113.10:4000", SERVICE, RST).via_gateway();
    world.receive(WAN, &reset);
    world.pass(200_000);
    assert_eq!(entries(&world), 0, "over with its connection, as its time was");
    servers(&mut world, "203.0.113.10", 4001, SERVICE);
    world.receive(WAN, &tcp("203.0.113.10:4001", SERVICE, RST).via_gateway());
    plan.first().persistence.timeout = Duration::from_secs(1_000);
    world.exchange(&plan);
    servers(&mut world, "203.0.113.11", 4001, SERVICE);
    world.receive(WAN, &tcp("203.0.113.11:4001", SERVICE, RST).via_gateway());
    world.pass(200_000);
    assert_eq!(entries(&world), 1, "the second has time left");
    world.pass(900_000);
    assert_eq!(entries(&world), 0);
}

#[test]
fn forged_packets_leave_nothing_behind() {
    let mut world = World::with(&persistent(Method::Nat), Setup { clients: 64, ..Setup::default() });
    let real = servers(&mut world, "203.0.113.10", 4000, SERVICE);
    for host in 0..1_000 {
        let from = format!("198.18.{}.{}:5000", host / 250, host % 250 + 1);
        world.receive(WAN, &tcp(&from, SERVICE, SYN).via_gateway());
        world.receive(WAN, &tcp(&from, SERVICE, ACK).via_gateway());
    }
    assert_eq!(servers(&mut world, "203.0.113.10", 4001, SERVICE), real, "it is remembered");
    let (full, _) = world.persistence().missed();
    assert!(full > 0, "the others found no room");
    world.pass(1_000_000);
    assert!(world.persistence().iter(world.now).count() <= 1, "no connection of theirs went on");
}

#[test]
fn a_server_that_is_drained_keeps_its_clients_unless_told_otherwise() {
    for expire in [false, true] {
        let mut plan = persistent(Method::Dr);
        plan.first().persistence.expire_quiescent = expire;
        let mut world = World::new(&plan);
        let server = |world: &World| world.connections().last().unwrap().server;
        servers(&mut world, "203.0.113.10", 4000, SERVICE);
        let first = server(&world);
        plan.first().servers[first.index()].weight = 0;
        world.exchange(&plan);
        for port in 4001..4004 {
            servers(&mut world, "203.0.113.10", port, SERVICE);
        }
        let stays = world.connections().iter().filter(|one| one.server == first).count();
        assert_eq!(stays, if expire { 1 } else { 4 });
        plan.first().servers[first.index()].admin = Admin::Disabled;
        world.exchange(&plan);
        servers(&mut world, "203.0.113.10", 4010, SERVICE);
        let last = world.connections().iter().find(|one| one.client_port == 4010).unwrap().server;
        assert_ne!(last, first, "it takes nothing any more");
    }
}

#[test]
fn a_number_that_another_server_has_got_is_not_stayed_with() {
    let mut plan = persistent(Method::Dr);
    plan.first().servers.truncate(1);
    let mut world = World::new(&plan);
    servers(&mut world, "203.0.113.10", 4000, SERVICE);
    world.receive(WAN, &tcp("203.0.113.10:4000", SERVICE, RST).via_gateway());
    world.pass(20_000);
    let kept = world.persistence().iter(world.now).next().unwrap().kept;
    let other = server("198.51.100.12:80", 1);
    plan.first().servers = vec![other];
    world.exchange(&plan);
    world.exchange(&plan);
    servers(&mut world, "203.0.113.10", 4001, SERVICE);
    let now = world.persistence().iter(world.now).next().unwrap().kept;
    assert_ne!(now, kept, "it is known by its number and since when");
}

#[test]
fn workers_share_what_they_know_of_clients() {
    let mut plan = persistent(Method::Dr);
    plan.first().scheduler = SchedulerKind::Rr;
    let mut world = World::with(&plan, Setup { workers: 4, ..Setup::default() });
    for port in 0..64_u16 {
        let syn = tcp(&format!("203.0.113.10:{}", 4000 + port), SERVICE, SYN).via_gateway();
        world.burst(usize::from(port % 4), &[(WAN, syn)]);
    }
    let connections = world.connections();
    assert_eq!(connections.len(), 64);
    assert!(connections.iter().all(|one| one.server == connections[0].server));
}

fn client(host: u32) -> Client {
    Client { service: ServiceId::new(1), network: IpAddr::V4(Ipv4Addr::from_bits(0xcb00_7100 + host)) }
}

fn kept(server: u32) -> Kept {
    Kept { server: ServerId::new(server), named: 0 }
}

/// Connections of one client that open at the same time on several workers end with one server.
#[test]
fn workers_that_are_equally_fast_agree() {
    const WORKERS: u32 = 4;
    const CLIENTS: u32 = 2_000;
    let table = Persistence::new(100_000, 7);
    let barrier = Barrier::new(WORKERS as usize);
    let time = (Instant::ZERO, Duration::from_secs(60));
    let chosen: Vec<Vec<Option<Kept>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let (table, barrier) = (&table, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let all = (0..CLIENTS).map(|host| {
                        let found = table
                            .join(&client(host), time, |_| true)
                            .or_else(|| table.enter(&client(host), kept(worker), time, |_| true));
                        found.map(|(kept, _)| kept)
                    });
                    all.collect::<Vec<_>>()
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let (full, contended) = table.missed();
    assert_eq!(full, 0);
    let mut differ = 0;
    for host in 0..CLIENTS as usize {
        let servers: Vec<Kept> = chosen.iter().filter_map(|worker| worker[host]).collect();
        differ += u64::from(servers.iter().any(|kept| *kept != servers[0]));
    }
    assert_eq!(differ, 0, "{contended} were not remembered");
    assert_eq!(table.iter(Instant::ZERO).map(|entry| u64::from(entry.held)).sum::<u64>() + contended, 8_000);
}

#[derive(Clone, Debug)]
enum Step {
    Open(u32, u32),
    Close(usize, bool),
    Pass(u64),
    Fail(u32),
    Forget(u32),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u32..6, 0_u32..3).prop_map(|(host, server)| Step::Open(host, server)),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(which, proven)| Step::Close(which, proven)),
        2 => (1_u64..40_000).prop_map(Step::Pass),
        1 => (0_u32..3).prop_map(Step::Fail),
        1 => (0_u32..6).prop_map(Step::Forget),
    ]
}

/// What is remembered of a client, the plain way.
#[derive(Clone, Debug)]
struct Model {
    server: u32,
    until: u64,
    held: Vec<Hold>,
    proven: bool,
}

proptest! {
    /// The table does what a plain map does, as long as there is room.
    #[test]
    fn it_remembers_what_a_plain_map_does(steps in prop::collection::vec(any_step(), 1..120)) {
        let table = Persistence::new(1_000, 42);
        let timeout = Duration::from_secs(30);
        let (mut now, mut failed) = (0_u64, [false; 3]);
        let mut model: HashMap<u32, Model> = HashMap::new();
        let mut stale: Vec<Hold> = Vec::new();
        for step in steps {
            let at = Instant::from_millis(now);
            model.retain(|_, entry| !entry.held.is_empty() || entry.until > now);
            match step {
                Step::Open(host, chosen) => {
                    let stays = |kept: Kept| !failed[kept.server.index()];
                    let found = table
                        .join(&client(host), (at, timeout), stays)
                        .or_else(|| table.enter(&client(host), kept(chosen), (at, timeout), stays));
                    let (got, hold) = found.unwrap();
                    let until = now + timeout.as_millis();
                    let known = model.get_mut(&host).filter(|entry| !failed[entry.server as usize]);
                    let expected = if let Some(entry) = known {
                        entry.until = until;
                        entry.held.push(hold);
                        entry.server
                    } else {
                        let entry = Model { server: chosen, until, held: vec![hold], proven: false };
                        stale.extend(model.insert(host, entry).into_iter().flat_map(|entry| entry.held));
                        chosen
                    };
                    prop_assert_eq!(got.server.number(), expected);
                }
                Step::Close(which, proven) => {
                    let mut open: Vec<u32> = model.iter().filter(|(_, e)| !e.held.is_empty()).map(|(h, _)| *h).collect();
                    open.sort_unstable();
                    if let Some(hold) = (which % 3 == 0).then(|| stale.pop()).flatten() {
                        // Of an entry that was given to somebody else.
                        table.leave(hold, proven);
                    } else if !open.is_empty() {
                        let host = open[which % open.len()];
                        let entry = model.get_mut(&host).unwrap();
                        table.leave(entry.held.pop().unwrap(), proven);
                        entry.proven |= proven;
                        if entry.held.is_empty() && !entry.proven {
                            model.remove(&host);
                        }
                    }
                }
                Step::Pass(ms) => now += ms,
                Step::Fail(server) => failed[server as usize] = !failed[server as usize],
                Step::Forget(host) => {
                    let forgotten = table.forget(at, |entry| entry.client == client(host));
                    let known = model.remove(&host);
                    prop_assert_eq!(forgotten, usize::from(known.is_some()));
                    stale.extend(known.into_iter().flat_map(|entry| entry.held));
                }
            }
            let at = Instant::from_millis(now);
            model.retain(|_, entry| !entry.held.is_empty() || entry.until > now);
            let mut listed: Vec<_> = table.iter(at).map(|e| (e.client.network, e.kept.server.number(), e.held)).collect();
            let mut wanted: Vec<_> = model
                .iter()
                .map(|(host, e)| (client(*host).network, e.server, u32::try_from(e.held.len()).unwrap()))
                .collect();
            listed.sort_unstable();
            wanted.sort_unstable();
            prop_assert_eq!(listed, wanted);
        }
    }
}

#[test]
fn what_another_director_tells_of_a_client_takes_nothing_from_who_is_here() {
    let table = Persistence::new(8, 1);
    let client =
        |host| Client { service: ServiceId::new(0), network: Ipv4Addr::new(203, 0, 113, host).into() };
    let server = |number| Kept { server: ServerId::new(number), named: 1 };
    let at = |s: u64| Instant::from_millis(s * 1_000);
    let (minute, any) = (Duration::from_secs(60), |_| true);
    let known = |host, s| table.of(&client(host), at(s)).map(|it| (it.kept.server.number(), it.is_learned));

    assert!(table.learn(&client(1), server(1), (at(0), minute), true));
    assert_eq!(known(1, 59), Some((1, true)));
    assert_eq!(known(1, 61), None, "its time is over");
    assert!(table.learn(&client(1), server(1), (at(30), minute), true), "told again, it lives longer");
    assert_eq!(known(1, 61), Some((1, true)));
    assert!(table.learn(&client(1), server(2), (at(30), minute), true), "the last word counts");
    assert!(
        !table.learn(&client(1), server(1), (at(30), minute), false),
        "hearsay counts for who is unknown here"
    );
    // A connection here: from now on it is this director's to tell.
    let (kept, hold) = table.join(&client(1), (at(40), minute), any).unwrap();
    assert_eq!((kept, known(1, 40)), (server(2), Some((2, false))));
    assert!(
        !table.learn(&client(1), server(1), (at(40), minute), true),
        "it has connections with another server here"
    );
    assert!(table.learn(&client(1), server(2), (at(50), minute), true));
    assert_eq!(known(1, 50), Some((2, false)), "told of what it knows itself");
    table.leave(hold, true);
    assert!(table.learn(&client(1), server(1), (at(60), minute), true));
    assert_eq!(known(1, 60), Some((1, true)));

    // Nobody makes room.
    let holds: Vec<_> =
        (2..=255).map(|host| table.enter(&client(host), server(1), (at(0), minute), any)).collect();
    assert!(holds.iter().flatten().count() >= 8);
    let full = (2..=255).find(|&host| known(host, 1).is_none()).expect("more than there is room for");
    assert!(!table.learn(&client(full), server(1), (at(1), minute), true));
}
