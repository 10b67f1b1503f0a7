//! What several stories need.

pub(crate) mod told;

use lb_ctl::command::help::SECTIONS;

/// Every command that reads, as often as it takes for each of its forms. They are those that `help` lists: one that is
/// new, and is not known here, is a mistake that shows.
pub(crate) fn readers() -> Vec<&'static str> {
    let all = SECTIONS.iter().flat_map(lb_ctl::command::help::Section::usages);
    let reads = |usage: &String| {
        ["show", "count", "dump", "explain", "top", "trace list", "capture list"]
            .iter()
            .any(|verb| usage.starts_with(verb))
    };
    all.map(|usage| usage.usage).filter(reads).flat_map(|usage| forms(&usage).iter().copied()).collect()
}

fn forms(usage: &str) -> &'static [&'static str] {
    const KNOWN: [(&str, &[&str]); 34] = [
        ("show director", &["show director"]),
        ("show events", &["show events", "show events count 3"]),
        ("show port info", &["show port info all", "show port info lan"]),
        ("show port stats", &["show port stats all", "show port stats 1"]),
        ("show port xstats", &["show port xstats all"]),
        ("show port summary", &["show port summary all"]),
        ("show port rss", &["show port 1 rss reta", "show port 1 rss-hash"]),
        ("show config", &["show config fwd", "show config rxtx", "show config cores"]),
        ("show fwd stats", &["show fwd stats all"]),
        ("show overview", &["show overview", "show overview tcp up"]),
        ("show services", &["show services", "-Ln --stats", "-Ln --rate"]),
        ("show connections", &["show connections", "-Lnc", "show connections state established limit 3"]),
        ("show connection ", &["show connection udp 192.0.2.10:9 192.0.2.100:7"]),
        ("count connections", &["count connections"]),
        ("show health", &["show health"]),
        ("show announced", &["show announced"]),
        ("show host", &["show host"]),
        ("show interfaces", &["show interfaces"]),
        ("show local-addresses", &["show local-addresses"]),
        ("show snat", &["show snat"]),
        ("show persistence", &["show persistence", "show persistence client 192.0.2.0/24"]),
        ("show sync", &["show sync"]),
        ("show timeouts", &["show timeouts"]),
        ("show routes", &["show routes"]),
        ("show neighbours", &["show neighbours"]),
        (
            "explain",
            &["explain udp 192.0.2.10:9 192.0.2.100:7", "explain tcp 192.0.2.10:9 192.0.2.100:80 in wan"],
        ),
        ("trace list", &["trace list"]),
        ("capture list", &["capture list"]),
        ("show workers", &["show workers", "show workers histogram"]),
        ("show drops", &["show drops", "show drops all"]),
        ("show tables", &["show tables"]),
        ("show memory", &["show memory"]),
        ("dump mempool", &["dump mempool"]),
        ("top", &["top once"]),
    ];
    let found = KNOWN.iter().find(|(beginning, _)| usage.starts_with(beginning));
    found.unwrap_or_else(|| panic!("a command that reads and is in no story: add `{usage}`")).1
}
