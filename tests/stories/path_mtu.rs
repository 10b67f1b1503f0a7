//! Paths that take less than a full-size packet, and senders that need to hear of it.
//!
//! Upwards the tunnel is the narrow place: a full-size segment does not fit with the outer header. Downwards it is the
//! far client's link: its router sends "fragmentation needed" to the VIP, and the director must pass it on to the one
//! server that the embedded packet came from.

use anyhow::Result;
use lb_stories::server::BIG_SHA256;
use lb_stories::{Config, Method, World, world};

/// Bytes sent by the client.
const UPLOAD: u64 = 1_000_000;

#[test]
fn up_through_nat() -> Result<()> {
    upload(Method::Nat)
}

#[test]
fn up_through_tun() -> Result<()> {
    upload(Method::Tun)
}

#[test]
fn up_through_dr() -> Result<()> {
    upload(Method::Dr)
}

#[test]
fn down_through_nat() -> Result<()> {
    download(Method::Nat)
}

#[test]
fn down_through_tun() -> Result<()> {
    download(Method::Tun)
}

#[test]
fn down_through_dr() -> Result<()> {
    download(Method::Dr)
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
        Method::Nat | Method::FullNat | Method::Dr | Method::L3Dsr => {
            assert!(!route.contains(" mtu "), "{route}");
        }
    }
    director.stop()?;
    Ok(())
}

fn download(method: Method) -> Result<()> {
    let world = World::new()?;
    let director = world.start(&Config::http())?;
    assert_eq!(world.far_client().sha256_of(method.at(world::HTTP), "/big")?, BIG_SHA256);

    // One of the servers had the connection, and its kernel has learned.
    let narrow = format!(" mtu {}", world::FAR_MTU);
    let mut learned = 0;
    for server in world.servers() {
        let from = if method == Method::Nat { server.lan() } else { method.vip() };
        let (to, from) = (world::FAR_CLIENT.to_string(), from.to_string());
        let route = server.namespace().run("ip", &["route", "get", &to, "from", &from])?;
        learned += usize::from(route.contains(&narrow));
    }
    assert_eq!(learned, 1);
    director.stop()?;
    Ok(())
}
