//! Servers that are told of their clients by the PROXY protocol: nginx and HAProxy expect it, and their logs have the
//! clients' own addresses, although all they see is the director's.

use std::net::TcpListener;

use anyhow::{Result, ensure};
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::process::PATIENCE;
use lb_stories::server::BIG_SHA256;
use lb_stories::{Config, Method};

use crate::common::told::{HAPROXY, NGINX, Told, ask, service};

#[test]
fn logs_have_the_clients_addresses() -> Result<()> {
    let told = Told::new(false)?;
    for (method, version) in [
        (Method::FullNat, "proxy-v1"),
        (Method::FullNat, "proxy-v2"),
        (Method::Nat, "proxy-v1"),
        (Method::Nat, "proxy-v2"),
    ] {
        let config =
            Config::new().service(service(method, NGINX, version)).service(service(method, HAPROXY, version));
        let director = told.world.start(&config)?;
        for port in [NGINX, HAPROXY] {
            for _ in 0..4 {
                told.ensure_logged(ask(&told, method.at(port))?)?;
            }
        }
        director.stop()?;
    }
    Ok(())
}

#[test]
fn logs_have_the_clients_addresses_of_ipv6() -> Result<()> {
    let told = Told::new(true)?;
    let config = Config::new().service(service(Method::FullNat, NGINX, "proxy-v2").over_ipv6());
    let director = told.world.start(&config)?;
    let target = Method::FullNat.at6(NGINX);
    for _ in 0..4 {
        let client = ask(&told, target)?;
        ensure!(client.is_ipv6());
        told.ensure_logged(client)?;
    }
    ensure!(told.world.client().sha256_of(target, "/big")? == BIG_SHA256);
    director.stop()?;
    Ok(())
}

#[test]
fn a_thousand_connections_and_a_big_answer() -> Result<()> {
    let service = service(Method::FullNat, NGINX, "proxy-v2");
    Told::new(false)?.crowd(service, Method::FullNat.at(NGINX))
}

/// A change at run time is for connections that begin then. A client that begins with a header of its own has sent data.
#[test]
fn it_changes_while_the_director_runs() -> Result<()> {
    let told = Told::new(false)?;
    let server = &told.world.servers()[0];
    let listener = server.namespace().within(|| TcpListener::bind((server.lan(), 9_000)))?;
    let config = Config::new().service(Service::tcp(Method::FullNat, 9_000).servers(1));
    let director = told.world.start(&config)?;
    let control = Control::of(&director)?;
    let target = Method::FullNat.at(9_000);
    let heard = |count: usize| -> Result<Vec<u8>> {
        let client = told.world.client().tcp(target)?;
        std::io::Write::write_all(&mut &client, b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\nhello")?;
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut bytes = vec![0; count];
        std::io::Read::read_exact(&mut stream, &mut bytes)?;
        Ok(bytes)
    };
    let own = b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\nhello";
    ensure!(heard(own.len())? == own);
    control.ask("set service tcp-fullnat-9000 client-address proxy-v2")?;
    let both = heard(28 + own.len())?;
    ensure!(both.starts_with(b"\r\n\r\n\0\r\nQUIT\n\x21\x11") && both.ends_with(own), "{both:?}");
    director.stop()?;
    Ok(())
}
