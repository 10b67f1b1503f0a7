//! A director that explains itself: what would become of a packet, what does, and packets in files.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use lb_stories::client::uninterrupted;
use lb_stories::control::Control;
use lb_stories::process::{PATIENCE, eventually, run};
use lb_stories::{Config, Method, World, world};
use socket2::{Domain, SockAddr, Socket, Type};

/// The text has all of these words, in this order.
fn says(text: &str, words: &[&str]) {
    let mut rest = text;
    for word in words {
        let at = rest.find(word).unwrap_or_else(|| panic!("no {word:?} (in order) in:\n{text}"));
        rest = &rest[at + word.len()..];
    }
}

#[test]
fn explanations() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&Config::http())?;
    let control = Control::of(&director)?;
    for method in Method::ALL {
        world.client().fetch(method.at(world::HTTP), "/")?;
        let packet = format!("explain tcp {}:40000 {}", world::CLIENT, method.at(world::HTTP));
        let told = control.ask(&packet)?;
        let word = format!("method {}", method.word());
        says(&told, &["arrives on wan: TCP SYN", &word, "none: it opens one", "<- chosen", "sent on lan"]);
        // All but how long ago the next hop was heard.
        let lasting = |text: &str| {
            let lines = text.lines().filter(|line| !line.contains("last heard"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        // The connection that was there before may still be ending in between, which shows in the numbers.
        let mut last = told;
        let still = eventually(PATIENCE, || {
            let next = control.ask(&packet)?;
            Ok(lasting(&std::mem::replace(&mut last, next.clone())) == lasting(&next))
        })?;
        ensure!(still, "it changes something each time: {last}");
        says(
            &control.ask(&format!("--json {packet}"))?,
            &["\"known\":false", "\"kind\":\"sent\"", "\"port\":\"lan\""],
        );
    }
    let told = |what: &str| control.ask(&format!("explain {what}"));
    let client = world::CLIENT;
    says(
        &told(&format!("tcp {client}:1 {}:81", world::VIP_NAT))?,
        &["no service", "TCP reset: unserved", "answered"],
    );
    says(&told(&format!("udp {client}:1 {}:80", world::VIP_NAT))?, &["ICMP port unreachable", "answered"]);
    says(
        &told(&format!("tcp {client}:1 {}:80 flags ack", world::VIP_NAT))?,
        &["only a SYN", "no-connection"],
    );
    says(&told(&format!("tcp {client}:1 {}:80 flags rst", world::VIP_NAT))?, &["dropped: no-connection"]);
    says(&told(&format!("tcp {client}:1 203.0.113.77:80"))?, &["dropped: not-for-us"]);
    let (status, words) =
        control.refused(&format!("explain tcp {client}:1 {}:80 in nowhere", world::VIP_NAT))?;
    assert_eq!(status, Some(1), "{words}");
    says(&words, &["unknown port nowhere"]);

    // A connection that exists.
    let stream = world.client().tcp(Method::Nat.at(world::HTTP))?;
    let packet = format!("explain tcp {} {}", stream.local_addr()?, Method::Nat.at(world::HTTP));
    // The last step of the handshake may take a while to the director.
    ensure!(eventually(PATIENCE, || Ok(control.ask(&packet)?.contains("ESTABLISHED")))?, "not established");
    says(
        &control.ask(&packet)?,
        &["TCP ACK", "known: tcp", "ESTABLISHED", "destination rewritten", "sent on lan"],
    );
    // A port that spreads packets as it likes: nobody can tell which worker gets them.
    says(&control.ask(&packet)?, &["explained for worker ", "which has its connection", "not reliable"]);
    let other = format!("explain tcp {client}:9 {}", Method::Dr.at(world::HTTP));
    says(&control.ask(&other)?, &["explained for worker 0, but it may arrive at any", "sent on lan"]);
    drop(stream);
    director.stop()?;
    Ok(())
}

#[test]
fn traces() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&Config::http())?;
    let control = Control::of(&director)?;
    let (status, words) = control.refused("trace add porrt 80")?;
    assert_eq!(status, Some(1), "{words}");
    says(&words, &["invalid filter", "porrt 80"]);

    // A packet that is handed over is told of by both workers, so it takes some to see all that there is.
    let trace = format!("trace add tcp and dst host {} count 12", world::VIP_NAT);
    let tracing = control.command(&trace)?.stdout(Stdio::piped()).spawn()?;
    ensure!(eventually(PATIENCE, || Ok(control.ask("trace list")?.contains("dst host")))?, "no trace");
    for _ in 0..4 {
        world.client().fetch(Method::Nat.at(world::HTTP), "/")?;
    }
    let output = tracing.wait_with_output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    says(&told, &["TCP SYN", "none: it opens one", "sent on lan", "as explained"]);
    says(&told, &["known: tcp", "SYN_RECV -> ESTABLISHED", "happened   as explained"]);
    assert!(!control.ask("trace list")?.contains("dst host"), "a trace that is over is gone");
    director.stop()?;
    Ok(())
}

#[test]
fn captures() -> Result<()> {
    let world = World::new()?;
    let directory = world.directory().join("captures");
    let director = world.start(&Config::http().section(format!("[control]\ncaptures = {directory:?}\n")))?;
    let control = Control::of(&director)?;
    let file = directory.join("nat.pcapng");
    let start = "capture start all tcp port 80 nat.pcapng";
    says(&control.ask(start)?, &["running", &file.display().to_string(), "tcp port 80"]);
    assert_eq!(fs::metadata(&directory)?.permissions().mode() & 0o777, 0o750);
    let refuses = |name: &str, word: &str| -> Result<()> {
        let (status, words) = control.refused(&format!("capture start all tcp {name}"))?;
        assert_eq!(status, Some(1), "{words}");
        says(&words, &[word]);
        Ok(())
    };
    refuses("nat.pcapng", "captures do not overwrite files")?;
    let precious = world.directory().join("precious");
    fs::write(&precious, "precious")?;
    symlink(&precious, directory.join("link.pcapng"))?;
    refuses("link.pcapng", "captures do not overwrite files")?;
    refuses("../other.pcapng", "give a file name without a directory")?;
    refuses(&precious.display().to_string(), "captures are written to")?;
    assert_eq!(fs::read_to_string(&precious)?, "precious");
    world.client().fetch(Method::Nat.at(world::HTTP), "/")?;
    world.client().fetch(Method::Tun.at(world::HTTP), "/")?;
    says(&control.ask("capture stop 1")?, &["ended"]);

    let fields = ["frame.interface_name", "ip.src", "ip.dst", "tcp.dstport", "tcp.flags.syn"];
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(&file).args(["-T", "fields"]);
    for field in fields {
        tshark.args(["-e", field]);
    }
    let lines = run(&mut tshark)?;
    let line = |words: &[&str]| {
        let found = lines.lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(found, "no line with {words:?} in:\n{lines}");
    };
    let (client, vip) = (world::CLIENT.to_string(), world::VIP_NAT.to_string());
    // The same packet twice: as it arrived and as it left. So for the answer.
    line(&["wan-rx", &client, &vip, "\t80\t"]);
    line(&["lan-tx", &client, "\t8080\t"]);
    line(&["lan-rx", &client, "\t1"]);
    line(&["wan-tx", &vip, &client]);
    // A tunnel's packets, with both headers.
    line(&["lan-tx", &world::VIP_TUN.to_string(), ","]);
    let statistics = run(Command::new("capinfos").arg("-I").arg(&file)).unwrap_or_default();
    if !statistics.is_empty() {
        says(&statistics, &["Number of interfaces in file: 4"]);
    }

    // So many packets, and so many bytes of each.
    let short = directory.join("short.pcapng");
    control.ask(&format!("capture start wan ip {} count 2 snaplen 60", short.display()))?;
    world.client().fetch(Method::Dr.at(world::HTTP), "/")?;
    ensure!(eventually(PATIENCE, || Ok(control.ask("capture list")?.contains("ended")))?, "it does not end");
    let mut tshark = Command::new("tshark");
    let lengths = run(tshark.arg("-r").arg(&short).args(["-T", "fields", "-e", "frame.cap_len"]))?;
    assert!(lengths.lines().all(|len| len.trim().parse::<u32>().is_ok_and(|len| len <= 60)), "{lengths}");
    // Two packets, each as it arrived and as it left.
    assert_eq!(lengths.lines().count(), 4, "{lengths}");
    director.stop()?;
    Ok(())
}

/// A capture can be followed while it is written, and a director that dies loses nothing of it.
#[test]
fn captures_outlive_the_director() -> Result<()> {
    let world = World::new()?;
    let directory = world.directory().join("captures");
    let director = world.start(&Config::http().section(format!("[control]\ncaptures = {directory:?}\n")))?;
    let control = Control::of(&director)?;
    let file = directory.join("last.pcapng");
    control.ask("capture start all tcp last.pcapng")?;
    world.client().fetch(Method::Nat.at(world::HTTP), "/")?;
    let read = || -> Result<String> {
        let mut tshark = Command::new("tshark");
        // Anything cut off would be an error of tshark's.
        run(tshark.arg("-r").arg(&file).args([
            "-T",
            "fields",
            "-e",
            "frame.interface_name",
            "-e",
            "tcp.flags",
        ]))
    };
    let is_whole = || Ok(read().is_ok_and(|lines| lines.contains("wan-rx") && lines.contains("lan-tx")));
    ensure!(eventually(PATIENCE, is_whole)?, "nothing can be followed");
    world.client().fetch(Method::Nat.at(world::HTTP), "/")?;
    // What is older than 20 ms is in the file.
    std::thread::sleep(std::time::Duration::from_millis(200));
    director.signal(nix::sys::signal::Signal::SIGKILL)?;
    let lines = read()?;
    // Two connections: each SYN as it arrived and as it left.
    let syns = lines.lines().filter(|line| line.ends_with("0x0002") || line.ends_with("0x00000002")).count();
    assert_eq!(syns, 4, "{lines}");
    director.kill();
    Ok(())
}

/// `capture start ... -`: what Wireshark reads from a pipe.
#[test]
fn captures_stream_to_whoever_reads() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&Config::http())?;
    let control = Control::of(&director)?;
    // Both workers learn where the client is: a reply that waits for that is captured as it leaves, not as it arrived.
    for _ in 0..16 {
        world.client().fetch(Method::Nat.at(world::HTTP), "/")?;
    }
    let mut command = control.command("capture start all tcp port 80 - count 3")?;
    let mut lbctl = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut tshark = Command::new("tshark");
    tshark.args(["-r", "-", "-T", "fields", "-e", "frame.interface_name", "-e", "ip.dst"]);
    let reading = tshark.stdin(lbctl.stdout.take().context("stdout")?).stdout(Stdio::piped()).spawn()?;
    ensure!(eventually(PATIENCE, || Ok(control.ask("capture list")?.contains("-, tcp port 80")))?);
    world.client().fetch(Method::Nat.at(world::HTTP), "/")?;
    ensure!(lbctl.wait()?.success(), "it ends with the third packet");
    let lines = String::from_utf8(reading.wait_with_output()?.stdout)?;
    // Three packets, each as it arrived and as it left.
    assert_eq!(lines.lines().count(), 6, "{lines}");
    says(&lines, &["wan-rx", "lan-tx"]);
    ensure!(!control.ask("capture list")?.contains("tcp port 80"), "a stream that is over is gone");

    // Somebody who reads nothing: forwarding and control go on, and what does not fit is counted.
    let mut command = control.command("capture start all udp -")?;
    let mut lazy = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    ensure!(eventually(PATIENCE, || Ok(control.ask("capture list")?.contains("-, udp")))?);
    let echo = world.client().udp(std::net::SocketAddrV4::new(world::VIP_NAT, 9))?;
    for _ in 0..30_000 {
        let _ = echo.send(&[0; 1_000]);
    }
    world.client().fetch(Method::Nat.at(world::HTTP), "/")?;
    let line = |text: String| text.lines().find(|line| line.contains("-, udp")).map(str::to_owned);
    let counts = line(control.ask("capture list")?).context("it is running")?;
    let missed: u64 = counts.split_whitespace().nth(5).context("a column")?.parse()?;
    ensure!(missed > 0, "{counts}");
    lazy.kill()?;
    lazy.wait()?;
    director.stop()?;
    Ok(())
}

#[test]
fn telemetry() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&Config::http())?;
    world.client().fetch(Method::Nat.at(world::HTTP), "/")?;
    let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(&SockAddr::unix(director.runtime().join("dpdk_telemetry.v2"))?)?;
    let receive = {
        let socket = socket.try_clone()?;
        move || -> Result<String> {
            let mut buffer = vec![0; 65_536];
            let read = uninterrupted(|| std::io::Read::read(&mut &socket, &mut buffer))?;
            Ok(String::from_utf8(buffer[..read].to_vec())?)
        }
    };
    says(&receive()?, &["version"]);
    let ask = |command: &str| -> Result<String> {
        socket.send(command.as_bytes())?;
        receive().context(command.to_owned())
    };
    says(&ask("/lb/services")?, &["\"/lb/services\":{\"0\":{\"name\":\"", "\"method\":\"", "\"servers\":2"]);
    says(&ask("/lb/servers")?, &["\"weight\":1", "\"packets_in\":"]);
    says(&ask("/lb/workers")?, &["\"received\":", "\"connections\":"]);
    says(&ask("/lb/drops")?, &["\"not_for_us\":"]);
    says(&ask("/lb/connections")?, &["\"count\":1", "\"capacity\":"]);
    says(&ask("/lb/services,1000")?, &["{\"/lb/services\":{}}"]);
    director.stop()?;
    Ok(())
}

#[test]
fn the_doctor() -> Result<()> {
    let world = World::new()?;
    let file = world.directory().join("doctor.toml");
    fs::write(&file, Config::http().render(&world.server_addresses()).replace("qpairs=2", "qpairs=1"))?;
    let mut command = world.director().command("timeout");
    command.arg("60").arg(lb_stories::director::program()?);
    let output =
        command.args(["--no-huge", "-l", "0-2", "--", "--doctor", "--json", "--conf"]).arg(&file).output()?;
    let text = String::from_utf8(output.stdout)?;
    assert_eq!(output.status.code(), Some(1), "{text}");
    says(&text, &["\"findings\"", "\"subject\": \"queues\"", "1 queues for 2 workers", "qpairs=2"]);
    says(&text, &["\"version\": 1"]);
    says(&text, &["\"subject\": \"rss\"", "\"verdict\": \"slow\"", "none: the kernel may move"]);

    // A device whose driver can be asked: it is, and not started.
    let text = fs::read_to_string(&file)?.replace("net_af_packet0,iface=lbwan,qpairs=1", "net_null0");
    fs::write(&file, text)?;
    let mut command = world.director().command("timeout");
    command.arg("20").arg(lb_stories::director::program()?);
    let output = command.args(["--no-huge", "-l", "0,1", "--", "--doctor", "--conf"]).arg(&file).output()?;
    let text = String::from_utf8(output.stdout)?;
    says(
        &text,
        &[
            "port wan: net_null offers ",
            "port wan: MTU 1500",
            "port wan: one receive queue",
            "port wan: net_null does not verify",
        ],
    );
    Ok(())
}
