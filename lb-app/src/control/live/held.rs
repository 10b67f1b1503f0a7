//! Addresses that the kernel has on host sides: which of them are VIPs or local addresses, and that ports take in what is
//! sent to them.

use super::running::Running;
use lb_core::service::{
    plan::{HeldAddresses, Plan, Role},
    snapshot::Snapshot,
};
use tracing::warn;

/// Those that are VIPs or local addresses of a plan, if it follows the kernel.
pub(in crate::control) fn followed(plan: &Plan, held: &HeldAddresses) -> HeldAddresses {
    if plan.director.role != Role::Follow {
        return HeldAddresses::new();
    }
    let vips = plan.every_vip().map(|vip| vip.address);
    let of_services = plan.services.iter().flat_map(|service| &service.local_addresses);
    let locals = of_services.chain(plan.snat.iter().flat_map(|rule| &rule.addresses)).copied();
    vips.chain(locals).filter_map(|address| Some((address, *held.get(&address)?))).collect()
}

impl Running {
    /// Has ports take in what is sent to virtual routers of this director.
    pub(in crate::control) fn open_ports_to_virtual_macs(&self, snapshot: &Snapshot) {
        let mut ports = self.ports();
        for (port, _) in &self.taps {
            let Some(started) = ports.get_mut(usize::from(port.0)) else { continue };
            if let Err(error) = started.set_virtual_macs(snapshot.virtual_macs(*port)) {
                warn!("packets to a virtual router are not received: {error}");
            }
        }
    }
}
