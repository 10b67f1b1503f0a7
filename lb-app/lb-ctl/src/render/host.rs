//! Host sides of ports, and who answers for which address.

use crate::protocol::host::{Address, Host, Side};
use std::fmt::Write;

pub(super) fn host(text: &mut String, host: &Host) {
    let Host { role, sides, addresses } = host;
    if sides.is_empty() {
        text.push_str("no port has a host side: set `host` of a port\n");
    }
    for Side { port, interface, mac, virtual_macs, link_up, to_kernel, from_kernel, refused, lost } in sides {
        let link = if *link_up { "up" } else { "down" };
        let _ = writeln!(text, "{interface}: host side of port {port}, at {mac}, link {link}");
        if !virtual_macs.is_empty() {
            let _ = writeln!(text, "  virtual routers at {}", virtual_macs.join(", "));
        }
        let _ = writeln!(text, "  packets to the kernel: {to_kernel}, and {refused} that it did not take");
        let _ = writeln!(text, "  packets from the kernel: {from_kernel}, and {lost} lost");
    }
    let _ = writeln!(text, "role {role}");
    let width = addresses.iter().map(|it| it.address.to_string().len()).max().unwrap_or_default();
    for Address { address, active, interface, mac } in addresses {
        let (address, state) = (address.to_string(), if *active { "active" } else { "standby" });
        let _ = match (interface, mac) {
            (Some(interface), Some(mac)) => {
                writeln!(text, "{address:<width$}  {state}: the kernel has it on {interface}, at {mac}")
            }
            _ => writeln!(text, "{address:<width$}  {state}"),
        };
    }
}
