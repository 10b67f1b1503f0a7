//! TFTP: tftpd-hpa on servers, and what curl and tftp-hpa fetch and bring.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::netns::Namespace;
use crate::process::{Background, PATIENCE, eventually, run};
use crate::server::Server;

/// Where requests go.
pub const TFTP: u16 = 69;
/// Bytes of a block that curl asks for (RFC 2348): what fits into a packet behind a tunnel. tftp-hpa takes the 512 of RFC 1350.
const BLOCK: u16 = 1_400;

/// tftpd-hpa on a server of a world: everybody may fetch what it has and bring something.
#[derive(Debug)]
pub struct Tftpd {
    _process: Background,
    root: PathBuf,
}

impl Tftpd {
    /// Starts it with these files, and waits until it listens.
    pub fn start(server: &Server, directory: &Path, files: &[&Path]) -> Result<Self> {
        let root = directory.join("root");
        fs::create_dir_all(&root)?;
        for path in [directory, &root] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
        }
        for file in files {
            let copy = root.join(file.file_name().context("a name")?);
            fs::copy(file, &copy)?;
            fs::set_permissions(copy, fs::Permissions::from_mode(0o644))?;
        }
        let log = directory.join("output.log");
        let mut command = server.namespace().command("in.tftpd");
        command.args(["--foreground", "--secure", "--create", "--permissive", "--verbose", "--user", "root"]);
        command.args(["--address", &format!(":{TFTP}"), "--retransmit", "300000"]);
        let mut process = server.namespace().spawn(command.arg(&root), &log)?;
        let ready = eventually(PATIENCE, || {
            ensure!(process.finished()?.is_none(), "in.tftpd: {}", fs::read_to_string(&log)?);
            Ok(server.namespace().run("ss", &["-lunH"])?.contains(&format!(":{TFTP} ")))
        })?;
        ensure!(ready, "in.tftpd on {} does not listen", server.name());
        Ok(Self { _process: process, root })
    }

    /// What somebody has brought under that name, if it came here.
    #[must_use]
    pub fn brought(&self, name: &str) -> Option<PathBuf> {
        Some(self.root.join(name)).filter(|path| path.exists())
    }
}

/// A program that fetches and brings files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// curl.
    Curl,
    /// tftp-hpa.
    Tftp,
}

impl Program {
    /// Fetches the file of that name to `to`.
    pub fn fetch(self, client: &Namespace, from: SocketAddr, name: &str, to: &Path) -> Result<()> {
        let to = to.display().to_string();
        match self {
            Program::Curl => Self::curl(client, &["-o", &to, &format!("tftp://{from}/{name}")]),
            Program::Tftp => Self::tftp(client, from.ip(), &["get", name, &to]),
        }
    }

    /// Brings `from` under that name.
    pub fn bring(self, client: &Namespace, to: SocketAddr, from: &Path, name: &str) -> Result<()> {
        let from = from.display().to_string();
        match self {
            Program::Curl => Self::curl(client, &["-T", &from, &format!("tftp://{to}/{name}")]),
            Program::Tftp => Self::tftp(client, to.ip(), &["put", &from, name]),
        }
    }

    fn curl(client: &Namespace, what: &[&str]) -> Result<()> {
        let mut command = client.command("curl");
        command.args(["-sS", "--noproxy", "*", "--connect-timeout", "30", "--max-time", "60"]);
        command.args(["--tftp-blksize", &BLOCK.to_string()]);
        run(command.args(what)).map(drop)
    }

    /// It ends well whatever has become of the file, which callers look at.
    fn tftp(client: &Namespace, at: IpAddr, what: &[&str]) -> Result<()> {
        let mut command = client.command("tftp");
        command.args(["-m", "binary", &at.to_string(), "-c"]);
        run(command.args(what)).map(drop)
    }
}
