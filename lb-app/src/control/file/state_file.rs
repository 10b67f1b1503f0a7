//! Connections on disk, from one run of the director to the next.
//!
//! The file is written when the director ends in good order and used up by the next start: a later start, after a
//! crash say, finds none, because by then it would be old. All numbers in it are little-endian. Whatever is wrong with
//! it, the director starts, without connections.
//!
//! ```text
//! magic "LBSTATE2" | secret 8 | workers 4 | saved at, ms since 1970 8 | connections of IPv4 8 | of IPv6 8
//! | clients of persistent services 8 | records of IPv4 | records of IPv6 | clients | CRC-32 of all before
//! ```
//!
//! A file of the version before, "LBSTATE1", is read as well, so that an upgrade keeps connections: it has one number of
//! connections, all of IPv4, whose servers are of IPv4.

use super::replace::replace;
use lb_core::{
    conn::{beside::Beside, method::Method, saved::Saved, second::Line, state::State},
    family::{Family, V4, V6},
    flow::key::{Key, Secret},
    packet::WorkerId,
    service::key::ServiceKey,
    time::Duration,
    wire::protocol::Protocol,
};
use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};
use thiserror::Error;

const MAGIC: &[u8; 8] = b"LBSTATE2";
/// That of the version before.
const OLD_MAGIC: &[u8; 8] = b"LBSTATE1";
/// Where the local address of FullNAT is behind a record's three addresses.
const LOCAL: usize = 44;
/// Bytes of a record but for its four addresses.
const REST: usize = LOCAL + 2;
/// Bytes at the end of a record of what goes on with a connection besides; zeros if nothing does.
const SECOND: usize = 8;
/// Bytes at the end of a record of the version before that mean nothing.
const OLD_PADDING: usize = 2;
/// Bytes of an address: the server's may be of the other family.
const ANY_ADDRESS: usize = 16;

/// What an earlier run left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// Keeps hashed owners the same.
    pub(crate) secret: Secret,
    /// How many workers there were.
    pub(crate) workers: usize,
    /// The connections, each with its worker. Idle times and ages count to now.
    pub(crate) connections: Vec<(WorkerId, Saved)>,
    /// The same of IPv6.
    pub(crate) connections_v6: Vec<(WorkerId, Saved<V6>)>,
    /// Which servers clients stay with.
    pub(crate) clients: Vec<SavedClient>,
}

/// A client of a persistent service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SavedClient {
    /// Of which service, but for its name.
    pub(crate) service: ServiceKey,
    /// The first address of its network.
    pub(crate) network: IpAddr,
    /// The server that it stays with.
    pub(crate) server: SocketAddr,
    /// For how long it is remembered from now on.
    pub(crate) left: Duration,
}

/// Bytes of a client's record: protocol, ports of the service and the server, three addresses, time.
const CLIENT: usize = 1 + 2 + 2 + 3 * ANY_ADDRESS + 4;

/// Why there are no connections to restore.
#[derive(Debug, Error)]
pub(crate) enum StateError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("not a state file of this version")]
    Foreign,
    #[error("the file is damaged")]
    Damaged,
}

/// Writes the connections of a run. The file appears when it is whole.
///
/// # Errors
/// Of the file system.
pub(crate) fn write(
    path: &Path,
    secret: Secret,
    workers: usize,
    connections: impl Iterator<Item = (WorkerId, Saved)>,
    connections_v6: impl Iterator<Item = (WorkerId, Saved<V6>)>,
    clients: &[SavedClient],
) -> Result<u64, StateError> {
    replace(path, 0o600, |file| {
        let file = BufWriter::with_capacity(1 << 20, file);
        write_to(file, (secret, workers), now_ms(), (connections, connections_v6), clients)
    })
}

/// Reads and removes the file that an earlier run wrote. `None` if there is none.
///
/// # Errors
/// See [`StateError`]. A file that is no good is gone as well.
pub(crate) fn take(path: &Path) -> Result<Option<Left>, StateError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let length = file.metadata()?.len();
    let left = read_from(BufReader::with_capacity(1 << 20, file), length, now_ms());
    fs::remove_file(path)?;
    left.map(Some)
}

/// The secret of the run that wrote the file, which stays where it is.
pub(crate) fn secret(path: &Path) -> Option<Secret> {
    let mut head = [0; 16];
    File::open(path).ok()?.read_exact(&mut head).ok()?;
    let (magic, secret) = head.split_first_chunk()?;
    let is_ours = magic == MAGIC || magic == OLD_MAGIC;
    is_ours.then(|| secret.first_chunk().map(|secret| Secret(u64::from_le_bytes(*secret)))).flatten()
}

fn write_to(
    file: impl Write,
    (secret, workers): (Secret, usize),
    now_ms: u64,
    (connections, connections_v6): (
        impl Iterator<Item = (WorkerId, Saved)>,
        impl Iterator<Item = (WorkerId, Saved<V6>)>,
    ),
    clients: &[SavedClient],
) -> Result<u64, StateError> {
    // The counts are known at the end only, so records are kept until then.
    let mut records = Vec::new();
    let count = add(&mut records, connections);
    let count_v6 = add(&mut records, connections_v6);
    clients.iter().for_each(|client| encode_client(&mut records, client));
    let mut file = Summed { inner: file, sum: crc32fast::Hasher::new() };
    file.write_all(MAGIC)?;
    file.write_all(&secret.0.to_le_bytes())?;
    file.write_all(&(workers as u32).to_le_bytes())?;
    file.write_all(&now_ms.to_le_bytes())?;
    file.write_all(&count.to_le_bytes())?;
    file.write_all(&count_v6.to_le_bytes())?;
    file.write_all(&(clients.len() as u64).to_le_bytes())?;
    file.write_all(&records)?;
    let sum = file.sum.clone().finalize();
    file.inner.write_all(&sum.to_le_bytes())?;
    file.inner.flush()?;
    Ok(count + count_v6)
}

/// Adds the records of connections. Returns how many they are.
fn add<F: Form>(records: &mut Vec<u8>, connections: impl Iterator<Item = (WorkerId, Saved<F>)>) -> u64 {
    let mut count = 0;
    for (worker, saved) in connections {
        encode(records, worker, &saved);
        count += 1;
    }
    count
}

fn read_from(file: impl Read, length: u64, now_ms: u64) -> Result<Left, StateError> {
    let mut file = Summed { inner: file, sum: crc32fast::Hasher::new() };
    let magic: [u8; 8] = file.array().map_err(|_| StateError::Foreign)?;
    let is_old = magic == *OLD_MAGIC;
    if !is_old && magic != *MAGIC {
        return Err(StateError::Foreign);
    }
    let secret = Secret(u64::from_le_bytes(file.array()?));
    let workers = u32::from_le_bytes(file.array()?) as usize;
    let saved_ms = u64::from_le_bytes(file.array()?);
    let count = u64::from_le_bytes(file.array()?);
    let [count_v6, clients] =
        if is_old { [0; 2] } else { [file.array()?, file.array()?].map(u64::from_le_bytes) };
    let (server_len, last) = if is_old { (V4::ADDRESS, OLD_PADDING) } else { (ANY_ADDRESS, SECOND) };
    let beside = server_len + REST + last;
    // Before memory is asked for.
    let bytes = |count: u64, address: usize| count.checked_mul((3 * address + beside) as u64);
    let records = bytes(count, V4::ADDRESS).zip(bytes(count_v6, V6::ADDRESS));
    let rest =
        clients.checked_mul(CLIENT as u64).and_then(|rest| rest.checked_add(if is_old { 40 } else { 56 }));
    let expected = records.zip(rest).and_then(|((v4, v6), rest)| v4.checked_add(v6)?.checked_add(rest));
    if expected != Some(length) {
        return Err(StateError::Damaged);
    }
    let since = now_ms.saturating_sub(saved_ms);
    let connections = take_all(&mut file, count, (server_len, beside), since)?;
    let connections_v6 = take_all(&mut file, count_v6, (server_len, beside), since)?;
    let clients = (0..clients).map(|_| {
        let record: [u8; CLIENT] = file.array()?;
        decode_client(&record, since).ok_or(StateError::Damaged)
    });
    let clients = clients.collect::<Result<Vec<_>, _>>()?;
    let sum = file.sum.clone().finalize();
    let mut written = [0; 4];
    file.inner.read_exact(&mut written).map_err(|_| StateError::Damaged)?;
    if u32::from_le_bytes(written) != sum {
        return Err(StateError::Damaged);
    }
    Ok(Left { secret, workers, connections, connections_v6, clients })
}

/// The connections of so many records.
fn take_all<F: Form>(
    file: &mut Summed<impl Read>,
    count: u64,
    (server_len, beside): (usize, usize),
    since_ms: u64,
) -> Result<Vec<(WorkerId, Saved<F>)>, StateError> {
    let mut connections = Vec::with_capacity(count as usize);
    let mut record = vec![0; 3 * F::ADDRESS + beside];
    for _ in 0..count {
        file.read_exact(&mut record)?;
        connections.push(decode(&record, server_len, since_ms).ok_or(StateError::Damaged)?);
    }
    Ok(connections)
}

/// How the addresses of a family lie in a record.
trait Form: Family {
    /// Bytes of one.
    const ADDRESS: usize;

    fn append(address: Self::Address, record: &mut Vec<u8>);
    fn read(bytes: &[u8]) -> Option<Self::Address>;
}

impl Form for V4 {
    const ADDRESS: usize = 4;

    fn append(address: u32, record: &mut Vec<u8>) {
        record.extend(address.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Option<u32> {
        bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }
}

impl Form for V6 {
    const ADDRESS: usize = 16;

    fn append(address: u128, record: &mut Vec<u8>) {
        record.extend(address.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Option<u128> {
        bytes.first_chunk().map(|bytes| u128::from_le_bytes(*bytes))
    }
}

/// A server's address: one of IPv4 as IPv6 writes it, RFC 4291 2.5.5.2.
fn server_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn encode_client(record: &mut Vec<u8>, client: &SavedClient) {
    let SavedClient { service, network, server, left } = client;
    record.push(service.protocol.number());
    [service.port, server.port()].iter().for_each(|port| record.extend(port.to_le_bytes()));
    for address in [service.vip, *network, server.ip()] {
        record.extend(server_bits(address).to_le_bytes());
    }
    record.extend((left.as_millis() as u32).to_le_bytes());
}

/// `None` if it means nothing.
fn decode_client(record: &[u8; CLIENT], since_ms: u64) -> Option<SavedClient> {
    let port = |at: usize| Some(u16::from_le_bytes(record.get(at..at + 2)?.try_into().ok()?));
    let address = |number: usize| {
        let bytes = record.get(5 + number * ANY_ADDRESS..)?;
        Some(V6::ip(V6::read(bytes)?).to_canonical())
    };
    let left = u32::from_le_bytes(record.last_chunk().copied()?);
    Some(SavedClient {
        service: ServiceKey::new(Protocol::from_number(record[0])?, (address(0)?, port(1)?).into()),
        network: address(1)?,
        server: SocketAddr::new(address(2)?, port(3)?),
        left: Duration::from_millis(u64::from(left).saturating_sub(since_ms)),
    })
}

fn encode<F: Form>(record: &mut Vec<u8>, worker: WorkerId, saved: &Saved<F>) {
    F::append(saved.key.source, record);
    F::append(saved.key.destination, record);
    record.extend(server_bits(saved.server.ip()).to_le_bytes());
    let ports = [saved.key.source_port, saved.key.destination_port, saved.server.port(), worker.0];
    ports.iter().for_each(|number| record.extend(number.to_le_bytes()));
    record.extend([saved.key.protocol.number(), saved.method.code(), saved.state as u8, 0]);
    record.extend((saved.idle.as_millis() as u32).to_le_bytes());
    record.extend((saved.age.as_millis() as u32).to_le_bytes());
    saved.packets.iter().for_each(|packets| record.extend(packets.to_le_bytes()));
    saved.bytes.iter().for_each(|bytes| record.extend(bytes.to_le_bytes()));
    let (address, port) = saved.local.unwrap_or_default();
    F::append(address, record);
    record.extend(port.to_le_bytes());
    let line = saved.beside.map_or(Line::default(), Beside::line);
    line.iter().for_each(|number| record.extend(number.to_le_bytes()));
}

/// `None` if it means nothing.
fn decode<F: Form>(record: &[u8], server_len: usize, since_ms: u64) -> Option<(WorkerId, Saved<F>)> {
    let (source, record) = record.split_at_checked(F::ADDRESS)?;
    let (destination, record) = record.split_at_checked(F::ADDRESS)?;
    let (server, record) = record.split_at_checked(server_len)?;
    let server = match server_len {
        ANY_ADDRESS => V6::ip(V6::read(server)?).to_canonical(),
        _ => V4::ip(V4::read(server)?),
    };
    let u16_at = |at: usize| Some(u16::from_le_bytes(record.get(at..at + 2)?.try_into().ok()?));
    let u32_at = |at: usize| Some(u32::from_le_bytes(record.get(at..at + 4)?.try_into().ok()?));
    let u64_at = |at: usize| Some(u64::from_le_bytes(record.get(at..at + 8)?.try_into().ok()?));
    let key = Key {
        source: F::read(source)?,
        destination: F::read(destination)?,
        source_port: u16_at(0)?,
        destination_port: u16_at(2)?,
        protocol: Protocol::of_connection(record[8])?,
    };
    let method = Method::of_code(record[9])?;
    let second = LOCAL + F::ADDRESS + 2;
    let later = |ms: u32| Duration::from_millis(u64::from(ms) + since_ms);
    let saved = Saved {
        key,
        server: SocketAddr::new(server, u16_at(4)?),
        method,
        local: if method.hides_clients() {
            Some((F::read(record.get(LOCAL..)?)?, u16_at(LOCAL + F::ADDRESS)?))
        } else {
            None
        },
        beside: match server_len {
            ANY_ADDRESS => Beside::of_line([u32_at(second)?, u32_at(second + 4)?]),
            _ => None,
        },
        state: *State::ALL.get(usize::from(record[10]))?,
        idle: later(u32_at(12)?),
        age: later(u32_at(16)?),
        packets: [u32_at(20)?, u32_at(24)?],
        bytes: [u64_at(28)?, u64_at(36)?],
    };
    Some((WorkerId(u16_at(6)?), saved))
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// A file whose bytes are summed up as they pass.
struct Summed<F> {
    inner: F,
    sum: crc32fast::Hasher,
}

impl<F: Write> Summed<F> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.inner.write_all(bytes)
    }
}

impl<F: Read> Summed<F> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let mut bytes = [0; N];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> Result<(), StateError> {
        self.inner.read_exact(bytes).map_err(|_| StateError::Damaged)?;
        self.sum.update(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::conn::{
        beside::Moved,
        client_address::ClientAddress,
        second::{Progress, Second},
    };
    use proptest::prelude::*;

    fn saved<F: Family>(addresses: (F::Address, F::Address), server: &str, number: u32) -> Saved<F> {
        Saved {
            key: Key {
                source: addresses.0,
                destination: addresses.1,
                source_port: 1024,
                destination_port: 80,
                protocol: Protocol::Tcp,
            },
            server: server.parse().unwrap(),
            method: if number == 4 { Method::FullNat } else { Method::Tun },
            local: (number == 4).then_some((addresses.1, 40_001)),
            beside: match number {
                2 => {
                    Moved::new([7, (-300_i32).cast_unsigned()], [Some(1), Some(2)], false).map(Beside::Moved)
                }
                3 => Some(Beside::Told(Second {
                    progress: Progress::Taken,
                    base: 0xfedc_ba98,
                    ..Second::new(ClientAddress::ProxyV2, 28)
                })),
                _ => None,
            },
            state: State::Established,
            idle: Duration::from_millis(17),
            age: Duration::from_secs(3),
            packets: [number, 2],
            bytes: [1 << 47, u64::from(number)],
        }
    }

    /// Behind a tunnel of either family.
    fn v4(number: u32) -> Saved {
        let server = if number.is_multiple_of(2) { "203.0.113.1:8080" } else { "[2001:db8::1]:8080" };
        saved((0xc000_0200 + number, 0xc633_6401), server, number)
    }

    fn v6(number: u32) -> Saved<V6> {
        let server = if number.is_multiple_of(2) { "203.0.113.1:8080" } else { "[2001:db8::1]:8080" };
        saved((u128::from(number) | 0x2001 << 112, 0x2001_0db8 << 96), server, number)
    }

    fn client(number: u32) -> SavedClient {
        let key = if number.is_multiple_of(2) { "tcp 192.0.2.100:80" } else { "udp [2001:db8::1]:0" };
        SavedClient {
            service: key.parse().unwrap(),
            network: if number == 1 { "2001:db8:7::" } else { "203.0.113.0" }.parse().unwrap(),
            server: "198.51.100.11:8080".parse().unwrap(),
            left: Duration::from_secs(300 + u64::from(number)),
        }
    }

    /// With as many connections of each family, and clients.
    fn file(count: u32) -> Vec<u8> {
        let mut file = Vec::new();
        let worker = |number: u32| WorkerId(number as u16 % 3);
        let connections = (0..count).map(|number| (worker(number), v4(number)));
        let connections_v6 = (0..count).map(|number| (worker(number), v6(number)));
        let clients: Vec<SavedClient> = (0..count).map(client).collect();
        let all = (connections, connections_v6);
        let written = write_to(&mut file, (Secret(7), 3), 1_000, all, &clients).unwrap();
        assert_eq!(written, 2 * u64::from(count));
        file
    }

    #[test]
    fn what_is_written_is_read_and_has_become_older() {
        let file = file(5);
        let left = read_from(&*file, file.len() as u64, 1_500).unwrap();
        assert_eq!((left.secret, left.workers), (Secret(7), 3));
        assert_eq!((left.connections.len(), left.connections_v6.len()), (5, 5));
        for (number, read) in (0..).zip(&left.clients) {
            let left = Duration::from_millis(client(number).left.as_millis() - 500);
            assert_eq!(*read, SavedClient { left, ..client(number) });
        }
        assert_eq!(left.clients.len(), 5);
        let (idle, age) = (Duration::from_millis(517), Duration::from_millis(3_500));
        for number in [2, 3, 4] {
            let worker = WorkerId(number as u16 % 3);
            let read = left.connections[number as usize];
            assert_eq!(read, (worker, Saved { idle, age, ..v4(number) }));
            let read = left.connections_v6[number as usize];
            assert_eq!(read, (worker, Saved { idle, age, ..v6(number) }));
        }
    }

    #[test]
    fn the_file_of_the_version_before_is_read() {
        let mut file =
            [&OLD_MAGIC[..], &7u64.to_le_bytes(), &3u32.to_le_bytes(), &1_000u64.to_le_bytes()].concat();
        file.extend(1u64.to_le_bytes());
        let mut record = Vec::new();
        encode(&mut record, WorkerId(2), &v4(4));
        let server = 0xcb00_7101_u32.to_le_bytes();
        let rest = &record[8 + ANY_ADDRESS..record.len() - SECOND];
        file.extend([&record[..8], &server, rest, &[0; OLD_PADDING]].concat());
        file.extend(crc32fast::hash(&file).to_le_bytes());
        let left = read_from(&*file, file.len() as u64, 1_000).unwrap();
        assert_eq!(left.connections, [(WorkerId(2), v4(4))]);
        assert!(left.connections_v6.is_empty() && left.clients.is_empty());
    }

    #[test]
    fn a_clock_that_went_back_makes_nothing_younger() {
        let file = file(1);
        let left = read_from(&*file, file.len() as u64, 0).unwrap();
        assert_eq!((left.connections[0].1, left.connections_v6[0].1), (v4(0), v6(0)));
    }

    proptest! {
        #[test]
        fn damage_is_noticed(at: prop::sample::Index, bit in 0..8u8) {
            let mut file = file(3);
            let at = at.index(file.len());
            file[at] ^= 1 << bit;
            let length = file.len() as u64;
            prop_assert!(read_from(&*file, length, 0).is_err());
        }

        #[test]
        fn any_bytes_are_no_harm(bytes: Vec<u8>) {
            for magic in [&b""[..], MAGIC, OLD_MAGIC] {
                let file = [magic, &bytes].concat();
                prop_assert!(read_from(&*file, file.len() as u64, 0).is_err());
            }
        }
    }
}
