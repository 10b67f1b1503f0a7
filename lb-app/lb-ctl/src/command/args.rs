//! Words that several commands take.

use crate::protocol::{Protocol, keys::Target};
use clap::{
    ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// `all` is none in particular.
pub(super) fn all_or(word: String) -> Option<String> {
    (word != "all").then_some(word)
}

/// `ADDRESS` or `ADDRESS:PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub(super) address: IpAddr,
    pub(super) port: Option<u16>,
}

pub(super) fn endpoint(text: &str) -> Result<Endpoint, String> {
    if let Ok(address) = text.parse() {
        return Ok(Endpoint { address, port: None });
    }
    let whole = full_endpoint(text)
        .map_err(|_| "expected an address or address and port, such as 198.51.100.11:8080".to_owned())?;
    Ok(Endpoint { address: whole.ip(), port: Some(whole.port()) })
}

/// `ADDRESS:PORT`.
pub(super) fn full_endpoint(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(endpoint) if endpoint.port() != 0 => Ok(endpoint),
        _ => Err("expected an address and a port, such as 192.0.2.100:80 or [2001:db8::1]:80".to_owned()),
    }
}

/// Where a packet comes from: `ADDRESS:PORT`, or `ADDRESS` of one without ports, whose port is 0.
pub(super) fn sender(text: &str) -> Result<SocketAddr, String> {
    text.parse::<IpAddr>().map_or_else(|_| full_endpoint(text), |address| Ok(SocketAddr::new(address, 0)))
}

/// Where it goes, in the same way, or a service's name.
pub(super) fn receiver(text: &str) -> Result<Target, String> {
    text.parse::<IpAddr>()
        .map_or_else(|_| target(text), |address| Ok(Target::At(SocketAddr::new(address, 0))))
}

/// A protocol of services.
pub(super) fn balanced() -> impl TypedValueParser<Value = Protocol> {
    let all = Protocol::value_variants().iter().filter(|protocol| **protocol != Protocol::Icmp);
    PossibleValuesParser::new(all.filter_map(Protocol::to_possible_value))
        .try_map(|word| Protocol::from_str(&word, false))
}

/// `ADDRESS:PORT`, or `ADDRESS:any`, which is port 0.
pub(super) fn service_endpoint(text: &str) -> Result<SocketAddr, String> {
    let any = text.strip_suffix(":any").and_then(|address| format!("{address}:0").parse().ok());
    any.map_or_else(|| full_endpoint(text), Ok)
}

/// `ADDRESS:PORT` or a service's name, which is for the director to know.
pub(super) fn target(text: &str) -> Result<Target, String> {
    match Target::from(text.to_owned()) {
        Target::Service(name) if name.is_empty() || name.contains([':', '/']) => {
            Err("expected an address and a port, such as 192.0.2.100:80, or a service's name".to_owned())
        }
        target => Ok(target),
    }
}

/// `ADDRESS` or `ADDRESS/PREFIX`.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse()
        .or_else(|_| address())
        .map_err(|_| "expected an address or a network, such as 192.0.2.0/24".to_owned())
}

/// `default`, `ADDRESS` or `ADDRESS/PREFIX`.
pub(super) fn destination(text: &str) -> Result<IpNet, String> {
    if text == "default" { network("0.0.0.0/0") } else { network(text) }
}

/// A length of time in milliseconds, or what it is if nobody says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrDefault(pub Option<u64>);

pub(super) fn duration_or_default(text: &str) -> Result<OrDefault, String> {
    if text == "default" { Ok(OrDefault(None)) } else { duration(text).map(|time| OrDefault(Some(time))) }
}

/// Seconds, or with a unit: `500ms`, `90`, `90s`, `15m`, `2h`, `1d`. In milliseconds.
pub(crate) fn duration(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit_ms = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    let milliseconds =
        number.parse::<u64>().ok().filter(|_| unit_ms > 0).and_then(|number| number.checked_mul(unit_ms));
    milliseconds
        .ok_or_else(|| "expected a number of seconds, or with a unit: 500ms, 90s, 15m, 2h, 1d".to_owned())
}
