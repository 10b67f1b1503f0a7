//! A layer-4 load balancer appliance on DPDK.

#![allow(dead_code, unused_imports, reason = "the wiring comes next")]

#[allow(unsafe_code, reason = "DPDK is C; this module makes it safe")]
mod dpdk;

fn main() {}
