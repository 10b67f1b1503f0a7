//! Frames as they are seen.

use super::{Does, State, draw, lines, print};
use crate::{
    command::top::Sort,
    protocol::{
        Protocol, connections, director, forward,
        keys::{ServerEndpoint, ServiceKey},
        services, workers,
    },
    top::data::Picture,
};
use ratatui::{
    buffer::Buffer,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    layout::Rect,
};
use std::collections::BTreeMap;

fn server(last: u8, packets: u64, state: &str) -> services::Server {
    services::Server {
        endpoint: ServerEndpoint { address: [198, 51, 100, last].into(), port: 8080 },
        weight: 1,
        configured_weight: 1,
        state: state.into(),
        health: "up".into(),
        drains_within_ms: None,
        active: 3,
        inactive: 1,
        traffic: services::Traffic::default(),
        rate: services::Rate {
            packets_in_per_s: packets,
            bytes_in_per_s: packets * 100,
            ..Default::default()
        },
    }
}

fn service(name: &str, port: u16, servers: Vec<services::Server>) -> services::Service {
    let packets = servers.iter().map(|server| server.rate.packets_in_per_s).sum();
    services::Service {
        name: name.into(),
        key: ServiceKey { protocol: Protocol::Tcp, vip: [192, 0, 2, 100].into(), port },
        method: "nat".into(),
        scheduler: "wlc".into(),
        flags: Vec::new(),
        adopt: false,
        options: BTreeMap::new(),
        traffic: services::Traffic::default(),
        rate: services::Rate { connections_per_s: 2, packets_in_per_s: packets, ..Default::default() },
        servers,
    }
}

fn picture() -> Picture {
    Picture {
        about: director::About {
            version: "0.1.0".into(),
            pid: 7,
            uptime_ms: 65_000,
            forwarding: true,
            workers: 1,
            ports: 2,
            capacity: 1_000,
            generation: 0,
            unconfirmed_ms: None,
            metrics_failure: None,
            clients_dropped: 0,
        },
        count: connections::Count { total: 16, capacity: 1_000, active: 12, by_worker: vec![16] },
        services: vec![
            service("web", 80, vec![server(11, 10, "enabled"), server(12, 200_000, "drain")]),
            service("mail", 25, vec![server(13, 500_000, "enabled")]),
        ],
        cut: false,
        workers: vec![workers::Worker {
            lcore: 1,
            busy_percent: 12.34,
            received_per_s: 700_010,
            ..Default::default()
        }],
        drops: vec![forward::Drop {
            reason: "unserved".into(),
            meaning: "For a VIP's port.".into(),
            packets: 9,
            packets_per_s: 1,
            by_worker: vec![9],
        }],
    }
}

#[test]
fn a_frame_shows_everything() {
    let mut state = State::new(Sort::Name, String::new());
    let expected = "\
lb-app 0.1.0, up 1m05s, forwarding
16 connections of 1000, 12 active; sorted by configuration
SERVICE, SERVERS                    WEIGHT     ACTIVE    INACT     CPS  IN PPS  IN B/S OUT B/S
web TCP 192.0.2.100:80                 wlc          6        2       2    200K       0       0
  -> 198.51.100.11:8080                  1          3        1       0      10    1000       0
  -> 198.51.100.12:8080                  1          3        1       0    200K     20M       0
mail TCP 192.0.2.100:25                wlc          3        1       2    500K       0       0
  -> 198.51.100.13:8080                  1          3        1       0    500K     50M       0

WORKER    LCORE    BUSY       PPS  CONNECTIONS      DROPPED  HANDED OVER
0             1  12.3 %     700K            0            0            0

DROPPED                 PER S      PACKETS  WHAT HAPPENED
unserved                    1            9  For a VIP's port.
q quit  s sort  / filter  v servers  arrows scroll
";
    assert_eq!(print(&picture(), &mut state, 100), expected);
}

#[test]
fn what_is_busiest_comes_first() {
    let mut state = State::new(Sort::Pps, String::new());
    let text = print(&picture(), &mut state, 100);
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what} in\n{text}"));
    assert!(at("mail") < at("web") && at(".12:") < at(".11:"));
}

#[test]
fn a_filter_leaves_out_the_rest() {
    let mut state = State::new(Sort::Name, "100.12".into());
    let text = print(&picture(), &mut state, 100);
    assert!(
        text.contains("web") && text.contains(".12:") && !text.contains("mail") && !text.contains(".11:")
    );
}

#[test]
fn every_size_of_screen_will_do() {
    for width in [0, 1, 20, 80] {
        for height in [0, 1, 2, 3, 5, 8, 24] {
            let area = Rect::new(0, 0, width, height);
            let mut buffer = Buffer::empty(area);
            let mut state = State::new(Sort::Name, String::new());
            state.scrolled = 1_000;
            draw::draw(&mut buffer, area, &picture(), &mut state);
            buffer.reset();
            state.scrolled = 0;
            draw::draw(&mut buffer, area, &picture(), &mut state);
            if width == 80 && height >= 8 {
                assert!(lines(&buffer).contains("192.0.2.100:80"), "{height}:\n{}", lines(&buffer));
            }
        }
    }
}

#[test]
fn keys_do_what_they_say() {
    let mut state = State::new(Sort::Name, String::new());
    let key = |code| KeyEvent::new(code, KeyModifiers::NONE);
    for c in "s/we".chars() {
        assert_eq!(state.press(key(KeyCode::Char(c))), Does::GoOn);
    }
    assert_eq!((state.sort, state.filter.as_str(), state.typing), (Sort::Cps, "we", true));
    state.press(key(KeyCode::Char('q')));
    assert_eq!(state.filter, "weq", "a letter like any other");
    state.press(key(KeyCode::Backspace));
    state.press(key(KeyCode::Enter));
    assert_eq!(state.press(key(KeyCode::Char('q'))), Does::Quit);
    let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(state.press(ctrl_c), Does::Quit);
}
