//! What right configurations mean, and that nothing else breaks the reader.

use super::{
    super::{Capacity, Config, Device, Idle},
    BASE, LIMITS, check, parse,
};
use crate::{
    config::{
        health::{Kind, WhenAllFail},
        load,
    },
    dpdk::Choice,
};
use lb_core::{
    conn::state::State,
    limits::MAX_SERVICES,
    service::plan::{Method, Protocol, SchedulerKind, Unserved},
    service::snapshot::Room,
    time::Duration,
};
use proptest::{prelude::*, sample::Index};
use std::{fs, net::SocketAddr, path::PathBuf};

/// The configurations that users start from, with their names.
fn shipped() -> Vec<(PathBuf, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../conf");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = paths.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn shipped_files_are_right() {
    let files = shipped();
    assert!(files.len() >= 4);
    for (path, _) in files {
        load(&path, LIMITS).unwrap_or_else(|report| panic!("{report}"));
    }
}

/// Each line is one thing that an ordinary set-up of IPVS and keepalived asks for, and what the file says of it.
#[test]
fn an_ordinary_set_up_of_ipvs_can_be_said() {
    let wants: &[(&str, &[&str])] = &[
        ("persistence for 300 s, by network", &[r#"persistence = { timeout = "5m", prefix = 24"#]),
        ("80 and 443 as one group", &["ports = [80, 443]"]),
        ("any port", &[r#"ports = ["any"]"#]),
        ("DNS, each question by itself", &["one_packet = true"]),
        ("IPv6", &[r#"vip = "2001:db8:1::100""#]),
        ("mail that greets", &[r#"type = "smtp", helo = "director.example.com""#]),
        ("a script for servers behind the director's ports", &[r#"type = "command""#, r#"host = "lb-lan""#]),
        ("several URLs, and a page that is what it has to be", &["urls = [", "digest = \"f750ea15"]),
        ("thresholds", &["upper_threshold = 2000", "lower_threshold = 1500"]),
        ("quorum", &["quorum = 2", "hysteresis = 1", "quorum_up = [", "quorum_down = ["]),
        ("a sorry server", &[r#"sorry_server = "198.51.100.250:80""#, r#"when_all_fail = "sorry""#]),
        ("alpha and inhibit", &["assume_down = true, inhibit_on_failure = true"]),
        ("notify", &[r#"hook = ["/usr/local/libexec/lb-notify"]"#]),
        ("timeouts of one service", &[r#"established = "1h", fin = "30s""#]),
        (
            "descriptions",
            &[r#"description = "old machine""#, r#"description = "web shop, asked for by sales""#],
        ),
        ("metrics", &[r#"listen = "127.0.0.1:9145""#]),
    ];
    let (path, _) = shipped().into_iter().find(|(path, _)| path.ends_with("ipvs.toml")).unwrap();
    let effective = load(&path, LIMITS).unwrap().to_string();
    for (want, lines) in wants {
        for line in *lines {
            assert!(effective.contains(line), "{want}: no {line:?} in\n{effective}");
        }
    }
}

#[test]
fn the_page_is_off_unless_it_is_wanted() {
    let metrics =
        |lines: &str| parse("lb.toml", &format!("{BASE}\n[metrics]\n{lines}"), LIMITS).unwrap().metrics;
    assert!(!metrics("listen = \"127.0.0.1:9145\"").console);
    assert!(metrics("listen = \"127.0.0.1:9145\"\nconsole = true").console);
    assert!(!metrics("console = false").console);
}

#[test]
fn the_digest_is_that_of_the_file() {
    // As `sha256sum` has it.
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(crate::config::source::sha256(std::iter::once("")), empty);
    let (path, text) = shipped().remove(0);
    assert_eq!(load(&path, LIMITS).unwrap().sha256, crate::config::source::sha256(std::iter::once(&*text)));
}

#[test]
fn the_effective_configuration_means_the_same() {
    for (path, text) in shipped() {
        let config = check(&text).unwrap();
        let effective = config.to_string();
        let again = check(&effective).unwrap_or_else(|report| panic!("{}: {report}", path.display()));
        assert_eq!(format!("{config:?}"), format!("{again:?}"), "{}", path.display());
        assert_eq!(effective, again.to_string());
    }
}

#[test]
fn the_classic_table_means_what_everybody_knows() {
    let (_, text) = shipped().into_iter().find(|(path, _)| path.ends_with("lb.toml")).unwrap();
    let plan = check(&text).unwrap().plan;
    let mut table = Vec::new();
    for service in &plan.services {
        assert_eq!((service.method, service.scheduler), (Method::Nat, SchedulerKind::Wrr));
        for server in &service.servers {
            let (vip, real) = ((service.vip, service.port), (server.address, server.port));
            table.push(format!(
                "{} {}:{} {}:{} {}",
                service.protocol, vip.0, vip.1, real.0, real.1, server.weight
            ));
        }
    }
    assert_eq!(
        table,
        [
            "tcp 202.103.106.5:80 172.16.0.2:80 1",
            "tcp 202.103.106.5:80 172.16.0.3:8000 2",
            "tcp 202.103.106.5:21 172.16.0.3:21 1",
        ]
    );
    let vips: Vec<_> = plan.every_vip().map(|vip| (vip.address.to_string(), vip.unserved)).collect();
    assert_eq!(vips, [("202.103.106.5".to_owned(), Unserved::Reject)]);
}

#[test]
fn the_reference_names_every_key() {
    let reference = include_str!("../../../../conf/README.md");
    for (_, text) in shipped() {
        let effective = check(&text).unwrap().to_string();
        let keys = effective.lines().filter_map(|line| line.split_once(" = ")).map(|(key, _)| key.trim());
        for key in keys.filter(|key| !key.starts_with('#')) {
            assert!(reference.contains(&format!("| `{key}` |")), "{key}");
        }
    }
}

#[test]
fn deep_nesting_does_not_exhaust_the_stack() {
    for text in ["x = ", "["].map(|start| start.to_owned() + &"[".repeat(100_000)) {
        assert!(check(&text).is_err());
    }
    assert!(check(&("a.".repeat(100_000) + "b = 1")).is_err());
}

#[test]
fn defaults_are_filled_in() {
    let config = check(&format!("{BASE}servers = [{{ address = \"198.51.100.11\" }}]")).unwrap();
    let service = &config.plan.services[0];
    assert_eq!((config.capacity, config.idle), (Capacity { v4: 1_000_000, v6: 65_536 }, Idle::Poll));
    assert!(config.plan.verify_checksums);
    assert_eq!(config.plan.tunnel_local, None);
    assert_eq!(config.plan.interfaces[0].mtu, 1500);
    let device = |name: &str| Device {
        name: name.to_owned(),
        members: Vec::new(),
        checksum_offload: true,
        tx_checksum_offload: Choice::Auto,
        tx_vlan_offload: Choice::Auto,
        host: None,
    };
    assert_eq!(config.devices, [device("net_af_packet0,iface=veth0,qpairs=2"), device("0000:03:00.1")]);
    assert_eq!((service.protocol, service.method), (Protocol::Tcp, Method::Nat));
    assert_eq!((service.scheduler, service.hash_port, service.adopt), (SchedulerKind::Wlc, false, false));
    assert_eq!((service.servers[0].port, service.servers[0].weight), (80, 1));
    let vips: Vec<_> = config.plan.every_vip().map(|vip| (vip.address.to_string(), vip.unserved)).collect();
    assert_eq!(vips, [("192.0.2.100".to_owned(), Unserved::Reject)]);
}

#[test]
fn a_name_has_64_characters_of_any_script() {
    for name in ["é".repeat(64), "負荷分散".repeat(16), "क्षेत्र".to_owned()] {
        let text = BASE.replace("\"web\"", &format!("\"{name}\""));
        let config = check(&text).unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(config.plan.services[0].name, name);
    }
    assert!(check(&BASE.replace("\"web\"", &format!("\"{}\"", "é".repeat(65)))).is_err());
}

#[test]
fn there_is_always_room_for_all_services() {
    assert_eq!(check(BASE).unwrap().room, Room { services: MAX_SERVICES, servers: 4_096 });
    let text = format!(
        "{BASE}servers = [{{ address = \"198.51.100.11\" }}]\nhealth = {{ sorry_server = \"198.51.100.12:80\" }}\n\
         [workers]\nservers = 2\n"
    );
    assert_eq!(check(&text).unwrap().room, Room { services: MAX_SERVICES, servers: 2 });
}

#[test]
fn a_port_can_be_left_unasked_for_checksums() {
    let text = BASE.replace("\n\n[[services]]", "\nchecksum_offload = false\n\n[[services]]");
    let config = check(&text).unwrap_or_else(|report| panic!("{report}"));
    let offloads = |config: &Config| config.devices.iter().map(|device| device.checksum_offload).collect();
    let told: Vec<bool> = offloads(&config);
    assert_eq!(told, [true, false]);
    let again: Vec<bool> = offloads(&check(&config.to_string()).unwrap());
    assert_eq!(again, told, "it survives being written out");
}

#[test]
fn what_a_port_does_to_packets_that_leave_is_chosen() {
    let said = "\ntx_checksum_offload = \"on\"\ntx_vlan_offload = \"off\"\n\n[[services]]";
    let config = check(&BASE.replace("\n\n[[services]]", said)).unwrap_or_else(|report| panic!("{report}"));
    let chosen = |config: &Config| -> Vec<(Choice, Choice)> {
        let of = |device: &Device| (device.tx_checksum_offload, device.tx_vlan_offload);
        config.devices.iter().map(of).collect()
    };
    let told = chosen(&config);
    assert_eq!(told, [(Choice::Auto, Choice::Auto), (Choice::On, Choice::Off)]);
    assert_eq!(chosen(&check(&config.to_string()).unwrap()), told, "it survives being written out");
}

#[test]
fn finer_timeouts_follow_coarser_ones() {
    let text = format!(
        "timeouts = {{ syn = \"3s\", fin = \"20s\", close_wait = \"9s\" }}\n{BASE}timeouts = {{ fin = \"5s\" }}\n"
    );
    let config = check(&text).unwrap();
    let seconds = |timeouts: &lb_core::conn::timeouts::Timeouts, state| timeouts.of(state).as_millis() / 1000;
    let all = &config.plan.timeouts;
    assert_eq!((seconds(all, State::SynSent), seconds(all, State::SynRecv)), (3, 3));
    assert_eq!((seconds(all, State::FinWait), seconds(all, State::TimeWait)), (20, 20));
    assert_eq!(seconds(all, State::CloseWait), 9, "its own key wins");
    assert_eq!(all.of(State::Established), Duration::from_secs(900), "untouched");
    let web = &config.plan.services[0].timeouts;
    assert_eq!(
        (seconds(web, State::FinWait), seconds(web, State::CloseWait)),
        (5, 5),
        "a service's fin leads its own"
    );
    assert_eq!(seconds(web, State::SynRecv), 3, "the rest is inherited");
}

#[test]
fn sharing_is_allowed() {
    let text = format!(
        "{BASE}servers = [{{ address = \"198.51.100.11\", port = 8080 }}, {{ address = \"198.51.100.11\", port = 8081 }}]\n
        [[services]]\nname = \"web2\"\nvip = \"192.0.2.101\"\nport = 80\nprotocol = \"tcp\"\nmethod = \"nat\"
        servers = [{{ address = \"198.51.100.11\", port = 8080, weight = 65535 }}]
        [[services]]\nname = \"web-udp\"\nvip = \"192.0.2.100\"\nport = 80\nprotocol = \"udp\"\nmethod = \"dr\"
        scheduler = \"sh\"\nflags = [\"sh-port\"]\nservers = [{{ address = \"198.51.100.11\" }}]
        [[vips]]\naddress = \"192.0.2.200\"\nunserved = \"drop\"\n"
    );
    let config = check(&text).unwrap_or_else(|report| panic!("{report}"));
    assert!(config.plan.services[2].hash_port);
    assert_eq!(config.plan.every_vip().count(), 3, "the one listed, and those of the services");
}

#[test]
fn checks_survive_being_written_out() {
    let text = format!(
        "{BASE}servers = [
          {{ address = \"198.51.100.11\" }},
          {{ address = \"198.51.100.12\", check = {{ type = \"none\" }} }},
          {{ address = \"198.51.100.13\", check = {{ type = \"udp\", payload = \"a\\u0000\\\"b\\\\\", expect = \"^b.\" }} }},
          {{ address = \"198.51.100.14\", check = {{ type = \"udp\", payload_hex = \"ff 00\", require_reply = true }} }},
          {{ address = \"198.51.100.15\", check = {{ type = \"dns\", name = \"example.org\", record = \"A\", port = 53 }} }},
          {{ address = \"198.51.100.16\", check = {{ type = \"command\", command = [\"/bin/true\", \"a b\"], user = \"nobody\" }} }},
          {{ address = \"198.51.100.17\", check = {{ type = \"icmp\", address = \"198.51.100.18\", warmup = \"0s\" }} }},
          {{ address = \"198.51.100.20\", check = {{ type = \"file\", file = \"/run/web1\", weight = 3, reverse = true }},
             agent = {{ type = \"none\" }} }},
          {{ address = \"198.51.100.21\", agent = {{ type = \"command\", command = [\"/bin/true\"] }} }},
          {{ address = \"198.51.100.22\", agent = {{ type = \"file\", file = \"/run/web1\" }},
             check = {{ type = \"command\", command = [\"/bin/true\"], dynamic = true }} }},
          {{ address = \"198.51.100.18\", check = {{ type = \"tcp\", via = \"ports\" }} }},
          {{ address = \"198.51.100.19\", check = {{ type = \"http\", host = \"www.example.org\", urls = [
            {{ path = \"/a\", digest = \"00112233445566778899AABBCCDDEEFF\" }}, {{ status = [204] }}] }} }},
        ]
        [services.agent]
        type = \"tcp\"
        port = 8100
        send = \"web\\n\"
        interval = \"3s\"
        [services.check]
        type = \"https\"
        sni = \"www.example.org\"
        verify = true
        ca = \"/etc/ca.pem\"
        status = [200, \"301-302\"]
        body = \"o[k]\"
        to = \"vip\"
        netns = \"checks\"
        device = \"eth0\"
        source = \"198.51.100.2\"
        mark = 7
        [services.health]
        quorum = 3
        hysteresis = 1
        sorry_server = \"198.51.100.99:8080\"
        quorum_up = [\"/bin/echo\", \"up\"]
        passive = {{}}
        [health]
        hook = [\"/bin/true\"]\n"
    );
    let config = check(&text).unwrap_or_else(|report| panic!("{report}"));
    let again = check(&config.to_string()).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(config.health, again.health);
    let web = &config.health.services[0];
    assert_eq!(web.pool.when_all_fail, WhenAllFail::Sorry, "because there is a sorry server");
    assert_eq!(web.pool.passive.map(|passive| passive.failures), Some(5));
    let kind = |last: u8| {
        let server = SocketAddr::new([198, 51, 100, last].into(), 80);
        web.check_of(server).map(|check| check.kind.name())
    };
    assert_eq!([11, 12, 14, 17].map(kind), [Some("https"), None, Some("udp"), Some("icmp")]);
    let own = web.check_of("198.51.100.13:80".parse().unwrap()).unwrap();
    assert!(matches!(&own.kind, Kind::Udp(udp) if udp.payload == b"a\0\"b\\"), "{own:?}");
    let agent = |last: u8| {
        let agent = web.agent_of(SocketAddr::new([198, 51, 100, last].into(), 80));
        agent.map(|agent| (agent.kind.name(), agent.interval.to_string()))
    };
    let known = |name, interval: &str| Some((name, interval.to_owned()));
    assert_eq!(
        [11, 20, 21, 22].map(agent),
        [known("tcp", "3s"), None, known("command", "2s"), known("file", "1s")]
    );
    let own = web.check_of("198.51.100.19:80".parse().unwrap()).unwrap();
    let Kind::Http(http) = &own.kind else { panic!("{own:?}") };
    let asked: Vec<_> = http.pages.iter().map(|page| (page.host.as_deref(), &*page.path)).collect();
    assert_eq!(asked, [(Some("www.example.org"), "/a"), (Some("www.example.org"), "/")]);
    assert_eq!(
        http.pages[0].digest.map(|digest| digest.to_string()).unwrap(),
        "00112233445566778899aabbccddeeff"
    );
}

#[test]
fn the_reference_names_every_key_of_checks() {
    let reference = include_str!("../../../../conf/README.md");
    let kinds = Kind::NAMES.map(|kind| {
        let rest = match kind {
            "command" => ", command = [\"/bin/true\"]",
            "file" => ", file = \"/run/lb/web1\"",
            _ => "",
        };
        let text = format!("{BASE}check = {{ type = \"{kind}\", no_such_key = 1{rest} }}\n");
        check(&text).unwrap_err()
    });
    let pool = check(&format!("{BASE}health = {{ no_such_key = 1, passive = {{ no_such_key = 1 }} }}\n"))
        .unwrap_err();
    let global = check(&format!("{BASE}[health]\nno_such_key = 1\n")).unwrap_err();
    for problem in kinds.iter().chain([&pool, &global]).flat_map(|report| &report.problems) {
        let keys = problem.complaint.remedy.strip_prefix("known here: ").expect("an unknown key");
        for key in keys.split(", ") {
            assert!(
                reference.contains(&format!("`{key}`")) || reference.contains(&format!("{key} = ")),
                "{key}"
            );
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_reported(text in "(\\PC|[\\t\\n\\r\\[\\]{}=.,\"'#])*") {
        if let Err(report) = check(&text) {
            prop_assert!(!report.problems.is_empty());
            prop_assert!(!report.to_string().is_empty());
        }
    }

    /// Cuts, doubles and moves pieces of good files, and writes odd values into them.
    #[test]
    fn mutated_files_are_read_or_reported(
        file: Index,
        edits in prop::collection::vec((any::<Index>(), any::<Index>(), 0..40_usize, any::<Index>(), "\\PC{0,3}"), 1..6),
    ) {
        let words = [
            "", "\n", "\"", "0", "-1", "99999999999999999999", "\"\"", "[]", "[[services]]\n", "[[ports]]\n", "x = 1\n",
            "0x_", "1.5", "true", "\"::1\"", "\"224.0.0.1\"", "[", "{", "}", "[[services.servers]]\n", "\t", "é",
        ];
        let files = shipped();
        let mut text: Vec<char> = file.get(&files).1.chars().collect();
        for (from, to, length, word, noise) in edits {
            let from = from.index(text.len() + 1);
            let end = (from + length).min(text.len());
            let cut: Vec<char> = text.drain(from..end).collect();
            let to = to.index(text.len() + 1);
            let new = format!("{}{noise}", word.get(&words));
            text.splice(to..to, new.chars().chain(cut));
        }
        let text: String = text.into_iter().collect();
        match parse("lb.toml", &text, LIMITS) {
            Ok(config) => {
                let again = check(&config.to_string()).map_err(|report| TestCaseError::fail(report.to_string()))?;
                prop_assert_eq!(format!("{:?}", config), format!("{:?}", again));
            }
            Err(report) => prop_assert!(report.to_string().contains("lb.toml:")),
        }
    }
}

#[test]
fn a_bond_has_its_members_and_survives_being_written_out() {
    let text = BASE.replace(
        "\"0000:03:00.1\"",
        "\"net_bonding0,mode=4\"\nmembers = [\"0000:03:00.1\", \"net_tap0,iface=x\"]",
    );
    let config = check(&text).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(config.devices[1].members, ["0000:03:00.1", "net_tap0,iface=x"]);
    let again = check(&config.to_string()).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(again.devices, config.devices);
    let by_command_line = BASE.replace("\"0000:03:00.1\"", "\"net_bonding0\"");
    assert!(check(&by_command_line).is_ok());
}
