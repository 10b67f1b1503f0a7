//! A datagram as a check: an answer, or at least no ICMP error.

use super::{
    probe::Finding,
    socket::{Doors, plain},
};
use crate::config::health::{Leave, Udp};
use std::{io, net::SocketAddrV4, time::Duration};
use tokio::net::UdpSocket;

/// Largest datagram.
pub(super) const DATAGRAM: usize = 65_536;

pub(super) async fn ask(
    doors: &Doors,
    leave: &Leave,
    to: SocketAddrV4,
    check: &Udp,
    limit: Duration,
) -> Finding {
    let socket = doors.udp(leave, to).await.map_err(|error| plain(&error))?;
    socket.send(&check.payload).await.map_err(|error| wrong(&error))?;
    if check.require_reply || check.expect.is_some() {
        return hear(&socket, check).await;
    }
    // As long as there is time, an ICMP error may come; silence is fine.
    match tokio::time::timeout(limit * 9 / 10, hear(&socket, check)).await {
        Ok(finding) => finding,
        Err(_) => Ok(()),
    }
}

async fn hear(socket: &UdpSocket, check: &Udp) -> Finding {
    let mut buffer = vec![0; DATAGRAM];
    let length = socket.recv(&mut buffer).await.map_err(|error| wrong(&error))?;
    match &check.expect {
        Some(expected) if !expected.0.is_match(&buffer[..length]) => {
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
