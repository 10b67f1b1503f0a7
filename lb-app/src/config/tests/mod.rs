//! Configurations, good and bad.

mod bad;
mod good;
mod included;
mod options;
mod reference;

use super::{Config, Limits, parse, report::Report};

const LIMITS: Limits = Limits { workers: 2, available_bytes: 1 << 30 };

/// A small configuration that is right; tests change or extend it.
const BASE: &str = r#"[[ports]]
name = "wan"
device = "net_af_packet0,iface=veth0,qpairs=2"
addresses = ["192.0.2.1/24"]

[[ports]]
name = "lan"
device = "0000:03:00.1"
addresses = ["198.51.100.1/24"]

[[services]]
name = "web"
vip = "192.0.2.100"
port = 80
protocol = "tcp"
method = "nat"
"#;

fn check(text: &str) -> Result<Config, Report> {
    parse("lb.toml", text, LIMITS)
}
