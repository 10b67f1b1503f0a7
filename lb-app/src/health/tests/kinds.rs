//! Every kind of check.

use super::{check, eventually, everywhere, loopbacks, target, target_at, udp};
use crate::{
    config::health::Check,
    health::{
        advice::{Share, Told},
        means::Means,
        probe::probe,
        target::{Answer, Finding},
    },
};
use std::{
    fs,
    io::{Read, Write},
    net::{IpAddr, TcpListener, UdpSocket},
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// What a check finds out about the server at this port of loopback: the same by IPv4 and IPv6.
fn find(keys: &str, port: u16) -> Finding {
    let check = check(keys);
    let mut found = loopbacks().into_iter().map(|server| find_at(server, &check, port));
    let first = found.next().unwrap();
    found.for_each(|other| assert_eq!(other, first, "{keys}"));
    first
}

fn find_at(server: IpAddr, check: &Check, port: u16) -> Finding {
    answer_at(server, check, port).and_then(|told| told.works.unwrap_or(Ok(())))
}

fn answer_at(server: IpAddr, check: &Check, port: u16) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let means = Means::new(16, None);
    runtime.block_on(async { probe(&means, check, &target_at(server, port)).await.0 })
}

fn fails(keys: &str, port: u16) -> String {
    find(keys, port).expect_err(keys)
}

/// A TCP server that does the same with every connection. It lives as long as the test.
fn server(serve: impl Fn(std::net::TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind(everywhere()).unwrap();
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
    TcpListener::bind(everywhere()).unwrap().local_addr().unwrap().port()
}

#[test]
fn smtp() {
    /// A mail server that greets and answers with these; what it heard.
    fn mail(greeting: &'static str, answer: &'static str) -> (u16, Arc<Mutex<Vec<String>>>) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let all = heard.clone();
        let port = server(move |mut stream| {
            let _ = stream.write_all(greeting.as_bytes());
            let mut lines = std::io::BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while std::io::BufRead::read_line(&mut lines, &mut line).is_ok_and(|read| read > 0) {
                let answer = if line.starts_with("QUIT") { "221 bye\r\n" } else { answer };
                all.lock().unwrap().push(std::mem::take(&mut line));
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        (port, heard)
    }
    let smtp = "type = \"smtp\", helo = \"lb1.example.net\"";
    let (port, heard) = mail("220-mail.example.net\r\n220 ready\r\n", "250-hello\r\n250 SIZE 1\r\n");
    assert_eq!(find(smtp, port), Ok(()));
    assert_eq!(heard.lock().unwrap()[..2], ["HELO lb1.example.net\r\n", "QUIT\r\n"]);
    assert_eq!(fails(smtp, mail("554 go away\r\n", "").0), "its greeting is \"554 go away\", not 220");
    let busy = mail("220 ready\r\n", "421 too busy\r\n").0;
    assert_eq!(fails(smtp, busy), "its answer to HELO is \"421 too busy\", not 250");
    assert_eq!(fails(smtp, server(drop)), "it closed the connection before its greeting");
    assert_eq!(fails(smtp, nobody()), "it refused the connection");
    let endless = server(|mut stream| while stream.write_all(b"220-and more\r\n").is_ok() {});
    assert_eq!(fails(smtp, endless), "its greeting is too long");
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

/// A source address is one of the server's family.
#[test]
fn sources() {
    let port = answering("");
    let mut check = Arc::unwrap_or_clone(check("type = \"tcp\""));
    for server in loopbacks() {
        check.leave.source = Some(server);
        assert_eq!(find_at(server, &check, port), Ok(()));
        let other: IpAddr = if server.is_ipv4() { "::1" } else { "127.0.0.1" }.parse().unwrap();
        check.leave.source = Some(other);
        let complaint = format!("source address {other}: {server} is of the other address family");
        assert_eq!(find_at(server, &check, port), Err(complaint));
    }
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

/// All pages are asked for, in their order, each by itself; the first that is not as it should be is the reason.
#[test]
fn several_pages() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let all = asked.clone();
    let port = server(move |mut stream| {
        let mut request = [0; 1_024];
        let length = stream.read(&mut request).unwrap_or(0);
        let request = String::from_utf8_lossy(&request[..length]).to_lowercase();
        let line = request.lines().next().unwrap_or_default().to_owned();
        let host = request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
        let answer = match line.split(' ').nth(1) {
            Some("/gone") => "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n",
            // In pieces: the digest is that of what they are of.
            _ => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nre\r\n3\r\nady\r\n0\r\n\r\n",
        };
        all.lock().unwrap().push(format!("{line} of {host}"));
        let _ = stream.write_all(answer.as_bytes());
    });
    let find = |urls: &str| find_at(loopbacks()[0], &check(&format!("type = \"http\", {urls}")), port);
    let md5 = "b2fdab230a2c39f3595a947861863cb7";
    let sha256 = "b24d6d33736ecd5604a4b17bc9c6481039fac362bb7df044ef1c10a2bfd21db6";
    let urls = format!(
        "host = \"www.example.org\", urls = [{{ path = \"/a\", digest = \"{md5}\" }}, \
         {{ path = \"/gone\", method = \"HEAD\", host = \"b.example.org\", status = [410] }}, \
         {{ path = \"/c\", body = \"^re\", digest = \"{}\" }}]",
        sha256.to_uppercase()
    );
    assert_eq!(find(&urls), Ok(()));
    let expected = [
        "get /a http/1.1 of www.example.org",
        "head /gone http/1.1 of b.example.org",
        "get /c http/1.1 of www.example.org",
    ];
    assert_eq!(asked.lock().unwrap()[..], expected);
    let fails = |urls: &str| find(urls).expect_err(urls);
    assert_eq!(
        fails("urls = [{ path = \"/a\" }, { path = \"/gone\" }, { path = \"/c\" }]"),
        "/gone: it answered with status 410"
    );
    assert_eq!(asked.lock().unwrap().len(), 5, "what follows is not asked for");
    assert_eq!(
        fails("urls = [{ path = \"/a\", body = \"x\" }, { path = \"/b\" }]"),
        "/a: its answer does not match \"x\""
    );
    let other = "0".repeat(32);
    assert_eq!(
        fails(&format!("digest = \"{other}\"")),
        format!("its answer has the digest {md5}, not {other}")
    );
    let other = "f".repeat(64);
    assert_eq!(
        fails(&format!("digest = \"{other}\"")),
        format!("its answer has the digest {sha256}, not {other}")
    );
    assert_eq!(fails(&format!("body = \"x\", digest = \"{other}\"")), "its answer does not match \"x\"");
}

/// Of a large page, the beginning is matched and all of it is summed.
#[test]
fn a_digest_is_of_the_whole_page() {
    let port = server(|mut stream| {
        let mut request = [0; 1_024];
        let _ = stream.read(&mut request);
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
        let page = [vec![b'a'; 3 << 20], b"end".to_vec()].concat();
        let _ = stream.write_all(&page);
    });
    let find = |rest: &str| {
        let mut check = Arc::unwrap_or_clone(check(&format!("type = \"http\", {rest}")));
        check.timeout = lb_core::time::Duration::from_secs(20);
        find_at(loopbacks()[0], &check, port)
    };
    assert_eq!(find("digest = \"9f491e678f0e2bd76154ffbfda740c90\", body = \"^a*$\""), Ok(()));
    assert!(find("body = \"end\"").is_err(), "not within the first MiB");
}

/// A server that answers and closes without having read what it is asked is read all the same.
#[test]
fn an_answer_before_the_request_is_an_answer() {
    let hasty = server(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready");
    });
    for _ in 0..200 {
        assert_eq!(find("type = \"http\", body = \"^ready$\"", hasty), Ok(()));
    }
    let hasty_and_ill = server(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.0 503 Service Unavailable\r\n\r\n");
    });
    for _ in 0..50 {
        assert_eq!(fails("type = \"http\"", hasty_and_ill), "it answered with status 503");
    }
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
        .args([
            "-subj",
            "/CN=www.example.org",
            "-addext",
            "subjectAltName=DNS:www.example.org,IP:127.0.0.1,IP:::1",
        ])
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
    assert_eq!(find(&format!("type = \"https\", {ca}"), port), Ok(()), "by its address");
    let other = fails(&format!("type = \"https\", sni = \"www.example.com\", {ca}"), port);
    assert!(other.starts_with("no TLS: invalid peer certificate: certificate not valid for name"), "{other}");
    let missing = fails(&format!("{https}, verify = true, ca = \"/nonexistent.pem\""), port);
    assert!(missing.starts_with("cannot read certificates of /nonexistent.pem: "), "{missing}");
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
    let closed = UdpSocket::bind(everywhere()).unwrap().local_addr().unwrap().port();
    assert_eq!(fails(ping, closed), "nothing listens on its port");
    assert!(
        find("type = \"udp\", payload_hex = \"00ff\", expect = '\\x00\\xff'", echo).is_err(),
        "that is UTF-8"
    );
    assert_eq!(find("type = \"udp\", payload_hex = \"00ff\", expect = '(?-u)^\\x00\\xff$'", echo), Ok(()));
}

/// Where the machine was too busy to send a datagram earlier, silence is as fine as ever; and an error is an error.
#[test]
fn a_busy_machine_makes_no_server_fail() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let means = Means::new(16, None);
    let check = check("type = \"udp\", payload = \"ping\"");
    for busy in [0, 150, 280, 500] {
        let find = |port: u16| {
            let (means, check, target) = (&means, &check, target(port));
            runtime.block_on(async {
                let blocked = async { thread::sleep(Duration::from_millis(busy)) };
                tokio::join!(probe(means, check, &target), blocked).0.0
            })
        };
        assert_eq!(find(udp(|_| Vec::new())), Ok(Told::works()), "busy for {busy} ms");
        let closed = UdpSocket::bind(everywhere()).unwrap().local_addr().unwrap().port();
        assert_eq!(find(closed), Err("nothing listens on its port".to_owned()), "busy for {busy} ms");
    }
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
    assert_eq!(run("exit 3", ""), Err("/bin/sh exited with status 3".to_owned()));
    assert_eq!(
        run("echo; echo too bad >&2; exit 1", ""),
        Err("/bin/sh exited with status 1: too bad".to_owned())
    );
    assert_eq!(run("kill -9 $$", ""), Err("/bin/sh was killed by a signal".to_owned()));
    for server in loopbacks() {
        let vip = if server.is_ipv4() { "192.0.2.100" } else { "2001:db8::100" };
        let told = format!(
            "test $LB_SERVICE,$LB_PROTOCOL,$LB_VIP,$LB_VIP_PORT,$LB_SERVER,$LB_SERVER_PORT = web,tcp,{vip},80,{server},8080"
        );
        let check = check(&format!("type = \"command\", command = [\"/bin/sh\", \"-c\", '{told}']"));
        assert_eq!(find_at(server, &check, 8080), Ok(()));
    }
    let late = run("sleep 5", "").unwrap_err();
    assert_eq!(late, "/bin/sh did not finish within 300 ms and was killed");
    let hungry = run("x=$(head -c 100000000 /dev/zero | tr \"\\\\0\" a); exit 0", ", memory_mib = 16");
    assert!(hungry.is_err(), "{hungry:?}");
    assert!(run("yes", "").is_err(), "endless output");
    assert!(fails("type = \"command\", command = [\"/nonexistent\"]", 80).starts_with("/nonexistent: "));
}

/// A program that is dynamic says weights as keepalived's `misc_dynamic` does.
#[test]
fn exit_status_as_weight() {
    let run = |status: u32, more: &str| {
        let keys = format!("type = \"command\", command = [\"/bin/sh\", \"-c\", \"exit {status}\"] {more}");
        answer_at(loopbacks()[0], &check(&keys), 80)
    };
    let dynamic = ", dynamic = true";
    assert_eq!(run(0, dynamic), Ok(Told::works()), "the weight stays");
    let failed = run(1, dynamic).unwrap();
    assert_eq!((failed.weight, failed.works), (None, Some(Err("/bin/sh exited with status 1".to_owned()))));
    for (status, weight) in [(2, 0), (3, 1), (255, 253)] {
        let told = run(status, dynamic).unwrap();
        assert_eq!((told.weight, told.works), (Some(Share::Exactly(weight)), Some(Ok(()))));
        assert_eq!(run(status, ""), Err(format!("/bin/sh exited with status {status}")));
    }
}

/// An agent is heard to the end of its first line, however it sends it and ends.
#[test]
fn agents() {
    let ask = |keys: &str, port: u16| {
        let config = super::service(&format!(
            "agent = {{ type = \"tcp\", timeout = \"300ms\", port = {port}, {keys} }}\n"
        ));
        let agent = config.health.services[0].agent.clone().unwrap();
        let mut answers = loopbacks().into_iter().map(|server| answer_at(server, &agent, nobody()));
        let first = answers.next().unwrap();
        answers.for_each(|other| assert_eq!(other, first));
        first
    };
    let saying = |words: &'static [&'static str]| {
        server(move |mut stream| {
            for word in words {
                let _ = stream.write_all(word.as_bytes());
                thread::sleep(Duration::from_millis(5));
            }
        })
    };
    assert_eq!(ask("", saying(&["7", "5% ", "drain\r\n", "50%\n"])), Told::read("75% drain"));
    assert_eq!(ask("", saying(&["up"])), Told::read("up"), "the end is an end of the line");
    assert_eq!(ask("", saying(&["\n"])), Err("it closed the connection without a word".to_owned()));
    assert_eq!(ask("", saying(&["hello\n"])), Err("\"hello\" is no word of an agent's".to_owned()));
    assert_eq!(ask("", nobody()), Err("it refused the connection".to_owned()));
    let silent = server(|stream| {
        thread::sleep(Duration::from_secs(2));
        drop(stream);
    });
    assert_eq!(ask("", silent), Err("no answer within 300ms".to_owned()));
    let endless = server(|mut stream| while stream.write_all(b"up up up ").is_ok() {});
    assert!(ask("", endless).is_ok(), "no more than a line is read");
    let polite = server(|mut stream| {
        let mut question = [0; 4];
        let _ = stream.read_exact(&mut question);
        let answer = if &question == b"web\n" { "maint\n" } else { "what?\n" };
        let _ = stream.write_all(answer.as_bytes());
    });
    assert_eq!(ask("send = \"web\\n\"", polite), Told::read("maint"));
}

/// A file is read anew each time; while it is not there, it holds 0.
#[test]
fn files() {
    let path = std::env::temp_dir().join(format!("lb-app-health-file-{}", std::process::id()));
    let _ = fs::remove_file(&path);
    let keys = format!("type = \"file\", file = \"{}\"", path.display());
    assert_eq!(find(&keys, 80), Ok(()));
    let answer = |text: &str, more: &str| {
        fs::write(&path, text).unwrap();
        answer_at(loopbacks()[0], &check(&format!("{keys}{more}")), 80)
    };
    assert_eq!(answer("0\n", "").unwrap().works, Some(Ok(())));
    assert_eq!(answer("1\n", "").unwrap().works, Some(Err(format!("{} holds 1", path.display()))));
    assert_eq!(answer("-5", ", weight = 3").unwrap().weight, Some(Share::Plus(-15)));
    assert_eq!(answer("Down\n", "").unwrap().works, Some(Err("down".to_owned())));
    let wrong = answer("perhaps", "").unwrap_err();
    assert_eq!(wrong, format!("{}: \"perhaps\" is no word of an agent's", path.display()));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(fails(&keys, 80), format!("{}: Is a directory", path.display()));
    fs::remove_dir(&path).unwrap();
}

/// Programs that wait until others have ended are not late.
#[test]
fn a_program_has_its_time_from_when_it_may_run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let means = Means::new(16, None);
    let check = check("type = \"command\", command = [\"/bin/true\"]");
    runtime.block_on(async {
        let turns = means.programs.clone().acquire_many_owned(64).await.unwrap();
        let others = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            drop(turns);
        };
        let target = target(80);
        let ((finding, took), ()) = tokio::join!(probe(&means, &check, &target), others);
        assert_eq!(finding, Ok(Told::works()));
        assert!(took < Duration::from_millis(300), "{took:?}");
    });
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
