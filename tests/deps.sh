#!/bin/sh
# deps.sh SET...: installs what these need from Debian (12 or 13), as far as it is missing; with DEPS=check in the
# environment it only says what is. Sets: build, world (a client, a director and servers in namespaces, as the demo has
# them), routing (daemons beside directors), test, speed (of host sides), browser, bench, package, uml, qemu, container,
# dockerfile, image.
#
# What counts is whether a thing works, not which package brought it: a machine with its own nginx or libclang needs no
# second one. Looking takes a few milliseconds, so nothing is remembered between runs.
set -eu
# Some of it lives in sbin, which is not on everybody's path.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

missing=
need() {
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
# True if one of the patterns, which the caller leaves to be expanded here, names a file.
any_file() { ls "$@" 2>/dev/null | grep -q .; }

for set in "$@"; do
    case $set in
    build)
        need gcc          command -v cc
        need libc6-dev    test -e /usr/include/stdio.h
        need pkg-config   command -v pkg-config
        # Brings the poll-mode drivers along, net_af_packet among them.
        need libdpdk-dev  pkg-config --exists libdpdk
        # For bindgen: the library, and the compiler's own headers.
        need libclang-dev any_file /usr/lib/llvm-*/lib/clang/*/include/stddef.h
        need libclang-dev any_file /usr/lib/llvm-*/lib/libclang.so* /usr/lib/llvm-*/lib/libclang-*.so*
        # What captures are compiled with.
        need libpcap-dev  test -e /usr/include/pcap/pcap.h
        ;;
    world)
        need curl         command -v curl
        need ethtool      command -v ethtool
        need iproute2     command -v ip
        # The rules of servers under L3DSR.
        need nftables     command -v nft
        need nginx        command -v nginx
        ;;
    routing)
        # VIPs are announced to it; it is the router, too.
        need bird2 command -v bird
        ;;
    test)
        # What lb-sync brings configurations from.
        need etcd-client  command -v etcdctl
        need etcd-server  command -v etcd
        # Others that VIPs are announced to, and those that move them with VRRP.
        need exabgp       command -v exabgp
        need frr          test -x /usr/lib/frr/vrrpd
        need keepalived   command -v keepalived
        need dpdk-dev     command -v dpdk-dumpcap
        # Shells that lbctl completes words in.
        need fish         command -v fish
        # A server that reads the PROXY protocol.
        need haproxy      command -v haproxy
        need iputils-ping command -v ping
        # FTP: a client besides curl, and a server.
        need lftp         command -v lftp
        # IRC.
        need ngircd       test -x /usr/sbin/ngircd
        need openssl      command -v openssl
        # Both ends of PPTP.
        need pptp-linux   command -v pptp
        need pptpd        command -v pptpd
        # promtool.
        need prometheus   command -v promtool
        # Both ends of calls.
        need sip-tester   command -v sipp
        # Both ends of films: a client, a server's parts, and what they are put together with.
        need gir1.2-gst-rtsp-server-1.0 any_file /usr/lib/*/girepository-1.0/GstRtspServer-1.0.typelib
        need gstreamer1.0-plugins-base any_file /usr/lib/*/gstreamer-1.0/libgstaudiotestsrc.so
        need gstreamer1.0-plugins-good any_file /usr/lib/*/gstreamer-1.0/libgstrtsp.so
        need gstreamer1.0-tools command -v gst-launch-1.0
        need python3-gi   /usr/bin/python3 -c "import gi"
        # TFTP: a client besides curl, and a server.
        need tftp-hpa     command -v tftp
        need tftpd-hpa    command -v in.tftpd
        # What reads captures.
        need tshark       command -v tshark
        need valgrind     command -v valgrind
        need vsftpd       command -v vsftpd
        need zsh          command -v zsh
        ;;
    speed)
        need iperf3 command -v iperf3
        ;;
    browser)
        need chromium command -v chromium
        ;;
    bench)
        # testpmd.
        need dpdk-dev command -v dpdk-testpmd
        ;;
    package)
        need dpkg-dev   command -v dpkg-shlibdeps
        need mmdebstrap command -v mmdebstrap
        ;;
    uml)
        need mmdebstrap command -v mmdebstrap
        need procps     command -v sysctl
        need util-linux command -v unshare
        need ipvsadm    command -v ipvsadm
        ;;
    container)
        need crun  command -v crun
        need jq    command -v jq
        need runc  command -v runc
        need umoci command -v umoci
        ;;
    dockerfile)
        need buildah command -v buildah
        ;;
    qemu)
        need binutils   command -v strip
        need mmdebstrap command -v mmdebstrap
        need python3    command -v python3
        ;;
    image)
        need e2fsprogs          command -v mke2fs
        need gdisk              command -v sgdisk
        need grub-efi-amd64-bin test -e /usr/lib/grub/x86_64-efi/normal.mod
        need grub-common        command -v grub-mkimage
        need grub-pc-bin        test -e /usr/lib/grub/i386-pc/boot.img
        need mmdebstrap         command -v mmdebstrap
        need mtools             command -v mcopy
        need qemu-utils         command -v qemu-img
        need signify-openbsd    command -v signify-openbsd
        need squashfs-tools     command -v mksquashfs
        # For its test.
        need openssh-client     command -v ssh
        need ovmf               test -e /usr/share/OVMF/OVMF_CODE_4M.fd
        need python3            command -v python3
        need qemu-system-x86    command -v qemu-system-x86_64
        ;;
    *)
        echo "deps.sh knows no set \"$set\"" >&2
        exit 2
        ;;
    esac
done

[ -n "$missing" ] || exit 0
missing=$(echo "$missing" | tr ' ' '\n' | sort -u | xargs)
if [ "${DEPS-}" = check ]; then
    echo "not installed: $missing" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing: $missing" >&2
    echo "as root: apt-get install --no-install-recommends $missing" >&2
    exit 1
fi

echo "Installing Debian packages, which takes a minute: $missing"
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    # shellcheck disable=SC2086 # several names
    apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $missing >"$log" 2>&1
}
# A fresh machine has no package lists, one that is up for long has old ones; otherwise the first try will do.
install || { apt-get -qq update >"$log" 2>&1 && install; } || {
    cat "$log" >&2
    exit 1
}

# Debian starts daemons when it installs them. This machine did not ask for that.
[ -d /run/systemd/system ] || exit 0
for package in nginx:nginx bird2:bird etcd-server:etcd exabgp:exabgp frr:frr haproxy:haproxy keepalived:keepalived ngircd:ngircd pptpd:pptpd prometheus:prometheus tftpd-hpa:tftpd-hpa vsftpd:vsftpd; do
    case " $missing " in
    *" ${package%:*} "*) systemctl disable --quiet --now "${package#*:}" ;;
    esac
done
