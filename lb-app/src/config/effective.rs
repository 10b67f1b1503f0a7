//! The effective configuration: every default written out, as a file that means the same.

use super::{
    Config, Wanted,
    health::{ServiceHealth, inline_check, inline_pool, words},
    timeouts::KEYS,
};
use lb_core::{
    conn::timeouts::Timeouts,
    service::plan::{Plan, SchedulerKind, ServicePlan},
};
use std::fmt::{self, Display, Formatter};

impl Display for Config {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // The ports' redirection tables are found out at start.
        let Plan { ports, routes, services, vips, tunnel_local, verify_checksums, redirection_len: _ } =
            &self.plan;
        writeln!(f, "[workers]")?;
        writeln!(f, "connections = {}", self.connections_per_worker)?;
        writeln!(f, "servers = {}", self.room.servers)?;
        match &self.state_file {
            Some(path) => writeln!(f, "state_file = {}", quoted(&path.to_string_lossy()))?,
            None => writeln!(f, "# state_file: none, connections end with the director")?,
        }
        writeln!(f, "idle = \"{}\"", self.idle)?;
        writeln!(f, "verify_checksums = {verify_checksums}")?;

        writeln!(f, "\n[timeouts]")?;
        for (key, state, _) in KEYS {
            writeln!(f, "{key} = \"{}\"", self.timeouts.of(state))?;
        }

        writeln!(f, "\n[control]")?;
        match &self.control.socket {
            Wanted::Default => writeln!(f, "# socket: /run/lb/lb.sock, or named after --file-prefix")?,
            Wanted::None => writeln!(f, "socket = \"none\"")?,
            Wanted::Path(path) => writeln!(f, "socket = {}", quoted(&path.display().to_string()))?,
        }
        match &self.control.group {
            Some(group) => writeln!(f, "group = {}", quoted(group))?,
            None => writeln!(f, "# group: root alone")?,
        }
        writeln!(f, "captures = {}", quoted(&self.control.captures.display().to_string()))?;

        writeln!(f, "\n[tunnel]")?;
        match tunnel_local {
            Some(local) => writeln!(f, "local = \"{local}\"")?,
            None => writeln!(f, "# local: the address of the port towards each server")?,
        }

        writeln!(f, "\n[metrics]")?;
        match &self.metrics {
            Some(listen) => writeln!(f, "listen = \"{listen}\"")?,
            None => writeln!(f, "# listen: nowhere")?,
        }

        writeln!(f, "\n[health]")?;
        match &self.health.hook {
            Some(hook) => writeln!(f, "hook = {}", words(hook))?,
            None => writeln!(f, "# hook: none")?,
        }
        writeln!(f, "hook_timeout = \"{}\"", self.health.hook_timeout)?;

        for (port, device) in ports.iter().zip(&self.devices) {
            writeln!(f, "\n[[ports]]")?;
            writeln!(f, "name = {}", quoted(&port.name))?;
            writeln!(f, "device = {}", quoted(&device.name))?;
            let addresses: Vec<String> = port.addresses.iter().map(|net| format!("\"{net}\"")).collect();
            writeln!(f, "addresses = [{}]", addresses.join(", "))?;
            writeln!(f, "mtu = {}", port.mtu)?;
            writeln!(f, "checksum_offload = {}", device.checksum_offload)?;
        }

        for route in routes {
            writeln!(f, "\n[[routes]]")?;
            match route.to.prefix_len() {
                0 => writeln!(f, "to = \"default\"")?,
                _ => writeln!(f, "to = \"{}\"", route.to)?,
            }
            writeln!(f, "via = \"{}\"", route.via)?;
        }

        for vip in vips {
            writeln!(f, "\n[[vips]]")?;
            writeln!(f, "address = \"{}\"", vip.address)?;
            writeln!(f, "unserved = \"{}\"", vip.unserved)?;
        }
        services
            .iter()
            .zip(&self.health.services)
            .try_for_each(|(service, health)| write_service(f, service, health))
    }
}

fn write_service(f: &mut Formatter<'_>, service: &ServicePlan, health: &ServiceHealth) -> fmt::Result {
    let flags = match (service.hash_port, service.scheduler) {
        (true, SchedulerKind::Sh) => "\"sh-port\"",
        (true, SchedulerKind::Mh) => "\"mh-port\"",
        _ => "",
    };
    writeln!(f, "\n[[services]]")?;
    writeln!(f, "name = {}", quoted(&service.name))?;
    writeln!(f, "vip = \"{}\"", service.vip)?;
    writeln!(f, "port = {}", service.port)?;
    writeln!(f, "protocol = \"{}\"", service.protocol)?;
    writeln!(f, "method = \"{}\"", service.method)?;
    writeln!(f, "scheduler = \"{}\"", service.scheduler)?;
    writeln!(f, "flags = [{flags}]")?;
    writeln!(f, "adopt = {}", service.adopt)?;
    writeln!(f, "slow_start = \"{}\"", service.slow_start)?;
    writeln!(f, "timeouts = {{ {} }}", inline(&service.timeouts))?;
    if let Some(check) = &health.check {
        writeln!(f, "check = {}", inline_check(Some(check)))?;
    }
    writeln!(f, "health = {}", inline_pool(&health.pool))?;
    for server in &service.servers {
        writeln!(f, "  [[services.servers]]")?;
        writeln!(f, "  address = \"{}\"", server.address)?;
        writeln!(f, "  port = {}", server.port)?;
        writeln!(f, "  weight = {}", server.weight)?;
        writeln!(f, "  state = \"{}\"", server.admin)?;
        if let Some((_, check)) = health.own.iter().find(|(own, _)| *own == server.endpoint()) {
            writeln!(f, "  check = {}", inline_check(check.as_deref()))?;
        }
    }
    Ok(())
}

fn inline(timeouts: &Timeouts) -> String {
    let pairs: Vec<String> =
        KEYS.iter().map(|(key, state, _)| format!("{key} = \"{}\"", timeouts.of(*state))).collect();
    pairs.join(", ")
}

/// Text as TOML writes it, with its quotes.
fn quoted(text: &str) -> toml::Value {
    toml::Value::from(text)
}
