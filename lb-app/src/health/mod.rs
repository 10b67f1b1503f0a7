//! Health checks: does each server work, and what follows if it does not.
//!
//! [`machine`] and [`pool`] decide, without a clock; [`probe`] asks, with one file for each kind of check; [`monitor`]
//! does both on threads of the control plane, and tells a [`Balancer`] what to do. Nothing here runs on a worker lcore:
//! threads inherit the CPU of the main lcore.

mod command;
mod conversation;
mod dns;
mod hooks;
mod http;
mod icmp;
mod machine;
mod monitor;
mod pool;
mod ports;
mod probe;
mod process;
pub(crate) mod report;
mod socket;
mod state;
mod tls;
mod udp;

#[cfg(test)]
mod tests;

pub(crate) use monitor::Monitor;
pub(crate) use pool::Role;
pub(crate) use ports::Way;
pub(crate) use probe::Target;

use crate::{config::Config, dataplane::host::Host};
use lb_core::service::{key::ServiceKey, plan::Plan};
use std::{net::SocketAddr, sync::Arc};

/// What checks work for: something that has services and can change what their servers get.
pub(crate) trait Balancer: Send + Sync {
    /// What is wanted now. Nothing when it has ended.
    fn wanted(&self) -> Option<Wanted>;

    /// Carries orders out, all or none. Servers and services that are not there any more are passed over.
    ///
    /// # Errors
    /// Why nothing was changed.
    fn carry_out(&self, orders: &[Order]) -> Result<(), String>;

    /// Where packets of checks that leave by the balancer's own ports come out, if it has any.
    fn host(&self) -> Option<Arc<Host>> {
        None
    }

    /// The way to a server by these ports: to the VIP, by the service's method, or to the server itself.
    ///
    /// # Errors
    /// Why there is none.
    fn way(&self, _: &Target, _to_vip: bool) -> Result<Way, String> {
        Err("there are no ports".to_owned())
    }
}

/// What a balancer is to do.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The services.
    pub(crate) plan: Arc<Plan>,
    /// How they are checked, in the configuration that also says everything else.
    pub(crate) config: Arc<Config>,
    /// Grows by one whenever something of this changes.
    pub(crate) number: u64,
}

/// What is to become of the servers of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Whose.
    pub(crate) service: ServiceKey,
    /// By server.
    pub(crate) roles: Vec<(SocketAddr, Role)>,
    /// The sorry server, if there is one.
    pub(crate) sorry: Option<(SocketAddr, Role)>,
}
