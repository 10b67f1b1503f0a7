//! The client: curl, sockets of its own, ping.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use socket2::SockRef;

use crate::http::Session;
use crate::netns::Namespace;
use crate::process::{PATIENCE, run};
use crate::server::TEN_MEGABYTES_SHA256;

/// The client's side of a world.
#[derive(Debug)]
pub struct Client {
    namespace: Namespace,
}

impl Client {
    pub(crate) fn new(namespace: Namespace) -> Self {
        Self { namespace }
    }

    /// The same client, for a story that changes the world while the client goes on.
    #[must_use]
    pub fn twin(&self) -> Self {
        Self { namespace: self.namespace.twin() }
    }

    /// Where the client lives.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub(crate) fn namespace_mut(&mut self) -> &mut Namespace {
        &mut self.namespace
    }

    /// curl, ready for more arguments: silent but for errors, failing on HTTP errors, never longer than `seconds`.
    fn curl(&self, seconds: u32) -> Command {
        let mut command = self.namespace.command("curl");
        command.args(["-sS", "--fail", "--noproxy", "*", "--connect-timeout", "20"]);
        command.args(["--max-time", &seconds.to_string()]);
        command
    }

    /// Fetches `/` `times` times, each on a connection of its own, and counts who answered.
    pub fn who_answers(&self, target: impl Into<SocketAddr>, times: u32) -> Result<BTreeMap<String, usize>> {
        let target = target.into();
        // curl expands the brackets itself: one process, many requests.
        let url = format!("http://{target}/?[1-{times}]");
        let bodies = run(self.curl(60).args(["-H", "Connection: close", &url]))?;
        let mut count = BTreeMap::new();
        for name in bodies.lines() {
            *count.entry(name.to_owned()).or_default() += 1;
        }
        let total: usize = count.values().sum();
        ensure!(total == times as usize, "{total} answers to {times} requests");
        Ok(count)
    }

    /// Fetches a path and returns the answer's body.
    pub fn fetch(&self, target: impl Into<SocketAddr>, path: &str) -> Result<String> {
        run(self.curl(60).arg(format!("http://{}{path}", target.into())))
    }

    /// Fetches a path, however long it is, and returns the body's SHA-256 in hexadecimal.
    pub fn sha256_of(&self, target: impl Into<SocketAddr>, path: &str) -> Result<String> {
        self.sha256(&format!("'http://{}{path}'", target.into()))
    }

    /// Fetches the first ten million bytes of `/big`, and says whether they are right.
    pub fn ten_megabytes(&self, target: impl Into<SocketAddr>) -> Result<bool> {
        let sum = self.sha256(&format!("--range 0-9999999 'http://{}/big'", target.into()))?;
        Ok(sum == TEN_MEGABYTES_SHA256)
    }

    fn sha256(&self, what: &str) -> Result<String> {
        let script = format!(
            "set -o pipefail; curl -sS --fail --noproxy '*' --connect-timeout 20 --max-time 90 \
             --speed-limit 1000 --speed-time 10 {what} | sha256sum"
        );
        let output = run(self.namespace.command("bash").args(["-c", &script]))?;
        Ok(output.split_whitespace().next().context("no output of sha256sum")?.to_owned())
    }

    /// Posts `bytes` bytes and returns how many the server says it received.
    pub fn upload(&self, target: impl Into<SocketAddr>, bytes: u64) -> Result<u64> {
        let target = target.into();
        let script = format!(
            "set -o pipefail; head -c {bytes} /dev/zero | curl -sS --fail --noproxy '*' --connect-timeout 20 \
             --max-time 60 -H 'Expect:' -H 'Content-Type: application/octet-stream' --data-binary @- \
             'http://{target}/upload'"
        );
        let answer = run(self.namespace.command("bash").args(["-c", &script]))?;
        answer.trim().parse().with_context(|| format!("upload answered {answer:?}"))
    }

    /// Opens a TCP connection.
    pub fn tcp(&self, target: impl Into<SocketAddr>) -> io::Result<TcpStream> {
        let target = target.into();
        self.namespace.within(|| self.dial(target, PATIENCE))
    }

    /// Opens a TCP connection, and gives up earlier than usual.
    pub fn tcp_briefly(&self, target: impl Into<SocketAddr>, limit: Duration) -> io::Result<TcpStream> {
        let target = target.into();
        self.namespace.within(|| self.dial(target, limit))
    }

    /// Opens a TCP connection, called by a thread that is in the client's namespace already.
    pub(crate) fn dial(&self, target: impl Into<SocketAddr>, limit: Duration) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&target.into(), limit)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Opens an HTTP connection that stays open.
    pub fn http(&self, target: impl Into<SocketAddr>) -> io::Result<Session> {
        self.tcp(target).map(Session::new)
    }

    /// A UDP socket that talks to `target` only, and so hears of ICMP errors from there.
    pub fn udp(&self, target: impl Into<SocketAddr>) -> io::Result<UdpSocket> {
        let target = target.into();
        self.namespace.within(|| {
            let any: IpAddr =
                if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            let socket = UdpSocket::bind((any, 0))?;
            socket.connect(target)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            Ok(socket)
        })
    }

    /// Pings an address three times and insists on three replies.
    pub fn ping(&self, target: impl Into<IpAddr>) -> Result<()> {
        let address = target.into().to_string();
        let output =
            self.namespace.run("ping", &["-n", "-c", "3", "-i", "0.2", "-W", "5", "-w", "15", &address])?;
        ensure!(output.contains("3 received"), "{output}");
        Ok(())
    }
}

/// What a datagram to one of the servers that send it back is answered by. It is sent again while nothing comes, as UDP's
/// clients do: namespaces share the kernel's queue of what has arrived (`net.core.netdev_max_backlog`), and what others send
/// may fill it.
pub fn exchange(socket: &UdpSocket, datagram: &[u8]) -> io::Result<Vec<u8>> {
    socket.set_read_timeout(Some(PATIENCE / 15))?;
    let end = Instant::now() + PATIENCE;
    let mut answer = vec![0; 65_536];
    let mut is_to_be_sent = true;
    loop {
        let sent = if is_to_be_sent { socket.send(datagram) } else { Ok(0) };
        is_to_be_sent = match sent.and_then(|_| uninterrupted(|| socket.recv(&mut answer))) {
            Ok(length) if answer[..length].ends_with(datagram) => {
                answer.truncate(length);
                return Ok(answer);
            }
            // One before it was sent twice, and is answered twice.
            Ok(_) => false,
            // The kernel says the latter where it has not found the next station's Ethernet address.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::HostUnreachable)
                    && Instant::now() < end =>
            {
                true
            }
            Err(error) => return Err(error),
        };
    }
}

/// Receives, whatever signal comes meanwhile. The kernel does not take up again who waits with a limit (`signal(7)`), and
/// the end of a child may wake any thread of a program that starts others: the one whose child it is may be starting the
/// next just then, with all signals blocked.
pub fn uninterrupted<T>(mut receive: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match receive() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Ends a connection with a reset instead of the usual farewell.
pub fn reset(stream: TcpStream) -> io::Result<()> {
    // With a linger time of zero, closing throws the connection away.
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    drop(stream);
    Ok(())
}
