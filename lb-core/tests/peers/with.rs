//! What peers are told with everything else: fragments, every kind of tunnel, several workers.

use crate::{
    common::{
        fragments::{even, frame},
        frame::{ACK, SYN, tcp, udp},
        plan::*,
        world::{Sent, World},
    },
    taking_over::{PEER, director, exceptions},
};
use lb_core::{
    conn::tunnel::Encapsulation,
    service::plan::{Method, Plan, TunnelPlan},
    worker::exceptions::Wanted,
};

const SERVICE: &str = "192.0.2.100:80";

/// The director that goes on after one which has told of its connections.
fn next(first: &mut World, plan: &Plan, workers: usize) -> World {
    first.pass(3_000);
    let (second, mut writer) = director(plan, workers);
    let told = exceptions(first, Wanted::default());
    assert!(!told.is_empty());
    told.iter().for_each(|exception| writer.tell(exception, PEER).unwrap());
    second
}

/// Where all of them go: one station.
fn station(sent: &[Sent]) -> Vec<u8> {
    let station = sent[0].frame[..6].to_vec();
    assert!(sent.iter().all(|it| it.frame.starts_with(&station)));
    station
}

#[test]
fn a_datagram_in_fragments_goes_on_in_any_order_and_over_workers() {
    for &method in Method::ALL {
        let plan = two_servers(method).udp();
        // A local port is of one worker only.
        let workers = if method.hides_clients() { 1 } else { 3 };
        let mut first = World::new(&plan);
        let clients: Vec<String> = (1..9).map(|port| format!("203.0.113.10:{}", 4_000 + port)).collect();
        let open = |world: &mut World, from: &String| {
            station(&world.receive(WAN, &udp(from, SERVICE, b"?").via_gateway()))
        };
        let before: Vec<Vec<u8>> = clients.iter().map(|from| open(&mut first, from)).collect();
        let mut second = next(&mut first, &plan, workers);
        for (at, from) in clients.iter().enumerate().rev() {
            let mut pieces = even(&udp(from, SERVICE, &[7; 4_000]).bytes(), at as u32 + 1, 1_400);
            pieces.rotate_left(at % 3);
            let sent: Vec<Sent> = pieces.iter().flat_map(|it| second.receive(WAN, &frame(WAN, it))).collect();
            assert_eq!(sent.len(), 3, "{method}: {from}");
            assert_eq!(station(&sent), before[at], "{method}: {from}");
        }
    }
}

#[test]
fn a_connection_goes_on_in_a_tunnel_of_its_kind() {
    for kind in [Encapsulation::Ipip, Encapsulation::Gre, Encapsulation::Gue, Encapsulation::Gue1] {
        for server in ["198.51.100.11:80", "[2001:db8:2::11]:80"] {
            let mut plan = network6().with(service(Method::Tun, SERVICE, &[server]));
            plan.first().tunnel = TunnelPlan { kind, ..TunnelPlan::default() };
            let from_client = |flags| tcp("203.0.113.10:4000", SERVICE, flags).via_gateway();
            let mut first = World::new(&plan);
            first.receive(WAN, &from_client(SYN));
            let before = first.receive(WAN, &from_client(ACK));
            let after = next(&mut first, &plan, 1).receive(WAN, &from_client(ACK));
            assert_eq!((before.len(), after.len()), (1, 1), "{kind:?} to {server}");
            // All but the outer identification and its checksum, and ports that are drawn.
            let inner = |sent: &Sent| sent.frame[sent.frame.len() - 40..].to_vec();
            assert_eq!(before[0].frame.len(), after[0].frame.len(), "{kind:?} to {server}");
            assert_eq!(before[0].frame[..14], after[0].frame[..14], "{kind:?} to {server}");
            assert_eq!(inner(&before[0]), inner(&after[0]), "{kind:?} to {server}");
        }
    }
}
