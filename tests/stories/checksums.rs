//! Who verifies checksums: the port, or workers where the port was not asked to.
//!
//! On DPDK's net_tap, whose ports can do it. Its interfaces are the director's only neighbours here: what the kernel sends
//! by them is what ports receive.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Result, ensure};
use lb_stories::control::Control;
use lb_stories::process::{PATIENCE, eventually};
use lb_stories::{Director, World};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

/// Behind the port that is asked to verify.
const ASKED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 10), 7001);
/// Behind the port that is not.
const SPARED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 11), 7002);

const CONFIGURATION: &str = r#"
[workers]
connections = 1024
idle = "adaptive"
verify_checksums = true

[[ports]]
name = "asked"
device = "net_tap0,iface=lbtap0"
addresses = ["192.0.2.1/24"]

[[ports]]
name = "spared"
device = "net_tap1,iface=lbtap1"
addresses = ["198.51.100.1/24"]
checksum_offload = false

[[services]]
name = "asked"
vip = "192.0.2.100"
port = 53
protocol = "udp"
method = "nat"
servers = [{ address = "198.51.100.11" }]

[[services]]
name = "spared"
vip = "198.51.100.100"
port = 53
protocol = "udp"
method = "nat"
servers = [{ address = "198.51.100.11" }]
"#;

#[test]
fn workers_verify_what_ports_are_not_asked_to() -> Result<()> {
    let world = World::new()?;
    let name = format!("{}-taps", world.name());
    let director = Director::start(world.director(), world.directory(), &name, CONFIGURATION, 1, |_| ())?;
    let control = Control::of(&director)?;
    world.director().ip("addr add 192.0.2.10/24 dev lbtap0\naddr add 198.51.100.11/24 dev lbtap1")?;

    let told = verified_by(&control)?;
    assert_eq!(told, [("the port".to_owned(), true), ("workers".to_owned(), false)]);
    // A sound packet each, until their neighbours have answered and they have passed.
    for source in [ASKED, SPARED] {
        let passed = eventually(PATIENCE, || {
            send(&world, source, true)?;
            Ok(director.status()?.connection_from(source).is_some())
        })?;
        ensure!(passed, "{source} has no connection:\n{}", director.output()?);
    }
    assert_eq!(unsound(&control)?, 0);

    // Whoever verifies them, packets that are not sound go no further.
    for (count, source) in [(1, ASKED), (2, SPARED)] {
        send(&world, source, false)?;
        ensure!(eventually(PATIENCE, || Ok(unsound(&control)? == count))?, "{source} was let through");
    }

    // Workers are told not to verify any more. The port that was asked goes on.
    director.reload(&CONFIGURATION.replace("verify_checksums = true", "verify_checksums = false"))?;
    let told = verified_by(&control)?;
    assert_eq!(told, [("the port".to_owned(), true), ("nobody".to_owned(), false)]);
    send(&world, ASKED, false)?;
    ensure!(eventually(PATIENCE, || Ok(unsound(&control)? == 3))?, "the port does not verify");
    let before = passed(&control, "spared")?;
    send(&world, SPARED, false)?;
    ensure!(eventually(PATIENCE, || Ok(passed(&control, "spared")? == before + 1))?, "somebody verifies");
    assert_eq!(unsound(&control)?, 3);
    director.stop()?;
    Ok(())
}

/// Who verifies checksums at each port, and whether it has an offload for it in use.
fn verified_by(control: &Control) -> Result<Vec<(String, bool)>> {
    let told: Value = serde_json::from_str(&control.ask("--json show port info all")?)?;
    let ports = told["reply"]["port-info"]["ports"].as_array().expect("ports").iter();
    Ok(ports
        .map(|port| {
            let offloads = port["rx_offloads"].as_array().expect("a list").iter();
            let in_use = offloads.filter_map(Value::as_str).any(|offload| offload.ends_with("_CKSUM"));
            (port["checksums"].as_str().expect("words").to_owned(), in_use)
        })
        .collect())
}

/// How many packets were dropped because of TCP's or UDP's checksum.
fn unsound(control: &Control) -> Result<u64> {
    let told = control.ask("show drops")?;
    let line = told.lines().find(|line| line.contains("bad-l4-checksum"));
    Ok(line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0))
}

/// How many packets a service has forwarded towards its server.
fn passed(control: &Control, service: &str) -> Result<u64> {
    let told: Value = serde_json::from_str(&control.ask("--json show services")?)?;
    let services = told["reply"]["services"]["services"].as_array().expect("services");
    let service = services.iter().find(|found| found["name"] == service).expect("it is there");
    Ok(service["traffic"]["packets_in"].as_u64().expect("a number"))
}

/// Sends a datagram to the VIP on the source's network, with a checksum that is right or wrong.
fn send(world: &World, source: SocketAddrV4, sound: bool) -> Result<()> {
    let [a, b, c, _] = source.ip().octets();
    let destination = SocketAddrV4::new(Ipv4Addr::new(a, b, c, 100), 53);
    let mut datagram = Vec::new();
    for word in [source.port(), destination.port(), 12, 0] {
        datagram.extend(word.to_be_bytes());
    }
    datagram.extend(b"ping");
    let right = checksum(source, destination, &datagram);
    let written = if sound { right } else { right ^ 0x0101 };
    datagram[6..8].copy_from_slice(&written.to_be_bytes());
    // The kernel adds IP's header, and leaves UDP's as it is.
    world.director().within(|| {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP))?;
        socket.bind(&SocketAddrV4::new(*source.ip(), 0).into())?;
        socket.send_to(&datagram, &SocketAddrV4::new(*destination.ip(), 0).into())
    })?;
    Ok(())
}

/// UDP's checksum (RFC 768), of a datagram with an even number of bytes.
fn checksum(source: SocketAddrV4, destination: SocketAddrV4, datagram: &[u8]) -> u16 {
    let length = u16::try_from(datagram.len()).expect("it is short").to_be_bytes();
    let addresses = [source.ip().octets(), destination.ip().octets()].concat();
    let bytes = [&addresses[..], &[0, 17], &length, datagram].concat();
    let sum: u32 = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !(((folded & 0xffff) + (folded >> 16)) as u16)
}
