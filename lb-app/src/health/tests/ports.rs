//! Checks by the director's own ports, with a network made up behind them.

use super::{check, service, target};
use crate::{
    dataplane::{
        host::{Host, Outgoing},
        shutdown::Shutdown,
    },
    health::{Balancer, Target, Way, means::Means, probe::probe, target::Finding},
};
use crossbeam_channel::Receiver;
use lb_core::{ids::ServerId, worker::host::Recipient};
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        IpProtocol, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber, UdpPacket, UdpRepr,
    },
};
use std::{net::Ipv4Addr, sync::Arc, thread};

const DIRECTOR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Not on any network of this machine's kernel.
const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 77);
const STRANGER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);

/// Ports without a NIC.
#[derive(Debug)]
struct Network(Arc<Host>);

impl Balancer for Network {
    fn refresh(&self) -> Result<(), String> {
        Ok(())
    }

    fn host(&self) -> Option<Arc<Host>> {
        Some(self.0.clone())
    }

    fn way(&self, _: &Target, as_traffic: bool) -> Result<Way, String> {
        let to = Recipient { server: ServerId::new(0), address: SERVER.into(), as_traffic };
        Ok(Way { to, source: DIRECTOR, mtu: 1_500, translates: false })
    }
}

/// What a check by ports finds where `answer` says what comes back for each packet.
fn find(keys: &str, mut answer: impl FnMut(&Ipv4Packet<&[u8]>) -> Vec<Vec<u8>> + Send + 'static) -> Finding {
    let (host, mut workers): (_, Vec<Receiver<Outgoing>>) = Host::new(1, Arc::new(Shutdown::new(1)));
    let (ports, worker) = (host.clone(), workers.remove(0));
    let behind = thread::spawn(move || {
        for Outgoing { bytes, .. } in worker {
            for packet in answer(&Ipv4Packet::new_checked(&bytes[..]).unwrap()) {
                ports.take(&[&[0; 12], &[8, 0][..], &packet].concat());
            }
            ports.give_back(bytes);
        }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let means = Means::new(16, Some(Arc::new(Network(host))));
    means.ports.listen(runtime.handle());
    let server = Target { key: format!("{SERVER}:80 of tcp 192.0.2.100:80").parse().unwrap(), ..target(80) };
    let check = check(keys);
    let found = runtime.block_on(async { probe(&means, &check, &server).await.0 });
    runtime.shutdown_background();
    drop(behind);
    found
}

fn packet(source: Ipv4Addr, protocol: IpProtocol, len: usize, write: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let header = Ipv4Repr {
        src_addr: source,
        dst_addr: DIRECTOR,
        next_header: protocol,
        payload_len: len,
        hop_limit: 64,
    };
    let mut bytes = vec![0; header.buffer_len() + len];
    let mut packet = Ipv4Packet::new_unchecked(&mut bytes[..]);
    header.emit(&mut packet, &ChecksumCapabilities::default());
    write(packet.payload_mut());
    bytes
}

fn datagram(source: Ipv4Addr, request: &Ipv4Packet<&[u8]>, from: u16, text: &[u8]) -> Vec<u8> {
    let asked = UdpPacket::new_checked(request.payload()).unwrap();
    let header = UdpRepr { src_port: from, dst_port: asked.src_port() };
    packet(source, IpProtocol::Udp, header.header_len() + text.len(), |payload| {
        let mut datagram = UdpPacket::new_unchecked(payload);
        let write = |space: &mut [u8]| space.copy_from_slice(text);
        let sums = ChecksumCapabilities::default();
        header.emit(&mut datagram, &source.into(), &DIRECTOR.into(), text.len(), write, &sums);
    })
}

/// Strangers know the port that a check is sent from, and say what the server would.
#[test]
fn strangers_neither_keep_a_dead_server_up_nor_starve_its_check() {
    let keys = "type = \"udp\", payload = \"ping\", require_reply = true";
    let dead = find(keys, |request| {
        let strange = datagram(STRANGER, request, 80, b"pong");
        let elsewhere = datagram(SERVER, request, 81, b"pong");
        (0..5_000).flat_map(|_| [strange.clone(), elsewhere.clone()]).collect()
    });
    assert_eq!(dead, Err("no answer within 300ms".to_owned()));
    let alive = find(keys, |request| {
        let mut packets = vec![datagram(STRANGER, request, 80, b"strange"); 10_000];
        packets.push(datagram(SERVER, request, 80, b"pong"));
        packets
    });
    assert_eq!(alive, Ok(()));
}

/// The server's own stack sends answer and end behind its SYN+ACK, and resets when the request comes.
#[test]
fn an_answer_before_the_request_is_an_answer_by_ports_too() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready";
    let end = TcpSeqNumber(1_001) + answer.len();
    for resets in [false, true] {
        let found = find("type = \"http\", body = \"^ready$\"", move |request| {
            let asked = TcpPacket::new_checked(request.payload()).unwrap();
            let segment = |control, seq: TcpSeqNumber, text: &[u8]| {
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
                packet(SERVER, IpProtocol::Tcp, header.buffer_len(), |payload| {
                    let sums = ChecksumCapabilities::default();
                    header.emit(
                        &mut TcpPacket::new_unchecked(payload),
                        &SERVER.into(),
                        &DIRECTOR.into(),
                        &sums,
                    );
                })
            };
            if asked.syn() {
                vec![
                    segment(TcpControl::Syn, TcpSeqNumber(1_000), b""),
                    segment(TcpControl::Fin, TcpSeqNumber(1_001), answer),
                ]
            } else if resets && !asked.payload().is_empty() {
                vec![segment(TcpControl::Rst, end + 1, b"")]
            } else {
                vec![]
            }
        });
        assert_eq!(found, Ok(()), "{resets}");
    }
}

/// Ports that DPDK owns are not the kernel's, and `via` need not be said.
#[test]
fn a_check_without_via_leaves_by_the_ports_unless_the_kernel_is_on_the_network() {
    let (host, _workers) = Host::new(1, Arc::new(Shutdown::new(1)));
    let means = Means::new(16, Some(Arc::new(Network(host))));
    let by_ports = |keys: &str, address: &str| {
        let key = format!("{address}:80 of tcp 192.0.2.100:80").parse().unwrap();
        means.by_ports(&check(keys), &Target { key, ..target(80) })
    };
    assert!(by_ports("type = \"http\"", "203.0.113.77"));
    assert!(!by_ports("type = \"http\"", "127.0.0.1"), "every kernel is on loopback");
    assert!(by_ports("type = \"http\", via = \"ports\"", "127.0.0.1"));
    assert!(!by_ports("type = \"http\", via = \"kernel\"", "203.0.113.77"));
    assert!(!by_ports("type = \"http\", device = \"eth0\"", "203.0.113.77"));
    assert!(by_ports("type = \"udp\", to = \"vip\"", "127.0.0.1"), "traffic's way");
    assert!(!by_ports("type = \"command\", command = [\"/bin/true\"]", "203.0.113.77"));
    let config = service("check = { type = \"tcp\" }\n");
    assert_eq!(config.health.services[0].check.as_ref().map(|check| check.via()), Some("auto"));
}
