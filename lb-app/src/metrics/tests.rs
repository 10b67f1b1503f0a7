//! What is written, judged by Prometheus's own tool; and how long it takes.

use super::{
    facts::{Facts, Port, Server, Service, Worker},
    names::Names,
    serve::Exporter,
    text::Format,
    whole,
};
use crate::{
    config::health::Pool,
    control::{file::watched::Told, live::locals::Usage, sync},
    health::{
        Role,
        report::{Admission, Progress, Report, ServerReport, ServerState, ServiceReport},
    },
    journal::Journal,
};
use lb_core::{
    counters::DropReason,
    peers::{
        ipvs::{backup, master},
        machine::PeerFacts,
        session::Counts,
    },
    service::{
        key::{Protocol, ServiceKey},
        plan::{Advice, Method, Plan, ServerPlan, ServicePlan},
    },
};
use lb_ctl::protocol::connections::Fill;
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

fn ports_of(address: [u8; 4], (used, capacity, each): (u64, u64, u64)) -> Usage {
    Usage { address: address.into(), services: Vec::new(), servers: 2, used, capacity, each }
}

/// With one peer.
fn peers() -> sync::Facts {
    let peer = PeerFacts {
        address: "10.0.0.12:4789".parse().unwrap(),
        is_up: true,
        heard: None,
        is_whole: true,
        held: 5,
        missing: 0,
        unacknowledged: 2,
        same_tables: Some(true),
        counts: Counts { sent: [10, 1_000], wrong_key: 1, ..Counts::default() },
    };
    sync::Facts {
        peers: vec![peer],
        own: [7, 0],
        own_clients: [4, 1],
        clients: [3, 2],
        held: 5,
        capacity: 131_072,
        ..sync::Facts::default()
    }
}

/// A director with that many services, and servers for each.
fn facts(services: usize, servers: usize) -> Facts {
    let mut facts = Facts {
        uptime_s: 12.5,
        tables: ["IPv4", "IPv6"].map(|family| Fill {
            family: family.to_owned(),
            connections: 7,
            capacity: 500_000,
        }),
        persistence: [9, 93_632, 1, 0],
        changes: 3,
        reloads: [2, 1],
        host_sides: vec![("wan".to_owned(), [3, 2, 1, 0])],
        active: vec![("192.0.2.100".to_owned(), true)],
        interfaces: vec![("clients".to_owned(), "wan".to_owned(), [4, 3, 2, 1])],
        announced: vec![("192.0.2.100".to_owned(), true)],
        sync: (peers(), 3),
        ipvs: Some((
            sync::ipvs::Facts {
                backup: Some((
                    backup::Counts {
                        datagrams: 4,
                        connections: 90,
                        malformed: 1,
                        ..backup::Counts::default()
                    },
                    80,
                )),
                master: Some((
                    master::Counts { datagrams: 3, bytes: 3_900, entries: 100, ..master::Counts::default() },
                    [50, 7],
                )),
                ..sync::ipvs::Facts::default()
            },
            2,
        )),
        local_addresses: vec![
            ports_of([198, 51, 100, 20], (12, 129_024, 0)),
            ports_of([192, 0, 2, 50], (3, 0, 64_512)),
        ],
        watched: Some(Told { sha256: Some("0".repeat(64)), refused: None }),
        events: Journal::new().counts(),
        buffers: [100, 4_095],
        described: [vec!["{service=\"web\",description=\"the shop\"}".to_owned()], Vec::new()],
        ports: vec![Port {
            name: "wan".to_owned(),
            counters: [1; 8],
            link_up: true,
            members: vec![("net_tap0".to_owned(), true)],
            started: true,
        }],
        ..Facts::default()
    };
    facts.workers.push(Worker {
        counters: [5; 25],
        connections: 7,
        dropped: vec![1; DropReason::ALL.len()],
        cycles: [1_000, 2_000],
        polls: vec![(0, 10), (1, 2), (3, 1)],
        polled: 5,
        ..Worker::default()
    });
    let plan = plan(services, servers);
    let mut names = Names::default();
    names.follow(&plan, 1);
    let mut report = Report { services: Vec::new(), hooks: (1, 0) };
    for service in &plan.services {
        let key = service.key();
        let endpoints = service.servers.iter().map(ServerPlan::endpoint);
        let counters = [1_234_567_890; 5];
        facts.servers.extend(endpoints.clone().map(|server| Server {
            labels: names.server(key.server(server)),
            counters,
            active: 123,
            inactive: 45,
            weight: 1,
            enabled: true,
        }));
        facts.services.push(Service {
            labels: names.service(key, &service.name),
            counters,
            active: 123,
            inactive: 45,
            servers: [servers as u64; 2],
        });
        report.services.push(ServiceReport {
            key,
            name: service.name.clone(),
            quorum: true,
            quorum_changes: 2,
            pool: Pool::default(),
            up_weight: 1,
            kept: false,
            sorry: Some((SocketAddr::new(service.vip, 81), false)),
            servers: endpoints
                .map(|address| ServerReport {
                    address,
                    check: None,
                    state: ServerState::Up,
                    role: Role::Serves,
                    admission: Admission::Admitted,
                    agent: None,
                    advice: Advice::default(),
                    progress: Progress::default(),
                    for_ms: 0,
                    checks: 9,
                    failures: 1,
                    transitions: 0,
                    took_us: 1_500,
                    last_failure: Some(("it refused the connection".to_owned(), SystemTime::now())),
                })
                .collect(),
        });
    }
    facts.health = Some(report);
    facts.names = Arc::new(names);
    facts
}

fn plan(services: usize, servers: usize) -> Plan {
    let mut plan = Plan::default();
    for service in 0..services {
        let server =
            |server: usize| ServerPlan::new(Ipv4Addr::from_bits(0xc633_6400 + server as u32), 8_080, 1);
        let vip = SocketAddr::new(Ipv4Addr::from_bits(0xc000_0200 + service as u32).into(), 80);
        plan.services.push(ServicePlan {
            servers: (0..servers).map(server).collect(),
            ..ServicePlan::new(format!("web-{service}"), ServiceKey::new(Protocol::Tcp, vip), Method::Nat)
        });
    }
    plan
}

/// Labels are kept as long as what they name, and no longer.
#[test]
fn labels_follow_the_plan() {
    let mut names = Names::default();
    let mut plan = plan(2, 2);
    names.follow(&plan, 1);
    assert!(names.is_of(1) && !names.is_of(2));
    let (first, second) = (plan.services[0].key(), plan.services[1].key());
    let server = first.server(plan.services[0].servers[0].endpoint());
    let before = (names.service(first, "web-0"), names.server(server));
    assert!(
        before
            .0
            .starts_with("{service=\"web-0\",local_address=\"192.0.2.0\",local_port=\"80\",proto=\"TCP\"")
    );
    assert!(before.1.contains("remote_address=\"198.51.100.0\",remote_port=\"8080\""));

    plan.services.remove(1);
    plan.services[0].servers.remove(1);
    names.follow(&plan, 2);
    assert!(Arc::ptr_eq(&before.1, &names.server(server)), "made once");
    // What was removed keeps its name, for connections that still use it.
    assert!(names.service(second, "web-1").contains("web-1"));

    plan.services[0].name = "other".to_owned();
    names.follow(&plan, 3);
    assert!(names.service(first, "other").contains("service=\"other\""));
}

/// Services that share an address and port, and a server, have different labels.
#[test]
fn names_tell_services_apart_that_share_an_address_and_port() {
    let mut names = Names::default();
    let mut plan = plan(1, 1);
    let mut tenant = plan.services[0].clone();
    tenant.name = "tenant".to_owned();
    tenant.beside.on = vec!["wan".to_owned()];
    plan.services.push(tenant);
    names.follow(&plan, 1);
    let [all, tenant] = [0, 1].map(|at| plan.services[at].key());
    let server = plan.services[0].servers[0].endpoint();
    assert!(names.service(all, "web-0").ends_with("proto=\"TCP\",local_mark=\"\"}"));
    assert!(names.service(tenant, "tenant").ends_with("proto=\"TCP\",local_mark=\"tenant\"}"));
    assert_ne!(names.server(all.server(server)), names.server(tenant.server(server)));
    let known = names.server(tenant.server(server));
    assert_eq!(Names::default().server(tenant.server(server)), known, "that is gone as well");
}

fn write(facts: &Facts, format: Format) -> String {
    let mut text = Vec::new();
    whole::write(facts, format, |piece| text.extend(piece));
    String::from_utf8(text).unwrap()
}

#[test]
fn promtool_finds_nothing_wrong() {
    let text = write(&facts(2, 2), Format::Prometheus);
    let mut promtool = Command::new("promtool");
    let mut promtool = promtool
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
}

/// A file beside the sources.
fn file(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Each alert goes off when it should, and not before.
#[test]
fn alerts_go_off_when_they_should() {
    for arguments in [
        ["check", "rules", "conf/prometheus/lb-app.rules.yml"],
        ["test", "rules", "tests/prometheus/lb-app.rules.test.yml"],
    ] {
        let [verb, what, path] = arguments;
        let output = Command::new("promtool").args([verb, what]).arg(file(path)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
    let text = |path: &str| std::fs::read_to_string(file(path)).unwrap();
    let rules = text("conf/prometheus/lb-app.rules.yml");
    let tests = text("tests/prometheus/lb-app.rules.test.yml");
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert} is not tested");
    }
}

/// What rules and dashboard ask for is there.
#[test]
fn rules_and_dashboard_know_the_metrics() {
    let metrics = write(&facts(1, 1), Format::Prometheus);
    for path in ["conf/prometheus/lb-app.rules.yml", "conf/grafana/lb-app.json"] {
        let text = std::fs::read_to_string(file(path)).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for name in words.filter(|word| word.starts_with("lb_")) {
            let is_there = metrics
                .lines()
                .any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
            assert!(is_there, "{path}: there is no {name}");
        }
    }
}

#[test]
fn every_metric_is_documented() {
    let reference = include_str!("../../../docs/metrics.md");
    let text = write(&facts(1, 1), Format::Prometheus);
    for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = name.split(' ').next().unwrap();
        assert!(reference.contains(&format!("| `{name}` |")), "{name}");
    }
}

/// A connection with a request on it.
fn ask(address: SocketAddr, path: &str, accept: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

#[test]
fn metrics_are_served_over_http() {
    let source = Arc::new(|| Some(facts(3, 200)));
    let exporter =
        Exporter::start("127.0.0.1:0".parse().unwrap(), source, None, &Arc::new(Journal::new())).unwrap();
    let address = exporter.place().borrow().clone().unwrap();
    let get = |path: &str, accept: &str| {
        let mut answer = String::new();
        ask(address, path, accept).read_to_string(&mut answer).unwrap();
        answer
    };
    let open = get("/metrics", "application/openmetrics-text; version=1.0.0");
    assert!(open.starts_with("HTTP/1.1 200 OK\r\n") && open.contains("# EOF\n"), "{open}");
    assert!(open.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
    let old = get("/metrics", "*/*");
    assert!(
        old.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n") && !old.contains("# EOF")
    );
    assert!(get("/", "*/*").contains("/metrics"));
    assert!(get("/other", "*/*").starts_with("HTTP/1.1 404 "));
    exporter.stop();
}

/// Clients that ask and do not read, or connect and do not ask, have to make room. What they get is no whole answer.
#[test]
fn clients_that_do_not_read_shut_nobody_out() {
    // More than sockets hold.
    let source = Arc::new(|| Some(facts(300, 100)));
    let exporter =
        Exporter::start("127.0.0.1:0".parse().unwrap(), source, None, &Arc::new(Journal::new())).unwrap();
    let address = exporter.place().borrow().clone().unwrap();
    let mut idle: Vec<TcpStream> = (0..20).map(|_| ask(address, "/metrics", "*/*")).collect();
    idle.extend((0..20).map(|_| TcpStream::connect(address).unwrap()));
    let mut answer = Vec::new();
    ask(address, "/", "*/*").read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    // Some that ask come last, so that every place for a scrape is taken when the next does.
    idle.extend((0..20).map(|_| ask(address, "/metrics", "*/*")));
    // They have taken them when their turn is over; whoever still waited could have the next one make room.
    std::thread::sleep(Duration::from_millis(1_500));
    answer.clear();
    ask(address, "/metrics", "*/*").read_to_end(&mut answer).unwrap();
    assert!(answer.len() > 10_000_000 && answer.ends_with(b"\r\n0\r\n\r\n"), "{} bytes", answer.len());
    answer.clear();
    let _ = idle[0].read_to_end(&mut answer);
    assert!(!answer.ends_with(b"\r\n0\r\n\r\n"), "what was cut off must not pass for everything");
    exporter.stop();
}

/// Somebody else listens there, and ends some time later.
#[test]
fn an_address_that_is_taken_is_waited_for() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let exporter =
        Exporter::start(address, Arc::new(|| Some(facts(1, 1))), None, &Arc::new(Journal::new())).unwrap();
    let place = exporter.place();
    let failure = place.borrow().clone().unwrap_err();
    assert_eq!(failure, format!("cannot serve metrics at {address}: Address already in use (os error 98)"));
    drop(other);
    let start = Instant::now();
    while place.borrow().is_err() {
        assert!(start.elapsed() < Duration::from_secs(60), "it does not try again");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut answer = String::new();
    ask(address, "/metrics", "*/*").read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    exporter.stop();
}

/// A thousand services of a hundred servers. The limit is for a debug build on a busy machine; `docs/metrics.md` has
/// figures.
#[test]
fn a_large_director_is_written_quickly() {
    let facts = facts(1_000, 100);
    let start = Instant::now();
    let mut bytes = 0;
    whole::write(&facts, Format::OpenMetrics, |piece| bytes += piece.len());
    let took = start.elapsed();
    println!("{bytes} bytes in {took:?}");
    assert!(bytes > 100_000_000 && took.as_secs() < 5, "{bytes} bytes in {took:?}");
}
