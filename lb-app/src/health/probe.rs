//! One check of one server, whatever its kind: done in time, or it has failed.

use super::{command, dns, http, icmp, socket::Doors, socket::plain, tls::Trust, udp};
use crate::config::health::{Check, Kind, ServiceKey};
use std::{net::SocketAddrV4, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// Programs that run as checks or hooks at the same time, at most.
const MOST_PROGRAMS: usize = 64;

/// What a check found: nothing wrong, or what is wrong in plain words.
pub(crate) type Finding = Result<(), String>;

/// Who is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The operator's name of the service.
    pub(crate) name: String,
    pub(crate) service: ServiceKey,
    pub(crate) server: SocketAddrV4,
}

/// What checks share.
#[derive(Debug)]
pub(crate) struct Means {
    pub(crate) doors: Doors,
    pub(crate) trust: Trust,
    pub(crate) programs: Semaphore,
    /// Checks under way, as many as there are file descriptors for.
    checks: Semaphore,
}

impl Means {
    /// For at most that many checks at a time.
    pub(crate) fn new(checks: usize) -> Arc<Self> {
        Arc::new(Means {
            doors: Doors::default(),
            trust: Trust::default(),
            programs: Semaphore::new(MOST_PROGRAMS),
            checks: Semaphore::new(checks),
        })
    }
}

/// Checks a server, and says how long that took; waiting for one's turn does not count.
pub(crate) async fn probe(means: &Means, check: &Check, target: &Target) -> (Finding, Duration) {
    let _turn = means.checks.acquire().await;
    let start = tokio::time::Instant::now();
    let limit = Duration::from_millis(check.timeout.as_millis());
    let finding = match tokio::time::timeout(limit, ask(means, check, target, limit)).await {
        Ok(finding) => finding,
        Err(_) => Err(format!("no answer within {}", check.timeout)),
    };
    (finding, start.elapsed())
}

async fn ask(means: &Means, check: &Check, target: &Target, limit: Duration) -> Finding {
    let to = address(check, target);
    match &check.kind {
        Kind::Tcp => {
            let opened = means.doors.tcp(&check.leave, to).await;
            opened.map(drop).map_err(|error| plain(&error))
        }
        Kind::Http(request) => http::ask(means, &check.leave, to, request).await,
        Kind::Icmp => icmp::ask(&means.doors, &check.leave, *to.ip()).await,
        Kind::Udp(datagram) => udp::ask(&means.doors, &check.leave, to, datagram, limit).await,
        Kind::Dns(query) => dns::ask(&means.doors, &check.leave, to, query).await,
        Kind::Command(program) => {
            command::ask(means, check.leave.netns.as_deref(), program, target, limit).await
        }
    }
}

/// Where the check goes to.
fn address(check: &Check, target: &Target) -> SocketAddrV4 {
    let (_, vip) = target.service;
    let to = if check.to_vip { vip } else { target.server };
    SocketAddrV4::new(check.address.unwrap_or(*to.ip()), check.port.unwrap_or(to.port()))
}
