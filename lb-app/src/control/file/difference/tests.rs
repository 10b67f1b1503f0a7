//! Pairs of files, and the lines that tell them apart.

use super::*;
use crate::config::{self, Limits};
use lb_core::{
    conn::state::State,
    service::plan::{Admin, Role, SchedulerKind},
    time::Duration,
};

const BEFORE: &str = r#"
    [workers]
    connections = 1000
    [[ports]]
    name = "wan"
    device = "net_null0"
    addresses = ["192.0.2.1/24"]
    [[ports]]
    name = "lan"
    device = "net_null1"
    addresses = ["198.51.100.1/24"]
    [[routes]]
    to = "default"
    via = "192.0.2.254"
    [[services]]
    name = "web"
    vip = "192.0.2.100"
    port = 80
    protocol = "tcp"
    method = "nat"
    servers = [{ address = "198.51.100.11" }, { address = "198.51.100.12" }]
"#;

fn lines(edits: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let parse = |text: &str| {
        config::parse("lb.toml", text, Limits { workers: 1, available_bytes: u64::MAX }).expect("sound")
    };
    let after = edits.iter().fold(BEFORE.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is there");
        text.replace(from, to)
    });
    let before = parse(BEFORE);
    let difference = Difference::between(&before, &before.plan, &parse(&after));
    let text = |lines: Vec<Line>| lines.iter().map(Line::to_string).collect();
    (text(difference.live), text(difference.restart))
}

#[test]
fn the_same_is_no_difference() {
    assert_eq!(lines(&[]), (vec![], vec![]));
}

/// With `sync` in both tables and then with these edits of it.
fn lines_of_sync(sync: &str, edits: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let parse = |text: &str| {
        let text = format!("{text}\n{BEFORE}");
        config::parse("lb.toml", &text, Limits { workers: 1, available_bytes: u64::MAX }).expect("sound")
    };
    let after = edits.iter().fold(sync.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is there");
        text.replace(from, to)
    });
    let before = parse(sync);
    let difference = Difference::between(&before, &before.plan, &parse(&after));
    let text = |lines: Vec<Line>| lines.iter().map(Line::to_string).collect();
    (text(difference.live), text(difference.restart))
}

#[test]
fn peers_change_while_the_director_runs_and_memory_for_them_at_start() {
    const SYNC: &str =
        "[sync]\nlisten = \"10.0.0.1:4789\"\npeers = [\"10.0.0.2:4789\"]\nkey_file = \"/etc/lb/a.key\"\n";
    let (live, restart) = lines_of_sync(
        SYNC,
        &[
            ("\"10.0.0.2:4789\"", "\"10.0.0.2:4789\", \"10.0.0.3:4789\""),
            ("a.key\"", "b.key\"\nrate = 100\nhold = \"1m\""),
            ("10.0.0.1:4789", "10.0.0.1:4790"),
        ],
    );
    assert_eq!(
        live,
        [
            "~ sync: listen 10.0.0.1:4789 -> 10.0.0.1:4790",
            "~ sync: peers [10.0.0.2:4789] -> [10.0.0.2:4789, 10.0.0.3:4789]",
            "~ sync: key_file /etc/lb/a.key -> /etc/lb/b.key",
            "~ sync: rate 4000 -> 100",
            "~ sync: hold 15m -> 1m",
        ]
    );
    assert_eq!(restart, [""; 0]);
    let (live, restart) = lines_of_sync(SYNC, &[("a.key\"", "a.key\"\nentries = 2048\nrate = 100")]);
    assert_eq!(live, ["~ sync: rate 4000 -> 100"]);
    assert_eq!(restart, ["~ sync: entries 131072 -> 2048"]);
    let (live, restart) = lines_of_sync("", &[("", SYNC)]);
    assert_eq!((live.len(), restart.len()), (0, 3), "there is no thread and no memory");
}

#[test]
fn synchronization_with_ipvs_changes_while_the_director_runs_but_for_what_is_held() {
    const SYNC: &str = "[ipvs_sync]\ninterface = \"eth1\"\nrole = \"both\"\n";
    let (live, restart) =
        lines_of_sync(SYNC, &[("eth1", "eth2"), ("\"both\"", "\"backup\"\nsyncid = 7\nttl = 2\nrate = 100")]);
    assert_eq!(
        live,
        [
            "~ ipvs_sync: interface eth1 -> eth2",
            "~ ipvs_sync: role both -> backup",
            "~ ipvs_sync: syncid 0 -> 7",
            "~ ipvs_sync: ttl 1 -> 2",
            "~ ipvs_sync: rate 1000 -> 100",
        ]
    );
    assert_eq!(restart, [""; 0]);
    let (live, restart) = lines_of_sync(SYNC, &[("\"both\"", "\"master\"\nsyncid = 7")]);
    assert_eq!(live, ["~ ipvs_sync: syncid 0 -> 7"]);
    assert_eq!(restart, ["~ ipvs_sync: role both -> master"]);
    let (_, restart) = lines_of_sync(SYNC, &[("interface = \"eth1\"\n", "")]);
    assert_eq!(restart, ["~ ipvs_sync: interface eth1 -> none"]);
}

#[test]
fn every_change_has_its_line() {
    let (live, restart) = lines(&[
        ("[{ address = \"198.51.100.11\" }, ", "[{ address = \"198.51.100.13\", weight = 3 }, "),
        ("{ address = \"198.51.100.12\" }", "{ address = \"198.51.100.12\", state = \"drain\", weight = 7 }"),
        ("via = \"192.0.2.254\"", "via = \"192.0.2.253\""),
        (
            "method = \"nat\"",
            "method = \"nat\"\nscheduler = \"mh\"\ntimeouts = { udp = \"9s\" }\nhealth = { quorum = 2 }",
        ),
        ("[[routes]]", "[[vips]]\naddress = \"192.0.2.100\"\nunserved = \"drop\"\n[[routes]]"),
    ]);
    assert_eq!(
        live,
        [
            "- route 0.0.0.0/0 via 192.0.2.254",
            "+ route 0.0.0.0/0 via 192.0.2.253",
            "~ vip 192.0.2.100: unserved reject -> drop",
            "~ service tcp 192.0.2.100:80: scheduler wlc -> mh",
            "~ service tcp 192.0.2.100:80: timeouts: udp 5m -> 9s",
            "- server 198.51.100.11:80 of tcp 192.0.2.100:80",
            "~ server 198.51.100.12:80 of tcp 192.0.2.100:80: weight 1 -> 7",
            "~ server 198.51.100.12:80 of tcp 192.0.2.100:80: state enabled -> drain",
            "+ server 198.51.100.13:80 of tcp 192.0.2.100:80: weight 3",
            "~ service tcp 192.0.2.100:80: health: quorum 1 -> 2",
        ]
    );
    assert_eq!(restart, [""; 0]);
}

#[test]
fn what_operators_did_is_told_as_that() {
    let limits = Limits { workers: 1, available_bytes: u64::MAX };
    let file = config::parse("lb.toml", BEFORE, limits).expect("sound");
    let mut plan = file.plan.clone();
    plan.director.role = Role::Standby;
    plan.timeouts.set(State::Udp, Duration::from_secs(9));
    plan.routes.clear();
    let web = &mut plan.services[0];
    web.scheduler = SchedulerKind::Mh;
    (web.servers[0].admin, web.servers[0].weight) = (Admin::Draining, 5);
    web.servers[1].admin = Admin::Disabled;
    web.servers.push(ServerPlan::new([198, 51, 100, 13], 80, 3));
    let kept: Vec<String> = Difference::of_plans(&file.plan, &plan).iter().map(Line::kept).collect();
    assert_eq!(
        kept,
        [
            "kept: director: role standby: set by operator; the file says active",
            "kept: route 0.0.0.0/0 via 192.0.2.254: removed by operator",
            "kept: service tcp 192.0.2.100:80: scheduler mh: set by operator; the file says wlc",
            "kept: server 198.51.100.11:80 of tcp 192.0.2.100:80: weight 5: set by operator; the file says 1",
            "kept: server 198.51.100.11:80 of tcp 192.0.2.100:80: drained by operator; the file says enabled",
            "kept: server 198.51.100.12:80 of tcp 192.0.2.100:80: disabled by operator; the file says enabled",
            "kept: server 198.51.100.13:80 of tcp 192.0.2.100:80: weight 3: added by operator",
            "kept: timeouts: udp 9s: set by operator; the file says 5m",
        ]
    );
}

#[test]
fn more_servers_take_no_restart_as_long_as_they_have_room() {
    let servers: Vec<String> = (0..3_000)
        .map(|port| format!("{{ address = \"198.51.100.13\", port = {} }}", 1_000 + port))
        .collect();
    let more = format!("{}, {{ address = \"198.51.100.12\" }}", servers.join(", "));
    let (live, restart) = lines(&[("{ address = \"198.51.100.12\" }", &more)]);
    assert_eq!((live.len(), restart), (3_000, vec![]));
}

#[test]
fn what_was_laid_out_at_start_takes_a_restart() {
    let (live, restart) = lines(&[
        (
            "connections = 1000",
            "connections = 2000\nservers = 10\n[metrics]\nlisten = \"127.0.0.1:9145\"\nconsole = true",
        ),
        (
            "net_null1",
            "net_null2\"\nmtu = 9000\nchecksum_offload = false\ntx_checksum_offload = \"on\"\ntx_vlan_offload = \"off\" #",
        ),
        ("name = \"wan\"", "name = \"outside\""),
    ]);
    assert_eq!(live, [""; 0]);
    assert_eq!(
        restart,
        [
            "~ workers: connections 1000 -> 2000",
            "~ workers: servers 4096 -> 10",
            "~ metrics: listen off -> 127.0.0.1:9145",
            "~ metrics: console false -> true",
            "- port wan",
            "~ port lan: device net_null1 -> net_null2",
            "~ port lan: checksum_offload true -> false",
            "~ port lan: tx_checksum_offload auto -> on",
            "~ port lan: tx_vlan_offload auto -> off",
            "+ port outside",
            "~ port lan: mtu 1500 -> 9000",
        ]
    );
}

#[test]
fn a_service_that_is_for_other_clients_is_the_same_one() {
    const FROM: &str = "name = \"web\"\nfrom = [\"203.0.113.0/24\"]";
    let parse = |text: &str| {
        let text = BEFORE.replace("name = \"web\"", text);
        config::parse("lb.toml", &text, Limits { workers: 1, available_bytes: u64::MAX }).expect("sound")
    };
    let lines = |before: &Config, after: &Config| -> Vec<String> {
        Difference::between(before, &before.plan, after).live.iter().map(Line::to_string).collect()
    };
    let before = parse(FROM);
    let after = parse("name = \"web\"\nfrom = [\"198.18.0.0/15\"]\non = [\"wan\"]");
    assert_eq!(
        lines(&before, &after),
        [
            "~ service tcp 192.0.2.100:80 web: from [203.0.113.0/24] -> [198.18.0.0/15]",
            "~ service tcp 192.0.2.100:80 web: on [] -> [wan]",
        ]
    );
    let servers = "nat wlc, 198.51.100.11:80, 198.51.100.12:80";
    let for_all = parse("name = \"web\"");
    assert_eq!(
        lines(&before, &for_all),
        [
            format!("- service tcp 192.0.2.100:80 web from 203.0.113.0/24: {servers}"),
            format!("+ service tcp 192.0.2.100:80 (web): {servers}"),
        ]
    );
}

#[test]
fn services_come_and_go() {
    let (live, _) = lines(&[("port = 80\n", "port = 443\n")]);
    assert_eq!(
        live,
        [
            "- service tcp 192.0.2.100:80 (web): nat wlc, 198.51.100.11:80, 198.51.100.12:80",
            "+ service tcp 192.0.2.100:443 (web): nat wlc, 198.51.100.11:443, 198.51.100.12:443",
        ]
    );
}
