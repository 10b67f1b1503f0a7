//! The packet trace that everybody in the field knows, through the table of `conf/lb.toml`.

use super::{
    common::{frame::*, plan::*, world::*},
    expect,
};
use lb_core::service::plan::{Mac, Method, ModuleKind, Plan, RoutePlan, SchedulerKind};

const GATEWAY: &str = "202.103.106.1";
const SERVER_2: Mac = Mac([2, 0, 0, 0, 3, 2]);
const SERVER_3: Mac = Mac([2, 0, 0, 0, 3, 3]);

fn director() -> World {
    let mut web = service(Method::Nat, "202.103.106.5:80", &["172.16.0.2:80", "172.16.0.3:8000"]);
    web.scheduler = SchedulerKind::Wrr;
    web.servers[1].weight = 2;
    let mut ftp = service(Method::Nat, "202.103.106.5:21", &["172.16.0.3:21"]);
    ftp.module = ModuleKind::Ftp;
    let plan = Plan {
        ports: vec![port("wan"), port("lan")],
        interfaces: vec![
            interface("wan", WAN, WAN_MAC, "202.103.106.4/24"),
            interface("lan", LAN, LAN_MAC, "172.16.0.1/24"),
        ],
        routes: vec![RoutePlan::new("0.0.0.0/0".parse().unwrap(), GATEWAY.parse().unwrap())],
        services: vec![web, ftp],
        verify_checksums: true,
        ..Plan::default()
    };
    let mut world = World::silent(&plan, Setup::default());
    world.stations =
        [(WAN, GATEWAY, GATEWAY_MAC), (LAN, "172.16.0.2", SERVER_2), (LAN, "172.16.0.3", SERVER_3)]
            .map(|(port, address, mac)| Station { port, address: address.parse().unwrap(), mac })
            .to_vec();
    world.pass(3_000);
    world
}

#[test]
fn the_classic_trace() {
    let mut world = director();
    // The client's packet has the VIP as its destination; the director chooses 172.16.0.3, port 8000.
    let request = tcp("202.100.1.2:3456", "202.103.106.5:80", SYN).via_gateway();
    expect(&mut world, WAN, &request, "lan: 202.100.1.2:3456 > 172.16.0.3:8000 tcp syn ttl 63");
    // The server's reply comes back through the director and gets the VIP as its source.
    let reply = tcp("172.16.0.3:8000", "202.100.1.2:3456", SYN | ACK).via_server();
    expect(&mut world, LAN, &reply, "wan: 202.103.106.5:80 > 202.100.1.2:3456 tcp syn ack ttl 63");
    // The rest of the connection goes the same way.
    let rest = tcp("202.100.1.2:3456", "202.103.106.5:80", ACK).via_gateway();
    expect(&mut world, WAN, &rest, "lan: 202.100.1.2:3456 > 172.16.0.3:8000 tcp ack ttl 63");
}

#[test]
fn two_of_three_connections_go_to_the_server_of_weight_two() {
    let mut world = director();
    let mut servers = [0, 0];
    for client in 4000..4300 {
        let syn = tcp(&format!("202.100.1.2:{client}"), "202.103.106.5:80", SYN).via_gateway();
        let line = world.lines(WAN, &syn).remove(0);
        servers[usize::from(line.contains("> 172.16.0.3:8000"))] += 1;
    }
    assert_eq!(servers, [100, 200]);
}

#[test]
fn the_second_service_of_the_vip() {
    let mut world = director();
    let syn = tcp("202.100.1.2:3456", "202.103.106.5:21", SYN).via_gateway();
    expect(&mut world, WAN, &syn, "lan: 202.100.1.2:3456 > 172.16.0.3:21 tcp syn ttl 63");
}

#[test]
fn other_ports_of_the_vip_are_rejected() {
    let mut world = director();
    let syn = tcp("202.100.1.2:3456", "202.103.106.5:443", SYN).via_gateway();
    expect(&mut world, WAN, &syn, "wan: 202.103.106.5:443 > 202.100.1.2:3456 tcp rst ack ttl 64");
    let datagram = udp("202.100.1.2:3456", "202.103.106.5:80", b"?").via_gateway();
    let answer = "wan: 202.103.106.5 > 202.100.1.2 icmp port unreachable \
                  [202.100.1.2:3456 > 202.103.106.5:80 udp ttl 64] ttl 64";
    expect(&mut world, WAN, &datagram, answer);
}
