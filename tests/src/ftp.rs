//! FTP: vsftpd on servers, and what curl and lftp fetch and bring.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::netns::Namespace;
use crate::process::{Background, PATIENCE, eventually, run};
use crate::server::Server;

/// Where control connections go.
pub const FTP: u16 = 21;

/// What clients say before a transfer, by mode.
const WORDS: [&str; 4] = ["PASV", "EPSV", "PORT", "EPRT"];

/// vsftpd on a server of a world: everybody may fetch `file` and bring something to `in/`.
#[derive(Debug)]
pub struct Vsftpd {
    _process: Background,
    directory: PathBuf,
}

impl Vsftpd {
    /// Starts it, and waits until it listens. What is wrong with its configuration it says to its standard input only.
    pub fn start(server: &Server, directory: &Path, file: &Path) -> Result<Self> {
        let root = directory.join("root");
        // Who has shut itself in must not be able to write there: vsftpd insists.
        for directory in [directory, &root, &root.join("in"), &directory.join("empty")] {
            fs::create_dir_all(directory)?;
            fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
        }
        // Clients without a name are the package's own user.
        fs::set_permissions(root.join("in"), fs::Permissions::from_mode(0o1777))?;
        fs::hard_link(file, root.join("file"))?;
        let configuration = directory.join("vsftpd.conf");
        fs::write(&configuration, configuration_in(directory))?;
        let mut command = server.namespace().command("vsftpd");
        let log = directory.join("output.log");
        let mut process = server.namespace().spawn(command.arg(&configuration), &log)?;
        let target = (server.lan(), FTP);
        let ready = eventually(PATIENCE, || {
            ensure!(process.finished()?.is_none(), "vsftpd: {}", fs::read_to_string(&log)?);
            Ok(server.namespace().within(|| TcpStream::connect(target)).is_ok())
        })?;
        ensure!(ready, "vsftpd on {} does not listen", server.name());
        Ok(Self { _process: process, directory: directory.to_owned() })
    }

    /// How often clients have said each of PASV, EPSV, PORT and EPRT.
    pub fn heard(&self) -> Result<[usize; 4]> {
        let log = fs::read_to_string(self.directory.join("vsftpd.log")).unwrap_or_default();
        let commands: Vec<&str> = log.lines().filter(|line| line.contains("FTP command")).collect();
        let said = |word: &str| {
            let said =
                |line: &&&str| line.contains(&format!("\"{word}\"")) || line.contains(&format!("\"{word} "));
            commands.iter().filter(said).count()
        };
        Ok(WORDS.map(said))
    }

    /// What it has said and heard.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("vsftpd.log")).unwrap_or_default()
    }

    /// What somebody has brought under that name, if it came here.
    #[must_use]
    pub fn brought(&self, name: &str) -> Option<PathBuf> {
        Some(self.directory.join("root/in").join(name)).filter(|path| path.exists())
    }
}

/// vsftpd with nothing outside `directory`, for both families, with data connections from its port 20.
fn configuration_in(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "listen=NO\nlisten_ipv6=YES\nbackground=NO\nlisten_port={FTP}\n\
         anonymous_enable=YES\nlocal_enable=NO\nno_anon_password=YES\nanon_root={directory}/root\n\
         write_enable=YES\nanon_upload_enable=YES\nanon_umask=022\nnopriv_user=nobody\n\
         secure_chroot_dir={directory}/empty\nconnect_from_port_20=YES\n\
         pasv_min_port=50000\npasv_max_port=50999\n\
         xferlog_enable=YES\nxferlog_std_format=NO\nlog_ftp_protocol=YES\nsyslog_enable=NO\n\
         vsftpd_log_file={directory}/vsftpd.log\n\
         seccomp_sandbox=NO\nisolate=NO\nisolate_network=NO\n"
    )
}

/// Who connects for data, and how that is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The client, to a port of the server's: PASV.
    Pasv,
    /// The same: EPSV.
    Epsv,
    /// The server, to a port of the client's: PORT.
    Port,
    /// The same: EPRT.
    Eprt,
}

/// A program that fetches and brings files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// curl.
    Curl,
    /// lftp. It knows PASV, EPSV and PORT of IPv4, EPSV and EPRT of IPv6.
    Lftp,
}

/// One way of transferring files.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Whose.
    pub program: Program,
    /// Which.
    pub mode: Mode,
}

impl Way {
    /// All there are in a family.
    pub fn all(is_ipv6: bool) -> impl Iterator<Item = Way> {
        use {Mode::*, Program::*};
        let of_ipv4 = [
            (Curl, Pasv),
            (Curl, Epsv),
            (Curl, Port),
            (Curl, Eprt),
            (Lftp, Pasv),
            (Lftp, Epsv),
            (Lftp, Port),
        ];
        let of_ipv6 = [(Curl, Epsv), (Curl, Eprt), (Lftp, Epsv), (Lftp, Eprt)];
        let ways = if is_ipv6 { of_ipv6.to_vec() } else { of_ipv4.to_vec() };
        ways.into_iter().map(|(program, mode)| Way { program, mode })
    }

    /// What servers hear of a session with two transfers.
    #[must_use]
    pub fn says(self) -> [usize; 4] {
        let mut said = [0; 4];
        said[self.mode as usize] = 2;
        said
    }

    /// Fetches `file` to `to`, then brings `from` under that name, in one session.
    pub fn transfer(
        self,
        client: &Namespace,
        target: SocketAddr,
        files: (&Path, &Path),
        name: &str,
    ) -> Result<()> {
        let (to, from) = (files.0.display().to_string(), files.1.display().to_string());
        let mut command = match self.program {
            Program::Curl => {
                let mut command = client.command("curl");
                let url = format!("ftp://{target}");
                self.curl(&mut command).args(["-o", &to, &format!("{url}/file"), "--next"]);
                self.curl(&mut command).args(["-T", &from, &format!("{url}/in/{name}")]);
                command
            }
            Program::Lftp => {
                let mut command = client.command("lftp");
                let set = |name: &str, is_on: bool| format!("set {name} {is_on}; ");
                let script = [
                    "set cmd:fail-exit true; set net:timeout 30; set net:max-retries 2; set ftp:ssl-allow false; ",
                    "set ftp:auto-passive-mode false; set ftp:fix-pasv-address false; ",
                    "set dns:order \"inet6 inet\"; ",
                    &set("ftp:passive-mode", matches!(self.mode, Mode::Pasv | Mode::Epsv)),
                    &set("ftp:prefer-epsv", self.mode == Mode::Epsv),
                    &format!("open ftp://{target}; get file -o {to}; put {from} -o in/{name}; bye"),
                ];
                command.env("HOME", files.0.parent().context("a directory")?);
                command.args(["--norc", "-c", &script.concat()]);
                command
            }
        };
        run(&mut command).map(drop)
    }

    fn curl(self, command: &mut Command) -> &mut Command {
        command.args(["-sS", "--noproxy", "*", "--connect-timeout", "30", "--max-time", "120"]);
        match self.mode {
            Mode::Pasv => command.args(["--disable-epsv", "--no-ftp-skip-pasv-ip"]),
            Mode::Epsv => command.arg("--ftp-pasv"),
            Mode::Port => command.args(["--ftp-port", "-", "--disable-eprt"]),
            Mode::Eprt => command.args(["--ftp-port", "-"]),
        }
    }
}

/// The SHA-256 of a file, in hexadecimal.
pub fn sha256(file: &Path) -> Result<String> {
    let output = run(Command::new("sha256sum").arg(file))?;
    Ok(output.split_whitespace().next().context("no output of sha256sum")?.to_owned())
}
