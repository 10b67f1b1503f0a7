//! Who looks on while a packet is dealt with.
//!
//! A trace shows the decisions that were acted on: it is told of each of them just before it is carried out. Usually
//! nobody looks on, and that costs nothing.

use super::Worker;
use crate::{
    decide::{Decision, known::Known, opening::Opening},
    family::Family,
    ids::{ServerId, ServiceId},
    sched::{Turn, load::Loads},
};

/// Somebody who looks on.
pub(crate) trait Witness<P, F: Family> {
    /// This has been decided about the packet, and is about to be done.
    fn decided(&mut self, worker: &Worker<P>, decision: &Decision<F>) {
        let _ = (worker, decision);
    }

    /// A service's scheduler is about to choose a server.
    fn chooses(&mut self, known: &Known, service: ServiceId, turn: &Turn) {
        let _ = (known, service, turn);
    }

    /// It has chosen.
    fn chose(&mut self, known: &Known, service: ServiceId, server: Option<ServerId>, loads: &Loads<'_>) {
        let _ = (known, service, server, loads);
    }

    /// A connection is about to be opened, and the packet to go its way.
    fn opens(&mut self, worker: &Worker<P>, opening: &Opening<F>) {
        let _ = (worker, opening);
    }
}

/// Nobody.
pub(crate) struct Nobody;

impl<P, F: Family> Witness<P, F> for Nobody {}
