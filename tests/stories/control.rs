//! The running director is asked and changed through `lbctl`, while traffic passes.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::load::Load;
use lb_stories::process::{PATIENCE, eventually};
use lb_stories::{Config, Method, World, world};

/// Every command that reads, and words of its answer.
const READERS: [(&str, &[&str]); 42] = [
    ("show director", &["forwarding; 2 workers, 2 ports"]),
    ("show events", &["started", "forwards 1 services with 2 workers"]),
    ("-Ln", &["Prot LocalAddress:Port Scheduler Flags", "TCP  192.0.2.100:80 rr", "198.51.100.11:8080"]),
    (
        "show services",
        &["TCP  192.0.2.100:80 tcp-nat-80 rr", "Forward Weight ActiveConn InActConn", "Masq    1      1"],
    ),
    ("-Ln --stats", &["Conns   InPkts  OutPkts  InBytes OutBytes"]),
    ("show services tcp-nat-80 rate", &["CPS    InPPS   OutPPS    InBPS   OutBPS"]),
    ("show host", &["no port has a host side", "role active", "192.0.2.100 ", " active"]),
    ("show interfaces", &["wan on port wan: untagged, up, MAC ", "addresses 192.0.2.1/24"]),
    ("show local-addresses", &["there are no local addresses: they are for method fullnat and [[snat]]"]),
    ("show snat", &["there are no rules of [[snat]]", "dropped, no-snat: 0 packets"]),
    ("show persistence", &["RemoteAddress:Port", "0 of 0 clients, room for "]),
    ("show sync", &["no peers: there are no `peers` in [sync]"]),
    ("show announced", &["nothing is announced: [announce] has neither `file` nor `interface`"]),
    ("show health", &["RemoteAddress:Port", "quorum reached, weight 2 up", "tcp", "serves", "in "]),
    ("-Lnc", &["IPVS connection entries", "pro expire state", "TCP 1", "ESTABLISHED"]),
    ("show connections state established protocol tcp vip 192.0.2.100 limit 5", &["192.0.2.10:", "1 shown"]),
    ("count connections", &["connections, 1 of them active, capacity 262144", "  worker 1: "]),
    ("show neighbours", &["198.51.100.11 on lan at "]),
    ("show routes", &["198.51.100.0/24 on lan attached, own address 198.51.100.1"]),
    ("show overview 198.51.100.11 up", &["tcp-nat-80", "2/2", "1 of 1 services: 1 up"]),
    ("show workers", &["worker 0 on lcore 1", "% busy", "handed over: client "]),
    ("show workers histogram", &["packets per poll", "  16-31"]),
    (
        "explain gre 192.0.2.10 192.0.2.100 call 7",
        &["protocol 47 192.0.2.10 > 192.0.2.100", "no service has protocol 47"],
    ),
    ("explain esp 192.0.2.10 192.0.2.100", &["ESP 192.0.2.10 > 192.0.2.100"]),
    ("show drops all", &["tx-full", "dropped of"]),
    ("show timeouts", &["tcp-nat-80", "ESTABLISHED      15m00s"]),
    ("show timeouts tcp-nat-80", &["UDP              5m00s"]),
    (
        "show tables",
        &["connections of IPv4, worker 1", "connections of IPv6, worker 0", "65536", "neighbours, worker 0"],
    ),
    ("show memory", &["connection tables", "bytes per connection", "pool lb-packets"]),
    ("show port info all", &["* Infos for port 0 ", "Driver name: net_af_packet", "Port status: started"]),
    ("show port info lan", &["* Infos for port 1 ", "MTU: 1500"]),
    ("show port stats 0", &["# NIC statistics for port 0 ", "RX-packets: ", "Tx-bps:"]),
    ("show port xstats 1", &["NIC extended statistics for port 1", "rx_good_packets: "]),
    ("show port summary all", &["Port MAC Address       Name", "lan          net_af_packet  up"]),
    ("show port 0 rss reta", &["port 0 does not report its redirection table"]),
    ("show port 0 rss-hash", &["RSS disabled"]),
    ("show config fwd", &["Logical Core 2 (socket 0) forwards packets on 2 streams", "RX P=1/Q=1"]),
    ("show config rxtx", &["packets/burst=32", "RX queue number: 2"]),
    ("show config cores", &["List of forwarding lcores: 1,2"]),
    (
        "show fwd stats all",
        &["Forward statistics for port 1", "Accumulated forward statistics for all ports"],
    ),
    ("dump mempool", &["mempool <lb-packets>", "in_use_count="]),
    ("top once", &["sorted by configuration", "tcp-nat-80 TCP 192.0.2.100:80", "WORKER"]),
];

#[test]
fn every_reader_answers_in_text_and_in_json() -> Result<()> {
    for command in crate::common::readers() {
        // These have stories of their own.
        let told = ["show health", "explain", "trace", "capture", "show connection ", "-Ln"];
        let subject: Vec<_> = command.split(' ').take(2).collect();
        let is_here = READERS.iter().any(|(known, _)| known.starts_with(&subject.join(" ")));
        assert!(
            is_here || told.iter().any(|word| command.starts_with(word)),
            "no words are expected of {command}"
        );
    }
    let world = World::new()?;
    // The check comes once, at a time that no test waits for.
    let checked =
        Service::tcp(Method::Nat, world::HTTP).line("check = { type = \"tcp\", interval = \"1h\" }");
    let config = Config::new().service(checked);
    let director = world.start(&config)?;
    let control = Control::of(&director)?;
    assert_eq!(fs::metadata(control.socket())?.permissions().mode() & 0o777, 0o660);
    let target = Method::Nat.at(world::HTTP);
    world.client().who_answers(target, 10)?;
    let mut session = world.client().http(target)?;
    session.get("/small")?;
    // The board of loads is summed up every few milliseconds.
    ensure!(eventually(PATIENCE, || Ok(control.ask("count connections")?.contains("1 of them active")))?);

    let schema: serde_json::Value = serde_json::from_str(&lb_ctl::protocol::schema::answers())?;
    let schema = jsonschema::validator_for(&schema)?;
    for (command, words) in READERS {
        let text = control.ask(command)?;
        for word in words {
            assert!(text.contains(word), "no {word:?} in the answer to {command}:\n{text}");
        }
        if command == "top once" {
            continue;
        }
        for line in control.ask(&format!("--json {command}"))?.lines() {
            let answer = serde_json::from_str(line)?;
            if let Err(error) = schema.validate(&answer) {
                panic!("{command}: {error}\n{line}");
            }
        }
    }

    let port = session.stream().local_addr()?.port();
    let detail = control.ask(&format!("show connection tcp 192.0.2.10:{port} 192.0.2.100:80"))?;
    for word in ["state      ESTABLISHED", "service    tcp-nat-80", "remaining  14m5", "in         "] {
        assert!(detail.contains(word), "no {word:?} in\n{detail}");
    }
    session.get("/small")?;
    director.stop()?;
    assert!(!control.socket().exists(), "the socket is left behind");
    Ok(())
}

#[test]
fn what_is_changed_takes_effect() -> Result<()> {
    let world = World::new()?;
    let config = Config::new().service(Service::tcp(Method::Nat, world::HTTP));
    let director = world.start(&config)?;
    let control = Control::of(&director)?;
    let client = world.client();
    let target = Method::Nat.at(world::HTTP);
    assert_eq!(client.who_answers(target, 6)?.len(), 2);

    // By its name or by its address: it is the same service.
    control.ask("set server 192.0.2.100:80 198.51.100.12 weight 0")?;
    assert_eq!(client.who_answers(target, 6)?.get("server1"), Some(&6));
    control.ask("set server tcp-nat-80 198.51.100.12 weight 2")?;
    control.ask("set server tcp-nat-80 198.51.100.11 state drain")?;
    assert_eq!(client.who_answers(target, 6)?.get("server2"), Some(&6));
    assert!(control.ask("show services")?.contains(" drain"));
    control.ask("set server tcp-nat-80 198.51.100.11 state enabled")?;

    control.ask("add service second tcp 192.0.2.100:81 nat scheduler wlc")?;
    control.ask("add server second 198.51.100.11:8080 weight 5")?;
    let second = Method::Nat.at(81);
    assert_eq!(client.who_answers(second, 2)?.get("server1"), Some(&2));
    control.ask("set service second scheduler mh hash-port true adopt true")?;
    assert!(control.ask("show services second")?.contains("TCP  192.0.2.100:81 second mh (mh-port) adopt"));
    control.ask("set timeout established 7m service second")?;
    assert!(control.ask("show timeouts second")?.contains("ESTABLISHED      7m00s"));
    assert!(control.ask("show timeouts tcp-nat-80")?.contains("ESTABLISHED      15m00s"));
    control.ask("delete server second 198.51.100.11")?;
    control.ask("delete service second")?;
    assert!(client.who_answers(second, 1).is_err(), "refused");
    control.ask("add route 203.0.113.128/25 via 192.0.2.254")?;
    assert!(control.ask("show routes")?.contains("203.0.113.128/25 via 192.0.2.254 on wan"));
    control.ask("delete route 203.0.113.128/25")?;

    let mut one = client.http(target)?;
    let mut other = client.http(target)?;
    one.get("/small")?;
    other.get("/small")?;
    let port = one.stream().local_addr()?.port();
    control.ask(&format!("delete connection tcp 192.0.2.10:{port} 192.0.2.100:80"))?;
    assert!(one.get("/small").is_err(), "reset");
    other.get("/small")?;
    let flushed = control.ask("flush connections state established")?;
    assert!(flushed.contains("1 connections ended"), "{flushed}");
    assert!(other.get("/small").is_err(), "reset");

    for (command, code, word) in [
        ("set server tcp-nat-80 198.51.100.99 weight 1", 1, "known: 198.51.100.11:8080, 198.51.100.12:8080"),
        ("set server tcp-nat-80 198.51.100.11 weight 70000", 1, "0 to 65535"),
        ("add service x tcp 192.0.2.1:80 nat", 1, "the address of port \"wan\""),
        ("add service x tcp 192.0.2.254:80 nat", 1, "the router of the default route"),
        ("add route 203.0.113.0/24 via 192.0.2.100", 1, "the VIP of service"),
        ("add service tcp-nat-80 tcp 192.0.2.100:82 nat", 1, "already"),
        ("add server tcp-nat-80 198.51.100.11:8080", 1, "twice"),
        ("delete service nonsense", 1, "known: tcp-nat-80"),
        ("show connections state sleepy", 1, "ESTABLISHED"),
        ("set timeout established 0", 1, "more than 0"),
        ("add route 203.0.113.0/24 via 10.0.0.1", 1, "no attached network"),
        ("show port stats 9", 1, "0 (wan), 1 (lan)"),
        ("confirm", 1, "no reload is pending"),
        ("shwo services", 2, "show"),
        ("flush connections", 2, "missing <all"),
    ] {
        let (status, message) = control.refused(command)?;
        assert!(status == Some(code) && message.contains(word), "{command}: {status:?} {message}");
    }
    control.ask("set verbose 3")?;
    control.ask("reload dry-run")?;
    control.ask("add service extra tcp 192.0.2.200:443 nat slow-start 30s")?;
    control.ask("set timeout udp 77s")?;
    control.ask("save")?;
    assert!(control.ask("reload")?.contains("no differences"));
    director.stop()?;
    let (status, message) = control.refused("show director")?;
    assert!(status == Some(3) && message.contains("is lb-app running?"), "{status:?} {message}");
    Ok(())
}

#[test]
fn scripts_of_ipvsadms_run_by_a_link_of_its_name() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&Config::new().service(Service::tcp(Method::Nat, world::HTTP)))?;
    let control = Control::of(&director)?;
    let folder = std::env::temp_dir().join(format!("lb-ipvsadm-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    std::os::unix::fs::symlink(lb_stories::control::lbctl()?, folder.join("ipvsadm"))?;
    let run = |script: &str| -> Result<String> {
        let mut command = std::process::Command::new("timeout");
        command.args(["60", "sh", "-ec", script]).env("LB_SOCKET", control.socket());
        command.env("PATH", format!("{}:/usr/bin:/bin", folder.display()));
        let output = command.output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{script}: {}: {errors}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    };
    run("ipvsadm -C
         ipvsadm -A -t 192.0.2.100:80 -s wrr
         ipvsadm -a -t 192.0.2.100:80 -r 198.51.100.11:8080 -m -w 1
         ipvsadm --add-server --tcp-service 192.0.2.100:80 --real-server 198.51.100.12:8080 --masquerading
         ipvsadm -e -t 192.0.2.100:80 -r 198.51.100.12:8080 -m -w 3
         ipvsadm --set 600 0 0")?;
    let target = Method::Nat.at(world::HTTP);
    let answers = world.client().who_answers(target, 8)?;
    assert_eq!((answers.get("server1"), answers.get("server2")), (Some(&2), Some(&6)));
    assert_eq!(run("ipvsadm -L --timeout")?, "Timeout (tcp tcpfin udp): 600 60 300\n");
    let rules = run("ipvsadm -S -n")?;
    assert_eq!(run("ipvsadm -S -n > rules; ipvsadm -C; ipvsadm -R < rules; rm rules; ipvsadm -Sn")?, rules);
    assert_eq!(world.client().who_answers(target, 8)?.len(), 2);
    // What changes nothing says so, for Ansible and its kind.
    let again = run("ipvsadm --json -e -t 192.0.2.100:80 -r 198.51.100.12:8080 -m -w 3")?;
    assert!(again.contains("\"changed\":false"), "{again}");
    let other = run("ipvsadm --json -e -t 192.0.2.100:80 -r 198.51.100.12:8080 -m -w 4")?;
    assert!(other.contains("\"changed\":true"), "{other}");
    let scheduled = || -> Result<String> {
        let list = run("ipvsadm -Ln --stats -X")?;
        let line = list.lines().find(|line| line.starts_with("TCP  192.0.2.100:80 "));
        Ok(line.and_then(|line| line.split_whitespace().nth(2)).unwrap_or_default().to_owned())
    };
    for zero in ["ipvsadm -Z", "ipvsadm -Z -t 192.0.2.100:80"] {
        world.client().who_answers(target, 8)?;
        assert_ne!(scheduled()?, "0");
        run(zero)?;
        assert_eq!(scheduled()?, "0", "{zero}");
    }
    run("ipvsadm -E -t 192.0.2.100:80 -s lblcr")?;
    let list = run("ipvsadm -Ln --persistent-conn")?;
    assert!(list.contains("PersistConn") && list.contains("192.0.2.100:80 lblcr"), "{list}");
    assert!(run("ipvsadm -A -f 1").is_err(), "marks are not followed");
    fs::remove_dir_all(folder)?;
    director.stop()?;
    Ok(())
}

#[test]
fn ports_and_forwarding_stop_and_start() -> Result<()> {
    let world = World::new()?;
    let config = Config::new().service(Service::udp(Method::Nat, world::ECHO));
    let director = world.start(&config)?;
    let control = Control::of(&director)?;
    let echo = world.client().udp(Method::Nat.at(world::ECHO))?;
    echo.set_read_timeout(Some(Duration::from_millis(300)))?;
    let number = std::cell::Cell::new(0);
    let answers = || -> Result<bool> {
        number.set(number.get() + 1);
        let question = format!("question {}", number.get());
        echo.send(question.as_bytes())?;
        let mut answer = [0; 64];
        // One that comes late is of an earlier question.
        while let Ok(length) = echo.recv(&mut answer) {
            if answer[..length].ends_with(question.as_bytes()) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    assert!(eventually(PATIENCE, answers)?);

    assert!(control.ask("stop")?.contains("Accumulated forward statistics"));
    assert!(control.ask("show director")?.contains("stopped"));
    assert!(!answers()?);
    control.ask("start")?;
    assert!(eventually(PATIENCE, answers)?);

    assert!(control.ask("port stop lan")?.contains("port 1 is stopped"));
    assert!(control.ask("show port summary all")?.contains("stopped"));
    assert!(!answers()?);
    assert!(control.ask("show drops")?.contains("port-stopped"));
    control.ask("port stop all")?;
    control.ask("port start all")?;
    assert!(eventually(PATIENCE, answers)?);

    control.ask("clear port stats all")?;
    control.ask("clear fwd stats all")?;
    assert!(control.ask("show drops")?.contains("0 dropped of"));

    // A link goes down and comes up, which is noticed, and then the network is told whose the VIP is; so it is when a
    // port is started and when forwarding goes on.
    let is_in_log = |words: &str| -> Result<bool> { Ok(director.output()?.contains(words)) };
    let vip = Method::Nat.vip();
    let told = |what: &str| -> Result<()> {
        let wrong = "02:00:00:00:00:99";
        world
            .client()
            .namespace()
            .ip(&format!("neigh replace {vip} lladdr {wrong} dev wan nud reachable"))?;
        match what {
            "link up" => world.director().ip("link set lbwan up")?,
            command => drop(control.ask(command)?),
        }
        let shown = || world.client().namespace().run("ip", &["neigh", "show", &vip.to_string()]);
        ensure!(
            eventually(PATIENCE, || Ok(!shown()?.contains(wrong)))?,
            "{what}: nobody is told: {}",
            shown()?
        );
        Ok(())
    };
    world.director().ip("link set lbwan down")?;
    assert!(eventually(PATIENCE, || is_in_log("the link of port wan is down"))?);
    assert!(control.ask("show port summary all")?.contains(" down "));
    told("link up")?;
    assert!(eventually(PATIENCE, || is_in_log("the link of port wan is up"))?);
    control.ask("port stop wan")?;
    told("port start wan")?;
    control.ask("stop")?;
    told("start")?;
    assert!(eventually(PATIENCE, answers)?);

    // The port's interface goes, and nothing crashes or hangs.
    world.director().ip("link del lblan")?;
    assert!(eventually(PATIENCE, || is_in_log("the network interface of port lan no longer exists"))?);
    assert!(control.ask("show port info all")?.contains("Link status: gone"));
    for command in
        ["show port info all", "show port stats all", "show port xstats all", "port stop 1", "top once"]
    {
        control.ask(command)?;
    }
    control.output("port start 1")?;
    assert!(!answers()?);
    control.ask("stop")?;
    control.ask("show workers")?;
    director.stop()?;
    Ok(())
}

/// Fifty clients ask as fast as they can for seven seconds, one does not read what it asked for, others talk nonsense;
/// meanwhile traffic flows, and none of it is lost.
#[test]
fn fifty_clients_do_not_disturb_traffic() -> Result<()> {
    const CLIENTS: usize = 50;
    let world = World::alone()?;
    let config = Config::new().service(Service::tcp(Method::Nat, world::HTTP));
    let director = world.start(&config)?;
    let control = Control::of(&director)?;
    let done = AtomicBool::new(false);
    let requests = [
        r#"{"version":1,"request":{"services":{"list":{}}}}"#,
        r#"{"version":1,"request":{"connections":{"list":{"filter":{"state":"established"}}}}}"#,
        r#"{"version":1,"request":{"workers":"list"}}"#,
        r#"{"version":1,"request":{"neighbours":"list"}}"#,
    ];
    let answered = thread::scope(|scope| -> Result<usize> {
        let mut clients = Vec::new();
        for client in 0..CLIENTS {
            let (control, done) = (&control, &done);
            clients.push(scope.spawn(move || -> Result<usize> {
                let stream = UnixStream::connect(control.socket())?;
                let mut reader = BufReader::new(stream.try_clone()?);
                let (mut writer, mut count, mut line) = (stream, 0, String::new());
                while !done.load(Ordering::Relaxed) {
                    writeln!(writer, "{}", requests[(client + count) % requests.len()])?;
                    line.clear();
                    reader.read_line(&mut line)?;
                    ensure!(line.starts_with(r#"{"version":1,"reply":{"#), "{line}");
                    count += 1;
                }
                Ok(count)
            }));
        }
        let deaf = scope.spawn(|| -> std::io::Result<()> {
            let mut stream = UnixStream::connect(control.socket())?;
            // It is dropped at some point, which is what is wanted.
            while writeln!(stream, "{}", requests[2]).is_ok() {}
            Ok(())
        });
        let nonsense = scope.spawn(|| -> Result<()> {
            for text in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 70_000], &[b'['; 60_000], b"\n\n\n", b"{"] {
                let mut stream = UnixStream::connect(control.socket())?;
                stream.set_read_timeout(Some(PATIENCE))?;
                // It may be refused before it has said everything.
                let _ = stream.write_all(text).and_then(|()| stream.write_all(b"\n"));
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line)?;
                ensure!(line.contains("bad-request") && line.len() < 4_096, "{line}");
            }
            Ok(())
        });
        let began = Instant::now();
        let mut outcome = Ok(());
        // Longer than the deaf client is borne with (`WRITE_PATIENCE` of lb-app).
        while began.elapsed() < Duration::from_secs(7) && outcome.is_ok() {
            let crowd = Load { connections: 25, requests: 20 };
            let report = crowd.run(world.client(), Method::Nat.at(world::HTTP))?;
            if !report.failures.is_empty() || report.answers != 500 {
                outcome = Err(anyhow::anyhow!("{} answers, {:?}", report.answers, report.failures));
            }
        }
        done.store(true, Ordering::Relaxed);
        let mut answered = 0;
        for client in clients {
            answered += client.join().expect("a client panicked")?;
        }
        deaf.join().expect("the deaf client panicked")?;
        nonsense.join().expect("the nonsense panicked")?;
        outcome?;
        Ok(answered)
    })?;
    println!("{answered} requests answered");
    assert!(answered > 1_000, "{answered}");
    let about = control.ask("show director")?;
    assert!(about.contains("clients of the control socket were disconnected"), "{about}");
    director.stop()?;
    Ok(())
}
