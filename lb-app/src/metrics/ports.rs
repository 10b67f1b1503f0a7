//! Metrics of ports, members of bonds, interfaces in VLANs, and host sides.

use super::{
    facts::{Facts, Port},
    text::{Family, Gauge, Kind, Writer, labels},
};

/// Name and help of each of a port's counters.
const PORT_COUNTERS: [(&str, &str); 8] = [
    ("lb_port_received_packets", "Packets that the port received."),
    ("lb_port_sent_packets", "Packets that the port sent."),
    ("lb_port_received_bytes", "Bytes that the port received."),
    ("lb_port_sent_bytes", "Bytes that the port sent."),
    ("lb_port_missed_packets", "Packets lost because workers were too slow."),
    ("lb_port_receive_errors", "Packets received damaged."),
    ("lb_port_send_errors", "Packets whose transmission failed."),
    ("lb_port_missing_buffers", "Packets lost or delayed because there was no packet buffer."),
];

/// Name and help of each of the counters of an interface in a VLAN.
const INTERFACE_COUNTERS: [(&str, &str); 4] = [
    ("lb_interface_received_packets", "Frames that an interface in a VLAN received."),
    ("lb_interface_sent_packets", "Frames that an interface in a VLAN sent."),
    ("lb_interface_received_bytes", "Bytes that an interface in a VLAN received."),
    ("lb_interface_sent_bytes", "Bytes that an interface in a VLAN sent."),
];

/// Name, direction and help of each of a host side's counters. Those of one name follow one another.
const HOST_COUNTERS: [(&str, &str, &str); 4] = [
    ("lb_host_packets", "to-kernel", "Packets moved between a port and its host side."),
    ("lb_host_packets", "from-kernel", "Packets moved between a port and its host side."),
    ("lb_host_lost_packets", "to-kernel", "Packets lost between a port and its host side."),
    ("lb_host_lost_packets", "from-kernel", "Packets lost between a port and its host side."),
];

/// Writes them.
pub(super) fn write<F: FnMut(Vec<u8>)>(facts: &Facts, writer: &mut Writer<F>) {
    write_ports(facts, writer);
    write_members(facts, writer);
    write_interfaces(facts, writer);
    write_host_sides(facts, writer);
}

fn write_ports<F: FnMut(Vec<u8>)>(facts: &Facts, writer: &mut Writer<F>) {
    let named: Vec<String> = facts.ports.iter().map(|port| labels(&[("port", &port.name)])).collect();
    let things = named.iter().map(String::as_str).zip(&facts.ports);
    writer.counters(&PORT_COUNTERS, &things.clone().map(|(labels, port)| (labels, &port.counters[..])));
    let gauges: [Gauge<Port>; 2] = [
        ("lb_port_link_up", "1 if the port's link is up.", |port| port.link_up.into()),
        ("lb_port_started", "0 if an operator has stopped the port.", |port| port.started.into()),
    ];
    writer.gauges(&gauges, &things);
}

fn write_members<F: FnMut(Vec<u8>)>(facts: &Facts, writer: &mut Writer<F>) {
    if facts.ports.iter().all(|port| port.members.is_empty()) {
        return;
    }
    let help = "1 if packets can pass by the member of a bond, or could if it were its turn.";
    writer.family(&Family { name: "lb_port_member_up", kind: Kind::Gauge, help });
    for port in &facts.ports {
        for (member, up) in &port.members {
            writer.sample(&labels(&[("port", &port.name), ("member", member)]), u64::from(*up));
        }
    }
}

fn write_interfaces<F: FnMut(Vec<u8>)>(facts: &Facts, writer: &mut Writer<F>) {
    if facts.interfaces.is_empty() {
        return;
    }
    let label =
        |(interface, port, _): &(String, String, _)| labels(&[("interface", interface), ("port", port)]);
    let named: Vec<String> = facts.interfaces.iter().map(label).collect();
    let counters = facts.interfaces.iter().map(|(_, _, counters)| &counters[..]);
    writer.counters(&INTERFACE_COUNTERS, &named.iter().map(String::as_str).zip(counters));
}

fn write_host_sides<F: FnMut(Vec<u8>)>(facts: &Facts, writer: &mut Writer<F>) {
    if facts.host_sides.is_empty() {
        return;
    }
    for (index, (name, direction, help)) in HOST_COUNTERS.into_iter().enumerate() {
        if index.is_multiple_of(2) {
            writer.family(&Family { name, kind: Kind::Counter, help });
        }
        for (port, counters) in &facts.host_sides {
            writer.sample(&labels(&[("port", port), ("direction", direction)]), counters[index]);
        }
    }
}
