//! Directors that tell one another of connections.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::http::Session;
use lb_stories::netns::Namespace;
use lb_stories::process::{PATIENCE, eventually};
use lb_stories::{Config, Director, Method, World, world};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

/// The directors' last bytes on both networks.
const DIRECTORS: [u8; 2] = [1, 3];
/// Connections that are open.
const OPEN: u16 = 100;
/// The first client port.
const FIRST: u16 = 20_000;

/// Two directors and the network on which they talk.
struct Pair {
    world: World,
    other: Namespace,
    keys: [PathBuf; 2],
}

impl Pair {
    fn new(keys: [&str; 2]) -> Result<Pair> {
        let world = World::new()?;
        let other = world.another_director()?;
        world.director().connect("lbsync", &other, "lbsync")?;
        for (namespace, host) in [(world.director(), 1), (&other, 2)] {
            namespace.ip(&format!("addr add 10.0.0.{host}/30 dev lbsync"))?;
        }
        let file = |number: usize| {
            let path = world.directory().join(format!("sync{number}.key"));
            fs::write(&path, format!("{}\n", keys[number]))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            Ok::<_, anyhow::Error>(path)
        };
        let keys = [file(0)?, file(1)?];
        Ok(Pair { world, other, keys })
    }

    /// Starts one of the directors.
    fn start(&self, number: usize, config: &Config) -> Result<(Director, Control)> {
        let world = &self.world;
        let text = self.text(number, config);
        let namespace = if number == 0 { world.director() } else { &self.other };
        let name = format!("{}-sync{number}", world.name());
        let director = Director::start(namespace, world.directory(), &name, &text, config.workers(), |_| ())?;
        let control = Control::of(&director)?;
        Ok((director, control))
    }

    /// A director's configuration.
    fn text(&self, number: usize, config: &Config) -> String {
        let (world, last) = (&self.world, DIRECTORS[number]);
        let (own, peer) = (number + 1, 2 - number);
        let sync = format!(
            "[sync]\nlisten = \"10.0.0.{own}:4789\"\npeers = [\"10.0.0.{peer}:4789\"]\nkey_file = {:?}\n",
            self.keys[number]
        );
        let text = config.clone().section(sync).render(&world.server_addresses());
        text.replace(&format!("{}/24", world::DIRECTOR_WAN), &format!("192.0.2.{last}/24"))
            .replace(&format!("{}/24", world::DIRECTOR_LAN), &format!("198.51.100.{last}/24"))
            .replace(&format!("[tunnel]\nlocal = \"{}\"", world::DIRECTOR_LAN), "[tunnel]")
    }
}

fn told(control: &Control) -> Result<Value> {
    let answer: Value = serde_json::from_str(&control.ask("--json show sync")?)?;
    Ok(answer["reply"]["peers"].clone())
}

/// Opens a connection of the far client's from a port of its own choice.
fn connect(world: &World, port: u16, to: SocketAddr) -> Result<TcpStream> {
    let stream = world.far_client().namespace().within(|| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((world::FAR_CLIENT, port)).into())?;
        socket.connect_timeout(&to.into(), PATIENCE)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_tcp_nodelay(true)?;
        Ok(TcpStream::from(socket))
    });
    stream.with_context(|| format!("from port {port}"))
}

/// Which director the router sends a connection to.
fn way(world: &World, port: u16, vip: Ipv4Addr) -> Result<usize> {
    let (vip, port, from) = (vip.to_string(), port.to_string(), world::FAR_CLIENT.to_string());
    let flow = ["ipproto", "tcp", "sport", &port, "dport", "80"];
    let ask = [&["route", "get", &vip, "from", &from, "iif", "far"][..], &flow].concat();
    let route = world.router().run("ip", &ask)?;
    let is_by = |last: &u8| route.contains(&format!("via 192.0.2.{last} "));
    DIRECTORS.iter().position(is_by).with_context(|| format!("no way: {route}"))
}

#[test]
fn connections_of_wlc_survive_a_director_behind_a_router() -> Result<()> {
    let pair = Pair::new(["a key that both of them have"; 2])?;
    let world = &pair.world;
    let config = Config::new().service(Service::tcp(Method::Nat, world::HTTP).scheduler("wlc"));
    let (first, one) = pair.start(0, &config)?;
    let (second, two) = pair.start(1, &config)?;
    let vip = Method::Nat.vip();
    // The router spreads connections over both; servers answer by the way that each came.
    world.spread_by_ports()?;
    world
        .router()
        .ip(&format!("route add {vip}/32 nexthop via 192.0.2.1 dev wan nexthop via 192.0.2.3 dev wan"))?;
    let ports: Vec<u16> = (FIRST..FIRST + OPEN).collect();
    let ways: BTreeMap<u16, usize> =
        ports.iter().map(|&port| Ok((port, way(world, port, vip)?))).collect::<Result<_>>()?;
    for server in world.servers() {
        let mut lines = String::new();
        for (table, last) in [(20, DIRECTORS[0]), (21, DIRECTORS[1])] {
            lines += &format!(
                "route add 198.51.100.0/24 dev lan table {table}\n\
                 route add default via 198.51.100.{last} table {table}\n"
            );
        }
        for (port, way) in &ways {
            let table = 20 + way;
            let to = world::FAR_CLIENT;
            lines += &format!("rule add to {to} ipproto tcp dport {port} pref 100 table {table}\n");
        }
        server.namespace().ip(&lines)?;
    }
    let by = |director: usize| ways.values().filter(|way| **way == director).count() as u64;
    ensure!(by(0) > 20 && by(1) > 20, "{} and {}", by(0), by(1));
    ensure!(eventually(PATIENCE, || Ok(told(&two)?["peers"][0]["up"] == true))?, "they hear each other");

    let mut sessions = Vec::new();
    for &port in &ports {
        let mut session = Session::new(connect(world, port, Method::Nat.at(world::HTTP).into())?);
        let server = session.get("/small")?.server;
        sessions.push((port, session, server));
    }
    let know_all = || Ok(told(&two)?["held"] == by(0) && told(&one)?["held"] == by(1));
    ensure!(eventually(PATIENCE, know_all)?, "{}\n{}", told(&one)?, told(&two)?);
    ensure!(one.ask("show sync")?.contains("complete, same lookup tables"));

    let start = Instant::now();
    first.kill();
    world.router().ip(&format!("route replace {vip}/32 via 192.0.2.3 dev wan"))?;
    for server in world.servers() {
        server.namespace().ip("route replace default via 198.51.100.3 table 20")?;
    }
    let mut broken = Vec::new();
    for (port, session, server) in &mut sessions {
        match session.get("/small") {
            Ok(answer) if answer.server == *server => {}
            Ok(answer) => broken.push(format!("{port}: by {} and not by {server}", answer.server)),
            Err(error) => broken.push(format!("{port}: {error}")),
        }
    }
    println!(
        "wlc, NAT: death of one of two directors: {OPEN} open, {} broken, {:?}",
        broken.len(),
        start.elapsed()
    );
    ensure!(broken.is_empty(), "{broken:?}");
    ensure!(told(&two)?["adopted"] == by(0), "{}", told(&two)?);
    let is_noticed = || Ok(two.ask("show events")?.contains("peer-silent"));
    ensure!(eventually(PATIENCE, is_noticed)?, "{}", two.ask("show events")?);
    second.stop()?;
    Ok(())
}

/// Nothing is announced here: somebody else moves the VIPs, and the connections go on at the other director.
#[test]
fn who_ends_tells_of_young_connections_though_it_announces_nothing() -> Result<()> {
    let pair = Pair::new(["a key that both of them have"; 2])?;
    let config = Config::new().service(Service::tcp(Method::Nat, world::HTTP).scheduler("wlc"));
    let (second, two) = pair.start(1, &config.clone().section("[director]\nrole = \"standby\"\n"))?;
    let is_up = |control: &Control| Ok::<_, anyhow::Error>(told(control)?["peers"][0]["up"] == true);
    // Who ends tries for two seconds. A machine that stands still for as long proves nothing: once more, then.
    for _ in 0..5 {
        let before = told(&two)?["held"].as_u64().context("a number")?;
        let (first, one) = pair.start(0, &config)?;
        let hear_each_other = || Ok(is_up(&one)? && is_up(&two)?);
        ensure!(eventually(PATIENCE, hear_each_other)?, "{}\n{}", told(&one)?, told(&two)?);
        let mut sessions = Vec::new();
        for _ in 0..10 {
            let mut session = pair.world.client().http(Method::Nat.at(world::HTTP))?;
            session.get("/small")?;
            sessions.push(session);
        }
        let start = Instant::now();
        first.stop()?;
        let took = start.elapsed();
        println!("it ended within {took:?}");
        let knows = || Ok(told(&two)?["held"].as_u64() >= Some(before + 10));
        if eventually(Duration::from_secs(1), knows)? {
            return second.stop().map(drop);
        }
        ensure!(took >= Duration::from_secs(2), "{before} and 10: {}", told(&two)?);
    }
    bail!("it never told within two seconds")
}

#[test]
fn another_key_is_refused_and_counted_until_a_reload_reads_the_same() -> Result<()> {
    let pair = Pair::new(["a key that both of them have", "a key that only one of them has"])?;
    let metrics = "[metrics]\nlisten = \"127.0.0.1:9145\"\n";
    let service = Service::tcp(Method::Nat, world::HTTP).scheduler("wlc");
    let config = Config::new().service(service).section(metrics);
    let (first, one) = pair.start(0, &config)?;
    let (second, two) = pair.start(1, &config)?;
    let refuses = |control: &Control| -> Result<bool> {
        Ok(told(control)?["peers"][0]["wrong_key"].as_u64() > Some(2))
    };
    ensure!(eventually(PATIENCE, || Ok(refuses(&one)? && refuses(&two)?))?, "{}", told(&one)?);
    for control in [&one, &two] {
        let told = told(control)?;
        ensure!(told["peers"][0]["up"] == false && told["held"] == 0, "{told}");
        ensure!(control.ask("show events")?.contains("peer-refused"));
    }
    let metrics = pair.world.director().run("curl", &["-sS", "http://127.0.0.1:9145/metrics"])?;
    ensure!(metrics.contains("lb_peer_up{peer=\"10.0.0.2:4789\"} 0"), "{metrics}");

    // A reload reads the key again, and takes other addresses of peers.
    fs::copy(&pair.keys[0], &pair.keys[1])?;
    let [one_text, two_text] = [pair.text(0, &config), pair.text(1, &config)];
    second.reload(&two_text)?;
    let hear_each_other = || {
        let is_up = |control: &Control| Ok::<_, anyhow::Error>(told(control)?["peers"][0]["up"] == true);
        Ok(is_up(&one)? && is_up(&two)?)
    };
    ensure!(eventually(PATIENCE, hear_each_other)?, "{}\n{}", told(&one)?, told(&two)?);
    let moved = |text: &str| text.replace("10.0.0.2:4789", "10.0.0.2:4790");
    first.reload(&moved(&one_text))?;
    second.reload(&moved(&two_text))?;
    let has_moved = || Ok(told(&one)?["peers"][0]["address"] == "10.0.0.2:4790");
    ensure!(eventually(PATIENCE, has_moved)? && eventually(PATIENCE, hear_each_other)?, "{}", told(&one)?);
    ensure!(told(&two)?["listen"] == "10.0.0.2:4790", "{}", told(&two)?);
    // What takes a restart says so, and changes nothing.
    let larger = moved(&two_text).replace("[sync]\n", "[sync]\nentries = 2048\nrate = 100\n");
    second.write_configuration(&larger)?;
    let (_, refused) = two.refused("reload")?;
    ensure!(
        refused.contains("require a restart") && refused.contains("sync: entries 131072 -> 2048"),
        "{refused}"
    );
    fs::write(&pair.keys[1], "short\n")?;
    second.write_configuration(&moved(&two_text))?;
    let (_, refused) = two.refused("reload")?;
    ensure!(refused.contains("has 5 bytes, not 16 to 4,096"), "{refused}");
    ensure!(eventually(PATIENCE, hear_each_other)?, "the key that it had stays in use");
    first.stop()?;
    second.stop()?;
    Ok(())
}

#[test]
fn a_key_that_is_none_is_named() -> Result<()> {
    let world = World::new()?;
    let key = world.directory().join("short.key");
    fs::write(&key, "short\n")?;
    let report = |key: &Path| {
        let sync = "[sync]\nlisten = \"10.0.0.1:4789\"\npeers = [\"10.0.0.2:4789\"]\n";
        let text = Config::http().section(format!("{sync}key_file = {key:?}\n"));
        let file = world.directory().join("sync.toml");
        fs::write(&file, text.render(&world.server_addresses()))?;
        let output = lb_stories::director::check(&file)?;
        ensure!(!output.status.success());
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    ensure!(report(&key)?.contains("has 5 bytes, not 16 to 4,096"), "{}", report(&key)?);
    ensure!(report(Path::new("/nonexistent.key"))?.contains("cannot be read"));
    Ok(())
}
