//! Checks by the director's own ports, with a network made up behind them.

use super::{check, loopbacks, service, target, target_at};
use crate::{
    config::health::Check,
    dataplane::{
        host::{Host, Outgoing, To},
        shutdown::Shutdown,
    },
    health::{Balancer, Target, Way, advice::Told, means::Means, probe::probe, target::Finding},
};
use crossbeam_channel::Receiver;
use lb_core::{ids::ServerId, worker::host::Recipient};
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        Icmpv4Packet, Icmpv6Packet, IpProtocol, IpRepr, Ipv4Packet, Ipv6Packet, TcpControl, TcpPacket,
        TcpRepr, TcpSeqNumber, UdpPacket, UdpRepr,
    },
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    thread,
};

/// Who is where. Servers are on no network of this machine's kernel.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The director's address that checks are sent from.
    director: &'static str,
    server: &'static str,
    vip: &'static str,
    stranger: &'static str,
}

const V4: Place =
    Place { director: "192.0.2.1", server: "203.0.113.77", vip: "192.0.2.100", stranger: "198.51.100.9" };
const V6: Place = Place {
    director: "2001:db8:1::1",
    server: "2001:db8:2::77",
    vip: "2001:db8:1::100",
    stranger: "2001:db8:3::9",
};

/// Ports without a NIC.
#[derive(Debug)]
struct Network(Arc<Host>, Place);

impl Balancer for Network {
    fn refresh(&self) -> Result<(), String> {
        Ok(())
    }

    fn host(&self) -> Option<Arc<Host>> {
        Some(self.0.clone())
    }

    fn way(&self, _: &Target, as_traffic: bool) -> Result<Way, String> {
        let to = Recipient { server: ServerId::new(0), address: ip(self.1.server), as_traffic };
        Ok(Way { to, source: ip(self.1.director), mtu: 1_500, translates: false })
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A packet of a check.
struct Request<'a> {
    /// It goes to the server as clients' packets do.
    as_traffic: bool,
    from: IpAddr,
    to: IpAddr,
    payload: &'a [u8],
}

impl<'a> Request<'a> {
    fn read(as_traffic: bool, bytes: &'a [u8]) -> Self {
        if bytes[0] >> 4 == 4 {
            let packet = Ipv4Packet::new_checked(bytes).unwrap();
            let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
            Request { as_traffic, from, to, payload: packet.payload() }
        } else {
            let packet = Ipv6Packet::new_checked(bytes).unwrap();
            let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
            Request { as_traffic, from, to, payload: packet.payload() }
        }
    }

    fn udp(&self) -> UdpPacket<&'a [u8]> {
        let datagram = UdpPacket::new_checked(self.payload).unwrap();
        assert!(datagram.verify_checksum(&self.from.into(), &self.to.into()));
        datagram
    }

    fn tcp(&self) -> TcpPacket<&'a [u8]> {
        let segment = TcpPacket::new_checked(self.payload).unwrap();
        assert!(segment.verify_checksum(&self.from.into(), &self.to.into()));
        segment
    }

    /// A packet that comes back from somebody.
    fn answer(&self, source: IpAddr, protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
        let header = IpRepr::new(source.into(), self.from.into(), protocol, payload.len(), 64);
        let mut bytes = vec![0; header.buffer_len()];
        header.emit(&mut bytes[..], &ChecksumCapabilities::default());
        bytes.truncate(header.header_len());
        bytes.extend(payload);
        bytes
    }

    fn datagram(&self, source: IpAddr, from: u16, text: &[u8]) -> Vec<u8> {
        let header = UdpRepr { src_port: from, dst_port: self.udp().src_port() };
        let mut bytes = vec![0; header.header_len() + text.len()];
        let mut datagram = UdpPacket::new_unchecked(&mut bytes[..]);
        let write = |space: &mut [u8]| space.copy_from_slice(text);
        let sums = ChecksumCapabilities::default();
        header.emit(&mut datagram, &source.into(), &self.from.into(), text.len(), write, &sums);
        self.answer(source, IpProtocol::Udp, &bytes)
    }

    /// A segment of whom the check talks to.
    fn segment(&self, control: TcpControl, seq: TcpSeqNumber, text: &[u8]) -> Vec<u8> {
        let asked = self.tcp();
        let header = TcpRepr {
            src_port: 80,
            dst_port: asked.src_port(),
            control,
            seq_number: seq,
            ack_number: Some(asked.seq_number() + asked.segment_len()),
            window_len: 10_000,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: text,
        };
        let mut bytes = vec![0; header.buffer_len()];
        let mut segment = TcpPacket::new_unchecked(&mut bytes[..]);
        header.emit(&mut segment, &self.to.into(), &self.from.into(), &ChecksumCapabilities::default());
        self.answer(self.to, IpProtocol::Tcp, &bytes)
    }

    /// An ICMP message of its family.
    fn message(&self, source: IpAddr, mut bytes: Vec<u8>) -> Vec<u8> {
        match (source, self.from) {
            (IpAddr::V6(source6), IpAddr::V6(to)) => {
                Icmpv6Packet::new_unchecked(&mut bytes[..]).fill_checksum(&source6, &to);
                self.answer(source, IpProtocol::Icmpv6, &bytes)
            }
            _ => {
                Icmpv4Packet::new_unchecked(&mut bytes[..]).fill_checksum();
                self.answer(source, IpProtocol::Icmp, &bytes)
            }
        }
    }
}

/// What a check by ports finds where `answer` says what comes back for each packet.
fn find(
    place: Place,
    check: &Check,
    mut answer: impl FnMut(&Request<'_>) -> Vec<Vec<u8>> + Send + 'static,
) -> Finding {
    let (host, mut workers): (_, Vec<Receiver<Outgoing>>) = Host::new(1, Arc::new(Shutdown::new(1)));
    let (ports, worker) = (host.clone(), workers.remove(0));
    let behind = thread::spawn(move || {
        for Outgoing { bytes, to } in worker {
            let To::Server(to) = to else { continue };
            for packet in answer(&Request::read(to.as_traffic, &bytes)) {
                let ethertype: [u8; 2] = if packet[0] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] };
                ports.take(&[&[0; 12], &ethertype[..], &packet].concat());
            }
            ports.give_back(bytes);
        }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let means = Means::new(16, Some(Arc::new(Network(host, place))));
    means.ports.listen(runtime.handle());
    let endpoint = |address| SocketAddr::new(ip(address), 80);
    let key = format!("{} of tcp {}", endpoint(place.server), endpoint(place.vip)).parse().unwrap();
    let server = Target { key, ..target(80) };
    let found = runtime.block_on(async { probe(&means, check, &server).await.0 });
    runtime.shutdown_background();
    drop(behind);
    found.map(|told| assert_eq!(told, Told::works()))
}

/// All types, to the server and to the VIP, also where the tunnel is of the other family.
#[test]
fn every_type_of_check_takes_this_way() {
    let v6_by_v4 = Place { server: V4.server, ..V6 };
    let v4_by_v6 = Place { server: V6.server, ..V4 };
    for (place, to) in
        [(V4, "server"), (V6, "server"), (V4, "vip"), (V6, "vip"), (v6_by_v4, "vip"), (v4_by_v6, "vip")]
    {
        let whom = if to == "vip" { place.vip } else { place.server };
        let about = format!("{place:?} to {to}");
        let says = |keys: &str, answer: fn(&Request<'_>) -> Vec<Vec<u8>>| {
            let check = check(&format!("{keys}, to = \"{to}\""));
            find(place, &check, move |request| {
                let expected = (to == "vip", ip(place.director), ip(whom));
                assert_eq!((request.as_traffic, request.from, request.to), expected);
                answer(request)
            })
        };
        let refused = Err("it refused the connection".to_owned());
        assert_eq!(says("type = \"tcp\"", accept), Ok(()), "{about}");
        assert_eq!(says("type = \"tcp\"", refuse), refused, "{about}");
        assert_eq!(says("type = \"http\", body = \"^ready$\"", accept), Ok(()), "{about}");
        assert_eq!(says("type = \"http\"", refuse), refused, "{about}");
        let ping = "type = \"udp\", payload = \"ping\"";
        assert_eq!(says(&format!("{ping}, expect = \"^ping$\""), repeat), Ok(()), "{about}");
        assert_eq!(says(ping, unreachable), Err("nothing listens on its port".to_owned()), "{about}");
        assert_eq!(says(ping, too_big), Ok(()), "{about}: too large is nobody's refusal");
        assert_eq!(says("type = \"dns\"", resolve), Ok(()), "{about}");
        assert_eq!(says("type = \"icmp\"", echo), Ok(()), "{about}");
        let silence = says("type = \"icmp\"", |_| Vec::new());
        assert!(silence.unwrap_err().starts_with("no answer within 300ms"), "{about}");
    }
}

/// A connection that is opened, and ends with an answer to whatever is asked.
fn accept(request: &Request<'_>) -> Vec<Vec<u8>> {
    let asked = request.tcp();
    if asked.syn() {
        vec![request.segment(TcpControl::Syn, TcpSeqNumber(1_000), b"")]
    } else if asked.payload().is_empty() {
        vec![]
    } else {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready";
        vec![request.segment(TcpControl::Fin, TcpSeqNumber(1_001), answer)]
    }
}

fn refuse(request: &Request<'_>) -> Vec<Vec<u8>> {
    vec![request.segment(TcpControl::Rst, TcpSeqNumber(0), b"")]
}

fn repeat(request: &Request<'_>) -> Vec<Vec<u8>> {
    vec![request.datagram(request.to, 80, request.udp().payload())]
}

fn resolve(request: &Request<'_>) -> Vec<Vec<u8>> {
    let mut answer = request.udp().payload().to_vec();
    answer[2..4].copy_from_slice(&[0x81, 0x80]);
    vec![request.datagram(request.to, 80, &answer)]
}

fn echo(request: &Request<'_>) -> Vec<Vec<u8>> {
    let mut message = request.payload.to_vec();
    if let (IpAddr::V6(from), IpAddr::V6(to)) = (request.from, request.to) {
        assert!(Icmpv6Packet::new_unchecked(&message).verify_checksum(&from, &to));
        message[0] = 129;
    } else {
        assert!(Icmpv4Packet::new_unchecked(&message).verify_checksum());
        message[0] = 0;
    }
    vec![request.message(request.to, message)]
}

/// An ICMP error about the request, by its type and code in each family.
fn error(request: &Request<'_>, v4: [u8; 2], v6: [u8; 2]) -> Vec<Vec<u8>> {
    let is_v4 = request.from.is_ipv4();
    let protocol = IpProtocol::Udp;
    let header = IpRepr::new(request.from.into(), request.to.into(), protocol, request.payload.len(), 63);
    let mut quoted = vec![0; header.buffer_len()];
    header.emit(&mut quoted[..], &ChecksumCapabilities::default());
    quoted.truncate(header.header_len());
    quoted.extend(request.payload);
    let mut message = vec![0; 8];
    message[..2].copy_from_slice(if is_v4 { &v4 } else { &v6 });
    message.extend(quoted);
    let router = ip(if is_v4 { "192.0.2.254" } else { "2001:db8:1::fffe" });
    vec![request.message(router, message)]
}

fn unreachable(request: &Request<'_>) -> Vec<Vec<u8>> {
    error(request, [3, 3], [1, 4])
}

fn too_big(request: &Request<'_>) -> Vec<Vec<u8>> {
    error(request, [3, 4], [2, 0])
}

/// Strangers know the port that a check is sent from, and say what the server would.
#[test]
fn strangers_neither_keep_a_dead_server_up_nor_starve_its_check() {
    let check = check("type = \"udp\", payload = \"ping\", require_reply = true");
    for place in [V4, V6] {
        let (server, stranger) = (ip(place.server), ip(place.stranger));
        let dead = find(place, &check, move |request| {
            let strange = request.datagram(stranger, 80, b"pong");
            let elsewhere = request.datagram(server, 81, b"pong");
            (0..5_000).flat_map(|_| [strange.clone(), elsewhere.clone()]).collect()
        });
        assert_eq!(dead, Err("no answer within 300ms".to_owned()));
        let alive = find(place, &check, move |request| {
            let mut packets = vec![request.datagram(stranger, 80, b"strange"); 10_000];
            packets.push(request.datagram(server, 80, b"pong"));
            packets
        });
        assert_eq!(alive, Ok(()));
    }
}

/// The server's own stack sends answer and end behind its SYN+ACK, and resets when the request comes.
#[test]
fn an_answer_before_the_request_is_an_answer_by_ports_too() {
    let check = check("type = \"http\", body = \"^ready$\"");
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready";
    let end = TcpSeqNumber(1_001) + answer.len();
    for (place, resets) in [(V4, false), (V4, true), (V6, false), (V6, true)] {
        let found = find(place, &check, move |request| {
            let asked = request.tcp();
            if asked.syn() {
                vec![
                    request.segment(TcpControl::Syn, TcpSeqNumber(1_000), b""),
                    request.segment(TcpControl::Fin, TcpSeqNumber(1_001), answer),
                ]
            } else if resets && !asked.payload().is_empty() {
                vec![request.segment(TcpControl::Rst, end + 1, b"")]
            } else {
                vec![]
            }
        });
        assert_eq!(found, Ok(()), "{place:?}, {resets}");
    }
}

/// Ports that DPDK owns are not the kernel's, and `via` need not be said.
#[test]
fn a_check_without_via_leaves_by_the_ports_unless_the_kernel_is_on_the_network() {
    let (host, _workers) = Host::new(1, Arc::new(Shutdown::new(1)));
    let means = Means::new(16, Some(Arc::new(Network(host, V4))));
    let by_ports = |keys: &str, address: &str| means.by_ports(&check(keys), &target_at(ip(address), 80));
    assert!(by_ports("type = \"http\"", "203.0.113.77"));
    assert!(by_ports("type = \"http\"", "2001:db8:77::1"));
    for loopback in loopbacks() {
        assert!(!by_ports("type = \"http\"", &loopback.to_string()), "every kernel is on loopback");
    }
    assert!(by_ports("type = \"http\", via = \"ports\"", "127.0.0.1"));
    assert!(!by_ports("type = \"http\", via = \"kernel\"", "203.0.113.77"));
    assert!(!by_ports("type = \"http\", via = \"kernel\"", "2001:db8:77::1"));
    assert!(!by_ports("type = \"http\", device = \"eth0\"", "203.0.113.77"));
    assert!(by_ports("type = \"udp\", to = \"vip\"", "127.0.0.1"), "traffic's way");
    assert!(!by_ports("type = \"command\", command = [\"/bin/true\"]", "203.0.113.77"));
    let config = service("check = { type = \"tcp\" }\n");
    assert_eq!(config.health.services[0].check.as_ref().map(|check| check.via()), Some("auto"));
}
