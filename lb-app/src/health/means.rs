//! What checks share: the ways out, whom they trust, and how many there may be at a time.

use super::{
    attached::Attached, balancer::Balancer, ports::Ports, routes::is_routed, socket::Doors, target::Target,
    tls::Trust,
};
use crate::config::health::{Check, Via};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Programs that run as checks at the same time, at most.
const MOST_PROGRAMS: usize = 64;
/// Programs of the operator's that do so as hooks and to tell routing daemons. Checks that hang do not keep them waiting.
const MOST_HOOKS: usize = 16;

/// What checks share.
#[derive(Debug)]
pub(crate) struct Means {
    pub(crate) doors: Doors,
    pub(crate) ports: Ports,
    pub(crate) trust: Trust,
    pub(crate) programs: Arc<Semaphore>,
    pub(crate) hooks: Arc<Semaphore>,
    /// Checks under way, as many as there are file descriptors for.
    pub(super) checks: Semaphore,
    attached: Attached,
}

impl Means {
    /// For at most that many checks at a time, some of which may leave by a balancer's ports.
    pub(crate) fn new(checks: usize, balancer: Option<Arc<dyn Balancer>>) -> Arc<Self> {
        Arc::new(Means {
            doors: Doors::default(),
            ports: Ports::new(balancer),
            trust: Trust::default(),
            programs: Arc::new(Semaphore::new(MOST_PROGRAMS)),
            hooks: Arc::new(Semaphore::new(MOST_HOOKS)),
            checks: Semaphore::new(checks),
            attached: Attached::default(),
        })
    }

    /// Whether a check leaves by the director's own ports: as it says; or if it says nothing, where the kernel has no
    /// address on the server's network, since DPDK's ports are not the kernel's. Where they cannot send anything to it,
    /// the kernel's routes may lead there.
    pub(super) fn by_ports(&self, check: &Check, target: &Target) -> bool {
        match check.leave.via {
            Via::Kernel => false,
            Via::Ports => true,
            Via::Auto if !self.ports.exist() || !check.sends_packets() => false,
            Via::Auto if check.to_vip => self.ports.carry_to_vip(target),
            Via::Auto => {
                let address = check.address.unwrap_or(target.key.address);
                !self.attached.has(address) && (self.ports.lead(target) || !is_routed(address))
            }
        }
    }
}
