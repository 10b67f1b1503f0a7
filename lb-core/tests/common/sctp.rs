//! Packets of SCTP, made and read without the crate under test: etherparse knows none.

use super::{
    frame::{Ip, endpoint},
    frame6::{Ip6, endpoint6},
};
use etherparse::IpNumber;

pub const DATA: u8 = 0;
pub const INIT: u8 = 1;
pub const INIT_ACK: u8 = 2;
pub const SACK: u8 = 3;
pub const HEARTBEAT: u8 = 4;
pub const ABORT: u8 = 6;
pub const SHUTDOWN: u8 = 7;
pub const SHUTDOWN_ACK: u8 = 8;
pub const ERROR: u8 = 9;
pub const COOKIE_ECHO: u8 = 10;
pub const COOKIE_ACK: u8 = 11;
pub const SHUTDOWN_COMPLETE: u8 = 14;

/// The tag that each side expects.
pub const CLIENTS_TAG: u32 = 0xc11e_0001;
pub const SERVERS_TAG: u32 = 0x5e12_0002;

/// CRC32c, bit by bit, as RFC 9260 appendix A defines it.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let mut register = u32::MAX;
    for byte in bytes {
        register ^= u32::from(*byte);
        for _ in 0..8 {
            register = if register & 1 == 1 { register >> 1 ^ 0x82f6_3b78 } else { register >> 1 };
        }
    }
    !register
}

/// The checksum that a packet should have, in the order in which it is sent.
fn checksum(packet: &[u8]) -> [u8; 4] {
    let mut packet = packet.to_vec();
    packet[8..12].fill(0);
    crc32c(&packet).to_le_bytes()
}

/// Whether a packet is whole and its checksum right.
pub fn check(packet: &[u8]) -> Result<(), String> {
    match packet {
        packet if packet.len() < 16 => Err("SCTP packet too short".into()),
        packet if packet[8..12] != checksum(packet) => Err("wrong SCTP checksum".into()),
        _ => Ok(()),
    }
}

/// A chunk, padded.
pub fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let len = 4 + value.len() as u16;
    let mut chunk = [&[kind, flags], len.to_be_bytes().as_slice(), value].concat();
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

/// A packet of chunks.
pub fn packet(ports: (u16, u16), tag: u32, chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut packet = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    packet.extend(tag.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend(chunks.concat());
    let checksum = checksum(&packet);
    packet[8..12].copy_from_slice(&checksum);
    packet
}

/// What a side of an association says with a chunk of that type: with the tag that the other expects, or its own where it
/// asks or agrees.
pub fn says(is_client: bool, kind: u8) -> (u32, Vec<u8>) {
    let (own, others) = if is_client { (CLIENTS_TAG, SERVERS_TAG) } else { (SERVERS_TAG, CLIENTS_TAG) };
    let value = match kind {
        INIT | INIT_ACK => {
            // Window, streams both ways, the first number.
            let rest = [0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 1];
            let cookie: &[u8] = if kind == INIT_ACK { &[0, 7, 0, 8, 1, 2, 3, 4] } else { &[] };
            [own.to_be_bytes().as_slice(), &rest, cookie].concat()
        }
        DATA => b"\0\0\0\x01\0\0\0\0\0\0\0\0hello".to_vec(),
        SACK => vec![0; 12],
        HEARTBEAT => vec![0, 1, 0, 8, 1, 2, 3, 4],
        COOKIE_ECHO => vec![1, 2, 3, 4],
        SHUTDOWN => vec![0, 0, 0, 1],
        _ => Vec::new(),
    };
    let flags = if kind == DATA { 3 } else { 0 };
    (if kind == INIT { 0 } else { others }, chunk(kind, flags, &value))
}

pub fn of_client(from: &str, to: &str, kind: u8) -> Ip {
    let (tag, chunk) = says(true, kind);
    sctp(from, to, tag, &[chunk])
}

pub fn of_server(from: &str, to: &str, kind: u8) -> Ip {
    let (tag, chunk) = says(false, kind);
    sctp(from, to, tag, &[chunk])
}

pub fn sctp(from: &str, to: &str, tag: u32, chunks: &[Vec<u8>]) -> Ip {
    let (from, to) = (endpoint(from), endpoint(to));
    Ip::new(IpNumber::SCTP, *from.ip(), *to.ip(), packet((from.port(), to.port()), tag, chunks))
}

pub fn sctp6(from: &str, to: &str, tag: u32, chunks: &[Vec<u8>]) -> Ip6 {
    let (from, to) = (endpoint6(from), endpoint6(to));
    Ip6::new(IpNumber::SCTP, *from.ip(), *to.ip(), packet((from.port(), to.port()), tag, chunks))
}

pub fn of_client6(from: &str, to: &str, kind: u8) -> Ip6 {
    let (tag, chunk) = says(true, kind);
    sctp6(from, to, tag, &[chunk])
}

pub fn of_server6(from: &str, to: &str, kind: u8) -> Ip6 {
    let (tag, chunk) = says(false, kind);
    sctp6(from, to, tag, &[chunk])
}

/// The chunks of a packet, by name.
pub fn names(packet: &[u8]) -> String {
    let (mut names, mut at) = (Vec::new(), 12);
    while let Some(&[kind, _, a, b]) = packet.get(at..).and_then(|rest| rest.first_chunk()) {
        names.push(match kind {
            DATA => "data",
            INIT => "init",
            INIT_ACK => "init-ack",
            SACK => "sack",
            HEARTBEAT => "heartbeat",
            ABORT => "abort",
            SHUTDOWN => "shutdown",
            SHUTDOWN_ACK => "shutdown-ack",
            ERROR => "error",
            COOKIE_ECHO => "cookie-echo",
            COOKIE_ACK => "cookie-ack",
            SHUTDOWN_COMPLETE => "shutdown-complete",
            _ => "other",
        });
        at += usize::from(u16::from_be_bytes([a, b])).max(4).next_multiple_of(4);
    }
    names.join("+")
}
