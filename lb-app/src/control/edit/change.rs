//! Changing what runs, while it runs: one edit of the plan, checked, made into a snapshot, and taken by all workers.
//! Either all of it happens or nothing does.

use super::check::{Unsound, check};
use crate::{
    config::Config,
    control::live::{
        held::followed,
        running::{Current, Running},
        workers::WorkerView,
    },
    dataplane::ask::Silent,
    journal::Happened,
};
use lb_core::{
    ids::LocalId,
    service::{
        Numbered,
        load::Load,
        plan::{Plan, Role},
        snapshot::{LocalAddress, LocalStanding, Snapshot, SnapshotError},
    },
    worker::exchange::Exchange,
};
use lb_ctl::protocol::events::Kind;
use std::sync::Arc;
use thiserror::Error;
use tracing::warn;

/// Why nothing was changed.
#[derive(Debug, Error)]
pub(crate) enum ChangeError {
    /// The request does not fit the configuration: an unknown service, for example.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Unsound(#[from] Unsound),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The other workers have taken the change; this one takes it as soon as it responds.
    #[error("{0}; the change takes effect there as soon as it responds")]
    Silent(#[from] Silent),
}

impl ChangeError {
    /// A refusal with its reason.
    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        ChangeError::Refused(reason.into())
    }
}

impl Running {
    /// Changes the plan by `edit`. When this returns, every worker uses the changed plan, and no later packet is
    /// treated by the old one.
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

    /// The same, and from then on `config` is the configuration file's content.
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
        check(&plan, &config.health, current.snapshot.room)?;
        let derived = self.health.derive(&mut plan, &config.health);
        plan.held = followed(&plan, &self.held.lock());
        let snapshot = Arc::new(self.successor(current, &plan)?);
        // Before anybody hears of them.
        self.open_ports_to_virtual_macs(&snapshot);
        let generation = current.generation + 1;
        let next = Current { plan: Arc::new(plan), config, snapshot, generation };
        *self.current.write() = next.clone();
        let published = self.publish(&next);
        self.health.commit(&next.plan, &next.config.health, derived);
        warn_of_hand_overs(&current.plan, &next.plan);
        Ok(published?)
    }

    /// Whether a plan that its operator wants could be put into effect now. Nothing changes.
    ///
    /// # Errors
    /// Those of [`Running::change`].
    pub(in crate::control) fn could_be(&self, mut plan: Plan, config: &Config) -> Result<(), ChangeError> {
        let _turn = self.changing.lock();
        let current = self.current();
        check(&plan, &config.health, current.snapshot.room)?;
        self.health.derive(&mut plan, &config.health);
        self.successor(&current, &plan)?;
        Ok(())
    }

    fn successor(&self, current: &Current, plan: &Plan) -> Result<Snapshot, SnapshotError> {
        // A worker that is behind may still open connections for a server that is gone for all others.
        let all_follow = !self.workers.iter().any(WorkerView::is_behind);
        let in_use = |number| match number {
            _ if !all_follow => true,
            Numbered::Server(server) => self.board.total(server) != Load::default(),
            Numbered::Local(address) => self.local_ports(address) != 0,
        };
        current.snapshot.successor(plan, &in_use)
    }

    /// Tells that the director has another role than `before`, if it has.
    pub(in crate::control) fn tell_role(&self, before: Role, who: Option<&str>) {
        let role = self.current().plan.director.role;
        if role == before {
            return;
        }
        let text = match role {
            Role::Active => "the director is active: it answers for its VIPs and announces them",
            Role::Standby => "the director is on standby: it says nothing for its VIPs",
            Role::Follow => "the director follows the kernel: it answers for VIPs that are on a host side",
        };
        let happened = Happened::new(Kind::RoleChanged, text);
        self.journal.tell(who.map_or(happened.clone(), |who| happened.by(who)));
    }

    /// Has local addresses go that are not configured any more, once the last connection has left them.
    pub(crate) fn release_local_addresses(&self) {
        let leaves = |(id, local): (LocalId, &LocalAddress)| {
            local.standing == LocalStanding::Leaving && self.local_ports(id) == 0
        };
        let may_go = |current: &Current| current.snapshot.local_addresses.numbered().any(leaves);
        if !may_go(&self.current()) || self.workers.iter().any(WorkerView::is_behind) {
            return;
        }
        if let Some(_turn) = self.changing.try_lock() {
            let current = self.current();
            if may_go(&current) {
                // A worker that does not respond is told of by whoever gives it the snapshot.
                let _ = self.carry_out(&current, current.operators_plan(), current.config.clone());
            }
        }
    }

    /// Retries workers that did not respond to a change.
    pub(crate) fn catch_up(&self) {
        if self.workers.iter().any(WorkerView::is_behind)
            && let Some(_turn) = self.changing.try_lock()
        {
            let current = self.current();
            for worker in self.workers.iter().filter(|worker| worker.is_behind()) {
                if give(worker, &current).is_ok() {
                    let text = format!(
                        "worker {} responds again and took configuration {}",
                        worker.id.0, current.generation
                    );
                    self.journal.tell(Happened::new(Kind::WorkerRecovered, text));
                }
            }
        }
    }

    /// Gives the snapshot to all workers and waits until they use it.
    fn publish(&self, next: &Current) -> Result<(), Silent> {
        let mut outcome = Ok(());
        for worker in &self.workers {
            if let Err(silent) = give(worker, next) {
                let text = format!("{silent}; it keeps configuration {}", worker.generation());
                self.journal.tell(Happened::new(Kind::WorkerStuck, text));
                outcome = Err(silent);
            }
        }
        outcome
    }
}

fn give(worker: &WorkerView, current: &Current) -> Result<(), Silent> {
    let exchange = match worker.is_behind() {
        true => Exchange::whole(current.snapshot.clone(), worker.id),
        false => Exchange::new(current.snapshot.clone(), worker.id),
    };
    let outcome = worker.line.ask(exchange).map(drop);
    match outcome {
        Ok(()) => worker.took(current.generation),
        Err(_) => worker.fell_behind(),
    }
    outcome
}

/// Warns of servers that are new and whose replies the ports' keys do not bring to their workers.
fn warn_of_hand_overs(before: &Plan, after: &Plan) {
    if let Some(warning) = hand_overs(before, after) {
        warn!("{warning}");
    }
}

fn hand_overs(before: &Plan, after: &Plan) -> Option<String> {
    let known = before.out_of_reach();
    let new: Vec<String> = after.out_of_reach().difference(&known).map(ToString::to_string).collect();
    (!new.is_empty()).then(|| {
        format!(
            "replies of {} are handed over between workers: the ports' RSS keys were drawn for the servers that there were \
             at start; start lb-app again to have keys drawn for all",
            new.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::{
        flow::zero_window::ZeroWindow,
        service::{
            key::ServiceKey,
            plan::{Method, Protocol, ServerPlan, ServicePlan},
        },
    };
    use std::net::{IpAddr, Ipv6Addr};

    #[test]
    fn servers_are_named_whose_replies_new_ones_hand_over() {
        let near: Ipv6Addr = "2001:db8:2::11".parse().expect("an address");
        let plan = |servers: &[&str]| {
            let key = ServiceKey::new(Protocol::Tcp, "[2001:db8:1::100]:80".parse().expect("an endpoint"));
            let mut service = ServicePlan::new("web", key, Method::Nat);
            let server =
                |server: &&str| ServerPlan::new(server.parse::<IpAddr>().expect("an address"), 80, 1);
            service.servers = servers.iter().map(server).collect();
            let zero_window = ZeroWindow::draw(99, 7, 4, &[near]).map(Arc::new);
            Plan { services: vec![service], zero_window, ..Plan::default() }
        };
        let (first, far) = ("2001:db8:2::11", "2001:db8:2:357:0:a1b2:0:13");
        let before = plan(&[first]);
        assert_eq!(hand_overs(&before, &plan(&[first, "2001:db8:2::12"])), None);
        assert_eq!(
            hand_overs(&before, &plan(&[first, far])).as_deref(),
            Some(
                "replies of 2001:db8:2:357:0:a1b2:0:13 are handed over between workers: the ports' RSS keys were drawn for \
                 the servers that there were at start; start lb-app again to have keys drawn for all"
            )
        );
        assert_eq!(hand_overs(&plan(&[first, far]), &plan(&[far])), None, "it was there before");
    }
}
