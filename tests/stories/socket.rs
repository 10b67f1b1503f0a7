//! The control socket: who may use it, how many at once, and what comes of clients that mean no good.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::process::eventually;
use lb_stories::{Config, Method, World, world};
use nix::unistd::Group;

const LIMIT: Duration = Duration::from_secs(30);
/// As `docs/control.md` has it.
const MOST_CLIENTS: usize = 64;
const ABOUT: &str = r#"{"version":1,"request":{"director":"about"}}"#;

struct Client {
    reader: BufReader<UnixStream>,
}

impl Client {
    fn connect(control: &Control) -> Result<Self> {
        let stream = UnixStream::connect(control.socket())?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    fn say(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        Ok(line)
    }

    fn ask(&mut self, line: &str) -> Result<String> {
        self.say(format!("{line}\n").as_bytes())?;
        self.line()
    }
}

fn config() -> Config {
    Config::new().service(Service::tcp(Method::Nat, world::HTTP))
}

#[test]
fn clients_are_limited_in_number() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&config())?;
    let control = Control::of(&director)?;
    let mut clients = Vec::new();
    for _ in 0..MOST_CLIENTS {
        let mut client = Client::connect(&control)?;
        ensure!(client.ask(ABOUT)?.contains("\"reply\""));
        clients.push(client);
    }
    // One more is told so, and lbctl says it.
    let line = Client::connect(&control)?.line()?;
    assert!(line.contains("\"busy\"") && line.contains("64 clients are connected"), "{line}");
    let (status, words) = control.refused("show director")?;
    assert!(status == Some(1) && words.contains("64 clients are connected"), "{status:?} {words}");
    // The others are served as before, and one that leaves makes room.
    ensure!(clients[7].ask(ABOUT)?.contains("\"reply\""));
    clients.pop();
    assert!(eventually(LIMIT, || Ok(control.output("show director")?.status.success()))?);
    drop(clients);
    director.stop()?;
    Ok(())
}

#[test]
fn a_group_may_be_let_in() -> Result<()> {
    let world = World::new()?;
    let group = Group::from_name("daemon")?.context("every Debian has this group")?;
    let director = world.start(&config().section("[control]\ngroup = \"daemon\"\n"))?;
    let socket = fs::metadata(Control::of(&director)?.socket())?;
    assert_eq!((socket.permissions().mode() & 0o777, socket.gid()), (0o660, group.gid.as_raw()));
    director.stop()?;
    Ok(())
}

/// A line of any bytes is answered with a refusal, and the next request as ever. What is no line ends the conversation.
#[test]
fn hostile_clients_are_refused() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&config())?;
    let control = Control::of(&director)?;
    let mut client = Client::connect(&control)?;
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..300_usize {
        let mut line: Vec<u8> = match round % 3 {
            0 => ABOUT.as_bytes().to_vec(),
            1 => br#"{"version":1,"request":{"connections":{"list":{"filter":{"client":"192.0.2.0/24"}}}}}"#
                .to_vec(),
            _ => vec![0; round * 100],
        };
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize
        };
        // All of it, or a few bytes.
        let changes = if round % 3 == 2 { line.len() } else { 1 + next() % 4 };
        for _ in 0..changes {
            let at = next() % line.len();
            line[at] = next() as u8;
        }
        line.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
        line.push(b'\n');
        client.say(&line)?;
        let answer: serde_json::Value = serde_json::from_str(&client.line()?)?;
        assert_eq!(answer["version"], 1, "{answer}");
        ensure!(answer.get("error").is_some() || answer.get("reply").is_some(), "{answer}");
    }
    ensure!(client.ask(ABOUT)?.contains("\"reply\""));

    // Longer than a request may be, and without an end.
    let mut endless = Client::connect(&control)?;
    // It may be refused before it has said everything.
    let _ = endless.say(&[b' '; 70_000]);
    let answer = endless.line()?;
    assert!(answer.contains("bad-request") && answer.contains("longer than 65536 bytes"), "{answer}");
    assert_eq!(endless.line().unwrap_or_default(), "", "the conversation is over");
    control.ask("show director")?;
    director.stop()?;
    Ok(())
}
