//! A pair whose VIPs move with keepalived or FRR, which know nothing of the directors: they put addresses on host sides, and
//! the directors follow.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lb_stories::arp::Listener;
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::flock::{Flock, until_served};
use lb_stories::frr::Frr;
use lb_stories::netns::Namespace;
use lb_stories::process::{Background, PATIENCE, eventually};
use lb_stories::{Config, Director, Method, World, world};
use nix::sys::signal::Signal;

/// The Ethernet address of VRRP's group 51, RFC 5798 7.3.
const VIRTUAL: &str = "00:00:5e:00:01:33";
/// Connections to each service.
const EACH: usize = 15;

/// One half of the pair.
struct Half<'a> {
    namespace: &'a Namespace,
    name: &'static str,
    /// The last byte of its own addresses.
    last: u8,
    priority: u8,
}

/// Both directors' configuration: the VIPs and the servers' gateway are those of whom the kernel says.
fn text(world: &World, last: u8) -> String {
    let gateway = format!("[[vips]]\naddress = \"{}\"\nunserved = \"drop\"\n", world::DIRECTOR_LAN);
    let service =
        |method| Service::tcp(method, world::HTTP).scheduler("mh").line("flags = [\"mh-port\"]").adopting();
    let text = Config::new()
        .service(service(Method::Nat))
        .service(service(Method::Dr))
        .section("[director]\nrole = \"follow\"\n")
        .section("[metrics]\nlisten = \"127.0.0.1:9145\"\n")
        .section(gateway)
        .render(&world.server_addresses());
    let (head, ports) = text.split_once("[tunnel]").unwrap_or_default();
    let ports = ports.split_once("[[ports]]").unwrap_or_default().1;
    format!("{head}[[ports]]{ports}")
        .replace("192.0.2.1/24", &format!("192.0.2.{last}/24"))
        .replace("198.51.100.1/24", &format!("198.51.100.{last}/24"))
        .replace("name = \"wan\"\n", "name = \"wan\"\nhost = \"lb-wan\"\n")
        .replace("name = \"lan\"\n", "name = \"lan\"\nhost = \"lb-lan\"\n")
}

impl Half<'_> {
    /// Starts its director, and waits until the kernel has its addresses.
    fn direct(&self, world: &World, run: &str) -> Result<Director> {
        // On a NIC that DPDK owns, the kernel sees nothing by the interface itself.
        for name in ["lbwan", "lblan"] {
            self.namespace.leave_to_dpdk(name)?;
        }
        let name = format!("{}-{}{run}", world.name(), self.name);
        let text = text(world, self.last);
        let director = Director::start(self.namespace, world.directory(), &name, &text, 2, |_| ())?;
        let own = format!("198.51.100.{}/24", self.last);
        let has_own = || Ok(self.namespace.run("ip", &["addr", "show", "lb-lan"])?.contains(&own));
        ensure!(eventually(PATIENCE, has_own)?, "the host side has no address");
        Ok(director)
    }

    /// Starts its keepalived.
    fn elect(&self, directory: &Path, use_vmac: bool) -> Result<Background> {
        let at = |extension: &str| directory.join(format!("{}.{extension}", self.name));
        let instance = |interface: &str, group: u8, addresses: &[String]| {
            let vmac = if use_vmac { format!("  use_vmac vrrp-{group}\n") } else { String::new() };
            let listed: String = addresses.iter().map(|address| format!("    {address}\n")).collect();
            format!(
                "vrrp_instance {interface} {{\n  state BACKUP\n  interface {interface}\n  virtual_router_id {group}\n  \
                 priority {}\n  version 3\n  advert_int 0.3\n{vmac}  virtual_ipaddress {{\n{listed}  }}\n}}\n",
                self.priority
            )
        };
        let wan = [Method::Nat, Method::Dr].map(|method| format!("{}/32", method.vip()));
        let text = format!(
            "global_defs {{\n  router_id {}\n  dynamic_interfaces\n  vrrp_version 3\n}}\n\
             vrrp_sync_group lb {{\n  group {{\n    lb-wan\n    lb-lan\n  }}\n}}\n{}{}",
            self.name,
            instance("lb-wan", 51, &wan),
            instance("lb-lan", 52, &[format!("{}/32", world::DIRECTOR_LAN)]),
        );
        fs::write(at("keepalived.conf"), text)?;
        // Those of one that was killed, whose processes nobody may have waited for.
        let _ = ["keepalived.pid", "vrrp.pid"].map(|name| fs::remove_file(at(name)));
        let mut command = self.namespace.command("keepalived");
        command.args(["--dont-fork", "--log-console", "--log-detail", "--vrrp"]);
        command.arg("--use-file").arg(at("keepalived.conf"));
        command.arg("--pid").arg(at("keepalived.pid")).arg("--vrrp_pid").arg(at("vrrp.pid"));
        self.namespace.spawn(&mut command, &at("keepalived.log"))
    }
}

/// Whether a director answers for both VIPs and the gateway.
fn is_active(control: &Control) -> Result<bool> {
    Ok(control.ask("show host")?.matches("  active").count() == 3)
}

fn waits_until_active(control: &Control) -> Result<()> {
    let active = eventually(PATIENCE, || is_active(control))?;
    ensure!(active, "{}", control.ask("show host")?);
    Ok(())
}

/// Uses all connections after an event, and prints a line of the table.
fn line(event: &str, flock: &mut Flock, took: Duration) -> Result<()> {
    let broken = flock.check();
    println!("  {event:<44} {:>5} {broken:>7} {:>8.2}", flock.len(), took.as_secs_f64());
    ensure!(broken == 0, "{event}: {:?}", flock.broken);
    Ok(())
}

fn moves_with_keepalived(use_vmac: bool) -> Result<()> {
    let world = World::new()?;
    let client = world.client();
    let other = world.another_director()?;
    let one = Half { namespace: world.director(), name: "one", last: 3, priority: 150 };
    let two = Half { namespace: &other, name: "two", last: 4, priority: 100 };
    let listener = Listener::start(client.namespace())?;
    let (first, second) = (one.direct(&world, "")?, two.direct(&world, "")?);
    let (control, second_control) = (Control::of(&first)?, Control::of(&second)?);
    ensure!(listener.claims(Method::Nat.vip()).is_empty(), "nobody has it yet");
    let mut of_one = one.elect(world.directory(), use_vmac)?;
    waits_until_active(&control)?;
    let at = if use_vmac { VIRTUAL.to_owned() } else { mac(world.director(), "lb-wan")? };
    let told =
        || Ok(listener.claims(Method::Nat.vip()).iter().filter(|(_, mac)| shown(*mac) == at).count() >= 2);
    ensure!(eventually(PATIENCE, told)?, "announced at {at}: {:?}", listener.claims(Method::Nat.vip()));
    let _of_two = two.elect(world.directory(), use_vmac)?;

    let targets = [Method::Nat, Method::Dr].map(|method| method.at(world::HTTP));
    let mut flock = Flock::open(client, &targets, EACH)?;
    ensure!(
        eventually(PATIENCE, || Ok(!is_active(&second_control)?))?,
        "{}",
        second_control.ask("show host")?
    );
    let only = if use_vmac { "a virtual MAC" } else { "the ports' MACs" };
    println!("\n  {:<44} {:>5} {:>7} {:>8}", format!("VRRP with {only}"), "open", "broken", "seconds");

    let start = Instant::now();
    first.kill();
    until_served(client, targets[0], PATIENCE)?;
    line("the active director is killed", &mut flock, start.elapsed())?;
    let neighbour = || client.namespace().run("ip", &["neigh", "show", &Method::Nat.vip().to_string()]);
    ensure!(neighbour()?.contains(VIRTUAL) == use_vmac, "{}", neighbour()?);

    let start = Instant::now();
    let first = one.direct(&world, "-again")?;
    let control = Control::of(&first)?;
    waits_until_active(&control)?;
    line("it comes back and is elected", &mut flock, start.elapsed())?;

    let start = Instant::now();
    let child = fs::read_to_string(world.directory().join("one.vrrp.pid"))?;
    of_one.signal(Signal::SIGKILL)?;
    let is_second = || Ok(is_active(&second_control)? && !is_active(&control)?);
    ensure!(eventually(PATIENCE, is_second)?, "{}", control.ask("show host")?);
    line("its keepalived is killed", &mut flock, start.elapsed())?;
    // The process below it has heard, and takes its addresses away.
    let is_gone = || Ok(!Path::new("/proc").join(child.trim()).exists());
    ensure!(eventually(PATIENCE, is_gone)?, "a process of keepalived stays");

    let start = Instant::now();
    of_one = one.elect(world.directory(), use_vmac)?;
    waits_until_active(&control)?;
    line("keepalived is back", &mut flock, start.elapsed())?;

    // Nobody is left who could take the addresses away: both have them, and both serve whoever comes.
    let start = Instant::now();
    of_one.kill();
    waits_until_active(&second_control)?;
    ensure!(is_active(&control)?);
    line("keepalived is killed with all that is its", &mut flock, start.elapsed())?;

    let start = Instant::now();
    let of_one = one.elect(world.directory(), use_vmac)?;
    let is_first = || Ok(is_active(&control)? && !is_active(&second_control)?);
    ensure!(eventually(PATIENCE, is_first)?, "{}", control.ask("show host")?);
    line("keepalived is back", &mut flock, start.elapsed())?;

    // Split brain: the two hear nothing of each other, and everybody else hears both.
    let start = Instant::now();
    let hear = |word: &str| {
        ["dir-wan", "dir-lan", "oth1-wan", "oth1-lan"].iter().try_for_each(|port| {
            let words = ["link", "set", "dev", port, "mcast_flood", word];
            world.switch().run("bridge", &words).map(drop)
        })
    };
    hear("off")?;
    waits_until_active(&second_control)?;
    ensure!(is_active(&control)?);
    line("the switch loses what they tell each other", &mut flock, start.elapsed())?;
    until_served(client, targets[0], PATIENCE)?;
    until_served(client, targets[1], PATIENCE)?;

    let start = Instant::now();
    hear("on")?;
    ensure!(eventually(PATIENCE, is_first)?, "{}", control.ask("show host")?);
    line("they hear each other again", &mut flock, start.elapsed())?;

    let start = Instant::now();
    of_one.signal(Signal::SIGTERM)?;
    ensure!(eventually(PATIENCE, is_second)?, "{}", control.ask("show host")?);
    until_served(client, targets[1], PATIENCE)?;
    line("keepalived is stopped", &mut flock, start.elapsed())?;

    let explained = control.ask(&format!("explain tcp {}:4000 {} flags syn", world::CLIENT, targets[0]))?;
    ensure!(
        explained.contains("the director follows the kernel, which has this VIP on no host side"),
        "{explained}"
    );
    let events = second_control.ask("show events")?;
    ensure!(events.contains(&format!("the director answers for {}", Method::Nat.vip())), "{events}");
    let metrics = other.run("curl", &["-sS", "http://127.0.0.1:9145/metrics"])?;
    let metric = format!("lb_vip_active{{vip=\"{}\"}} 1", Method::Nat.vip());
    ensure!(
        metrics.contains(&metric) && metrics.contains("lb_director_role{role=\"follow\"} 1"),
        "{metrics}"
    );
    first.stop()?;
    second.stop()?;
    Ok(())
}

fn shown(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// FRR's daemons for one half.
fn frr(half: &Half<'_>, directory: &Path) -> Result<Frr> {
    let vrrp = format!(
        "interface lb-wan\n vrrp 51 version 3\n vrrp 51 priority {}\n vrrp 51 advertisement-interval 300\n \
         vrrp 51 ip {}\n",
        half.priority,
        Method::Dr.vip()
    );
    half.namespace.ip(&format!(
        "link add vrrp4-51 link lb-wan type macvlan mode bridge\nlink set vrrp4-51 address {VIRTUAL}\n\
         addr add {}/32 dev vrrp4-51\nlink set vrrp4-51 up",
        Method::Dr.vip()
    ))?;
    Frr::start(half.namespace, directory, &format!("{}-frr", half.name), &[("vrrpd", &vrrp)])
}

#[test]
fn vips_move_with_frr() -> Result<()> {
    let world = World::new()?;
    let (client, target) = (world.client(), Method::Dr.at(world::HTTP));
    let other = world.another_director()?;
    let one = Half { namespace: world.director(), name: "one", last: 3, priority: 150 };
    let two = Half { namespace: &other, name: "two", last: 4, priority: 100 };
    let (first, second) = (one.direct(&world, "")?, two.direct(&world, "")?);
    let (control, second_control) = (Control::of(&first)?, Control::of(&second)?);
    let has_vip = |control: &Control| {
        let line = format!("{}  ", Method::Dr.vip());
        Ok(control.ask("show host")?.lines().any(|it| it.starts_with(&line) && it.contains(VIRTUAL)))
    };
    let mut of_one = frr(&one, world.directory())?;
    ensure!(eventually(PATIENCE, || has_vip(&control))?, "{}", control.ask("show host")?);
    let _of_two = frr(&two, world.directory())?;
    // It begins as a backup, which takes its interface down.
    let is_backup = || Ok(!has_vip(&second_control)?);
    ensure!(eventually(PATIENCE, is_backup)?, "{}", second_control.ask("show host")?);
    let neighbour = || client.namespace().run("ip", &["neigh", "show", &Method::Dr.vip().to_string()]);
    until_served(client, target, PATIENCE)?;
    ensure!(neighbour()?.contains(VIRTUAL), "{}", neighbour()?);

    let start = Instant::now();
    of_one.kill();
    first.kill();
    ensure!(eventually(PATIENCE, || has_vip(&second_control))?, "{}", second_control.ask("show host")?);
    until_served(client, target, PATIENCE)?;
    println!("\n  FRR's vrrpd: the active director is killed, {:.2} s", start.elapsed().as_secs_f64());
    ensure!(neighbour()?.contains(VIRTUAL), "{}", neighbour()?);
    second.stop()?;
    Ok(())
}

/// The Ethernet address of an interface.
fn mac(namespace: &Namespace, interface: &str) -> Result<String> {
    let path = format!("/sys/class/net/{interface}/address");
    Ok(namespace.run("cat", &[&path])?.trim().to_owned())
}

#[test]
fn vips_move_with_keepalived() -> Result<()> {
    moves_with_keepalived(false)
}

#[test]
fn vips_move_with_keepalived_and_a_virtual_mac() -> Result<()> {
    moves_with_keepalived(true)
}
