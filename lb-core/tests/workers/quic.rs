//! Connections of QUIC follow their connection ID: a client's new address finds the server that the old one had.

use crate::common::{
    frame::*,
    frame6::udp6,
    plan::*,
    world::{Sent, Setup, World},
};
use lb_core::{
    decide::Origin,
    explanation::Explanation,
    family::{V4, V6},
    ids::ServerId,
    memory::MemoryPacket,
    sched::threshold::Thresholds,
    service::{
        check::check,
        plan::{
            Admin, Health, Method, PersistencePlan, Plan, Protocol, QuicConfig, QuicKey, QuicLayout,
            QuicPlan, Spread,
        },
    },
    time::Duration,
    worker::Worker,
};
use proptest::{collection::vec, prelude::*};

const SERVICE: &str = "192.0.2.100:80";
const SERVICE6: &str = "[2001:db8:1::100]:80";

/// The key of the draft's examples, and two of these: IDs of a configuration each.
const KEY: [u8; 16] = 0x8f95_f092_4576_5f80_2569_34e5_0c66_207f_u128.to_be_bytes();
const IDS: [(&str, &str); 2] =
    [("ed793a", "0720b1d07b359d3c"), ("ed793a51d49b8f5fab65", "2fcc381bc74cb4fbad2823a3d1f8fed2")];

fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// The payload of a datagram with a short header and that connection ID.
fn short(id: &str) -> Vec<u8> {
    [&[0x4e][..], &hex(id), b"sealed"].concat()
}

/// With a long one, of version 2.
fn long(id: &str) -> Vec<u8> {
    let id = hex(id);
    let len = [id.len() as u8];
    [&[0xd0, 0x6b, 0x33, 0x43, 0xcf][..], &len, &id, &[4, 1, 2, 3, 4], b"sealed"].concat()
}

/// Two configurations of QUIC-LB, with names of the first and of the second server.
fn quic_lb(plan: &mut Plan) {
    let config = |rotation, server_id_length, nonce_length| QuicConfig {
        rotation,
        server_id_length,
        nonce_length,
        key: Some(QuicKey(KEY)),
    };
    let service = plan.first();
    service.protocol = Protocol::Udp;
    service.quic = QuicPlan { layout: QuicLayout::QuicLb, configs: vec![config(0, 3, 4), config(1, 10, 5)] };
    for (server, (name, _)) in service.servers.iter_mut().zip(IDS) {
        server.quic_server_ids = vec![name.parse().unwrap()];
    }
    check(plan, []).unwrap();
}

fn two_of(method: Method) -> Plan {
    let mut plan = two_servers(method);
    quic_lb(&mut plan);
    plan
}

fn two_of6(method: Method) -> Plan {
    let port = if method.rewrites_endpoints() { 8080 } else { 80 };
    let servers = [11, 12].map(|host| format!("[2001:db8:2::{host}]:{port}"));
    let mut plan = network6().with(service(method, SERVICE6, &[&servers[0], &servers[1]]));
    quic_lb(&mut plan);
    plan
}

fn katran(plan: &mut Plan) {
    let service = plan.first();
    service.protocol = Protocol::Udp;
    service.quic = QuicPlan { layout: QuicLayout::Katran, configs: Vec::new() };
    (service.servers[0].quic_server_number, service.servers[1].quic_server_number) = (4_660, 0x0102_0304);
    check(plan, []).unwrap();
}

fn from(client: u16, payload: &[u8]) -> Vec<u8> {
    udp(&format!("203.0.113.{}:{client}", client % 200 + 1), SERVICE, payload).via_gateway()
}

fn from6(client: u16, payload: &[u8]) -> Vec<u8> {
    udp6(&format!("[2001:db8:a::{client}]:{client}"), SERVICE6, payload).via_gateway()
}

/// The server of a client's connection, by the client's port.
fn server_of(world: &World, client: u16) -> Option<usize> {
    let v4 = world.workers.iter().flat_map(|worker| {
        worker
            .connections::<V4>()
            .iter(0..u32::MAX)
            .map(|(_, it)| (it.client_port, it.server))
            .collect::<Vec<_>>()
    });
    let v6 = world.workers.iter().flat_map(|worker| {
        worker
            .connections::<V6>()
            .iter(0..u32::MAX)
            .map(|(_, it)| (it.client_port, it.server))
            .collect::<Vec<_>>()
    });
    v4.chain(v6).find(|(port, _)| *port == client).map(|(_, server): (u16, ServerId)| server.index())
}

/// What all workers counted: connections by their ID, and lost ones.
fn counted(world: &World) -> (u64, u64) {
    let counters = world.workers.iter().map(Worker::counters);
    counters.fold((0, 0), |(named, lost), it| (named + it.quic_named.get(), lost + it.quic_lost.get()))
}

#[test]
fn a_client_with_another_address_has_the_same_server_in_every_method_and_family() {
    for &method in Method::ALL {
        for (plan, datagram) in
            [(two_of(method), from as fn(u16, &[u8]) -> Vec<u8>), (two_of6(method), from6)]
        {
            let mut world = World::new(&plan);
            let mut client = 4_000;
            for (server, (_, id)) in IDS.iter().enumerate() {
                // Turns would give every other client the other server.
                for payload in [short(id), long(id), short(id)] {
                    let sent = world.receive(WAN, &datagram(client, &payload));
                    assert_eq!((sent.len(), server_of(&world, client)), (1, Some(server)), "{method}");
                    client += 1;
                }
            }
            assert_eq!(counted(&world), (6, 0), "{method}");
        }
    }
}

#[test]
fn nothing_else_of_the_datagram_changes() {
    let (mut with, mut without) =
        (World::new(&two_of(Method::Nat)), World::new(&two_servers(Method::Nat).udp()));
    let frame = from(4_000, &short(IDS[0].1));
    let frames = |sent: Vec<Sent>| sent.into_iter().map(|it| it.frame).collect::<Vec<_>>();
    assert_eq!(frames(with.receive(WAN, &frame)), frames(without.receive(WAN, &frame)));
    assert_eq!(counted(&without), (0, 0));
}

#[test]
fn whoever_begins_gets_the_schedulers_choice() {
    let mut world = World::new(&two_of(Method::Nat));
    // A configuration that is not here, one that never is, a name that nobody has, one that is too short.
    for (client, id) in (4_000..).zip(["5102030405060708", "f102030405060708", "0102030405060708", "01", ""])
    {
        world.receive(WAN, &from(client, &long(id)));
    }
    let servers: Vec<_> = (4_000..4_005).map(|client| server_of(&world, client).unwrap()).collect();
    assert!(servers.windows(2).all(|pair| pair[0] != pair[1]), "in turn: {servers:?}");
    assert_eq!(counted(&world), (0, 0), "nothing is lost");
}

#[test]
fn what_goes_on_with_nobody_is_scheduled_anew_and_counted() {
    let mut world = World::new(&two_of(Method::Nat));
    for (client, id) in (4_000..).zip(["5102030405060708", "f102030405060708", "0102030405060708", "01"]) {
        let sent = world.receive(WAN, &from(client, &[&[0x40][..], &hex(id)].concat()));
        assert_eq!(sent.len(), 1);
    }
    assert_eq!(counted(&world), (0, 4));
    // No datagram of QUIC, so no ID that could be lost.
    world.receive(WAN, &from(5_000, b""));
    assert_eq!((counted(&world), server_of(&world, 5_000).is_some()), ((0, 4), true));
}

#[test]
fn a_drained_or_full_server_keeps_its_connections_and_a_gone_one_does_not() {
    let mut plan = two_of(Method::Nat);
    let (first, payload) = (0, short(IDS[0].1));
    plan.first().servers[first].thresholds = Thresholds { upper: 1, lower: 0 };
    let mut world = World::new(&plan);
    let mut client = 4_000;
    let mut server = |world: &mut World| {
        client += 1;
        world.board.sum_up(world.snapshot.servers.len());
        world.receive(WAN, &from(client, &payload));
        server_of(world, client)
    };
    assert_eq!([server(&mut world), server(&mut world)], [Some(first); 2], "it is full by the second");
    for (admin, health, weight, stays) in [
        (Admin::Draining, Health::Up, 1, true),
        (Admin::Enabled, Health::Up, 0, true),
        (Admin::Enabled, Health::Inhibited, 1, true),
        (Admin::Disabled, Health::Up, 1, false),
        (Admin::Enabled, Health::Down, 1, false),
    ] {
        let lost = counted(&world).1;
        let server_plan = &mut plan.first().servers[first];
        (server_plan.admin, server_plan.health, server_plan.weight) = (admin, health, weight);
        world.exchange(&plan);
        let expected = if stays { first } else { 1 };
        assert_eq!(server(&mut world), Some(expected), "{admin}, {health:?}, weight {weight}");
        assert_eq!(counted(&world).1, lost + u64::from(!stays));
    }
    let gone = plan.first().servers.remove(first);
    world.exchange(&plan);
    assert_eq!(server(&mut world), Some(1), "it has been removed");
    plan.first().servers.push(gone);
    plan.first().servers[1].health = Health::Up;
    plan.first().servers[1].quic_server_ids.clear();
    plan.first().servers[0].quic_server_ids.push(IDS[0].0.parse().unwrap());
    world.exchange(&plan);
    assert_eq!(server(&mut world), Some(1), "the other one has its ID, by a reload");
}

#[test]
fn katrans_numbers_are_read_in_each_of_its_versions() {
    let mut plan = two_servers(Method::Tun);
    katran(&mut plan);
    let mut world = World::new(&plan);
    let ids =
        [("448d00aabbccddee", 0), ("80001234aabbccdd", 0), ("c000001234aabbcc", 0), ("ff01020304aabbcc", 1)];
    for (client, (id, server)) in (4_000..).zip(ids) {
        world.receive(WAN, &from(client, &short(id)));
        assert_eq!(server_of(&world, client), Some(server), "{id}");
    }
    assert_eq!(counted(&world), (4, 0));
    // One that is nobody's, and one of a version that there is not.
    world.receive(WAN, &from(5_000, &short("80ffffffaabbccdd")));
    world.receive(WAN, &from(5_001, &short("00001234aabbccdd")));
    assert_eq!(counted(&world), (4, 2));
}

#[test]
fn it_goes_before_what_is_remembered_of_a_client_and_is_not_remembered() {
    let mut plan = two_of(Method::Nat);
    plan.first().persistence = PersistencePlan { timeout: Duration::from_secs(300), ..Default::default() };
    let mut world = World::new(&plan);
    let begin = |world: &mut World, port: u16| {
        world.receive(
            WAN,
            &udp(&format!("203.0.113.10:{port}"), SERVICE, &long("5102030405060708")).via_gateway(),
        );
        server_of(world, port).unwrap()
    };
    let own = begin(&mut world, 4_000);
    let other = 1 - own;
    let moved = udp("203.0.113.10:4001", SERVICE, &short(IDS[other].1)).via_gateway();
    world.receive(WAN, &moved);
    assert_eq!(server_of(&world, 4_001), Some(other));
    assert_eq!(begin(&mut world, 4_002), own, "its new connections are where they were");
}

#[test]
fn each_datagram_by_itself_goes_where_its_id_says() {
    let mut plan = two_of(Method::Dr);
    plan.first().one_packet = true;
    check(&plan, []).unwrap();
    let mut world = World::new(&plan);
    for (server, (_, id)) in IDS.iter().enumerate().cycle().take(8) {
        // From one address, as if its port had been another client's a moment ago.
        let sent = world.receive(WAN, &from(4_000, &short(id)));
        assert_eq!(sent[0].frame[..6], SERVER_MACS[server].0);
    }
    assert!(world.connections().is_empty());
}

#[test]
fn on_every_worker() {
    for method in [Method::Nat, Method::FullNat, Method::Tun] {
        for spread in [Spread::Unknown, Spread::ByClient, Spread::ByFlow] {
            let plan = two_of(method).spread(spread, spread);
            let mut world = World::with(&plan, Setup { workers: 3, ..Setup::default() });
            for client in 4_000..4_060 {
                let server = usize::from(client % 2);
                let arrives = usize::from(client) % 3;
                world.burst(arrives, &[(WAN, from(client, &short(IDS[server].1)))]);
                assert_eq!(server_of(&world, client), Some(server), "{method}, {spread:?}");
            }
            let used = world.workers.iter().filter(|worker| !worker.connections::<V4>().is_empty()).count();
            assert_eq!(used, 3, "{method}, {spread:?}");
        }
    }
}

#[test]
fn tcp_of_the_same_service_is_scheduled_as_ever() {
    let mut plan = two_of(Method::Nat);
    plan.first().protocol = Protocol::Tcp;
    plan.first().beside.protocols = vec![Protocol::Udp];
    check(&plan, []).unwrap();
    let mut world = World::new(&plan);
    let servers: Vec<_> = (4_000..4_004)
        .map(|port| {
            world.receive(WAN, &tcp(&format!("203.0.113.10:{port}"), SERVICE, SYN).via_gateway())[0].server()
        })
        .collect();
    assert!(servers.windows(2).all(|pair| pair[0] != pair[1]), "{servers:?}");
    world.receive(WAN, &from(5_000, &short(IDS[1].1)));
    assert_eq!(server_of(&world, 5_000), Some(1));
}

fn explain(world: &World, frame: &[u8]) -> Explanation {
    world.workers[0].explain(world.now, &MemoryPacket::new(WAN, frame), Origin::Port, &world.ios[0])
}

/// The steps that are about the choice of a server.
fn choice(told: &Explanation) -> Vec<&str> {
    told.steps.iter().filter(|step| step.stage.name() == "scheduler").map(|step| &*step.text).collect()
}

#[test]
fn explanations_say_so() {
    let mut plan = two_of(Method::Nat);
    let mut world = World::new(&plan);
    let said = |world: &World, payload: &[u8]| choice(&explain(world, &from(4_000, payload)))[0].to_owned();
    assert_eq!(
        choice(&explain(&world, &from(4_000, &short(IDS[0].1)))),
        ["connection ID: names server ID ed793a, 198.51.100.11:8080"]
    );
    for (payload, expected) in [
        (
            short("0102030405060708"),
            "connection ID: names server ID df0ab1, which no server has; the scheduler chooses anew",
        ),
        (
            short("f102030405060708"),
            "connection ID: is too short, or of no configuration that is here; the scheduler chooses anew",
        ),
        (
            long("5102030405060708"),
            "connection ID: is the client's own, or names no server that is here; the scheduler chooses",
        ),
    ] {
        assert_eq!(said(&world, &payload), expected);
    }
    plan.first().servers[0].admin = Admin::Disabled;
    world.exchange(&plan);
    assert_eq!(
        said(&world, &short(IDS[0].1)),
        "connection ID: names server ID ed793a, but 198.51.100.11:8080 is disabled or down; the scheduler chooses anew"
    );
}

/// A change, and what is said of it.
type Case = (fn(&mut Plan), &'static str);

#[test]
fn what_cannot_be_is_refused() {
    let refused = |change: fn(&mut Plan)| {
        let mut plan = two_of(Method::Nat);
        change(&mut plan);
        check(&plan, []).map_or_else(|error| error.to_string(), |()| "nothing".to_owned())
    };
    let cases: &[Case] = &[
        (
            |plan| plan.first().protocol = Protocol::Tcp,
            "quic is for udp, and the service is tcp; remove it, or add udp to `protocol`",
        ),
        (
            |plan| plan.first().quic.configs.clear(),
            "quic has no `configs`, which say how servers make connection IDs; add some, as in \
             `configs = [{ rotation = 0, server_id_length = 3, nonce_length = 4 }]`",
        ),
        (
            |plan| plan.first().quic.configs[1].rotation = 0,
            "quic has two configurations with rotation 0; give each a number of its own",
        ),
        (
            |plan| plan.first().quic.configs[1].nonce_length = 10,
            "quic has 20 bytes of server ID and nonce in configs[1], and QUIC has room for 19; make `server_id_length` or \
             `nonce_length` smaller",
        ),
        (
            |plan| plan.first().quic.configs[1].server_id_length = 0,
            "quic has no `server_id_length` in configs[1]; add it, as the servers have it",
        ),
        (
            |plan| plan.first().servers[1].quic_server_ids = vec!["ed793a".parse().unwrap()],
            "quic_server_ids ed793a is that of server 198.51.100.11:8080 already; give each server its own",
        ),
        (
            |plan| plan.first().servers[1].quic_server_ids = vec!["ed79".parse().unwrap()],
            "quic_server_ids ed79 has 2 bytes, as no configuration has; use as many bytes as `server_id_length` says, two \
             digits each",
        ),
        (
            |plan| plan.first().servers[0].quic_server_ids = vec!["ed793a".parse().unwrap(); 3],
            "quic_server_ids ed793a is there twice; remove one",
        ),
        (
            |plan| plan.first().servers[0].quic_server_number = 5,
            "quic_server_number is for layout \"katran\", and that of the service is \"quic-lb\"; remove it, or set `quic` \
             of the service",
        ),
        (
            |plan| plan.first().quic = QuicPlan::default(),
            "quic_server_ids is for layout \"quic-lb\", and that of the service is \"none\"; remove it, or set `quic` of \
             the service",
        ),
        (
            |plan| plan.first().quic.layout = QuicLayout::Katran,
            "quic has `configs`, which are QUIC-LB's: Katran's IDs say themselves how they are laid out; remove them, or \
             set `layout = \"quic-lb\"`",
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(refused(*change), *expected);
    }
    assert_eq!(refused(|_| ()), "nothing");
}

/// What clients send: IDs that name a server, whole or cut off, and anything else.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let known = (0..2usize, any::<bool>(), 0..20usize).prop_map(|(server, is_long, cut)| {
        let mut payload = if is_long { long(IDS[server].1) } else { short(IDS[server].1) };
        payload.truncate(payload.len().saturating_sub(cut));
        payload
    });
    prop_oneof![known, vec(any::<u8>(), 0..40)]
}

proptest! {
    #[test]
    fn what_is_explained_is_what_happens(
        layout in 0..3usize,
        payloads in vec((payload(), any::<bool>()), 1..12),
    ) {
        let mut plan = if layout == 2 { two_of6(Method::Nat) } else { two_of(Method::Nat) };
        if layout == 1 {
            plan = two_servers(Method::FullNat);
            katran(&mut plan);
        }
        let datagram = if layout == 2 { from6 } else { from };
        let mut world = World::new(&plan);
        for (client, (payload, is_traced)) in (4_000..).zip(&payloads) {
            let frame = datagram(client, payload);
            let told = explain(&world, &frame);
            let before = counted(&world);
            if *is_traced {
                let traced = world.trace(0, MemoryPacket::new(WAN, &frame), Origin::Port);
                prop_assert_eq!(&told, &traced);
                world.settle();
            } else {
                world.receive(WAN, &frame);
            }
            prop_assert_eq!(told.server.map(ServerId::index), server_of(&world, client));
            let (named, lost) = counted(&world);
            let by_id = choice(&told)[0].starts_with("connection ID: names");
            let is_lost = choice(&told)[0].ends_with("chooses anew");
            prop_assert_eq!((named - before.0, lost - before.1), (u64::from(by_id && !is_lost), u64::from(is_lost)));
        }
    }
}
