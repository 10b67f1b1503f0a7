//! What a line that is removed from the file leaves behind after a reload: its default, or a reason why that takes a restart.
//! The tables of options say which lines there are, so no option can be forgotten.

use super::{difference::Difference, merge::merge};
use crate::config::{
    self, Announce, Config, Control, File, IpvsSync, Limits, Metrics, Sync, Tunnel, Workers,
    health::{Check, Hooks, Kind, Pool},
};
use lb_core::{
    service::{
        option::Field,
        plan::{DirectorPlan, ServerPlan, ServicePlan, SnatPlan, VipPlan, timeouts::TIMEOUTS},
    },
    time::Duration,
};
use std::collections::BTreeSet;

/// Every option of every section, each with a value that is not its default, on a line of its own.
const EVERYTHING: &str = include_str!("removed_tests.toml");

fn parse(text: &str) -> Result<Config, String> {
    let limits = Limits { workers: 1, available_bytes: u64::MAX };
    config::parse("lb.toml", text, limits).map_err(|report| report.to_string())
}

/// What a reload of `without` makes of a director that runs `with`: the lines that it prints, and those that take a restart.
fn reload(with: &Config, without: &Config) -> (Vec<String>, Vec<String>) {
    let plan = merge(&with.plan, &with.plan, &without.plan);
    let merged = Config { plan, ..without.clone() };
    let difference = Difference::between(with, &with.plan, &merged);
    let [live, restart] = [difference.live, difference.restart]
        .map(|lines| lines.iter().map(ToString::to_string).collect::<Vec<_>>());
    if restart.is_empty() {
        let (is, should_be) = (merged.to_string(), without.to_string());
        let differs = is.lines().zip(should_be.lines()).find(|(is, should_be)| is != should_be);
        assert!(is == should_be, "what runs is not what the file says: {differs:?}");
    }
    (live, restart)
}

/// Keys by section, as `EVERYTHING` has their headers.
fn keys() -> BTreeSet<(&'static str, &'static str)> {
    let mut keys = BTreeSet::new();
    let mut add = |section: &'static str, fields: &[&'static Field]| {
        keys.extend(fields.iter().filter(|field| field.is_in_file()).map(|field| (section, field.key)));
    };
    macro_rules! sections {
        ($($section:literal: $options:expr),+ $(,)?) => {
            $(add($section, &lb_core::service::option::fields($options));)+
        };
    }
    let of_checks = Check::new(Kind::Tcp, Duration::from_secs(5)).options();
    sections! {
        "[config]": File::OPTIONS,
        "[director]": DirectorPlan::OPTIONS,
        "[announce]": Announce::OPTIONS,
        "[sync]": Sync::OPTIONS,
        "[ipvs_sync]": IpvsSync::OPTIONS,
        "[workers]": Workers::OPTIONS,
        "[timeouts]": TIMEOUTS,
        "[control]": Control::OPTIONS,
        "[tunnel]": Tunnel::OPTIONS,
        "[metrics]": Metrics::OPTIONS,
        "[health]": Hooks::OPTIONS,
        "[[vips]]": VipPlan::OPTIONS,
        "[[snat]]": SnatPlan::OPTIONS,
        "[[services]]": ServicePlan::OPTIONS,
        "[[services.servers]]": ServerPlan::OPTIONS,
        "[services.health]": Pool::OPTIONS,
    }
    for options in of_checks {
        add("[services.check]", &lb_core::service::option::fields(options));
    }
    // Without tables of options: what DPDK and the network need.
    keys.extend(
        ["members", "addresses", "mtu", "checksum_offload", "tx_checksum_offload", "tx_vlan_offload", "host"]
            .map(|key| ("[[ports]]", key)),
    );
    keys.extend(["mtu", "mac"].map(|key| ("[[interfaces]]", key)));
    keys.extend([("[[routes]]", "interface")]);
    keys.extend(["check", "agent"].map(|key| ("[[services.servers]]", key)));
    keys
}

/// What cannot be removed by itself: it is required, or something else of its section needs it.
const NEEDED: &[(&str, &[&str])] = &[
    ("[[vips]]", &["address"]),
    ("[[snat]]", &["name", "sources", "addresses"]),
    (
        "[[services]]",
        &["name", "vip", "vips", "port", "ports", "protocol", "method", "local_addresses", "dscp"],
    ),
    ("[[services.servers]]", &["address"]),
    ("[sync]", &["listen", "key_file"]),
    ("[metrics]", &["listen"]),
    ("[[ports]]", &["members"]),
];

#[test]
fn a_line_that_is_removed_leaves_its_default_or_takes_a_restart() {
    let with = parse(EVERYTHING).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(reload(&with, &with), (vec![], vec![]));
    let lines: Vec<&str> = EVERYTHING.lines().collect();
    let mut removed = BTreeSet::new();
    let mut refused = BTreeSet::new();
    let mut section = "";
    for (number, line) in lines.iter().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            section = line;
        }
        let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with(['[', '#'])) else {
            continue;
        };
        let rest = [&lines[..number], &lines[number + 1..]].concat().join("\n");
        match parse(&rest) {
            Ok(without) => {
                let (live, restart) = reload(&with, &without);
                assert!(live.len() + restart.len() > 0, "{section} {line}: nobody notices that it is gone");
                removed.insert((section, key));
            }
            Err(why) => drop(refused.insert((section, key, why))),
        }
    }
    for (section, key) in keys() {
        let is_needed = NEEDED.iter().any(|(of, keys)| *of == section && keys.contains(&key));
        let why = refused.iter().find(|(of, other, _)| (*of, *other) == (section, key));
        assert_ne!(
            removed.contains(&(section, key)),
            is_needed,
            "{section} {key}: say it in the file; {why:?}"
        );
    }
}

#[test]
fn a_table_that_is_removed_leaves_nothing_behind() {
    let with = parse(EVERYTHING).unwrap_or_else(|report| panic!("{report}"));
    for section in [
        "[config]",
        "[director]",
        "[announce]",
        "[sync]",
        "[ipvs_sync]",
        "[timeouts]",
        "[control]",
        "[tunnel]",
        "[metrics]",
        "[health]",
        "[workers]",
        "[[vips]]",
        "[[snat]]",
        "[services.check]",
        "[services.health]",
    ] {
        let (before, table) = EVERYTHING.split_once(&format!("\n{section}\n")).expect(section);
        let after = table.find("\n[").map_or("", |end| &table[end..]);
        let without = parse(&format!("{before}{after}")).unwrap_or_else(|why| panic!("{section}: {why}"));
        let (live, restart) = reload(&with, &without);
        assert!(live.len() + restart.len() > 0, "{section}: nobody notices that it is gone");
    }
}

#[test]
fn the_order_of_snat_rules_is_a_difference() {
    let with = parse(EVERYTHING).unwrap_or_else(|report| panic!("{report}"));
    let mut without = with.clone();
    without.plan.snat.reverse();
    assert_eq!(
        reload(&with, &without),
        (vec!["~ order of snat outbound, others -> others, outbound".to_owned()], vec![])
    );
}
