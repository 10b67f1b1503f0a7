//! Connections that directors of Linux's IPVS are told of, and tell of: its synchronization, version 1.
//!
//! * [`message`]: what goes over the network.
//! * [`entry`]: what an entry means here: states, methods, flags.
//! * [`flags`]: what of that connections and clients have in common.
//! * [`template`]: the same of clients of persistent services.
//! * [`backup`]: what masters tell goes into a table of its own, which workers ask as they ask that of peers.
//! * [`master`]: which connections are told when.
//!
//! Nothing of it is acknowledged or authenticated; whoever can send to the group can tell of connections. So nothing that
//! is told changes a connection that is known here, and what is held has room of its own.

pub mod backup;
pub mod entry;
pub mod flags;
pub mod master;
pub mod message;
pub mod template;
