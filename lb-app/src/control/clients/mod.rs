//! The ways in which clients come: the control socket, the shell of `-i`, and DPDK's telemetry.

mod doors;
mod seats;
pub(crate) mod shell;
pub(crate) mod socket;
pub(crate) mod telemetry;
