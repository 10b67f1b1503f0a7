//! IPv6 through every method, beside IPv4: clients and servers with the kernel's own TCP, and what is shown of them.

use anyhow::{Result, ensure};
use lb_stories::client::exchange;
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::server::{BIG, BIG_SHA256};
use lb_stories::{Config, Method, World, world};

/// Datagrams that each service is sent, each from a port of its own.
const DATAGRAMS: usize = 20;

/// All methods in both families.
fn both() -> Config {
    let services = |config: Config, method| {
        let config =
            config.service(Service::tcp(method, world::HTTP)).service(Service::udp(method, world::ECHO));
        config
            .service(Service::tcp(method, world::HTTP).over_ipv6())
            .service(Service::udp(method, world::ECHO).over_ipv6())
    };
    Method::ALL.into_iter().fold(Config::new(), services)
}

#[test]
fn both_families_pass_beside_each_other_through_every_method() -> Result<()> {
    let world = World::with_ipv6()?;
    let director = world.start(&both())?;
    for method in Method::ALL {
        let service = method.at6(world::HTTP);
        let answers = world.client().who_answers(service, 40)?;
        for server in world.servers() {
            let count = answers.get(server.name()).copied().unwrap_or(0);
            ensure!((18..=22).contains(&count), "{}: {answers:?}", method.word());
        }
        ensure!(world.client().who_answers(method.at(world::HTTP), 10)?.len() == 2, "{}", method.word());
        echo(&world, method)?;
        world.client().ping(*service.ip())?;
    }
    let control = Control::of(&director)?;
    let shown = control.ask("show connections")?;
    ensure!(shown.contains("[2001:db8:1::100]:80") || shown.contains("2001:db8:1::100"), "{shown}");
    let told = control.ask("explain tcp [2001:db8:1::10]:999 [2001:db8:1::100]:80")?;
    ensure!(told.contains("[2001:db8:2::1") && told.contains("sent on"), "{told}");
    director.stop()?;
    Ok(())
}

#[test]
fn a_hundred_megabytes_arrive_through_every_method() -> Result<()> {
    let world = World::with_ipv6()?;
    let director = world.start(&both())?;
    for method in Method::ALL {
        let service = method.at6(world::HTTP);
        ensure!(world.client().sha256_of(service, "/big")? == BIG_SHA256, "{}", method.word());
    }
    let received: u64 = director.status()?.workers.iter().map(|worker| worker.received).sum();
    ensure!(received > BIG / 1_428, "under NAT all of it passes the director: {received}");
    director.stop()?;
    Ok(())
}

/// Every flow has an answer, from both servers.
fn echo(world: &World, method: Method) -> Result<()> {
    let mut names = std::collections::BTreeSet::new();
    // Open to the end: a closed socket's port may be the next one's.
    let mut sockets = Vec::new();
    for flow in 0..DATAGRAMS {
        let socket = world.client().udp(method.at6(world::ECHO))?;
        let sent = format!("flow {flow}");
        let answer = exchange(&socket, sent.as_bytes())?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        names.insert(answer.split(' ').next().unwrap_or_default().to_owned());
        sockets.push(socket);
    }
    ensure!(names.len() == 2, "{}: {names:?}", method.word());
    Ok(())
}
