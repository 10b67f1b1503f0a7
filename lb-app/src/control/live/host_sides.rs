//! Host sides of ports: a thread of the control plane moves frames between them and the workers, and has the kernel see
//! what the ports are: their links, and the director's own addresses.

use super::{netlink::set_address, running::Running};
use crate::{
    dataplane::host::{Outgoing, To},
    dpdk::host_tap::HostTap,
};
use ipnet::IpNet;
use lb_core::packet::PortId;
use nix::{
    net::if_::if_nametoindex,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use std::{
    fs,
    os::fd::AsFd,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};
use tracing::warn;

/// How long the kernel is waited for: what workers have for it is looked for as often.
const WAIT_MS: u8 = 1;
/// Frames of one interface that are read at once.
const FRAMES: usize = 64;
/// Time between two looks at what is known of links and addresses.
const MIRROR: Duration = Duration::from_millis(100);

/// Who moves frames, and what the kernel has been told.
#[derive(Debug, Default)]
pub(crate) struct Mover {
    mirrored: Option<Instant>,
    /// By port: the link, and the addresses.
    told: Vec<(Option<bool>, Vec<IpNet>)>,
    buffer: Vec<u8>,
}

impl Mover {
    /// Moves what there is, and waits for a moment if there is nothing. To be called over and over.
    pub(crate) fn round(&mut self, running: &Running, now: Instant) {
        let taps = &running.taps;
        if self.mirrored.is_none_or(|last| now.duration_since(last) >= MIRROR) {
            self.mirrored = Some(now);
            self.mirror(running);
        }
        let mut descriptors: Vec<PollFd<'_>> =
            taps.iter().map(|(_, tap)| PollFd::new(tap.as_fd(), PollFlags::POLLIN)).collect();
        let _ = poll(&mut descriptors, PollTimeout::from(WAIT_MS));
        let ready: Vec<bool> = descriptors.iter().map(|one| one.any().unwrap_or(false)).collect();
        for ((port, tap), ready) in taps.iter().zip(ready) {
            let Some(side) = running.sides.of(*port) else { continue };
            if ready {
                self.buffer.resize(side.room(), 0);
                self.read(running, *port, tap);
            }
            side.drain(|frame| tap.write(frame).is_ok());
        }
    }

    /// Gives workers what the kernel sends.
    fn read(&mut self, running: &Running, port: PortId, tap: &HostTap) {
        let Some(side) = running.sides.of(port) else { return };
        for _ in 0..FRAMES {
            let Ok(length) = tap.read(&mut self.buffer) else { return };
            let outgoing = Outgoing { to: To::Port(port), bytes: self.buffer[..length].to_vec() };
            let counter =
                if running.host.send_frame(outgoing) { &side.moved.from_kernel } else { &side.moved.lost };
            counter.fetch_add(1, Relaxed);
        }
    }

    /// Has the kernel see links and addresses as they are.
    fn mirror(&mut self, running: &Running) {
        let plan = running.current().plan;
        self.told.resize(running.taps.len(), (None, Vec::new()));
        for ((port, tap), (link, addresses)) in running.taps.iter().zip(&mut self.told) {
            if let Some(up) = running.links.is_up(*port)
                && *link != Some(up)
                && tap.set_carrier(up).is_ok()
            {
                *link = Some(up);
            }
            // VLANs of the configuration are the director's alone.
            let untagged = plan.interfaces_of(*port).filter(|interface| interface.tags.is_empty());
            let wanted: Vec<IpNet> = untagged.flat_map(|interface| interface.addresses.clone()).collect();
            if *addresses == wanted {
                continue;
            }
            let Ok(interface) = if_nametoindex(tap.name()) else { continue };
            let gone = addresses.iter().filter(|net| !wanted.contains(net)).map(|net| (*net, false));
            let new = wanted.iter().filter(|net| !addresses.contains(net)).map(|net| (*net, true));
            for (net, present) in gone.chain(new).collect::<Vec<_>>() {
                if let Err(error) = set_address(interface, net, present) {
                    let what = if present { "give" } else { "take" };
                    warn!("cannot {what} the host side {} {net}: {error}", tap.name());
                }
            }
            *addresses = wanted;
        }
    }
}

/// Has the kernel make no addresses of its own for an interface, and keep those that it is given.
pub(crate) fn prepare(tap: &HostTap) {
    let of = |key: &str| format!("/proc/sys/net/ipv6/conf/{}/{key}", tap.name());
    // Where there is no IPv6 there is nothing to keep it from.
    let _ = fs::write(of("addr_gen_mode"), "1");
    let _ = fs::write(of("keep_addr_on_down"), "1");
}
