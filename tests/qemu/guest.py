"""A small machine in qemu that runs lb-app on emulated NICs: a kernel, and an initial RAM disk with lb-app, lbctl, the
libraries that they need here, and the drivers of the NICs.

Kernel, qemu and busybox are those of Debian 13, unpacked into a folder (docker/appliance/test/qemu.py).
"""

import glob
import lzma
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../docker/appliance/test"))
from machine import Failure, Machine
from qemu import LIBRARIES, unpacked

DRIVERS = ("bus_pci", "bus_vdev", "mempool_ring", "net_e1000", "net_virtio")
MODULES = ("uio/uio", "uio/uio_pci_generic", "net/tun")

INIT = """#!/bin/busybox sh
/bin/busybox chmod 755 /
/bin/busybox mkdir -p /proc /sys /dev /run /tmp /var/lib /hugepages
/bin/busybox --install -s /bin; ln -s /run /var/run
mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev 2>/dev/null
mount -t hugetlbfs none /hugepages
insmod /uio.ko; insmod /uio_pci_generic.ko; insmod /tun.ko
ip link set lo up
for device in $(cat /nics); do
    echo $device >/sys/bus/pci/devices/$device/driver/unbind
    echo uio_pci_generic >/sys/bus/pci/devices/$device/driver_override
    echo $device >/sys/bus/pci/drivers_probe
done
stty -echo 2>/dev/null
echo GUEST-IS-UP
exec setsid -c sh -c 'exec sh </dev/ttyS0 >/dev/ttyS0 2>&1'
"""


def initramfs(root, work, programs, nics, configuration):
    """Makes the initial RAM disk; where it is."""
    tree = os.path.join(work, "initramfs")
    shutil.rmtree(tree, ignore_errors=True)
    os.makedirs(f"{tree}/bin")
    shutil.copy(f"{root}/usr/bin/busybox", f"{tree}/bin/busybox")
    plugins = [path for path in glob.glob(f"{LIBRARIES}/dpdk/pmds-*/*.so.*")
               if re.search(rf"/librte_({'|'.join(DRIVERS)})\.so\.\d+\.\d+$", path)]
    if len(plugins) < len(DRIVERS):
        raise Failure(f"not all of DPDK's drivers {DRIVERS} are in {LIBRARIES}/dpdk")
    needed = set(plugins)
    for program in list(programs) + plugins:
        for name, path in re.findall(r"^\s*(\S+)(?: => (/\S+))? \(", command(["ldd", program]), re.MULTILINE):
            path = path or name
            if path.startswith("/"):
                needed.add(path)
    for path in needed:
        # One file for all of its names: what is loaded twice registers its drivers twice.
        real = os.path.realpath(path)
        for name in (real, path):
            os.makedirs(tree + os.path.dirname(name), exist_ok=True)
        if not os.path.exists(tree + real):
            shutil.copy(real, tree + real)
        if real != path:
            os.symlink(real, tree + path)
    for program in programs:
        shutil.copy(program, f"{tree}/bin/")
        command(["strip", "--strip-debug", f"{tree}/bin/{os.path.basename(program)}"])
    modules, = glob.glob(f"{root}/usr/lib/modules/*/kernel/drivers")
    for module in MODULES:
        with lzma.open(f"{modules}/{module}.ko.xz") as packed, open(f"{tree}/{os.path.basename(module)}.ko", "wb") as file:
            shutil.copyfileobj(packed, file)
    for name, text in (("init", INIT), ("nics", "\n".join(nics)), ("lb.toml", configuration)):
        with open(f"{tree}/{name}", "w", encoding="ascii") as file:
            file.write(text)
    os.chmod(f"{tree}/init", 0o755)
    image = os.path.join(work, "initramfs.cpio")
    with open(image, "wb") as file:
        names = "\n".join(os.path.relpath(os.path.join(folder, name), tree)
                          for folder, folders, files in os.walk(tree) for name in sorted(folders) + sorted(files))
        subprocess.run([f"{root}/usr/bin/busybox", "cpio", "-o", "-H", "newc"], cwd=tree, input=names.encode(), stdout=file,
                       stderr=subprocess.DEVNULL, check=True)
    return image


def command(arguments):
    """Runs a program; what it prints."""
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout


class Guest(Machine):
    """The machine: a worker's CPU for each queue, and one for the rest."""

    def __init__(self, work, root, image, queues, extra, inherited):
        super().__init__(work, None, extra, inherited=inherited)
        self.root, self.image, self.cpus = root, image, queues + 1

    def arguments(self, console):
        """qemu with its own libraries, and without KVM, which not every machine has."""
        root = self.root
        kernel, = glob.glob(f"{root}/boot/vmlinuz-*")
        return [
            *unpacked(root), "-accel", "tcg,thread=multi", "-machine", "q35",
            "-cpu", "max", "-smp", str(self.cpus), "-m", "1280", "-display", "none", "-nodefaults", "-monitor", "none",
            "-no-reboot", "-kernel", kernel, "-initrd", self.image, "-append",
            "console=ttyS0 quiet panic=-1 hugepages=256",
            "-chardev", f"socket,id=console,path={console},server=on,wait=off", "-serial", "chardev:console",
        ]

    def start(self):
        """Waits for its shell."""
        self.power_on()
        self.expect("GUEST-IS-UP")
        self.type("PS1= PS2=\n")
        self.run("true")
