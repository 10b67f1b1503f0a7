"""qemu with an igb, which it has had since 8.1: this machine's own, or that of Debian 13, unpacked into a folder."""

import os
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
LIBRARIES = "/usr/lib/x86_64-linux-gnu"
# The kernel and busybox are for tests/qemu.
PACKAGES = "qemu-system-x86,linux-image-amd64,busybox-static"


def find(target):
    """How qemu is called here."""
    own = shutil.which("qemu-system-x86_64")
    devices = own and subprocess.run([own, "-device", "help"], capture_output=True, text=True, check=False).stdout
    return [own] if devices and '"igb"' in devices else unpacked(unpack(target))


def unpack(target):
    """Debian's part, unpacked once; where it is."""
    root = os.path.join(target, "root")
    if os.path.exists(root):
        return root
    os.makedirs(target, exist_ok=True)
    shutil.rmtree(f"{root}.new", ignore_errors=True)
    script = f'. {HERE}/../../mirror.sh; mmdebstrap --quiet --variant=extract --include={PACKAGES} trixie {root}.new "$MIRROR"'
    subprocess.run(["sh", "-ec", script], check=True)
    os.rename(f"{root}.new", root)
    return root


def unpacked(root):
    """How the one there is called, with libraries of its own."""
    libraries = ":".join(f"{root}{folder}" for folder in (LIBRARIES, "/usr/lib", f"{LIBRARIES}/pulseaudio"))
    return [
        f"{root}/usr/lib64/ld-linux-x86-64.so.2", "--library-path", libraries, f"{root}/usr/bin/qemu-system-x86_64",
        "-L", f"{root}/usr/share/qemu", "-L", f"{root}/usr/share/seabios",
    ]
