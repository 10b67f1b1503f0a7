//! Which server a new connection gets, seen from outside; the schedulers themselves are tested where they are.

use crate::common::{
    frame::*,
    plan::*,
    world::{Sent, Setup, World},
};
use lb_core::{
    decide::Origin,
    explanation::Stage,
    ids::ServerId,
    memory::MemoryPacket,
    packet::WorkerId,
    sched::{Request, footprint::Footprint},
    service::{
        footprint,
        load::LoadBoard,
        plan::{Admin, Method, Plan, Protocol, SchedulerKind, ServicePlan, Spread},
        snapshot::Snapshot,
    },
    time::Instant,
};
use std::{
    collections::{BTreeMap, HashSet},
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Weak},
};

const CLIENT: &str = "203.0.113.10:4000";
const SERVICE: &str = "192.0.2.100:80";

fn open(world: &mut World, port: u16) -> Vec<Sent> {
    world.receive(WAN, &tcp(&format!("203.0.113.10:{port}"), SERVICE, SYN).via_gateway())
}

fn lines(sent: &[Sent]) -> Vec<String> {
    sent.iter().map(Sent::line).collect()
}

#[test]
fn a_hash_of_the_client_sends_it_to_the_same_server_on_every_worker() {
    for scheduler in [SchedulerKind::Sh, SchedulerKind::Mh] {
        let mut plan = two_servers(Method::Nat).spread(Spread::ByClient, Spread::ByClient);
        plan.first().scheduler = scheduler;
        let mut world = World::with(&plan, Setup { workers: 3, ..Setup::default() });
        let mut seen = [0; 2];
        for host in 1..=100 {
            let syn = |port: u16| tcp(&format!("203.0.113.{host}:{port}"), SERVICE, SYN).via_gateway();
            let chosen = [0, 1, 2].map(|worker| world.burst(worker, &[(WAN, syn(5000))])[0].server());
            assert_eq!(chosen, [chosen[0]; 3], "{scheduler}, client {host}");
            seen[usize::from(chosen[0] - 11)] += 1;
        }
        assert!(seen.iter().all(|&count| count > 25), "{scheduler}: {seen:?}");
    }
}

#[test]
fn a_server_of_weight_zero_takes_no_new_connections() {
    for scheduler in SchedulerKind::ALL {
        let mut plan = two_servers(Method::Nat);
        plan.first().scheduler = *scheduler;
        plan.first().servers[0].weight = 0;
        let mut world = World::new(&plan);
        let chosen: Vec<_> = (1..=20).map(|port| open(&mut world, port)[0].server()).collect();
        assert_eq!(chosen, [12; 20], "{scheduler}");
        plan.first().servers[1].weight = 0;
        let mut world = World::new(&plan);
        let line = "wan: 192.0.2.100:80 > 203.0.113.10:9 tcp rst ack ttl 64";
        assert_eq!(lines(&open(&mut world, 9)), [line], "{scheduler}");
        assert_eq!(world.counters(0).no_server.get(), 1);
    }
}

#[test]
fn a_service_without_servers_refuses() {
    let mut world = World::new(&network().with(service(Method::Dr, SERVICE, &[])).udp());
    let line = "wan: 192.0.2.100 > 203.0.113.10 icmp port unreachable \
                [203.0.113.10:4000 > 192.0.2.100:80 udp ttl 64] ttl 64";
    assert_eq!(world.lines(WAN, &udp(CLIENT, SERVICE, b"?").via_gateway()), [line]);
}

#[test]
fn the_fewest_connections_are_counted_over_all_workers() {
    for (scheduler, weights, expected) in
        [(SchedulerKind::Lc, [1, 1], [150, 150]), (SchedulerKind::Wlc, [2, 1], [200, 100])]
    {
        let mut plan = two_servers(Method::Nat);
        plan.first().scheduler = scheduler;
        for (server, weight) in plan.first().servers.iter_mut().zip(weights) {
            server.weight = weight;
        }
        let plan = plan.spread(Spread::ByClient, Spread::ByClient);
        let mut world = World::with(&plan, Setup { workers: 3, ..Setup::default() });
        let establish = |world: &mut World, worker, port| {
            for flags in [SYN, ACK] {
                let segment = tcp(&format!("203.0.113.10:{port}"), SERVICE, flags).via_gateway();
                assert_eq!(world.burst(worker, &[(WAN, segment)]).len(), 1);
            }
            world.board.sum_up(world.snapshot.servers.len());
        };
        for port in 0..300u16 {
            // Most of them at one worker, so that a worker that knew only its own would be wrong.
            establish(
                &mut world,
                if port % 10 == 0 { usize::from(port / 10 % 2) + 1 } else { 0 },
                1_000 + port,
            );
        }
        let active = [0, 1].map(|server| world.board.total(ServerId::new(server)).active);
        assert_eq!(active, expected, "{scheduler}");
        world.pass(20 * 60 * 1_000);
        assert_eq!([0, 1].map(|server| world.board.total(ServerId::new(server)).active), [0, 0], "all gone");
        assert_eq!([0, 1].map(|server| world.board.total(ServerId::new(server)).inactive), [0, 0]);
    }
}

/// Schedulers that choose by a hash, and those that take turns.
const HASHING: [SchedulerKind; 3] = [SchedulerKind::Sh, SchedulerKind::Dh, SchedulerKind::Mh];
const IN_TURN: [SchedulerKind; 4] =
    [SchedulerKind::Rr, SchedulerKind::Wrr, SchedulerKind::Lc, SchedulerKind::Wlc];

/// A service of that scheduler at that port of the VIP; servers by the last byte of their address, with port and weight.
fn scheduled(scheduler: SchedulerKind, method: Method, port: u16, servers: &[(u8, u16, u32)]) -> ServicePlan {
    let servers = servers.iter();
    ServicePlan {
        scheduler,
        servers: servers
            .map(|&(host, port, weight)| server(&format!("198.51.100.{host}:{port}"), weight))
            .collect(),
        ..service(method, &format!("192.0.2.100:{port}"), &[])
    }
}

/// The address that a client's first connection with the `at`th service goes to.
fn chosen(snapshot: &Snapshot, at: usize, worker: u16, client: u32) -> IpAddr {
    let service = &snapshot.services[snapshot.order[at]];
    let request = Request {
        client: Ipv4Addr::from_bits(0xcb00_7100 + client * 7).into(),
        client_port: 4_000,
        vip: service.vip,
        vip_port: service.port,
        now: Instant::ZERO,
    };
    let board = LoadBoard::new(usize::from(worker) + 1, snapshot.room.numbers());
    let mut turn = service.scheduler.first_turn(WorkerId(worker));
    let pick = service.scheduler.pick(&request, &mut turn, &board.view(WorkerId(worker))).expect("a server");
    snapshot.servers[service.servers[pick]].plan.address
}

/// How many of 500 clients have one and the same address with all services.
fn agreeing(snapshot: &Snapshot) -> usize {
    let is_one = |client: &u32| {
        let of = |at| chosen(snapshot, at, (at % 3) as u16, *client);
        (1..snapshot.order.len()).all(|at| of(at) == of(0))
    };
    (0..500).filter(is_one).count()
}

#[test]
fn a_client_has_one_server_with_all_services_over_the_same_servers() {
    let weights = [1, 5, 2, 1, 0, 7, 1, 1];
    for scheduler in HASHING {
        for &method in Method::ALL {
            let service = |vip_port: u16, port: u16, first: usize, protocol: Protocol| {
                let port = if method == Method::Nat { port } else { vip_port };
                let mut servers: Vec<_> =
                    (11..19).zip(weights).map(|(host, weight)| (host, port, weight)).collect();
                servers.rotate_left(first);
                ServicePlan { protocol, ..scheduled(scheduler, method, vip_port, &servers) }
            };
            let plan = network()
                .with(service(80, 8080, 0, Protocol::Tcp))
                .with(service(443, 8443, 3, Protocol::Tcp))
                .with(service(443, 9, 5, Protocol::Udp));
            let before = Snapshot::new(&plan).unwrap();
            assert_eq!(agreeing(&before), 500, "{scheduler}, {method}");
            // One fails, one goes, one comes, and a weight changes.
            let mut other = plan.clone();
            for (service, first) in other.services.iter_mut().zip([2, 0, 7]) {
                let by_host = |host: u8| {
                    move |server: &&mut lb_core::service::plan::ServerPlan| {
                        server.address.to_string().ends_with(&format!(".{host}"))
                    }
                };
                service.servers.iter_mut().find(by_host(12)).unwrap().admin = Admin::Draining;
                service.servers.iter_mut().find(by_host(16)).unwrap().weight = 3;
                service.servers.retain(|server| !server.address.to_string().ends_with(".18"));
                let port = service.servers[0].port;
                service.servers.push(server(&format!("198.51.100.9:{port}"), 2));
                service.servers.rotate_left(first);
            }
            let after = before.successor(&other, &|_| true).unwrap();
            assert_eq!(agreeing(&after), 500, "{scheduler}, {method}, reloaded");
            let again = after.successor(&plan, &|_| true).unwrap();
            assert_eq!(agreeing(&again), 500);
            let moved = |client: &u32| chosen(&before, 0, 0, *client) != chosen(&again, 0, 0, *client);
            assert_eq!((0..500).filter(moved).count(), 0, "all have the servers back that they had");
        }
    }
}

#[test]
fn servers_that_share_an_address_have_their_shares_and_agree_as_well() {
    for scheduler in [SchedulerKind::Sh, SchedulerKind::Mh] {
        let http = [(11, 8080, 1), (11, 8081, 1), (12, 8080, 1)];
        let https = [(12, 8443, 1), (11, 8444, 1), (11, 8443, 1)];
        let plan = network().with(scheduled(scheduler, Method::Nat, 80, &http)).with(scheduled(
            scheduler,
            Method::Nat,
            443,
            &https,
        ));
        let snapshot = Snapshot::new(&plan).unwrap();
        assert_eq!(agreeing(&snapshot), 500);
        let at_11 = (0..500).filter(|client| chosen(&snapshot, 0, 0, *client) == SERVERS[0]).count();
        assert!((280..390).contains(&at_11), "two of three servers: {at_11} of 500");
    }
}

#[test]
fn one_client_goes_to_one_station_by_both_ports_on_every_worker() {
    for scheduler in [SchedulerKind::Sh, SchedulerKind::Mh] {
        for &method in Method::ALL {
            let mut plan = two_servers(method).spread(Spread::ByClient, Spread::ByClient);
            plan.first().scheduler = scheduler;
            let mut https = plan.services[0].clone();
            (https.name, https.port) = ("https".into(), 443);
            https.servers.reverse();
            https
                .servers
                .iter_mut()
                .for_each(|server| server.port = if method == Method::Nat { 8443 } else { 443 });
            plan.services.push(https);
            let mut world = World::with(&plan, Setup { workers: 3, ..Setup::default() });
            for host in 1..=100 {
                let mut stations = HashSet::new();
                for worker in 0..3 {
                    for port in [80, 443] {
                        let from = format!("203.0.113.{host}:{}", 4_000 + port);
                        let syn = tcp(&from, &format!("192.0.2.100:{port}"), SYN).via_gateway();
                        let sent = world.burst(worker, &[(WAN, syn)]).remove(0);
                        stations.insert(sent.frame[..6].to_vec());
                    }
                }
                assert_eq!(stations.len(), 1, "{scheduler}, {method}, client {host}");
            }
        }
    }
}

/// How many of a plan's services send a worker's first connection to each address.
fn first_connections(snapshot: &Snapshot, worker: u16) -> Vec<usize> {
    let mut first = BTreeMap::new();
    for at in 0..snapshot.order.len() {
        *first.entry(chosen(snapshot, at, worker, 1)).or_insert(0) += 1;
    }
    first.into_values().collect()
}

#[test]
fn a_hundred_services_over_the_same_servers_begin_with_different_ones() {
    for scheduler in IN_TURN {
        for weights in [[1; 4], [3, 3, 2, 2]] {
            let mut plan = network();
            for port in 1..=100 {
                let servers: Vec<_> =
                    (11..15).zip(weights).map(|(host, weight)| (host, 80, weight)).collect();
                plan = plan.with(scheduled(scheduler, Method::Nat, port, &servers));
            }
            let mut snapshot = Snapshot::new(&plan).unwrap();
            for reload in 0..5 {
                for worker in 0..4 {
                    let first = first_connections(&snapshot, worker);
                    let even = first.len() == 4 && first.iter().all(|count| (14..=38).contains(count));
                    assert!(even, "{scheduler}, {weights:?}, reload {reload}, worker {worker}: {first:?}");
                }
                for service in &mut plan.services {
                    service.servers.iter_mut().for_each(|server| server.weight += 1);
                }
                snapshot = snapshot.successor(&plan, &|_| true).unwrap();
            }
        }
    }
}

/// A service that begins anew with every change gets one connection between two of them.
#[test]
fn a_service_that_changes_all_the_time_gets_to_all_servers() {
    let others = [SchedulerKind::Sed, SchedulerKind::Nq, SchedulerKind::Twos];
    for scheduler in IN_TURN.into_iter().chain(others) {
        let mut plan = two_servers(Method::Nat);
        plan.first().scheduler = scheduler;
        let mut world = World::new(&plan);
        let mut seen = [0; 2];
        for port in 1..=40 {
            for server in &mut plan.first().servers {
                server.weight = 3 - server.weight;
            }
            world.exchange(&plan);
            let sent = open(&mut world, port);
            seen[usize::from(sent[0].server() - 11)] += 1;
            // So that only turns decide.
            world.receive(
                LAN,
                &tcp(&format!("198.51.100.{}:8080", sent[0].server()), &format!("203.0.113.10:{port}"), RST)
                    .via_server(),
            );
            world.pass(11_000);
        }
        assert!(seen.iter().all(|&count| (15..=25).contains(&count)), "{scheduler}: {seen:?}");
    }
}

/// The server that the next connection to each of so many addresses goes to, asked at a worker.
fn of_destinations(world: &mut World, worker: usize, port: u16, count: u8) -> Vec<u8> {
    let open = |host: u8| {
        let to = format!("192.0.2.{host}:80");
        let from = format!("203.0.113.10:{}", port + u16::from(host));
        let syn = tcp(&from, &to, SYN).via_gateway();
        world.burst(worker, &[(WAN, syn)])[0].server()
    };
    (100..100 + count).map(open).collect()
}

#[test]
fn destinations_keep_their_servers_on_every_worker_and_over_changes() {
    for scheduler in [SchedulerKind::Lblc, SchedulerKind::Lblcr] {
        let mut plan = two_servers(Method::Nat).spread(Spread::ByClient, Spread::ByClient);
        let service = plan.first();
        service.scheduler = scheduler;
        service.beside.vips = (101..107).map(|host| Ipv4Addr::new(192, 0, 2, host).into()).collect();
        service.servers.iter_mut().for_each(|server| server.weight = 100);
        let mut world = World::with(&plan, Setup { workers: 3, ..Setup::default() });
        // Explanations of what is not open yet leave no trace.
        let syn = tcp(CLIENT, SERVICE, SYN).via_gateway();
        let packet = MemoryPacket::new(WAN, &syn);
        let told = |world: &World| {
            let said = world.workers[1].explain(world.now, &packet, Origin::Port, &world.ios[1]);
            let step = said.steps.iter().find(|step| step.stage == Stage::Scheduler).unwrap();
            step.text.clone()
        };
        let first = told(&world);
        assert!(first.contains("no server known of this destination"), "{scheduler}: {first}");
        assert_eq!(told(&world), first, "{scheduler}");
        let servers = of_destinations(&mut world, 0, 1_000, 7);
        assert!(servers.contains(&11) && servers.contains(&12), "{scheduler}: {servers:?}");
        assert!(told(&world).contains("the server of this destination"), "{scheduler}: {}", told(&world));
        for worker in [1, 2] {
            let asked = of_destinations(&mut world, worker, 2_000 + worker as u16, 7);
            assert_eq!(asked, servers, "{scheduler}");
        }
        // Weights change and an address comes: nobody moves.
        let service = plan.first();
        service.servers[0].weight = 1_000;
        service.beside.vips.push(Ipv4Addr::new(192, 0, 2, 107).into());
        world.exchange(&plan);
        let mut expected = [&servers[..], &[11]].concat();
        assert_eq!(of_destinations(&mut world, 2, 3_000, 8), expected, "{scheduler}");
        // The other scheduler of the two knows what this one did.
        let other = if scheduler == SchedulerKind::Lblc { SchedulerKind::Lblcr } else { SchedulerKind::Lblc };
        plan.first().scheduler = other;
        world.exchange(&plan);
        assert_eq!(of_destinations(&mut world, 1, 4_000, 8), expected, "{scheduler}");
        // A server that is removed gives its destinations to the other. Back again, it gets those that are new.
        let mut removed = plan.first().servers.remove(1);
        world.exchange(&plan);
        expected.fill(11);
        assert_eq!(of_destinations(&mut world, 0, 5_000, 8), expected, "{scheduler}");
        removed.weight = 60_000;
        plan.first().servers.push(removed);
        plan.first().beside.vips.push(Ipv4Addr::new(192, 0, 2, 108).into());
        world.exchange(&plan);
        let after = of_destinations(&mut world, 1, 6_000, 9);
        assert_eq!(after[8], 12, "{scheduler}: {after:?}");
        if other == SchedulerKind::Lblc {
            assert_eq!(after[..8], expected, "{scheduler}");
        }
        // Its set still has it under `lblcr`, and it has less than the other.
        assert_eq!(of_destinations(&mut world, 0, 7_000, 9), after, "{scheduler}");
    }
}

/// Distinct lookup tables of a snapshot's services.
fn tables(snapshot: &Snapshot) -> Vec<Weak<lb_core::sched::Table>> {
    let mut seen = HashSet::new();
    let all = snapshot.services.iter().filter_map(|service| service.scheduler.table());
    all.filter(|table| seen.insert(Arc::as_ptr(table))).map(Arc::downgrade).collect()
}

/// Services of all schedulers over few and many servers, some of them the same.
fn many_services(scheduler: impl Fn(u16) -> SchedulerKind) -> Plan {
    (1..=60).fold(network(), |plan, port| {
        let count = [3, 40][usize::from(port % 2)];
        let servers: Vec<_> =
            (11..11 + count).map(|host| (host, 1_000 + port, 1 + u32::from(port % 3))).collect();
        plan.with(scheduled(scheduler(port), Method::Nat, port, &servers))
    })
}

#[test]
fn services_with_the_same_servers_share_one_table() {
    let plan = many_services(|port| HASHING[usize::from(port) % 3]);
    let snapshot = Snapshot::new(&plan).unwrap();
    // Equal weights of whatever size are equal shares.
    assert_eq!(tables(&snapshot).len(), 2);
    let footprint = footprint(&plan.services);
    assert_eq!(footprint.tables(), 2);
    let kib = footprint.bytes(2) / 1_024;
    assert!(
        (96..120).contains(&kib),
        "32 KiB for 3 servers, 64 KiB for 40, and little for each service: {kib}"
    );
}

#[test]
fn what_schedulers_take_is_what_was_reckoned() {
    let all = SchedulerKind::ALL;
    for plan in [many_services(|port| all[usize::from(port) % all.len()]), network(), one_server(Method::Tun)]
    {
        let snapshot = Snapshot::new(&plan).unwrap();
        let tables: usize = tables(&snapshot).iter().map(|table| table.upgrade().unwrap().bytes()).sum();
        let own: usize = snapshot.schedulers().map(lb_core::sched::Scheduler::bytes).sum();
        let turns = snapshot.schedulers().map(|scheduler| scheduler.first_turn(WorkerId(5)).bytes());
        let taken = tables + own + 3 * turns.sum::<usize>();
        assert_eq!(footprint(&plan.services).bytes(3), taken as u64);
    }
}

#[test]
fn tables_do_not_pile_up_over_reloads() {
    let plan = many_services(|_| SchedulerKind::Mh);
    let mut snapshot = Snapshot::new(&plan).unwrap();
    let first = tables(&snapshot);
    for weight in 1..=10 {
        // One server of each service gets another weight, and every tenth service goes.
        let mut other = plan.clone();
        for service in &mut other.services {
            service.servers.iter_mut().for_each(|server| server.weight = 1);
            service.servers[0].weight += weight;
        }
        other.services.retain(|service| service.port % 10 != 0);
        let reckoned = footprint(&other.services);
        assert!(reckoned.new_table_bytes(&footprint(&plan.services)) > 0);
        let next = snapshot.successor(&other, &|_| true).unwrap();
        assert_eq!(tables(&next).len(), reckoned.tables(), "those of services that are gone are gone");
        let old = tables(&snapshot);
        snapshot = next;
        assert!(old.iter().all(|table| table.upgrade().is_none()), "nobody holds the old ones");
    }
    assert!(first.iter().all(|table| table.upgrade().is_none()));
    // Whatever is the same is not made anew.
    let before = tables(&snapshot);
    let mut other = plan.clone();
    for service in &mut other.services {
        service.servers.iter_mut().for_each(|server| server.weight = 2);
        service.servers[0].weight += 20;
    }
    let next = snapshot.successor(&other, &|_| true).unwrap();
    let all: Vec<_> = tables(&next).iter().filter_map(Weak::upgrade).collect();
    assert!(before.iter().all(|table| all.iter().any(|other| Arc::as_ptr(other) == table.as_ptr())));
    assert_eq!(footprint(&other.services).new_table_bytes(&Footprint::default()), {
        let bytes: usize = all.iter().map(|table| table.bytes()).sum();
        bytes as u64
    });
}

/// A service grows past the last size of its table: nearly all clients move, but for the one that was made for as many.
/// Directors that load the same file at different times, or start with it, agree.
#[test]
fn a_table_made_for_more_servers_moves_few_clients_when_they_come() {
    let grown = |made_for: u32, from: u8, to: u8| {
        let plan = |count: u8| {
            let servers: Vec<_> = (1..=count).map(|host| (host, 80, 1)).collect();
            let mut service = scheduled(SchedulerKind::Mh, Method::Dr, 80, &servers);
            service.hash_servers = made_for;
            network().with(service)
        };
        let before = Snapshot::new(&plan(from)).unwrap();
        let after = before.successor(&plan(to), &|_| true).unwrap();
        let started = Snapshot::new(&plan(to)).unwrap();
        let clients = 0..4_000;
        assert!(clients.clone().all(|client| chosen(&after, 0, 0, client) == chosen(&started, 0, 0, client)));
        let moved = clients.filter(|&client| chosen(&before, 0, 0, client) != chosen(&after, 0, 0, client));
        let slots = plan(to).first().table_slots();
        (moved.count() as f64 / 4_000.0, slots, footprint(&plan(to).services).bytes(1))
    };
    // One of 33 has 3 % of all clients.
    let (moved, slots, _) = grown(0, 32, 33);
    assert!(moved > 0.9 && slots == Some(65_537), "{moved}");
    let (moved, ..) = grown(100, 32, 33);
    assert!(moved < 0.05, "{moved}");
    let (moved, ..) = grown(0, 33, 34);
    assert!(moved < 0.05, "{moved}");
    let (moved, ..) = grown(0, 31, 32);
    assert!(moved < 0.05, "{moved}");
    // Two servers need no more than the smallest, which is counted.
    let [(_, small, few), (_, large, many)] = [grown(0, 1, 2), grown(1_025, 1, 2)];
    assert_eq!([small, large], [Some(32_749), Some(655_373)]);
    assert!(few < 34_000 && many > 655_373 && many < 657_000, "{few} and {many} bytes");
    let mut plan = two_servers(Method::Dr);
    plan.first().hash_servers = 100;
    let refused = lb_core::service::check::check(&plan, []).unwrap_err().to_string();
    assert_eq!(refused, "hash_servers is for sh, dh and mh: rr has no lookup table");
    assert_eq!(plan.first().table_slots(), None);
}
