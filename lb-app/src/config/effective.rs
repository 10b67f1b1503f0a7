//! The effective configuration: every default written out, as a file that means the same.

use super::{
    Config, Control,
    health::{Hooks, ServiceHealth, inline_check, inline_pool},
};
use lb_core::service::{
    option::{Opt, pairs},
    plan::{Plan, ServerPlan, ServicePlan, VipPlan, timeouts::TIMEOUTS},
};
use std::fmt::{self, Display, Formatter};

impl Display for Config {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // The ports' redirection tables are found out at start.
        let Plan {
            ports,
            interfaces,
            routes,
            timeouts,
            services,
            vips,
            tunnel_local,
            verify_checksums,
            redirection_len: _,
        } = &self.plan;
        writeln!(f, "[workers]")?;
        writeln!(f, "connections = {}", self.connections_per_worker)?;
        match self.room_is_given {
            true => writeln!(f, "servers = {}", self.room.servers)?,
            false => writeln!(f, "# servers: {}, which follows from those configured", self.room.servers)?,
        }
        match &self.state_file {
            Some(path) => writeln!(f, "state_file = {}", quoted(&path.to_string_lossy()))?,
            None => writeln!(f, "# state_file: none, connections are not saved")?,
        }
        writeln!(f, "idle = \"{}\"", self.idle)?;
        writeln!(f, "verify_checksums = {verify_checksums}")?;

        writeln!(f, "\n[timeouts]")?;
        write_options(f, "", TIMEOUTS, timeouts)?;

        writeln!(f, "\n[control]")?;
        for Opt { field, .. } in
            Control::OPTIONS.iter().filter(|option| (option.get)(&self.control).is_none())
        {
            writeln!(f, "# {}: {}", field.key, field.default.unwrap_or("none").replace('`', ""))?;
        }
        write_options(f, "", Control::OPTIONS, &self.control)?;

        writeln!(f, "\n[tunnel]")?;
        match tunnel_local {
            Some(local) => writeln!(f, "local = \"{local}\"")?,
            None => writeln!(f, "# local: the address of the port towards each server")?,
        }

        writeln!(f, "\n[metrics]")?;
        match &self.metrics.listen {
            Some(listen) => writeln!(f, "listen = \"{listen}\"")?,
            None => writeln!(f, "# listen: off")?,
        }
        writeln!(f, "console = {}", self.metrics.console)?;

        writeln!(f, "\n[health]")?;
        if self.health.hooks.hook.is_none() {
            writeln!(f, "# hook: none")?;
        }
        write_options(f, "", Hooks::OPTIONS, &self.health.hooks)?;

        for ((port, device), interface) in ports.iter().zip(&self.devices).zip(interfaces) {
            writeln!(f, "\n[[ports]]")?;
            writeln!(f, "name = {}", quoted(&port.name))?;
            writeln!(f, "device = {}", quoted(&device.name))?;
            let addresses: Vec<String> = interface.addresses.iter().map(|net| format!("\"{net}\"")).collect();
            writeln!(f, "addresses = [{}]", addresses.join(", "))?;
            writeln!(f, "mtu = {}", interface.mtu)?;
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
            write_options(f, "", VipPlan::OPTIONS, vip)?;
        }
        for VipPlan { address, unserved } in self.plan.every_vip().skip(vips.len()) {
            writeln!(f, "\n# VIP {address}, not listed: unserved = \"{unserved}\"")?;
        }
        services
            .iter()
            .zip(&self.health.services)
            .try_for_each(|(service, health)| write_service(f, service, health))
    }
}

fn write_service(f: &mut Formatter<'_>, service: &ServicePlan, health: &ServiceHealth) -> fmt::Result {
    writeln!(f, "\n[[services]]")?;
    write_options(f, "", ServicePlan::OPTIONS, service)?;
    if let Some(check) = &health.check {
        writeln!(f, "check = {}", inline_check(Some(check)))?;
    }
    writeln!(f, "health = {}", inline_pool(&health.pool))?;
    for server in &service.servers {
        writeln!(f, "  [[services.servers]]")?;
        write_options(f, "  ", ServerPlan::OPTIONS, server)?;
        if let Some((_, check)) = health.own.iter().find(|(own, _)| *own == server.endpoint()) {
            writeln!(f, "  check = {}", inline_check(check.as_deref()))?;
        }
    }
    Ok(())
}

/// A line for each option that has a value.
fn write_options<P>(f: &mut Formatter<'_>, indent: &str, options: &'static [Opt<P>], of: &P) -> fmt::Result {
    pairs(options, of).try_for_each(|(key, value)| writeln!(f, "{indent}{key} = {value}"))
}

/// Text as TOML writes it, with its quotes.
fn quoted(text: &str) -> toml::Value {
    toml::Value::from(text)
}
