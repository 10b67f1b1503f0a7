//! Servers that are told of their clients by the PROXY protocol: nginx and HAProxy expect it, and their logs have the
//! clients' own addresses.

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use lb_stories::config::Service;
use lb_stories::load::Load;
use lb_stories::process::{Background, PATIENCE, eventually};
use lb_stories::server::{BIG_SHA256, Server};
use lb_stories::{Config, Method, World};

/// Where nginx expects a header. The director's services are on the same port.
pub(crate) const NGINX: u16 = 8081;
/// Where HAProxy does. It passes on what clients say, with a header of its own.
pub(crate) const HAPROXY: u16 = 8082;

/// A world whose servers expect headers, and do not answer clients by the director's routes.
pub(crate) struct Told {
    // What runs in namespaces ends before they do.
    _servers: Vec<Background>,
    logs: Vec<PathBuf>,
    pub(crate) world: World,
}

impl Told {
    pub(crate) fn new(is_ipv6: bool) -> Result<Self> {
        let world = if is_ipv6 { World::with_ipv6()? } else { World::new()? };
        let (mut servers, mut logs) = (Vec::new(), Vec::new());
        for server in world.servers() {
            let directory = world.directory().join(format!("{}-told", server.name()));
            fs::create_dir_all(&directory)?;
            let big = fs::read_to_string(world.directory().join(server.name()).join("nginx.conf"))?;
            let big =
                big.split("alias ").nth(1).and_then(|rest| rest.split(';').next()).context("no big file")?;
            servers.push(nginx(server, &directory, big, is_ipv6)?);
            servers.push(haproxy(server, &directory, is_ipv6)?);
            logs.push(directory.join("clients.log"));
        }
        Ok(Self { _servers: servers, logs, world })
    }

    /// The addresses, with ports, that the servers' logs have of clients.
    pub(crate) fn logged(&self) -> Result<HashSet<SocketAddr>> {
        let mut logged = HashSet::new();
        for log in &self.logs {
            for line in fs::read_to_string(log)?.lines() {
                let (address, port) = line.split_once(' ').context("a line of the log")?;
                let address: IpAddr = address.parse()?;
                logged.insert(SocketAddr::new(address, port.parse()?));
            }
        }
        Ok(logged)
    }

    /// Waits until the logs have a client's endpoint.
    pub(crate) fn ensure_logged(&self, client: SocketAddr) -> Result<()> {
        let is_there = eventually(PATIENCE, || Ok(self.logged()?.contains(&client)))?;
        ensure!(is_there, "{client} is not among {:?}", self.logged()?);
        Ok(())
    }

    /// A thousand at once over two workers, then 100 MB, and what has begun goes on in the next run, with the numbers of this
    /// one.
    pub(crate) fn crowd(&self, service: Service, target: impl Into<SocketAddr>) -> Result<()> {
        let (client, target) = (self.world.client(), target.into());
        let config = Config::new().service(service).state_file(&self.world.directory().join("state"));
        let director = self.world.start(&config)?;
        let crowd = Load { connections: 1_000, requests: 3 };
        let report = crowd.run(client, target)?;
        ensure!(report.failures.is_empty(), "{:?}", &report.failures[..report.failures.len().min(5)]);
        ensure!(report.answers == 3_000, "{report}");
        for server in self.world.servers() {
            let count = report.connections.get(server.name()).copied().unwrap_or(0);
            ensure!((450..=550).contains(&count), "{report}");
        }
        let status = director.status()?;
        ensure!(status.workers.len() == 2, "{}", status.text);
        for worker in &status.workers {
            ensure!(worker.received > 1_000, "{}", status.text);
        }
        ensure!(client.sha256_of(target, "/big")? == BIG_SHA256);
        // It is logged when it is over.
        let are_logged = eventually(PATIENCE, || Ok(self.logged()?.len() > 1_000))?;
        let logged = self.logged()?;
        ensure!(are_logged, "every connection is another client: {}", logged.len());
        ensure!(logged.iter().all(|it| it.is_ipv6() == target.is_ipv6()), "clients' family");

        let mut sessions = Vec::new();
        for _ in 0..10 {
            let mut session = client.http(target)?;
            session.get("/small")?;
            sessions.push(session);
        }
        director.stop()?;
        let director = self.world.start(&config)?;
        for session in &mut sessions {
            session.get("/small").context("after the restart")?;
        }
        director.stop()?;
        Ok(())
    }
}

fn nginx(server: &Server, directory: &Path, big: &str, is_ipv6: bool) -> Result<Background> {
    let (name, shown) = (server.name(), directory.display());
    let ipv6 = match is_ipv6 {
        true => format!("listen [::]:{NGINX} ipv6only=on backlog=4096 proxy_protocol;"),
        false => String::new(),
    };
    let text = format!(
        r#"daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 65536;
pid {shown}/nginx.pid;
error_log {shown}/nginx-error.log warn;
events {{ worker_connections 16384; }}
http {{
    log_format clients '$proxy_protocol_addr $proxy_protocol_port';
    access_log {shown}/clients.log clients;
    default_type text/plain;
    keepalive_timeout 1h;
    keepalive_requests 1000000;
    client_body_temp_path {shown}/body;
    proxy_temp_path {shown}/proxy;
    fastcgi_temp_path {shown}/fastcgi;
    uwsgi_temp_path {shown}/uwsgi;
    scgi_temp_path {shown}/scgi;
    add_header X-Server {name} always;
    server {{
        listen {NGINX} backlog=4096 proxy_protocol;
        {ipv6}
        location = / {{ return 200 "{name}\n"; }}
        location = /small {{ return 200 "small from {name}\n"; }}
        location = /big {{ alias {big}; }}
    }}
}}
"#
    );
    let configuration = directory.join("nginx.conf");
    fs::write(&configuration, text)?;
    let mut command = server.namespace().command("nginx");
    command.arg("-p").arg(directory).arg("-c").arg(&configuration);
    command.arg("-e").arg(directory.join("nginx-error.log"));
    listening(server, server.namespace().spawn(&mut command, &directory.join("nginx.log"))?, NGINX)
}

fn haproxy(server: &Server, directory: &Path, is_ipv6: bool) -> Result<Background> {
    let ipv6 = match is_ipv6 {
        true => format!("  bind [::]:{HAPROXY} v6only accept-proxy\n"),
        false => String::new(),
    };
    let text = format!(
        "global\n  maxconn 1000\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         frontend told\n  bind :{HAPROXY} accept-proxy\n{ipv6}  default_backend nginx\n\
         backend nginx\n  server nginx {}:{NGINX} send-proxy-v2\n",
        server.lan()
    );
    let configuration = directory.join("haproxy.cfg");
    fs::write(&configuration, text)?;
    let mut command = server.namespace().command("haproxy");
    command.arg("-db").arg("-f").arg(&configuration);
    listening(server, server.namespace().spawn(&mut command, &directory.join("haproxy.log"))?, HAPROXY)
}

/// Waits until a program on a server listens.
fn listening(server: &Server, mut program: Background, port: u16) -> Result<Background> {
    let target = (server.lan(), port);
    let ready = eventually(PATIENCE, || {
        ensure!(program.finished()?.is_none(), "what is to listen on port {port} has ended");
        Ok(server.namespace().within(|| TcpStream::connect(target)).is_ok())
    })?;
    ensure!(ready, "nobody listens on port {port} of {}", server.name());
    Ok(program)
}

/// A service whose servers are told.
pub(crate) fn service(method: Method, port: u16, told: &str) -> Service {
    Service::tcp(method, port).line(format!("client_address = \"{told}\""))
}

/// Asks once, on a connection of its own, and returns where it was asked from.
pub(crate) fn ask(told: &Told, target: impl Into<SocketAddr>) -> Result<SocketAddr> {
    let mut session = told.world.client().http(target)?;
    session.get("/small")?;
    Ok(session.stream().local_addr()?)
}
