//! lbctl's words are completed in bash, zsh and fish, with the names that the running director has.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lb_stories::config::Service;
use lb_stories::control::{Control, lbctl};
use lb_stories::process::{Scratch, run};
use lb_stories::terminal::Terminal;
use lb_stories::{Config, Method, World, world};

/// How long a key may take to be answered, on a machine that has much to do.
const SOON: Duration = Duration::from_secs(5);

/// A shell that finds lbctl, which finds that socket.
fn shell(program: &str, arguments: &[&str], socket: &Path) -> Result<Command> {
    let directory = lbctl()?.parent().context("a directory")?.display().to_string();
    let path = std::env::var("PATH")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("PATH", format!("{directory}:{path}"))
        .env("LB_SOCKET", socket)
        .env("PS1", "$ ")
        .env("HISTFILE", "");
    Ok(command)
}

/// Whether there is such a shell: `tests/deps.sh test` installs them.
fn is_here(program: &str) -> bool {
    let is_here = Command::new(program).arg("--version").output().is_ok();
    if !is_here {
        println!("not told: this machine has no {program}");
    }
    is_here
}

#[test]
fn bash_completes_names_addresses_and_states() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&Config::new().service(Service::tcp(Method::Nat, world::HTTP)))?;
    let control = Control::of(&director)?;
    control.ask("set server tcp-nat-80 198.51.100.12 state drain")?;
    let mut bash = Terminal::start(shell("bash", &["--norc", "--noprofile", "-i"], control.socket())?)?;
    bash.press("source <(lbctl completions bash); echo rea''dy\r")?;
    bash.shows(&["ready"])?;
    // Commands, and what they do when it is asked for again.
    bash.press("lbctl show port s\t\t")?;
    bash.shows(&["stats    What a port counted", "summary  A line for each port"])?;
    bash.press("\u{15}lbctl set server tc\t")?;
    bash.shows(&["tcp-nat-80 "])?;
    bash.press("\t\t\t")?;
    bash.shows(&["198.51.100.11:8080  enabled, up", "198.51.100.12:8080  drain, up"])?;
    // A colon is not the end of a word.
    bash.press("2:\t")?;
    bash.shows(&["8080 "])?;
    bash.press("state d\t\t")?;
    bash.shows(&["drain", "disabled"])?;
    bash.press("r\t\r")?;
    bash.press("lbctl show services 192.0\t\r")?;
    bash.shows(&["2.100:80 ", "198.51.100.12:8080", "drain"])?;
    drop(bash);
    director.stop()?;
    Ok(())
}

#[test]
fn zsh_and_fish_complete_the_same() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&Config::new().service(Service::tcp(Method::Nat, world::HTTP)))?;
    let control = Control::of(&director)?;
    if is_here("zsh") {
        let mut zsh = Terminal::start(shell("zsh", &["-f", "-i"], control.socket())?)?;
        let begin = "autoload -U compinit; compinit -D -u; source <(lbctl completions zsh); echo rea''dy\r";
        zsh.press(begin)?;
        zsh.shows(&["ready"])?;
        zsh.press("lbctl show port s\t")?;
        zsh.shows(&["stats    What a port counted", "summary  A line for each port"])?;
        zsh.press("\u{15}lbctl set server tcp-nat-80 198.51.100.12:\t")?;
        zsh.shows(&["8080"])?;
    }
    if is_here("fish") {
        let offered = |line: &str| {
            let script = format!("lbctl completions fish | source; complete -C '{line}'");
            run(&mut shell("fish", &["--no-config", "-c", &script], control.socket())?)
        };
        ensure!(
            offered("lbctl show port s")? == "stats\tWhat a port counted\nsummary\tA line for each port\n"
        );
        let servers = offered("lbctl set server tcp-nat-80 ")?;
        ensure!(servers == "198.51.100.11:8080\tenabled, up\n198.51.100.12:8080\tenabled, up\n", "{servers}");
    }
    director.stop()?;
    Ok(())
}

/// Nobody there, or somebody who does not answer: completion is quick, silent, and knows the words that it knows.
#[test]
fn completion_needs_no_director() -> Result<()> {
    let directory = Scratch::new()?;
    let silent = directory.path().join("silent");
    let _listener = std::os::unix::net::UnixListener::bind(&silent)?;
    for socket in [directory.path().join("missing"), silent] {
        let mut bash = Terminal::start(shell("bash", &["--norc", "--noprofile", "-i"], &socket)?)?;
        bash.press("source <(lbctl completions bash); echo rea''dy\r")?;
        bash.shows(&["ready"])?;
        bash.press("lbctl show port s\t\t")?;
        bash.shows(&["stats    What a port counted"])?;
        bash.press("\u{15}lbctl set server \t\t")?;
        bash.press("end\r")?;
        bash.shows(&["lbctl: missing ", "; see `help set server`", "$ "])?;
        for bad in ["cannot", "error", "No such file"] {
            ensure!(!bash.seen().contains(bad), "{}", bash.seen());
        }

        let begin = Instant::now();
        let output = shell("lbctl", &["__complete", "lbctl set server "], &socket)?.output()?;
        ensure!(
            output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(),
            "{output:?}"
        );
        ensure!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    }
    Ok(())
}

/// `lbctl` without a director says which others there are.
#[test]
fn other_directors_are_listed() -> Result<()> {
    let directory = Scratch::new()?;
    let _listener = std::os::unix::net::UnixListener::bind(directory.path().join("second.sock"))?;
    fs::write(directory.path().join("no-socket"), "")?;
    let wanted = directory.path().join("lb.sock");
    let output = shell("lbctl", &["show", "director"], &wanted)?.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let second = directory.path().join("second.sock");
    ensure!(output.status.code() == Some(3), "{output:?}");
    ensure!(said.trim_end().ends_with(&format!("; other sockets there: {}", second.display())), "{said}");
    ensure!(said.lines().count() == 1, "{said}");
    Ok(())
}
