//! What peers send one another. All numbers are in network byte order; docs/sync.md has the format.

use super::{client::Client, exception::Exception, own::Change};
use crate::{
    cast::{low32, small},
    conn::{beside::Beside, method::Method},
    flow::key::Ends,
    time::Duration,
    wire::protocol::Protocol,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use thiserror::Error;

/// What a datagram begins with.
const MAGIC: [u8; 4] = *b"LBSY";
/// The version of the format.
pub const VERSION: u8 = 1;
/// Bytes of a datagram, at most, seal included: fits an MTU of 1,500 with IPv6 and a tunnel.
pub const LONGEST: usize = 1_400;
/// Bytes before the body.
const HEADER: usize = 32;
/// Bytes of a record, at most.
const LONGEST_RECORD: usize = 6 + 16 + 16 + 4 + 18 + 18 + 8;

/// Kinds of datagrams.
const CHALLENGE: u8 = 1;
const RESPONSE: u8 = 2;
const STATE: u8 = 3;
const CHANGED: u8 = 4;

/// The kinds of records. Others are passed over.
const CONNECTION: u8 = 1;
const CLIENT: u8 = 2;
/// A client that is of another family than its service: a call.
const CALL: u8 = 3;

/// Marks of a record.
const GONE: u8 = 1;
const IPV6: u8 = 2;
const SERVER_IPV6: u8 = 4;
const LOCAL: u8 = 8;
const KEPT: u8 = 16;
const SECOND: u8 = 32;
/// Readers of before it pass over what it says is there.
const MOVED: u8 = 64;

/// Why a datagram means nothing.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Unread {
    /// It is of another version of the format.
    #[error("version {0}")]
    Version(u8),
    /// It is something else, cut off, or wrong.
    #[error("malformed")]
    Malformed,
}

/// What is in front of every datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The sender's run.
    pub from: u64,
    /// The receiver's run, as far as the sender knows it.
    pub to: u64,
    /// Counts the sender's datagrams to the receiver.
    pub count: u64,
}

/// What a datagram says.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// Prove that you are running now.
    Challenge(u64),
    /// The number of a challenge, back.
    Response(u64),
    /// What the sender has.
    State(State),
    /// What has changed at the sender.
    Changes(Changes<'a>),
}

/// What the sender has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Of the receiver's changes: the telling that it is about, and the last change that was taken.
    pub telling: u32,
    /// The last of the receiver's changes that the sender has, with all before it.
    pub has: u64,
    /// Changes are missing: send those after `has` again.
    pub asks: bool,
    /// The number of the sender's own last change.
    pub latest: u64,
    /// How many exceptions the sender has.
    pub exceptions: u32,
    /// What the sender's lookup tables are made of.
    pub tables: u64,
}

/// What has changed at the sender.
#[derive(Clone, Copy, Debug)]
pub struct Changes<'a> {
    /// Which telling they are part of. Another one tells everything anew.
    pub telling: u32,
    /// The change before the first: what is in here follows that.
    pub after: u64,
    /// The last change that is in here.
    pub upto: u64,
    /// The number of the sender's last change.
    pub latest: u64,
    records: &'a [u8],
}

fn begin(header: Header, kind: u8) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(LONGEST);
    datagram.extend(MAGIC);
    datagram.extend([VERSION, kind, 0, 0]);
    [header.from, header.to, header.count].iter().for_each(|number| datagram.extend(number.to_be_bytes()));
    datagram
}

/// A challenge, without its seal.
#[must_use]
pub fn challenge(header: Header, number: u64) -> Vec<u8> {
    [begin(header, CHALLENGE), number.to_be_bytes().to_vec()].concat()
}

/// A response, without its seal.
#[must_use]
pub fn response(header: Header, number: u64) -> Vec<u8> {
    [begin(header, RESPONSE), number.to_be_bytes().to_vec()].concat()
}

/// What the sender has, without its seal.
#[must_use]
pub fn state(header: Header, state: &State) -> Vec<u8> {
    let mut datagram = begin(header, STATE);
    datagram.extend(state.telling.to_be_bytes());
    datagram.extend(u32::from(state.asks).to_be_bytes());
    [state.has, state.latest].iter().for_each(|number| datagram.extend(number.to_be_bytes()));
    datagram.extend(u64::from(state.exceptions).to_be_bytes());
    datagram.extend(state.tables.to_be_bytes());
    datagram
}

/// As many changes as fit, without the seal. Returns the datagram and the last change in it, which is `latest` when
/// nothing is left.
pub fn changes(
    header: Header,
    telling: u32,
    (after, latest): (u64, u64),
    changes: impl Iterator<Item = (u64, Change)>,
) -> (Vec<u8>, u64) {
    let mut datagram = begin(header, CHANGED);
    let (mut upto, mut rest) = (after, latest);
    datagram.extend(telling.to_be_bytes());
    datagram.extend(0u32.to_be_bytes());
    [after, 0, latest].iter().for_each(|number| datagram.extend(number.to_be_bytes()));
    for (number, change) in changes {
        if datagram.len() + LONGEST_RECORD + super::seal::LEN > LONGEST {
            rest = upto;
            break;
        }
        write_record(&mut datagram, &change);
        upto = number;
    }
    datagram[HEADER + 16..HEADER + 24].copy_from_slice(&rest.to_be_bytes());
    (datagram, rest)
}

/// Reads a datagram whose seal was right.
///
/// # Errors
/// When it means nothing.
pub fn read(datagram: &[u8]) -> Result<(Header, Body<'_>), Unread> {
    let malformed = Unread::Malformed;
    if !datagram.starts_with(&MAGIC) {
        return Err(malformed);
    }
    if let Some(version) = other_version(datagram) {
        return Err(Unread::Version(version));
    }
    let (head, body) = datagram.split_at_checked(HEADER).ok_or(malformed)?;
    let mut reader = Reader(&head[8..]);
    let (from, to, count) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let mut reader = Reader(body);
    let body = match head[5] {
        CHALLENGE => Body::Challenge(reader.u64()?),
        RESPONSE => Body::Response(reader.u64()?),
        STATE => {
            let (telling, asks) = (reader.u32()?, reader.u32()? & 1 == 1);
            let (has, latest, exceptions) = (reader.u64()?, reader.u64()?, reader.u64()?);
            let exceptions = u32::try_from(exceptions).map_err(|_| malformed)?;
            Body::State(State { telling, has, asks, latest, exceptions, tables: reader.u64()? })
        }
        CHANGED => {
            let (telling, _) = (reader.u32()?, reader.u32()?);
            let (after, upto, latest) = (reader.u64()?, reader.u64()?, reader.u64()?);
            let changes = Changes { telling, after, upto, latest, records: reader.0 };
            if upto < after || latest < upto {
                return Err(malformed);
            }
            // All of it is right, or nothing of it is taken.
            let mut records = Reader(changes.records);
            while records.next_change()?.is_some() {}
            Body::Changes(changes)
        }
        _ => return Err(malformed),
    };
    Ok((Header { from, to, count }, body))
}

/// What can be told of a datagram whose seal has not been looked at: that it is of another version.
#[must_use]
pub fn other_version(datagram: &[u8]) -> Option<u8> {
    let version = *datagram.get(MAGIC.len())?;
    (datagram.starts_with(&MAGIC) && version != VERSION).then_some(version)
}

impl Changes<'_> {
    /// The changes, in order.
    pub fn iter(&self) -> impl Iterator<Item = Change> {
        let mut records = Reader(self.records);
        std::iter::from_fn(move || records.next_change().ok().flatten())
    }
}

/// A record: kind, bytes with these two, marks, protocol, then ends, method and server, the local address, and what
/// goes on besides.
fn write_record(datagram: &mut Vec<u8>, change: &Change) {
    let at = datagram.len();
    let (ends, exception) = match change {
        Change::Told(exception) | Change::Kept(exception) => (&exception.ends, Some(exception)),
        Change::Gone(ends) => (ends, None),
        Change::Client(client) => return write_client(datagram, client),
    };
    let mut marks = if exception.is_none() { GONE } else { 0 };
    if matches!(change, Change::Kept(_)) {
        marks |= KEPT;
    }
    if ends.source.is_ipv6() {
        marks |= IPV6;
    }
    datagram.extend([CONNECTION, 0, 0, ends.protocol.number()]);
    put(datagram, ends.source);
    put(datagram, ends.destination);
    if let Some(Exception { server, method, local, beside, .. }) = exception {
        if server.is_ipv6() {
            marks |= SERVER_IPV6;
        }
        datagram.push(method.code());
        put(datagram, *server);
        if let Some(local) = local {
            marks |= LOCAL;
            put(datagram, *local);
        }
        if let Some(beside) = beside {
            marks |= if let Beside::Told(_) = beside { SECOND } else { MOVED };
            beside.line().iter().for_each(|word| datagram.extend(word.to_be_bytes()));
        }
    }
    let len = small(datagram.len() - at).to_be_bytes()[1];
    datagram[at + 1] = len;
    datagram[at + 2] = marks;
}

/// A client's record: kind, bytes with these two, marks, protocol, then the network or call with port 0, the service, the
/// server, and seconds.
fn write_client(datagram: &mut Vec<u8>, client: &Client) {
    let at = datagram.len();
    let marks =
        [(client.vip.is_ipv6(), IPV6), (client.server.is_ipv6(), SERVER_IPV6), (client.is_learned, KEPT)];
    let marks = marks.iter().filter(|(is_so, _)| *is_so).map(|(_, mark)| mark).sum();
    let kind = if client.network.is_ipv6() == client.vip.is_ipv6() { CLIENT } else { CALL };
    datagram.extend([kind, 0, marks, client.protocol.number()]);
    put(datagram, SocketAddr::new(client.network, 0));
    put(datagram, client.vip);
    put(datagram, client.server);
    // A second that has begun does not count, so that nobody remembers longer for having been told in circles.
    datagram.extend(low32(client.left.as_millis() / 1_000).to_be_bytes());
    datagram[at + 1] = small(datagram.len() - at).to_be_bytes()[1];
}

fn put(datagram: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => datagram.extend(ip.octets()),
        IpAddr::V6(ip) => datagram.extend(ip.octets()),
    }
    datagram.extend(address.port().to_be_bytes());
}

/// Bytes that are read from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Unread> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Unread::Malformed)?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn u32(&mut self) -> Result<u32, Unread> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, Unread> {
        self.take().map(u64::from_be_bytes)
    }

    fn endpoint(&mut self, is_v6: bool) -> Result<SocketAddr, Unread> {
        let ip = match is_v6 {
            false => IpAddr::V4(Ipv4Addr::from(self.take::<4>()?)),
            true => IpAddr::V6(Ipv6Addr::from(self.take::<16>()?)),
        };
        Ok(SocketAddr::new(ip, u16::from_be_bytes(self.take()?)))
    }

    /// The next record of a kind that is known. `None` at the end.
    fn next_change(&mut self) -> Result<Option<Change>, Unread> {
        while !self.0.is_empty() {
            let [kind, len] = *self.0.first_chunk().ok_or(Unread::Malformed)?;
            let (record, rest) = self.0.split_at_checked(usize::from(len)).ok_or(Unread::Malformed)?;
            self.0 = rest;
            let mut inside = Reader(record);
            inside.take::<2>()?;
            match kind {
                CONNECTION => return inside.change().map(Some),
                CLIENT => return inside.client(false).map(Some),
                CALL => return inside.client(true).map(Some),
                _ => {}
            }
        }
        Ok(None)
    }

    fn client(&mut self, is_call: bool) -> Result<Change, Unread> {
        let [marks, protocol] = self.take()?;
        let protocol = Protocol::from_number(protocol).ok_or(Unread::Malformed)?;
        let is_v6 = marks & IPV6 != 0;
        let (network, vip) = (self.endpoint(is_v6 != is_call)?.ip(), self.endpoint(is_v6)?);
        let server = self.endpoint(marks & SERVER_IPV6 != 0)?;
        let left = Duration::from_secs(self.u32()?.into());
        Ok(Change::Client(Client { protocol, network, vip, server, left, is_learned: marks & KEPT != 0 }))
    }

    fn change(&mut self) -> Result<Change, Unread> {
        let [marks, protocol] = self.take()?;
        let protocol = Protocol::from_number(protocol).ok_or(Unread::Malformed)?;
        let is_v6 = marks & IPV6 != 0;
        let (source, destination) = (self.endpoint(is_v6)?, self.endpoint(is_v6)?);
        let ends = Ends { protocol, source, destination };
        if marks & GONE != 0 {
            return Ok(Change::Gone(ends));
        }
        let [number] = self.take()?;
        let method = Method::of_code(number).ok_or(Unread::Malformed)?;
        let server = self.endpoint(marks & SERVER_IPV6 != 0)?;
        // It is of the server's family.
        let is_v6 = marks & SERVER_IPV6 != 0;
        let local = if marks & LOCAL != 0 { Some(self.endpoint(is_v6)?) } else { None };
        if local.is_some() != method.hides_clients() {
            return Err(Unread::Malformed);
        }
        let beside = match marks & (SECOND | MOVED) {
            0 => None,
            _ => Some(Beside::of_line([self.u32()?, self.u32()?]).ok_or(Unread::Malformed)?),
        };
        let exception = Exception { ends, server, method, local, beside };
        Ok(if marks & KEPT != 0 { Change::Kept(exception) } else { Change::Told(exception) })
    }
}
