//! Announcing: a router learns by BGP, from a daemon beside the director, which VIPs it may be sent.
//!
//! The director's daemon and the router's talk over a link of their own, or over a host side. The VIP is on no network that anybody is attached
//! to, so that packets for it arrive only while the router has its route.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lb_stories::bird::Bird;
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::director::program;
use lb_stories::frr::Frr;
use lb_stories::process::{PATIENCE, eventually};
use lb_stories::{Config, Director, Method, World, world};

const VIP: &str = "198.18.0.100";
/// The same in IPv6.
const VIP6: &str = "2001:db8:5::100";
/// Both ends of the daemons' own link.
const DIRECTOR: &str = "10.9.0.1";
const ROUTER: &str = "10.9.0.2";

/// A world whose router learns from a daemon beside the director.
struct Scene {
    // What runs in a namespace ends before the namespace does.
    router: Bird,
    world: World,
    /// What the director announces.
    file: PathBuf,
    /// What the router has said of routes that are about to go.
    going: PathBuf,
}

/// What it says of one: it is there for moments only, which nobody may look at on a busy machine.
const GOING: &str = "about to go";

impl Scene {
    /// The daemon is to speak from this address.
    fn new(daemon: Ipv4Addr) -> Result<Self> {
        let world = World::with_ipv6()?;
        // For the kernel's interfaces that have VIPs of it, and host sides.
        world.director().enable_ipv6(&[])?;
        let file = world.directory().join("announced.conf");
        fs::write(&file, "")?;
        world.director().connect("bgp", world.router(), "bgp")?;
        // Daemons would tell of its link-local address beside the next hop, and routers prefer that.
        world.director().sysctl("net/ipv6/conf/bgp/disable_ipv6", "1")?;
        world.director().ip(&format!("addr add {DIRECTOR}/30 dev bgp"))?;
        world.router().ip(&format!("addr add {ROUTER}/30 dev bgp"))?;
        let import =
            format!("filter {{ if (65535, 0) ~ bgp_community then print \"{GOING}: \", net; accept; }}");
        let channel =
            |family: &&str| format!("  {family} {{ import {import}; export none; gateway recursive; }};\n");
        let session = |name, (own, other): (&str, &str), families: &[&str]| {
            let channels: String = families.iter().map(channel).collect();
            format!(
                "protocol bgp {name} {{\n  local {own} as 65000;\n  neighbor {other} as 65001;\n  error wait time 1, 2;\n  \
                 connect delay time 1;\n  connect retry time 1;\n{channels}}}\n"
            )
        };
        // One session for both families, but for a daemon that has none but its own address for the next hop.
        let sessions = if daemon == world::DIRECTOR_WAN {
            let [ours, theirs] = [world::GATEWAY6, world::DIRECTOR_WAN6].map(|ip| ip.to_string());
            session("director", (&world::GATEWAY.to_string(), &daemon.to_string()), &["ipv4"])
                + &session("director6", (&ours, &theirs), &["ipv6"])
        } else {
            session("director", (ROUTER, &daemon.to_string()), &["ipv4", "ipv6"])
        };
        let kernel =
            |family| format!("protocol kernel {{ {family} {{ export where source = RTS_BGP; }}; }}\n");
        let going = world.directory().join("router.said");
        let router = format!(
            "log {going:?} all;\nrouter id {ROUTER};\nprotocol device {{}}\nprotocol direct {{ ipv4; ipv6; }}\n{}{}{sessions}",
            kernel("ipv4"),
            kernel("ipv6")
        );
        let router = Bird::start(world.router(), world.directory(), "router", &router)?;
        Ok(Self { router, world, file, going })
    }

    /// Waits until the daemon and the router have found each other.
    fn meet(&self) -> Result<()> {
        let is_established = || Ok(self.router.ask("show protocols director")?.contains("Established"));
        ensure!(eventually(PATIENCE, is_established)?, "{}", self.router.ask("show protocols")?);
        Ok(())
    }

    /// The director's configuration, with this in `[announce]`, for both families.
    fn text(&self, config: Config, announce: &str) -> String {
        self.text_for(config, announce, true)
    }

    fn text_for(&self, config: Config, announce: &str, both: bool) -> String {
        let service = || {
            Service::tcp(Method::Nat, world::HTTP)
                .line("check = { type = \"http\", interval = \"200ms\", timeout = \"200ms\", fall = 2 }")
        };
        let config = config.service(service());
        let config = if both { config.service(service().over_ipv6()) } else { config };
        // Long enough for a busy machine to use a route in, which is about to go.
        let announce = format!("[announce]\ngshut = \"3s\"\n{announce}");
        let text = config.section(announce).render(&self.world.server_addresses());
        let vip6 = Method::Nat.at6(world::HTTP).ip().to_string();
        text.replace(&Method::Nat.vip().to_string(), VIP)
            .replace(&format!("\"{vip6}\""), &format!("\"{VIP6}\""))
    }

    fn start(&self, text: &str) -> Result<(Director, Control)> {
        let director = self.world.start_how(2, text, |_| ())?;
        let control = Control::of(&director)?;
        Ok((director, control))
    }

    /// Whether the router has a route to the VIP of each family.
    fn has_routes(&self) -> Result<[bool; 2]> {
        let has = |family, vip| -> Result<bool> {
            Ok(!self.world.router().run("ip", &[family, "route", "show", vip])?.is_empty())
        };
        Ok([has("-4", VIP)?, has("-6", VIP6)?])
    }

    /// Waits until the router has the routes, or has not.
    fn becomes(&self, is: bool) -> Result<Duration> {
        let start = Instant::now();
        let are = || Ok(self.has_routes()? == [is; 2]);
        ensure!(eventually(PATIENCE, are)?, "the routes are there: {:?}", self.has_routes()?);
        Ok(start.elapsed())
    }

    /// Both families' VIPs are served.
    fn is_served(&self) -> Result<()> {
        self.targets()
            .into_iter()
            .try_for_each(|target| self.world.far_client().who_answers(target, 4).map(drop))
    }

    fn targets(&self) -> [SocketAddr; 2] {
        [VIP, VIP6].map(|vip| SocketAddr::new(vip.parse().expect("an address"), world::HTTP))
    }

    /// How often it was said that a route is about to go.
    fn leaving(&self) -> Result<usize> {
        Ok(fs::read_to_string(&self.going)?.matches(GOING).count())
    }

    /// Waits until it has been said more often than that.
    fn is_leaving(&self, before: usize) -> Result<()> {
        let is_going = || Ok(self.leaving()? > before);
        ensure!(eventually(PATIENCE, is_going)?, "{}", fs::read_to_string(&self.going)?);
        Ok(())
    }

    /// The same with every daemon: a director starts, loses its servers, gets them back, drains, starts again and ends.
    fn goes_round(&self, text: &str, says_leaving: bool) -> Result<()> {
        ensure!(self.has_routes()? == [false; 2]);
        let (director, control) = self.start(text)?;
        self.becomes(true)?;
        self.is_served()?;
        self.world.servers().iter().try_for_each(|server| server.make_ill(true))?;
        let withdrawn = self.becomes(false)?;
        self.world.servers().iter().try_for_each(|server| server.make_ill(false))?;
        println!("withdrawn {withdrawn:?} after the servers' failure, back after {:?}", self.becomes(true)?);

        let [_, target] = self.targets();
        let mut session = self.world.far_client().http(target)?;
        session.get("/small")?;
        let before = self.leaving()?;
        control.ask("drain director")?;
        if says_leaving {
            self.is_leaving(before)?;
        }
        session.get("/small")?;
        self.becomes(false)?;
        let is_stopped = || Ok(control.ask("show director")?.contains("stopped"));
        ensure!(eventually(PATIENCE, is_stopped)?, "{}", control.ask("show director")?);
        control.ask("start")?;
        self.becomes(true)?;
        self.is_served()?;
        ensure!(!control.ask("show events count 200")?.contains("hook-failed"));
        director.stop()?;
        self.becomes(false)?;
        Ok(())
    }

    /// One that is killed cannot withdraw anything; then it is the service manager's affair.
    fn dies(&self, text: &str) -> Result<()> {
        let (director, _) = self.start(text)?;
        self.becomes(true)?;
        director.kill();
        ensure!(self.has_routes()? == [true; 2]);
        let conf = self.world.directory().join("withdraw.toml");
        fs::write(&conf, text)?;
        let withdraw =
            self.world.director().command(program()?).args(["--withdraw", "--conf"]).arg(&conf).output()?;
        ensure!(withdraw.status.success(), "{}", String::from_utf8_lossy(&withdraw.stderr));
        self.becomes(false)?;
        Ok(())
    }
}

/// The block of docs/directors.md with this in it, for the daemons' own link and the files of this scene.
fn recipe(mark: &str, replace: &[(&str, &str)]) -> Result<String> {
    lb_stories::recipe::recipe("directors.md", mark, replace)
}

#[test]
fn routers_send_what_the_director_can_forward() -> Result<()> {
    let scene = Scene::new(DIRECTOR.parse()?)?;
    let (world, file) = (&scene.world, scene.file.display().to_string());
    let becomes = |is| scene.becomes(is);
    let replace =
        [("/run/lb/announced.conf", &*file), ("10.0.0.11", DIRECTOR), ("10.0.0.1 ", &format!("{ROUTER} "))];
    let bird = recipe("protocol bgp tor1", &replace)?;
    let bird = format!("router id {DIRECTOR};\nprotocol device {{}}\n{bird}");
    let ours = Bird::start(world.director(), world.directory(), "director", &bird)?;
    scene.meet()?;
    let announce =
        format!("file = {file:?}\ncommand = [\"birdc\", \"-s\", {:?}, \"configure\"]\n", ours.socket);
    let text = scene.text(Config::new(), &announce);
    let [target, _] = scene.targets();
    ensure!(scene.has_routes()? == [false; 2]);
    let (director, control) = scene.start(&text)?;
    becomes(true)?;
    scene.is_served()?;
    let said = control.ask("show announced")?;
    let is_said = |vip: &str| said.lines().any(|line| line.split_whitespace().take(2).eq([vip, "announced"]));
    ensure!(is_said(VIP) && is_said(VIP6), "{said}");

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
    world.director().ip("link set lblan down")?;
    becomes(false)?;
    world.director().ip("link set lblan up")?;
    becomes(true)?;
    world.far_client().http(target)?.get("/small")?;

    // Whoever drains says first that it is about to go; a connection that is there goes on meanwhile.
    let mut session = world.far_client().http(target)?;
    session.get("/small")?;
    let before = scene.leaving()?;
    control.ask("drain director")?;
    scene.is_leaving(before)?;
    session.get("/small")?;
    becomes(false)?;
    ensure!(control.ask("show director")?.contains("the director is drain"));
    let is_stopped = || Ok(control.ask("show director")?.contains("stopped"));
    ensure!(eventually(PATIENCE, is_stopped)? && control.ask("show director")?.contains("drained"));
    control.ask("start")?;
    becomes(true)?;
    scene.is_served()?;
    let events = control.ask("show events count 200")?;
    for kind in ["vip-announced", "vip-withdrawn", "director-draining", "forwarding-stopped"] {
        ensure!(events.contains(kind), "no {kind}: {events}");
    }

    // One that ends does the same, and is there until nothing comes any more.
    let start = Instant::now();
    director.stop()?;
    ensure!(start.elapsed() > Duration::from_secs(5), "{:?}", start.elapsed());
    let announced = fs::read_to_string(&file)?;
    ensure!(scene.has_routes()? == [false; 2] && !announced.contains(VIP) && !announced.contains(VIP6));
    scene.dies(&text)
}

#[test]
fn frr_tells_the_router() -> Result<()> {
    let scene = Scene::new(DIRECTOR.parse()?)?;
    let (world, file) = (&scene.world, scene.file.display().to_string());
    let bgpd =
        recipe("route-map lb-vips permit", &[("10.0.0.11", DIRECTOR), ("10.0.0.1 ", &format!("{ROUTER} "))])?;
    let frr = Frr::start(world.director(), world.directory(), "frr", &[("bgpd", &bgpd)])?;
    scene.meet()?;
    let vtysh: Vec<String> = frr.vtysh().iter().map(|word| format!("{word:?}")).collect();
    let command = format!("\"{}\"", vtysh.join(", ").trim_matches('"'));
    let replace = [("/run/lb/announced.conf", &*file), ("\"vtysh\"", &command), ("[announce]\n", "")];
    let text = scene.text(Config::new(), &recipe("format = \"frr\"", &replace)?);
    scene.goes_round(&text, true)?;
    scene.dies(&text)
}

/// ExaBGP's next hop is the address that it speaks from: here that of a host side.
#[test]
fn exabgp_tells_the_router() -> Result<()> {
    let scene = Scene::new(world::DIRECTOR_WAN)?;
    let (world, file) = (&scene.world, scene.file.display().to_string());
    for name in ["lbwan", "lblan"] {
        world.director().leave_to_dpdk(name)?;
    }
    let conf = world.directory().join("exabgp.conf");
    fs::write(&conf, recipe("encoder text", &[("/run/lb/announced.conf", &*file)])?)?;
    let mut command = world.director().command("exabgp");
    command.env("exabgp_daemon_user", "root").env("exabgp_api_ack", "false").arg(&conf);
    let _exabgp = world.director().spawn(&mut command, &world.directory().join("exabgp.log"))?;
    let announce =
        recipe("format = \"exabgp\"", &[("/run/lb/announced.conf", &*file), ("[announce]\n", "")])?;
    let text = scene.text(Config::new().with_host_sides(), &announce);
    scene.goes_round(&text, true)
}

#[test]
fn interfaces_have_the_vips_that_daemons_announce() -> Result<()> {
    let scene = Scene::new(DIRECTOR.parse()?)?;
    let world = &scene.world;
    for name in ["lbwan", "lblan"] {
        world.director().leave_to_dpdk(name)?;
    }
    let bird =
        recipe("protocol direct lb_vips4", &[("10.0.0.11", DIRECTOR), ("10.0.0.1 ", &format!("{ROUTER} "))])?;
    let bird = format!("router id {DIRECTOR};\nprotocol device {{}}\n{bird}");
    let _ours = Bird::start(world.director(), world.directory(), "director", &bird)?;
    scene.meet()?;
    let text = scene.text(Config::new(), &recipe("interface = \"lb-vips\"", &[("[announce]\n", "")])?);
    let has =
        |what: &str| Ok(world.director().run("ip", &["addr", "show", "dev", "lb-vips"])?.contains(what));

    // There may be no such interface, until there is one.
    let (director, control) = scene.start(&text)?;
    let is_told = || Ok(control.ask("show events")?.contains("cannot change the VIPs on interface lb-vips"));
    ensure!(eventually(PATIENCE, is_told)?, "{}", control.ask("show events")?);
    world
        .director()
        .ip("link add lb-vips type bridge\nlink set lb-vips up\naddr add 198.18.0.200/32 dev lb-vips")?;
    scene.becomes(true)?;
    ensure!(control.ask("show announced")?.contains("interface lb-vips of the kernel has what is announced"));
    // What somebody takes away comes back.
    world.director().ip(&format!("addr del {VIP}/32 dev lb-vips"))?;
    ensure!(eventually(PATIENCE, || has(VIP))?);
    director.stop()?;
    scene.becomes(false)?;

    scene.goes_round(&text, false)?;
    scene.dies(&text)?;
    ensure!(!has(VIP)? && !has(VIP6)? && has("198.18.0.200/32")?, "what others have put there stays");
    // The next run takes away what one left that was killed, before it forwards.
    let (director, control) = scene.start(&text)?;
    scene.becomes(true)?;
    director.kill();
    drop(control);
    let (director, _) = scene.start(&format!("{text}\n[director]\nrole = \"standby\"\n"))?;
    ensure!(!has(VIP)? && !has(VIP6)? && has("198.18.0.200/32")?);
    director.stop()?;
    Ok(())
}

/// A cloud's routers know whose an address is from the cloud, which the command asks.
#[test]
fn a_command_tells_a_cloud() -> Result<()> {
    let scene = Scene::new(DIRECTOR.parse()?)?;
    let at = |name: &str| scene.world.directory().join(name);
    let program = |name: &str, text: &str| {
        fs::write(at(name), text)?;
        Ok::<_, anyhow::Error>(fs::set_permissions(at(name), Permissions::from_mode(0o755))?)
    };
    // In the place of the cloud's own program.
    program("aws", &format!("#!/bin/sh\necho \"$*\" >>{}\n", at("asked").display()))?;
    let aws = at("aws").display().to_string();
    program("cloud", &recipe("assign-private-ip-addresses", &[("aws ec2", &format!("{aws} ec2"))])?)?;
    let (file, command) = (scene.file.display().to_string(), at("cloud").display().to_string());
    let replace = [("/run/lb/announced", &*file), ("/etc/lb/cloud", &command), ("[announce]\n", "")];
    let announce = recipe("command = [\"/etc/lb/cloud\"]", &replace)?;
    let text = scene.text_for(Config::new(), &announce, false);
    let (director, control) = scene.start(&text)?;
    let last = |word: &str| {
        let asked = fs::read_to_string(at("asked")).unwrap_or_default();
        let last = asked.lines().last().unwrap_or_default();
        Ok(last.starts_with(&format!("ec2 {word} ")) && last.contains(VIP))
    };
    ensure!(eventually(PATIENCE, || last("assign-private-ip-addresses"))?, "{}", control.ask("show events")?);
    control.ask("set director role standby")?;
    ensure!(
        eventually(PATIENCE, || last("unassign-private-ip-addresses"))?,
        "{}",
        control.ask("show events")?
    );
    director.stop()?;
    Ok(())
}

/// The file says what is so, whatever becomes of the command, and nobody who leaves waits for it for ever.
#[test]
fn a_command_that_hangs_holds_nothing_up() -> Result<()> {
    let scene = Scene::new(DIRECTOR.parse()?)?;
    let hangs = scene.world.directory().join("hangs");
    fs::write(&hangs, "")?;
    let script = format!("while test -e {}; do sleep 0.1; done", hangs.display());
    let announce = format!("file = {:?}\ncommand = [\"sh\", \"-c\", {script:?}]\n", scene.file);
    let config = Config::new().section("[health]\nhook_timeout = \"5m\"\n");
    let (director, control) = scene.start(&scene.text_for(config, &announce, false))?;
    let says = |vip: bool| {
        let is_so = || Ok(fs::read_to_string(&scene.file)?.contains(VIP) == vip);
        ensure!(eventually(PATIENCE, is_so)?, "{vip}: {}", control.ask("show announced")?);
        Ok(())
    };
    says(true)?;
    control.ask("set director role standby")?;
    says(false)?;
    control.ask("set director role active")?;
    says(true)?;
    control.ask("drain director")?;
    let is_stopped = || Ok(control.ask("show director")?.contains("stopped"));
    ensure!(eventually(PATIENCE, is_stopped)?, "{}", control.ask("show director")?);
    says(false)?;
    fs::remove_file(&hangs)?;
    director.stop()?;
    Ok(())
}
