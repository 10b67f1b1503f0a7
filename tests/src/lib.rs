//! Worlds for whole-appliance stories.
//!
//! A [`World`] is a handful of network namespaces: a client, a director, real servers, and a switch with a `wan` and
//! a `lan` bridge between them. Client and servers run the kernel's TCP/IP and real programs (curl, nginx); the
//! director runs `lb-app` on DPDK's `net_af_packet` ports. The stories in `stories/` say what happens in such a
//! world; the `demo` binary shows it.
//!
//! Everything here needs root, and everything a world makes is gone when it is dropped: processes by the id they
//! were started under, namespaces by name.

pub mod agent;
pub mod arp;
pub mod bird;
pub mod browser;
pub mod client;
pub mod cluster;
pub mod config;
pub mod control;
pub mod director;
pub mod dns;
pub mod flock;
pub mod flood;
pub mod frr;
pub mod ftp;
pub mod guest;
pub mod http;
pub mod hugepages;
pub mod irc;
pub mod lag;
pub mod load;
pub mod netns;
pub mod pptp;
pub mod process;
pub mod recipe;
pub mod segments;
pub mod server;
pub mod status;
pub mod steady;
pub mod taps;
pub mod terminal;
pub mod tftp;
pub mod trunk;
mod turn;
mod wires;
pub mod world;

pub use config::{Config, Method};
pub use director::Director;
pub use world::World;
