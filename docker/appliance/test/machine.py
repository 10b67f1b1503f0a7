"""A machine in qemu, and its serial console."""

import os
import re
import shutil
import socket
import subprocess
import time

OVMF = "/usr/share/OVMF"
# Emulation on a busy machine is slow; what takes longer than this does not happen any more.
PATIENCE_S = 1200


class Failure(Exception):
    """What was expected did not happen."""


class Machine:
    """qemu without KVM: a q35 with three CPUs, the appliance's disk and what else it is given."""

    # How it is called.
    qemu = ["qemu-system-x86_64"]

    def __init__(self, work, disk, extra, firmware="bios", inherited=(), within=()):
        self.work, self.disk, self.extra, self.firmware = work, disk, extra, firmware
        # Its NICs are behind an IOMMU, so that vfio-pci can have them.
        self.iommu = True
        self.inherited, self.within = inherited, list(within)
        self.process = self.console = None
        self.seen = ""
        self.log = open(os.path.join(work, "serial.log"), "ab", buffering=0)

    def power_on(self):
        """Starts it."""
        path = os.path.join(self.work, "console")
        if os.path.exists(path):
            os.unlink(path)
        arguments = self.arguments(path)
        self.process = subprocess.Popen(self.within + arguments + self.extra, pass_fds=self.inherited, stdin=subprocess.DEVNULL)
        self.console = socket.socket(socket.AF_UNIX)
        limit = time.monotonic() + 30
        while True:
            try:
                self.console.connect(path)
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > limit:
                    raise Failure("qemu did not start") from None
                time.sleep(0.1)
        self.seen = ""

    def arguments(self, console):
        """qemu and what it is told, but for the devices that are this machine's own."""
        arguments = [
            *self.qemu, "-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "max", "-smp", "3",
            "-m", "1536", "-display", "none", "-nodefaults", "-monitor", "none",
            *(["-device", "intel-iommu,intremap=on"] if self.iommu else []), "-device", "virtio-rng-pci",
            "-drive", f"file={self.disk},if=virtio,format=raw,cache=writethrough",
            "-chardev", f"socket,id=console,path={console},server=on,wait=off", "-serial", "chardev:console",
        ]
        if self.firmware == "uefi":
            variables = os.path.join(self.work, "variables.fd")
            if not os.path.exists(variables):
                shutil.copy(f"{OVMF}/OVMF_VARS_4M.fd", variables)
            arguments += [
                "-drive", f"if=pflash,format=raw,readonly=on,file={OVMF}/OVMF_CODE_4M.fd",
                "-drive", f"if=pflash,format=raw,file={variables}",
            ]
        return arguments

    def power_cut(self):
        """Ends it as a power cut does: at once, whatever it is doing."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
        if self.console:
            self.console.close()
            self.console = None

    def type(self, text):
        """Types on its console."""
        self.console.sendall(text.encode())

    def read(self, seconds):
        """Takes what it has written; waits for at most this long."""
        self.console.settimeout(seconds)
        try:
            data = self.console.recv(65536)
        except TimeoutError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            raise Failure("qemu has ended")
        self.log.write(data)
        self.seen += data.decode(errors="replace")

    def expect(self, pattern, seconds=PATIENCE_S):
        """Waits until this regular expression has been written since the last one was."""
        limit = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.seen)
            if found:
                self.seen = self.seen[found.end():]
                return found
            if time.monotonic() > limit:
                raise Failure(f"nothing like {pattern!r} on the console; its end: {self.seen[-1500:]}")
            self.read(1)

    def shell(self):
        """Goes from the lb shell on the console of a machine that is up to a root shell."""
        self.type("quit\r")
        self.expect(r"r: a root shell")
        self.type("r\r")
        self.expect(r"exit leads back")
        # No echo, no editing, no prompt and no paste brackets: what comes is what commands write.
        self.type("stty -echo cols 500; PS1= PS2= PROMPT_COMMAND=; bind 'set enable-bracketed-paste off'\r")
        self.run("true")

    def run(self, command, seconds=120, check=True):
        """Runs a command in the root shell; what it writes."""
        self.type(f"{command}\necho; echo END''-$?-END\n")
        limit = time.monotonic() + seconds
        while True:
            found = re.search(r"END-(\d+)-END", self.seen)
            if found:
                output, self.seen = self.seen[:found.start()], self.seen[found.end():]
                output = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", output).replace("\r", "").strip()
                if check and found.group(1) != "0":
                    raise Failure(f"{command!r} ended with {found.group(1)}: {output[-1500:]}")
                return output
            if time.monotonic() > limit:
                raise Failure(f"{command!r} takes longer than {seconds} s; console: {self.seen[-1500:]}")
            self.read(1)
