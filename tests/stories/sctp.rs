//! SCTP of a kernel's own on both ends: a guest is the server, and a namespace in it the client, since few machines have
//! SCTP. `make test-uml` tells them.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::guest::{Guest, NAME};
use lb_stories::world::{self, GUEST, GUEST_CLIENT, GUEST_CLIENT6};
use lb_stories::{Config, Method, World, server};

/// A port that the director serves and no server listens on.
const CLOSED: u16 = 4433;
/// A port that nobody serves.
const UNSERVED: u16 = 4434;
/// Methods by which the whole of an association passes, and one by which the server answers by itself.
const METHODS: [Method; 3] = [Method::Nat, Method::FullNat, Method::Dr];

struct Peers {
    // Ends before its namespace does.
    guest: Guest,
    program: String,
    world: World,
}

impl Peers {
    fn new() -> Result<Self> {
        let world = World::with_ipv6()?;
        let guest = world.guest_with_client()?;
        let program = server::executable("sctp-peer")?.display().to_string();
        let (lan, lan6) = (GUEST, world::server6_of(GUEST));
        let (nat, dr) = (world::HTTP_BEHIND_NAT, world::HTTP);
        guest.run(&format!(
            "modprobe sctp
            {program} serve {NAME} {lan}:{nat} [{lan6}]:{nat} {}:{dr} [{}]:{dr} &
            until [ $(wc -l </proc/net/sctp/eps) -gt 4 ]; do sleep 0.02; done",
            world::VIP_DR,
            world::VIP6_DR
        ))?;
        Ok(Self { guest, program, world })
    }

    /// Associations of the client's, opened, used and ended: who has answered, and how often.
    fn ask(&self, to: SocketAddr, (associations, messages, bytes): (u32, u32, u32)) -> Result<String> {
        let from = if to.is_ipv4() { GUEST_CLIENT.to_string() } else { GUEST_CLIENT6.to_string() };
        let program = &self.program;
        let words = format!("{from} {to} {associations} {messages} {bytes}");
        self.guest.run(&format!("ip netns exec client {program} ask {words}"))
    }
}

fn ways() -> impl Iterator<Item = (Method, bool)> {
    METHODS.into_iter().flat_map(|method| [(method, false), (method, true)])
}

fn at((method, is_ipv6): (Method, bool), port: u16) -> SocketAddr {
    if is_ipv6 { method.at6(port).into() } else { method.at(port).into() }
}

fn config(port: u16) -> Config {
    ways().fold(Config::new(), |config, (method, is_ipv6)| {
        let service = Service::sctp(method, port);
        config.service(if is_ipv6 { service.over_ipv6() } else { service })
    })
}

/// Associations by each method in each family over two workers, of small messages and of such that are cut; the director
/// has seen each of them end.
#[test]
#[ignore = "make test-uml"]
fn associations_by_every_method() -> Result<()> {
    let peers = Peers::new()?;
    let config = config(world::HTTP);
    let director = peers.world.start_with(&config, &config.render(&[GUEST]))?;
    let control = Control::of(&director)?;
    let mut ended = 0;
    for way in ways() {
        let target = at(way, world::HTTP);
        for (messages, bytes) in [(5, 100), (3, 20_000)] {
            let said = peers.ask(target, (20, messages, bytes)).with_context(|| format!("{target}"))?;
            ensure!(said.trim() == format!("{NAME} {}", 20 * messages), "{target}: {said}");
            ended += 20;
        }
        let shown = control.ask("show connections protocol sctp")?;
        let closed = shown.lines().filter(|line| line.contains("CLOSED")).count();
        ensure!(closed == ended, "{closed} of {ended} have ended:\n{shown}");
    }
    director.stop()?;
    Ok(())
}

/// The same where packets of the client are lost, and those of the server doubled and out of order. It all arrives. (Linux
/// 7.2 does not answer a COOKIE ECHO again, with or without a director, so its one answer has to get through.)
#[test]
#[ignore = "make test-uml"]
fn associations_over_a_way_that_loses_packets() -> Result<()> {
    let peers = Peers::new()?;
    peers.guest.run(
        "modprobe sch_netem
        ip netns exec client tc qdisc add dev vec2 root netem loss 5%
        for device in vec0 vec1; do tc qdisc add dev $device root netem delay 3ms 3ms duplicate 5%; done",
    )?;
    let config = config(world::HTTP);
    let director = peers.world.start_with(&config, &config.render(&[GUEST]))?;
    for way in ways() {
        let target = at(way, world::HTTP);
        let said = peers.ask(target, (6, 6, 4_000)).with_context(|| format!("{target}"))?;
        ensure!(said.trim() == format!("{NAME} 36"), "{target}: {said}");
    }
    director.stop()?;
    Ok(())
}

/// Who asks for a port without a service, or a server without such a port, hears so from the director or from the server's
/// kernel, and believes it: it compares the tag.
#[test]
#[ignore = "make test-uml"]
fn refusals_are_believed() -> Result<()> {
    let peers = Peers::new()?;
    let config = config(CLOSED);
    let director = peers.world.start_with(&config, &config.render(&[GUEST]))?;
    for way in ways() {
        for port in [CLOSED, UNSERVED] {
            let target = at(way, port);
            let said = peers.ask(target, (1, 1, 10)).err().context("nobody listens")?.to_string();
            ensure!(said.contains("Connection refused"), "{target}: {said}");
        }
    }
    director.stop()?;
    Ok(())
}

/// Associations that are open go on in the director's next run.
#[test]
#[ignore = "make test-uml"]
fn associations_go_on_in_the_next_run() -> Result<()> {
    let peers = Peers::new()?;
    let config = config(world::HTTP).state_file(&peers.world.directory().join("state"));
    let text = config.render(&[GUEST]);
    let director = peers.world.start_with(&config, &text)?;
    let done = "/run/asked";
    let mut asking = String::new();
    for (number, way) in ways().enumerate() {
        let (target, program) = (at(way, world::HTTP), &peers.program);
        let from = if way.1 { GUEST_CLIENT6.to_string() } else { GUEST_CLIENT.to_string() };
        // Each takes its time: what is answered at once is over at once.
        asking += &format!(
            "(ip netns exec client {program} ask {from} {target} 4 40 100 >{done}.{number} 2>&1; \
             echo status $? >>{done}.{number}) &\n"
        );
    }
    peers.guest.run(&format!(
        "modprobe sch_netem
        ip netns exec client tc qdisc add dev vec2 root netem delay 30ms
        {asking}until [ $(wc -l </proc/net/sctp/assocs) -gt 24 ]; do sleep 0.02; done"
    ))?;
    director.stop()?;
    let director = peers.world.start_with(&config, &text)?;
    for (number, way) in ways().enumerate() {
        let said = peers.guest.run(&format!(
            "until grep -q status {done}.{number} 2>/dev/null; do sleep 0.05; done; cat {done}.{number}"
        ))?;
        ensure!(said.contains(&format!("{NAME} 160\nstatus 0")), "{}: {said}", at(way, world::HTTP));
    }
    director.stop()?;
    Ok(())
}
