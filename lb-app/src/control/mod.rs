//! The control plane: it knows what runs, changes it, and answers those who ask. Its parts, lowest first:
//!
//! * [`live`]: what runs, and the way to its workers.
//! * [`edit`]: edits of the plan, by operators, checks and time.
//! * [`mod@file`]: the configuration file read again and written back; connections kept from run to run.
//! * [`watch`]: explanations, traces and captures.
//! * [`announce`]: which VIPs routing daemons are told of.
//! * [`sync`]: what directors tell one another of connections.
//! * [`plane`]: all of these together.
//! * [`api`]: what clients ask, and what they are answered.
//! * [`clients`]: the ways in which they come.

pub(crate) mod announce;
pub(crate) mod api;
pub(crate) mod clients;
pub(crate) mod edit;
pub(crate) mod file;
pub(crate) mod live;
pub(crate) mod plane;
pub(crate) mod sync;
pub(crate) mod watch;
