//! Programs that check servers, and operators' hooks: what they hold of the director, and that they end.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::process::{PATIENCE, eventually};
use lb_stories::{Config, Method, World, world};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A directory that everybody may write to.
fn open_directory(world: &World) -> Result<std::path::PathBuf> {
    let directory = world.directory().join("open");
    fs::create_dir_all(&directory)?;
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777))?;
    // Those on the way to it need only be passed.
    let mut above = directory.parent();
    while let Some(path) = above.filter(|path| *path != Path::new("/tmp") && *path != Path::new("/")) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        above = path.parent();
    }
    Ok(directory)
}

/// The lines of a file, once it is there.
fn lines(file: &Path) -> Result<Vec<String>> {
    ensure!(eventually(PATIENCE, || Ok(file.exists()))?, "there is no {}", file.display());
    Ok(fs::read_to_string(file)?.lines().map(str::to_owned).collect())
}

#[test]
fn programs_hold_nothing_of_the_director() -> Result<()> {
    let world = World::new()?;
    let directory = open_directory(&world)?;
    let script = directory.join("held");
    // Standard output of ls is its own; it also has the directory that it lists.
    fs::write(
        &script,
        "#!/bin/sh\nfile=$(dirname $0)/$1\nenv > $file.env.new; mv $file.env.new $file.env\n\
         ls -l /proc/self/fd > $file.fd.new; mv $file.fd.new $file.fd\n",
    )?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let script = script.display();
    let command = |name: &str, more: &str| {
        format!("{{ type = \"command\", command = [\"{script}\", \"{name}\"], interval = \"500ms\"{more} }}")
    };
    let service = Service::tcp(Method::Nat, world::HTTP)
        .line(format!("check = {}", command("nobody", ", user = \"nobody\"")))
        .line(format!(
            "health = {{ quorum_up = [\"{script}\", \"own\"], quorum_down = [\"{script}\", \"own\"] }}"
        ));
    let other = Service::tcp(Method::Dr, world::HTTP)
        .line(format!("check = {}", command("root", ", assume_down = true")));
    let hook = format!("[health]\nhook = [\"{script}\", \"hook\"]");
    let config = Config::new().service(service).service(other).section(hook);
    let text = config.render(&world.server_addresses());
    let director = world.start_how(config.workers(), &text, |command| {
        command.env("SECRET_OF_THE_DIRECTOR", "1");
    })?;
    // It holds a lot itself.
    let own = fs::read_dir(format!("/proc/{}/fd", director.pid()))?.count();
    ensure!(own > 10, "{own} descriptors");
    for name in ["nobody", "root", "hook"] {
        let held = lines(&directory.join(format!("{name}.fd")))?;
        let others: Vec<&String> = held
            .iter()
            .filter(|line| line.contains(" -> "))
            .filter(|line| {
                let target = line.rsplit(" -> ").next().unwrap_or_default();
                // Its standard streams, and what it lists.
                !(target == "/dev/null"
                    || target.starts_with("pipe:")
                    || target.ends_with(".fd.new")
                    || target.starts_with("/proc/"))
            })
            .collect();
        ensure!(others.is_empty() && held.len() <= 6, "{name}: {held:#?}");
        let variables = lines(&directory.join(format!("{name}.env")))?;
        let names: BTreeSet<&str> =
            variables.iter().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        let known =
            ["HOME", "LANG", "LC_ALL", "LOGNAME", "OLDPWD", "PATH", "PWD", "SHLVL", "TZ", "USER", "_"];
        let strange: Vec<_> =
            names.iter().filter(|name| !known.contains(name) && !name.starts_with("LB_")).collect();
        ensure!(strange.is_empty(), "{name}: {variables:#?}");
        ensure!(names.contains("LB_SERVICE") && names.contains("PATH"), "{name}: {variables:#?}");
        let user = if name == "nobody" { "nobody" } else { "root" };
        ensure!(variables.contains(&format!("USER={user}")), "{name}: {variables:#?}");
    }
    // What is not handed on by these programs is not handed on by others either.
    let unmarked = fs::read_dir(format!("/proc/{}/fdinfo", director.pid()))?
        .filter_map(|entry| Some((entry.as_ref().ok()?.file_name().into_string().ok()?, entry.ok()?.path())))
        .filter(|(number, _)| number.parse().is_ok_and(|number: u32| number > 2))
        .filter_map(|(number, path)| Some((number, fs::read_to_string(path).ok()?)))
        .filter(|(_, text)| {
            let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
            let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
            flags.is_some_and(|flags| flags & 0o2_000_000 == 0)
        });
    let unmarked: Vec<_> = unmarked.map(|(number, _)| number).collect();
    ensure!(unmarked.is_empty(), "not closed for other programs: {unmarked:?}");
    director.stop()?;
    Ok(())
}

/// Without the privilege to end programs of other users, one that takes too long is reported, and nobody waits for it.
#[test]
fn a_program_that_cannot_be_ended_holds_up_nobody() -> Result<()> {
    let world = World::new()?;
    let mark = format!("{}", 86_400 + std::process::id());
    let check = |command: &str, more: &str| {
        format!(
            "check = {{ type = \"command\", command = {command}, interval = \"300ms\", timeout = \"1s\"{more} }}"
        )
    };
    let config = Config::new()
        .service(
            Service::tcp(Method::Nat, world::HTTP)
                .line(check(&format!("[\"sleep\", \"{mark}\"]"), ", fall = 1, user = \"nobody\"")),
        )
        .service(Service::tcp(Method::Dr, world::HTTP).line(check("[\"true\"]", "")));
    let text = config.render(&world.server_addresses());
    // lb-app itself, and only that, is run without it.
    let director = world.start_how(config.workers(), &text, |command| {
        let own = std::mem::replace(command, Command::new("true"));
        let mut words = vec![own.get_program().to_owned()];
        words.extend(own.get_args().map(std::ffi::OsStr::to_owned));
        let at =
            words.iter().position(|word| Path::new(word).ends_with("lb-app")).expect("lb-app is started");
        let without = ["setpriv", "--bounding-set", "-kill", "--inh-caps", "-kill"];
        words.splice(at..at, without.map(Into::into));
        *command = Command::new(&words[0]);
        command.args(&words[1..]);
    })?;
    let control = Control::of(&director)?;
    let said = eventually(PATIENCE, || Ok(director.output()?.contains("give lb-app CAP_KILL")))?;
    ensure!(said, "{}", director.output()?);
    let checks = || -> Result<u64> {
        let text = control.ask("--json show health tcp-dr-80")?;
        let answer: serde_json::Value = serde_json::from_str(&text)?;
        let checks = answer["reply"]["health"]["services"][0]["servers"][0]["checks"].as_u64();
        Ok(checks.unwrap_or_default())
    };
    let before = checks()?;
    ensure!(eventually(PATIENCE, || Ok(checks()? >= before + 5))?, "other checks stand still");
    director.stop()?;
    // Those that it could not end.
    for process in fs::read_dir("/proc")?.flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let id = process.file_name().to_str().and_then(|id| id.parse().ok());
        if let (true, Some(id)) = (line == format!("sleep\0{mark}\0").as_bytes(), id) {
            let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
    Ok(())
}
