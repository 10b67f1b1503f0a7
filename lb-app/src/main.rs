//! The load balancer appliance.

#[allow(unsafe_code, reason = "DPDK is C; this module makes it safe")]
mod dpdk;

mod config;

fn main() {}
