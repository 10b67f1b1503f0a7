//! One check of one server, whatever its kind: done in time, or it has failed.

use super::{
    command,
    datagrams::Datagrams,
    dns, http, icmp,
    means::Means,
    smtp,
    target::{Finding, Target, plain},
    udp,
};
use crate::{
    config::health::{Check, Kind},
    dataplane::host::Peer,
};
use std::{net::SocketAddr, time::Duration};
use tokio::time::error::Elapsed;

/// Checks a server, and returns how long that took; waiting for a turn does not count.
pub(crate) async fn probe(means: &Means, check: &Check, target: &Target) -> (Finding, Duration) {
    // Fewer programs may run than checks be made: those that wait hold nobody else up.
    let program = match check.kind {
        Kind::Command(_) => command::turn(means).await,
        _ => None,
    };
    let _turn = means.checks.acquire().await;
    let start = tokio::time::Instant::now();
    let limit = Duration::from_millis(check.timeout.as_millis());
    let finding = match within(limit, check, ask(means, check, target, (program, limit))).await {
        Ok(finding) => finding,
        Err(_) if check.to_vip && means.by_ports(check, target) => Err(format!(
            "no answer within {} from {} on the path of traffic: does the server have that address?",
            check.timeout, target.key.service.vip
        )),
        Err(_) => Err(format!("no answer within {}", check.timeout)),
    };
    (finding, start.elapsed())
}

/// A check's outcome, if there is one in time. One that takes silence for success tells the time by itself, and so does
/// whoever runs a program.
async fn within(
    limit: Duration,
    check: &Check,
    asked: impl Future<Output = Finding>,
) -> Result<Finding, Elapsed> {
    match &check.kind {
        Kind::Udp(datagram) if udp::takes_silence(datagram) => Ok(asked.await),
        Kind::Command(_) => Ok(asked.await),
        _ => tokio::time::timeout(limit, asked).await,
    }
}

async fn ask(
    means: &Means,
    check: &Check,
    target: &Target,
    (program, limit): (Option<command::Turn>, Duration),
) -> Finding {
    let (to, leave) = (address(check, target), &check.leave);
    let by_ports = means
        .by_ports(check, target)
        .then(|| means.ports.talk(target, check.to_vip, peer(check, to)))
        .transpose()?;
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
        (Kind::Smtp(smtp), None) => {
            let stream = means.doors.tcp(leave, to).await.map_err(|error| plain(&error))?;
            smtp::ask(stream, smtp).await
        }
        (Kind::Smtp(smtp), Some(talk)) => {
            let stream = talk.connect(to).await.map_err(|error| plain(&error))?;
            smtp::ask(stream, smtp).await
        }
        (Kind::Icmp, None) => icmp::ask(&means.doors, leave, to.ip()).await,
        (Kind::Icmp, Some(talk)) => icmp::ask_by_ports(talk, to.ip()).await,
        (Kind::Udp(datagram), talk) if udp::takes_silence(datagram) => {
            udp::ask_for_silence(Datagrams::open(&means.doors, leave, talk, to), datagram, limit).await
        }
        (Kind::Udp(datagram), talk) => {
            udp::ask(Datagrams::open(&means.doors, leave, talk, to).await?, datagram).await
        }
        (Kind::Dns(query), talk) => {
            dns::ask(Datagrams::open(&means.doors, leave, talk, to).await?, query).await
        }
        (Kind::Command(what), _) => {
            let turn = program.ok_or("checks are ending")?;
            command::ask(means, check.leave.netns.as_deref(), (what, target), (turn, limit)).await
        }
    }
}

/// Where the check goes to.
fn address(check: &Check, target: &Target) -> SocketAddr {
    let key = &target.key;
    let to = if check.to_vip { key.service.endpoint() } else { key.endpoint() };
    SocketAddr::new(check.address.unwrap_or(to.ip()), check.port.unwrap_or(to.port()))
}

/// Who answers: of a ping there is no port.
fn peer(check: &Check, to: SocketAddr) -> Peer {
    Peer { address: to.ip(), port: if matches!(check.kind, Kind::Icmp) { 0 } else { to.port() } }
}
