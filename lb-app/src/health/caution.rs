//! What of a configuration's checks this machine may not do: said before they fail, at the start, by `--check`, by the
//! doctor and at a reload.

use super::{
    attached::Attached,
    capability::{self, Capabilities},
};
use crate::config::health::{Check, Health, Kind, Leave, Via};
use lb_core::service::plan::{Plan, ServerPlan};
use nix::unistd::{User, geteuid};
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
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
    is_attached: &'a dyn Fn(IpAddr) -> bool,
    may: Capabilities,
    own: String,
}

/// What may go wrong with a plan's checks here.
pub(crate) fn cautions(health: &Health, plan: &Plan) -> Vec<Caution> {
    let attached = Attached::default();
    let may = Capabilities::effective();
    let own = User::from_uid(geteuid()).ok().flatten().map(|user| user.name).unwrap_or_default();
    // The kernel is on the networks of ports with a host side, too, once the director runs.
    let by_port = |address: IpAddr| {
        let interfaces = plan.host_ports.iter().flat_map(|port| plan.interfaces_of(*port));
        let untagged = interfaces.filter(|interface| interface.tags.is_empty());
        untagged.flat_map(|interface| &interface.addresses).any(|net| net.contains(&address))
    };
    let is_attached = |address: IpAddr| by_port(address) || attached.has(address);
    Machine { is_attached: &is_attached, may, own }.cautions(health, plan)
}

impl Machine<'_> {
    fn cautions(&self, health: &Health, plan: &Plan) -> Vec<Caution> {
        let settings = health.by_service();
        let mut cautions = Vec::new();
        for service in &plan.services {
            let Some(health) = settings.get(&service.key()) else { continue };
            let checked: Vec<(SocketAddr, &Check)> = service
                .servers
                .iter()
                .map(ServerPlan::endpoint)
                .filter_map(|server| Some((server, health.check_of(server)?.as_ref())))
                .collect();
            cautions.extend(self.ways(&service.name, &checked));
            cautions.extend(self.needs(&service.name, &checked));
        }
        cautions
    }

    /// Checks that leave by the kernel, although it is not where the servers are.
    fn ways(&self, name: &str, checked: &[(SocketAddr, &Check)]) -> Vec<Caution> {
        let elsewhere = |is_one: fn(&Check) -> bool| {
            let those =
                checked.iter().filter(|(server, check)| is_one(check) && !(self.is_attached)(server.ip()));
            Some(Servers(those.map(|(server, _)| *server).collect())).filter(|those| !those.0.is_empty())
        };
        let by_kernel = elsewhere(|check| {
            let only_via = Leave { via: Via::Kernel, ..Leave::default() };
            let has_way = check.to_vip || check.address.is_some() || check.leave != only_via;
            !has_way && !matches!(check.kind, Kind::Command(_))
        });
        let by_program =
            elsewhere(|check| matches!(check.kind, Kind::Command(_)) && check.leave.netns.is_none());
        let mut cautions = Vec::new();
        if let Some(servers) = by_kernel {
            cautions.push(Caution {
                text: format!(
                    "service {name}: checks of {servers} leave by the kernel, which has no address on that network, and \
                     fail unless its routes lead there"
                ),
                remedy: "leave out `via`, or give `via = \"ports\"`".to_owned(),
            });
        }
        if let Some(servers) = by_program {
            cautions.push(Caution {
                text: format!(
                    "service {name}: the program that checks {servers} runs in the kernel's network, which has no \
                     address on theirs, and cannot ask them unless routes lead there"
                ),
                remedy: "use another type of check, or give `netns`".to_owned(),
            });
        }
        cautions
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

    fn said(lines: &str, attached: bool, may: Capabilities) -> Vec<String> {
        said_of(&service(lines), attached, may)
    }

    fn said_of(config: &Config, attached: bool, may: Capabilities) -> Vec<String> {
        let machine = Machine { is_attached: &|_| attached, may, own: "root".to_owned() };
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
        assert_eq!(
            said(&check("type = \"tcp\", via = \"kernel\""), false, all),
            [
                "service web: checks of 192.0.2.11:80 and 1 more leave by the kernel, which has no address on that network, \
              and fail unless its routes lead there: leave out `via`, or give `via = \"ports\"`"
            ]
        );
        let program = check("type = \"command\", command = [\"/bin/true\"]");
        assert_eq!(
            said(&program, false, all),
            [
                "service web: the program that checks 192.0.2.11:80 and 1 more runs in the kernel's network, which has no \
              address on theirs, and cannot ask them unless routes lead there: use another type of check, or give \
              `netns`"
            ]
        );
        for fine in
            ["", ", via = \"ports\"", ", netns = \"management\"", ", via = \"kernel\", device = \"eth0\""]
        {
            assert!(said(&check(&format!("type = \"tcp\"{fine}")), false, all).is_empty(), "{fine}");
        }
        assert!(said(&check("type = \"tcp\", via = \"kernel\""), true, all).is_empty());
        assert!(said(&program, true, all).is_empty());
        let v6 = "servers = [{ address = \"2001:db8::11\" }]\ncheck = { type = \"tcp\", via = \"kernel\" }\n";
        let v6 = service_at("2001:db8::100", v6);
        let text = "service web: checks of [2001:db8::11]:80 leave by the kernel, which has no address";
        assert!(said_of(&v6, false, all)[0].starts_with(text));
        assert!(said_of(&v6, true, all).is_empty());
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
