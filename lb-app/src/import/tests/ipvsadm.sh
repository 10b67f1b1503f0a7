#!/bin/sh
# Fills IPVS at boot.
set -e
IPVS=/sbin/ipvsadm
VIP=192.0.2.100:80

modprobe ip_vs
$IPVS -C
$IPVS --set 3600 60 120
$IPVS --add-service --tcp-service $VIP --scheduler wlc
for_nothing=1
$IPVS -a -t "$VIP" -r 10.1.0.11 -m \
      -w 5
$IPVS -a -t $VIP -r 10.1.0.12 -m; $IPVS -a -t $VIP -r 10.1.0.13 -m > /dev/null
$IPVS -d -t $VIP -r 10.1.0.12
$IPVS -e -t $VIP -r 10.1.0.13 -m -w 3
ip route add 10.5.0.0/16 via 10.1.0.1
$IPVS --start-daemon master --mcast-interface eth1
