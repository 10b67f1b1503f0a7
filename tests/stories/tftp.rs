//! TFTP with tftpd-hpa, curl and tftp-hpa over two workers: files go down and up under every method that has servers answer
//! from ports of their own.

use std::fs::{self, File};
use std::io::{Read, copy};

use anyhow::{Result, ensure};
use lb_stories::config::Service;
use lb_stories::ftp::sha256;
use lb_stories::process::{PATIENCE, eventually};
use lb_stories::server::big_file;
use lb_stories::tftp::{Program, TFTP, Tftpd};
use lb_stories::{Config, Method, World};

/// Bytes of curl's file under NAT: many blocks, and none that is full at its end.
const LARGE: u64 = 1_000_001;
/// Of the others, as each block is acknowledged by itself, and tftp-hpa's have 512 bytes.
const SMALL: u64 = 50_001;
const METHODS: [Method; 3] = [Method::Nat, Method::Dr, Method::Tun];

#[test]
fn transfers_go_to_the_server_that_was_asked() -> Result<()> {
    let world = World::new()?;
    let file = |name: &str, bytes: u64| {
        let path = world.directory().join(name);
        copy(&mut File::open(big_file()?)?.take(bytes), &mut File::create(&path)?)?;
        anyhow::Ok(path)
    };
    let (large, small) = (file("large", LARGE)?, file("small", SMALL)?);
    let start = |server: &lb_stories::server::Server| {
        Tftpd::start(server, &world.directory().join(server.name()).join("tftp"), &[&large, &small])
    };
    let servers = world.servers().iter().map(start).collect::<Result<Vec<_>>>()?;
    let config = METHODS.into_iter().fold(Config::new(), |config, method| {
        config.service(Service::udp(method, TFTP).line(r#"module = "tftp""#))
    });
    let director = world.start(&config)?;
    let client = world.client().namespace();
    let fetched = world.directory().join("fetched");
    for method in METHODS {
        let of_curl = if method == Method::Nat { (&large, "large") } else { (&small, "small") };
        for (program, (file, name)) in [(Program::Curl, of_curl), (Program::Tftp, (&small, "small"))] {
            let wanted = sha256(file)?;
            let told = format!("{} {program:?}", method.word());
            let target = method.at(TFTP).into();
            // A file that tftp-hpa cannot fetch it leaves empty.
            fs::write(&fetched, "")?;
            program.fetch(client, target, name, &fetched)?;
            ensure!(sha256(&fetched)? == wanted, "{told}: another file came");
            let name = told.replace(' ', "-");
            program.bring(client, target, file, &name)?;
            // curl is done when it has sent the last block.
            let arrived = || {
                let came: Vec<_> = servers.iter().filter_map(|server| server.brought(&name)).collect();
                ensure!(came.len() < 2, "{told}: at two servers");
                came.first().map_or(Ok(false), |came| Ok(sha256(came)? == wanted))
            };
            ensure!(eventually(PATIENCE, arrived)?, "{told}: another file arrived");
        }
    }
    director.stop()?;
    Ok(())
}
