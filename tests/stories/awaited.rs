//! What servers behind the director wait for: files that they offer by DCC over a real IRC server, and data of FTP in active
//! mode from a real FTP server outside, over two workers.

use std::fs::File;
use std::io::{Read, Write, copy};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lb_stories::config::Service;
use lb_stories::control::Control;
use lb_stories::ftp::{FTP, Mode, Program, Vsftpd, Way, sha256};
use lb_stories::irc::{Ngircd, Speaker};
use lb_stories::process::PATIENCE;
use lb_stories::server::{Server, big_file};
use lb_stories::{Config, Method, World, world};

/// What packets of servers leave with.
const OUTBOUND: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 50);
/// Bytes of each file.
const BYTES: u64 = 5_000_000;

fn rule(modules: &str) -> String {
    format!(
        "[[snat]]\nname = \"outbound\"\nsources = [\"198.51.100.0/24\", \"2001:db8:2::/64\"]\n\
         addresses = [\"192.0.2.50\", \"192.0.2.51\", \"192.0.2.52\", \"2001:db8:1::50\", \"2001:db8:1::51\"]\n\
         interface = \"wan\"\n{modules}"
    )
}

/// A rule with one address, so that everybody knows it.
fn plain_rule(modules: &str) -> String {
    format!(
        "[[snat]]\nname = \"outbound\"\nsources = [\"198.51.100.0/24\"]\naddresses = [\"{OUTBOUND}\"]\n\
         interface = \"wan\"\n{modules}"
    )
}

fn http() -> Config {
    Config::new().service(Service::tcp(Method::Nat, world::HTTP))
}

/// The same with a service of IPv6, so that the director has addresses of it.
fn http_of_both_families() -> Config {
    http().service(Service::tcp(Method::Nat, world::HTTP).over_ipv6())
}

/// What a server sends where the far client is goes by the director, from its address on the lan.
fn send_by_director(server: &Server, is_ipv6: bool) -> Result<()> {
    let own = server.lan();
    server.namespace().ip(&format!("route add 203.0.113.0/24 via {} src {own}", world::DIRECTOR_LAN))?;
    if is_ipv6 {
        let (director, own) = (world::DIRECTOR_LAN6, world::server6_of(own));
        server.namespace().ip(&format!("route add 2001:db8:f::/64 via {director} src {own}"))?;
    }
    Ok(())
}

/// A port of a server's where it waits.
fn listen(server: &Server, port: u16) -> Result<TcpListener> {
    Ok(server.namespace().within(|| TcpListener::bind((server.lan(), port)))?)
}

/// Sends bytes to whom an address and port of DCC name, from the side that waits: as a file is.
fn transfer(world: &World, listener: &TcpListener, words: &[String], bytes: &[u8]) -> Result<()> {
    let (address, port) = (words[1].parse().map(Ipv4Addr::from_bits)?, words[2].parse::<u16>()?);
    ensure!(address == OUTBOUND, "{words:?}");
    std::thread::scope(|scope| -> Result<()> {
        let sends = scope.spawn(|| -> Result<()> {
            let (mut stream, from) = listener.accept()?;
            ensure!(from.ip() == IpAddr::from(world::CLIENT), "{from}");
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(stream.write_all(bytes)?)
        });
        let mut stream = world.client().tcp((address, port)).with_context(|| format!("{words:?}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut got = Vec::new();
        stream.read_to_end(&mut got)?;
        ensure!(got == bytes, "{} of {} bytes", got.len(), bytes.len());
        sends.join().expect("the sender panicked")
    })
}

/// Whether anybody takes a connection to a port of the rule's.
fn is_open(world: &World, port: u16) -> bool {
    let target = SocketAddr::from((OUTBOUND, port));
    world.client().tcp_briefly(target, Duration::from_millis(200)).is_ok()
}

/// Where the IRC server is: where the far client is. The friend is on the wan.
fn ngircd(world: &World) -> Result<(IpAddr, Ngircd)> {
    world.client().namespace().ip(&format!("route add 203.0.113.0/24 via {}", world::GATEWAY))?;
    let far: IpAddr = world::FAR_CLIENT.into();
    Ok((far, Ngircd::start(world.far_client().namespace(), far, world.directory())?))
}

#[test]
fn files_are_offered_by_dcc() -> Result<()> {
    let world = World::new()?;
    let (far, ngircd) = ngircd(&world)?;
    let config = http().section(plain_rule("modules = { irc = 6667 }\n"));
    let director = world.start(&config)?;
    let control = Control::of(&director)?;
    let mut friend = Speaker::join(world.client().namespace(), far, "friend")?;
    let mut bytes = Vec::new();
    File::open(big_file()?)?.take(BYTES).read_to_end(&mut bytes)?;
    let mut speakers = Vec::new();
    for (server, nick) in world.servers().iter().zip(["one", "two"]) {
        send_by_director(server, false)?;
        let speaker = Speaker::join(server.namespace(), far, nick)?;
        ensure!(speaker.address()?.ip() == IpAddr::from(server.lan()));
        speakers.push(speaker);
    }
    // Both wait at the same port, and each gets its own file's reader.
    for round in 0..3 {
        let mut offers = Vec::new();
        for (server, speaker) in world.servers().iter().zip(&mut speakers) {
            let listener = listen(server, 5_000 + round)?;
            let text = format!("SEND \"a file\" {} {} {BYTES}", server.lan().to_bits(), 5_000 + round);
            let line = format!("PRIVMSG friend :\u{1}DCC {text}\u{1}");
            match round {
                0 => speaker.offer("friend", &text)?,
                // In the middle of the address, and of the port.
                _ => speaker
                    .say_in_parts(&line, line.rfind(' ').context("a size")? - 5 * usize::from(round))?,
            }
            let words = friend.hear_offer("SEND")?;
            ensure!(words[0] == "\"a", "{words:?}");
            offers.push((listener, words[1..].to_vec()));
        }
        ensure!(offers[0].1[2] != offers[1].1[2], "{offers:?}");
        for (number, (listener, words)) in offers.iter().enumerate().rev() {
            if number == 0 && round == 0 {
                // Who has part of it means the port that it was told, and whoever offers means its own.
                friend.offer("one", &format!("RESUME \"a file\" {} 17", words[2]))?;
                let asked = speakers[0].hear_offer("RESUME")?;
                ensure!(asked[2..] == ["5000", "17"], "{asked:?}");
                speakers[0].offer("friend", "ACCEPT \"a file\" 5000 17")?;
                let accepted = friend.hear_offer("ACCEPT")?;
                ensure!(accepted[2..] == [words[2].as_str(), "17"], "{accepted:?}");
            }
            transfer(&world, listener, words, &bytes)?;
            ensure!(!is_open(&world, words[2].parse()?), "once");
        }
    }
    let connections = control.ask("show connections method snat")?;
    ensure!(connections.contains(&format!("{OUTBOUND}")), "{connections}");
    // Without the module an offer stays as it is; of connections that begin then.
    director.reload(&http().section(plain_rule("")).render(&world.server_addresses()))?;
    let server = &world.servers()[0];
    let mut other = Speaker::join(server.namespace(), far, "other")?;
    other.offer("friend", &format!("CHAT chat {} 5009", server.lan().to_bits()))?;
    let words = friend.hear_offer("CHAT")?;
    ensure!(words[1..] == [server.lan().to_bits().to_string(), "5009".to_owned()], "{words:?}");
    ensure!(!is_open(&world, 5_009));
    director.stop()?;
    drop(ngircd);
    Ok(())
}

/// A file of so many bytes, without repetition.
fn file(world: &World) -> Result<PathBuf> {
    let path = world.directory().join("file");
    copy(&mut File::open(big_file()?)?.take(BYTES), &mut File::create(&path)?)?;
    Ok(path)
}

/// Down and up in every mode and family. vsftpd compares addresses of control and data connections in both modes, and
/// the rule has several.
#[test]
fn files_are_fetched_and_brought_by_ftp() -> Result<()> {
    let world = World::with_ipv6()?;
    let outside = world.outside()?;
    let file = file(&world)?;
    let digest = sha256(&file)?;
    let ftp = Vsftpd::start(&outside, &world.directory().join("ftp"), &file)?;
    let director = world.start(&http_of_both_families().section(rule("modules = { ftp = 21 }\n")))?;
    world.servers().iter().try_for_each(|server| send_by_director(server, true))?;
    let fetched = world.directory().join("fetched");
    let ways = [false, true].into_iter().flat_map(|it| Way::all(it).map(move |way| (it, way)));
    // Both programs where the server connects; else one will do.
    let picked =
        ways.filter(|(_, way)| way.program == Program::Curl || matches!(way.mode, Mode::Port | Mode::Eprt));
    for (number, (is_ipv6, way)) in picked.enumerate() {
        let server = &world.servers()[number % 2];
        let far: IpAddr = if is_ipv6 { world::FAR_CLIENT6.into() } else { world::FAR_CLIENT.into() };
        let (before, name) = (ftp.heard()?, format!("brought-{number}"));
        let told = || format!("{way:?}, IPv6 {is_ipv6}\n{}", ftp.log());
        let target = SocketAddr::new(far, FTP);
        way.transfer(server.namespace(), target, (&fetched, &file), &name).with_context(told)?;
        ensure!(
            sha256(&fetched).with_context(told)? == digest,
            "what was fetched is not what was there: {}",
            told()
        );
        let brought = ftp.brought(&name).with_context(told)?;
        ensure!(sha256(&brought)? == digest, "what was brought is not what was there: {}", told());
        let after = ftp.heard()?;
        let said = [0, 1, 2, 3].map(|word| after[word] - before[word]);
        ensure!(said == way.says(), "{said:?} of PASV, EPSV, PORT, EPRT: {}", told());
        std::fs::remove_file(&fetched)?;
        std::fs::remove_file(&brought)?;
    }
    director.stop()?;
    Ok(())
}

/// A session whose numbers have moved goes on in the next run, and is read there.
#[test]
fn sessions_go_on_in_the_next_run() -> Result<()> {
    let world = World::new()?;
    let (far, ngircd) = ngircd(&world)?;
    let rule = plain_rule("modules = { irc = 6667 }\n");
    let config = http().section(rule).state_file(&world.directory().join("state"));
    let director = world.start(&config)?;
    let server = &world.servers()[0];
    send_by_director(server, false)?;
    let mut friend = Speaker::join(world.client().namespace(), far, "friend")?;
    let mut speaker = Speaker::join(server.namespace(), far, "one")?;
    let listener = listen(server, 5_000)?;
    let mut offer = |friend: &mut Speaker| -> Result<Vec<String>> {
        // Written as an address is, which is longer here than there.
        speaker.offer("friend", &format!("SEND file {} 5000 9", server.lan().to_bits()))?;
        speaker.offer("friend", &format!("CHAT chat {} 5000", server.lan()))?;
        let words = friend.hear_offer("SEND")?;
        let chat = friend.hear_offer("CHAT")?;
        ensure!(chat[1..] == [OUTBOUND.to_string(), words[2].clone()], "{chat:?}");
        Ok(words)
    };
    let words = offer(&mut friend)?;
    transfer(&world, &listener, &words, b"some text")?;
    director.stop()?;
    let director = world.start(&config)?;
    let words = offer(&mut friend)?;
    transfer(&world, &listener, &words, b"more text")?;
    director.stop()?;
    drop(ngircd);
    Ok(())
}
