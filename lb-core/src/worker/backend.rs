//! One worker's own knowledge of a real server: what sending to it takes.

use crate::{
    conn::method::Method,
    forward::tun,
    sched::load::Load,
    time::{Duration, Instant},
};
use std::net::Ipv4Addr;

/// How long a path MTU that was learnt is believed, RFC 1191 6.3.
const PATH_MTU_LIFE: Duration = Duration::from_secs(10 * 60);

/// A real server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backend {
    /// Number of the neighbour that its packets go to next.
    pub(super) neighbour: u16,
    /// Largest packet from a client that can go to it, in bytes: without the tunnel's header.
    pub(super) limit: u16,
    /// Source of its tunnel headers.
    pub(super) tunnel_source: u32,
    /// This worker's connections to it.
    pub(super) load: Load,
    /// MTU of the port towards it.
    port_mtu: u16,
    /// Bytes that its packets grow by.
    overhead: u16,
    /// When a router last said that the way carries less than the port.
    narrow_since: Option<Instant>,
}

impl Backend {
    pub(super) fn new(neighbour: u16, method: Method, port_mtu: u16, tunnel_source: Ipv4Addr) -> Self {
        let overhead = if method == Method::Tun { tun::OVERHEAD as u16 } else { 0 };
        Backend {
            neighbour,
            limit: port_mtu.saturating_sub(overhead),
            tunnel_source: tunnel_source.to_bits(),
            load: Load::default(),
            port_mtu,
            overhead,
            narrow_since: None,
        }
    }

    /// A router said what the way carries. Returns whether no router had before.
    pub(super) fn narrow(&mut self, mtu: u16, now: Instant) -> bool {
        self.limit = mtu.min(self.port_mtu).saturating_sub(self.overhead);
        self.narrow_since.replace(now).is_none()
    }

    /// Stops believing what a router said long ago: the way may have become better. Returns whether that was so.
    pub(super) fn widen(&mut self, now: Instant) -> bool {
        let over = self.narrow_since.is_some_and(|since| now.since(since) >= PATH_MTU_LIFE);
        if over {
            self.narrow_since = None;
            self.limit = self.port_mtu.saturating_sub(self.overhead);
        }
        over
    }
}
