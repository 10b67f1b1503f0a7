"""Makes sctp.txt: packets of SCTP that arrive, and what a director should make of them, by scapy (2.8), which knows nothing of
ours.

    pip install scapy && python3 sctp.py >sctp.txt

A line is: family, method, port that it arrives at, what it is, the packet that arrives, the packet that leaves. The VIP's port
is 80, that of servers under NAT 8080 or, in "same", 80 as well.
"""

import logging

logging.getLogger("scapy").setLevel(logging.CRITICAL)
from scapy.all import ICMP, IP, ICMPv6PacketTooBig, IPv6, Raw
from scapy.layers.sctp import (
    SCTP,
    SCTPChunkAbort,
    SCTPChunkCookieAck,
    SCTPChunkCookieEcho,
    SCTPChunkData,
    SCTPChunkInit,
    SCTPChunkInitAck,
    SCTPChunkParamStateCookie,
    SCTPChunkSACK,
)

CLIENT, VIP, SERVER = ({4: "203.0.113.10", 6: "2001:db8:a::10"}, {4: "192.0.2.100", 6: "2001:db8:1::100"}, {4: "198.51.100.11", 6: "2001:db8:2::11"})
OWN, ROUTER = {4: "198.51.100.1", 6: "2001:db8:2::1"}, {4: "198.51.100.1", 6: "2001:db8:2::1"}


def ip(family, source, destination, ttl, **more):
    if family == 4:
        return IP(src=source, dst=destination, ttl=ttl, id=0, **{"flags": "DF", **more})
    return IPv6(src=source, dst=destination, hlim=ttl, fl=0x12345)


def whole(packet):
    """With lengths and checksums, which scapy computes for what is quoted as well."""
    return bytes(packet)


INIT = SCTPChunkInit(init_tag=0xC11E0001, a_rwnd=65536, n_out_streams=10, n_in_streams=10, init_tsn=1)
INIT_ACK = SCTPChunkInitAck(
    init_tag=0x5E120002, a_rwnd=65536, n_out_streams=10, n_in_streams=10, init_tsn=1, params=[SCTPChunkParamStateCookie(cookie=b"crumbs!!")]
)
ECHO, ECHO_ACK = SCTPChunkCookieEcho(cookie=b"crumbs!!"), SCTPChunkCookieAck()


def data(length):
    return SCTPChunkData(tsn=1, stream_id=0, stream_seq=0, proto_id=0, data=bytes(number % 251 for number in range(length)))


CLIENTS = [("init", 0, INIT), ("echo", 0x5E120002, ECHO / data(5)), ("data", 0x5E120002, data(1300)), ("sack", 0x5E120002, SCTPChunkSACK(cumul_tsn_ack=1, a_rwnd=65536))]
SERVERS = [("init-ack", 0xC11E0001, INIT_ACK), ("echo-ack", 0xC11E0001, ECHO_ACK), ("data", 0xC11E0001, data(999))]


def packet(family, source, destination, ttl, ports, tag, chunk):
    return ip(family, source, destination, ttl) / SCTP(sport=ports[0], dport=ports[1], tag=tag) / chunk


def cases(family, method):
    inside = 8080 if method == "nat" else 80
    for what, tag, chunk in CLIENTS:
        before = packet(family, CLIENT[family], VIP[family], 64, (4000, 80), tag, chunk)
        if method in ("nat", "same"):
            after = packet(family, CLIENT[family], SERVER[family], 63, (4000, inside), tag, chunk)
        else:
            after = packet(family, CLIENT[family], VIP[family], 63, (4000, 80), tag, chunk)
        if method == "tun":
            after = ip(family, OWN[family], SERVER[family], 64) / after
            if family == 6:
                after.fl = 0
        yield "wan", what, whole(before), whole(after)
    if method not in ("nat", "same"):
        return
    for what, tag, chunk in SERVERS:
        before = packet(family, SERVER[family], CLIENT[family], 64, (inside, 4000), tag, chunk)
        after = packet(family, VIP[family], CLIENT[family], 63, (80, 4000), tag, chunk)
        yield "lan", what, whole(before), whole(after)
    # A router at the servers says that a client's packet was too large. It quotes all of the header, or only what it must.
    def quoted(source, destination, ports, ttl):
        return bytes(packet(family, source, destination, ttl, ports, 0x5E120002, data(1300)))

    header = 20 if family == 4 else 40
    for what, length in (("too-big", header + 60), ("too-big-cut", header + 8)):
        def error(source, target, quote, ttl):
            quote = Raw(quote[:length])
            message = ICMP(type=3, code=4, nexthopmtu=1280) if family == 4 else ICMPv6PacketTooBig(mtu=1280)
            return ip(family, source, target, ttl) / message / quote

        before = error(SERVER[family], CLIENT[family], quoted(CLIENT[family], SERVER[family], (4000, inside), 63), 64)
        after = error(VIP[family], CLIENT[family], quoted(CLIENT[family], VIP[family], (4000, 80), 63), 63)
        yield "lan", what, whole(before), whole(after)
    abort = SCTPChunkAbort(error_causes=b"")
    before = packet(family, CLIENT[family], VIP[family], 64, (4000, 80), 0x5E120002, abort)
    after = packet(family, CLIENT[family], SERVER[family], 63, (4000, inside), 0x5E120002, abort)
    yield "wan", "abort", whole(before), whole(after)


for family in (4, 6):
    for method in ("nat", "same", "dr", "tun"):
        for port, what, before, after in cases(family, method):
            print(family, method, port, what, before.hex(), after.hex())
