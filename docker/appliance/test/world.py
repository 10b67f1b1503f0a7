"""The appliance's surroundings: a client and servers in network namespaces, each with a tap device that is a NIC's wire.

    client 192.0.2.10 ── wan 192.0.2.1 [appliance] 198.51.100.1 lan ── 198.51.100.11, .12, .21, .31 servers
                      └───────────────── back 203.0.113.0/30 ─────────────────┘

Servers answer connections that came by NAT through the appliance, those of DR and TUN over `back`.
"""

import fcntl
import hashlib
import os
import struct
import subprocess

from machine import Failure

VIPS = {"nat": "192.0.2.100", "dr": "192.0.2.101", "tun": "192.0.2.102"}
SIZE = 3_000_000

NGINX = """
daemon off; user root; pid {work}/nginx.pid; error_log {work}/nginx-error.log; worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    access_log off; root {work}/www; default_type application/octet-stream;
    client_body_temp_path {work}/nginx-t1; proxy_temp_path {work}/nginx-t2; fastcgi_temp_path {work}/nginx-t3;
    uwsgi_temp_path {work}/nginx-t4; scgi_temp_path {work}/nginx-t5;
    server {{ listen 80; listen 8080; location = /who {{ return 200 "$server_addr\\n"; }} }}
}}
"""


class World:
    """Namespaces, wires and servers; `close` removes them."""

    def __init__(self, work):
        self.work = work
        self.client, self.servers = f"lbi{os.getpid()}c", f"lbi{os.getpid()}s"
        self.helpers, self.wires = [], []

    def open(self):
        """Makes it."""
        for namespace in (self.client, self.servers):
            command(f"ip netns add {namespace}")
            command(f"ip -n {namespace} link set lo up")
        self.wires = [self.wire(self.client, "wan"), self.wire(self.servers, "lan")]
        command(f"ip link add back netns {self.client} type veth peer name back netns {self.servers}")
        self.in_client("ip address add 192.0.2.10/24 dev wan; ip address add 203.0.113.1/30 dev back; ip link set back up")
        for line in ("ip address add 203.0.113.2/30 dev back", "ip link set back up",
                     "ip route add 192.0.2.0/24 via 203.0.113.1",
                     # An IP-in-IP packet's inner address is the VIP, too.
                     "ip address add 192.0.2.101/32 dev lo", "ip address add 192.0.2.102/32 dev lo",
                     "sysctl -qw net.ipv4.conf.all.arp_ignore=1", "sysctl -qw net.ipv4.conf.all.arp_announce=2",
                     # NAT's replies go back as they came.
                     "ip rule add from 198.51.100.0/24 table 100", "ip route add 198.51.100.0/24 dev lan table 100",
                     "ip route add default via 198.51.100.1 dev lan table 100"):
            self.in_servers(line)
        for address in (11, 12, 21, 31):
            self.in_servers(f"ip address add 198.51.100.{address}/24 dev lan")
        os.makedirs(f"{self.work}/www", exist_ok=True)
        body = os.urandom(SIZE)
        self.digest = hashlib.sha256(body).hexdigest()
        with open(f"{self.work}/www/body", "wb") as file:
            file.write(body)
        with open(f"{self.work}/nginx.conf", "w", encoding="ascii") as file:
            file.write(NGINX.format(work=self.work))
        os.chmod(self.work, 0o755)
        self.help(["nginx", "-e", f"{self.work}/nginx-error.log", "-c", f"{self.work}/nginx.conf"])
        self.help(["python3", os.path.join(os.path.dirname(__file__), "decapsulate.py")])

    def wire(self, namespace, name):
        """A tap device in a namespace; the file descriptor is the NIC's end of it."""
        wire = os.open("/dev/net/tun", os.O_RDWR)
        temporary = f"lbi{os.getpid()}{name}"[:15]
        tap_without_information_with_offload_header = 0x0002 | 0x1000 | 0x4000
        set_interface = 0x400454CA
        fcntl.ioctl(wire, set_interface,
                    struct.pack("16sH22x", temporary.encode(), tap_without_information_with_offload_header))
        command(f"ip link set {temporary} netns {namespace} name {name}")
        for setting in ("all.rp_filter=0", "default.rp_filter=0", f"{name}.rp_filter=0"):
            command(f"ip netns exec {namespace} sysctl -qw net.ipv4.conf.{setting}")
        command(f"ip netns exec {namespace} sysctl -qw net.ipv6.conf.{name}.disable_ipv6=1")
        command(f"ip -n {namespace} link set {name} up")
        return wire

    def help(self, arguments):
        """Starts a program beside the servers."""
        self.helpers.append(subprocess.Popen(["ip", "netns", "exec", self.servers] + arguments,
                                             stdin=subprocess.DEVNULL))

    def in_client(self, line, seconds=120):
        """Runs a shell's line in the client's namespace; what it prints."""
        return command(f"ip netns exec {self.client} sh -c '{line}'", seconds)

    def in_servers(self, line):
        """The same where the servers are."""
        return command(f"ip netns exec {self.servers} sh -c '{line}'")

    def who(self, method):
        """The address of the server that answers at a method's VIP."""
        return self.in_client(f"curl -sS --fail --max-time 60 --connect-timeout 60 http://{VIPS[method]}/who").strip()

    def download(self, method):
        """The digest of a body that came through."""
        out = self.in_client(f"curl -sS --fail --max-time 300 http://{VIPS[method]}/body | sha256sum", 330)
        return out.split()[0]

    def offloads(self, on):
        """Switches what the kernels of client and servers leave to their NICs."""
        state = "on" if on else "off"
        for namespace, name in ((self.client, "wan"), (self.servers, "lan")):
            command(f"ip netns exec {namespace} ethtool -K {name} tx {state} sg {state} tso {state} gso {state} gro {state}")

    def close(self):
        """Removes it, as far as it is there."""
        for helper in self.helpers:
            helper.terminate()
        for helper in self.helpers:
            helper.wait()
        for wire in self.wires:
            os.close(wire)
        for namespace in (self.client, self.servers):
            subprocess.run(["ip", "netns", "del", namespace], stderr=subprocess.DEVNULL, check=False)


def command(line, seconds=120):
    """Runs a shell's line; what it prints."""
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode:
        raise Failure(f"{line!r} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout
