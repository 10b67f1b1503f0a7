//! A datagram as a check: an answer, or at least no ICMP error.

use super::{
    probe::Finding,
    socket::{Datagrams, plain},
};
use crate::config::health::Udp;
use std::{io, time::Duration};

pub(super) async fn ask(mut socket: Datagrams, check: &Udp, limit: Duration) -> Finding {
    socket.send(&check.payload).await.map_err(|error| wrong(&error))?;
    if check.require_reply || check.expect.is_some() {
        return hear(&mut socket, check).await;
    }
    // As long as there is time, an ICMP error may come; silence is fine.
    match tokio::time::timeout(limit * 9 / 10, hear(&mut socket, check)).await {
        Ok(finding) => finding,
        Err(_) => Ok(()),
    }
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
