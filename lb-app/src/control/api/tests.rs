//! Whatever is edited at run time can be saved, and means the same when it is read again.

use super::{answer::Answer, network, options, services, timeouts};
use crate::{
    config::{self, Config, Limits, source::Sources},
    control::{
        edit::check::check,
        file::save::{first_difference, rewrite},
    },
};
use lb_core::service::plan::{Admin, Plan, RoutePlan, ServerPlan};
use lb_ctl::protocol::{
    Protocol,
    options::Options,
    services::{NewService, ServiceChange},
};
use proptest::{prelude::*, sample::select};
use serde_json::json;
use std::net::IpAddr;

const LIMITS: Limits = Limits { workers: 1, available_bytes: u64::MAX };

/// With tables, and something of everybody's between them.
const TABLES: &str = r#"# The main director.
[[services]]
name = "shop"  # for Christmas
vip = "192.0.2.100"
port = 80
protocol = "tcp"
method = "nat"
check = { type = "tcp" }

# The old one.
[[services.servers]]
address = "198.51.100.11"

[[services.servers]]
address = "198.51.100.12"
port = 81
weight = 7 # it is fast

# Towards the world.
[[ports]]
name = "wan"
device = "net_null0"
addresses = ["192.0.2.1/24", "198.51.100.1/24"]

[timeouts]
udp = "1m" # as they asked

[[services]]
name = "dns"
vip = "192.0.2.101"
port = 80
protocol = "udp"
method = "dr"
scheduler = "mh"
flags = ["mh-port"]
[services.timeouts]
fin = "20s"

[[routes]]
to = "default"
via = "192.0.2.254" # the old router

[[vips]]
address = "192.0.2.101"
unserved = "drop"
"#;

/// With lists on one line.
const LISTS: &str = r#"# The main director.
routes = [{ to = "default", via = "192.0.2.254" }]
services = [
    { name = "shop", vip = "192.0.2.100", port = 80, protocol = "tcp", method = "nat", servers = [
        { address = "198.51.100.11" }, # north
        { address = "198.51.100.12", port = 81 }, # south
    ] },
]

# Towards the world.
[[ports]]
name = "wan"
device = "net_null0"
addresses = ["192.0.2.1/24", "198.51.100.1/24"]
"#;

/// What somebody does.
#[derive(Clone, Debug)]
enum Edit {
    AddService(NewService),
    ChangeService(ServiceChange),
    RemoveService(&'static str),
    AddServer(&'static str, IpAddr, Option<u16>, Options),
    ChangeServer(&'static str, usize, Admin, Options),
    RemoveServer(&'static str, IpAddr, Option<u16>),
    AddRoute(&'static str, IpAddr),
    RemoveRoute(&'static str),
    SetTimeout(Option<&'static str>, &'static str, Option<u64>),
    Save,
}

impl Edit {
    fn apply(self, plan: &mut Plan) -> Answer {
        match self {
            Edit::AddService(new) => services::add(plan, new),
            Edit::ChangeService(wanted) => services::modify(plan, &wanted),
            Edit::RemoveService(name) => services::remove(plan, name),
            Edit::AddServer(service, address, port, options) => {
                services::add_server(plan, service, (address, port), &options)
            }
            Edit::ChangeServer(service, at, admin, options) => {
                let servers = plan
                    .services
                    .iter_mut()
                    .find(|plan| plan.name == *service)
                    .map(|service| &mut service.servers);
                if let Some(server) = servers.and_then(|servers| servers.get_mut(at)) {
                    options::set(ServerPlan::OPTIONS, server, &options)?;
                    server.admin = admin;
                }
                Ok(super::answer::done())
            }
            Edit::RemoveServer(service, address, port) => {
                services::remove_server(plan, service, (address, port))
            }
            Edit::AddRoute(to, via) => {
                network::add(plan, RoutePlan::new(to.parse().expect("a network"), via))
            }
            Edit::RemoveRoute(to) => network::remove(plan, to.parse().expect("a network"), None),
            Edit::SetTimeout(service, state, ms) => timeouts::set(plan, service, state, ms),
            Edit::Save => Ok(super::answer::done()),
        }
    }
}

fn name() -> impl Strategy<Value = &'static str> {
    select(vec!["shop", "dns", "mail", "größer"])
}

fn address(hosts: &'static [&'static str]) -> impl Strategy<Value = IpAddr> {
    select(hosts).prop_map(|host| host.parse().expect("an address"))
}

fn server() -> impl Strategy<Value = IpAddr> {
    address(&["198.51.100.11", "198.51.100.12", "198.51.100.13", "192.0.2.254"])
}

fn port() -> impl Strategy<Value = Option<u16>> {
    select(vec![None, Some(80), Some(81), Some(443)])
}

/// Options, each of which may be given.
fn options_of(all: &[(&'static str, Vec<serde_json::Value>)]) -> BoxedStrategy<Options> {
    let one = |(key, values): &(&'static str, Vec<serde_json::Value>)| {
        let key = *key;
        proptest::option::of(select(values.clone()))
            .prop_map(move |value| value.map(|value| (key.to_owned(), value)))
            .boxed()
    };
    let all: Vec<_> = all.iter().map(one).collect();
    all.prop_map(|given| given.into_iter().flatten().collect()).boxed()
}

fn of_service() -> BoxedStrategy<Options> {
    options_of(&[
        ("scheduler", ["rr", "wlc", "sh", "mh"].map(|word| json!(word)).to_vec()),
        ("hash_port", vec![json!(true), json!(false)]),
        ("hash_fallback", vec![json!(true), json!(false)]),
        ("hash_servers", vec![json!(0), json!(100)]),
        ("adopt", vec![json!(true), json!(false)]),
        ("slow_start", vec![json!("0s"), json!("90s")]),
        ("client_address", ["none", "proxy-v1", "proxy-v2", "toa"].map(|word| json!(word)).to_vec()),
        ("module", ["none", "ftp", "sip"].map(|word| json!(word)).to_vec()),
        ("description", ["", "the shop"].map(|line| json!(line)).to_vec()),
        ("from", ["all", "203.0.113.0/24", "203.0.113.0/24,198.18.0.0/15"].map(|list| json!(list)).to_vec()),
        ("on", ["all", "wan"].map(|list| json!(list)).to_vec()),
    ])
}

fn of_server() -> BoxedStrategy<Options> {
    options_of(&[
        ("weight", vec![json!(0), json!(1), json!(7), json!(65_535)]),
        ("upper_threshold", vec![json!(0), json!(9)]),
        ("lower_threshold", vec![json!(0), json!(4)]),
        ("description", vec![json!(""), json!("the fast one")]),
        ("quic_server_ids", vec![json!("none"), json!("ed793a"), json!("ed793a,ed793b")]),
    ])
}

fn edit() -> impl Strategy<Value = Edit> {
    let vip = || address(&["192.0.2.100", "192.0.2.101", "192.0.2.102", "198.51.100.13"]);
    let protocol = select(vec![Protocol::Tcp, Protocol::Udp]);
    let method = select(vec!["nat", "tun", "dr"]);
    let new = (name(), protocol, vip(), select(vec![80, 443]), method, of_service());
    let new = new.prop_map(|(name, protocol, vip, port, method, options)| NewService {
        name: name.to_owned(),
        protocol,
        vip,
        port,
        method: method.to_owned(),
        options,
    });
    let network = || select(vec!["0.0.0.0/0", "10.0.0.0/8", "203.0.113.0/24"]);
    let state = select(vec!["udp", "fin_wait", "time_wait", "syn_sent", "syn_recv", "close_wait"]);
    let admin = select(Admin::ALL.to_vec());
    prop_oneof![
        new.prop_map(Edit::AddService),
        (name(), of_service()).prop_map(|(name, options)| {
            Edit::ChangeService(ServiceChange { name: name.to_owned(), options })
        }),
        name().prop_map(Edit::RemoveService),
        (name(), server(), port(), of_server())
            .prop_map(|(service, address, port, options)| Edit::AddServer(service, address, port, options)),
        (name(), 0..3usize, admin, of_server())
            .prop_map(|(service, at, admin, options)| Edit::ChangeServer(service, at, admin, options)),
        (name(), server(), port())
            .prop_map(|(service, address, port)| { Edit::RemoveServer(service, address, port) }),
        (network(), address(&["192.0.2.254", "192.0.2.253", "192.0.2.102"]))
            .prop_map(|(to, via)| Edit::AddRoute(to, via)),
        network().prop_map(Edit::RemoveRoute),
        (proptest::option::of(name()), state, select(vec![Some(9_000), Some(60_000), None]))
            .prop_map(|(service, state, ms)| Edit::SetTimeout(service, state, ms)),
        Just(Edit::Save),
    ]
}

/// What the text means.
fn read(text: &str) -> Config {
    config::parse("lb.toml", text, LIMITS).unwrap_or_else(|report| panic!("{report}{text}"))
}

proptest! {
    #[test]
    fn what_was_edited_and_saved_reads_back_as_what_runs(
        file in select(vec![TABLES, LISTS]),
        edits in prop::collection::vec(edit(), 1..30),
    ) {
        let Config { mut plan, health, room, .. } = read(file);
        let mut text = file.to_owned();
        let mut stayed = file == TABLES;
        for edit in edits.into_iter().chain([Edit::Save]) {
            if let Edit::Save = edit {
                text = match rewrite(&Sources::new("lb.toml", &*text), &plan, LIMITS) {
                    Ok(saved) => saved.files()[0].text.clone(),
                    Err(error) => return Err(TestCaseError::fail(format!("{error}\n{plan:#?}\n{text}"))),
                };
                let again = read(&text);
                prop_assert_eq!(first_difference(&again.plan, &plan), None);
                for (line, is_there) in [
                    ("# The main director.\n[[services]]\nname = \"shop\"  # for Christmas\n", stayed),
                    ("# Towards the world.\n[[ports]]\n", true),
                    ("udp = \"1m\" # as they asked\n", file == TABLES && plan.timeouts == read(file).plan.timeouts),
                ] {
                    prop_assert!(!is_there || text.contains(line), "{}", text);
                }
                continue;
            }
            let mut edited = plan.clone();
            if edit.apply(&mut edited).is_ok() && check(&edited, &health, room).is_ok() {
                plan = edited;
                stayed &= plan.service(&"tcp 192.0.2.100:80".parse().expect("a key")).is_some();
            }
        }
    }
}
