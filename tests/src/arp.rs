//! Who says by ARP that an address is theirs.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

use crate::netns::Namespace;

/// ARP's number in Ethernet.
const ARP: u16 = 0x0806;
/// Bytes of an Ethernet header and an ARP packet.
const LENGTH: usize = 42;

/// Somebody who says that an address is theirs: when, and which Ethernet address they give.
pub type Claim = (Instant, [u8; 6]);

/// Everything that is heard in a namespace, for as long as this exists.
#[derive(Debug)]
pub struct Listener {
    heard: Arc<Mutex<Vec<(Ipv4Addr, Claim)>>>,
    over: Arc<AtomicBool>,
}

impl Listener {
    /// Listens on all interfaces of a namespace. What is only asked for is no claim, whoever asks.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let protocol = Protocol::from(i32::from(ARP.to_be()));
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
                        Ok(length) if length >= LENGTH => {
                            let mac: [u8; 6] = frame[22..28].try_into().unwrap_or_default();
                            let sender: [u8; 4] = frame[28..32].try_into().unwrap_or_default();
                            let claim = (Instant::now(), mac);
                            heard.lock().expect("no panic").push((sender.into(), claim));
                        }
                        Err(error)
                            if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
                        {
                            return;
                        }
                        _ => {}
                    }
                }
            })
            .context("a thread that listens")?;
        Ok(listener)
    }

    /// Everybody who has claimed an address so far.
    #[must_use]
    pub fn claims(&self, address: Ipv4Addr) -> Vec<Claim> {
        let heard = self.heard.lock().expect("no panic");
        heard.iter().filter(|(sender, _)| *sender == address).map(|(_, claim)| *claim).collect()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
