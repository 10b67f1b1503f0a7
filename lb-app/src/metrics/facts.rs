//! Everything that is measured, at one moment: taken from what runs, and written as text.

use super::{
    ipvs,
    names::Names,
    peers,
    text::{Family, Format, Kind, Writer, labels},
};
use crate::{
    control::{file::watched::Told, live::locals::Usage, sync},
    health::report::{Report, ServerState},
};
use lb_core::{counters::DropReason, service::plan::Role};
use lb_ctl::protocol::{connections::Fill, events::Kind as Happening};
use std::sync::Arc;

/// One service: the sum of its servers.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// With braces.
    pub(crate) labels: Arc<str>,
    /// As of a server.
    pub(crate) counters: [u64; 5],
    pub(crate) active: u64,
    pub(crate) inactive: u64,
    /// All that it has, and those of them that take new connections.
    pub(crate) servers: [u64; 2],
}

/// One server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// With braces; those of node_exporter's collector for IPVS.
    pub(crate) labels: Arc<str>,
    /// New connections, packets in and out, bytes in and out, in the order of [`SERVER_COUNTERS`].
    pub(crate) counters: [u64; 5],
    pub(crate) active: u64,
    pub(crate) inactive: u64,
    /// As it is now.
    pub(crate) weight: u64,
    /// Its operator neither drains nor has disabled it.
    pub(crate) enabled: bool,
}

/// One worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Worker {
    /// In the order of [`WORKER_COUNTERS`].
    pub(crate) counters: [u64; 25],
    pub(crate) connections: u64,
    pub(crate) waiting: u64,
    pub(crate) waiting_fragments: u64,
    pub(crate) datagrams: u64,
    /// By [`DropReason`].
    pub(crate) dropped: Vec<u64>,
    /// With something to do, and without.
    pub(crate) cycles: [u64; 2],
    /// Polls by the most packets that those counted brought.
    pub(crate) polls: Vec<(u32, u64)>,
    /// Packets that polls brought.
    pub(crate) polled: u64,
}

/// One port.
#[derive(Clone, Debug, Default)]
pub(crate) struct Port {
    pub(crate) name: String,
    /// In the order of [`PORT_COUNTERS`].
    pub(crate) counters: [u64; 8],
    pub(crate) link_up: bool,
    /// Of a bond: its members, and whether packets can pass by them.
    pub(crate) members: Vec<(String, bool)>,
    /// Nobody has stopped it.
    pub(crate) started: bool,
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) uptime_s: f64,
    /// Of the configuration file.
    pub(crate) sha256: String,
    /// What became of it, if it is watched.
    pub(crate) watched: Option<Told>,
    /// Ports are polled.
    pub(crate) forwarding: bool,
    /// What the director is to its VIPs.
    pub(crate) role: Role,
    /// Host sides of ports: the port, and what was moved, in the order of [`HOST_COUNTERS`].
    pub(crate) host_sides: Vec<(String, [u64; 4])>,
    /// VIPs and local addresses, and whether the director answers for them.
    pub(crate) active: Vec<(String, bool)>,
    /// Interfaces in VLANs: name, port, and what was moved, in the order of [`INTERFACE_COUNTERS`].
    pub(crate) interfaces: Vec<(String, String, [u64; 4])>,
    /// VIPs, and whether they are announced.
    pub(crate) announced: Vec<(String, bool)>,
    pub(crate) tables: [Fill; 2],
    /// What is known of peers, and connections taken over as they told.
    pub(crate) sync: (sync::Facts, u64),
    /// What is known of directors of IPVS, if connections are synchronized with them, and how many were taken over.
    pub(crate) ipvs: Option<(sync::ipvs::Facts, u64)>,
    /// Local addresses and their ports.
    pub(crate) local_addresses: Vec<Usage>,
    /// Clients that are remembered, that there is room for, and connections that were not remembered: for want of room, and
    /// as another worker held their place.
    pub(crate) persistence: [u64; 4],
    pub(crate) changes: u64,
    /// Those that were made, and those that were refused.
    pub(crate) reloads: [u64; 2],
    /// What happened, and how often.
    pub(crate) events: Vec<(Happening, u64)>,
    pub(crate) buffers: [u64; 2],
    pub(crate) services: Vec<Service>,
    pub(crate) servers: Vec<Server>,
    /// Labels of the services and servers that somebody has described.
    pub(crate) described: [Vec<String>; 2],
    pub(crate) workers: Vec<Worker>,
    pub(crate) ports: Vec<Port>,
    pub(crate) health: Option<Report>,
    /// What the services and servers of `health` are called.
    pub(crate) names: Arc<Names>,
}

/// Name and help of each of a server's counters.
pub(crate) const SERVER_COUNTERS: [(&str, &str); 5] = [
    ("lb_server_connections", "Connections scheduled to a real server."),
    ("lb_server_incoming_packets", "Packets from clients to a real server."),
    ("lb_server_outgoing_packets", "Packets from a real server to clients, under NAT and FullNAT."),
    ("lb_server_incoming_bytes", "Bytes of IPv4 packets from clients to a real server."),
    (
        "lb_server_outgoing_bytes",
        "Bytes of IPv4 packets from a real server to clients, under NAT and FullNAT.",
    ),
];

/// Name and help of each of a service's counters.
pub(crate) const SERVICE_COUNTERS: [(&str, &str); 5] = [
    ("lb_service_connections", "Connections scheduled to the servers of a service."),
    ("lb_service_incoming_packets", "Packets from clients to a service."),
    ("lb_service_outgoing_packets", "Packets from a service to clients, under NAT and FullNAT."),
    ("lb_service_incoming_bytes", "Bytes of IPv4 packets from clients to a service."),
    ("lb_service_outgoing_bytes", "Bytes of IPv4 packets from a service to clients, under NAT and FullNAT."),
];

/// Name and help of each of a worker's counters.
pub(crate) const WORKER_COUNTERS: [(&str, &str); 25] = [
    ("lb_worker_received_packets", "Packets received from ports."),
    ("lb_worker_taken_over_packets", "Packets taken over from other workers."),
    ("lb_worker_originated_packets", "Packets that the worker made itself."),
    ("lb_worker_sent_packets", "Packets sent: given to a port and accepted by it."),
    ("lb_worker_host_packets", "Packets for the director itself."),
    ("lb_worker_handed_over_packets", "Packets handed over to other workers."),
    ("lb_worker_created_connections", "Connections created."),
    ("lb_worker_ended_connections", "Connections ended, for whatever reason."),
    ("lb_worker_evicted_connections", "Unconfirmed connections that made room for new ones."),
    ("lb_worker_refused_connections", "New connections refused because no server of the service takes any."),
    (
        "lb_worker_exhausted_connections",
        "New connections refused because no local port towards the server was free.",
    ),
    (
        "lb_worker_sent_client_addresses",
        "Headers of the PROXY protocol and TOA options sent to servers, repeated ones included.",
    ),
    (
        "lb_worker_left_out_client_addresses",
        "Segments without the TOA option that they should have had: there was no room.",
    ),
    ("lb_worker_expected_connections", "Connections that modules have announced."),
    ("lb_worker_came_connections", "Of the connections that modules have announced, those that have come."),
    (
        "lb_worker_unexpected_connections",
        "Of the connections that modules have announced, those for which there was no room, that made room for others, \
         could not be told from others, or are said to clients at an address that they do not reach.",
    ),
    ("lb_worker_rewritten_packets", "Packets in which a module replaced text, repeated ones included."),
    (
        "lb_worker_unread_connections",
        "Connections that no module reads although one should, as there are too many.",
    ),
    (
        "lb_worker_quic_connections",
        "Connections of QUIC that went to the server that their connection ID names.",
    ),
    (
        "lb_worker_quic_lost_connections",
        "Connections of QUIC that went on and were scheduled anew, as their connection ID names no server, or one that is \
         gone.",
    ),
    ("lb_worker_sent_resets", "TCP resets, and aborts of SCTP, sent as answers."),
    ("lb_worker_sent_icmp_errors", "ICMP errors sent as answers."),
    ("lb_worker_missing_buffers", "Own packets not sent because there was no packet buffer."),
    ("lb_worker_fragmented_packets", "Packets fragmented because the way out carries less."),
    ("lb_worker_made_fragments", "Fragments that they were sent in."),
];

/// Name and help of each of the counters of an interface in a VLAN.
pub(crate) const INTERFACE_COUNTERS: [(&str, &str); 4] = [
    ("lb_interface_received_packets", "Frames that an interface in a VLAN received."),
    ("lb_interface_sent_packets", "Frames that an interface in a VLAN sent."),
    ("lb_interface_received_bytes", "Bytes that an interface in a VLAN received."),
    ("lb_interface_sent_bytes", "Bytes that an interface in a VLAN sent."),
];

/// Name and help of each of a port's counters.
pub(crate) const PORT_COUNTERS: [(&str, &str); 8] = [
    ("lb_port_received_packets", "Packets that the port received."),
    ("lb_port_sent_packets", "Packets that the port sent."),
    ("lb_port_received_bytes", "Bytes that the port received."),
    ("lb_port_sent_bytes", "Bytes that the port sent."),
    ("lb_port_missed_packets", "Packets lost because workers were too slow."),
    ("lb_port_receive_errors", "Packets received damaged."),
    ("lb_port_send_errors", "Packets whose transmission failed."),
    ("lb_port_missing_buffers", "Packets lost or delayed because there was no packet buffer."),
];

/// Name, direction and help of each of a host side's counters. Those of one name follow one another.
pub(crate) const HOST_COUNTERS: [(&str, &str, &str); 4] = [
    ("lb_host_packets", "to-kernel", "Packets moved between a port and its host side."),
    ("lb_host_packets", "from-kernel", "Packets moved between a port and its host side."),
    ("lb_host_lost_packets", "to-kernel", "Packets lost between a port and its host side."),
    ("lb_host_lost_packets", "from-kernel", "Packets lost between a port and its host side."),
];

/// Name and help of a gauge, and its value.
type Gauge<T> = (&'static str, &'static str, fn(&T) -> u64);

/// The same of a local address, if it has such a value.
type LocalGauge = (&'static str, &'static str, fn(&Usage) -> Option<u64>);

impl Facts {
    /// Writes everything, piece by piece.
    pub(crate) fn write(&self, format: Format, send: impl FnMut(Vec<u8>)) {
        let mut writer = Writer::new(format, send);
        self.write_director(&mut writer);
        self.write_workers(&mut writer);
        self.write_ports(&mut writer);
        self.write_members(&mut writer);
        self.write_interfaces(&mut writer);
        self.write_host_sides(&mut writer);
        peers::write(&self.sync.0, self.sync.1, &mut writer);
        if let Some((facts, adopted)) = &self.ipvs {
            ipvs::write(facts, *adopted, &mut writer);
        }
        self.write_health(&mut writer);
        self.write_services(&mut writer);
        self.write_servers(&mut writer);
        writer.finish();
    }

    fn write_director<F: FnMut(Vec<u8>)>(&self, writer: &mut Writer<F>) {
        let gauge = |name, help| Family { name, kind: Kind::Gauge, help };
        writer.family(&Family { name: "lb_build", kind: Kind::Info, help: "Version." });
        writer.sample(&labels(&[("version", env!("CARGO_PKG_VERSION"))]), 1);
        let help = "Configuration file as it was last read and applied.";
        writer.family(&Family { name: "lb_configuration", kind: Kind::Info, help });
        writer.sample(&labels(&[("sha256", &self.sha256)]), 1);
        if let Some(watched) = &self.watched {
            let help = "Configuration that is in effect, and the content of the file that is watched.";
            writer.family(&Family { name: "lb_config_hash", kind: Kind::Info, help });
            writer.sample(&labels(&[("of", "effect"), ("sha256", &self.sha256)]), 1);
            if let Some(sha256) = &watched.sha256 {
                writer.sample(&labels(&[("of", "file"), ("sha256", sha256)]), 1);
            }
            let help = "0 if the configuration file that is watched was refused, so that an earlier one is in effect.";
            writer.family(&gauge("lb_config_in_effect", help));
            writer.sample("", watched.refused.is_none().into());
        }
        writer.family(&gauge("lb_uptime_seconds", "Time since the director started."));
        writer.fraction("", self.uptime_s);
        writer.family(&gauge("lb_forwarding", "0 if an operator has stopped forwarding."));
        writer.sample("", self.forwarding.into());
        let help = "1 for the role that the director has: active, on standby it says nothing for its VIPs, or it follows the kernel.";
        writer.family(&gauge("lb_director_role", help));
        for role in Role::ALL {
            writer.sample(&labels(&[("role", role.name())]), (*role == self.role).into());
        }
        if !self.active.is_empty() {
            let help = "Whether the director answers for a VIP or a local address.";
            writer.family(&gauge("lb_vip_active", help));
            for (vip, active) in &self.active {
                writer.sample(&labels(&[("vip", vip)]), (*active).into());
            }
        }
        if !self.announced.is_empty() {
            writer.family(&gauge("lb_vip_announced", "Whether a VIP is announced to routing daemons."));
            for (vip, announced) in &self.announced {
                writer.sample(&labels(&[("vip", vip)]), (*announced).into());
            }
        }
        let help = "Capacity of the connection tables of a family, over all workers.";
        writer.family(&gauge("lb_connections_capacity", help));
        for fill in &self.tables {
            writer.sample(&labels(&[("family", &fill.family)]), fill.capacity);
        }
        let help = "Connections of a family now, over all workers.";
        writer.family(&gauge("lb_connections", help));
        for fill in &self.tables {
            writer.sample(&labels(&[("family", &fill.family)]), fill.connections);
        }
        if !self.local_addresses.is_empty() {
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
                let known = self.local_addresses.iter().filter_map(|local| Some((local, value(local)?)));
                let mut known = known.peekable();
                if known.peek().is_some() {
                    writer.family(&gauge(name, help));
                }
                for (local, value) in known {
                    writer.sample(&labels(&[("address", &local.address.to_string())]), value);
                }
            }
        }
        let [clients, capacity, full, contended] = self.persistence;
        writer.family(&gauge("lb_persistent_clients", "Clients whose servers are remembered."));
        writer.sample("", clients);
        writer.family(&gauge("lb_persistent_clients_capacity", "Clients that can be remembered."));
        writer.sample("", capacity);
        let help = "Connections of persistent services whose client could not be remembered, by reason.";
        writer.family(&Family { name: "lb_persistence_missed", kind: Kind::Counter, help });
        writer.sample(&labels(&[("reason", "full")]), full);
        writer.sample(&labels(&[("reason", "contended")]), contended);
        writer.family(&gauge("lb_packet_buffers", "Packet buffers in total."));
        writer.sample("", self.buffers[1]);
        writer.family(&gauge("lb_packet_buffers_used", "Packet buffers in use."));
        writer.sample("", self.buffers[0]);
        let help = "Configurations that took effect: changes by operators, checks, slow start and reloads.";
        writer.family(&Family { name: "lb_changes", kind: Kind::Counter, help });
        writer.sample("", self.changes);
        let help = "Reloads of the configuration file, by result.";
        writer.family(&Family { name: "lb_reloads", kind: Kind::Counter, help });
        for (result, count) in ["made", "refused"].iter().zip(self.reloads) {
            writer.sample(&labels(&[("result", result)]), count);
        }
        let help = "Events, by kind.";
        writer.family(&Family { name: "lb_events", kind: Kind::Counter, help });
        for (kind, count) in &self.events {
            writer.sample(&labels(&[("kind", kind.name())]), *count);
        }
    }

    fn write_workers<F: FnMut(Vec<u8>)>(&self, writer: &mut Writer<F>) {
        let workers = || (0..).map(|number: u32| number.to_string()).zip(&self.workers);
        let named: Vec<String> = workers().map(|(number, _)| labels(&[("worker", &number)])).collect();
        for (index, (name, help)) in WORKER_COUNTERS.into_iter().enumerate() {
            writer.family(&Family { name, kind: Kind::Counter, help });
            for (labels, worker) in named.iter().zip(&self.workers) {
                writer.sample(labels, worker.counters[index]);
            }
        }
        let help = "Packets dropped, by reason.";
        writer.family(&Family { name: "lb_worker_dropped_packets", kind: Kind::Counter, help });
        for (number, worker) in workers() {
            for (reason, count) in DropReason::ALL.iter().zip(&worker.dropped) {
                writer.sample(&labels(&[("worker", &number), ("reason", reason.name())]), *count);
            }
        }
        let gauges: [Gauge<Worker>; 4] = [
            ("lb_worker_connections", "Connections now.", |worker| worker.connections),
            ("lb_worker_waiting_packets", "Packets that wait for a neighbour's address.", |worker| {
                worker.waiting
            }),
            (
                "lb_worker_waiting_fragments",
                "Fragments that wait for the first of their datagram.",
                |worker| worker.waiting_fragments,
            ),
            ("lb_worker_fragmented_datagrams", "Datagrams that are known by their fragments.", |worker| {
                worker.datagrams
            }),
        ];
        for (name, help, value) in gauges {
            writer.family(&Family { name, kind: Kind::Gauge, help });
            named.iter().zip(&self.workers).for_each(|(labels, worker)| writer.sample(labels, value(worker)));
        }
        let help = "CPU cycles of loop iterations with packets or other work, and of those without, including sleep.";
        writer.family(&Family { name: "lb_worker_cycles", kind: Kind::Counter, help });
        for (number, worker) in workers() {
            for (state, cycles) in ["busy", "idle"].iter().zip(worker.cycles) {
                writer.sample(&labels(&[("worker", &number), ("state", state)]), cycles);
            }
        }
        let help = "Packets per poll of a port.";
        writer.family(&Family { name: "lb_worker_burst_packets", kind: Kind::Histogram, help });
        for (number, worker) in workers() {
            let mut polls = 0;
            for (most, count) in &worker.polls {
                polls += count;
                let bucket = labels(&[("worker", &number), ("le", &format!("{most}.0"))]);
                writer.part("_bucket", &bucket, polls);
            }
            writer.part("_bucket", &labels(&[("worker", &number), ("le", "+Inf")]), polls);
            writer.part("_sum", &labels(&[("worker", &number)]), worker.polled);
            writer.part("_count", &labels(&[("worker", &number)]), polls);
        }
    }

    fn write_ports<F: FnMut(Vec<u8>)>(&self, writer: &mut Writer<F>) {
        for (index, (name, help)) in PORT_COUNTERS.into_iter().enumerate() {
            writer.family(&Family { name, kind: Kind::Counter, help });
            for port in &self.ports {
                writer.sample(&labels(&[("port", &port.name)]), port.counters[index]);
            }
        }
        let gauges: [Gauge<Port>; 2] = [
            ("lb_port_link_up", "1 if the port's link is up.", |port| port.link_up.into()),
            ("lb_port_started", "0 if an operator has stopped the port.", |port| port.started.into()),
        ];
        for (name, help, value) in gauges {
            writer.family(&Family { name, kind: Kind::Gauge, help });
            for port in &self.ports {
                writer.sample(&labels(&[("port", &port.name)]), value(port));
            }
        }
    }

    fn write_members<F: FnMut(Vec<u8>)>(&self, writer: &mut Writer<F>) {
        if self.ports.iter().all(|port| port.members.is_empty()) {
            return;
        }
        let help = "1 if packets can pass by the member of a bond, or could if it were its turn.";
        writer.family(&Family { name: "lb_port_member_up", kind: Kind::Gauge, help });
        for port in &self.ports {
            for (member, up) in &port.members {
                writer.sample(&labels(&[("port", &port.name), ("member", member)]), u64::from(*up));
            }
        }
    }

    fn write_interfaces<F: FnMut(Vec<u8>)>(&self, writer: &mut Writer<F>) {
        for (index, (name, help)) in INTERFACE_COUNTERS.into_iter().enumerate() {
            if self.interfaces.is_empty() {
                return;
            }
            writer.family(&Family { name, kind: Kind::Counter, help });
            for (interface, port, counters) in &self.interfaces {
                let labels = labels(&[("interface", interface), ("port", port)]);
                writer.sample(&labels, counters[index]);
            }
        }
    }

    fn write_host_sides<F: FnMut(Vec<u8>)>(&self, writer: &mut Writer<F>) {
        if self.host_sides.is_empty() {
            return;
        }
        for (index, (name, direction, help)) in HOST_COUNTERS.into_iter().enumerate() {
            if index.is_multiple_of(2) {
                writer.family(&Family { name, kind: Kind::Counter, help });
            }
            for (port, counters) in &self.host_sides {
                writer.sample(&labels(&[("port", port), ("direction", direction)]), counters[index]);
            }
        }
    }

    fn write_services<F: FnMut(Vec<u8>)>(&self, writer: &mut Writer<F>) {
        let gauges: [Gauge<Service>; 4] = [
            ("lb_service_servers", "Real servers of a service.", |service| service.servers[0]),
            (
                "lb_service_serving_servers",
                "Real servers of a service that take new connections.",
                |service| service.servers[1],
            ),
            ("lb_service_active_connections", "Established connections of a service.", |service| {
                service.active
            }),
            ("lb_service_inactive_connections", "Other connections of a service.", |service| {
                service.inactive
            }),
        ];
        for (name, help, value) in gauges {
            writer.family(&Family { name, kind: Kind::Gauge, help });
            self.services.iter().for_each(|service| writer.sample(&service.labels, value(service)));
        }
        for (index, (name, help)) in SERVICE_COUNTERS.into_iter().enumerate() {
            writer.family(&Family { name, kind: Kind::Counter, help });
            self.services.iter().for_each(|service| writer.sample(&service.labels, service.counters[index]));
        }
    }

    fn write_servers<F: FnMut(Vec<u8>)>(&self, writer: &mut Writer<F>) {
        let gauges: [Gauge<Server>; 4] = [
            ("lb_server_active_connections", "Established connections of a real server.", |server| {
                server.active
            }),
            ("lb_server_inactive_connections", "Other connections of a real server.", |server| {
                server.inactive
            }),
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
        for ((name, help), described) in infos.into_iter().zip(&self.described) {
            writer.family(&Family { name, kind: Kind::Info, help });
            described.iter().for_each(|labels| writer.sample(labels, 1));
        }
        for (name, help, value) in gauges {
            writer.family(&Family { name, kind: Kind::Gauge, help });
            self.servers.iter().for_each(|server| writer.sample(&server.labels, value(server)));
        }
        for (index, (name, help)) in SERVER_COUNTERS.into_iter().enumerate() {
            writer.family(&Family { name, kind: Kind::Counter, help });
            self.servers.iter().for_each(|server| writer.sample(&server.labels, server.counters[index]));
        }
    }

    fn write_health<F: FnMut(Vec<u8>)>(&self, writer: &mut Writer<F>) {
        let Some(report) = &self.health else { return };
        let gauge = |name, help| Family { name, kind: Kind::Gauge, help };
        let counter = |name, help| Family { name, kind: Kind::Counter, help };
        writer.family(&counter("lb_health_hooks", "Hooks that were run."));
        writer.sample("", report.hooks.0);
        writer.family(&counter("lb_health_failed_hooks", "Hooks that failed."));
        writer.sample("", report.hooks.1);
        let services: Vec<_> = report
            .services
            .iter()
            .map(|service| (self.names.service(service.key, &service.name), service))
            .collect();
        writer.family(&gauge("lb_health_quorum", "Whether a service has its quorum."));
        services.iter().for_each(|(labels, service)| writer.sample(labels, u64::from(service.quorum)));
        writer.family(&counter("lb_health_quorum_changes", "Times a quorum was reached or lost."));
        services.iter().for_each(|(labels, service)| writer.sample(labels, service.quorum_changes));
        writer.family(&gauge(
            "lb_health_sorry_server",
            "Whether a service's sorry server gets new connections.",
        ));
        for (labels, service) in services.iter().filter(|(_, service)| service.sorry.is_some()) {
            writer.sample(labels, u64::from(service.sorry.is_some_and(|(_, serves)| serves)));
        }
        let servers: Vec<_> = report
            .services
            .iter()
            .flat_map(|service| {
                service
                    .servers
                    .iter()
                    .map(|server| (self.names.server(service.key.server(server.address)), server))
            })
            .collect();
        writer.family(&gauge("lb_health_up", "Whether a real server is up, by its checks."));
        for (labels, server) in &servers {
            writer.sample(labels, u64::from(server.state == ServerState::Up));
        }
        writer.family(&gauge("lb_health_held", "Whether a real server is held because of flapping."));
        for (labels, server) in &servers {
            writer.sample(labels, u64::from(server.state == ServerState::Held));
        }
        writer.family(&counter("lb_health_checks", "Checks of a real server."));
        servers.iter().for_each(|(labels, server)| writer.sample(labels, server.checks));
        writer.family(&counter("lb_health_failed_checks", "Checks of a real server that failed."));
        servers.iter().for_each(|(labels, server)| writer.sample(labels, server.failures));
        writer.family(&counter("lb_health_changes", "How often a real server went up or down."));
        servers.iter().for_each(|(labels, server)| writer.sample(labels, server.transitions));
        writer.family(&gauge("lb_health_check_duration_seconds", "How long the last check took."));
        for (labels, server) in &servers {
            writer.fraction(labels, server.took_us as f64 / 1e6);
        }
    }
}
