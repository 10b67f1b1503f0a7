//! Readers of single values: what a piece of TOML means, or why it means nothing and what to write instead.

use super::{duration, invisible::is_invisible, report::Complaint};
use ipnet::IpNet;
use lb_core::{
    limits::MAX_TIMEOUT_S,
    service::{
        address::is_of_some_link,
        address::no_host,
        option::Value,
        plan::{Mac, Tags},
        reach::PortRange,
    },
    time::Duration,
    wire::ethernet,
};
use lb_ctl::{foreign, near::nearest};
use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::{Component, Path},
};
use toml::de::DeValue;

/// What a reader returns.
pub(crate) type Reading<T> = Result<T, Complaint>;

/// Longest name of a port or service, in characters.
const MAX_NAME: usize = 64;
/// Longest description, in characters.
const MAX_LINE: usize = 200;

/// A value of another type than was expected.
pub(super) fn wrong_type(value: &DeValue, expected: &str, remedy: &str) -> Complaint {
    let found = match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(true) => "true",
        DeValue::Boolean(false) => "false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    Complaint::new(format!("is {found}, not {expected}"), remedy)
}

/// Text that is not empty and has no characters that nobody sees.
pub(super) fn text(value: &DeValue) -> Reading<String> {
    let text = argument(value)?;
    if text.contains(is_invisible) {
        let what = format!("{text:?} has characters that nobody sees");
        return Err(Complaint::new(what, "write plain text"));
    }
    Ok(text)
}

/// A line for people, which may be empty.
pub(super) fn line(value: &DeValue) -> Reading<String> {
    let line = quoted(value, "write it in quotes")?;
    if line.contains(is_invisible) {
        let what = format!("{line:?} has characters that nobody sees");
        return Err(Complaint::new(what, "write one line of plain text"));
    }
    let length = line.chars().count();
    if length > MAX_LINE {
        return Err(Complaint::new(format!("has {length} characters"), format!("use at most {MAX_LINE}")));
    }
    Ok(line.to_owned())
}

/// A word for a program, which may have to be text of any kind. It is not empty and has no control characters.
pub(super) fn argument(value: &DeValue) -> Reading<String> {
    let text = quoted(value, "write it in quotes")?;
    if text.is_empty() || text.contains(char::is_control) {
        return Err(Complaint::new(format!("{text:?} is empty or not printable"), "write plain text"));
    }
    Ok(text.to_owned())
}

/// An absolute path for a UNIX socket, or `none`.
pub(super) fn socket(value: &DeValue) -> Reading<String> {
    /// Bytes that a socket's address has room for, without the zero at its end.
    const MOST: usize = 107;
    let path = text(value)?;
    if path != "none" && (!path.starts_with('/') || path.len() > MOST) {
        let remedy = format!(
            "use a path from the root of at most {MOST} bytes, such as \"/run/lb/lb.sock\", or \"none\""
        );
        return Err(Complaint::new(format!("{path:?} is not a path for a socket"), remedy));
    }
    Ok(path)
}

/// An absolute path of a directory.
pub(super) fn directory(value: &DeValue) -> Reading<String> {
    let path = text(value)?;
    if !path.starts_with('/') || Path::new(&path).components().any(|part| part == Component::ParentDir) {
        let remedy = "use a path from the root without \"..\", such as \"/var/lib/lb/captures\"";
        return Err(Complaint::new(format!("{path:?} is not a path for a directory"), remedy));
    }
    Ok(path)
}

/// A name: it appears in listings, statistics and commands, so it is one short word.
pub(super) fn name(value: &DeValue) -> Reading<String> {
    let name = text(value)?;
    if name.chars().count() > MAX_NAME || name.contains(char::is_whitespace) {
        let remedy = format!("use up to {MAX_NAME} characters without spaces");
        return Err(Complaint::new(format!("invalid name {name:?}"), remedy));
    }
    Ok(name)
}

/// `true` or `false`.
pub(super) fn boolean(value: &DeValue) -> Reading<bool> {
    value.as_bool().ok_or_else(|| wrong_type(value, "true or false", "write `true` or `false`"))
}

/// A whole number in `range`.
pub(super) fn number<T>(range: RangeInclusive<T>) -> impl Fn(&DeValue) -> Reading<T>
where
    T: TryFrom<i64> + PartialOrd + std::fmt::Display,
{
    move |value| {
        let remedy = format!("use {} to {}", range.start(), range.end());
        let DeValue::Integer(integer) = value else {
            return Err(wrong_type(value, "a whole number", &remedy));
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.and_then(|number| T::try_from(number).ok());
        let number = number.filter(|number| range.contains(number));
        number.ok_or_else(|| Complaint::new(format!("{integer} is out of range"), remedy))
    }
}

/// One of a few words.
pub(super) fn word<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str) -> impl Fn(&DeValue) -> Reading<T> {
    move |value| {
        let names: Vec<&str> = all.iter().map(|&choice| name(choice)).collect();
        let remedy = format!("use one of {}", names.join(", "));
        let text = quoted(value, &remedy)?;
        if let Some(found) = names.iter().position(|name| *name == text) {
            return Ok(all[found]);
        }
        let remedy = match (foreign::value(text, &names), nearest(text, &names)) {
            (Some(here), _) => format!("the nearest here is {here:?}"),
            (None, Some(name)) => format!("did you mean {name:?}?"),
            (None, None) => remedy,
        };
        Err(Complaint::new(format!("{text:?} is not known"), remedy))
    }
}

/// A timeout: more than nothing, and not so long that connections' time stamps become ambiguous.
pub(super) fn timeout(value: &DeValue) -> Reading<Duration> {
    let remedy = "write for example \"500ms\", \"90s\", \"15m\" or \"1h30m\"";
    let text = quoted(value, remedy)?;
    let Some(timeout) = duration::parse(text) else {
        return Err(Complaint::new(format!("{text:?} is not a duration"), remedy));
    };
    let longest = Duration::from_secs(MAX_TIMEOUT_S);
    if timeout == Duration::ZERO || timeout > longest {
        let remedy = format!("use 1ms to {}d", MAX_TIMEOUT_S / 86_400);
        return Err(Complaint::new(format!("{text:?} is out of range"), remedy));
    }
    Ok(timeout)
}

/// A duration that may be nothing.
pub(super) fn duration(value: &DeValue) -> Reading<Duration> {
    let remedy = "write for example \"0s\", \"500ms\", \"30s\" or \"5m\"";
    let text = quoted(value, remedy)?;
    let duration =
        duration::parse(text).ok_or_else(|| Complaint::new(format!("{text:?} is not a duration"), remedy))?;
    if duration > Duration::from_secs(MAX_TIMEOUT_S) {
        let remedy = format!("use at most {}d", MAX_TIMEOUT_S / 86_400);
        return Err(Complaint::new(format!("{text:?} is out of range"), remedy));
    }
    Ok(duration)
}

/// An address of this host and a port to listen on.
pub(super) fn listen(value: &DeValue) -> Reading<SocketAddr> {
    let remedy = "write address and port, as in \"127.0.0.1:9145\"";
    let text = quoted(value, remedy)?;
    text.parse().map_err(|_| Complaint::new(format!("{text:?} is not an address with a port"), remedy))
}

/// The address of one host.
pub(super) fn host(value: &DeValue) -> Reading<IpAddr> {
    let remedy = "write an address, as in \"192.0.2.1\" or \"2001:db8::1\"";
    let text = quoted(value, remedy)?;
    let address = text.parse().map_err(|_| no_address(text, "address", remedy))?;
    unicast(address)?;
    Ok(address)
}

/// The address of a router, which may be that of one link.
pub(super) fn router(value: &DeValue) -> Reading<IpAddr> {
    match value.as_str().and_then(|text| text.parse().ok()) {
        Some(address) if is_of_some_link(address) => Ok(address),
        _ if value.as_str().is_some_and(|text| text.contains('%')) => {
            let what = format!("{:?} names a link of another host's", value.as_str().unwrap_or_default());
            let remedy = "write it without \"%\", and the port or interface as in `interface = \"wan\"`";
            Err(Complaint::new(what, remedy))
        }
        _ => host(value),
    }
}

/// The VLANs of an interface: one, or a service provider's and the one inside it.
pub(super) fn vlans(value: &DeValue) -> Reading<Tags> {
    let remedy = "write `vlan = 100`, or `vlan = [9, 100]` for VLAN 100 inside a service provider's VLAN 9";
    let ids: Vec<u16> = match value {
        DeValue::Integer(_) => vec![vlan(value)?],
        DeValue::Array(ids) => ids.iter().map(|id| vlan(id.get_ref())).collect::<Reading<_>>()?,
        _ => return Err(wrong_type(value, "a VLAN's number or two of them", remedy)),
    };
    let tags = Tags::of(&ids).filter(|tags| !tags.is_empty());
    tags.ok_or_else(|| Complaint::new(format!("has {} VLANs, not one or two", ids.len()), remedy))
}

fn vlan(value: &DeValue) -> Reading<u16> {
    match number(0..=u16::MAX)(value)? {
        0 => Err(Complaint::new(
            "VLAN 0 is none: a tag of it says a priority only, and such frames count as untagged",
            "use 1 to 4094; the untagged network is that of the port's own `addresses`",
        )),
        4_095 => Err(Complaint::new("VLAN 4095 is reserved (802.1Q)", "use 1 to 4094")),
        id @ 1..4_095 => Ok(id),
        id => Err(Complaint::new(format!("{id} is out of range"), "use 1 to 4094")),
    }
}

/// The Ethernet address of one station.
pub(super) fn ethernet_address(value: &DeValue) -> Reading<Mac> {
    let remedy = "write six pairs of hexadecimal digits, as in \"02:00:5e:00:00:01\"";
    let text = quoted(value, remedy)?;
    let pairs = text.split([':', '-']).map(|pair| {
        let is_pair = pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
        u8::from_str_radix(pair, 16).ok().filter(|_| is_pair)
    });
    let bytes: Option<Vec<u8>> = pairs.collect();
    let bytes: Option<[u8; 6]> = bytes.and_then(|bytes| bytes.try_into().ok());
    let mac = bytes
        .map(Mac)
        .ok_or_else(|| Complaint::new(format!("{text:?} is not an Ethernet address"), remedy))?;
    match ethernet::is_station(mac) {
        true => Ok(mac),
        false if mac == Mac::default() => Err(Complaint::new(format!("{mac} is nobody's"), remedy)),
        false => Err(Complaint::new(
            format!("{mac} is that of a group of stations"),
            "use one whose first byte is even, such as 02",
        )),
    }
}

/// One of the director's own addresses, with the length of its network's prefix.
pub(super) fn own_address(value: &DeValue) -> Reading<IpNet> {
    let remedy = "write address and prefix length, as in \"192.0.2.1/24\" or \"2001:db8::1/64\"";
    let text = quoted(value, remedy)?;
    if let Ok(address) = text.parse::<IpAddr>() {
        let bits = if address.is_ipv4() { 24 } else { 64 };
        let remedy = format!("write \"{address}/{bits}\" if its network has {bits} bits");
        return Err(Complaint::new(format!("{text:?} has no prefix length"), remedy));
    }
    let network: IpNet =
        text.parse().map_err(|_| no_address(text, "address with a prefix length", remedy))?;
    unicast(network.addr())?;
    let (address, prefix, most) = (network.addr(), network.prefix_len(), network.max_prefix_len());
    if prefix == 0 {
        return Err(Complaint::new(
            "a network of 0 bits contains every address",
            format!("use 1 to {most} bits"),
        ));
    }
    // RFC 3021: networks of 31 bits and host addresses have neither. IPv6 has no broadcast, and the first address is that of
    // all routers (RFC 4291 2.6.1; but for links between two, RFC 6164).
    let is_last = address.is_ipv4() && address == network.broadcast();
    if prefix + 1 < most && (address == network.network() || is_last) {
        let which = match (is_last, address.is_ipv4()) {
            (true, _) => "broadcast",
            (false, true) => "network",
            (false, false) => "routers' anycast",
        };
        let remedy = "use an address between the network's first and last";
        return Err(Complaint::new(
            format!("{address} is the {which} address of {}", network.trunc()),
            remedy,
        ));
    }
    Ok(network)
}

/// Where a route goes: a network, or `default`.
pub(super) fn destination(value: &DeValue) -> Reading<IpNet> {
    let remedy = "write \"default\", \"::/0\" or a network, as in \"203.0.113.0/24\" or \"2001:db8::/32\"";
    let text = quoted(value, remedy)?;
    if text == "default" { Ok(IpNet::default()) } else { network_of(text, remedy) }
}

/// A network.
pub(super) fn network(value: &DeValue) -> Reading<IpNet> {
    let remedy = "write a network, as in \"198.18.0.0/24\" or \"2001:db8:ff::/64\"";
    network_of(quoted(value, remedy)?, remedy)
}

fn network_of(text: &str, remedy: &str) -> Reading<IpNet> {
    let network: IpNet = text.parse().map_err(|_| no_address(text, "network", remedy))?;
    if network.addr() != network.network() {
        let remedy = format!(
            "write \"{}\" for the network, or \"{}/{}\" for the host",
            network.trunc(),
            network.addr(),
            network.max_prefix_len()
        );
        return Err(Complaint::new(format!("{text:?} has bits set beyond its prefix"), remedy));
    }
    if network.addr().is_multicast() {
        return Err(Complaint::new(format!("{text:?} is multicast"), "only unicast is routed"));
    }
    Ok(network)
}

/// Ports and ranges of them: one, or a list.
pub(super) fn ports(value: &DeValue) -> Reading<Value> {
    let remedy = "write for example [80, 443], \"1024-65535\" or \"any\"";
    let one = |value: &DeValue| match value {
        DeValue::Integer(_) => number(1..=u16::MAX)(value).map(PortRange::one),
        value => {
            let text = quoted(value, remedy)?.trim();
            text.parse()
                .map_err(|_| Complaint::new(format!("{text:?} is not a port or range of ports"), remedy))
        }
    };
    let ranges: Vec<PortRange> = match value {
        DeValue::Array(values) => values.iter().map(|value| one(value.get_ref())).collect::<Reading<_>>()?,
        DeValue::String(words) => {
            words.split(',').map(|word| one(&DeValue::String(word.into()))).collect::<Reading<_>>()?
        }
        value => vec![one(value)?],
    };
    if ranges.is_empty() {
        return Err(Complaint::new("is empty", remedy));
    }
    Ok(Value::List(ranges.into_iter().map(PortRange::to_value).collect()))
}

/// The text itself.
pub(super) fn quoted<'a>(value: &'a DeValue, remedy: &str) -> Reading<&'a str> {
    value.as_str().ok_or_else(|| wrong_type(value, "text in quotes", remedy))
}

fn no_address(text: &str, expected: &str, remedy: &str) -> Complaint {
    if text.contains('%') {
        return Complaint::new(
            format!("{text:?} is an address of one link"),
            "use one that is valid everywhere, without \"%\"",
        );
    }
    Complaint::new(format!("{text:?} is not a valid {expected}"), remedy)
}

/// No group, nobody, not ourselves.
pub(super) fn unicast(address: IpAddr) -> Reading<()> {
    no_host(address)
        .map_or(Ok(()), |kind| Err(Complaint::new(format!("{address} is {kind}"), "use a unicast address")))
}
