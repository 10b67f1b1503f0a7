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
use lb_stories::{Config, Director, Method, World, world};

/// Connections that are open all the time.
const SESSIONS: usize = 20;

/// The same configuration with a bond towards clients: one that is made for it, or one that the command line has.
fn on_bond(text: &str, mode: u8) -> String {
    let device = "device = \"net_af_packet0,iface=lbwan,qpairs=2\"";
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

/// A world with the director's bond connected, once its members do what they should.
fn connected(mode: u8, word: &str, kind: Switch) -> Result<(World, Director, Lag, Control)> {
    let world = World::new()?;
    let config = Config::http().service(Service::udp(Method::Nat, world::ECHO));
    let text = on_bond(&config.render(&world.server_addresses()), mode);
    let mut arguments = ["--no-huge", "-m", "256"].map(str::to_owned).to_vec();
    if mode == 2 {
        let key = member_key()?;
        let members = MEMBERS.iter().enumerate().map(|(at, wire)| format!("net_tap{at},iface={wire}"));
        let bond = [format!("net_bonding0,mode=2,xmit_policy=l34,{key}=net_tap0,{key}=net_tap1")];
        arguments.extend(members.chain(bond).map(|device| format!("--vdev={device}")));
    }
    let name = format!("{}-1", world.name());
    let director =
        Director::start_on(world.director(), world.directory(), &name, &text, 2, &arguments, |_| ())?;
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
    let events = control.ask("show events")?;
    ensure!(events.contains("member net_tap0 of port wan: down"), "{events}");
    ensure!(events.contains("member net_tap1 of port wan: active"), "{events}");
    director.stop()?;
    Ok(())
}

/// The director looks at links of the kernel's interfaces itself, and has the other member take over.
#[test]
fn under_active_backup_the_other_takes_over() -> Result<()> {
    cables_come_and_go(1, "active-backup", Switch::Ports, Duration::from_secs(2))
}

/// Of these links only LACP tells, which takes three seconds without a word from the other end.
#[test]
fn under_lacp_partners_agree_and_the_other_carries_on() -> Result<()> {
    cables_come_and_go(4, "lacp", Switch::Lacp, Duration::from_secs(10))
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
