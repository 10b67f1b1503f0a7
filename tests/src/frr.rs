//! FRR's daemons in a namespace, with their sockets apart from the machine's.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::netns::Namespace;
use crate::process::{Background, PATIENCE, eventually};

/// They run until it is dropped.
#[derive(Debug)]
pub struct Frr {
    processes: Vec<Background>,
    directory: PathBuf,
}

impl Frr {
    /// zebra, and these others with their configurations. Their files are in a folder `name` of `directory`.
    pub fn start(
        namespace: &Namespace,
        directory: &Path,
        name: &str,
        daemons: &[(&str, &str)],
    ) -> Result<Self> {
        let directory = directory.join(name);
        fs::create_dir_all(&directory)?;
        // They run as a user of their own.
        fs::set_permissions(&directory, Permissions::from_mode(0o777))?;
        let at = |name: &str| directory.join(name);
        fs::write(at("vtysh.conf"), "")?;
        let daemon = |name: &str, text: &str| {
            fs::write(at(&format!("{name}.conf")), text)?;
            let mut command = namespace.command(format!("/usr/lib/frr/{name}"));
            command.args(["--vty_port", "0", "--log", "stdout"]);
            command.arg("--vty_socket").arg(&directory).arg("--socket").arg(at("zserv"));
            command.arg("--pid_file").arg(at(&format!("{name}.pid")));
            command.arg("--config_file").arg(at(&format!("{name}.conf")));
            namespace.spawn(&mut command, &at("log"))
        };
        let mut processes = vec![daemon("zebra", "")?];
        ensure!(eventually(PATIENCE, || Ok(at("zserv").exists()))?, "zebra has no socket");
        for (name, text) in daemons {
            processes.push(daemon(name, text)?);
            let socket = at(&format!("{name}.vty"));
            ensure!(eventually(PATIENCE, || Ok(socket.exists()))?, "{name} has no socket");
        }
        Ok(Self { processes, directory })
    }

    /// How `vtysh` is called for them.
    #[must_use]
    pub fn vtysh(&self) -> Vec<String> {
        let directory = self.directory.display().to_string();
        ["vtysh", "--vty_socket", &directory, "--config_dir", &directory].map(str::to_owned).to_vec()
    }

    /// Ends all of them at once.
    pub fn kill(&mut self) {
        self.processes.iter_mut().for_each(Background::kill);
    }
}
