//! Services that share a VIP and port, with kernels' TCP on both sides: each has its own clients, by their networks or by
//! where they arrive.

use anyhow::{Result, ensure};
use lb_stories::{Config, Method, World, control::Control, world};
use std::net::{Ipv4Addr, SocketAddrV4};

/// A service of one server, and which clients it has.
fn tenant(name: &str, method: Method, clients: &str, server: Ipv4Addr) -> String {
    let (vip, port) = (method.vip(), method.server_port(world::HTTP));
    let local = match method {
        Method::FullNat => format!("local_addresses = [\"{}\"]\n", world::LOCALS[0]),
        _ => String::new(),
    };
    format!(
        "[[services]]\nname = \"{name}\"\nvip = \"{vip}\"\nport = {}\nprotocol = \"tcp\"\nmethod = \"{}\"\n{clients}\n{local}\
         servers = [{{ address = \"{server}\", port = {port} }}]\n",
        world::HTTP,
        method.word(),
    )
}

fn config(world: &World, method: Method, clients: [&str; 2]) -> Config {
    let servers = world.server_addresses();
    let [near, far] = clients;
    Config::new()
        .section(tenant("near", method, near, servers[0]))
        .section(tenant("far", method, far, servers[1]))
}

#[test]
fn each_network_of_clients_has_its_own_server() -> Result<()> {
    let target = SocketAddrV4::new(world::VIP_NAT, world::HTTP);
    let world = World::new()?;
    let by_network = ["from = [\"192.0.2.0/24\"]", "from = [\"203.0.113.0/24\"]"];
    let director = world.start(&config(&world, Method::Nat, by_network))?;
    let control = Control::of(&director)?;
    let [near, far] = [0, 1].map(|at| world.servers()[at].name().to_owned());
    let answers = |far_too: bool| -> Result<Vec<String>> {
        let client = if far_too { world.far_client() } else { world.client() };
        Ok(client.who_answers(target, 10)?.into_keys().collect())
    };
    ensure!(answers(false)? == [near.clone()] && answers(true)? == [far.clone()]);

    let shown = control.ask("show services")?;
    ensure!(shown.contains("192.0.2.100:80 from 192.0.2.0/24 near"), "{shown}");
    let (_, refused) = control.refused(&format!("show services {target}"))?;
    ensure!(
        refused.contains("several services are at 192.0.2.100:80") && refused.contains("near, far"),
        "{refused}"
    );
    let explained = control.ask(&format!("explain tcp {}:5000 {target}", world::FAR_CLIENT))?;
    ensure!(explained.contains("far (tcp 192.0.2.100:80 from 203.0.113.0/24)"), "{explained}");
    let explained = control.ask(&format!("explain tcp 198.18.0.1:5000 {target}"))?;
    ensure!(explained.contains("for other clients: near (from 192.0.2.0/24), far (from"), "{explained}");

    // A longer prefix has the next connections; those that are open stay.
    let mut session = world.client().http(target)?;
    ensure!(session.get("/")?.server == near, "before");
    control.ask("set service far from 203.0.113.0/24,192.0.2.10/32")?;
    ensure!(answers(false)? == [far.clone()], "after");
    ensure!(session.get("/")?.server == near, "it stays");
    director.stop()?;
    Ok(())
}

#[test]
fn each_port_of_arrival_has_its_own_server() -> Result<()> {
    let target = SocketAddrV4::new(world::VIP_FULLNAT, world::HTTP);
    let world = World::new()?;
    let director = world.start(&config(&world, Method::FullNat, ["on = [\"wan\"]", "on = [\"lan\"]"]))?;
    let [near, far] = [0, 1].map(|at| world.servers()[at].name().to_owned());
    let answers: Vec<String> = world.client().who_answers(target, 10)?.into_keys().collect();
    ensure!(answers == [near], "{answers:?}");
    // What a server sends from its address on the lan arrives there.
    let server = &world.servers()[0];
    let url = format!("http://{target}/");
    let from = ["-sS", "--max-time", "10", "--interface", &server.lan().to_string(), &url].map(str::to_owned);
    let from: Vec<&str> = from.iter().map(String::as_str).collect();
    let answer = server.namespace().run("curl", &from)?;
    ensure!(answer.trim() == far, "{answer}");
    director.stop()?;
    Ok(())
}
