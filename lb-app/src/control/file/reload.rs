//! Reload: the configuration file is read again while the director runs, and what has changed in it is applied in one
//! change. What operators did at run time stays elsewhere. What is the same keeps its connections, counters and health.
//!
//! A wrong change can cut off whoever made it. So a reload can require confirmation: unless it is confirmed in time, it
//! is rolled back.

use super::{
    difference::{Difference, line::Line},
    merge::merge,
};
use crate::{
    config::{self, Config, Limits, memory, report::Report},
    control::{edit::change::ChangeError, live::running::Running},
    health::caution::{Caution, cautions},
    journal::Happened,
    systemd,
};
use lb_core::service::{footprint, plan::Plan};
use lb_ctl::protocol::events::Kind;
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use thiserror::Error;
use tracing::warn;

/// Why nothing was reloaded.
#[derive(Debug, Error)]
pub(crate) enum ReloadError {
    #[error(transparent)]
    Config(#[from] Report),
    /// Something is different that takes effect at start only.
    #[error("{}", restart_message(.0))]
    Restart(Difference),
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Memory for other lookup tables, beside those that there are until all workers have the new ones.
    #[error(
        "nothing was changed: lookup tables for the schedulers' changed servers need {} MiB of memory, {} MiB is available; \
         use fewer services with sh, dh or mh that have different servers",
        .needed.div_ceil(1 << 20), .available >> 20
    )]
    Memory { needed: u64, available: u64 },
    /// Peers could not be talked to with it.
    #[error("nothing was changed: {0}")]
    Key(String),
    /// The last reload is still on condition.
    #[error("the last reload is pending confirmation for another {} s: confirm it, or wait for its rollback", .0.as_secs())]
    Unconfirmed(Duration),
}

/// How to reload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct How {
    /// Report what is different, change nothing.
    pub(crate) dry_run: bool,
    /// Roll back unless confirmed within that time.
    pub(crate) confirm_within: Option<Duration>,
}

/// What a reload made different, or would.
#[derive(Debug)]
pub(crate) struct Reloaded {
    pub(crate) difference: Difference,
    /// What stays as operators set it at run time, although the file says something else.
    pub(crate) kept: Vec<Line>,
    /// What the checks that there are now may not do on this machine.
    pub(crate) cautions: Vec<Caution>,
}

/// A reload that has not been confirmed.
#[derive(Debug)]
struct Pending {
    until: Instant,
    /// What the reload made of the plan.
    made: Plan,
    /// What was before.
    plan: Plan,
    config: Arc<Config>,
}

/// Reloads: how many there were, and whether the last one waits to be confirmed.
#[derive(Debug, Default)]
pub(crate) struct Reloads {
    pending: Mutex<Option<Pending>>,
    made: AtomicU64,
    refused: AtomicU64,
}

impl Reloads {
    /// Reads the file again and applies it, for somebody.
    ///
    /// # Errors
    /// When the file is wrong, or asks for what takes a restart; then nothing has changed.
    pub(crate) fn reload(&self, running: &Running, how: How, who: &str) -> Result<Reloaded, ReloadError> {
        let reloading = (!how.dry_run).then(systemd::reloading);
        let outcome = self.try_reload(running, how, who);
        drop(reloading);
        if let Ok(Reloaded { difference, kept, cautions }) = &outcome
            && !how.dry_run
        {
            cautions.iter().for_each(|caution| warn!("reload: {caution}"));
            let lines = difference.live.iter().map(ToString::to_string);
            let kept = kept.iter().map(Line::kept);
            let text = format!("reload: configuration {} is in effect", running.current().generation);
            let happened = Happened::new(Kind::Reloaded, text).by(who).details(lines.chain(kept));
            running.journal.tell(happened);
            if let Some(within) = how.confirm_within {
                let text =
                    format!("the reload is rolled back unless confirmed within {} s", within.as_secs());
                running.journal.tell(Happened::new(Kind::ReloadPending, text).by(who));
            }
        }
        if let Err(error) = &outcome
            && !how.dry_run
        {
            let text = format!("reload: {}", error.to_string().trim_end());
            running.journal.tell(Happened::new(Kind::ReloadRefused, text).by(who));
        }
        if !how.dry_run {
            let count = if outcome.is_ok() { &self.made } else { &self.refused };
            count.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    fn try_reload(&self, running: &Running, how: How, who: &str) -> Result<Reloaded, ReloadError> {
        let limits = Limits { workers: running.workers.len(), available_bytes: u64::MAX };
        let mut config = config::load(&running.path, limits)?;
        let mut pending = self.pending.lock();
        if let Some(waiting) = &*pending {
            return Err(ReloadError::Unconfirmed(waiting.until.saturating_duration_since(Instant::now())));
        }
        let before = running.current();
        let now = before.operators_plan();
        let wanted = Config { plan: merge(&before.config.plan, &now, &config.plan), ..config.clone() };
        let difference = Difference::between(&before.config, &now, &wanted);
        if !difference.restart.is_empty() {
            return Err(ReloadError::Restart(difference));
        }
        if config.sync.is_on() {
            config.sync.seal().map_err(ReloadError::Key)?;
        }
        let needed = footprint(&wanted.plan.services).new_table_bytes(&footprint(&before.plan.services));
        let available = memory::available_bytes().unwrap_or(u64::MAX);
        if needed > available {
            return Err(ReloadError::Memory { needed, available });
        }
        // What there is room for was decided at start.
        config.room = before.config.room;
        running.could_be(wanted.plan.clone(), &config)?;
        let kept = Difference::between(&config, &config.plan, &wanted).live;
        let cautions = cautions(&config.health, &wanted.plan);
        if !how.dry_run {
            let config = Arc::new(config);
            let made = running.change_all(Some(config.clone()), |plan| {
                *plan = merge(&before.config.plan, plan, &config.plan);
                Ok(plan.clone())
            })?;
            running.tell_role(before.plan.director.role, Some(who));
            *pending = how.confirm_within.map(|within| Pending {
                until: Instant::now() + within,
                made,
                plan: now,
                config: before.config,
            });
        }
        Ok(Reloaded { difference, kept, cautions })
    }

    /// Confirms the pending reload, for somebody. Whether there was one.
    pub(crate) fn confirm(&self, running: &Running, who: &str) -> bool {
        let was_pending = self.pending.lock().take().is_some();
        if was_pending {
            running.journal.tell(Happened::new(Kind::ReloadConfirmed, "the reload is confirmed").by(who));
        }
        was_pending
    }

    /// How long a reload is still pending confirmation, if one is.
    pub(crate) fn unconfirmed(&self) -> Option<Duration> {
        let pending = self.pending.lock();
        pending.as_ref().map(|pending| pending.until.saturating_duration_since(Instant::now()))
    }

    /// Rolls back a reload that was not confirmed in time. Called by the director every few milliseconds.
    pub(crate) fn go_back_if_unconfirmed(&self, running: &Running, now: Instant) {
        let mut pending = self.pending.lock();
        if pending.as_ref().is_none_or(|pending| pending.until > now) {
            return;
        }
        let Some(Pending { made, plan: before, config, .. }) = pending.take() else { return };
        let role = running.current().plan.director.role;
        // What operators did in the meantime is newer than both.
        let outcome = running.change_all(Some(config), |plan| {
            *plan = merge(&made, &before, plan);
            Ok(())
        });
        let not_confirmed = "the reload was not confirmed in time";
        running.tell_role(role, None);
        running.journal.tell(match outcome {
            Ok(()) => Happened::new(Kind::ReloadRolledBack, format!("{not_confirmed}: rolled back")),
            Err(error) => Happened::new(
                Kind::RollbackFailed,
                format!("{not_confirmed}, but the rollback failed: {error}"),
            ),
        });
    }

    /// Reloads that were made, and those that were refused.
    pub(crate) fn counts(&self) -> [u64; 2] {
        [&self.made, &self.refused].map(|count| count.load(Ordering::Relaxed))
    }

    /// Reloads because of a signal: the outcome is in the journal.
    pub(crate) fn reload_by_signal(&self, running: &Running) {
        let _ = self.reload(running, How::default(), "signal HUP");
    }
}

fn restart_message(difference: &Difference) -> String {
    let lines: Vec<String> = difference.restart.iter().map(|line| format!("  {line}")).collect();
    format!("nothing was changed: these changes require a restart:\n{}", lines.join("\n"))
}
