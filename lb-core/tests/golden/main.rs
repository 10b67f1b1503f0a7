//! Golden packets: what goes in, a sentence, what comes out. Whole frames where the bytes say most, else the line
//! that an independent reader makes of a frame after it has checked every length and checksum.

#[path = "../common/mod.rs"]
mod common;

mod arp;
mod awaited;
mod duplicates;
mod follow;
mod forward;
mod fragmenting;
mod fragments;
mod fragments_with;
mod ftp;
mod ftp_moved;
mod host;
mod icmp;
mod ipsec;
mod ipv6;
mod l3dsr;
mod mss;
mod nd;
mod one_arm;
mod pptp;
mod pptp_ends;
mod pptp_many;
mod pptp_steered;
mod proxy;
mod reject;
mod rfc4787;
mod rfc5508;
mod rtsp;
mod rtsp_many;
mod sctp;
mod segment;
mod sip;
mod sip_tcp;
mod snat;
mod snat_ping;
mod standby;
mod tftp;
mod toa;
mod trace;
mod translated;
mod tunnel;
mod vlan;

use common::world::{Sent, World};
use lb_core::packet::PortId;

/// Sends one frame and expects exactly one to leave, with this line.
#[track_caller]
fn expect(world: &mut World, port: PortId, frame: &[u8], line: &str) -> Sent {
    let mut sent = world.receive(port, frame);
    assert_eq!(sent.iter().map(Sent::line).collect::<Vec<_>>(), [line]);
    sent.remove(0)
}

/// Sends one frame and expects none to leave.
#[track_caller]
fn expect_nothing(world: &mut World, port: PortId, frame: &[u8]) {
    let sent = world.receive(port, frame);
    assert!(sent.is_empty(), "{:?}", sent.iter().map(Sent::line).collect::<Vec<_>>());
}

/// A frame as text: its Ethernet header, then 20 bytes a line, so that each header without options has its own.
fn dump(frame: &[u8]) -> Vec<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    std::iter::once(&frame[..14]).chain(frame[14..].chunks(20)).map(hex).collect()
}
