//! Two links between the director and a switch, which are one to it: a bond of the director's, whose members are net_tap
//! devices, and what is at the other end of their wires. A link that is down is down for both ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use pcap::{Active, Capture};

use crate::World;
use crate::wires::{TYPE_AT, Wires, open};

/// The kernel's ends of the members' wires, in the director's namespace.
pub const MEMBERS: [&str; 2] = ["lbm0", "lbm1"];
/// Frames about the links themselves (IEEE 802.3, annex 57A).
const SLOW: [u8; 2] = [0x88, 0x09];
/// Where LACP says who sends: behind Ethernet, subtype and version.
const ACTOR_AT: usize = 16;
/// A system with its key, port and state, with the type and the length in front.
const PARTY: usize = 20;
/// Where a party says how far it is, and that it takes packets.
const STATE_AT: usize = 16;
const COLLECTING: u8 = 0x10;
/// Active, short timeout, aggregation, nothing heard yet.
const ALONE: u8 = 0x47;
/// The same, in sync, collecting and distributing.
const TOGETHER: u8 = 0x3f;
/// Time between two of the partner's frames about a link, each with what it last heard. The director is quiet for half a
/// minute once it has heard nobody for three seconds: who is connected later has to say so.
const EVERY: Duration = Duration::from_millis(900);

/// What is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Two ports that know nothing of each other: the switch sends to where it last heard an address.
    Ports,
    /// One port of two links, as somebody has set it up.
    Static,
    /// The same, after the director has agreed to it for each link (LACP).
    Lacp,
}

/// The switch at work.
#[derive(Debug)]
pub struct Lag {
    _wires: Wires,
    kind: Switch,
    up: Arc<[AtomicBool; 2]>,
    /// The director takes packets of the group from this link. With LACP it says so.
    collects: Arc<[AtomicBool; 2]>,
    /// What LACP last heard of the director on this link.
    heard: Arc<[Mutex<[u8; PARTY]>; 2]>,
}

impl Lag {
    /// Connects a director that runs to a bridge of its world.
    pub fn new(world: &World, bridge: &str, kind: Switch) -> Result<Self> {
        let (director, switch) = (world.director(), world.switch());
        let up: Arc<[AtomicBool; 2]> = Arc::new([true.into(), true.into()]);
        let collects = || (kind != Switch::Lacp).into();
        let collects: Arc<[AtomicBool; 2]> = Arc::new([collects(), collects()]);
        let heard = Arc::new([Mutex::new([0; PARTY]), Mutex::new([0; PARTY])]);
        let mut wires = Wires::default();
        let port = |name: usize| -> Result<(Capture<Active>, Capture<Active>)> {
            let (inside, outside) = (format!("lag-in{name}"), format!("lag-out{name}"));
            switch.connect(&inside, switch, &outside)?;
            switch.ip(&format!("link set {inside} master {bridge}"))?;
            Ok((open(switch, &outside)?, open(switch, &outside)?))
        };
        let shared = if kind == Switch::Ports { None } else { Some(port(9)?) };
        let mut together = Vec::new();
        for (at, member) in MEMBERS.into_iter().enumerate() {
            let mut to_bridge = match shared {
                Some(_) => open(switch, "lag-out9")?,
                None => {
                    let (from, to) = port(at)?;
                    let (mut to_member, up) = (open(director, member)?, up.clone());
                    wires.carry(from, move |frame| {
                        if up[at].load(Ordering::Relaxed) {
                            let _ = to_member.sendpacket(frame);
                        }
                    });
                    to
                }
            };
            together.push(open(director, member)?);
            if kind == Switch::Lacp {
                let (mut says, of, up) = (open(director, member)?, heard.clone(), up.clone());
                wires.repeat(EVERY, move || {
                    if up[at].load(Ordering::Relaxed) {
                        let _ = says.sendpacket(told(&hears(&of[at]), at as u8));
                    }
                });
            }
            let (mut answers, of, says) = (open(director, member)?, heard.clone(), collects.clone());
            wires.carry(open(director, member)?, move |frame| match frame[TYPE_AT..].starts_with(&SLOW) {
                true if kind == Switch::Lacp => {
                    if let Some(actor) = actor(frame) {
                        says[at].store(actor[STATE_AT] & COLLECTING != 0, Ordering::Relaxed);
                        *hears(&of[at]) = actor;
                        let _ = answers.sendpacket(told(&actor, at as u8));
                    }
                }
                true => {}
                false => {
                    let _ = to_bridge.sendpacket(frame);
                }
            });
        }
        if let Some((from, _)) = shared {
            let (up, collects) = (up.clone(), collects.clone());
            wires.carry(from, move |frame| {
                // A flow keeps its link while that is up.
                let flow =
                    frame[TYPE_AT..].iter().skip(14).take(12).map(|&byte| usize::from(byte)).sum::<usize>();
                let first = flow % MEMBERS.len();
                let takes =
                    |at: &usize| up[*at].load(Ordering::Relaxed) && collects[*at].load(Ordering::Relaxed);
                if let Some(at) = [first, 1 - first].into_iter().find(takes) {
                    let _ = together[at].sendpacket(frame);
                }
            });
        }
        Ok(Self { _wires: wires, kind, up, collects, heard })
    }

    /// Pulls a cable out, or puts it in.
    pub fn plug(&self, world: &World, member: usize, is_in: bool) -> Result<()> {
        self.up[member].store(is_in, Ordering::Relaxed);
        if self.kind == Switch::Lacp {
            self.collects[member].store(false, Ordering::Relaxed);
            *hears(&self.heard[member]) = [0; PARTY];
        }
        world.director().ip(&format!("link set {} {}", MEMBERS[member], if is_in { "up" } else { "down" }))
    }
}

fn hears(of: &Mutex<[u8; PARTY]>) -> MutexGuard<'_, [u8; PARTY]> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who sends a frame of LACP, if it is that and not a marker.
fn actor(frame: &[u8]) -> Option<[u8; PARTY]> {
    let actor: [u8; PARTY] = frame.get(ACTOR_AT..ACTOR_AT + PARTY)?.try_into().ok()?;
    (frame.get(14) == Some(&1) && actor[..2] == [1, PARTY as u8]).then_some(actor)
}

/// What the partner says: what it has heard of the other end, and that it takes the link if it has heard anything
/// (IEEE 802.1AX, 6.4.2.3).
fn told(actor: &[u8; PARTY], port: u8) -> Vec<u8> {
    const SYSTEM: [u8; 6] = [2, 0, 0, 0, 0x0a, 0x0a];
    let state = if actor[0] == 0 { ALONE } else { TOGETHER };
    let mut frame = [&[0x01, 0x80, 0xc2, 0, 0, 2], &SYSTEM[..], &SLOW, &[1, 1]].concat();
    frame.extend_from_slice(&[1, PARTY as u8, 0x80, 0]);
    frame.extend_from_slice(&SYSTEM);
    frame.extend_from_slice(&[0, 1, 0, 0xff, 0, port + 1, state, 0, 0, 0]);
    frame.extend_from_slice(&[2, PARTY as u8]);
    frame.extend_from_slice(&actor[2..]);
    frame.extend_from_slice(&[3, 16]);
    frame.resize(124, 0);
    frame
}
