//! Both ends of SCTP associations, for a kernel that has it.
//!
//! `sctp-peer serve NAME ADDRESS:PORT...` answers every message with its own name and what it was sent.
//!
//! `sctp-peer ask FROM TO:PORT ASSOCIATIONS MESSAGES BYTES` opens that many from one address, all of them before the first
//! message goes out; sends so many messages of so many bytes on each, and insists on the answers; ends them all, and prints
//! how many answers each server has given.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use socket2::{Domain, Protocol, Socket, Type};

/// Protocol number of SCTP.
const SCTP: i32 = 132;
/// Longer than any message.
const ROOM: usize = 65_536;
/// Nothing takes longer, not even with losses.
const PATIENCE: Duration = Duration::from_secs(25);

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", name, ref addresses @ ..] if !addresses.is_empty() => serve(name, addresses),
        ["ask", from, to, associations, messages, bytes] => {
            ask((from.parse()?, to.parse()?), associations.parse()?, messages.parse()?, bytes.parse()?)
        }
        _ => bail!(
            "usage: sctp-peer serve NAME ADDRESS:PORT... | ask FROM TO:PORT ASSOCIATIONS MESSAGES BYTES"
        ),
    }
}

/// A socket for one association, or to listen with. It has one address, so that neither side tells of others.
fn socket(own: SocketAddr) -> Result<Socket> {
    let domain = if own.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::from(SCTP)))?;
    socket.bind(&own.into()).with_context(|| format!("cannot bind {own}"))?;
    Ok(socket)
}

fn serve(name: &str, addresses: &[&str]) -> Result<()> {
    thread::scope(|scope| {
        for address in addresses {
            let listener = socket(address.parse()?)?;
            listener.listen(128)?;
            scope.spawn(move || {
                while let Ok((association, _)) = listener.accept() {
                    scope.spawn(move || echo(name, &association));
                }
            });
        }
        Ok(())
    })
}

fn echo(name: &str, mut association: &Socket) {
    let mut message = vec![0; ROOM];
    while let Ok(length @ 1..) = association.read(&mut message) {
        let answer = [name.as_bytes(), b" ", &message[..length]].concat();
        if association.write_all(&answer).is_err() {
            return;
        }
    }
}

fn ask((from, to): (IpAddr, SocketAddr), associations: usize, messages: usize, bytes: usize) -> Result<()> {
    let mut open = Vec::new();
    for number in 0..associations {
        let association = socket(SocketAddr::new(from, 0))?;
        association.set_read_timeout(Some(PATIENCE))?;
        association.set_write_timeout(Some(PATIENCE))?;
        association.connect(&to.into()).with_context(|| format!("association {number} to {to}"))?;
        open.push(association);
    }
    let (mut names, mut answer) = (BTreeMap::<String, usize>::new(), vec![0; ROOM]);
    for message in 0..messages {
        for (number, association) in open.iter().enumerate() {
            // No two are alike.
            let first = format!("{number}:{message} ").into_bytes();
            let sent: Vec<u8> = first.into_iter().cycle().take(bytes).collect();
            (&*association).write_all(&sent)?;
            let mut length = 0;
            // A long one comes in parts.
            let name = loop {
                let more = (&*association).read(&mut answer[length..])?;
                ensure!(more > 0, "association {number} has ended");
                length += more;
                let Some(space) = answer[..length].iter().position(|byte| *byte == b' ') else { continue };
                if length - space > bytes {
                    ensure!(answer[space + 1..length] == sent, "the answer to {number}:{message} is another");
                    break String::from_utf8_lossy(&answer[..space]).into_owned();
                }
            };
            *names.entry(name).or_default() += 1;
        }
    }
    drop(open);
    for (name, count) in names {
        println!("{name} {count}");
    }
    Ok(())
}
