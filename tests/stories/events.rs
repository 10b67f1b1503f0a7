//! What happened is said: in `show events`, to whoever watches, over a restart, and in the metrics.

use std::fs;
use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::process::{Background, PATIENCE, eventually};
use lb_stories::{Config, Method, World, world};
use nix::sys::signal::Signal;
use serde_json::Value;

const METRICS: &str = "127.0.0.1:9145";

/// Events that `lbctl --json watch` has written so far.
fn written(file: &std::path::Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(file)?;
    let lines = text.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

#[test]
fn events_are_told_once_to_everybody() -> Result<()> {
    let world = World::new()?;
    world.let_checks_out()?;
    let check = "check = { type = \"http\", interval = \"100ms\", timeout = \"100ms\", fall = 2 }";
    let config = Config::new()
        .service(Service::tcp(Method::Nat, world::HTTP).scheduler("rr").line(check))
        .section(format!("[metrics]\nlisten = \"{METRICS}\""));
    // One that is started again has it, too.
    let socket = world.directory().join("control.sock");
    let config = config.section(format!("[control]\nsocket = \"{}\"", socket.display()));
    let director = world.start(&config)?;
    let control = Control::at(&socket);
    let text = config.render(&world.server_addresses());

    let watched = world.directory().join("watched.jsonl");
    let mut watch = control.command("--json watch count 100")?;
    let mut watch = Background::spawn(&mut watch, &watched)?;
    let is_told = |kind: &str| -> Result<Option<Value>> {
        let mut found = None;
        eventually(PATIENCE, || {
            found = written(&watched)?.into_iter().find(|event| event["kind"] == kind);
            Ok(found.is_some())
        })?;
        Ok(found)
    };
    let told = |kind: &str| is_told(kind)?.with_context(|| format!("no {kind}"));

    told("started")?;
    world.servers()[0].make_ill(true)?;
    let down = told("server-down")?;
    ensure!(down["reason"] == "it answered with status 500" && down["severity"] == "warning", "{down}");
    let server = down["server"].as_str().context("a server")?.to_owned();
    let service = down["service"].as_str().context("a service")?.to_owned();
    world.servers()[0].make_ill(false)?;
    told("server-up")?;

    control.ask(&format!("set server {service} {server} state drain"))?;
    let drained = told("server-drained")?;
    ensure!(drained["by"].as_str().is_some_and(|by| by.starts_with("uid 0")), "{drained}");
    ensure!(
        drained["details"][0].as_str().is_some_and(|line| line.ends_with("enabled -> drain")),
        "{drained}"
    );
    control.ask(&format!("set server {service} {server} state enabled weight 7"))?;
    let enabled = told("server-enabled")?;
    ensure!(enabled["details"].as_array().is_some_and(|lines| lines.len() == 2), "{enabled}");
    control.ask("set timeout established 1h")?;
    let changed = told("changed")?;
    ensure!(changed["details"][0].as_str().is_some_and(|line| line.contains("established")), "{changed}");

    world.director().ip("link set lbwan down")?;
    told("link-down")?;
    world.director().ip("link set lbwan up")?;
    told("link-up")?;

    director.reload(&text.replace("scheduler = \"rr\"", "scheduler = \"wlc\""))?;
    let reloaded = told("reloaded")?;
    ensure!(reloaded["by"] == "signal HUP", "{reloaded}");
    ensure!(reloaded["details"][0].as_str().is_some_and(|line| line.contains("rr -> wlc")), "{reloaded}");
    director.write_configuration(&text.replace("scheduler", "colour"))?;
    director.signal(Signal::SIGHUP)?;
    let refused = told("reload-refused")?;
    ensure!(refused["text"].as_str().is_some_and(|text| text.contains("colour")), "{refused}");
    director.write_configuration(&text)?;
    control.ask("reload confirm-within 1s")?;
    told("reload-pending")?;
    told("reload-rolled-back")?;
    control.ask("stop")?;
    told("forwarding-stopped")?;
    control.ask("start")?;
    told("forwarding-started")?;

    // Each of them once, in order, as the list has them.
    let numbers: Vec<u64> = written(&watched)?.iter().filter_map(|event| event["seq"].as_u64()).collect();
    ensure!(numbers.iter().zip(1..).all(|(seq, place)| *seq == place), "{numbers:?}");
    let list = control.ask("show events count 1000")?;
    for event in written(&watched)? {
        let text = event["text"].as_str().context("a text")?.split('\n').next().unwrap_or_default();
        ensure!(list.contains(text), "{text} is not in\n{list}");
    }
    ensure!(control.ask("show events count 1")?.lines().count() == 1, "one");
    let metrics =
        world.director().run("curl", &["-sS", "--noproxy", "*", &format!("http://{METRICS}/metrics")])?;
    for line in ["kind=\"server-down\"} 1", "kind=\"reload-refused\"} 1", "kind=\"drops-began\"} 0"] {
        ensure!(metrics.contains(&format!("lb_events_total{{{line}")), "{line}: {metrics}");
    }

    // Whoever watches goes on when the director is started again.
    director.stop()?;
    let before = written(&watched)?.len();
    let director = world.start(&config)?;
    let begins_anew = || Ok(written(&watched)?.iter().skip(before).any(|event| event["kind"] == "started"));
    ensure!(eventually(PATIENCE, begins_anew)?, "{}", fs::read_to_string(&watched)?);
    watch.signal(Signal::SIGINT)?;
    ensure!(watch.wait(PATIENCE)?.is_some(), "it does not end");
    director.stop()?;
    Ok(())
}

/// Somebody else has the address of the metrics: the director forwards all the same, says why nobody can look, and
/// serves them when it is free.
#[test]
fn metrics_address_that_is_taken_keeps_nobody_down() -> Result<()> {
    let world = World::new()?;
    let other = world.director().within(|| TcpListener::bind(METRICS))?;
    let config = Config::new()
        .service(Service::tcp(Method::Nat, world::HTTP))
        .section(format!("[metrics]\nlisten = \"{METRICS}\"\nconsole = true"));
    let director = world.start(&config)?;
    let control = Control::of(&director)?;
    world.client().who_answers(Method::Nat.at(world::HTTP), 10)?;
    let why = format!("cannot serve metrics at {METRICS}: Address already in use");
    for command in ["show director", "show events"] {
        let told = control.ask(command)?;
        ensure!(told.contains(&why) && told.contains("trying again every"), "{command}: {told}");
    }
    ensure!(director.output()?.contains(&why), "it is not in the log");
    drop(other);
    let serves = || Ok(control.ask("show events")?.contains("metrics-served"));
    ensure!(eventually(PATIENCE, serves)?, "{}", control.ask("show events")?);
    let metrics =
        world.director().run("curl", &["-sS", "--noproxy", "*", &format!("http://{METRICS}/metrics")])?;
    ensure!(metrics.contains("lb_events_total{kind=\"metrics-unavailable\"} 1"), "{metrics}");
    ensure!(!control.ask("show director")?.contains(&why), "it is over");
    director.stop()?;
    Ok(())
}
