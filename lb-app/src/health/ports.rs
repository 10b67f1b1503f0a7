//! Checks that leave by the director's own ports, the way that traffic takes: who waits for which answers.

use super::{Balancer, conversation::Conversation, probe::Target};
use crate::dataplane::host::Host;
use lb_core::worker::host::Recipient;
use std::{
    collections::HashMap,
    fmt,
    net::Ipv4Addr,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc},
};

/// The ports that checks are sent from.
const LOCAL_PORTS: RangeInclusive<u16> = 32_768..=u16::MAX;
/// How often another one is tried when one is in use.
const TRIES: usize = 100;
/// Packets that wait for one check.
const WAITING: usize = 64;
/// Time between two looks for packets, while a check waits for some.
const LOOK: Duration = Duration::from_millis(1);

/// The way to a server by the director's own ports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// The server.
    pub(crate) to: Recipient,
    /// The director's address on the network that its packets leave by.
    pub(crate) source: Ipv4Addr,
    /// Largest packet that can go to it, in bytes.
    pub(crate) mtu: u16,
}

/// The director's own ports, for checks.
pub(crate) struct Ports {
    balancer: Option<Arc<dyn Balancer>>,
    host: Option<Arc<Host>>,
    waiting: Arc<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    by_port: Mutex<HashMap<u16, mpsc::Sender<Vec<u8>>>>,
    somebody: Notify,
}

impl Ports {
    /// Those of a balancer, if it has any.
    pub(crate) fn new(balancer: Option<Arc<dyn Balancer>>) -> Self {
        let host = balancer.as_ref().and_then(|balancer| balancer.host());
        Ports { balancer, host, waiting: Arc::default() }
    }

    /// Gives packets that arrive to the checks that wait for them, until the runtime ends.
    pub(crate) fn listen(&self, runtime: &Handle) {
        if let Some(host) = self.host.clone() {
            runtime.spawn(sort(host, self.waiting.clone()));
        }
    }

    /// Whether an answer can come at all: not while no port is polled.
    pub(crate) fn are_polled(&self) -> bool {
        self.host.as_ref().is_none_or(|host| host.is_polled())
    }

    /// Begins to talk to a server: to itself, or with `as_traffic` to the VIP, by its forwarding method.
    pub(crate) fn talk(&self, target: &Target, as_traffic: bool) -> Result<Conversation, String> {
        let (Some(balancer), Some(host)) = (&self.balancer, &self.host) else {
            return Err("checks cannot leave by ports here".to_owned());
        };
        let way = balancer.way(target, as_traffic)?;
        let (sender, arrivals) = mpsc::channel(WAITING);
        let mut by_port = self.waiting.lock();
        let port =
            (0..TRIES).map(|_| rand::random_range(LOCAL_PORTS)).find(|port| !by_port.contains_key(port));
        let port = port.ok_or("no local port is free for the check")?;
        by_port.insert(port, sender);
        drop(by_port);
        host.set_open(port, true);
        self.waiting.somebody.notify_one();
        let reserved = Reserved { port, host: host.clone(), waiting: self.waiting.clone() };
        Ok(Conversation::new(way, reserved, arrivals))
    }
}

/// A local port that is in use. Dropping it frees it.
pub(super) struct Reserved {
    pub(super) port: u16,
    pub(super) host: Arc<Host>,
    waiting: Arc<Waiting>,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.host.set_open(self.port, false);
        self.waiting.lock().remove(&self.port);
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, HashMap<u16, mpsc::Sender<Vec<u8>>>> {
        self.by_port.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Workers wake nobody, since that would be a system call; so as long as somebody waits it is looked.
async fn sort(host: Arc<Host>, waiting: Arc<Waiting>) {
    loop {
        if waiting.lock().is_empty() {
            waiting.somebody.notified().await;
        }
        while let Some((port, packet)) = host.next() {
            if let Some(check) = waiting.lock().get(&port) {
                // One that does not keep up gets them again, as from any network that loses some.
                let _ = check.try_send(packet);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}
