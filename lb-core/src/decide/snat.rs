//! What servers send by themselves through the director, their default gateway: under SNAT it leaves with a local address
//! of the director's. Asked about packets that would end otherwise, as nobody's here.

use super::{
    About, Act, Course, Decision, Open, Origin,
    classify::Parsed,
    known::{Forwarded, Known},
};
use crate::{
    counters::DropReason,
    ids::{LocalId, ServiceId},
    packet::{HandOver, Packet},
    service::{plan::Unserved, routing::NextHop},
    time::Instant,
    wire::protocol::Protocol,
};

impl Known {
    /// A packet to somebody outside, of no connection that is known and from nobody who would answer for a service.
    pub(super) fn to_outside<F: Forwarded>(
        &self,
        now: Instant,
        packet: &impl Packet,
        parsed: &Parsed<F>,
        origin: Origin,
    ) -> Decision<F> {
        let rule = match self.rule_of(packet, parsed) {
            Ok(rule) => rule,
            Err(reason) => return Act::Drop(reason).into(),
        };
        let owner = self.owner_of_inbound(packet.port(), &parsed.key.key(), rule);
        Decision {
            about: About::Service(rule, owner),
            course: self
                .elsewhere(owner, HandOver::Client, origin)
                .or_else(|| self.begins_outward(parsed, rule))
                .unwrap_or_else(|| self.stray(now, parsed).into()),
        }
    }

    /// The same of a packet from an endpoint that answers for a service under NAT, at the owner of such answers: a SYN is none.
    /// A datagram may be, unless the service has any port.
    pub(super) fn to_outside_from_server<F: Forwarded>(
        &self,
        packet: &impl Packet,
        parsed: &Parsed<F>,
    ) -> Option<Course<F>> {
        let key = parsed.key.key();
        let may_answer = key.protocol == Protocol::Udp
            && self.snapshot.is_nat_endpoint::<F>(key.protocol, key.source, key.source_port);
        if may_answer || self.snapshot.rules.is_empty() || !begins(parsed) {
            return None;
        }
        let rule = self.rule_of(packet, parsed).ok()?;
        self.begins_outward(parsed, rule)
    }

    /// The same from another port of a server's whose address answers for services that modules read, so that all that it
    /// sends is its client's owner's.
    pub(super) fn to_outside_from_host<F: Forwarded>(
        &self,
        now: Instant,
        packet: &impl Packet,
        parsed: &Parsed<F>,
    ) -> Course<F> {
        match self.rule_of(packet, parsed) {
            Ok(rule) => self.begins_outward(parsed, rule).unwrap_or_else(|| self.stray(now, parsed).into()),
            Err(reason) => Act::Drop(reason).into(),
        }
    }

    /// Whether what an endpoint sends outward is its client's owner's: it may be an answer.
    pub(crate) fn may_answer<F: Forwarded>(
        &self,
        protocol: Protocol,
        address: F::Address,
        port: u16,
    ) -> bool {
        self.snapshot.is_nat_server::<F>(protocol, address, port)
            || self.snapshot.has_readers && self.snapshot.is_nat_host::<F>(address)
    }

    /// The rule by which a packet is translated, or why it ends.
    fn rule_of<F: Forwarded>(
        &self,
        packet: &impl Packet,
        parsed: &Parsed<F>,
    ) -> Result<ServiceId, DropReason> {
        // Nobody translates those.
        if parsed.key.protocol == Protocol::Sctp || parsed.is_call() {
            return Err(self.why_nobodys::<F>(parsed.at.source));
        }
        self.rule_for::<F>(packet, (parsed.at.source, parsed.at.destination))
    }

    /// The rule by which what one address sends another is translated, or why it ends.
    pub(super) fn rule_for<F: Forwarded>(
        &self,
        packet: &impl Packet,
        (source, destination): (F::Address, F::Address),
    ) -> Result<ServiceId, DropReason> {
        let from = F::ip(source);
        if self.snapshot.rules.iter().all(|rule| !rule.is_for(from)) {
            return Err(self.why_nobodys::<F>(source));
        }
        // An address of one link means something else on another.
        if !self.is_station::<F>(destination) || !F::leaves_link(destination) || !F::leaves_link(source) {
            return Err(DropReason::NotForUs);
        }
        // Whoever else sends from a server's address is none.
        let arrived = self.arrival(packet);
        if self.snapshot.routing.next_hop(from).is_none_or(|hop| hop.interface != arrived) {
            return Err(DropReason::WrongPort);
        }
        let NextHop { interface, .. } =
            self.snapshot.routing.next_hop(F::ip(destination)).ok_or(DropReason::NoRoute)?;
        let rule = self.snapshot.rule_for(from, interface);
        rule.map(|rule| rule.service).ok_or(DropReason::NoSnat)
    }

    /// Whether connections outward may have a local address.
    pub(super) fn is_outward_end<F: Forwarded>(&self, address: F::Address) -> bool {
        let local = self.snapshot.local_address::<F>(address);
        local.is_some_and(|local| self.snapshot.is_outward(local))
    }

    /// Why a packet to somebody outside ends that is not translated.
    pub(super) fn why_nobodys<F: Forwarded>(&self, source: F::Address) -> DropReason {
        let is_for = || self.snapshot.rules.iter().any(|rule| rule.is_for(F::ip(source)));
        let is_server = self.snapshot.is_nat_host::<F>(source) || is_for();
        if is_server { DropReason::NoSnat } else { DropReason::NotForUs }
    }

    /// A packet that begins a connection outward does.
    fn begins_outward<F: Forwarded>(&self, parsed: &Parsed<F>, rule: ServiceId) -> Option<Course<F>> {
        // On standby answers would come to the active director.
        let locals = &self.snapshot.services[rule].local_addresses;
        let is_ours = |id: &LocalId| self.snapshot.answers_for(self.snapshot.local_addresses[*id].address);
        if !locals.iter().all(is_ours) {
            return Some(Act::Drop(DropReason::Standby).into());
        }
        begins(parsed).then_some(Course::Open(Open {
            service: rule,
            unserved: Unserved::Reject,
            adopts: false,
            told: None,
        }))
    }
}

/// Whether a packet can begin a connection.
fn begins<F: Forwarded>(parsed: &Parsed<F>) -> bool {
    match parsed.key.protocol {
        Protocol::Tcp => parsed.opens(),
        Protocol::Udp | Protocol::Icmp => parsed.begins(),
        Protocol::Sctp => false,
    }
}
