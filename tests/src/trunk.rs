//! A trunk: one port of the director with tagged frames, and a switch in user space that gives each VLAN to one of a world's
//! bridges. The kernel here has no VLAN devices; libpcap reads frames with the tags that the kernel has taken off.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use pcap::{Active, Capture, Direction};

use crate::World;
use crate::netns::Namespace;

/// The director's end.
pub const DEVICE: &str = "lbtrunk";
/// Where addresses end and tags begin.
const TAGS_AT: usize = 12;

/// A bridge of the world, and the tags that its frames have on the trunk.
#[derive(Clone, Copy, Debug)]
pub struct Vlan {
    /// The bridge's name.
    pub bridge: &'static str,
    /// The tags, as they stand in a frame.
    pub tags: &'static [u8],
}

/// The switch at work. Its threads end when it is dropped.
pub struct Trunk {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// Frames of the director that were of none of the VLANs.
    strays: Arc<Mutex<Vec<Vec<u8>>>>,
    sender: Mutex<Capture<Active>>,
}

impl fmt::Debug for Trunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trunk").field("strays", &self.strays).finish_non_exhaustive()
    }
}

impl Trunk {
    /// Connects the director of a world to its bridges.
    pub fn new(world: &World, vlans: &'static [Vlan]) -> Result<Self> {
        let (director, switch) = (world.director(), world.switch());
        director.connect(DEVICE, switch, "trunk")?;
        let mut trunk = Self {
            over: Arc::default(),
            threads: Vec::new(),
            strays: Arc::default(),
            sender: Mutex::new(open(switch, "trunk")?),
        };
        let mut accesses = Vec::new();
        for vlan in vlans {
            let (inside, outside) = (format!("acc-{}", vlan.bridge), format!("tag-{}", vlan.bridge));
            switch.connect(&inside, switch, &outside)?;
            switch.ip(&format!("link set {inside} master {}", vlan.bridge))?;
            accesses.push((vlan.tags, open(switch, &outside)?));
            let mut to = open(switch, "trunk")?;
            trunk.move_frames(open(switch, &outside)?, move |frame| {
                let tagged = [&frame[..TAGS_AT], vlan.tags, &frame[TAGS_AT..]].concat();
                let _ = to.sendpacket(tagged);
            });
        }
        let strays = trunk.strays.clone();
        trunk.move_frames(open(switch, "trunk")?, move |frame| {
            let of_vlan = accesses.iter_mut().find(|(tags, _)| frame[TAGS_AT..].starts_with(tags));
            match of_vlan {
                Some((tags, to)) => {
                    let untagged = [&frame[..TAGS_AT], &frame[TAGS_AT + tags.len()..]].concat();
                    let _ = to.sendpacket(untagged);
                }
                None => strays.lock().unwrap_or_else(PoisonError::into_inner).push(frame.to_vec()),
            }
        });
        Ok(trunk)
    }

    /// What the director sent into no VLAN of the trunk.
    #[must_use]
    pub fn strays(&self) -> Vec<Vec<u8>> {
        self.strays.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a frame to the director as it is.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        Ok(self.sender.lock().unwrap_or_else(PoisonError::into_inner).sendpacket(frame)?)
    }

    fn move_frames(&mut self, mut from: Capture<Active>, mut each: impl FnMut(&[u8]) + Send + 'static) {
        let over = self.over.clone();
        self.threads.push(thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                // Without a frame for a while there is an error of no interest.
                if let Ok(packet) = from.next_packet()
                    && packet.len() > TAGS_AT + 2
                {
                    each(packet.data);
                }
            }
        }));
    }
}

impl Drop for Trunk {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A device of a namespace, to receive what arrives there and to send.
fn open(namespace: &Namespace, device: &str) -> Result<Capture<Active>> {
    let open = || {
        let capture =
            Capture::from_device(device).map(|it| it.promisc(true).immediate_mode(true).timeout(20));
        let capture = capture.and_then(Capture::open).and_then(|capture| {
            capture.direction(Direction::In)?;
            Ok(capture)
        });
        capture.map_err(std::io::Error::other)
    };
    namespace.within(open).with_context(|| format!("capture on {device}"))
}
