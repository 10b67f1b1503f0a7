//! The control socket: who may use it, how many at once, and what comes of clients that mean no good.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lb_stories::config::Service;
use lb_stories::control::{self, Control};
use lb_stories::director::program;
use lb_stories::{Config, Method, World, world};
use nix::unistd::Group;

const LIMIT: Duration = Duration::from_secs(30);
/// As `docs/control.md` has it.
const MOST_CLIENTS: usize = 64;
const ABOUT: &str = r#"{"version":1,"request":{"director":"about"}}"#;

struct Client {
    reader: BufReader<UnixStream>,
}

impl Client {
    fn connect(control: &Control) -> Result<Self> {
        let stream = UnixStream::connect(control.socket())?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    fn say(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        Ok(line)
    }

    fn ask(&mut self, line: &str) -> Result<String> {
        self.say(format!("{line}\n").as_bytes())?;
        self.line()
    }
}

fn config() -> Config {
    Config::new().service(Service::tcp(Method::Nat, world::HTTP))
}

/// As many clients as there may be: the one that has asked nothing for longest makes room for root, which is never
/// locked out.
#[test]
fn clients_that_ask_nothing_lock_nobody_out() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&config())?;
    let control = Control::of(&director)?;
    let mut clients = Vec::new();
    for _ in 0..MOST_CLIENTS {
        let mut client = Client::connect(&control)?;
        ensure!(client.ask(ABOUT)?.contains("\"reply\""));
        clients.push(client);
    }
    for _ in 0..3 {
        control.ask("show director")?;
    }
    // The first was told why, and the conversation is over.
    let line = clients[0].line()?;
    ensure!(line.contains("\"busy\"") && line.contains("idle for the longest time"), "{line}");
    ensure!(clients[0].line().unwrap_or_default().is_empty(), "it goes on");
    // The others are served as before.
    ensure!(clients[MOST_CLIENTS - 1].ask(ABOUT)?.contains("\"reply\""));
    drop(clients);
    director.stop()?;
    Ok(())
}

/// Members of the control socket's group cannot take all seats: theirs make room for each other, and root finds one.
#[test]
fn a_seat_is_left_for_root() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&config().section("[control]\ngroup = \"nogroup\"\n"))?;
    let control = Control::of(&director)?;
    // Clients of another user, all of them with a request that never ends.
    let script = format!(
        "use IO::Socket::UNIX;\n\
         for (1..{MOST_CLIENTS}) {{\n \
          my $client = IO::Socket::UNIX->new(Peer => '{}') or die;\n \
          $client->syswrite('{{');\n \
          push @clients, $client;\n\
         }}\n\
         print(readline($clients[0]));\n\
         close STDOUT;\n\
         readline STDIN;\n",
        control.socket().display()
    );
    let mut others = std::process::Command::new("setpriv")
        .args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "perl", "-e", &script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let mut told = String::new();
    BufReader::new(others.stdout.take().context("its output")?).read_line(&mut told)?;
    ensure!(told.contains("\"busy\"") && told.contains("another one needed its place"), "{told}");
    control.ask("show director")?;
    drop(others.stdin.take());
    others.wait()?;
    director.stop()?;
    Ok(())
}

/// A request that begins behind a whole one has to end in time as well.
#[test]
fn half_a_request_behind_a_whole_one_does_not_keep_its_seat() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&config())?;
    let control = Control::of(&director)?;
    let mut client = Client::connect(&control)?;
    client.say(format!("{ABOUT}\n{}", &ABOUT[..10]).as_bytes())?;
    ensure!(client.line()?.contains("\"reply\""));
    let start = std::time::Instant::now();
    ensure!(client.line().unwrap_or_default().is_empty(), "it is answered");
    ensure!(start.elapsed() < LIMIT, "it keeps its seat for {:?}", start.elapsed());
    director.stop()?;
    Ok(())
}

#[test]
fn a_group_may_be_let_in() -> Result<()> {
    let world = World::new()?;
    let group = Group::from_name("daemon")?.context("every Debian has this group")?;
    let director = world.start(&config().section("[control]\ngroup = \"daemon\"\n"))?;
    let socket = fs::metadata(Control::of(&director)?.socket())?;
    assert_eq!((socket.permissions().mode() & 0o777, socket.gid()), (0o660, group.gid.as_raw()));
    director.stop()?;
    Ok(())
}

/// `lbctl` as a user with a supplementary group, and what it says.
fn as_member(control: &Control, group: &str, arguments: &str) -> Result<(Option<i32>, String)> {
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid", "nobody", "--regid", "nogroup", "--groups", group]);
    command.arg(control::lbctl()?).arg("--socket").arg(control.socket()).args(arguments.split(' '));
    let output = command.output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&said).into_owned()))
}

/// Each role may do what it may, others hear which role it takes, and the log says who did what.
#[test]
fn groups_have_roles() -> Result<()> {
    let world = World::new()?;
    // Every Debian has these groups.
    let roles = "[control]\ngroup = \"daemon\"\noperators = \"operator\"\nreaders = \"users\"\n";
    let director = world.start(&config().section(roles))?;
    let control = Control::of(&director)?;
    let weight = |weight: u32| format!("set server tcp-nat-80 198.51.100.11 weight {weight}");
    let (code, said) = as_member(&control, "users", "show services")?;
    ensure!(code == Some(0), "{said}");
    let (code, said) = as_member(&control, "users", &weight(3))?;
    ensure!(code == Some(1) && said.contains("uid 65534 (nobody) has the role reader"), "{said}");
    ensure!(
        said.contains("takes the role operator, as have root, and members of operator or daemon"),
        "{said}"
    );
    let (code, said) = as_member(&control, "operator", &weight(4))?;
    ensure!(code == Some(0), "{said}");
    let (code, said) = as_member(&control, "operator", "save")?;
    ensure!(code == Some(1) && said.contains("takes the role administrator"), "{said}");
    let (code, said) = as_member(&control, "daemon", "set timeout udp 77s")?;
    ensure!(code == Some(0), "{said}");
    let (code, said) = as_member(&control, "mail", "show services")?;
    ensure!(code == Some(1) && said.contains("uid 65534 may not use this socket"), "{said}");
    ensure!(said.contains("only root, and members of users or operator or daemon"), "{said}");
    let log = fs::read_to_string(director.log())?;
    for line in [
        "uid 65534 (nobody) asks for: services change-server",
        "refused: director save",
        "uid 65534 (nobody) asks for: timeouts set",
    ] {
        ensure!(log.contains(line), "no {line} in {log}");
    }
    ensure!(!log.contains("services list"), "looking is nobody's business: {log}");
    director.stop()?;
    Ok(())
}

/// `--report` of the arguments that a director runs with: what it answers is in the file, secrets are not.
#[test]
fn a_report_has_what_the_director_answers() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&config())?;
    let control = Control::of(&director)?;
    let place = director.log().with_file_name("report");
    fs::create_dir_all(&place)?;
    let conf = place.join("lb.toml");
    let text = Config::new().service(Service::tcp(Method::Nat, world::HTTP));
    let socket = format!("[control]\nsocket = \"{}\"\n", control.socket().display());
    let hook = "[health]\nhook = [\"/bin/true\", \"hush\"]\n";
    fs::write(&conf, text.section(socket).section(hook).render(&world.server_addresses()))?;
    let report = || {
        let mut command = std::process::Command::new(program()?);
        command.current_dir(&place).args([
            "--no-huge",
            "-l",
            "0,1",
            "--",
            "--report",
            "report.tar",
            "--conf",
        ]);
        Ok::<_, anyhow::Error>(command.arg(&conf).output()?)
    };
    let output = report()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let again = report()?;
    ensure!(!again.status.success(), "a file that exists is left alone");
    let listed =
        std::process::Command::new("tar").args(["-xvf", "report.tar"]).current_dir(&place).output()?;
    ensure!(listed.status.success());
    let read =
        |name: &str| Ok::<_, anyhow::Error>(fs::read_to_string(place.join("lb-app-report").join(name))?);
    ensure!(read("director/show-services-stats.txt")?.contains("192.0.2.100:80"));
    ensure!(
        read("director/show-drops-all.txt")?.contains("not-for-us"),
        "{}",
        read("director/show-drops-all.txt")?
    );
    ensure!(read("doctor.txt")?.contains("wrong, "));
    ensure!(read("versions.txt")?.contains("DPDK "));
    let configuration = read("configuration.toml")?;
    ensure!(configuration.contains("192.0.2.100") && !configuration.contains("hush"), "{configuration}");
    director.stop()?;
    Ok(())
}

/// A line of any bytes is answered with a refusal, and the next request as ever. What is no line ends the conversation.
#[test]
fn hostile_clients_are_refused() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&config())?;
    let control = Control::of(&director)?;
    let mut client = Client::connect(&control)?;
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..300_usize {
        let mut line: Vec<u8> = match round % 3 {
            0 => ABOUT.as_bytes().to_vec(),
            1 => br#"{"version":1,"request":{"connections":{"list":{"filter":{"client":"192.0.2.0/24"}}}}}"#
                .to_vec(),
            _ => vec![0; round * 100],
        };
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize
        };
        // All of it, or a few bytes.
        let changes = if round % 3 == 2 { line.len() } else { 1 + next() % 4 };
        for _ in 0..changes {
            let at = next() % line.len();
            line[at] = next() as u8;
        }
        line.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
        line.push(b'\n');
        client.say(&line)?;
        let answer: serde_json::Value = serde_json::from_str(&client.line()?)?;
        assert_eq!(answer["version"], 1, "{answer}");
        ensure!(answer.get("error").is_some() || answer.get("reply").is_some(), "{answer}");
    }
    ensure!(client.ask(ABOUT)?.contains("\"reply\""));

    // Longer than a request may be, and without an end.
    let mut endless = Client::connect(&control)?;
    // It may be refused before it has said everything.
    let _ = endless.say(&[b' '; 70_000]);
    let answer = endless.line()?;
    assert!(answer.contains("bad-request") && answer.contains("longer than 65536 bytes"), "{answer}");
    assert_eq!(endless.line().unwrap_or_default(), "", "the conversation is over");
    control.ask("show director")?;
    director.stop()?;
    Ok(())
}
