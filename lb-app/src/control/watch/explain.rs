//! Explanations of a packet that might come: the worker it would arrive at is asked, then the one that owns its flow.

use crate::{
    control::live::running::Running,
    dataplane::{ask::Silent, asks::Explain},
    dpdk,
};
use lb_core::{
    decide::Origin,
    explanation::{
        Explanation, Outcome, Portless, Stage, Step, imagined as imagined_frame, imagined_portless,
    },
    family::{V4, V6},
    flow::key::Ends,
    ids::InterfaceId,
    memory::MemoryPacket,
    packet::PortId,
    service::{
        plan::InterfacePlan,
        snapshot::{Local, Snapshot},
    },
    wire::{
        ethernet::{self, Mac},
        quic, tcp,
    },
};

/// A packet that might come.
#[derive(Clone, Debug)]
pub(crate) struct Imagined {
    pub(crate) ends: Ends,
    /// It is of a protocol without ports: of `ends` only the addresses count.
    pub(crate) portless: Option<Portless>,
    /// Of TCP. Without it: an acknowledgement if there is such a connection, else a SYN.
    pub(crate) flags: Option<u8>,
    /// The connection ID of QUIC that a datagram has. It is empty if there is none.
    pub(crate) quic_id: Option<Vec<u8>>,
    /// Where it arrives; without it, where packets with that source would come from.
    pub(crate) on: Option<InterfaceId>,
}

impl Running {
    /// What would happen to a packet now: the explanation of the worker that it arrives at, and that of its owner if it
    /// is handed over.
    pub(crate) fn explain(&self, imagined: &Imagined) -> Result<Vec<Explanation>, Silent> {
        let snapshot = self.current().snapshot;
        let on = imagined.on.unwrap_or_else(|| likely(&snapshot, imagined));
        let InterfacePlan { port, mac, tags, .. } = snapshot.interfaces[on];
        let mut first = None;
        // What has no ports goes with a connection of others, which its owner finds.
        for worker in self.workers.iter().filter(|_| imagined.portless.is_none()) {
            if worker.connection(imagined.ends)?.is_some() {
                first = Some(worker.id);
                break;
            }
        }
        let flags = imagined.flags.unwrap_or(if first.is_some() { tcp::ACK } else { tcp::SYN });
        let payload = imagined.quic_id.as_deref().map(quic::short).unwrap_or_default();
        let Some(mut frame) = frame(mac, imagined, flags, &payload) else { return Ok(Vec::new()) };
        frame.splice(ethernet::ADDRESSES_LEN..ethernet::ADDRESSES_LEN, tags.as_bytes().iter().copied());
        let packet = MemoryPacket::new(port, &frame);
        let ends = imagined.portless.is_none().then_some(&imagined.ends);
        let (worker, why) = self.arrival(port, ends, first.map(|id| usize::from(id.0)));
        let mut told = vec![self.ask_to_explain(worker, &packet, Origin::Port)?];
        if let Some(text) = why {
            // Behind what arrives, and on which port.
            told[0].steps.insert(1, Step { stage: Stage::Port, text });
        }
        if let Outcome::HandedOver(owner, _) = told[0].outcome {
            told.push(self.ask_to_explain(usize::from(owner.0), &packet, Origin::Worker)?);
        }
        Ok(told)
    }

    /// The worker that a packet arrives at, and why it is that one. Where that is unknown, it is the one that has the
    /// packet's connection, if there is one. Which queue a packet without ports comes to is nowhere said.
    fn arrival(&self, port: PortId, ends: Option<&Ends>, knows_it: Option<usize>) -> (usize, Option<String>) {
        let ports = self.ports();
        let Some(port) = ports.get(usize::from(port.0)).filter(|_| self.workers.len() > 1) else {
            return (0, None);
        };
        let spread = port.spread();
        let why = format!("{spread}, because {}", port.spread_reason());
        let queue = match (spread, ends) {
            (dpdk::Spread::ByClient | dpdk::Spread::ByFlow, Some(ends)) => {
                port.hashing().queue_of(ends).map(usize::from)
            }
            (dpdk::Spread::Single | dpdk::Spread::Unknown, _) | (_, None) => None,
        };
        match (queue.filter(|&queue| queue < self.workers.len()), knows_it) {
            // A worker polls the queue of its own number.
            (Some(queue), _) => (
                queue,
                Some(format!("its hash selects queue {queue}, which worker {queue} polls; spread {why}")),
            ),
            (None, Some(worker)) => (
                worker,
                Some(format!("explained for worker {worker}, which has its connection; spread {why}")),
            ),
            (None, None) => {
                (0, Some(format!("explained for worker 0, but it may arrive at any; spread {why}")))
            }
        }
    }

    fn ask_to_explain(
        &self,
        worker: usize,
        packet: &MemoryPacket,
        origin: Origin,
    ) -> Result<Explanation, Silent> {
        let worker = &self.workers[worker];
        let packet = Box::new(packet.clone());
        worker.line.ask(Explain { packet, origin })
    }
}

/// The packet's frame. None if its ends are of two families.
fn frame(mac: Mac, imagined: &Imagined, flags: u8, payload: &[u8]) -> Option<Vec<u8>> {
    let ends = &imagined.ends;
    if let Some(packet) = imagined.portless {
        let v4 = ends.key::<V4>().map(|key| imagined_portless(mac, &key, packet));
        return v4.or_else(|| ends.key::<V6>().map(|key| imagined_portless(mac, &key, packet)));
    }
    let v4 = ends.key::<V4>().map(|key| imagined_frame(mac, &key, flags, payload));
    v4.or_else(|| ends.key::<V6>().map(|key| imagined_frame(mac, &key, flags, payload)))
}

/// The interface on the way back to the packet's source; where there is none, that of the address it is for.
fn likely(snapshot: &Snapshot, imagined: &Imagined) -> InterfaceId {
    let back = snapshot.routing.next_hop(imagined.ends.source.ip()).map(|hop| hop.interface);
    let local = || match snapshot.local_ip(imagined.ends.destination.ip())? {
        Local::Vip { attached, .. } | Local::Source { attached, .. } => attached,
        Local::Own(interface) => Some(interface),
    };
    back.or_else(local).unwrap_or(InterfaceId(0))
}
