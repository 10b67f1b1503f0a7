//! Starting the director, serving and ending it: all the other modules, put together.
//!
//! * [`keys`]: which way packets under NAT come to their workers by themselves.
//! * [`ports`]: from the configuration's devices to started ports with a queue for every worker.
//! * [`placement`]: memory, lcores and NUMA nodes, described at start.
//! * `workers`: a worker on each lcore.
//! * [`start`]: everything in order, up to workers that run.
//! * [`serve`]: the running director, its periodic chores and its end.
//! * `clients`: what is remembered of clients, from one run to the next.
//! * `notices`: what workers noticed.
//! * `watchdog`: what the service manager is told about workers.

mod clients;
pub(crate) mod keys;
mod notices;
pub(crate) mod placement;
pub(crate) mod ports;
pub(crate) mod serve;
pub(crate) mod start;
mod watchdog;
mod workers;
