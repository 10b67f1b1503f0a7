//! Ports of the running director: which one is meant, and how one is stopped and started again.

use super::running::Running;
use crate::{
    dataplane::{
        ask::Silent,
        asks::{Announce, EndBurst, PausePort},
    },
    dpdk::PortError,
};
use lb_core::packet::PortId;
use thiserror::Error;
use tracing::warn;

/// Why a port was not stopped or started.
#[derive(Debug, Error)]
pub(crate) enum PortFailure {
    #[error("the director is stopping")]
    Ending,
    #[error(transparent)]
    Silent(#[from] Silent),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl Running {
    /// The port of that name or number.
    pub(crate) fn port_called(&self, name: &str) -> Option<PortId> {
        let names = self.port_names();
        let by_name = names.iter().position(|known| known == name);
        let at = by_name.or_else(|| name.parse().ok().filter(|&number: &usize| number < names.len()))?;
        Some(PortId(at as u16))
    }

    /// Lets a port move packets again, and tells its network which addresses are here.
    ///
    /// # Errors
    /// See [`PortFailure`].
    pub(crate) fn start_port(&self, port: PortId) -> Result<(), PortFailure> {
        self.ports().get_mut(usize::from(port.0)).ok_or(PortFailure::Ending)?.resume()?;
        self.announce(Some(port));
        Ok(())
    }

    /// Forwards again after a stop, and tells all networks which addresses are here.
    pub(crate) fn resume(&self) {
        self.shutdown.set_paused(false);
        self.announce(None);
    }

    /// Stops forwarding: workers poll no port any more when this returns. They keep what they know.
    ///
    /// # Errors
    /// When a worker does not answer; it stops as soon as it does.
    pub(crate) fn pause(&self) -> Result<(), Silent> {
        self.shutdown.set_paused(true);
        self.workers.iter().try_for_each(|worker| worker.line.ask(EndBurst))
    }

    /// Announces the addresses on a port anew, or on all ports. While nothing is forwarded nobody is told: that comes when
    /// it goes on.
    pub(super) fn announce(&self, port: Option<PortId>) {
        if self.shutdown.is_paused() {
            return;
        }
        for worker in &self.workers {
            if let Err(silent) = worker.line.ask(Announce(port)) {
                warn!("cannot announce addresses again: {silent}");
            }
        }
    }

    /// Lets a port move no packets. Workers pause their queues of it, each between two bursts, and then it is stopped.
    ///
    /// # Errors
    /// See [`PortFailure`]. Where a worker does not answer, the others' pauses end by themselves and nothing has changed.
    pub(crate) fn stop_port(&self, port: PortId) -> Result<(), PortFailure> {
        let mut proofs = Vec::new();
        for worker in &self.workers {
            proofs.extend(worker.line.ask(PausePort(port))?);
        }
        let mut ports = self.ports();
        let port = ports.get_mut(usize::from(port.0)).ok_or(PortFailure::Ending)?;
        Ok(port.pause(proofs)?)
    }
}
