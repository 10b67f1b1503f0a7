//! Announcing: a router learns by BGP, from BIRD beside the director, which VIPs it may be sent.
//!
//! The director's and the router's BIRD talk over a link of their own. The VIP is on no network that anybody is attached
//! to, so that packets for it arrive only while the router has its route.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lb_stories::bird::Bird;
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::director::program;
use lb_stories::process::{PATIENCE, eventually, run};
use lb_stories::{Config, Method, World, world};

const VIP: &str = "198.18.0.100";
/// Both ends of the daemons' own link.
const DIRECTOR: &str = "10.9.0.1";
const ROUTER: &str = "10.9.0.2";

/// The director's BIRD: exports what the director's file has, with the director's address as next hop.
fn of_director(file: &Path) -> String {
    format!(
        "router id {DIRECTOR};\ninclude \"{}\";\nprotocol device {{}}\nprotocol bgp upstream {{\n  \
         local {DIRECTOR} as 65001;\n  neighbor {ROUTER} as 65002;\n  error wait time 1, 2;\n  connect delay time 1;\n  \
         ipv4 {{ import none; export where proto = \"lb_vips4\"; next hop address {}; }};\n}}\n",
        file.display(),
        world::DIRECTOR_WAN
    )
}

fn of_router() -> String {
    format!(
        "router id {ROUTER};\nprotocol device {{}}\nprotocol direct {{ ipv4; }}\nprotocol kernel {{ ipv4 {{ export where \
         source = RTS_BGP; }}; }}\nprotocol bgp director {{\n  local {ROUTER} as 65002;\n  neighbor {DIRECTOR} as 65001;\n  \
         error wait time 1, 2;\n  connect delay time 1;\n  ipv4 {{ import all; export none; gateway recursive; }};\n}}\n"
    )
}

#[test]
fn routers_send_what_the_director_can_forward() -> Result<()> {
    let world = World::new()?;
    let file = world.directory().join("announced.conf");
    fs::write(&file, "")?;
    world.director().connect("bgp", world.router(), "bgp")?;
    world.director().ip(&format!("addr add {DIRECTOR}/30 dev bgp"))?;
    world.router().ip(&format!("addr add {ROUTER}/30 dev bgp"))?;
    let ours = Bird::start(world.director(), world.directory(), "director", &of_director(&file))?;
    let theirs = Bird::start(world.router(), world.directory(), "router", &of_router())?;
    let is_established = || Ok(theirs.ask("show protocols director")?.contains("Established"));
    ensure!(eventually(PATIENCE, is_established)?, "{}", theirs.ask("show protocols")?);

    let service = Service::tcp(Method::Nat, world::HTTP)
        .line("check = { type = \"http\", interval = \"200ms\", timeout = \"200ms\", fall = 2 }");
    let config = Config::new().service(service).section(format!(
        "[announce]\nfile = \"{}\"\ncommand = [\"birdc\", \"-s\", \"{}\", \"configure\"]\n",
        file.display(),
        ours.socket.display()
    ));
    let vip = Method::Nat.vip().to_string();
    let text = config.render(&world.server_addresses()).replace(&vip, VIP);
    let has_route = || -> Result<bool> { Ok(!world.router().run("ip", &["route", "show", VIP])?.is_empty()) };
    let becomes = |is: bool| -> Result<Duration> {
        let start = Instant::now();
        ensure!(eventually(PATIENCE, || Ok(has_route()? == is))?, "the route is there: {}", !is);
        Ok(start.elapsed())
    };
    let target = format!("{VIP}:{}", world::HTTP).parse::<std::net::SocketAddrV4>()?;
    ensure!(!has_route()?);
    let director = world.start_with(&config, &text)?;
    let control = Control::of(&director)?;
    becomes(true)?;
    world.far_client().who_answers(target, 4)?;
    ensure!(control.ask("show announced")?.contains(&format!("{VIP}  announced")));

    // No server works, and one does again.
    world.servers().iter().try_for_each(|server| server.make_ill(true))?;
    let withdrawn = becomes(false)?;
    let said = control.ask("show announced")?;
    ensure!(said.contains("withdrawn: service tcp-nat-80: its quorum is lost"), "{said}");
    world.servers()[0].make_ill(false)?;
    let back = becomes(true)?;
    println!("withdrawn {withdrawn:?} after the servers' failure, announced {back:?} after their return");

    // Nor does one that nobody elected, or whose server it cannot reach.
    control.ask("set director role standby")?;
    becomes(false)?;
    control.ask("set director role active")?;
    becomes(true)?;
    // What comes back is announced when it forwards again, not when it may be about to: somebody is served at once.
    for _ in 0..3 {
        world.director().ip("link set lblan down")?;
        becomes(false)?;
        world.director().ip("link set lblan up")?;
        becomes(true)?;
        world.far_client().http(target)?.get("/small")?;
    }

    // Whoever drains says first that it is about to go; a connection that is there goes on meanwhile.
    let mut session = world.far_client().http(target)?;
    session.get("/small")?;
    control.ask("drain director")?;
    let is_going = || Ok(theirs.ask("show route all")?.contains("(65535,0)"));
    ensure!(eventually(Duration::from_secs(1), is_going)?, "{}", theirs.ask("show route all")?);
    session.get("/small")?;
    becomes(false)?;
    ensure!(control.ask("show director")?.contains("draining"));
    let is_stopped = || Ok(control.ask("show director")?.contains("stopped"));
    ensure!(eventually(PATIENCE, is_stopped)? && control.ask("show director")?.contains("drained"));
    control.ask("start")?;
    becomes(true)?;
    world.far_client().who_answers(target, 4)?;
    let events = control.ask("show events count 200")?;
    for kind in ["vip-announced", "vip-withdrawn", "director-draining", "forwarding-stopped"] {
        ensure!(events.contains(kind), "no {kind}: {events}");
    }

    // One that ends does the same, and is there until nothing comes any more.
    let start = Instant::now();
    director.stop()?;
    ensure!(start.elapsed() > Duration::from_secs(3), "{:?}", start.elapsed());
    ensure!(!has_route()? && !fs::read_to_string(&file)?.contains(VIP));

    // One that is killed cannot; then it is the service manager's affair.
    let director = world.start_with(&config, &text)?;
    becomes(true)?;
    director.kill();
    ensure!(has_route()?);
    let conf = world.directory().join("withdraw.toml");
    fs::write(&conf, &text)?;
    run(Command::new(program()?).args(["--withdraw", "--conf"]).arg(&conf))?;
    becomes(false)?;
    Ok(())
}
