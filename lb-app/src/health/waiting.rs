//! Checks that wait for answers by the director's own ports: each at a local port of its own, for one peer.

use crate::dataplane::host::{Host, Peer};
use std::{
    collections::HashMap,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, mpsc};

/// The ports that checks are sent from.
const LOCAL_PORTS: RangeInclusive<u16> = 32_768..=u16::MAX;
/// How often another one is tried when one is in use.
const TRIES: usize = 100;
/// Packets that wait for one check.
const PACKETS: usize = 64;
/// Time between two looks for packets, while a check waits for some.
const LOOK: Duration = Duration::from_millis(1);

/// Those that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    by_port: Mutex<HashMap<u16, mpsc::Sender<Vec<u8>>>>,
    somebody: Notify,
}

impl Waiting {
    /// Takes a local port that answers of `peer` come to. Nothing if none is free.
    pub(super) fn reserve(
        self: &Arc<Self>,
        host: &Arc<Host>,
        peer: Peer,
    ) -> Option<(Reserved, mpsc::Receiver<Vec<u8>>)> {
        let (sender, arrivals) = mpsc::channel(PACKETS);
        let mut by_port = self.lock();
        let port =
            (0..TRIES).map(|_| rand::random_range(LOCAL_PORTS)).find(|port| !by_port.contains_key(port))?;
        by_port.insert(port, sender);
        drop(by_port);
        host.expect(port, Some(peer));
        self.somebody.notify_one();
        Some((Reserved { port, host: host.clone(), waiting: self.clone() }, arrivals))
    }

    /// Gives packets that arrive to the checks that wait for them. Workers wake nobody, since that would be a system
    /// call; so as long as somebody waits it is looked.
    pub(super) async fn sort(self: Arc<Self>, host: Arc<Host>) {
        loop {
            if self.lock().is_empty() {
                self.somebody.notified().await;
            }
            while let Some((port, packet)) = host.next() {
                if let Some(check) = self.lock().get(&port) {
                    // One that does not keep up gets them again, as from any network that loses some.
                    let _ = check.try_send(packet);
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u16, mpsc::Sender<Vec<u8>>>> {
        self.by_port.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.host.expect(self.port, None);
        self.waiting.lock().remove(&self.port);
    }
}
