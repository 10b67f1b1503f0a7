//! What ports are asked for, tried on a port made of arithmetic: whatever it and workers do together, the frame on the wire is
//! the one that workers alone make.

use super::{CHECKSUMS, Choice, IPV4, OUTER_IPV4, SCTP, TCP, TxWish, TxWork, UDP, VLAN, do_instead};
use crate::dpdk::{Mbuf, Mempool, PortSettings, port::Port, port_info::PortInfo};
use dpdk_sys::shim_request;
use lb_core::{
    packet::{Burst, Packet, PortId},
    wire::{sctp, whole::Places},
};

const STATIONS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
const TAG: [u8; 4] = [0x81, 0x00, 0x20, 0x64];

fn put(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// RFC 1071, the plainest way.
fn sum(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |&low| u32::from(low)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// A packet with a right checksum of its header.
fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut header =
        vec![0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, protocol, 0, 0, 192, 0, 2, 7, 198, 51, 100, 9];
    put(&mut header, 2, (20 + payload.len()) as u16);
    let checksum = !sum(&header);
    put(&mut header, 10, checksum);
    [&header[..], payload].concat()
}

fn ipv6(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
    put(&mut header, 4, payload.len() as u16);
    let address = |last| [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[last]].concat();
    [header, address(7), address(9), payload.to_vec()].concat()
}

/// Completes the checksum of what such a packet carries.
fn complete(mut packet: Vec<u8>) -> Vec<u8> {
    let (addresses, protocol, l4) = match packet[0] >> 4 {
        4 => (packet[12..20].to_vec(), packet[9], 20),
        _ => (packet[8..40].to_vec(), packet[6], 40),
    };
    let len = (packet.len() - l4) as u16;
    let pseudo = [&addresses[..], &[0, protocol], &len.to_be_bytes()].concat();
    let segment = &mut packet[l4..];
    let at = match protocol {
        6 => 16,
        17 => 6,
        _ => {
            sctp::set_checksum(segment);
            return packet;
        }
    };
    put(segment, at, 0);
    let checksum = !sum(&[&pseudo, &*segment].concat());
    put(segment, at, if checksum == 0 && protocol == 17 { 0xffff } else { checksum });
    packet
}

fn tcp(data: &[u8]) -> Vec<u8> {
    let mut header = vec![0x30; 20];
    (header[12], header[13]) = (0x50, 0x18);
    [&header, data].concat()
}

fn udp(data: &[u8]) -> Vec<u8> {
    let mut header = vec![0x17, 0xc0, 0x17, 0xc0, 0, 0, 0, 0];
    put(&mut header, 4, (8 + data.len()) as u16);
    [&header, data].concat()
}

fn frame(tags: &[u8], packet: &[u8], padding: &[u8]) -> Vec<u8> {
    let ethertype: &[u8] = if packet[0] >> 4 == 4 { &[0x08, 0x00] } else { &[0x86, 0xdd] };
    [&STATIONS, tags, ethertype, packet, padding].concat()
}

/// What a port does that was asked so.
fn sent(frame: &[u8], request: &shim_request) -> Vec<u8> {
    let (mut frame, flags) = (frame.to_vec(), request.flags);
    let [l2, l3, outer_l2, outer_l3] =
        [request.l2_len, request.l3_len, request.outer_l2_len, request.outer_l3_len].map(usize::from);
    let start = outer_l2 + outer_l3 + l2;
    let mut header = |at: usize, len: usize| {
        assert_eq!(frame[at + 10..at + 12], [0, 0], "drivers want zero in a checksum's place");
        let checksum = !sum(&frame[at..at + len]);
        put(&mut frame, at + 10, checksum);
    };
    if flags & dpdk_sys::SHIM_TX_IP_CKSUM != 0 {
        header(start, l3);
    }
    if flags & dpdk_sys::SHIM_TX_OUTER_IP_CKSUM != 0 {
        header(outer_l2, outer_l3);
    }
    let l4 = start + l3;
    let mut segment = |at: usize, zero: u16| {
        // The seed is there, and counts.
        let checksum = !sum(&frame[l4..]);
        put(&mut frame, l4 + at, if checksum == 0 { zero } else { checksum });
    };
    match flags & dpdk_sys::SHIM_TX_L4_MASK {
        0 => {}
        dpdk_sys::SHIM_TX_TCP_CKSUM => segment(16, 0),
        dpdk_sys::SHIM_TX_UDP_CKSUM => segment(6, 0xffff),
        _ => sctp::set_checksum(&mut frame[l4..]),
    }
    if flags & dpdk_sys::SHIM_TX_VLAN != 0 {
        let tag = [&[0x81, 0x00], &request.vlan_tci.to_be_bytes()[..]].concat();
        frame.splice(12..12, tag);
    }
    frame
}

/// A frame without what pads it, if a port is to compute a checksum over it: it pads anew.
fn on_the_wire<'a>(frame: &'a [u8], request: &shim_request) -> &'a [u8] {
    match Places::of(frame).filter(|_| request.flags & dpdk_sys::SHIM_TX_L4_MASK != 0) {
        Some(places) => &frame[..places.end],
        None => frame,
    }
}

fn filled(pool: &Mempool, frame: &[u8]) -> Mbuf {
    let mut packet = pool.allocate().expect("there are buffers");
    assert!(packet.set_len(frame.len()));
    packet.bytes_mut().copy_from_slice(frame);
    packet
}

/// A frame with right checksums, where its checksum over all is, and how many bytes that has.
type Case = (Vec<u8>, Option<(usize, usize)>);

fn frames() -> Vec<Case> {
    let data: Vec<u8> = (0..=200).collect();
    let odd = frame(&[], &complete(ipv6(6, &tcp(&data))), &[]);
    let inner = complete(ipv4(6, &tcp(b"inside")));
    let tagged = frame(&TAG, &complete(ipv4(17, &udp(&inner))), &[]);
    let stacked = [&[0x88, 0xa8, 0, 9], &TAG[..]].concat();
    vec![
        (frame(&[], &complete(ipv4(6, &tcp(b""))), &[0; 6]), Some((14 + 20 + 16, 2))),
        (frame(&[], &complete(ipv4(6, &tcp(&data))), &[]), Some((14 + 20 + 16, 2))),
        (odd, Some((14 + 40 + 16, 2))),
        (frame(&[], &complete(ipv4(17, &udp(&data))), &[]), Some((14 + 20 + 6, 2))),
        // Of this one the sum is zero, which UDP writes in another way.
        (frame(&[], &complete(ipv4(17, &zero_sum())), &[]), Some((14 + 20 + 6, 2))),
        (frame(&[], &complete(ipv6(17, &udp(&inner))), &[]), Some((14 + 40 + 6, 2))),
        (frame(&[], &complete(ipv4(132, &tcp(b"chunks"))), &[]), Some((14 + 20 + 8, 4))),
        (tagged, Some((18 + 20 + 6, 2))),
        (frame(&stacked, &complete(ipv4(6, &tcp(&data))), &[]), Some((22 + 20 + 16, 2))),
        (frame(&[], &ipv4(4, &inner), &[]), None),
        (frame(&[], &ipv4(47, &[&[0, 0, 8, 0], &inner[..]].concat()), &[]), None),
        (frame(&TAG, &ipv4(41, &complete(ipv6(17, &udp(&data)))), &[]), None),
        (frame(&[], &ipv4(1, &[3, 4, 5, 6, 7]), &[]), None),
        ([&STATIONS[..], &[8, 6], &[0; 46]].concat(), None),
        (STATIONS[..9].to_vec(), None),
    ]
}

/// A datagram whose checksum comes to zero.
fn zero_sum() -> Vec<u8> {
    let mut packet = complete(ipv4(17, &udp(&[0, 0])));
    let checksum = packet[26..28].to_vec();
    packet[28..30].copy_from_slice(&checksum);
    packet[20..].to_vec()
}

const ALL: [TxWork; 6] = [
    TxWork { offloads: 0, everything: false },
    TxWork { offloads: UDP, everything: false },
    TxWork { offloads: VLAN, everything: false },
    TxWork { offloads: TCP | SCTP | VLAN, everything: true },
    TxWork { offloads: CHECKSUMS & !OUTER_IPV4, everything: true },
    TxWork { offloads: CHECKSUMS | VLAN, everything: true },
];

/// Called by the one test that runs DPDK.
pub(in crate::dpdk) fn what_a_port_is_asked_for_comes_to_the_same(pool: &Mempool) {
    let mut asked = 0;
    for ((whole, checksum), work) in frames().iter().flat_map(|it| ALL.iter().map(move |work| (it, work))) {
        for is_put_off in [false, true].into_iter().filter(|put_off| !put_off || checksum.is_some()) {
            let fill = || {
                let mut packet = filled(pool, whole);
                if let Some((at, len)) = checksum.filter(|_| is_put_off) {
                    packet.bytes_mut()[at..at + len].fill(0xa5);
                    packet.sum_later();
                } else {
                    packet.mark_verified();
                }
                packet
            };
            let mut packet = fill();
            assert_eq!(packet.is_unsummed(), is_put_off);
            let request = work.request(&mut packet);
            asked += u32::from(request.flags != 0);
            let frame = sent(packet.bytes(), &request);
            let expected = on_the_wire(whole, &request);
            let context = format!("{work:?}, put off: {is_put_off}, asked: {request:x?}");
            assert!(frame == expected, "{context}:\n{frame:02x?}\n{expected:02x?}");
            packet.free();

            // A driver that does not do it after all.
            let mut packet = fill();
            work.assign(&mut packet);
            do_instead(&mut packet);
            assert!(packet.bytes() == expected, "refused: {context}:\n{:02x?}", packet.bytes());
            assert_eq!(packet.requests().0, 0);
            packet.free();

            let mut packet = fill();
            packet.settle();
            assert!(packet.bytes() == whole && !packet.is_unsummed());
            packet.free();
        }
    }
    assert!(asked > 30, "{asked}");

    // What stands behind a packet does not count, and damage that nobody has looked at stays.
    let work = TxWork { offloads: CHECKSUMS, everything: true };
    let packet = complete(ipv4(17, &udp(b"odd")));
    let mut padded = filled(pool, &frame(&[], &packet, &[1, 2, 3]));
    padded.sum_later();
    let request = work.request(&mut padded);
    assert_eq!(sent(padded.bytes(), &request), frame(&[], &packet, &[]));
    padded.free();
    let mut damaged = frame(&[], &complete(ipv4(6, &tcp(b"data"))), &[]);
    damaged[40] ^= 1;
    let mut packet = filled(pool, &damaged);
    let request = work.request(&mut packet);
    assert_eq!(request.flags & dpdk_sys::SHIM_TX_L4_MASK, 0);
    assert_eq!(sent(packet.bytes(), &request), damaged);
    packet.free();
}

/// On DPDK's net_ring, which can do nothing of it and gives back what it is given.
pub(in crate::dpdk) fn what_a_port_cannot_do_is_done_before(pool: &Mempool, settings: PortSettings) {
    let port = Port::open("net_ring7", &[], PortId(0)).expect("the driver is installed");
    let tx = TxWish { checksums: Choice::On, sums_tunnels: true, tags: Choice::On, is_tagged: true };
    let settings = PortSettings { rx_queues: 1, tx_queues: 1, tx, ..settings };
    let (port, mut rx, mut tx) = port.start(settings, pool).expect("the port starts");
    assert_eq!(port.setup().work, TxWork::default());
    let mut burst = Burst::new();
    let mut expected = Vec::new();
    for (frame, checksum) in frames() {
        let mut packet = filled(pool, &frame);
        if let Some((at, len)) = checksum {
            packet.bytes_mut()[at..at + len].fill(0xa5);
            packet.sum_later();
        }
        burst.push(packet);
        expected.push(frame);
    }
    assert_eq!(tx[0].transmit(&mut burst), expected.len());
    assert_eq!(rx[0].receive(&mut burst, 64), expected.len());
    for (packet, expected) in burst.iter().zip(&expected) {
        assert!(packet.bytes() == expected, "{:02x?}\n{expected:02x?}", packet.bytes());
        assert!(!packet.is_unsummed());
    }
    crate::dpdk::free_bulk(&mut burst);
    port.stop_and_close(rx, tx).expect("all queues are back");
}

#[test]
fn what_is_asked_follows_from_wish_and_ability() {
    let info = |driver: &str, bits| PortInfo { tx_offload_bits: bits, ..PortInfo::of_driver(driver, 0) };
    let wish = |checksums, sums_tunnels| TxWish { checksums, sums_tunnels, ..TxWish::default() };
    let of = |wish, driver: &str, bits| {
        let work = TxWork::of(wish, &info(driver, bits));
        (work.offloads, work.concerns_all())
    };
    let all = CHECKSUMS | VLAN;
    assert_eq!(of(wish(Choice::Auto, false), "net_ixgbe", all), (0, false), "nothing is asked for nothing");
    assert_eq!(of(wish(Choice::Auto, true), "net_ixgbe", all), (UDP, false));
    assert_eq!(of(wish(Choice::Auto, true), "net_tap", all), (0, false), "it would do it on our CPU");
    assert_eq!(of(wish(Choice::Off, true), "net_ixgbe", all), (0, false));
    assert_eq!(of(wish(Choice::On, false), "net_tap", all), (CHECKSUMS, true));
    assert_eq!(of(wish(Choice::On, false), "net_tap", TCP | OUTER_IPV4), (TCP, true));
    assert_eq!(of(wish(Choice::On, true), "net_ring", 0), (0, false));
    let tagged = |tags, is_tagged| TxWish { tags, is_tagged, ..TxWish::default() };
    assert_eq!(of(tagged(Choice::Auto, true), "net_e1000_igb", all), (VLAN, true));
    assert_eq!(of(tagged(Choice::Auto, false), "net_e1000_igb", all), (0, false));
    assert_eq!(of(tagged(Choice::Auto, true), "net_virtio", all), (0, false), "it would do it on our CPU");
    assert_eq!(of(tagged(Choice::On, false), "net_virtio", all), (VLAN, true));
    assert_eq!(of(tagged(Choice::Off, true), "net_e1000_igb", all), (0, false));
    let says = |work: TxWork| work.computed_by();
    assert_eq!(says(ALL[0]), "workers");
    assert_eq!(says(ALL[1]), "the port (UDP of tunnels), workers (others)");
    assert_eq!(
        says(TxWork { offloads: IPV4 | TCP, everything: true }),
        "the port (IPV4, TCP), workers (others)"
    );
    assert_eq!((ALL[1].tagged_by(), ALL[2].tagged_by()), ("workers", "the port"));
}
