"""The far end of an IP-in-IP tunnel, for kernels without the `ipip` device: takes the inner packets out, and gives
them to the kernel."""

import socket

outside = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IPIP)
# Brings its own header; what is sent to an address of this machine is delivered here, whatever its source.
inside = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
while True:
    packet = outside.recv(65536)
    inner = packet[(packet[0] & 15) * 4:]
    if len(inner) >= 20 and inner[0] >> 4 == 4:
        inside.sendto(inner, (socket.inet_ntoa(inner[16:20]), 0))
