//! Reading `check` and `health` tables.

use super::{
    Check, Command, Dns, Http, Kind, Leave, OwnCheck, Passive, Pattern, Pool, Record, Sorry, Tls, Udp,
    WhenAllFail,
};
use crate::config::{
    place::{At, Field, Place},
    report::{Complaint, Problems},
    table::Table,
    values::{self, Reading, boolean, duration, host, number, quoted, text, timeout, word},
};
use lb_core::{limits::MAX_WEIGHT, service::plan::Method, time::Duration};
use std::{
    net::{SocketAddr, SocketAddrV4},
    path::PathBuf,
    sync::Arc,
};
use toml::de::DeValue;

/// Longest datagram that is sent as a check.
const MAX_PAYLOAD: usize = 1_400;
/// Most words of a command.
const MAX_WORDS: usize = 64;
/// Weight that a service's servers can have together, at most.
const MAX_QUORUM: u32 = MAX_WEIGHT * 1_024;

/// Reads the `check` of a service or a server. `type = "none"` says that there is none.
pub(in crate::config) fn read_check(table: Option<Table>, problems: &Problems) -> OwnCheck {
    let mut table = table?;
    let names: Vec<&'static str> = Kind::NAMES.into_iter().chain(["none"]).collect();
    let name = table.require("type", "\"tcp\"", word(&names, |name| name));
    let kind = match name.as_ref().map(|name| name.value) {
        Some("http") => Kind::Http(read_http(&mut table, false)),
        Some("https") => Kind::Http(read_http(&mut table, true)),
        Some("icmp") => Kind::Icmp,
        Some("udp") => Kind::Udp(read_udp(&mut table, problems)),
        Some("dns") => Kind::Dns(Dns {
            name: or(&mut table, "name", domain, ".".to_owned()),
            record: or(&mut table, "record", word(&Record::ALL, Record::name), Record::Soa),
        }),
        Some("command") => Kind::Command(read_command(&mut table)),
        Some("tcp") => Kind::Tcp,
        Some("none") => {
            let place = table.finish();
            return Some(At { value: None, place });
        }
        // Without knowing the kind, nothing can be said about the other keys.
        _ => return None,
    };
    let is_command = matches!(kind, Kind::Command(_));
    let interval = or(&mut table, "interval", timeout, Duration::from_secs(5));
    let mut check = Check::new(kind, interval);
    check.timeout = or(&mut table, "timeout", timeout, check.timeout);
    check.retry_interval = or(&mut table, "retry_interval", timeout, check.retry_interval);
    check.warmup = or(&mut table, "warmup", duration, check.warmup);
    check.rise = or(&mut table, "rise", number(1..=100), check.rise);
    check.fall = or(&mut table, "fall", number(1..=100), check.fall);
    check.assume_down = or(&mut table, "assume_down", boolean, check.assume_down);
    check.inhibit_on_failure = or(&mut table, "inhibit_on_failure", boolean, check.inhibit_on_failure);
    check.leave.netns = given(&mut table, "netns", values::name);
    // A program learns both addresses and makes its own connections.
    if !is_command {
        check.leave.ports = or(&mut table, "via", word(&[false, true], way), false);
        check.to_vip = or(&mut table, "to", word(&[false, true], destination), false);
        let address = table.read("address", host);
        if let (true, Field::Given(at)) = (check.to_vip, &address) {
            let complaint = Complaint::new("cannot be given with `to = \"vip\"`", "remove one of the two");
            problems.add(&at.place, complaint);
        }
        check.address = address.given().map(|at| at.value);
        if !matches!(check.kind, Kind::Icmp) {
            check.port = given(&mut table, "port", number(1..=u16::MAX));
        }
        check.leave.device = given(&mut table, "device", device);
        check.leave.source = given(&mut table, "source", host);
        check.leave.mark = given(&mut table, "mark", number(1..=u32::MAX));
        check_said(&check, &table, problems);
    }
    let place = table.finish();
    Some(At { value: Some(Arc::new(check)), place })
}

/// Under NAT no packet goes to a server with the VIP in it.
pub(in crate::config) fn check_way(
    method: Option<Method>,
    check: &At<Option<Arc<Check>>>,
    problems: &Problems,
) {
    let At { value: Some(value), place } = check else { return };
    if value.leave.ports && value.to_vip && method == Some(Method::Nat) {
        let what = "is \"vip\", which under nat is the director's own by `via = \"ports\"`";
        problems.add(&place.below("to"), Complaint::new(what, "use `to = \"server\"`"));
    }
}

/// By the director's own ports a packet goes where the server's traffic goes, and nothing can be said of it.
fn check_said(check: &Check, table: &Table, problems: &Problems) {
    let Leave { ports: true, netns, device, source, mark } = &check.leave else { return };
    let said = [
        ("netns", netns.is_some()),
        ("device", device.is_some()),
        ("source", source.is_some()),
        ("mark", mark.is_some()),
        ("address", check.address.is_some()),
    ];
    for (key, _) in said.into_iter().filter(|(_, is_said)| *is_said) {
        let complaint = Complaint::new("cannot be given with `via = \"ports\"`", "remove one of the two");
        problems.add(&table.place.below(key), complaint);
    }
}

/// Reads the `health` of a service. The sorry server comes with its place: it is checked like the other servers.
pub(in crate::config) fn read_pool(table: Option<Table>) -> (Pool, Option<At<SocketAddr>>, Option<Place>) {
    let Some(mut table) = table else { return (Pool::default(), None, None) };
    let default = Pool::default();
    let quorum_place = table.place.below("hysteresis");
    let sorry = match table.read("sorry_server", endpoint) {
        Field::Given(at) => Some(at),
        Field::Absent | Field::Bad => None,
    };
    let fallback = if sorry.is_some() { WhenAllFail::Sorry } else { WhenAllFail::Reject };
    let pool = Pool {
        quorum: or(&mut table, "quorum", number(1..=MAX_QUORUM), default.quorum),
        hysteresis: or(&mut table, "hysteresis", number(0..=MAX_QUORUM), default.hysteresis),
        quorum_up: program(&mut table, "quorum_up", "[\"/usr/local/sbin/quorum-up\"]"),
        quorum_down: program(&mut table, "quorum_down", "[\"/usr/local/sbin/quorum-down\"]"),
        when_all_fail: or(&mut table, "when_all_fail", word(&WhenAllFail::ALL, WhenAllFail::name), fallback),
        sorry_server: sorry.as_ref().map(|at| Sorry { address: at.value }),
        sorry_server_inhibit: or(&mut table, "sorry_server_inhibit", boolean, false),
        flap_limit: or(&mut table, "flap_limit", number(0..=100), default.flap_limit),
        flap_window: or(&mut table, "flap_window", timeout, default.flap_window),
        flap_hold: or(&mut table, "flap_hold", timeout, default.flap_hold),
        passive: table.table("passive").map(read_passive),
    };
    table.finish();
    (pool, sorry, Some(quorum_place))
}

/// What the keys of a `health` table must not mean together.
pub(in crate::config) fn check_together(pool: &Pool, place: Option<&Place>, problems: &Problems) {
    let Some(place) = place else { return };
    if pool.hysteresis >= pool.quorum {
        let what = format!("{} is not less than the quorum, {}", pool.hysteresis, pool.quorum);
        problems.add(place, Complaint::new(what, "use a smaller one, or a larger quorum"));
    }
    if pool.when_all_fail == WhenAllFail::Sorry && pool.sorry_server.is_none() {
        let key = Place { span: place.span.clone(), key: place.key.replace("hysteresis", "sorry_server") };
        let example =
            "add for example `sorry_server = \"198.51.100.99:80\"`, or choose \"reject\" or \"keep\"";
        problems.add(&key, Complaint::new("is missing", example));
    }
}

/// Reads the words of a command.
pub(super) fn program(table: &mut Table, key: &'static str, example: &str) -> Option<Vec<String>> {
    match table.list(key, example, text) {
        Field::Given(list) if list.value.is_empty() || list.value.len() > MAX_WORDS => {
            let remedy = format!("write the program and its arguments, as in `{key} = {example}`");
            table.complain(&list.place, Complaint::new("has no words, or too many", remedy));
            None
        }
        Field::Given(list) => list.value.into_iter().map(|word| word.map(|word| word.value)).collect(),
        Field::Absent | Field::Bad => None,
    }
}

fn read_http(table: &mut Table, tls: bool) -> Http {
    let tls = tls.then(|| Tls {
        sni: given(table, "sni", domain),
        verify: or(table, "verify", boolean, false),
        ca: given(table, "ca", text).map(PathBuf::from),
    });
    let status = match table.list("status", "[200, \"301-399\"]", codes) {
        Field::Given(list) => list.value.into_iter().flatten().map(|at| at.value).collect(),
        Field::Absent | Field::Bad => Vec::new(),
    };
    Http {
        tls,
        method: or(table, "method", token, "GET".to_owned()),
        path: or(table, "path", path, "/".to_owned()),
        host: given(table, "host", token),
        status: if status.is_empty() { vec![(200, 299)] } else { status },
        body: given(table, "body", pattern),
    }
}

fn read_udp(table: &mut Table, problems: &Problems) -> Udp {
    let words = table.read("payload", payload);
    let hex = table.read("payload_hex", hexadecimal);
    if let (Field::Given(_), Field::Given(at)) = (&words, &hex) {
        problems.add(&at.place, Complaint::new("there is a `payload` already", "remove one of the two"));
    }
    let given_payload = words.given().or(hex.given()).map(|at| at.value.clone());
    Udp {
        payload: given_payload.unwrap_or_default(),
        require_reply: or(table, "require_reply", boolean, false),
        expect: given(table, "expect", pattern),
    }
}

fn read_command(table: &mut Table) -> Command {
    let command = program(table, "command", "[\"/usr/local/bin/probe\", \"--fast\"]");
    if command.is_none() && !table.has("command") {
        table.missing("command", "[\"/usr/local/bin/probe\", \"--fast\"]");
    }
    Command {
        command: command.unwrap_or_default(),
        user: given(table, "user", values::name),
        memory_mib: or(table, "memory_mib", number(16..=65_536), 512),
    }
}

fn read_passive(mut table: Table) -> Passive {
    let passive = Passive {
        failures: or(&mut table, "failures", number(1..=1_000_000), 5),
        within: or(&mut table, "within", timeout, Duration::from_secs(10)),
        hold: or(&mut table, "hold", timeout, Duration::from_secs(30)),
    };
    table.finish();
    passive
}

/// A key's value or its default. What is bad has been reported, and nothing of the file will be used.
fn or<T: Clone>(
    table: &mut Table,
    key: &'static str,
    read: impl Fn(&DeValue) -> Reading<T>,
    default: T,
) -> T {
    given(table, key, read).unwrap_or(default)
}

fn given<T: Clone>(table: &mut Table, key: &'static str, read: impl Fn(&DeValue) -> Reading<T>) -> Option<T> {
    table.read(key, read).given().map(|at| at.value.clone())
}

fn way(ports: bool) -> &'static str {
    if ports { "ports" } else { "kernel" }
}

fn destination(vip: bool) -> &'static str {
    if vip { "vip" } else { "server" }
}

/// The address and port of a server.
fn endpoint(value: &DeValue) -> Reading<SocketAddr> {
    let remedy = "write address and port, as in \"198.51.100.99:80\"";
    let text = quoted(value, remedy)?;
    let parsed: Result<SocketAddrV4, _> = text.parse();
    let address =
        parsed.map_err(|_| Complaint::new(format!("{text:?} is no address with a port"), remedy))?;
    values::unicast(*address.ip())?;
    if address.port() == 0 {
        return Err(Complaint::new("port 0 is no port", "use 1 to 65535"));
    }
    Ok(address.into())
}

/// One status code, or a range of them.
fn codes(value: &DeValue) -> Reading<(u16, u16)> {
    let remedy = "write a code or a range of them, as in `status = [200, \"301-399\"]`";
    if let DeValue::Integer(_) = value {
        return number(100..=599)(value).map(|code| (code, code));
    }
    let text = quoted(value, remedy)?;
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    match (from.trim().parse(), to.trim().parse()) {
        (Ok(from), Ok(to)) if (100..=599).contains(&from) && (from..=599).contains(&to) => Ok((from, to)),
        _ => Err(Complaint::new(format!("{text:?} is no range of status codes"), remedy)),
    }
}

fn pattern(value: &DeValue) -> Reading<Pattern> {
    let text = quoted(value, "write a regular expression in quotes")?;
    let parsed = regex::bytes::Regex::new(text);
    parsed.map(Pattern).map_err(|error| {
        let error = error.to_string();
        let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Complaint::new(
            format!("{text:?} is no regular expression: {reason}"),
            "see https://docs.rs/regex for what can be written",
        )
    })
}

/// A word of an HTTP request: no spaces, nothing that could start another line.
fn token(value: &DeValue) -> Reading<String> {
    let word = text(value)?;
    if word.contains(|c: char| !c.is_ascii_graphic()) {
        return Err(Complaint::new(
            format!("{word:?} has characters that do not belong there"),
            "use one word",
        ));
    }
    Ok(word)
}

fn path(value: &DeValue) -> Reading<String> {
    let path = token(value)?;
    if !path.starts_with('/') {
        return Err(Complaint::new(format!("{path:?} is no path"), format!("write \"/{path}\"")));
    }
    Ok(path)
}

/// A domain name.
fn domain(value: &DeValue) -> Reading<String> {
    let name = token(value)?;
    let labels = name.strip_suffix('.').unwrap_or(&name);
    let fits = |label: &str| (1..=63).contains(&label.len());
    if name != "." && (name.len() > 253 || !labels.split('.').all(fits)) {
        let remedy = "use labels of 1 to 63 characters, as in \"www.example.org\"";
        return Err(Complaint::new(format!("{name:?} is no domain name"), remedy));
    }
    Ok(name)
}

/// A network interface; Linux takes 15 characters.
fn device(value: &DeValue) -> Reading<String> {
    let name = values::name(value)?;
    if name.len() > 15 {
        return Err(Complaint::new(format!("{name:?} is no interface"), "use up to 15 characters"));
    }
    Ok(name)
}

fn payload(value: &DeValue) -> Reading<Vec<u8>> {
    short(quoted(value, "write it in quotes")?.as_bytes().to_vec())
}

fn hexadecimal(value: &DeValue) -> Reading<Vec<u8>> {
    let remedy = "write pairs of hexadecimal digits, as in \"0001ff\"";
    let text = quoted(value, remedy)?;
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    let byte = |pair: &[u8]| -> Option<u8> {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2 && !pair.starts_with('+'))?;
        u8::from_str_radix(pair, 16).ok()
    };
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    short(bytes.ok_or_else(|| Complaint::new(format!("{text:?} is not hexadecimal"), remedy))?)
}

fn short(bytes: Vec<u8>) -> Reading<Vec<u8>> {
    if bytes.len() > MAX_PAYLOAD {
        let what = format!("has {} bytes", bytes.len());
        return Err(Complaint::new(what, format!("use at most {MAX_PAYLOAD}, one datagram")));
    }
    Ok(bytes)
}
