//! SIP between SIPp's ends: calls that stay with their servers by Call-ID, and media that the module lets through.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::netns::Namespace;
use lb_stories::process::{Background, PATIENCE, eventually};
use lb_stories::world::{CLIENT, VIP_DR, VIP_NAT};
use lb_stories::{Config, Method, World};

/// SIP's port.
const SIP: u16 = 5060;
/// Where servers wait for media.
const MEDIA: u16 = 40_000;
/// How long all calls of a story take at most, on a loaded machine.
const LIMIT: Duration = Duration::from_secs(60);

/// SIPp in a namespace, with its log and the messages of it.
struct Sipp {
    process: Background,
    log: PathBuf,
    messages: PathBuf,
}

impl Sipp {
    fn start(world: &World, namespace: &Namespace, name: &str, arguments: &str) -> Result<Self> {
        let at = |extension: &str| world.directory().join(format!("{name}.{extension}"));
        let (log, messages) = (at("log"), at("messages"));
        let mut command = namespace.command("sipp");
        // It writes its files where it is, if it writes any.
        command.current_dir(world.directory()).env("TERM", "dumb").arg("-nostdin").args(arguments.split(' '));
        command.arg("-trace_msg").arg("-message_file").arg(&messages);
        let process = namespace.spawn(&mut command, &log)?;
        Ok(Self { process, log, messages })
    }

    /// A server at that address, which sends media back.
    fn server(world: &World, number: usize, address: Ipv4Addr, transport: &str) -> Result<Self> {
        let namespace = world.servers()[number].namespace();
        let arguments =
            format!("-sn uas -t {transport} -i {address} -p {SIP} -mi {address} -mp {MEDIA} -rtp_echo");
        let server = Self::start(world, namespace, &format!("uas-{number}"), &arguments)?;
        let kind = if transport.starts_with('t') { "-ltn" } else { "-lun" };
        let listens = || Ok(namespace.run("ss", &[kind])?.contains(&format!("{address}:{SIP} ")));
        ensure!(eventually(PATIENCE, listens)?, "{}", fs::read_to_string(&server.log)?);
        Ok(server)
    }

    /// A client with so many calls, of so many milliseconds each.
    fn client(world: &World, vip: Ipv4Addr, (transport, calls, ms): (&str, u32, u32)) -> Result<Self> {
        let arguments = format!(
            "{vip}:{SIP} -sn uac -t {transport} -i {CLIENT} -p {SIP} -m {calls} -r 20 -d {ms} -timeout 50s -timeout_error"
        );
        Self::start(world, world.client().namespace(), "uac", &arguments)
    }

    /// Waits until all calls have been made, and insists that all have been as they should.
    fn succeeds(mut self) -> Result<String> {
        let status = self.process.wait(LIMIT)?;
        let log = || fs::read_to_string(&self.log);
        ensure!(status.is_some_and(|status| status.success()), "{status:?}: {}", log()?);
        Ok(fs::read_to_string(&self.messages)?)
    }
}

/// All calls come from one address and port, as a proxy's do. A server that gets a message of another's call does not know
/// it, and the call fails.
#[test]
fn calls_of_a_proxy_stay_with_their_servers() -> Result<()> {
    const CALLS: u32 = 30;
    let world = World::new()?;
    let service = Service::udp(Method::Dr, SIP)
        .line("one_packet = true")
        .line(r#"persistence = { timeout = "5m", by = "sip-call-id", prefix = 0 }"#);
    let director = world.start(&Config::new().service(service))?;
    let servers = world.servers().len();
    let _servers =
        (0..servers).map(|number| Sipp::server(&world, number, VIP_DR, "u1")).collect::<Result<Vec<_>>>()?;
    Sipp::client(&world, VIP_DR, ("u1", CALLS, 100))?.succeeds()?;
    let control = Control::of(&director)?;
    let remembered = control.ask("show persistence")?;
    ensure!(remembered.contains(&format!("{CALLS} of {CALLS} clients")), "{remembered}");
    for server in world.servers() {
        ensure!(remembered.contains(&server.lan().to_string()), "{} has none: {remembered}", server.name());
    }
    director.stop()?;
    Ok(())
}

#[test]
fn media_follows_calls_over_udp() -> Result<()> {
    media_follows("udp", "u1")
}

#[test]
fn media_follows_calls_over_tcp() -> Result<()> {
    media_follows("tcp", "t1")
}

/// While calls are open, media that the client sends to where the server says comes back: the server has it.
fn media_follows(protocol: &str, transport: &str) -> Result<()> {
    let world = World::new()?;
    let service = match protocol {
        "udp" => Service::udp(Method::Nat, SIP),
        _ => Service::tcp(Method::Nat, SIP),
    };
    let director = world.start(&Config::new().service(service.servers(1).line(r#"module = "sip""#)))?;
    let lan = world.servers()[0].lan();
    let server = Sipp::server(&world, 0, lan, transport)?;
    let media = world.client().udp(SocketAddrV4::new(VIP_NAT, MEDIA))?;
    media.set_read_timeout(Some(Duration::from_millis(200)))?;
    let echoed = || {
        // Before it is expected, the director says that nobody is there.
        let sent = media.send(b"\x80\x00 some media").is_ok();
        Ok(sent && media.recv(&mut [0; 64]).is_ok_and(|length| length == 13))
    };
    ensure!(!echoed()?, "nothing is expected yet");
    let client = Sipp::client(&world, VIP_NAT, (transport, 5, 2_000))?;
    ensure!(eventually(PATIENCE, echoed)?, "{}", fs::read_to_string(&server.log)?);
    let heard = client.succeeds()?;
    let names = |address: Ipv4Addr| heard.contains(&format!("Contact: <sip:{address}:{SIP}"));
    let says = |address: Ipv4Addr| heard.contains(&format!("c=IN IP4 {address}"));
    ensure!(names(VIP_NAT) && !names(lan), "{heard}");
    ensure!(says(VIP_NAT) && !says(lan), "{heard}");
    let control = Control::of(&director)?;
    let connections = control.ask("show connections")?;
    ensure!(connections.contains(&format!("{lan}:{MEDIA}")), "{connections}");
    director.stop()?;
    Ok(())
}
