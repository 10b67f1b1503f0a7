//! The host behind a port: the kernel has the director's own addresses on ports that DPDK polls, and programs use them.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lb_stories::arp::Listener;
use lb_stories::bird::Bird;
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::netns::Namespace;
use lb_stories::process::{Background, PATIENCE, eventually, run};
use lb_stories::{Config, Method, World, world};
use serde_json::Value;

/// A configuration whose ports both have a host side.
fn text(world: &World) -> String {
    let check = "check = { type = \"tcp\", via = \"kernel\", interval = \"200ms\" }";
    let config = Config::new()
        .service(Service::tcp(Method::Nat, world::HTTP).line(check))
        .section("[metrics]\nlisten = \"0.0.0.0:9145\"\n");
    let config = config.section(format!("[control]\ncaptures = {:?}\n", world.directory().join("captures")));
    config.with_host_sides().render(&world.server_addresses())
}

/// Has the kernel leave alone what comes by the interfaces themselves: on a NIC that DPDK owns it sees none of it.
fn leave_interfaces_to_dpdk(world: &World) -> Result<()> {
    ["lbwan", "lblan"].iter().try_for_each(|name| world.director().leave_to_dpdk(name))
}

#[test]
fn programs_use_ports_that_dpdk_owns() -> Result<()> {
    let world = World::new()?;
    leave_interfaces_to_dpdk(&world)?;
    let text = text(&world);
    let director = world.start_how(2, &text, |_| ())?;
    let control = Control::of(&director)?;
    let link = |name: &str| world.director().run("ip", &["addr", "show", name]);
    let has = |name: &str, what: &str| Ok(link(name)?.contains(what));
    ensure!(eventually(PATIENCE, || has("lb-wan", "inet 192.0.2.1/24"))?, "{}", link("lb-wan")?);
    let mac = world.director().run("cat", &["/sys/class/net/lbwan/address"])?;
    ensure!(
        link("lb-wan")?.contains(mac.trim()) && link("lb-wan")?.contains("mtu 1500"),
        "{}",
        link("lb-wan")?
    );

    // The kernel answers ARP, ping and TCP for own addresses, the director for VIPs.
    let client = world.client();
    control.ask("capture start wan icmp pings.pcapng")?;
    client.ping(world::DIRECTOR_WAN)?;
    let file = world.directory().join("captures/pings.pcapng");
    let captured = || {
        let fields = ["-T", "fields", "-e", "frame.interface_name", "-e", "icmp.type"];
        run(Command::new("tshark").arg("-r").arg(&file).args(fields))
    };
    // What is the kernel's is in captures like all else: as it arrives, and as it leaves.
    let both =
        || Ok(["wan-rx\t8", "wan-tx\t0"].iter().all(|line| captured().is_ok_and(|it| it.contains(line))));
    ensure!(eventually(PATIENCE, both)?, "{}", captured()?);
    control.ask("capture stop 1")?;
    let page =
        client.namespace().run("curl", &["-sS", "--max-time", "30", "http://192.0.2.1:9145/metrics"])?;
    ensure!(page.contains("lb_host_packets_total{port=\"wan\",direction=\"from-kernel\"}"), "{page}");
    let is_up = || Ok(control.ask("show health")?.matches(" up ").count() >= 2);
    ensure!(eventually(PATIENCE, is_up)?, "{}", control.ask("show health")?);
    client.who_answers(Method::Nat.at(world::HTTP), 4)?;
    let explained = control.ask("explain tcp 192.0.2.10:4000 192.0.2.1:22 flags syn")?;
    ensure!(explained.contains("the host side of the port gets it"), "{explained}");

    // It sees links as they are, and addresses as the file has them.
    world.director().ip("link set lbwan down")?;
    ensure!(eventually(PATIENCE, || has("lb-wan", "NO-CARRIER"))?, "{}", link("lb-wan")?);
    world.director().ip("link set lbwan up")?;
    ensure!(eventually(PATIENCE, || Ok(!link("lb-wan")?.contains("NO-CARRIER")))?);
    director.reload(&text.replace("192.0.2.1/24", "192.0.2.3/24"))?;
    ensure!(eventually(PATIENCE, || has("lb-wan", "inet 192.0.2.3/24"))?, "{}", link("lb-wan")?);
    ensure!(!has("lb-wan", "inet 192.0.2.1/24")?);
    client.ping(Ipv4Addr::new(192, 0, 2, 3))?;
    director.stop()?;
    ensure!(link("lb-wan").is_err(), "it is gone with the director");
    Ok(())
}

/// Checks of the kernel's and of programs reach servers by the host side, whatever driver the ports have.
fn checks_leave_by_the_host_side(config: Config) -> Result<()> {
    let world = World::new()?;
    leave_interfaces_to_dpdk(&world)?;
    let by_kernel = "check = { type = \"tcp\", via = \"kernel\", interval = \"200ms\" }";
    let program = "curl -sS --fail --max-time 5 -o /dev/null http://$LB_SERVER:$LB_SERVER_PORT/small";
    let by_program = format!(
        "check = {{ type = \"command\", command = [\"sh\", \"-c\", \"{program}\"], interval = \"500ms\" }}"
    );
    let config = config
        .service(Service::tcp(Method::Nat, world::HTTP).line(by_kernel))
        .service(Service::tcp(Method::Dr, world::HTTP).line(by_program));
    let director = world.start(&config.with_host_sides())?;
    let control = Control::of(&director)?;
    let are_up = || Ok(control.ask("show health")?.matches(" up ").count() >= 4);
    ensure!(eventually(PATIENCE, are_up)?, "{}", control.ask("show health")?);
    world.client().ping(world::DIRECTOR_WAN)?;
    for method in [Method::Nat, Method::Dr] {
        world.client().who_answers(method.at(world::HTTP), 4)?;
    }
    let host: Value = serde_json::from_str(&control.ask("--json show host")?)?;
    let sides = host["reply"]["host"]["sides"].as_array().context("no sides")?;
    let moved = |side: &Value| side["to_kernel"].as_u64() > Some(0) && side["from_kernel"].as_u64() > Some(0);
    ensure!(sides.len() == 2 && sides.iter().all(moved), "{host}");
    // One server ends, and both kinds of checks notice.
    world.servers()[0].namespace().ip("link set lan down")?;
    let are_down = || Ok(control.ask("show health")?.matches(" down ").count() >= 2);
    ensure!(eventually(PATIENCE, are_down)?, "{}", control.ask("show health")?);
    director.stop().map(drop)
}

#[test]
fn checks_leave_by_host_sides_of_packet_sockets() -> Result<()> {
    checks_leave_by_the_host_side(Config::new())
}

#[test]
fn checks_leave_by_host_sides_of_af_xdp() -> Result<()> {
    checks_leave_by_the_host_side(Config::new().on_af_xdp())
}

#[test]
fn checks_leave_by_host_sides_of_pcap() -> Result<()> {
    checks_leave_by_the_host_side(Config::new().on_pcap())
}

/// What a ring takes comes back by it, so the kernel hears the broadcasts that it sends.
#[test]
fn a_ring_has_a_host_side() -> Result<()> {
    let world = World::new()?;
    let mut text = Config::new()
        .service(Service::tcp(Method::Dr, world::HTTP))
        .alone()
        .with_host_sides()
        .render(&world.server_addresses());
    for (number, name) in ["lbwan", "lblan"].into_iter().enumerate() {
        let device = format!("net_af_packet{number},iface={name},qpairs=1");
        ensure!(text.contains(&device), "{text}");
        text = text.replace(&device, &format!("net_ring{number}"));
    }
    let director = world.start_how(1, &text, |_| ())?;
    let control = Control::of(&director)?;
    let link = || world.director().run("ip", &["addr", "show", "lb-wan"]);
    let has_own = || Ok(link()?.contains(&format!("inet {}/24", world::DIRECTOR_WAN)));
    ensure!(eventually(PATIENCE, has_own)?, "{}", link()?);
    let port = control.ask("show port info wan")?;
    let mac = port.split_once("MAC address: ").and_then(|(_, rest)| rest.split_whitespace().next());
    let mac = mac.with_context(|| port.clone())?.to_lowercase();
    ensure!(link()?.contains(&mac), "{mac}: {}", link()?);
    let comes_back = || {
        let _ = world.director().run("ping", &["-c", "1", "-W", "1", "-b", "-I", "lb-wan", "192.0.2.255"]);
        let host: Value = serde_json::from_str(&control.ask("--json show host")?)?;
        let side = &host["reply"]["host"]["sides"][0];
        Ok(side["to_kernel"].as_u64() > Some(0) && side["from_kernel"].as_u64() > Some(0))
    };
    ensure!(eventually(PATIENCE, comes_back)?, "{}", control.ask("show host")?);
    director.stop().map(drop)
}

/// How long it takes at most to find a neighbour: ten questions. Of a hundred that a flood takes 99 of, more are lost.
const HEARD: Duration = Duration::from_secs(10);

/// What VRRP elects: one that the director's daemon has, and one that the router's has.
const ELECTED: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 131), Ipv4Addr::new(192, 0, 2, 132)];

/// keepalived on an interface, with these priorities for the two addresses.
fn elect(
    (namespace, directory): (&Namespace, &Path),
    (name, interface): (&str, &str),
    priorities: [u8; 2],
) -> Result<Background> {
    let at = |extension: &str| directory.join(format!("{name}.{extension}"));
    let instance = |(number, priority): (usize, u8)| {
        format!(
            "vrrp_instance e{number} {{\n  state BACKUP\n  interface {interface}\n  virtual_router_id {}\n  priority \
             {priority}\n  version 3\n  advert_int 1\n  virtual_ipaddress {{\n    {}/32\n  }}\n}}\n",
            61 + number,
            ELECTED[number]
        )
    };
    let instances: String = priorities.into_iter().enumerate().map(instance).collect();
    let global = format!("global_defs {{\n  router_id {name}\n  vrrp_version 3\n}}\n");
    fs::write(at("keepalived.conf"), global + &instances)?;
    let mut command = namespace.command("keepalived");
    command.args(["--dont-fork", "--log-console", "--log-detail", "--vrrp"]);
    command.arg("--use-file").arg(at("keepalived.conf"));
    command.arg("--pid").arg(at("keepalived.pid")).arg("--vrrp_pid").arg(at("vrrp.pid"));
    namespace.spawn(&mut command, &at("keepalived.log"))
}

/// An interface's Ethernet address.
fn mac(namespace: &Namespace, device: &str) -> Result<[u8; 6]> {
    let text = namespace.run("cat", &[&format!("/sys/class/net/{device}/address")])?;
    let bytes: Vec<u8> =
        text.trim().split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>()?;
    bytes.try_into().map_err(|_| anyhow::anyhow!("{text} is no Ethernet address"))
}

/// Packets for host sides that were dropped: either their budget bounds them, or what the kernel keeps up with, whichever is
/// less on this machine.
fn dropped(control: &Control) -> Result<u64> {
    let answer: Value = serde_json::from_str(&control.ask("--json show drops")?)?;
    let reasons = answer["reply"]["drops"]["reasons"].as_array().context("no reasons")?;
    let of_hosts = reasons
        .iter()
        .filter(|drop| ["host-limited", "host-full"].map(Value::from).contains(&drop["reason"]));
    Ok(of_hosts.filter_map(|drop| drop["packets"].as_u64()).sum())
}

/// Sends as many datagrams to an address of the director's as the client can, until the story is over.
fn under_a_flood<T>(world: &World, to: IpAddr, story: impl FnOnce() -> Result<T>) -> Result<T> {
    let (over, sent, start) = (AtomicBool::new(false), AtomicU64::new(0), Instant::now());
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = world.client().namespace().within(|| UdpSocket::bind(any))?;
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                for _ in 0..64 {
                    let _ = socket.send_to(b"flood", (to, 9));
                }
                sent.fetch_add(64, Ordering::Relaxed);
            }
        });
        let outcome = story();
        over.store(true, Ordering::Relaxed);
        let (sent, took) = (sent.load(Ordering::Relaxed), start.elapsed());
        println!("{to}: {sent} datagrams, {:.0} a second", sent as f64 / took.as_secs_f64());
        outcome
    })
}

/// A flood to the director's own addresses takes nothing of what keeps its routes and addresses: BFD and BGP do not flap, no
/// address of VRRP's moves, and neighbours that have forgotten the director find it again by ARP and neighbour discovery.
#[test]
fn a_flood_to_an_own_address_ends_neither_bfd_nor_bgp_nor_vrrp_nor_arp_nor_nd() -> Result<()> {
    let mut world = World::alone()?;
    world.add_ipv6()?;
    leave_interfaces_to_dpdk(&world)?;
    world.director().enable_ipv6(&[])?;
    let config = Config::new()
        .service(Service::tcp(Method::Nat, world::HTTP))
        .service(Service::tcp(Method::Nat, world::HTTP).over_ipv6());
    let text = config.with_host_sides().render(&world.server_addresses());
    let director = world.start_how(2, &text, |_| ())?;
    let control = Control::of(&director)?;
    let daemon = |own: &str, other: &str, (interface, one, two): (&str, u32, u32)| {
        format!(
            "router id {own};\nprotocol device {{}}\nprotocol bfd {{ interface \"{interface}\" {{ interval 300 ms; \
             multiplier 10; }}; neighbor {other}; }}\nprotocol bgp peer {{\n  local {own} as {one};\n  neighbor {other} \
             as {two};\n  hold time 12;\n  keepalive time 3;\n  error wait time 1, 2;\n  connect delay time 1;\n  ipv4 \
             {{ import all; export none; }};\n}}\n"
        )
    };
    let start = |namespace, name, text: String| Bird::start(namespace, world.directory(), name, &text);
    let ours = ("lb-wan", 65_001, 65_000);
    let _ours = start(world.director(), "ours", daemon("192.0.2.1", "192.0.2.254", ours))?;
    let theirs = ("wan", 65_000, 65_001);
    let theirs = start(world.router(), "theirs", daemon("192.0.2.254", "192.0.2.1", theirs))?;
    let place = |namespace| (namespace, world.directory());
    let _our_election = elect(place(world.director()), ("our-election", "lb-wan"), [150, 50])?;
    let _their_election = elect(place(world.router()), ("their-election", "wan"), [50, 150])?;

    let sessions = || theirs.ask("show bfd sessions");
    let has = |namespace: &Namespace, address: Ipv4Addr| {
        Ok::<_, anyhow::Error>(namespace.run("ip", &["addr"])?.contains(&format!("inet {address}/32")))
    };
    let all_is_well = || {
        Ok(sessions().is_ok_and(|sessions| sessions.contains("Up"))
            && theirs.ask("show protocols peer")?.contains("Established")
            && has(world.director(), ELECTED[0])?
            && has(world.router(), ELECTED[1])?
            && !has(world.director(), ELECTED[1])?
            && !has(world.router(), ELECTED[0])?)
    };
    ensure!(
        eventually(PATIENCE, all_is_well)?,
        "{:?}\n{}",
        sessions(),
        theirs.ask("show protocols all peer")?
    );
    // In milliseconds of the day. BIRD computes it anew each time, from how long that was ago.
    let since = |sessions: &str| -> Option<f64> {
        let time = sessions.lines().find(|line| line.contains("192.0.2.1"))?.split_whitespace().nth(3)?;
        time.split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))
    };
    // When the session of BGP began, as BIRD shows it.
    let session = || {
        let shown = theirs.ask("show protocols peer")?;
        let line = shown.lines().find(|line| line.contains("BGP")).unwrap_or_default().to_owned();
        Ok::<_, anyhow::Error>(line)
    };
    let listener = Listener::start(world.client().namespace())?;
    let macs = [mac(world.director(), "lb-wan")?, mac(world.router(), "wan")?];
    let mut trouble = Vec::new();
    // With a flood beside them, daemons of a busy machine may stand still for as long as BFD waits: then once more. What a
    // flood takes from them, it takes each time.
    for _ in 0..3 {
        ensure!(
            eventually(PATIENCE, all_is_well)?,
            "{trouble:?}: {}",
            theirs.ask("show protocols all peer")?
        );
        trouble.clear();
        let (bfd, bgp) = (since(&sessions()?), session()?);
        let claimed = ELECTED.map(|elected| listener.claims(elected).len());
        for flooded in [IpAddr::from(world::DIRECTOR_WAN), world::DIRECTOR_WAN6.into()] {
            under_a_flood(&world, flooded, || {
                let before = dropped(&control)?;
                let is_limited = || Ok(dropped(&control)? > before + 10_000);
                ensure!(eventually(PATIENCE, is_limited)?, "{}", control.ask("show drops")?);
                // Longer than BGP holds a session without hearing anything.
                for _ in 0..5 {
                    for (own, family) in
                        [(IpAddr::from(world::DIRECTOR_WAN), "-4"), (world::DIRECTOR_WAN6.into(), "-6")]
                    {
                        world.router().run("ip", &[family, "neigh", "flush", "dev", "wan"])?;
                        let socket = world.router().within(|| UdpSocket::bind("[::]:0"))?;
                        let known = || {
                            // Whoever sends something to it has the kernel ask, three times within as many seconds.
                            let to = match own {
                                IpAddr::V4(own) => own.to_ipv6_mapped(),
                                IpAddr::V6(own) => own,
                            };
                            let _ = socket.send_to(b"anything", (to, 9));
                            let neighbour = world
                                .router()
                                .run("ip", &["neigh", "show", &own.to_string(), "dev", "wan"])?;
                            Ok(neighbour.contains("lladdr"))
                        };
                        ensure!(eventually(HEARD, known)?, "nobody hears that {own} is there");
                    }
                    thread::sleep(Duration::from_millis(1_500));
                }
                Ok(())
            })?;
        }
        let after = sessions()?;
        let is_same = bfd.zip(since(&after)).is_some_and(|(before, after)| (before - after).abs() < 0.1);
        if !after.contains("Up") || !is_same {
            trouble.push(format!("{bfd:?}: {after}"));
        }
        if session()? != bgp || !bgp.contains("Established") {
            trouble.push(format!("{bgp}: {}", theirs.ask("show protocols all peer")?));
        }
        if !all_is_well()? {
            trouble.push("not all is well".to_owned());
        }
        for ((elected, mac), claimed) in ELECTED.into_iter().zip(macs).zip(claimed) {
            // Whoever takes an address says so.
            let claims = listener.claims(elected);
            if !claims.iter().skip(claimed).all(|(_, by)| *by == mac) {
                trouble.push(format!("{elected} of {mac:?} moved: {claims:?}"));
            }
        }
        if trouble.is_empty() {
            break;
        }
        println!("{trouble:?}");
    }
    ensure!(trouble.is_empty(), "{trouble:?}\n{}", control.ask("show drops")?);
    println!("{}", control.ask("show drops")?);
    world.client().who_answers(Method::Nat.at(world::HTTP), 4)?;
    director.stop()?;
    Ok(())
}
