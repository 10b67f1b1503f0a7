//! What operators read, word for word.

use super::{accounts, connections, neighbours, services, traffic};
use crate::{control::live::workers::Listed, dataplane::connection_view::ConnectionView};
use lb_core::{
    conn::{entry::Connection, state::State},
    counters::{DropReason, ServerTraffic, WorkerCounters},
    family::V4,
    flow::key::Key,
    ids::{InterfaceId, ServerId},
    neigh::entry::Neighbour,
    packet::{HandOver, PortId, WorkerId},
    service::{
        key::{Protocol, ServiceKey},
        load::{Load, LoadBoard},
        plan::{InterfacePlan, Mac, Method, Plan, PortPlan, SchedulerKind, ServerPlan, ServicePlan, Spread},
        reach::{Beside, Reach},
        routing::NextHop,
        snapshot::Snapshot,
    },
    time::{Duration, Instant, Stamp},
};
use std::net::{Ipv4Addr, SocketAddr};

const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
const SERVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 11), Ipv4Addr::new(192, 0, 2, 12)];

/// HTTP by NAT on two servers, and UDP by tunnel on one.
fn snapshot() -> Snapshot {
    let service = |protocol, port: u16, method, scheduler, servers: &[ServerPlan]| ServicePlan {
        scheduler,
        servers: servers.to_vec(),
        ..ServicePlan::new(
            port.to_string(),
            ServiceKey::new(protocol, SocketAddr::new(VIP.into(), port)),
            method,
        )
    };
    let http = SERVERS.map(|address| ServerPlan::new(address, 8080, 1));
    let echo = [ServerPlan::new(SERVERS[0], 7, 65_535)];
    let network = "192.0.2.1/24".parse().unwrap();
    let plan = Plan {
        ports: vec![PortPlan {
            name: "lan".to_owned(),
            spread: Spread::ByFlow,
            hashing: lb_core::flow::hashing::Hashing::default(),
        }],
        interfaces: vec![InterfacePlan { addresses: vec![network], ..InterfacePlan::new("lan", PortId(0)) }],
        services: vec![
            service(Protocol::Tcp, 80, Method::Nat, SchedulerKind::Wlc, &http),
            service(Protocol::Udp, 7, Method::Tun, SchedulerKind::Mh, &echo),
        ],
        ..Plan::default()
    };
    Snapshot::new(&plan).expect("a plan that can be carried out")
}

#[test]
fn services_of_certain_clients_say_which() {
    let beside = |from: &[&str], on: &[&str]| Beside {
        from: from.iter().map(|net| net.parse().unwrap()).collect(),
        on: on.iter().map(|&name| name.to_owned()).collect(),
        ..Beside::default()
    };
    let key = ServiceKey::new(Protocol::Tcp, SocketAddr::new(VIP.into(), 80));
    let shown = |beside: &Beside| services::sent_to(Reach { key, beside });
    assert_eq!(shown(&beside(&[], &[])), "192.0.2.100:80");
    assert_eq!(
        shown(&beside(&["203.0.113.0/24"], &["wan", "lan"])),
        "192.0.2.100:80 from 203.0.113.0/24 on wan,lan"
    );
}

#[test]
fn services_are_listed_as_by_ipvsadm() {
    let board = LoadBoard::new(2, 3);
    board.publish(WorkerId(0), ServerId::new(0), Load { active: 2, inactive: 1 });
    board.publish(WorkerId(1), ServerId::new(0), Load { active: 10, inactive: 0 });
    board.publish(WorkerId(1), ServerId::new(2), Load { active: 0, inactive: 300_000 });
    let mut text = String::new();
    services::write(&mut text, &snapshot(), &board);
    let expected = "\
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  192.0.2.100:80 wlc
  -> 192.0.2.11:8080              Masq    1      12         1         
  -> 192.0.2.12:8080              Masq    1      0          0         
UDP  192.0.2.100:7 mh
  -> 192.0.2.11:7                 Tunnel  65535  0          300000    
";
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn traffic_is_listed_as_by_ipvsadm() {
    let workers: [[ServerTraffic; 3]; 2] = Default::default();
    for (worker, packets) in workers.iter().zip([7, 5_000_000]) {
        worker[0].connections.add(1);
        worker[0].packets[0].add(packets);
        worker[0].packets[1].add(packets + 1);
        worker[0].bytes[0].add(packets * 60);
        worker[0].bytes[1].add(packets * 1_500);
        worker[1].connections.add(2);
        worker[2].packets[0].add(1);
    }
    let mut text = String::new();
    traffic::write(&mut text, &snapshot(), &workers.each_ref().map(|worker| &worker[..]));
    let expected = "\
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
TCP  192.0.2.100:80                      6  5000007  5000009  300000K    7500M
  -> 192.0.2.11:8080                     2  5000007  5000009  300000K    7500M
  -> 192.0.2.12:8080                     4        0        0        0        0
UDP  192.0.2.100:7                       0        2        0        0        0
  -> 192.0.2.11:7                        0        2        0        0        0
";
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn connections_are_listed_as_by_ipvsadm() {
    let listed = |protocol, state, vip_port, server: u32, server_port, idle| {
        let key = Key::<V4> {
            source: CLIENT.to_bits(),
            destination: VIP.to_bits(),
            source_port: 40_000,
            destination_port: vip_port,
            protocol,
        };
        let mut connection =
            Connection::new(&key, ServerId::new(server), SERVERS[0].into(), server_port, Method::Nat);
        connection.state = state;
        Listed {
            worker: WorkerId(1),
            connection: ConnectionView::new(&snapshot(), &connection, Stamp::default()),
            idle: Duration::from_secs(idle),
            age: Duration::from_secs(idle),
        }
    };
    let listed = [
        listed(Protocol::Tcp, State::Established, 80, 0, 8080, 2),
        listed(Protocol::Udp, State::Udp, 7, 2, 7, 400),
    ];
    let mut text = String::new();
    connections::write(&mut text, &snapshot(), &listed, 12);
    let expected = "\
Connections
pro expire state       source             virtual            destination        worker local
TCP 14:58  ESTABLISHED 192.0.2.10:40000   192.0.2.100:80     192.0.2.11:8080    1
UDP 00:00  UDP         192.0.2.10:40000   192.0.2.100:7      192.0.2.11:7       1
... 10 more
total 12 connections
";
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn workers_that_know_the_same_neighbour_share_a_line() {
    let neighbour = |address: Ipv4Addr| {
        let hop = NextHop { interface: InterfaceId(0), address: address.into() };
        Neighbour::new(hop, &InterfacePlan::new("lan", PortId(0)), Instant::ZERO)
    };
    let known = || {
        let mut known = neighbour(SERVERS[0]);
        known.answer(Mac([2, 0, 0, 0, 0, 0x1f]), Instant::ZERO);
        known
    };
    let mut silent = neighbour(CLIENT);
    while silent.knowledge != lb_core::neigh::entry::Knowledge::Failed {
        silent.poll(Instant::from_millis(silent.asked.map_or(0, |asked| asked.as_millis() + 1_000)));
    }
    let all = vec![(WorkerId(0), vec![known(), neighbour(SERVERS[1])]), (WorkerId(1), vec![silent, known()])];
    let mut text = String::new();
    neighbours::write(&mut text, &["lan".to_owned()], all);
    let expected = "\
Neighbours
192.0.2.10 on lan does not answer (worker 1)
192.0.2.11 on lan at 02:00:00:00:00:1f (worker 0, 1)
192.0.2.12 on lan being asked (worker 0)
";
    assert_eq!(text, expected, "\n{text}");
}

/// Two workers, the first of which handed a packet to the second.
fn accounts_in_order() -> [WorkerCounters; 2] {
    let (first, second) = (WorkerCounters::default(), WorkerCounters::default());
    first.received.add(10);
    first.sent.add(7);
    first.dropped[DropReason::OtherMac as usize].add(2);
    first.handed_over[HandOver::Reply as usize].add(1);
    first.created.add(3);
    second.taken_over.add(1);
    second.originated.add(1);
    second.sent.add(1);
    second.host.add(1);
    [first, second]
}

#[test]
fn accounts_say_where_every_packet_went() {
    let ended = accounts_in_order();
    let mut text = String::new();
    accounts::write_worker(&mut text, WorkerId(0), &ended[0]);
    let counters = ended.each_ref();
    accounts::write_drops(&mut text, &counters);
    accounts::write_verdict(&mut text, &counters);
    let expected = "\
worker 0: received 10 taken-over 0 originated 0 sent 7 dropped 2 host 0 handed-over 1 waiting 0
  handed over: client 0 reply 1 shared 0 fragment-keeper 0 fragment-owner 0
  connections: created 3 ended 0 evicted 0 orphaned 0 without-server 0 without-port 0
  answered: resets 0 icmp-errors 0; fragmented 0 into 0; trouble: address-conflicts 0 no-buffer 0
Dropped
             2  other-mac          Addressed to another host's MAC address.
accounting: exact: received 10 + taken over 1 + originated 1 = sent 8 + dropped 2 + host 1 + handed over 1
";
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn a_lost_packet_is_noticed() {
    let [first, second] = accounts_in_order();
    first.received.bump();
    assert!(!accounts::is_exact(&[&first, &second]), "on one worker");
    let [first, second] = accounts_in_order();
    second.taken_over.bump();
    second.sent.bump();
    assert!(!accounts::is_exact(&[&first, &second]), "between workers");
}
