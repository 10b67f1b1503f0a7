//! Checks that leave by the director's own ports, the way that traffic takes.

use super::{balancer::Balancer, conversation::Conversation, target::Target, waiting::Waiting};
use crate::dataplane::host::{Host, Peer};
use std::{fmt, sync::Arc};
use tokio::runtime::Handle;

/// The director's own ports, for checks.
pub(crate) struct Ports {
    balancer: Option<Arc<dyn Balancer>>,
    host: Option<Arc<Host>>,
    waiting: Arc<Waiting>,
}

impl Ports {
    /// Those of a balancer, if it has any.
    pub(crate) fn new(balancer: Option<Arc<dyn Balancer>>) -> Self {
        let host = balancer.as_ref().and_then(|balancer| balancer.host());
        Ports { balancer, host, waiting: Arc::default() }
    }

    /// Gives packets that arrive to the checks that wait for them, until the runtime ends.
    pub(crate) fn listen(&self, runtime: &Handle) {
        if let Some(host) = self.host.clone() {
            runtime.spawn(self.waiting.clone().sort(host));
        }
    }

    /// Whether there are any.
    pub(crate) fn exist(&self) -> bool {
        self.host.is_some()
    }

    /// Whether a packet to the VIP gets to a server as clients' packets do, with the VIP in it.
    pub(crate) fn carry_to_vip(&self, target: &Target) -> bool {
        let way = self.balancer.as_ref().and_then(|balancer| balancer.way(target, true).ok());
        way.is_some_and(|way| !way.translates)
    }

    /// Whether they lead to a server at its own address.
    pub(super) fn lead(&self, target: &Target) -> bool {
        self.balancer.as_ref().is_some_and(|balancer| balancer.way(target, false).is_ok())
    }

    /// Whether an answer can come at all: not while no port is polled.
    pub(crate) fn are_polled(&self) -> bool {
        self.host.as_ref().is_none_or(|host| host.is_polled())
    }

    /// Begins to talk to `peer`, which is a server by its own address, or with `as_traffic` by the VIP: then packets take
    /// its forwarding method. What others send is not heard.
    pub(crate) fn talk(&self, target: &Target, as_traffic: bool, peer: Peer) -> Result<Conversation, String> {
        let (Some(balancer), Some(host)) = (&self.balancer, &self.host) else {
            return Err("checks by the director's own ports are not possible here".to_owned());
        };
        let way = balancer.way(target, as_traffic)?;
        let (reserved, arrivals) =
            self.waiting.reserve(host, peer).ok_or("no local port is free for the check")?;
        Ok(Conversation::new(way, reserved, arrivals))
    }
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}
