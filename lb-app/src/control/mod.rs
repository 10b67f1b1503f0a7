//! The one place that starts, asks and ends the director.
//!
//! * [`ports`]: from the configuration's devices to started ports with a queue for every worker.
//! * [`placement`]: memory, lcores and NUMA nodes, told at start.
//! * [`start`]: everything in order, up to workers that run.
//! * [`director`]: the running director, its periodic chores and its end.
//! * [`query`]: what only workers know.

pub(crate) mod director;
pub(crate) mod placement;
pub(crate) mod ports;
pub(crate) mod query;
pub(crate) mod start;
