//! A name server that knows nothing but answers: on a server of a world, for as long as the value exists.

use std::io::ErrorKind;
use std::net::{SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;

use crate::netns::Namespace;

/// Length of a message's header, RFC 1035 4.1.1.
const HEADER: usize = 12;
/// Time between two looks whether it is over.
const LOOK: Duration = Duration::from_millis(50);

/// Answers every query with the question and nothing more, and with an error if it is told to.
#[derive(Debug)]
pub struct NameServer {
    /// See [`Self::answer_with`].
    code: Arc<AtomicU8>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl NameServer {
    /// One that listens at these addresses in a namespace: a reply has to come from the address that was asked.
    pub fn start(namespace: &Namespace, addresses: &[SocketAddrV4]) -> Result<Self> {
        let mut server = Self { code: Arc::default(), over: Arc::default(), threads: Vec::new() };
        for address in addresses {
            let socket = namespace.within(|| UdpSocket::bind(address))?;
            socket.set_read_timeout(Some(LOOK))?;
            let (code, over) = (server.code.clone(), server.over.clone());
            server.threads.push(thread::spawn(move || serve(&socket, &code, &over)));
        }
        Ok(server)
    }

    /// Answers with that response code from now on: 0 for none, 2 for a failure of the server.
    pub fn answer_with(&self, code: u8) {
        self.code.store(code, Relaxed);
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, code: &AtomicU8, over: &AtomicBool) {
    let mut message = [0; 512];
    while !over.load(Relaxed) {
        match socket.recv_from(&mut message) {
            Ok((length @ HEADER.., from)) => {
                // A response, with recursion available.
                message[2] |= 0x80;
                message[3] = 0x80 | code.load(Relaxed);
                let _ = socket.send_to(&message[..length], from);
            }
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            // The echo of an ICMP message about an earlier reply.
            Err(_) => thread::sleep(LOOK),
        }
    }
}
