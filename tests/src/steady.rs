//! A client that never stops: one new connection after the other, and who answered each.

use std::net::SocketAddrV4;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::client::Client;
use crate::http::Session;
use crate::process::{PATIENCE, eventually, until_over};

/// How long a connection may take to open and to be answered, each. Long enough for a packet that was lost.
const LIMIT: Duration = Duration::from_secs(3);
/// The same where some packets in a row may be lost.
const PATIENT: Duration = Duration::from_secs(10);
/// Time between two connections.
const PAUSE: Duration = Duration::from_millis(2);

/// One connection: when it began, and who answered or what went wrong.
pub type Attempt = (Instant, std::result::Result<String, String>);

/// What a client sees while something else happens.
#[derive(Debug)]
pub struct Steady {
    limit: Duration,
    attempts: Mutex<Vec<Attempt>>,
    over: AtomicBool,
}

impl Steady {
    /// Lets several clients connect all the time while `story` goes on.
    pub fn during<T>(
        client: &Client,
        target: SocketAddrV4,
        clients: usize,
        story: impl FnOnce(&Self) -> T,
    ) -> T {
        Self::within(LIMIT, client, target, clients, story)
    }

    /// The same, by clients who wait for longer.
    pub fn patiently<T>(
        client: &Client,
        target: SocketAddrV4,
        clients: usize,
        story: impl FnOnce(&Self) -> T,
    ) -> T {
        Self::within(PATIENT, client, target, clients, story)
    }

    fn within<T>(
        limit: Duration,
        client: &Client,
        target: SocketAddrV4,
        clients: usize,
        story: impl FnOnce(&Self) -> T,
    ) -> T {
        let steady = Self { limit, attempts: Mutex::default(), over: AtomicBool::default() };
        thread::scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| {
                    let outcome = client.namespace().within(|| {
                        while !steady.over.load(Ordering::Relaxed) {
                            steady.connect(client, target);
                            thread::sleep(PAUSE);
                        }
                        Ok(())
                    });
                    outcome.expect("the client's namespace is there");
                });
            }
            until_over(&steady.over, || story(&steady))
        })
    }

    /// All attempts that began at `start` or later and are over.
    pub fn since(&self, start: Instant) -> Vec<Attempt> {
        let attempts = self.attempts.lock().expect("no panic");
        attempts.iter().filter(|(at, _)| *at >= start).cloned().collect()
    }

    /// Waits for so many attempts that begin from now on, and returns them and those that ended with them.
    pub fn watch(&self, count: usize) -> Result<Vec<Attempt>> {
        let start = Instant::now();
        let enough = eventually(PATIENCE, || Ok(self.since(start).len() >= count))?;
        ensure!(enough, "not {count} attempts in {PATIENCE:?}");
        Ok(self.since(start))
    }

    fn connect(&self, client: &Client, target: SocketAddrV4) {
        let start = Instant::now();
        let answer = client.dial(target, self.limit).and_then(|stream| {
            stream.set_read_timeout(Some(self.limit))?;
            Session::new(stream).get("/small")
        });
        let outcome = match answer {
            Ok(answer) if answer.status != 200 => Err(format!("{} from {}", answer.status, answer.server)),
            Ok(answer) => Ok(answer.server),
            Err(error) => Err(error.to_string()),
        };
        self.attempts.lock().expect("no panic").push((start, outcome));
    }
}
