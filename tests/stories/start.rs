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
    let file = world.directory().join("start.toml");
    fs::write(&file, configuration)?;
    let mut command = world.director().command("timeout");
    command.arg("60").arg(program()?);
    command.args(["--no-huge", "-m", "256", "--no-pci", "--no-telemetry", "--file-prefix", prefix]);
    let output = command.args(["--lcores", lcores, "--", "--conf"]).arg(&file).output()?;
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
        (good.clone(), "0@0", &["no lcore is left for a worker", "`-l 0,1`"]),
        // 2 TiB of tables.
        (
            with("connections = 65536", "connections = 268435456"),
            "(0-64)@0",
            &[
                "start.toml:2:15: workers.connections",
                "of 64 workers need 2097152 MiB of memory",
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

/// Two directors with the same prefix: the first one stays unharmed.
#[test]
fn a_prefix_in_use_is_left_alone() -> Result<()> {
    let world = World::new()?;
    let config = Config::http();
    let director = world.start(&config)?;
    let runtime = director.runtime().to_owned();
    let prefix = runtime.file_name().and_then(|name| name.to_str()).expect("the prefix");
    let attempt = attempt(&world, prefix, &config.render(&world.server_addresses()), "(0-2)@0")?;
    attempt.failed(&["another DPDK process uses", "--file-prefix of its own"]);

    assert!(runtime.exists());
    assert_eq!(world.client().who_answers(Method::Nat.at(world::HTTP), 4)?.len(), 2);
    director.stop()?;
    assert!(!runtime.exists(), "{} is left behind", runtime.display());
    Ok(())
}
