//! The user's values: the keys of the file with their types and places, not checked against each other.

use super::{
    announce::Announce,
    check_values::device,
    health::{Hooks, OwnCheck, Pool, PoolPlaces, read_agent, read_check, read_pool},
    ipvs_sync::IpvsSync,
    options::{Said, read},
    place::{At, Field, Place},
    report::{Complaint, Problems},
    settings::{self, Control, Metrics, Tunnel},
    source::INCLUDE,
    sync::Sync,
    table::Table,
    values::{boolean, destination, ethernet_address, name, number, own_address, router, text, vlans, word},
};
use crate::dpdk::Choice;
use ipnet::IpNet;
use lb_core::{
    conn::timeouts::Timeouts,
    limits::{MAX_MTU, MIN_MTU},
    service::{
        key::{Protocol, ServiceKey},
        option::Value,
        plan::{
            DirectorPlan, Mac, Method, Role, ServerPlan, ServicePlan, SnatPlan, Tags, VipPlan,
            timeouts::TIMEOUTS,
        },
    },
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use toml::de::DeTable;

/// Most addresses of one port.
const MAX_ADDRESSES: usize = 256;
/// Members of a bond: no switch takes more, and few that many.
const MAX_MEMBERS: usize = 16;
/// ipvsadm's default.
pub(super) const DEFAULT_WEIGHT: u32 = 1;

/// The whole file.
pub(super) struct Raw {
    /// The file itself, for what is missing from it.
    pub(super) place: Place,
    pub(super) file: settings::File,
    pub(super) announce: Announce,
    /// Its interface.
    pub(super) announced_on: Option<At<String>>,
    pub(super) sync: Sync,
    pub(super) ipvs_sync: IpvsSync,
    pub(super) director: DirectorPlan,
    /// Its role, if it was given.
    pub(super) role: Option<At<Role>>,
    pub(super) workers: Workers,
    /// With the defaults of those that were not said.
    pub(super) timeouts: Timeouts,
    pub(super) control: Control,
    pub(super) tunnel_local: Option<At<IpAddr>>,
    pub(super) tunnel_sources: Vec<At<IpNet>>,
    pub(super) hooks: Hooks,
    pub(super) metrics: Metrics,
    pub(super) ports: Vec<Port>,
    /// No port was lost because it could not be read at all.
    pub(super) ports_complete: bool,
    pub(super) interfaces: Vec<Interface>,
    /// No interface was, either.
    pub(super) interfaces_complete: bool,
    pub(super) routes: Vec<Route>,
    /// No route was, either.
    pub(super) routes_complete: bool,
    pub(super) services: Vec<Service>,
    pub(super) vips: Vec<Vip>,
    pub(super) snat: Vec<Snat>,
}

/// `[workers]`
pub(super) struct Workers {
    /// The table, or the file if there is none.
    pub(super) place: Place,
    /// What was said, with the defaults of the rest.
    pub(super) set: settings::Workers,
    /// Where it was said.
    pub(super) said: Said,
}

/// `[[ports]]`
pub(super) struct Port {
    pub(super) place: Place,
    pub(super) name: Option<At<String>>,
    pub(super) device: Option<At<String>>,
    /// Of a bond.
    pub(super) members: Field<Vec<At<String>>>,
    /// `None` if the list or one of its elements means nothing: then nobody knows what is attached. Empty if there is none,
    /// which a port may be that has interfaces in VLANs.
    pub(super) addresses: Option<Vec<At<IpNet>>>,
    /// Where the list is, if it is there.
    pub(super) addresses_place: Option<Place>,
    pub(super) mtu: Field<u16>,
    pub(super) checksum_offload: Field<bool>,
    pub(super) tx_checksum_offload: Field<Choice>,
    pub(super) tx_vlan_offload: Field<Choice>,
    pub(super) host: Field<String>,
}

/// `[[interfaces]]`
pub(super) struct Interface {
    pub(super) place: Place,
    pub(super) name: Option<At<String>>,
    pub(super) port: Option<At<String>>,
    pub(super) vlan: Option<At<Tags>>,
    /// `None` if the list or one of its elements means nothing.
    pub(super) addresses: Option<Vec<At<IpNet>>>,
    pub(super) mtu: Field<u16>,
    pub(super) mac: Field<Mac>,
}

/// `[[routes]]`
pub(super) struct Route {
    pub(super) place: Place,
    pub(super) to: Option<At<IpNet>>,
    pub(super) via: Option<At<IpAddr>>,
    /// The name of the interface, or of the port, that the router is behind.
    pub(super) interface: Field<String>,
}

/// `[[services]]`
pub(super) struct Service {
    pub(super) place: Place,
    /// What was said, with the defaults of the rest, and without servers.
    pub(super) plan: ServicePlan,
    /// Where it was said.
    pub(super) said: Said,
    /// The check of servers that have none of their own.
    pub(super) check: OwnCheck,
    /// The agent of servers that have none of their own.
    pub(super) agent: OwnCheck,
    pub(super) pool: Pool,
    /// Where the `health` table is, if there is one.
    pub(super) pool_places: Option<PoolPlaces>,
    pub(super) servers: Vec<Server>,
}

impl Service {
    /// Its local addresses, each with its place.
    pub(super) fn local_addresses(&self) -> impl Iterator<Item = (IpAddr, &Place)> {
        addresses(self.said.elements("local_addresses"))
    }
}

/// Addresses of a list, each with its place.
fn addresses(elements: &[At<Value>]) -> impl Iterator<Item = (IpAddr, &Place)> {
    elements.iter().filter_map(|At { value, place }| match value {
        Value::Address(address) => Some((*address, place)),
        _ => None,
    })
}

/// `[[services.servers]]`
pub(super) struct Server {
    pub(super) place: Place,
    /// What was said, with the defaults of the rest.
    pub(super) plan: ServerPlan,
    /// Where it was said.
    pub(super) said: Said,
    pub(super) check: OwnCheck,
    pub(super) agent: OwnCheck,
}

/// `[[vips]]`
pub(super) struct Vip {
    /// What was said, with the defaults of the rest.
    pub(super) plan: VipPlan,
    /// Where it was said.
    pub(super) said: Said,
}

/// `[[snat]]`
pub(super) struct Snat {
    pub(super) place: Place,
    /// What was said, with the defaults of the rest.
    pub(super) plan: SnatPlan,
    /// Where it was said.
    pub(super) said: Said,
}

impl Snat {
    /// Its addresses, each with its place.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (IpAddr, &Place)> {
        addresses(self.said.elements("addresses"))
    }
}

/// The address of what has none, which is a problem and so never used.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

impl Raw {
    /// Reads the document, reporting unknown and missing keys and values that mean nothing by themselves.
    pub(super) fn read(document: &DeTable, problems: &Problems) -> Raw {
        let mut file = Table::new(Place { span: 0..0, key: String::new() }, document, problems);
        // What it says was done before.
        file.know(INCLUDE);
        let mut itself = settings::File::default();
        if let Some(mut table) = file.table("config") {
            read(&mut table, settings::File::OPTIONS, &mut itself);
            table.finish();
        }
        let (announce, announced_on) =
            file.table("announce").map_or_else(Default::default, |table| read_announce(table, problems));
        let sync = file.table("sync").map_or_else(Sync::default, |table| read_sync(table, problems));
        let ipvs_sync =
            file.table("ipvs_sync").map(|table| read_ipvs_sync(table, problems)).unwrap_or_default();
        let mut director = DirectorPlan::default();
        let role = file.table("director").and_then(|mut table| {
            let said = read(&mut table, DirectorPlan::OPTIONS, &mut director);
            table.finish();
            said.at("role", director.role)
        });
        let workers = Workers::read(file.table("workers"), &file.place);
        let mut timeouts = Timeouts::default();
        if let Some(mut table) = file.table("timeouts") {
            read(&mut table, TIMEOUTS, &mut timeouts);
            table.finish();
        }
        let mut control = Control::default();
        if let Some(mut table) = file.table("control") {
            read(&mut table, Control::OPTIONS, &mut control);
            table.finish();
        }
        let (tunnel_local, tunnel_sources) = file.table("tunnel").map_or_else(Default::default, read_tunnel);
        let metrics =
            file.table("metrics").map_or_else(Metrics::default, |table| read_metrics(table, problems));
        let hooks = Hooks::read(file.table("health"));
        let (ports, routes) = (file.tables("ports"), file.tables("routes"));
        let interfaces = file.tables("interfaces");
        Raw {
            file: itself,
            announce,
            announced_on,
            sync,
            ipvs_sync,
            director,
            role,
            workers,
            timeouts,
            control,
            tunnel_local,
            tunnel_sources,
            hooks,
            metrics,
            ports_complete: ports.complete,
            ports: ports.each(Port::read),
            interfaces_complete: interfaces.complete,
            interfaces: interfaces.each(Interface::read),
            routes_complete: routes.complete,
            routes: routes.each(Route::read),
            services: file.tables("services").each(|table| Service::read(table, timeouts, problems)),
            vips: file.tables("vips").each(Vip::read),
            snat: file.tables("snat").each(Snat::read),
            place: file.finish(),
        }
    }
}

impl Workers {
    fn read(table: Option<Table>, file: &Place) -> Self {
        let mut set = settings::Workers::default();
        let Some(mut table) = table else {
            return Workers { place: file.below("workers"), set, said: Said::default() };
        };
        let said = read(&mut table, settings::Workers::OPTIONS, &mut set);
        Workers { place: table.finish(), set, said }
    }
}

fn read_sync(mut table: Table, problems: &Problems) -> Sync {
    let mut sync = Sync::default();
    let said = read(&mut table, Sync::OPTIONS, &mut sync);
    let place = table.finish();
    sync.check(&place, &said, problems);
    sync
}

fn read_ipvs_sync(mut table: Table, problems: &Problems) -> IpvsSync {
    let mut sync = IpvsSync::default();
    let said = read(&mut table, IpvsSync::OPTIONS, &mut sync);
    let place = table.finish();
    sync.check(&place, &said, problems);
    sync
}

fn read_announce(mut table: Table, problems: &Problems) -> (Announce, Option<At<String>>) {
    let mut announce = Announce::default();
    let said = read(&mut table, Announce::OPTIONS, &mut announce);
    if let Some(place) = said.place("file")
        && !announce.file.as_deref().is_some_and(|file| file.starts_with('/'))
    {
        let remedy = "name it from the root, as in `file = \"/run/lb/announced.conf\"`";
        problems.add(place, Complaint::new("is no path from the root", remedy));
    }
    let unknown = |key| said.known(key, ()).is_none();
    if !announce.is_on()
        && let Some(place) = said.place("command").filter(|_| !unknown("file") && !unknown("interface"))
    {
        let remedy = "add `file`, as in `file = \"/run/lb/announced.conf\"`, or `interface`";
        problems.add(place, Complaint::new("nothing is announced that it could be run for", remedy));
    }
    table.finish();
    let interface = announce.interface.clone().and_then(|name| said.at("interface", name));
    (announce, interface)
}

fn read_tunnel(mut table: Table) -> (Option<At<IpAddr>>, Vec<At<IpNet>>) {
    let mut tunnel = Tunnel::default();
    let said = read(&mut table, Tunnel::OPTIONS, &mut tunnel);
    table.finish();
    let places = said.elements("sources").iter().map(|element| element.place.clone());
    let sources = tunnel.sources.into_iter().zip(places).map(|(value, place)| At { value, place });
    (tunnel.local.and_then(|local| said.at("local", local)), sources.collect())
}

fn read_metrics(mut table: Table, problems: &Problems) -> Metrics {
    let mut metrics = Metrics::default();
    let said = read(&mut table, Metrics::OPTIONS, &mut metrics);
    // An address that means nothing is a problem of its own.
    let is_nowhere = metrics.listen.is_none() && said.known("listen", ()).is_some();
    if let Some(place) = said.place("console").filter(|_| metrics.console && is_nowhere) {
        let what = "there is no address to serve it at";
        problems.add(place, Complaint::new(what, "add `listen`, as in `listen = \"127.0.0.1:9145\"`"));
    }
    table.finish();
    metrics
}

/// An example of a bond's members.
const MEMBERS: &str = "[\"0000:03:00.0\", \"0000:03:00.1\"]";

/// An example of own addresses.
pub(super) const ADDRESSES: &str = "[\"192.0.2.1/24\"]";

impl Port {
    fn read(mut table: Table) -> Self {
        let named = table.require("name", "\"wan\"", name);
        let on = table.require("device", "\"0000:03:00.0\"", text);
        let addresses = table.list_of_most("addresses", ADDRESSES, MAX_ADDRESSES, own_address);
        let addresses_place = match &addresses {
            Field::Given(At { place, .. }) => Some(place.clone()),
            Field::Absent | Field::Bad => None,
        };
        Port {
            name: named,
            device: on,
            members: table.list_of_most("members", MEMBERS, MAX_MEMBERS, text),
            addresses: match addresses {
                Field::Given(At { value, .. }) => Some(value),
                Field::Absent => Some(Vec::new()),
                Field::Bad => None,
            },
            addresses_place,
            mtu: table.read("mtu", number(MIN_MTU..=MAX_MTU)),
            checksum_offload: table.read("checksum_offload", boolean),
            tx_checksum_offload: table.read("tx_checksum_offload", word(&Choice::ALL, Choice::name)),
            tx_vlan_offload: table.read("tx_vlan_offload", word(&Choice::ALL, Choice::name)),
            host: table.read("host", device),
            place: table.finish(),
        }
    }
}

impl Interface {
    fn read(mut table: Table) -> Self {
        Interface {
            name: table.require("name", "\"clients\"", name),
            port: table.require("port", "\"wan\"", name),
            vlan: table.require("vlan", "100", vlans),
            addresses: table.require_list("addresses", ADDRESSES, MAX_ADDRESSES, own_address),
            mtu: table.read("mtu", number(MIN_MTU..=MAX_MTU)),
            mac: table.read("mac", ethernet_address),
            place: table.finish(),
        }
    }
}

impl Route {
    fn read(mut table: Table) -> Self {
        Route {
            to: table.require("to", "\"default\"", destination),
            via: table.require("via", "\"192.0.2.254\"", router),
            interface: table.read("interface", name),
            place: table.finish(),
        }
    }
}

impl Service {
    fn read(mut table: Table, timeouts: Timeouts, problems: &Problems) -> Self {
        let nowhere = ServiceKey::new(Protocol::Tcp, SocketAddr::new(NOWHERE, 1));
        let mut plan = ServicePlan { timeouts, ..ServicePlan::new("", nowhere, Method::Nat) };
        let said = read(&mut table, ServicePlan::OPTIONS, &mut plan);
        let (pool, pool_places) = read_pool(table.table("health"));
        let port = plan.default_server_port();
        let servers = table.tables("servers").each(|table| Server::read(table, port, problems));
        let check = read_check(table.table("check"), problems);
        let agent = read_agent(table.table("agent"), problems);
        Service { place: table.finish(), plan, said, check, agent, pool, pool_places, servers }
    }

    /// What it is known by, if all of it could be read.
    pub(super) fn key(&self) -> Option<ServiceKey> {
        let is_whole = self.said.place("protocol").is_some()
            && self.vip_place().is_some()
            && self.port_place().is_some()
            && self.plan.vip != NOWHERE;
        is_whole.then(|| self.plan.key())
    }

    /// Whether all is known of which clients it is for.
    pub(super) fn knows_clients(&self) -> bool {
        ["from", "on"].into_iter().all(|key| self.said.known(key, ()).is_some())
    }

    /// Where its address or addresses are.
    pub(super) fn vip_place(&self) -> Option<&Place> {
        self.said.place("vip").or_else(|| self.said.place("vips"))
    }

    /// Where its port or ports are.
    pub(super) fn port_place(&self) -> Option<&Place> {
        self.said.place("port").or_else(|| self.said.place("ports"))
    }

    /// Its addresses, each with its place.
    pub(super) fn vips(&self) -> impl Iterator<Item = (IpAddr, &Place)> {
        let one = self.said.place("vip").map(|place| (self.plan.vip, place));
        one.into_iter().chain(addresses(self.said.elements("vips")))
    }

    /// Its first address, if it could be read.
    pub(super) fn known_vip(&self) -> Option<IpAddr> {
        self.vip_place().map(|_| self.plan.vip).filter(|vip| *vip != NOWHERE)
    }

    /// Address and port of one of its servers, if both are known.
    pub(super) fn endpoint(&self, server: &Server) -> Option<SocketAddr> {
        server.said.place("address")?;
        if server.said.place("port").is_none() {
            self.port_place()?;
            server.said.known("port", ())?;
        }
        Some(server.plan.endpoint())
    }
}

impl Server {
    fn read(mut table: Table, port: u16, problems: &Problems) -> Self {
        let mut plan = ServerPlan::new(NOWHERE, port, DEFAULT_WEIGHT);
        let said = read(&mut table, ServerPlan::OPTIONS, &mut plan);
        let check = read_check(table.table("check"), problems);
        let agent = read_agent(table.table("agent"), problems);
        Server { place: table.finish(), plan, said, check, agent }
    }
}

impl Vip {
    fn read(mut table: Table) -> Self {
        let mut plan = VipPlan::new(NOWHERE);
        let said = read(&mut table, VipPlan::OPTIONS, &mut plan);
        table.finish();
        Vip { plan, said }
    }
}

impl Snat {
    fn read(mut table: Table) -> Self {
        let mut plan = SnatPlan::new("");
        let said = read(&mut table, SnatPlan::OPTIONS, &mut plan);
        Snat { place: table.finish(), plan, said }
    }
}
