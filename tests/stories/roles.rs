//! Active and standby: who answers for a VIP, and what becomes of packets that come to a director on standby.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use lb_stories::arp::Listener;
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::process::{PATIENCE, eventually};
use lb_stories::steady::Steady;
use lb_stories::{Config, Director, Method, World, world};

/// How long one waits for something that must not happen: longer than announcements take at start.
const SILENCE: Duration = Duration::from_secs(4);

fn config() -> Config {
    let both = |method| [Service::tcp(method, world::HTTP), Service::tcp(method, world::HTTP).over_ipv6()];
    let services = [both(Method::Nat), both(Method::Dr)];
    services.into_iter().flatten().fold(Config::new(), Config::service)
}

/// The VIPs of both families.
fn vips() -> Vec<IpAddr> {
    let both = |method: Method| [method.vip().into(), (*method.at6(world::HTTP).ip()).into()];
    [Method::Nat, Method::Dr].into_iter().flat_map(both).collect()
}

/// Whether somebody has said more than so many times of each VIP that it is theirs.
fn all_are_claimed(listener: &Listener, times: &[usize]) -> bool {
    vips().iter().zip(times).all(|(vip, times)| listener.claims(*vip).len() > *times)
}

/// Nobody has said of a VIP, of either family, that it is theirs.
fn nobody_has_a_vip(listener: &Listener) -> Result<()> {
    vips().iter().try_for_each(|&vip| {
        ensure!(listener.claims(vip).is_empty(), "{vip}: {:?}", listener.claims(vip));
        Ok(())
    })
}

/// How often something is tried whose outcome is one datagram, which a busy machine may lose, or send later.
const TRIES: usize = 5;

/// All VIPs are announced at once when something begins, and again after two seconds; `begin` is told how often it has been
/// tried before. In between, others may have asked: who did so while a director was stopped is answered as it starts.
fn announced_twice(listener: &Listener, begin: impl Fn(usize) -> Result<()>) -> Result<usize> {
    for before in 0..TRIES {
        let start = Instant::now();
        begin(before)?;
        let after = |vip: IpAddr| -> Vec<Duration> {
            let claims = listener.claims(vip);
            claims.iter().filter_map(|(at, _)| at.checked_duration_since(start)).collect()
        };
        let is_announced = |vip: &IpAddr| {
            let after = after(*vip);
            let first = after.first().copied().filter(|first| *first < Duration::from_millis(1_500));
            first.is_some_and(|first| after.iter().any(|at| *at - first > Duration::from_millis(1_900)))
        };
        if eventually(Duration::from_secs(5), || Ok(vips().iter().all(is_announced)))? {
            return Ok(before);
        }
        println!("announced: {:?}", vips().into_iter().map(after).collect::<Vec<_>>());
    }
    bail!("not at once and again after two seconds")
}

/// Takes the link to clients away, and gives it back, once the director has noticed.
fn link_goes_and_comes(world: &World, control: &Control) -> Result<()> {
    for (state, event) in [("down", "link-down"), ("up", "link-up")] {
        let count = || Ok::<_, anyhow::Error>(control.ask("show events count 200")?.matches(event).count());
        let before = count()?;
        world.director().ip(&format!("link set lbwan {state}"))?;
        ensure!(eventually(PATIENCE, || Ok(count()? > before))?, "no {event}");
    }
    Ok(())
}

/// Whether a new connection comes to nothing in silence.
fn is_silent(world: &World, method: Method) -> bool {
    let targets = [SocketAddr::from(method.at(world::HTTP)), method.at6(world::HTTP).into()];
    targets.into_iter().all(|target| {
        let error = world.client().tcp_briefly(target, Duration::from_millis(700)).err();
        error.is_some_and(|error| matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::HostUnreachable))
    })
}

#[test]
fn a_standby_director_says_nothing_until_it_is_active() -> Result<()> {
    let world = World::with_ipv6()?;
    let client = world.client();
    let listener = Listener::start(client.namespace())?;
    let standby = config()
        .section("[director]\nrole = \"standby\"\n")
        .section("[metrics]\nlisten = \"127.0.0.1:9145\"\n");
    let text = standby.render(&world.server_addresses());
    let director = world.start(&standby)?;
    let control = Control::of(&director)?;
    ensure!(is_silent(&world, Method::Nat));
    client.ping(world::DIRECTOR_WAN)?;
    link_goes_and_comes(&world, &control)?;
    thread::sleep(SILENCE);
    nobody_has_a_vip(&listener)?;
    for own in [world::DIRECTOR_WAN.into(), IpAddr::from(world::DIRECTOR_WAN6)] {
        ensure!(!listener.claims(own).is_empty(), "{own} is its own: announced and answered");
    }
    ensure!(control.ask("show director")?.contains("role standby"));

    let again = announced_twice(&listener, |before| {
        if before > 0 {
            control.ask("set director role standby")?;
        }
        control.ask("set director role active").map(drop)
    })?;
    let mut is_announced = false;
    for _ in 0..TRIES {
        if is_announced {
            break;
        }
        let before: Vec<usize> = vips().iter().map(|vip| listener.claims(*vip).len()).collect();
        link_goes_and_comes(&world, &control)?;
        let all = || Ok(all_are_claimed(&listener, &before));
        is_announced = eventually(Duration::from_secs(5), all)?;
    }
    ensure!(is_announced, "announced after a link-up");
    let mut session = client.http(Method::Nat.at(world::HTTP))?;
    let server = session.get("/small")?.server;

    // On standby again: what it has goes on, what is new is dropped.
    control.ask("set director role standby")?;
    ensure!(session.get("/small")?.server == server);
    ensure!(is_silent(&world, Method::Nat) && is_silent(&world, Method::Dr));
    ensure!(control.ask("show drops")?.contains("standby"));
    let explained = control.ask(&format!(
        "explain tcp {}:4000 {} flags syn",
        world::CLIENT,
        Method::Nat.at(world::HTTP)
    ))?;
    ensure!(explained.contains("the director is on standby"), "{explained}");
    let events = control.ask("show events count 200")?;
    ensure!(events.matches("role-changed").count() == 2 + 2 * again, "{events}");
    let metrics = world.director().run("curl", &["-sS", "http://127.0.0.1:9145/metrics"])?;
    ensure!(metrics.contains("lb_director_role{role=\"standby\"} 1"), "{metrics}");

    // The file counts where it has changed, an operator everywhere else.
    control.ask("set director role active")?;
    director.reload(&text.replace("scheduler = \"rr\"", "scheduler = \"wrr\""))?;
    ensure!(control.ask("show director")?.contains("role active:"));
    director.reload(&text.replace("role = \"standby\"", "role = \"active\""))?;
    director.reload(&text)?;
    ensure!(control.ask("show director")?.contains("role standby"));
    director.stop()?;
    Ok(())
}

#[test]
fn a_director_that_its_commands_stop_says_nothing_until_it_is_started() -> Result<()> {
    let world = World::with_ipv6()?;
    let listener = Listener::start(world.client().namespace())?;
    let commands = world.directory().join("begin");
    fs::write(&commands, "stop\n")?;
    let text = config().render(&world.server_addresses());
    let director = world.start_how(2, &text, |command| {
        command.arg("--cmdline-file").arg(&commands);
    })?;
    let control = Control::of(&director)?;
    ensure!(is_silent(&world, Method::Nat));
    link_goes_and_comes(&world, &control)?;
    thread::sleep(SILENCE);
    nobody_has_a_vip(&listener)?;
    announced_twice(&listener, |before| {
        if before > 0 {
            control.ask("stop")?;
        }
        control.ask("start").map(drop)
    })?;
    world.client().who_answers(Method::Nat.at(world::HTTP), 4)?;
    director.stop()?;
    Ok(())
}

/// A pair: each has addresses of its own, the VIPs and the servers' gateway are those of the active one.
#[test]
fn one_director_takes_over_from_another() -> Result<()> {
    let world = World::new()?;
    let (client, target) = (world.client(), Method::Nat.at(world::HTTP));
    let gateway = format!("[[vips]]\naddress = \"{}\"\nunserved = \"drop\"\n", world::DIRECTOR_LAN);
    let config = Config::new()
        .service(
            Service::tcp(Method::Nat, world::HTTP).scheduler("mh").line("flags = [\"mh-port\"]").adopting(),
        )
        .section("[director]\nrole = \"standby\"\n")
        .section(gateway);
    let of = |last: u8| {
        let text = config.render(&world.server_addresses());
        let (head, ports) = text.split_once("[tunnel]").unwrap_or_default();
        let ports = ports.split_once("[[ports]]").unwrap_or_default().1;
        format!("{head}[[ports]]{ports}")
            .replace("192.0.2.1/24", &format!("192.0.2.{last}/24"))
            .replace("198.51.100.1/24", &format!("198.51.100.{last}/24"))
    };
    let other = world.another_director()?;
    let name = |which: &str| format!("{}-{which}", world.name());
    let start = |namespace, which: &str, last| {
        Director::start(namespace, world.directory(), &name(which), &of(last), 2, |_| ())
    };
    let (first, second) = (start(world.director(), "first", 3)?, start(&other, "second", 4)?);
    let (one, two) = (Control::of(&first)?, Control::of(&second)?);
    one.ask("set director role active")?;
    client.who_answers(target, 4)?;

    let mut sessions = (0..20).map(|_| Ok(client.http(target)?)).collect::<Result<Vec<_>>>()?;
    let mut served = Vec::new();
    for session in &mut sessions {
        served.push(session.get("/small")?.server);
    }
    Steady::patiently(client, target, 2, |steady| -> Result<()> {
        steady.watch(20)?;
        let start = Instant::now();
        one.ask("set director role standby")?;
        two.ask("set director role active")?;
        let after = steady.watch(40)?;
        let failed: Vec<_> = after.iter().filter(|(_, outcome)| outcome.is_err()).collect();
        ensure!(failed.is_empty(), "{failed:?}");
        println!("40 connections within {:?} of the change, none failed", start.elapsed());
        Ok(())
    })?;
    for (session, server) in sessions.iter_mut().zip(&served) {
        ensure!(session.get("/small")?.server == *server, "it is adopted by the other director");
    }
    let is_second = |text: String| text.contains("role active:");
    ensure!(is_second(two.ask("show director")?) && !is_second(one.ask("show director")?));
    // With the active director gone, the other takes over what it had.
    one.ask("set director role active")?;
    second.kill();
    for (session, server) in sessions.iter_mut().zip(&served) {
        ensure!(session.get("/small")?.server == *server, "it goes on where it was");
    }
    client.who_answers(target, 4)?;
    first.stop()?;
    Ok(())
}
