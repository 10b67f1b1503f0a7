//! Services that share an address and port: which clients each has, by network and by where they arrive.

use crate::common::{
    fragments,
    frame::*,
    frame6::*,
    plan::*,
    world::{Setup, World},
};
use lb_core::{
    conn::saved::Saved,
    counters::DropReason,
    decide::Origin,
    memory::MemoryPacket,
    packet::{HandOver, WorkerId},
    peers::client::Client,
    service::{
        check::{PlanError, check},
        key::Protocol,
        plan::{Method, PersistencePlan, Plan, Spread},
    },
    time::Duration,
    wire::{
        ethernet::Tags,
        tcp::{ACK, SYN},
    },
    worker::clients,
};

const SERVICE: &str = "192.0.2.100:80";
const SERVICE6: &str = "[2001:db8:1::100]:80";
/// A client of the first tenant, of the second, and of neither.
const CLIENTS: [&str; 3] = ["203.0.113.10", "198.18.7.1", "100.64.0.1"];
const NETWORKS: [&str; 2] = ["203.0.113.0/24", "198.18.0.0/15"];
const CLIENTS6: [&str; 3] = ["2001:db8:a::10", "2001:db8:b::10", "2001:db8:c::10"];
const NETWORKS6: [&str; 2] = ["2001:db8:a::/48", "2001:db8:b::/48"];

/// Two services on one VIP and port, of a server each.
fn tenants(method: Method) -> Plan {
    let port = if method.rewrites_endpoints() { 8080 } else { 80 };
    let of = |vip: &str, server: String| service(method, vip, &[&server]);
    let mut plan = network();
    for (at, name) in ["one", "two"].into_iter().enumerate() {
        let mut tenant = of(SERVICE, format!("{}:{port}", SERVERS[at]));
        tenant.name = name.to_owned();
        tenant.beside.from = vec![NETWORKS[at].parse().unwrap()];
        plan.services.push(tenant);
    }
    plan
}

/// The same for clients of IPv6, and servers of either family.
fn tenants6(method: Method, servers: [&str; 2]) -> Plan {
    let mut plan = network6();
    for (at, name) in ["one", "two"].into_iter().enumerate() {
        let mut tenant = service(method, SERVICE6, &[servers[at]]);
        tenant.name = name.to_owned();
        tenant.beside.from = vec![NETWORKS6[at].parse().unwrap()];
        plan.services.push(tenant);
    }
    plan
}

/// The name of the service of a client's connection, if it has one.
fn served_by(world: &mut World, client: &str, port: u16) -> Option<String> {
    world.receive(WAN, &tcp(&format!("{client}:{port}"), SERVICE, SYN).via_gateway());
    let client = client.parse::<std::net::Ipv4Addr>().unwrap().to_bits();
    let connections = world.connections();
    let it = connections.iter().find(|one| (one.client, one.client_port) == (client, port))?;
    Some(world.snapshot.service_of(it.server).name.clone())
}

fn names(world: &mut World, port: u16) -> Vec<Option<String>> {
    CLIENTS.iter().map(|client| served_by(world, client, port)).collect()
}

fn some(name: &str) -> Option<String> {
    Some(name.to_owned())
}

#[test]
fn a_client_is_served_by_the_service_of_its_network() {
    for &method in Method::ALL {
        let mut plan = tenants(method);
        check(&plan, []).unwrap();
        let mut world = World::new(&plan);
        assert_eq!(names(&mut world, 4000), [some("one"), some("two"), None], "{method}");
        let refused = world.lines(WAN, &tcp("100.64.0.1:4001", SERVICE, SYN).via_gateway());
        let reset = "wan: 192.0.2.100:80 > 100.64.0.1:4001 tcp rst ack ttl 64";
        assert_eq!(refused, [reset], "{method}: as a port without a service");
        // One for all has the rest, wherever it stands.
        let mut all = plan.services[0].clone();
        all.name = "all".to_owned();
        all.beside.from.clear();
        plan.services.insert(1, all);
        check(&plan, []).unwrap();
        world.exchange(&plan);
        assert_eq!(names(&mut world, 4002), [some("one"), some("two"), some("all")], "{method}");
        let silent = plan.unserved(VIP, lb_core::service::plan::Unserved::Drop);
        world.exchange(&silent);
        assert_eq!(served_by(&mut world, CLIENTS[2], 4003), some("all"), "{method}");
    }
}

#[test]
fn so_it_is_with_ipv6_and_between_families() {
    let of_v6 = ["[2001:db8:2::11]:80", "[2001:db8:2::12]:80"];
    let of_v4 = ["198.51.100.11:80", "198.51.100.12:80"];
    for &method in Method::ALL {
        let plan = tenants6(method, of_v6);
        check(&plan, []).unwrap();
        let mut world = World::new(&plan);
        let served = CLIENTS6.map(|client| {
            let sent = world.receive(WAN, &tcp6(&format!("[{client}]:4000"), SERVICE6, SYN).via_gateway());
            (sent[0].port, sent[0].frame[..6].to_vec())
        });
        assert_eq!(served[0], (LAN, SERVER_MACS[0].0.to_vec()), "{method}");
        assert_eq!(served[1], (LAN, SERVER_MACS[1].0.to_vec()), "{method}");
        assert_eq!(served[2].0, WAN, "{method}: refused");
    }
    let mut plan = tenants6(Method::FullNat, of_v4);
    plan.services.iter_mut().for_each(|service| service.local_addresses = vec![LOCAL.into()]);
    check(&plan, []).unwrap();
    let mut world = World::new(&plan);
    for (client, server) in CLIENTS6.iter().zip(["198.51.100.11", "198.51.100.12"]) {
        let sent = world.lines(WAN, &tcp6(&format!("[{client}]:4000"), SERVICE6, SYN).via_gateway());
        assert!(sent[0].contains(&format!("> {server}:80")), "{sent:?}");
    }
    let mut plan = tenants(Method::FullNat);
    plan.interfaces = network6().interfaces;
    plan.routes = network6().routes;
    for (service, server) in plan.services.iter_mut().zip(of_v6) {
        service.local_addresses = vec![LOCAL6.into()];
        service.servers = vec![server_of(server)];
    }
    check(&plan, []).unwrap();
    let mut world = World::new(&plan);
    for (client, server) in CLIENTS.iter().zip(of_v6) {
        let sent = world.lines(WAN, &tcp(&format!("{client}:4000"), SERVICE, SYN).via_gateway());
        assert!(sent[0].contains(&format!("> {server}")), "{sent:?}");
    }
    let refused = world.lines(WAN, &tcp("100.64.0.1:4001", SERVICE, SYN).via_gateway());
    assert!(refused[0].contains("192.0.2.100:80 > 100.64.0.1:4001"), "{refused:?}");
}

fn server_of(endpoint: &str) -> lb_core::service::plan::ServerPlan {
    server(endpoint, 1)
}

/// The second tenant is behind VLAN 8 of the wan port, where it has a router of its own.
fn by_arrival(method: Method) -> Plan {
    let mut plan = tenants(method);
    let mut other = interface("other", WAN, WAN_MAC, "198.18.0.1/24");
    other.tags = Tags::vlan(8);
    plan.interfaces.push(other);
    for (service, on) in plan.services.iter_mut().zip(["wan", "other"]) {
        service.beside.from.clear();
        service.beside.on = vec![on.to_owned()];
    }
    plan
}

#[test]
fn a_client_is_served_by_the_service_of_where_it_arrives() {
    for &method in Method::ALL {
        let plan = by_arrival(method);
        check(&plan, []).unwrap();
        let mut world = World::new(&plan);
        let segment = |port: u16, flags| tcp(&format!("203.0.113.10:{port}"), SERVICE, flags).via_gateway();
        world.receive(WAN, &segment(4000, SYN));
        world.receive(WAN, &tagged(&segment(4001, SYN), 8));
        let served: Vec<_> = world
            .connections()
            .iter()
            .map(|one| (one.client_port, world.snapshot.service_of(one.server).name.clone()))
            .collect();
        assert_eq!(served, [(4000, "one".to_owned()), (4001, "two".to_owned())], "{method}");
        // What is known is not asked for: it may arrive elsewhere later.
        let sent = world.receive(WAN, &segment(4001, ACK));
        assert_eq!((sent[0].port, &sent[0].frame[..6]), (LAN, &SERVER_MACS[1].0[..]), "{method}");
    }
}

#[test]
fn a_packet_that_was_handed_over_arrived_where_it_did() {
    let plan = by_arrival(Method::Nat).spread(Spread::Unknown, Spread::Unknown);
    let mut world = World::with(&plan, Setup { workers: 3, ..Setup::default() });
    for port in 4000..4032_u16 {
        let frame = tagged(&tcp(&format!("203.0.113.10:{port}"), SERVICE, SYN).via_gateway(), 8);
        world.burst(usize::from(port % 3), &[(WAN, frame)]);
    }
    assert!(world.handed_over_for(HandOver::Client) > 8);
    let two = world.connections().iter().all(|one| world.snapshot.service_of(one.server).name == "two");
    assert!(two && world.connections().len() == 32);
}

#[test]
fn the_port_comes_before_the_network_and_that_before_the_port_of_arrival() {
    let mut plan = tenants(Method::Nat);
    let all = plan.services[0].clone();
    let mut add = |name: &str, ports: &[&str], from: &[&str], on: &[&str]| {
        let mut service = all.clone();
        service.name = name.to_owned();
        service.set_ports(ports.iter().map(|port| port.parse().unwrap()).collect());
        service.beside.from = from.iter().map(|net| net.parse().unwrap()).collect();
        service.beside.on = on.iter().map(|&name| name.to_owned()).collect();
        plan.services.push(service);
    };
    add("any", &["any"], &["203.0.113.10/32"], &["wan"]);
    add("range", &["1-100"], &["203.0.113.10/32"], &["wan"]);
    add("host", &["80"], &["203.0.113.10/32"], &[]);
    add("arrival", &["80"], &["203.0.113.0/24"], &["wan"]);
    add("anywhere", &["80"], &[], &["wan"]);
    plan.services.iter_mut().for_each(|service| service.servers[0].port = 8080);
    check(&plan, []).unwrap();
    let mut world = World::new(&plan);
    let mut port = 4000;
    let mut served = |world: &mut World, client: &str, to: u16| {
        port += 1;
        let to = format!("192.0.2.100:{to}");
        let frame = tcp(&format!("{client}:{port}"), &to, SYN).via_gateway();
        let told = world.trace(0, MemoryPacket::new(WAN, &frame), Origin::Port);
        world.settle();
        told.service.map_or_else(String::new, |it| world.snapshot.services[it].name.clone())
    };
    assert_eq!(served(&mut world, "203.0.113.10", 80), "host", "the longest network");
    assert_eq!(served(&mut world, "203.0.113.11", 80), "arrival", "as long, and where it arrives");
    assert_eq!(served(&mut world, "198.18.0.1", 80), "two");
    assert_eq!(served(&mut world, "100.64.0.1", 80), "anywhere");
    assert_eq!(served(&mut world, "203.0.113.10", 81), "range");
    assert_eq!(served(&mut world, "203.0.113.11", 81), "", "it is for another");
    assert_eq!(served(&mut world, "203.0.113.10", 101), "any");
    plan.services.retain(|service| service.name != "host" && service.name != "anywhere");
    plan.services.iter_mut().filter(|service| service.name == "arrival").for_each(|service| {
        service.beside.from = vec!["198.51.100.0/24".parse().unwrap()];
    });
    plan.services.remove(0);
    world.exchange(&plan);
    assert_eq!(served(&mut world, "203.0.113.10", 80), "range", "none of exactly its port is for it");
}

#[test]
fn connections_go_on_when_it_is_for_others_and_when_it_becomes_choosy() {
    let mut plan = tenants(Method::Nat);
    let mut world = World::new(&plan);
    assert_eq!(served_by(&mut world, CLIENTS[0], 4000), some("one"));
    let goes_on = |world: &mut World, why: &str| {
        let sent = world.lines(WAN, &tcp("203.0.113.10:4000", SERVICE, ACK).via_gateway());
        assert_eq!(sent, ["lan: 203.0.113.10:4000 > 198.51.100.11:8080 tcp ack ttl 63"], "{why}");
        assert_eq!(world.connections().iter().filter(|one| one.client_port == 4000).count(), 1, "{why}");
    };
    plan.services[0].beside.from = vec!["100.64.0.0/10".parse().unwrap()];
    world.exchange(&plan);
    goes_on(&mut world, "for other clients");
    assert_eq!(names(&mut world, 4001), [None, some("two"), some("one")]);
    plan.services[0].beside.from.clear();
    world.exchange(&plan);
    goes_on(&mut world, "for all clients");
    assert_eq!(names(&mut world, 4002), [some("one"), some("two"), some("one")]);
    plan.services[0].beside.on = vec!["wan".to_owned()];
    world.exchange(&plan);
    goes_on(&mut world, "for some clients again");
    let (server, load) = (world.connections()[0].server, world.board.total(world.connections()[0].server));
    assert_eq!((server.number(), load.total()), (0, 4), "it is the same server all the time");
    // Under another name it is another service, whose server has another number.
    plan.services[0].name = "uno".to_owned();
    world.exchange(&plan);
    let refused = world.lines(WAN, &tcp("203.0.113.10:4000", SERVICE, ACK).via_gateway());
    assert!(refused[0].starts_with("wan: 192.0.2.100:80 > 203.0.113.10:4000 tcp rst"), "{refused:?}");
}

#[test]
fn services_may_take_turns_in_being_for_all() {
    let mut plan = tenants(Method::Nat);
    plan.services[0].beside.from.clear();
    let mut world = World::new(&plan);
    assert_eq!(served_by(&mut world, CLIENTS[0], 4000), some("one"));
    assert_eq!(served_by(&mut world, CLIENTS[1], 4001), some("two"));
    plan.services[1].beside.from.clear();
    plan.services[0].beside.from = vec![NETWORKS[0].parse().unwrap()];
    check(&plan, []).unwrap();
    world.exchange(&plan);
    // Each is known by what the other, or nobody, was known by. Nothing goes to a wrong server.
    for (client, port, server) in [(CLIENTS[0], 4000, SERVERS[0]), (CLIENTS[1], 4001, SERVERS[1])] {
        let sent = world.lines(WAN, &tcp(&format!("{client}:{port}"), SERVICE, ACK).via_gateway());
        let is_refused = sent[0].contains("tcp rst");
        assert!(is_refused || sent[0].contains(&format!("> {server}:8080")), "{sent:?}");
    }
    assert_eq!(names(&mut world, 4002), [some("one"), some("two"), some("two")]);
}

#[test]
fn a_first_fragment_says_whose_the_datagram_is() {
    for method in [Method::Nat, Method::FullNat, Method::Dr, Method::Tun] {
        let plan = tenants(method).udp().spread(Spread::Unknown, Spread::Unknown);
        let mut world = World::with(&plan, Setup { workers: 2, ..Setup::default() });
        for (id, client) in (1..).zip(&CLIENTS[..2]) {
            let datagram = udp(&format!("{client}:4000"), SERVICE, &[7; 2_000]).may_fragment().bytes();
            let frames = fragments::even(&datagram, id, 1_000);
            for (at, fragment) in frames.iter().enumerate() {
                world.burst(at % 2, &[(WAN, fragments::frame(WAN, fragment))]);
            }
        }
        let mut served: Vec<_> = world
            .connections()
            .iter()
            .map(|one| (one.client >> 24, world.snapshot.service_of(one.server).name.clone()))
            .collect();
        served.sort();
        assert_eq!(served, [(198, "two".to_owned()), (203, "one".to_owned())], "{method}");
    }
}

#[test]
fn each_datagram_goes_to_the_service_of_its_client() {
    let mut plan = tenants(Method::Dr).udp();
    plan.services.iter_mut().for_each(|service| service.one_packet = true);
    check(&plan, []).unwrap();
    let mut world = World::new(&plan);
    let mut server = |client: &str| {
        world.receive(WAN, &udp(&format!("{client}:4000"), SERVICE, b"?").via_gateway())[0].frame[..6]
            .to_vec()
    };
    assert_eq!(server(CLIENTS[0]), SERVER_MACS[0].0);
    assert_eq!(server(CLIENTS[1]), SERVER_MACS[1].0);
    assert_eq!(server(CLIENTS[2]), GATEWAY_MAC.0, "refused");
}

#[test]
fn adopted_connections_are_of_the_service_of_their_client() {
    for method in [Method::Nat, Method::Tun] {
        let mut plan = tenants(method);
        plan.services.iter_mut().for_each(|service| service.adopt = true);
        let mut world = World::new(&plan);
        for (client, name) in CLIENTS.iter().zip([some("one"), some("two"), None]) {
            world.receive(WAN, &tcp(&format!("{client}:4000"), SERVICE, ACK).via_gateway());
            let served = world.connections().into_iter().last();
            let served = served.map(|one| world.snapshot.service_of(one.server).name.clone());
            if name.is_some() {
                assert_eq!(served, name, "{method}");
            }
        }
        assert_eq!(world.connections().len(), 2);
    }
    // By what a server says, too, if it is to a client of its service.
    let mut plan = tenants(Method::Nat);
    plan.services.iter_mut().for_each(|service| service.adopt = true);
    let mut world = World::new(&plan);
    let reply = |client: &str| tcp("198.51.100.12:8080", &format!("{client}:4000"), ACK).via_server();
    assert_eq!(
        world.lines(LAN, &reply(CLIENTS[1])),
        ["wan: 192.0.2.100:80 > 198.18.7.1:4000 tcp ack ttl 63"]
    );
    world.receive(LAN, &reply(CLIENTS[0]));
    assert_eq!(world.connections().len(), 1, "that would be the other's");
    assert_eq!(world.dropped(DropReason::NoConnection), 0, "it got a reset");
}

#[test]
fn restored_connections_are_of_their_service() {
    for method in Method::ALL.iter().copied() {
        let mut plan = by_arrival(method);
        let mut before = World::new(&plan);
        let segment = |port: u16, flags| tcp(&format!("203.0.113.10:{port}"), SERVICE, flags).via_gateway();
        for flags in [SYN, ACK] {
            before.receive(WAN, &segment(4000, flags));
            before.receive(WAN, &tagged(&segment(4001, flags), 8));
        }
        let saved: Vec<Saved> = before.workers[0].saved(before.now).collect();
        let restored = |plan: &Plan| {
            let mut after = World::new(plan);
            let now = after.now;
            let is_ok = |saved: &&Saved| after.workers[0].restore(now, saved, Some(WorkerId(0))).is_ok();
            saved.iter().filter(is_ok).count()
        };
        // Where packets arrived is not in the file, but which server they went to is.
        assert_eq!(restored(&plan), 2, "{method}");
        plan.services[1].beside.from = vec!["198.18.0.0/15".parse().unwrap()];
        assert_eq!(restored(&plan), 1, "{method}: its client is not the service's any more");
    }
}

#[test]
fn clients_that_are_told_of_stay_in_each_service_that_may_be_theirs() {
    let mut plan = tenants(Method::Nat);
    for service in &mut plan.services {
        service.persistence = PersistencePlan { timeout: Duration::from_secs(300), ..Default::default() };
        service.servers = SERVERS.map(|server| server_of(&format!("{server}:8080"))).to_vec();
    }
    let told = |client: &str, server: usize| Client {
        protocol: Protocol::Tcp,
        network: client.parse().unwrap(),
        vip: SERVICE.parse().unwrap(),
        server: format!("{}:8080", SERVERS[server]).parse().unwrap(),
        left: Duration::from_secs(60),
        is_learned: false,
    };
    let mut world = World::new(&plan);
    let learn =
        |world: &World, told: &Client| clients::learn(world.persistence(), &world.snapshot, world.now, told);
    assert!(learn(&world, &told(CLIENTS[0], 1)));
    assert!(learn(&world, &told(CLIENTS[1], 1)));
    assert!(!learn(&world, &told(CLIENTS[2], 1)), "it is nobody's");
    for client in &CLIENTS[..2] {
        let sent = world.receive(WAN, &tcp(&format!("{client}:4000"), SERVICE, SYN).via_gateway());
        assert_eq!(sent[0].server(), 12, "{client}");
    }
    // Each is told of as one of its service's first address and port.
    let told: Vec<_> = clients::remembered(world.persistence(), &world.snapshot, world.now).collect();
    assert!(told.len() == 2 && told.iter().all(|it| it.vip == SERVICE.parse().unwrap()), "{told:?}");
    assert!(clients::templates(world.persistence(), &world.snapshot, world.now).all(|it| it.is_none()));
}

#[test]
fn what_does_not_go_together_is_refused() {
    let wrong = |edit: &dyn Fn(&mut Plan)| {
        let mut plan = tenants(Method::Nat);
        check(&plan, []).unwrap();
        edit(&mut plan);
        check(&plan, []).unwrap_err().to_string()
    };
    assert_eq!(
        wrong(&|plan| plan.services[1].beside.from.push("203.0.113.0/24".parse().unwrap())),
        "tcp 192.0.2.100:80 from 203.0.113.0/24 would be of service \"one\" and of service \"two\", and neither is more \
         specific"
    );
    assert_eq!(
        wrong(&|plan| plan.services[1].beside.from.push("198.18.0.0/15".parse().unwrap())),
        "service \"two\" has tcp 192.0.2.100:80 from 198.18.0.0/15 twice; remove one"
    );
    assert_eq!(
        wrong(&|plan| plan.services[0].beside.on.push("outside".to_owned())),
        "service \"one\", on: there is no port or interface \"outside\"; use the name of one: lan, wan"
    );
    assert_eq!(
        wrong(&|plan| plan.services[0].beside.from.push("2001:db8::/32".parse().unwrap())),
        "service \"one\", from: 2001:db8::/32 has no clients of 192.0.2.100, which is of IPv4; use networks of IPv4, or \
         make a service for each family"
    );
    let mut plan = tenants(Method::Nat);
    plan.services.iter_mut().for_each(|service| service.beside.from.clear());
    assert_eq!(check(&plan, []), Err(PlanError::SameService(plan.services[0].key())));
}
