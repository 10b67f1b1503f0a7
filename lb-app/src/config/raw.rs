//! What the user said: the keys of the file with their types and places, and nothing about what they mean together.

use super::{
    Control, Idle,
    health::{Hooks, OwnCheck, Pool, read_check, read_pool},
    place::{At, Field, Place},
    report::Problems,
    table::Table,
    timeouts::Changes,
    values::{
        boolean, destination, directory, duration, host, listen, name, number, own_address, socket, text,
        word,
    },
};
use ipnet::Ipv4Net;
use lb_core::{
    limits::{MAX_CONNECTIONS, MAX_MTU, MAX_SERVERS, MAX_WEIGHT, MIN_MTU},
    service::plan::{Admin, Method, Protocol, SchedulerKind, Unserved},
    time::Duration,
};
use std::net::{Ipv4Addr, SocketAddr};
use toml::de::DeTable;

/// Most addresses of one port.
const MAX_ADDRESSES: usize = 256;

/// The whole file.
pub(super) struct Raw {
    /// The file itself, for what is missing from it.
    pub(super) place: Place,
    pub(super) workers: Workers,
    pub(super) timeouts: Changes,
    pub(super) control: Control,
    pub(super) tunnel_local: Option<At<Ipv4Addr>>,
    pub(super) hooks: Hooks,
    pub(super) metrics_listen: Option<At<SocketAddr>>,
    pub(super) ports: Vec<Port>,
    /// No port was lost because it could not be read at all.
    pub(super) ports_complete: bool,
    pub(super) routes: Vec<Route>,
    /// No route was, either.
    pub(super) routes_complete: bool,
    pub(super) services: Vec<Service>,
    pub(super) vips: Vec<Vip>,
}

/// `[workers]`
pub(super) struct Workers {
    /// The table, or the file if there is none.
    pub(super) place: Place,
    pub(super) connections: Field<usize>,
    pub(super) servers: Field<usize>,
    pub(super) state_file: Option<At<String>>,
    pub(super) idle: Field<Idle>,
    pub(super) verify_checksums: Field<bool>,
}

/// `[[ports]]`
pub(super) struct Port {
    pub(super) place: Place,
    pub(super) name: Option<At<String>>,
    pub(super) device: Option<At<String>>,
    /// `None` if the list or one of its elements means nothing: then nobody knows what is attached.
    pub(super) addresses: Option<Vec<At<Ipv4Net>>>,
    pub(super) mtu: Field<u16>,
    pub(super) checksum_offload: Field<bool>,
}

/// `[[routes]]`
pub(super) struct Route {
    pub(super) place: Place,
    pub(super) to: Option<At<Ipv4Net>>,
    pub(super) via: Option<At<Ipv4Addr>>,
}

/// `[[services]]`
pub(super) struct Service {
    pub(super) place: Place,
    pub(super) name: Option<At<String>>,
    pub(super) vip: Option<At<Ipv4Addr>>,
    pub(super) port: Option<At<u16>>,
    pub(super) protocol: Option<At<Protocol>>,
    pub(super) method: Option<At<Method>>,
    pub(super) scheduler: Field<SchedulerKind>,
    pub(super) flags: Vec<At<Flag>>,
    pub(super) adopt: Field<bool>,
    pub(super) slow_start: Field<Duration>,
    pub(super) timeouts: Changes,
    /// The check of servers that have none of their own.
    pub(super) check: OwnCheck,
    pub(super) pool: Pool,
    /// Where problems of the `health` table as a whole are.
    pub(super) pool_place: Option<Place>,
    pub(super) sorry: Option<At<SocketAddr>>,
    pub(super) servers: Vec<Server>,
}

/// `[[services.servers]]`
pub(super) struct Server {
    pub(super) place: Place,
    pub(super) address: Option<At<Ipv4Addr>>,
    pub(super) port: Field<u16>,
    pub(super) weight: Field<u32>,
    pub(super) state: Field<Admin>,
    pub(super) check: OwnCheck,
}

/// `[[vips]]`
pub(super) struct Vip {
    pub(super) address: Option<At<Ipv4Addr>>,
    pub(super) unserved: Field<Unserved>,
}

/// One of a service's `flags`, with IPVS's names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flag {
    /// Source hashing looks at the client's port, too.
    ShPort,
    /// Maglev hashing looks at the client's port, too.
    MhPort,
}

impl Flag {
    pub(super) const ALL: [Flag; 2] = [Flag::ShPort, Flag::MhPort];

    pub(super) fn name(self) -> &'static str {
        match self {
            Flag::ShPort => "sh-port",
            Flag::MhPort => "mh-port",
        }
    }

    /// The scheduler that the flag is for.
    pub(super) fn scheduler(self) -> SchedulerKind {
        match self {
            Flag::ShPort => SchedulerKind::Sh,
            Flag::MhPort => SchedulerKind::Mh,
        }
    }
}

impl Raw {
    /// Reads the document, reporting unknown and missing keys and values that mean nothing by themselves.
    pub(super) fn read(document: &DeTable, problems: &Problems) -> Raw {
        let mut file = Table::new(Place { span: 0..0, key: String::new() }, document, problems);
        let workers = Workers::read(file.table("workers"), &file.place);
        let timeouts = file.table("timeouts").map_or_else(Changes::default, Changes::read);
        let control = file.table("control").map_or_else(Control::default, read_control);
        let tunnel_local = file.table("tunnel").and_then(|mut tunnel| {
            let local = tunnel.read("local", host).given().cloned();
            tunnel.finish();
            local
        });
        let metrics_listen = file.table("metrics").and_then(|mut metrics| {
            let listen = metrics.read("listen", listen).given().cloned();
            metrics.finish();
            listen
        });
        let hooks = Hooks::read(file.table("health"));
        let (ports, routes) = (file.tables("ports"), file.tables("routes"));
        Raw {
            workers,
            timeouts,
            control,
            tunnel_local,
            hooks,
            metrics_listen,
            ports_complete: ports.complete,
            ports: ports.each(Port::read),
            routes_complete: routes.complete,
            routes: routes.each(Route::read),
            services: file.tables("services").each(|table| Service::read(table, problems)),
            vips: file.tables("vips").each(Vip::read),
            place: file.finish(),
        }
    }
}

impl Workers {
    fn read(table: Option<Table>, file: &Place) -> Self {
        let Some(mut table) = table else {
            let place = file.below("workers");
            return Workers {
                place,
                connections: Field::Absent,
                servers: Field::Absent,
                state_file: None,
                idle: Field::Absent,
                verify_checksums: Field::Absent,
            };
        };
        Workers {
            connections: table.read("connections", number(1..=MAX_CONNECTIONS)),
            servers: table.read("servers", number(1..=MAX_SERVERS)),
            state_file: table.read("state_file", text).given().cloned(),
            idle: table.read("idle", word(&Idle::ALL, Idle::name)),
            verify_checksums: table.read("verify_checksums", boolean),
            place: table.finish(),
        }
    }
}

fn read_control(mut table: Table) -> Control {
    let usual = Control::default();
    let socket = table.read("socket", socket).given().map_or(usual.socket, |at| at.value.clone());
    let group = table.read("group", text).given().map(|at| at.value.clone());
    let captures = table.read("captures", directory).given().map_or(usual.captures, |at| at.value.clone());
    table.finish();
    Control { socket, group, captures }
}

impl Port {
    fn read(mut table: Table) -> Self {
        Port {
            name: table.require("name", "\"wan\"", name),
            device: table.require("device", "\"0000:03:00.0\"", text),
            addresses: table.require_list("addresses", "[\"192.0.2.1/24\"]", MAX_ADDRESSES, own_address),
            mtu: table.read("mtu", number(MIN_MTU..=MAX_MTU)),
            checksum_offload: table.read("checksum_offload", boolean),
            place: table.finish(),
        }
    }
}

impl Route {
    fn read(mut table: Table) -> Self {
        Route {
            to: table.require("to", "\"default\"", destination),
            via: table.require("via", "\"192.0.2.254\"", host),
            place: table.finish(),
        }
    }
}

impl Service {
    fn read(mut table: Table, problems: &Problems) -> Self {
        let (pool, sorry, pool_place) = read_pool(table.table("health"));
        Service {
            name: table.require("name", "\"web\"", name),
            vip: table.require("vip", "\"192.0.2.100\"", host),
            port: table.require("port", "80", number(1..=u16::MAX)),
            protocol: table.require("protocol", "\"tcp\"", word(Protocol::ALL, Protocol::name)),
            method: table.require("method", "\"nat\"", word(Method::ALL, Method::name)),
            scheduler: table.read("scheduler", word(SchedulerKind::ALL, SchedulerKind::name)),
            flags: read_flags(&mut table),
            adopt: table.read("adopt", boolean),
            slow_start: table.read("slow_start", duration),
            timeouts: table.table("timeouts").map_or_else(Changes::default, Changes::read),
            servers: table.tables("servers").each(|table| Server::read(table, problems)),
            check: read_check(table.table("check"), problems),
            pool,
            pool_place,
            sorry,
            place: table.finish(),
        }
    }
}

fn read_flags(table: &mut Table) -> Vec<At<Flag>> {
    match table.list("flags", "[\"mh-port\"]", word(&Flag::ALL, Flag::name)) {
        Field::Given(list) => list.value.into_iter().flatten().collect(),
        Field::Absent | Field::Bad => Vec::new(),
    }
}

impl Server {
    fn read(mut table: Table, problems: &Problems) -> Self {
        Server {
            address: table.require("address", "\"198.51.100.11\"", host),
            port: table.read("port", number(1..=u16::MAX)),
            weight: table.read("weight", number(0..=MAX_WEIGHT)),
            state: table.read("state", word(Admin::ALL, Admin::name)),
            check: read_check(table.table("check"), problems),
            place: table.finish(),
        }
    }
}

impl Vip {
    fn read(mut table: Table) -> Self {
        let vip = Vip {
            address: table.require("address", "\"192.0.2.100\"", host),
            unserved: table.read("unserved", word(Unserved::ALL, Unserved::name)),
        };
        table.finish();
        vip
    }
}
