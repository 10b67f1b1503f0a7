#!/bin/bash
# WAN is dpdk1, LAN is dpdk0.
dpip addr add 10.0.0.1/16 dev dpdk0
dpip addr add 203.0.113.2/24 dev dpdk1
dpip vlan add storage link dpdk0 proto 802.1q id 100
dpip addr add 10.100.0.1/24 dev storage
dpip vlan del old
dpip addr add 203.0.113.100/32 dev dpdk1
dpip addr add 203.0.113.101/32 dev dpdk1
dpip route add default via 203.0.113.1 dev dpdk1
dpip route add 192.168.0.0/16 via 10.0.0.254 dev dpdk0

ipvsadm -A -t 203.0.113.100:80 -s conhash --proxy-protocol v2
ipvsadm -a -t 203.0.113.100:80 -r 10.0.0.11:8080 -b
ipvsadm -a -t 203.0.113.100:80 -r 10.0.0.12:8080 -b -w 2
ipvsadm --add-laddr -z 10.0.0.200 -t 203.0.113.100:80 -F dpdk0
ipvsadm --add-laddr -z 10.0.0.201 -t 203.0.113.100:80 -F dpdk0
dpip addr add 10.0.0.200/32 dev dpdk0 sapool

# By the option, as nothing else is said.
ipvsadm -A -t 203.0.113.100:443 -s rr
ipvsadm -a -t 203.0.113.100:443 -r 10.0.0.11:8443 -b
ipvsadm --add-laddr -z 10.0.0.200 -t 203.0.113.100:443 -F dpdk0

ipvsadm -A -u 203.0.113.100:53 -s rr
ipvsadm -a -u 203.0.113.100:53 -r 192.168.3.4:53 -m
ipvsadm -A -t 203.0.113.101:443 -s wlc -j enable
ipvsadm -a -t 203.0.113.101:443 -r 10.0.0.13:443 -g
ipvsadm -U -t 203.0.113.101:443 -k 192.0.2.66
