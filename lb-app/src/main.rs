//! The load balancer appliance.

// Until the command line and the data plane are wired up.
#[allow(dead_code)]
mod config;

fn main() {}
