//! Packets in a file that DPDK's `net_pcap` plays in circles: UDP of many flows, in random order, 64 bytes each on the
//! wire unless told otherwise.
//!
//! Nobody answers ARP on such a port. So the file has what the neighbours would say: an ARP reply of each. They come by
//! once in a circle, and cost every program that reads the file, but one packet in a thousand at most.

use crate::measure::Order;
use lb_core::{
    service::plan::{Mac, Method},
    wire::{
        arp::{self, Arp, Operation},
        ethernet,
        ipv4::{self, Header},
        protocol, udp,
    },
};
use std::{fs, io, net::Ipv4Addr, path::Path};

/// What `net_pcap` gives its first port.
pub const PORT_MAC: Mac = Mac([0x02, 0x70, 0x63, 0x61, 0x70, 0x00]);
const PEER_MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);
const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);
const SERVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 11), Ipv4Addr::new(192, 0, 2, 12)];
const VIP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const SERVICE_PORT: u16 = 80;
/// The shortest frame, without the four bytes that the wire adds.
pub const FRAME_LEN: usize = 60;

/// Writes the file: `flows` packets of `len` bytes, one of each flow but for the neighbours' answers.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, flows: u32, len: usize) -> io::Result<()> {
    // The format's magic number, version 2.4, longest frame, Ethernet.
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    let neighbours = [GATEWAY, SERVERS[0], SERVERS[1]];
    let mut numbers: Vec<u32> = (neighbours.len() as u32..flows).collect();
    let mut order = Order::new(flows);
    for last in (1..numbers.len()).rev() {
        numbers.swap(last, order.below(last as u32 + 1) as usize);
    }
    let len = len.max(FRAME_LEN);
    let packets = numbers.into_iter().map(|flow| packet(flow, len));
    let frames = neighbours.into_iter().map(|neighbour| answer(neighbour).to_vec()).chain(packets);
    for frame in frames {
        for word in [0, 0, frame.len() as u32, frame.len() as u32] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    fs::write(path, file)
}

/// lb-app's configuration for it, with more about the port and the service. testpmd verifies no checksums, so neither does lb-app.
#[must_use]
pub fn configuration(device: &str, method: Method, (port, service): (&str, &str)) -> String {
    let [first, second] = SERVERS;
    format!(
        r#"[workers]
connections = 100_000
verify_checksums = false

[[ports]]
name = "port"
device = "{device}"
addresses = ["{OWN}/24"]
{port}

[[routes]]
to = "default"
via = "{GATEWAY}"

[[services]]
name = "service"
vip = "{VIP}"
port = {SERVICE_PORT}
protocol = "udp"
method = "{method}"
scheduler = "rr"
{service}

[[services.servers]]
address = "{first}"

[[services.servers]]
address = "{second}"
"#
    )
}

fn answer(neighbour: Ipv4Addr) -> [u8; FRAME_LEN] {
    let mut frame = [0; FRAME_LEN];
    ethernet::set_addresses(&mut frame, PORT_MAC, PEER_MAC);
    ethernet::set_ethertype(&mut frame, ethernet::ARP);
    let answer = Arp {
        operation: Operation::Reply,
        sender_mac: PEER_MAC,
        sender: neighbour,
        target_mac: PORT_MAC,
        target: OWN,
    };
    answer.write(&mut frame[ethernet::HEADER_LEN..][..arp::LEN]);
    frame
}

fn packet(flow: u32, len: usize) -> Vec<u8> {
    let mut frame = vec![0; len];
    ethernet::set_addresses(&mut frame, PORT_MAC, PEER_MAC);
    ethernet::set_ethertype(&mut frame, ethernet::IPV4);
    let ip = &mut frame[ethernet::HEADER_LEN..];
    let header = Header {
        header_len: ipv4::HEADER_LEN,
        total_len: ip.len(),
        fragment: ipv4::DONT_FRAGMENT,
        ttl: 64,
        protocol: protocol::UDP,
        source: 0x0a00_0000 + flow / 16,
        destination: VIP.to_bits(),
    };
    ipv4::write(ip, &header, 0);
    let datagram = &mut ip[ipv4::HEADER_LEN..];
    let len = datagram.len() as u16;
    datagram[0..2].copy_from_slice(&(1_024 + (flow % 16) as u16).to_be_bytes());
    datagram[2..4].copy_from_slice(&SERVICE_PORT.to_be_bytes());
    datagram[udp::LENGTH..udp::LENGTH + 2].copy_from_slice(&len.to_be_bytes());
    // A checksum of zero is none, which UDP allows.
    frame
}
