//! Synchronization with directors of Linux's IPVS. `ipvs.txt` has what the master of Linux 7.2 sent
//! (`ipvsadm --start-daemon master --syncid 7`, `sync_threshold = 0 1`) for connections of which it saw the packets named:
//! a name and a datagram in each line.

use crate::common::{
    frame::{ACK, SYN, tcp},
    plan::*,
    world::{Setup, World},
};
use lb_core::{
    conn::{
        beside::{Beside, Moved},
        client_address::ClientAddress,
        second::Second,
        state::State,
    },
    family::V4,
    flow::key::{Ends, Secret},
    peers::{
        exception::{Exception, Seen},
        ipvs::{
            backup::{self, Backup},
            entry::{self, Told as Means, Unfit},
            master::{self, Master},
            message::{self, Datagram, Engine, Has, Raw, Unread},
            template::{Of, Template},
        },
        told::{self, Teller, Told},
    },
    service::{key::Protocol, plan::Method},
    time::{Duration, Instant},
    worker::exceptions::Wanted,
};
use proptest::prelude::*;
use std::{net::SocketAddr, sync::Arc};

pub(crate) const SYNCID: u8 = 7;

// What conf/README.md says that entries take.
const _: () = assert!(told::BYTES + backup::BYTES <= 130 && master::BYTES + master::CLIENT_BYTES <= 700);

fn captured() -> Vec<(&'static str, Vec<u8>)> {
    let bytes = |hex: &str| {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
    let lines = include_str!("ipvs.txt").lines();
    lines.map(|line| line.split_once(' ').map(|(name, hex)| (name, bytes(hex))).unwrap()).collect()
}

fn shown(raw: &Raw<'_>) -> String {
    match entry::read(raw) {
        Ok(Means::Connection(exception, time)) => {
            let Exception { ends, server, method, .. } = exception;
            format!(
                "{} {} > {} at {server} by {method} for {time}",
                ends.protocol, ends.source, ends.destination
            )
        }
        Ok(Means::Over(ends)) => format!("{} {} > {} is over", ends.protocol, ends.source, ends.destination),
        Ok(Means::Client(Template { of, network, server, method, left, .. })) => {
            let of = match of {
                Of::Endpoint(protocol, vip) => format!("{protocol} {vip}"),
                Of::Mark(mark) => format!("mark {mark}"),
            };
            format!("{network} stays with {server} by {method} for {of}, {left}")
        }
        Err(why) => format!("no: {why}"),
    }
}

#[test]
fn what_linux_sends_is_understood() {
    let mut said = Vec::new();
    for (name, datagram) in captured() {
        let entries = message::read(&datagram, SYNCID).unwrap();
        entries.for_each(|raw| said.push(format!("{name}: {}", shown(&raw))));
    }
    let expected = "\
dr-established: tcp 10.9.0.2:1001 > 10.9.0.100:80 at 10.9.0.3:80 by dr for 15m
dr-closed: tcp 10.9.0.2:1001 > 10.9.0.100:80 at 10.9.0.3:80 by dr for 2m
dr-reset: tcp 10.9.0.2:1002 > 10.9.0.100:80 at 10.9.0.3:80 by dr for 15m
dr-reset: tcp 10.9.0.2:1002 > 10.9.0.100:80 is over
nat-established: tcp 10.9.0.2:1003 > 10.9.0.100:81 at 10.9.0.3:8081 by nat for 15m
nat-time-wait: tcp 10.9.0.2:1003 > 10.9.0.100:81 is over
tun-established: tcp 10.9.0.2:1004 > 10.9.0.100:82 at 10.9.0.3:82 by tun for 15m
persistent: 10.9.0.0 stays with 10.9.0.3:83 by dr for tcp 10.9.0.100:83, 5m
persistent: tcp 10.9.0.2:1005 > 10.9.0.100:83 at 10.9.0.3:83 by dr for 15m
persistent: 10.9.0.0 stays with 10.9.0.3:83 by dr for tcp 10.9.0.100:83, 5m
udp: udp 10.9.0.2:1006 > 10.9.0.100:53 at 10.9.0.3:53 by dr for 5m
several: tcp 10.9.0.2:2000 > 10.9.0.100:80 at 10.9.0.3:80 by dr for 15m
several: tcp 10.9.0.2:2001 > 10.9.0.100:80 at 10.9.0.3:80 by dr for 15m
several: tcp 10.9.0.2:2002 > 10.9.0.100:80 at 10.9.0.3:80 by dr for 15m
several: tcp 10.9.0.2:2003 > 10.9.0.100:80 at 10.9.0.3:80 by dr for 15m
several: tcp 10.9.0.2:2004 > 10.9.0.100:80 at 10.9.0.3:80 by dr for 15m
dr-established-v6: tcp [fd09::2]:1007 > [fd09::100]:80 at [fd09::3]:80 by dr for 15m
nat-persistent-v6: fd09:: stays with [fd09::3]:8081 by nat for tcp [fd09::100]:81, 5m
nat-persistent-v6: tcp [fd09::2]:1008 > [fd09::100]:81 at [fd09::3]:8081 by nat for 15m
nat-persistent-v6: fd09:: stays with [fd09::3]:8081 by nat for tcp [fd09::100]:81, 5m";
    assert_eq!(said.join("\n"), expected);
}

#[test]
fn what_is_written_is_what_linux_writes() {
    for (name, captured) in captured() {
        let mut datagram = Datagram::new(SYNCID, 1_400);
        for raw in message::read(&captured, SYNCID).unwrap() {
            assert!(datagram.add(&raw));
            // Of what lives, the entry is made as Linux makes it, too; it takes UDP for inactive, which only counts.
            if let Ok(Means::Connection(exception, time)) = entry::read(&raw)
                && exception.ends.protocol == Protocol::Tcp
            {
                let state = if raw.state == 1 { State::Established } else { State::FinWait };
                let seen = Seen { exception, is_proven: true, state, timeout: time, mark: raw.mark };
                assert_eq!(entry::tell(&seen), Some(raw), "{name}");
            }
            if let Ok(Means::Client(client)) = entry::read(&raw) {
                // Of the first one its client is yet to be known to exist.
                assert_eq!(client.tell(), Some(Raw { state: 1, ..raw }), "{name}");
            }
        }
        assert_eq!(datagram.finish(), captured, "{name}");
    }
}

fn established(port: u16) -> Raw<'static> {
    Raw {
        protocol: 6,
        flags: 0x83,
        state: 1,
        client: SocketAddr::new([203, 0, 113, 10].into(), port),
        vip: "192.0.2.100:80".parse().unwrap(),
        server: "198.51.100.11:80".parse().unwrap(),
        mark: 0,
        timeout_s: 900,
        has: Has::default(),
        engine: None,
    }
}

#[test]
fn states_of_sctp() {
    let raw = Raw { protocol: 132, ..established(1) };
    let means = |state| match entry::read(&Raw { state, ..raw }) {
        Ok(Means::Connection(..)) => "known",
        Ok(Means::Over(_)) => "over",
        Ok(Means::Client(_)) => "client",
        Err(why) => why.name(),
    };
    // NONE INIT1 INIT COOKIE_SENT COOKIE_REPLIED COOKIE_WAIT COOKIE COOKIE_ECHOED, then ESTABLISHED SHUTDOWN_SENT
    // SHUTDOWN_RECEIVED SHUTDOWN_ACK_SENT, then REJECTED CLOSED, and none.
    let states: Vec<&str> = (0..15).map(means).collect();
    assert_eq!(states[..8], ["over"; 8]);
    assert_eq!(states[8..12], ["known"; 4]);
    assert_eq!(states[12..], ["over", "over", "state"]);
}

#[test]
fn states_flags_and_options_of_tcp() {
    let raw = established(1);
    let means = |state| match entry::read(&Raw { state, ..raw }) {
        Ok(Means::Connection(..)) => "known",
        Ok(Means::Over(_)) => "over",
        Ok(Means::Client(_)) => "client",
        Err(why) => why.name(),
    };
    // NONE ESTABLISHED SYN_SENT SYN_RECV FIN_WAIT TIME_WAIT CLOSE CLOSE_WAIT LAST_ACK LISTEN SYNACK, and none.
    let states: Vec<&str> = (0..12).map(means).collect();
    let expected =
        ["over", "known", "over", "over", "known", "over", "over", "known", "over", "over", "over", "state"];
    assert_eq!(states, expected);
    let no = |raw: Raw<'_>| entry::read(&raw).unwrap_err();
    assert_eq!(no(Raw { protocol: 51, ..raw }), Unfit::Protocol);
    for method in [1, 4, 7] {
        assert_eq!(no(Raw { flags: method, ..raw }), Unfit::Method, "localnode, bypass");
    }
    assert_eq!(no(Raw { flags: 0x283, ..raw }), Unfit::Sequences);
    assert_eq!(no(Raw { has: Has { sequences: true, ..Has::default() }, ..raw }), Unfit::Sequences);
    assert_eq!(no(Raw { flags: 0x883, ..raw }), Unfit::Unfinished);
    assert_eq!(no(Raw { has: Has { unknown: true, ..Has::default() }, ..raw }), Unfit::Option);
    // Clients.
    let client = Raw { flags: 0x1083, ..raw };
    let of = |raw: Raw<'_>| match entry::read(&raw) {
        Ok(Means::Client(Template { of, .. })) => of,
        other => panic!("{other:?}"),
    };
    let any_port = "192.0.2.100:0".parse().unwrap();
    assert_eq!(of(client), Of::Endpoint(Protocol::Tcp, raw.vip));
    assert_eq!(
        of(Raw { mark: 5, ..client }),
        Of::Endpoint(Protocol::Tcp, raw.vip),
        "its packets have a mark"
    );
    assert_eq!(of(Raw { vip: any_port, ..client }), Of::Endpoint(Protocol::Tcp, any_port));
    assert_eq!(of(Raw { protocol: 0, mark: 5, vip: "0.0.0.5:0".parse().unwrap(), ..client }), Of::Mark(5));
    assert_eq!(no(Raw { protocol: 0, ..client }), Unfit::Protocol, "a mark that is none");
    assert_eq!(no(Raw { flags: 0x1081, ..client }), Unfit::Method);
    let engine = |name| Some(Engine { name, data: b"1@x" });
    assert_eq!(no(Raw { engine: engine(b"dns"), ..client }), Unfit::Client);
    assert_eq!(no(Raw { engine: engine(b""), ..client }), Unfit::Client);
    assert_eq!(of(Raw { engine: engine(b"sip"), ..client }), Of::Endpoint(Protocol::Tcp, raw.vip));
    assert_eq!(no(Raw { state: 2, ..client }), Unfit::State);
    let time = |timeout_s| match entry::read(&Raw { timeout_s, ..raw }) {
        Ok(Means::Connection(_, time)) => time.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!([time(0), time(1), time(u32::MAX)], ["15m", "1s", "24h"]);
}

#[test]
fn options_are_read_past() {
    let mut datagram = Datagram::new(SYNCID, 1_400);
    assert!(datagram.add(&established(1)));
    let with = |option: &[u8]| {
        let mut bytes = Datagram::new(SYNCID, 1_400);
        assert!(bytes.add(&established(1)));
        let mut bytes = [&bytes.finish(), option].concat();
        bytes[8 + 3] += option.len() as u8;
        bytes[3] += option.len() as u8;
        message::read(&bytes, SYNCID).map(|mut entries| {
            let Raw { has, engine, .. } = entries.next().unwrap();
            (has, engine.map(|it| [it.data.to_vec(), it.name.to_vec()]))
        })
    };
    let has = Has::default();
    assert_eq!(with(&[&[1, 24][..], &[0; 24]].concat()), Ok((Has { sequences: true, ..has }, None)));
    assert_eq!(
        with(&[2, 3, 1, 2, 3, 3, 3, b's', b'i', b'p']),
        Ok((has, Some([vec![1, 2, 3], b"sip".to_vec()])))
    );
    assert_eq!(with(&[0x44, 1, 9]), Ok((has, None)), "nobody need know it");
    assert_eq!(with(&[4, 1, 9]), Ok((Has { unknown: true, ..has }, None)));
    for wrong in [&[1, 1, 9][..], &[2, 0], &[2, 9, 1], &[2]] {
        assert_eq!(with(wrong), Err(Unread::Malformed), "{wrong:?}");
    }
}

#[test]
fn headers_that_are_not_ours() {
    let mut datagram = Datagram::new(SYNCID, 1_400);
    assert!(datagram.add(&established(1)));
    let good = datagram.finish();
    let read = |bytes: &[u8], syncid| message::read(bytes, syncid).map(Iterator::count);
    assert_eq!([read(&good, SYNCID), read(&good, 0)], [Ok(1), Ok(1)], "0 takes every one");
    assert_eq!(read(&good, 8), Err(Unread::Other(7)));
    assert_eq!(read(&good[..good.len() - 1], SYNCID), Err(Unread::Malformed), "cut off");
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        read(&bytes, SYNCID)
    };
    assert_eq!(with(0, 1), Err(Unread::Version(0)), "a count where version 0 has it");
    assert_eq!(with(5, 2), Err(Unread::Version(2)));
    assert_eq!(with(4, 2), Err(Unread::Malformed), "an entry that is not there");
    assert_eq!(with(4, 0), Ok(0));
    assert_eq!(with(8, 2), Err(Unread::Malformed), "an entry of another kind");
    assert_eq!(with(10, 0x10), Err(Unread::Malformed), "an entry of another version");
    assert_eq!(with(11, 35), Err(Unread::Malformed), "an entry too short");
}

fn any_end(v6: bool) -> impl Strategy<Value = SocketAddr> {
    (any::<u128>(), any::<u16>()).prop_map(move |(ip, port)| {
        let ip =
            if v6 { std::net::Ipv6Addr::from(ip).into() } else { std::net::Ipv4Addr::from(ip as u32).into() };
        SocketAddr::new(ip, port)
    })
}

fn any_raw() -> impl Strategy<Value = Raw<'static>> {
    any::<bool>().prop_flat_map(|v6| {
        let numbers = any::<(u8, u32, u16, u32, u32)>();
        (numbers, any_end(v6), any_end(v6), any_end(v6)).prop_map(
            |((protocol, flags, state, mark, timeout_s), client, vip, server)| {
                let has = Has::default();
                Raw { protocol, flags, state, client, vip, server, mark, timeout_s, has, engine: None }
            },
        )
    })
}

pub(crate) fn backup(capacity: usize) -> (Backup, Arc<Told>) {
    let (told, writer) = Told::new(capacity, Secret(7), Vec::new());
    (Backup::new(writer, SYNCID), told)
}

pub(crate) fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

proptest! {
    #[test]
    fn what_is_written_is_read(entries in proptest::collection::vec(any_raw(), 0..40), most in 0usize..3_000) {
        let mut datagram = Datagram::new(SYNCID, most);
        let written: Vec<Raw<'_>> = entries.into_iter().take_while(|raw| datagram.add(raw)).collect();
        let bytes = datagram.finish();
        prop_assert!(bytes.len() <= most.max(80));
        let read: Vec<Raw<'_>> = message::read(&bytes, SYNCID).unwrap().collect();
        prop_assert_eq!(read, written);
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (mut backup, told) = backup(16);
        backup.receive(at(0), &bytes, &mut |_| true);
        backup.poll(at(100_000_000));
        prop_assert!(told.len() <= 16);
    }

    #[test]
    fn captured_bytes_changed_anywhere_do_no_harm(
        which in 0usize..10,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let (mut backup, told) = backup(16);
        let captured = captured();
        let mut bytes = captured[which % captured.len()].1.clone();
        for (at, byte) in changes {
            *at.get_mut(&mut bytes[..]) = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        let len = (bytes.len() as u16).to_be_bytes();
        if bytes.len() > 4 {
            bytes[2..4].copy_from_slice(&len);
        }
        backup.receive(at(0), &bytes, &mut |_| false);
        prop_assert!(told.len() <= 5);
    }
}

fn datagram(entries: &[Raw<'_>]) -> Vec<u8> {
    let mut datagram = Datagram::new(SYNCID, 60_000);
    entries.iter().for_each(|raw| assert!(datagram.add(raw)));
    datagram.finish()
}

fn ends(raw: &Raw<'_>) -> Ends {
    Ends { protocol: Protocol::from_number(raw.protocol).unwrap(), source: raw.client, destination: raw.vip }
}

#[test]
fn connections_are_held_until_their_time_is_over_or_they_are() {
    let (mut backup, told) = backup(64);
    let (short, long, other) = (Raw { timeout_s: 10, ..established(1) }, established(2), established(3));
    backup.receive(at(0), &datagram(&[short, long, other]), &mut |_| true);
    assert_eq!(told.len(), 3);
    assert_eq!(told.find(&ends(&short)).unwrap().teller, Teller::Ipvs);
    backup.receive(at(1_000), &datagram(&[Raw { state: 6, flags: 0x183, ..other }]), &mut |_| true);
    assert_eq!(told.len(), 2, "it is over");
    backup.poll(at(9_999));
    assert_eq!(told.len(), 2);
    backup.receive(at(9_999), &datagram(&[short]), &mut |_| true);
    backup.poll(at(12_000));
    assert_eq!(told.len(), 2, "told again");
    backup.poll(at(21_000));
    assert_eq!(told.len(), 1);
    // Another server in its place, as after an expired connection.
    let moved = Raw { server: "198.51.100.12:80".parse().unwrap(), ..long };
    backup.receive(at(22_000), &datagram(&[moved]), &mut |_| true);
    assert_eq!(told.find(&ends(&long)).unwrap().exception.server, moved.server);
    assert_eq!(told.len(), 1);
    backup.poll(at(1_000_000));
    assert!(told.is_empty());
}

#[test]
fn more_than_there_is_room_for_is_counted() {
    let (mut backup, told) = backup(16);
    let many: Vec<Raw<'_>> = (1..=100).map(established).collect();
    backup.receive(at(0), &datagram(&many), &mut |_| true);
    assert!(told.len() <= 16);
    assert_eq!(backup.counts().connections as usize, told.len());
    assert_eq!(backup.counts().no_room as usize, 100 - told.len());
    backup.receive(at(0), &datagram(&[Raw { flags: 0x283, ..established(1) }]), &mut |_| true);
    assert_eq!(backup.counts().unfit()[Unfit::Sequences as usize], ("sequence-numbers", 1));
}

fn seen(port: u16, state: State) -> Seen {
    let exception = Exception {
        ends: ends(&established(port)),
        server: established(port).server,
        method: Method::Dr,
        local: None,
        beside: None,
    };
    Seen { exception, is_proven: true, state, timeout: Duration::from_secs(900), mark: 0 }
}

/// A master that looks at these connections every second, from second `from` on, and the states that it tells by port.
fn tells(master: &mut Master, from: u64, seconds: u64, connections: &[Seen]) -> Vec<(u64, u16, u16)> {
    let mut told = Vec::new();
    for second in from..from + seconds {
        let mut out = |bytes: &[u8]| {
            let entries = message::read(bytes, SYNCID).unwrap();
            entries.for_each(|raw| told.push((second, raw.client.port(), raw.state)));
        };
        master.poll(at(second * 1_000));
        master.begin_look(at(second * 1_000));
        connections.iter().for_each(|seen| master.found(seen, &mut out));
        master.end_look(&mut out);
    }
    told
}

#[test]
fn a_connection_is_told_thrice_then_every_minute_and_when_it_changes_and_ends() {
    let mut master = Master::new((SYNCID, 1_400), 100, 1_000, at(0));
    let open = [seen(1, State::Established)];
    let told: Vec<u64> = tells(&mut master, 1, 150, &open).iter().map(|(second, ..)| *second).collect();
    assert_eq!(told, [1, 9, 17, 77, 137]);
    assert_eq!(tells(&mut master, 151, 5, &[seen(1, State::FinWait)]), [(151, 1, 4)]);
    assert_eq!(tells(&mut master, 160, 3, &[]), [(160, 1, 6)], "CLOSE, once");
    assert!(master.is_empty());
    let udp = Exception {
        ends: Ends { protocol: Protocol::Udp, ..ends(&established(9)) },
        ..seen(9, State::Udp).exception
    };
    let udp = Seen { exception: udp, timeout: Duration::from_secs(20), ..seen(9, State::Udp) };
    let told: Vec<u64> = tells(&mut master, 200, 50, &[udp]).iter().map(|(second, ..)| *second).collect();
    assert_eq!(told, [200, 208, 216, 226, 236, 246], "before half of its time is over");
    assert_eq!(tells(&mut master, 300, 3, &[]), [], "UDP has no state that says it is over");
    let sctp = Exception {
        ends: Ends { protocol: Protocol::Sctp, ..ends(&established(7)) },
        ..seen(7, State::SctpEstablished).exception
    };
    let sctp = |state| [Seen { exception: sctp, ..seen(7, state) }];
    assert_eq!(tells(&mut master, 400, 1, &sctp(State::SctpEstablished)), [(400, 7, 8)]);
    assert_eq!(tells(&mut master, 401, 1, &sctp(State::SctpShutdownSent)), [(401, 7, 9)]);
    assert_eq!(tells(&mut master, 402, 3, &[]), [(402, 7, 13)], "CLOSED, once");
}

#[test]
fn no_more_datagrams_than_allowed_and_all_are_told_in_the_end() {
    let mut master = Master::new((SYNCID, 1_400), 10_000, 10, at(0));
    let open: Vec<Seen> = (1..=1_000).map(|port| seen(port, State::Established)).collect();
    let told = tells(&mut master, 1, 60, &open);
    for second in 1..61 {
        let entries = told.iter().filter(|(at, ..)| *at == second).count();
        assert!(entries <= 38, "one look has a tenth of a second's datagrams at once: {entries}");
    }
    let ports: std::collections::BTreeSet<u16> = told.iter().map(|(_, port, _)| *port).collect();
    assert_eq!(ports.len(), 1_000);
}

#[test]
fn what_ipvs_cannot_go_on_with_is_counted() {
    let mut master = Master::new((SYNCID, 1_400), 2, 1_000, at(0));
    let full = Exception {
        method: Method::FullNat,
        local: Some("10.0.0.9:99".parse().unwrap()),
        ..seen(1, State::Established).exception
    };
    let mixed = Exception { method: Method::Tun, server: "[2001:db8::1]:80".parse().unwrap(), ..full };
    let of = |exception| Seen { exception, ..seen(1, State::Established) };
    let told = Beside::Told(Second::new(ClientAddress::ProxyV1, 40));
    let moved = |by| Moved::new([by, 0], [Some(1); 2], false).map(Beside::Moved);
    let with = |beside, number| of(Exception { beside, ..seen(number, State::Established).exception });
    let shifted = [with(Some(told), 2), with(moved(2), 2)];
    let unproven = Seen { is_proven: false, ..seen(4, State::Established) };
    let told = tells(
        &mut master,
        1,
        1,
        &[
            of(full),
            of(mixed),
            shifted[0],
            shifted[1],
            with(moved(0), 3),
            unproven,
            seen(5, State::Established),
            seen(6, State::Established),
        ],
    );
    assert_eq!(told.iter().map(|(_, port, _)| *port).collect::<Vec<_>>(), [3, 5]);
    assert_eq!((master.counts().untellable, master.counts().no_room), (4, 2));
}

/// A director's connections go to another one by IPVS's datagrams only.
#[test]
fn a_connection_goes_on_with_its_server_in_every_method_that_ipvs_has() {
    for method in [Method::Nat, Method::Tun, Method::Dr] {
        let plan = two_servers(method);
        let from =
            |port: u16, flags| tcp(&format!("203.0.113.10:{port}"), "192.0.2.100:80", flags).via_gateway();
        let mut first = World::new(&plan);
        for port in 1..9 {
            first.receive(WAN, &from(port, SYN));
            first.receive(WAN, &from(port, ACK));
        }
        first.pass(3_000);
        let (told, writer) = Told::new(64, Secret(7), Vec::new());
        let mut backup = Backup::new(writer, SYNCID);
        let mut master = Master::new((SYNCID, 1_400), 100, 1_000, at(0));
        let mut out = |bytes: &[u8]| assert!(backup.receive(at(0), bytes, &mut |_| true));
        master.poll(at(1_000));
        master.begin_look(at(1_000));
        first.workers[0].exceptions::<V4>(
            first.now,
            0..u32::MAX,
            Wanted { all: true, young: false },
            |seen| master.found(&seen, &mut out),
        );
        master.end_look(&mut out);
        assert_eq!(told.len(), 8, "{method}");
        let mut second = World::told(&plan, Setup::default(), told);
        for port in (1..9).rev() {
            let [before, after] =
                [&mut first, &mut second].map(|world| world.receive(WAN, &from(port, ACK))).map(|sent| {
                    assert_eq!(sent.len(), 1, "{method}");
                    (sent[0].port, sent[0].frame[..6].to_vec())
                });
            assert_eq!(before, after, "{method}");
        }
        assert_eq!(second.counters(0).masters_adopted.get(), 8, "{method}");
        assert_eq!(second.counters(0).peers_adopted.get(), 0, "{method}");
    }
}
