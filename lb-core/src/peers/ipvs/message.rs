//! Datagrams of IPVS's synchronization, version 1 (Linux, `net/netfilter/ipvs/ip_vs_sync.c`). All numbers are in network
//! byte order.
//!
//! | bytes | |
//! |---|---|
//! | 1 | 0 |
//! | 1 | the synchronization's number ("syncid") |
//! | 2 | bytes of the datagram |
//! | 1 | how many entries follow |
//! | 1 | version, 1 |
//! | 2 | 0 |
//!
//! An entry begins at a multiple of four bytes. Options follow it, each with a type, a length and that many bytes: of a
//! client that a persistence engine knows, what it is known by, and the engine's name.
//!
//! | bytes | |
//! |---|---|
//! | 1 | type: 0 for IPv4, bit 0 for IPv6 |
//! | 1 | protocol |
//! | 2 | version in the upper 4 bits, 0; bytes of the entry with its options |
//! | 4 | flags |
//! | 2 | state |
//! | 2 each | ports of client, VIP and server |
//! | 4 | mark of the firewall |
//! | 4 | timeout in seconds |
//! | 4 or 16 each | addresses of client, VIP and server |

use crate::cast::small;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use thiserror::Error;

/// Bytes before the first entry.
const HEADER: usize = 8;
/// The version that is spoken.
const VERSION: u8 = 1;
/// Bytes of an entry without options, by family.
const ENTRY: usize = 24 + 3 * 4;
const ENTRY_V6: usize = 24 + 3 * 16;
/// Bit of an entry's type that says IPv6.
const IPV6: u8 = 1;
/// Bits of an entry's size, below its version.
const SIZE: u16 = 0x0fff;
/// Options: changes of sequence numbers, data of a persistence engine, its name; and the bit of those that one need not
/// know.
const SEQUENCES: u8 = 1;
const ENGINE_DATA: u8 = 2;
const ENGINE_NAME: u8 = 3;
const OPTIONAL: u8 = 1 << 6;
/// Bytes of an engine's name, at most (`IP_VS_PENAME_MAXLEN`).
const ENGINE_NAME_LEN: usize = 16;
/// Bytes of both directions' changes of sequence numbers.
const SEQUENCES_LEN: usize = 2 * 12;

/// Why a datagram is not taken.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Unread {
    /// It is cut off, or something else.
    #[error("malformed")]
    Malformed,
    /// It is of another synchronization.
    #[error("syncid {0}")]
    Other(u8),
    /// It is of version 0, which has neither timeouts nor IPv6, or of one that is not known.
    #[error("version {0}")]
    Version(u8),
}

/// An entry as it is on the network. What it means, [`super::entry`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'d> {
    /// The protocol's number.
    pub protocol: u8,
    /// Flags.
    pub flags: u32,
    /// The state's number.
    pub state: u16,
    /// The client; a network's first address and port 0 in a template.
    pub client: SocketAddr,
    /// The virtual address and port.
    pub vip: SocketAddr,
    /// The real server.
    pub server: SocketAddr,
    /// The mark of the firewall that its service goes by; 0 if it goes by address.
    pub mark: u32,
    /// Seconds until it is over.
    pub timeout_s: u32,
    /// Which options it has.
    pub has: Has,
    /// What a persistence engine knows its client by.
    pub engine: Option<Engine<'d>>,
}

/// A persistence engine, and what it knows a client by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engine<'d> {
    /// Its name; empty if that is not said, with which Linux takes nothing.
    pub name: &'d [u8],
    /// A few bytes, as many as a length of one byte can say.
    pub data: &'d [u8],
}

/// Options of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Has {
    /// Changes of sequence numbers.
    pub sequences: bool,
    /// Something that is to be known, and is not.
    pub unknown: bool,
}

/// Reads a datagram for a synchronization; 0 takes every one. All of it is right, or nothing of it is taken.
///
/// # Errors
/// Why it is not taken.
pub fn read(datagram: &[u8], syncid: u8) -> Result<impl Iterator<Item = Raw<'_>>, Unread> {
    let Some(&[zero, of, high, low, count, version, ref spare @ ..]) = datagram.first_chunk::<HEADER>()
    else {
        // A header of version 0 has four bytes.
        return Err(if datagram.len() < 4 { Unread::Malformed } else { Unread::Version(0) });
    };
    if usize::from(u16::from_be_bytes([high, low])) != datagram.len() {
        return Err(Unread::Malformed);
    }
    if syncid != 0 && of != syncid {
        return Err(Unread::Other(of));
    }
    if zero != 0 || *spare != [0; 2] {
        return Err(Unread::Version(0));
    }
    if version != VERSION {
        return Err(Unread::Version(version));
    }
    let entries = Entries { datagram, at: HEADER, left: count };
    let mut check = entries;
    while check.next_entry()?.is_some() {}
    let mut entries = entries;
    Ok(std::iter::from_fn(move || entries.next_entry().ok().flatten()))
}

#[derive(Clone, Copy)]
struct Entries<'a> {
    datagram: &'a [u8],
    at: usize,
    left: u8,
}

impl<'d> Entries<'d> {
    fn next_entry(&mut self) -> Result<Option<Raw<'d>>, Unread> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let rest = self.datagram.get(self.at..).ok_or(Unread::Malformed)?;
        let size = u16::from_be_bytes(*rest[2.min(rest.len())..].first_chunk().ok_or(Unread::Malformed)?);
        let len = usize::from(size & SIZE);
        if size & !SIZE != 0 {
            return Err(Unread::Malformed);
        }
        let entry = rest.get(..len).ok_or(Unread::Malformed)?;
        self.at += len.next_multiple_of(4);
        read_entry(entry).ok_or(Unread::Malformed).map(Some)
    }
}

fn read_entry(mut bytes: &[u8]) -> Option<Raw<'_>> {
    let [kind, protocol, ..] = take::<4>(&mut bytes)?;
    if kind & !IPV6 != 0 {
        return None;
    }
    let flags = u32::from_be_bytes(take(&mut bytes)?);
    let state = u16::from_be_bytes(take(&mut bytes)?);
    let mut ports = [0; 3];
    for port in &mut ports {
        *port = u16::from_be_bytes(take(&mut bytes)?);
    }
    let (mark, timeout_s) = (u32::from_be_bytes(take(&mut bytes)?), u32::from_be_bytes(take(&mut bytes)?));
    let mut ends = [None; 3];
    for (end, port) in ends.iter_mut().zip(ports) {
        let ip: IpAddr = match kind & IPV6 {
            0 => Ipv4Addr::from(take::<4>(&mut bytes)?).into(),
            _ => Ipv6Addr::from(take::<16>(&mut bytes)?).into(),
        };
        *end = Some(SocketAddr::new(ip, port));
    }
    let [client, vip, server] = ends;
    let (client, vip, server) = (client?, vip?, server?);
    let (has, engine) = read_options(bytes)?;
    Some(Raw { protocol, flags, state, client, vip, server, mark, timeout_s, has, engine })
}

/// Linux drops a datagram that has an option twice, or one that is too long (`ip_vs_proc_str`); a name without data means
/// nothing to it.
fn read_options(mut bytes: &[u8]) -> Option<(Has, Option<Engine<'_>>)> {
    let mut has = Has::default();
    let (mut data, mut name) = (None, None);
    while !bytes.is_empty() {
        let [kind, len] = take(&mut bytes)?;
        let len = usize::from(len);
        let (option, rest) = bytes.split_at_checked(len).filter(|_| len > 0)?;
        bytes = rest;
        match kind & !OPTIONAL {
            SEQUENCES if len == SEQUENCES_LEN && !has.sequences => has.sequences = true,
            SEQUENCES => return None,
            ENGINE_DATA if data.is_none() => data = Some(option),
            ENGINE_NAME if name.is_none() && len <= ENGINE_NAME_LEN => name = Some(option),
            ENGINE_DATA | ENGINE_NAME => return None,
            _ => has.unknown |= kind & OPTIONAL == 0,
        }
    }
    Some((has, data.map(|data| Engine { name: name.unwrap_or_default(), data })))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

/// A datagram that is being written.
#[derive(Debug)]
pub struct Datagram {
    bytes: Vec<u8>,
    most: usize,
}

impl Datagram {
    /// An empty one, of that many bytes at most.
    #[must_use]
    pub fn new(syncid: u8, most: usize) -> Self {
        let most = most.clamp(HEADER + ENTRY_V6, usize::from(u16::MAX));
        let mut bytes = Vec::with_capacity(most);
        bytes.extend([0, syncid, 0, 0, 0, VERSION, 0, 0]);
        Datagram { bytes, most }
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == HEADER
    }

    /// Adds an entry without options. Whether there was room.
    #[must_use]
    pub fn add(&mut self, entry: &Raw<'_>) -> bool {
        let len = if entry.client.is_ipv6() { ENTRY_V6 } else { ENTRY };
        if self.bytes.len() + len > self.most || self.bytes[4] == u8::MAX {
            return false;
        }
        self.bytes[4] += 1;
        let kind = if entry.client.is_ipv6() { IPV6 } else { 0 };
        self.bytes.extend([kind, entry.protocol]);
        self.bytes.extend(small(len).to_be_bytes());
        self.bytes.extend(entry.flags.to_be_bytes());
        self.bytes.extend(entry.state.to_be_bytes());
        let ends = [entry.client, entry.vip, entry.server];
        ends.iter().for_each(|end| self.bytes.extend(end.port().to_be_bytes()));
        self.bytes.extend(entry.mark.to_be_bytes());
        self.bytes.extend(entry.timeout_s.to_be_bytes());
        for end in ends {
            match end.ip() {
                IpAddr::V4(ip) => self.bytes.extend(ip.octets()),
                IpAddr::V6(ip) => self.bytes.extend(ip.octets()),
            }
        }
        true
    }

    /// Its bytes.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let len = small(self.bytes.len()).to_be_bytes();
        self.bytes[2..4].copy_from_slice(&len);
        self.bytes
    }
}
