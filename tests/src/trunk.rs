//! A trunk: one port of the director with tagged frames, and a switch in user space that gives each VLAN to one of a world's
//! bridges. The kernel here has no VLAN devices; libpcap reads frames with the tags that the kernel has taken off.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use pcap::{Active, Capture};

use crate::World;
use crate::wires::{TYPE_AT as TAGS_AT, Wires, open};

/// The director's end.
pub const DEVICE: &str = "lbtrunk";

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
    _wires: Wires,
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
        let mut wires = Wires::default();
        let mut accesses = Vec::new();
        for vlan in vlans {
            let (inside, outside) = (format!("acc-{}", vlan.bridge), format!("tag-{}", vlan.bridge));
            switch.connect(&inside, switch, &outside)?;
            switch.ip(&format!("link set {inside} master {}", vlan.bridge))?;
            accesses.push((vlan.tags, open(switch, &outside)?));
            let mut to = open(switch, "trunk")?;
            wires.carry(open(switch, &outside)?, move |frame| {
                let tagged = [&frame[..TAGS_AT], vlan.tags, &frame[TAGS_AT..]].concat();
                let _ = to.sendpacket(tagged);
            });
        }
        let strays: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let seen = strays.clone();
        wires.carry(open(switch, "trunk")?, move |frame| {
            let of_vlan = accesses.iter_mut().find(|(tags, _)| frame[TAGS_AT..].starts_with(tags));
            match of_vlan {
                Some((tags, to)) => {
                    let untagged = [&frame[..TAGS_AT], &frame[TAGS_AT + tags.len()..]].concat();
                    let _ = to.sendpacket(untagged);
                }
                None => seen.lock().unwrap_or_else(PoisonError::into_inner).push(frame.to_vec()),
            }
        });
        Ok(Self { _wires: wires, strays, sender: Mutex::new(open(switch, "trunk")?) })
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
}
