//! An agent on a server that says what it is told to: HAProxy's agent-check, for as long as the value exists.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddrV4, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;

use crate::netns::Namespace;

/// Time between two looks whether somebody asks.
const LOOK: Duration = Duration::from_millis(10);

/// Says the same line to everybody who connects.
#[derive(Debug)]
pub struct Agent {
    line: Arc<Mutex<String>>,
    asked: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Agent {
    /// One that listens at this address in a namespace.
    pub fn start(namespace: &Namespace, address: SocketAddrV4, line: &str) -> Result<Self> {
        let listener = namespace.within(|| TcpListener::bind(address))?;
        listener.set_nonblocking(true)?;
        let (line, over) = (Arc::new(Mutex::new(line.to_owned())), Arc::<AtomicBool>::default());
        let asked = Arc::<AtomicU64>::default();
        let (said, ends, count) = (line.clone(), over.clone(), asked.clone());
        let thread = thread::spawn(move || {
            while !ends.load(Relaxed) {
                match listener.accept() {
                    Ok((mut stream, _)) => {
                        count.fetch_add(1, Relaxed);
                        let line = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
                        // Who asked may be gone.
                        let _ = stream.write_all(line.as_bytes());
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(LOOK),
                    Err(_) => return,
                }
            }
        });
        Ok(Self { line, asked, over, thread: Some(thread) })
    }

    /// How often somebody has asked.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked.load(Relaxed)
    }

    /// Says that from now on.
    pub fn say(&self, line: &str) {
        *self.line.lock().unwrap_or_else(PoisonError::into_inner) = line.to_owned();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
