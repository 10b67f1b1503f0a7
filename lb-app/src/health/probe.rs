//! One check of one server, whatever its kind: done in time, or it has failed.

use super::{
    Balancer, command, dns, http, icmp,
    ports::Ports,
    socket::{Datagrams, Doors, plain},
    tls::Trust,
    udp,
};
use crate::config::health::{Check, Kind};
use lb_core::service::{address::v4, key::ServerKey};
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
    /// The server.
    pub(crate) key: ServerKey,
}

/// What checks share.
#[derive(Debug)]
pub(crate) struct Means {
    pub(crate) doors: Doors,
    pub(crate) ports: Ports,
    pub(crate) trust: Trust,
    pub(crate) programs: Arc<Semaphore>,
    /// Checks under way, as many as there are file descriptors for.
    checks: Semaphore,
}

impl Means {
    /// For at most that many checks at a time, some of which may leave by a balancer's ports.
    pub(crate) fn new(checks: usize, balancer: Option<Arc<dyn Balancer>>) -> Arc<Self> {
        Arc::new(Means {
            doors: Doors::default(),
            ports: Ports::new(balancer),
            trust: Trust::default(),
            programs: Arc::new(Semaphore::new(MOST_PROGRAMS)),
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
        Err(_) if check.leave.ports && check.to_vip => Err(format!(
            "no answer within {} from {} by the way of traffic: does the server have that address?",
            check.timeout, target.key.service.vip
        )),
        Err(_) => Err(format!("no answer within {}", check.timeout)),
    };
    (finding, start.elapsed())
}

async fn ask(means: &Means, check: &Check, target: &Target, limit: Duration) -> Finding {
    let (to, leave) = (address(check, target)?, &check.leave);
    let by_ports = leave.ports.then(|| means.ports.talk(target, check.to_vip)).transpose()?;
    match (&check.kind, by_ports) {
        (Kind::Tcp, None) => means.doors.tcp(leave, to).await.map(drop).map_err(|error| plain(&error)),
        (Kind::Tcp, Some(talk)) => talk.connect(to).await.map(drop).map_err(|error| plain(&error)),
        (Kind::Http(request), None) => {
            let stream = means.doors.tcp(leave, to).await.map_err(|error| plain(&error))?;
            http::ask(means, stream, to, request).await
        }
        (Kind::Http(request), Some(talk)) => {
            let stream = talk.connect(to).await.map_err(|error| plain(&error))?;
            http::ask(means, stream, to, request).await
        }
        (Kind::Icmp, None) => icmp::ask(&means.doors, leave, *to.ip()).await,
        (Kind::Icmp, Some(talk)) => icmp::ask_by_ports(talk, *to.ip()).await,
        (Kind::Udp(datagram), talk) => {
            udp::ask(Datagrams::open(&means.doors, leave, talk, to).await?, datagram, limit).await
        }
        (Kind::Dns(query), talk) => {
            dns::ask(Datagrams::open(&means.doors, leave, talk, to).await?, query).await
        }
        (Kind::Command(program), _) => {
            command::ask(means, check.leave.netns.as_deref(), program, target, limit).await
        }
    }
}

/// Where the check goes to.
fn address(check: &Check, target: &Target) -> Result<SocketAddrV4, String> {
    let key = &target.key;
    let to = if check.to_vip { key.service.endpoint() } else { key.endpoint() };
    let address = check.address.map_or_else(|| v4(to.ip()), Ok).map_err(|error| error.to_string())?;
    Ok(SocketAddrV4::new(address, check.port.unwrap_or(to.port())))
}
