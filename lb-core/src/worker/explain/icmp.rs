//! ICMP, ARP and other protocols: what they are taken for.

use super::*;
use crate::{
    forward::embedded::{self, Quote},
    neigh::table,
    wire::arp::{Arp, Operation},
    worker::icmp::{about_tunnel, answers, concerns},
};

impl<P: Packet> Story<'_, P> {
    pub(super) fn icmp(&mut self) -> Outcome {
        let at = self.stage.at;
        let local = self.worker.snapshot.local(at.destination);
        let is_own = matches!(local, Some(Local::Own(_)));
        let kind = at.payload(self.packet.bytes()).first();
        if !self.worker.is_station(at.source) {
            return match kind {
                Some(&kind) if is_own && answers(kind) => self.deliver(DropReason::BadSource),
                _ => Outcome::Dropped(DropReason::BadSource),
            };
        }
        match kind {
            Some(&wire_icmp::ECHO_REQUEST) if local.is_some() => {
                self.say(Stage::Service, "a ping of one of the director's addresses");
                if !self.may_answer() {
                    return Outcome::Dropped(DropReason::RejectLimited);
                }
                reject::echo_reply(&mut self.packet, &at);
                Outcome::Answered { frame: self.packet.bytes().to_vec() }
            }
            Some(&kind) if wire_icmp::is_error(kind) => match local {
                Some(Local::Own(_)) => self.tunnel_error(),
                _ => self.icmp_error(),
            },
            Some(&wire_icmp::ECHO_REPLY) if is_own => self.deliver(DropReason::IcmpUnrelated),
            _ if local.is_some() => Outcome::Dropped(DropReason::IcmpUnrelated),
            _ => Outcome::Dropped(DropReason::NotForUs),
        }
    }

    fn icmp_error(&mut self) -> Outcome {
        let at = self.stage.at;
        let Some(quote) = Quote::read(self.packet.bytes(), &at) else {
            self.say(Stage::Service, "an ICMP error that quotes too little to tell its connection");
            return Outcome::Dropped(DropReason::IcmpUnrelated);
        };
        let Some(found) = self.worker.connections.lookup(&quote.answers) else {
            self.say(
                Stage::Service,
                "an ICMP error about no connection of this worker; the others get a copy",
            );
            return Outcome::Dropped(DropReason::IcmpUnrelated);
        };
        let connection = *self.worker.connections.get(found.connection());
        self.is_known = true;
        self.concern(connection.server);
        self.say(Stage::Connection, format!("an ICMP error about {}", flow(&connection)));
        let server = &self.worker.backends[connection.server];
        if found.direction() == Direction::In && server.is_gone() {
            self.say(Stage::Connection, "its server is gone");
            return Outcome::Dropped(DropReason::NoConnection);
        }
        let (way, limit) = self.way(&connection, found.direction());
        if at.ip_len > limit {
            self.say(Stage::Mtu, format!("{} bytes do not fit the way out, which takes {limit}", at.ip_len));
            return Outcome::Dropped(DropReason::TooBig);
        }
        if at.ttl <= 1 {
            return Outcome::Dropped(DropReason::TtlExpired);
        }
        let method = if found.direction() == Direction::In { connection.method } else { Method::Nat };
        match method {
            Method::Nat => {
                let frame = self.packet.bytes_mut();
                embedded::translate(frame, &at, &quote, &connection, found.direction());
                self.say(Stage::Method, "nat: addresses translated, also in the quoted packet");
            }
            Method::Dr => dr::inbound(self.packet.bytes_mut(), &at),
            Method::Tun => {
                if let Some(dropped) = self.tunnel(&connection) {
                    return dropped;
                }
            }
        }
        self.forward(way)
    }

    fn tunnel_error(&mut self) -> Outcome {
        let report = about_tunnel(self.stage.at.payload(self.packet.bytes()));
        let servers = &self.worker.snapshot.servers;
        match report.filter(|(outer, mtu)| servers.iter().any(|server| concerns(server, outer, *mtu))) {
            Some((outer, mtu)) => {
                let to = Ipv4Addr::from_bits(outer.destination);
                self.say(Stage::Method, format!("the tunnel to {to} carries {mtu} bytes; kept for a while"));
                Outcome::TakenIn
            }
            None => self.deliver(DropReason::IcmpUnrelated),
        }
    }

    pub(super) fn arp(&mut self) -> Outcome {
        let frame = self.packet.bytes();
        let port = self.packet.port();
        let read = ethernet::payload(frame).and_then(|(_, l3)| Some((l3, Arp::read(&frame[l3..])?)));
        let Some((l3, arp)) = read else { return Outcome::Dropped(DropReason::BadArp) };
        if ethernet::is_group(arp.sender_mac) || arp.sender_mac != ethernet::source(frame) {
            return Outcome::Dropped(DropReason::BadArp);
        }
        let worker = self.worker;
        if worker.snapshot.local(arp.sender.to_bits()).is_some() {
            if worker.macs.contains(&arp.sender_mac) || !worker.answers_for(arp.sender, port) {
                return Outcome::Dropped(DropReason::ArpIgnored);
            }
            self.say(Stage::Service, format!("{} claims {}, which is ours", arp.sender_mac, arp.sender));
            return Outcome::TakenIn;
        }
        let heard = worker.neighbours.find(table::hop(port, arp.sender)).is_some();
        if heard {
            self.say(Stage::NextHop, format!("{} is at {}; it is remembered", arp.sender, arp.sender_mac));
        }
        let is_question = arp.operation == Operation::Request && self.origin == Origin::Port;
        if is_question && worker.answers_for(arp.target, port) {
            self.say(Stage::Service, format!("asks for {}, which is ours on this port", arp.target));
            let mac = worker.mac_of(port);
            let reply = arp.answered_by(mac);
            let frame = self.packet.bytes_mut();
            reply.write(&mut frame[l3..]);
            ethernet::set_addresses(frame, arp.sender_mac, mac);
            return Outcome::Answered { frame: self.packet.bytes().to_vec() };
        }
        if heard { Outcome::TakenIn } else { Outcome::Dropped(DropReason::ArpIgnored) }
    }

    pub(super) fn other_protocol(&mut self) -> Outcome {
        let at = self.stage.at;
        if !self.worker.is_station(at.source) {
            return Outcome::Dropped(DropReason::BadSource);
        }
        match self.worker.snapshot.local(at.destination) {
            Some(Local::Vip { unserved, .. }) => {
                self.say(Stage::Service, format!("no service has protocol {}", at.protocol));
                self.refuse(unserved, DropReason::Unserved)
            }
            Some(Local::Own(_)) => Outcome::Dropped(DropReason::OwnAddress),
            None => Outcome::Dropped(DropReason::NotForUs),
        }
    }
}
