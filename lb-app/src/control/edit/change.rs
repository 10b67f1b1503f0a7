//! Changing what runs, while it runs: one edit of the plan, checked, made into a snapshot, and taken by all workers.
//! Either all of it happens or nothing does.

use super::sorry::sorry_server_among;
use crate::{
    config::Config,
    control::live::{
        running::{Current, Running},
        workers::WorkerView,
    },
    dataplane::ask::Silent,
};
use lb_core::{
    service::{
        check::{PlanError, check},
        plan::Plan,
        snapshot::{Snapshot, SnapshotError},
    },
    worker::exchange::Exchange,
};
use std::sync::Arc;
use thiserror::Error;
use tracing::{error, warn};

/// Why nothing was changed.
#[derive(Debug, Error)]
pub(crate) enum ChangeError {
    /// What was asked for makes no sense here: an unknown service, say.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The others have taken the change, and this one will as soon as it goes on.
    #[error("{0}; the change is made, and takes effect there when it does")]
    Silent(#[from] Silent),
}

impl ChangeError {
    /// A refusal with its reason.
    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        ChangeError::Refused(reason.into())
    }
}

impl Running {
    /// Changes the plan by `edit`. When this returns, every worker goes by the changed plan, and no packet after that
    /// is treated by the old one.
    ///
    /// # Errors
    /// What `edit` refuses, and what of the changed plan is wrong or cannot be carried out; then nothing has changed.
    /// [`ChangeError::Silent`] if a worker is stuck.
    pub(crate) fn change<T>(
        &self,
        edit: impl FnOnce(&mut Plan) -> Result<T, ChangeError>,
    ) -> Result<T, ChangeError> {
        self.change_all(None, edit)
    }

    /// The same, and from then on `config` is what the file says.
    pub(in crate::control) fn change_all<T>(
        &self,
        config: Option<Arc<Config>>,
        edit: impl FnOnce(&mut Plan) -> Result<T, ChangeError>,
    ) -> Result<T, ChangeError> {
        let _turn = self.changing.lock();
        let current = self.current();
        // What stands in is no business of whoever edits.
        let mut plan = current.operators_plan();
        let outcome = edit(&mut plan)?;
        let config = config.unwrap_or_else(|| current.config.clone());
        self.carry_out(&current, plan, config)?;
        Ok(outcome)
    }

    /// Has servers get what is known of them now. If the plan says so already, no worker is bothered.
    ///
    /// # Errors
    /// See [`Running::change`].
    pub(super) fn refresh(&self) -> Result<(), ChangeError> {
        let _turn = self.changing.lock();
        let current = self.current();
        let mut plan = current.operators_plan();
        let derived = self.health.derive(&mut plan, &current.config.health);
        if plan.services == current.plan.services {
            self.health.commit(&plan, &current.config.health, derived);
            return Ok(());
        }
        let config = current.config.clone();
        self.carry_out(&current, current.operators_plan(), config)
    }

    /// Puts a plan into effect that its operator wants, with the servers' states as they follow from what is known. Every
    /// change comes through here, in the caller's turn.
    fn carry_out(&self, current: &Current, mut plan: Plan, config: Arc<Config>) -> Result<(), ChangeError> {
        if let Some(key) = sorry_server_among(&plan, &config.health) {
            return Err(ChangeError::refused(format!("server {key}: it is the service's sorry server")));
        }
        let derived = self.health.derive(&mut plan, &config.health);
        check(&plan)?;
        // A worker that is behind may still open connections for a server that is gone for all others.
        let all_follow = !self.workers.iter().any(WorkerView::is_behind);
        let in_use = |server| {
            let load = self.board.total(server);
            !all_follow || load.active != 0 || load.inactive != 0
        };
        let snapshot = Arc::new(current.snapshot.successor(&plan, &in_use)?);
        let generation = current.generation + 1;
        let next = Current { plan: Arc::new(plan), config, snapshot, generation };
        *self.current.write() = next.clone();
        let published = self.publish(&next);
        self.health.commit(&next.plan, &next.config.health, derived);
        Ok(published?)
    }

    /// Tries again to reach workers that did not answer to a change.
    pub(crate) fn catch_up(&self) {
        if self.workers.iter().any(WorkerView::is_behind)
            && let Some(_turn) = self.changing.try_lock()
        {
            let current = self.current();
            for worker in self.workers.iter().filter(|worker| worker.is_behind()) {
                if give(worker, &current.snapshot).is_ok() {
                    warn!("worker {} has caught up with the configuration", worker.id.0);
                }
            }
        }
    }

    /// Gives the snapshot to all workers and waits until they go by it.
    fn publish(&self, next: &Current) -> Result<(), Silent> {
        let mut outcome = Ok(());
        for worker in &self.workers {
            if let Err(silent) = give(worker, &next.snapshot) {
                error!("{silent}: it goes by an old configuration until it does");
                outcome = Err(silent);
            }
        }
        outcome
    }
}

fn give(worker: &WorkerView, snapshot: &Arc<Snapshot>) -> Result<(), Silent> {
    let exchange = match worker.is_behind() {
        true => Exchange::whole(snapshot.clone(), worker.id),
        false => Exchange::new(snapshot.clone(), worker.id),
    };
    let outcome = worker.line.ask(exchange).map(drop);
    worker.set_behind(outcome.is_err());
    outcome
}
