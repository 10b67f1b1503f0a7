//! Every kind of check, against servers on loopback that are well, and that are ill in every way ([`kinds`]), and against
//! some behind the director's own ports ([`ports`]); and the whole of it, with a plan instead of a director ([`whole`]).

mod kinds;
mod ports;
mod whole;

use super::target::Target;
use crate::config::{Config, Limits, health::Check, parse};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// The configuration of a service with these lines.
pub(super) fn service(lines: &str) -> Config {
    service_at("192.0.2.100", lines)
}

/// The same at another VIP.
pub(super) fn service_at(vip: &str, lines: &str) -> Config {
    let text = format!(
        "[[ports]]\nname = \"wan\"\ndevice = \"d\"\naddresses = [\"192.0.2.1/24\", \"2001:db8::1/64\"]\n\
         [[services]]\nname = \"web\"\nvip = \"{vip}\"\nport = 80\nprotocol = \"tcp\"\nmethod = \"nat\"\n{lines}"
    );
    let config = parse("lb.toml", &text, Limits { workers: 1, available_bytes: u64::MAX });
    config.unwrap_or_else(|report| panic!("{report}"))
}

/// The check `{ KEYS }`, as a service has it.
fn check(keys: &str) -> Arc<Check> {
    let config = service(&format!("check = {{ timeout = \"300ms\", {keys} }}\n"));
    config.health.services[0].check.clone().unwrap()
}

fn target(port: u16) -> Target {
    target_at(Ipv4Addr::LOCALHOST.into(), port)
}

fn target_at(server: IpAddr, port: u16) -> Target {
    let vip = if server.is_ipv4() { "192.0.2.100:80" } else { "[2001:db8::100]:80" };
    let key = format!("{} of tcp {vip}", SocketAddr::new(server, port)).parse().unwrap();
    Target { name: "web".to_owned(), key }
}

/// The addresses of loopback: not every container has the one of IPv6.
fn loopbacks() -> Vec<IpAddr> {
    let both = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
    both.into_iter().filter(|address| UdpSocket::bind((*address, 0)).is_ok()).collect()
}

/// What to listen on at all of them: IPv4 comes to a socket of IPv6, too.
fn everywhere() -> SocketAddr {
    let is_v6 = |address: &IpAddr| address.is_ipv6();
    let any: IpAddr = match loopbacks().iter().any(is_v6) {
        true => Ipv6Addr::UNSPECIFIED.into(),
        false => Ipv4Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(any, 0)
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
    let socket = UdpSocket::bind(everywhere()).unwrap();
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
