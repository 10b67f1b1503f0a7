//! `lb-app` that cannot start: it says why and what to do about it, fails, and leaves nothing behind.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use lb_stories::config::Service;
use lb_stories::director::program;
use lb_stories::{Config, Method, World, world};

/// What a start came to.
struct Attempt {
    code: Option<i32>,
    complaint: String,
    runtime: PathBuf,
}

impl Attempt {
    /// `lb-app` must have failed with these words.
    fn failed(&self, words: &[&str]) {
        let complaint = &self.complaint;
        assert_eq!(self.code, Some(1), "{complaint}");
        for word in words {
            assert!(complaint.contains(word), "no {word:?} in: {complaint}");
        }
        assert!(!complaint.contains("panicked"), "{complaint}");
    }
}

/// Starts `lb-app` on lcores written as for EAL's `--lcores`. It has to end by itself, soon.
fn attempt(world: &World, prefix: &str, configuration: &str, lcores: &str) -> Result<Attempt> {
    attempt_with(world, prefix, configuration, &["--no-huge", "-m", "256", "--lcores", lcores], &[])
}

/// The same with any EAL arguments, started by another program, such as one that takes rights away.
fn attempt_with(
    world: &World,
    prefix: &str,
    configuration: &str,
    eal: &[&str],
    by: &[&str],
) -> Result<Attempt> {
    attempt_to(world, prefix, configuration, eal, by, &[])
}

/// The same with other options of `lb-app`'s own.
fn attempt_to(
    world: &World,
    prefix: &str,
    configuration: &str,
    eal: &[&str],
    by: &[&str],
    options: &[&str],
) -> Result<Attempt> {
    let file = world.directory().join("start.toml");
    fs::write(&file, configuration)?;
    let mut command = world.director().command("timeout");
    command.arg("60").args(by).arg(program()?);
    command.args(eal).args(["--no-pci", "--no-telemetry", "--file-prefix", prefix]);
    let output = command.args(["--", "--conf"]).arg(&file).args(options).output()?;
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(Attempt { code: output.status.code(), complaint, runtime: Path::new("/var/run/dpdk").join(prefix) })
}

#[test]
fn what_is_wrong_is_said_with_a_remedy() -> Result<()> {
    let world = World::new()?;
    let good = Config::new().service(Service::tcp(Method::Dr, world::HTTP)).render(&world.server_addresses());
    let with = |old: &str, new: &str| {
        assert!(good.contains(old), "{good}");
        good.replace(old, new)
    };
    let cases: [(String, &str, &[&str]); 6] = [
        (
            with("net_af_packet0,iface=lbwan,qpairs=2", "nosuch"),
            "(0-2)@0",
            &["port wan: DPDK has no device \"nosuch\"", "Name a PCI address"],
        ),
        (
            with("net_af_packet0,iface=lbwan,qpairs=2", "lbwan"),
            "(0-2)@0",
            &["lbwan is a network interface of the kernel", "net_af_packet0,iface=lbwan"],
        ),
        (
            with("iface=lblan", "iface=nowhere0"),
            "(0-2)@0",
            &["port lan:", "\"nowhere0\", which does not exist"],
        ),
        (
            with("qpairs=2", "qpairs=1"),
            "(0-2)@0",
            &["2 receive queues are needed", "use fewer workers, or add qpairs=N"],
        ),
        (good.clone(), "0@0", &["no lcore for a worker", "`-l 0,1`"]),
        // 2 TiB of tables.
        (
            with("connections = 65536", "connections = 268435456"),
            "(0-64)@0",
            &[
                "start.toml:2:15: workers.connections",
                "268435456 connections of IPv4 and 65536 of IPv6 on each of 64 workers need 2097963 MiB of memory",
                "use at most",
            ],
        ),
    ];
    for (configuration, lcores, words) in cases {
        let attempt = attempt(&world, &format!("{}-start", world.name()), &configuration, lcores)?;
        attempt.failed(words);
        assert!(!attempt.runtime.exists(), "{} is left behind", attempt.runtime.display());
    }
    Ok(())
}

/// More packet buffers than the memory holds: what is told to do helps.
#[test]
fn too_many_buffers_for_the_memory_are_said_with_what_would_do() -> Result<()> {
    let world = World::new()?;
    let configuration = Config::http().render(&world.server_addresses());
    let prefix = format!("{}-memory", world.name());
    let many: &[&str] = &["--total-num-mbufs", "32767"];
    let eal = ["--no-huge", "-m", "96", "--lcores", "(0-2)@0"];
    let attempt = attempt_to(&world, &prefix, &configuration, &eal, &[], many)?;
    // A page each, and 256 KiB for pointers to them.
    attempt.failed(&[
        "no memory for 32767 packet buffers, which need 129 MiB without huge pages",
        "takes whole pages (4 KiB)",
        "MiB are free: raise -m to ",
        " MiB are enough (remove --no-huge",
        "--total-num-mbufs",
    ]);
    assert!(!attempt.runtime.exists(), "{} is left behind", attempt.runtime.display());
    let (_, told) = attempt.complaint.split_once("raise -m to ").expect("as above");
    let told = told.split(',').next().expect("a number").to_owned();
    let memory = ["--no-huge".to_owned(), "-m".to_owned(), told];
    let director = world.start_on(&Config::http(), &memory, |command| {
        command.args(many);
    })?;
    assert_eq!(world.client().who_answers(Method::Nat.at(world::HTTP), 4)?.len(), 2);
    director.stop()?;
    Ok(())
}

/// Two directors with the same prefix: the first one stays unharmed.
#[test]
fn a_prefix_in_use_is_left_alone() -> Result<()> {
    let world = World::new()?;
    let config = Config::http();
    let director = world.start(&config)?;
    let runtime = director.runtime().to_owned();
    let prefix = runtime.file_name().and_then(|name| name.to_str()).expect("the prefix");
    let attempt = attempt(&world, prefix, &config.render(&world.server_addresses()), "(0-2)@0")?;
    attempt.failed(&["another DPDK process uses", "its own --file-prefix"]);

    assert!(runtime.exists());
    assert_eq!(world.client().who_answers(Method::Nat.at(world::HTTP), 4)?.len(), 2);
    director.stop()?;
    assert!(!runtime.exists(), "{} is left behind", runtime.display());
    Ok(())
}

/// EAL's arguments, its memory and the user's rights. What EAL prints itself, usage above all, is kept out.
#[test]
fn what_eal_does_not_like_is_said_in_a_sentence() -> Result<()> {
    let world = World::new()?;
    let good = Config::new().service(Service::tcp(Method::Dr, world::HTTP)).render(&world.server_addresses());
    let prefix = format!("{}-eal", world.name());
    // A directory that is none of huge pages.
    let empty = world.directory().join("empty");
    fs::create_dir(&empty)?;
    let empty = empty.display().to_string();
    let without_rights: &[&str] =
        &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"];
    let cases: [(&[&str], &[&str], &[&str]); 6] = [
        (
            &["--no-huge", "--nonsense"],
            &[],
            &["DPDK did not accept its arguments `--no-huge --nonsense", "unrecognized option '--nonsense'"],
        ),
        (
            &["--no-huge", "-l", "0-x"],
            &[],
            &["DPDK did not accept its arguments `--no-huge -l 0-x", "invalid"],
        ),
        (&["--no-huge", "-l", "0,1000"], &[], &["DPDK did not accept its arguments", "-l 0,1000"]),
        // Whether this machine has huge pages or none.
        (&["--lcores", "(0-2)@0", "--huge-dir", &empty], &[], &["huge"]),
        (
            &["--lcores", "(0-2)@0", "--in-memory", "--socket-mem", "16000000"],
            &[],
            &["huge pages", "nr_hugepages"],
        ),
        (
            &["--lcores", "(0-2)@0", "--no-huge", "-m", "256"],
            without_rights,
            &["the control socket /run/lb/", "permission denied", "run as root"],
        ),
    ];
    for (eal, by, words) in cases {
        let attempt = attempt_with(&world, &prefix, &good, eal, by)?;
        attempt.failed(words);
        let lines: Vec<_> = attempt.complaint.lines().collect();
        assert!(!attempt.complaint.contains("EAL common options"), "{}", attempt.complaint);
        assert!(!attempt.complaint.contains("FATAL"), "{}", attempt.complaint);
        // Whatever EAL logs, the sentence comes last.
        assert!(lines.last().is_some_and(|line| line.contains(words[0])), "{}", attempt.complaint);
        assert!(!attempt.runtime.exists(), "{} is left behind", attempt.runtime.display());
    }
    Ok(())
}

/// One director at a time has a control socket; one that nobody listens at any more is replaced.
#[test]
fn the_control_socket_is_one_directors() -> Result<()> {
    let world = World::new()?;
    let socket = world.directory().join("lb.sock");
    let section = format!("[control]\nsocket = {socket:?}\n");
    let config = Config::new().service(Service::tcp(Method::Dr, world::HTTP)).section(section);
    let director = world.start(&config)?;
    let prefix = format!("{}-second", world.name());
    let second = attempt(&world, &prefix, &config.render(&world.server_addresses()), "(0-2)@0")?;
    second.failed(&["the control socket", "is in use by another lb-app", "[control]"]);
    assert!(socket.exists(), "the living director's socket stays");
    director.kill();
    assert!(socket.exists(), "nobody removed it");
    world.start(&config)?.stop()?;
    assert!(!socket.exists());
    Ok(())
}

/// Nothing of what DPDK does at every start is worth a warning.
#[test]
fn a_normal_start_is_quiet() -> Result<()> {
    let world = World::new()?;
    let director = world.start(&Config::http())?;
    let output = director.stop()?;
    for word in ["WARN", "ERROR", "EAL:", "TELEMETRY:"] {
        assert!(!output.contains(word), "{word} in\n{output}");
    }
    Ok(())
}
