//! The far ends of two net_tap ports of a director, in a story's own hands: every frame that goes in is one that the story
//! made, and every one that comes out is seen. Neighbours are there for whoever asks.

use std::sync::mpsc::{Receiver, channel};

use anyhow::{Context, Result};
use etherparse::{Icmpv6Type, NetSlice, PacketBuilder, SlicedPacket, TransportSlice, icmpv6};
use pcap::{Active, Capture};

use crate::netns::Namespace;
use crate::process::PATIENCE;
use crate::wires::{TYPE_AT, Wires, open};

/// The Ethernet address of all neighbours.
pub const NEIGHBOUR: [u8; 6] = [2, 0, 0, 0, 9, 9];

/// The two ends.
#[expect(missing_debug_implementations, reason = "captures have none")]
pub struct Taps {
    _wires: Wires,
    senders: Vec<Capture<Active>>,
    /// What comes out, and of which end.
    out: Receiver<(usize, Vec<u8>)>,
}

impl Taps {
    /// Of interfaces of a namespace, which nobody else uses. Who asks for neighbours is answered.
    pub fn open(namespace: &Namespace, interfaces: &[&str]) -> Result<Self> {
        let (into, out) = channel();
        let (mut wires, mut senders) = (Wires::default(), Vec::new());
        for (end, name) in interfaces.iter().enumerate() {
            namespace.ip(&format!("link set {name} up"))?;
            let (into, mut answers) = (into.clone(), open(namespace, name)?);
            wires.carry(open(namespace, name)?, move |frame| match answer(frame) {
                // Nobody listens any more, at the end.
                None => drop(into.send((end, frame.to_vec()))),
                Some(answer) if !answer.is_empty() => drop(answers.sendpacket(answer)),
                Some(_) => {}
            });
            senders.push(open(namespace, name)?);
        }
        Ok(Self { _wires: wires, senders, out })
    }

    /// Sends a frame to the port behind an end, and waits until so many have come out, of any port: which, and what they are.
    /// Those by which neighbours are asked for are none of them.
    pub fn exchange(&mut self, end: usize, frame: &[u8], expected: usize) -> Result<Vec<(usize, Vec<u8>)>> {
        self.senders[end].sendpacket(frame).context("send a frame")?;
        let frames = (0..expected).map(|number| {
            let frame = self.out.recv_timeout(PATIENCE);
            frame.with_context(|| format!("{number} of {expected} frames came"))
        });
        frames.collect()
    }
}

/// The answer to a frame that is about neighbours, empty if it asks for none; nothing of other frames.
fn answer(frame: &[u8]) -> Option<Vec<u8>> {
    let (asker, kind) = (frame.get(6..TYPE_AT)?, frame.get(TYPE_AT..TYPE_AT + 2)?);
    if kind == [8, 6] {
        let (sender, target) = (frame.get(28..32)?, frame.get(38..42)?);
        // Somebody who tells of an address asks for it.
        if frame.get(20..22)? != [0, 1] || sender == target {
            return Some(Vec::new());
        }
        let body = [&[0, 1, 8, 0, 6, 4, 0, 2], &NEIGHBOUR[..], target, &frame[22..32]].concat();
        return Some([asker, &NEIGHBOUR, &[8, 6], &body].concat());
    }
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let (Some(NetSlice::Ipv6(ip)), Some(TransportSlice::Icmpv6(icmp))) = (&packet.net, &packet.transport)
    else {
        return None;
    };
    let Icmpv6Type::NeighborSolicitation = icmp.icmp_type() else {
        let about = [icmpv6::TYPE_NEIGHBOR_ADVERTISEMENT, icmpv6::TYPE_ROUTER_SOLICITATION];
        return about.contains(&icmp.type_u8()).then(Vec::new);
    };
    let (from, target) = (ip.header().source_addr(), icmp.payload().get(..16)?);
    if from.is_unspecified() {
        return Some(Vec::new());
    }
    // Solicited, and overriding what was known.
    let body = [target, &[2, 1], &NEIGHBOUR].concat();
    let header = icmpv6::NeighborAdvertisementHeader { router: false, solicited: true, r#override: true };
    let builder = PacketBuilder::ethernet2(NEIGHBOUR, asker.try_into().ok()?)
        .ipv6(target.try_into().ok()?, from.octets(), 255)
        .icmpv6(Icmpv6Type::NeighborAdvertisement(header));
    let mut answer = Vec::new();
    builder.write(&mut answer, &body).ok()?;
    Some(answer)
}
