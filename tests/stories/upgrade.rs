//! The upgrade of a pair, one director at a time, as docs/upgrading.md says: no connection breaks, and none is refused.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::flock::{Flock, until_served};
use lb_stories::netns::Namespace;
use lb_stories::process::{PATIENCE, eventually};
use lb_stories::recipe::recipe;
use lb_stories::steady::Steady;
use lb_stories::{Config, Director, Method, World, world};

/// Connections to each service that stay open.
const EACH: usize = 15;
/// The first addresses of the directors' own network.
const PEERS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];

/// One of the pair.
struct Half<'a> {
    namespace: &'a Namespace,
    directory: &'a Path,
    name: String,
    text: String,
    runs: u32,
    running: Option<(Director, Control)>,
}

impl<'a> Half<'a> {
    /// Director 0 or 1, on standby.
    fn new(world: &'a World, namespace: &'a Namespace, number: usize) -> Result<Self> {
        let key = world.directory().join("sync.key");
        fs::write(&key, "a key that both of them have\n")?;
        fs::set_permissions(&key, Permissions::from_mode(0o600))?;
        let (own, peer) = (PEERS[number], PEERS[1 - number]);
        let sync =
            format!("[sync]\nlisten = \"{own}:4789\"\npeers = [\"{peer}:4789\"]\nkey_file = {key:?}\n");
        // The servers' gateway under NAT is whichever is active.
        let gateway = format!("[[vips]]\naddress = \"{}\"\nunserved = \"drop\"\n", world::DIRECTOR_LAN);
        let common =
            Config::new().alone().section("[director]\nrole = \"standby\"\n").section(sync).section(gateway);
        let config = Method::USUAL.into_iter().fold(common, |config, method| {
            // One that does not hash: a peer has to know of every connection.
            config.service(Service::tcp(method, world::HTTP).scheduler("wlc"))
        });
        let text = config.at_host(3 + u8::try_from(number)?).render(&world.server_addresses());
        let name = format!("{}-half{number}", world.name());
        let mut half = Half { namespace, directory: world.directory(), name, text, runs: 0, running: None };
        half.start()?;
        Ok(half)
    }

    fn start(&mut self) -> Result<()> {
        self.runs += 1;
        let name = format!("{}-{}", self.name, self.runs);
        let director = Director::start(self.namespace, self.directory, &name, &self.text, 1, |_| ())?;
        let control = Control::of(&director)?;
        self.running = Some((director, control));
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        let (director, _) = self.running.take().context("it runs")?;
        director.stop().map(drop)
    }

    /// Does what a line of the runbook says, and waits until what is printed has all of these words.
    fn does(&mut self, command: &str, until: &[&str]) -> Result<()> {
        match command.split_once(' ').context("a command with words")? {
            ("lbctl", words) => {
                let (_, control) = self.running.as_ref().context("it runs")?;
                let mut said = control.ask(words)?;
                let is_so = eventually(PATIENCE, || {
                    if !until.iter().all(|word| said.contains(word)) {
                        said = control.ask(words)?;
                    }
                    Ok(until.iter().all(|word| said.contains(word)))
                })?;
                ensure!(is_so, "{command}: {said}");
            }
            ("systemctl", "restart lb-app") => {
                self.stop()?;
                self.start()?;
            }
            ("sleep", seconds) => thread::sleep(Duration::from_secs(seconds.parse()?)),
            // The new program is the old one here.
            ("apt", _) => {}
            ("lb-app", _) => {
                let file = self.directory.join("check.toml");
                fs::write(&file, &self.text)?;
                ensure!(lb_stories::director::check(&file)?.status.success());
            }
            _ => bail!("who knows how to do {command:?}?"),
        }
        Ok(())
    }
}

/// Runs the story while new connections are opened to every service all the time; returns how many failed of how many.
fn under_load<T>(
    world: &World,
    methods: &[Method],
    story: impl FnOnce() -> Result<T>,
) -> Result<(T, BTreeMap<String, usize>)> {
    let Some((method, others)) = methods.split_first() else { return Ok((story()?, BTreeMap::new())) };
    let target = method.at(world::HTTP);
    Steady::patiently(world.client(), target, 1, |steady| {
        let start = Instant::now();
        steady.watch(3)?;
        let (outcome, mut all) = under_load(world, others, story)?;
        steady.watch(3)?;
        let attempts = steady.since(start);
        let failed: Vec<_> = attempts.iter().filter_map(|(_, outcome)| outcome.as_ref().err()).collect();
        ensure!(failed.is_empty(), "{}: {} of {}: {failed:?}", method.word(), failed.len(), attempts.len());
        all.insert(method.word().to_owned(), attempts.len());
        Ok((outcome, all))
    })
}

#[test]
fn a_pair_is_upgraded_one_at_a_time() -> Result<()> {
    let runbook = recipe("upgrading.md", "second# systemctl restart", &[])?;
    let world = World::new()?;
    let other = world.another_director()?;
    world.director().connect("lbsync", &other, "lbsync")?;
    for (namespace, own) in [(world.director(), PEERS[0]), (&other, PEERS[1])] {
        namespace.ip(&format!("addr add {own}/30 dev lbsync"))?;
    }
    let (mut first, mut second) = (Half::new(&world, world.director(), 0)?, Half::new(&world, &other, 1)?);
    first.does("lbctl set director role active", &[])?;
    first.does("lbctl show sync", &["up, complete"])?;
    let targets: Vec<SocketAddrV4> = Method::USUAL.map(|method| method.at(world::HTTP)).to_vec();
    targets.iter().try_for_each(|target| until_served(world.client(), *target, PATIENCE))?;
    let mut flock = Flock::open(world.client(), &targets, EACH)?;

    let start = Instant::now();
    let ((), opened) = under_load(&world, &Method::USUAL, || {
        for line in runbook.lines() {
            let (who, command) = line.split_once('#').context("who it is")?;
            let (command, note) = command.split_once('#').unwrap_or((command, ""));
            let until: Vec<&str> =
                note.trim().strip_prefix("until: ").map_or_else(Vec::new, |it| it.split(", ").collect());
            let half = if who == "first" { &mut first } else { &mut second };
            half.does(command.trim(), &until).with_context(|| line.to_owned())?;
            let broken = flock.check();
            let took = start.elapsed().as_secs_f64();
            println!(
                "  {:<42} {:>3} open {broken:>3} broken {took:>5.1} s",
                [who, command.trim()].join("# "),
                flock.len()
            );
        }
        Ok(())
    })?;
    println!("opened meanwhile, none failed: {opened:?}");
    ensure!(flock.broken.is_empty(), "{:?}", flock.broken);
    ensure!(first.runs == 2 && second.runs == 2);
    first.stop()?;
    second.stop()
}
