//! Where checks' packets leave: by the way of traffic, which proves it, or from a network namespace; and traffic itself
//! as a check.

use std::net::SocketAddrV4;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lb_stories::agent::Agent;
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::dns::NameServer;
use lb_stories::process::{PATIENCE, eventually};
use lb_stories::server::{Certificate, HTTPS};
use lb_stories::{Config, Method, World, world};
use serde_json::Value;

/// Often, and with all the time that a busy machine may need.
const OFTEN: &str = "interval = \"200ms\", retry_interval = \"100ms\", timeout = \"2s\", fall = 2, rise = 2";

/// What is known of a service's servers, by their place.
fn health(control: &Control, service: &str) -> Result<Vec<Value>> {
    let answer: Value = serde_json::from_str(&control.ask(&format!("--json show health {service}"))?)?;
    let servers = answer["reply"]["health"]["services"][0]["servers"].as_array();
    Ok(servers.with_context(|| format!("{service}: {answer}"))?.clone())
}

/// Waits until a server of a service is in that state after at least `checks` checks. Returns why it last failed.
fn becomes(control: &Control, service: &str, server: usize, state: &str, checks: u64) -> Result<String> {
    let is_it = || {
        let server = &health(control, service)?[server];
        Ok(server["state"] == state && server["checks"].as_u64() >= Some(checks))
    };
    let met = eventually(PATIENCE, is_it)?;
    ensure!(met, "{service}: server {server} is not {state}: {}", control.ask("show health")?);
    Ok(health(control, service)?[server]["last_failure"]["reason"].as_str().unwrap_or_default().to_owned())
}

/// Checks of every kind go where traffic goes: they find out that a server does not have the VIP any more, although
/// it works and answers at its own address.
#[test]
fn checks_take_the_way_of_traffic() -> Result<()> {
    let world = World::new()?;
    let by_ports = |service: Service, kind: &str, to: &str| {
        // What is assumed proves nothing.
        let check = format!("{{ {kind}, via = \"ports\", to = \"{to}\", assume_down = true, {OFTEN} }}");
        service.line(format!("check = {check}")).line("health = { flap_limit = 0 }")
    };
    let http = "type = \"http\", path = \"/small\", body = \"^small from\"";
    let udp = "type = \"udp\", payload = \"ping\", require_reply = true";
    let config = Config::new()
        .service(by_ports(Service::tcp(Method::Tun, world::HTTP), http, "vip"))
        .service(by_ports(Service::tcp(Method::Dr, world::HTTP), http, "vip"))
        .service(by_ports(Service::udp(Method::Tun, world::ECHO), udp, "vip"))
        .service(by_ports(Service::udp(Method::Dr, world::ECHO), "type = \"icmp\"", "vip"))
        .service(by_ports(Service::tcp(Method::Nat, world::HTTP), "type = \"tcp\"", "server"))
        .service(by_ports(Service::udp(Method::Nat, world::ECHO), udp, "server"));
    let director = world.start(&config)?;
    let control = Control::of(&director)?;
    let all = ["tcp-tun-80", "tcp-dr-80", "udp-tun-7", "udp-dr-7", "tcp-nat-80", "udp-nat-7"];
    for service in all {
        for server in 0..2 {
            becomes(&control, service, server, "up", 3)?;
        }
    }
    for method in [Method::Tun, Method::Dr] {
        let (vip, http) = (method.vip(), format!("tcp-{}-80", method.word()));
        let server = &world.servers()[0];
        server.namespace().ip(&format!("addr del {vip}/32 dev lo"))?;
        let reason = becomes(&control, &http, 0, "down", 0)?;
        ensure!(
            reason.contains(&format!("from {vip} on the path of traffic: does the server have")),
            "{reason}"
        );
        // It works, and answers at its own address.
        ensure!(health(&control, "tcp-nat-80")?[0]["state"] == "up", "{}", control.ask("show health")?);
        let who = world.client().who_answers(method.at(world::HTTP), 10)?;
        ensure!(who.keys().eq(["server2"]), "{who:?}");
        server.namespace().ip(&format!("addr add {vip}/32 dev lo"))?;
        becomes(&control, &http, 0, "up", 0)?;
        let both = eventually(PATIENCE, || {
            Ok(world.client().who_answers(method.at(world::HTTP), 10).is_ok_and(|who| who.len() == 2))
        })?;
        ensure!(both, "the server gets nothing although it is up");
    }
    // A server that works but is ill is found out as well, and so is one whose port is closed.
    world.servers()[0].make_ill(true)?;
    let reason = becomes(&control, "tcp-dr-80", 0, "down", 0)?;
    ensure!(reason == "it answered with status 500", "{reason}");
    world.servers()[0].make_ill(false)?;
    becomes(&control, "tcp-dr-80", 0, "up", 0)?;
    // Where nothing is polled, nothing is found out.
    control.ask("stop")?;
    let before = health(&control, "tcp-dr-80")?[0]["state"].clone();
    std::thread::sleep(Duration::from_secs(1));
    ensure!(health(&control, "tcp-dr-80")?[0]["state"] == before);
    control.ask("start")?;
    director.stop()?;
    Ok(())
}

/// Checks that take several packets each way, TLS above all, and such that take one: both go by the ports, find out that a
/// server is ill, and that it is well again.
#[test]
fn https_and_dns_are_asked_by_the_ports() -> Result<()> {
    const DNS: u16 = 53;
    let mut world = World::new()?;
    let certificate = Certificate::make(world.directory(), "www.example.org")?;
    let mut name_servers = Vec::new();
    for server in world.servers_mut() {
        server.serve_https(&certificate)?;
        let addresses = [world::VIP_TUN, world::VIP_DR, server.lan()].map(|at| SocketAddrV4::new(at, DNS));
        name_servers.push(NameServer::start(server.namespace(), &addresses)?);
    }
    let checked = |service: Service, check: &str| {
        let check = format!("check = {{ {check}, via = \"ports\", assume_down = true, {OFTEN} }}");
        service.line(check).line("health = { flap_limit = 0 }")
    };
    let verified = format!("verify = true, ca = {:?}", certificate.file);
    let (safe, named) =
        ("type = \"https\", body = \"^safely from\"", "type = \"dns\", name = \"www.example.org\"");
    let mut config = Config::new();
    let mut services = Vec::new();
    for method in Method::ALL {
        let to = if method == Method::Nat { "server" } else { "vip" };
        let https = format!("{safe}, sni = \"www.example.org\", {verified}, to = \"{to}\"");
        let dns = format!("{named}, to = \"{to}\"");
        config = config
            .service(checked(Service::tcp(method, HTTPS), &https))
            .service(checked(Service::udp(method, DNS), &dns));
        let word = method.word();
        services.push((format!("tcp-{word}-{HTTPS}"), "it answered with status 500"));
        services.push((format!("udp-{word}-{DNS}"), "it answered SERVFAIL, server failure"));
    }
    let other = format!("type = \"https\", sni = \"www.example.com\", {verified}, port = {HTTPS}");
    config = config.service(checked(Service::tcp(Method::Nat, world::HTTP), &other));
    let director = world.start(&config)?;
    let control = Control::of(&director)?;
    for (service, _) in &services {
        for server in 0..2 {
            becomes(&control, service, server, "up", 2)?;
        }
    }
    // It has a certificate, but for somebody else.
    let reason = becomes(&control, "tcp-nat-80", 0, "down", 1)?;
    ensure!(reason.contains("certificate not valid for name"), "{reason}");
    // What comes back for a check is told as what it is.
    let answer = "tcp[tcpflags] & (tcp-syn|tcp-ack) == (tcp-syn|tcp-ack)";
    let told = control.ask(&format!("trace add src port {HTTPS} and {answer} count 1"))?;
    for words in ["a health check by its ports expects it", "received by the director itself", "as explained"]
    {
        ensure!(told.contains(words), "no {words:?} in {told}");
    }

    world.servers()[0].make_ill(true)?;
    name_servers[0].answer_with(2);
    for (service, what) in &services {
        let reason = becomes(&control, service, 0, "down", 0)?;
        ensure!(reason == *what, "{service}: {reason}");
        ensure!(health(&control, service)?[1]["state"] == "up", "{}", control.ask("show health")?);
    }
    world.servers()[0].make_ill(false)?;
    name_servers[0].answer_with(0);
    for (service, _) in &services {
        becomes(&control, service, 0, "up", 0)?;
    }
    director.stop()?;
    Ok(())
}

/// A port that nobody listens on is told from a server that is silent, over TCP and UDP.
#[test]
fn a_closed_port_is_told_in_plain_words() -> Result<()> {
    let mut world = World::new()?;
    let check = |kind: &str| format!("check = {{ {kind}, via = \"ports\", to = \"vip\", {OFTEN} }}");
    let config = Config::new()
        .service(Service::tcp(Method::Dr, world::HTTP).line(check("type = \"tcp\"")))
        // Nothing listens there, on any server.
        .service(Service::udp(Method::Tun, 9).line(check("type = \"udp\", payload = \"x\"")));
    let director = world.start(&config)?;
    let control = Control::of(&director)?;
    let reason = becomes(&control, "udp-tun-9", 1, "down", 2)?;
    ensure!(reason == "nothing listens on its port", "{reason}");
    world.servers_mut()[0].stop_nginx()?;
    let reason = becomes(&control, "tcp-dr-80", 0, "down", 0)?;
    ensure!(reason == "it refused the connection", "{reason}");
    director.stop()?;
    Ok(())
}

/// Checks leave from the namespace that they are told to leave from, and from no other.
#[test]
fn checks_leave_from_a_network_namespace() -> Result<()> {
    let world = World::new()?;
    let outside = world.checks_namespace()?;
    let check = format!("{{ type = \"tcp\", netns = \"{}\", assume_down = true, {OFTEN} }}", outside.name());
    let service = Service::tcp(Method::Nat, world::HTTP).line(format!("check = {check}"));
    let director = world.start(&Config::new().service(service.line("health = { flap_limit = 0 }")))?;
    let control = Control::of(&director)?;
    for server in 0..2 {
        becomes(&control, "tcp-nat-80", server, "up", 2)?;
    }
    outside.ip("link set lan down")?;
    let reason = becomes(&control, "tcp-nat-80", 0, "down", 0)?;
    ensure!(reason == "no route to its network", "{reason}");
    outside.ip("link set lan up")?;
    becomes(&control, "tcp-nat-80", 0, "up", 0)?;
    director.stop()?;
    Ok(())
}

/// Several services with the same servers, checked in the same way: each server is asked once for all of them. One that
/// is asked something else asks for itself.
#[test]
fn a_server_of_several_services_is_asked_once() -> Result<()> {
    const PORT: u16 = 8_100;
    const OTHER: u16 = 8_101;
    let world = World::new()?;
    let server = &world.servers()[0];
    let agent = |port| Agent::start(server.namespace(), SocketAddrV4::new(server.lan(), port), "");
    let (agent, other) = (agent(PORT)?, agent(OTHER)?);
    let asks = |method, port| {
        let check = format!("check = {{ type = \"tcp\", port = {port}, warmup = \"0s\", {OFTEN} }}");
        Service::tcp(method, world::HTTP).servers(1).line(check).line("health = { flap_limit = 0 }")
    };
    let config = Config::new()
        .service(asks(Method::Nat, PORT))
        .service(asks(Method::Dr, PORT))
        .service(asks(Method::Tun, PORT))
        .service(asks(Method::FullNat, OTHER));
    let director = world.start(&config)?;
    let control = Control::of(&director)?;
    let shared = ["tcp-nat-80", "tcp-dr-80", "tcp-tun-80"];
    for service in shared.into_iter().chain(["tcp-fullnat-80"]) {
        becomes(&control, service, 0, "up", 20)?;
    }
    // What is asked while it is counted, and what was asked before all had begun.
    let some = 5;
    let counts: Result<Vec<u64>> = shared
        .iter()
        .map(|service| Ok(health(&control, service)?[0]["checks"].as_u64().unwrap_or(0)))
        .collect();
    let (counts, asked) = (counts?, agent.asked());
    let most = counts.iter().max().copied().unwrap_or(0);
    ensure!(asked <= most + some && counts.iter().sum::<u64>() > 2 * asked, "{counts:?} of {asked}");
    ensure!(other.asked() >= 20, "{}", other.asked());
    // It is down for all of them at once.
    drop(agent);
    for service in shared {
        becomes(&control, service, 0, "down", 0)?;
    }
    ensure!(health(&control, "tcp-fullnat-80")?[0]["state"] == "up", "{}", control.ask("show health")?);
    director.stop()?;
    Ok(())
}

/// Servers that are checked over a management network, which only the kernel has a route to; where it has none, `--check`
/// says so before a service is taken down for it.
#[test]
fn a_check_takes_the_kernels_route_to_a_management_network() -> Result<()> {
    let world = World::new()?;
    let (kernel, server) = (world.director(), world.servers()[0].namespace());
    kernel.connect("mgmt", server, "mgmt")?;
    // Different networks: the kernel is on neither of the server's, and has a route only.
    kernel.ip("addr add 198.18.21.1/24 dev mgmt")?;
    server.ip("addr add 198.18.20.11/24 dev mgmt")?;
    server.ip("route add 198.18.21.0/24 dev mgmt")?;
    let check =
        format!("check = {{ type = \"http\", path = \"/small\", address = \"198.18.20.11\", {OFTEN} }}");
    let service = Service::tcp(Method::Nat, world::HTTP).servers(1).line(check);
    let config = Config::new().service(service.line("health = { flap_limit = 0 }"));
    let file = world.directory().join("check.toml");
    std::fs::write(&file, config.render(&world.server_addresses()))?;
    let says = || {
        let mut check = kernel.command(&lb_stories::director::program()?);
        let output = check.args(["--", "--check", "--conf"]).arg(&file).output()?;
        ensure!(output.status.success(), "{output:?}");
        anyhow::Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let warning = says()?;
    ensure!(
        warning.contains("go to 198.18.20.11 by the kernel, which has no route there, and fail"),
        "{warning}"
    );
    kernel.ip("route add 198.18.20.0/24 dev mgmt")?;
    let warning = says()?;
    ensure!(warning.is_empty(), "{warning}");
    let director = world.start(&config)?;
    let control = Control::of(&director)?;
    becomes(&control, "tcp-nat-80", 0, "up", 3)?;
    let who = world.client().who_answers(Method::Nat.at(world::HTTP), 4)?;
    ensure!(who.keys().eq(["server1"]), "{who:?}");
    kernel.ip("route del 198.18.20.0/24 dev mgmt")?;
    becomes(&control, "tcp-nat-80", 0, "down", 0)?;
    kernel.ip("route add 198.18.20.0/24 dev mgmt")?;
    becomes(&control, "tcp-nat-80", 0, "up", 0)?;
    director.stop()?;
    Ok(())
}

/// Without any check: a server that refuses connections, or leaves them unanswered, is noticed from the traffic, and
/// is tried again after a while.
#[test]
fn traffic_itself_tells_of_a_server() -> Result<()> {
    let mut world = World::new()?;
    let service = Service::tcp(Method::Nat, world::HTTP)
        .timeout("syn", "1s")
        .line("health = { passive = { failures = 3, within = \"10s\", hold = \"4s\" }, flap_limit = 0 }");
    let director = world.start(&Config::new().service(service))?;
    let control = Control::of(&director)?;
    let target = Method::Nat.at(world::HTTP);
    let client = world.client().twin();
    ensure!(client.who_answers(target, 10)?.len() == 2, "both serve");

    let silence = format!("blackhole {}/32 table 10", world::CLIENT);
    for round in ["refuses", "is silent"] {
        let silent = round == "is silent";
        if silent {
            world.servers()[0].namespace().ip(&format!("route add {silence}"))?;
        } else {
            world.servers_mut()[0].stop_nginx()?;
        }
        let noticed = eventually(PATIENCE, || {
            // Some of these are for the server that fails.
            for _ in 0..8 {
                let _ = client.tcp_briefly(target, Duration::from_millis(100));
            }
            Ok(health(&control, "tcp-nat-80")?[0]["state"] == "down")
        })?;
        ensure!(noticed, "{round}: {}", control.ask("show health")?);
        let server = health(&control, "tcp-nat-80")?[0].clone();
        let reason = server["last_failure"]["reason"].as_str().unwrap_or_default();
        ensure!(reason.contains("connections refused or unanswered within 10s"), "{round}: {reason}");
        if silent {
            world.servers()[0].namespace().ip(&format!("route del {silence}"))?;
        } else {
            world.servers_mut()[0].start_nginx()?;
        }
        becomes(&control, "tcp-nat-80", 0, "up", 0)?;
        let both =
            eventually(PATIENCE, || Ok(client.who_answers(target, 10).is_ok_and(|who| who.len() == 2)))?;
        ensure!(both, "{round}: the server gets nothing although it is up");
    }
    director.stop()?;
    Ok(())
}
