//! Ports of a VIP without a service: a clear no, or silence where that is configured.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Result;
use lb_stories::client::exchange;
use lb_stories::{Config, Method, World, world};

/// A port without a service.
const UNSERVED: u16 = 81;

#[test]
fn a_clear_no() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&Config::http())?;
    for method in Method::ALL {
        // TCP: a reset.
        let refusal = world.client().tcp(method.at(UNSERVED)).expect_err("there is no service");
        assert_eq!(refusal.kind(), ErrorKind::ConnectionRefused, "{refusal}");

        // UDP: port unreachable. Port 80 is served for TCP only.
        for port in [UNSERVED, world::HTTP] {
            let socket = world.client().udp(method.at(port))?;
            let refusal = exchange(&socket, b"anybody there?").expect_err("there is no service");
            assert_eq!(refusal.kind(), ErrorKind::ConnectionRefused, "{refusal}");
        }
        // The service next to it is not harmed.
        assert!(world.client().fetch(method.at(world::HTTP), "/")?.starts_with("server"));
    }
    director.stop()?;
    Ok(())
}

#[test]
fn silence() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&Config::http().drop_unserved(world::VIP_NAT))?;

    let limit = Duration::from_millis(700);
    let silence =
        world.client().tcp_briefly(Method::Nat.at(UNSERVED), limit).expect_err("there is no service");
    assert_eq!(silence.kind(), ErrorKind::TimedOut, "{silence}");
    // It was not the whole address that fell silent, and not the other addresses.
    assert!(world.client().fetch(Method::Nat.at(world::HTTP), "/")?.starts_with("server"));
    let refusal = world.client().tcp(Method::Dr.at(UNSERVED)).expect_err("there is no service");
    assert_eq!(refusal.kind(), ErrorKind::ConnectionRefused, "{refusal}");

    director.stop()?;
    Ok(())
}
