//! Connections that stay open while directors come and go, and how many of them have broken.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::client::Client;
use crate::http::Session;
use crate::process::PATIENCE;

/// How long an answer may take before its connection counts as broken: longer than TCP needs to get over a failover, on a
/// busy machine.
const LIMIT: Duration = PATIENCE;

/// Connections, each with the server that it is with.
#[derive(Debug, Default)]
pub struct Flock {
    open: Vec<(Session, String)>,
    /// Those that were reset, got no answer, or got one of another server, with what happened.
    pub broken: Vec<String>,
}

impl Flock {
    /// Opens so many connections to each of the targets.
    pub fn open(client: &Client, targets: &[SocketAddrV4], each: usize) -> Result<Self> {
        let mut flock = Self::default();
        for target in targets.iter().flat_map(|target| std::iter::repeat_n(target, each)) {
            let mut session = client.http(*target)?;
            session.stream().set_read_timeout(Some(LIMIT))?;
            let server = session.get("/small")?.server;
            flock.open.push((session, server));
        }
        Ok(flock)
    }

    /// Connections that are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Uses all of them, all at once, and sorts out those that have broken. Returns how many these are.
    pub fn check(&mut self) -> usize {
        let before = self.broken.len();
        let asked: Vec<_> = self.open.iter_mut().map(|(session, _)| session.ask("/small")).collect();
        for ((mut session, server), asked) in std::mem::take(&mut self.open).into_iter().zip(asked) {
            match asked.and_then(|()| session.answer()) {
                Ok(answer) if answer.server == server => self.open.push((session, server)),
                Ok(answer) => self.broken.push(format!("{server} became {}", answer.server)),
                Err(error) => self.broken.push(error.to_string()),
            }
        }
        self.broken.len() - before
    }
}

/// Tries to open connections until one succeeds and is answered.
pub fn until_served(client: &Client, target: SocketAddrV4, limit: Duration) -> Result<()> {
    let start = Instant::now();
    loop {
        let answer = client.tcp_briefly(target, Duration::from_millis(100)).and_then(|stream| {
            stream.set_read_timeout(Some(Duration::from_millis(500)))?;
            Session::new(stream).get("/small")
        });
        if answer.is_ok_and(|answer| answer.status == 200) {
            return Ok(());
        }
        ensure!(start.elapsed() < limit, "{target} is not served after {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
