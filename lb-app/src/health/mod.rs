//! Health checks: does each server work, and what follows if it does not. Its parts, lowest first:
//!
//! * [`machine`] and [`pool`] decide, without a clock: what a row of results says of a server, and what the states of a
//!   service's servers mean together. [`part`] is what a service makes of each, and [`advice`] what is said of one beside
//!   whether it works.
//! * [`state`] is all that is known; [`mod@derive`] writes what follows from it into a plan, [`follow`] goes on from a plan
//!   that is in effect, and [`knowledge`] shares it all. [`report`] is for those who ask.
//! * [`balancer`] is what checks work for; [`means`] are their ways out: [`socket`] by the kernel, [`ports`] by the
//!   director's own ports, where [`waiting`] and [`conversation`] are a TCP/IP stack for each check; and [`process`].
//!   Which of them leads to a server, [`attached`] and [`routes`] know.
//! * [`probe`] asks, with one file for each kind of check; [`group`] has it ask once what several services want to know.
//! * [`caution`] says what of the checks this machine may not do.
//! * [`hooks`] tell operators, and [`monitor`] does it all on threads of the control plane.
//!
//! Nothing here runs on a worker lcore: threads inherit the CPU of the main lcore.

mod advice;
mod agent;
mod attached;
mod balancer;
pub(crate) mod capability;
pub(crate) mod caution;
mod command;
mod conversation;
mod datagrams;
mod derive;
mod dns;
mod eager;
mod event;
mod file;
mod follow;
mod group;
mod hooks;
mod http;
mod icmp;
mod knowledge;
mod machine;
mod means;
mod monitor;
mod part;
mod pool;
mod ports;
mod probe;
mod process;
pub(crate) mod report;
pub(crate) mod routes;
mod smtp;
mod socket;
mod state;
mod target;
mod tls;
mod udp;
mod waiting;

#[cfg(test)]
mod tests;

pub(crate) use balancer::{Balancer, Way};
pub(crate) use knowledge::Knowledge;
pub(crate) use monitor::Monitor;
#[cfg(test)]
pub(crate) use pool::Role;
pub(crate) use target::Target;
