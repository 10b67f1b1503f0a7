//! Configurations from etcd: `lb-sync` keeps a file saying what a key says, and directors reload.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lb_stories::config::Service;
use lb_stories::control::{Control, beside};
use lb_stories::director::program;
use lb_stories::flock::{Flock, until_served};
use lb_stories::netns::Namespace;
use lb_stories::process::{Background, PATIENCE, eventually, run};
use lb_stories::recipe::recipe;
use lb_stories::{Config, Director, Method, World, world};

const DIRECTORS: usize = 3;
const HERE: &str = "127.0.0.1:2379";

/// etcd in a namespace.
struct Etcd<'a> {
    namespace: &'a Namespace,
    directory: PathBuf,
    /// Arguments for TLS of `etcd`, and of `etcdctl`.
    tls: (Vec<String>, Vec<String>),
    running: Option<Background>,
}

impl<'a> Etcd<'a> {
    fn new(namespace: &'a Namespace, directory: &Path, tls: (Vec<String>, Vec<String>)) -> Result<Self> {
        let mut etcd = Etcd { namespace, directory: directory.to_owned(), tls, running: None };
        etcd.start()?;
        Ok(etcd)
    }

    fn url(&self) -> String {
        format!("{}://{HERE}", if self.tls.0.is_empty() { "http" } else { "https" })
    }

    /// With what it had before.
    fn start(&mut self) -> Result<()> {
        let mut command = self.namespace.command("etcd");
        command.arg("--data-dir").arg(self.directory.join("etcd"));
        command.args(["--listen-client-urls", &self.url(), "--advertise-client-urls", &self.url()]);
        command.args(&self.tls.0);
        self.running = Some(self.namespace.spawn(&mut command, &self.directory.join("etcd.log"))?);
        let answers = eventually(PATIENCE, || Ok(self.control(&["endpoint", "health"]).is_ok()))?;
        ensure!(answers, "etcd does not answer: {}", fs::read_to_string(self.directory.join("etcd.log"))?);
        Ok(())
    }

    fn control(&self, words: &[&str]) -> Result<String> {
        let mut command = self.namespace.command("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &self.url()]).args(&self.tls.1).args(words);
        run(&mut command)
    }

    /// It writes to a disk that others use, too, and may take longer than `etcdctl` waits.
    fn patiently(&self, words: &[&str]) -> Result<()> {
        let mut said = String::new();
        let is_done = eventually(PATIENCE, || {
            let outcome = self.control(words);
            said = outcome.as_ref().err().map_or_else(String::new, |error| format!("{error:#}"));
            Ok(outcome.is_ok())
        })?;
        ensure!(is_done, "{said}");
        Ok(())
    }

    fn put(&self, key: &str, value: &str) -> Result<()> {
        // A value that begins with a dash is none of ours.
        self.patiently(&["put", key, value])
    }
}

/// `lb-sync` for these keys and that file; `add` may add to the command.
fn lb_sync(etcd: &Etcd<'_>, keys: &str, file: &Path, words: &[&str]) -> Result<Command> {
    let mut command = etcd.namespace.command(beside("lb-sync")?);
    let endpoints = "http://10.0.0.1:2379,http://10.0.0.2:2379,http://10.0.0.3:2379";
    // The first does not answer.
    let ours = format!("http://127.0.0.1:1,{}", etcd.url());
    let replace = [(endpoints, &*ours), ("/lb/directors/lb1.toml,/lb/services.toml", keys)];
    for line in recipe("etcd.md", "LB_SYNC_ENDPOINTS", &replace)?.lines() {
        let (name, value) = line.split_once('=').context("NAME=VALUE")?;
        command.env(name, value);
    }
    command.env("LB_SYNC_FILE", file).arg("--check").arg(program()?).args(words);
    Ok(command)
}

/// A director, and who brings its configuration.
struct Member {
    file: PathBuf,
    log: PathBuf,
    director: Director,
    control: Control,
    _sync: Background,
}

impl Member {
    fn said(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }
}

#[test]
fn directors_say_what_etcd_says() -> Result<()> {
    let world = World::new()?;
    let others = [world.another_director()?, world.another_director()?];
    let namespaces = [world.director(), &others[0], &others[1]];
    let mut etcd = Etcd::new(world.switch(), world.directory(), Default::default())?;
    // What all have in common, and what is each director's own.
    let text = |host: u8| {
        let config = Config::new().alone().service(Service::tcp(Method::Dr, world::HTTP));
        let role = if host == 31 { "active" } else { "standby" };
        let own = format!("[config]\nwatch = true\n[director]\nrole = \"{role}\"\n");
        let text = config.section(own).at_host(host).render(&world.server_addresses());
        let (own, services) = text.split_once("[[services]]").unwrap_or_default();
        (own.to_owned(), format!("[[services]]{services}"))
    };
    let services = text(1).1;
    etcd.put("/lb/services.toml", &services)?;
    let mut members = Vec::new();
    for (number, namespace) in namespaces.into_iter().enumerate() {
        let name = format!("{}-etcd{number}", world.name());
        let (file, log) =
            (world.directory().join(format!("{name}.toml")), world.directory().join(format!("{name}.sync")));
        let key = format!("/lb/directors/{number}.toml");
        let keys = format!("{key},/lb/services.toml");
        let mut said = String::new();
        let mut says = |words: &str| {
            eventually(PATIENCE, || {
                let once = lb_sync(&etcd, &keys, &file, &["--once"])?.output()?;
                said = String::from_utf8_lossy(&once.stdout).into_owned();
                let is_current = once.status.success() && file.exists();
                ensure!(once.status.success() == file.exists(), "{said}");
                ensure!(is_current == said.contains("says what revision"), "{said}");
                Ok(said.contains(words))
            })
        };
        ensure!(says(&format!("has no key {key}"))?, "it has none");
        etcd.put(&key, &text(31 + u8::try_from(number)?).0)?;
        ensure!(says("says what revision")?, "it has one");
        let director =
            Director::start(namespace, world.directory(), &name, &fs::read_to_string(&file)?, 1, |_| ())?;
        let control = Control::of(&director)?;
        let sync = world.switch().spawn(&mut lb_sync(&etcd, &keys, &file, &["--interval", "1"])?, &log)?;
        members.push(Member { file, log, director, control, _sync: sync });
    }
    ensure!(members.len() == DIRECTORS);
    let use_scheduler = |word: &str| -> Result<()> {
        for member in &members {
            let is_used = || Ok(member.control.ask("-Ln")?.contains(&format!(":80 {word}")));
            ensure!(
                eventually(PATIENCE, is_used)?,
                "{word}: {}\n{}",
                member.control.ask("-Ln")?,
                member.said()?
            );
        }
        Ok(())
    };
    let all_say = |words: &str| -> Result<()> {
        for member in &members {
            let says = eventually(PATIENCE, || Ok(member.said()?.contains(words)))?;
            ensure!(says, "{words:?} is not in {}", member.said()?);
        }
        Ok(())
    };
    use_scheduler("rr")?;
    let target = Method::Dr.at(world::HTTP);
    until_served(world.client(), target, PATIENCE)?;
    let mut flock = Flock::open(world.client(), &[target], 15)?;

    // A change, for all of them.
    let with = |word: &str| services.replace("scheduler = \"rr\"", &format!("scheduler = \"{word}\""));
    etcd.put("/lb/services.toml", &with("wlc"))?;
    use_scheduler("wlc")?;

    // A mistake: everybody goes on with what is there, and says what is wrong and where.
    etcd.put("/lb/services.toml", &with("fastest"))?;
    all_say("has mistakes")?;
    all_say("\"fastest\" is not known")?;
    for member in &members {
        ensure!(fs::read_to_string(&member.file)?.contains("\"wlc\""));
        ensure!(member.said()?.contains(&format!("{}:", member.file.display())), "{}", member.said()?);
    }
    use_scheduler("wlc")?;
    etcd.put("/lb/services.toml", &with("wrr"))?;
    use_scheduler("wrr")?;

    // Nobody answers.
    drop(etcd.running.take());
    all_say("etcd does not answer")?;
    use_scheduler("wrr")?;
    members[0].control.ask("reload")?;
    println!("etcd is lost: {} open, {} broken", flock.len(), flock.check());
    until_served(world.client(), target, PATIENCE)?;
    // It is back.
    etcd.start()?;
    etcd.put("/lb/services.toml", &with("lc"))?;
    use_scheduler("lc")?;

    // The file is not the place to change anything.
    fs::write(&members[1].file, with("sh"))?;
    let is_back = || Ok(fs::read_to_string(&members[1].file)?.contains("\"lc\""));
    ensure!(eventually(PATIENCE, is_back)?, "{}", members[1].said()?);
    // Nor is it lost with its key.
    etcd.patiently(&["del", "/lb/services.toml"])?;
    all_say("etcd has no key /lb/services.toml")?;
    use_scheduler("lc")?;
    ensure!(flock.check() == 0 && flock.broken.is_empty(), "{:?}", flock.broken);
    for member in members {
        let left = fs::read_dir(world.directory())?.filter_map(Result::ok);
        ensure!(!left.into_iter().any(|entry| entry.file_name().to_string_lossy().ends_with(".lb-sync")));
        member.director.stop()?;
    }
    Ok(())
}

#[test]
fn certificates_are_asked_for_and_shown() -> Result<()> {
    let world = World::new()?;
    let at = |name: &str| world.directory().join(name).display().to_string();
    let openssl = |words: &str| run(Command::new("openssl").args(words.split(' ')));
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!(
        "req -x509 {key} -days 2 -subj /CN=authority -keyout {} -out {}",
        at("ca.key"),
        at("ca.pem")
    ))?;
    for (name, extension) in [("etcd", "subjectAltName=IP:127.0.0.1"), ("lb", "extendedKeyUsage=clientAuth")]
    {
        let (private, request, certificate) =
            (at(&format!("{name}.key")), at(&format!("{name}.csr")), at(&format!("{name}.pem")));
        openssl(&format!("req -new {key} -subj /CN={name} -keyout {private} -out {request}"))?;
        fs::write(at("extensions"), extension)?;
        openssl(&format!(
            "x509 -req -days 2 -in {request} -CA {} -CAkey {} -CAcreateserial -extfile {} -out {certificate}",
            at("ca.pem"),
            at("ca.key"),
            at("extensions")
        ))?;
    }
    let words = |words: &[(&str, &str)]| -> Vec<String> {
        words.iter().flat_map(|(option, file)| [format!("--{option}"), at(file)]).collect()
    };
    let mut server =
        words(&[("trusted-ca-file", "ca.pem"), ("cert-file", "etcd.pem"), ("key-file", "etcd.key")]);
    server.push("--client-cert-auth".to_owned());
    let client = words(&[("cacert", "ca.pem"), ("cert", "lb.pem"), ("key", "lb.key")]);
    let etcd = Etcd::new(world.switch(), world.directory(), (server, client))?;
    let text = Config::http().render(&world.server_addresses());
    etcd.put("/lb/lb.toml", &text)?;
    let file = world.directory().join("lb.toml");
    let once = |more: &[String]| -> Result<String> {
        let words: Vec<&str> = more.iter().map(String::as_str).chain(["--once"]).collect();
        let output = lb_sync(&etcd, "/lb/lb.toml", &file, &words)?.output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    };
    let in_the_end = |more: &[String]| -> Result<String> {
        let mut said = String::new();
        eventually(PATIENCE, || {
            said = once(more)?;
            Ok(said.contains("says what revision"))
        })?;
        Ok(said)
    };
    let said = once(&[])?;
    ensure!(!file.exists(), "an authority that nobody has heard of: {said}");
    let said = once(&words(&[("ca", "ca.pem")]))?;
    ensure!(said.contains("does not answer") && !file.exists(), "no certificate: {said}");
    let said = in_the_end(&words(&[("ca", "ca.pem"), ("cert", "lb.pem"), ("cert-key", "lb.key")]))?;
    ensure!(said.contains("says what revision") && fs::read_to_string(&file)? == text, "{said}");
    Ok(())
}
