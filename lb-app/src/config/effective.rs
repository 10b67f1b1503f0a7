//! The effective configuration: every default written out, as a file that means the same.

use super::{
    Announce, Config, Control, File, IpvsSync, Sync,
    health::{Hooks, ServiceHealth, inline_check, inline_pool},
    settings::Device,
};
use lb_core::service::{
    check::shown,
    option::{Opt, pairs},
    plan::{
        DirectorPlan, InterfacePlan, Plan, ServerPlan, ServicePlan, SnatPlan, Tags, VipPlan,
        timeouts::TIMEOUTS,
    },
};
use std::fmt::{self, Display, Formatter};

impl Display for Config {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for included in &self.included {
            writeln!(f, "# with what {} says", included.display())?;
        }
        writeln!(f, "[config]")?;
        write_options(f, "", File::OPTIONS, &self.file)?;
        writeln!(f, "\n[announce]")?;
        for Opt { field, .. } in
            Announce::OPTIONS.iter().filter(|option| (option.get)(&self.announce).is_none())
        {
            writeln!(f, "# {}: none", field.key)?;
        }
        write_options(f, "", Announce::OPTIONS, &self.announce)?;
        writeln!(f, "\n[sync]")?;
        for Opt { field, .. } in Sync::OPTIONS.iter().filter(|option| (option.get)(&self.sync).is_none()) {
            writeln!(f, "# {}: none", field.key)?;
        }
        write_options(f, "", Sync::OPTIONS, &self.sync)?;
        writeln!(f, "\n[ipvs_sync]")?;
        if !self.ipvs_sync.is_on() {
            writeln!(f, "# interface: none")?;
        }
        write_options(f, "", IpvsSync::OPTIONS, &self.ipvs_sync)?;
        writeln!(f, "\n[director]")?;
        write_options(f, "", DirectorPlan::OPTIONS, &self.plan.director)?;
        self.write_workers(f)?;
        writeln!(f, "\n[timeouts]")?;
        write_options(f, "", TIMEOUTS, &self.plan.timeouts)?;
        self.write_control(f)?;
        self.write_addresses(f)?;
        writeln!(f, "\n[health]")?;
        if self.health.hooks.hook.is_none() {
            writeln!(f, "# hook: none")?;
        }
        write_options(f, "", Hooks::OPTIONS, &self.health.hooks)?;
        write_network(f, &self.plan, &self.devices)?;
        write_vips(f, &self.plan)?;
        write_snat(f, &self.plan)?;
        let services = self.plan.services.iter().zip(&self.health.services);
        services.into_iter().try_for_each(|(service, health)| write_service(f, service, health))
    }
}

impl Config {
    fn write_workers(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n[workers]")?;
        writeln!(f, "connections = {}", self.capacity.v4)?;
        match self.capacity_v6_is_given {
            true => writeln!(f, "connections_v6 = {}", self.capacity.v6)?,
            false => {
                writeln!(
                    f,
                    "# connections_v6: {}, which follows from the services configured",
                    self.capacity.v6
                )?;
            }
        }
        match self.room_is_given {
            true => writeln!(f, "servers = {}", self.room.servers)?,
            false => writeln!(f, "# servers: {}, which follows from those configured", self.room.servers)?,
        }
        writeln!(f, "persistent_clients = {}", self.persistent_clients)?;
        match &self.state_file {
            Some(path) => writeln!(f, "state_file = {}", quoted(&path.to_string_lossy()))?,
            None => writeln!(f, "# state_file: none, connections are not saved")?,
        }
        writeln!(f, "idle = \"{}\"", self.idle)?;
        writeln!(f, "verify_checksums = {}", self.plan.verify_checksums)
    }

    fn write_control(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n[control]")?;
        let unset = Control::OPTIONS.iter().filter(|option| (option.get)(&self.control).is_none());
        for Opt { field, .. } in unset {
            writeln!(f, "# {}: {}", field.key, field.default.unwrap_or("none").replace('`', ""))?;
        }
        write_options(f, "", Control::OPTIONS, &self.control)
    }

    /// Where tunnels begin, and where metrics are.
    fn write_addresses(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n[tunnel]")?;
        match self.plan.tunnel_local {
            Some(local) => writeln!(f, "local = \"{local}\"")?,
            None => writeln!(f, "# local: the address of the port towards each server")?,
        }
        let sources: Vec<String> =
            self.plan.tunnel_sources.iter().map(|network| format!("\"{network}\"")).collect();
        writeln!(f, "sources = [{}]", sources.join(", "))?;
        writeln!(f, "\n[metrics]")?;
        match &self.metrics.listen {
            Some(listen) => writeln!(f, "listen = \"{listen}\"")?,
            None => writeln!(f, "# listen: off")?,
        }
        writeln!(f, "console = {}", self.metrics.console)
    }
}

fn write_network(f: &mut Formatter<'_>, plan: &Plan, devices: &[Device]) -> fmt::Result {
    for ((port, device), interface) in plan.ports.iter().zip(devices).zip(&plan.interfaces) {
        writeln!(f, "\n[[ports]]")?;
        writeln!(f, "name = {}", quoted(&port.name))?;
        writeln!(f, "device = {}", quoted(&device.name))?;
        if !device.members.is_empty() {
            let members: Vec<String> =
                device.members.iter().map(|member| quoted(member).to_string()).collect();
            writeln!(f, "members = [{}]", members.join(", "))?;
        }
        write_addresses(f, interface)?;
        writeln!(f, "mtu = {}", interface.mtu)?;
        writeln!(f, "checksum_offload = {}", device.checksum_offload)?;
        writeln!(f, "tx_checksum_offload = \"{}\"", device.tx_checksum_offload)?;
        writeln!(f, "tx_vlan_offload = \"{}\"", device.tx_vlan_offload)?;
        match &device.host {
            Some(host) => writeln!(f, "host = {}", quoted(host))?,
            None => writeln!(f, "# host: none")?,
        }
    }
    for on in plan.interfaces.iter().filter(|on| !on.tags.is_empty()) {
        write_interface(f, plan, on)?;
    }
    for route in &plan.routes {
        writeln!(f, "\n[[routes]]")?;
        writeln!(f, "to = \"{}\"", shown(route.to))?;
        writeln!(f, "via = \"{}\"", route.via)?;
        match route.interface.and_then(|on| plan.interface(on)) {
            Some(on) => writeln!(f, "interface = {}", quoted(&on.name))?,
            None => writeln!(f, "# interface: the one on the router's network")?,
        }
    }
    Ok(())
}

fn write_interface(f: &mut Formatter<'_>, plan: &Plan, on: &InterfacePlan) -> fmt::Result {
    let port = plan.ports.get(usize::from(on.port.0)).map_or("", |port| &port.name);
    writeln!(f, "\n[[interfaces]]")?;
    writeln!(f, "name = {}", quoted(&on.name))?;
    writeln!(f, "port = {}", quoted(port))?;
    writeln!(f, "vlan = {}", vlan(on.tags))?;
    write_addresses(f, on)?;
    writeln!(f, "mtu = {}", on.mtu)?;
    match on.own_mac {
        Some(mac) => writeln!(f, "mac = \"{mac}\""),
        None => writeln!(f, "# mac: the port's"),
    }
}

/// VLANs as a file says them.
pub(crate) fn vlan(tags: Tags) -> String {
    let ids: Vec<String> = tags.ids().map(|id| id.to_string()).collect();
    if ids.len() == 1 { ids.join("") } else { format!("[{}]", ids.join(", ")) }
}

fn write_addresses(f: &mut Formatter<'_>, on: &InterfacePlan) -> fmt::Result {
    let addresses: Vec<String> = on.addresses.iter().map(|net| format!("\"{net}\"")).collect();
    writeln!(f, "addresses = [{}]", addresses.join(", "))
}

fn write_vips(f: &mut Formatter<'_>, plan: &Plan) -> fmt::Result {
    for vip in &plan.vips {
        writeln!(f, "\n[[vips]]")?;
        write_options(f, "", VipPlan::OPTIONS, vip)?;
    }
    for VipPlan { address, unserved } in plan.every_vip().skip(plan.vips.len()) {
        writeln!(f, "\n# VIP {address}, not listed: unserved = \"{unserved}\"")?;
    }
    Ok(())
}

fn write_snat(f: &mut Formatter<'_>, plan: &Plan) -> fmt::Result {
    for rule in &plan.snat {
        writeln!(f, "\n[[snat]]")?;
        write_options(f, "", SnatPlan::OPTIONS, rule)?;
        if rule.interface.is_none() {
            writeln!(f, "# interface: any")?;
        }
    }
    Ok(())
}

fn write_service(f: &mut Formatter<'_>, service: &ServicePlan, health: &ServiceHealth) -> fmt::Result {
    writeln!(f, "\n[[services]]")?;
    write_options(f, "", ServicePlan::OPTIONS, service)?;
    if let Some(check) = &health.check {
        writeln!(f, "check = {}", inline_check(Some(check)))?;
    }
    if let Some(agent) = &health.agent {
        writeln!(f, "agent = {}", inline_check(Some(agent)))?;
    }
    writeln!(f, "health = {}", inline_pool(&health.pool))?;
    for server in &service.servers {
        writeln!(f, "  [[services.servers]]")?;
        write_options(f, "  ", ServerPlan::OPTIONS, server)?;
        if let Some((_, check)) = health.own.iter().find(|(own, _)| *own == server.endpoint()) {
            writeln!(f, "  check = {}", inline_check(check.as_deref()))?;
        }
        if let Some((_, agent)) = health.own_agents.iter().find(|(own, _)| *own == server.endpoint()) {
            writeln!(f, "  agent = {}", inline_check(agent.as_deref()))?;
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
