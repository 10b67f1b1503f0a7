//! A datagram as a check: an answer, or at least no ICMP error.

use super::{
    datagrams::Datagrams,
    target::{Finding, plain},
};
use crate::config::health::Udp;
use std::{future::Future, io, time::Duration};
use tokio::time::Instant;

/// What of its time a check gives a server at least, after the datagram has been sent.
const SHARE: u32 = 2;
/// How many times that long it may take to send it: a machine that is busy says nothing about a server.
const MOST: u32 = 10;

/// Asks for an answer, and takes no other.
pub(super) async fn ask(mut socket: Datagrams, check: &Udp) -> Finding {
    socket.send(&check.payload).await.map_err(|error| wrong(&error))?;
    hear(&mut socket, check).await
}

/// Asks, and takes silence until `limit` is over for an answer: no ICMP error has come. The time is told here, since
/// whoever else told it could not know whether there was anything to be silent about.
pub(super) async fn ask_for_silence(
    socket: impl Future<Output = Result<Datagrams, String>>,
    check: &Udp,
    limit: Duration,
) -> Finding {
    let end = Instant::now() + limit;
    let sent = async {
        let mut socket = socket.await?;
        socket.send(&check.payload).await.map_err(|error| wrong(&error))?;
        Ok::<_, String>(socket)
    };
    let mut socket = match tokio::time::timeout(limit * MOST, sent).await {
        Ok(sent) => sent?,
        Err(_) => return Err("the datagram could not be sent in time".to_owned()),
    };
    // Where this machine was too busy to send it earlier, the server is no worse for it.
    let end = end.max(Instant::now() + limit / SHARE);
    tokio::time::timeout_at(end, hear(&mut socket, check)).await.unwrap_or(Ok(()))
}

/// Whether silence is fine.
pub(super) fn takes_silence(check: &Udp) -> bool {
    !check.require_reply && check.expect.is_none()
}

async fn hear(socket: &mut Datagrams, check: &Udp) -> Finding {
    let answer = socket.receive().await.map_err(|error| wrong(&error))?;
    match &check.expect {
        Some(expected) if !expected.0.is_match(&answer) => {
            Err(format!("its answer does not match {:?}", expected.0.as_str()))
        }
        _ => Ok(()),
    }
}

/// What an error of a UDP socket means.
pub(super) fn wrong(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nothing listens on its port".to_owned(),
        _ => plain(error),
    }
}
