//! How packets of TUN and L3DSR are marked on their way to servers.

use super::Services;
use crate::config::{
    options::Said,
    place::{At, Place},
    raw,
    report::{Complaint, once},
};
use ipnet::IpNet;
use lb_core::service::{check::sources_mistake, plan::Misfit};
use std::collections::HashMap;

impl<'r> Services<'_, 'r> {
    /// The networks that outer sources of tunnels are taken from.
    pub(super) fn check_tunnel_sources(&self) {
        let mut families = HashMap::new();
        for At { value: network, place } in &self.raw.tunnel_sources {
            once(&mut families, network.addr().is_ipv4(), place, self.problems, |line| {
                let what = format!("there is a network of this family already (line {line})");
                Complaint::new(what, "use one network of each family")
            });
            let complaint = sources_mistake(*network).map(|(what, remedy)| Complaint::new(what, remedy));
            let overlaps = |own: &IpNet| own.contains(network) || network.contains(own);
            let attached = || {
                let on = self.network.interfaces.iter().find(|on| on.addresses.iter().any(overlaps))?;
                let what = format!("{network} is attached to port {:?}", on.name);
                Some(Complaint::new(what, "use a network that is routed to the director"))
            };
            let complaint = complaint.or_else(attached);
            complaint.into_iter().for_each(|complaint| self.problems.add(place, complaint));
        }
    }

    /// Tunnels are for TUN, and each kind has its own options.
    pub(super) fn check_tunnels(&self, service: &'r raw::Service) {
        let Some(method) = service.said.known("method", service.plan.method) else { return };
        let usual = service.plan.tunnel;
        self.check_tunnel(usual.mistake(method.tunnels()), &service.said, &service.place);
        if service.said.known("tunnel", ()).is_none() {
            return;
        }
        for server in &service.servers {
            let misfit = server.plan.tunnel.mistake(method.tunnels(), usual);
            self.check_tunnel(misfit, &server.said, &server.place);
        }
    }

    /// L3DSR takes a DSCP, which stands for one VIP, and nothing else does.
    pub(super) fn check_dscp(&self, service: &'r raw::Service) {
        let Some(method) = service.said.known("method", service.plan.method) else { return };
        let (dscp, said) = (service.plan.dscp, service.said.place("dscp"));
        if !method.marks() {
            if let Some(place) = said.filter(|_| dscp > 0) {
                let what = format!("is for l3dsr: with {method}, packets keep their own");
                self.problems.add(place, Complaint::new(what, "remove it or set `method = \"l3dsr\"`"));
            }
            return;
        }
        let is_known = service.said.known("dscp", ()).is_some();
        if let Some(place) = service.said.place("method").filter(|_| is_known && dscp == 0) {
            let what = "l3dsr takes a DSCP, by which servers know packets for the VIP";
            let remedy = "give it a number from 1 to 63, as in `dscp = 11`";
            self.problems.add(said.unwrap_or(place), Complaint::new(what, remedy));
        }
        if let Some((_, place)) = service.vips().nth(1) {
            let what = "is another VIP, and one DSCP stands for one";
            self.problems.add(place, Complaint::new(what, "make a service for each VIP"));
        }
    }

    fn check_tunnel(&self, misfit: Option<Misfit>, said: &Said, otherwise: &Place) {
        let Some(misfit) = misfit else { return };
        let keys = [misfit.key(), "tunnel_port", "tunnel_checksum"];
        let place = keys.iter().find_map(|key| said.place(key)).unwrap_or(otherwise);
        let (what, remedy) = misfit.text();
        self.problems.add(place, Complaint::new(what, remedy));
    }
}
