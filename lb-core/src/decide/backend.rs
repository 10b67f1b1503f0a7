//! What a worker knows of a real server: what sending to it takes.

use super::Narrow;
use crate::{
    family::Family,
    forward::outer::Outer,
    ids::NeighbourId,
    service::plan::Standing,
    time::{Duration, Instant},
};

/// How long a path MTU that was learnt is believed, RFC 1191 6.3.
const PATH_MTU_LIFE: Duration = Duration::from_secs(10 * 60);

/// A real server.
///
/// What a packet needs comes first, in one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Backend {
    /// The neighbour that its packets go to next; `None` if there is no room for it.
    pub(crate) neighbour: Option<NeighbourId>,
    /// Largest packet from a client that can go to it, in bytes: without the tunnel's header. 0 if it is gone, so that
    /// the path of a packet finds out without asking.
    pub(crate) limit: u16,
    /// The same for a packet whose sender forbids fragmentation, and which goes on in fragments of the tunnel's packet.
    pub(crate) most: u16,
    /// What its packets are wrapped in under TUN.
    pub(crate) outer: Outer,
    /// The path MTU towards it, in bytes: the port's MTU, or less if a router reported less.
    pub(crate) way_mtu: u16,
    /// Bytes that its packets grow by.
    overhead: u16,
    /// MTU of the port towards it.
    port_mtu: u16,
    /// When a router last reported a path MTU below the port's MTU.
    narrow_since: Option<Instant>,
    gone: bool,
}

const _: () = assert!(std::mem::offset_of!(Backend, way_mtu) <= 64, "one cache line");

impl Backend {
    /// No server.
    pub(crate) const VACANT: Backend = Backend {
        neighbour: None,
        limit: 0,
        most: 0,
        outer: Outer::NONE,
        way_mtu: 0,
        overhead: 0,
        port_mtu: 0,
        narrow_since: None,
        gone: true,
    };

    /// A server behind that neighbour, which a port of that MTU leads to. Packets to it grow by `overhead` bytes.
    pub(crate) fn new(neighbour: Option<NeighbourId>, overhead: u16, port_mtu: u16, outer: Outer) -> Self {
        let mut backend = Backend {
            neighbour,
            outer,
            way_mtu: port_mtu,
            overhead,
            port_mtu,
            gone: false,
            ..Backend::VACANT
        };
        backend.set_limit();
        backend
    }

    /// Whether its connections end.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Says what it does from now on.
    pub(crate) fn stand(&mut self, standing: Standing) {
        self.gone = standing == Standing::Gone;
        self.set_limit();
    }

    /// A router reported the path MTU. Returns whether it is the first such report.
    pub(crate) fn narrow(&mut self, report: &Narrow<impl Family>, now: Instant) -> bool {
        let room = report.mtu.saturating_sub(self.overhead);
        if !self.outer.is_ipv6() && (report.takes_fragments() || room < self.outer.least()) {
            self.outer.set_fragments(true);
        } else {
            self.way_mtu = report.mtu.min(self.port_mtu);
            self.set_limit();
        }
        self.narrow_since.replace(now).is_none()
    }

    /// Whether a router has reported the path MTU.
    pub(crate) fn is_narrow(&self) -> bool {
        self.narrow_since.is_some()
    }

    /// Discards a path MTU that a router reported long ago: the path may have changed. Returns whether it did.
    pub(crate) fn widen(&mut self, now: Instant) -> bool {
        let over = self.narrow_since.is_some_and(|since| now.since(since) >= PATH_MTU_LIFE);
        if over {
            self.narrow_since = None;
            self.way_mtu = self.port_mtu;
            self.outer.set_fragments(false);
            self.set_limit();
        }
        over
    }

    fn set_limit(&mut self) {
        self.limit = if self.gone { 0 } else { self.way_mtu.saturating_sub(self.overhead) };
        self.most = if self.gone { 0 } else { self.limit.max(self.outer.least()) };
    }
}
