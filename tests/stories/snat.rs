//! SNAT: what servers send by themselves, their default gateway being the director, over two workers. Whom they ask is behind
//! the clients' router, by a narrow path.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lb_stories::client::{exchange, uninterrupted};
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::process::PATIENCE;
use lb_stories::server::{Server, TEN_MEGABYTES_SHA256};
use lb_stories::{Config, Method, World, world};

/// What packets of servers leave with.
const OUTBOUND: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 50);
const OUTBOUND6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x50);
const RULE: &str = "[[snat]]\nname = \"outbound\"\nsources = [\"198.51.100.0/24\", \"2001:db8:2::/64\"]\n\
                    addresses = [\"192.0.2.50\", \"2001:db8:1::50\"]\ninterface = \"wan\"\n";
/// Long enough for an answer.
const SOON: Duration = Duration::from_secs(2);
/// A port that nobody outside listens on.
const CLOSED: u16 = 4433;

fn http() -> Config {
    let service = Service::tcp(Method::Nat, world::HTTP);
    Config::new().service(service.clone()).service(service.over_ipv6())
}

/// A server's address, and that of whom it asks.
fn ends(server: &Server, is_ipv6: bool) -> (IpAddr, IpAddr) {
    match is_ipv6 {
        false => (server.lan().into(), world::FAR_CLIENT.into()),
        true => (world::server6_of(server.lan()).into(), world::FAR_CLIENT6.into()),
    }
}

/// A socket of a server's that asks somebody outside.
fn socket(server: &Server, is_ipv6: bool, port: u16) -> Result<UdpSocket> {
    let (own, outside) = ends(server, is_ipv6);
    let socket = server.namespace().within(|| UdpSocket::bind((own, 0)))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(SocketAddr::new(outside, port))?;
    Ok(socket)
}

/// A question and its answer.
fn ask(socket: &UdpSocket, question: &str) -> Result<()> {
    let answer = String::from_utf8(exchange(socket, question.as_bytes())?)?;
    ensure!(answer == format!("outside {question}"), "{answer}");
    Ok(())
}

/// A question that nobody answers.
fn asks_in_vain(socket: &UdpSocket) -> Result<()> {
    socket.set_read_timeout(Some(SOON))?;
    socket.send(b"anybody there?")?;
    let silence = uninterrupted(|| socket.recv(&mut [0; 64])).err().context("nobody is to answer")?;
    ensure!(silence.kind() == ErrorKind::WouldBlock, "{silence}");
    Ok(())
}

/// What a server makes of a command of curl's.
fn curl(server: &Server, is_ipv6: bool, what: &str) -> Result<String> {
    let (own, outside) = ends(server, is_ipv6);
    let outside = SocketAddr::new(outside, world::HTTP);
    let script = format!(
        "set -o pipefail; curl -sS --fail --noproxy '*' --connect-timeout 20 --max-time 90 --interface {own} {}",
        what.replace("OUTSIDE", &format!("http://{outside}"))
    );
    server.namespace().run("bash", &["-c", &script])
}

/// What ping says on a server, successful or not.
fn ping(server: &Server, is_ipv6: bool, how: &str) -> Result<String> {
    let (own, outside) = ends(server, is_ipv6);
    let script = format!("ping -n -i 0.2 -W 5 -w 15 -I {own} {how} {outside} || true");
    server.namespace().run("bash", &["-c", &script])
}

/// How many packets were dropped for that reason.
fn dropped(control: &Control, reason: &str) -> Result<u64> {
    let told = control.ask("show drops")?;
    let line = told.lines().find(|line| line.split_whitespace().any(|word| word == reason));
    Ok(line.and_then(|line| line.split_whitespace().find_map(|word| word.parse().ok())).unwrap_or(0))
}

/// Off unless there is a rule, and then the drop says so. Rules come and go while the director runs.
#[test]
fn it_is_off_unless_a_rule_says_otherwise() -> Result<()> {
    let world = World::with_ipv6()?;
    let outside = world.outside()?;
    let config = http();
    let without = config.render(&world.server_addresses());
    let director = world.start_with(&config, &without)?;
    let control = Control::of(&director)?;
    let server = &world.servers()[0];
    for is_ipv6 in [false, true] {
        let before = dropped(&control, "no-snat")?;
        asks_in_vain(&socket(server, is_ipv6, world::ECHO)?).context("nothing is to pass")?;
        ensure!(dropped(&control, "no-snat")? > before, "{}", control.ask("show drops")?);
        let before = dropped(&control, "no-snat")?;
        let told = ping(server, is_ipv6, "-c 1 -w 2")?;
        ensure!(told.contains("0 received"), "{told}");
        ensure!(dropped(&control, "no-snat")? > before, "{}", control.ask("show drops")?);
    }
    let told = control.ask("show drops")?;
    ensure!(told.contains("[[snat]]"), "{told}");

    director.reload(&format!("{without}{RULE}"))?;
    for is_ipv6 in [false, true] {
        ask(&socket(server, is_ipv6, world::ECHO)?, "and now?")?;
        let told = ping(server, is_ipv6, "-c 3")?;
        ensure!(told.contains("3 received"), "{told}");
    }
    let kept = socket(server, false, world::ECHO)?;
    ask(&kept, "still there?")?;
    director.reload(&without)?;
    asks_in_vain(&kept).context("connections of a rule end with it")?;
    ensure!(world.client().who_answers(Method::Nat.at(world::HTTP), 10)?.len() == 2, "services go on");
    director.stop()?;
    drop(outside);
    Ok(())
}

/// Questions, downloads and uploads of both families and servers. The path is narrower than the servers' links, so that
/// routers' reports have to come back to them.
#[test]
fn questions_downloads_and_uploads() -> Result<()> {
    let world = World::with_ipv6()?;
    let _outside = world.outside()?;
    let config = http().section(RULE);
    let director = world.start(&config)?;
    let control = Control::of(&director)?;
    for server in world.servers() {
        for is_ipv6 in [false, true] {
            let told = || format!("{} {is_ipv6}", server.name());
            for number in 0..16 {
                let socket = socket(server, is_ipv6, world::ECHO)?;
                ask(&socket, &format!("question {number}")).with_context(told)?;
            }
            let from = curl(server, is_ipv6, "OUTSIDE/from").with_context(told)?;
            let own: IpAddr = if is_ipv6 { OUTBOUND6.into() } else { OUTBOUND.into() };
            ensure!(from.starts_with(&format!("{own} ")), "{from}");
            let sum =
                curl(server, is_ipv6, "--range 0-9999999 OUTSIDE/big | sha256sum").with_context(told)?;
            ensure!(sum.starts_with(TEN_MEGABYTES_SHA256), "{}: {sum}", told());
            let upload =
                "-H 'Content-Type: application/octet-stream' -H 'Expect:' --data-binary @- OUTSIDE/upload";
            let script = format!("{upload} < <(head -c 1000000 /dev/zero)");
            let uploaded = curl(server, is_ipv6, &script).with_context(told)?;
            ensure!(uploaded.trim() == "1000000", "{}: {uploaded}", told());
            // Nobody listens there, and who asked hears of it.
            let socket = socket(server, is_ipv6, CLOSED)?;
            socket.send(b"anybody there?")?;
            let refusal = uninterrupted(|| socket.recv(&mut [0; 64])).expect_err("nobody listens there");
            ensure!(refusal.kind() == ErrorKind::ConnectionRefused, "{}: {refusal}", told());
        }
    }
    let connections = control.ask("show connections method snat")?;
    for address in [OUTBOUND.to_string(), OUTBOUND6.to_string()] {
        ensure!(connections.contains(&address), "{connections}");
        ensure!(control.ask("show local-addresses")?.contains(&address));
    }
    let rules = control.ask("show snat")?;
    for part in
        [&*OUTBOUND.to_string(), &OUTBOUND6.to_string(), "outbound: from ", " opened", "towards each address"]
    {
        ensure!(rules.contains(part), "{part}: {rules}");
    }
    ensure!(!rules.contains(" 0 opened") && !rules.contains("sent 0 packets"), "{rules}");
    let server = world.servers()[0].lan();
    let told = control.ask(&format!("explain tcp {server}:40000 {}:80 --in lan", world::FAR_CLIENT))?;
    ensure!(told.contains("outbound ([[snat]])"), "{told}");
    // Clients are served beside it.
    ensure!(world.client().who_answers(Method::Nat.at(world::HTTP), 20)?.len() == 2);
    let status = director.status()?;
    for worker in &status.workers {
        ensure!(worker.received > 500, "{}", status.text);
    }
    director.stop()?;
    Ok(())
}

/// Pings of both families and servers, at the same time and with the same identifier; and one that the path is too narrow
/// for, which the router's report says to whoever sends it.
#[test]
fn pings() -> Result<()> {
    let world = World::with_ipv6()?;
    let config = http().section(RULE);
    let director = world.start(&config)?;
    let control = Control::of(&director)?;
    std::thread::scope(|scope| {
        let each = world.servers().iter().flat_map(|server| [(server, false), (server, true)]);
        let pings: Vec<_> =
            each.map(|(server, is_ipv6)| scope.spawn(move || ping(server, is_ipv6, "-c 5 -e 77"))).collect();
        pings.into_iter().try_for_each(|ping| {
            let told = ping.join().expect("a ping panicked")?;
            // The first wait until neighbours are known, and more than five may be sent meanwhile.
            ensure!(told.contains(" 0% packet loss"), "{told}");
            Ok(())
        })
    })?;
    let connections = control.ask("show connections method snat")?;
    ensure!(connections.contains("ECHO") && connections.contains(&OUTBOUND.to_string()), "{connections}");
    let mtu = world::FAR_MTU.to_string();
    for is_ipv6 in [false, true] {
        let server = &world.servers()[0];
        let told = ping(server, is_ipv6, "-c 2 -M do -s 1400")?;
        ensure!(told.contains(&mtu), "{told}");
        let told = ping(server, is_ipv6, "-c 1 -t 2")?;
        ensure!(told.contains("exceeded"), "{told}");
    }
    director.stop()?;
    Ok(())
}

/// More connections at once than ports would do for one after the other, and they go on in the next run.
#[test]
fn many_at_once_and_into_the_next_run() -> Result<()> {
    let world = World::with_ipv6()?;
    let _outside = world.outside()?;
    let config = http().section(RULE).state_file(&world.directory().join("state"));
    let director = world.start(&config)?;
    let mut sockets = Vec::new();
    for number in 0..200 {
        let server = &world.servers()[number % 2];
        let socket = socket(server, number % 3 == 0, world::ECHO)?;
        ask(&socket, "first")?;
        sockets.push(socket);
    }
    for socket in &sockets {
        ask(socket, "second")?;
    }
    director.stop()?;
    let director = world.start(&config)?;
    let said = director.output()?;
    ensure!(said.contains("restored 200 of 200 connections from "), "{said}");
    for socket in &sockets {
        ask(socket, "third")?;
    }
    let shown = Control::of(&director)?.ask("show connections method snat limit 300")?;
    ensure!(shown.contains("200 shown"), "{shown}");
    director.stop()?;
    Ok(())
}
