//! DPDK's own capture program looks into the director.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use lb_stories::config::Service;
use lb_stories::hugepages::HugePages;
use lb_stories::process::{eventually, run};
use lb_stories::{Config, Method, World, world};

/// MiB of huge pages: packet buffers of two ports with two queues each, and those of the program that captures.
const MIB: u64 = 512;
/// How long a capture may take.
const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn dpdk_dumpcap_captures_what_is_forwarded() -> Result<()> {
    let world = World::new()?;
    let Some(pages) = HugePages::reserve(&format!("{}-huge", world.name()), MIB)? else {
        println!("not told: this machine has no huge pages to give");
        return Ok(());
    };
    let config = Config::new().service(Service::tcp(Method::Nat, world::HTTP));
    let director = world.start_on_huge_pages(&config, &pages)?;
    let target = Method::Nat.at(world::HTTP);
    let prefix =
        director.runtime().file_name().and_then(|name| name.to_str()).context("a prefix")?.to_owned();
    let file = world.directory().join("dumpcap.pcapng");
    for port in ["0", "1"] {
        let _ = std::fs::remove_file(&file);
        let mut command = world.director().command("dpdk-dumpcap");
        command.args(["--file-prefix", &prefix, "-i", port, "-c", "20", "-w"]).arg(&file);
        let mut capture =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let ended = eventually(LIMIT, || {
            world.client().fetch(target, "/small")?;
            Ok(capture.try_wait()?.is_some())
        })?;
        if !ended {
            capture.kill()?;
        }
        let output = capture.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(ended && output.status.success(), "dpdk-dumpcap -i {port}: {said}");
        let mut tshark = Command::new("tshark");
        tshark.arg("-r").arg(&file).args(["-T", "fields", "-e", "ip.dst", "-e", "tcp.dstport"]);
        let packets = run(&mut tshark)?;
        // Before rewriting on the clients' side, after it on the servers'.
        let sought: &[&str] = match port {
            "0" => &["192.0.2.100\t80"],
            _ => &["198.51.100.11\t8080", "198.51.100.12\t8080"],
        };
        let is_there = packets.lines().any(|line| sought.contains(&line));
        assert!(is_there, "port {port}: none of {sought:?} in\n{packets}");
    }
    // Nobody captures any more, and nothing was lost for it.
    world.client().who_answers(target, 4)?;
    director.stop()?;
    Ok(())
}
