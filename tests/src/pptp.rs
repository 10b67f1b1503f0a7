//! PPTP: pptpd on servers and pptp at clients, without PPP, which few kernels of test machines have. In the place of pppd a
//! server has a script that says its name again and again and gives back what it gets; a client's end is read and written
//! here. Both are frames of PPP in HDLC (RFC 1662), which the programs carry as packets of GRE.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::client::uninterrupted;
use crate::netns::Namespace;
use crate::process::{Background, PATIENCE, eventually};
use crate::server::Server;

/// Where control connections go.
pub const PPTP: u16 = 1723;

/// Begins and ends a frame, and is written as two bytes inside, RFC 1662 4.2.
const FLAG: u8 = 0x7e;
const ESCAPE: u8 = 0x7d;

/// A frame with that in it, as a datagram of IPv4 would be, with its check sequence (RFC 1662 C.2).
fn frame(text: &[u8]) -> Vec<u8> {
    let mut bytes = [b"\xff\x03\x00\x21", text].concat();
    let sum = bytes.iter().fold(0xffff_u16, |sum, byte| {
        let sum = sum ^ u16::from(*byte);
        (0..8).fold(sum, |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0x8408 } else { sum >> 1 })
    });
    bytes.extend((!sum).to_le_bytes());
    let inside = bytes.iter().flat_map(|byte| match *byte {
        FLAG | ESCAPE | ..0x20 => vec![ESCAPE, byte ^ 0x20],
        _ => vec![*byte],
    });
    [FLAG].into_iter().chain(inside).chain([FLAG]).collect()
}

/// pptpd on a server of a world.
#[derive(Debug)]
pub struct Pptpd {
    _process: Background,
}

impl Pptpd {
    /// Starts it, and waits until it listens at all of the server's addresses.
    pub fn start(server: &Server, directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let at = |name: &str| directory.join(name);
        fs::write(at("name"), frame(server.name().as_bytes()))?;
        // It ends with the terminal that it talks to.
        let name = at("name").display().to_string();
        let ppp = format!(
            "#!/bin/sh\nstty raw -echo\nwhile cat {name}; do sleep 0.1; done 2>/dev/null &\nexec cat 2>/dev/null\n"
        );
        fs::write(at("ppp"), ppp)?;
        fs::set_permissions(at("ppp"), fs::Permissions::from_mode(0o755))?;
        fs::write(at("options"), "")?;
        let ppp = at("ppp").display().to_string();
        fs::write(at("pptpd.conf"), format!("ppp {ppp}\nlocalip 203.0.113.1\nremoteip 203.0.113.101-150\n"))?;
        let mut command = server.namespace().command("pptpd");
        command.arg("--fg").arg("--conf").arg(at("pptpd.conf")).arg("--option").arg(at("options"));
        command.arg("--pidfile").arg(at("pid"));
        let log = at("output.log");
        let mut process = server.namespace().spawn(&mut command, &log)?;
        let target = (server.lan(), PPTP);
        let listens = eventually(PATIENCE, || {
            ensure!(process.finished()?.is_none(), "pptpd: {}", fs::read_to_string(&log)?);
            Ok(server.namespace().within(|| TcpStream::connect(target)).is_ok())
        })?;
        ensure!(listens, "pptpd on {} does not listen", server.name());
        Ok(Self { _process: process })
    }
}

/// A client's tunnel.
#[derive(Debug)]
pub struct Tunnel {
    process: Background,
    stream: UnixStream,
    heard: Vec<u8>,
    log: PathBuf,
}

impl Tunnel {
    /// Calls a server, with a call manager of its own: pptp shares one, and its control connection, among all calls of a
    /// machine to an address, by a socket of that name.
    pub fn call(namespace: &Namespace, vip: Ipv4Addr, log: PathBuf) -> Result<Self> {
        let (stream, theirs) = UnixStream::pair()?;
        stream.set_read_timeout(Some(Duration::from_millis(100)))?;
        let mut command = namespace.command("sh");
        let script = format!(
            "mkdir -p /run/pptp && mount -t tmpfs tmpfs /run/pptp &&
            exec pptp {vip} --nolaunchpppd --nohostroute --nobuffer --loglevel 2"
        );
        command.args(["-c", &script]);
        let stdin = Stdio::from(OwnedFd::from(theirs));
        let process = Background::spawn_with(&mut command, stdin, &log)?;
        Ok(Self { process, stream, heard: Vec::new(), log })
    }

    /// Says a text until it comes back from the server, and returns the name that the server says.
    pub fn server_that_gives_back(&mut self, text: &str, names: &[&str]) -> Result<String> {
        let is_in = |heard: &[u8], text: &str| {
            let frame = frame(text.as_bytes());
            heard.windows(frame.len()).any(|part| part == frame)
        };
        self.heard.clear();
        let is_whole = eventually(PATIENCE, || {
            ensure!(self.process.finished()?.is_none(), "pptp has ended: {}", self.log());
            self.stream.write_all(&frame(text.as_bytes()))?;
            let mut bytes = [0; 4_096];
            match uninterrupted(|| self.stream.read(&mut bytes)) {
                Ok(len) => self.heard.extend(&bytes[..len]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error.into()),
            }
            Ok(is_in(&self.heard, text) && names.iter().any(|name| is_in(&self.heard, name)))
        })?;
        ensure!(is_whole, "{text}: {:?}\n{}", String::from_utf8_lossy(&self.heard), self.log());
        let said: Vec<&str> = names.iter().copied().filter(|name| is_in(&self.heard, name)).collect();
        ensure!(said.len() == 1, "{text}: {said:?}");
        Ok(said[0].to_owned())
    }

    /// Whether it has heard that text, since it asked last.
    #[must_use]
    pub fn has_heard(&self, text: &str) -> bool {
        self.heard.windows(text.len()).any(|part| part == text.as_bytes())
    }

    /// Hangs up, and waits for pptp to clear the call.
    pub fn hang_up(mut self) -> Result<()> {
        drop(self.stream);
        let status = self.process.wait(PATIENCE)?;
        ensure!(status.is_some(), "pptp does not end");
        Ok(())
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}
