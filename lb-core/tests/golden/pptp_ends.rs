//! Both ends of PPTP, for tests: what they say, and packets of their calls.

use super::common::{
    frame::*,
    plan::*,
    read,
    world::{Sent, World},
};
use etherparse::{IpNumber, SlicedPacket, TransportSlice};
use lb_core::{
    packet::PortId,
    service::plan::{Method, ModuleKind, Plan},
};
use std::net::Ipv4Addr;

pub(super) const SERVICE: &str = "192.0.2.100:1723";
pub(super) const GRE: IpNumber = IpNumber(47);
pub(super) const REWRITING: [Method; 2] = [Method::Nat, Method::FullNat];
pub(super) const STEERING: [Method; 3] = [Method::Tun, Method::Dr, Method::L3Dsr];

// Kinds of messages: RFC 2637 2.
pub(super) const ECHO_REQUEST: u8 = 5;
pub(super) const OUTGOING_CALL_REQUEST: u8 = 7;
pub(super) const OUTGOING_CALL_REPLY: u8 = 8;
pub(super) const INCOMING_CALL_REQUEST: u8 = 9;
pub(super) const INCOMING_CALL_REPLY: u8 = 10;
pub(super) const INCOMING_CALL_CONNECTED: u8 = 11;
pub(super) const CALL_CLEAR_REQUEST: u8 = 12;
pub(super) const CALL_DISCONNECT_NOTIFY: u8 = 13;
pub(super) const WAN_ERROR_NOTIFY: u8 = 14;
pub(super) const SET_LINK_INFO: u8 = 15;

pub(super) fn plan(method: Method) -> Plan {
    let mut service = service(method, SERVICE, &["198.51.100.11:1723", "198.51.100.12:1723"]);
    service.module = ModuleKind::Pptp;
    network().with(service)
}

/// A message of a control connection, with two numbers of calls behind its header, and a result.
pub(super) fn message(kind: u8, first: u16, second: u16, result: u8) -> Vec<u8> {
    let len = match kind {
        ECHO_REQUEST | CALL_CLEAR_REQUEST => 16,
        OUTGOING_CALL_REQUEST => 168,
        OUTGOING_CALL_REPLY => 32,
        INCOMING_CALL_REQUEST => 220,
        INCOMING_CALL_REPLY | SET_LINK_INFO => 24,
        INCOMING_CALL_CONNECTED => 28,
        CALL_DISCONNECT_NOTIFY => 148,
        WAN_ERROR_NOTIFY => 40,
        _ => panic!("kind {kind}"),
    };
    let mut bytes = vec![0, len, 0, 1, 0x1a, 0x2b, 0x3c, 0x4d, 0, kind, 0, 0];
    bytes.extend(first.to_be_bytes());
    bytes.extend(second.to_be_bytes());
    bytes.resize(usize::from(len), 0xa5);
    if let Some(at) = bytes.get_mut(16) {
        *at = result;
    }
    bytes
}

/// The two numbers of a message.
pub(super) fn numbers(message: &[u8]) -> [u16; 2] {
    [12, 14].map(|at| u16::from_be_bytes([message[at], message[at + 1]]))
}

/// A packet of a call: with a number, an acknowledgement, and some of PPP.
pub(super) fn call_packet(from: Ipv4Addr, to: Ipv4Addr, call: u16) -> Ip {
    let [high, low] = call.to_be_bytes();
    let header = [0x30, 0x81, 0x88, 0x0b, 0, 4, high, low, 0, 0, 0, 9, 0, 0, 0, 8];
    Ip::new(GRE, from, to, [&header[..], b"\xff\x03\xc0\x21"].concat())
}

/// A client with a control connection.
#[derive(Clone)]
pub(super) struct Dialled {
    pub(super) client: String,
    /// The client as the server sees it.
    pub(super) seen: String,
    pub(super) server: String,
    /// What each side has said, by direction.
    pub(super) said: [u32; 2],
}

impl Dialled {
    pub(super) fn new(world: &mut World, client: &str) -> Dialled {
        let syn = world.receive(WAN, &tcp(client, SERVICE, SYN).via_gateway());
        let said = [1_001, 1_001];
        let (seen, server) = (syn[0].source(), syn[0].destination());
        if server.ends_with(":1723") && server != SERVICE {
            let mut answer = tcp(&server, &seen, SYN | ACK);
            answer.set_acknowledgement(said[0]);
            world.receive(LAN, &answer.via_server());
            return Dialled { client: client.into(), seen, server, said };
        }
        // Servers answer by themselves.
        Dialled { client: client.into(), seen: client.into(), server: "198.51.100.11:1723".into(), said }
    }

    pub(super) fn segment(&self, at: usize, sequence: u32, text: &[u8]) -> (PortId, Vec<u8>) {
        let (from, to) = if at == 0 { (&*self.client, SERVICE) } else { (&*self.server, &*self.seen) };
        let mut segment = tcp_with(endpoint(from), endpoint(to), ACK, text);
        segment.set_sequence(sequence);
        segment.set_acknowledgement(self.said[1 - at]);
        if at == 0 { (WAN, segment.via_gateway()) } else { (LAN, segment.via_server()) }
    }

    /// One side says something, which the other hears like that and acknowledges.
    #[track_caller]
    pub(super) fn say(&mut self, world: &mut World, at: usize, text: &[u8]) -> Vec<u8> {
        let (port, frame) = self.segment(at, self.said[at], text);
        let heard = payload(&world.receive(port, &frame));
        assert_eq!(heard.len(), text.len());
        // Again, and by another worker.
        let last = world.workers.len() - 1;
        assert_eq!(payload(&world.burst(last, &[(port, frame)])), heard);
        self.said[at] += text.len() as u32;
        let (port, frame) = self.segment(1 - at, self.said[1 - at], b"");
        assert_eq!(world.receive(port, &frame).len(), 1);
        heard
    }

    /// Asks for a call, which the server takes. Returns the numbers that the server and the client are told.
    #[track_caller]
    pub(super) fn call(&mut self, world: &mut World, client: u16, server: u16) -> [u16; 2] {
        let asked = self.say(world, 0, &message(OUTGOING_CALL_REQUEST, client, 0, 0));
        let [told_server, _] = numbers(&asked);
        let answered = self.say(world, 1, &message(OUTGOING_CALL_REPLY, server, told_server, 1));
        let [told_client, own] = numbers(&answered);
        assert_eq!(own, client, "the client's own");
        assert_eq!(answered[16], 1);
        [told_server, told_client]
    }

    pub(super) fn address(&self, of: &str) -> Ipv4Addr {
        *endpoint(of).ip()
    }

    pub(super) fn client_says(&self, call: u16) -> Ip {
        call_packet(self.address(&self.client), VIP, call)
    }

    pub(super) fn server_says(&self, call: u16) -> Ip {
        call_packet(self.address(&self.server), self.address(&self.seen), call)
    }
}

/// The payload of the only segment.
#[track_caller]
pub(super) fn payload(sent: &[Sent]) -> Vec<u8> {
    let [sent] = sent else { panic!("{:?}", sent.iter().map(Sent::line).collect::<Vec<_>>()) };
    read::check_ip(read::ip_packet(&sent.frame).unwrap()).unwrap();
    let Some(TransportSlice::Tcp(tcp)) = SlicedPacket::from_ethernet(&sent.frame).unwrap().transport else {
        panic!("a segment");
    };
    tcp.payload().to_vec()
}

/// Source, destination and call of the only packet, whose other bytes are as they were.
#[track_caller]
pub(super) fn called(sent: &[Sent], frame: &[u8]) -> (String, String, u16) {
    let [sent] = sent else { panic!("{:?}", sent.iter().map(Sent::line).collect::<Vec<_>>()) };
    assert_eq!(sent.frame[34..40], frame[34..40]);
    assert_eq!(sent.frame[42..], frame[42..]);
    (sent.source(), sent.destination(), read::gre_call(&sent.frame[34..]).expect("a call"))
}

pub(super) fn it_call(client: &str) -> Vec<u8> {
    call_packet(client.parse().unwrap(), VIP, 1).via_gateway()
}
