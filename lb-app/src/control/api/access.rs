//! Who may ask for what: three roles, each of which may do what those below it may.

use crate::config::Control;
use lb_ctl::protocol::{
    Request, capture, connections, director, events, forward, health, host, interfaces, local_addresses,
    memory, neighbours, persistence, ports, routes, services, snat, sync, timeouts, trace, workers,
};
use std::fmt;

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Look, and change nothing.
    Reader,
    /// Also what is done in daily work: weights and states of servers, ends of connections, traces, reloads of a file that
    /// somebody else has written.
    Operator,
    /// Everything.
    Administrator,
}

impl Role {
    /// The key of `[control]` that gives it to a group.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Role::Reader => "readers",
            Role::Operator => "operators",
            Role::Administrator => "group",
        }
    }

    const ALL: [Role; 3] = [Role::Reader, Role::Operator, Role::Administrator];

    /// The group that has it, if one does.
    pub(crate) fn group(self, control: &Control) -> Option<&str> {
        match self {
            Role::Reader => control.readers.as_deref(),
            Role::Operator => control.operators.as_deref(),
            Role::Administrator => control.group.as_deref(),
        }
    }

    /// Who may do what takes this role, for messages: `root, and members of lb-ops or lb-admin`.
    pub(crate) fn holders(self, control: &Control) -> String {
        let groups: Vec<&str> =
            Role::ALL.iter().filter(|role| **role >= self).filter_map(|role| role.group(control)).collect();
        match groups[..] {
            [] => format!("root; set {} in [control] to a group to let its members", self.key()),
            _ => format!("root, and members of {}", groups.join(" or ")),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Role::Reader => "reader",
            Role::Operator => "operator",
            Role::Administrator => "administrator",
        })
    }
}

/// What a request takes. Without a word for "all others", so that a new request has to be thought about.
pub(super) fn needed(request: &Request) -> Role {
    match request {
        Request::Director(request) => match request {
            director::Request::About
            | director::Request::Announced
            | director::Request::Names
            | director::Request::Configuration => Role::Reader,
            director::Request::Reload { .. }
            | director::Request::Confirm
            | director::Request::Verbose { .. } => Role::Operator,
            director::Request::Start
            | director::Request::Stop
            | director::Request::Role { .. }
            | director::Request::Drain
            | director::Request::Quit
            | director::Request::Save => Role::Administrator,
        },
        Request::Services(request) => match request {
            services::Request::List { .. } => Role::Reader,
            services::Request::Clear { .. } => Role::Operator,
            services::Request::ChangeServer(change) => {
                // Its state and its weight are the daily work.
                let only_weight = change.options.iter().all(|(key, _)| key == "weight");
                if only_weight { Role::Operator } else { Role::Administrator }
            }
            services::Request::Add(_)
            | services::Request::Change(_)
            | services::Request::Remove { .. }
            | services::Request::AddServer { .. }
            | services::Request::RemoveServer { .. } => Role::Administrator,
        },
        Request::Connections(request) => match request {
            connections::Request::Count
            | connections::Request::List { .. }
            | connections::Request::Show(_) => Role::Reader,
            connections::Request::Delete(_) | connections::Request::Flush { .. } => Role::Operator,
        },
        Request::Routes(request) => match request {
            routes::Request::List => Role::Reader,
            routes::Request::Add { .. } | routes::Request::Remove { .. } => Role::Administrator,
        },
        Request::Ports(request) => match request {
            ports::Request::Info { .. }
            | ports::Request::Stats { .. }
            | ports::Request::Xstats { .. }
            | ports::Request::Rss { .. } => Role::Reader,
            ports::Request::Clear { .. } => Role::Operator,
            ports::Request::Start { .. } | ports::Request::Stop { .. } => Role::Administrator,
        },
        Request::Forward(request) => match request {
            forward::Request::Stats | forward::Request::Drops { .. } => Role::Reader,
            forward::Request::Clear => Role::Operator,
        },
        Request::Persistence(request) => match request {
            persistence::Request::List(_) => Role::Reader,
            persistence::Request::Forget(_) => Role::Operator,
        },
        Request::Timeouts(request) => match request {
            timeouts::Request::List { .. } => Role::Reader,
            timeouts::Request::Set { .. } => Role::Administrator,
        },
        Request::Trace(request) => match request {
            trace::Request::List => Role::Reader,
            trace::Request::Add { .. } | trace::Request::Read { .. } | trace::Request::Remove { .. } => {
                Role::Operator
            }
        },
        // They hold what clients and servers say to each other.
        Request::Capture(request) => match request {
            capture::Request::List => Role::Reader,
            capture::Request::Start { .. }
            | capture::Request::Stream { .. }
            | capture::Request::Read { .. }
            | capture::Request::Stop { .. } => Role::Administrator,
        },
        Request::Events(events::Request::List { .. })
        | Request::Health(health::Request::List { .. })
        | Request::Neighbours(neighbours::Request::List)
        | Request::Host(host::Request::List)
        | Request::LocalAddresses(local_addresses::Request::List)
        | Request::Snat(snat::Request::List)
        | Request::Interfaces(interfaces::Request::List)
        | Request::Sync(sync::Request::Show)
        | Request::Workers(workers::Request::List)
        | Request::Memory(memory::Request::Show | memory::Request::Tables)
        | Request::Explain(_)
        | Request::Overview(_) => Role::Reader,
    }
}

/// Whether a request that needs more than a reader changes anything worth a line in the log: not the next page of one that
/// has its line.
pub(super) fn is_logged(request: &Request) -> bool {
    let goes_on = matches!(
        request,
        Request::Trace(trace::Request::Read { .. })
            | Request::Capture(capture::Request::Read { .. })
            | Request::Connections(connections::Request::Flush { cursor: Some(_), .. })
            | Request::Director(director::Request::Reload { dry_run: true, .. })
    );
    needed(request) > Role::Reader && !goes_on
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(request: &str) -> Role {
        needed(&serde_json::from_str(request).unwrap())
    }

    #[test]
    fn looking_is_for_readers_and_the_plan_for_administrators() {
        assert_eq!(role(r#"{"services":{"list":{}}}"#), Role::Reader);
        assert_eq!(role(r#"{"health":{"list":{}}}"#), Role::Reader);
        assert_eq!(role(r#"{"director":{"reload":{"dry_run":true}}}"#), Role::Operator);
        assert_eq!(role(r#"{"services":{"remove":{"name":"web"}}}"#), Role::Administrator);
        assert_eq!(role(r#"{"director":"save"}"#), Role::Administrator);
        let server = |rest: &str| {
            role(&format!(
                r#"{{"services":{{"change-server":{{"service":"web","address":"192.0.2.1"{rest}}}}}}}"#
            ))
        };
        assert_eq!(server(r#","state":"drain""#), Role::Operator);
        assert_eq!(server(r#","weight":5"#), Role::Operator);
    }

    #[test]
    fn who_has_a_role_is_said() {
        let control = Control {
            readers: Some("staff".to_owned()),
            group: Some("adm".to_owned()),
            ..Control::default()
        };
        assert_eq!(Role::Reader.holders(&control), "root, and members of staff or adm");
        assert_eq!(Role::Operator.holders(&control), "root, and members of adm");
        let nobody = Control::default();
        assert_eq!(
            Role::Operator.holders(&nobody),
            "root; set operators in [control] to a group to let its members"
        );
    }
}
