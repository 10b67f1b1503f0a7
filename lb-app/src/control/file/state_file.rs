//! Connections on disk, from one run of the director to the next.
//!
//! The file is written when the director ends in good order and used up by the next start: a later start, after a
//! crash say, finds none, because by then it would be old. All numbers in it are little-endian. Whatever is wrong with
//! it, the director starts, without connections.
//!
//! ```text
//! magic "LBSTATE1" | secret 8 | workers 4 | saved at, ms since 1970 8 | connections 8 | records | CRC-32 of all before
//! ```

use super::replace::replace;
use lb_core::{
    conn::{method::Method, saved::Saved, state::State},
    flow::key::{Key, Secret},
    packet::WorkerId,
    time::Duration,
    wire::protocol::Protocol,
};
use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, ErrorKind, Read, Write},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};
use thiserror::Error;

const MAGIC: &[u8; 8] = b"LBSTATE1";
const RECORD: usize = 64;

/// What an earlier run left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// Keeps hashed owners the same.
    pub(crate) secret: Secret,
    /// How many workers there were.
    pub(crate) workers: usize,
    /// The connections, each with its worker. Idle times and ages count to now.
    pub(crate) connections: Vec<(WorkerId, Saved)>,
}

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
) -> Result<u64, StateError> {
    replace(path, 0o600, |file| {
        write_to(BufWriter::with_capacity(1 << 20, file), secret, workers, now_ms(), connections)
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

fn write_to(
    file: impl Write,
    secret: Secret,
    workers: usize,
    now_ms: u64,
    connections: impl Iterator<Item = (WorkerId, Saved)>,
) -> Result<u64, StateError> {
    // The count is known at the end only, so records are kept until then.
    let mut records = Vec::new();
    let mut count = 0u64;
    for (worker, saved) in connections {
        records.extend_from_slice(&encode(worker, &saved));
        count += 1;
    }
    let mut file = Summed { inner: file, sum: crc32fast::Hasher::new() };
    file.write_all(MAGIC)?;
    file.write_all(&secret.0.to_le_bytes())?;
    file.write_all(&(workers as u32).to_le_bytes())?;
    file.write_all(&now_ms.to_le_bytes())?;
    file.write_all(&count.to_le_bytes())?;
    file.write_all(&records)?;
    let sum = file.sum.clone().finalize();
    file.inner.write_all(&sum.to_le_bytes())?;
    file.inner.flush()?;
    Ok(count)
}

fn read_from(file: impl Read, length: u64, now_ms: u64) -> Result<Left, StateError> {
    let mut file = Summed { inner: file, sum: crc32fast::Hasher::new() };
    let magic: [u8; 8] = file.array().map_err(|_| StateError::Foreign)?;
    if magic != *MAGIC {
        return Err(StateError::Foreign);
    }
    let secret = Secret(u64::from_le_bytes(file.array()?));
    let workers = u32::from_le_bytes(file.array()?) as usize;
    let saved_ms = u64::from_le_bytes(file.array()?);
    let count = u64::from_le_bytes(file.array()?);
    // Before memory is asked for.
    let expected = count.checked_mul(RECORD as u64).and_then(|bytes| bytes.checked_add(36 + 4));
    if expected != Some(length) {
        return Err(StateError::Damaged);
    }
    let since = now_ms.saturating_sub(saved_ms);
    let mut connections = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let record: [u8; RECORD] = file.array()?;
        connections.push(decode(&record, since).ok_or(StateError::Damaged)?);
    }
    let sum = file.sum.clone().finalize();
    let mut written = [0; 4];
    file.inner.read_exact(&mut written).map_err(|_| StateError::Damaged)?;
    if u32::from_le_bytes(written) != sum {
        return Err(StateError::Damaged);
    }
    Ok(Left { secret, workers, connections })
}

fn encode(worker: WorkerId, saved: &Saved) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        record[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(&saved.key.source.to_le_bytes());
    put(&saved.key.destination.to_le_bytes());
    put(&saved.server_address.to_le_bytes());
    put(&saved.key.source_port.to_le_bytes());
    put(&saved.key.destination_port.to_le_bytes());
    put(&saved.server_port.to_le_bytes());
    put(&worker.0.to_le_bytes());
    put(&[saved.key.protocol.number(), code(saved.method), saved.state as u8, 0]);
    put(&(saved.idle.as_millis() as u32).to_le_bytes());
    put(&(saved.age.as_millis() as u32).to_le_bytes());
    saved.packets.iter().for_each(|packets| put(&packets.to_le_bytes()));
    saved.bytes.iter().for_each(|bytes| put(&bytes.to_le_bytes()));
    if let Some((address, port)) = saved.local {
        put(&address.to_le_bytes());
        put(&port.to_le_bytes());
    }
    record
}

/// `None` if it means nothing.
fn decode(record: &[u8; RECORD], since_ms: u64) -> Option<(WorkerId, Saved)> {
    let u16_at = |at: usize| Some(u16::from_le_bytes(record.get(at..at + 2)?.try_into().ok()?));
    let u32_at = |at: usize| Some(u32::from_le_bytes(record.get(at..at + 4)?.try_into().ok()?));
    let u64_at = |at: usize| Some(u64::from_le_bytes(record.get(at..at + 8)?.try_into().ok()?));
    let key = Key {
        source: u32_at(0)?,
        destination: u32_at(4)?,
        source_port: u16_at(12)?,
        destination_port: u16_at(14)?,
        protocol: Protocol::from_number(record[20])?,
    };
    let method = Method::ALL.iter().copied().find(|method| code(*method) == record[21])?;
    let later = |ms: u32| Duration::from_millis(u64::from(ms) + since_ms);
    let saved = Saved {
        key,
        server_address: u32_at(8)?,
        server_port: u16_at(16)?,
        method,
        local: method.hides_clients().then_some((u32_at(56)?, u16_at(60)?)),
        state: *State::ALL.get(usize::from(record[22]))?,
        idle: later(u32_at(24)?),
        age: later(u32_at(28)?),
        packets: [u32_at(32)?, u32_at(36)?],
        bytes: [u64_at(40)?, u64_at(48)?],
    };
    Some((WorkerId(u16_at(18)?), saved))
}

/// What stands for a method.
const fn code(method: Method) -> u8 {
    match method {
        Method::Nat => 0,
        Method::Tun => 1,
        Method::Dr => 2,
        Method::FullNat => 3,
    }
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
        self.inner.read_exact(&mut bytes).map_err(|_| StateError::Damaged)?;
        self.sum.update(&bytes);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn saved(number: u32) -> Saved {
        Saved {
            key: Key {
                source: 0xc000_0200 + number,
                destination: 0xc633_6401,
                source_port: 1024,
                destination_port: 80,
                protocol: Protocol::Tcp,
            },
            server_address: 0xcb00_7101,
            server_port: 8080,
            method: if number == 4 { Method::FullNat } else { Method::Tun },
            local: (number == 4).then_some((0xc633_6414, 40_001)),
            state: State::Established,
            idle: Duration::from_millis(17),
            age: Duration::from_secs(3),
            packets: [number, 2],
            bytes: [1 << 47, u64::from(number)],
        }
    }

    fn file(count: u32) -> Vec<u8> {
        let mut file = Vec::new();
        let connections = (0..count).map(|number| (WorkerId(number as u16 % 3), saved(number)));
        assert_eq!(write_to(&mut file, Secret(7), 3, 1_000, connections).unwrap(), u64::from(count));
        file
    }

    #[test]
    fn what_is_written_is_read_and_has_become_older() {
        let file = file(5);
        let left = read_from(&*file, file.len() as u64, 1_500).unwrap();
        assert_eq!((left.secret, left.workers, left.connections.len()), (Secret(7), 3, 5));
        let (worker, read) = left.connections[4];
        let (idle, age) = (Duration::from_millis(517), Duration::from_millis(3_500));
        assert_eq!((worker, read), (WorkerId(1), Saved { idle, age, ..saved(4) }));
    }

    #[test]
    fn a_clock_that_went_back_makes_nothing_younger() {
        let file = file(1);
        let left = read_from(&*file, file.len() as u64, 0).unwrap();
        assert_eq!(left.connections[0].1, saved(0));
    }

    proptest! {
        #[test]
        fn damage_is_noticed(at in 0..(36 + 3 * RECORD + 4), bit in 0..8u8) {
            let mut file = file(3);
            file[at] ^= 1 << bit;
            let length = file.len() as u64;
            prop_assert!(read_from(&*file, length, 0).is_err());
        }

        #[test]
        fn any_bytes_are_no_harm(bytes: Vec<u8>) {
            let with_magic: Vec<u8> = MAGIC.iter().copied().chain(bytes.iter().copied()).collect();
            prop_assert!(read_from(&*bytes, bytes.len() as u64, 0).is_err());
            prop_assert!(read_from(&*with_magic, with_magic.len() as u64, 0).is_err());
        }
    }
}
