//! Writing what runs back into the configuration file. Only what is different is touched, so comments, order and the
//! operator's way of writing stay.
//!
//! Nothing is written that does not read back as exactly what runs, and a file is replaced in one step. What an included
//! file says is changed there; what is new goes to the file that was named.

use super::{
    replace::replace,
    rewrite::{RewriteError, write},
    share::{shares, whole},
};
use crate::{
    config::{
        self, Config, Limits,
        report::Report,
        source::{Source, Sources},
    },
    control::{edit::sorry::without_sorry_servers, live::running::Running},
};
use lb_core::service::plan::{InterfacePlan, Mac, Plan};
use std::{
    collections::HashMap,
    fs,
    io::{self, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, fchown},
    sync::Arc,
};
use thiserror::Error;

/// Why nothing was saved.
#[derive(Debug, Error)]
pub(crate) enum SaveError {
    #[error("{0}: {1}")]
    File(String, io::Error),
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
        let sources = config::read(&self.path)?;
        // A sorry server that is in use at the moment is not part of the configuration.
        let plan = without_sorry_servers(&current.plan, &current.config);
        let saved = rewrite(&sources, &plan, limits)?;
        for (_, saved) in sources.files().iter().zip(saved.files()).filter(|(before, saved)| before != saved)
        {
            write_file(saved).map_err(|error| SaveError::File(saved.path.display().to_string(), error))?;
        }
        // From now on the file says so, and a reload sees what is changed in it after that.
        let mut config = Config { plan, sha256: saved.sha256(), ..(*current.config).clone() };
        forget_checks(&mut config);
        self.current.write().config = Arc::new(config);
        Ok(saved != sources)
    }
}

/// Replaces a file that there is.
fn write_file(Source { path, text }: &Source) -> io::Result<()> {
    let before = fs::metadata(path)?;
    replace(path, before.permissions().mode() & 0o7777, |mut file| {
        // Whoever could read and write it still can, whatever the process's umask; its owner only if we may.
        let _ = fchown(file, Some(before.uid()), Some(before.gid()));
        file.set_permissions(before.permissions())?;
        file.write_all(text.as_bytes())
    })
}

/// How often what was written is read again, at most: some keys decide about others.
const ROUNDS: usize = 4;

/// The files' texts, with every difference changed to the plan's value.
pub(in crate::control) fn rewrite(
    sources: &Sources,
    plan: &Plan,
    limits: Limits,
) -> Result<Sources, SaveError> {
    let plan = plan.without_health();
    let mut sources = sources.clone();
    for _ in 0..ROUNDS {
        let said = config::check(&sources, limits)?.plan;
        let shares = shares(&sources, &said, &plan)?;
        if first_difference(&said, &whole(&plan, &shares)).is_none() {
            return Ok(sources);
        }
        let with_timeouts = shares.iter().position(|share| share.has_timeouts).unwrap_or(0);
        for (number, (source, share)) in sources.files_mut().iter_mut().zip(&shares).enumerate() {
            // Timeouts are written first, since those of services follow from them.
            let is_next = said.timeouts == plan.timeouts || number == with_timeouts;
            if is_next && first_difference(&share.said, &share.wanted).is_some() {
                source.text = write(&source.text, &share.said, &share.wanted)?;
            }
        }
    }
    let said = config::check(&sources, limits)?.plan;
    let wanted = whole(&plan, &shares(&sources, &said, &plan)?);
    first_difference(&said, &wanted).map_or(Ok(sources), |what| Err(SaveError::Differs(what)))
}

/// The difference that is left between the plan and the file, if any. What ports turn out to be is not in the file.
pub(in crate::control) fn first_difference(file: &Plan, plan: &Plan) -> Option<String> {
    let known = |plan: &Plan| -> Vec<InterfacePlan> {
        let interfaces = plan.interfaces.iter().cloned();
        interfaces.map(|interface| InterfacePlan { mac: Mac::default(), ..interface }).collect()
    };
    let differs = [
        ("services", file.services != plan.services),
        ("director", file.director != plan.director),
        ("timeouts", file.timeouts != plan.timeouts),
        ("routes", file.routes != plan.routes),
        ("ports", known(file) != known(plan)),
        ("vips", file.vips != plan.vips),
        ("snat", file.snat != plan.snat),
        ("tunnel", file.tunnel_local != plan.tunnel_local),
        ("tunnel", file.tunnel_sources != plan.tunnel_sources),
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
        for own in [&mut health.own, &mut health.own_agents] {
            own.retain(|(server, _)| service.is_some_and(|service| service.server(*server).is_some()));
        }
        service.is_some()
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::{
        conn::state::State,
        service::plan::{Admin, Health, Method, Role, SchedulerKind, ServerPlan, ServicePlan},
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
        rewrite(&Sources::new("lb.toml", FILE), &plan, LIMITS).map(|saved| saved.files()[0].text.clone())
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
    fn a_role_is_written_where_none_was() {
        let text = saved(|plan| plan.director.role = Role::Standby).unwrap();
        assert_eq!(text, format!("{FILE}\n[director]\nrole = \"standby\"\n"));
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
            plan.routes.push(lb_core::service::plan::RoutePlan::new("0.0.0.0/0".parse().unwrap(), via));
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
    fn each_file_keeps_what_it_says_and_the_first_gets_what_is_new() {
        let (main, services) = FILE.split_at(FILE.find("\n# The shop.").unwrap());
        let (shop, dns) = services.split_at(services.find("\n[[services]]\nname = \"dns\"").unwrap());
        let dns = format!("{dns}\n[timeouts]\nsyn = \"9s\"\n");
        let mut sources = Sources::new("lb.toml", main);
        for (path, text) in [("shop.toml", shop), ("dns.toml", &*dns)] {
            sources.push(Source { path: path.into(), text: text.to_owned() });
        }
        let read = |sources: &Sources| config::check(sources, LIMITS).expect("sound").plan;
        let mut plan = read(&sources);
        let saved = |plan: &Plan| rewrite(&sources, plan, LIMITS).unwrap();
        assert_eq!(saved(&plan), sources);
        plan.services[0].servers[0].weight = 5;
        plan.timeouts.set(State::Udp, Duration::from_secs(7));
        plan.services.iter_mut().for_each(|service| service.timeouts.set(State::Udp, Duration::from_secs(7)));
        plan.services.reverse();
        let key = "tcp 192.0.2.200:443".parse().unwrap();
        plan.services
            .insert(0, ServicePlan { timeouts: plan.timeouts, ..ServicePlan::new("new", key, Method::Nat) });
        let after = saved(&plan);
        let [new, shop, dns] = after.files() else { panic!("{after:?}") };
        assert_eq!(new.text.matches("[[services]]").count(), 1, "{}", new.text);
        assert!(new.text.starts_with(main) && new.text.contains("name = \"new\""), "{}", new.text);
        assert_eq!(shop.text, sources.files()[1].text.replace("weight = 2  # it", "weight = 5  # it"));
        assert_eq!(dns.text, format!("{}udp = \"7s\"\n", sources.files()[2].text));
        // Services are gone from the file that had them, which may be all of it.
        plan.services.retain(|service| service.name == "dns");
        let after = saved(&plan);
        assert!(!after.files()[1].text.contains("[[services]]"), "{after:?}");
        assert_eq!(read(&after).services, plan.services);
    }

    #[test]
    fn what_the_file_cannot_say_is_refused() {
        let error = saved(|plan| plan.interfaces[0].mtu = 9_000).unwrap_err();
        assert!(matches!(error, SaveError::Differs(_)), "{error}");
    }
}
