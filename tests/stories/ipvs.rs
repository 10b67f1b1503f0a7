//! A director of Linux's IPVS with a kernel of its own (User-Mode Linux) hands its connections to `lb-app`, and gets them
//! back. `make test` tells it with a few connections, `make test-uml` with a thousand.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::guest::{Card, Guest};
use lb_stories::http::Session;
use lb_stories::netns::Namespace;
use lb_stories::process::eventually;
use lb_stories::{Config, Method, World, world};
use serde_json::Value;

/// How long backups may take to know everything: what was told before they began is told again within 16 s.
const KNOWN_WITHIN: Duration = Duration::from_secs(90);
/// What both directors are called in the synchronization.
const SYNCID: u8 = 7;
/// The directors of IPVS on both networks.
const LVS: [&str; 4] = ["192.0.2.3/24", "198.51.100.3/24", "2001:db8:1::3/64", "2001:db8:2::3/64"];

/// A pair of directors: `lb-app`, and one of IPVS.
struct Pair {
    world: World,
    lvs: Guest,
    /// What clients connect to.
    services: Vec<(Method, SocketAddr)>,
    /// Clients stay with their servers.
    is_persistent: bool,
}

/// VIPs of persistent services: by address and port, of all ports, and by mark.
const BY_PORT: &str = "192.0.2.110";
const BY_ADDRESS: &str = "192.0.2.111";
const BY_MARK: &str = "192.0.2.112";
/// The mark.
const MARK: u32 = 7;

/// A connection and the server that it began with.
type Open = (SocketAddr, Session, String);

impl Pair {
    fn new() -> Result<Pair> {
        let of = |method: Method| {
            [(method, method.at(world::HTTP).into()), (method, method.at6(world::HTTP).into())]
        };
        Pair::of(Method::ALL.into_iter().flat_map(of).collect(), false)
    }

    fn persistent() -> Result<Pair> {
        let vips = [(BY_PORT, world::HTTP), (BY_ADDRESS, 0), (BY_MARK, 0)];
        let services = vips.map(|(vip, port)| Ok((Method::Nat, SocketAddr::new(vip.parse()?, port))));
        Pair::of(services.into_iter().collect::<Result<_>>()?, true)
    }

    fn of(services: Vec<(Method, SocketAddr)>, is_persistent: bool) -> Result<Pair> {
        let world = World::with_ipv6()?;
        let namespace = Namespace::create(format!("{}-lvs", world.name()))?;
        for bridge in ["lan", "wan"] {
            let port = format!("lvs-{bridge}");
            namespace.connect(bridge, world.switch(), &port)?;
            world.switch().ip(&format!("link set {port} master {bridge}"))?;
        }
        namespace.connect("sync", world.director(), "lbsync")?;
        world.director().ip("addr add 10.0.0.1/24 dev lbsync")?;
        let lvs =
            Guest::boot(namespace, &["wan", "lan", "sync"].map(Card::Link), &world.directory().join("lvs"))?;
        let [wan, lan, wan6, lan6] = LVS;
        lvs.run(&format!(
            "for scope in all default vec0 vec1 vec2; do
                echo 0 >/proc/sys/net/ipv4/conf/$scope/rp_filter
                echo 0 >/proc/sys/net/ipv4/conf/$scope/send_redirects
                echo 0 >/proc/sys/net/ipv6/conf/$scope/accept_dad
                echo 0 >/proc/sys/net/ipv6/conf/$scope/disable_ipv6
            done
            echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore
            echo 1 >/proc/sys/net/ipv4/ip_forward
            echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
            ip addr add {wan} dev vec0
            ip addr add {lan} dev vec1
            ip addr add 10.0.0.2/24 dev vec2
            ip addr add {wan6} dev vec0 nodad
            ip addr add {lan6} dev vec1 nodad
            ip route add default via {}
            ip -6 route add default via {}",
            world::GATEWAY,
            world::GATEWAY6
        ))?;
        let pair = Pair { world, lvs, services, is_persistent };
        pair.start_lvs()?;
        Ok(pair)
    }

    /// What operators of a pair of LVS have: services, both daemons.
    fn start_lvs(&self) -> Result<()> {
        let mut lines = "modprobe ip_vs\nmodprobe ip_vs_rr\n".to_owned();
        for (method, vip) in &self.services {
            let known_by = match vip.ip().to_string() {
                ip if ip == BY_MARK => format!("-f {MARK}"),
                _ => format!("-t {vip}"),
            };
            let stays = if self.is_persistent { " -p 300" } else { "" };
            lines += &format!("ipvsadm -A {known_by} -s rr{stays}\n");
            for server in self.world.server_addresses() {
                let port = if vip.port() == 0 { 0 } else { method.server_port(world::HTTP) };
                let server: SocketAddr = match vip.is_ipv4() {
                    true => (server, port).into(),
                    false => (world::server6_of(server), port).into(),
                };
                let how = match method {
                    Method::Nat | Method::FullNat => "-m",
                    Method::Tun => "-i",
                    // The last is none that it has.
                    Method::Dr | Method::L3Dsr => "-g",
                };
                lines += &format!("ipvsadm -a {known_by} -r {server} {how}\n");
            }
        }
        lines += &format!(
            "ipvsadm --start-daemon master --mcast-interface vec2 --syncid {SYNCID}\n\
             ipvsadm --start-daemon backup --mcast-interface vec2 --syncid {SYNCID}\n"
        );
        self.lvs.run(&lines).map(drop)
    }

    /// It forgets everything, as one that is started anew has.
    fn restart_lvs(&self) -> Result<()> {
        self.lvs.run(
            "ipvsadm --stop-daemon master\nipvsadm --stop-daemon backup\nipvsadm -C\n\
             for try in 1 2 3 4 5 6 7 8 9 10; do
                 modprobe -r ip_vs_rr || true
                 modprobe -r ip_vs && break
                 sleep 0.5
             done
             test ! -e /proc/net/ip_vs",
        )?;
        self.start_lvs()
    }

    /// The director of IPVS has the VIPs, and servers answer by it; or not.
    fn lvs_is_active(&self, is_active: bool) -> Result<()> {
        let word = if is_active { "add" } else { "del" };
        let mut lines = String::new();
        for (_, vip) in &self.services {
            let (prefix, nodad) = if vip.is_ipv4() { (32, "") } else { (128, " nodad") };
            let nodad = if is_active { nodad } else { "" };
            lines += &format!("ip addr {word} {}/{prefix} dev vec0{nodad}\n", vip.ip());
        }
        self.lvs.run(&lines)?;
        let last = if is_active { 3 } else { 1 };
        for server in self.world.servers() {
            server.namespace().ip(&format!(
                "route replace default via 198.51.100.{last} table 10\n\
                 route replace default via 2001:db8:2::{last} table 10"
            ))?;
        }
        // Which an announcement does to those who have the old neighbour.
        for namespace in [self.world.client().namespace(), self.world.router()] {
            namespace.ip("neigh flush dev wan")?;
        }
        Ok(())
    }

    /// Opens that many connections, in turn with every service.
    fn open(&self, count: usize) -> Result<Vec<Open>> {
        let open = |&(_, vip): &(Method, SocketAddr)| {
            let mut session = self.world.client().http(vip).with_context(|| format!("connect to {vip}"))?;
            let server = session.get("/small").with_context(|| format!("from {vip}"))?.server;
            Ok((vip, session, server))
        };
        self.services.iter().cycle().take(count).map(open).collect()
    }

    /// Connections that the kernel's IPVS knows as established.
    fn known_to_lvs(&self) -> Result<usize> {
        let list = self.lvs.run("ipvsadm -Lnc")?;
        Ok(list.lines().filter(|line| line.contains("ESTABLISHED")).count())
    }
}

/// Asks on every connection, and says which do not go on as they began.
fn broken(open: &mut [Open]) -> Vec<String> {
    let ask = |(vip, session, server): &mut Open| -> io::Result<()> {
        let answer = session.get("/small")?;
        if answer.server == *server {
            Ok(())
        } else {
            Err(io::Error::other(format!("{vip}: by another server")))
        }
    };
    open.iter_mut().filter_map(|open| ask(open).err().map(|error| format!("{} {error}", open.0))).collect()
}

fn ipvs(control: &Control) -> Result<Value> {
    let answer: Value = serde_json::from_str(&control.ask("--json show sync")?)?;
    Ok(answer["reply"]["peers"]["ipvs"].clone())
}

fn hand_over_and_back(count: usize) -> Result<()> {
    let pair = Pair::new()?;
    let world = &pair.world;
    let config = pair.services.iter().fold(Config::new(), |config, (method, vip)| {
        let service = Service::tcp(*method, world::HTTP);
        config.service(if vip.is_ipv4() { service } else { service.over_ipv6() })
    });
    let config = config
        .section("[director]\nrole = \"standby\"\n")
        .section("[metrics]\nlisten = \"127.0.0.1:9145\"\n")
        .section(format!("[ipvs_sync]\ninterface = \"lbsync\"\nrole = \"both\"\nsyncid = {SYNCID}\n"));
    let director = world.start(&config)?;
    let control = Control::of(&director)?;
    pair.lvs_is_active(true)?;

    let mut from_lvs = pair.open(count)?;
    // IPVS tells of a connection with its third packet, and again with each fiftieth after it. A datagram may be lost on the
    // way here, so connections go on until all are known.
    let held = || {
        let is_held = ipvs(&control)?["backup"]["held"] == count;
        let lost = if is_held { Vec::new() } else { broken(&mut from_lvs) };
        ensure!(lost.is_empty(), "{lost:?}");
        Ok(is_held)
    };
    ensure!(eventually(KNOWN_WITHIN, held)?, "{}", control.ask("show sync")?);
    let start = Instant::now();
    pair.lvs_is_active(false)?;
    control.ask("set director role active")?;
    let lost = broken(&mut from_lvs);
    println!("IPVS to lb-app: {count} open, {} broken, {:?}", lost.len(), start.elapsed());
    ensure!(lost.is_empty(), "{lost:?}\n{}", control.ask("show sync")?);
    ensure!(ipvs(&control)?["backup"]["adopted"] == count, "{}", control.ask("show sync")?);
    let told = control.ask("show sync")?;
    ensure!(told.contains("heard from 10.0.0.2"), "{told}");
    ensure!(control.ask("show events")?.contains("director 10.0.0.2 of IPVS tells of its connections"));

    // The other way: what came from there, and what began here.
    pair.restart_lvs()?;
    let mut from_here = pair.open(count)?;
    let mut seen = 0;
    let known = eventually(KNOWN_WITHIN, || {
        seen = pair.known_to_lvs()?;
        Ok(seen == 2 * count)
    })?;
    ensure!(known, "IPVS knows {seen} of {}\n{}", 2 * count, control.ask("show sync")?);
    let metrics = world.director().run("curl", &["-sS", "http://127.0.0.1:9145/metrics"])?;
    ensure!(metrics.contains("lb_ipvs_sync_joined 1"), "{metrics}");
    ensure!(metrics.contains(&format!("lb_ipvs_sync_adopted_connections_total {count}")), "{metrics}");
    let start = Instant::now();
    control.ask("set director role standby")?;
    pair.lvs_is_active(true)?;
    let lost = [broken(&mut from_lvs), broken(&mut from_here)].concat();
    println!("lb-app to IPVS: {} open, {} broken, {:?}", 2 * count, lost.len(), start.elapsed());
    ensure!(lost.is_empty(), "{lost:?}\n{}", pair.lvs.run("ipvsadm -Ln")?);
    director.stop()?;
    Ok(())
}

#[test]
fn a_director_of_ipvs_hands_over_and_gets_back() -> Result<()> {
    hand_over_and_back(30)
}

#[test]
#[ignore = "make test-uml"]
fn a_director_of_ipvs_hands_over_a_thousand_and_gets_back_two() -> Result<()> {
    hand_over_and_back(1_000)
}

/// Which server each of two clients gets from each service: over all ports the servers' own.
fn who_serves(pair: &Pair, services: &[(Method, SocketAddr)]) -> Result<Vec<(SocketAddr, String)>> {
    let mut served = Vec::new();
    for client in [pair.world.client(), pair.world.far_client()] {
        for (_, vip) in services {
            let port = if vip.port() == 0 { world::HTTP_BEHIND_NAT } else { vip.port() };
            let to = SocketAddr::new(vip.ip(), port);
            let mut session = client.http(to).with_context(|| format!("connect to {to}"))?;
            served.push((to, session.get("/small")?.server));
            // More than can be forged, and more than IPVS waits for before it tells.
            session.get("/small")?;
        }
    }
    Ok(served)
}

#[test]
fn clients_of_persistent_services_stay_with_their_servers_both_ways() -> Result<()> {
    let pair = Pair::persistent()?;
    let world = &pair.world;
    let servers: Vec<String> =
        world.server_addresses().iter().map(|server| format!("{{ address = \"{server}\" }}")).collect();
    let service = |name: &str, vip: &str, rest: &str| {
        format!(
            "[[services]]\nname = \"{name}\"\nvip = \"{vip}\"\nprotocol = \"tcp\"\nmethod = \"nat\"\nscheduler = \
             \"rr\"\npersistence = {{ timeout = \"5m\" }}\n{rest}\n"
        )
    };
    let with_port = servers.join(", ").replace("\" }", &format!("\", port = {} }}", world::HTTP_BEHIND_NAT));
    let config = Config::new()
        .section("[director]\nrole = \"standby\"\n")
        .section(format!("[ipvs_sync]\ninterface = \"lbsync\"\nrole = \"both\"\nsyncid = {SYNCID}\n"))
        .section(service("port", BY_PORT, &format!("port = {}\nservers = [{with_port}]", world::HTTP)))
        .section(service(
            "address",
            BY_ADDRESS,
            &format!("ports = \"any\"\nservers = [{}]", servers.join(", ")),
        ))
        .section(service(
            "mark",
            BY_MARK,
            &format!(
                "ports = [80, {}]\nfwmark = {MARK}\nservers = [{}]",
                world::HTTP_BEHIND_NAT,
                servers.join(", ")
            ),
        ));
    let director = world.start(&config)?;
    let control = Control::of(&director)?;

    // The kernel there has nothing that marks packets, so it knows clients of the other two.
    let (all, known) = (&pair.services[..], &pair.services[..2]);
    pair.lvs_is_active(true)?;
    let from_lvs = who_serves(&pair, known)?;
    // It tells again of clients that come again: a datagram may be lost on the way here.
    let taken = || {
        let is_taken = ipvs(&control)?["backup"]["clients"].as_u64() >= Some(4);
        let again = if is_taken { from_lvs.clone() } else { who_serves(&pair, known)? };
        ensure!(again == from_lvs, "{again:?} {from_lvs:?}");
        Ok(is_taken)
    };
    ensure!(eventually(KNOWN_WITHIN, taken)?, "{}", control.ask("show sync")?);
    pair.lvs_is_active(false)?;
    control.ask("set director role active")?;
    let here = who_serves(&pair, known)?;
    ensure!(here == from_lvs, "{here:?} {from_lvs:?}\n{}", control.ask("show persistence")?);

    // The other way.
    pair.restart_lvs()?;
    let from_here = who_serves(&pair, all)?;
    let templates = || pair.lvs.run("ipvsadm -Lnc");
    let told = || {
        let list = templates()?;
        let has = |client: IpAddr, vip: &str| {
            list.lines().any(|line| line.contains(&format!("{client}:0")) && line.contains(vip))
        };
        let clients = [IpAddr::from(world::CLIENT), world::FAR_CLIENT.into()];
        let vips =
            [format!("{BY_PORT}:{}", world::HTTP), format!("{BY_ADDRESS}:0"), format!("0.0.0.{MARK}:0")];
        Ok(clients.iter().all(|client| vips.iter().all(|vip| has(*client, vip))))
    };
    ensure!(eventually(KNOWN_WITHIN, told)?, "{}\n{}", templates()?, control.ask("show sync")?);
    control.ask("set director role standby")?;
    pair.lvs_is_active(true)?;
    let there = who_serves(&pair, known)?;
    let is_known = |one: &(SocketAddr, String)| known.iter().any(|(_, vip)| vip.ip() == one.0.ip());
    let expected: Vec<_> = from_here.into_iter().filter(is_known).collect();
    ensure!(there == expected, "{there:?} {expected:?}\n{}", templates()?);
    director.stop()?;
    Ok(())
}
