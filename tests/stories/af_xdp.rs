//! The same director on AF_XDP sockets: interfaces stay the kernel's, and packets come without passing its stack.

use std::fs;
use std::path::Path;

use anyhow::Result;
use lb_stories::client::exchange;
use lb_stories::config::Service;
use lb_stories::director::check;
use lb_stories::server::BIG_SHA256;
use lb_stories::{Config, Method, World, world};

#[test]
fn every_method_forwards_on_af_xdp_ports() -> Result<()> {
    let world = World::new()?;
    let config = Config::http().on_af_xdp().service(Service::udp(Method::Nat, world::ECHO));
    let director = world.start(&config)?;
    assert!(director.output()?.contains("driver        net_af_xdp"));
    let link = world.director().run("ip", &["-details", "link", "show", "dev", "lbwan"])?;
    assert!(link.contains("xdp"), "the driver's program is on the interface: {link}");

    world.client().ping(world::DIRECTOR_WAN)?;
    for method in Method::ALL {
        let service = method.at(world::HTTP);
        let answers = world.client().who_answers(service, 20)?;
        for server in world.servers() {
            assert_eq!(answers.get(server.name()), Some(&10), "{}: {answers:?}", method.word());
        }
        assert_eq!(world.client().sha256_of(service, "/big")?, BIG_SHA256, "{}", method.word());
    }
    let echo = world.client().udp(Method::Nat.at(world::ECHO))?;
    exchange(&echo, b"over AF_XDP")?;

    // It ends with exact accounts. What it leaves on the interface passes everything to the kernel, and is no obstacle
    // to the next start.
    director.stop()?;
    let director = world.start(&config)?;
    world.client().who_answers(Method::Nat.at(world::HTTP), 4)?;
    director.stop()?;
    Ok(())
}

#[test]
fn the_example_is_sound() -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/af-xdp.toml");
    let output = check(&file)?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("queue_count=2"), "{printed}");
    assert!(fs::read_to_string(&file)?.contains("ethtool -L"), "the example says what the interface needs");
    Ok(())
}
