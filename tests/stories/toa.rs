//! Servers that are told of their clients by TOA: a packet socket on each reads the option as a kernel module would, of
//! clients and servers of either family.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};

use anyhow::{Context, Result, ensure};
use lb_stories::config::Service;
use lb_stories::process::PATIENCE;
use lb_stories::segments::{Handmade, Reader, Segment};
use lb_stories::{Config, Method, World, world};

/// The option's kind.
const TOA: u8 = 254;
/// What the server listens on, and the service.
const PORT: u16 = 9_000;
/// What a client says that it is, in an option of its own.
const FORGED: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 99));

/// What is in an option of a client: port and address, as in DPVS's modules.
fn told(client: SocketAddr) -> Vec<u8> {
    let address = match client.ip() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    [client.port().to_be_bytes().as_slice(), &address].concat()
}

/// The same as an option of its own.
fn option(client: SocketAddr) -> Vec<u8> {
    let value = told(client);
    [&[TOA, 2 + u8::try_from(value.len()).expect("short")], value.as_slice()].concat()
}

/// A world with one such service, whose only server has a reader and a listener.
struct Told {
    reader: Reader,
    listener: TcpListener,
    director: lb_stories::Director,
    vip: SocketAddr,
    server: SocketAddr,
    world: World,
}

impl Told {
    fn new((is_ipv6, to_ipv6): (bool, bool)) -> Result<Self> {
        let world = World::with_ipv6()?;
        world.take_director_from_routes()?;
        let server = &world.servers()[0];
        let own: IpAddr = if to_ipv6 { world::server6_of(server.lan()).into() } else { server.lan().into() };
        let listener = server.namespace().within(|| TcpListener::bind((own, PORT)))?;
        let service = Service::tcp(Method::FullNat, PORT).servers(1).line("client_address = \"toa\"");
        let service = if is_ipv6 { service.over_ipv6() } else { service };
        let service = if is_ipv6 == to_ipv6 { service } else { service.with_servers_of_other_family() };
        let director = world.start(&Config::new().service(service))?;
        let vip: SocketAddr =
            if is_ipv6 { Method::FullNat.at6(PORT).into() } else { Method::FullNat.at(PORT).into() };
        let reader = Reader::start(server.namespace())?;
        Ok(Self { reader, listener, director, vip, server: SocketAddr::new(own, PORT), world })
    }

    /// What comes to the server, up to a segment with that in it.
    fn up_to(&self, payload: &[u8]) -> Result<Vec<Segment>> {
        let is_last = |segment: &Segment| segment.to == self.server && segment.payload == payload;
        let mut segments = self.reader.up_to(is_last)?;
        segments.retain(|segment| segment.to == self.server);
        Ok(segments)
    }

    fn accept(&self) -> Result<std::net::TcpStream> {
        let (stream, _) = self.listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }
}

fn heard(stream: &mut std::net::TcpStream, expected: &[u8]) -> Result<()> {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes)?;
    ensure!(bytes == expected, "{bytes:?}");
    Ok(())
}

/// The kernel's SYN, its acknowledgement of the server's, and the first data have it; what follows an answer has not.
fn of_a_kernels_client(families: (bool, bool)) -> Result<()> {
    let told_of = Told::new(families)?;
    for _ in 0..4 {
        let mut client = told_of.world.client().tcp(told_of.vip)?;
        client.write_all(b"question")?;
        let mut served = told_of.accept()?;
        heard(&mut served, b"question")?;
        let mut segments = told_of.up_to(b"question")?;
        // The connection before may have had its last word in between.
        let last = segments.last().context("a question")?.from;
        segments.retain(|segment| segment.from == last);
        let own = told(client.local_addr()?);
        ensure!(segments.first().is_some_and(|segment| segment.syn), "{segments:?}");
        ensure!(segments.len() >= 3, "a SYN, an acknowledgement, data: {segments:?}");
        for segment in &segments {
            ensure!(segment.options_of(TOA) == [own.as_slice()], "{own:?}: {segment:?}");
        }
        served.write_all(b"answer")?;
        heard(&mut client, b"answer")?;
        client.write_all(b"more")?;
        let segments = told_of.up_to(b"more")?;
        let last = segments.last().context("data")?;
        ensure!(last.options_of(TOA).is_empty(), "{last:?}");
        heard(&mut served, b"more")?;
    }
    told_of.director.stop()?;
    Ok(())
}

/// A client that says who it is, in every segment, and lies.
fn of_a_liar(families: (bool, bool)) -> Result<()> {
    let told_of = Told::new(families)?;
    let address: IpAddr = if families.0 { world::CLIENT6.into() } else { world::CLIENT.into() };
    let own = told(SocketAddr::new(address, 40_000));
    let lie = option(SocketAddr::new(if families.0 { world::FAR_CLIENT6.into() } else { FORGED }, 9));
    let namespace = told_of.world.client().namespace();
    let mut client = Handmade::connect(namespace, SocketAddr::new(address, 40_000), told_of.vip, &lie)?;
    client.say(&lie, b"question")?;
    let mut served = told_of.accept()?;
    heard(&mut served, b"question")?;
    for segment in told_of.up_to(b"question")? {
        ensure!(segment.options_of(TOA) == [own.as_slice()], "{segment:?}");
    }
    // Once the server has heard of the client nothing is inserted, and still nobody lies.
    served.write_all(b"answer")?;
    client.say(&lie, b"more")?;
    for segment in told_of.up_to(b"more")? {
        ensure!(segment.options_of(TOA).iter().all(|told| **told == own), "{segment:?}");
    }
    heard(&mut served, b"more")?;
    told_of.director.stop()?;
    Ok(())
}

/// Families of clients and servers.
const FAMILIES: [(bool, bool); 4] = [(false, false), (true, true), (true, false), (false, true)];

#[test]
fn servers_read_it_of_kernels_clients() -> Result<()> {
    FAMILIES.into_iter().try_for_each(|families| {
        of_a_kernels_client(families).with_context(|| format!("IPv6 at clients and servers: {families:?}"))
    })
}

#[test]
fn a_clients_own_is_taken_out() -> Result<()> {
    FAMILIES.into_iter().try_for_each(|families| {
        of_a_liar(families).with_context(|| format!("IPv6 at clients and servers: {families:?}"))
    })
}
