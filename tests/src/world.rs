//! The world that stories happen in.
//!
//! ```text
//!   far client                                                  203.0.113.0/24
//!   203.0.113.10 ── router, MTU 1280 on the far side
//!                      192.0.2.254
//!                          │
//!   client                 │     switch                       server1, server2
//!   192.0.2.10 ─────────── wan bridge 192.0.2.0/24 ─────────── 192.0.2.21, .22
//!                               │                              │  replies from VIPs leave here
//!                          192.0.2.1                           │
//!                            director, VIPs 192.0.2.100-105    │
//!                          198.51.100.1                        │
//!                               │                              │
//!                          lan bridge 198.51.100.0/24 ──────── 198.51.100.11, .12
//! ```
//!
//! Worlds with IPv6 have the same in it: 2001:db8:1::/64 is the wan and 2001:db8:2::/64 the lan, hosts end as they do in
//! IPv4 (2001:db8:1::100 is the VIP of NAT), and the far client is 2001:db8:f::10.
//!
//! Everybody's default gateway is the router, but what servers send from their lan addresses goes to the director.
//! The director's two interfaces carry no kernel address: they belong to `lb-app`.

mod addresses;

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::client::Client;
use crate::config::Config;
use crate::director::Director;
use crate::guest::{Card, Guest};
use crate::hugepages::HugePages;
use crate::netns::{self, Namespace};
use crate::process::{Scratch, run};
use crate::server::Server;
use crate::turn::Turn;

pub use self::addresses::*;

/// File descriptors for a thousand connections and then some.
const DESCRIPTORS: u64 = 16_384;

/// A client, a director, servers and what connects them. Everything is gone when it is dropped.
#[derive(Debug)]
pub struct World {
    servers: Vec<Server>,
    client: Client,
    far_client: Client,
    director: Namespace,
    router: Namespace,
    switch: Namespace,
    directory: Scratch,
    name: String,
    starts: Cell<u32>,
    /// Further directors' namespaces that have been made.
    others: Cell<u32>,
    _turn: Turn,
}

/// A server, and the router between the lan and it.
#[derive(Debug)]
pub struct Beyond {
    /// The server.
    pub server: Server,
    /// The router, whose interface towards the server is `beyond`.
    pub router: Namespace,
}

impl Beyond {
    /// The router's link to the server carries no more than that, of IPv4 and of IPv6.
    pub fn narrow(&self, mtu: u16, mtu6: u16) -> Result<()> {
        self.router.ip(&format!(
            "route replace {BEYOND}/32 dev beyond mtu lock {mtu}\n\
             route replace {}/128 dev beyond mtu lock {mtu6}",
            server6_of(BEYOND)
        ))
    }
}

impl World {
    /// A world with two servers.
    pub fn new() -> Result<Self> {
        Self::build(&a_name(), Turn::among_others())
    }

    /// The same, while there are fewer others: for what works hard, but is not measured.
    pub fn among_few() -> Result<Self> {
        Self::build(&a_name(), Turn::among_few())
    }

    /// The same, while there is no other world: for what is measured, and for what takes all of a machine.
    pub fn alone() -> Result<Self> {
        Self::build(&a_name(), Turn::alone())
    }

    /// A world with two servers whose namespaces are called `name-client`, `name-director` and so on.
    pub fn named(name: &str) -> Result<Self> {
        Self::build(name, Turn::alone())
    }

    fn build(name: &str, turn: Turn) -> Result<Self> {
        ensure!(nix::unistd::geteuid().is_root(), "network namespaces need root");
        sweep(name);
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS, most.max(DESCRIPTORS))?;

        let directory = Scratch::named(name)?;
        let namespace = |role: &str| Namespace::create(format!("{name}-{role}"));
        let switch = namespace("switch")?;
        switch.ip("link add wan type bridge\nlink add lan type bridge\nlink set wan up\nlink set lan up")?;
        let client = make_client(namespace("client")?, &switch)?;
        let router = make_router(namespace("router")?, &switch)?;
        let far_client = make_far_client(namespace("far")?, &router)?;
        let director = make_director(namespace("director")?, &switch, "dir")?;
        let mut servers = Vec::new();
        for index in 1..=2 {
            let role = format!("server{index}");
            let mut server = make_server(namespace(&role)?, &switch, index, role, directory.path())?;
            server.start()?;
            servers.push(server);
        }
        Ok(Self {
            servers,
            client,
            far_client,
            director,
            router,
            switch,
            directory,
            name: name.to_owned(),
            starts: Cell::new(0),
            others: Cell::new(0),
            _turn: turn,
        })
    }

    /// The same with IPv6 beside IPv4, but for the director's kernel.
    pub fn with_ipv6() -> Result<Self> {
        let mut world = Self::new()?;
        world.add_ipv6()?;
        Ok(world)
    }

    /// Gives everybody but the director's kernel addresses of IPv6, as they have of IPv4.
    pub fn add_ipv6(&mut self) -> Result<()> {
        // Nobody asks who listens to which groups, so all must get everything.
        self.switch
            .ip("link set wan type bridge mcast_snooping 0\nlink set lan type bridge mcast_snooping 0")?;
        let client = self.client.namespace();
        client.enable_ipv6(&["wan"])?;
        client.ip(&format!("addr add {CLIENT6}/64 dev wan nodad\nroute add default via {GATEWAY6}"))?;
        self.router.enable_ipv6(&["wan", "far"])?;
        self.router.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        self.router.ip(&format!(
            "addr add {GATEWAY6}/64 dev wan nodad\naddr add {FAR_GATEWAY6}/64 dev far nodad noprefixroute\n\
             route add 2001:db8:f::/64 dev far mtu lock {FAR_MTU}"
        ))?;
        let far = self.far_client.namespace();
        far.enable_ipv6(&["wan"])?;
        far.ip(&format!("addr add {FAR_CLIENT6}/64 dev wan nodad\nroute add default via {FAR_GATEWAY6}"))?;
        self.servers.iter_mut().try_for_each(Server::add_ipv6)
    }

    /// Has the router choose between several next hops by what packets say: addresses, protocol and ports.
    ///
    /// Policy 1 would do on a router of its own. Here it believes the hash that a client's kernel, which is the same one,
    /// has left on its packets: a number that a socket draws, and draws anew for each SYN that nobody answers.
    pub fn spread_by_ports(&self) -> Result<()> {
        const ADDRESSES_AND_PROTOCOL: u8 = 0x07;
        const PORTS: u8 = 0x30;
        self.router().sysctl("net/ipv4/fib_multipath_hash_policy", "3")?;
        let fields = (ADDRESSES_AND_PROTOCOL | PORTS).to_string();
        self.router().sysctl("net/ipv4/fib_multipath_hash_fields", &fields)
    }

    /// The common beginning of the namespaces' names.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where configurations and logs of this world are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The client behind the router.
    #[must_use]
    pub fn far_client(&self) -> &Client {
        &self.far_client
    }

    /// The real servers.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The namespace that `lb-app` runs in.
    #[must_use]
    pub fn director(&self) -> &Namespace {
        &self.director
    }

    /// A namespace for another director, connected as the first one's is.
    pub fn another_director(&self) -> Result<Namespace> {
        self.others.set(self.others.get() + 1);
        let number = self.others.get();
        let namespace = Namespace::create(format!("{}-other{number}", self.name))?;
        make_director(namespace, &self.switch, &format!("oth{number}"))
    }

    /// A third server, [`GUEST`], whose kernel is its own. The world must have IPv6.
    pub fn guest(&self) -> Result<Guest> {
        self.boot_guest(&[("lan", "lan"), ("wan", "wan")])
    }

    /// The same, with a namespace `client` in it which is the client [`GUEST_CLIENT`]: another host with the same kernel.
    pub fn guest_with_client(&self) -> Result<Guest> {
        let guest = self.boot_guest(&[("lan", "lan"), ("wan", "wan"), ("client", "wan")])?;
        guest.run(&format!(
            "ip netns add client
            ip link set vec2 netns client
            ip netns exec client sh -c 'echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad'
            ip -n client link set lo up
            ip -n client link set vec2 up
            ip -n client addr add {GUEST_CLIENT}/24 dev vec2
            ip -n client addr add {GUEST_CLIENT6}/64 dev vec2 nodad"
        ))?;
        Ok(guest)
    }

    /// Boots a server whose cards are on these bridges.
    fn boot_guest(&self, cards: &[(&str, &str)]) -> Result<Guest> {
        let namespace = Namespace::create(format!("{}-guest", self.name))?;
        for (card, bridge) in cards {
            let port = format!("guest-{card}");
            namespace.connect(card, &self.switch, &port)?;
            self.switch.ip(&format!("link set {port} master {bridge}"))?;
        }
        let cards: Vec<_> = cards.iter().map(|(card, _)| Card::Link(card)).collect();
        let guest = Guest::boot(namespace, &cards, &self.directory().join("guest"))?;
        guest.serve("vec0", GUEST, GUEST_WAN)?;
        Ok(guest)
    }

    /// The same on a trunk: what is on the lan for others is behind this new interface of the director for it, in a VLAN. The
    /// commands make the device for that from `vec0`.
    pub fn guest_on_trunk(&self, trunk: &str, (commands, device): (&str, &str)) -> Result<Guest> {
        let namespace = Namespace::create(format!("{}-guest", self.name))?;
        namespace.connect("wan", &self.switch, "guest-wan")?;
        self.switch.ip("link set guest-wan master wan")?;
        namespace.connect("trunk", &self.director, trunk)?;
        namespace
            .ip("tuntap add dev tap mode tap\nlink add bridge type bridge\nlink set trunk master bridge\n\
             link set tap master bridge up\nlink set bridge up")?;
        let cards = [Card::Tap("tap"), Card::Link("wan")];
        let guest = Guest::boot(namespace, &cards, &self.directory().join("guest"))?;
        guest.run(commands)?;
        guest.serve(device, GUEST, GUEST_WAN)?;
        Ok(guest)
    }

    /// Another server, [`BEYOND`], behind a router on the lan. The world must have IPv6, and the director routes to it.
    pub fn beyond(&self) -> Result<Beyond> {
        let namespace = |role: &str| Namespace::create(format!("{}-{role}", self.name));
        let (router, server) = (namespace("beyond")?, namespace("server4")?);
        router.connect("lan", &self.switch, "beyond-lan")?;
        server.connect("wan", &self.switch, "srv4-wan")?;
        self.switch.ip("link set beyond-lan master lan\nlink set srv4-wan master wan")?;
        server.connect("lan", &router, "beyond")?;
        router.enable_ipv6(&["lan", "beyond"])?;
        router.sysctl("net/ipv4/ip_forward", "1")?;
        router.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        router.ip(&format!(
            "addr add {LAN_ROUTER}/24 dev lan\naddr add {LAN_ROUTER6}/64 dev lan nodad\n\
             addr add {BEYOND_ROUTER}/24 dev beyond\naddr add {BEYOND_ROUTER6}/64 dev beyond nodad\n\
             route add default via {DIRECTOR_LAN}\nroute add default via {DIRECTOR_LAN6}"
        ))?;
        server.ip(&format!(
            "addr add {BEYOND}/24 dev lan\naddr add 192.0.2.24/24 dev wan\nroute add default via {GATEWAY}\n\
             rule add from {BEYOND} table 10\nroute add default via {BEYOND_ROUTER} table 10"
        ))?;
        let directory = self.directory().join("server4");
        let mut server = Server::new(server, "server4".to_owned(), BEYOND, directory).behind(BEYOND_ROUTER6);
        server.start()?;
        server.add_ipv6()?;
        Ok(Beyond { server, router })
    }

    /// Whom servers ask by themselves: HTTP and a UDP echo where the far client is, behind the clients' router.
    pub fn outside(&self) -> Result<Server> {
        let namespace = self.far_client.namespace().twin();
        let directory = self.directory().join("outside");
        let mut server = Server::new(namespace, "outside".to_owned(), FAR_CLIENT, directory);
        server
            .start_outside(&[SocketAddr::from((FAR_CLIENT, ECHO)), SocketAddr::from((FAR_CLIENT6, ECHO))])?;
        Ok(server)
    }

    /// The router between the wan and the far client.
    #[must_use]
    pub fn router(&self) -> &Namespace {
        &self.router
    }

    /// What everybody is connected to.
    #[must_use]
    pub fn switch(&self) -> &Namespace {
        &self.switch
    }

    /// Gives the director's kernel an interface of its own on the lan: the two others belong to `lb-app`.
    pub fn let_checks_out(&self) -> Result<()> {
        self.director.connect("lbchecks", &self.switch, "dir-checks")?;
        self.switch.ip("link set dir-checks master lan")?;
        // Only the interface that has the address answers for it.
        self.director.sysctl("net/ipv4/conf/all/arp_ignore", "1")?;
        self.director.ip(&format!("addr add {CHECKS}/24 dev lbchecks"))
    }

    /// A namespace on the lan that nothing but health checks leave from.
    pub fn checks_namespace(&self) -> Result<Namespace> {
        let checks = Namespace::create(format!("{}-checks", self.name))?;
        checks.connect("lan", &self.switch, "checks")?;
        self.switch.ip("link set checks master lan")?;
        checks.ip(&format!("addr add {CHECKS}/24 dev lan"))?;
        Ok(checks)
    }

    /// Servers send everything by their default gateway, the router: nothing goes to the director unless it is for an address
    /// on the lan.
    pub fn take_director_from_routes(&self) -> Result<()> {
        self.servers
            .iter()
            .try_for_each(|server| server.namespace().ip(&format!("rule del from {} table 10", server.lan())))
    }

    /// Pulls a server's lan cable out, or puts it back. The first server has number 1.
    pub fn plug(&self, number: usize, is_in: bool) -> Result<()> {
        self.switch.ip(&format!("link set srv{number}-lan {}", if is_in { "up" } else { "down" }))
    }

    /// Puts a server's lan cable into the wan, where its other one is. The first server has number 1.
    pub fn move_to_wan(&self, number: usize) -> Result<()> {
        self.switch.ip(&format!("link set srv{number}-lan master wan"))
    }

    /// The real servers, to do something to them.
    pub fn servers_mut(&mut self) -> &mut [Server] {
        &mut self.servers
    }

    /// The real servers' addresses on the lan.
    #[must_use]
    pub fn server_addresses(&self) -> Vec<Ipv4Addr> {
        self.servers.iter().map(Server::lan).collect()
    }

    /// Starts `lb-app` and waits until it is ready.
    pub fn start(&self, config: &Config) -> Result<Director> {
        self.start_with(config, &config.render(&self.server_addresses()))
    }

    /// The same with another text than the configuration's own.
    pub fn start_with(&self, config: &Config, text: &str) -> Result<Director> {
        self.start_how(config.workers(), text, |_| ())
    }

    /// The same with something added to the command.
    pub fn start_how(&self, workers: usize, text: &str, add: impl FnOnce(&mut Command)) -> Result<Director> {
        self.starts.set(self.starts.get() + 1);
        let name = format!("{}-{}", self.name, self.starts.get());
        Director::start(&self.director, self.directory(), &name, text, workers, add)
    }

    /// Starts `lb-app` with its memory on huge pages, as other DPDK processes can share it.
    pub fn start_on_huge_pages(&self, config: &Config, pages: &HugePages) -> Result<Director> {
        self.start_on(config, &["--huge-dir".to_owned(), pages.directory().display().to_string()], |_| ())
    }

    /// Starts `lb-app` with other EAL arguments about memory, and something added to the command.
    pub fn start_on(
        &self,
        config: &Config,
        memory: &[String],
        add: impl FnOnce(&mut Command),
    ) -> Result<Director> {
        self.starts.set(self.starts.get() + 1);
        let name = format!("{}-{}", self.name, self.starts.get());
        let text = config.render(&self.server_addresses());
        Director::start_on(&self.director, self.directory(), &name, &text, config.workers(), memory, add)
    }

    /// Lets everything outlive this value, and says what there is: `netns NAME`, `pid PID`, `directory PATH`.
    pub fn keep(mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for server in &mut self.servers {
            for process in server.processes_mut() {
                process.keep();
                lines.push(format!("pid {}", process.pid()));
            }
        }
        let servers = self.servers.iter_mut().map(Server::namespace_mut);
        let clients = [self.client.namespace_mut(), self.far_client.namespace_mut()];
        let between = [&mut self.director, &mut self.router, &mut self.switch];
        for namespace in servers.chain(clients).chain(between) {
            namespace.keep();
            lines.push(format!("netns {}", namespace.name()));
        }
        self.directory.keep();
        lines.push(format!("directory {}", self.directory.path().display()));
        lines
    }
}

fn make_client(client: Namespace, switch: &Namespace) -> Result<Client> {
    client.connect("wan", switch, "client")?;
    switch.ip("link set client master wan")?;
    client.ip(&format!("addr add {CLIENT}/24 dev wan"))?;
    Ok(Client::new(client))
}

/// The MTU of the far side is the route's, not the link's: packets that are too big arrive at the router and are
/// answered with "fragmentation needed" instead of being lost on the link.
fn make_router(router: Namespace, switch: &Namespace) -> Result<Namespace> {
    router.connect("wan", switch, "router")?;
    switch.ip("link set router master wan")?;
    router.ip(&format!("addr add {GATEWAY}/24 dev wan"))?;
    router.sysctl("net/ipv4/ip_forward", "1")?;
    Ok(router)
}

fn make_far_client(client: Namespace, router: &Namespace) -> Result<Client> {
    client.connect("wan", router, "far")?;
    client.ip(&format!("addr add {FAR_CLIENT}/24 dev wan\nroute add default via {FAR_GATEWAY}"))?;
    router.ip(&format!(
        "addr add {FAR_GATEWAY}/24 dev far noprefixroute\nroute add 203.0.113.0/24 dev far mtu lock {FAR_MTU}"
    ))?;
    Ok(Client::new(client))
}

fn make_director(director: Namespace, switch: &Namespace, name: &str) -> Result<Namespace> {
    for (device, bridge) in [("lbwan", "wan"), ("lblan", "lan")] {
        let port = format!("{name}-{bridge}");
        director.connect(device, switch, &port)?;
        switch.ip(&format!("link set {port} master {bridge}"))?;
    }
    Ok(director)
}

/// Replies from the server's own address go back through the director, as NAT needs it; replies from a VIP take the
/// direct way over the wan.
fn make_server(
    server: Namespace,
    switch: &Namespace,
    index: u8,
    name: String,
    directory: &Path,
) -> Result<Server> {
    let lan = Ipv4Addr::new(198, 51, 100, 10 + index);
    let wan = Ipv4Addr::new(192, 0, 2, 20 + index);
    for (bridge, address) in [("wan", wan), ("lan", lan)] {
        let port = format!("srv{index}-{bridge}");
        server.connect(bridge, switch, &port)?;
        switch.ip(&format!("link set {port} master {bridge}"))?;
        server.ip(&format!("addr add {address}/24 dev {bridge}"))?;
    }
    server.ip(&format!(
        "route add default via {GATEWAY}\nrule add from {lan} table 10\nroute add default via {DIRECTOR_LAN} table 10\n\
         route add 198.51.100.0/24 dev lan table 10"
    ))?;
    let directory = directory.join(&name);
    Ok(Server::new(server, name, lan, directory))
}

/// One that no other world has.
fn a_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("lb{}x{count}", std::process::id())
}

/// Removes what worlds left behind whose program was killed before it could clean up: those of this name, and those
/// named after a process that is no more.
fn sweep(own: &str) {
    let list = run(Command::new("ip").args(["netns", "list"])).unwrap_or_default();
    for name in list.lines().filter_map(|line| line.split(' ').next()) {
        let Some((world, _)) = name.split_once('-') else { continue };
        let pid = world.strip_prefix("lb").and_then(|rest| rest.split_once('x')).map(|(pid, _)| pid);
        let orphan =
            pid.is_some_and(|pid| pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists());
        if orphan || world == own {
            netns::delete(name);
            // Its files are where Scratch::named put them.
            let _ = std::fs::remove_dir_all(std::env::temp_dir().join(world));
        }
    }
}
