//! Metrics of services and their servers: what is balanced to them.

use super::{
    facts::{Facts, Server, Service},
    text::{Family, Gauge, Kind, Writer},
};

/// Name and help of each of a service's counters.
const SERVICE_COUNTERS: [(&str, &str); 5] = [
    ("lb_service_connections", "Connections scheduled to the servers of a service."),
    ("lb_service_incoming_packets", "Packets from clients to a service."),
    ("lb_service_outgoing_packets", "Packets from a service to clients, under NAT and FullNAT."),
    ("lb_service_incoming_bytes", "Bytes of IPv4 packets from clients to a service."),
    ("lb_service_outgoing_bytes", "Bytes of IPv4 packets from a service to clients, under NAT and FullNAT."),
];

/// Name and help of each of a server's counters.
const SERVER_COUNTERS: [(&str, &str); 5] = [
    ("lb_server_connections", "Connections scheduled to a real server."),
    ("lb_server_incoming_packets", "Packets from clients to a real server."),
    ("lb_server_outgoing_packets", "Packets from a real server to clients, under NAT and FullNAT."),
    ("lb_server_incoming_bytes", "Bytes of IPv4 packets from clients to a real server."),
    (
        "lb_server_outgoing_bytes",
        "Bytes of IPv4 packets from a real server to clients, under NAT and FullNAT.",
    ),
];

/// Writes them.
pub(super) fn write<F: FnMut(Vec<u8>)>(facts: &Facts, writer: &mut Writer<F>) {
    write_services(facts, writer);
    write_servers(facts, writer);
}

fn write_services<F: FnMut(Vec<u8>)>(facts: &Facts, writer: &mut Writer<F>) {
    let gauges: [Gauge<Service>; 4] = [
        ("lb_service_servers", "Real servers of a service.", |service| service.servers[0]),
        ("lb_service_serving_servers", "Real servers of a service that take new connections.", |service| {
            service.servers[1]
        }),
        ("lb_service_active_connections", "Established connections of a service.", |service| service.active),
        ("lb_service_inactive_connections", "Other connections of a service.", |service| service.inactive),
    ];
    let things = facts.services.iter().map(|service| (&*service.labels, service));
    writer.gauges(&gauges, &things);
    writer.counters(&SERVICE_COUNTERS, &things.map(|(labels, service)| (labels, &service.counters[..])));
}

fn write_servers<F: FnMut(Vec<u8>)>(facts: &Facts, writer: &mut Writer<F>) {
    let gauges: [Gauge<Server>; 4] = [
        ("lb_server_active_connections", "Established connections of a real server.", |server| server.active),
        ("lb_server_inactive_connections", "Other connections of a real server.", |server| server.inactive),
        (
            "lb_server_weight",
            "Present weight of a real server; with 0 it takes no new connections.",
            |server| server.weight,
        ),
        ("lb_server_enabled", "0 if an operator drains or has disabled a real server.", |server| {
            server.enabled.into()
        }),
    ];
    let infos = [
        ("lb_service", "Description of a service that has one."),
        ("lb_server", "Description of a real server that has one."),
    ];
    for ((name, help), described) in infos.into_iter().zip(&facts.described) {
        writer.family(&Family { name, kind: Kind::Info, help });
        described.iter().for_each(|labels| writer.sample(labels, 1));
    }
    let things = facts.servers.iter().map(|server| (&*server.labels, server));
    writer.gauges(&gauges, &things);
    writer.counters(&SERVER_COUNTERS, &things.map(|(labels, server)| (labels, &server.counters[..])));
}
