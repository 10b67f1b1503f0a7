//! The shell on a terminal: completion, history, Ctrl-C; files of commands.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use lb_stories::config::Service;
use lb_stories::control::{Control, lbctl};
use lb_stories::director::program;
use lb_stories::process::{PATIENCE, Scratch, eventually, run};
use lb_stories::{Config, Method, World, world};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Pieces of output that wait for somebody to look. Then the program waits, too.
const AHEAD: usize = 4;
/// How long nothing new appears on a screen that is at rest.
const REST: Duration = Duration::from_millis(300);

/// A program on a terminal.
struct Terminal {
    child: Child,
    keys: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    fn start(mut command: Command) -> Result<Self> {
        let size = Winsize { ws_row: 50, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None)?;
        let end = |fd: &OwnedFd| -> Result<Stdio> { Ok(Stdio::from(fd.try_clone()?)) };
        command
            .stdin(end(&pty.slave)?)
            .stdout(end(&pty.slave)?)
            .stderr(end(&pty.slave)?)
            .env("TERM", "xterm");
        let child = command.spawn()?;
        drop((command, pty.slave));
        let keys = File::from(pty.master);
        let mut output = keys.try_clone()?;
        let (send, screen) = sync_channel(AHEAD);
        thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                if send.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, keys, screen, seen: String::new() })
    }

    /// Types once the screen is at rest, so that what is seen afterwards is of these keys.
    fn press(&mut self, keys: &str) -> Result<()> {
        while self.screen.recv_timeout(REST).is_ok() {}
        self.seen.clear();
        Ok(self.keys.write_all(keys.as_bytes())?)
    }

    /// Waits until all these words have appeared since the last key.
    fn shows(&mut self, words: &[&str]) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !words.iter().all(|word| self.seen.contains(word)) {
            match self.screen.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => bail!("{words:?} did not appear in {:?}", self.seen),
            }
        }
        Ok(())
    }

    /// Ctrl-C, while the program and not the editor of its lines has the terminal.
    fn interrupt(&self) -> Result<()> {
        Ok(kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGINT)?)
    }

    fn ends(&mut self) -> Result<Option<i32>> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("it does not end; it showed {:?}", self.seen)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

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
        terminal.shows(&["lbctl> "])?;
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
    terminal.press("\u{3}")?;
    terminal.shows(&["lbctl> "])?;
    terminal.press("help services\r")?;
    terminal.shows(&["add server <SERVICE> <ADDRESS[:PORT]> [weight <WEIGHT>]"])?;
    terminal.press("nonsense\r")?;
    terminal.shows(&["unrecognized subcommand 'nonsense'", "lbctl> "])?;
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
    terminal.shows(&["WORKER", "scroll"])?;
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
    let listed = terminal.seen.lines().filter(|line| line.starts_with("UDP ")).count();
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
    terminal.shows(&["begin:2: ", "unrecognized subcommand 'nothing'", "accounting: exact"])?;
    assert_eq!(terminal.ends()?, Some(1));
    Ok(())
}

/// What packages install beside the programs.
#[test]
fn completions_and_manual_pages_are_made() -> Result<()> {
    let directory = Scratch::new()?;
    let program = lbctl()?;
    let made = |shell: &str| -> Result<std::path::PathBuf> {
        let script = run(Command::new(&program).args(["completions", shell]))?;
        assert!(script.contains("xstats"), "{script}");
        let file = directory.path().join(shell);
        fs::write(&file, script)?;
        Ok(file)
    };
    let bash = made("bash")?;
    run(Command::new("bash").arg("-n").arg(&bash))?;
    let complete = "source \"$0\"; COMP_WORDS=(lbctl show port s); COMP_CWORD=3; _lbctl lbctl s port; \
                    echo \"${COMPREPLY[@]}\"";
    let words = run(Command::new("bash").args(["-c", complete]).arg(&bash))?;
    assert_eq!(words.trim(), "stats summary");
    for (shell, check) in [("zsh", "-n"), ("fish", "--no-execute")] {
        let script = made(shell)?;
        // Not every machine has them.
        if Command::new(shell).arg("--version").output().is_ok() {
            run(Command::new(shell).arg(check).arg(&script))?;
        }
    }

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
