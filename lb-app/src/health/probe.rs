//! One check of one server, whatever its kind: done in time, or it has failed.

use super::{
    advice::Told,
    agent, command,
    datagrams::Datagrams,
    dns, file,
    group::address,
    http, icmp,
    means::Means,
    smtp,
    target::{Answer, Target, plain},
    udp,
};
use crate::{
    config::health::{Check, Kind},
    dataplane::host::Peer,
};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::error::Elapsed,
};

/// Checks a server, and returns how long that took; waiting for a turn does not count.
pub(crate) async fn probe(means: &Means, check: &Check, target: &Target) -> (Answer, Duration) {
    // Fewer programs may run than checks be made: those that wait hold nobody else up.
    let program = match check.kind {
        Kind::Command(_) => command::turn(&means.programs).await,
        _ => None,
    };
    let _turn = means.checks.acquire().await;
    let start = tokio::time::Instant::now();
    let limit = Duration::from_millis(check.timeout.as_millis());
    let answer = match within(limit, check, ask(means, check, target, (program, limit))).await {
        Ok(answer) => answer,
        Err(_) if check.to_vip && means.by_ports(check, target) => Err(format!(
            "no answer within {} from {} on the path of traffic: does the server have that address?",
            check.timeout, target.key.service.vip
        )),
        Err(_) => Err(format!("no answer within {}", check.timeout)),
    };
    (answer, start.elapsed())
}

/// A check's outcome, if there is one in time. One that takes silence for success tells the time by itself, and so does
/// whoever runs a program.
async fn within(
    limit: Duration,
    check: &Check,
    asked: impl Future<Output = Answer>,
) -> Result<Answer, Elapsed> {
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
) -> Answer {
    let (to, leave) = (address(check, target), &check.leave);
    let talk = || {
        let by_ports = means.by_ports(check, target);
        by_ports.then(|| means.ports.talk(target, check.to_vip, peer(check, to))).transpose()
    };
    let connect = || async {
        let connected = match talk()? {
            None => means.doors.tcp(leave, to).await.map(|stream| Box::new(stream) as Box<dyn Stream>),
            Some(talk) => talk.connect(to).await.map(|stream| Box::new(stream) as Box<dyn Stream>),
        };
        connected.map_err(|error| plain(&error))
    };
    let datagrams = || async { Datagrams::open(&means.doors, leave, talk()?, to).await };
    let found = match &check.kind {
        Kind::Tcp => connect().await.map(drop),
        Kind::Http(http) => http::ask(means, connect, to, http).await,
        Kind::Smtp(smtp) => smtp::ask(connect().await?, smtp).await,
        Kind::Icmp => match talk()? {
            None => icmp::ask(&means.doors, leave, to.ip()).await,
            Some(talk) => icmp::ask_by_ports(talk, to.ip()).await,
        },
        Kind::Udp(datagram) if udp::takes_silence(datagram) => {
            udp::ask_for_silence(datagrams(), datagram, limit).await
        }
        Kind::Udp(datagram) => udp::ask(datagrams().await?, datagram).await,
        Kind::Dns(query) => dns::ask(datagrams().await?, query).await,
        Kind::Command(what) => {
            let turn = program.ok_or("checks are ending")?;
            return command::ask(means, check.leave.netns.as_deref(), (what, target), (turn, limit)).await;
        }
        Kind::File(what) => return file::ask(what).await,
        Kind::Agent(what) => return agent::ask(connect().await?, what).await,
    };
    found.map(|()| Told::works())
}

/// A connection, by the kernel or by the director's own ports.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Who answers: of a ping there is no port.
fn peer(check: &Check, to: SocketAddr) -> Peer {
    Peer { address: to.ip(), port: if matches!(check.kind, Kind::Icmp) { 0 } else { to.port() } }
}
