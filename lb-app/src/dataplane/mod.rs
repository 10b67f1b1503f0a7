//! What runs on lcores: polling, passing packets to the core and on to queues and rings, and nothing else. Lowest first:
//!
//! * [`activity`]: how busy a worker is.
//! * [`clock`]: the time stamp counter as the core's time.
//! * [`idle`]: what a worker does when there is nothing to do.
//! * [`shutdown`]: pausing and ending all workers together.
//! * [`hand_over`]: rings between all workers.
//! * [`host`]: packets that the control plane sends and receives by ports.
//! * [`host_side`]: packets between ports and the kernel.
//! * [`io`]: the core's packets go to queues, rings and pools.
//! * [`packet_filter`], [`tap`]: packets that somebody watches.
//! * [`wired`]: a worker with its queues and rings.
//! * [`ask`], [`asks`]: questions to a worker about what only it knows.
//! * [`lcore`]: the loop.

pub(crate) mod activity;
pub(crate) mod ask;
pub(crate) mod asks;
pub(crate) mod clock;
pub(crate) mod connection_view;
pub(crate) mod hand_over;
pub(crate) mod host;
pub(crate) mod host_side;
pub(crate) mod idle;
pub(crate) mod io;
pub(crate) mod lcore;
pub(crate) mod packet_filter;
pub(crate) mod shutdown;
pub(crate) mod tap;
pub(crate) mod wired;

/// Packets of one poll: enough to overlap cache misses, few enough to stay in the first-level cache.
pub(crate) const BURST: usize = 32;
