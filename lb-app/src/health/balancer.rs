//! What checks work for: something that forwards, and can change what its servers get.

use super::target::Target;
use crate::dataplane::host::Host;
use lb_core::worker::host::Recipient;
use std::{net::IpAddr, sync::Arc};

/// What checks work for.
pub(crate) trait Balancer: Send + Sync {
    /// Has its plan derived anew from what is known, and put into effect if it is different.
    ///
    /// # Errors
    /// Why nothing was changed.
    fn refresh(&self) -> Result<(), String>;

    /// Where packets of checks that leave by the balancer's own ports come out, if it has any.
    fn host(&self) -> Option<Arc<Host>> {
        None
    }

    /// The way to a server by these ports: to the VIP, by the service's method, or to the server itself.
    ///
    /// # Errors
    /// Why there is none.
    fn way(&self, _: &Target, _to_vip: bool) -> Result<Way, String> {
        Err("the director has no ports".to_owned())
    }
}

/// The way to a server by the director's own ports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// The server.
    pub(crate) to: Recipient,
    /// The address of the director's that they are sent from.
    pub(crate) source: IpAddr,
    /// Largest packet that can go to it, in bytes.
    pub(crate) mtu: u16,
    /// A packet to the VIP would not reach the server with the VIP in it: NAT.
    pub(crate) translates: bool,
}
