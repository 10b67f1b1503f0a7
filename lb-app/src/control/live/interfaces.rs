//! Interfaces of the running director: which one is meant, and what each moved.

use super::running::Running;
use lb_core::{ids::InterfaceId, packet::PortId, service::plan::InterfacePlan};

/// What an interface moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Frames received, and sent.
    pub(crate) packets: [u64; 2],
    /// Their bytes; of untagged frames nobody counts them.
    pub(crate) bytes: Option<[u64; 2]>,
}

impl Running {
    /// The interface of that name, or that of the port of that name or number.
    pub(crate) fn interface_called(&self, name: &str) -> Option<InterfaceId> {
        let current = self.current();
        let by_name = current.plan.interfaces.iter().position(|on| on.name == name);
        let of_port = || self.port_called(name).map(|port| current.snapshot.untagged_of(port));
        by_name.map(|at| InterfaceId(at as u16)).or_else(of_port)
    }

    /// What each interface moved since the start. Untagged is all that the ports moved for workers and that was in no VLAN
    /// of the configuration.
    pub(crate) fn moved(&self, interfaces: &[InterfacePlan]) -> Vec<Moved> {
        let in_vlans: Vec<Moved> =
            (0..).map(InterfaceId).zip(interfaces).map(|(id, on)| self.moved_in_vlan(id, on)).collect();
        let each = interfaces.iter().zip(&in_vlans).map(|(on, moved)| {
            if !on.tags.is_empty() {
                return *moved;
            }
            let of_port = interfaces.iter().zip(&in_vlans).filter(|(other, _)| other.port == on.port);
            let packets = [0, 1].map(|way| {
                let tagged: u64 = of_port.clone().map(|(_, moved)| moved.packets[way]).sum();
                self.moved_by_port(on.port)[way].saturating_sub(tagged)
            });
            Moved { packets, bytes: None }
        });
        each.collect()
    }

    fn moved_in_vlan(&self, id: InterfaceId, on: &InterfacePlan) -> Moved {
        if on.tags.is_empty() {
            return Moved::default();
        }
        let (mut packets, mut bytes) = ([0; 2], [0; 2]);
        for worker in &self.workers {
            let of = worker.counters.vlan(id);
            packets = [packets[0] + of.received.get(), packets[1] + of.sent.get()];
            bytes = [bytes[0] + of.received_bytes.get(), bytes[1] + of.sent_bytes.get()];
        }
        Moved { packets, bytes: Some(bytes) }
    }

    fn moved_by_port(&self, port: PortId) -> [u64; 2] {
        let mut packets = [0; 2];
        for traffic in self.workers.iter().filter_map(|worker| worker.ports.get(usize::from(port.0))) {
            packets = [packets[0] + traffic.rx.get(), packets[1] + traffic.tx.get()];
        }
        packets
    }
}
