//! What operators want to know of.

use super::{machine::Change, target::Target};
use lb_core::service::key::ServiceKey;
use std::net::SocketAddr;

/// Something that operators want to know of. What is said of a service holds until the next event says otherwise; the
/// `first` one says how it starts, so that whoever has missed an end is put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A server changed.
    Server { target: Target, change: Change, reason: String },
    /// A service has its quorum or not. `program` is its own for that.
    Quorum { service: ServiceKey, name: String, reached: bool, program: Option<Vec<String>>, first: bool },
    /// The sorry server stands in or waits.
    Sorry { service: ServiceKey, name: String, server: SocketAddr, serves: bool, first: bool },
    /// No server of a service works, and those that worked last are kept; or that is not so.
    Kept { service: ServiceKey, name: String, kept: bool, first: bool },
}
