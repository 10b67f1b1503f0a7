//! Explanations of a packet that might come: the worker it would arrive at is asked, then the one that owns its flow.

use super::Running;
use crate::{
    control::query::Silent,
    dataplane::request::{Answer, Request},
};
use lb_core::{
    explanation::{Explanation, Outcome, imagined as imagined_frame},
    flow::key::Key,
    memory::MemoryPacket,
    packet::PortId,
    service::snapshot::{Local, Snapshot},
    wire::tcp,
};
use std::net::SocketAddrV4;

/// A packet that might come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Imagined {
    /// TCP or UDP, by its number.
    pub(crate) protocol: u8,
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
    /// Of TCP. Without it: an acknowledgement if there is such a connection, else a SYN.
    pub(crate) flags: Option<u8>,
    /// Where it arrives; without it, where packets with that source would come from.
    pub(crate) port: Option<PortId>,
}

impl Running {
    /// What would become of a packet now: the explanation of the worker that it arrives at, and that of its owner if it
    /// is handed over.
    pub(crate) fn explain(&self, imagined: &Imagined) -> Result<Vec<Explanation>, Silent> {
        let snapshot = self.current().snapshot;
        let port = imagined.port.unwrap_or_else(|| likely_port(&snapshot, imagined));
        let key = Key {
            source: imagined.source.ip().to_bits(),
            destination: imagined.destination.ip().to_bits(),
            source_port: imagined.source.port(),
            destination_port: imagined.destination.port(),
            protocol: imagined.protocol,
        };
        // Which queue a port gives it to is the port's secret; a connection that exists tells.
        let mut first = None;
        for worker in &self.workers {
            if worker.line.connection(key)?.is_some() {
                first = Some(worker.id);
                break;
            }
        }
        let flags = imagined.flags.unwrap_or(if first.is_some() { tcp::ACK } else { tcp::SYN });
        let mac = snapshot.ports.get(usize::from(port.0)).map(|port| port.mac).unwrap_or_default();
        let packet = MemoryPacket::new(port, &imagined_frame(mac, &key, flags));
        let mut told = vec![self.ask_to_explain(usize::from(first.map_or(0, |id| id.0)), &packet, false)?];
        if let Outcome::HandedOver(owner, _) = told[0].outcome {
            told.push(self.ask_to_explain(usize::from(owner.0), &packet, true)?);
        }
        Ok(told)
    }

    fn ask_to_explain(
        &self,
        worker: usize,
        packet: &MemoryPacket,
        is_handed_over: bool,
    ) -> Result<Explanation, Silent> {
        let worker = &self.workers[worker];
        let packet = Box::new(packet.clone());
        match worker.line.ask(Request::Explain { packet, is_handed_over })? {
            Answer::Explained(told) => Ok(*told),
            _ => Err(Silent(worker.id)),
        }
    }
}

/// The port on the way back to the packet's source; where there is none, that of the address it is for.
fn likely_port(snapshot: &Snapshot, imagined: &Imagined) -> PortId {
    let back = snapshot.routing.next_hop(*imagined.source.ip()).map(|hop| hop.port);
    let local = || match snapshot.local(imagined.destination.ip().to_bits())? {
        Local::Vip { attached, .. } => attached,
        Local::Own(port) => Some(port),
    };
    back.or_else(local).unwrap_or(PortId(0))
}
