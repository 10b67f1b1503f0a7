"""Makes fragmenting.txt: what becomes of packets that are larger than the way out, by scapy (2.8), which knows nothing of ours.

    pip install scapy && python3 fragmenting.py >fragmenting.txt

A line is: method, family of the VIP, family of the server, MTU of the way out, the client's packet, and the packets that leave.
Identifications of tunnels' packets are the director's own, so they are given here: those of its first.
"""

import logging

logging.getLogger("scapy").setLevel(logging.CRITICAL)
from scapy.all import IP, IPv6, UDP, ICMP, IPv6ExtHdrFragment, Raw, fragment, fragment6

CLIENT = {4: "203.0.113.10", 6: "2001:db8:a::10"}
VIP = {4: "192.0.2.100", 6: "2001:db8:1::100"}
DIRECTOR = {4: "198.51.100.1", 6: "2001:db8:2::1"}
SERVER = {4: "198.51.100.11", 6: "2001:db8:2::11"}
LOCAL_ID = {4: 1, 6: 0x5F}


def payload(size):
    return Raw(bytes(at * 7 % 251 for at in range(size)))


def client(size, family=4, ttl=64, to=None, port=80, **fields):
    if family == 6:
        return IPv6(src=CLIENT[6], dst=to or VIP[6], hlim=ttl) / UDP(sport=4000, dport=port) / payload(size)
    header = IP(src=CLIENT[4], dst=to or VIP[4], ttl=ttl, id=0x1234, **fields)
    return header / UDP(sport=4000, dport=port) / payload(size)


def remade(packet):
    """With lengths and checksums of its own."""
    return packet.__class__(bytes(packet))


def cut(packet, mtu):
    """As many bytes as fit into each, in units of eight."""
    return fragment(remade(packet), fragsize=(mtu - 20) // 8 * 8)


def wrapped(inner, server, fragmented=False):
    inside = bytes(inner)
    number = 4 if inside[0] >> 4 == 4 else 41
    if server == 6:
        return IPv6(src=DIRECTOR[6], dst=SERVER[6], hlim=64, nh=number) / Raw(inside)
    return IP(src=DIRECTOR[4], dst=SERVER[4], ttl=64, proto=number, id=LOCAL_ID[4] if fragmented else 0) / Raw(inside)


def cut_outer(packet, mtu):
    if packet.version == 4:
        return cut(packet, mtu)
    # scapy rounds down as we do, but wants to be told where to cut.
    inside = bytes(packet.payload)
    room = (mtu - 48) // 8 * 8
    made = []
    for at in range(0, len(inside), room):
        more = 1 if at + room < len(inside) else 0
        header = IPv6ExtHdrFragment(nh=packet.nh, offset=at // 8, m=more, id=LOCAL_ID[6])
        base = IPv6(src=packet.src, dst=packet.dst, hlim=64, nh=44)
        made.append(base / header / Raw(inside[at : at + room]))
    return made


def show(method, vip, server, mtu, packet, sent):
    print(method, vip, server, mtu, bytes(packet).hex(), *[bytes(it).hex() for it in sent])


# The packet itself, and one that is a fragment already: the first, one in the middle, the last.
for size, mtu in ((1400, 576), (1472, 1400), (1452, 1476), (600, 576)):
    show("dr", 4, 4, mtu, client(size), cut(client(size, ttl=63), mtu))
    moved = client(size, ttl=63, to=SERVER[4], port=8080)
    show("nat", 4, 4, mtu, client(size), cut(moved, mtu))
first = cut(client(3992), 1500)
for place in range(len(first)):
    piece = remade(first[place])
    on = piece.copy()
    on.ttl -= 1
    del on.chksum
    made = []
    on = remade(on)
    body, room = bytes(on.payload), (576 - 20) // 8 * 8
    for at in range(0, len(body), room):
        part = IP(bytes(on)[:20])
        del part.chksum, part.len
        more = at + room < len(body) or "MF" in on.flags
        part.frag, part.flags = on.frag + at // 8, "MF" if more else 0
        part.remove_payload()
        made.append(part / Raw(body[at : at + room]))
    show("dr", 4, 4, 576, piece, made)

# In a tunnel: the packet inside where its sender allows that, and else the tunnel's.
for server, overhead in ((4, 20), (6, 40)):
    inner = cut(client(1400, ttl=63), 1280 - overhead)
    outer = [wrapped(it, server) for it in inner]
    for number, it in enumerate(outer):
        if server == 4:
            it.id = LOCAL_ID[4] + number
    show("tun", 4, server, 1280, client(1400), outer)
    whole = client(1280 - 48, 6, ttl=63)
    show("tun", 6, server, 1280, client(1280 - 48, 6), cut_outer(wrapped(whole, server, True), 1280))
small = client(576 - 28, ttl=63, flags="DF")
show("tun", 4, 4, 576, client(576 - 28, flags="DF"), cut_outer(wrapped(small, 4, True), 576))
