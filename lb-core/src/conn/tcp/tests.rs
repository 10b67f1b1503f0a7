//! The tables shown, and what must hold for them.

mod ipvs;

use super::*;
use std::fmt::Write;

/// Every event with flags that mean it.
const EVENTS: [(Event, u8, &str); 6] = [
    (Syn, SYN, "SYN"),
    (SynAck, SYN | ACK, "SYN+ACK"),
    (Fin, FIN | ACK, "FIN"),
    (Ack, ACK, "ACK"),
    (Rst, RST, "RST"),
    (Event::Other, 0, "other"),
];

/// The three tables, as IPVS has them too. What a server sends on a half connection is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    FromClient,
    FromServer,
    ClientOnly,
}
use View::{ClientOnly, FromClient, FromServer};

const VIEWS: [(View, &Table, Direction, &str); 3] = [
    (FromClient, &FULL, Client, "Full, from the client"),
    (FromServer, &FULL, Server, "Full, from the server"),
    (ClientOnly, &HALF, Client, "Half, from the client"),
];

/// Both tables as a person reads them.
fn text() -> String {
    let mut text =
        String::from("The TCP state tables. A dot: stays. From the server in the half table: all stay.\n");
    for (_, table, direction, title) in VIEWS {
        write!(text, "\n{title}\n  {:12}", "").unwrap();
        for (_, _, name) in EVENTS {
            write!(text, " {name:12}").unwrap();
        }
        for state in State::ALL.into_iter().filter(|state| !state.is_sctp()) {
            write!(text, "\n  {:12}", state.name()).unwrap();
            for (_, flags, _) in EVENTS {
                let to = next(table, state, direction, flags);
                write!(text, " {:12}", if to == state { "." } else { to.name() }).unwrap();
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
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/conn/tcp/tables.txt"), text()).unwrap();
    } else {
        assert_eq!(text(), include_str!("tables.txt"), "the right side is tables.txt");
    }
}

/// The state after these packets, from the beginning of a connection.
fn after(table: &Table, packets: &[(Direction, u8)]) -> State {
    packets.iter().fold(State::None, |state, &(direction, flags)| next(table, state, direction, flags))
}

/// The states that packets lead to from any of these.
fn reachable(table: &Table, from: State, directions: &[Direction]) -> Vec<State> {
    let mut found = vec![from];
    let mut at = 0;
    while let Some(&state) = found.get(at) {
        for &direction in directions {
            for (_, flags, _) in EVENTS {
                let to = next(table, state, direction, flags);
                if !found.contains(&to) {
                    found.push(to);
                }
            }
        }
        at += 1;
    }
    found.sort();
    found
}

#[test]
fn every_state_is_reached_where_it_means_something() {
    assert_eq!(reachable(&FULL, State::None, &[Client, Server]), State::ALL[..9]);
    let half = [State::None, SynSent, SynRecv, Established, FinWait, State::Close];
    assert_eq!(reachable(&HALF, State::None, &[Client, Server]), half);
}

#[test]
fn only_a_new_connection_leaves_the_last_states() {
    for state in [State::Close, TimeWait, State::Udp] {
        assert_eq!(reachable(&FULL, state, &[Client, Server]), [state]);
        assert_eq!(reachable(&HALF, state, &[Client, Server]), [state]);
    }
}

/// A forged SYN never makes an active connection, whatever the server sends to a client that is not there.
#[test]
fn only_the_client_establishes_a_connection_it_opened() {
    for state in reachable(&FULL, SynSent, &[Server]) {
        assert!(!state.is_active(), "{state:?}");
    }
}

#[test]
fn no_packet_of_a_server_moves_a_half_connection() {
    for state in State::ALL {
        assert_eq!(reachable(&HALF, state, &[Server]), [state]);
    }
}

#[test]
fn the_flag_that_changes_most_counts() {
    assert_eq!(event(RST | SYN | FIN | ACK), Rst);
    assert_eq!(event(SYN | FIN), Syn);
    assert_eq!(event(SYN | FIN | ACK), SynAck);
    assert_eq!(event(FIN | ACK), Fin);
    assert_eq!(event(!(RST | SYN | FIN)), Ack);
    assert_eq!(event(0x08), Event::Other);
    for (event_, flags, name) in EVENTS {
        assert_eq!(event(flags), event_, "{name}");
    }
    for flags in 0..=u8::MAX {
        let (_, plain, _) = EVENTS.iter().find(|(on, ..)| *on == event(flags)).unwrap();
        for state in State::ALL.into_iter().filter(|state| !state.is_sctp()) {
            assert_eq!(next(&FULL, state, Client, flags), next(&FULL, state, Client, *plain), "{flags:#x}");
        }
    }
}

#[test]
fn lives_of_connections() {
    let opened = [(Client, SYN), (Server, SYN | ACK), (Client, ACK)];
    let life = |rest: &[(Direction, u8)]| after(&FULL, &[&opened, rest].concat());
    assert_eq!(life(&[]), Established);
    assert_eq!(life(&[(Server, SYN | ACK), (Client, SYN)]), Established, "late repetitions");
    let closed_by_client = [(Client, FIN | ACK), (Server, ACK), (Server, FIN | ACK), (Client, ACK)];
    assert_eq!(life(&closed_by_client[..2]), CloseWait);
    assert_eq!(life(&closed_by_client[..3]), LastAck);
    assert_eq!(life(&closed_by_client), State::Close);
    let closed_by_server = [(Server, FIN | ACK), (Client, ACK), (Client, FIN | ACK), (Server, ACK)];
    assert_eq!(life(&closed_by_server[..2]), FinWait);
    assert_eq!(life(&closed_by_server), TimeWait);
    assert_eq!(life(&[(Server, RST), (Client, ACK)]), State::Close);
    assert_eq!(after(&FULL, &[(Client, SYN), (Client, SYN)]), SynSent, "repeated request");
    assert_eq!(after(&FULL, &[(Client, SYN), (Server, RST | ACK)]), State::Close, "refused");

    let half = |rest: &[(Direction, u8)]| after(&HALF, &[&[(Client, SYN), (Client, ACK)], rest].concat());
    assert_eq!(half(&[]), Established);
    assert_eq!(half(&[(Client, FIN | ACK), (Client, ACK)]), FinWait);
    assert_eq!(half(&[(Client, FIN | ACK), (Client, RST)]), State::Close);
    assert_eq!(after(&HALF, &[(Client, SYN), (Client, SYN)]), SynSent);
}
