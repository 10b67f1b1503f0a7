//! Bonds: ports of DPDK's net_bonding, made of others, their members.
//!
//! A bond has members, and what follows from theirs (Ethernet address, queues, offloads, hashing), only once it has been
//! configured for the first time. So that is done as it is opened, with one queue, and done again at its start.

use super::{
    by_number::{member_key, port_name, raw_info, text},
    eal::describe_error,
    link::{LinkState, of_member},
    port_error::PortError,
};
use std::{fmt, ptr};

/// DPDK's driver of bonds.
pub(super) const DRIVER: &str = "net_bonding";
/// Members that a bond can have: as many ports as DPDK can.
const MOST: usize = dpdk_sys::SHIM_MAX_PORTS as usize;

/// How a bond uses its members: the number in its arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BondMode(i32);

impl BondMode {
    const ACTIVE_BACKUP: BondMode = BondMode(1);
    const LACP: BondMode = BondMode(4);

    /// Whether members agree with the other end about what they may do (IEEE 802.3ad), which takes a call at least every
    /// 100 ms in both directions.
    pub(super) fn has_partners(self) -> bool {
        self == BondMode::LACP
    }
}

impl fmt::Display for BondMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = ["round-robin", "active-backup", "balance", "broadcast", "lacp", "tlb", "alb"];
        let word = usize::try_from(self.0).ok().and_then(|mode| words.get(mode));
        f.write_str(word.copied().unwrap_or("unknown"))
    }
}

/// What a member does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// Packets pass by it.
    Active,
    /// Its link is up, and another one is active.
    Standby,
    /// Its link is up, and the other end has not agreed to take packets (LACP).
    Waiting,
    /// Its link is down.
    Down,
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MemberState::Active => "active",
            MemberState::Standby => "standby",
            MemberState::Waiting => "no LACP partner",
            MemberState::Down => "down",
        })
    }
}

/// A member of a bond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// DPDK's name of it.
    pub name: String,
    /// What it does.
    pub state: MemberState,
}

/// A bond, as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bond {
    /// How it uses its members.
    pub mode: BondMode,
    /// In the order in which it got them.
    pub members: Vec<Member>,
}

impl fmt::Display for Bond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.mode)?;
        self.members.iter().enumerate().try_for_each(|(at, Member { name, state })| {
            write!(f, "{} {name} {state}", if at == 0 { ":" } else { "," })
        })
    }
}

/// The arguments of a bond with members that DPDK has under these names, in the words of this version.
pub(super) fn arguments(device: &str, members: impl Iterator<Item = u16>) -> String {
    let key = member_key();
    let names = members.map(|member| port_name(member).unwrap_or_else(|| member.to_string()));
    names.fold(device.to_owned(), |text, name| format!("{text},{key}={name}"))
}

/// Whether a driver is that of bonds.
pub(super) fn is_bond(driver: &str) -> bool {
    driver == DRIVER
}

/// Has a bond find its members, and returns their ports.
pub(super) fn gather(id: u16, device: &str) -> Result<Vec<u16>, PortError> {
    let refused = |code| PortError::Refused { device: device.to_owned(), reason: describe_error(code) };
    // SAFETY: the port is the caller's and not started. Without RSS the key is not read.
    let code = unsafe { dpdk_sys::shim_port_configure(id, 1, 1, 0, 0, 0, ptr::null_mut(), 0) };
    if code < 0 {
        return Err(refused(code));
    }
    let members = ports(id, false).ok_or_else(|| refused(-libc::ENOTSUP))?;
    if members.is_empty() {
        return Err(PortError::NoMembers { device: device.to_owned() });
    }
    Ok(members)
}

/// The ports of a bond's members, or of those whose links are up.
fn ports(id: u16, up: bool) -> Option<Vec<u16>> {
    let mut members = [0; MOST];
    // SAFETY: any number may be passed; `members` has room for as many as there can be.
    let count =
        unsafe { dpdk_sys::shim_bond_members(id, up, members.as_mut_ptr(), dpdk_sys::SHIM_MAX_PORTS) };
    Some(members[..usize::try_from(count).ok()?].to_vec())
}

/// How a bond uses its members.
pub(super) fn mode(id: u16) -> BondMode {
    // SAFETY: any number may be passed.
    BondMode(unsafe { dpdk_sys::shim_bond_mode(id) })
}

/// What the drivers of a bond's members are called.
pub(super) fn drivers(id: u16) -> Vec<String> {
    let driver = |member| {
        let info = raw_info(member).ok()?;
        text(info.driver_name).map(str::to_owned)
    };
    ports(id, false).unwrap_or_default().into_iter().filter_map(driver).collect()
}

/// A bond, as it is now.
pub(super) fn read(id: u16) -> Bond {
    let mode = mode(id);
    let members = states(id, mode).into_iter().map(|(member, state)| Member {
        name: port_name(member).unwrap_or_else(|| member.to_string()),
        state,
    });
    Bond { mode, members: members.collect() }
}

/// The ports of its members, with what they do.
fn states(id: u16, mode: BondMode) -> Vec<(u16, MemberState)> {
    let up = ports(id, true).unwrap_or_default();
    // SAFETY: any number may be passed.
    let primary = unsafe { dpdk_sys::shim_bond_primary(id) };
    let state = |member: u16| match mode {
        _ if !up.contains(&member) || is_up_in_kernel(member) == Some(false) => MemberState::Down,
        BondMode::ACTIVE_BACKUP if primary != i32::from(member) => MemberState::Standby,
        // SAFETY: any numbers may be passed.
        BondMode::LACP if unsafe { dpdk_sys::shim_bond_distributes(id, member) } != 1 => MemberState::Waiting,
        _ => MemberState::Active,
    };
    ports(id, false).unwrap_or_default().into_iter().map(|member| (member, state(member))).collect()
}

/// What the kernel knows of a member's link, if it is its interface. DPDK's bond hears of the links of NICs by itself.
fn is_up_in_kernel(member: u16) -> Option<bool> {
    let info = raw_info(member).ok()?;
    let state = of_member(text(info.driver_name).unwrap_or_default(), info.if_index)?;
    Some(state == LinkState::Up)
}

/// Has packets pass by the members whose links are up, where DPDK has not noticed that one went down or came up.
pub(super) fn fail_over(id: u16) {
    let up = ports(id, true).unwrap_or_default();
    let differs = |member: &u16| is_up_in_kernel(*member).is_some_and(|is_up| up.contains(member) != is_up);
    for member in ports(id, false).unwrap_or_default().into_iter().filter(differs) {
        // SAFETY: any number may be passed. It has happen what happens when a driver tells of a link: queues may be polled
        // meanwhile. The bond asks the driver then: net_tap knows its link, although it does not tell; others call it up.
        unsafe { dpdk_sys::shim_bond_look(member) };
    }
    let mode = mode(id);
    if mode != BondMode::ACTIVE_BACKUP {
        return;
    }
    let members = states(id, mode);
    let first = |wanted| members.iter().find(|(_, state)| *state == wanted).map(|(member, _)| *member);
    if let (None, Some(member)) = (first(MemberState::Active), first(MemberState::Standby)) {
        // SAFETY: any numbers may be passed. It does what the bond itself does in another thread when it hears of a link:
        // queues may be polled meanwhile. What an error leaves is tried again.
        unsafe { dpdk_sys::shim_bond_set_primary(id, member) };
    }
}
