//! Any bytes whatever, into any director: nothing panics, what leaves is right, and every packet is accounted for.
//!
//! The harness checks the accounting after every burst, see `World::check`.

use crate::common::{
    any::*,
    frame::*,
    plan::*,
    read,
    world::{Sent, Setup, World},
};
use lb_core::{memory::MemoryPacket, packet::PortId, service::plan::Method, time::Duration};
use proptest::{prelude::*, sample::Index, sample::select};

/// One burst: where it arrives, what it is, and how long after the one before.
fn burst() -> impl Strategy<Value = (usize, Vec<(PortId, Vec<u8>)>, u64)> {
    (0..4usize, prop::collection::vec(any_frame(), 0..24), prop_oneof![3 => Just(0), 1 => 0..100_000u64])
}

/// Whether all checksums of a frame are right, as far as it holds any. What cannot be read counts as wrong.
fn is_right(frame: &[u8]) -> bool {
    let is_arp = frame.get(12..14) == Some(&[0x08, 0x06]);
    is_arp || read::ip_packet(frame).is_some_and(|packet| read::check_ip(packet).is_ok())
}

fn frames(sent: Vec<Sent>) -> Vec<(PortId, Vec<u8>)> {
    sent.into_iter().map(|sent| (sent.port, sent.frame)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn what_leaves_is_right_whatever_arrives(
        plan in plan(),
        workers in 1..=4usize,
        connections in select(vec![1, 3, 100]),
        (ring, pool) in (select(vec![0, 2, usize::MAX]), select(vec![20, usize::MAX])),
        bursts in prop::collection::vec(burst(), 1..8),
    ) {
        let mut world = World::with(&plan, Setup { workers, connections, ..Setup::default() });
        for io in &mut world.ios {
            (io.ring, io.pool) = (ring, pool);
        }
        let mut wrong = 0;
        for (worker, frames, wait_ms) in bursts {
            world.now = world.now + Duration::from_millis(wait_ms);
            wrong += frames.iter().filter(|(_, frame)| !is_right(frame)).count();
            let mut sent = world.tick();
            sent.extend(world.burst(worker % workers, &frames));
            for sent in sent {
                let Some(packet) = read::ip_packet(&sent.frame) else {
                    // Whatever else leaves is ARP; reading it checks it.
                    sent.line();
                    continue;
                };
                // What only passes is not looked at in SCTP.
                let passes = |result: &Result<(), String>| {
                    wrong > 0 && result.as_ref().is_err_and(|error| error.contains("SCTP checksum"))
                };
                if plan.verify_checksums && !passes(&read::check_ip(packet)) {
                    let result = read::check_ip(packet);
                    prop_assert!(result.is_ok(), "{:?}: {:02x?}", result, sent.frame);
                } else {
                    let result = read::check_ip(packet);
                    let is_checksum = result.as_ref().is_err_and(|error| error.contains("checksum"));
                    prop_assert!(result.is_ok() || is_checksum, "{:?}: {:02x?}", result, sent.frame);
                    // Of those that arrived with a wrong one.
                    let is_accounted_for = result.is_ok() || wrong > 0;
                    prop_assert!(is_accounted_for, "{:?} made wrong: {:02x?}", result, sent.frame);
                    wrong -= usize::from(result.is_err());
                }
            }
        }
        // However it ends, nothing is left behind.
        for (worker, io) in world.workers.iter_mut().zip(&mut world.ios) {
            worker.shut_down(io);
            prop_assert_eq!(worker.counters().held(), 0);
        }
        world.check();
    }

    /// Without verification, what was right stays right and what was wrong stays wrong, in each method.
    #[test]
    fn an_error_of_a_checksum_is_neither_made_nor_mended(
        method in select(Method::ALL),
        is_tcp: bool,
        payload in prop::collection::vec(any::<u8>(), 2..60),
        damage in prop::collection::vec((any::<Index>(), any::<u8>()), 0..3),
    ) {
        let mut plan = two_servers(method);
        if !is_tcp {
            plan = plan.udp();
        }
        plan.verify_checksums = false;
        let mut world = World::new(&plan);
        let ends = ("203.0.113.10:4000", "192.0.2.100:80");
        let mut packet = if is_tcp {
            tcp_with(endpoint(ends.0), endpoint(ends.1), SYN, &payload)
        } else {
            udp(ends.0, ends.1, &payload)
        };
        // Anywhere in the checksum and the payload behind it.
        let from = if is_tcp { 16 } else { 6 };
        for (at, value) in damage {
            let at = from + at.index(packet.payload.len() - from);
            packet.payload[at] = value;
        }
        let was_right = read::check_ipv4(&packet.bytes()).is_ok();
        let sent = world.receive(WAN, &packet.via_gateway());
        prop_assert_eq!(sent.len(), 1);
        let leaving = read::ipv4_packet(&sent[0].frame).unwrap();
        prop_assert!(read::check_ipv4_header(leaving).is_ok());
        prop_assert_eq!(read::check_ipv4(leaving).is_ok(), was_right, "{:02x?}", leaving);
    }

    /// What came right leaves right, in whatever packet.
    #[test]
    fn what_came_right_leaves_right(
        mut plan in plan(),
        frames in prop::collection::vec((sound_frame(), verdict(), verdict()), 1..40),
    ) {
        plan.verify_checksums = false;
        let mut world = World::new(&plan);
        for ((port, frame), ipv4, l4) in frames {
            let mut packet = MemoryPacket::new(port, &frame);
            (packet.ipv4_checksum, packet.l4_checksum) = (ipv4, l4);
            for sent in world.packets(0, &[packet]) {
                prop_assert!(is_right(&sent.frame), "{:02x?}\nfrom {:02x?}", sent.frame, frame);
            }
        }
    }

    /// A port errs when it calls what is right wrong, and says nothing new when it calls it right.
    #[test]
    fn what_a_port_says_of_right_packets_makes_no_difference(
        method in select(Method::ALL),
        verify: bool,
        arriving in prop::collection::vec((sound_frame(), verdict(), verdict()), 1..20),
    ) {
        let mut plan = two_servers(method);
        plan.services.push(two_servers(method).udp().services.remove(0));
        let mut software = World::new(&plan);
        plan.verify_checksums = verify;
        let mut hardware = World::new(&plan);
        for ((port, frame), ipv4, l4) in arriving {
            let mut verified = MemoryPacket::new(port, &frame);
            (verified.ipv4_checksum, verified.l4_checksum) = (ipv4, l4);
            let by_hardware = hardware.packets(0, &[verified]);
            prop_assert_eq!(frames(software.receive(port, &frame)), frames(by_hardware));
        }
    }
}
