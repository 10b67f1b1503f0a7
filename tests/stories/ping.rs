//! The director answers pings, on its own addresses and on every VIP.

use anyhow::Result;
use lb_stories::{Config, World, world};

#[test]
fn everybody_is_there() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&Config::http())?;
    for address in [world::DIRECTOR_WAN, world::VIP_NAT, world::VIP_TUN, world::VIP_DR] {
        world.client().ping(address)?;
    }
    world.far_client().ping(world::VIP_NAT)?;
    // Servers check their gateway.
    for server in world.servers() {
        let gateway = world::DIRECTOR_LAN.to_string();
        let from = server.lan().to_string();
        server.namespace().run("ping", &["-n", "-c", "1", "-w", "5", "-I", &from, &gateway])?;
    }
    // Somebody presses Ctrl-C: as good an end as any.
    director.interrupt()?;
    Ok(())
}
