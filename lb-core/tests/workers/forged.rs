//! Floods of forged handshakes to services whose connections a module reads: real ones are read from their first byte on.

use crate::common::{
    frame::*,
    plan::*,
    read,
    world::{Sent, Setup, World},
};
use etherparse::{IpNumber, SlicedPacket, TcpHeader, TransportSlice};
use lb_core::{
    conn::saved::Saved,
    counters::DropReason,
    limits::{MAX_PASSING_TALKS, MAX_TALKS},
    packet::PortId,
    service::{
        plan::{Method, ModuleKind, Plan},
        reach::PortRange,
    },
};
use std::net::Ipv4Addr;

/// Forged connections: more than there are places.
const FORGED: u32 = MAX_TALKS as u32 + 8_000;
/// As many at once.
const AT_ONCE: u32 = 2_000;
/// Real ones.
const REAL: u16 = 50;

const SERVER: &str = "198.51.100.11:2121";

/// Where it is, and who asks whom: clients a server's VIP, or servers somebody outside.
#[derive(Clone, Copy)]
struct Side {
    method: Method,
    asked: &'static str,
    /// Where who asks is, and who is asked.
    ports: [PortId; 2],
}

impl Side {
    const ALL: fn() -> Vec<Side> = || {
        let inward = [Method::Nat, Method::FullNat, Method::Tun, Method::Dr, Method::L3Dsr];
        let mut all: Vec<_> = inward.map(Side::of).into();
        all.push(Side { method: Method::Snat, asked: "203.0.113.21:21", ports: [LAN, WAN] });
        all
    };

    const fn of(method: Method) -> Side {
        Side { method, asked: "192.0.2.100:21", ports: [WAN, LAN] }
    }

    fn plan(self) -> Plan {
        if self.method == Method::Snat {
            let mut plan = one_server(Method::Nat).snat();
            plan.snat[0].modules.ftp = vec![PortRange::one(21)];
            return plan;
        }
        let server = if self.method.rewrites_endpoints() { SERVER } else { "198.51.100.11:21" };
        let mut service = service(self.method, self.asked, &[server]);
        service.module = ModuleKind::Ftp;
        network().with(service)
    }

    fn world(self) -> World {
        World::with(&self.plan(), Setup { connections: 2 * FORGED as usize, ..Setup::default() })
    }

    /// A stranger, or a real one.
    fn forged(self, number: u32) -> String {
        if self.method == Method::Snat {
            return format!("198.51.100.11:{}", 1_024 + number);
        }
        format!("{}:{}", Ipv4Addr::from_bits(0x0a00_0000 + number), 1_024 + number % 60_000)
    }

    fn real(self, number: u16) -> String {
        let host = if self.method == Method::Snat { "198.51.100.12" } else { "203.0.113.10" };
        format!("{host}:{}", 10_000 + number)
    }

    fn asks(self, from: &str, flags: u8, numbers: (u32, u32), text: &str) -> (PortId, Vec<u8>) {
        frame(self.ports[0], (from, self.asked), flags, numbers, text)
    }

    /// Who is asked answers whoever asked by that frame.
    fn answers(self, asked: &Sent, flags: u8, numbers: (u32, u32), text: &str) -> (PortId, Vec<u8>) {
        let from = if self.method == Method::Snat { self.asked } else { SERVER };
        frame(self.ports[1], (from, &asked.source()), flags, numbers, text)
    }

    /// Handshakes whose acknowledgements guess at what was answered, and bring a text with them.
    fn flood(self, world: &mut World, numbers: std::ops::Range<u32>, text: &str) {
        let numbers: Vec<_> = numbers.collect();
        for numbers in numbers.chunks(AT_ONCE as usize) {
            let clients: Vec<_> = numbers.iter().map(|&number| self.forged(number)).collect();
            let syns: Vec<_> = clients.iter().map(|from| self.asks(from, SYN, (999, 0), "")).collect();
            let sent = world.burst(0, &syns);
            assert_eq!(sent.len(), syns.len(), "{}", self.method);
            if self.method.sees_replies() {
                let agrees = sent
                    .iter()
                    .map(|sent| self.answers(sent, SYN | ACK, (4_999, 1_000), ""))
                    .collect::<Vec<_>>();
                assert_eq!(world.burst(0, &agrees).len(), agrees.len());
            }
            let forged = |from| {
                [(5_001, ""), (4_999, text)].map(|(guess, text)| self.asks(from, ACK, (1_000, guess), text))
            };
            let acks: Vec<_> = clients.iter().flat_map(|from| forged(from)).collect();
            world.burst(0, &acks);
        }
    }

    /// A real client opens a connection, and says this; `by_ack` says whether that comes with its first acknowledgement.
    /// Returns what the other side gets of it, and where that answers to.
    fn says(self, world: &mut World, from: &str, by_ack: bool, text: &str) -> Sent {
        let syn = world.burst(0, &[self.asks(from, SYN, (999, 0), "")]).remove(0);
        if self.method.sees_replies() {
            world.burst(0, &[self.answers(&syn, SYN | ACK, (4_999, 1_000), "")]);
        }
        if !by_ack {
            world.burst(0, &[self.asks(from, ACK, (1_000, 5_000), "")]);
        }
        world.burst(0, &[self.asks(from, ACK, (1_000, 5_000), text)]).remove(0)
    }

    /// Real clients come and are read, whoever speaks first.
    fn are_read(self, world: &mut World, numbers: std::ops::Range<u16>) {
        for number in numbers {
            let (from, before) = (self.real(number), world.counters(0).expected.get());
            let host = from.split(':').next().unwrap().replace('.', ",");
            let waits = format!("PORT {host},{},{}\r\n", 0xa0 + number / 256, number % 256);
            if self.method.sees_replies() && self.method != Method::Snat && number % 3 == 0 {
                let syn = world.burst(0, &[self.asks(&from, SYN, (999, 0), "")]).remove(0);
                world.burst(0, &[self.answers(&syn, SYN | ACK, (4_999, 1_000), "")]);
                world.burst(0, &[self.asks(&from, ACK, (1_000, 5_000), "")]);
                let says = format!("227 Passive (198,51,100,11,195,{number}).\r\n");
                let hears = world.burst(0, &[self.answers(&syn, ACK, (5_000, 1_000), &says)]);
                assert!(payload(&hears[0]).starts_with(b"227 Passive (192,0,2,100,195,"), "{}", self.method);
            } else {
                let heard = payload(&self.says(world, &from, number % 3 == 1, &waits));
                let is_same = heard == waits.as_bytes();
                assert_eq!(
                    is_same,
                    !self.method.hides_clients(),
                    "{}: {}",
                    self.method,
                    heard.escape_ascii()
                );
            }
            assert_eq!(world.counters(0).expected.get(), before + 1, "{}: {from} is read", self.method);
        }
    }
}

fn frame(
    port: PortId,
    (from, to): (&str, &str),
    flags: u8,
    numbers: (u32, u32),
    text: &str,
) -> (PortId, Vec<u8>) {
    let (from, to) = (endpoint(from), endpoint(to));
    let mut header = TcpHeader::new(from.port(), to.port(), numbers.0, 8_192);
    (header.syn, header.ack) = (flags & SYN != 0, flags & ACK != 0);
    header.acknowledgment_number = numbers.1;
    let ends = (from.ip().octets(), to.ip().octets());
    header.checksum = header.calc_checksum_ipv4_raw(ends.0, ends.1, text.as_bytes()).unwrap();
    let bytes = [header.to_bytes().as_slice(), text.as_bytes()].concat();
    let packet = Ip::new(IpNumber::TCP, *from.ip(), *to.ip(), bytes);
    (port, if port == WAN { packet.via_gateway() } else { packet.via_server() })
}

/// The text of a segment that left, also of one in a tunnel.
fn payload(sent: &Sent) -> Vec<u8> {
    let ip = read::ip_packet(&sent.frame).unwrap();
    let inner = if ip[9] == IpNumber::IPV4.0 { &ip[20..] } else { ip };
    let Some(TransportSlice::Tcp(tcp)) = SlicedPacket::from_ip(inner).unwrap().transport else {
        panic!("a segment");
    };
    tcp.payload().to_vec()
}

#[test]
fn forged_handshakes_take_no_place_that_a_real_connection_needs() {
    for side in Side::ALL() {
        let mut world = side.world();
        side.are_read(&mut world, 0..REAL / 2);
        side.flood(&mut world, 0..FORGED, "NOOP\r\nUSER");
        // Each says where it waits, and for rules few may in a second.
        world.pass(2_000);
        side.are_read(&mut world, REAL / 2..REAL);
        assert_eq!(world.counters(0).unread.get(), 0, "{}", side.method);
    }
}

/// Where servers answer clients themselves, who has gone on for a while is not displaced in the middle of a line; who has not
/// begins anew.
#[test]
fn who_has_gone_on_is_read_on() {
    let side = Side::of(Method::Dr);
    let mut world = side.world();
    let [old, new] = [0, 1].map(|number| side.real(number));
    for from in [&old, &new] {
        side.says(&mut world, from, false, "NOOP\r\n");
    }
    world.pass(1_500);
    world.burst(0, &[side.asks(&old, ACK, (1_006, 5_000), "")]);
    world.burst(0, &[side.asks(&old, ACK, (1_006, 5_000), "PORT 203,0,")]);
    side.flood(&mut world, 0..2 * MAX_PASSING_TALKS as u32, "PORT 10,0,");
    world.burst(0, &[side.asks(&old, ACK, (1_017, 5_000), "113,10,160,7\r\n")]);
    assert_eq!(world.counters(0).expected.get(), 1, "a line in two parts");
    world.burst(0, &[side.asks(&new, ACK, (1_006, 5_000), "PORT 203,0,113,10,160,8\r\n")]);
    assert_eq!(world.counters(0).expected.get(), 2);
}

/// Nobody would remember bytes that come with a SYN, so they come again. Where nothing is replaced, they are read at once.
#[test]
fn bytes_with_a_syn_are_read() {
    for side in Side::ALL() {
        let mut world = side.world();
        let (from, waits) = (
            side.real(0),
            "PORT 203,0,113,10,160,8\r\n"
                .replace("203,0,113,10", &{ side.real(0).split(':').next().unwrap().replace('.', ",") }),
        );
        let syn = world.burst(0, &[side.asks(&from, SYN, (999, 0), &waits)]).remove(0);
        let counters = world.counters(0);
        if !side.method.sees_replies() {
            assert_eq!((payload(&syn), counters.expected.get()), (waits.into_bytes(), 1), "{}", side.method);
            continue;
        }
        assert_eq!((payload(&syn).len(), counters.expected.get()), (0, 0), "{}", side.method);
        world.burst(0, &[side.answers(&syn, SYN | ACK, (4_999, 1_000), "")]);
        world.burst(0, &[side.asks(&from, ACK, (1_000, 5_000), &waits)]);
        assert_eq!(counters.expected.get(), 1, "{}", side.method);
    }
}

/// The first segment may be lost, with the acknowledgement: what comes behind it is not taken for the beginning.
#[test]
fn a_second_segment_is_not_the_first() {
    let side = Side::of(Method::Nat);
    let mut world = side.world();
    let from = side.real(0);
    let syn = world.burst(0, &[side.asks(&from, SYN, (u32::MAX - 2, 0), "")]).remove(0);
    world.burst(0, &[side.answers(&syn, SYN | ACK, (4_999, u32::MAX - 1), "")]);
    let first = u32::MAX - 1;
    assert!(
        world
            .burst(0, &[side.asks(&from, ACK, (first.wrapping_add(11), 5_000), "113,10,160,8\r\n")])
            .is_empty()
    );
    assert_eq!(world.dropped(DropReason::OutOfOrder), 1);
    assert_eq!(world.burst(0, &[side.asks(&from, ACK, (first, 5_000), "PORT 203,0,")]).len(), 1);
    world.burst(0, &[side.asks(&from, ACK, (first.wrapping_add(11), 5_000), "113,10,160,8\r\n")]);
    assert_eq!(world.counters(0).expected.get(), 1);
}

/// A handshake goes on in another run, whatever has come of it.
#[test]
fn a_handshake_that_goes_on_in_another_run_is_read() {
    for has_agreed in [false, true] {
        let side = Side::of(Method::Nat);
        let (mut before, from) = (side.world(), side.real(0));
        let syn = before.burst(0, &[side.asks(&from, SYN, (999, 0), "")]).remove(0);
        let agrees = side.answers(&syn, SYN | ACK, (4_999, 1_000), "");
        if has_agreed {
            before.burst(0, std::slice::from_ref(&agrees));
        }
        let saved: Vec<Saved> = before.workers[0].saved(before.now).collect();
        let mut world = side.world();
        world.workers[0].restore(world.now, &saved[0], None).unwrap();
        if !has_agreed {
            world.burst(0, &[agrees]);
        }
        world.burst(0, &[side.asks(&from, ACK, (1_000, 5_000), "")]);
        let says = side.answers(&syn, ACK, (5_000, 1_000), "227 Passive (198,51,100,11,195,80).\r\n");
        assert_eq!(payload(&world.burst(0, &[says])[0]), b"227 Passive (192,0,2,100,195,80).\r\n");
    }
}
