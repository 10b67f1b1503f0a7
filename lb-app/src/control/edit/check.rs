//! Whether an edited plan may run: what the reader of the configuration file checks, for a plan without a file.

use super::sorry::sorry_server_among;
use crate::config::{health::Health, servers_to_place};
use lb_core::service::{
    check::{self, PlanError},
    key::ServerKey,
    marks::{check_marks, marks},
    owners::Use,
    plan::{Method, Plan, ServicePlan},
    routing::Routing,
    snapshot::Room,
};
use std::net::IpAddr;
use thiserror::Error;

/// Why an edited plan may not run.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum Unsound {
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Workers made room at start.
    #[error(
        "no room for {needed} servers, sorry servers included: the capacity is {room}; for more, set `servers` in \
         `[workers]` and restart"
    )]
    NoRoom {
        /// Servers, sorry servers included.
        needed: usize,
        /// How many there can be.
        room: usize,
    },
    /// It has connections only while the others fail.
    #[error("server {0}: it is the service's sorry server")]
    SorryServer(ServerKey),
    /// It has the port that a client asks for, which a check does not know.
    #[error("the check of server {0} goes to no port; give the server one, or the check in the file")]
    NoCheckPort(ServerKey),
    /// Its packets keep the port that a client asked for.
    #[error("the sorry server's port {port} would be that of all packets, and {method} cannot change ports")]
    SorryPort {
        /// The port.
        port: u16,
        /// How packets reach it.
        method: Method,
    },
    /// It could not stand in.
    #[error("no route to {address}, {what}; keep a route to it")]
    NoRoute {
        /// Whose.
        address: IpAddr,
        /// What it is.
        what: String,
    },
}

/// Checks a plan as its operator knows it, without the sorry servers that stand in, together with how its servers are
/// checked.
///
/// # Errors
/// The first mistake that is found.
pub(in crate::control) fn check(plan: &Plan, health: &Health, room: Room) -> Result<(), Unsound> {
    let needed = servers_to_place(&plan.services, health);
    if needed > room.servers {
        return Err(Unsound::NoRoom { needed, room: room.servers });
    }
    if let Some(key) = sorry_server_among(plan, health) {
        return Err(Unsound::SorryServer(key));
    }
    check::check(plan, others(plan, health))?;
    check_sorry_marks(plan, health)?;
    check_open_ports(plan, health)?;
    let routing = Routing::new(&plan.interfaces, &plan.routes);
    let unreachable = others(plan, health).find(|(address, wanted)| {
        matches!(wanted, Use::SorryServer(_)) && routing.next_hop(*address).is_none()
    });
    match unreachable {
        Some((address, wanted)) => Err(Unsound::NoRoute { address, what: wanted.to_string() }),
        None => Ok(()),
    }
}

/// Services of several ports: what goes to one port needs one.
fn check_open_ports(plan: &Plan, health: &Health) -> Result<(), Unsound> {
    let of = health.by_service();
    for service in plan.services.iter().filter(|service| service.one_port().is_none()) {
        let Some(health) = of.get(&service.key()) else { continue };
        for server in service.servers.iter().filter(|server| server.port == 0) {
            let check = health.check_of(server.endpoint());
            if check.is_some_and(|check| check.has_no_port(service.port)) {
                return Err(Unsound::NoCheckPort(service.key().server(server.endpoint())));
            }
        }
        let port = health.pool.sorry_server.map_or(0, |sorry| sorry.address.port());
        if port != 0 && !service.method.rewrites_endpoints() {
            return Err(Unsound::SorryPort { port, method: service.method });
        }
    }
    Ok(())
}

/// A sorry server knows VIPs by DSCPs as the servers do that it stands in for.
fn check_sorry_marks(plan: &Plan, health: &Health) -> Result<(), PlanError> {
    let of = health.by_service();
    let sorry = |service: &ServicePlan| Some(of.get(&service.key())?.pool.sorry_server?.address.ip());
    Ok(check_marks(plan.services.iter().flat_map(|service| marks(service, sorry(service))))?)
}

/// Addresses that are not in the plan: sorry servers, and where the kernel's checks come from.
fn others<'a>(plan: &'a Plan, health: &'a Health) -> impl Iterator<Item = (IpAddr, Use<'a>)> {
    let of = health.by_service();
    let checked = plan.services.iter().filter_map(move |service| Some((service, *of.get(&service.key())?)));
    checked.flat_map(|(service, health)| {
        let ServicePlan { name, .. } = service;
        let sorry = health.pool.sorry_server.map(|sorry| (sorry.address.ip(), Use::SorryServer(name)));
        let sources = health.every().filter_map(|check| check.leave.source);
        sorry.into_iter().chain(sources.map(|source| (source, Use::CheckSource(name))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Limits};
    use lb_core::service::plan::{Method, RoutePlan, ServerPlan};
    use std::net::Ipv4Addr;

    const FILE: &str = r#"
        [tunnel]
        local = "198.51.100.7"
        [[ports]]
        name = "wan"
        device = "net_null0"
        addresses = ["192.0.2.1/24"]
        [[ports]]
        name = "lan"
        device = "net_null1"
        addresses = ["198.51.100.1/24"]
        [[routes]]
        to = "default"
        via = "192.0.2.254"
        [[routes]]
        to = "203.0.113.0/24"
        via = "198.51.100.254"
        [[vips]]
        address = "192.0.2.150"
        [[services]]
        name = "web"
        vip = "192.0.2.100"
        port = 80
        protocol = "tcp"
        method = "nat"
        servers = [{ address = "198.51.100.11" }]
        check = { type = "tcp", source = "198.51.100.8" }
        health = { sorry_server = "198.51.100.99:80" }
    "#;

    /// What is said of the plan after an edit.
    fn after(edit: impl FnOnce(&mut Plan)) -> String {
        let limits = Limits { workers: 1, available_bytes: u64::MAX };
        let mut config = config::parse("lb.toml", FILE, limits).expect("sound");
        assert_eq!(check(&config.plan, &config.health, config.room), Ok(()));
        edit(&mut config.plan);
        check(&config.plan, &config.health, config.room)
            .map_or_else(|error| error.to_string(), |()| "sound".to_owned())
    }

    fn service(vip: &str) -> ServicePlan {
        ServicePlan::new("new", format!("tcp {vip}:443").parse().expect("a key"), Method::Nat)
    }

    fn route(to: &str, via: [u8; 4]) -> RoutePlan {
        RoutePlan::new(to.parse().expect("a network"), via.into())
    }

    #[test]
    fn an_edit_gives_nobody_an_address_that_somebody_else_has() {
        let remedy = "use another address for one of them";
        for (vip, other) in [
            ("192.0.2.1", "the address of port \"wan\""),
            ("192.0.2.254", "the router of the default route"),
            ("198.51.100.254", "the router of the route to 203.0.113.0/24"),
            ("198.51.100.7", "the tunnel's local address"),
        ] {
            let said = after(|plan| plan.services.push(service(vip)));
            assert_eq!(said, format!("{vip} would be both {other} and the VIP of service \"new\"; {remedy}"));
        }
        for (vip, other) in [
            ("198.51.100.11", "a server of service \"web\""),
            ("198.51.100.99", "the sorry server of service \"web\""),
            ("198.51.100.8", "the source of checks of service \"web\""),
        ] {
            let said = after(|plan| plan.services.push(service(vip)));
            assert_eq!(said, format!("{vip} would be both the VIP of service \"new\" and {other}; {remedy}"));
        }
        for (via, other) in [
            ([192, 0, 2, 100], "the VIP of service \"web\""),
            ([192, 0, 2, 150], "a VIP of [[vips]]"),
            ([192, 0, 2, 1], "the address of port \"wan\""),
        ] {
            let said = after(|plan| plan.routes.push(route("10.0.0.0/8", via)));
            let via = Ipv4Addr::from(via);
            assert!(said.starts_with(&format!("{via} would be both ")), "{said}");
            assert!(said.contains(other) && said.contains("the router of the route to 10.0.0.0/8"), "{said}");
        }
        for (server, other) in [
            ([192, 0, 2, 100], "the VIP of service \"web\""),
            ([192, 0, 2, 150], "a VIP of [[vips]]"),
            ([198, 51, 100, 1], "the address of port \"lan\""),
            ([198, 51, 100, 7], "the tunnel's local address"),
        ] {
            let new = ServerPlan::new(server, 80, 1);
            let said = after(|plan| plan.services[0].servers.push(new));
            let server = Ipv4Addr::from(server);
            let both = format!("{server} would be both {other} and a server of service \"web\"; {remedy}");
            assert_eq!(said, both);
        }
        let sorry = ServerPlan::new([198, 51, 100, 99], 80, 1);
        let said = after(|plan| plan.services[0].servers.push(sorry));
        assert!(said.contains("it is the service's sorry server"), "{said}");
        assert_eq!(after(|plan| plan.services.push(service("192.0.2.150"))), "sound");
        let router = ServerPlan::new([198, 51, 100, 254], 80, 1);
        assert_eq!(after(|plan| plan.services[0].servers.push(router)), "sound", "a router may serve");
    }

    #[test]
    fn addresses_of_an_edit_are_hosts_like_those_of_a_file() {
        for address in ["0.1.2.3", "127.0.0.1", "224.0.0.5", "255.255.255.255", "198.51.100.255"] {
            let server = ServerPlan::new(address.parse::<IpAddr>().expect("an address"), 80, 1);
            let said = after(|plan| plan.services[0].servers.push(server));
            assert!(said.contains("it is not the address of one host"), "{said}");
            let said = after(|plan| plan.services.push(service(address)));
            assert!(said.contains("it is not the address of one host"), "{said}");
        }
    }

    #[test]
    fn routes_of_an_edit_are_checked_like_those_of_a_file() {
        let add = |to: &str, via| after(|plan| plan.routes.push(route(to, via)));
        assert_eq!(add("10.0.0.0/8", [198, 51, 100, 254]), "sound");
        assert_eq!(add("0.0.0.0/0", [192, 0, 2, 253]), "default has a route already; delete it first");
        assert_eq!(
            add("198.51.100.0/24", [192, 0, 2, 253]),
            "198.51.100.0/24 is attached to port \"lan\", which comes first"
        );
        assert_eq!(add("224.0.0.0/4", [192, 0, 2, 253]), "224.0.0.0/4 is not a network of single hosts");
        assert_eq!(add("10.0.0.1/8", [192, 0, 2, 253]), "10.0.0.1/8 is not a network of single hosts");
        assert_eq!(
            add("10.0.0.0/8", [203, 0, 113, 1]),
            "router 203.0.113.1 is on no attached network: `show routes` lists them; or name the interface that it is behind"
        );
        assert_eq!(
            add("10.0.0.0/8", [192, 0, 2, 255]),
            "192.0.2.255 cannot be the router of the route to 10.0.0.0/8: it is not the address of one host"
        );
    }

    #[test]
    fn servers_and_sorry_servers_have_room_before_they_are_added() {
        let limits = Limits { workers: 1, available_bytes: u64::MAX };
        let text = format!("{FILE}\n[workers]\nservers = 3");
        let config::Config { mut plan, health, room, .. } =
            config::parse("lb.toml", &text, limits).expect("sound");
        let mut add = |host| {
            plan.services[0].servers.push(ServerPlan::new([198, 51, 100, host], 80, 1));
            check(&plan, &health, room)
        };
        assert_eq!(add(12), Ok(()));
        assert_eq!(add(13), Err(Unsound::NoRoom { needed: 4, room: 3 }), "one may have to stand in");
    }

    #[test]
    fn the_way_to_a_sorry_server_is_not_deleted() {
        let limits = Limits { workers: 1, available_bytes: u64::MAX };
        let text = FILE.replace("198.51.100.99:80", "203.0.113.99:80");
        let mut config = config::parse("lb.toml", &text, limits).expect("sound");
        config.plan.routes.clear();
        let said = check(&config.plan, &config.health, config.room).expect_err("no route").to_string();
        assert!(said.contains("no route to 203.0.113.99, the sorry server of service \"web\""), "{said}");
    }
}
