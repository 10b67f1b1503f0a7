//! Every kind of check, against servers on loopback that are well, and that are ill in every way ([`kinds`]), and against
//! some behind the director's own ports ([`ports`]); and the whole of it, with a plan instead of a director ([`whole`]).

mod kinds;
mod ports;
mod whole;

use super::target::Target;
use crate::config::{Config, Limits, health::Check, parse};
use std::{
    net::Ipv4Addr,
    net::UdpSocket,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

const SERVICE: &str = "[[ports]]\nname = \"wan\"\ndevice = \"d\"\naddresses = [\"192.0.2.1/24\"]\n\
                       [[services]]\nname = \"web\"\nvip = \"192.0.2.100\"\nport = 80\nprotocol = \"tcp\"\nmethod = \"nat\"\n";

/// The configuration of a service with these lines.
pub(super) fn service(lines: &str) -> Config {
    let text = format!("{SERVICE}{lines}");
    let config = parse("lb.toml", &text, Limits { workers: 1, available_bytes: u64::MAX });
    config.unwrap_or_else(|report| panic!("{report}"))
}

/// The check `{ KEYS }`, as a service has it.
fn check(keys: &str) -> Arc<Check> {
    let config = service(&format!("check = {{ timeout = \"300ms\", {keys} }}\n"));
    config.health.services[0].check.clone().unwrap()
}

fn target(port: u16) -> Target {
    Target { name: "web".to_owned(), key: format!("127.0.0.1:{port} of tcp 192.0.2.100:80").parse().unwrap() }
}

fn eventually(mut probe: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !probe() {
        assert!(Instant::now() < deadline, "it did not happen");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A UDP server that answers every datagram with what `answer` makes of it.
fn udp(answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> u16 {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut buffer = [0; 2_048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let answer = answer(&buffer[..length]);
            if !answer.is_empty() {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    port
}
