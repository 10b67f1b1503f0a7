//! The one place that starts, asks and ends the director.
//!
//! * [`ports`]: from the configuration's devices to started ports with a queue for every worker.
//! * [`placement`]: memory, lcores and NUMA nodes, told at start.
//! * [`start`]: everything in order, up to workers that run.
//! * [`director`]: the running director, its periodic chores and its end.
//! * [`running`]: what runs, shared by everybody who asks or changes anything.
//! * [`change`]: changing it while it runs.
//! * [`health`]: what checks of servers find out, made part of the plan.
//! * [`servers`]: what becomes of one server: enabled, drained, disabled, ill, warming up.
//! * [`difference`], [`reload`]: the configuration file read again.
//! * [`telemetry`]: what DPDK's telemetry socket tells.
//! * [`watch`]: explanations, traces and captures.
//! * `replace`: a file replaced in one step.
//! * [`save`]: what runs written back into the configuration file.
//! * [`state_file`]: connections on disk, from one run to the next.
//! * [`manager`]: what the service manager is told.
//! * [`passive`]: what traffic itself tells of servers.
//! * [`query`]: what only workers know or can do.
//! * [`api`]: what clients ask, and what they are answered.
//! * [`socket`], [`shell`]: the clients' ways to it.

pub(crate) mod api;
pub(crate) mod change;
pub(crate) mod difference;
pub(crate) mod director;
mod health;
mod manager;
pub(crate) mod passive;
pub(crate) mod placement;
pub(crate) mod ports;
pub(crate) mod query;
pub(crate) mod reload;
mod replace;
pub(crate) mod running;
pub(crate) mod save;
pub(crate) mod servers;
pub(crate) mod shell;
pub(crate) mod socket;
pub(crate) mod start;
pub(crate) mod state_file;
pub(crate) mod telemetry;
pub(crate) mod watch;
