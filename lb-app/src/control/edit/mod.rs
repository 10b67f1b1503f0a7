//! Edits of the plan while it runs. Each is checked, made into a snapshot and taken by all workers, or nothing of it is.
//!
//! * [`change`]: how an edit is carried out.
//! * [`check`]: whether the edited plan may run.
//! * [`servers`]: the states of one server: enabled, drained, disabled, down, slow start.
//! * [`follow`]: which VIPs are the director's because the kernel has them.
//! * [`health`]: what checks of servers find out.
//! * [`sorry`]: the sorry servers of a plan.
//! * [`passive`]: what traffic itself tells of servers.

pub(crate) mod change;
pub(in crate::control) mod check;
pub(crate) mod follow;
pub(crate) mod health;
pub(crate) mod passive;
pub(crate) mod servers;
pub(crate) mod sorry;
