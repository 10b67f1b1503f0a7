//! FTP with vsftpd, curl and lftp over two workers: files go down and up in every mode, family and method, in sessions of
//! several transfers, so that the numbers of what follows a replaced text move again and again. `make test` tells it of
//! small files, `make test-methods` of 50 MB.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write, copy};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use lb_stories::client::Client;
use lb_stories::config::Service;
use lb_stories::ftp::{FTP, Program, Vsftpd, Way, sha256};
use lb_stories::server::big_file;
use lb_stories::{Config, Method, World};

/// Where the director's metrics are.
const METRICS: &str = "127.0.0.1:9145";
const METHODS: [Method; 4] = [Method::Nat, Method::FullNat, Method::Tun, Method::Dr];

fn service(method: Method) -> Service {
    Service::tcp(method, FTP).line("module = \"ftp\"")
}

/// A service of each family and method.
fn config() -> Config {
    let config = Config::new().section(format!("[metrics]\nlisten = \"{METRICS}\"\n"));
    METHODS
        .into_iter()
        .fold(config, |config, method| config.service(service(method)).service(service(method).over_ipv6()))
}

fn target(method: Method, is_ipv6: bool) -> SocketAddr {
    if is_ipv6 { method.at6(FTP).into() } else { method.at(FTP).into() }
}

/// A file of so many bytes, without repetition.
fn file(world: &World, bytes: u64) -> Result<PathBuf> {
    let path = world.directory().join("file");
    copy(&mut File::open(big_file()?)?.take(bytes), &mut File::create(&path)?)?;
    Ok(path)
}

/// vsftpd on all servers.
fn vsftpds(world: &World, file: &Path) -> Result<Vec<Vsftpd>> {
    let start = |server: &lb_stories::server::Server| {
        Vsftpd::start(server, &world.directory().join(server.name()).join("ftp"), file)
    };
    world.servers().iter().map(start).collect()
}

/// What all servers have heard.
fn heard(servers: &[Vsftpd]) -> Result<[usize; 4]> {
    let mut sum = [0; 4];
    for server in servers {
        let heard = server.heard()?;
        (0..sum.len()).for_each(|word| sum[word] += heard[word]);
    }
    Ok(sum)
}

/// Files of that size down and up in every way that is picked.
fn each_way(bytes: u64, is_picked: impl Fn(Method, Way) -> bool) -> Result<()> {
    let world = World::with_ipv6()?;
    let file = file(&world, bytes)?;
    let digest = sha256(&file)?;
    let servers = vsftpds(&world, &file)?;
    let director = world.start(&config())?;
    let (fetched, mut sessions) = (world.directory().join("fetched"), 0);
    for method in METHODS {
        let ways = [false, true].into_iter().flat_map(|it| Way::all(it).map(move |way| (it, way)));
        for (is_ipv6, way) in ways.filter(|(_, way)| is_picked(method, *way)) {
            sessions += 1;
            let name = format!("brought-{sessions}");
            let before = heard(&servers)?;
            let told = || {
                let logs: Vec<String> = servers.iter().map(Vsftpd::log).collect();
                format!(
                    "{} {} {way:?}\n{}",
                    method.word(),
                    if is_ipv6 { "IPv6" } else { "IPv4" },
                    logs.join("\n")
                )
            };
            let target = target(method, is_ipv6);
            way.transfer(world.client().namespace(), target, (&fetched, &file), &name).with_context(told)?;
            ensure!(sha256(&fetched)? == digest, "what was fetched is not what was there: {}", told());
            let brought = servers.iter().find_map(|server| server.brought(&name)).with_context(told)?;
            ensure!(sha256(&brought)? == digest, "what was brought is not what was there: {}", told());
            let after = heard(&servers)?;
            let said = [0, 1, 2, 3].map(|word| after[word] - before[word]);
            ensure!(said == way.says(), "{said:?} of PASV, EPSV, PORT, EPRT: {}", told());
            fs::remove_file(&fetched)?;
            fs::remove_file(&brought)?;
        }
    }
    for word in heard(&servers)? {
        ensure!(word > 0, "every mode");
    }
    // Each transfer had the connection that was announced.
    let url = format!("http://{METRICS}/metrics");
    let metrics = world.director().run("curl", &["-sS", "--noproxy", "*", "--max-time", "10", &url])?;
    let sum = |name: &str| -> u64 {
        let of = metrics.lines().filter(|line| line.starts_with(name) && line[name.len()..].starts_with('{'));
        of.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    };
    ensure!(sum("lb_worker_came_connections_total") == 2 * sessions, "{metrics}");
    ensure!(sum("lb_worker_unexpected_connections_total") == 0, "{metrics}");
    let status = director.status()?;
    for worker in &status.workers {
        ensure!(worker.received > 500, "{}", status.text);
    }
    director.stop()?;
    Ok(())
}

/// Where servers answer by themselves nothing is replaced, so one client of the two will do.
#[test]
fn small_files_in_every_mode() -> Result<()> {
    let is_rewritten = |method| matches!(method, Method::Nat | Method::FullNat);
    each_way(300_000, |method, way| is_rewritten(method) || way.program == Program::Lftp)
}

#[test]
#[ignore = "make test-methods"]
fn fifty_megabytes_in_every_mode() -> Result<()> {
    each_way(50_000_000, |_, _| true)
}

/// A session by hand.
struct Session {
    stream: BufReader<TcpStream>,
}

impl Session {
    /// Opens one, and logs in.
    fn open(client: &Client, target: SocketAddr) -> Result<Self> {
        let mut session = Self { stream: BufReader::new(client.tcp(target)?) };
        session.hears("220")?;
        session.asks("USER anonymous", "230")?;
        session.asks("TYPE I", "200")?;
        Ok(session)
    }

    fn hears(&mut self, code: &str) -> Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        ensure!(line.starts_with(&format!("{code} ")), "{line:?} instead of {code}");
        Ok(line)
    }

    fn asks(&mut self, command: &str, code: &str) -> Result<String> {
        write!(self.stream.get_mut(), "{command}\r\n")?;
        self.hears(code).with_context(|| command.to_owned())
    }

    /// What it fetches in passive mode.
    fn fetches(&mut self, client: &Client, vip: Ipv4Addr) -> Result<Vec<u8>> {
        let reply = self.asks("PASV", "227")?;
        let numbers = reply.split_once('(').and_then(|(_, rest)| rest.split_once(')')).context("numbers")?.0;
        let numbers: Vec<u8> = numbers.split(',').map(str::parse).collect::<Result<_, _>>()?;
        let [a, b, c, d, high, low] = *numbers.as_slice() else { bail!("{reply}") };
        ensure!(Ipv4Addr::new(a, b, c, d) == vip, "{reply}");
        let mut data = client.tcp((vip, u16::from_be_bytes([high, low])))?;
        self.asks("RETR file", "150")?;
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes)?;
        self.hears("226")?;
        Ok(bytes)
    }
}

/// With numbers that have moved before, and move again.
#[test]
fn sessions_go_on_in_the_next_run() -> Result<()> {
    let world = World::new()?;
    let file = file(&world, 100_000)?;
    let expected = fs::read(&file)?;
    let servers = vsftpds(&world, &file)?;
    let config = Config::new().state_file(&world.directory().join("state"));
    let methods = [Method::Nat, Method::FullNat];
    let config = methods.into_iter().fold(config, |config, method| config.service(service(method)));
    let director = world.start(&config)?;
    let mut sessions = Vec::new();
    for method in methods {
        for _ in 0..4 {
            let mut session = Session::open(world.client(), target(method, false))?;
            ensure!(session.fetches(world.client(), method.vip())? == expected);
            sessions.push((method, session));
        }
    }
    director.stop()?;
    let director = world.start(&config)?;
    for (method, session) in &mut sessions {
        for _ in 0..2 {
            let fetched = session.fetches(world.client(), method.vip());
            ensure!(fetched.with_context(|| method.word())? == expected);
        }
        session.asks("QUIT", "221")?;
    }
    director.stop()?;
    drop(servers);
    Ok(())
}
