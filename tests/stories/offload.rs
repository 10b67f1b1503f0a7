//! Who computes checksums of packets that leave, the port or workers, nobody on the wire can tell: the same frames go through a
//! director whose ports compute none and through one whose ports compute all that they can, and what comes out is the same.
//!
//! On DPDK's net_tap, whose ports compute those of IPv4, TCP and UDP. Headers of drivers are not all alike about what they want
//! to find in a checksum's place, so a port that was asked wrongly shows here.

use anyhow::{Context, Result, ensure};
use etherparse::{IpHeaders, IpNumber, PacketBuilder, PacketBuilderStep, UdpHeader};
use lb_stories::control::Control;
use lb_stories::taps::{NEIGHBOUR, Taps};
use lb_stories::{Director, World};
use serde_json::Value;

const CONFIGURATION: &str = r#"
[workers]
connections = 1024
connections_v6 = 1024
idle = "adaptive"

[[ports]]
name = "wan"
device = "net_tap0,iface=lbtap0"
addresses = ["192.0.2.1/24", "2001:db8:1::1/64"]
tx_checksum_offload = "MODE"

[[ports]]
name = "lan"
device = "net_tap1,iface=lbtap1"
addresses = ["198.51.100.1/24", "2001:db8:2::1/64"]
mtu = 1400
tx_checksum_offload = "MODE"

SERVICES
"#;

/// Name, VIP, port, protocol, what else, and the server.
const SERVICES: &[(&str, &str, u16, &str, &str, &str)] = &[
    ("nat", "192.0.2.100", 80, "tcp", "method = \"nat\"", "198.51.100.11"),
    ("nat-udp", "192.0.2.100", 80, "udp", "method = \"nat\"", "198.51.100.11"),
    ("nat-sctp", "192.0.2.100", 80, "sctp", "method = \"nat\"", "198.51.100.11"),
    ("nat6", "2001:db8:1::100", 80, "tcp", "method = \"nat\"", "2001:db8:2::11"),
    ("nat6-udp", "2001:db8:1::100", 80, "udp", "method = \"nat\"", "2001:db8:2::11"),
    ("toa", "192.0.2.100", 81, "tcp", "client_address = \"toa\"\nLOCAL", "198.51.100.11"),
    ("proxy1", "192.0.2.100", 82, "tcp", "client_address = \"proxy-v1\"\nLOCAL", "198.51.100.11"),
    ("proxy2", "192.0.2.100", 83, "udp", "client_address = \"proxy-v2\"\nLOCAL", "198.51.100.11"),
    ("dr", "192.0.2.102", 8080, "udp", "method = \"dr\"", "198.51.100.12"),
    ("ipip", "192.0.2.101", 8080, "udp", "method = \"tun\"", "198.51.100.13"),
    (
        "gre",
        "192.0.2.103",
        8080,
        "udp",
        "method = \"tun\"\ntunnel = \"gre\"\ntunnel_checksum = \"on\"",
        "198.51.100.13",
    ),
    (
        "gue",
        "192.0.2.104",
        8080,
        "udp",
        "method = \"tun\"\ntunnel = \"gue\"\ntunnel_checksum = \"on\"",
        "198.51.100.13",
    ),
    ("gue46", "192.0.2.105", 8080, "udp", "method = \"tun\"\ntunnel = \"gue1\"", "2001:db8:2::13"),
    ("gue6", "2001:db8:1::104", 8080, "udp", "method = \"tun\"\ntunnel = \"gue\"", "2001:db8:2::13"),
    ("ipip64", "2001:db8:1::105", 8080, "udp", "method = \"tun\"", "198.51.100.13"),
];

/// Ends of the taps.
const WAN: usize = 0;
const LAN: usize = 1;
const LOCAL: &str = "198.51.100.20";

const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

fn configuration(mode: &str) -> String {
    let services = SERVICES.iter().map(|(name, vip, port, protocol, what, server)| {
        let what = what.replace("LOCAL", &format!("method = \"fullnat\"\nlocal_addresses = [\"{LOCAL}\"]"));
        format!(
            "[[services]]\nname = \"{name}\"\nvip = \"{vip}\"\nport = {port}\nprotocol = \"{protocol}\"\n{what}\n\
             servers = [{{ address = \"{server}\", port = 8080 }}]\n\n"
        )
    });
    CONFIGURATION.replace("MODE", mode).replace("SERVICES", &services.collect::<String>())
}

#[test]
fn what_ports_compute_and_what_workers_do_is_the_same_on_the_wire() -> Result<()> {
    let world = World::new()?;
    let by_workers = sent(&world, "off", "workers")?;
    let by_ports = sent(&world, "on", "the port (IPV4, UDP, TCP), workers (others)")?;
    ensure!(by_workers.len() == by_ports.len() && by_ports.len() > 30, "{}", by_ports.len());
    for ((what, one), (_, other)) in by_workers.iter().zip(&by_ports) {
        ensure!(one == other, "{what}:\n{one:02x?}\n{other:02x?}");
    }
    Ok(())
}

/// What a director sends that is asked for such a choice, with what it is an answer to.
fn sent(world: &World, mode: &str, computed_by: &str) -> Result<Vec<(String, Vec<u8>)>> {
    let name = format!("{}-{mode}", world.name());
    let director =
        Director::start(world.director(), world.directory(), &name, &configuration(mode), 1, |_| ())?;
    let control = Control::of(&director)?;
    let shown: Value = serde_json::from_str(&control.ask("--json show port info all")?)?;
    let ports = shown["reply"]["port-info"]["ports"].as_array().context("ports")?;
    ensure!(ports.iter().all(|port| port["checksums_computed"] == computed_by), "{mode}: {ports:?}");
    let macs = ports.iter().map(|port| mac(port["mac"].as_str()?));
    let macs = macs.collect::<Option<Vec<_>>>().context("addresses")?;
    let taps = Taps::open(world.director(), &["lbtap0", "lbtap1"])?;
    let mut run = Run { taps, macs, sent: Vec::new() };
    run.all().with_context(|| control.ask("show drops").unwrap_or_default())?;
    director.stop()?;
    Ok(run.sent)
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes?.try_into().ok()
}

struct Run {
    taps: Taps,
    macs: Vec<[u8; 6]>,
    sent: Vec<(String, Vec<u8>)>,
}

/// An endpoint.
type End<'a> = (&'a str, u16);

impl Run {
    /// Sends a frame and keeps what comes out, which has the right checksums. Returns it as it was.
    fn give(&mut self, what: &str, end: usize, frame: &[u8], expected: usize) -> Result<Vec<Vec<u8>>> {
        let seen = self.taps.exchange(end, frame, expected).with_context(|| what.to_owned())?;
        let frames: Vec<Vec<u8>> = seen.into_iter().map(|(_, frame)| frame).collect();
        for frame in &frames {
            check(&frame[14..]).with_context(|| format!("{what}: {frame:02x?}"))?;
            self.sent.push((what.to_owned(), self.lasting(frame)));
        }
        Ok(frames)
    }

    /// A frame without what is another in each run: padding, Ethernet addresses and the local port, and the checksum that covers that.
    fn lasting(&self, frame: &[u8]) -> Vec<u8> {
        let mut frame = frame.to_vec();
        // Ports that compute checksums pad short frames anew, if their kind of wire has them padded.
        let len = |at: usize| usize::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
        let end = if frame[12..14] == [8, 0] { 14 + len(16) } else { 14 + 40 + len(18) };
        frame.truncate(end);
        frame[..12].fill(0);
        let local: Vec<u8> = LOCAL.split('.').map(|byte| byte.parse().expect("a number")).collect();
        if frame[12..14] == [8, 0] && frame[26..30] == local {
            let checksum = if frame[23] == 6 { 50..52 } else { 40..42 };
            frame[34..36].fill(0);
            frame[checksum].fill(0);
        }
        frame
    }

    fn ip(&self, end: usize, from: &str, to: &str, ttl: u8) -> PacketBuilderStep<IpHeaders> {
        let ethernet = PacketBuilder::ethernet2(NEIGHBOUR, self.macs[end]);
        match (from.parse(), to.parse()) {
            (Ok(from), Ok(to)) => {
                let (from, to): (std::net::Ipv4Addr, std::net::Ipv4Addr) = (from, to);
                ethernet.ipv4(from.octets(), to.octets(), ttl)
            }
            _ => {
                let six = |text: &str| text.parse::<std::net::Ipv6Addr>().expect("an address").octets();
                ethernet.ipv6(six(from), six(to), ttl)
            }
        }
    }

    fn udp(&self, end: usize, from: End<'_>, to: End<'_>, data: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        let builder = self.ip(end, from.0, to.0, 64).udp(from.1, to.1);
        builder.write(&mut frame, data).expect("there is memory");
        frame
    }

    fn tcp(
        &self,
        end: usize,
        (from, to): (End<'_>, End<'_>),
        (seq, ack, flags): (u32, u32, u8),
        data: &[u8],
    ) -> Vec<u8> {
        let mut frame = Vec::new();
        let builder = self.ip(end, from.0, to.0, 64).tcp(from.1, to.1, seq, 4000);
        let builder = if flags & SYN != 0 { builder.syn() } else { builder };
        let builder = if flags & RST != 0 { builder.rst() } else { builder };
        let builder = if flags & ACK != 0 { builder.ack(ack) } else { builder };
        builder.write(&mut frame, data).expect("there is memory");
        frame
    }

    fn sctp(&self, end: usize, from: End<'_>, to: End<'_>) -> Vec<u8> {
        // An INIT, RFC 9260 3.3.2, with tag 1.
        let mut packet = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
        packet.extend([0; 8]);
        packet.extend([1, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0xff, 0xff, 0, 1, 0, 1, 0, 0, 0, 1]);
        let checksum = crc32c(&packet).to_le_bytes();
        packet[8..12].copy_from_slice(&checksum);
        let mut frame = Vec::new();
        self.ip(end, from.0, to.0, 64).write(&mut frame, IpNumber::SCTP, &packet).expect("there is memory");
        frame
    }

    fn all(&mut self) -> Result<()> {
        self.translation()?;
        self.telling()?;
        self.tunnels()?;
        self.refusals()
    }

    /// What is changed, of either family, both ways.
    fn translation(&mut self) -> Result<()> {
        for (client, vip, server) in [
            ("192.0.2.10", "192.0.2.100", "198.51.100.11"),
            ("2001:db8:1::10", "2001:db8:1::100", "2001:db8:2::11"),
        ] {
            let (client, vip, server) = ((client, 1001), (vip, 80), (server, 8080));
            let frame = self.tcp(WAN, (client, vip), (1, 0, SYN), b"");
            self.give("SYN", WAN, &frame, 1)?;
            let frame = self.tcp(LAN, (server, client), (9, 2, SYN | ACK), b"");
            self.give("SYN+ACK", LAN, &frame, 1)?;
            for data in [&b""[..], b"odd", b"even", &[0xff; 1200]] {
                let frame = self.tcp(WAN, (client, vip), (2, 10, ACK), data);
                self.give(
                    &format!("TCP {client:?} {}", data.len()),
                    WAN,
                    &[&frame[..], &[0; 6]].concat(),
                    1,
                )?;
                let frame = self.tcp(LAN, (server, client), (10, 2, ACK), data);
                self.give("TCP back", LAN, &frame, 1)?;
                let frame = self.udp(WAN, client, vip, data);
                self.give("UDP", WAN, &frame, 1)?;
                let frame = self.udp(LAN, server, client, data);
                self.give("UDP back", LAN, &frame, 1)?;
            }
        }
        let (client, vip) = (("192.0.2.10", 1001), ("192.0.2.100", 80));
        let mut frame = self.udp(WAN, client, vip, b"without");
        frame[40..42].fill(0);
        self.give("UDP without a checksum", WAN, &frame, 1)?;
        let frame = self.sctp(WAN, client, vip);
        self.give("SCTP", WAN, &frame, 1)?;
        // Fragmented for the servers' side, and with a header's options.
        let large = UdpHeader::without_ipv4_checksum(1001, 80, 1450)?;
        let frame = self.udp(WAN, client, vip, &vec![7; usize::from(large.length) - 8]);
        let mut frame = frame;
        frame[20] &= !0x40;
        repair(&mut frame);
        self.give("UDP in fragments", WAN, &frame, 2)?;
        let mut frame = self.udp(WAN, ("192.0.2.10", 1002), ("192.0.2.102", 8080), b"direct routing");
        self.give("direct routing", WAN, &frame, 1)?;
        // A header with options: four that say nothing.
        frame.splice(34..34, [1, 1, 1, 1]);
        frame[14] = 0x46;
        frame[17] += 4;
        repair(&mut frame);
        self.give("with options", WAN, &frame, 1)?;
        Ok(())
    }

    /// What servers are told of clients.
    fn telling(&mut self) -> Result<()> {
        for (name, port) in [("TOA", 81), ("PROXY v1", 82)] {
            // Of four digits or five: a line of each parity.
            for own in [1003, 10_003] {
                let (client, vip) = (("192.0.2.10", own), ("192.0.2.100", port));
                let frame = self.tcp(WAN, (client, vip), (1, 0, SYN), b"");
                let out = self.give(&format!("{name}: SYN"), WAN, &frame, 1)?;
                let local = u16::from_be_bytes([out[0][34], out[0][35]]);
                let ends = (("198.51.100.11", 8080), (LOCAL, local));
                let frame = self.tcp(LAN, ends, (9, 2, SYN | ACK), b"");
                self.give(&format!("{name}: SYN+ACK"), LAN, &frame, 1)?;
                let frame = self.tcp(WAN, (client, vip), (2, 10, ACK), b"GET / HTTP/1.1");
                let out = self.give(&format!("{name}: data"), WAN, &frame, 1)?;
                ensure!(out[0].len() > frame.len(), "{name} adds something");
                // Where there is no room, the header has a segment of its own.
                if name == "PROXY v1" {
                    let frame = self.tcp(WAN, (client, vip), (2, 10, ACK), &[b'x'; 1350]);
                    self.give(&format!("{name}: ahead"), WAN, &frame, 2)?;
                }
            }
        }
        let frame = self.udp(WAN, ("192.0.2.10", 1004), ("192.0.2.100", 83), b"datagram");
        self.give("PROXY v2 of UDP", WAN, &frame, 1)?;
        Ok(())
    }

    fn tunnels(&mut self) -> Result<()> {
        for data in [&b"odd"[..], b"even", &[0xff; 1200]] {
            for vip in ["192.0.2.101", "192.0.2.103", "192.0.2.104", "192.0.2.105"] {
                let frame = self.udp(WAN, ("192.0.2.10", 1005), (vip, 8080), data);
                self.give(&format!("tunnel of {vip}"), WAN, &frame, 1)?;
            }
            for vip in ["2001:db8:1::104", "2001:db8:1::105"] {
                let frame = self.udp(WAN, ("2001:db8:1::10", 1005), (vip, 8080), data);
                self.give(&format!("tunnel of {vip}"), WAN, &frame, 1)?;
            }
        }
        // The one inside is cut, and each part has a datagram of its own.
        let mut frame = self.udp(WAN, ("192.0.2.10", 1005), ("192.0.2.104", 8080), &[3; 1440]);
        frame[20] &= !0x40;
        repair(&mut frame);
        self.give("tunnel of fragments", WAN, &frame, 2)?;
        Ok(())
    }

    /// What the director answers by itself.
    fn refusals(&mut self) -> Result<()> {
        for (client, vip) in [("192.0.2.10", "192.0.2.100"), ("2001:db8:1::10", "2001:db8:1::100")] {
            let frame = self.tcp(WAN, ((client, 1006), (vip, 80)), (5, 6, ACK), b"of no connection");
            self.give("reset", WAN, &frame, 1)?;
            let frame = self.tcp(WAN, ((client, 1006), (vip, 99)), (5, 0, SYN), b"");
            self.give("reset of a SYN", WAN, &frame, 1)?;
            let frame = self.udp(WAN, (client, 1006), (vip, 99), b"to nobody");
            self.give("ICMP error", WAN, &frame, 1)?;
            let frame = self.sctp(WAN, (client, 1006), (vip, 99));
            self.give("ABORT", WAN, &frame, 1)?;
            let frame = self.tcp(WAN, ((client, 1001), (vip, 80)), (2, 10, ACK), &[1; 1430]);
            let mut frame = frame;
            if frame[14] == 0x45 {
                frame[20] |= 0x40;
                repair(&mut frame);
            }
            self.give("too large", WAN, &frame, 1)?;
            let mut frame = Vec::new();
            self.ip(WAN, client, vip, 1).udp(1001, 80).write(&mut frame, b"late")?;
            self.give("too late", WAN, &frame, 1)?;
        }
        let mut frame = Vec::new();
        self.ip(WAN, "192.0.2.10", "192.0.2.100", 9).icmpv4_echo_request(1, 2).write(&mut frame, b"ping")?;
        self.give("echo reply", WAN, &frame, 1)?;
        Ok(())
    }
}

/// Makes the checksum of a header of IPv4 right.
fn repair(frame: &mut [u8]) {
    let end = 14 + usize::from(frame[14] & 15) * 4;
    frame[24..26].fill(0);
    let checksum = !sum(&[&frame[14..end]]);
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
}

/// RFC 1071.
fn sum(parts: &[&[u8]]) -> u16 {
    let bytes = parts.concat();
    let sum: u32 =
        bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |&low| low.into())).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    ((folded & 0xffff) + (folded >> 16)) as u16
}

/// RFC 9260 appendix A, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

/// Whether all checksums of a packet are right, those of the one inside a tunnel's included.
fn check(packet: &[u8]) -> Result<()> {
    let (header_len, len, protocol, addresses, is_part) = match packet[0] >> 4 {
        4 => {
            let header_len = usize::from(packet[0] & 15) * 4;
            ensure!(sum(&[&packet[..header_len]]) == 0xffff, "the header's checksum is wrong");
            let is_part = packet[6] & 0x3f != 0 || packet[7] != 0;
            (
                header_len,
                usize::from(u16::from_be_bytes([packet[2], packet[3]])),
                packet[9],
                &packet[12..20],
                is_part,
            )
        }
        _ => (
            40,
            40 + usize::from(u16::from_be_bytes([packet[4], packet[5]])),
            packet[6],
            &packet[8..40],
            packet[6] == 44,
        ),
    };
    let l4 = packet.get(header_len..len).context("the packet is not whole")?;
    let pseudo = [&(l4.len() as u32).to_be_bytes()[..], &[0, 0, 0, protocol]].concat();
    let is_right = || sum(&[addresses, &pseudo, l4]) == 0xffff;
    match protocol {
        _ if is_part => {}
        4 | 41 => check(l4)?,
        47 if l4[0] & 0x80 != 0 => {
            ensure!(sum(&[l4]) == 0xffff, "GRE's checksum is wrong");
            check(&l4[8..])?;
        }
        6 | 58 => ensure!(is_right(), "the checksum of protocol {protocol} is wrong"),
        17 => {
            let has_none = l4[6..8] == [0, 0] && packet[0] >> 4 == 4;
            ensure!(has_none || is_right(), "UDP's checksum is wrong");
            // GUE, with its header or without.
            if u16::from_be_bytes([l4[2], l4[3]]) == 6080 {
                check(if l4[8] >> 4 == 0 { &l4[12..] } else { &l4[8..] })?;
            }
        }
        1 => ensure!(sum(&[l4]) == 0xffff, "ICMP's checksum is wrong"),
        132 => {
            let zeroed = [&l4[..8], &[0; 4], &l4[12..]].concat();
            ensure!(crc32c(&zeroed).to_le_bytes() == l4[8..12], "SCTP's checksum is wrong");
        }
        _ => {}
    }
    Ok(())
}
