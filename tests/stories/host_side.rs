//! The host behind a port: the kernel has the director's own addresses on ports that DPDK polls, and programs use them.

use std::net::{SocketAddrV4, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use lb_stories::bird::Bird;
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::process::{PATIENCE, eventually};
use lb_stories::{Config, Method, World, world};

/// A configuration whose ports both have a host side.
fn text(world: &World) -> String {
    let check = "check = { type = \"tcp\", via = \"kernel\", interval = \"200ms\" }";
    let config = Config::new()
        .service(Service::tcp(Method::Nat, world::HTTP).line(check))
        .section("[metrics]\nlisten = \"0.0.0.0:9145\"\n");
    config.with_host_sides().render(&world.server_addresses())
}

/// Has the kernel leave alone what comes by the interfaces themselves: on a NIC that DPDK owns it sees none of it.
fn leave_interfaces_to_dpdk(world: &World) -> Result<()> {
    ["lbwan", "lblan"]
        .iter()
        .try_for_each(|name| world.director().sysctl(&format!("net/ipv4/conf/{name}/rp_filter"), "1"))
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
    client.ping(world::DIRECTOR_WAN)?;
    let page =
        client.namespace().run("curl", &["-sS", "--max-time", "10", "http://192.0.2.1:9145/metrics"])?;
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
    client.ping(std::net::Ipv4Addr::new(192, 0, 2, 3))?;
    director.stop()?;
    ensure!(link("lb-wan").is_err(), "it is gone with the director");
    Ok(())
}

/// A flood to the director's own address takes nothing of what keeps its routes alive.
#[test]
fn a_flood_to_an_own_address_does_not_end_bfd() -> Result<()> {
    let world = World::new()?;
    leave_interfaces_to_dpdk(&world)?;
    let director = world.start_how(2, &text(&world), |_| ())?;
    let control = Control::of(&director)?;
    let daemon = |own: &str, other: &str, interface: &str| {
        format!(
            "router id {own};\nprotocol device {{}}\nprotocol bfd {{ interface \"{interface}\" {{ interval 300 ms; \
             multiplier 5; }}; neighbor {other}; }}\n"
        )
    };
    let start = |namespace, name, text: String| Bird::start(namespace, world.directory(), name, &text);
    let _ours = start(world.director(), "ours", daemon("192.0.2.1", "192.0.2.254", "lb-wan"))?;
    let theirs = start(world.router(), "theirs", daemon("192.0.2.254", "192.0.2.1", "wan"))?;
    let sessions = || theirs.ask("show bfd sessions");
    let is_up = || Ok(sessions().is_ok_and(|sessions| sessions.contains("Up")));
    ensure!(eventually(PATIENCE, is_up)?, "{:?}", sessions());
    // In milliseconds of the day. BIRD computes it anew each time, from how long that was ago.
    let since = |sessions: &str| -> Option<f64> {
        let time = sessions.lines().find(|line| line.contains("192.0.2.1"))?.split_whitespace().nth(3)?;
        time.split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))
    };
    let before = since(&sessions()?);

    let over = AtomicBool::new(false);
    let target = SocketAddrV4::new(world::DIRECTOR_WAN, 9);
    let socket = world.client().namespace().within(|| UdpSocket::bind("0.0.0.0:0"))?;
    thread::scope(|scope| -> Result<()> {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                for _ in 0..64 {
                    let _ = socket.send_to(b"flood", target);
                }
            }
        });
        let limited = || Ok(control.ask("show drops")?.contains("host-limited"));
        let outcome = eventually(PATIENCE, limited);
        thread::sleep(Duration::from_secs(5));
        over.store(true, Ordering::Relaxed);
        ensure!(outcome?, "{}", control.ask("show drops")?);
        Ok(())
    })?;
    let after = sessions()?;
    let is_same = before.zip(since(&after)).is_some_and(|(before, after)| (before - after).abs() < 0.1);
    ensure!(after.contains("Up") && is_same, "{before:?}: {after}");
    println!("{}", control.ask("show drops")?);
    world.client().who_answers(Method::Nat.at(world::HTTP), 4)?;
    director.stop()?;
    Ok(())
}
