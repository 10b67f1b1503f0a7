//! Answers every datagram with its own name and what it was sent: `udp-echo NAME ADDRESS:PORT...`
//!
//! One socket per address, because a reply has to come from the address that was asked.

use std::net::UdpSocket;
use std::thread;

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let name = args.next().context("usage: udp-echo NAME ADDRESS:PORT...")?;
    thread::scope(|scope| {
        for address in args {
            let socket = UdpSocket::bind(&address).with_context(|| format!("cannot bind {address}"))?;
            let name = &name;
            scope.spawn(move || echo(name, &socket));
        }
        Ok(())
    })
}

fn echo(name: &str, socket: &UdpSocket) {
    let mut buffer = [0; 65536];
    loop {
        // An error here is the echo of an ICMP message about an earlier reply; nobody is left to tell.
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let reply = [name.as_bytes(), b" ", &buffer[..length]].concat();
            let _ = socket.send_to(&reply, from);
        }
    }
}
