//! A configuration file that is watched: whoever changes it, and however, what is right applies and what is wrong does not.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Result, ensure};
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::process::{PATIENCE, eventually};
use lb_stories::{Config, Method, World, world};

/// Puts a text where a file is, as editors and Kubernetes do: by renaming.
fn rename_over(file: &Path, text: &str) -> Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, text)?;
    Ok(fs::rename(new, file)?)
}

#[test]
fn changes_of_the_file_apply_by_themselves() -> Result<()> {
    let world = World::new()?;
    let config = Config::new()
        .service(Service::tcp(Method::Nat, world::HTTP))
        .section("[config]\nwatch = true\n[metrics]\nlisten = \"127.0.0.1:9145\"\n");
    let text = config.render(&world.server_addresses());
    let director = world.start(&config)?;
    let file = world.directory().join(format!("{}-1.toml", world.name()));
    let control = Control::of(&director)?;
    let with = |scheduler: &str| text.replace("scheduler = \"rr\"", &format!("scheduler = \"{scheduler}\""));
    let becomes = |scheduler: &str| -> Result<()> {
        let is =
            eventually(PATIENCE, || Ok(control.ask("show services")?.contains(&format!(" {scheduler}"))))?;
        ensure!(is, "not {scheduler}: {}", control.ask("show director")?);
        Ok(())
    };
    ensure!(control.ask("show director")?.contains("the file is watched"));
    control.ask("set server tcp-nat-80 198.51.100.11 state drain")?;

    // Written in place, and replaced by another file.
    fs::write(&file, with("wrr"))?;
    becomes("wrr")?;
    rename_over(&file, &with("lc"))?;
    becomes("lc")?;
    ensure!(control.ask("show services")?.contains("drain"), "what an operator did stays");

    // A wrong one is refused, once, and what applied last stays in effect.
    let metrics = || world.director().run("curl", &["-sS", "http://127.0.0.1:9145/metrics"]);
    ensure!(metrics()?.contains("lb_config_in_effect 1"));
    rename_over(&file, &with("lc").replace("scheduler", "colour"))?;
    let refused = || Ok(control.ask("show director")?.contains("was refused"));
    ensure!(eventually(PATIENCE, refused)?, "{}", control.ask("show director")?);
    std::thread::sleep(std::time::Duration::from_secs(2));
    let events = control.ask("show events")?;
    ensure!(events.matches("reload-refused").count() == 1 && events.contains("the watched file"), "{events}");
    let told = metrics()?;
    let hashes = told.lines().filter(|line| line.starts_with("lb_config_hash_info{")).count();
    ensure!(told.contains("lb_config_in_effect 0") && hashes == 2, "{told}");
    becomes("lc")?;
    world.client().who_answers(Method::Nat.at(world::HTTP), 4)?;
    rename_over(&file, &with("lc"))?;
    ensure!(eventually(PATIENCE, || Ok(metrics()?.contains("lb_config_in_effect 1")))?);

    // As Kubernetes mounts a ConfigMap: the file is a link into a folder whose name is a link that is swapped.
    let folder = world.directory().join("map");
    for (version, scheduler) in [("one", "sed"), ("two", "nq")] {
        fs::create_dir_all(folder.join(version))?;
        fs::write(folder.join(version).join("lb.toml"), with(scheduler))?;
    }
    symlink("one", folder.join("data"))?;
    fs::remove_file(&file)?;
    symlink(folder.join("data/lb.toml"), &file)?;
    becomes("sed")?;
    symlink("two", folder.join("swap"))?;
    fs::rename(folder.join("swap"), folder.join("data"))?;
    becomes("nq")?;

    // The folder goes, and comes back with another file in it, which includes one.
    fs::remove_dir_all(&folder)?;
    ensure!(eventually(PATIENCE, || Ok(control.ask("show director")?.contains("cannot be read")))?);
    fs::create_dir_all(folder.join("data/conf.d"))?;
    let (head, service) = text.split_once("[[services]]").unwrap_or_default();
    let service = format!("[[services]]{service}");
    let part = folder.join("data/conf.d/web.toml");
    fs::write(&part, service.replace("\"rr\"", "\"wlc\""))?;
    // Paths begin at the link's folder.
    let include = format!("include = \"{}/data/conf.d/*.toml\"\n", folder.display());
    fs::write(folder.join("data/lb.toml"), include + head)?;
    becomes("wlc")?;
    fs::write(&part, service.replace("\"rr\"", "\"fo\""))?;
    becomes("fo")?;

    // What is saved is nothing new.
    control.ask("save")?;
    let count =
        |kind: &str| -> Result<usize> { Ok(control.ask("show events count 200")?.matches(kind).count()) };
    let before = count("  reloaded")?;
    std::thread::sleep(std::time::Duration::from_secs(3));
    ensure!(count("  reloaded")? == before, "{}", control.ask("show events count 200")?);
    director.stop()?;
    Ok(())
}
