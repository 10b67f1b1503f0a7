//! Servers that are told of their clients by the PROXY protocol: nginx and HAProxy expect it, and their logs have the
//! clients' own addresses, although all they see is the director's.

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::load::Load;
use lb_stories::process::{Background, PATIENCE, eventually};
use lb_stories::server::{BIG_SHA256, Server};
use lb_stories::{Config, Method, World};

/// Where nginx expects a header. The director's services are on the same port.
const NGINX: u16 = 8081;
/// Where HAProxy does. It passes on what clients say, with a header of its own.
const HAPROXY: u16 = 8082;

/// A world whose servers expect headers, and do not answer clients by the director's routes.
struct Told {
    // What runs in namespaces ends before they do.
    _servers: Vec<Background>,
    logs: Vec<PathBuf>,
    world: World,
}

impl Told {
    fn new(is_ipv6: bool) -> Result<Self> {
        let world = if is_ipv6 { World::with_ipv6()? } else { World::new()? };
        let (mut servers, mut logs) = (Vec::new(), Vec::new());
        for server in world.servers() {
            let directory = world.directory().join(format!("{}-told", server.name()));
            fs::create_dir_all(&directory)?;
            let big = fs::read_to_string(world.directory().join(server.name()).join("nginx.conf"))?;
            let big =
                big.split("alias ").nth(1).and_then(|rest| rest.split(';').next()).context("no big file")?;
            servers.push(nginx(server, &directory, big, is_ipv6)?);
            servers.push(haproxy(server, &directory)?);
            logs.push(directory.join("clients.log"));
        }
        Ok(Self { _servers: servers, logs, world })
    }

    /// The addresses, with ports, that the servers' logs have of clients.
    fn logged(&self) -> Result<HashSet<SocketAddr>> {
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
    fn ensure_logged(&self, client: SocketAddr) -> Result<()> {
        let is_there = eventually(PATIENCE, || Ok(self.logged()?.contains(&client)))?;
        ensure!(is_there, "{client} is not among {:?}", self.logged()?);
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

fn haproxy(server: &Server, directory: &Path) -> Result<Background> {
    let text = format!(
        "global\n  maxconn 1000\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         frontend told\n  bind :{HAPROXY} accept-proxy\n  default_backend nginx\n\
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
        Ok(server.namespace().within(|| std::net::TcpStream::connect(target)).is_ok())
    })?;
    ensure!(ready, "nobody listens on port {port} of {}", server.name());
    Ok(program)
}

fn service(method: Method, port: u16, told: &str) -> Service {
    Service::tcp(method, port).line(format!("client_address = \"{told}\""))
}

/// Asks once, on a connection of its own, and returns where it was asked from.
fn ask(told: &Told, target: impl Into<SocketAddr>) -> Result<SocketAddr> {
    let mut session = told.world.client().http(target)?;
    session.get("/small")?;
    Ok(session.stream().local_addr()?)
}

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
    let told = Told::new(false)?;
    let state = told.world.directory().join("state");
    let config = Config::new().service(service(Method::FullNat, NGINX, "proxy-v2")).state_file(&state);
    let director = told.world.start(&config)?;
    let target = Method::FullNat.at(NGINX);
    ensure!(told.world.client().sha256_of(target, "/big")? == BIG_SHA256);
    let crowd = Load { connections: 1_000, requests: 3 };
    let report = crowd.run(told.world.client(), target)?;
    ensure!(report.failures.is_empty(), "{:?}", &report.failures[..report.failures.len().min(5)]);
    ensure!(report.answers == 3_000, "{report}");
    let status = director.status()?;
    for worker in &status.workers {
        ensure!(worker.received > 1_000, "{}", status.text);
    }
    ensure!(told.logged()?.len() > 1_000, "every connection is another client");

    // What has begun goes on in the next run, with the numbers of this one.
    let mut sessions = Vec::new();
    for _ in 0..10 {
        let mut session = told.world.client().http(target)?;
        session.get("/small")?;
        sessions.push(session);
    }
    director.stop()?;
    let director = told.world.start(&config)?;
    for session in &mut sessions {
        session.get("/small").context("after the restart")?;
    }
    director.stop()?;
    Ok(())
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
