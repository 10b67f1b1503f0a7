//! Datagrams to one server and from it, by the kernel or by the director's own ports.

use super::{
    conversation::{Conversation, Heard},
    socket::Doors,
    target::plain,
};
use crate::config::health::Leave;
use std::{io, net::SocketAddr};
use tokio::net::UdpSocket;

/// Largest datagram.
const DATAGRAM: usize = 65_536;

/// A socket that talks to one server in datagrams. What others send is not heard.
pub(super) enum Datagrams {
    /// One of the kernel's.
    Kernel(UdpSocket, SocketAddr),
    /// By the director's own ports. It begins when something is sent.
    Ports(Box<Conversation>, SocketAddr),
}

impl Datagrams {
    /// One that leaves by the talk if there is one.
    pub(super) async fn open(
        doors: &Doors,
        leave: &Leave,
        talk: Option<Conversation>,
        to: SocketAddr,
    ) -> Result<Self, String> {
        match talk {
            Some(talk) => Ok(Datagrams::Ports(Box::new(talk), to)),
            None => {
                let socket = doors.udp(leave, to).await.map_err(|error| plain(&error))?;
                Ok(Datagrams::Kernel(socket, to))
            }
        }
    }

    /// Sends one.
    pub(super) async fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        match self {
            Datagrams::Kernel(socket, _) => socket.send(payload).await.map(drop),
            Datagrams::Ports(talk, to) => talk.send_datagram(*to, payload),
        }
    }

    /// The next one that comes from there.
    pub(super) async fn receive(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Datagrams::Kernel(socket, to) => {
                let mut buffer = vec![0; DATAGRAM];
                loop {
                    // A socket with a source address of its own has heard everybody until it was connected.
                    let (length, from) = socket.recv_from(&mut buffer).await?;
                    if from == *to {
                        buffer.truncate(length);
                        return Ok(buffer);
                    }
                }
            }
            Datagrams::Ports(talk, _) => match talk.hear().await {
                Heard::Datagram(bytes) => Ok(bytes),
                Heard::Refused => Err(io::ErrorKind::ConnectionRefused.into()),
            },
        }
    }
}
