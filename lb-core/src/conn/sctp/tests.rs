//! The tables shown, against those of Linux IPVS, and what must hold for them.

use super::*;
use std::fmt::Write;

const CHUNKS: [(Event, u8, &str); EVENTS] = [
    (Traffic, chunk::DATA, "data"),
    (Begin, chunk::INIT, "INIT"),
    (BeginAck, chunk::INIT_ACK, "INIT-ACK"),
    (Echo, chunk::COOKIE_ECHO, "C-ECHO"),
    (EchoAck, chunk::COOKIE_ACK, "C-ACK"),
    (Shutdown, chunk::SHUTDOWN, "SHUTDOWN"),
    (ShutdownAck, chunk::SHUTDOWN_ACK, "S-ACK"),
    (Complete, chunk::SHUTDOWN_COMPLETE, "S-COMPLETE"),
    (Error, chunk::ERROR, "ERROR"),
    (Abort, chunk::ABORT, "ABORT"),
];

/// The three tables, as IPVS has them too. What a server sends on a half connection is not looked at.
const VIEWS: [(&Table, Direction, &str); 3] = [
    (&FULL, Client, "Full, from the client"),
    (&FULL, Server, "Full, from the server"),
    (&HALF, Client, "Half, from the client"),
];

/// The states in IPVS's order, by its number.
const STATES: [State; 14] = [
    State::None,
    Init1,
    Init,
    CookieSent,
    CookieReplied,
    CookieWait,
    Cookie,
    CookieEchoed,
    Established,
    ShutdownSent,
    ShutdownReceived,
    ShutdownAckSent,
    Rejected,
    Closed,
];

fn text() -> String {
    let mut text =
        String::from("The SCTP state tables. A dot: stays. From the server in the half table: all stay.\n");
    for (table, direction, title) in VIEWS {
        write!(text, "\n{title}\n  {:11}", "").unwrap();
        for (_, _, name) in CHUNKS {
            write!(text, " {name:11}").unwrap();
        }
        for state in STATES {
            write!(text, "\n  {:11}", state.name()).unwrap();
            for (_, kind, _) in CHUNKS {
                let to = next(table, state, direction, Chunk(kind));
                write!(text, " {:11}", if to == state { "." } else { to.name() }).unwrap();
            }
        }
        text.push('\n');
    }
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

/// A change of the tables shows as a change of `tables.txt`. Run with `UPDATE_SNAPSHOTS=1` to make it.
#[test]
fn tables_are_as_shown() {
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/conn/sctp/tables.txt"), text()).unwrap();
    } else {
        assert_eq!(text(), include_str!("tables.txt"), "the right side is tables.txt");
    }
}

/// IPVS's tables, as in Linux: for each view a row for each event, in the order of [`CHUNKS`], with a column for each
/// state, in the order of [`STATES`], by its number in base 14.
const IPVS: [[&str; EVENTS]; 3] = [
    [
        "8123456789abcd",
        "1223456789ab22",
        "5553466789abcd",
        "4224456789abcd",
        "8123456889abcd",
        "a1234567a9abcd",
        "d22345678dadcd",
        "ddd3456789adcd",
        "d123456d89abcd",
        "dddddcdddddddd",
    ],
    [
        "8123456789abcd",
        "55555555855555",
        "3333456789abcd",
        "7777777789abcd",
        "8888888889abcd",
        "9999999999abcd",
        "bbbbb5678bbbcd",
        "d123456789abcd",
        "ddddd56789abcd",
        "dcdddddddddddd",
    ],
    [
        "8123486789abcd",
        "1222226789ab22",
        "7777776789abcd",
        "8888886789abcd",
        "8128858889abcd",
        "a1234567a9abcd",
        "d2234567ddadcd",
        "ddddd56789ddcd",
        "d123456789abcd",
        "dddddcdddddddd",
    ],
];

fn ipvs(view: usize, event: Event, state: usize) -> State {
    let row: Vec<char> = IPVS[view][event as usize].chars().collect();
    assert_eq!(row.len(), STATES.len(), "{view} {event:?}");
    STATES[row[state].to_digit(14).unwrap() as usize]
}

/// In which of [`VIEWS`], from which states, on what, where we go instead (`None`: stay), and why.
type Difference = (&'static [usize], &'static [State], Event, Option<State>, &'static str);

const CLIENTS: &[usize] = &[0, 2];

/// Every difference from IPVS that is meant.
const DIFFERENCES: &[Difference] = &[
    (
        CLIENTS,
        &[State::None],
        BeginAck,
        None,
        "A client's INIT ACK opens nothing; no connection is made for it.",
    ),
    (CLIENTS, &[State::None], EchoAck, None, "Nor does its COOKIE ACK."),
    (&[0, 2], &[State::None], Complete, None, "An association that is over needs no connection."),
    (CLIENTS, &[State::None], Error, None, "Nor does one that has failed."),
    (CLIENTS, &[State::None], ShutdownAck, Some(ShutdownSent), "Adopting: its server waits for this."),
    (&[0, 1, 2], &[Rejected], Abort, None, "It is refused already, and waited for as long."),
    (CLIENTS, &[Rejected, Closed], Begin, None, "A client's INIT begins a new connection, before the table."),
    (
        &[0],
        &[Init1, Init],
        Echo,
        Some(CookieReplied),
        "The server's answer comes later, through another worker's ring. IPVS has one table for all.",
    ),
    (&[1], &[State::None], Begin, None, "Servers open no connections through a service."),
    (&[1], &[State::None], Echo, None, "Nor this."),
    (&[1], &[State::None], Complete, None, "An association that is over needs no connection."),
    (&[1], &[State::None], Error, None, "Nor does one that has failed."),
    (
        &[1],
        &[Rejected, Closed],
        Begin,
        None,
        "Only a client opens a connection in the place of one that is over.",
    ),
];

#[test]
fn as_ipvs_but_for_the_differences_listed() {
    for (view, (table, direction, _)) in VIEWS.into_iter().enumerate() {
        for (number, state) in STATES.into_iter().enumerate() {
            for (event, kind, _) in CHUNKS {
                let listed: Vec<_> = DIFFERENCES
                    .iter()
                    .filter(|(views, from, on, ..)| {
                        views.contains(&view) && from.contains(&state) && *on == event
                    })
                    .collect();
                let place = format!("{view}, {state:?}, {event:?}");
                let (ours, theirs) = (next(table, state, direction, Chunk(kind)), ipvs(view, event, number));
                match listed[..] {
                    [] => assert_eq!(ours, theirs, "{place}: not listed"),
                    [(.., to, reason)] => {
                        assert_eq!(ours, to.unwrap_or(state), "{place}: {reason}");
                        assert_ne!(ours, theirs, "{place}: listed but no difference");
                    }
                    _ => panic!("{place}: listed twice"),
                }
            }
        }
    }
}

/// The state after these packets, from the beginning of a connection.
fn after(table: &Table, packets: &[(Direction, u8)]) -> State {
    packets.iter().fold(State::None, |state, &(direction, kind)| next(table, state, direction, Chunk(kind)))
}

const HANDSHAKE: [(Direction, u8); 4] = [
    (Client, chunk::INIT),
    (Server, chunk::INIT_ACK),
    (Client, chunk::COOKIE_ECHO),
    (Server, chunk::COOKIE_ACK),
];

/// The same as a director sees it that sees only the client.
fn of_client(packets: &[(Direction, u8)]) -> Vec<(Direction, u8)> {
    packets.iter().copied().filter(|(direction, _)| *direction == Client).collect()
}

#[test]
fn associations_are_opened_and_shut_down_by_either_side() {
    let shutdown =
        |by, answer| [(by, chunk::SHUTDOWN), (answer, chunk::SHUTDOWN_ACK), (by, chunk::SHUTDOWN_COMPLETE)];
    for (by, answer, first) in [(Client, Server, ShutdownReceived), (Server, Client, ShutdownSent)] {
        let all = [HANDSHAKE.as_slice(), &shutdown(by, answer)].concat();
        let seen = [1, 2, 3, 4, 5].map(|count| after(&FULL, &all[..count]));
        assert_eq!(seen, [Init1, CookieSent, CookieReplied, Established, first]);
        assert_eq!(after(&FULL, &all), Closed);
        assert_eq!(after(&HALF, &of_client(&HANDSHAKE)), Established);
        assert_eq!(after(&HALF, &of_client(&all)), Closed, "by {by:?}");
    }
}

#[test]
fn a_packet_of_an_established_association_changes_nothing() {
    for table in [&FULL, &HALF] {
        for direction in [Client, Server] {
            for kind in (0..=u8::MAX).filter(|kind| Chunk(*kind).is_traffic()) {
                assert_eq!(next(table, Established, direction, Chunk(kind)), Established, "chunk {kind}");
            }
        }
    }
}

#[test]
fn only_a_new_connection_leaves_the_last_states() {
    for table in [&FULL, &HALF] {
        for state in [Rejected, Closed] {
            let to = |direction, kind| next(table, state, direction, Chunk(kind));
            for (_, kind, name) in CHUNKS {
                for direction in [Client, Server] {
                    let to = to(direction, kind);
                    assert!(to == state || to == Closed, "{name} leads from {state:?} to {to:?}");
                }
            }
        }
    }
}
