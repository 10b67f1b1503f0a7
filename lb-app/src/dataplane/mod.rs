//! What runs on lcores: polling, passing packets to the core and on to queues and rings, and nothing else.
//!
//! * [`activity`]: how busy a worker is.
//! * [`clock`]: the time stamp counter as the core's time.
//! * [`idle`]: what a worker does when there is nothing to do.
//! * [`host`]: what the control plane sends by ports, and what is heard for it.
//! * [`mesh`]: hand-over rings between all workers.
//! * [`io`]: the core's packets go to queues, rings and pools.
//! * [`filter`], [`tap`]: packets that somebody watches.
//! * [`lcore`]: the loop.
//! * [`request`]: questions to a worker about what only it knows.

pub(crate) mod activity;
pub(crate) mod clock;
pub(crate) mod filter;
pub(crate) mod host;
pub(crate) mod idle;
pub(crate) mod io;
pub(crate) mod lcore;
pub(crate) mod mesh;
pub(crate) mod request;
pub(crate) mod tap;
