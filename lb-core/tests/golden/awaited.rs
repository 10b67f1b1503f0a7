//! What servers behind the director wait for, as they say to others outside: FTP in active mode, and DCC over IRC.

use super::{
    common::{
        frame::*,
        frame6::*,
        plan::*,
        read,
        world::{Sent, Setup, World},
    },
    expect, expect_nothing,
    ftp::is,
    segment::{self, Segment, parse},
};
use etherparse::{Icmpv4Type, icmpv4::DestUnreachableHeader};
use lb_core::{
    counters::DropReason,
    decide::Origin,
    flow::{hashing::Hashing, owner::RSS_KEY_WORD},
    memory::MemoryPacket,
    packet::WorkerId,
    service::{
        plan::{Method, ModuleKind, Plan, Role, Spread},
        reach::PortRange,
    },
};
use proptest::prelude::*;
use std::net::Ipv4Addr;

/// A client on a server behind, and servers outside.
const CLIENT: &str = "198.51.100.11:4000";
const IRC: &str = "203.0.113.67:6667";
const FTP: &str = "203.0.113.21:21";
/// Somebody else.
const FRIEND: &str = "203.0.113.99:3333";

fn plan() -> Plan {
    let mut plan = one_server(Method::Nat).snat();
    plan.snat[0].modules.ftp = vec![PortRange::one(21)];
    plan.snat[0].modules.irc = vec!["6660-6669".parse().unwrap()];
    plan
}

/// A connection of the client's, and what the other side sees of it.
fn connected(world: &mut World, to: &str) -> String {
    let syn = segment::segment((CLIENT, to), SYN, (999, 0), &[], b"");
    let seen = world.receive(LAN, &syn.via_server())[0].source();
    let agrees = segment::segment((to, &seen), SYN | ACK, (4_999, 1_000), &[], b"");
    world.receive(WAN, &agrees.via_gateway());
    world.receive(LAN, &segment::segment((CLIENT, to), ACK, (1_000, 5_000), &[], b"").via_server());
    seen
}

/// What the other side gets of what the client says.
#[track_caller]
fn say(world: &mut World, to: &str, numbers: (u32, u32), text: &str) -> Segment {
    let said = segment::segment((CLIENT, to), ACK, numbers, &[], text.as_bytes());
    let sent = world.receive(LAN, &said.via_server());
    assert_eq!(sent.len(), 1, "{text}");
    parse(&sent[0].frame)
}

/// What the client gets of what the other side says.
#[track_caller]
fn hear(world: &mut World, (from, seen): (&str, &str), numbers: (u32, u32), text: &str) -> Segment {
    let said = segment::segment((from, seen), ACK, numbers, &[], text.as_bytes());
    let sent = world.receive(WAN, &said.via_gateway());
    assert_eq!(sent.len(), 1, "{text}");
    parse(&sent[0].frame)
}

fn number(address: Ipv4Addr) -> u32 {
    address.to_bits()
}

/// An offer of a file, as the client says it or as it goes on.
fn offer(address: Ipv4Addr, port: u16) -> String {
    format!("PRIVMSG friend :\x01DCC SEND file {} {port} 1234\x01\r\n", number(address))
}

fn numbers(address: &str, port: u16) -> String {
    format!("{},{},{}", address.replace('.', ","), port >> 8, port & 0xff)
}

#[test]
fn an_offer_names_the_director_and_one_connection_comes_back() {
    let mut world = World::new(&plan());
    let seen = connected(&mut world, IRC);
    let (said, told) = (offer(SERVERS[0], 5_000), offer(OUTBOUND, 5_000));
    assert_eq!(say(&mut world, IRC, (1_000, 5_000), &said), is(1_000, 5_000, &told));
    // The same again, as its acknowledgement is lost.
    assert_eq!(say(&mut world, IRC, (1_000, 5_000), &said), is(1_000, 5_000, &told));
    let (end, told_end) = (1_000 + said.len() as u32, 1_000 + told.len() as u32);
    let pong = hear(&mut world, (IRC, &seen), (5_000, told_end), "PING :x\r\n");
    assert_eq!(pong, is(5_000, end, "PING :x\r\n"));
    assert_eq!(say(&mut world, IRC, (end, 5_009), "PONG :x\r\n"), is(told_end, 5_009, "PONG :x\r\n"));
    // Whoever comes first.
    let syn = tcp(FRIEND, "192.0.2.50:5000", SYN);
    expect(&mut world, WAN, &syn.via_gateway(), "lan: 203.0.113.99:3333 > 198.51.100.11:5000 tcp syn ttl 63");
    let agrees = tcp("198.51.100.11:5000", FRIEND, SYN | ACK);
    expect(
        &mut world,
        LAN,
        &agrees.via_server(),
        "wan: 192.0.2.50:5000 > 203.0.113.99:3333 tcp syn ack ttl 63",
    );
    let sends = tcp(FRIEND, "192.0.2.50:5000", ACK);
    expect(
        &mut world,
        WAN,
        &sends.via_gateway(),
        "lan: 203.0.113.99:3333 > 198.51.100.11:5000 tcp ack ttl 63",
    );
    // Nobody else, and no other port.
    expect_nothing(&mut world, WAN, &tcp("203.0.113.98:3333", "192.0.2.50:5000", SYN).via_gateway());
    expect_nothing(&mut world, WAN, &tcp(FRIEND, "192.0.2.50:5001", SYN).via_gateway());
    let counters = world.counters(0);
    assert_eq!([counters.expected_came.get(), counters.expected_lost.get()], [1, 0]);
}

#[test]
fn an_offer_is_open_for_five_minutes() {
    for (ms, comes) in [(299_000, true), (300_001, false)] {
        let mut world = World::new(&plan());
        connected(&mut world, IRC);
        say(&mut world, IRC, (1_000, 5_000), &offer(SERVERS[0], 5_000));
        world.pass(ms);
        let sent = world.receive(WAN, &tcp(FRIEND, "192.0.2.50:5000", SYN).via_gateway());
        assert_eq!(!sent.is_empty(), comes, "{ms}");
    }
}

#[test]
fn a_port_that_is_taken_becomes_another_and_who_asks_to_go_on_means_the_first() {
    let mut world = World::new(&plan());
    let seen = connected(&mut world, IRC);
    // Another server of the rule's waits there.
    let other = "198.51.100.12:4000";
    let syn = segment::segment((other, IRC), SYN, (999, 0), &[], b"");
    let other_seen = world.receive(LAN, &syn.via_server())[0].source();
    let agrees = segment::segment((IRC, &other_seen), SYN | ACK, (4_999, 1_000), &[], b"");
    world.receive(WAN, &agrees.via_gateway());
    let said = segment::segment((other, IRC), ACK, (1_000, 5_000), &[], offer(SERVERS[1], 5_000).as_bytes());
    world.receive(LAN, &said.via_server());
    let said = offer(SERVERS[0], 5_000);
    let told = say(&mut world, IRC, (1_000, 5_000), &said);
    let port: u16 = told.text().split(' ').nth(6).unwrap().parse().unwrap();
    assert_ne!(port, 5_000);
    assert_eq!(told.text(), offer(OUTBOUND, port));
    let resume = |port: u16| format!(":friend!f@h PRIVMSG me :\x01DCC RESUME file {port} 17\x01\r\n");
    let told_end = 1_000 + told.payload.len() as u32;
    let heard = hear(&mut world, (IRC, &seen), (5_000, told_end), &resume(port));
    let end = 1_000 + said.len() as u32;
    assert_eq!(heard, is(5_000, end, &resume(5_000)));
    let accept = |port: u16| format!("PRIVMSG friend :\x01DCC ACCEPT file {port} 17\x01\r\n");
    let acknowledged = 5_000 + resume(5_000).len() as u32;
    let told = say(&mut world, IRC, (end, acknowledged), &accept(5_000));
    assert_eq!(told.text(), accept(port));
    let line = "lan: 203.0.113.99:3333 > 198.51.100.11:5000 tcp syn ttl 63";
    let to = format!("192.0.2.50:{port}");
    expect(&mut world, WAN, &tcp(FRIEND, &to, SYN).via_gateway(), line);
    let line = "lan: 203.0.113.99:3333 > 198.51.100.12:5000 tcp syn ttl 63";
    expect(&mut world, WAN, &tcp(FRIEND, "192.0.2.50:5000", SYN).via_gateway(), line);
}

#[test]
fn what_is_not_the_clients_to_offer_opens_nothing() {
    for text in [
        // Another server's address, a well-known port, no port, a notice.
        offer(SERVERS[1], 5_000),
        offer(SERVERS[0], 22),
        offer(SERVERS[0], 0),
        offer(SERVERS[0], 5_000).replace("PRIVMSG", "NOTICE"),
    ] {
        let mut world = World::new(&plan());
        connected(&mut world, IRC);
        assert_eq!(say(&mut world, IRC, (1_000, 5_000), &text), is(1_000, 5_000, &text));
        assert!(world.expected.is_empty(), "{text}");
    }
    // Who says so from outside, and comes by the wrong port.
    let mut world = World::new(&plan());
    connected(&mut world, IRC);
    let forged =
        segment::segment((CLIENT, IRC), ACK, (1_000, 5_000), &[], offer(SERVERS[0], 5_000).as_bytes());
    expect_nothing(&mut world, WAN, &forged.via_gateway());
    assert!(world.expected.is_empty());
    // A port that no module reads, and a rule without.
    for to in ["203.0.113.67:6697", IRC] {
        let plan = if to == IRC { one_server(Method::Nat).snat() } else { plan() };
        let mut world = World::new(&plan);
        connected(&mut world, to);
        let said = offer(SERVERS[0], 5_000);
        assert_eq!(say(&mut world, to, (1_000, 5_000), &said), is(1_000, 5_000, &said));
    }
}

#[test]
fn one_server_cannot_have_all_places() {
    let mut world = World::new(&plan());
    connected(&mut world, IRC);
    let mut at = 1_000;
    let mut told = 0;
    for port in 0..100 {
        // By the address that it leaves with, so that nothing gives way and many fit into one segment.
        let text: String = (0..5).map(|more| offer(OUTBOUND, 5_000 + port * 10 + more)).collect();
        say(&mut world, IRC, (at, 5_000), &text);
        at += text.len() as u32;
        told = world.expected.len();
    }
    assert_eq!(told, 16, "8 in a second, of two places each");
    assert!(world.counters(0).expected_lost.get() > 400);
    // FTP has a budget of its own.
    connected(&mut world, FTP);
    let said = format!("PORT {}\r\n", numbers("198.51.100.11", 5_000));
    assert_ne!(say(&mut world, FTP, (1_000, 5_000), &said).text(), said);
    assert_eq!(world.expected.len(), told + 1);
    world.pass(1_000);
    say(&mut world, IRC, (at, 5_000), &offer(OUTBOUND, 9_000));
    assert_eq!(world.expected.len(), told + 3);
}

#[test]
fn in_active_mode_the_ftp_server_is_told_the_director_and_comes_back() {
    for is_extended in [false, true] {
        let command = |address: &str, port: u16| match is_extended {
            false => format!("PORT {}\r\n", numbers(address, port)),
            true => format!("EPRT |1|{address}|{port}|\r\n"),
        };
        let mut world = World::new(&plan());
        let seen = connected(&mut world, FTP);
        let (said, told) = (command("198.51.100.11", 5_000), command("192.0.2.50", 5_000));
        assert_eq!(say(&mut world, FTP, (1_000, 5_000), &said), is(1_000, 5_000, &told));
        let told_end = 1_000 + told.len() as u32;
        let heard = hear(&mut world, (FTP, &seen), (5_000, told_end), "200 ok\r\n");
        assert_eq!(heard, is(5_000, 1_000 + said.len() as u32, "200 ok\r\n"));
        // Nobody else.
        expect_nothing(&mut world, WAN, &tcp(FRIEND, "192.0.2.50:5000", SYN).via_gateway());
        let (data, local) = ("203.0.113.21:20", "192.0.2.50:5000");
        let line = "lan: 203.0.113.21:20 > 198.51.100.11:5000 tcp syn ttl 63";
        expect(&mut world, WAN, &tcp(data, local, SYN).via_gateway(), line);
        let line = "wan: 192.0.2.50:5000 > 203.0.113.21:20 tcp syn ack ttl 63";
        expect(&mut world, LAN, &tcp("198.51.100.11:5000", data, SYN | ACK).via_server(), line);
        expect_nothing(&mut world, WAN, &tcp("203.0.113.21:19", local, SYN).via_gateway());
    }
}

#[test]
fn what_an_ftp_server_outside_says_of_itself_stays() {
    let mut world = World::new(&plan());
    let seen = connected(&mut world, FTP);
    for text in ["227 ok (203,0,113,21,195,80)\r\n", "227 ok (10,0,0,1,195,80)\r\n"] {
        assert_eq!(hear(&mut world, (FTP, &seen), (5_000, 1_000), text).text(), text);
    }
    assert!(world.expected.is_empty(), "it leaves as everything else does");
    let line = world.lines(LAN, &tcp("198.51.100.11:4001", "203.0.113.21:50000", SYN).via_server());
    assert!(line[0].ends_with(" > 203.0.113.21:50000 tcp syn ttl 63"), "{line:?}");
}

/// Servers compare them, and rules have several.
#[test]
fn data_leaves_with_the_address_of_its_control_connection() {
    for text in ["227 ok (203,0,113,21,195,80)\r\n", "229 ok (|||50000|)\r\n"] {
        let mut plan = plan();
        plan.snat[0].addresses = (50..58).map(|host| Ipv4Addr::new(192, 0, 2, host).into()).collect();
        let mut world = World::new(&plan);
        for turn in 0..8 {
            let from = format!("198.51.100.11:{}", 4_000 + turn);
            let syn = segment::segment((&from, FTP), SYN, (999, 0), &[], b"");
            let seen = world.receive(LAN, &syn.via_server())[0].source();
            let address = seen.split(':').next().unwrap();
            for said in ["220 hi\r\n", text] {
                let number = if said == text { 5_008 } else { 5_000 };
                let said = segment::segment((FTP, &seen), ACK, (number, 1_000), &[], said.as_bytes());
                assert_eq!(world.receive(WAN, &said.via_gateway()).len(), 1);
            }
            let data = tcp(&format!("198.51.100.11:{}", 5_000 + turn), "203.0.113.21:50000", SYN);
            let sent = world.receive(LAN, &data.via_server()).remove(0);
            assert!(sent.source().starts_with(&format!("{address}:")), "{} of {seen}", sent.source());
            assert!(sent.line().ends_with(" > 203.0.113.21:50000 tcp syn ttl 63"));
        }
        assert_eq!(world.counters(0).expected_came.get(), 8);
    }
}

#[test]
fn both_of_ipv6() {
    let mut plan = one_server6(Method::Nat).snat();
    plan.snat[0].modules = self::plan().snat[0].modules.clone();
    let (ftp, irc) = ("[2001:db8:a::21]:21", "[2001:db8:a::67]:6667");
    let client = "[2001:db8:2::11]:4000";
    let dcc = |address: &str| format!("PRIVMSG f :\x01DCC SEND file {address} 5000 1\x01\r\n");
    for (to, said, told, peer) in [
        (
            ftp,
            "EPRT |2|2001:db8:2::11|5000|\r\n".to_owned(),
            "EPRT |2|2001:db8:1::50|5000|\r\n".to_owned(),
            "[2001:db8:a::21]:20",
        ),
        (irc, dcc("2001:db8:2::11"), dcc("2001:db8:1::50"), "[2001:db8:a::99]:3333"),
    ] {
        let mut world = World::new(&plan);
        let seen = world.receive(LAN, &tcp6(client, to, SYN).via_server())[0].source();
        let ends = (endpoint6(to), endpoint6(&seen));
        world.receive(WAN, &tcp6_numbered(ends, SYN | ACK, (4_999, 1_001), b"").via_gateway());
        // The byte ahead of the text has the SYN's number.
        let text = format!(".{said}");
        let sent = world
            .receive(LAN, &tcp6_with(endpoint6(client), endpoint6(to), ACK, text.as_bytes()).via_server());
        read::check_ip(read::ip_packet(&sent[0].frame).unwrap()).unwrap();
        assert_eq!(std::str::from_utf8(&sent[0].frame[14 + 40 + 20 + 1..]).unwrap(), told);
        let line = format!("lan: {peer} > [2001:db8:2::11]:5000 tcp syn ttl 63");
        expect(&mut world, WAN, &tcp6(peer, "[2001:db8:1::50]:5000", SYN).via_gateway(), &line);
        let line = format!("wan: [2001:db8:1::50]:5000 > {peer} tcp syn ack ttl 63");
        expect(&mut world, LAN, &tcp6("[2001:db8:2::11]:5000", peer, SYN | ACK).via_server(), &line);
    }
}

/// What a port says of itself that spreads by flow.
fn hashing(workers: usize) -> Hashing {
    Hashing {
        types: vec!["ipv4-tcp", "ipv6-tcp"],
        key: Some((1..=40).map(|byte: u8| byte.wrapping_mul(91) ^ 0x6d).collect()),
        table: Some((0..128).map(|entry| entry % workers as u16).collect()),
    }
}

/// However ports spread, and at whatever worker packets arrive that may arrive anywhere: what is expected comes, and its answers
/// find it.
#[test]
fn every_worker_gets_what_it_awaits() {
    const WORKERS: usize = 4;
    for (spread, table, is_host) in [
        (Spread::Unknown, 0, false),
        (Spread::ByFlow, 0, false),
        (Spread::ByClient, 128, false),
        (Spread::Unknown, 0, true),
        (Spread::ByFlow, 0, true),
        (Spread::ByClient, 128, true),
    ] {
        let mut plan = plan().spread(spread, spread);
        plan.redirection_len = table;
        if is_host {
            // What the server sends may be an answer of its own service's.
            plan.services[0].module = ModuleKind::Ftp;
        }
        let key: Vec<u8> = RSS_KEY_WORD.to_be_bytes().repeat(20);
        for (at, side) in [(0, "src"), (1, "dst")] {
            if spread == Spread::ByFlow {
                plan.ports[at].hashing = hashing(WORKERS);
            } else if spread == Spread::ByClient {
                let side = if side == "src" {
                    lb_core::flow::hashing::SOURCE_ONLY
                } else {
                    lb_core::flow::hashing::DESTINATION_ONLY
                };
                let types = vec!["ipv4-tcp", "ipv6-tcp", side];
                plan.ports[at].hashing = Hashing { types, key: Some(key.clone()), ..hashing(WORKERS) };
            }
        }
        let ports = plan.ports.clone();
        // Where a port delivers a packet; anywhere if it does not say.
        let arrives = |port: usize, from: &str, to: &str, any: usize| {
            let ends = lb_core::flow::key::Ends {
                protocol: lb_core::service::key::Protocol::Tcp,
                source: from.parse().unwrap(),
                destination: to.parse().unwrap(),
            };
            ports[port].hashing.queue_of(&ends).map_or(any % WORKERS, usize::from)
        };
        let (mut came, mut all) = (0, 0);
        for number in 0..24 {
            let mut world = World::with(&plan, Setup { workers: WORKERS, ..Setup::default() });
            let client = format!("198.51.100.11:{}", 4_000 + number);
            let (ftp_says, irc_says) = (
                format!("EPRT |1|198.51.100.11|{}|\r\n", 5_000 + number),
                offer(SERVERS[0], 5_000 + number as u16),
            );
            for (to, said, peer) in [(FTP, &ftp_says, "203.0.113.21:20"), (IRC, &irc_says, FRIEND)] {
                let at = arrives(1, &client, to, number);
                let syn = segment::segment((&client, to), SYN, (999, 0), &[], b"").via_server();
                let seen = world.burst(at, &[(LAN, syn)])[0].source();
                let agrees = segment::segment((to, &seen), SYN | ACK, (4_999, 1_000), &[], b"").via_gateway();
                assert_eq!(world.burst(arrives(0, to, &seen, number + 1), &[(WAN, agrees)]).len(), 1);
                let said = segment::segment((&client, to), ACK, (1_000, 5_000), &[], said.as_bytes());
                let sent = world.burst(at, &[(LAN, said.via_server())]);
                let told = parse(&sent[0].frame);
                let words: Vec<&str> = told.text().split(['|', ' ']).collect();
                let port = if to == FTP { words[4] } else { words[6] };
                let local = format!("192.0.2.50:{port}");
                all += 1;
                let syn = tcp(peer, &local, SYN).via_gateway();
                let sent = world.burst(arrives(0, peer, &local, number + 1), &[(WAN, syn)]);
                assert_eq!(sent.len(), 1, "{spread:?} {is_host} {number} {}", told.text());
                let own = sent[0].destination();
                assert_eq!(own, format!("198.51.100.11:{}", 5_000 + number));
                let shown = sent[0].source();
                assert!(shown.starts_with(peer.split(':').next().unwrap()));
                let agrees = tcp(&own, &shown, SYN | ACK).via_server();
                let sent = world.burst(arrives(1, &own, &shown, number + 2), &[(LAN, agrees)]);
                assert_eq!(
                    sent.iter().map(Sent::line).collect::<Vec<_>>(),
                    [format!("wan: {local} > {peer} tcp syn ack ttl 63")],
                    "{spread:?} {is_host} {number}: {own} > {shown}"
                );
                let sends = tcp(peer, &local, ACK).via_gateway();
                let sent = world.burst(arrives(0, peer, &local, number + 3), &[(WAN, sends)]);
                let line = format!("lan: {shown} > {own} tcp ack ttl 63");
                assert_eq!(sent.iter().map(Sent::line).collect::<Vec<_>>(), [line]);
                came += 1;
                // It goes on in the next run, and with the same ports.
                let saved: Vec<_> = world
                    .workers
                    .iter()
                    .enumerate()
                    .flat_map(|(at, worker)| {
                        worker.saved(world.now).map(move |saved| (at, saved)).collect::<Vec<_>>()
                    })
                    .collect();
                let mut next = World::with(&plan, Setup { workers: WORKERS, ..Setup::default() });
                let now = next.now;
                for (at, saved) in &saved {
                    let restored = next.workers[*at].restore::<lb_core::family::V4>(
                        now,
                        saved,
                        Some(WorkerId(*at as u16)),
                    );
                    // The text that gave way has not been acknowledged.
                    let is_open = saved.key.destination_port == 21 || saved.key.destination_port == 6667;
                    assert!(restored == Ok(()) || is_open, "{restored:?}");
                }
                let agrees = tcp(&own, &shown, ACK).via_server();
                let sent = next.burst(arrives(1, &own, &shown, number + 2), &[(LAN, agrees)]);
                assert_eq!(
                    sent.iter().map(Sent::line).collect::<Vec<_>>(),
                    [format!("wan: {local} > {peer} tcp ack ttl 63")]
                );
            }
        }
        assert_eq!(came, all);
    }
}

/// Where nobody can tell which worker a server's answers come to, nothing is promised.
#[test]
fn what_could_not_come_about_is_not_told() {
    let plan = plan().spread(Spread::ByFlow, Spread::ByFlow);
    let mut world = World::with(&plan, Setup { workers: 4, ..Setup::default() });
    let seen = connected(&mut world, IRC);
    assert!(seen.starts_with("192.0.2.50:"));
    let said = offer(SERVERS[0], 5_000);
    assert_eq!(say(&mut world, IRC, (1_000, 5_000), &said), is(1_000, 5_000, &said));
    assert!(world.expected.is_empty());
    assert_eq!(world.counters(0).expected_lost.get(), 1);
}

#[test]
fn errors_and_standby() {
    let mut world = World::new(&plan());
    connected(&mut world, IRC);
    say(&mut world, IRC, (1_000, 5_000), &offer(SERVERS[0], 5_000));
    world.receive(WAN, &tcp(FRIEND, "192.0.2.50:5000", SYN).via_gateway());
    let agrees = tcp("198.51.100.11:5000", FRIEND, SYN | ACK).via_server();
    let sent = world.receive(LAN, &agrees).remove(0);
    let quote = read::ipv4_packet(&sent.frame).unwrap();
    let kind = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1_300 };
    let router = Ipv4Addr::new(198, 18, 0, 1);
    let error = icmp(router, OUTBOUND, Icmpv4Type::DestinationUnreachable(kind), quote).via_gateway();
    let line = "lan: 198.18.0.1 > 198.51.100.11 icmp too big for 1300 [198.51.100.11:5000 > 203.0.113.99:3333 tcp \
                syn ack ttl 63] ttl 63";
    expect(&mut world, WAN, &error, line);

    let mut world = World::new(&plan());
    connected(&mut world, IRC);
    say(&mut world, IRC, (1_000, 5_000), &offer(SERVERS[0], 5_000));
    world.exchange(&plan().role(Role::Standby));
    expect_nothing(&mut world, WAN, &tcp(FRIEND, "192.0.2.50:5000", SYN).via_gateway());
    assert_eq!(world.dropped(DropReason::Standby), 1);
}

#[test]
fn rules_change_while_connections_are_read() {
    let mut world = World::new(&plan());
    connected(&mut world, IRC);
    let without = one_server(Method::Nat).snat();
    world.exchange(&without);
    // One that is read stays so.
    let said = offer(SERVERS[0], 5_000);
    assert_eq!(say(&mut world, IRC, (1_000, 5_000), &said).text(), offer(OUTBOUND, 5_000));
    world.exchange(&one_server(Method::Nat));
    expect_nothing(&mut world, WAN, &tcp(FRIEND, "192.0.2.50:5000", SYN).via_gateway());
    // And one that begins with the rule is.
    let mut world = World::new(&without);
    world.exchange(&plan());
    connected(&mut world, IRC);
    assert_eq!(say(&mut world, IRC, (1_000, 5_000), &said).text(), offer(OUTBOUND, 5_000));
}

#[test]
fn explanations_say_who_is_awaited() {
    let mut world = World::new(&plan());
    connected(&mut world, IRC);
    let text = |world: &World, port, frame: &[u8]| {
        let packet = MemoryPacket::new(port, frame);
        let told = world.workers[0].explain(world.now, &packet, Origin::Port, &world.ios[0]);
        told.steps.iter().map(|step| step.text.clone()).collect::<Vec<_>>().join("\n")
    };
    let said = segment::segment((CLIENT, IRC), ACK, (1_000, 5_000), &[], offer(SERVERS[0], 5_000).as_bytes());
    let told = text(&world, LAN, &said.via_server());
    assert!(told.contains("module irc: 15 bytes of its text are replaced by 15"), "{told}");
    let line = "module irc: expects TCP anybody > 192.0.2.50:5000 for 198.51.100.11:5000, within 5m";
    assert!(told.to_lowercase().contains(&line.to_lowercase()), "{told}");
    assert!(world.expected.is_empty(), "nothing has happened");
    world.receive(LAN, &said.via_server());
    let syn = tcp(FRIEND, "192.0.2.50:5000", SYN).via_gateway();
    let told = text(&world, WAN, &syn);
    assert!(told.contains("it opens one that a module of outbound ([[snat]]) expects"), "{told}");
    assert!(
        told.contains("203.0.113.99:3333 > 192.0.2.50:5000 -> 203.0.113.99:3333 > 198.51.100.11:5000"),
        "{told}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Each side gets what the other says, with other numbers in it, however it is cut and repeated, whatever it is.
    #[test]
    fn each_side_gets_the_same_bytes(
        lines in prop::collection::vec(prop_oneof![
            (1_024u16..).prop_map(|port| offer(SERVERS[0], port).into_bytes()),
            Just(b"PRIVMSG x :\x01DCC ACCEPT file 5000 1\x01\r\n".to_vec()),
            Just(b"NOTICE x :hi\r\n".to_vec()),
            prop::collection::vec(any::<u8>(), 0..30),
        ], 0..12),
        lens in prop::collection::vec(1..200usize, 1..40),
        repeats in prop::collection::vec(any::<bool>(), 40),
    ) {
        let said: Vec<u8> = lines.concat();
        let mut world = World::new(&plan());
        let seen = connected(&mut world, IRC);
        let (mut heard, mut at) = (Vec::new(), 0);
        let mut steps = 0;
        while at < said.len() {
            steps += 1;
            prop_assert!(steps < 10_000, "it stands still at {} of {}", at, said.len());
            let len = lens[steps % lens.len()].max(steps / 40);
            let part = &said[at..(at + len).min(said.len())];
            for _ in 0..1 + usize::from(repeats[steps % 40]) {
                let frame = segment::segment((CLIENT, IRC), ACK, (1_000 + at as u32, 5_000), &[], part);
                let sent = world.receive(LAN, &frame.via_server());
                prop_assert_eq!(sent.len(), 1);
                let got = parse(&sent[0].frame);
                let begins = got.sequence.wrapping_sub(1_000).cast_signed();
                prop_assert!(begins <= heard.len() as i32, "a gap");
                for (place, byte) in (begins..).zip(&got.payload) {
                    match usize::try_from(place) {
                        Ok(place) if place < heard.len() => prop_assert_eq!(heard[place], *byte),
                        Ok(_) => heard.push(*byte),
                        Err(_) => {}
                    }
                }
            }
            let acknowledges =
                segment::segment((IRC, &seen), ACK, (5_000, 1_000 + heard.len() as u32), &[], b"");
            let sent = world.receive(WAN, &acknowledges.via_gateway());
            let acknowledged = parse(&sent[0].frame).acknowledgement.wrapping_sub(1_000) as usize;
            prop_assert!(acknowledged >= at && acknowledged <= (at + len).min(said.len()));
            at = acknowledged;
        }
        // But for addresses and ports it is the same.
        let plain = |text: &[u8]| {
            let text = String::from_utf8_lossy(text).replace(&number(OUTBOUND).to_string(), &number(SERVERS[0]).to_string());
            text.split(' ').filter(|word| word.parse::<u16>().is_err()).collect::<Vec<_>>().join(" ")
        };
        prop_assert_eq!(plain(&heard), plain(&said));
    }
}
