//! A real server: nginx, a UDP echo, and the far end of the tunnel.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use crate::netns::{self, Namespace};
use crate::process::{Background, PATIENCE, eventually, run};
use crate::world;

/// Where HTTPS is served, by whoever does.
pub const HTTPS: u16 = 443;

/// Length of `/big`.
pub const BIG: u64 = 100_000_000;

/// SHA-256 of `/big`.
pub const BIG_SHA256: &str = "d1491dcf86bd6c76f2986cd64c3836ace445f5a5f2ab3cb51674e4b7c3e377c3";

/// SHA-256 of the first ten million bytes of `/big`.
pub const TEN_MEGABYTES_SHA256: &str = "2a646b968b9f68f14c3e2f4ed96e81376bd41aff44084203754cc6f24cd7f5f2";

/// A real server in its namespace.
#[derive(Debug)]
pub struct Server {
    // First, because fields are dropped in order: what runs in a namespace ends before the namespace does.
    processes: Vec<Background>,
    namespace: Namespace,
    name: String,
    lan: Ipv4Addr,
    /// Where packets of IPv6 from its address on the lan go.
    gateway6: Ipv6Addr,
    directory: PathBuf,
}

impl Server {
    /// A server whose namespace has its links and addresses already.
    pub(crate) fn new(namespace: Namespace, name: String, lan: Ipv4Addr, directory: PathBuf) -> Self {
        Self { processes: Vec::new(), namespace, name, lan, gateway6: world::DIRECTOR_LAN6, directory }
    }

    /// The same behind another gateway than the director.
    pub(crate) fn behind(mut self, gateway6: Ipv6Addr) -> Self {
        self.gateway6 = gateway6;
        self
    }

    /// The name it puts into every answer.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address on the lan.
    #[must_use]
    pub fn lan(&self) -> Ipv4Addr {
        self.lan
    }

    /// Where it lives.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub(crate) fn namespace_mut(&mut self) -> &mut Namespace {
        &mut self.namespace
    }

    /// What runs on it.
    pub(crate) fn processes_mut(&mut self) -> &mut [Background] {
        &mut self.processes
    }

    /// Starts everything and waits until HTTP is served.
    pub(crate) fn start(&mut self) -> Result<()> {
        fs::create_dir_all(&self.directory)?;
        self.accept_virtual_addresses()?;
        self.start_helper("decapsulate", &[])?;
        self.start_echo()?;
        self.start_nginx()
    }

    /// Starts no more than HTTP, and a UDP echo at these addresses.
    pub(crate) fn start_outside(&mut self, echo: &[SocketAddr]) -> Result<()> {
        fs::create_dir_all(&self.directory)?;
        let name = self.name.clone();
        let echo: Vec<String> = echo.iter().map(SocketAddr::to_string).collect();
        let args: Vec<&str> = std::iter::once(&name).chain(&echo).map(String::as_str).collect();
        self.start_helper("udp-echo", &args)?;
        self.start_nginx()
    }

    /// DR and TUN deliver packets that are still addressed to the VIP: the server has it on loopback, where no ARP
    /// request on any network is ever answered for it. L3DSR delivers packets for which a rule puts the VIP back.
    fn accept_virtual_addresses(&self) -> Result<()> {
        self.namespace.sysctl("net/ipv4/conf/all/arp_ignore", "1")?;
        self.namespace.sysctl("net/ipv4/conf/all/arp_announce", "2")?;
        self.namespace.ip(&format!(
            "addr add {}/32 dev lo\naddr add {}/32 dev lo\naddr add {}/32 dev lo",
            world::VIP_TUN,
            world::VIP_DR,
            world::VIP_L3DSR
        ))?;
        let rules = put_back();
        let file = self.directory.join("l3dsr.nft");
        fs::write(&file, rules)?;
        self.namespace.run("nft", &["-f", &file.display().to_string()]).map(drop)
    }

    /// The same in IPv6. No neighbour is told of addresses on loopback. Replies from the own address go back through the
    /// director.
    pub(crate) fn add_ipv6(&mut self) -> Result<()> {
        let lan = world::server6_of(self.lan);
        let wan = world::wan6_beside(self.lan);
        let network = ipv6_network(lan);
        self.namespace.enable_ipv6(&["wan", "lan"])?;
        self.namespace.ip(&format!(
            "addr add {wan}/64 dev wan nodad\naddr add {lan}/64 dev lan nodad\n\
             addr add {}/128 dev lo nodad\naddr add {}/128 dev lo nodad\naddr add {}/128 dev lo nodad\n\
             route add default via {}\nroute add default via {} table 10\n\
             route add {network}/64 dev lan table 10",
            world::VIP6_TUN,
            world::VIP6_DR,
            world::VIP6_L3DSR,
            world::GATEWAY6,
            self.gateway6
        ))?;
        self.namespace.run("ip", &["-6", "rule", "add", "from", &lan.to_string(), "table", "10"])?;
        let own = format!("[{lan}]:{}", world::ECHO_BEHIND_NAT);
        let tun = format!("[{}]:{}", world::VIP6_TUN, world::ECHO);
        let dr = format!("[{}]:{}", world::VIP6_DR, world::ECHO);
        let l3dsr = format!("[{}]:{}", world::VIP6_L3DSR, world::ECHO);
        let name = self.name.clone();
        self.start_helper("udp-echo", &[&name, &own, &tun, &dr, &l3dsr])?;
        // nginx stays the last.
        let last = self.processes.len() - 1;
        self.processes.swap(last - 1, last);
        Ok(())
    }

    fn start_echo(&mut self) -> Result<()> {
        let own = format!("{}:{}", self.lan, world::ECHO_BEHIND_NAT);
        let tun = format!("{}:{}", world::VIP_TUN, world::ECHO);
        let dr = format!("{}:{}", world::VIP_DR, world::ECHO);
        let l3dsr = format!("{}:{}", world::VIP_L3DSR, world::ECHO);
        let name = self.name.clone();
        self.start_helper("udp-echo", &[&name, &own, &tun, &dr, &l3dsr])
    }

    fn start_helper(&mut self, helper: &str, args: &[&str]) -> Result<()> {
        let mut command = self.namespace.command(executable(helper)?);
        let log = self.directory.join(format!("{helper}.log"));
        self.processes.push(self.namespace.spawn(command.args(args), &log)?);
        Ok(())
    }

    /// Ends nginx, as its operator would. What has connections to it is told so.
    pub fn stop_nginx(&mut self) -> Result<()> {
        let mut nginx = self.processes.pop().context("nginx is the last that was started")?;
        nginx.signal(Signal::SIGTERM)?;
        ensure!(nginx.wait(PATIENCE)?.is_some(), "nginx does not end");
        Ok(())
    }

    /// Lets nginx hang: the kernel accepts connections, and nobody answers. Or lets it go on.
    pub fn hang_nginx(&self, hangs: bool) -> Result<()> {
        let nginx = self.processes.last().context("nginx is the last that was started")?;
        nginx.signal_group(if hangs { Signal::SIGSTOP } else { Signal::SIGCONT })
    }

    /// Lets nginx answer everything with status 500, or well again.
    pub fn make_ill(&self, ill: bool) -> Result<()> {
        let mark = self.directory.join("ill");
        Ok(if ill { fs::write(mark, "") } else { fs::remove_file(mark) }?)
    }

    /// Starts nginx and waits until it serves.
    pub fn start_nginx(&mut self) -> Result<()> {
        let big = big_file()?;
        let nginx =
            self.nginx("nginx", &nginx_configuration(&self.name, &self.directory, &big), world::HTTP)?;
        self.processes.push(nginx);
        Ok(())
    }

    /// Has another nginx serve HTTPS, which is as well or ill as the first one.
    pub fn serve_https(&mut self, certificate: &Certificate) -> Result<()> {
        let nginx =
            self.nginx("https", &https_configuration(&self.name, &self.directory, certificate), HTTPS)?;
        // The other one stays the last.
        self.processes.insert(0, nginx);
        Ok(())
    }

    /// Starts an nginx and waits until it listens.
    fn nginx(&self, name: &str, text: &str, port: u16) -> Result<Background> {
        let file = |kind: &str| self.directory.join(format!("{name}{kind}"));
        let (configuration, errors) = (file(".conf"), file("-error.log"));
        fs::write(&configuration, text)?;
        let mut command = self.namespace.command("nginx");
        command.arg("-p").arg(&self.directory).arg("-c").arg(&configuration).arg("-e").arg(&errors);
        let mut nginx = self.namespace.spawn(&mut command, &file(".log"))?;
        let target = (self.lan, port);
        let ready = eventually(PATIENCE, || {
            ensure!(
                nginx.finished()?.is_none(),
                "nginx: {}",
                fs::read_to_string(&errors).unwrap_or_default()
            );
            Ok(self.namespace.within(|| std::net::TcpStream::connect(target)).is_ok())
        })?;
        ensure!(ready, "{name} on {} does not listen", self.name);
        Ok(nginx)
    }
}

/// A certificate that is its own authority, and its key.
#[derive(Debug)]
pub struct Certificate {
    /// Where it is.
    pub file: PathBuf,
    key: PathBuf,
}

impl Certificate {
    /// Makes one for a domain name.
    pub fn make(directory: &Path, name: &str) -> Result<Self> {
        let (file, key) = (directory.join("certificate.pem"), directory.join("key.pem"));
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        command.args(["-days", "2", "-subj", &format!("/CN={name}")]);
        command.args(["-addext", &format!("subjectAltName=DNS:{name}")]);
        command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        run(command.arg("-keyout").arg(&key).arg("-out").arg(&file))?;
        Ok(Self { file, key })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Only politely asked does nginx's master take its workers with it in order; the kill that follows when the
        // processes are dropped finds little to do.
        if !self.namespace.kept() {
            for process in &mut self.processes {
                let _ = process.signal(Signal::SIGTERM);
            }
            for process in &mut self.processes {
                let _ = process.wait(Duration::from_millis(500));
            }
        }
    }
}

/// What operators read about servers.
const METHODS: &str = include_str!("../../docs/methods.md");

/// The rules by which servers put VIPs back: those of docs/methods.md, with this world's addresses.
fn put_back() -> String {
    let from = METHODS.find("table inet l3dsr {").expect("the rules for servers");
    let rules = &METHODS[from..from + METHODS[from..].find("```").expect("their end")];
    rules
        .replace("192.0.2.100", &world::VIP_L3DSR.to_string())
        .replace("2001:db8:1::100", &world::VIP6_L3DSR.to_string())
}

fn ipv6_network(address: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)
}

/// nginx with nothing outside `directory`, and every answer saying who gave it.
pub(crate) fn nginx_configuration(name: &str, directory: &Path, big: &Path) -> String {
    let directory = directory.display();
    let (http, behind_nat) = (world::HTTP, world::HTTP_BEHIND_NAT);
    let big = big.display();
    let listen = |port| format!("listen [::]:{port} ipv6only=on backlog=4096;");
    let ipv6 = match netns::has_ipv6() {
        true => [http, behind_nat].map(listen).join(" "),
        false => String::new(),
    };
    format!(
        r#"daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 65536;
pid {directory}/nginx.pid;
error_log {directory}/nginx-error.log warn;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    sendfile on;
    default_type text/plain;
    keepalive_timeout 1h;
    keepalive_requests 1000000;
    client_max_body_size 1g;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    add_header X-Server {name} always;
    server {{
        listen {http} backlog=4096;
        listen {behind_nat} backlog=4096;
        {ipv6}
        if (-f {directory}/ill) {{ return 500; }}
        location = / {{ return 200 "{name}\n"; }}
        location = /from {{ return 200 "$remote_addr $remote_port\n"; }}
        location = /small {{ return 200 "small from {name}\n"; }}
        location = /big {{ alias {big}; }}
        # The body is read to its end before the inner server below is asked for an answer.
        location = /upload {{
            proxy_pass http://unix:{directory}/upload.sock;
            proxy_set_header X-Received $content_length;
        }}
    }}
    server {{
        listen unix:{directory}/upload.sock;
        location / {{ return 200 "$http_x_received\n"; }}
    }}
}}
"#
    )
}

/// nginx with HTTPS, and nothing outside `directory` but its certificate.
fn https_configuration(name: &str, directory: &Path, certificate: &Certificate) -> String {
    let directory = directory.display();
    let (certificate, key) = (certificate.file.display(), certificate.key.display());
    format!(
        r#"daemon off;
user root;
worker_processes 1;
pid {directory}/https.pid;
error_log {directory}/https-error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    default_type text/plain;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen {HTTPS} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        if (-f {directory}/ill) {{ return 500; }}
        location / {{ return 200 "safely from {name}\n"; }}
    }}
}}
"#
    )
}

/// A program of this package: next to the running one, or one up when that is a test in `deps/`.
pub fn executable(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("{name} not found next to {}", own.display()))
}

/// The file behind `/big`: made once, next to the programs, always the same.
pub fn big_file() -> Result<PathBuf> {
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let path = executable("udp-echo")?.with_file_name("lb-stories-big");
    if fs::metadata(&path).is_ok_and(|file| file.len() == BIG) {
        return Ok(path);
    }
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(BIG as usize);
    while bytes.len() < BIG as usize {
        // xorshift64: no repetition that a lost or doubled segment could hide in.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    // Renamed into place when complete: a second program must not serve half a file.
    let unfinished = path.with_extension(std::process::id().to_string());
    fs::write(&unfinished, bytes)?;
    let sum = run(Command::new("sha256sum").arg(&unfinished))?;
    ensure!(sum.starts_with(BIG_SHA256), "the big file is not what it should be: {sum}");
    fs::rename(&unfinished, &path)?;
    Ok(path)
}
