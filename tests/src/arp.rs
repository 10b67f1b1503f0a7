//! Who says by ARP or neighbour discovery that an address is theirs.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

use crate::netns::Namespace;

/// All of Ethernet, for packet sockets.
const EVERYTHING: u16 = 0x0003;
/// ARP's and IPv6's numbers in Ethernet.
const ARP: [u8; 2] = [0x08, 0x06];
const IPV6: [u8; 2] = [0x86, 0xdd];
/// ICMPv6's number, and its messages of neighbour discovery.
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// Somebody who says that an address is theirs: when, and which Ethernet address they give.
pub type Claim = (Instant, [u8; 6]);

/// Everything that is heard in a namespace, for as long as this exists.
#[derive(Debug)]
pub struct Listener {
    heard: Arc<Mutex<Vec<(IpAddr, Claim)>>>,
    over: Arc<AtomicBool>,
}

impl Listener {
    /// Listens on all interfaces of a namespace. What is only asked for is no claim, whoever asks.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let protocol = Protocol::from(i32::from(EVERYTHING.to_be()));
        let socket = namespace.within(|| Socket::new(Domain::PACKET, Type::RAW, Some(protocol)))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let listener = Self { heard: Arc::default(), over: Arc::default() };
        let (heard, over) = (listener.heard.clone(), listener.over.clone());
        thread::Builder::new()
            .name("arp".to_owned())
            .spawn(move || {
                use std::io::Read;
                let mut frame = [0; 128];
                while !over.load(Ordering::Relaxed) {
                    match (&socket).read(&mut frame) {
                        Ok(length) => {
                            if let Some((address, mac)) = claim(&frame[..length.min(frame.len())]) {
                                heard.lock().expect("no panic").push((address, (Instant::now(), mac)));
                            }
                        }
                        Err(error)
                            if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
                        {
                            return;
                        }
                        Err(_) => {}
                    }
                }
            })
            .context("a thread that listens")?;
        Ok(listener)
    }

    /// Everybody who has claimed an address so far.
    #[must_use]
    pub fn claims(&self, address: impl Into<IpAddr>) -> Vec<Claim> {
        let (heard, address) = (self.heard.lock().expect("no panic"), address.into());
        heard.iter().filter(|(claimed, _)| *claimed == address).map(|(_, claim)| *claim).collect()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// The address that a frame claims, and for which Ethernet address.
fn claim(frame: &[u8]) -> Option<(IpAddr, [u8; 6])> {
    let part = |at: usize, len: usize| frame.get(at..at + len);
    let mac = |at: usize| part(at, 6).and_then(|bytes| <[u8; 6]>::try_from(bytes).ok());
    let kind = part(12, 2)?;
    if kind == ARP {
        let sender = <[u8; 4]>::try_from(part(28, 4)?).ok()?;
        return Some((Ipv4Addr::from(sender).into(), mac(22)?));
    }
    let ipv6 = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(part(at, 16)?).ok()?));
    if kind != IPV6 || *frame.get(20)? != ICMPV6 {
        return None;
    }
    let (source, target) = (ipv6(22)?, ipv6(62)?);
    match *frame.get(54)? {
        // With an option that says whose it is, it is not the sender's.
        ADVERTISEMENT => Some((target.into(), mac(80).or_else(|| mac(6))?)),
        // Whoever asks from no address wants to have the one that it asks for (RFC 4862 5.4.2).
        SOLICITATION if source.is_unspecified() => Some((target.into(), mac(6)?)),
        SOLICITATION => Some((source.into(), mac(6)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of neighbour discovery of 02:00:00:00:00:01.
    fn discovery(kind: u8, source: &str, target: &str, option: &[u8]) -> Vec<u8> {
        let ip = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
        let mut frame = [0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1].to_vec();
        frame.extend(IPV6);
        frame.extend([0x60, 0, 0, 0, 0, 24, ICMPV6, 255]);
        frame.extend(ip(source));
        frame.extend(ip("ff02::1"));
        frame.extend([kind, 0, 0, 0, 0, 0, 0, 0]);
        frame.extend(ip(target));
        frame.extend(option);
        frame
    }

    #[test]
    fn whose_an_address_is_said_to_be() {
        let own = [2, 0, 0, 0, 0, 1];
        let vip: IpAddr = "2001:db8::100".parse().unwrap();
        let said = |kind, source, option: &[u8]| claim(&discovery(kind, source, "2001:db8::100", option));
        assert_eq!(said(ADVERTISEMENT, "2001:db8::1", &[]), Some((vip, own)));
        let other = [0, 0, 0x5e, 0, 2, 1];
        assert_eq!(said(ADVERTISEMENT, "2001:db8::1", &[&[2, 1][..], &other].concat()), Some((vip, other)));
        assert_eq!(said(SOLICITATION, "::", &[]), Some((vip, own)), "duplicate address detection");
        assert_eq!(said(SOLICITATION, "2001:db8::1", &[]), Some(("2001:db8::1".parse().unwrap(), own)));
        assert_eq!(said(1, "2001:db8::1", &[]), None);
        for length in 0..70 {
            assert_eq!(claim(&discovery(ADVERTISEMENT, "::1", "::2", &[])[..length]), None);
        }
        let mut arp = [&[0xff; 6][..], &own, &ARP, &[0; 8]].concat();
        arp.extend(own);
        arp.extend([192, 0, 2, 100, 0, 0, 0, 0, 0, 0, 192, 0, 2, 100]);
        assert_eq!(claim(&arp), Some(("192.0.2.100".parse().unwrap(), own)));
    }
}
