//! IRC: ngircd, and clients that say and hear lines.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::netns::Namespace;
use crate::process::{Background, PATIENCE, eventually};

/// Where clients connect to.
pub const IRC: u16 = 6667;

/// ngircd in a namespace.
#[derive(Debug)]
pub struct Ngircd {
    _process: Background,
}

impl Ngircd {
    /// Starts it at that address, and waits until it listens.
    pub fn start(namespace: &Namespace, address: IpAddr, directory: &Path) -> Result<Self> {
        let (configuration, log) = (directory.join("ngircd.conf"), directory.join("ngircd.log"));
        fs::write(
            &configuration,
            format!(
                "[Global]\nName = irc.example.net\nInfo = story\nListen = {address}\nPorts = {IRC}\n\
                 MotdPhrase = \"hi\"\nServerUID = nobody\nServerGID = nogroup\n\
                 [Limits]\nMaxConnectionsIP = 0\nPingTimeout = 600\n\
                 [Options]\nDNS = no\nIdent = no\nPAM = no\n"
            ),
        )?;
        let mut command = namespace.command("/usr/sbin/ngircd");
        let mut process = namespace.spawn(command.args(["-n", "-f"]).arg(&configuration), &log)?;
        let ready = eventually(PATIENCE, || {
            ensure!(process.finished()?.is_none(), "ngircd: {}", fs::read_to_string(&log)?);
            Ok(namespace.within(|| TcpStream::connect((address, IRC))).is_ok())
        })?;
        ensure!(ready, "ngircd does not listen: {}", fs::read_to_string(&log)?);
        Ok(Self { _process: process })
    }
}

/// A client of IRC.
#[derive(Debug)]
pub struct Speaker {
    stream: BufReader<TcpStream>,
}

impl Speaker {
    /// Connects from a namespace under a name, and waits for its welcome.
    pub fn join(namespace: &Namespace, server: IpAddr, nick: &str) -> Result<Self> {
        let stream = namespace.within(|| TcpStream::connect((server, IRC)))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut speaker = Self { stream: BufReader::new(stream) };
        speaker.say(&format!("NICK {nick}"))?;
        speaker.say(&format!("USER {nick} 0 * :{nick}"))?;
        speaker.hear(" 001 ")?;
        Ok(speaker)
    }

    /// Its own end.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.stream.get_ref().local_addr()?)
    }

    /// Says a line.
    pub fn say(&mut self, line: &str) -> Result<()> {
        Ok(self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes())?)
    }

    /// Says a line in two segments, or more if the kernel likes.
    pub fn say_in_parts(&mut self, line: &str, at: usize) -> Result<()> {
        let (one, other) = line.split_at(at);
        self.stream.get_ref().set_nodelay(true)?;
        self.stream.get_mut().write_all(one.as_bytes())?;
        self.say(other)
    }

    /// Sends a message of DCC to somebody.
    pub fn offer(&mut self, to: &str, text: &str) -> Result<()> {
        self.say(&format!("PRIVMSG {to} :\u{1}DCC {text}\u{1}"))
    }

    /// The next line that has this in it. Whether it is still there is answered meanwhile.
    pub fn hear(&mut self, what: &str) -> Result<String> {
        loop {
            let mut line = String::new();
            let len = self.stream.read_line(&mut line).with_context(|| format!("waiting for {what:?}"))?;
            ensure!(len > 0, "the connection is over, waiting for {what:?}");
            if let Some(rest) = line.strip_prefix("PING ") {
                self.say(&format!("PONG {}", rest.trim()))?;
            }
            if line.contains(what) {
                return Ok(line.trim().to_owned());
            }
        }
    }

    /// The words of the next message of DCC with that verb, behind it.
    pub fn hear_offer(&mut self, verb: &str) -> Result<Vec<String>> {
        let ahead = format!("\u{1}DCC {verb} ");
        let line = self.hear(&ahead)?;
        let (_, words) = line.split_once(&ahead).context("words")?;
        Ok(words.trim_end_matches('\u{1}').split(' ').map(str::to_owned).collect())
    }
}
