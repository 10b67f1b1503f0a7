//! Every kind of check, against servers on loopback that are well, and that are ill in every way; and the whole of it,
//! with a plan instead of a director.

use super::{
    Balancer, Monitor, Order, Role, Wanted,
    probe::{Finding, Means, Target, probe},
    report::ServerState,
};
use crate::config::{Config, Limits, health::Check, parse};
use lb_core::service::plan::Plan;
use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, UdpSocket},
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

const SERVICE: &str = "[[ports]]\nname = \"wan\"\ndevice = \"d\"\naddresses = [\"192.0.2.1/24\"]\n\
                       [[services]]\nname = \"web\"\nvip = \"192.0.2.100\"\nport = 80\nprotocol = \"tcp\"\nmethod = \"nat\"\n";

/// The configuration of a service with these lines.
fn service(lines: &str) -> Config {
    let text = format!("{SERVICE}{lines}");
    let config = parse("lb.toml", &text, Limits { workers: 1, available_bytes: u64::MAX });
    config.unwrap_or_else(|report| panic!("{report}"))
}

/// The check `{ KEYS }`, as a service has it.
fn check(keys: &str) -> Arc<Check> {
    let config = service(&format!("check = {{ timeout = \"300ms\", {keys} }}\n"));
    config.health.services[0].check.clone().unwrap()
}

fn target(port: u16) -> Target {
    Target { name: "web".to_owned(), key: format!("127.0.0.1:{port} of tcp 192.0.2.100:80").parse().unwrap() }
}

/// What a check finds out about the server at this port of loopback.
fn find(keys: &str, port: u16) -> Finding {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let means = Means::new(16, None);
    runtime.block_on(async { probe(&means, &check(keys), &target(port)).await.0 })
}

fn fails(keys: &str, port: u16) -> String {
    find(keys, port).expect_err(keys)
}

/// A TCP server that does the same with every connection. It lives as long as the test.
fn server(serve: impl Fn(std::net::TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().flatten().for_each(serve));
    port
}

/// One that reads a request and writes `answer`.
fn answering(answer: &'static str) -> u16 {
    server(move |mut stream| {
        let mut request = [0; 1_024];
        let _ = stream.read(&mut request);
        let _ = stream.write_all(answer.as_bytes());
    })
}

/// A port that nothing listens on.
fn nobody() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A UDP server that answers every datagram with what `answer` makes of it.
fn udp(answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> u16 {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut buffer = [0; 2_048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let answer = answer(&buffer[..length]);
            if !answer.is_empty() {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    port
}

#[test]
fn tcp() {
    let tcp = "type = \"tcp\"";
    assert_eq!(find(tcp, answering("")), Ok(()));
    assert_eq!(fails(tcp, nobody()), "it refused the connection");
    assert_eq!(find(&format!("{tcp}, port = {}", answering("")), nobody()), Ok(()), "another port");
    assert!(fails(&format!("{tcp}, device = \"nosuchdevice\""), 80).starts_with("interface nosuchdevice: "));
    assert!(
        fails(&format!("{tcp}, netns = \"nosuchns\""), 80)
            .starts_with("network namespace /run/netns/nosuchns: ")
    );
}

#[test]
fn http() {
    let http = "type = \"http\"";
    let well = answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready");
    let ill = answering("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n");
    let hung = server(|stream| {
        thread::sleep(Duration::from_secs(2));
        drop(stream);
    });
    assert_eq!(find(http, well), Ok(()));
    assert_eq!(find(&format!("{http}, body = \"^re.*y$\""), well), Ok(()));
    assert_eq!(fails(&format!("{http}, body = \"asleep\""), well), "its answer does not match \"asleep\"");
    assert_eq!(fails(http, ill), "it answered with status 500");
    assert_eq!(find(&format!("{http}, status = [\"500-599\"]"), ill), Ok(()));
    assert_eq!(fails(http, hung), "no answer within 300ms");
    assert_eq!(fails(http, nobody()), "it refused the connection");
    assert_eq!(fails(http, answering("nonsense\r\n\r\n")), "its answer is not HTTP");
    assert_eq!(fails(http, answering("")), "it closed the connection without an answer");
    let request = Arc::new(Mutex::new(Vec::new()));
    let seen = request.clone();
    let listening = server(move |mut stream| {
        let mut buffer = [0; 1_024];
        let length = stream.read(&mut buffer).unwrap_or(0);
        seen.lock().unwrap().extend_from_slice(&buffer[..length]);
    });
    fails(
        &format!("{http}, method = \"HEAD\", path = \"/health?a=b\", host = \"www.example.org\""),
        listening,
    );
    let request = String::from_utf8(request.lock().unwrap().clone()).unwrap().to_lowercase();
    assert!(request.starts_with("head /health?a=b http/1.1\r\nhost: www.example.org\r\n"), "{request}");
}

#[test]
fn https() {
    let folder = std::env::temp_dir().join(format!("lb-app-health-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let output = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=www.example.org", "-addext", "subjectAltName=DNS:www.example.org"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let port = tls_server(&certificate, &key);
    let https = "type = \"https\", sni = \"www.example.org\"";
    assert_eq!(find(https, port), Ok(()), "not verified");
    let ca = format!("verify = true, ca = \"{}\"", certificate.display());
    assert_eq!(find(&format!("{https}, {ca}"), port), Ok(()), "verified");
    let other = fails(&format!("type = \"https\", sni = \"www.example.com\", {ca}"), port);
    assert!(other.starts_with("no TLS: invalid peer certificate: certificate not valid for name"), "{other}");
    let missing = fails(&format!("{https}, verify = true, ca = \"/nonexistent.pem\""), port);
    assert!(missing.starts_with("certificates of /nonexistent.pem: "), "{missing}");
    let plain = fails(https, answering("HTTP/1.1 200 OK\r\n\r\n"));
    assert!(plain.starts_with("no TLS: "), "{plain}");
    fs::remove_dir_all(folder).unwrap();
}

fn tls_server(certificate: &PathBuf, key: &PathBuf) -> u16 {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let certificates = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(certificates, key).unwrap());
    server(move |mut stream| {
        let mut connection = rustls::ServerConnection::new(config.clone()).unwrap();
        let mut tls = rustls::Stream::new(&mut connection, &mut stream);
        let mut request = [0; 1_024];
        if tls.read(&mut request).is_ok() {
            let _ = tls.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
    })
}

#[test]
fn datagrams() {
    let echo = udp(<[u8]>::to_vec);
    let silent = udp(|_| Vec::new());
    let ping = "type = \"udp\", payload = \"ping\"";
    assert_eq!(find(&format!("{ping}, expect = \"^ping$\""), echo), Ok(()));
    assert_eq!(fails(&format!("{ping}, expect = \"pong\""), echo), "its answer does not match \"pong\"");
    assert_eq!(find(ping, silent), Ok(()), "silence is fine");
    assert_eq!(fails(&format!("{ping}, require_reply = true"), silent), "no answer within 300ms");
    let closed = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    assert_eq!(fails(ping, closed), "nothing listens on its port");
    assert!(
        find("type = \"udp\", payload_hex = \"00ff\", expect = '\\x00\\xff'", echo).is_err(),
        "that is UTF-8"
    );
    assert_eq!(find("type = \"udp\", payload_hex = \"00ff\", expect = '(?-u)^\\x00\\xff$'", echo), Ok(()));
}

#[test]
fn dns() {
    let answering = |flags: [u8; 2]| {
        udp(move |query| {
            let mut answer = query.to_vec();
            answer[2..4].copy_from_slice(&flags);
            answer
        })
    };
    let dns = "type = \"dns\", name = \"example.org\", record = \"A\"";
    assert_eq!(find(dns, answering([0x81, 0x80])), Ok(()));
    assert_eq!(fails(dns, answering([0x81, 0x85])), "it answered REFUSED");
    assert_eq!(fails(dns, answering([0x01, 0x00])), "no answer within 300ms", "queries are no answers");
}

#[test]
fn icmp() {
    assert_eq!(find("type = \"icmp\"", 0), Ok(()));
}

#[test]
fn commands() {
    let run = |script: &str, more: &str| {
        find(&format!("type = \"command\", command = [\"/bin/sh\", \"-c\", '{script}'] {more}"), 8080)
    };
    assert_eq!(run("exit 0", ""), Ok(()));
    assert_eq!(run("exit 3", ""), Err("/bin/sh ended with status 3".to_owned()));
    assert_eq!(
        run("echo; echo too bad >&2; exit 1", ""),
        Err("/bin/sh ended with status 1: too bad".to_owned())
    );
    assert_eq!(run("kill -9 $$", ""), Err("/bin/sh was ended by a signal".to_owned()));
    let told = "test $LB_SERVICE:$LB_PROTOCOL:$LB_VIP:$LB_VIP_PORT:$LB_SERVER:$LB_SERVER_PORT = web:tcp:192.0.2.100:80:127.0.0.1:8080";
    assert_eq!(run(told, ""), Ok(()));
    let late = run("sleep 5", "").unwrap_err();
    assert!(late.contains("took longer than 300 ms") || late == "no answer within 300ms", "{late}");
    let hungry = run("x=$(head -c 100000000 /dev/zero | tr \"\\\\0\" a); exit 0", ", memory_mib = 16");
    assert!(hungry.is_err(), "{hungry:?}");
    assert!(run("yes", "").is_err(), "endless output");
    assert!(fails("type = \"command\", command = [\"/nonexistent\"]", 80).starts_with("/nonexistent: "));
}

/// Neither a program that took too long nor what it started is left.
#[test]
fn a_late_command_is_ended_with_its_descendants() {
    let mark = format!("{}", 86_400 + std::process::id());
    let script = format!("sleep {mark} & sleep {mark}");
    let keys = format!("type = \"command\", command = [\"/bin/sh\", \"-c\", \"{script}\"]");
    fails(&keys, 80);
    let running = || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
        lines.filter(|line| line.starts_with(format!("sleep\0{mark}").as_bytes())).count()
    };
    eventually(|| running() == 0);
}

/// A plan that orders are only written down for.
struct Paper {
    wanted: Mutex<Wanted>,
    orders: Mutex<Vec<Order>>,
}

impl Balancer for Paper {
    fn wanted(&self) -> Option<Wanted> {
        Some(self.wanted.lock().unwrap().clone())
    }

    fn carry_out(&self, orders: &[Order]) -> Result<(), String> {
        self.orders.lock().unwrap().extend_from_slice(orders);
        self.wanted.lock().unwrap().number += 1;
        Ok(())
    }
}

impl Paper {
    fn new(config: Config) -> Arc<Self> {
        let wanted = Wanted { plan: Arc::new(config.plan.clone()), config: Arc::new(config), number: 0 };
        Arc::new(Paper { wanted: Mutex::new(wanted), orders: Mutex::default() })
    }

    /// The last order's roles and that of the sorry server.
    fn last(&self) -> (Vec<Role>, Option<Role>) {
        let orders = self.orders.lock().unwrap();
        let last = orders.last().unwrap();
        (last.roles.iter().map(|(_, role)| *role).collect(), last.sorry.map(|(_, role)| role))
    }
}

fn eventually(mut probe: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !probe() {
        assert!(Instant::now() < deadline, "it did not happen");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn from_checks_to_orders_and_back() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let lines = format!(
        "servers = [{{ address = \"192.0.2.11\" }}, {{ address = \"192.0.2.12\", check = {{ type = \"none\" }}, weight = 0 }}]
         check = {{ type = \"tcp\", address = \"192.0.2.11\", port = {port}, interval = \"20ms\", retry_interval = \"10ms\", warmup = \"0s\" }}
         health = {{ sorry_server = \"192.0.2.99:8080\" }}\n"
    );
    let mut config = service(&lines);
    // Checks may not be configured for loopback, where nothing but this test is.
    let check = Arc::make_mut(config.health.services[0].check.as_mut().unwrap());
    check.address = Some(Ipv4Addr::LOCALHOST);
    let paper = Paper::new(config);
    let monitor = Monitor::start(paper.clone()).unwrap();
    assert_eq!(paper.last(), (vec![Role::Serves; 2], Some(Role::Out)), "from the first moment on");
    eventually(|| monitor.report().services[0].servers[0].checks > 3);

    drop(listener);
    eventually(|| paper.last() == (vec![Role::Out, Role::Inhibited], Some(Role::Serves)));
    let report = monitor.report();
    let server = &report.services[0].servers[0];
    assert_eq!((server.state, server.transitions, server.failures >= 3), (ServerState::Down, 1, true));
    assert_eq!(server.last_failure.as_ref().unwrap().0, "it refused the connection");
    assert_eq!((report.services[0].quorum, report.services[0].quorum_changes), (false, 1));

    let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    eventually(|| paper.last() == (vec![Role::Serves; 2], Some(Role::Out)));

    // What is taken out of the plan is not checked any more.
    let mut without = Plan::clone(&paper.wanted().unwrap().plan);
    without.services[0].servers.clear();
    let mut wanted = paper.wanted.lock().unwrap();
    (wanted.plan, wanted.number) = (Arc::new(without), 1_000);
    drop(wanted);
    eventually(|| monitor.report().services[0].servers.is_empty());
    monitor.stop();
}

/// Thousands of servers, checked every four seconds, on the threads and descriptors that a director has for it.
#[test]
fn many_checks_keep_their_pace() {
    const SERVERS: usize = 4_000;
    let echo = udp(<[u8]>::to_vec);
    let servers: Vec<String> = (0..SERVERS)
        .map(|n| format!("{{ address = \"192.0.2.{}\", port = {} }}", 2 + n % 90, 1_000 + n / 90))
        .collect();
    let lines = format!(
        "servers = [{}]\ncheck = {{ type = \"udp\", payload = \"ping\", require_reply = true, interval = \"4s\", timeout = \"3900ms\", port = {echo} }}\n",
        servers.join(", ")
    );
    let mut config = service(&lines);
    Arc::make_mut(config.health.services[0].check.as_mut().unwrap()).address = Some(Ipv4Addr::LOCALHOST);
    let monitor = Monitor::start(Paper::new(config)).unwrap();
    let all = || monitor.report().services[0].servers.clone();
    // Asking is not free either.
    eventually(|| {
        thread::sleep(Duration::from_millis(500));
        all().iter().all(|server| server.checks >= 2)
    });
    let failed = all().into_iter().find(|server| server.failures > 0);
    assert_eq!(failed.map(|server| server.last_failure), None);
    monitor.stop();
}
