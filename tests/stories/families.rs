//! Servers of another family than their clients (NAT64 and NAT46), with kernels' TCP and real programs on both ends: the
//! servers' logs have the clients' own addresses. Path MTU, megabytes and datagrams of both are in `methods`.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use lb_stories::config::Service;
use lb_stories::server::BIG_SHA256;
use lb_stories::{Config, Method, world};

use crate::common::told::{self, HAPROXY, NGINX, Told, ask};

/// Whether clients are of IPv6. Servers are of the other family.
const BOTH: [bool; 2] = [true, false];

fn between(is_ipv6: bool, service: Service) -> Service {
    let service = if is_ipv6 { service.over_ipv6() } else { service };
    service.with_servers_of_other_family()
}

fn at(is_ipv6: bool, port: u16) -> SocketAddr {
    if is_ipv6 { Method::FullNat.at6(port).into() } else { Method::FullNat.at(port).into() }
}

/// A world whose servers answer nobody by the director's routes: all that they see is its local addresses.
fn told() -> Result<Told> {
    let told = Told::new(true)?;
    told.world.take_director_from_routes()?;
    Ok(told)
}

#[test]
fn logs_have_clients_of_the_other_family() -> Result<()> {
    let told = told()?;
    for version in ["proxy-v1", "proxy-v2"] {
        // Both directions of translation at once.
        let config = BOTH.into_iter().fold(Config::new(), |config, is_ipv6| {
            [NGINX, HAPROXY].into_iter().fold(config, |config, port| {
                config.service(between(is_ipv6, told::service(Method::FullNat, port, version)))
            })
        });
        let director = told.world.start(&config)?;
        for is_ipv6 in BOTH {
            for port in [NGINX, HAPROXY] {
                for _ in 0..4 {
                    let client = ask(&told, at(is_ipv6, port))?;
                    ensure!(client.is_ipv6() == is_ipv6);
                    told.ensure_logged(client).with_context(|| format!("{version}, port {port}"))?;
                }
            }
        }
        director.stop()?;
    }
    Ok(())
}

fn a_crowd(is_ipv6: bool) -> Result<()> {
    let service = between(is_ipv6, told::service(Method::FullNat, NGINX, "proxy-v2"));
    told()?.crowd(service, at(is_ipv6, NGINX))
}

#[test]
fn a_thousand_of_ipv6_at_servers_of_ipv4_and_a_big_answer() -> Result<()> {
    a_crowd(true)
}

#[test]
fn a_thousand_of_ipv4_at_servers_of_ipv6_and_a_big_answer() -> Result<()> {
    a_crowd(false)
}

/// Without any header in front, in both directions, up and down.
#[test]
fn a_web_service_as_it_is() -> Result<()> {
    let told = told()?;
    let config = BOTH.into_iter().fold(Config::new(), |config, is_ipv6| {
        config.service(between(is_ipv6, Service::tcp(Method::FullNat, world::HTTP)))
    });
    let director = told.world.start(&config)?;
    for is_ipv6 in BOTH {
        let target = at(is_ipv6, world::HTTP);
        let answers = told.world.client().who_answers(target, 40)?;
        for server in told.world.servers() {
            let count = answers.get(server.name()).copied().unwrap_or(0);
            ensure!((18..=22).contains(&count), "{answers:?}");
        }
        ensure!(told.world.client().upload(target, 1_000_000)? == 1_000_000);
        // By a router whose link carries less, in the client's family.
        ensure!(told.world.far_client().sha256_of(target, "/big")? == BIG_SHA256);
        let vip = target.ip();
        told.world.client().ping(vip)?;
    }
    director.stop()?;
    Ok(())
}
