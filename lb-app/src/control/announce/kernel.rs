//! VIPs as addresses of an interface of the kernel, for daemons that announce what an interface has.
//!
//! Each is marked as put there by this (`IFA_PROTO`, Linux 5.18), so that another run takes away what one left that was
//! killed, and nothing else.

use crate::control::live::netlink::{Assigned, addresses_of, set_marked_address};
use ipnet::IpNet;
use nix::net::if_::if_nametoindex;
use std::{
    collections::BTreeSet,
    io,
    net::IpAddr,
    time::{Duration, Instant},
};

/// The mark. Linux has 1 to 3 for itself, and names none of the others.
const OURS: u8 = 0x6c;
/// Time after which it is looked whether they are still there.
const LOOK: Duration = Duration::from_secs(1);

/// What an interface is to have.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    wanted: BTreeSet<IpAddr>,
    /// Put there in this run: a kernel of before 5.18 knows no mark.
    put: BTreeSet<IpAddr>,
    looked: Option<Instant>,
    complaint: Option<String>,
}

impl Addresses {
    /// Has the interface have these VIPs, and no others that were put there by this.
    ///
    /// # Errors
    /// Why that is not so, when it is not for another reason than at the last call.
    pub(super) fn settle(
        &mut self,
        interface: &str,
        wanted: &BTreeSet<IpAddr>,
        now: Instant,
    ) -> Result<(), String> {
        let is_recent = self.looked.is_some_and(|looked| now.saturating_duration_since(looked) < LOOK);
        if is_recent && self.wanted == *wanted {
            return Ok(());
        }
        self.looked = Some(now);
        self.wanted.clone_from(wanted);
        let complaint = self.change(interface).err().map(|error| error.to_string());
        let is_new = complaint != self.complaint;
        self.complaint.clone_from(&complaint);
        complaint.filter(|_| is_new).map_or(Ok(()), Err)
    }

    fn change(&mut self, interface: &str) -> io::Result<()> {
        let number = if_nametoindex(interface)?;
        let present = addresses_of(number)?;
        let is_ours = |it: &Assigned, vip: &IpAddr| it.protocol == OURS || self.put.contains(vip);
        let mut others = BTreeSet::new();
        let mut outcome = Ok(());
        for it in &present {
            let vip = it.net.addr();
            if it.net.prefix_len() != it.net.max_prefix_len() || self.wanted.contains(&vip) {
                others.insert(vip);
            } else if is_ours(it, &vip) {
                outcome = outcome.and(set_marked_address(number, it.net, OURS, false));
            }
        }
        self.put.retain(|vip| self.wanted.contains(vip));
        for vip in self.wanted.difference(&others) {
            match set_marked_address(number, IpNet::from(*vip), OURS, true) {
                Ok(()) => drop(self.put.insert(*vip)),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }
}

/// Takes away what an earlier run has left.
///
/// # Errors
/// The kernel's.
pub(super) fn clear(interface: &str) -> io::Result<()> {
    // Where there is no interface there are no addresses.
    let Ok(number) = if_nametoindex(interface) else { return Ok(()) };
    let mut ours = addresses_of(number)?.into_iter().filter(|it| it.protocol == OURS);
    ours.try_for_each(|it| set_marked_address(number, it.net, OURS, false))
}
