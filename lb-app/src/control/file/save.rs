//! Writing what runs back into the configuration file. Only what is different is touched, so comments, order and the
//! operator's way of writing stay.
//!
//! Nothing is written that does not read back as exactly what runs, and the file is replaced in one step.

use super::{
    replace::replace,
    rewrite::{RewriteError, write},
};
use crate::{
    config::{self, Config, Limits, report::Report},
    control::{edit::sorry::without_sorry_servers, live::running::Running},
};
use lb_core::service::plan::{InterfacePlan, Mac, Plan};
use std::{
    collections::HashMap,
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt, fchown},
    sync::Arc,
};
use thiserror::Error;

/// Why nothing was saved.
#[derive(Debug, Error)]
pub(crate) enum SaveError {
    #[error("{0}")]
    File(std::io::Error),
    /// The file was changed into something that is wrong.
    #[error("the file has errors and was not changed: {0}")]
    Config(#[from] Report),
    #[error("the file is not valid TOML and was not changed: {0}")]
    Toml(#[from] toml_edit::TomlError),
    /// The file differs in something that a running director cannot change, or is written in a way that cannot be kept.
    #[error("the running configuration cannot be written to the file, which was not changed: {0}")]
    Differs(String),
}

impl From<RewriteError> for SaveError {
    fn from(error: RewriteError) -> Self {
        match error {
            RewriteError::Toml(error) => SaveError::Toml(error),
            RewriteError::NoTable(what) => SaveError::Differs(format!("{what} is not written as a table")),
        }
    }
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
            let before = fs::metadata(&self.path).map_err(SaveError::File)?;
            replace(&self.path, before.permissions().mode() & 0o7777, |mut file| {
                // Whoever could read and write it still can, whatever the process's umask; its owner only if we may.
                let _ = fchown(file, Some(before.uid()), Some(before.gid()));
                file.set_permissions(before.permissions())?;
                file.write_all(saved.as_bytes())
            })
            .map_err(SaveError::File)?;
        }
        // From now on the file says so, and a reload sees what is changed in it after that.
        let mut config = Config { plan, ..(*current.config).clone() };
        forget_checks(&mut config);
        self.current.write().config = Arc::new(config);
        Ok(saved != text)
    }
}

/// How often what was written is read again, at most: some keys decide about others.
const ROUNDS: usize = 4;

/// The file's text, with every difference changed to the plan's value.
pub(in crate::control) fn rewrite(
    name: &str,
    text: &str,
    plan: &Plan,
    limits: Limits,
) -> Result<String, SaveError> {
    let plan = plan.without_health();
    let mut text = text.to_owned();
    for _ in 0..ROUNDS {
        let said = config::parse(name, &text, limits)?.plan;
        if first_difference(&said, &plan).is_none() {
            return Ok(text);
        }
        text = write(&text, &said, &plan)?;
    }
    let said = config::parse(name, &text, limits)?.plan;
    first_difference(&said, &plan).map_or(Ok(text), |what| Err(SaveError::Differs(what)))
}

/// The difference that is left between the plan and the file, if any. What ports turn out to be is not in the file.
pub(in crate::control) fn first_difference(file: &Plan, plan: &Plan) -> Option<String> {
    let known = |plan: &Plan| -> Vec<InterfacePlan> {
        let interfaces = plan.interfaces.iter().cloned();
        interfaces.map(|interface| InterfacePlan { mac: Mac::default(), ..interface }).collect()
    };
    let differs = [
        ("services", file.services != plan.services),
        ("timeouts", file.timeouts != plan.timeouts),
        ("routes", file.routes != plan.routes),
        ("ports", known(file) != known(plan)),
        ("vips", file.vips != plan.vips),
        ("tunnel", file.tunnel_local != plan.tunnel_local),
        ("workers", file.verify_checksums != plan.verify_checksums),
    ];
    differs.iter().find(|(_, differs)| *differs).map(|(what, _)| format!("{what} would differ"))
}

/// Checks of services and servers that are gone are gone with them, as in the file.
fn forget_checks(config: &mut Config) {
    let services: HashMap<_, _> =
        config.plan.services.iter().map(|service| (service.key(), service)).collect();
    config.health.services.retain_mut(|health| {
        let service = services.get(&health.key);
        health.own.retain(|(server, _)| service.is_some_and(|service| service.server(*server).is_some()));
        service.is_some()
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::{
        conn::state::State,
        service::plan::{Admin, Health, Method, SchedulerKind, ServerPlan, ServicePlan},
        time::Duration,
    };

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
    fn descriptions_come_and_go() {
        let text = saved(|plan| {
            plan.services[0].description = "the \"old\" shop".to_owned();
            plan.services[1].servers[0].description = "rack 7".to_owned();
        });
        let text = text.unwrap();
        assert!(text.contains("# until Monday\ndescription = 'the \"old\" shop'\n"), "{text}");
        assert!(
            text.contains("{ address = \"198.51.100.11\", description = \"rack 7\" }, # north"),
            "{text}"
        );
    }

    #[test]
    fn servers_come_and_go_in_either_way_of_writing() {
        let text = saved(|plan| {
            plan.services[0].servers.remove(0);
            plan.services[0].servers[0].admin = Admin::Draining;
            plan.services[1].servers.push(ServerPlan::new([198, 51, 100, 13], 53, 1));
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
    fn what_was_set_is_written_and_nothing_else() {
        let udp = State::Udp;
        let text = saved(|plan| plan.services[0].timeouts.set(udp, Duration::from_secs(9))).unwrap();
        let line = "scheduler = \"rr\"  # until Monday\n";
        assert_eq!(text, FILE.replace(line, &format!("{line}timeouts = {{ udp = \"9s\" }}\n")));
        // A key that others follow says nothing of them.
        let text =
            saved(|plan| plan.services[0].timeouts.set(State::FinWait, Duration::from_secs(9))).unwrap();
        let pairs = "fin = \"9s\", time_wait = \"1m\", close_wait = \"1m\"";
        assert!(text.contains(&format!("timeouts = {{ {pairs} }}")), "{text}");
        // What was set for all is said once.
        let text = saved(|plan| {
            plan.timeouts.set(udp, Duration::from_secs(9));
            plan.services.iter_mut().for_each(|service| service.timeouts.set(udp, Duration::from_secs(9)));
        });
        let text = text.unwrap();
        assert_eq!(text.replace("\n[timeouts]\nudp = \"9s\"\n", ""), FILE);
    }

    #[test]
    fn a_vip_comes_and_goes_with_its_services() {
        let text = saved(|plan| {
            let key = "tcp 192.0.2.200:443".parse().unwrap();
            plan.services.push(ServicePlan::new("new", key, Method::Nat));
        });
        let new = "\n[[services]]\nname = \"new\"\nvip = \"192.0.2.200\"\nport = 443\nprotocol = \"tcp\"\n\
                   method = \"nat\"\n";
        assert_eq!(text.unwrap(), format!("{FILE}{new}"));
        let text = saved(|plan| plan.services.clear()).unwrap();
        assert_eq!(text, FILE[..FILE.find("\n# The shop.").unwrap()]);
    }

    #[test]
    fn a_service_that_was_deleted_and_added_again_comes_last() {
        let text = saved(|plan| {
            let first = plan.services.remove(0);
            plan.services.push(first);
            plan.services[1].servers.rotate_left(1);
        });
        let text = text.unwrap();
        let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}: {text}"));
        assert!(place("name = \"dns\"") < place("# The shop."), "{text}");
        assert!(place("port = 8080") < place("# The old one."), "{text}");
    }

    #[test]
    fn what_the_file_cannot_say_is_refused() {
        let error = saved(|plan| plan.interfaces[0].mtu = 9_000).unwrap_err();
        assert!(matches!(error, SaveError::Differs(_)), "{error}");
    }
}
