//! The shell on a terminal: completion, history, Ctrl-C; files of commands.

use std::fs;
use std::io::Write;
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use lb_stories::config::Service;
use lb_stories::control::{Control, lbctl};
use lb_stories::director::program;
use lb_stories::process::{PATIENCE, Scratch, eventually, run};
use lb_stories::terminal::Terminal;
use lb_stories::{Config, Method, World, world};

fn config() -> Config {
    Config::new().service(Service::tcp(Method::Nat, world::HTTP))
}

#[test]
fn words_are_completed_and_lines_remembered() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&config())?;
    let control = Control::of(&director)?;
    let state = world.directory().join("state");
    let shell = || -> Result<Terminal> {
        let mut command = Command::new(lbctl()?);
        command.arg("--socket").arg(control.socket()).env("XDG_STATE_HOME", &state);
        let mut terminal = Terminal::start(command)?;
        // Whom one talks to, and where to go from here.
        terminal.shows(&[
            "lb-app ",
            "forwarding; 2 ports, 1 services, 0 of 2 servers down",
            "`help`",
            "lbctl> ",
        ])?;
        Ok(terminal)
    };
    let mut terminal = shell()?;
    terminal.press("sho\tpo\t")?;
    terminal.shows(&["show ", "port "])?;
    terminal.press("\t\t")?;
    terminal.shows(&["summary", "A line for each port", "port wan"])?;
    terminal.press("summary all\r")?;
    terminal.shows(&["Number of available ports: 2"])?;
    terminal.press("set server \t\t")?;
    terminal.shows(&["tcp-nat-80"])?;
    terminal.press("198\u{15}set server tcp-nat-80 ?")?;
    terminal.shows(&["198.51.100.11:8080  enabled, up", "set server tcp-nat-80"])?;
    terminal.press("198.51.100.11 ")?;
    terminal.press("?")?;
    terminal.shows(&["  weight ", " Share of new connections"])?;
    terminal.press("\u{3}")?;
    terminal.shows(&["lbctl> "])?;
    terminal.press("help services\r")?;
    terminal.shows(&["add server <SERVICE> <ADDRESS[:PORT]> [weight <WEIGHT>]"])?;
    terminal.press("nonsense\r")?;
    terminal.shows(&["unknown command \"nonsense\": `help` lists them", "lbctl> "])?;
    terminal.press("sh serv tcp-nat-80\r")?;
    terminal.shows(&["TCP  192.0.2.100:80 tcp-nat-80 rr", "lbctl> "])?;
    terminal.press("count connections # how many\r")?;
    terminal.shows(&["capacity", "lbctl> "])?;
    terminal.press("\u{4}")?;
    assert_eq!(terminal.ends()?, Some(0));

    // Another run: the last line is an arrow away.
    let mut terminal = shell()?;
    terminal.press("\u{1b}[A")?;
    terminal.shows(&["count connections"])?;
    terminal.press("\u{3}")?;
    terminal.shows(&["lbctl> "])?;
    // The live view takes the screen and gives it back.
    terminal.press("top\r")?;
    // Blanks are not drawn.
    terminal.shows(&["WORKER", "2 up", "e explain"])?;
    // A server is drained there, after a question, and explained.
    terminal.press("jjd")?;
    terminal.shows(&["drain 198.51.100.11:8080 of tcp-nat-80?"])?;
    terminal.press("y")?;
    terminal.shows(&["198.51.100.11:8080 of tcp-nat-80: drain", "1 drain"])?;
    assert!(control.ask("show services")?.contains(" drain"));
    terminal.press("e203.0.113.10:40000\r")?;
    terminal.shows(&["server 198.51.100.11:8080 of service tcp-nat-80", "a packet of 203.0.113.10:40000"])?;
    terminal.press("quy")?;
    assert!(eventually(PATIENCE, || Ok(!control.ask("show services")?.contains(" drain")))?);
    terminal.press("q")?;
    terminal.shows(&["lbctl> "])?;
    terminal.press("quit\r")?;
    assert_eq!(terminal.ends()?, Some(0));
    director.stop()?;
    Ok(())
}

/// Ctrl-C ends what a command is about, and not the shell.
#[test]
fn a_listing_can_be_interrupted() -> Result<()> {
    const CONNECTIONS: usize = 6_000;
    let world = World::new()?;
    let director = world.start(&Config::new().service(Service::udp(Method::Nat, world::ECHO)))?;
    let control = Control::of(&director)?;
    let sockets: Vec<UdpSocket> = (0..CONNECTIONS)
        .map(|_| world.client().udp(Method::Nat.at(world::ECHO)))
        .collect::<Result<_, _>>()?;
    let count = || -> Result<usize> {
        let text = control.ask("count connections")?;
        Ok(text.split(' ').next().unwrap_or_default().parse()?)
    };
    let all = eventually(PATIENCE, || {
        for some in sockets.chunks(100) {
            for socket in some {
                let _ = socket.send(b"one of many");
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(count()? == CONNECTIONS)
    })?;
    assert!(all, "{} connections", count()?);

    let mut command = Command::new(lbctl()?);
    command.arg("--socket").arg(control.socket()).env("XDG_STATE_HOME", world.directory());
    let mut terminal = Terminal::start(command)?;
    terminal.shows(&["lbctl> "])?;
    terminal.press("show connections\r")?;
    // As long as nobody looks at more, it waits with the first of many pages.
    terminal.shows(&["pro expire"])?;
    terminal.interrupt()?;
    terminal.shows(&["interrupted", "lbctl> "])?;
    let listed = terminal.seen().lines().filter(|line| line.starts_with("UDP ")).count();
    assert!((1..CONNECTIONS).contains(&listed), "{listed}");
    terminal.press("count connections\r")?;
    terminal.shows(&["capacity", "lbctl> "])?;
    // So does a trace, which would go on for ever.
    terminal.press("trace add udp\r")?;
    assert!(eventually(PATIENCE, || Ok(control.ask("trace list")?.contains("udp")))?);
    terminal.interrupt()?;
    terminal.shows(&["interrupted", "lbctl> "])?;
    terminal.press("quit\r")?;
    assert_eq!(terminal.ends()?, Some(0));
    director.stop()?;
    Ok(())
}

#[test]
fn a_file_stops_at_its_first_error() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&config())?;
    let control = Control::of(&director)?;
    let file = world.directory().join("commands");
    fs::write(
        &file,
        "# comment\nshow director\nset server tcp-nat-80 198.51.100.99 weight 1\ncount connections\n",
    )?;
    let name = file.display();
    let output = control.output(&format!("load {name}"))?;
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("forwarding") && !text.contains("capacity 131072\n  worker"), "{text}");
    assert!(errors.contains(&format!("{name}:3: unknown server")), "{errors}");
    let output = control.output(&format!("load {name} keep-going"))?;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("  worker 1: "));

    let mut shell = control.command("")?;
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    shell.stdin.take().context("stdin")?.write_all(b"show director\nfrobnicate\n")?;
    let output = shell.wait_with_output()?;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("<stdin>:2: "));
    director.stop()?;
    Ok(())
}

/// `lb-app -i`: the same shell in the director's own process; leaving it ends the director.
#[test]
fn the_director_has_a_shell_of_its_own() -> Result<()> {
    let world = World::new()?;
    let file = world.directory().join("shell.toml");
    fs::write(&file, config().render(&world.server_addresses()))?;
    let commands = world.directory().join("begin");
    fs::write(&commands, "show port summary all\n")?;
    let prefix = format!("{}-shell", world.name());
    let start = |commands: &std::path::Path| -> Result<Command> {
        let mut command = world.director().command(program()?);
        command.args(["--no-huge", "-m", "256", "--no-pci", "--no-telemetry", "--file-prefix", &prefix]);
        command
            .args(["--lcores", "(0-2)@0", "--", "-i", "--conf"])
            .arg(&file)
            .arg("--cmdline-file")
            .arg(commands);
        command.env("XDG_STATE_HOME", world.directory());
        Ok(command)
    };
    let mut terminal = Terminal::start(start(&commands)?)?;
    terminal.shows(&["lb-app ready", "Number of available ports: 2", "lb> "])?;
    world.client().who_answers(Method::Nat.at(world::HTTP), 4)?;
    terminal.press("show serv\t\r")?;
    terminal.shows(&["198.51.100.12:8080", "lb> "])?;
    terminal.press("stop\r")?;
    terminal.shows(&["Accumulated forward statistics", "lb> "])?;
    terminal.press("start\r")?;
    terminal.shows(&["forwarding"])?;
    terminal.press("quit\r")?;
    terminal.shows(&["accounting: exact"])?;
    assert_eq!(terminal.ends()?, Some(0));

    fs::write(&commands, "show director\nshow nothing\n")?;
    let mut terminal = Terminal::start(start(&commands)?)?;
    terminal.shows(&["begin:2: unknown word \"nothing\" after `show`", "accounting: exact"])?;
    assert_eq!(terminal.ends()?, Some(1));
    Ok(())
}

/// What packages install beside the programs.
#[test]
fn manual_pages_are_made() -> Result<()> {
    let directory = Scratch::new()?;
    let program = lbctl()?;
    run(Command::new(&program).arg("man").arg(directory.path()))?;
    run(Command::new(lb_stories::director::program()?).arg("--man").arg(directory.path()))?;
    for (page, sections) in [
        ("lbctl.1", ["NAME", "SYNOPSIS", "OPTIONS", "COMMANDS", "EXIT STATUS"]),
        ("lb-app.8", ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "VERSION"]),
    ] {
        let file = directory.path().join(page);
        let text = fs::read_to_string(&file)?;
        for section in sections {
            assert!(
                text.contains(&format!(".SH {section}")) || text.contains(&format!(".SH \"{section}\"")),
                "no {section} in {page}"
            );
        }
        let Ok(output) = Command::new("groff").args(["-man", "-ww", "-Tutf8", "-z"]).arg(&file).output()
        else {
            continue;
        };
        let warnings = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && warnings.is_empty(), "{page}: {warnings}");
    }
    Ok(())
}
