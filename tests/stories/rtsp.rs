//! RTSP between GStreamer's ends: a film of two tracks, each by RTP over UDP or within the connection, from two servers at
//! once that wait for media at the same ports.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::process::{Background, PATIENCE, eventually};
use lb_stories::world::{VIP_DR, VIP_NAT};
use lb_stories::{Config, Method, World};

/// RTSP's port.
const RTSP: u16 = 554;
/// Where every server waits for media of its first track.
const MEDIA: u16 = 6_970;
/// Bytes of a track: 40 packets of 20 ms, at 8,000 samples in a second and one byte for each.
const TRACK: usize = 40 * 160;
/// How long a film takes at most, on a loaded machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Two tracks: one in A-law, the other in µ-law.
fn film() -> String {
    let track = |number: usize, coder: &str, payload: &str| {
        format!(
            "audiotestsrc num-buffers=40 samplesperbuffer=160 ! audio/x-raw,rate=8000,channels=1 \
             ! {coder} ! {payload} name=pay{number}"
        )
    };
    format!("( {} {} )", track(0, "alawenc", "rtppcmapay"), track(1, "mulawenc", "rtppcmupay"))
}

/// A server of the film, whose media leaves from that address.
fn server(world: &World, number: usize, address: Ipv4Addr, port: u16) -> Result<Background> {
    let namespace = world.servers()[number].namespace();
    let script = world.directory().join("rtsp.py");
    fs::write(&script, include_str!("rtsp.py"))?;
    let log = world.directory().join(format!("rtsp-{number}.log"));
    let mut command = namespace.command("/usr/bin/python3");
    let ports = [port, MEDIA, MEDIA + 29].map(|port| port.to_string());
    command.arg(script).arg(address.to_string()).args(ports).arg(film());
    command.env("GST_REGISTRY", world.directory().join("gst-registry"));
    let mut process = namespace.spawn(&mut command, &log)?;
    let listens = eventually(PATIENCE, || {
        ensure!(process.finished()?.is_none(), "{}", fs::read_to_string(&log)?);
        Ok(fs::read_to_string(&log)?.contains("listens"))
    })?;
    ensure!(listens, "{}", fs::read_to_string(&log)?);
    Ok(process)
}

/// Somebody who watches the film to its end.
struct Watcher {
    process: Background,
    tracks: [PathBuf; 2],
    log: PathBuf,
}

impl Watcher {
    fn start(world: &World, vip: Ipv4Addr, (name, transport): (&str, &str)) -> Result<Self> {
        let at = |what: &str| world.directory().join(format!("{name}.{what}"));
        let (tracks, log) = (["alaw", "mulaw"].map(at), at("log"));
        let namespace = world.client().namespace();
        let mut command = namespace.command("gst-launch-1.0");
        command.env("GST_REGISTRY", world.directory().join("gst-registry"));
        let url = format!("location=rtsp://{vip}:{RTSP}/film");
        command.args(["-q", "rtspsrc", "name=film", "latency=1000", &url, &format!("protocols={transport}")]);
        for (track, reader) in tracks.iter().zip(["rtppcmadepay", "rtppcmudepay"]) {
            let to = format!("location={}", track.display());
            command.args(["film.", "!", reader, "!", "filesink", &to]);
        }
        Ok(Self { process: namespace.spawn(&mut command, &log)?, tracks, log })
    }

    /// Waits until it has ended, and insists that all of it has been there. Returns what was there. How it ended does not
    /// matter: now and then the server closes the connection before it is told that the film is over.
    fn succeeds(mut self) -> Result<[Vec<u8>; 2]> {
        let status = self.process.wait(LIMIT)?;
        let log = || fs::read_to_string(&self.log);
        ensure!(status.is_some(), "it goes on: {}", log()?);
        let read = |track: &Path| fs::read(track).with_context(|| track.display().to_string());
        let tracks = [read(&self.tracks[0])?, read(&self.tracks[1])?];
        for track in &tracks {
            ensure!(track.len() == TRACK, "{} of {TRACK} bytes: {}", track.len(), log()?);
        }
        Ok(tracks)
    }
}

/// Waits until something of a first track passes between the client and each server.
fn flows(world: &World, control: &Control) -> Result<()> {
    let each = || {
        let connections = control.ask("show connections")?;
        Ok(world.server_addresses().iter().all(|lan| connections.contains(&format!("{lan}:{MEDIA}"))))
    };
    ensure!(eventually(PATIENCE, each)?, "{}", control.ask("show connections")?);
    Ok(())
}

/// Two watch at the same time, and have different servers: one of them is told other ports than its server said. Then one
/// watches within the connection, and has the same.
#[test]
fn a_film_by_nat_over_udp_and_within_the_connection() -> Result<()> {
    let world = World::new()?;
    let service = Service::tcp(Method::Nat, RTSP).line("module = \"rtsp\"");
    let director = world.start(&Config::new().service(service))?;
    let port = Method::Nat.server_port(RTSP);
    let lans = world.server_addresses();
    let start = |number: usize| server(&world, number, lans[number], port);
    let _servers = [start(0)?, start(1)?];
    let watch = |how| Watcher::start(&world, VIP_NAT, how);
    let control = Control::of(&director)?;
    let [first, second] = [watch(("first", "udp"))?, watch(("second", "udp"))?];
    flows(&world, &control)?;
    let (first, second) = (first.succeeds()?, second.succeeds()?);
    ensure!(first == second, "the same film");
    ensure!(watch(("third", "tcp"))?.succeeds()? == first, "the same film within the connection");
    director.stop()?;
    Ok(())
}

/// Servers send media by themselves; what the client says of it comes to the one that it watches.
#[test]
fn a_film_by_direct_routing() -> Result<()> {
    let world = World::new()?;
    let service = Service::tcp(Method::Dr, RTSP).line("module = \"rtsp\"");
    let director = world.start(&Config::new().service(service))?;
    let start = |number: usize| server(&world, number, VIP_DR, RTSP);
    let _servers = [start(0)?, start(1)?];
    let watch = |name| Watcher::start(&world, VIP_DR, (name, "udp"));
    let both = [watch("first")?, watch("second")?];
    flows(&world, &Control::of(&director)?)?;
    for watcher in both {
        watcher.succeeds()?;
    }
    director.stop()?;
    Ok(())
}
