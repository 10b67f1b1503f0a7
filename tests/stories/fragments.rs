//! Fragments between kernels: datagrams of 8 kB and TCP without "don't fragment", in every method and family, over two
//! workers; and what the director fragments itself.
//!
//! On TAP ports, bridged to the director's interfaces: on packet sockets the kernel puts fragments of IPv4 together first,
//! and AF_XDP sockets on a veth have one queue.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lb_stories::client::{Client, exchange};
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::process::{PATIENCE, eventually};
use lb_stories::world::{self, World};
use lb_stories::{Config, Director, Method};

/// Sent up by TCP.
const UPLOAD: u64 = 1_000_000;

fn config(is_ipv6: bool) -> Config {
    Method::USUAL.into_iter().fold(Config::new(), |config, method| {
        let config =
            config.service(Service::tcp(method, world::HTTP)).service(Service::udp(method, world::ECHO));
        if is_ipv6 { config.service(Service::udp(method, world::ECHO).over_ipv6()) } else { config }
    })
}

/// The ports that the director's interfaces are bridged to.
fn bridge(world: &World) -> Result<()> {
    for port in ["wan", "lan"] {
        world.director().ip(&format!(
            "link add br{port} type bridge mcast_snooping 0\nlink set lb{port} master br{port}\nlink set br{port} up"
        ))?;
    }
    Ok(())
}

/// Starts a director with two workers, each with a queue of both ports. `change` is made to the configuration.
fn start(world: &World, config: &Config, change: impl Fn(String) -> String) -> Result<Director> {
    let mut text = config.render(&world.server_addresses());
    for (port, number) in [("wan", 0), ("lan", 1)] {
        let device = format!("net_af_packet{number},iface=lb{port},qpairs=2");
        text =
            text.replace(&device, &format!("net_tap{number},iface=tap{port},mac=02:00:00:00:08:0{number}"));
    }
    let director = world.start_how(2, &change(text), |_| ())?;
    // A bridge keeps frames to the Ethernet addresses of its own interfaces: the director's is to be none of them.
    world.director().ip("link set tapwan address 02:00:00:00:07:01 master brwan up\n\
         link set taplan address 02:00:00:00:07:02 master brlan up")?;
    Ok(director)
}

/// Datagrams of that many bytes come back as they went.
fn echoes(client: &Client, target: SocketAddr, sizes: &[usize]) -> Result<()> {
    for flow in 0..4 {
        let socket = client.udp(target)?;
        for (number, size) in sizes.iter().cycle().take(12).enumerate() {
            let said: Vec<u8> = (0..*size).map(|at| (at / 5 + number + flow) as u8).collect();
            exchange(&socket, &said)
                .with_context(|| format!("{target}: datagram {number} of flow {flow}, {size} bytes"))?;
        }
    }
    Ok(())
}

/// The sum of what `show workers` says behind a word.
fn counted(control: &Control, word: &str) -> Result<u64> {
    let text = control.ask("show workers")?;
    let words: Vec<&str> = text.split_whitespace().collect();
    Ok(words.windows(2).filter(|pair| pair[0] == word).filter_map(|pair| pair[1].parse::<u64>().ok()).sum())
}

/// What `show drops` says of fragments and of what is too large. Those whose first fragment has not come may have lost it
/// on the way here: see [`exchange`].
fn lost(control: &Control) -> Result<Vec<(u64, String)>> {
    let drops = control.ask("show drops")?;
    let lines = drops.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let count = words.next()?.parse().ok()?;
        words
            .nth(1)
            .filter(|why| why.contains("fragment") && *why != "fragment-alone" || *why == "too-big")
            .map(|why| (count, why.to_owned()))
    });
    Ok(lines.collect())
}

#[test]
fn fragments_pass_in_every_method_and_family_over_two_workers() -> Result<()> {
    let world = World::with_ipv6()?;
    bridge(&world)?;
    let director = start(&world, &config(true), |text| text)?;
    let control = Control::of(&director)?;
    // The client's kernel hears that the tunnel of IPv6 carries less, and sends smaller fragments from then on. The others of
    // the first that was too large are nobody's.
    let socket = world.client().udp(Method::Tun.at6(world::ECHO))?;
    socket.set_read_timeout(Some(Duration::from_millis(300)))?;
    let is_heard = || {
        // What is learnt of the path is told by an error once.
        let _ = socket.send(&[7; 8_000]);
        Ok(socket.recv(&mut vec![0; 65_536]).is_ok())
    };
    ensure!(eventually(PATIENCE, is_heard)?, "no datagram passes the tunnel of IPv6");
    let before = lost(&control)?;
    ensure!(before.iter().all(|(_, why)| why == "fragment-orphan"), "{before:?}");
    for method in Method::USUAL {
        for target in [method.at(world::ECHO).into(), method.at6(world::ECHO).into()] {
            echoes(world.client(), target, &[8_000, 3_000])?;
        }
    }

    // A router before the director carries less, and the client allows it to fragment.
    world.router().ip("route replace 192.0.2.0/24 dev wan mtu lock 900")?;
    world.far_client().namespace().sysctl("net/ipv4/ip_no_pmtu_disc", "1")?;
    for method in Method::USUAL {
        let target = method.at(world::HTTP);
        ensure!(world.far_client().upload(target, UPLOAD)? == UPLOAD, "{target}: the server has not got all");
    }
    assert_eq!(lost(&control)?, before);
    let by_keeper = counted(&control, "fragment-keeper")?;
    ensure!(by_keeper > 100, "{by_keeper}: both workers keep datagrams");
    let fragmented = counted(&control, "fragmented")?;
    ensure!(fragmented > 100, "{fragmented}: a tunnel of IPv4 has no room for the client's fragments");
    director.stop()?;
    Ok(())
}

#[test]
fn the_director_fragments_for_a_smaller_way_out() -> Result<()> {
    let world = World::new()?;
    bridge(&world)?;
    let client = world.client();
    client.namespace().sysctl("net/ipv4/ip_no_pmtu_disc", "1")?;
    for server in world.servers() {
        server.namespace().ip("link set lan mtu 600")?;
    }
    let narrow = |text: String| {
        let (wan, lan) = text.split_once("name = \"lan\"").expect("the second port");
        format!("{wan}name = \"lan\"{}", lan.replacen("mtu = 1500", "mtu = 600", 1))
    };
    let director = start(&world, &config(false), narrow)?;
    let control = Control::of(&director)?;
    for method in Method::USUAL {
        let before = counted(&control, "fragmented")?;
        echoes(client, method.at(world::ECHO).into(), &[1_400, 8_000, 100])?;
        let target = method.at(world::HTTP);
        ensure!(client.upload(target, UPLOAD)? == UPLOAD, "{target}: the server has not got all");
        let fragmented = counted(&control, "fragmented")? - before;
        ensure!(fragmented > 100, "{}: {fragmented}", method.word());
    }
    assert_eq!(lost(&control)?, []);
    director.stop()?;

    // The other way round: the servers' replies are larger than the way to the client.
    for server in world.servers() {
        // A locked MTU has their kernels allow fragmentation.
        server.namespace().ip(&format!(
            "link set lan mtu 1500\nroute replace default via {} table 10 mtu lock 1500\n\
             route replace 198.51.100.0/24 dev lan table 10 mtu lock 1500",
            world::DIRECTOR_LAN
        ))?;
    }
    client.namespace().ip("link set wan mtu 600")?;
    let director = start(&world, &config(false), |text| text.replacen("mtu = 1500", "mtu = 600", 1))?;
    let control = Control::of(&director)?;
    for method in [Method::Nat, Method::FullNat] {
        let before = counted(&control, "fragmented")?;
        echoes(client, method.at(world::ECHO).into(), &[1_400, 3_000])?;
        let fragmented = counted(&control, "fragmented")? - before;
        ensure!(fragmented > 40, "{}: {fragmented}", method.word());
    }
    assert_eq!(lost(&control)?, []);
    director.stop()?;
    Ok(())
}
