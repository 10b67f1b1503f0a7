//! The shell on a terminal: completion, history, Ctrl-C; files of commands.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use lb_stories::config::Service;
use lb_stories::control::{Control, lbctl};
use lb_stories::director::program;
use lb_stories::process::PATIENCE;
use lb_stories::{Config, Method, World, world};
use nix::pty::{Winsize, openpty};

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
        let (send, screen) = channel();
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
    terminal.shows(&["room for", "lbctl> "])?;
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
    assert!(text.contains("forwarding") && !text.contains("room for 131072\n  worker"), "{text}");
    assert!(errors.contains(&format!("{name}:3: there is no server")), "{errors}");
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
