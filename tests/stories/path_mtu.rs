//! Uploads in full-size segments. In TUN they do not fit with the outer header: the sender is told, and adapts.

use anyhow::Result;
use lb_stories::{Config, Method, World, world};

/// Bytes sent by the client.
const UPLOAD: u64 = 1_000_000;

#[test]
fn through_nat() -> Result<()> {
    upload(Method::Nat)
}

#[test]
fn through_tun() -> Result<()> {
    upload(Method::Tun)
}

#[test]
fn through_dr() -> Result<()> {
    upload(Method::Dr)
}

fn upload(method: Method) -> Result<()> {
    let world = World::new()?;
    let director = world.start(&Config::http())?;
    let client = world.client();
    assert_eq!(client.upload(method.at(world::HTTP), UPLOAD)?, UPLOAD);

    // What the client's kernel has learned about the path.
    let route = client.namespace().run("ip", &["route", "get", &method.vip().to_string()])?;
    match method {
        Method::Tun => assert!(route.contains(" mtu 1480"), "{route}"),
        Method::Nat | Method::Dr => assert!(!route.contains(" mtu "), "{route}"),
    }
    director.stop()?;
    Ok(())
}
