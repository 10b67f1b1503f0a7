//! Writing what runs back into the configuration file. Only what is different is touched, so comments, order and the
//! operator's way of writing stay.
//!
//! Nothing is written that does not read back as exactly what runs, and the file is replaced in one step.

use super::replace::replace;
use crate::{
    config::{self, Config, Limits, report::Report},
    control::{edit::sorry::without_sorry_servers, live::running::Running},
};
use lb_core::service::{
    option::{self, Opt},
    plan::{Health, Plan, ServerPlan, ServicePlan},
};
use std::{fs, io::Write, os::unix::fs::PermissionsExt, sync::Arc};
use thiserror::Error;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, Value, value};

/// Why nothing was saved.
#[derive(Debug, Error)]
pub(crate) enum SaveError {
    #[error("{0}")]
    File(std::io::Error),
    /// The file was changed into something that is wrong.
    #[error("the file is not sound, so it is left as it is: {0}")]
    Config(#[from] Report),
    #[error("the file is not TOML, so it is left as it is: {0}")]
    Toml(#[from] toml_edit::TomlError),
    /// The file differs in something that a running director cannot change, or is written in a way that cannot be kept.
    #[error("the file cannot be made to say what runs, so it is left as it is: {0}")]
    Differs(String),
}

impl Running {
    /// Writes the running configuration to the configuration file. Whether anything had to change.
    ///
    /// # Errors
    /// See [`SaveError`]; then the file is as it was.
    pub(crate) fn save(&self) -> Result<bool, SaveError> {
        let limits = Limits { workers: self.workers.len(), available_bytes: u64::MAX };
        let _turn = self.changing.lock();
        let current = self.current();
        let text = fs::read_to_string(&self.path).map_err(SaveError::File)?;
        let name = self.path.display().to_string();
        // A sorry server that is in use at the moment is not part of the configuration.
        let plan = without_sorry_servers(&current.plan, &current.config);
        let saved = rewrite(&name, &text, &plan, limits)?;
        if saved != text {
            let permissions = fs::metadata(&self.path).map_err(SaveError::File)?.permissions();
            replace(&self.path, permissions.mode() & 0o7777, |mut file| {
                // Regardless of the process's umask.
                file.set_permissions(permissions.clone())?;
                file.write_all(saved.as_bytes())
            })
            .map_err(SaveError::File)?;
        }
        // From now on the file says so, and a reload sees what is changed in it after that.
        let config = Config { plan, ..(*current.config).clone() };
        self.current.write().config = Arc::new(config);
        Ok(saved != text)
    }
}

/// The file's text, with every difference changed to the plan's value.
fn rewrite(name: &str, text: &str, plan: &Plan, limits: Limits) -> Result<String, SaveError> {
    let said = config::parse(name, text, limits)?;
    let mut document: DocumentMut = text.parse()?;
    write_routes(&mut document, &said.plan, plan);
    write_services(&mut document, &said, plan)?;
    let saved = document.to_string();
    let config = config::parse(name, &saved, limits)?;
    match first_difference(&config.plan, plan) {
        None => Ok(saved),
        Some(what) => Err(SaveError::Differs(what)),
    }
}

/// The difference that is left between the plan and the file, if any. Health and properties of ports are not in the
/// file.
fn first_difference(file: &Plan, plan: &Plan) -> Option<String> {
    let mut services = plan.services.clone();
    services
        .iter_mut()
        .flat_map(|service| &mut service.servers)
        .for_each(|server| server.health = Health::Up);
    let same_ports = file
        .ports
        .iter()
        .map(|port| (&port.name, &port.addresses, port.mtu))
        .eq(plan.ports.iter().map(|port| (&port.name, &port.addresses, port.mtu)));
    let differs = [
        ("services", file.services != services),
        ("routes", file.routes != plan.routes),
        ("ports", !same_ports),
        ("vips", file.vips != plan.vips),
        ("tunnel", file.tunnel_local != plan.tunnel_local),
        ("workers", file.verify_checksums != plan.verify_checksums),
    ];
    differs.iter().find(|(_, differs)| *differs).map(|(what, _)| format!("{what} would differ"))
}

fn write_routes(document: &mut DocumentMut, said: &Plan, plan: &Plan) {
    if said.routes == plan.routes {
        return;
    }
    let old = tables(document, "routes");
    let mut routes = ArrayOfTables::new();
    for route in &plan.routes {
        let kept = said.routes.iter().position(|other| other == route).and_then(|at| old.get(at).cloned());
        routes.push(kept.unwrap_or_else(|| {
            let mut table = Table::new();
            let to = if route.to.prefix_len() == 0 { "default".to_owned() } else { route.to.to_string() };
            table.insert("to", value(to));
            table.insert("via", value(route.via.to_string()));
            table
        }));
    }
    put(document, "routes", routes);
}

fn write_services(document: &mut DocumentMut, said: &Config, plan: &Plan) -> Result<(), SaveError> {
    let old = tables(document, "services");
    let mut services = ArrayOfTables::new();
    let mut changed = said.plan.services.len() != plan.services.len();
    for (place, service) in plan.services.iter().enumerate() {
        let at = said.plan.services.iter().position(|other| other.key() == service.key());
        changed |= at != Some(place);
        let mut table = at.and_then(|at| old.get(at).cloned()).unwrap_or_default();
        match at {
            Some(at) => changed |= write_service(&mut table, Some(&said.plan.services[at]), service, said)?,
            None => {
                write_service(&mut table, None, service, said)?;
            }
        }
        services.push(table);
    }
    if changed {
        put(document, "services", services);
    }
    Ok(())
}

/// Writes what is different of a service. Whether anything was.
fn write_service(
    table: &mut Table,
    said: Option<&ServicePlan>,
    service: &ServicePlan,
    file: &Config,
) -> Result<bool, SaveError> {
    // What a file says nothing about is the default.
    let default =
        ServicePlan { timeouts: file.timeouts, ..ServicePlan::new("", service.key(), service.method) };
    let before = (said.unwrap_or(&default), said.is_none());
    let changed = write_options(table, ServicePlan::OPTIONS, before, service);
    Ok(write_servers(table, said, service)? || changed)
}

/// Writes the options that are different from `before`, and of something new also what is required. Whether there are
/// any.
fn write_options<P>(
    table: &mut dyn TableLike,
    options: &'static [Opt<P>],
    (before, is_new): (&P, bool),
    after: &P,
) -> bool {
    let mut changed = false;
    for option in options.iter().filter(|option| option.field.is_in_file()) {
        let value = (option.get)(after);
        if (option.get)(before) == value && !(is_new && option.field.is_required) {
            continue;
        }
        match value {
            Some(value) => assign(table, option.field.key, written(&value)),
            None => drop(table.remove(option.field.key)),
        }
        changed = true;
    }
    changed
}

/// A value as the file's editor has it.
fn written(value: &option::Value) -> Value {
    match value {
        option::Value::Flag(flag) => (*flag).into(),
        option::Value::Number(number) => i64::try_from(*number).unwrap_or(i64::MAX).into(),
        option::Value::Text(_)
        | option::Value::Duration(_)
        | option::Value::Address(_)
        | option::Value::Endpoint(_) => value.plain().into(),
        option::Value::List(values) => Array::from_iter(values.iter().map(written)).into(),
        option::Value::Table(pairs) => {
            InlineTable::from_iter(pairs.iter().map(|(key, value)| (*key, written(value)))).into()
        }
    }
}

fn write_servers(
    table: &mut Table,
    said: Option<&ServicePlan>,
    service: &ServicePlan,
) -> Result<bool, SaveError> {
    let before: &[ServerPlan] = said.map_or(&[], |said| &said.servers);
    let at = |server: &ServerPlan| before.iter().position(|other| other.endpoint() == server.endpoint());
    let alike = |server: &ServerPlan| {
        at(server).is_some_and(|at| (before[at].weight, before[at].admin) == (server.weight, server.admin))
    };
    let same_order = service.servers.iter().map(at).eq((0..before.len()).map(Some));
    if same_order && service.servers.iter().all(alike) {
        return Ok(false);
    }
    match table.get_mut("servers") {
        Some(Item::Value(Value::Array(array))) => {
            let old = array.clone();
            let mut servers = Array::new();
            servers.set_trailing(old.trailing().clone());
            servers.set_trailing_comma(old.trailing_comma());
            for server in &service.servers {
                let kept = at(server).and_then(|at| old.get(at).cloned());
                let mut one = kept.unwrap_or_else(|| {
                    let mut one = Value::from(InlineTable::new());
                    if let Some(last) = old.iter().last() {
                        *one.decor_mut() = last.decor().clone();
                    }
                    one
                });
                let Some(inline) = one.as_inline_table_mut() else {
                    return Err(SaveError::Differs("a server is not written as a table".to_owned()));
                };
                write_server(inline, at(server).map(|at| &before[at]), service, server);
                servers.push_formatted(one);
            }
            *array = servers;
        }
        _ => {
            let old = table.get("servers").and_then(Item::as_array_of_tables).cloned().unwrap_or_default();
            let mut servers = ArrayOfTables::new();
            for server in &service.servers {
                let mut one = at(server).and_then(|at| old.get(at).cloned()).unwrap_or_default();
                write_server(&mut one, at(server).map(|at| &before[at]), service, server);
                servers.push(one);
            }
            table.insert("servers", Item::ArrayOfTables(servers));
        }
    }
    Ok(true)
}

/// Writes what is different of a server.
fn write_server(
    table: &mut dyn TableLike,
    said: Option<&ServerPlan>,
    service: &ServicePlan,
    server: &ServerPlan,
) {
    let default = ServerPlan::new(server.address, service.port, 1);
    let before = (said.unwrap_or(&default), said.is_none());
    write_options(table, ServerPlan::OPTIONS, before, server);
}

/// Changes a value and keeps what stands around it.
fn assign(table: &mut dyn TableLike, key: &str, mut to: Value) {
    if let Some(old) = table.get(key).and_then(Item::as_value) {
        *to.decor_mut() = old.decor().clone();
    }
    table.insert(key, Item::Value(to));
}

/// The tables of an array, however it is written.
fn tables(document: &DocumentMut, key: &str) -> Vec<Table> {
    match document.get(key) {
        Some(Item::ArrayOfTables(tables)) => tables.iter().cloned().collect(),
        Some(Item::Value(Value::Array(array))) => {
            let inline = array.iter().filter_map(Value::as_inline_table);
            inline.map(|table| table.clone().into_table()).collect()
        }
        _ => Vec::new(),
    }
}

fn put(document: &mut DocumentMut, key: &str, tables: ArrayOfTables) {
    if tables.is_empty() {
        document.remove(key);
    } else {
        document.insert(key, Item::ArrayOfTables(tables));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::service::plan::{Admin, SchedulerKind};

    const FILE: &str = r#"# The main director.
[[ports]]
name = "wan"   # towards the world
device = "net_null0"
addresses = ["192.0.2.1/24"]

[[ports]]
name = "lan"
device = "net_null1"
addresses = ["198.51.100.1/24"]

# The shop.
[[services]]
name = "shop"
vip = "192.0.2.100"
port = 80
protocol = "tcp"
method = "nat"
scheduler = "rr"  # until Monday

# The old one.
[[services.servers]]
address = "198.51.100.11"
weight = 2  # it is slow

[[services.servers]]
address = "198.51.100.12"
port = 8080

[[services]]
name = "dns"
vip = "192.0.2.100"
port = 53
protocol = "udp"
method = "nat"
servers = [
    { address = "198.51.100.11" }, # north
    { address = "198.51.100.12" }, # south
]
"#;

    const LIMITS: Limits = Limits { workers: 1, available_bytes: u64::MAX };

    fn saved(edit: impl FnOnce(&mut Plan)) -> Result<String, SaveError> {
        let mut plan = config::parse("lb.toml", FILE, LIMITS).expect("sound").plan;
        edit(&mut plan);
        rewrite("lb.toml", FILE, &plan, LIMITS)
    }

    #[test]
    fn what_is_the_same_is_not_touched() {
        assert_eq!(saved(|_| {}).unwrap(), FILE);
        let health = saved(|plan| plan.services[0].servers[0].health = Health::Down);
        assert_eq!(health.unwrap(), FILE, "health is not the file's affair");
    }

    #[test]
    fn a_weight_is_changed_and_its_comment_stays() {
        let text = saved(|plan| plan.services[0].servers[0].weight = 5).unwrap();
        assert_eq!(text, FILE.replace("weight = 2  # it", "weight = 5  # it"));
        let text = saved(|plan| plan.services[0].scheduler = SchedulerKind::Wlc).unwrap();
        assert_eq!(text, FILE.replace("\"rr\"  #", "\"wlc\"  #"));
    }

    #[test]
    fn servers_come_and_go_in_either_way_of_writing() {
        let text = saved(|plan| {
            plan.services[0].servers.remove(0);
            plan.services[0].servers[0].admin = Admin::Draining;
            plan.services[1].servers.push(ServerPlan::new([198, 51, 100, 13].into(), 53, 1));
        });
        let text = text.unwrap();
        assert!(!text.contains("# The old one.") && text.contains("# north"), "{text}");
        assert!(text.contains("address = \"198.51.100.12\"\nport = 8080\nstate = \"drain\"\n"), "{text}");
        assert!(text.contains("{ address = \"198.51.100.13\" }"), "{text}");
    }

    #[test]
    fn services_and_routes_come_and_go() {
        let text = saved(|plan| {
            let mut service = plan.services[0].clone();
            service.name = "new".to_owned();
            service.port = 8081;
            plan.services.push(service);
            plan.services.remove(0);
            let via = [192, 0, 2, 254].into();
            plan.routes.push(lb_core::service::plan::RoutePlan { to: "0.0.0.0/0".parse().unwrap(), via });
        });
        let text = text.unwrap();
        assert!(text.starts_with("# The main director."), "{text}");
        assert!(!text.contains("shop\"") && text.contains("name = \"new\""), "{text}");
        assert!(text.contains("[[routes]]\nto = \"default\"\nvia = \"192.0.2.254\""), "{text}");
    }

    #[test]
    fn what_the_file_cannot_say_is_refused() {
        let error = saved(|plan| plan.ports[0].mtu = 9_000).unwrap_err();
        assert!(matches!(error, SaveError::Differs(_)), "{error}");
    }
}
