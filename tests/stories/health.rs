//! Servers fail in every way, under traffic: new connections leave them in time, and come back when they do.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::process::{PATIENCE, eventually};
use lb_stories::steady::{Attempt, Steady};
use lb_stories::{Config, Director, Method, World, world};

const DOWN: &str = "server is down";
const UP: &str = "server is up";
/// The check below notices a failure at the latest after an interval, a retry, and two timeouts.
const NOTICED: Duration = Duration::from_millis(100 + 50 + 2 * 1_000);
/// What a machine with other things to do may add.
const SLACK: Duration = Duration::from_secs(10);
const SLOW_START: Duration = Duration::from_secs(3);

fn checked(method: Method) -> Service {
    Service::tcp(method, world::HTTP).scheduler("wrr").line(
        "check = { type = \"http\", path = \"/small\", body = \"^small from\", interval = \"100ms\", \
         timeout = \"1s\", retry_interval = \"50ms\", fall = 2, rise = 2 }",
    )
}

/// Waits until the log says something for the `count`th time, and returns when it did.
fn said(director: &Director, what: &str, count: usize) -> Result<Instant> {
    let met = eventually(PATIENCE, || Ok(director.output()?.matches(what).count() >= count))?;
    ensure!(met, "{what:?} is not in the log {count} times after {PATIENCE:?}");
    Ok(Instant::now())
}

fn by_server(attempts: &[Attempt]) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for (_, outcome) in attempts {
        let who = outcome.clone().unwrap_or_else(|error| error);
        *count.entry(who).or_default() += 1;
    }
    count
}

type Deed = fn(&mut World, bool) -> Result<()>;

const FAILURES: [(&str, Deed, &str); 4] = [
    (
        "stopped",
        |world, well| {
            if well { world.servers_mut()[0].start_nginx() } else { world.servers_mut()[0].stop_nginx() }
        },
        "it refused the connection",
    ),
    ("hung", |world, well| world.servers_mut()[0].hang_nginx(!well), "no answer within 1s"),
    ("ill", |world, well| world.servers_mut()[0].make_ill(!well), "it answered with status 500"),
    ("unreachable", |world, well| world.plug(1, well), ""),
];

#[test]
fn new_connections_leave_a_failed_server_and_come_back() -> Result<()> {
    let mut world = World::new()?;
    world.let_checks_out()?;
    let service = checked(Method::Nat)
        .line("health = { flap_limit = 0 }")
        .line(format!("slow_start = \"{}ms\"", SLOW_START.as_millis()));
    let director = world.start(&Config::new().service(service))?;
    let client = world.client().twin();
    let [one, two] = ["server1", "server2"];
    Steady::during(&client, Method::Nat.at(world::HTTP), 4, |steady| -> Result<()> {
        let calm = by_server(&steady.watch(40)?);
        ensure!(calm.len() == 2 && calm[one] > 10, "{calm:?}");
        for (round, (what, deed, reason)) in (1..).zip(FAILURES) {
            let start = Instant::now();
            deed(&mut world, false)?;
            said(&director, DOWN, round)?;
            // The workers follow what is said a moment later; from then on, every single one.
            let avoided = || Ok(by_server(&steady.watch(20)?).keys().eq([two]));
            ensure!(eventually(PATIENCE, avoided)?, "{what}: it is not avoided");
            let after = by_server(&steady.watch(100)?);
            ensure!(after.keys().eq([two]), "{what}: {after:?}");
            let during = steady.since(start);
            let failures = during.iter().filter(|(_, outcome)| outcome.is_err());
            let reaction = failures.map(|(at, _)| *at - start).max().unwrap_or_default();
            ensure!(reaction < NOTICED + SLACK, "{what}: connections failed for {reaction:?}");
            let log = director.output()?;
            ensure!(log.lines().any(|line| line.contains(DOWN) && line.contains(reason)), "{what}: {log}");

            deed(&mut world, true)?;
            let up = said(&director, UP, round)?;
            std::thread::sleep((SLOW_START / 4).saturating_sub(up.elapsed()));
            let first = by_server(&steady.since(up));
            std::thread::sleep(SLOW_START.saturating_sub(up.elapsed()));
            let share = |count: &BTreeMap<String, usize>| {
                count.get(one).copied().unwrap_or(0) as f64 / count.values().sum::<usize>().max(1) as f64
            };
            let mut later = BTreeMap::new();
            let whole = eventually(PATIENCE, || {
                later = by_server(&steady.watch(40)?);
                Ok(share(&later) > 0.4)
            })?;
            ensure!(
                first.keys().chain(later.keys()).all(|who| [one, two].contains(&who.as_str())),
                "{what}: {first:?}, then {later:?}"
            );
            println!(
                "{what}: connections failed for {reaction:?}; of {} that began up to the end of the failure, by who \
                 answered: {:?}; share in the first quarter of the slow start {:.2}, afterwards {:.2}",
                during.len(),
                by_server(&during),
                share(&first),
                share(&later)
            );
            ensure!(share(&first) < 0.35 && whole, "{what}: {first:?}, then {later:?}");
        }
        Ok(())
    })?;
    director.stop()?;
    Ok(())
}

/// A sorry server steps in and back, hooks are told, and a server that fails again and again is held down, unless it is
/// the last.
#[test]
fn a_sorry_server_steps_in_and_hooks_are_called() -> Result<()> {
    let world = World::new()?;
    world.let_checks_out()?;
    let told = world.directory().join("told");
    let hook = world.directory().join("hook");
    fs::write(
        &hook,
        format!("#!/bin/sh\necho $1 $LB_EVENT $LB_SERVICE $LB_SERVER $LB_REASON >> {}\n", told.display()),
    )?;
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755))?;
    let hook = hook.display();
    let sorry = world.servers()[1].lan();
    let service = checked(Method::Nat).servers(1).line(format!(
        "health = {{ sorry_server = \"{sorry}:{}\", sorry_server_inhibit = true, flap_limit = 2, flap_hold = \"1h\", \
         quorum_down = [\"{hook}\", \"own\"] }}",
        world::HTTP
    ));
    let config = Config::new().service(service).section(format!("[health]\nhook = [\"{hook}\", \"all\"]"));
    let director = world.start(&config)?;
    let target = Method::Nat.at(world::HTTP);
    let only = |name: &str| world.client().who_answers(target, 10).is_ok_and(|who| who.keys().eq([name]));
    ensure!(only("server1"));
    let mut kept = None;
    for round in 1..=2 {
        world.servers()[0].make_ill(true)?;
        ensure!(eventually(PATIENCE, || Ok(only("server2")))?, "the sorry server does not step in");
        let mut session = world.client().http(target)?;
        ensure!(session.get("/small")?.server == "server2");
        kept = Some(session);
        world.servers()[0].make_ill(false)?;
        // The second time the server is held down; but it is the last one, and well.
        let back = eventually(PATIENCE, || Ok(only("server1")))?;
        ensure!(back, "round {round}: it does not step back");
    }
    let mut kept = kept.expect("two rounds");
    ensure!(kept.get("/small")?.server == "server2", "connections to the sorry server go on");
    let status = director.status()?;
    let line = status.text.lines().find(|line| line.contains("http     up    serves"));
    ensure!(line.is_some_and(|line| line.contains("it answered with status 500 (")), "{}", status.text);
    let news = fs::read_to_string(&told)?;
    let events: Vec<_> =
        news.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    let round = |down| {
        ["all ".to_owned() + down].into_iter().chain(
            [
                "own quorum-down",
                "all quorum-down",
                "all sorry-server-up",
                "all server-up",
                "all quorum-up",
                "all sorry-server-down",
            ]
            .map(str::to_owned),
        )
    };
    // What the service starts with, and what happens to it.
    let first = ["all quorum-up", "all sorry-server-down"].map(str::to_owned).into_iter();
    let expected: Vec<_> = first.chain(round("server-down")).chain(round("server-held")).collect();
    ensure!(events == expected, "{news}");
    ensure!(news.contains("all server-down tcp-nat-80 198.51.100.11 it answered with status 500"), "{news}");
    director.stop()?;
    Ok(())
}

/// Without servers that work, new connections are refused; or, if so configured, those that worked last get them.
#[test]
fn what_happens_when_all_fail() -> Result<()> {
    let world = World::new()?;
    world.let_checks_out()?;
    let keep = checked(Method::Dr).line("health = { when_all_fail = \"keep\" }");
    let director = world.start(&Config::new().service(checked(Method::Nat)).service(keep))?;
    for server in world.servers() {
        server.make_ill(true)?;
    }
    said(&director, "quorum is lost", 2)?;
    let refused = eventually(PATIENCE, || {
        let error = world.client().tcp(Method::Nat.at(world::HTTP)).err();
        Ok(error.is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused))
    })?;
    ensure!(refused, "somebody still answers");
    let mut session = world.client().http(Method::Dr.at(world::HTTP))?;
    ensure!(session.get("/small")?.status == 500, "one that worked last");
    for server in world.servers() {
        server.make_ill(false)?;
    }
    said(&director, UP, 4)?;
    for method in [Method::Nat, Method::Dr] {
        let both = eventually(PATIENCE, || {
            Ok(world.client().who_answers(method.at(world::HTTP), 10).is_ok_and(|who| who.len() == 2))
        })?;
        ensure!(both, "{method:?}: servers are not back");
    }
    director.stop()?;
    Ok(())
}

/// Whatever changes a service while it runs, no connection meets a server that should not get it, or none at all.
#[test]
fn changes_at_run_time_leave_no_moment_in_which_the_plan_is_wrong() -> Result<()> {
    let world = World::new()?;
    world.let_checks_out()?;
    let check = "check = { type = \"http\", path = \"/small\", interval = \"100ms\", retry_interval = \"50ms\", \
                 timeout = \"1s\", assume_down = true }";
    let service = |health: &str| {
        let service = Service::tcp(Method::Nat, world::HTTP).scheduler("rr").servers(1);
        Config::new()
            .service(service.line(check).line("slow_start = \"1h\"").line(format!("health = {{ {health} }}")))
    };
    let director = world.start(&service("quorum = 1"))?;
    let control = Control::of(&director)?;
    let client = world.client().twin();
    let reload = |health: &str| director.reload(&service(health).render(&world.server_addresses()));
    said(&director, UP, 1)?;
    let target = Method::Nat.at(world::HTTP);
    ensure!(eventually(PATIENCE, || Ok(client.who_answers(target, 4).is_ok()))?, "server1 does not serve");
    let [one, two] = ["server1", "server2"];
    let sorry =
        format!("sorry_server = \"{}:{}\"", world.servers()[1].lan(), Method::Nat.server_port(world::HTTP));
    Steady::during(&client, target, 4, |steady| -> Result<()> {
        let only = |what: &str, start: Instant, servers: &[&str]| -> Result<()> {
            steady.watch(60)?;
            let seen = by_server(&steady.since(start));
            ensure!(seen.keys().all(|who| servers.contains(&who.as_str())), "{what}: {seen:?}");
            Ok(())
        };
        // Nobody is there, which nobody has found out yet.
        let start = Instant::now();
        control.ask("add server tcp-nat-80 198.51.100.77 --weight 1000")?;
        only("a server is added", start, &[one])?;
        let listed: serde_json::Value =
            serde_json::from_str(&control.ask("--json show services tcp-nat-80")?)?;
        let servers = &listed["reply"]["services"]["services"][0]["servers"];
        ensure!(servers[1]["health"] == "down", "{servers}");
        control.ask("delete server tcp-nat-80 198.51.100.77")?;
        // One that is there gets little at first.
        control.ask(&format!("add server tcp-nat-80 {}:8080", world.servers()[1].lan()))?;
        said(&director, UP, 2)?;
        let warming =
            eventually(PATIENCE, || Ok(control.ask("show services tcp-nat-80")?.contains("warming")))?;
        ensure!(warming, "{}", control.ask("show services tcp-nat-80")?);
        control.ask(&format!("delete server tcp-nat-80 {}:8080", world.servers()[1].lan()))?;
        // A quorum that cannot be reached, with a sorry server that stands in for it from the same moment on.
        let start = Instant::now();
        reload(&format!("quorum = 2, {sorry}"))?;
        only("the sorry server steps in", start, &[one, two])?;
        ensure!(by_server(&steady.watch(20)?).keys().eq([two]), "the sorry server does not get all");
        // Another one, which nobody checks: the one before gets nothing any more, and there is no gap either.
        reload(&format!("quorum = 2, sorry_server = \"{}:8080\"", "198.51.100.78"))?;
        let gap = steady.watch(8)?;
        ensure!(gap.iter().all(|(_, outcome)| outcome.is_err()), "{gap:?}");
        ensure!(director.output()?.matches("sorry server gets").count() == 3, "{}", director.output()?);
        let start = Instant::now();
        reload("quorum = 1")?;
        let after = eventually(PATIENCE, || Ok(by_server(&steady.since(start)).contains_key(one)))?;
        ensure!(after, "server1 does not serve again");
        // Drained by its operator it does not count, however well it is.
        reload(&sorry)?;
        let start = Instant::now();
        control.ask(&format!("set server tcp-nat-80 {} --state drain", world.servers()[0].lan()))?;
        only("it is drained", start, &[one, two])?;
        ensure!(by_server(&steady.watch(20)?).keys().eq([two]), "the sorry server does not get all");
        let shown = control.ask("show health tcp-nat-80")?;
        ensure!(shown.contains("quorum lost, weight 0 up") && shown.contains("drained"), "{shown}");
        Ok(())
    })?;
    director.stop()?;
    Ok(())
}
