"""Makes tunnels.txt: the packets that a director should make of a client's, by scapy (2.7), which knows nothing of ours.

    pip install scapy && python3 tunnels.py >tunnels.txt

A line is: family of the VIP, family of the server, kind, checksum, the outer packet. GUE, which scapy does not have, is four
bytes: draft-ietf-intarea-gue 3.1. Where a flow's packets come from is not in any RFC but that the ports are dynamic ones; so
the two flows' ports and addresses are given here.
"""

import logging

logging.getLogger("scapy").setLevel(logging.CRITICAL)
from scapy.all import GRE, IP, IPv6, TCP, UDP, Raw

PORTS = {4: 0xE4F8, 6: 0xE91B}

INNER = {
    4: IP(src="203.0.113.10", dst="192.0.2.100", ttl=63, id=0, flags="DF")
    / TCP(sport=4000, dport=80, seq=1000, flags="S", window=8192),
    6: IPv6(src="2001:db8:a::10", dst="2001:db8:1::100", hlim=63)
    / TCP(sport=4000, dport=80, seq=1000, flags="S", window=8192),
}


def outer(family, protocol, source=None):
    if family == 4:
        return IP(src=source or "198.51.100.1", dst="198.51.100.11", ttl=64, id=0, flags="DF", proto=protocol)
    return IPv6(src=source or "2001:db8:2::1", dst="2001:db8:2::11", hlim=64, nh=protocol)


def udp(vip, checksum):
    return UDP(sport=PORTS[vip], dport=6080, chksum=None if checksum else 0)


for vip in (4, 6):
    inner = bytes(INNER[vip])
    number = {4: 4, 6: 41}[vip]
    for server in (4, 6):
        made = [("ipip", 0, outer(server, number) / Raw(inner))]
        for checksum in (0, 1):
            gre = GRE(proto={4: 0x0800, 6: 0x86DD}[vip], chksum_present=checksum)
            made += [
                ("gre", checksum, outer(server, 47) / gre / Raw(inner)),
                ("gue", checksum, outer(server, 17) / udp(vip, checksum) / Raw(bytes([0, number, 0, 0]) + inner)),
                ("gue1", checksum, outer(server, 17) / udp(vip, checksum) / Raw(inner)),
            ]
        for kind, checksum, packet in made:
            print(vip, server, kind, checksum, bytes(packet).hex())
