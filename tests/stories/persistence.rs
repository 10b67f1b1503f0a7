//! Clients that stay with their servers, with kernels' TCP on both sides and two workers: HTTP on two ports of one service.

use anyhow::{Result, ensure};
use lb_stories::{
    Config, Method, World,
    config::Service,
    control::Control,
    process::{PATIENCE, eventually},
    world,
};
use std::net::SocketAddrV4;

const HTTP: SocketAddrV4 = SocketAddrV4::new(world::VIP_NAT, 80);
const OTHER: SocketAddrV4 = SocketAddrV4::new(world::VIP_NAT, 443);

/// Both ports go to the one on which servers have HTTP.
fn persistent(timeout: &str) -> Config {
    let service = Service::tcp(Method::Nat, world::HTTP)
        .ports("[80, 443]")
        .line(format!("persistence = {{ timeout = \"{timeout}\" }}"));
    Config::new().service(service)
}

/// The one server that answers a client, on both ports.
fn only_server(world: &World, times: u32) -> Result<String> {
    let mut answers = world.client().who_answers(HTTP, times)?;
    answers.extend(world.client().who_answers(OTHER, times)?);
    ensure!(answers.len() == 1, "one server answers: {answers:?}");
    Ok(answers.into_keys().next().unwrap_or_default())
}

#[test]
fn a_client_has_one_server_on_both_ports_and_both_workers() -> Result<()> {
    let world = World::new()?;
    let config = persistent("5m").state_file(&world.directory().join("state"));
    let director = world.start(&config)?;
    let control = Control::of(&director)?;
    let server = only_server(&world, 20)?;
    let shown = control.ask("show persistence")?;
    ensure!(shown.contains(&world::CLIENT.to_string()) && shown.contains("1 of 1 clients"), "{shown}");
    let explained = control.ask(&format!("explain tcp {}:5000 {HTTP}", world::CLIENT))?;
    ensure!(explained.contains("stays with its server"), "{explained}");

    // The next run remembers it.
    director.stop()?;
    let director = world.start(&config)?;
    let control = Control::of(&director)?;
    ensure!(only_server(&world, 10)? == server, "after the restart");

    // The other server, when it may not be stayed with any more.
    let own = world.servers().iter().position(|one| one.name() == server).unwrap_or_default();
    let address = format!("198.51.100.{}", 11 + own);
    control.ask(&format!("set server tcp-nat-80 {address} state drain"))?;
    ensure!(only_server(&world, 5)? == server, "a drained server keeps its clients");
    control.ask("set service tcp-nat-80 persistence-expire-quiescent true")?;
    ensure!(only_server(&world, 5)? != server, "unless it is said that it does not");

    control.ask(&format!("delete persistence {}", world::CLIENT))?;
    ensure!(control.ask("show persistence")?.contains("0 of 0 clients"));
    director.stop()?;
    Ok(())
}

#[test]
fn a_client_is_forgotten_after_its_time() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&persistent("2s"))?;
    let control = Control::of(&director)?;
    only_server(&world, 4)?;
    // Connections that have ended are remembered for a while, and their client with them.
    control.ask("flush connections all")?;
    let gone = eventually(PATIENCE, || Ok(control.ask("show persistence")?.contains("0 of 0 clients")))?;
    ensure!(gone, "{}", control.ask("show persistence")?);
    director.stop()?;
    Ok(())
}
