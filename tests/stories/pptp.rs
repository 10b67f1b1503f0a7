//! PPTP between pptp and pptpd over two workers: packets of calls go between a client and the server of its control
//! connection, whatever numbers they give their calls.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::pptp::{PPTP, Pptpd, Tunnel};
use lb_stories::process::{PATIENCE, eventually};
use lb_stories::server::Server;
use lb_stories::{Config, Method, World};

/// Where the director's metrics are.
const METRICS: &str = "127.0.0.1:9145";
const METHODS: [Method; 4] = [Method::Nat, Method::FullNat, Method::Tun, Method::Dr];

#[test]
fn calls_of_two_clients_to_two_servers() -> Result<()> {
    let world = World::new()?;
    let config = Config::new().section(format!("[metrics]\nlisten = \"{METRICS}\"\n"));
    let config = METHODS
        .into_iter()
        .fold(config, |config, method| config.service(Service::tcp(method, PPTP).line(r#"module = "pptp""#)));
    let start = |server: &Server| Pptpd::start(server, &world.directory().join(server.name()).join("pptp"));
    let servers = world.servers().iter().map(start).collect::<Result<Vec<_>>>()?;
    let names: Vec<&str> = world.servers().iter().map(Server::name).collect();
    let director = world.start(&config)?;
    let control = Control::of(&director)?;

    let mut tunnels = Vec::new();
    for method in METHODS {
        for (number, client) in [world.client(), world.far_client()].into_iter().enumerate() {
            let name = format!("{}-{number}", method.word());
            let log = world.directory().join(format!("pptp-{name}.log"));
            tunnels.push((name, method, Tunnel::call(client.namespace(), method.vip(), log)?));
        }
    }
    let mut used = BTreeSet::new();
    let mut by_tunnel = Vec::new();
    for (name, method, tunnel) in &mut tunnels {
        let text = format!("said by {name}");
        let server = tunnel.server_that_gives_back(&text, &names).with_context(|| {
            format!("{}\n{}", method.word(), control.ask("show connections").unwrap_or_default())
        })?;
        used.insert(server.clone());
        by_tunnel.push(server);
    }
    ensure!(used.len() > 1, "{used:?}");
    // Again, while all are there: none hears of another's.
    for ((name, _, tunnel), server) in tunnels.iter_mut().zip(&by_tunnel) {
        let text = format!("again by {name}");
        ensure!(tunnel.server_that_gives_back(&text, &names)? == *server, "{text}");
        for other in
            ["nat", "fullnat", "tun", "dr"].iter().flat_map(|word| [0, 1].map(|at| format!("by {word}-{at}")))
        {
            ensure!(
                text.ends_with(&other) || !tunnel.has_heard(&other),
                "{name} hears what was said {other}"
            );
        }
    }

    let url = format!("http://{METRICS}/metrics");
    let metrics = world.director().run("curl", &["-sS", "--noproxy", "*", "--max-time", "10", &url])?;
    let sum = |name: &str| -> u64 {
        let of = metrics.lines().filter(|line| line.starts_with(name) && line[name.len()..].starts_with('{'));
        of.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    };
    // Where nothing can be replaced, each call is expected.
    ensure!(sum("lb_worker_came_connections_total") == 4, "{metrics}");
    ensure!(sum("lb_worker_unexpected_connections_total") == 0, "{metrics}");

    for (_, _, tunnel) in tunnels {
        tunnel.hang_up()?;
    }
    // Calls end with their control connections.
    let is_over = || {
        let shown = control.ask("show connections")?;
        Ok(!shown
            .lines()
            .any(|line| line.contains("ESTABLISHED") && (line.contains("nat") || line.contains("fullnat"))))
    };
    ensure!(eventually(PATIENCE, is_over)?, "{}", control.ask("show connections")?);
    director.stop()?;
    drop(servers);
    Ok(())
}
