//! Fragments: in and out of order, of both families, and those that nobody should send.

use crate::{
    common::{
        fragments::{assemble, cut, even, frame, piece},
        frame::*,
        frame6::{endpoint6, udp6},
        plan::*,
        read,
        world::{Sent, Setup, World},
    },
    expect_nothing,
};
use lb_core::{
    counters::DropReason,
    packet::HandOver,
    service::plan::{Method, Plan},
};

const CLIENT: &str = "203.0.113.10:4000";
const SERVICE: &str = "192.0.2.100:80";
const CLIENT_V6: &str = "[2001:db8:a::10]:4000";
const SERVICE_V6: &str = "[2001:db8:1::100]:80";

/// A datagram of 8 kB to the service.
fn long() -> Vec<u8> {
    udp(CLIENT, SERVICE, &[7; 8_000]).bytes()
}

fn world(method: Method) -> World {
    World::new(&one_server(method).udp())
}

/// What comes of fragments that arrive in that order.
fn pass(world: &mut World, fragments: &[Vec<u8>]) -> Vec<Sent> {
    fragments.iter().flat_map(|fragment| world.receive(WAN, &frame(WAN, fragment))).collect()
}

/// The line of the one packet that fragments in frames are of.
fn assembled(sent: &[Sent]) -> String {
    let packets = sent.iter().map(|sent| read::ip_packet(&sent.frame).expect("an IP packet"));
    let [whole] = &assemble(packets)[..] else { panic!("one packet") };
    let ethertype = if whole[0] >> 4 == 6 { 0x86dd } else { 0x0800 };
    read::check_ip(whole).expect("right in every checksum");
    read::line(&ethernet(LAN_MAC, WAN_MAC, ethertype, whole))
}

#[test]
fn a_datagram_in_fragments_opens_a_connection_and_all_of_it_gets_to_one_server() {
    for (method, line) in [
        (Method::Nat, "203.0.113.10:4000 > 198.51.100.11:8080 udp ttl 63"),
        (Method::Dr, "203.0.113.10:4000 > 192.0.2.100:80 udp ttl 63"),
    ] {
        let mut world = world(method);
        let sent = pass(&mut world, &even(&long(), 9, 1_480));
        assert_eq!(sent.len(), 6, "{method}: as many as came");
        assert_eq!(assembled(&sent), line);
        assert_eq!(world.connections().len(), 1);
        assert_eq!(world.connections()[0].packets(lb_core::conn::entry::Direction::In), 6);
        assert_eq!(world.counters(0).datagrams.get(), 0, "all has come, so nothing is kept");
    }
}

#[test]
fn under_fullnat_both_ends_change_in_every_fragment() {
    let mut world = world(Method::FullNat);
    let sent = pass(&mut world, &even(&long(), 9, 1_480));
    let line = assembled(&sent);
    assert!(line.starts_with("198.51.100.20:") && line.contains("> 198.51.100.11:8080 udp"), "{line}");
    let local = line.split(' ').next().unwrap().to_owned();
    let reply = udp("198.51.100.11:8080", &local, &[8; 4_000]).bytes();
    let back: Vec<Sent> =
        even(&reply, 77, 1_480).iter().flat_map(|it| world.receive(LAN, &frame(LAN, it))).collect();
    assert_eq!(assembled(&back), "192.0.2.100:80 > 203.0.113.10:4000 udp ttl 63");
}

#[test]
fn in_a_tunnel_every_fragment_has_its_own_outer_header() {
    let mut world = world(Method::Tun);
    let sent = pass(&mut world, &even(&long(), 9, 1_400));
    let inner: Vec<&[u8]> = sent.iter().map(|sent| &read::ip_packet(&sent.frame).unwrap()[20..]).collect();
    for sent in &sent {
        let packet = read::ip_packet(&sent.frame).unwrap();
        read::check_ipv4_header(packet).unwrap();
        assert_eq!((packet[9], packet[6] & 0x3f), (4, 0), "an outer packet is whole");
        assert_eq!(packet[16..20], SERVERS[0].octets());
    }
    let [whole] = &assemble(inner)[..] else { panic!("one packet") };
    read::check_ipv4(whole).unwrap();
}

#[test]
fn a_servers_fragments_go_to_the_client_from_the_vip() {
    let mut world = world(Method::Nat);
    world.receive(WAN, &udp(CLIENT, SERVICE, b"?").via_gateway());
    let reply = udp("198.51.100.11:8080", CLIENT, &[8; 5_000]).bytes();
    let mut fragments = even(&reply, 3, 1_480);
    fragments.reverse();
    let sent: Vec<Sent> = fragments.iter().flat_map(|it| world.receive(LAN, &frame(LAN, it))).collect();
    assert_eq!(sent.len(), 4, "out of order, too");
    assert_eq!(assembled(&sent), "192.0.2.100:80 > 203.0.113.10:4000 udp ttl 63");
    let stranger = frame(WAN, &even(&reply, 4, 1_480)[1]);
    expect_nothing(&mut world, WAN, &stranger);
    assert_eq!(
        world.dropped(DropReason::WrongPort),
        1,
        "a server's address on a port that no server is behind"
    );
}

#[test]
fn of_ipv6_as_of_ipv4() {
    let mut plan = one_server6(Method::Nat).udp();
    plan.first().servers[0].port = 8080;
    let mut world = World::new(&plan);
    let whole = udp6(CLIENT_V6, SERVICE_V6, &[7; 8_000]).bytes();
    let mut fragments = even(&whole, 0x1234_5678, 1_448);
    fragments.rotate_left(2);
    let sent = pass(&mut world, &fragments);
    assert_eq!(sent.len(), 6);
    assert_eq!(assembled(&sent), "[2001:db8:a::10]:4000 > [2001:db8:2::11]:8080 udp ttl 63");
    let reply = udp6("[2001:db8:2::11]:8080", CLIENT_V6, &[8; 3_000]).bytes();
    let back: Vec<Sent> =
        even(&reply, 77, 1_448).iter().flat_map(|it| world.receive(LAN, &frame(LAN, it))).collect();
    assert_eq!(assembled(&back), "[2001:db8:1::100]:80 > [2001:db8:a::10]:4000 udp ttl 63");
    assert_eq!(endpoint6(CLIENT_V6).port(), 4000);
}

#[test]
fn a_checksum_of_a_part_is_nobodys_to_judge_and_none_stays_none() {
    let mut whole = long();
    whole[26..28].fill(0);
    let mut world = world(Method::Nat);
    let sent = pass(&mut world, &even(&whole, 9, 1_480));
    assert_eq!(sent[0].frame[14 + 26..14 + 28], [0, 0]);
    assert_eq!(sent.len(), 6);
}

#[test]
fn a_connection_of_tcp_takes_fragments() {
    let mut world = World::new(&one_server(Method::Nat));
    world.receive(WAN, &tcp(CLIENT, SERVICE, SYN).via_gateway());
    let segment = tcp_with(endpoint(CLIENT), endpoint(SERVICE), ACK, &[9; 1_400]).bytes();
    let sent = pass(&mut world, &even(&segment, 5, 552));
    assert_eq!(assembled(&sent), "203.0.113.10:4000 > 198.51.100.11:8080 tcp ack ttl 63");
    assert_eq!(world.connections().len(), 1);
}

#[test]
fn what_came_early_waits_for_the_first_and_follows_it() {
    let mut world = world(Method::Nat);
    let fragments = even(&long(), 9, 1_480);
    let waiting: Vec<Sent> = pass(&mut world, &fragments[1..]);
    assert!(waiting.is_empty());
    assert_eq!(world.counters(0).waiting_fragments.get(), 5);
    let sent = pass(&mut world, &fragments[..1]);
    assert_eq!(sent.len(), 6, "the first, and those behind it");
    assert_eq!(sent[0].frame[14 + 6..14 + 8], [0x20, 0], "the first goes first");
    assert_eq!(world.counters(0).waiting_fragments.get(), 0);
}

#[test]
fn what_waits_in_vain_is_dropped() {
    let mut world = world(Method::Nat);
    pass(&mut world, &even(&long(), 9, 1_480)[1..4]);
    world.pass(400);
    assert_eq!(world.dropped(DropReason::FragmentAlone), 3);
    assert_eq!(world.counters(0).waiting_fragments.get(), 0);
}

#[test]
fn fragments_that_overlap_end_all_of_their_datagram() {
    let whole = long();
    let (header, payload) = whole.split_at(20);
    let mut world = world(Method::Nat);
    let part = |at: usize, len: usize| piece(header, 9, at, &payload[at..at + len], true);
    assert_eq!(pass(&mut world, &[part(0, 1_480)]).len(), 1);
    assert!(pass(&mut world, &[part(1_472, 16)]).is_empty());
    assert!(pass(&mut world, &[part(1_480, 1_480), part(2_960, 1_480)]).is_empty(), "nothing more of it");
    assert_eq!(world.dropped(DropReason::FragmentOverlap), 3, "RFC 5722 4");
    // The same before the first has come: what waits ends with it.
    let late = |at: usize, len: usize| piece(header, 10, at, &payload[at..at + len], true);
    pass(&mut world, &[late(1_480, 1_480), late(2_952, 16), late(0, 1_480)]);
    assert_eq!(world.dropped(DropReason::FragmentOverlap), 6);
    assert_eq!(world.counters(0).waiting_fragments.get(), 0);
}

#[test]
fn a_fragment_that_comes_twice_is_dropped_once() {
    let mut world = world(Method::Nat);
    let fragments = even(&long(), 9, 1_480);
    pass(
        &mut world,
        &[fragments[0].clone(), fragments[1].clone(), fragments[1].clone(), fragments[0].clone()],
    );
    assert_eq!(world.dropped(DropReason::FragmentDuplicate), 2);
    assert_eq!(pass(&mut world, &fragments[2..]).len(), 4, "the datagram goes on");
}

#[test]
fn a_first_fragment_holds_all_that_tells_its_flow() {
    let segment = tcp_with(endpoint(CLIENT), endpoint(SERVICE), SYN, &[9; 100]).bytes();
    let mut world = World::new(&one_server(Method::Nat));
    assert!(pass(&mut world, &cut(&segment, 9, [8, 200])).is_empty(), "RFC 1858 3: no flags");
    assert!(pass(&mut world, &cut(&segment, 10, [16, 200])).is_empty(), "no room for all of the header");
    assert_eq!(world.dropped(DropReason::FragmentTiny), 2 + 2, "and what overlaps the header");
    assert_eq!(pass(&mut world, &cut(&segment, 11, [24, 200])).len(), 2);
}

#[test]
fn fragments_that_cannot_be_are_told_apart() {
    let whole = long();
    let (header, payload) = whole.split_at(20);
    let mut world = world(Method::Nat);
    expect_nothing(&mut world, WAN, &frame(WAN, &piece(header, 9, 0, &payload[..1_001], true)));
    expect_nothing(&mut world, WAN, &frame(WAN, &piece(header, 9, 1_480, &[], true)));
    assert_eq!(world.dropped(DropReason::BadFragment), 2, "not a multiple of 8, and nothing at all");
    expect_nothing(&mut world, WAN, &frame(WAN, &piece(header, 9, 65_528, &payload[..100], false)));
    assert_eq!(world.dropped(DropReason::FragmentOversize), 1, "the ping of death");
    expect_nothing(&mut world, WAN, &frame(WAN, &even(&echo_of(3_000), 9, 1_480)[0]));
    assert_eq!(world.dropped(DropReason::Fragment), 1, "of a ping");
}

fn echo_of(len: usize) -> Vec<u8> {
    let kind = etherparse::Icmpv4Type::EchoRequest(etherparse::IcmpEchoHeader { id: 7, seq: 1 });
    icmp(CLIENT_IP, VIP, kind, &vec![0; len]).bytes()
}

#[test]
fn what_follows_a_first_that_was_not_passed_on_ends() {
    let mut world = world(Method::Nat);
    let nowhere = udp(CLIENT, "192.0.2.100:81", &[7; 4_000]).bytes();
    let sent = pass(&mut world, &even(&nowhere, 9, 1_480));
    assert_eq!(sent.len(), 1);
    assert!(sent[0].line().contains("port unreachable"), "{}", sent[0].line());
    assert_eq!(world.dropped(DropReason::FragmentOrphan), 2);
}

#[test]
fn a_flood_of_early_fragments_is_bounded_and_leaves_neighbours_and_firsts_alone() {
    let mut world = world(Method::Nat);
    let whole = long();
    let (header, payload) = whole.split_at(20);
    for id in 0..500 {
        world.receive(WAN, &frame(WAN, &piece(header, id, 1_480, &payload[..1_480], true)));
    }
    let held = world.counters(0).waiting_fragments.get();
    assert_eq!(held, 128);
    assert_eq!(world.dropped(DropReason::FragmentsWaiting), 500 - held);
    assert_eq!(world.counters(0).waiting.get(), 0, "those that wait for neighbours have room of their own");
    assert_eq!(pass(&mut world, &even(&whole, 60_000, 1_480)).len(), 6, "in order they need no room to wait");
    world.pass(400);
    assert_eq!(world.dropped(DropReason::FragmentAlone), held);
}

#[test]
fn a_flood_of_first_fragments_finds_the_table_full_and_old_ones_make_room() {
    let mut world = world(Method::Dr);
    let whole = long();
    let (header, payload) = whole.split_at(20);
    let first = |id: u32| frame(WAN, &piece(header, id, 0, &payload[..1_480], true));
    for id in 0..6_000 {
        world.receive(WAN, &first(id));
    }
    let full = world.dropped(DropReason::FragmentsFull);
    assert!(full > 4_000, "{full}");
    assert!(world.counters(0).datagrams.get() <= 1_024);
    world.pass(100);
    assert_eq!(pass(&mut world, &even(&whole, 60_000, 1_480)).len(), 6, "the old ones make room");
}

#[test]
fn a_datagram_of_too_many_pieces_ends() {
    let mut world = world(Method::Nat);
    let sent = pass(&mut world, &even(&long(), 9, 8));
    assert_eq!(sent.len(), 128);
    assert_eq!(world.dropped(DropReason::FragmentExcess), 1_001 - 128);
    let gaps: Vec<_> = even(&long(), 10, 8).into_iter().step_by(2).take(40).collect();
    assert_eq!(pass(&mut world, &gaps).len(), 20);
}

#[test]
fn an_id_is_anothers_once_all_has_come_or_time_has_passed() {
    let mut world = world(Method::Nat);
    let fragments = even(&long(), 9, 1_480);
    for _ in 0..3 {
        assert_eq!(pass(&mut world, &fragments).len(), 6);
    }
    assert_eq!(pass(&mut world, &fragments[..5]).len(), 5, "the last is lost");
    assert!(pass(&mut world, &fragments[..5]).is_empty());
    world.pass(5_000);
    assert_eq!(pass(&mut world, &fragments).len(), 6);
}

#[test]
fn a_fragment_goes_by_its_keeper_to_its_owner_and_each_hand_over_is_counted() {
    let plan: Plan = two_servers(Method::Nat).udp();
    let mut world = World::with(&plan, Setup { workers: 4, ..Setup::default() });
    let (mut by_keeper, mut by_owner) = (0, 0);
    for id in 0..40 {
        let client = format!("203.0.113.{}:4000", 10 + id);
        let whole = udp(&client, SERVICE, &[7; 4_000]).bytes();
        let sent: Vec<Sent> = even(&whole, id, 1_480)
            .iter()
            .enumerate()
            .flat_map(|(at, it)| world.burst(at % 4, &[(WAN, frame(WAN, it))]))
            .collect();
        assert_eq!(sent.len(), 3);
        assembled(&sent);
        assert!(sent.iter().all(|it| it.worker == sent[0].worker), "its owner sends all of it");
        by_keeper = world.handed_over_for(HandOver::FragmentKeeper);
        by_owner = world.handed_over_for(HandOver::FragmentOwner);
    }
    assert!(by_keeper > 60 && by_owner > 60, "{by_keeper}, {by_owner}");
    assert_eq!(
        by_keeper + by_owner,
        world.handed_over.iter().filter(|it| it.frame.len() > 500).count() as u64
    );
    assert_eq!(world.connections().len(), 40);
}

#[test]
fn fragments_for_own_addresses_end_as_whole_packets_do() {
    let mut world = world(Method::Nat);
    let whole = udp(CLIENT, "192.0.2.1:80", &[7; 4_000]).bytes();
    assert!(pass(&mut world, &even(&whole, 9, 1_480)).is_empty());
    assert_eq!(world.dropped(DropReason::OwnAddress), 3);
    let strangers = udp(CLIENT, "192.0.2.77:80", &[7; 4_000]).bytes();
    assert!(pass(&mut world, &even(&strangers, 9, 1_480)).is_empty());
    assert_eq!(world.dropped(DropReason::NotForUs), 3);
    assert_eq!(world.counters(0).datagrams.get(), 0, "none of these takes a place");
}

#[test]
fn fragments_for_own_addresses_are_the_host_sides() {
    let mut plan = one_server(Method::Nat).udp();
    plan.host_ports = vec![WAN];
    let mut world = World::new(&plan);
    let whole = udp(CLIENT, "192.0.2.1:53", &[7; 4_000]).bytes();
    let before = world.ios[0].kernel.len();
    assert!(pass(&mut world, &even(&whole, 9, 1_480)).is_empty());
    assert_eq!(world.ios[0].kernel.len() - before, 3, "the kernel puts them together");
}
