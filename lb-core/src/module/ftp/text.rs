//! Addresses and ports as FTP writes them: six numbers with commas (RFC 959 5.3.2), or fields between delimiters (RFC 2428).

use crate::module::text::{MOST_TEXT, Text, number};
use arrayvec::ArrayVec;
use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// Address and port of six numbers.
pub(super) fn numbers(text: &[u8]) -> Option<SocketAddr> {
    let numbers = text.split(|&byte| byte == b',').map(|text| u8::try_from(number(text)?).ok());
    // One more would not be an address.
    let numbers: ArrayVec<u8, 7> = numbers.take(7).collect::<Option<_>>()?;
    let &[a, b, c, d, high, low] = numbers.as_slice() else { return None };
    with(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low]))
}

/// The port of a reply 229: `|||port|`.
pub(super) fn port(text: &[u8]) -> Option<u16> {
    let (&delimiter, rest) = text.split_first()?;
    let text = rest.strip_prefix(&[delimiter, delimiter])?.strip_suffix(&[delimiter])?;
    number(text).filter(|port| *port != 0)
}

/// Address and port of a command EPRT: `|family|address|port|`. The address says its family itself.
pub(super) fn fields(text: &[u8]) -> Option<SocketAddr> {
    let (&delimiter, rest) = text.split_first()?;
    let mut fields = rest.strip_suffix(&[delimiter])?.split(|&byte| byte == delimiter);
    let (family, address, port) = (fields.next()?, fields.next()?, fields.next()?);
    let address: IpAddr = std::str::from_utf8(address).ok()?.parse().ok()?;
    let is_its = fields.next().is_none() && family == [family_of(address)];
    with(address, number(port)?).filter(|_| is_its)
}

fn with(address: IpAddr, port: u16) -> Option<SocketAddr> {
    (port != 0).then_some(SocketAddr::new(address, port))
}

/// The number of a family (RFC 2428 2).
const fn family_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => b'1',
        IpAddr::V6(_) => b'2',
    }
}

/// An address as the first four of six numbers.
pub(super) fn address(address: Ipv4Addr) -> Text {
    let [a, b, c, d] = address.octets();
    written(|out| write!(out, "{a},{b},{c},{d}"))
}

/// Six numbers.
pub(super) fn as_numbers(ip: Ipv4Addr, port: u16) -> Text {
    let [high, low] = port.to_be_bytes();
    written(|out| {
        out.write_all(address(ip).as_bytes())?;
        write!(out, ",{high},{low}")
    })
}

/// A port as replies 229 have it.
pub(super) fn as_port(delimiter: u8, port: u16) -> Text {
    written(|out| {
        out.write_all(&[delimiter; 3])?;
        write!(out, "{port}")?;
        out.write_all(&[delimiter])
    })
}

/// Address and port as EPRT has them.
pub(super) fn as_fields(delimiter: u8, address: IpAddr, port: u16) -> Text {
    written(|out| {
        out.write_all(&[delimiter, family_of(address), delimiter])?;
        write!(out, "{address}")?;
        out.write_all(&[delimiter])?;
        write!(out, "{port}")?;
        out.write_all(&[delimiter])
    })
}

/// All of these are shorter than there is room for.
fn written(write: impl FnOnce(&mut &mut [u8]) -> std::io::Result<()>) -> Text {
    let mut bytes = [0; MOST_TEXT];
    let mut left = &mut bytes[..];
    let is_written = write(&mut left).is_ok();
    let len = if is_written { MOST_TEXT - left.len() } else { 0 };
    Text::of(&bytes[..len])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for at in ["192.0.2.1:20", "255.255.255.255:65535", "0.0.0.1:256"] {
            let at: SocketAddr = at.parse().unwrap();
            let IpAddr::V4(ip) = at.ip() else { unreachable!() };
            assert_eq!(numbers(as_numbers(ip, at.port()).as_bytes()), Some(at));
            assert_eq!(port(as_port(b'!', at.port()).as_bytes()), Some(at.port()));
        }
        let longest = "[2001:db8:1111:2222:3333:4444:5555:6666]:65535";
        for at in ["192.0.2.1:20", "[2001:db8::1]:20", longest] {
            let at: SocketAddr = at.parse().unwrap();
            assert_eq!(fields(as_fields(b'|', at.ip(), at.port()).as_bytes()), Some(at));
        }
    }

    #[test]
    fn anything_else_is_nothing() {
        for text in ["", "1,2,3,4,5", "1,2,3,4,5,6,7", "1,2,3,4,256,6", "1,2,3,4,0,0", "1,2,3,4,+5,6"] {
            assert_eq!(numbers(text.as_bytes()), None, "{text}");
        }
        for text in ["", "|", "|||", "||||", "|||0|", "||1|", "|||65536|", "|||1|2|", "|||+21|"] {
            assert_eq!(port(text.as_bytes()), None, "{text}");
        }
        for text in ["", "|1|192.0.2.1|20", "|2|192.0.2.1|20|", "|1|2001:db8::1|20|", "|1|192.0.2.1|20|1|"] {
            assert_eq!(fields(text.as_bytes()), None, "{text}");
        }
    }
}
