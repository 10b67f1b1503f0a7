//! The load balancer itself.
//!
//! No I/O, no threads, no clock, no random source and no DPDK: packets and time come in, decisions about them go
//! out. The same code runs on lcores, under property tests and in a simulated network.

#![cfg_attr(
    not(test),
    warn(
        clippy::cast_lossless,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss
    )
)]

mod cast;
pub mod conn;
pub mod counters;
pub mod decide;
pub mod explain;
pub mod explanation;
pub mod family;
pub mod flow;
pub mod forward;
pub mod ids;
pub mod limits;
pub mod memory;
mod mix;
pub mod module;
mod named;
pub mod neigh;
pub mod packet;
pub mod peers;
mod record;
pub mod sched;
pub mod service;
pub mod time;
pub mod wire;
pub mod worker;
