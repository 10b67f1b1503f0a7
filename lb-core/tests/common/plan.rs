//! The network of the tests.
//!
//! ```text
//!   client 203.0.113.10 --- gateway 192.0.2.254 --- (wan) director (lan) --- servers 198.51.100.11, .12
//!                                                192.0.2.1      198.51.100.1
//! ```

use lb_core::{
    flow::hashing::Hashing,
    ids::InterfaceId,
    packet::PortId,
    service::{
        key::{Protocol, ServiceKey},
        plan::{
            InterfacePlan, Mac, Method, Plan, PortPlan, Role, RoutePlan, SchedulerKind, ServerPlan,
            ServicePlan, SnatPlan, Spread, Unserved, VipPlan,
        },
    },
};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

pub const WAN: PortId = PortId(0);
pub const LAN: PortId = PortId(1);

/// The interfaces of those ports. In another order, so that nobody takes one's number for the other's.
pub const WAN_SIDE: InterfaceId = InterfaceId(1);
pub const LAN_SIDE: InterfaceId = InterfaceId(0);

pub const WAN_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
pub const LAN_MAC: Mac = Mac([2, 0, 0, 0, 0, 2]);
/// That of a virtual router, RFC 5798 7.3.
pub const VIRTUAL_MAC: Mac = Mac([0, 0, 0x5e, 0, 1, 51]);
pub const GATEWAY_MAC: Mac = Mac([2, 0, 0, 0, 1, 254]);
pub const SERVER_MACS: [Mac; 2] = [Mac([2, 0, 0, 0, 2, 11]), Mac([2, 0, 0, 0, 2, 12])];

pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);
pub const CLIENT_IP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// On the wan port's network.
pub const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
pub const SERVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 51, 100, 11), Ipv4Addr::new(198, 51, 100, 12)];

/// What stands for the VIPs, under L3DSR.
pub const DSCP: u8 = 11;
/// What servers see in the place of clients, under FullNAT. On the lan port's network.
pub const LOCAL: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 20);
/// The same in IPv6.
pub const LOCAL6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x20);
/// What servers' own packets leave with, under SNAT. On the wan port's network.
pub const OUTBOUND: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 50);
/// The same in IPv6.
pub const OUTBOUND6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x50);
pub const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0xfe);
pub const CLIENT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 0x10);
pub const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x100);
pub const SERVERS6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x11), Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x12)];

/// The network with both families.
pub fn network6() -> Plan {
    let mut plan = network();
    for (interface, own) in plan.interfaces.iter_mut().zip(["2001:db8:2::1/64", "2001:db8:1::1/64"]) {
        interface.addresses.push(own.parse().unwrap());
    }
    plan.routes.push(RoutePlan::new("::/0".parse().unwrap(), GATEWAY6.into()));
    plan
}

/// One service of a method on port 80 of the VIP of IPv6, with the first server. NAT maps the port to 8080.
pub fn one_server6(method: Method) -> Plan {
    let server = if method.rewrites_endpoints() { "[2001:db8:2::11]:8080" } else { "[2001:db8:2::11]:80" };
    network6().with(service(method, "[2001:db8:1::100]:80", &[server]))
}

/// One service under FullNAT on port 80 whose server is of the other family than its VIP.
pub fn one_server_of_other_family(vip_is_ipv6: bool) -> Plan {
    let (vip, server, local) = match vip_is_ipv6 {
        true => ("[2001:db8:1::100]:80", "198.51.100.11:8080", LOCAL.into()),
        false => ("192.0.2.100:80", "[2001:db8:2::11]:8080", LOCAL6.into()),
    };
    let mut service = service(Method::FullNat, vip, &[server]);
    service.local_addresses = vec![local];
    network6().with(service)
}

/// The two ports and the way to the client, without any service.
pub fn network() -> Plan {
    Plan {
        ports: vec![port("wan"), port("lan")],
        interfaces: vec![
            interface("lan", LAN, LAN_MAC, "198.51.100.1/24"),
            interface("wan", WAN, WAN_MAC, "192.0.2.1/24"),
        ],
        routes: vec![RoutePlan::new("0.0.0.0/0".parse().unwrap(), GATEWAY.into())],
        verify_checksums: true,
        ..Plan::default()
    }
}

pub fn port(name: &str) -> PortPlan {
    PortPlan { name: name.into(), spread: Spread::Unknown, hashing: Hashing::default() }
}

pub fn interface(name: &str, port: PortId, mac: Mac, address: &str) -> InterfacePlan {
    InterfacePlan { mac, addresses: vec![address.parse().unwrap()], ..InterfacePlan::new(name, port) }
}

/// A TCP service in turn over the given servers, each with weight 1.
pub fn service(method: Method, endpoint: &str, servers: &[&str]) -> ServicePlan {
    let key = ServiceKey::new(Protocol::Tcp, endpoint.parse().unwrap());
    ServicePlan {
        scheduler: SchedulerKind::Rr,
        servers: servers.iter().map(|server| self::server(server, 1)).collect(),
        local_addresses: Vec::from_iter(method.hides_clients().then_some(if key.vip.is_ipv4() {
            LOCAL.into()
        } else {
            LOCAL6.into()
        })),
        dscp: if method.marks() { DSCP } else { 0 },
        ..ServicePlan::new(format!("{method}-{endpoint}"), key, method)
    }
}

pub fn server(endpoint: &str, weight: u32) -> ServerPlan {
    let endpoint: SocketAddr = endpoint.parse().unwrap();
    ServerPlan::new(endpoint.ip(), endpoint.port(), weight)
}

/// One service of a method on port 80 of the VIP, with the first server. NAT and FullNAT map the port to 8080.
pub fn one_server(method: Method) -> Plan {
    let server = if method.rewrites_endpoints() { "198.51.100.11:8080" } else { "198.51.100.11:80" };
    network().with(service(method, "192.0.2.100:80", &[server]))
}

/// The same with both servers in turn.
pub fn two_servers(method: Method) -> Plan {
    let port = if method.rewrites_endpoints() { 8080 } else { 80 };
    let servers = SERVERS.map(|server| format!("{server}:{port}"));
    network().with(service(method, "192.0.2.100:80", &[&servers[0], &servers[1]]))
}

/// Changes to a plan that read as a sentence.
pub trait PlanExt {
    fn with(self, service: ServicePlan) -> Self;
    /// The first service, to be changed.
    fn first(&mut self) -> &mut ServicePlan;
    fn udp(self) -> Self;
    fn spread(self, wan: Spread, lan: Spread) -> Self;
    fn mtu(self, port: PortId, mtu: u16) -> Self;
    fn unserved(self, vip: Ipv4Addr, unserved: Unserved) -> Self;
    fn role(self, role: Role) -> Self;
    /// What servers send by themselves leaves with other addresses, of the families that the network has.
    fn snat(self) -> Self;
    /// Clients and servers are behind one port.
    fn one_arm(self) -> Self;
}

impl PlanExt for Plan {
    fn with(mut self, service: ServicePlan) -> Self {
        self.services.push(service);
        self
    }

    fn first(&mut self) -> &mut ServicePlan {
        &mut self.services[0]
    }

    fn udp(mut self) -> Self {
        for service in &mut self.services {
            service.protocol = Protocol::Udp;
        }
        self
    }

    fn spread(mut self, wan: Spread, lan: Spread) -> Self {
        (self.ports[0].spread, self.ports[1].spread) = (wan, lan);
        self
    }

    fn mtu(mut self, port: PortId, mtu: u16) -> Self {
        let on_port = self.interfaces.iter_mut().filter(|interface| interface.port == port);
        on_port.for_each(|interface| interface.mtu = mtu);
        self
    }

    fn unserved(mut self, vip: Ipv4Addr, unserved: Unserved) -> Self {
        self.vips.push(VipPlan { address: vip.into(), unserved });
        self
    }

    fn one_arm(mut self) -> Self {
        let mut lan = self.interfaces.remove(usize::from(LAN_SIDE.0));
        self.interfaces[0].addresses.append(&mut lan.addresses);
        self.ports.truncate(1);
        self
    }

    fn snat(mut self) -> Self {
        let has_v6 = self.interfaces.iter().any(|on| on.has_family_of(OUTBOUND6.into()));
        let mut rule = SnatPlan::new("outbound");
        rule.sources.push("198.51.100.0/24".parse().unwrap());
        rule.addresses.push(OUTBOUND.into());
        if has_v6 {
            rule.sources.push("2001:db8:2::/64".parse().unwrap());
            rule.addresses.push(OUTBOUND6.into());
        }
        self.snat.push(rule);
        self
    }

    fn role(mut self, role: Role) -> Self {
        self.director.role = role;
        self
    }
}
