#!/bin/sh
# uml.sh prepare: brings User-Mode Linux of Debian sid here, a kernel that runs as a program, and says where it is.
# uml.sh boot INIT MEMORY ARGUMENT...: runs it in this network namespace, with this machine's files as its root.
#
# Packages come from where this machine's own come from (docker/mirror.sh), are unpacked and not installed, and stay in
# target/uml: seconds the first time, nothing later. The program needs a newer C library than this machine's, so it runs
# in a root of its own, which is entered with chroot; the files that its guest sees are this machine's.
set -eu
tree=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$tree/target}
root=$target/uml
packages=user-mode-linux,busybox-static

prepare() {
    [ "$(id -u)" = 0 ] || { echo "uml.sh needs root, for chroot" >&2; exit 1; }
    [ "$(uname -m)" = x86_64 ] || { echo "User-Mode Linux is for x86_64, and this is $(uname -m)" >&2; exit 1; }
    mkdir -p "$target"
    # Stories of several programs may begin at once.
    exec 9>"$target/uml.lock"
    flock -w 300 9
    if [ "$(cat "$root/.complete" 2>/dev/null)" != "$packages" ]; then
        "$tree/tests/deps.sh" uml >&2
        . "$tree/docker/mirror.sh"
        rm -rf "$root"
        mkdir -p "$root"
        sources sid | timeout 240 mmdebstrap --quiet --variant=extract --include="$packages" sid "$root" - >&2 || {
            echo "User-Mode Linux cannot be had from $MIRROR: Debian sid's package user-mode-linux" >&2
            exit 1
        }
        # Nothing else that was unpacked is used.
        rm -rf "$root/var" "$root/etc" "$root/usr/share"
        for directory in lib lib64; do
            [ -e "$root/$directory" ] || ln -s "usr/$directory" "$root/$directory"
        done
        ln -s uml/modules "$root/usr/lib/modules"
        mkdir -p "$root/host" "$root/proc" "$root/dev" "$root/tmp"
        echo "$packages" >"$root/.complete"
    fi
    echo "$root"
}

boot() {
    init=$1
    memory=$2
    shift 2
    export root init memory
    # The mounts are in a namespace of their own and go with it.
    exec unshare --mount sh -euc '
        mount --rbind / "$root/host"
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs tmpfs "$root/tmp"
        exec chroot "$root" /usr/bin/linux.uml "mem=$memory" seccomp=on uml_dir=/tmp/ \
            rootfstype=hostfs rootflags=/host rw quiet con=null con0=null,fd:1 "init=$init" "$@"
    ' sh "$@"
}

case ${1-} in
prepare) prepare ;;
boot)
    shift
    boot "$@"
    ;;
*)
    sed -n '2,3s/^# //p' "$0" >&2
    exit 2
    ;;
esac
