//! FTP's control connections whose numbers have moved: in the next run, with another director, and quoted in ICMP errors.

use super::{
    common::{
        frame::*,
        plan::*,
        read,
        world::{Sent, Setup, World},
    },
    ftp::{CLIENT, SERVER, SERVICE, answer, ask, connected, is, open, peer, plan, segment},
    segment::parse,
};
use etherparse::{Icmpv4Type, icmpv4::DestUnreachableHeader};
use lb_core::{
    conn::saved::Saved,
    family::V4,
    flow::key::Secret,
    packet::WorkerId,
    peers::{
        exception::Exception,
        told::{Source, Told},
    },
    service::plan::{Method, ModuleKind, SchedulerKind},
    worker::{exceptions::Wanted, life::Lost},
};

const SAID: &str = "227 Entering Passive Mode (198,51,100,11,195,80).\r\n";
const TOLD: &str = "227 Entering Passive Mode (192,0,2,100,195,80).\r\n";
/// The server's number of what comes behind it, and the client's.
const BEHIND: u32 = 5_008 + SAID.len() as u32;
const TOLD_BEHIND: u32 = 5_008 + TOLD.len() as u32;
const METHODS: [Method; 2] = [Method::Nat, Method::FullNat];

/// A control connection on which the client has been told a shorter text, and has said so if it `has` it.
fn told(method: Method, has: bool) -> World {
    let mut world = connected(&plan(method));
    assert_eq!(answer(&mut world, (5_008, 1_000), SAID), is(5_008, 1_000, TOLD));
    if has {
        assert_eq!(ask(&mut world, (1_000, TOLD_BEHIND), ""), is(1_000, BEHIND, ""));
    }
    world
}

/// Both sides go on as if nothing had happened.
#[track_caller]
fn goes_on(world: &mut World) {
    assert_eq!(ask(world, (1_000, TOLD_BEHIND), "LIST\r\n"), is(1_000, BEHIND, "LIST\r\n"));
    assert_eq!(answer(world, (BEHIND, 1_006), "150 ok\r\n"), is(TOLD_BEHIND, 1_006, "150 ok\r\n"));
    assert_eq!(ask(world, (1_006, TOLD_BEHIND + 8), ""), is(1_006, BEHIND + 8, ""));
    // The next text is replaced as well.
    let said = SAID.replace("195,80", "195,81");
    let next = answer(world, (BEHIND + 8, 1_006), &said);
    assert_eq!(next, is(TOLD_BEHIND + 8, 1_006, &TOLD.replace("195,80", "195,81")));
    assert!(open(world, "203.0.113.10:4001", 50_001).contains("> 198.51.100.11:50001 tcp syn"));
}

fn saved(world: &World) -> Vec<Saved> {
    world.workers[0].saved(world.now).collect()
}

#[test]
fn it_goes_on_in_the_next_run() {
    for method in METHODS {
        let before = told(method, true);
        let mut after = World::new(&plan(method));
        let all = saved(&before);
        assert_eq!(all.len(), 1);
        assert_eq!(after.workers[0].restore(after.now, &all[0], Some(WorkerId(0))), Ok(()));
        assert_eq!(peer(&after), peer(&before), "{method}");
        goes_on(&mut after);
    }
}

#[test]
fn what_its_client_may_not_have_does_not_go_on() {
    for method in METHODS {
        assert_eq!(saved(&told(method, false)), [], "{method}");
        assert_eq!(exceptions(&mut told(method, false)), [], "{method}");
    }
}

#[test]
fn without_its_module_it_does_not_go_on() {
    let before = told(Method::Nat, true);
    let mut plan = plan(Method::Nat);
    plan.first().module = ModuleKind::None;
    let mut after = World::new(&plan);
    let restored = after.workers[0].restore(after.now, &saved(&before)[0], None);
    assert_eq!(restored, Err(Lost::Unread));
    // One whose numbers are as they were does.
    let before = connected(&super::ftp::plan(Method::Nat));
    assert_eq!(after.workers[0].restore(after.now, &saved(&before)[0], None), Ok(()));
}

fn exceptions(world: &mut World) -> Vec<Exception> {
    world.pass(3_000);
    let mut found = Vec::new();
    world.workers[0].exceptions::<V4>(world.now, 0..u32::MAX, Wanted::default(), |seen| {
        found.push(seen.exception);
    });
    found
}

/// Another director, which has been told of these.
fn another(method: Method, told_of: &[Exception]) -> World {
    let (told, mut writer) = Told::new(64, Secret(7), vec!["192.0.2.2:4789".parse().unwrap()]);
    for exception in told_of {
        writer.tell(exception, Source { peer: 0, is_odd: false }).unwrap();
    }
    World::told(&plan(method), Setup::default(), told)
}

#[test]
fn another_director_goes_on_with_it() {
    for method in METHODS {
        let mut first = told(method, true);
        let all = exceptions(&mut first);
        assert_eq!(all.len(), 1, "{method}");
        goes_on(&mut another(method, &all));
        // By a server's packet.
        let mut second = another(method, &all);
        let from = segment((SERVER, &peer(&first)), ACK, (BEHIND, 1_000), &[], "150 ok\r\n");
        let sent = second.receive(LAN, &from.via_server());
        assert_eq!(parse(&sent[0].frame), is(TOLD_BEHIND, 1_000, "150 ok\r\n"), "{method}");
        // By a probe of either.
        let mut second = another(method, &all);
        assert_eq!(ask(&mut second, (999, TOLD_BEHIND), ""), is(999, BEHIND, ""), "{method}");
        let mut second = another(method, &all);
        let from = segment((SERVER, &peer(&first)), ACK, (BEHIND - 1, 1_000), &[], "");
        let sent = second.receive(LAN, &from.via_server());
        assert_eq!(parse(&sent[0].frame), is(TOLD_BEHIND - 1, 1_000, ""), "{method}");
    }
}

/// What a peer told of it need not be so any more, so the client is told that it is over.
#[test]
fn another_director_does_not_guess() {
    for method in METHODS {
        let mut first = told(method, true);
        let all = exceptions(&mut first);
        ask(&mut first, (1_000, TOLD_BEHIND), "PASV\r\n");
        answer(&mut first, (BEHIND, 1_006), SAID);
        let mut second = another(method, &all);
        let next = segment((CLIENT, SERVICE), ACK, (1_006, TOLD_BEHIND + TOLD.len() as u32), &[], "");
        let lines: Vec<String> = second.receive(WAN, &next.via_gateway()).iter().map(Sent::line).collect();
        assert!(lines.len() == 1 && lines[0].contains(" tcp rst"), "{method}: {lines:?}");
        assert_eq!(second.counters(0).resets.get(), 1, "{method}");
        assert!(second.connections().is_empty());
    }
}

/// Peers choose the same server, but do not know the numbers.
#[test]
fn peers_are_told_of_it_whatever_the_scheduler() {
    let mut plan = plan(Method::Nat);
    plan.first().scheduler = SchedulerKind::Mh;
    let mut world = World::new(&plan);
    world.receive(WAN, &segment((CLIENT, SERVICE), SYN, (999, 0), &[], "").via_gateway());
    let server = format!("198.51.100.{}:2121", world.connections()[0].server_address & 0xff);
    world.receive(LAN, &segment((&server, CLIENT), SYN | ACK, (4_999, 1_000), &[], "").via_server());
    ask(&mut world, (1_000, 5_000), "");
    assert_eq!(exceptions(&mut world).len(), 1);
}

#[test]
fn errors_quote_numbers_of_their_receivers() {
    for method in METHODS {
        let mut world = told(method, true);
        ask(&mut world, (1_000, TOLD_BEHIND), "LIST\r\n");
        answer(&mut world, (BEHIND, 1_006), "150 ok\r\n");
        // Where sequence and acknowledgement numbers are in the quote.
        let numbers = |sent: &[Sent]| {
            assert_eq!(sent.len(), 1, "{method}");
            read::check_ip(read::ip_packet(&sent[0].frame).unwrap()).unwrap();
            let at = 14 + 20 + 8 + 20 + 4;
            [at, at + 4]
                .map(|at| sent[0].frame.get(at..at + 4).map(|it| u32::from_be_bytes(it.try_into().unwrap())))
        };
        let unreachable = || Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Host);
        let local = endpoint(&peer(&world));
        for len in [28, 48] {
            // About the server's segment, from the client's side.
            let quote = segment((SERVICE, CLIENT), ACK, (TOLD_BEHIND, 1_006), &[], "150 ok\r\n").bytes();
            let report =
                icmp("203.0.113.9".parse().unwrap(), *endpoint(SERVICE).ip(), unreachable(), &quote[..len]);
            let sent = world.receive(WAN, &report.via_gateway());
            let more = len > 28;
            assert_eq!(numbers(&sent), [Some(BEHIND), more.then_some(1_006)], "{method}");
            // About the client's, from the server's side.
            let quote = segment((&local.to_string(), SERVER), ACK, (1_000, BEHIND), &[], "LIST\r\n").bytes();
            let len = len.min(quote.len());
            let report = icmp("198.51.100.99".parse().unwrap(), *local.ip(), unreachable(), &quote[..len]);
            let sent = world.receive(LAN, &report.via_server());
            assert_eq!(numbers(&sent), [Some(1_000), more.then_some(TOLD_BEHIND)], "{method}");
        }
    }
}
