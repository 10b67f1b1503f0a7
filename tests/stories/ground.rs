//! The ground that the other stories stand on: the world without a director.

use std::io::ErrorKind;
use std::net::SocketAddrV4;
use std::time::Duration;

use anyhow::Result;
use lb_stories::client::{exchange, uninterrupted};
use lb_stories::process::{PATIENCE, eventually};
use lb_stories::server::BIG_SHA256;
use lb_stories::{Config, World, world};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// With the kernel as a router in the director's place, the client reaches every server's own address.
#[test]
fn servers_serve() -> Result<()> {
    let world = World::new()?;
    route_in_place_of_the_director(&world)?;
    let client = world.client();
    for server in world.servers() {
        let http = SocketAddrV4::new(server.lan(), world::HTTP_BEHIND_NAT);
        assert_eq!(client.who_answers(http, 5)?.get(server.name()), Some(&5));
        assert_eq!(client.fetch(http, "/small")?, format!("small from {}\n", server.name()));
        assert_eq!(client.sha256_of(http, "/big")?, BIG_SHA256);
        assert_eq!(client.upload(http, 1_000_000)?, 1_000_000);

        let echo = client.udp(SocketAddrV4::new(server.lan(), world::ECHO_BEHIND_NAT))?;
        assert_eq!(exchange(&echo, b"hello")?, format!("{} hello", server.name()).as_bytes());
        client.ping(server.lan())?;
    }
    Ok(())
}

/// Without a director nobody answers for a VIP, although every server has two of them on loopback.
#[test]
fn nobody_else_answers_for_a_vip() -> Result<()> {
    let world = World::new()?;
    for vip in [world::VIP_NAT, world::VIP_TUN, world::VIP_DR] {
        let limit = Duration::from_millis(500);
        let error = world.client().tcp_briefly(SocketAddrV4::new(vip, world::HTTP), limit).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::HostUnreachable), "{error}");
    }
    Ok(())
}

/// A packet in a packet comes out of the tunnel, and the answer takes the direct way.
#[test]
fn tunnels_end() -> Result<()> {
    let world = World::new()?;
    route_in_place_of_the_director(&world)?;
    let client = world.client();
    let echo = client.udp(SocketAddrV4::new(world::VIP_TUN, world::ECHO))?;
    echo.set_read_timeout(Some(Duration::from_secs(1)))?;
    let tunnel =
        client.namespace().within(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(4))))?;
    for server in world.servers() {
        // The kernel writes the outer header.
        let inner = udp_packet(echo.local_addr()?.port(), b"hi");
        let to = SockAddr::from(SocketAddrV4::new(server.lan(), 0));
        let mut reply = [0; 64];
        let is_there = || {
            tunnel.send_to(&inner, &to)?;
            let length = uninterrupted(|| echo.recv(&mut reply)).unwrap_or_default();
            Ok(reply[..length] == *format!("{} hi", server.name()).as_bytes())
        };
        assert!(eventually(PATIENCE, is_there)?, "{}", server.name());
    }
    Ok(())
}

/// The configuration names what the world has.
#[test]
fn configurations_name_every_server() {
    let servers = [[198, 51, 100, 11].into(), [198, 51, 100, 12].into()];
    let text = Config::http().render(&servers);
    assert_eq!(text.matches("[[services]]").count(), 3);
    assert_eq!(text.matches("  address = \"198.51.100.12\"").count(), 3);
    assert_eq!(text.matches("  port = 8080\n").count(), 2);
    assert!(text.contains("device = \"net_af_packet1,iface=lblan,qpairs=2\""));
}

/// Lets the director's kernel forward plainly between the networks.
fn route_in_place_of_the_director(world: &World) -> Result<()> {
    let (wan, lan) = (world::DIRECTOR_WAN, world::DIRECTOR_LAN);
    world.director().ip(&format!("addr add {wan}/24 dev lbwan\naddr add {lan}/24 dev lblan"))?;
    world.director().sysctl("net/ipv4/ip_forward", "1")?;
    world.client().namespace().ip(&format!("route add 198.51.100.0/24 via {wan}"))
}

/// An IPv4 packet with a UDP datagram from the client to the tunnelled echo service.
fn udp_packet(source_port: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(28 + payload.len()).unwrap();
    let mut packet = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, 17, 0, 0];
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet.extend(world::CLIENT.octets());
    packet.extend(world::VIP_TUN.octets());
    // The IP checksum is written by whoever sends the inner packet on; UDP's may be zero.
    packet.extend(source_port.to_be_bytes());
    packet.extend(world::ECHO.to_be_bytes());
    packet.extend((length - 20).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    packet
}
