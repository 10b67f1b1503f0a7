//! What others say of servers: several pages with their digests, an agent in HAProxy's words, and a program with its exit
//! status, as keepalived has it. Under connections from a client.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::SocketAddrV4;
use std::ops::RangeInclusive;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use lb_stories::agent::Agent;
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::process::{PATIENCE, eventually};
use lb_stories::{Config, Method, World, world};

const OFTEN: &str = "interval = \"100ms\", timeout = \"2s\", warmup = \"0s\"";
const AGENT: u16 = 8_100;

/// What `md5sum` prints of a text.
fn md5sum(text: &str) -> Result<String> {
    let mut md5sum = Command::new("md5sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    md5sum.stdin.take().context("its input")?.write_all(text.as_bytes())?;
    let output = String::from_utf8(md5sum.wait_with_output()?.stdout)?;
    Ok(output.split(' ').next().unwrap_or_default().to_owned())
}

/// Waits until `show health` of a service says something.
fn says(control: &Control, service: &str, what: &str) -> Result<()> {
    let met = eventually(PATIENCE, || Ok(control.ask(&format!("show health {service}"))?.contains(what)))?;
    ensure!(met, "{what:?} is not in {}", control.ask(&format!("show health {service}"))?);
    Ok(())
}

/// Waits until of 40 connections in a row so many go to the first server, and all others to the second. Each worker takes
/// turns of its own.
fn shared(world: &World, first: RangeInclusive<usize>) -> Result<()> {
    let mut who = BTreeMap::new();
    let met = eventually(PATIENCE, || {
        who = world.client().who_answers(Method::Nat.at(world::HTTP), 40).unwrap_or_default();
        let of = |name: &str| who.get(name).copied().unwrap_or_default();
        Ok(first.contains(&of("server1")) && of("server1") + of("server2") == 40)
    })?;
    ensure!(met, "{who:?} where {first:?} were expected");
    Ok(())
}

#[test]
fn pages_agents_and_programs_decide_what_servers_get() -> Result<()> {
    let world = World::new()?;
    let weights = world.directory().join("weights");
    fs::create_dir_all(&weights)?;
    let status = |server: usize, status: u8| {
        fs::write(weights.join(world.servers()[server].lan().to_string()), status.to_string())
    };
    status(0, 0)?;
    status(1, 0)?;
    let server = SocketAddrV4::new(world.servers()[0].lan(), world::HTTP_BEHIND_NAT);
    // Both have the same page for what they do not have.
    let missing = world.servers()[1].namespace().run("curl", &["-s", &format!("http://{server}/missing")])?;
    ensure!(missing.contains("404"), "{missing}");
    let digest = md5sum(&missing)?;
    let check = format!(
        "check = {{ type = \"http\", via = \"ports\", fall = 1, rise = 1, {OFTEN}, urls = [{{ path = \"/small\", \
         body = \"^small from\" }}, {{ path = \"/missing\", status = [404], digest = \"{digest}\" }}] }}"
    );
    let web = Service::tcp(Method::Nat, world::HTTP)
        .scheduler("wrr")
        .line(check)
        .line(format!("agent = {{ type = \"tcp\", port = {AGENT}, via = \"ports\", {OFTEN} }}"))
        .line("health = { flap_limit = 0 }");
    let script = format!("exit $(cat {}/$LB_SERVER)", weights.display());
    let echo = Service::udp(Method::Nat, world::ECHO).line(format!(
        "check = {{ type = \"command\", command = [\"/bin/sh\", \"-c\", \"{script}\"], dynamic = true, {OFTEN} }}"
    ));
    let agents = world
        .servers()
        .iter()
        .map(|server| Agent::start(server.namespace(), SocketAddrV4::new(server.lan(), AGENT), "up\n"));
    let mut agents = agents.collect::<Result<Vec<_>>>()?;
    let director = world.start(&Config::new().service(web).service(echo))?;
    let control = Control::of(&director)?;
    says(&control, "tcp-nat-80", "agent (tcp) said \"up\"")?;
    let servers = world.servers().iter().map(|server| format!("{}:{}", server.lan(), world::HTTP_BEHIND_NAT));
    for server in servers {
        control.ask(&format!("set server tcp-nat-80 {server} weight 100"))?;
    }
    shared(&world, 18..=22)?;
    // A quarter of the weight is a quarter of the connections: 8 of 40.
    agents[0].say("25% # backup runs\n");
    says(&control, "tcp-nat-80", "advised: weight 25")?;
    shared(&world, 6..=10)?;
    agents[0].say("100%, drain\n");
    says(&control, "tcp-nat-80", "drained")?;
    shared(&world, 0..=0)?;
    // An operator's word and the agent's do not undo each other.
    let first = format!("{}:{}", world.servers()[0].lan(), world::HTTP_BEHIND_NAT);
    control.ask(&format!("set server tcp-nat-80 {first} state enabled"))?;
    shared(&world, 0..=0)?;
    agents[0].say("ready\n");
    shared(&world, 18..=22)?;
    agents[0].say("down # disk full\n");
    says(&control, "tcp-nat-80", "its agent says down: disk full")?;
    shared(&world, 0..=0)?;
    agents[0].say("up\n");
    shared(&world, 18..=22)?;
    // An agent that is gone changes nothing.
    agents.remove(0);
    says(&control, "tcp-nat-80", "it refused the connection")?;
    shared(&world, 18..=22)?;
    // One page of two that is not as it should be takes the server out.
    world.servers()[0].make_ill(true)?;
    says(&control, "tcp-nat-80", "/small: it answered with status 500")?;
    shared(&world, 0..=0)?;
    world.servers()[0].make_ill(false)?;
    shared(&world, 18..=22)?;
    // And the program: 2 to 255 is a weight, 1 a failure, 0 leaves the weight.
    status(0, 52)?;
    says(&control, "udp-nat-7", "advised: weight 50")?;
    status(0, 0)?;
    status(1, 2)?;
    says(&control, "udp-nat-7", "drained")?;
    says(&control, "udp-nat-7", "advised: weight 50")?;
    status(1, 1)?;
    says(&control, "udp-nat-7", "exited with status 1")?;
    director.stop()?;
    Ok(())
}
