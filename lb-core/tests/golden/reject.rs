//! What is turned away, and how the sender learns of it. Answers go back to the station that the packet came from.

use super::{
    common::{
        frame::*,
        plan::*,
        world::{Setup, World},
    },
    dump, expect, expect_nothing,
};
use etherparse::IpNumber;
use lb_core::{
    counters::DropReason,
    service::plan::{Method, Unserved},
};

const CLIENT: &str = "203.0.113.10:4000";

fn world() -> World {
    World::new(&one_server(Method::Nat))
}

#[test]
fn a_syn_to_a_port_without_service_is_reset() {
    let frame = tcp(CLIENT, "192.0.2.100:81", SYN).via_gateway();
    let sent = world().receive(WAN, &frame).remove(0);
    let expected = [
        // Back to the gateway's station.
        "0200000001fe0200000000010800",
        // From the VIP, not from the director's own address; a new packet with a new time to live.
        "450000280000400040063c61c0000264cb00710a",
        // Sequence number 0, acknowledging the SYN's 1000 + 1; RST and ACK; no window.
        "00510fa000000000000003e9501400009d870000",
    ];
    assert_eq!(dump(&sent.frame), expected);
}

#[test]
fn an_acknowledgement_to_a_port_without_service_is_reset_with_its_own_number() {
    let frame = tcp(CLIENT, "192.0.2.100:81", ACK).via_gateway();
    let sent = expect(&mut world(), WAN, &frame, "wan: 192.0.2.100:81 > 203.0.113.10:4000 tcp rst ttl 64");
    assert_eq!(sent.frame[38..46], [0, 0, 0x13, 0x88, 0, 0, 0, 0], "sequence 5000, no acknowledgement");
}

#[test]
fn a_reset_is_never_answered() {
    let mut world = world();
    for flags in [RST, RST | ACK, RST | SYN] {
        expect_nothing(&mut world, WAN, &tcp(CLIENT, "192.0.2.100:81", flags).via_gateway());
        expect_nothing(&mut world, WAN, &tcp(CLIENT, "192.0.2.100:80", flags).via_gateway());
    }
    assert_eq!(world.dropped(DropReason::Unserved) + world.dropped(DropReason::NoConnection), 6);
}

#[test]
fn the_answer_to_a_tagged_frame_has_the_tag_and_no_padding() {
    let mut frame = tagged(&tcp(CLIENT, "192.0.2.100:81", SYN).options(&[1; 8]).via_gateway(), 0);
    frame.resize(80, 0xee);
    let line = "wan: vlan 0 192.0.2.100:81 > 203.0.113.10:4000 tcp rst ack ttl 64";
    let sent = expect(&mut world(), WAN, &frame, line);
    assert_eq!(sent.frame.len(), 18 + 20 + 20);
}

#[test]
fn a_datagram_to_a_port_without_service_is_unreachable() {
    let frame = udp(CLIENT, "192.0.2.100:53", b"?").via_gateway();
    let sent = world().receive(WAN, &frame).remove(0);
    let expected = [
        "0200000001fe0200000000010800",
        "45000039fb860000400180cec0000264cb00710a",
        // Type 3, code 3; then the packet as it came, all 29 bytes of it.
        "0303fb86000000004500001d0000400040113c61",
        "cb00710ac00002640fa000350009b2973f",
    ];
    assert_eq!(dump(&sent.frame), expected);
}

#[test]
fn another_protocol_is_unreachable() {
    let packet = Ip::new(IpNumber::DCCP, CLIENT_IP, VIP, vec![0; 16]);
    let line = "wan: 192.0.2.100 > 203.0.113.10 icmp protocol unreachable \
                [203.0.113.10 > 192.0.2.100 protocol 33 ttl 64] ttl 64";
    expect(&mut world(), WAN, &packet.via_gateway(), line);
}

#[test]
fn a_vip_may_say_nothing() {
    let plan = one_server(Method::Nat).unserved(VIP, Unserved::Drop);
    let mut world = World::new(&plan);
    expect_nothing(&mut world, WAN, &tcp(CLIENT, "192.0.2.100:81", SYN).via_gateway());
    expect_nothing(&mut world, WAN, &udp(CLIENT, "192.0.2.100:80", b"").via_gateway());
    expect_nothing(&mut world, WAN, &Ip::new(IpNumber::GRE, CLIENT_IP, VIP, vec![0; 8]).via_gateway());
    assert_eq!(world.dropped(DropReason::Unserved), 3);
}

#[test]
fn a_quote_has_no_more_than_fits_576_bytes() {
    let frame = udp(CLIENT, "192.0.2.100:53", &[b'x'; 1400]).via_gateway();
    let sent = world().receive(WAN, &frame).remove(0);
    assert_eq!(sent.frame.len(), 14 + 576);
    assert_eq!(sent.frame[42..], frame[14..14 + 548]);
}

#[test]
fn the_directors_own_addresses_offer_nothing() {
    let mut world = world();
    expect_nothing(&mut world, WAN, &tcp(CLIENT, "192.0.2.1:22", SYN).via_gateway());
    expect_nothing(&mut world, WAN, &udp(CLIENT, "192.0.2.1:53", b"").via_gateway());
    expect_nothing(&mut world, WAN, &tcp(CLIENT, "198.51.100.1:22", SYN).via_gateway());
    assert_eq!(world.dropped(DropReason::OwnAddress), 3);
    expect_nothing(&mut world, WAN, &tcp(CLIENT, "192.0.2.7:80", SYN).via_gateway());
    assert_eq!(world.dropped(DropReason::NotForUs), 1, "and it is not a router");
}

#[test]
fn what_cannot_come_from_a_host_is_not_answered() {
    let mut world = world();
    let sources =
        ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.255", "192.0.2.100", "192.0.2.1"];
    for source in sources {
        for port in [80, 81] {
            let to = format!("192.0.2.100:{port}");
            expect_nothing(&mut world, WAN, &tcp(&format!("{source}:4000"), &to, SYN).via_gateway());
            expect_nothing(&mut world, WAN, &udp(&format!("{source}:4000"), &to, b"").via_gateway());
        }
        let source = source.parse().unwrap();
        expect_nothing(&mut world, WAN, &Ip::new(IpNumber::GRE, source, VIP, vec![0; 8]).via_gateway());
        expect_nothing(&mut world, WAN, &echo(source, VIP).via_gateway());
    }
    assert_eq!(world.dropped(DropReason::BadSource), 6 * sources.len() as u64);
}

#[test]
fn refusals_are_limited() {
    let setup = Setup { refusals_per_s: 10, ..Setup::default() };
    let mut world = World::with(&one_server(Method::Nat), setup);
    let frames = vec![(WAN, tcp(CLIENT, "192.0.2.100:81", SYN).via_gateway()); 30];
    assert_eq!(world.burst(0, &frames).len(), 10);
    assert_eq!(world.dropped(DropReason::RejectLimited), 20);
    world.pass(500);
    assert_eq!(world.burst(0, &frames).len(), 5, "half a second's share");
    let echo = vec![(WAN, udp(CLIENT, "192.0.2.100:53", b"").via_gateway()); 3];
    assert_eq!(world.burst(0, &echo).len(), 3, "each kind has a limit of its own");
    assert_eq!(world.counters(0).resets.get(), 15);
}
