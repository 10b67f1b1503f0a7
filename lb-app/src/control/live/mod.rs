//! What runs: its facts, and the way to its workers. Everybody who asks or changes anything begins here.
//!
//! * [`workers`]: workers from outside, and what only they know or can do.
//! * [`running`]: the director that runs.
//! * [`ports`]: its ports, stopped and started.
//! * [`interfaces`]: interfaces by name, and what each moved.
//! * [`links`]: their links, and those of members of bonds, which come up and go down; [`link_states`]: how
//!   they were found.
//! * [`locals`]: local addresses of FullNAT, and their ports.
//! * [`held`]: VIPs that the kernel has there.
//! * [`host_sides`]: frames between ports and the kernel, which sees what ports are by `netlink`.
//! * [`drops`]: packets dropped above a rate.

pub(crate) mod drops;
pub(crate) mod held;
pub(crate) mod host_sides;
pub(crate) mod interfaces;
pub(crate) mod link_states;
pub(crate) mod links;
pub(crate) mod locals;
pub(crate) mod netlink;
pub(crate) mod ports;
pub(crate) mod running;
pub(crate) mod workers;
