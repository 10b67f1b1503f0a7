//! The tables of options: every entry is sound, and says what it does.

use crate::config::{
    Announce, Control, File as ConfigFile, Metrics,
    health::{
        Agent, Check, Command, Dns, File, Hooks, Http, Kind as Asks, Page, Passive, Pool, Smtp, Tls, Udp,
    },
    settings::{Tunnel, Workers},
};
use lb_core::{
    conn::timeouts::Timeouts,
    service::{
        option::{Kind, Opt, Value, fields},
        plan::{
            DirectorPlan, Method, PersistencePlan, QuicConfig, QuicPlan, ServerPlan, ServicePlan, VipPlan,
            timeouts::TIMEOUTS,
        },
    },
    time::Duration,
};
use std::{collections::BTreeSet, net::Ipv4Addr};

/// A value of that kind which is nobody's default.
fn another(kind: &Kind) -> Value {
    let text = |text: &str| Value::Text(text.to_owned());
    match *kind {
        Kind::Flag => Value::Flag(true),
        Kind::Number { least, most } => Value::Number(least.midpoint(most)),
        Kind::Word(words) => text(words[words.len() - 1]),
        Kind::Name | Kind::Text | Kind::Line | Kind::Token | Kind::Device | Kind::Payload => text("other"),
        Kind::UrlPath => text("/other"),
        Kind::SocketPath | Kind::Directory | Kind::FilePath => text("/other/place"),
        Kind::Domain => text("other.example"),
        Kind::Pattern => text("other+"),
        Kind::Digest => text("00112233445566778899aabbccddeeff"),
        Kind::Hexadecimal | Kind::QuicId => text("00ff"),
        Kind::Key => Value::Secret("00112233445566778899aabbccddeeff".to_owned()),
        Kind::Timeout | Kind::Duration => Value::Duration(Duration::from_millis(4_711)),
        Kind::Network => text("203.0.113.0/24"),
        Kind::Address => Value::Address([203, 0, 113, 7].into()),
        Kind::Endpoint | Kind::Listen => Value::Endpoint("203.0.113.7:4711".parse().unwrap()),
        Kind::StatusCodes => Value::Number(418),
        Kind::Program => Value::List(vec![text("/bin/true")]),
        Kind::Ports => Value::List(vec![Value::Number(81), text("8000-8099")]),
        // One is said in another way.
        Kind::List(Kind::Address) => {
            Value::List([7, 8].map(|host| Value::Address([203, 0, 113, host].into())).into())
        }
        Kind::List(kind) => Value::List(vec![another(kind)]),
        Kind::Several(Kind::Word(words)) => Value::List(words.iter().map(|word| text(word)).collect()),
        Kind::Several(kind) => another(kind),
        Kind::Table(fields) => {
            Value::Table(fields().iter().map(|field| (field.key, another(&field.kind))).collect())
        }
        // One is said in another way.
        Kind::Tables(fields) => Value::List(vec![another(&Kind::Table(fields)); 2]),
    }
}

/// Everything that an entry says holds for what it is an entry of.
fn check<P: Clone>(options: &'static [Opt<P>], default: &P) {
    let mut keys = BTreeSet::new();
    for Opt { field, get, set, .. } in options {
        let key = field.key;
        assert!(keys.insert(key), "{key} is there twice");
        assert!(!field.help.is_empty() && !field.help.ends_with(' '), "{key}: help");
        let wants_example = field.is_required
            || matches!(
                field.kind,
                Kind::List(_) | Kind::Tables(_) | Kind::Several(_) | Kind::Ports | Kind::Program
            );
        assert_eq!(wants_example, !field.example.is_empty(), "{key}: example");
        let mut changed = default.clone();
        let value = another(&field.kind);
        assert!(set(&mut changed, &value), "{key}: its kind is that of its field");
        assert_eq!(get(&changed), Some(value), "{key}: what is set is what it has");
        let wrong =
            if matches!(field.kind, Kind::Table(_)) { Value::Flag(true) } else { Value::Table(Vec::new()) };
        assert!(!set(&mut changed, &wrong), "{key}: another kind is refused");
        // A default reads back as itself.
        if let Some(value) = get(default) {
            let mut same = changed;
            assert!(set(&mut same, &value), "{key}: {value}");
            assert_eq!(get(&same), Some(value), "{key}");
        }
    }
}

#[test]
fn every_entry_is_sound() {
    let key = "tcp 192.0.2.100:80".parse().unwrap();
    let service = ServicePlan::new("web", key, Method::Nat);
    // With the last of all schedulers, which has a flag, and without.
    check(ServicePlan::OPTIONS, &ServicePlan { scheduler: "mh".parse().unwrap(), ..service });
    check(ServerPlan::OPTIONS, &ServerPlan::new(Ipv4Addr::LOCALHOST, 80, 1));
    check(VipPlan::OPTIONS, &VipPlan::new(Ipv4Addr::LOCALHOST));
    check(TIMEOUTS, &Timeouts::default());
    check(Pool::OPTIONS, &Pool::default());
    check(Passive::OPTIONS, &Passive::default());
    check(Hooks::OPTIONS, &Hooks::default());
    check(Control::OPTIONS, &Control::default());
    check(Announce::OPTIONS, &Announce::default());
    check(PersistencePlan::OPTIONS, &PersistencePlan::default());
    check(QuicPlan::OPTIONS, &QuicPlan::default());
    check(QuicConfig::OPTIONS, &QuicConfig::default());
    check(ConfigFile::OPTIONS, &ConfigFile::default());
    check(DirectorPlan::OPTIONS, &DirectorPlan::default());
    check(Workers::OPTIONS, &Workers::default());
    check(Tunnel::OPTIONS, &Tunnel::default());
    check(Metrics::OPTIONS, &Metrics::default());
    let tcp = Check::new(Asks::Tcp, Duration::from_secs(5));
    tcp.options().into_iter().for_each(|options| check(options, &tcp));
    check(Page::OPTIONS, &Page::default());
    check(Http::OPTIONS, &Http::default());
    check(Tls::OPTIONS, &Tls::default());
    check(Udp::OPTIONS, &Udp::default());
    check(Dns::OPTIONS, &Dns::default());
    check(Smtp::OPTIONS, &Smtp::default());
    check(Command::OPTIONS, &Command::default());
    check(File::OPTIONS, &File::default());
    check(Agent::OPTIONS, &Agent::default());
    let agent = Check::agent(Asks::Agent(Agent::default()));
    agent.options().into_iter().for_each(|options| check(options, &agent));
}

#[test]
fn what_foreign_words_are_is_there() {
    let of_all = [Check::OPTIONS, Check::NETNS, Check::PACKETS, Check::PORTS].map(fields);
    let of_kinds = [
        fields(Page::OPTIONS),
        fields(Http::OPTIONS),
        fields(Tls::OPTIONS),
        fields(Smtp::OPTIONS),
        fields(Command::OPTIONS),
        fields(File::OPTIONS),
    ];
    let checks = of_all.iter().chain(&of_kinds).flatten().map(|field| field.key);
    let keys: Vec<String> = fields(ServicePlan::OPTIONS)
        .iter()
        .map(|field| field.key.to_owned())
        .chain(fields(ServerPlan::OPTIONS).iter().map(|field| format!("servers.{}", field.key)))
        .chain(checks.map(|key| format!("check.{key}")))
        .chain(fields(Pool::OPTIONS).iter().map(|field| format!("health.{}", field.key)))
        .chain(fields(PersistencePlan::OPTIONS).iter().map(|field| format!("persistence.{}", field.key)))
        .chain(fields(TIMEOUTS).iter().map(|field| format!("timeouts.{}", field.key)))
        .chain(fields(Hooks::OPTIONS).iter().map(|field| format!("[health] {}", field.key)))
        .chain(fields(Metrics::OPTIONS).iter().map(|field| format!("[metrics] {}", field.key)))
        .chain(["[[services]]", "[[services.servers]]", "[[routes]]"].map(str::to_owned))
        .collect();
    for place in lb_ctl::foreign::places() {
        assert!(keys.iter().any(|key| key == place), "{place}");
    }
}
