//! Configurations for a world, written out as `lb.toml`.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, SocketAddrV6};
use std::path::{Path, PathBuf};

use crate::world;

/// How the director forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Address translation in both directions.
    Nat,
    /// The same of both ends: servers see a local address of the director.
    FullNat,
    /// IP-in-IP to the server, which answers the client itself.
    Tun,
    /// A new Ethernet address; the server answers the client itself.
    Dr,
    /// The server's address and a DSCP that stands for the VIP; the server answers the client itself.
    L3Dsr,
}

impl Method {
    /// Those of [`Config::http`]. FullNAT has stories of its own: it is for servers whose replies go elsewhere.
    pub const ALL: [Self; 3] = [Self::Nat, Self::Tun, Self::Dr];
    /// All but L3DSR, whose servers need a rule.
    pub const USUAL: [Self; 4] = [Self::Nat, Self::FullNat, Self::Tun, Self::Dr];
    /// All there are.
    pub const EVERY: [Self; 5] = [Self::Nat, Self::FullNat, Self::Tun, Self::Dr, Self::L3Dsr];

    /// The word in `lb.toml`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Nat => "nat",
            Self::FullNat => "fullnat",
            Self::Tun => "tun",
            Self::Dr => "dr",
            Self::L3Dsr => "l3dsr",
        }
    }

    /// The virtual address that worlds use for this method.
    #[must_use]
    pub fn vip(self) -> Ipv4Addr {
        match self {
            Self::Nat => world::VIP_NAT,
            Self::FullNat => world::VIP_FULLNAT,
            Self::Tun => world::VIP_TUN,
            Self::Dr => world::VIP_DR,
            Self::L3Dsr => world::VIP_L3DSR,
        }
    }

    /// That address with a port.
    #[must_use]
    pub fn at(self, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(self.vip(), port)
    }

    /// The virtual address of IPv6 that worlds use for this method, with a port.
    #[must_use]
    pub fn at6(self, port: u16) -> SocketAddrV6 {
        let vip = match self {
            Self::Nat => world::VIP6_NAT,
            Self::FullNat => world::VIP6_FULLNAT,
            Self::Tun => world::VIP6_TUN,
            Self::Dr => world::VIP6_DR,
            Self::L3Dsr => world::VIP6_L3DSR,
        };
        SocketAddrV6::new(vip, port, 0, 0)
    }

    /// The port on the server for a port of the service: only NAT and FullNAT can translate it, so they have to here.
    #[must_use]
    pub fn server_port(self, port: u16) -> u16 {
        match (self, port) {
            (Self::Nat | Self::FullNat, world::HTTP) => world::HTTP_BEHIND_NAT,
            (Self::Nat | Self::FullNat, world::ECHO) => world::ECHO_BEHIND_NAT,
            _ => port,
        }
    }
}

/// One virtual service on the method's address, with all servers of the world behind it.
#[derive(Clone, Debug)]
pub struct Service {
    method: Method,
    /// Instead of the method's.
    vip: Option<Ipv4Addr>,
    protocol: &'static str,
    port: u16,
    /// What the configuration says instead of the port.
    ports: Option<&'static str>,
    scheduler: &'static str,
    adopt: bool,
    timeouts: Vec<(&'static str, &'static str)>,
    lines: Vec<String>,
    /// Of each server, another line.
    server_lines: Vec<String>,
    /// How many of the world's servers it has, the first ones.
    servers: usize,
    /// Whether clients, and servers, are of IPv6.
    is_ipv6: (bool, bool),
}

impl Service {
    /// A TCP service.
    #[must_use]
    pub fn tcp(method: Method, port: u16) -> Self {
        Self {
            method,
            vip: None,
            protocol: "tcp",
            port,
            ports: None,
            scheduler: "rr",
            adopt: false,
            timeouts: Vec::new(),
            lines: Vec::new(),
            server_lines: Vec::new(),
            servers: usize::MAX,
            is_ipv6: (false, false),
        }
    }

    /// A UDP service.
    #[must_use]
    pub fn udp(method: Method, port: u16) -> Self {
        Self { protocol: "udp", ..Self::tcp(method, port) }
    }

    /// An SCTP service.
    #[must_use]
    pub fn sctp(method: Method, port: u16) -> Self {
        Self { protocol: "sctp", ..Self::tcp(method, port) }
    }

    /// On another address of IPv4 than the method's.
    #[must_use]
    pub fn on(self, vip: Ipv4Addr) -> Self {
        Self { vip: Some(vip), ..self }
    }

    /// Over IPv6, also to servers.
    #[must_use]
    pub fn over_ipv6(self) -> Self {
        Self { is_ipv6: (true, true), ..self }
    }

    /// With servers of the other family, behind tunnels or under FullNAT.
    #[must_use]
    pub fn with_servers_of_other_family(self) -> Self {
        Self { is_ipv6: (self.is_ipv6.0, !self.is_ipv6.1), ..self }
    }

    /// With another scheduler than round robin.
    #[must_use]
    pub fn scheduler(self, scheduler: &'static str) -> Self {
        Self { scheduler, ..self }
    }

    /// Takes over connections that it does not know.
    #[must_use]
    pub fn adopting(self) -> Self {
        Self { adopt: true, ..self }
    }

    /// With only that many of the world's servers, the first ones.
    #[must_use]
    pub fn servers(self, servers: usize) -> Self {
        Self { servers, ..self }
    }

    /// With several ports, which all go to the one that servers have for its own.
    #[must_use]
    pub fn ports(self, ports: &'static str) -> Self {
        Self { ports: Some(ports), ..self }
    }

    /// With another line of the configuration.
    #[must_use]
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// With another line for each server, the first ones.
    #[must_use]
    pub fn server_lines(self, lines: impl IntoIterator<Item = String>) -> Self {
        Self { server_lines: lines.into_iter().collect(), ..self }
    }

    /// With a timeout of its own for one state.
    #[must_use]
    pub fn timeout(mut self, state: &'static str, value: &'static str) -> Self {
        self.timeouts.push((state, value));
        self
    }
}

/// How the director's ports use the interfaces of its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// A packet socket on each, with as many pairs of queues as workers.
    AfPacket,
    /// AF_XDP sockets on each. A veth has one queue for them, so there is one worker.
    AfXdp,
    /// What libpcap captures on each, and sends. There is one worker.
    Pcap,
}

/// A configuration in the making.
#[derive(Clone, Debug)]
pub struct Config {
    driver: Driver,
    /// The last byte of the director's addresses.
    host: u8,
    host_sides: bool,
    workers: usize,
    state_file: Option<PathBuf>,
    timeouts: Vec<(&'static str, &'static str)>,
    services: Vec<Service>,
    vips: Vec<(Ipv4Addr, &'static str)>,
    sections: Vec<String>,
}

impl Config {
    /// Two workers, no service.
    #[must_use]
    pub fn new() -> Self {
        Self {
            driver: Driver::AfPacket,
            host: 1,
            host_sides: false,
            workers: 2,
            state_file: None,
            timeouts: Vec::new(),
            services: Vec::new(),
            vips: Vec::new(),
            sections: Vec::new(),
        }
    }

    /// An HTTP service on port 80 of every method's address.
    #[must_use]
    pub fn http() -> Self {
        Method::ALL
            .into_iter()
            .fold(Self::new(), |config, method| config.service(Service::tcp(method, world::HTTP)))
    }

    /// An HTTP service of each family on port 80 of every usual method's addresses.
    #[must_use]
    pub fn http_of_both_families() -> Self {
        Method::USUAL.into_iter().fold(Self::new(), |config, method| {
            let service = Service::tcp(method, world::HTTP);
            config.service(service.clone()).service(service.over_ipv6())
        })
    }

    /// For a director whose addresses on both networks end in `host`.
    #[must_use]
    pub fn at_host(self, host: u8) -> Self {
        Self { host, ..self }
    }

    /// Both ports have host sides, `lb-wan` and `lb-lan`.
    #[must_use]
    pub fn with_host_sides(self) -> Self {
        Self { host_sides: true, ..self }
    }

    /// With one worker.
    #[must_use]
    pub fn alone(self) -> Self {
        Self { workers: 1, ..self }
    }

    /// One worker, on AF_XDP ports instead of packet sockets.
    #[must_use]
    pub fn on_af_xdp(self) -> Self {
        Self { driver: Driver::AfXdp, ..self.alone() }
    }

    /// One worker, on ports of libpcap's.
    #[must_use]
    pub fn on_pcap(self) -> Self {
        Self { driver: Driver::Pcap, ..self.alone() }
    }

    /// One more service.
    #[must_use]
    pub fn service(mut self, service: Service) -> Self {
        self.services.push(service);
        self
    }

    /// A timeout for all services.
    #[must_use]
    pub fn timeout(mut self, state: &'static str, value: &'static str) -> Self {
        self.timeouts.push((state, value));
        self
    }

    /// Packets to unserved ports of this address are dropped instead of rejected.
    #[must_use]
    pub fn drop_unserved(mut self, vip: Ipv4Addr) -> Self {
        self.vips.push((vip, "drop"));
        self
    }

    /// With another section, as it is written.
    #[must_use]
    pub fn section(mut self, text: impl Into<String>) -> Self {
        self.sections.push(text.into());
        self
    }

    /// Connections go from one run to the next by this file.
    #[must_use]
    pub fn state_file(self, path: &Path) -> Self {
        Self { state_file: Some(path.to_owned()), ..self }
    }

    /// Number of workers, which is the number of queues of each port.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The file for a world with these servers.
    #[must_use]
    pub fn render(&self, servers: &[Ipv4Addr]) -> String {
        let own = |address: Ipv4Addr| {
            let [a, b, c, _] = address.octets();
            Ipv4Addr::new(a, b, c, self.host)
        };
        let mut text = format!(
            "[workers]\nconnections = 65536\nidle = \"adaptive\"\nverify_checksums = true\n\
             {}[tunnel]\nlocal = \"{}\"\n\n",
            self.state_file.as_ref().map(|path| format!("state_file = {path:?}\n\n")).unwrap_or_default(),
            own(world::DIRECTOR_LAN)
        );
        if !self.timeouts.is_empty() {
            text.push_str("[timeouts]\n");
            for (state, value) in &self.timeouts {
                line(&mut text, &format!("{state} = \"{value}\""));
            }
            text.push('\n');
        }
        let has_ipv6 = self.services.iter().any(|service| service.is_ipv6 != (false, false));
        let ports = [("wan", "lbwan", world::DIRECTOR_WAN), ("lan", "lblan", world::DIRECTOR_LAN)];
        let ports = ports.map(|(name, device, address)| (name, device, own(address)));
        for (index, (name, device, address)) in ports.into_iter().enumerate() {
            line(&mut text, "[[ports]]");
            line(&mut text, &format!("name = \"{name}\""));
            let device = match self.driver {
                Driver::AfPacket => format!("net_af_packet{index},iface={device},qpairs={}", self.workers),
                Driver::AfXdp => format!("net_af_xdp{index},iface={device},queue_count={}", self.workers),
                // By `iface` it would receive what it has sent as well.
                Driver::Pcap => format!("net_pcap{index},rx_iface_in={device},tx_iface={device}"),
            };
            line(&mut text, &format!("device = \"{device}\""));
            if self.host_sides {
                line(&mut text, &format!("host = \"lb-{name}\""));
            }
            let own = match name {
                _ if !has_ipv6 => format!("\"{address}/24\""),
                "wan" => format!("\"{address}/24\", \"{}/64\"", world::DIRECTOR_WAN6),
                _ => format!("\"{address}/24\", \"{}/64\"", world::DIRECTOR_LAN6),
            };
            line(&mut text, &format!("addresses = [{own}]\nmtu = 1500\n"));
        }
        line(&mut text, &format!("[[routes]]\nto = \"default\"\nvia = \"{}\"\n", world::GATEWAY));
        if has_ipv6 {
            line(&mut text, &format!("[[routes]]\nto = \"::/0\"\nvia = \"{}\"\n", world::GATEWAY6));
        }
        for section in &self.sections {
            line(&mut text, section);
        }
        for service in &self.services {
            service.render(&mut text, servers);
        }
        for (vip, policy) in &self.vips {
            line(&mut text, &format!("[[vips]]\naddress = \"{vip}\"\nunserved = \"{policy}\"\n"));
        }
        text
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Service {
    fn render(&self, text: &mut String, servers: &[Ipv4Addr]) {
        let method = self.method.word();
        line(text, "[[services]]");
        let (vip, family): (IpAddr, _) = match self.is_ipv6.0 {
            false => (self.vip.unwrap_or(self.method.vip()).into(), ""),
            true => ((*self.method.at6(0).ip()).into(), "6"),
        };
        line(text, &format!("name = \"{}{family}-{method}-{}\"", self.protocol, self.port));
        match self.ports {
            Some(ports) => line(text, &format!("vip = \"{vip}\"\nports = {ports}")),
            None => line(text, &format!("vip = \"{vip}\"\nport = {}", self.port)),
        }
        line(text, &format!("protocol = \"{}\"\nmethod = \"{method}\"", self.protocol));
        line(text, &format!("scheduler = \"{}\"", self.scheduler));
        if self.method == Method::FullNat {
            // What servers see is of their family.
            let locals = match self.is_ipv6.1 {
                false => world::LOCALS.map(|address| format!("\"{address}\"")),
                true => world::LOCALS6.map(|address| format!("\"{address}\"")),
            };
            line(text, &format!("local_addresses = [{}]", locals.join(", ")));
        }
        if self.method == Method::L3Dsr {
            line(text, &format!("dscp = {}", world::DSCP));
        }
        if self.adopt {
            line(text, "adopt = true");
        }
        if !self.timeouts.is_empty() {
            let states: Vec<_> =
                self.timeouts.iter().map(|(state, value)| format!("{state} = \"{value}\"")).collect();
            line(text, &format!("timeouts = {{ {} }}", states.join(", ")));
        }
        for own in &self.lines {
            line(text, own);
        }
        for (at, server) in servers.iter().take(self.servers).enumerate() {
            let server: IpAddr =
                if self.is_ipv6.1 { world::server6_of(*server).into() } else { (*server).into() };
            let port = self.method.server_port(self.port);
            line(
                text,
                &format!("  [[services.servers]]\n  address = \"{server}\"\n  port = {port}\n  weight = 1"),
            );
            if let Some(own) = self.server_lines.get(at) {
                line(text, &format!("  {own}"));
            }
        }
        text.push('\n');
    }
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a string does not fail");
}
