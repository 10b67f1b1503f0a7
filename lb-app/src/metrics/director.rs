//! Metrics of the director as a whole: its configuration, VIPs, tables, local addresses, clients and events.

use super::{
    facts::Facts,
    text::{Family, Kind, Writer, labels},
};
use crate::control::live::locals::Usage;
use lb_core::service::plan::Role;

/// Name and help of a gauge of a local address, and its value if it has one.
type LocalGauge = (&'static str, &'static str, fn(&Usage) -> Option<u64>);

/// Writes them.
pub(super) fn write<F: FnMut(Vec<u8>)>(facts: &Facts, writer: &mut Writer<F>) {
    let gauge = |name, help| Family { name, kind: Kind::Gauge, help };
    writer.family(&Family { name: "lb_build", kind: Kind::Info, help: "Version." });
    writer.sample(&labels(&[("version", env!("CARGO_PKG_VERSION"))]), 1);
    let help = "Configuration file as it was last read and applied.";
    writer.family(&Family { name: "lb_configuration", kind: Kind::Info, help });
    writer.sample(&labels(&[("sha256", &facts.sha256)]), 1);
    if let Some(watched) = &facts.watched {
        let help = "Configuration that is in effect, and the content of the file that is watched.";
        writer.family(&Family { name: "lb_config_hash", kind: Kind::Info, help });
        writer.sample(&labels(&[("of", "effect"), ("sha256", &facts.sha256)]), 1);
        if let Some(sha256) = &watched.sha256 {
            writer.sample(&labels(&[("of", "file"), ("sha256", sha256)]), 1);
        }
        let help =
            "0 if the configuration file that is watched was refused, so that an earlier one is in effect.";
        writer.family(&gauge("lb_config_in_effect", help));
        writer.sample("", watched.refused.is_none().into());
    }
    writer.family(&gauge("lb_uptime_seconds", "Time since the director started."));
    writer.fraction("", facts.uptime_s);
    writer.family(&gauge("lb_forwarding", "0 if an operator has stopped forwarding."));
    writer.sample("", facts.forwarding.into());
    let help = "1 for the role that the director has: active, on standby it says nothing for its VIPs, or it follows the kernel.";
    writer.family(&gauge("lb_director_role", help));
    for role in Role::ALL {
        writer.sample(&labels(&[("role", role.name())]), (*role == facts.role).into());
    }
    if !facts.active.is_empty() {
        let help = "Whether the director answers for a VIP or a local address.";
        writer.family(&gauge("lb_vip_active", help));
        for (vip, active) in &facts.active {
            writer.sample(&labels(&[("vip", vip)]), (*active).into());
        }
    }
    if !facts.announced.is_empty() {
        writer.family(&gauge("lb_vip_announced", "Whether a VIP is announced to routing daemons."));
        for (vip, announced) in &facts.announced {
            writer.sample(&labels(&[("vip", vip)]), (*announced).into());
        }
    }
    let help = "Capacity of the connection tables of a family, over all workers.";
    writer.family(&gauge("lb_connections_capacity", help));
    for fill in &facts.tables {
        writer.sample(&labels(&[("family", &fill.family)]), fill.capacity);
    }
    let help = "Connections of a family now, over all workers.";
    writer.family(&gauge("lb_connections", help));
    for fill in &facts.tables {
        writer.sample(&labels(&[("family", &fill.family)]), fill.connections);
    }
    if !facts.local_addresses.is_empty() {
        let values: [LocalGauge; 3] = [
            ("lb_local_address_ports_used", "Ports of a local address in use.", |it| Some(it.used)),
            (
                "lb_local_address_ports_capacity",
                "Ports of a local address towards all servers; of none of SNAT.",
                |it| (it.each == 0).then_some(it.capacity),
            ),
            (
                "lb_local_address_ports_each",
                "Ports of a local address of SNAT towards each address and port outside.",
                |it| (it.each > 0).then_some(it.each),
            ),
        ];
        for (name, help, value) in values {
            let known = facts.local_addresses.iter().filter_map(|local| Some((local, value(local)?)));
            let mut known = known.peekable();
            if known.peek().is_some() {
                writer.family(&gauge(name, help));
            }
            for (local, value) in known {
                writer.sample(&labels(&[("address", &local.address.to_string())]), value);
            }
        }
    }
    let [clients, capacity, full, contended] = facts.persistence;
    writer.family(&gauge("lb_persistent_clients", "Clients whose servers are remembered."));
    writer.sample("", clients);
    writer.family(&gauge("lb_persistent_clients_capacity", "Clients that can be remembered."));
    writer.sample("", capacity);
    let help = "Connections of persistent services whose client could not be remembered, by reason.";
    writer.family(&Family { name: "lb_persistence_missed", kind: Kind::Counter, help });
    writer.sample(&labels(&[("reason", "full")]), full);
    writer.sample(&labels(&[("reason", "contended")]), contended);
    writer.family(&gauge("lb_packet_buffers", "Packet buffers in total."));
    writer.sample("", facts.buffers[1]);
    writer.family(&gauge("lb_packet_buffers_used", "Packet buffers in use."));
    writer.sample("", facts.buffers[0]);
    let help = "Configurations that took effect: changes by operators, checks, slow start and reloads.";
    writer.family(&Family { name: "lb_changes", kind: Kind::Counter, help });
    writer.sample("", facts.changes);
    let help = "Reloads of the configuration file, by result.";
    writer.family(&Family { name: "lb_reloads", kind: Kind::Counter, help });
    for (result, count) in ["made", "refused"].iter().zip(facts.reloads) {
        writer.sample(&labels(&[("result", result)]), count);
    }
    let help = "Events, by kind.";
    writer.family(&Family { name: "lb_events", kind: Kind::Counter, help });
    for (kind, count) in &facts.events {
        writer.sample(&labels(&[("kind", kind.name())]), *count);
    }
}
