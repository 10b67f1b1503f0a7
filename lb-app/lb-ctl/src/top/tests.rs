//! Frames as they are seen, word for word, in `top80.txt` and `top200.txt`. With `UPDATE_SNAPSHOTS=1` in the environment
//! they are written anew, to be reviewed.

use super::{
    data::{Picture, Port, rate},
    draw,
    line::Line,
    rows::Subject,
    state::{Change, Does, Mode, State},
    terminal::Key,
};
use crate::{
    command::top::Sort,
    protocol::{
        Protocol, connections, director, forward, health,
        keys::{ServerEndpoint, ServiceKey},
        ports, services, workers,
    },
};
use serde_json::json;
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

fn server(last: u8, packets: u64, state: &str, health: &str) -> services::Server {
    let serves = state == "enabled" && health == "up";
    services::Server {
        endpoint: ServerEndpoint { address: [198, 51, 100, last].into(), port: 8080 },
        weight: u32::from(serves),
        configured_weight: 1,
        state: state.into(),
        health: health.into(),
        drains_within_ms: (state == "drain").then_some(299_500),
        description: if last == 12 { "rack 7".into() } else { String::new() },
        tunnel: None,
        thresholds: (last == 13).then_some(services::Thresholds { upper: 4, lower: 0, full: true }),
        quic: Vec::new(),
        active: 3,
        inactive: 1,
        traffic: services::Traffic::default(),
        rate: services::Rate {
            connections_per_s: packets / 1_000,
            packets_in_per_s: packets,
            packets_out_per_s: packets,
            bytes_in_per_s: packets * 100,
            bytes_out_per_s: packets * 1_000,
        },
    }
}

fn service(name: &str, port: u16, servers: Vec<services::Server>) -> services::Service {
    let sum = |of: fn(&services::Rate) -> u64| servers.iter().map(|server| of(&server.rate)).sum();
    services::Service {
        name: name.into(),
        description: if name == "web" { "the shop's front end".into() } else { String::new() },
        key: key(port),
        reach: None,
        method: "nat".into(),
        scheduler: "wlc".into(),
        flags: Vec::new(),
        adopt: false,
        options: BTreeMap::new(),
        traffic: services::Traffic::default(),
        rate: services::Rate {
            connections_per_s: sum(|rate| rate.connections_per_s),
            packets_in_per_s: sum(|rate| rate.packets_in_per_s),
            packets_out_per_s: sum(|rate| rate.packets_out_per_s),
            bytes_in_per_s: sum(|rate| rate.bytes_in_per_s),
            bytes_out_per_s: sum(|rate| rate.bytes_out_per_s),
        },
        servers,
    }
}

fn key(port: u16) -> ServiceKey {
    ServiceKey { protocol: Protocol::Tcp, vip: [192, 0, 2, 100].into(), port }
}

fn checked(name: &str, port: u16, servers: &[(u8, &str, &str)], reached: bool) -> (String, health::Service) {
    let servers = servers.iter().map(|(last, state, failure)| {
        let failure = (!failure.is_empty()).then(|| json!({"reason": failure, "ago_ms": 5_000}));
        json!({
            "address": format!("198.51.100.{last}"), "port": 8080, "state": state, "for_ms": 61_700, "role": "serves",
            "against": u32::from(*state == "held"), "needed": 3, "took_us": 900, "checks": 100, "failures": 7,
            "changes": 0, "last_failure": failure, "recent_downs": 0,
            "held_for_ms": (*state == "held").then_some(42_000),
        })
    });
    let service = json!({
        "name": name, "protocol": "tcp", "vip": "192.0.2.100", "port": port,
        "quorum": {"reached": reached, "weight": u32::from(reached), "reached_at": 1, "lost_below": 1, "changes": 0},
        "when_all_fail": "reject", "keeps_last": false, "passive": false, "flap_limit": 3, "flap_window_ms": 300_000,
        "servers": servers.collect::<Vec<_>>(),
    });
    (name.to_owned(), serde_json::from_value(service).unwrap())
}

fn port(id: u32, name: &str, mbps: Option<u32>, scale: u64) -> Port {
    let counted = |times: u64| ports::PortStats {
        id,
        name: name.into(),
        rx_packets: 700_000 * scale * times,
        rx_missed: 8 * times * scale,
        rx_bytes: 70_000_000 * scale * times,
        tx_packets: 690_000 * scale * times,
        tx_bytes: 690_000_000 * scale * times,
        ..Default::default()
    };
    Port {
        name: name.into(),
        started: true,
        link_up: scale > 0,
        link_gone: false,
        mbps,
        rate: Some(rate(&counted(1), &counted(2), 1_000_000_000)),
        counted: counted(2),
    }
}

fn picture() -> Picture {
    let names = [
        (11, "up", ""),
        (12, "up", ""),
        (14, "down", "it refused the connection"),
        (15, "held", "no answer"),
    ];
    Picture {
        about: director::About {
            dpdk: "DPDK 25.11.0".into(),
            file_sha256: "0".repeat(64),
            version: "0.1.0".into(),
            pid: 7,
            uptime_ms: 65_000,
            forwarding: true,
            role: "active".into(),
            workers: 1,
            ports: 2,
            capacity: 1_000,
            tables: Vec::new(),
            generation: 0,
            drain: None,
            file_watched: false,
            file_refused: None,
            unconfirmed_ms: None,
            metrics_failure: None,
            clients_dropped: 0,
        },
        count: connections::Count {
            total: 160,
            capacity: 2_000,
            active: 120,
            by_worker: vec![160],
            tables: vec![
                connections::Fill { family: "IPv6".into(), connections: 0, capacity: 1_000 },
                connections::Fill { family: "IPv4".into(), connections: 160, capacity: 1_000 },
            ],
        },
        services: vec![
            service(
                "web",
                80,
                vec![
                    server(11, 10_000, "enabled", "up"),
                    server(12, 200_000, "drain", "up"),
                    server(14, 0, "enabled", "down"),
                    server(15, 0, "enabled", "down"),
                    server(16, 0, "disabled", "up"),
                ],
            ),
            service("mail", 25, vec![server(13, 500_000, "enabled", "up")]),
            service("a-service-with-a-long-name", 8443, vec![server(17, 0, "enabled", "down")]),
        ],
        cut: false,
        health: HashMap::from([
            checked("web", 80, &names, true),
            checked(
                "a-service-with-a-long-name",
                8443,
                &[(17, "down", "it answered with status 500")],
                false,
            ),
        ]),
        ports: vec![port(0, "wan", Some(10_000), 1), port(1, "lan", None, 0)],
        at_ns: 0,
        workers: vec![
            workers::Worker {
                lcore: 1,
                busy_percent: 12.34,
                received_per_s: 700_010,
                connections: 160,
                ..Default::default()
            },
            workers::Worker { id: 1, lcore: 2, busy_percent: 95.0, handed_over: 7, ..Default::default() },
        ],
        drops: vec![forward::Drop {
            reason: "unserved".into(),
            meaning: "For a VIP's port.".into(),
            packets: 9,
            packets_per_s: 1,
            by_worker: vec![9],
        }],
    }
}

fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| line.text() + "\n").collect()
}

fn print(state: &mut State, columns: usize) -> String {
    text(&draw::all(&picture(), state, columns))
}

fn state(sort: Sort, filter: &str) -> State {
    State::new(sort, filter.into())
}

/// The screen of a state, as it is seen.
fn screens(columns: usize) -> String {
    let picture = picture();
    let mut all = String::new();
    let mut show = |what: &str, state: &mut State, rows: usize| {
        let lines = draw::screen(&picture, state, columns, rows);
        all += &format!("---- {what}\n");
        for line in lines {
            // As far as the screen goes.
            let line: String = line.text().chars().take(columns).collect();
            all += &format!("{}\n", line.trim_end());
        }
    };
    show("services, servers, ports", &mut state(Sort::Name, ""), 30);
    let mut chosen = state(Sort::Pps, "");
    for key in [Key::Down, Key::Down, Key::Down, Key::Down, Key::Down, Key::Char('d')] {
        chosen.press(key, &picture);
    }
    show("the chosen server is to be drained, on a low screen", &mut chosen, 14);
    let mut help = state(Sort::Name, "");
    help.press(Key::Char('?'), &picture);
    show("help", &mut help, 24);
    all
}

#[test]
fn a_screen_reads_as_it_should() {
    for columns in [80, 200] {
        let shown = screens(columns);
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/top/top{columns}.txt"));
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            fs::write(&file, &shown).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(shown, expected, "it differs: write it anew with UPDATE_SNAPSHOTS=1 and review it");
    }
}

#[test]
fn what_is_busiest_comes_first() {
    let shown = print(&mut state(Sort::Pps, ""), 100);
    let at = |what: &str| shown.find(what).unwrap_or_else(|| panic!("no {what} in\n{shown}"));
    assert!(at("mail") < at("web") && at(".12:") < at(".11:"));
}

#[test]
fn a_filter_leaves_out_the_rest() {
    let shown = print(&mut state(Sort::Name, "100.12"), 100);
    assert!(
        shown.contains("web") && shown.contains(".12:") && !shown.contains("mail") && !shown.contains(".11:")
    );
}

#[test]
fn every_size_of_screen_will_do() {
    for columns in [0, 1, 20, 80, 119, 120, 149, 200, 400] {
        for rows in [0, 1, 2, 3, 5, 8, 24, 60] {
            let mut state = state(Sort::Name, "");
            state.scrolled = 1_000;
            for key in [Key::Home, Key::End, Key::Char('?')] {
                let lines = draw::screen(&picture(), &mut state, columns, rows);
                assert_eq!(lines.len(), rows);
                lines.iter().for_each(|line| drop(line.painted(columns, true)));
                state.press(key, &picture());
            }
        }
    }
}

/// Of what matters nothing is cut off.
#[test]
fn columns_fit_a_screen() {
    let mut help = state(Sort::Name, "");
    help.press(Key::Char('?'), &picture());
    let help = draw::screen(&picture(), &mut help, 80, 30);
    for (columns, lines) in [
        (80, help),
        (80, draw::all(&picture(), &mut state(Sort::Name, ""), 80)),
        (120, draw::all(&picture(), &mut state(Sort::Name, ""), 120)),
        (200, draw::all(&picture(), &mut state(Sort::Name, ""), 200)),
    ] {
        for line in lines {
            let text = line.text();
            assert!(text.chars().count() <= columns, "{columns}: {text}");
        }
    }
}

/// Words and bars say it all: what is painted without colour has the same text, and no colour.
#[test]
fn nothing_is_lost_without_colour() {
    let picture = picture();
    for line in draw::screen(&picture, &mut state(Sort::Name, ""), 80, 30) {
        let [colour, plain] = [true, false].map(|colour| line.painted(80, colour));
        let bare = |painted: &str| {
            painted
                .split('\x1b')
                .map(|part| part.split_once('m').filter(|_| part.starts_with('[')).map_or(part, |it| it.1))
                .collect::<String>()
        };
        assert_eq!(bare(&colour), bare(&plain));
        assert!(!plain.contains("\x1b[3"), "{plain:?}");
    }
    let shown = print(&mut state(Sort::Name, ""), 80);
    for word in ["up", "DOWN", "HELD", "drain", "disabled", "NONE", "[|"] {
        assert!(shown.contains(word), "no {word} in\n{shown}");
    }
}

#[test]
fn keys_do_what_they_say() {
    let picture = picture();
    let mut state = state(Sort::Name, "");
    for c in "s/we".chars() {
        assert_eq!(state.press(Key::Char(c), &picture), Does::GoOn);
    }
    assert_eq!(
        (state.wanted.sort, state.wanted.filter.as_str(), &state.mode),
        (Sort::Cps, "we", &Mode::Filter)
    );
    state.press(Key::Char('q'), &picture);
    assert_eq!(state.wanted.filter, "weq", "a letter like any other");
    state.press(Key::Backspace, &picture);
    state.press(Key::Enter, &picture);
    state.press(Key::Char('p'), &picture);
    assert!(state.paused);
    assert_eq!(state.press(Key::Char('q'), &picture), Does::Quit);
    assert_eq!(state.press(Key::Leave, &picture), Does::Quit);
}

/// Nothing is changed by one key, and no service is drained.
#[test]
fn a_change_is_asked_for_first() {
    let picture = picture();
    let mut state = state(Sort::Name, "");
    state.press(Key::Char('d'), &picture);
    assert_eq!((&state.mode, state.said.as_str()), (&Mode::Look, "choose a server first: arrows"));
    state.press(Key::Down, &picture);
    state.press(Key::Char('d'), &picture);
    assert_eq!(state.mode, Mode::Look, "this is a service");
    state.press(Key::Down, &picture);
    let endpoint = ServerEndpoint { address: [198, 51, 100, 11].into(), port: 8080 };
    let subject = Subject { service: key(80), name: "web".into(), server: Some(endpoint) };
    assert_eq!(state.chosen, Some(subject.clone()));
    let change = Change { subject: subject.clone(), state: "drain" };
    state.press(Key::Char('d'), &picture);
    assert_eq!(state.mode, Mode::Confirm(change.clone()));
    assert_eq!(state.press(Key::Enter, &picture), Does::GoOn);
    assert_eq!(state.said, "nothing was changed");
    state.press(Key::Char('d'), &picture);
    assert_eq!(state.press(Key::Char('y'), &picture), Does::Change(change));
    state.press(Key::Char('u'), &picture);
    assert_eq!(state.said, "it is enabled already");

    state.press(Key::Char('e'), &picture);
    for c in "203.0.113.1:9".chars() {
        state.press(Key::Char(c), &picture);
    }
    let client = "203.0.113.1:9".parse().unwrap();
    assert_eq!(state.press(Key::Enter, &picture), Does::Explain(subject.clone(), Some(client)));
    state.press(Key::Char('e'), &picture);
    assert_eq!(state.press(Key::Enter, &picture), Does::Explain(subject.clone(), None));
    // It stays chosen, wherever it is listed.
    state.press(Key::Char('s'), &picture);
    state.press(Key::Down, &picture);
    state.press(Key::Up, &picture);
    assert_eq!(state.chosen, Some(subject));
}
