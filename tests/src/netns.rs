//! Network namespaces: made under a name, entered by commands and by threads, deleted on drop.

use std::fs::File;
use std::io;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process::{Background, run};
use crate::recipe::recipe;

/// A network namespace that exists as long as this value does.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    kept: bool,
}

impl Namespace {
    /// Creates the namespace with loopback up, IPv6 off and no reverse path filter, so that replies may leave by
    /// another interface than their requests came in by (which is the whole point of TUN and DR).
    pub fn create(name: String) -> Result<Self> {
        run(Command::new("ip").args(["netns", "add", &name]))?;
        let namespace = Self { name, kept: false };
        for scope in ["all", "default", "lo"] {
            namespace.sysctl(&format!("net/ipv4/conf/{scope}/rp_filter"), "0")?;
            namespace.sysctl(&format!("net/ipv4/conf/{scope}/send_redirects"), "0")?;
            if has_ipv6() {
                namespace.sysctl(&format!("net/ipv6/conf/{scope}/disable_ipv6"), "1")?;
            }
        }
        // A new namespace may inherit this one from the machine, and a kernel that forwards would do our work.
        namespace.sysctl("net/ipv4/ip_forward", "0")?;
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// The name under which `ip netns` knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run `program` inside.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Has the kernel leave alone what comes by an interface, as docs/directors.md says: of a NIC that DPDK owns it sees
    /// nothing.
    pub fn leave_to_dpdk(&self, interface: &str) -> Result<()> {
        let commands = recipe("directors.md", "hook ingress", &[("eth0", interface)])?;
        self.run("sh", &["-ec", &commands]).map(drop)
    }

    /// Runs `program` inside and returns its standard output.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        run(self.command(program).args(args))
    }

    /// Starts `command` (made by [`Self::command`]) in the background.
    pub fn spawn(&self, command: &mut Command, log: &Path) -> Result<Background> {
        Background::spawn(command, log)
    }

    /// Runs lines of `ip` commands, without the word `ip`, in one go.
    pub fn ip(&self, lines: &str) -> Result<()> {
        let mut child = Command::new("ip")
            .args(["-n", &self.name, "-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().context("stdin of ip")?.write_all(lines.as_bytes())?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("ip -n {}: {}\n{lines}", self.name, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// Calls `f` on a thread that lives in this namespace. Sockets opened there stay there wherever they are used.
    pub fn within<T: Send>(&self, f: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let handle = File::open(Path::new("/var/run/netns").join(&self.name))?;
        thread::scope(|scope| {
            let inside = move || {
                setns(handle, CloneFlags::CLONE_NEWNET)?;
                f()
            };
            scope.spawn(inside).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Writes a kernel setting, named by its path under `/proc/sys`.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        self.within(|| std::fs::write(Path::new("/proc/sys").join(key), value))
            .with_context(|| format!("{key} = {value} in {}", self.name))
    }

    /// Turns IPv6 on, for these interfaces and for loopback. Addresses are good at once.
    pub fn enable_ipv6(&self, devices: &[&str]) -> Result<()> {
        for device in ["all", "default", "lo"].iter().chain(devices) {
            self.sysctl(&format!("net/ipv6/conf/{device}/accept_dad"), "0")?;
            self.sysctl(&format!("net/ipv6/conf/{device}/disable_ipv6"), "0")?;
        }
        Ok(())
    }

    /// Connects `device` here with `peer` in another namespace: a veth pair, both ends up, MTU 1500, every offload
    /// off. A veth hands over packets as its sender left them: with offloads on, TCP checksums unfinished and
    /// segments beyond the MTU, which a DPDK port on the other end would forward as they are.
    pub fn connect(&self, device: &str, other: &Self, peer: &str) -> Result<()> {
        self.ip(&format!("link add {device} mtu 1500 type veth peer name {peer} netns {}", other.name))?;
        for (namespace, device) in [(self, device), (other, peer)] {
            namespace.run(
                "ethtool",
                &[
                    "-K", device, "tx", "off", "rx", "off", "sg", "off", "tso", "off", "gso", "off", "gro",
                    "off",
                ],
            )?;
            namespace.ip(&format!("link set {device} mtu 1500 up"))?;
        }
        Ok(())
    }

    /// The same namespace; it exists as long as the value that it was created as.
    pub(crate) fn twin(&self) -> Self {
        Self { name: self.name.clone(), kept: true }
    }

    /// Whether it will outlive this value.
    pub(crate) fn kept(&self) -> bool {
        self.kept
    }

    /// Lets the namespace outlive this value.
    pub fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if !self.kept {
            delete(&self.name);
        }
    }
}

/// Whether the kernel has IPv6.
#[must_use]
pub fn has_ipv6() -> bool {
    Path::new("/proc/sys/net/ipv6").exists()
}

/// Deletes a namespace, and first ends what still runs in it: nothing else can be there than what was started there.
pub fn delete(name: &str) {
    let pids = run(Command::new("ip").args(["netns", "pids", name])).unwrap_or_default();
    for pid in pids.split_whitespace().filter_map(|pid| pid.parse().ok()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = run(Command::new("ip").args(["netns", "delete", name]));
}
