//! Rules of SNAT.

use super::units::bytes;
use crate::protocol::snat::{Rule, Rules};
use std::fmt::Write;

pub(super) fn rules(text: &mut String, list: &Rules) {
    if list.rules.is_empty() {
        let _ = writeln!(text, "there are no rules of [[snat]]: what servers send by themselves is dropped");
    }
    list.rules.iter().for_each(|of| rule(text, of));
    for drop in &list.drops {
        let _ = writeln!(
            text,
            "dropped, {}: {} packets, {} per s",
            drop.reason, drop.packets, drop.packets_per_s
        );
    }
}

fn rule(text: &mut String, of: &Rule) {
    let Rule { name, active, inactive, connections, .. } = of;
    let on = of.interface.as_ref().map_or_else(String::new, |on| format!(", leaving by {on}"));
    let ports = of.ports.join(", ");
    let _ = writeln!(text, "{name}: from {}{on}, with ports {ports}", of.sources.join(", "));
    let _ = writeln!(text, "  {:<39}{:>10}  capacity", "address", "in use");
    for address in &of.addresses {
        let (used, each) = (address.used, address.each);
        let shown = address.address.to_string();
        let _ = writeln!(text, "  {shown:<39}{used:>10}  {each} towards each address and port outside");
    }
    for module in &of.modules {
        let _ = writeln!(text, "  {} reads connections to ports {}", module.module, module.ports.join(", "));
    }
    let _ = writeln!(text, "  connections: {active} active, {inactive} inactive, {connections} opened");
    let _ = writeln!(
        text,
        "  sent {} packets, {}; received {} packets, {}",
        of.packets_sent,
        bytes(of.bytes_sent),
        of.packets_received,
        bytes(of.bytes_received)
    );
}
