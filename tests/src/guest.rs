//! A server with a kernel of its own: User-Mode Linux, which runs as a program and has the tunnels, VLANs and IPVS that
//! this machine's kernel may lack. It takes a second to boot.
//!
//! It sees this machine's files, so it runs the nginx and the helpers that the other servers run; its network cards are
//! interfaces of a namespace, whose packets it reads and writes. `tests/uml.sh` brings the kernel.

use std::cell::Cell;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::netns::Namespace;
use crate::process::{Background, PATIENCE, eventually, run};
use crate::{server, world};

/// The name that it puts into every answer.
pub const NAME: &str = "guest";
/// Memory of a guest.
const MEMORY: &str = "160M";

/// What the guest's kernel starts: the usual file systems, its modules, and commands as they come. A command is a file, so
/// is what it says, and so is its exit status, which comes last.
const INIT: &str = r#"#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /run
mount -t proc proc "$uml/proc"
ip link set lo up
modprobe() { chroot "$uml" /usr/bin/busybox modprobe "$@"; }
number=1
while :; do
    if [ -e "$here/$number.sh" ]; then
        (. "$here/$number.sh") </dev/null >"$here/$number.out" 2>&1
        echo $? >"$here/$number.new"
        mv "$here/$number.new" "$here/$number.status"
        number=$((number + 1))
    else
        sleep 0.02
    fi
done
"#;

/// A running guest.
#[derive(Debug)]
pub struct Guest {
    // First: it ends before its namespace does.
    process: Background,
    namespace: Namespace,
    directory: PathBuf,
    commands: Cell<u32>,
}

/// What a guest's network card is.
#[derive(Clone, Copy, Debug)]
pub enum Card<'a> {
    /// An interface of the namespace, whose packets it reads and writes. It is given those of VLANs without their tags.
    Link(&'a str),
    /// The other end of a TAP of the namespace, with tags as they are.
    Tap(&'a str),
}

impl Guest {
    /// Boots a guest whose `vec0`, `vec1` and so on are these cards.
    pub fn boot(namespace: Namespace, cards: &[Card<'_>], directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let directory = directory.canonicalize()?;
        let init = directory.join("init");
        let here = format!("here='{}'\numl='{}'\n", directory.display(), kernel()?.display());
        fs::write(&init, INIT.replacen('\n', &format!("\n{here}"), 1))?;
        fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
        let mut command = namespace.command(script());
        command.arg("boot").arg(&init).arg(MEMORY);
        for (number, card) in cards.iter().enumerate() {
            let (transport, interface) = match card {
                Card::Link(interface) => ("raw", interface),
                Card::Tap(interface) => ("tap", interface),
            };
            command.arg(format!("vec{number}:transport={transport},ifname={interface},depth=64,gro=0"));
        }
        let process = namespace.spawn(&mut command, &directory.join("console"))?;
        let mut guest = Self { process, namespace, directory, commands: Cell::new(0) };
        let up = guest.attempt("uname -r").context("User-Mode Linux does not boot")?;
        ensure!(!up.is_empty(), "a kernel's release");
        for number in 0..cards.len() {
            // As of all links of a world: packets go as they are, their checksums finished.
            guest.run(&format!(
                "ip link set vec{number} up; ethtool -K vec{number} tx off sg off tso off gso off gro off || true"
            ))?;
        }
        Ok(guest)
    }

    /// The namespace that its network cards are in.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Runs lines of shell in the guest, where `modprobe` has its kernel's modules, and returns what they print. The first
    /// that fails ends them.
    pub fn run(&self, lines: &str) -> Result<String> {
        self.ask(lines, || Ok(()))
    }

    /// Makes it a server as the others are: their addresses and routes in both families, virtual addresses on loopback,
    /// nginx and a UDP echo. Its device on the lan is the one that is named, and `vec1` is on the wan; tunnels are the
    /// story's.
    pub fn serve(&self, device: &str, lan: Ipv4Addr, wan: Ipv4Addr) -> Result<()> {
        let (lan6, wan6) = (world::server6_of(lan), world::wan6_beside(lan));
        let vips =
            [world::VIP_TUN, world::VIP_DR].map(|vip| format!("ip addr add {vip}/32 dev lo\n")).concat();
        let vips6 = [world::VIP6_TUN, world::VIP6_DR]
            .map(|vip| format!("ip addr add {vip}/128 dev lo nodad\n"))
            .concat();
        self.run(&format!(
            "for scope in all default lo {device} vec1; do
                echo 0 >/proc/sys/net/ipv4/conf/$scope/rp_filter
                echo 0 >/proc/sys/net/ipv6/conf/$scope/accept_dad
            done
            echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore
            echo 2 >/proc/sys/net/ipv4/conf/all/arp_announce
            ip addr add {lan}/24 dev {device}
            ip addr add {lan6}/64 dev {device} nodad
            ip addr add {wan}/24 dev vec1
            ip addr add {wan6}/64 dev vec1 nodad
            {vips}{vips6}
            ip route add default via {}
            ip -6 route add default via {}
            ip rule add from {lan} table 10
            ip -6 rule add from {lan6} table 10
            ip route add default via {} table 10
            ip route add 198.51.100.0/24 dev {device} table 10
            ip -6 route add default via {} table 10
            ip -6 route add 2001:db8:2::/64 dev {device} table 10",
            world::GATEWAY,
            world::GATEWAY6,
            world::DIRECTOR_LAN,
            world::DIRECTOR_LAN6,
        ))?;
        let directory = self.directory.display();
        fs::write(
            self.directory.join("nginx.conf"),
            server::nginx_configuration(NAME, &self.directory, &server::big_file()?),
        )?;
        let echo = server::executable("udp-echo")?;
        let (port, behind_nat) = (world::ECHO, world::ECHO_BEHIND_NAT);
        let echoes = [
            format!("{lan}:{behind_nat} [{lan6}]:{behind_nat}"),
            format!("{}:{port} {}:{port}", world::VIP_TUN, world::VIP_DR),
            format!("[{}]:{port} [{}]:{port}", world::VIP6_TUN, world::VIP6_DR),
        ];
        self.run(&format!(
            "nginx -p {directory} -c {directory}/nginx.conf -e {directory}/nginx-error.log &
            {} {NAME} {} &
            until ss -Hltn 'sport = :{}' | grep -q . ; do sleep 0.02; done",
            echo.display(),
            echoes.join(" "),
            world::HTTP
        ))?;
        Ok(())
    }

    /// Packets that an interface has received.
    pub fn received_by(&self, interface: &str) -> Result<u64> {
        let count = self.run(&format!("cat /sys/class/net/{interface}/statistics/rx_packets"))?;
        count.trim().parse().with_context(|| format!("packets of {interface}: {count:?}"))
    }

    /// The same, as long as the guest lives.
    fn attempt(&mut self, lines: &str) -> Result<String> {
        let Self { process, directory, commands, .. } = self;
        ask(directory, commands, lines, || match process.finished()? {
            Some(status) => {
                let console = fs::read_to_string(directory.join("console")).unwrap_or_default();
                bail!("it ended ({status}):\n{console}")
            }
            None => Ok(()),
        })
    }

    fn ask(&self, lines: &str, lives: impl FnMut() -> Result<()>) -> Result<String> {
        ask(&self.directory, &self.commands, lines, lives)
    }
}

/// Gives a command to the guest and waits for its end.
fn ask(
    directory: &Path,
    commands: &Cell<u32>,
    lines: &str,
    mut lives: impl FnMut() -> Result<()>,
) -> Result<String> {
    commands.set(commands.get() + 1);
    let file = |kind: &str| directory.join(format!("{}.{kind}", commands.get()));
    // Renamed into place when complete.
    fs::write(file("tmp"), format!("set -e\n{lines}\n"))?;
    fs::rename(file("tmp"), file("sh"))?;
    let done = eventually(PATIENCE, || {
        lives()?;
        Ok(file("status").exists())
    })?;
    ensure!(done, "the guest does not answer within {PATIENCE:?}: {lines}");
    let said = fs::read_to_string(file("out"))?;
    let status = fs::read_to_string(file("status"))?;
    if status.trim() != "0" {
        return Err(anyhow!("in the guest, status {}: {lines}\n{said}", status.trim()));
    }
    Ok(said)
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("uml.sh")
}

/// Where the kernel is, which is brought here if it is not.
fn kernel() -> Result<&'static Path> {
    static KERNEL: OnceLock<PathBuf> = OnceLock::new();
    if let Some(kernel) = KERNEL.get() {
        return Ok(kernel);
    }
    let said = run(Command::new("timeout").arg("300").arg(script()).arg("prepare"))?;
    let path = PathBuf::from(said.lines().last().context("the directory of User-Mode Linux")?);
    Ok(KERNEL.get_or_init(|| path))
}
