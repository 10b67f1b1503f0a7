"""Makes l3dsr.txt: clients' packets, and what a director should make of them, by scapy (2.8), which knows nothing of ours.

    pip install scapy && python3 l3dsr.py >l3dsr.txt

A line is: family, what it is, the packet that arrives, the packet that leaves. The server is 198.51.100.11 or
2001:db8:2::11, the DSCP 11.
"""

import logging

logging.getLogger("scapy").setLevel(logging.CRITICAL)
from scapy.all import ICMP, IP, TCP, UDP, ICMPv6PacketTooBig, IPerror, IPv6, IPv6ExtHdrFragment, Raw, fragment, fragment6

CLIENT, VIP, SERVER = ({4: "203.0.113.10", 6: "2001:db8:a::10"}, {4: "192.0.2.100", 6: "2001:db8:1::100"}, {4: "198.51.100.11", 6: "2001:db8:2::11"})
ROUTER = {4: "198.18.0.1", 6: "2001:db8:ff::1"}


def ip(family, ends, ttl, tos, **more):
    if family == 4:
        return IP(src=ends[0], dst=ends[1], ttl=ttl, id=0, tos=tos, **{"flags": "DF", **more})
    return IPv6(src=ends[0], dst=ends[1], hlim=ttl, tc=tos, fl=0x12345)


def pair(family, make, tos=0, source=None):
    """The packet that arrives, and the one that leaves."""
    source = source or CLIENT[family]
    before = make((source, VIP[family]), 64, tos)
    after = make((source, SERVER[family]), 63, 11 << 2 | tos & 3)
    return bytes(before), bytes(after)


def cases(family):
    segment = TCP(sport=4000, dport=80, seq=1000, flags="S", window=8192)
    yield "tcp", *pair(family, lambda *how: ip(family, *how) / segment)
    datagram = UDP(sport=4000, dport=80) / Raw(b"hello")
    yield "udp", *pair(family, lambda *how: ip(family, *how) / datagram)
    if family == 4:
        silent = UDP(sport=4000, dport=80, chksum=0) / Raw(b"hello")
        yield "unsummed", *pair(family, lambda *how: ip(family, *how) / silent)
    # Expedited forwarding, and "congestion experienced".
    yield "marked", *pair(family, lambda *how: ip(family, *how) / segment, tos=46 << 2 | 3)
    # What the server has sent was too large for a router on the way to the client.
    reply = ip(family, (VIP[family], CLIENT[family]), 60, 0) / TCP(sport=80, dport=4000, seq=7, ack=8, flags="A") / Raw(b"x" * 8)
    if family == 4:
        error = ICMP(type=3, code=4, nexthopmtu=1300) / Raw(bytes(reply))
    else:
        error = ICMPv6PacketTooBig(mtu=1300) / Raw(bytes(reply))
    yield "error", *pair(family, lambda *how: ip(family, *how) / error, source=ROUTER[family])


def fragments(family):
    """Both fragments of a datagram, as they arrive and as they leave."""
    whole = UDP(sport=4000, dport=80) / Raw(b"x" * 48)

    def cut(ends, ttl, tos):
        if family == 4:
            return [bytes(piece) for piece in fragment(ip(4, ends, ttl, tos, flags=0) / whole, 32)]
        # Its checksum first.
        header = ip(6, ends, ttl, tos)
        packet = IPv6(bytes(header / whole))
        packet = header / IPv6ExtHdrFragment(id=7, nh=17) / Raw(bytes(packet[UDP]))
        return [bytes(piece) for piece in fragment6(packet, 40 + 8 + 32 + 8)]

    before = cut((CLIENT[family], VIP[family]), 64, 0)
    after = cut((CLIENT[family], SERVER[family]), 63, 11 << 2)
    for number, packets in enumerate(zip(before, after, strict=True)):
        yield f"fragment{number}", *packets


for family in (4, 6):
    for what, before, after in [*cases(family), *fragments(family)]:
        print(family, what, before.hex(), after.hex())
