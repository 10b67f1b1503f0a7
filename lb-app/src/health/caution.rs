//! What of a configuration's checks this machine may not do: said before they fail, at the start, by `--check`, by the
//! doctor and at a reload.

use super::{
    attached::Attached,
    capability::{self, Capabilities},
    routes::{Lead, Routes},
};
use crate::config::health::{Check, Health, Kind, Leave, Via};
use lb_core::service::plan::{Plan, ServerPlan, ServicePlan};
use nix::unistd::{User, geteuid};
use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, SocketAddr},
    path::Path,
};

/// What a key of a check takes: the capabilities with their names, and what happens without the first that is missing.
struct Need {
    key: &'static str,
    /// What it makes of the check, with its value.
    what: fn(&Check, &str) -> Option<String>,
    takes: &'static [(u8, &'static str, &'static str)],
}

const NEEDS: [Need; 3] = [
    Need {
        key: "user",
        what: |check, own| match &check.kind {
            Kind::Command(command) => {
                let user = command.user.as_deref().filter(|user| *user != own)?;
                Some(format!("runs a program as {user}"))
            }
            _ => None,
        },
        takes: &[
            (capability::SETUID, "CAP_SETUID", "it does not start"),
            (capability::SETGID, "CAP_SETGID", "it does not start"),
            (capability::KILL, "CAP_KILL", "it cannot be killed when it takes too long"),
        ],
    },
    Need {
        key: "netns",
        what: |check, _| Some(format!("leaves from network namespace {}", check.leave.netns.as_ref()?)),
        takes: &[(capability::SYS_ADMIN, "CAP_SYS_ADMIN", "it fails")],
    },
    Need {
        key: "mark",
        what: |check, _| Some(format!("has mark {}", check.leave.mark?)),
        takes: &[(capability::NET_ADMIN, "CAP_NET_ADMIN", "it fails")],
    },
];

/// One sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caution {
    pub(crate) text: String,
    /// What to do about it.
    pub(crate) remedy: String,
}

/// A machine, as far as checks depend on it.
struct Machine<'a> {
    /// Whether the kernel has an address on the network of that one.
    is_attached: &'a dyn Fn(IpAddr) -> bool,
    /// Where the kernel's routes lead.
    lead: &'a dyn Fn(IpAddr) -> Lead,
    exists: &'a dyn Fn(&Path) -> bool,
    may: Capabilities,
    own: String,
}

/// What may go wrong with a plan's checks here.
pub(crate) fn cautions(health: &Health, plan: &Plan) -> Vec<Caution> {
    let attached = Attached::default();
    let may = Capabilities::effective();
    let own = User::from_uid(geteuid()).ok().flatten().map(|user| user.name).unwrap_or_default();
    let is_attached = |address: IpAddr| is_on_host_side(plan, address) || attached.has(address);
    // There may be very many of them, and mostly nobody asks.
    let routes = OnceCell::new();
    let lead = |address: IpAddr| routes.get_or_init(|| Routes::of(Path::new("/"))).lead(address);
    Machine { is_attached: &is_attached, lead: &lead, exists: &|path| path.exists(), may, own }
        .cautions(health, plan)
}

/// Whether the kernel is on the network of that address by a port's host side, once the director runs.
pub(crate) fn is_on_host_side(plan: &Plan, address: IpAddr) -> bool {
    let interfaces = plan.host_ports.iter().flat_map(|port| plan.interfaces_of(*port));
    let untagged = interfaces.filter(|interface| interface.tags.is_empty());
    untagged.flat_map(|interface| &interface.addresses).any(|net| net.contains(&address))
}

impl Machine<'_> {
    fn cautions(&self, health: &Health, plan: &Plan) -> Vec<Caution> {
        let settings = health.by_service();
        let mut cautions = Vec::new();
        for service in &plan.services {
            let Some(health) = settings.get(&service.key()) else { continue };
            let checks = |server| [health.check_of(server), health.agent_of(server)].into_iter().flatten();
            let checked: Vec<(SocketAddr, &Check)> = service
                .servers
                .iter()
                .map(ServerPlan::endpoint)
                .flat_map(|server| checks(server).map(move |check| (server, check.as_ref())))
                .collect();
            cautions.extend(self.ways(&service.name, &checked));
            cautions.extend(self.own_ways(service, plan, &checked));
            cautions.extend(self.needs(&service.name, &checked));
            cautions.extend(self.files(&service.name, &checked));
        }
        cautions
    }

    /// Checks that leave by the kernel, although it is not where the servers are.
    fn ways(&self, name: &str, checked: &[(SocketAddr, &Check)]) -> Vec<Caution> {
        let elsewhere = |is_one: &dyn Fn(&Check) -> bool, lead: Lead| {
            let those = checked.iter().filter(|(server, check)| {
                let to = check.address.unwrap_or(server.ip());
                is_one(check) && !(self.is_attached)(to) && (self.lead)(to) == lead
            });
            Some(Servers(those.map(|(server, _)| *server).collect())).filter(|those| !those.0.is_empty())
        };
        let by_routes = |check: &Check| {
            let only_via = Leave { via: Via::Kernel, ..Leave::default() };
            !check.to_vip && check.leave == only_via && check.sends_packets()
        };
        let by_kernel = |check: &Check| by_routes(check) && check.address.is_none();
        let by_program =
            |check: &Check| matches!(check.kind, Kind::Command(_)) && check.leave.netns.is_none();
        let mut cautions = Vec::new();
        let mut say = |servers: Option<Servers>, remedy: &str, text: &dyn Fn(Servers) -> String| {
            cautions
                .extend(servers.map(|servers| Caution { text: text(servers), remedy: remedy.to_owned() }));
        };
        let remedy = "leave out `via`, or give `via = \"ports\"`";
        say(elsewhere(&by_kernel, Lead::Nowhere), remedy, &|servers| {
            format!(
                "service {name}: checks of {servers} leave by the kernel, which has no route there, and fail"
            )
        });
        say(elsewhere(&by_kernel, Lead::ThereByDefault), remedy, &|servers| {
            format!(
                "service {name}: checks of {servers} leave by the kernel, which has no address on that network, and \
                 fail unless its default route leads there"
            )
        });
        // Another address of the server's may well be behind the default route.
        for address in checked.iter().filter_map(|(_, check)| check.address).collect::<BTreeSet<_>>() {
            let goes_there =
                |(_, check): &&(SocketAddr, &Check)| by_routes(check) && check.address == Some(address);
            let those: Vec<_> = checked.iter().filter(goes_there).map(|(server, _)| *server).collect();
            let has_way = (self.is_attached)(address) || (self.lead)(address) != Lead::Nowhere;
            let stuck = Some(Servers(those)).filter(|those| !those.0.is_empty() && !has_way);
            say(stuck, "give the kernel a route there, or correct `address`", &|servers| {
                format!(
                    "service {name}: checks of {servers} go to {address} by the kernel, which has no route there, and fail"
                )
            });
        }
        let remedy = "use another type of check, or give `netns`, or the port that leads there a `host` side";
        say(elsewhere(&by_program, Lead::Nowhere), remedy, &|servers| {
            format!(
                "service {name}: the program that checks {servers} runs in the kernel's network, which has no route to \
                 theirs, and cannot ask them"
            )
        });
        say(elsewhere(&by_program, Lead::ThereByDefault), remedy, &|servers| {
            format!(
                "service {name}: the program that checks {servers} runs in the kernel's network, which has no \
                 address on theirs, and cannot ask them unless its default route leads there"
            )
        });
        cautions
    }

    /// Checks that would leave by the director's own ports, if it had an address to send them from.
    fn own_ways(
        &self,
        service: &ServicePlan,
        plan: &Plan,
        checked: &[(SocketAddr, &Check)],
    ) -> Option<Caution> {
        let vip = service.vip;
        let is_own = |family: IpAddr| {
            let mut own = plan.interfaces.iter().flat_map(|interface| &interface.addresses);
            own.any(|net| net.addr().is_ipv4() == family.is_ipv4())
        };
        let stuck = |(server, check): &&(SocketAddr, &Check)| {
            let server = server.ip();
            let to_vip = check.to_vip && !service.method.rewrites_endpoints();
            let peer = if to_vip { vip } else { server };
            let by_ports = match check.leave.via {
                Via::Kernel => false,
                _ if !check.sends_packets() => false,
                Via::Ports => true,
                Via::Auto if check.to_vip => to_vip,
                Via::Auto => !(self.is_attached)(server) && (self.lead)(server) == Lead::Nowhere,
            };
            by_ports && !is_own(peer)
        };
        let those: Vec<_> = checked.iter().filter(stuck).collect();
        let (_, first) = those.first()?;
        let family = if if first.to_vip { vip } else { those[0].0.ip() }.is_ipv4() { "IPv4" } else { "IPv6" };
        let servers = Servers(those.iter().map(|(server, _)| *server).collect());
        let kernel = if first.leave.via == Via::Auto && !first.to_vip {
            ", and the kernel has no route there"
        } else {
            ""
        };
        Some(Caution {
            text: format!(
                "service {}: checks of {servers} have no way and fail: no port has an {family} address to send them from{kernel}",
                service.name
            ),
            remedy: "add one to `addresses` of the port that leads there".to_owned(),
        })
    }

    /// Files that nobody has written yet, or whose names are mistyped: they hold 0, so nobody would notice.
    fn files(&self, name: &str, checked: &[(SocketAddr, &Check)]) -> Vec<Caution> {
        let missing = checked.iter().filter_map(|(server, check)| match &check.kind {
            Kind::File(file) if !(self.exists)(&file.path) => {
                Some((file.path.display().to_string(), *server))
            }
            _ => None,
        });
        let mut by_file: BTreeMap<String, Vec<SocketAddr>> = BTreeMap::new();
        missing.for_each(|(file, server)| by_file.entry(file).or_default().push(server));
        let cautions = by_file.into_iter().map(|(file, servers)| Caution {
            text: format!(
                "service {name}: {file}, which is read for {}, does not exist and holds 0",
                Servers(servers)
            ),
            remedy: "have it written, or correct `file`".to_owned(),
        });
        cautions.collect()
    }

    /// Checks that take capabilities which this process does not have.
    fn needs(&self, name: &str, checked: &[(SocketAddr, &Check)]) -> Vec<Caution> {
        let needs = NEEDS.iter().filter_map(|Need { key, what, takes }| {
            let missing: Vec<_> =
                takes.iter().filter(|(capability, ..)| !self.may.contains(*capability)).collect();
            let (_, _, consequence) = missing.first()?;
            let what = checked.iter().find_map(|(_, check)| what(check, &self.own))?;
            let names: Vec<&str> = missing.iter().map(|(_, name, _)| *name).collect();
            Some(Caution {
                text: format!(
                    "service {name}: its check {what}, and lb-app has no {}: {consequence}",
                    names.join(", no ")
                ),
                remedy: format!("give lb-app {}, or leave out `{key}`", names.join(" and ")),
            })
        });
        needs.collect()
    }
}

/// Servers in a sentence: the first, and how many more.
struct Servers(Vec<SocketAddr>);

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [] => f.write_str("none"),
            [one] => write!(f, "{one}"),
            [one, more @ ..] => write!(f, "{one} and {} more", more.len()),
        }
    }
}

impl fmt::Display for Caution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.text, self.remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{service, service_at},
        *,
    };
    use crate::config::Config;

    /// These capabilities, as the kernel writes them.
    fn having(bits: &str) -> Capabilities {
        Capabilities::in_status(&format!("CapEff:\t{bits}\n")).unwrap()
    }

    /// What is said where the kernel has an address on that network, or only routes that lead so far.
    fn said(lines: &str, attached: bool, may: Capabilities) -> Vec<String> {
        said_of(&service(lines), (attached, Lead::Nowhere), may)
    }

    fn said_of(config: &Config, (attached, lead): (bool, Lead), may: Capabilities) -> Vec<String> {
        let exists = |path: &Path| path.ends_with("written");
        let own = "root".to_owned();
        let machine = Machine { is_attached: &|_| attached, lead: &|_| lead, exists: &exists, may, own };
        machine.cautions(&config.health, &config.plan).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_check_by_a_kernel_that_is_elsewhere_is_warned_of() {
        let check = |rest: &str| {
            format!(
                "servers = [{{ address = \"192.0.2.11\" }}, {{ address = \"192.0.2.12\" }}]\ncheck = {{ {rest} }}\n"
            )
        };
        let all = Capabilities::ALL;
        let by_kernel = check("type = \"tcp\", via = \"kernel\"");
        let remedy = "leave out `via`, or give `via = \"ports\"`";
        assert_eq!(
            said(&by_kernel, false, all),
            [format!(
                "service web: checks of 192.0.2.11:80 and 1 more leave by the kernel, which has no route there, and fail: \
                 {remedy}"
            )]
        );
        let with = |lines: &str, lead| said_of(&service(lines), (false, lead), all);
        assert_eq!(
            with(&by_kernel, Lead::ThereByDefault),
            [format!(
                "service web: checks of 192.0.2.11:80 and 1 more leave by the kernel, which has no address on that \
                 network, and fail unless its default route leads there: {remedy}"
            )]
        );
        let program = check("type = \"command\", command = [\"/bin/true\"]");
        let remedy = "use another type of check, or give `netns`, or the port that leads there a `host` side";
        assert_eq!(
            said(&program, false, all),
            [format!(
                "service web: the program that checks 192.0.2.11:80 and 1 more runs in the kernel's network, which has \
                 no route to theirs, and cannot ask them: {remedy}"
            )]
        );
        assert_eq!(
            with(&program, Lead::ThereByDefault),
            [format!(
                "service web: the program that checks 192.0.2.11:80 and 1 more runs in the kernel's network, which has \
                 no address on theirs, and cannot ask them unless its default route leads there: {remedy}"
            )]
        );
        for routed in [&by_kernel, &program] {
            assert!(with(routed, Lead::ThereByRoute).is_empty(), "{routed}");
        }
        let elsewhere = check("type = \"tcp\", address = \"203.0.113.9\"");
        assert_eq!(
            said(&elsewhere, false, all),
            [
                "service web: checks of 192.0.2.11:80 and 1 more go to 203.0.113.9 by the kernel, which has no route there, and \
              fail: give the kernel a route there, or correct `address`"
            ]
        );
        assert!(with(&elsewhere, Lead::ThereByDefault).is_empty() && said(&elsewhere, true, all).is_empty());
        for fine in
            ["", ", via = \"ports\"", ", netns = \"management\"", ", via = \"kernel\", device = \"eth0\""]
        {
            assert!(said(&check(&format!("type = \"tcp\"{fine}")), false, all).is_empty(), "{fine}");
        }
        assert!(said(&by_kernel, true, all).is_empty());
        assert!(said(&program, true, all).is_empty());
        let v6 = "servers = [{ address = \"2001:db8::11\" }]\ncheck = { type = \"tcp\", via = \"kernel\" }\n";
        let v6 = service_at("2001:db8::100", v6);
        let text = "service web: checks of [2001:db8::11]:80 leave by the kernel, which has no route there";
        assert!(said_of(&v6, (false, Lead::Nowhere), all)[0].starts_with(text));
        assert!(said_of(&v6, (true, Lead::Nowhere), all).is_empty());
        // Of an agent it is said as well.
        let agent = "servers = [{ address = \"192.0.2.11\" }]\nagent = { type = \"tcp\", port = 1, via = \"kernel\" }\n";
        assert_eq!(said(agent, false, all).len(), 1);
    }

    #[test]
    fn a_check_without_any_way_is_warned_of() {
        let all = Capabilities::ALL;
        // The director has addresses of IPv4 only, and the server is behind a router of IPv6.
        let with = |check: &str, lead| {
            let lines = format!(
                "servers = [{{ address = \"2001:db8::11\" }}]\ncheck = {{ type = \"tcp\"{check} }}\n"
            );
            let mut config = service_at("2001:db8::100", &lines);
            config.plan.interfaces[0].addresses.retain(|net| net.addr().is_ipv4());
            said_of(&config, (false, lead), all)
        };
        let text = |kernel: &str| {
            format!(
                "service web: checks of [2001:db8::11]:80 have no way and fail: no port has an IPv6 address to send them \
                 from{kernel}: add one to `addresses` of the port that leads there"
            )
        };
        assert_eq!(with("", Lead::Nowhere), [text(", and the kernel has no route there")]);
        assert!(with("", Lead::ThereByDefault).is_empty(), "it leaves by the kernel");
        assert_eq!(with(", via = \"ports\"", Lead::ThereByRoute), [text("")]);
    }

    #[test]
    fn a_file_that_is_not_there_is_warned_of() {
        let files = |check: &str, agent: &str| {
            format!(
                "servers = [{{ address = \"192.0.2.11\" }}, {{ address = \"192.0.2.12\", agent = {{ type = \"none\" }} }}]\n\
                 check = {{ type = \"file\", file = \"/run/{check}\" }}\nagent = {{ type = \"file\", file = \"/run/{agent}\" }}\n"
            )
        };
        let said = |check: &str, agent: &str| said(&files(check, agent), false, Capabilities::ALL);
        assert!(said("written", "written").is_empty());
        let text = |what: &str| {
            format!("service web: {what}, does not exist and holds 0: have it written, or correct `file`")
        };
        assert_eq!(
            said("a", "b"),
            [
                text("/run/a, which is read for 192.0.2.11:80 and 1 more"),
                text("/run/b, which is read for 192.0.2.11:80")
            ]
        );
    }

    #[test]
    fn checks_that_take_what_we_may_not_are_warned_of() {
        let check = |user: &str| {
            format!(
                "servers = [{{ address = \"192.0.2.11\" }}]\n\
                 check = {{ type = \"command\", command = [\"/bin/true\"], user = \"{user}\" }}\n"
            )
        };
        assert_eq!(
            said(&check("nobody"), true, having("0")),
            [
                "service web: its check runs a program as nobody, and lb-app has no CAP_SETUID, no CAP_SETGID, no \
              CAP_KILL: it does not start: give lb-app CAP_SETUID and CAP_SETGID and CAP_KILL, or leave out `user`"
            ]
        );
        let some = having("c0"); // SETUID, SETGID
        assert_eq!(
            said(&check("nobody"), true, some),
            [
                "service web: its check runs a program as nobody, and lb-app has no CAP_KILL: it cannot be killed \
              when it takes too long: give lb-app CAP_KILL, or leave out `user`"
            ]
        );
        assert!(said(&check("root"), true, having("0")).is_empty(), "that is who we are");
        assert!(said(&check("nobody"), true, Capabilities::ALL).is_empty());
        let other = "servers = [{ address = \"192.0.2.11\" }]\ncheck = { type = \"tcp\", netns = \"mgmt\", mark = 7 }\n";
        assert_eq!(
            said(other, true, having("0")),
            [
                "service web: its check leaves from network namespace mgmt, and lb-app has no CAP_SYS_ADMIN: it fails: \
                 give lb-app CAP_SYS_ADMIN, or leave out `netns`",
                "service web: its check has mark 7, and lb-app has no CAP_NET_ADMIN: it fails: give lb-app \
                 CAP_NET_ADMIN, or leave out `mark`",
            ]
        );
    }
}
