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

/// Both networks, with one tag each.
pub const VLANS: &[Vlan] =
    &[Vlan { bridge: "wan", tags: &[0x81, 0, 0, 100] }, Vlan { bridge: "lan", tags: &[0x81, 0, 0, 200] }];

/// A configuration with both networks as VLANs of one port, of the device that a trunk has.
#[must_use]
pub fn on_trunk(text: &str, [wan, lan]: [&str; 2], mtu: u16) -> String {
    let (head, rest) = text.split_once("[[ports]]").expect("ports");
    let (ports, rest) = rest.split_once("[[routes]]").expect("routes");
    let own: Vec<&str> = ports.lines().filter(|line| line.starts_with("addresses")).collect();
    format!(
        "{head}[[ports]]\nname = \"trunk\"\ndevice = \"net_af_packet0,iface={DEVICE},qpairs=2\"\n\n\
         [[interfaces]]\nname = \"wan\"\nport = \"trunk\"\nvlan = {wan}\n{}\nmtu = {mtu}\n\n\
         [[interfaces]]\nname = \"lan\"\nport = \"trunk\"\nvlan = {lan}\n{}\nmtu = 1500\nmac = \"02:00:00:00:02:00\"\n\n\
         [[routes]]{rest}",
        own[0], own[1]
    )
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
        world.director().connect(DEVICE, world.switch(), "trunk")?;
        Self::with(world, vlans)
    }

    /// Connects what is at another bridge, which is made for it, to those of the world.
    pub fn behind(world: &World, bridge: &str, vlans: &'static [Vlan]) -> Result<Self> {
        let switch = world.switch();
        switch.connect("trunk-in", switch, "trunk")?;
        switch.ip(&format!(
            "link add {bridge} type bridge mcast_snooping 0\nlink set {bridge} up\nlink set trunk-in master {bridge}"
        ))?;
        Self::with(world, vlans)
    }

    fn with(world: &World, vlans: &'static [Vlan]) -> Result<Self> {
        let switch = world.switch();
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
