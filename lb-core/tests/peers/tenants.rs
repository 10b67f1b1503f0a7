//! Services that share an address and port, among directors that tell one another of connections and clients: what is one's
//! stays one's, whichever director has it.

use crate::{
    common::{
        frame::{ACK, SYN, tagged, tcp, udp},
        plan::*,
        world::{Setup, World},
    },
    ipvs::{SYNCID, at, backup},
    taking_over::{PEER, director, exceptions},
};
use lb_core::{
    family::V4,
    peers::ipvs::{master::Master, template::Template},
    service::{
        check::check,
        plan::{Method, PersistencePlan, Plan},
    },
    time::Duration,
    wire::ethernet::Tags,
    worker::{clients, exceptions::Wanted},
};
use std::{collections::BTreeMap, net::Ipv4Addr};

const SERVICE: &str = "192.0.2.100:80";
const CLIENTS: [&str; 2] = ["203.0.113.10", "198.18.7.1"];
const NETWORKS: [&str; 2] = ["203.0.113.0/24", "198.18.0.0/15"];

/// Two services of the same two servers on one VIP and port, each for a network.
fn by_network(method: Method) -> Plan {
    let mut plan = two_servers(method);
    plan.services.push(plan.services[0].clone());
    for (at, service) in plan.services.iter_mut().enumerate() {
        service.name = ["one", "two"][at].to_owned();
        service.beside.from = vec![NETWORKS[at].parse().unwrap()];
    }
    check(&plan, []).unwrap();
    plan
}

/// Two services of a server each, the second for what arrives in VLAN 8.
fn by_arrival(method: Method) -> Plan {
    let mut plan = by_network(method);
    let mut other = interface("other", WAN, WAN_MAC, "198.18.0.1/24");
    other.tags = Tags::vlan(8);
    plan.interfaces.push(other);
    for (at, on) in ["wan", "other"].into_iter().enumerate() {
        let service = &mut plan.services[at];
        service.beside.from.clear();
        service.beside.on = vec![on.to_owned()];
        service.servers = vec![service.servers[at].clone()];
    }
    check(&plan, []).unwrap();
    plan
}

/// By client: the name of its connection's service, and its server.
fn served(world: &World) -> BTreeMap<(Ipv4Addr, u16), (String, Ipv4Addr)> {
    let of = |one: &lb_core::conn::entry::Connection| {
        let (service, server) = (world.snapshot.service_of(one.server), &world.snapshot.servers[one.server]);
        let std::net::IpAddr::V4(address) = server.plan.address else { panic!("another family") };
        ((Ipv4Addr::from_bits(one.client), one.client_port), (service.name.clone(), address))
    };
    world.connections().iter().map(of).collect()
}

/// A segment of a client's, in VLAN 8 if it is the second.
fn segment(client: usize, port: u16, flags: u8, is_tagged: bool) -> Vec<u8> {
    let frame = tcp(&format!("{}:{port}", CLIENTS[client]), SERVICE, flags).via_gateway();
    if is_tagged { tagged(&frame, 8) } else { frame }
}

#[test]
fn connections_that_a_peer_told_of_are_of_their_clients_service() {
    for &method in Method::ALL {
        for (plan, in_vlan) in [(by_network(method), false), (by_arrival(method), true)] {
            let mut first = World::new(&plan);
            for (client, port) in [(0, 1), (1, 2), (0, 3), (0, 4), (1, 5), (1, 6)] {
                for flags in [SYN, ACK] {
                    first.receive(WAN, &segment(client, port, flags, in_vlan && client == 1));
                }
            }
            first.pass(3_000);
            let before = served(&first);
            let names: Vec<&str> = before.values().map(|(name, _)| &**name).collect();
            assert_eq!(names, ["two", "two", "two", "one", "one", "one"], "{method}: by client");
            let (mut second, mut writer) = director(&plan, 1);
            let told = exceptions(&first, Wanted::default());
            assert_eq!(told.len(), 6, "{method}");
            told.iter().for_each(|exception| writer.tell(exception, PEER).unwrap());
            // In another order, so that turns would choose otherwise.
            for (client, port) in [(1, 6), (0, 4), (1, 5), (0, 3), (1, 2), (0, 1)] {
                second.receive(WAN, &segment(client, port, ACK, in_vlan && client == 1));
            }
            assert_eq!(served(&second), before, "{method}");
        }
        // Arriving elsewhere here, it is still with the server that it was told with.
        let plan = by_arrival(method);
        let mut first = World::new(&plan);
        [SYN, ACK].iter().for_each(|flags| drop(first.receive(WAN, &segment(1, 1, *flags, true))));
        first.pass(3_000);
        let (mut second, mut writer) = director(&plan, 1);
        exceptions(&first, Wanted::default()).iter().for_each(|told| writer.tell(told, PEER).unwrap());
        second.receive(WAN, &segment(1, 1, ACK, false));
        assert_eq!(served(&second), served(&first), "{method}");
    }
}

/// Ipvs's half of it: what a master here tells, a backup here takes.
fn handed_on(first: &World, second: &mut World, plan: &Plan) -> [u64; 3] {
    let (mut backup, told) = backup(64);
    *second = World::told(plan, Setup::default(), told);
    let (persistence, snapshot, now) = (second.persistence(), second.snapshot.clone(), second.now);
    let mut learn = |told: &Template<'_>| clients::learn_template(persistence, &snapshot, now, told);
    let mut out = |bytes: &[u8]| assert!(backup.receive(at(0), bytes, &mut learn));
    let mut master = Master::new((SYNCID, 1_400), 100, 1_000, at(0));
    master.poll(at(1_000));
    master.begin_look(at(1_000));
    for worker in &first.workers {
        worker.exceptions::<V4>(first.now, 0..u32::MAX, Wanted { all: true, young: true }, |seen| {
            master.found(&seen, &mut out);
        });
    }
    clients::templates(first.persistence(), &first.snapshot, first.now)
        .for_each(|client| master.found_client(client.as_ref(), &mut out));
    master.end_look(&mut out);
    let untellable = master.counts().clients_untellable;
    [backup.counts().connections, backup.counts().clients, untellable]
}

#[test]
fn so_are_connections_and_clients_that_directors_of_ipvs_told_of() {
    for (marks, clients) in [([5, 6], [2, 0]), ([0, 0], [0, 2])] {
        for method in [Method::Nat, Method::Dr] {
            let mut plan = by_network(method);
            for (service, mark) in plan.services.iter_mut().zip(marks) {
                let timeout = Duration::from_secs(300);
                service.persistence = PersistencePlan { timeout, ..PersistencePlan::default() };
                service.fwmark = mark;
            }
            check(&plan, []).unwrap();
            let mut first = World::new(&plan);
            // The first of each gets the first server, so this one is another service's second.
            for (client, port) in [(0, 1), (1, 2)] {
                for flags in [SYN, ACK, ACK] {
                    first.receive(WAN, &segment(client, port, flags, false));
                }
            }
            let before = served(&first);
            let mut second = World::new(&plan);
            let [connections, learned, untellable] = handed_on(&first, &mut second, &plan);
            assert_eq!((connections, [learned, untellable]), (2, clients), "{method}, marks {marks:?}");
            for (client, port) in [(1, 2), (0, 1)] {
                second.receive(WAN, &segment(client, port, ACK, false));
            }
            assert_eq!(served(&second), before, "{method}, marks {marks:?}");
            if marks == [0, 0] {
                continue;
            }
            // A client of a mark stays with its server in the service of that mark.
            for (client, port) in [(1, 12), (0, 11)] {
                second.receive(WAN, &segment(client, port, SYN, false));
                let ip: Ipv4Addr = CLIENTS[client].parse().unwrap();
                assert_eq!(served(&second)[&(ip, port)], before[&(ip, port - 10)], "{method}");
            }
        }
    }
}

#[test]
fn datagrams_go_on_in_the_service_of_their_client() {
    let plan = {
        let mut plan = by_network(Method::Dr);
        plan.services.iter_mut().for_each(|service| service.protocol = lb_core::service::key::Protocol::Udp);
        plan
    };
    let mut first = World::new(&plan);
    let open = |world: &mut World, client: usize, port: u16| {
        world.receive(WAN, &udp(&format!("{}:{port}", CLIENTS[client]), SERVICE, b"?").via_gateway());
    };
    [(0, 1), (1, 2), (0, 3), (1, 4)].iter().for_each(|&(client, port)| open(&mut first, client, port));
    let before = served(&first);
    first.pass(3_000);
    let (mut second, mut writer) = director(&plan, 1);
    exceptions(&first, Wanted::default()).iter().for_each(|told| writer.tell(told, PEER).unwrap());
    [(1, 4), (0, 3), (1, 2), (0, 1)].iter().for_each(|&(client, port)| open(&mut second, client, port));
    assert_eq!(served(&second), before);
}
