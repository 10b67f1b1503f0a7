//! Commands while things are not as they should be: ports that vanish, workers that stand still, tables that are full.
//! Each is answered or refused; none hangs, and the director goes on.

use std::time::Duration;

use anyhow::{Result, ensure};
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::process::{PATIENCE, eventually};
use lb_stories::{Config, Method, World, world};

/// Every command that reads is answered, or refused in a sentence. Returns those that were refused.
fn all_are_answered(control: &Control) -> Result<Vec<&'static str>> {
    let mut refused = Vec::new();
    for command in crate::common::readers() {
        for command in [command.to_owned(), format!("--json {command}")] {
            let output = control.output(&command)?;
            let said = String::from_utf8_lossy(&output.stderr);
            match output.status.code() {
                Some(0) => {}
                Some(1) => {
                    ensure!(said.starts_with("lbctl: ") && said.lines().count() == 1, "{command}: {said}");
                }
                status => anyhow::bail!("{command}: {status:?}: {said}"),
            }
        }
        if control.output(command)?.status.code() == Some(1) {
            refused.push(command);
        }
    }
    Ok(refused)
}

fn config() -> Config {
    Config::new()
        .service(Service::tcp(Method::Nat, world::HTTP))
        .service(Service::udp(Method::Nat, world::ECHO))
}

#[test]
fn a_port_vanishes() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&config())?;
    let control = Control::of(&director)?;
    world.client().who_answers(Method::Nat.at(world::HTTP), 4)?;
    world.director().ip("link del lblan")?;
    // One connection is asked for that there is none of; nothing else is a reason to refuse.
    let refused = all_are_answered(&control)?;
    assert!(refused.iter().all(|command| command.starts_with("show connection ")), "{refused:?}");
    for command in ["clear port stats all", "clear fwd stats all", "port stop 1", "stop", "start"] {
        control.ask(command)?;
    }
    // Whether that works is for the driver to say.
    let started = control.output("port start 1")?;
    assert!(matches!(started.status.code(), Some(0 | 1)), "{started:?}");
    assert!(world.client().tcp_briefly(Method::Nat.at(world::HTTP), Duration::from_millis(300)).is_err());
    all_are_answered(&control)?;
    director.stop()?;
    Ok(())
}

#[test]
fn forwarding_is_stopped() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&config())?;
    let control = Control::of(&director)?;
    control.ask("stop")?;
    let refused = all_are_answered(&control)?;
    assert!(refused.iter().all(|command| command.starts_with("show connection ")), "{refused:?}");
    control.ask("port stop all")?;
    all_are_answered(&control)?;
    control.ask("port start all")?;
    control.ask("start")?;
    world.client().who_answers(Method::Nat.at(world::HTTP), 4)?;
    director.stop()?;
    Ok(())
}

#[test]
fn the_connection_table_is_full() -> Result<()> {
    const PER_WORKER: usize = 256;
    let world = World::new()?;
    let text = config().render(&world.server_addresses());
    let text = text.replace("connections = 65536", &format!("connections = {PER_WORKER}"));
    let director = world.start_with(&config(), &text)?;
    let control = Control::of(&director)?;
    // Established ones make no room for others.
    let mut open = Vec::new();
    let is_full = eventually(PATIENCE, || {
        for _ in 0..PER_WORKER {
            match world.client().tcp_briefly(Method::Nat.at(world::HTTP), Duration::from_millis(100)) {
                Ok(stream) => open.push(stream),
                Err(_) => break,
            }
        }
        Ok(control.ask("show drops")?.contains("table-full"))
    })?;
    assert!(is_full, "{}", control.ask("show tables")?);
    let refused = all_are_answered(&control)?;
    assert!(refused.iter().all(|command| command.starts_with("show connection ")), "{refused:?}");
    let listed = control.ask("show connections")?;
    assert!(listed.contains("connections in total"), "{listed}");
    control.ask("flush connections protocol tcp")?;
    assert!(eventually(PATIENCE, || Ok(control.ask("count connections")?.starts_with("0 connections")))?);
    director.stop()?;
    Ok(())
}

/// What only the worker knows is said to be missing, or refused, in bounded time; all else is answered as ever.
#[test]
fn a_worker_stands_still() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&config())?;
    let control = Control::of(&director)?;
    world.client().who_answers(Method::Nat.at(world::HTTP), 4)?;
    let worker = director.hold_worker(2)?;
    let refused = all_are_answered(&control)?;
    for (command, words) in [
        ("show connections", "worker 1 did not respond in time: the rest of its connections was skipped"),
        ("show neighbours", "worker 1 did not respond"),
    ] {
        assert!(!refused.contains(&command), "{refused:?}");
        let text = control.ask(command)?;
        assert!(text.contains(words), "{command}: {text}");
    }
    for command in ["port stop all", "delete connection udp 192.0.2.10:9 192.0.2.100:7"] {
        let (status, words) = control.refused(command)?;
        assert!(
            status == Some(1) && words.contains("worker 1 did not respond within 2 s"),
            "{command}: {words}"
        );
    }
    drop(worker);
    // It does what it was asked meanwhile, and goes on.
    let answers = || Ok(!control.ask("show neighbours")?.contains("did not respond"));
    assert!(eventually(PATIENCE, answers)?);
    control.ask("port stop all")?;
    control.ask("port start all")?;
    world.client().who_answers(Method::Nat.at(world::HTTP), 4)?;
    director.stop()?;
    Ok(())
}
