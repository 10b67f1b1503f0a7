//! Readers of single values that only a few options have, most of them of checks.

use super::{
    report::Complaint,
    values::{self, Reading, number, quoted, text},
};
use lb_core::{
    service::option::Value,
    wire::{quic::Name, quic_lb::KEY_LEN},
};
use std::net::SocketAddr;
use toml::de::DeValue;

/// Longest datagram that is sent as a check.
const MAX_PAYLOAD: usize = 1_400;

/// The address and port of a server.
pub(super) fn endpoint(value: &DeValue) -> Reading<SocketAddr> {
    let remedy = "write address and port, as in \"198.51.100.99:80\" or \"[2001:db8::99]:80\"";
    let text = quoted(value, remedy)?;
    let parsed: Result<SocketAddr, _> = text.parse();
    let address =
        parsed.map_err(|_| Complaint::new(format!("{text:?} is not an address with a port"), remedy))?;
    values::unicast(address.ip())?;
    Ok(address)
}

/// One status code, or a range of them.
pub(super) fn codes(value: &DeValue) -> Reading<Value> {
    let remedy = "write a code or a range of them, as in `status = [200, \"301-399\"]`";
    if let DeValue::Integer(_) = value {
        return number(100..=599)(value).map(Value::Number);
    }
    let text = quoted(value, remedy)?;
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    match (from.trim().parse(), to.trim().parse()) {
        (Ok(from), Ok(to)) if (100..=599).contains(&from) && (from..=599).contains(&to) => {
            Ok(Value::Text(format!("{from}-{to}")))
        }
        _ => Err(Complaint::new(format!("{text:?} is not a range of status codes"), remedy)),
    }
}

/// A regular expression.
pub(super) fn pattern(value: &DeValue) -> Reading<String> {
    let text = quoted(value, "write a regular expression in quotes")?;
    let parsed = regex::bytes::Regex::new(text);
    parsed.map(|_| text.to_owned()).map_err(|error| {
        let error = error.to_string();
        let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Complaint::new(
            format!("{text:?} is not a valid regular expression: {reason}"),
            "see https://docs.rs/regex for the syntax",
        )
    })
}

/// A word of an HTTP request: no spaces, nothing that could start another line.
pub(super) fn token(value: &DeValue) -> Reading<String> {
    let word = text(value)?;
    if word.contains(|c: char| !c.is_ascii_graphic()) {
        return Err(Complaint::new(format!("{word:?} has invalid characters"), "use one word"));
    }
    Ok(word)
}

/// What a request asks for.
pub(super) fn path(value: &DeValue) -> Reading<String> {
    let path = token(value)?;
    if !path.starts_with('/') {
        return Err(Complaint::new(format!("{path:?} is not a path"), format!("write \"/{path}\"")));
    }
    Ok(path)
}

/// The path of a file, wherever the director was started.
pub(super) fn file(value: &DeValue) -> Reading<String> {
    let path = text(value)?;
    if !path.starts_with('/') || path.ends_with('/') {
        let remedy = "use a path from the root, such as \"/run/lb/web1\"";
        return Err(Complaint::new(format!("{path:?} is not a path for a file"), remedy));
    }
    Ok(path)
}

/// A domain name.
pub(super) fn domain(value: &DeValue) -> Reading<String> {
    let name = token(value)?;
    let labels = name.strip_suffix('.').unwrap_or(&name);
    let fits = |label: &str| (1..=63).contains(&label.len());
    if name != "." && (name.len() > 253 || !labels.split('.').all(fits)) {
        let remedy = "use labels of 1 to 63 characters, as in \"www.example.org\"";
        return Err(Complaint::new(format!("{name:?} is not a domain name"), remedy));
    }
    Ok(name)
}

/// A network interface; Linux takes 15 characters.
pub(super) fn device(value: &DeValue) -> Reading<String> {
    let name = values::name(value)?;
    if name.len() > 15 {
        return Err(Complaint::new(format!("{name:?} is not an interface name"), "use up to 15 characters"));
    }
    Ok(name)
}

/// Bytes as text.
pub(super) fn payload(value: &DeValue) -> Reading<String> {
    let text = quoted(value, "write it in quotes")?;
    short(text.len()).map(|()| text.to_owned())
}

/// Bytes as hexadecimal digits, which may have spaces between them.
pub(super) fn hexadecimal(value: &DeValue) -> Reading<String> {
    let remedy = "write pairs of hexadecimal digits, as in \"0001ff\"";
    let text = quoted(value, remedy)?;
    let digits: String = text.chars().filter(|c| *c != ' ').collect();
    let bytes =
        bytes(&digits).ok_or_else(|| Complaint::new(format!("{text:?} is not hexadecimal"), remedy))?;
    short(bytes.len()).map(|()| digits)
}

/// The digest of a page, in lower case. Its length says what it is of.
pub(super) fn digest(value: &DeValue) -> Reading<String> {
    let remedy = "write the 32 hexadecimal digits that `genhash` or `md5sum` print, or the 64 of `sha256sum`";
    let text = quoted(value, remedy)?;
    let digits = text.to_ascii_lowercase();
    match bytes(&digits).map(|bytes| bytes.len()) {
        Some(16 | 32) => Ok(digits),
        Some(_) => Err(Complaint::new(format!("has {} digits", digits.len()), remedy)),
        None => Err(Complaint::new(format!("{text:?} is not hexadecimal"), remedy)),
    }
}

/// A key of 16 bytes. What it is stands in no message.
pub(super) fn key(value: &DeValue) -> Reading<String> {
    let remedy =
        "write the 32 hexadecimal digits that servers have as well, as `openssl rand -hex 16` prints them";
    let digits = quoted(value, remedy)?.to_ascii_lowercase();
    match bytes(&digits).map(|bytes| bytes.len()) {
        Some(KEY_LEN) => Ok(digits),
        Some(_) => Err(Complaint::new(format!("has {} digits", digits.len()), remedy)),
        None => Err(Complaint::new("is not hexadecimal", remedy)),
    }
}

/// What connection IDs of QUIC call a server.
pub(super) fn quic_id(value: &DeValue) -> Reading<String> {
    let remedy = "write 1 to 15 bytes as pairs of hexadecimal digits, as in \"ed793a\"";
    let text = quoted(value, remedy)?;
    let name: Result<Name, ()> = text.parse();
    name.map(|name| name.to_string())
        .map_err(|()| Complaint::new(format!("{text:?} is not a server ID"), remedy))
}

/// The bytes that pairs of hexadecimal digits stand for.
pub(crate) fn bytes(digits: &str) -> Option<Vec<u8>> {
    let byte = |pair: &[u8]| -> Option<u8> {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2 && !pair.starts_with('+'))?;
        u8::from_str_radix(pair, 16).ok()
    };
    digits.as_bytes().chunks(2).map(byte).collect()
}

fn short(len: usize) -> Reading<()> {
    if len > MAX_PAYLOAD {
        return Err(Complaint::new(
            format!("has {len} bytes"),
            format!("use at most {MAX_PAYLOAD}, one datagram"),
        ));
    }
    Ok(())
}
