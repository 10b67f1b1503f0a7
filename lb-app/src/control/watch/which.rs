//! Which packets somebody wants to see.

use super::error::WatchError;
use crate::{control::live::running::Running, dataplane::packet_filter::PacketFilter};
use lb_core::packet::PortId;

/// The port of that name or number.
pub(crate) fn port_called(running: &Running, name: &str) -> Result<PortId, WatchError> {
    running.port_called(name).ok_or_else(|| WatchError::NoPort(name.to_owned()))
}

/// Compiles a filter, to have it refused here if it is wrong; workers get one of their own each.
pub(super) fn compile(expression: &str) -> Result<PacketFilter, WatchError> {
    PacketFilter::compile(expression).map_err(WatchError::Filter)
}
