//! Bonds: two links to the switch that are one port of the director. Cables are pulled out and put in while connections
//! of kernels and datagrams pass.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::lag::{Lag, MEMBERS, Switch};
use lb_stories::process::{PATIENCE, eventually, run};
use lb_stories::server::BIG_SHA256;
use lb_stories::steady::Steady;
use lb_stories::trunk::{DEVICE, Trunk, VLANS, on_trunk};
use lb_stories::{Config, Director, Method, World, world};

/// Connections that are open all the time.
const SESSIONS: usize = 20;

/// The same configuration with a bond towards clients: one that is made for it, or one that the command line has.
fn on_bond(text: &str, interface: &str, mode: u8) -> String {
    let device = &format!("device = \"net_af_packet0,iface={interface},qpairs=2\"");
    if mode == 2 {
        return text.replace(device, "device = \"net_bonding0\"");
    }
    let members = MEMBERS.iter().enumerate().map(|(at, wire)| format!("\"net_tap{at},iface={wire}\""));
    let members: Vec<String> = members.collect();
    text.replace(
        device,
        &format!("device = \"net_bonding0,mode={mode},xmit_policy=l34\"\nmembers = [{}]", members.join(", ")),
    )
}

/// What this DPDK calls a member on the command line.
fn member_key() -> Result<&'static str> {
    let version = run(Command::new("pkg-config").args(["--modversion", "libdpdk"]))?;
    let mut numbers = version.trim().split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    let version = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    Ok(if version < (23, 11) { "slave" } else { "member" })
}

/// The longest time in which no datagram came back, while `story` goes on.
fn longest_silence<T>(world: &World, story: impl FnOnce() -> Result<T>) -> Result<Duration> {
    let socket = world.client().udp(Method::Nat.at(world::ECHO))?;
    socket.set_read_timeout(Some(Duration::from_millis(5)))?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let pings = scope.spawn(|| {
            let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
            let mut answer = [0; 64];
            while !over.load(Ordering::Relaxed) {
                let _ = socket.send(b"there?");
                if socket.recv(&mut answer).is_ok() {
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                    thread::sleep(Duration::from_millis(5));
                }
            }
            longest.max(last.elapsed())
        });
        let told = story();
        over.store(true, Ordering::Relaxed);
        let longest = pings.join().expect("no panic");
        told.map(|_| longest)
    })
}

/// Starts the director, with a bond on the command line if it is none of the file.
fn start(world: &World, text: &str, mode: u8) -> Result<Director> {
    let mut arguments = ["--no-huge", "-m", "256"].map(str::to_owned).to_vec();
    if mode == 2 {
        let key = member_key()?;
        let members = MEMBERS.iter().enumerate().map(|(at, wire)| format!("net_tap{at},iface={wire}"));
        let bond = [format!("net_bonding0,mode=2,xmit_policy=l34,{key}=net_tap0,{key}=net_tap1")];
        arguments.extend(members.chain(bond).map(|device| format!("--vdev={device}")));
    }
    let name = format!("{}-1", world.name());
    Director::start_on(world.director(), world.directory(), &name, text, 2, &arguments, |_| ())
}

/// A world with the director's bond connected, once its members do what they should.
fn connected(mode: u8, word: &str, kind: Switch) -> Result<(World, Director, Lag, Control)> {
    let world = World::new()?;
    let config = Config::http().service(Service::udp(Method::Nat, world::ECHO));
    let text = on_bond(&config.render(&world.server_addresses()), "lbwan", mode);
    let director = start(&world, &text, mode)?;
    let lag = Lag::new(&world, "wan", kind)?;
    let control = Control::of(&director)?;
    shows(&control, &format!("Bonding mode: {word}\n"))?;
    let second = if mode == 1 { "standby" } else { "active" };
    shows(&control, "Member net_tap0: active")?;
    shows(&control, &format!("Member net_tap1: {second}"))?;
    let client = world.client();
    for method in Method::ALL {
        ensure!(client.who_answers(method.at(world::HTTP), 8)?.len() == 2, "{}", method.word());
        ensure!(client.sha256_of(method.at(world::HTTP), "/big")? == BIG_SHA256, "{}", method.word());
    }
    client.ping(world::DIRECTOR_WAN)?;
    Ok((world, director, lag, control))
}

fn shows(control: &Control, line: &str) -> Result<()> {
    let found = || Ok(control.ask("show port info wan")?.contains(line));
    ensure!(eventually(PATIENCE, found)?, "no {line:?}: {}", control.ask("show port info wan")?);
    Ok(())
}

/// Cables out and in again: the first, then the other. Whoever has a connection keeps it, and nobody waits longer than
/// `longest` for a datagram.
fn cables_come_and_go(mode: u8, word: &str, kind: Switch, longest: Duration) -> Result<()> {
    let (world, director, lag, control) = connected(mode, word, kind)?;
    let client = world.client();
    let mut sessions = Vec::new();
    for at in 0..SESSIONS {
        sessions.push(client.http(Method::ALL[at % 3].at(world::HTTP))?);
    }
    let silence = longest_silence(&world, || {
        Steady::patiently(client, Method::Nat.at(world::HTTP), 2, |steady| {
            let start = Instant::now();
            for member in [0, 1] {
                for is_in in [false, true] {
                    lag.plug(&world, member, is_in)?;
                    if is_in {
                        let back = || {
                            let shown = control.ask("show port info wan")?;
                            Ok(!shown.contains(": down") && !shown.contains(": no LACP partner"))
                        };
                        ensure!(eventually(PATIENCE, back)?, "{}", control.ask("show port info wan")?);
                    } else {
                        shows(&control, &format!("Member net_tap{member}: down"))?;
                    }
                    shows(&control, ": active")?;
                    shows(&control, "Link status: up")?;
                    for session in &mut sessions {
                        ensure!(session.get("/small")?.status == 200);
                    }
                    let attempts = steady.watch(10)?;
                    ensure!(attempts.iter().any(|(_, outcome)| outcome.is_ok()), "{attempts:?}");
                }
            }
            let attempts = steady.since(start);
            let late = attempts.iter().filter(|(_, outcome)| outcome.is_err()).count();
            println!("{word}: {SESSIONS} connections kept, {} opened, {late} of them late", attempts.len());
            ensure!(late == 0 || longest > Duration::from_secs(3), "{late} of {} late", attempts.len());
            Ok(())
        })
    })?;
    println!("{word}: no datagram came back for {silence:.3?} at most");
    ensure!(silence < longest, "{silence:?}");
    // The director looks ten times a second: what is shown already may not be an event yet.
    for event in ["member net_tap0 of port wan: down", "member net_tap1 of port wan: active"] {
        let told = || Ok(control.ask("show events")?.contains(event));
        ensure!(eventually(PATIENCE, told)?, "no {event:?}: {}", control.ask("show events")?);
    }
    director.stop()?;
    Ok(())
}

/// The director looks at links of the kernel's interfaces itself, and has the other member take over.
#[test]
fn under_active_backup_the_other_takes_over() -> Result<()> {
    cables_come_and_go(1, "active-backup", Switch::Ports, Duration::from_secs(2))
}

/// It has the bond look at the link as well, so that it need not wait until partners hear nothing from one another.
#[test]
fn under_lacp_partners_agree_and_the_other_carries_on() -> Result<()> {
    cables_come_and_go(4, "lacp", Switch::Lacp, Duration::from_secs(2))
}

#[test]
fn under_balance_the_other_carries_all() -> Result<()> {
    cables_come_and_go(2, "balance", Switch::Static, Duration::from_secs(2))
}

#[test]
fn under_balance_flows_leave_by_both() -> Result<()> {
    let (world, director, _lag, control) = connected(2, "balance", Switch::Static)?;
    world.client().who_answers(Method::Nat.at(world::HTTP), 50)?;
    for wire in MEMBERS {
        let statistics = format!("/sys/class/net/{wire}/statistics/rx_packets");
        let sent = world.director().run("cat", &[&statistics])?;
        ensure!(sent.trim().parse::<u64>()? > 50, "{wire}: {sent}");
    }
    ensure!(control.ask("show events")?.lines().all(|line| !line.contains("member")));
    director.stop()?;
    Ok(())
}

/// As conf/bond.toml has it: clients and servers on two VLANs of a bond, with every method, in both families.
#[test]
fn two_vlans_are_on_a_bond() -> Result<()> {
    let world = World::with_ipv6()?;
    let config = Config::http_of_both_families();
    let text = on_trunk(&config.render(&world.server_addresses()), ["100", "200"], 1500);
    let trunk = Trunk::behind(&world, "lag", VLANS)?;
    let director = start(&world, &on_bond(&text, DEVICE, 4), 4)?;
    let lag = Lag::new(&world, "lag", Switch::Lacp)?;
    let control = Control::of(&director)?;
    let both = |state: &str| {
        let shown = |member| format!("Member net_tap{member}: {state}");
        let found = || {
            let info = control.ask("show port info trunk")?;
            Ok(info.contains(&shown(0)) && info.contains(&shown(1)))
        };
        ensure!(eventually(PATIENCE, found)?, "{}", control.ask("show port info trunk")?);
        Ok(())
    };
    both("active")?;
    let mut sessions = Vec::new();
    for at in 0..SESSIONS {
        sessions.push(world.client().http(Method::USUAL[at % 4].at(world::HTTP))?);
    }
    for (member, is_in) in [(0, true), (0, false), (0, true), (1, false)] {
        lag.plug(&world, member, is_in)?;
        if is_in {
            both("active")?;
        } else {
            let down = || Ok(control.ask("show port info trunk")?.contains(": down"));
            ensure!(eventually(PATIENCE, down)?, "{}", control.ask("show port info trunk")?);
        }
        for method in Method::USUAL {
            let client = world.client();
            ensure!(client.who_answers(method.at(world::HTTP), 8)?.len() == 2, "{}", method.word());
            ensure!(client.who_answers(method.at6(world::HTTP), 8)?.len() == 2, "{}", method.word());
        }
        for session in &mut sessions {
            ensure!(session.get("/small")?.status == 200);
        }
    }
    ensure!(trunk.strays().is_empty(), "every frame of the director has its tag: {:02x?}", trunk.strays());
    director.stop()?;
    Ok(())
}
