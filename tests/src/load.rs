//! A crowd: many connections open at the same time, each used several times, every answer checked.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Error};
use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::http::Session;
use crate::process::PATIENCE;

/// Connections one thread looks after.
const PER_THREAD: usize = 25;

/// What the crowd should do.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Connections, all of them open before the first request goes out.
    pub connections: usize,
    /// Requests on each connection.
    pub requests: usize,
}

/// What the crowd saw.
#[derive(Debug, Default)]
pub struct LoadReport {
    /// Connections served by each real server.
    pub connections: BTreeMap<String, usize>,
    /// Right answers.
    pub answers: usize,
    /// What went wrong.
    pub failures: Vec<String>,
    /// Time from the first SYN to the last answer.
    pub elapsed: Duration,
}

impl Load {
    /// Runs the crowd from the client against an HTTP service.
    pub fn run(self, client: &Client, target: impl Into<SocketAddr>) -> io::Result<LoadReport> {
        let (target, started) = (target.into(), Instant::now());
        let threads = self.connections.div_ceil(PER_THREAD);
        let everybody_in = Barrier::new(threads);
        let reports: Vec<LoadReport> = thread::scope(|scope| {
            let guests: Vec<_> = (0..threads)
                .map(|index| {
                    let share = PER_THREAD.min(self.connections - index * PER_THREAD);
                    let everybody_in = &everybody_in;
                    scope.spawn(move || guest(client, target, share, self.requests, everybody_in))
                })
                .collect();
            guests.into_iter().map(|guest| guest.join().expect("a guest panicked")).collect()
        });
        let mut total = LoadReport { elapsed: started.elapsed(), ..LoadReport::default() };
        for report in reports {
            total.answers += report.answers;
            total.failures.extend(report.failures);
            for (server, count) in report.connections {
                *total.connections.entry(server).or_default() += count;
            }
        }
        Ok(total)
    }
}

/// One thread's share: opens its connections, waits for the others, then asks on all of them before it reads.
fn guest(
    client: &Client,
    target: SocketAddr,
    share: usize,
    requests: usize,
    everybody_in: &Barrier,
) -> LoadReport {
    let mut report = LoadReport::default();
    let mut sessions = Vec::new();
    // One thread visits the namespace once and opens all of its sockets there.
    let dial = |_| client.dial(target, PATIENCE);
    let opened = client.namespace().within(|| Ok((0..share).map(dial).collect::<Vec<_>>()));
    // A thread that failed must still come to the barrier, or the others would wait for ever.
    everybody_in.wait();
    for stream in opened.unwrap_or_else(|error| vec![Err(error)]) {
        match stream {
            Ok(stream) => sessions.push((Session::new(stream), String::new())),
            Err(error) => report.failures.push(format!("connect: {error}")),
        }
    }
    for round in 0..requests {
        for (session, _) in &mut sessions {
            if let Err(error) = session.ask("/small") {
                report.failures.push(format!("request: {error}"));
            }
        }
        for (session, served_by) in &mut sessions {
            match answer(session, served_by, round == 0) {
                Ok(()) => report.answers += 1,
                Err(error) => report.failures.push(format!("answer: {error}")),
            }
        }
    }
    for (_, server) in sessions {
        *report.connections.entry(server).or_default() += 1;
    }
    report
}

/// Reads one answer: whole, and from the server that this connection belongs to.
fn answer(session: &mut Session, served_by: &mut String, first: bool) -> io::Result<()> {
    let response = session.answer()?;
    if first {
        served_by.clone_from(&response.server);
    }
    let expected = format!("small from {served_by}\n");
    if response.status != 200 || response.server != *served_by || response.body != expected.as_bytes() {
        return Err(Error::other(format!("{response:?} on a connection to {served_by}")));
    }
    Ok(())
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "answers={} failures={}", self.answers, self.failures.len())?;
        for (server, count) in &self.connections {
            write!(f, " {server}={count}")?;
        }
        write!(f, " seconds={:.2}", self.elapsed.as_secs_f64())
    }
}
