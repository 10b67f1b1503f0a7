//! What a service manager is told, and a collector of logs.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::process::{PATIENCE, eventually};
use lb_stories::{Config, Method, World, world};

/// How often the manager wants to hear from the director.
const WATCHDOG: Duration = Duration::from_secs(2);

/// The manager's end of the conversation.
struct Manager(UnixDatagram);

impl Manager {
    /// Waits for a message that has all of these lines; others are passed over.
    fn hears(&self, lines: &[&str]) -> Result<String> {
        let start = Instant::now();
        let mut buffer = [0; 4_096];
        while start.elapsed() < PATIENCE {
            let Ok(length) = self.0.recv(&mut buffer) else { continue };
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if lines.iter().all(|wanted| message.lines().any(|line| line.starts_with(wanted))) {
                return Ok(message);
            }
        }
        anyhow::bail!("no message with {lines:?}")
    }

    /// Whether a message with such a line comes in that time.
    fn hears_within(&self, time: Duration, line: &str) -> bool {
        let start = Instant::now();
        let mut buffer = [0; 4_096];
        while start.elapsed() < time {
            let Ok(length) = self.0.recv(&mut buffer) else { continue };
            if String::from_utf8_lossy(&buffer[..length]).lines().any(|said| said == line) {
                return true;
            }
        }
        false
    }
}

fn config() -> Config {
    Config::new().service(Service::tcp(Method::Nat, world::HTTP))
}

#[test]
fn the_service_manager_is_told() -> Result<()> {
    let world = World::new()?;
    let path = world.directory().join("notify");
    let manager = Manager(UnixDatagram::bind(&path)?);
    manager.0.set_read_timeout(Some(Duration::from_millis(100)))?;
    let config = config();
    let text = config.render(&world.server_addresses());
    let director = world.start_how(config.workers(), &text, |command| {
        let watchdog = WATCHDOG.as_micros().to_string();
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", watchdog);
    })?;
    let control = Control::of(&director)?;
    manager.hears(&["READY=1", "STATUS=1 services, 0 servers down, 0 of "])?;
    manager.hears(&["WATCHDOG=1", "STATUS=1 services"])?;

    director.reload(&text)?;
    manager.hears(&["RELOADING=1", "MONOTONIC_USEC="])?;
    manager.hears(&["READY=1"])?;
    control.ask("reload")?;
    manager.hears(&["RELOADING=1", "MONOTONIC_USEC="])?;
    manager.hears(&["READY=1"])?;

    // While a worker is stuck, the watchdog is not fed, which would have the director restarted.
    let stuck = director.hold_worker(1)?;
    let complains = || Ok(director.output()?.contains("worker 0 is stuck"));
    ensure!(eventually(PATIENCE, complains)?, "nobody notices");
    // What had been said before.
    while manager.hears_within(Duration::from_millis(100), "WATCHDOG=1") {}
    ensure!(!manager.hears_within(WATCHDOG, "WATCHDOG=1"), "fed while a worker is stuck");
    drop(stuck);
    manager.hears(&["WATCHDOG=1"])?;

    let output = director.stop()?;
    manager.hears(&["STOPPING=1"])?;
    ensure!(output.contains("accounting: exact"));
    Ok(())
}

#[test]
fn the_log_can_be_json() -> Result<()> {
    let world = World::new()?;
    let config = config();
    let text = config.render(&world.server_addresses());
    let director = world.start_how(config.workers(), &text, |command| {
        command.args(["--log-format", "json"]);
    })?;
    director.reload(&text.replace("scheduler = \"rr\"", "scheduler = \"wlc\""))?;
    let control = Control::of(&director)?;
    // From here on errors only.
    control.ask("set verbose 0")?;
    control.ask("reload")?;
    let output = director.stop()?;
    let lines: Vec<serde_json::Value> = output
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect::<Result<_>>()?;
    ensure!(!lines.is_empty(), "{output}");
    for line in &lines {
        ensure!(["timestamp", "level", "message"].iter().all(|field| line[field].is_string()), "{line}");
    }
    let said = |what: &str| {
        lines
            .iter()
            .filter(|line| line["message"].as_str().is_some_and(|said| said.starts_with(what)))
            .count()
    };
    ensure!(said("reload: ~ service tcp 192.0.2.100:80: scheduler rr -> wlc") == 1, "{output}");
    ensure!(said("reload: configuration ") == 1, "{output}");
    Ok(())
}
