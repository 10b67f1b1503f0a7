//! Checkers: what `TCP_CHECK` and its kind are here.
//!
//! keepalived counts one success as "up" and `retry` further failures as "down"; both are written out.

use super::{
    super::draft::{Draft, Wrong},
    blocks::Node,
};
use crate::config::{
    health::{Check, Command, Digest, Dns, File, Http, Kind, Page, Pattern, Record, Smtp, Tls, Udp, Via},
    options::MAX_TABLES,
};
use lb_core::{limits::MAX_WEIGHT, time::Duration};
use std::{collections::HashMap, rc::Rc};

/// What a virtual server says of all its checks.
#[derive(Clone, Debug)]
pub(super) struct Common {
    interval: Duration,
    timeout: Option<Duration>,
    retry: Option<u32>,
    retry_interval: Option<Duration>,
    warmup: Option<Duration>,
    alpha: bool,
    inhibit: bool,
    host: Option<String>,
    /// Who programs run as.
    user: Option<String>,
    /// The files that are tracked, by name.
    tracked: Rc<HashMap<String, File>>,
}

/// keepalived's `delay_loop` where nothing is said, in seconds.
const DELAY_LOOP_S: u64 = 60;
/// Longest time that a configuration takes, in milliseconds.
const LONGEST_MS: u64 = 24 * 86_400_000;
/// Its `connect_timeout`.
const CONNECT_TIMEOUT_S: u64 = 5;
/// Its `delay_before_retry`.
const RETRY_S: u64 = 1;

impl Common {
    pub(super) fn new(user: Option<&str>, tracked: &Rc<HashMap<String, File>>) -> Self {
        Common {
            interval: Duration::from_secs(DELAY_LOOP_S),
            timeout: None,
            retry: None,
            retry_interval: None,
            warmup: None,
            alpha: false,
            inhibit: false,
            host: None,
            user: user.map(str::to_owned),
            tracked: tracked.clone(),
        }
    }

    /// Takes a line that is about checks; whether it is one.
    pub(super) fn take(&mut self, node: &Node) -> Result<bool, Wrong> {
        match node.key() {
            "delay_loop" => self.interval = seconds(node)?,
            "connect_timeout" => self.timeout = Some(seconds(node)?),
            "retry" | "nb_get_retry" => self.retry = Some(node.parsed("number")?),
            "delay_before_retry" => self.retry_interval = Some(seconds(node)?),
            "warmup" => self.warmup = Some(number(node)?),
            "alpha" => self.alpha = flag(node)?,
            "inhibit_on_failure" => self.inhibit = flag(node)?,
            "virtualhost" => self.host = Some(node.value()?.to_owned()),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// The files that are tracked, by name: `track_file`, which was called `vrrp_track_file`.
pub(super) fn tracked(nodes: &[Node]) -> Result<HashMap<String, File>, Wrong> {
    let mut tracked = HashMap::new();
    for node in nodes.iter().filter(|node| matches!(node.key(), "track_file" | "vrrp_track_file")) {
        let mut file = File::default();
        for line in node.block()? {
            match line.key() {
                "file" => file.path = line.value()?.into(),
                "weight" => (file.weight, file.reverse) = weight(line)?,
                _ => {}
            }
        }
        tracked.insert(node.value()?.to_owned(), file);
    }
    Ok(tracked)
}

/// `weight NUMBER [reverse]`; below 0 is the other way round as well.
fn weight(line: &Node) -> Result<(u32, bool), Wrong> {
    let number: i64 = line.parsed("weight")?;
    let reverse = line.values().get(1).is_some_and(|word| word == "reverse");
    Ok((number.unsigned_abs().min(MAX_WEIGHT.into()) as u32, reverse != (number < 0)))
}

/// Whether a checker can be a server's agent, beside a check.
pub(super) fn can_advise(key: &str) -> bool {
    matches!(key, "FILE_CHECK" | "BFD_CHECK" | "MISC_CHECK")
}

/// The agent that a checker is here.
pub(super) fn agent(node: &Node, common: &Common, draft: &mut Draft) -> Result<Option<Check>, Wrong> {
    let Some(check) = check(node, common, draft)? else { return Ok(None) };
    let mut agent = Check::agent(check.kind);
    (agent.interval, agent.timeout, agent.warmup) = (check.interval, check.timeout, check.warmup);
    Ok(Some(agent))
}

/// Whether a line is a checker.
pub(super) fn is_checker(key: &str) -> bool {
    matches!(
        key,
        "TCP_CHECK"
            | "HTTP_GET"
            | "SSL_GET"
            | "SMTP_CHECK"
            | "DNS_CHECK"
            | "MISC_CHECK"
            | "UDP_CHECK"
            | "PING_CHECK"
            | "BFD_CHECK"
            | "FILE_CHECK"
    )
}

/// The check that a checker is here; none if there is no equal, which is noted.
pub(super) fn check(node: &Node, common: &Common, draft: &mut Draft) -> Result<Option<Check>, Wrong> {
    let nothing = Vec::new();
    let lines = node.block.as_ref().unwrap_or(&nothing);
    let mut common = common.clone();
    let mut check = Check::new(Kind::Tcp, common.interval);
    check.rise = 1;
    let mut own = Vec::new();
    for line in lines {
        if !(common.take(line)? || packets(line, &mut check, draft)?) {
            own.push(line);
        }
    }
    let Some(kind) = kind(node, &own, &common, draft)? else { return Ok(None) };
    if let Kind::File(_) = kind {
        // keepalived hears of changes at once; a look costs nothing.
        let file = Check::of(kind);
        return Ok(Some(Check {
            rise: 1,
            assume_down: common.alpha && node.key() == "BFD_CHECK",
            inhibit_on_failure: common.inhibit,
            ..file
        }));
    }
    if let Kind::Command(_) = kind {
        // They run with the kernel's addresses, as keepalived's do.
        check.timeout = common.interval;
    } else {
        check.timeout = Duration::from_secs(CONNECT_TIMEOUT_S);
    }
    check.kind = kind;
    check.interval = common.interval;
    check.warmup = common.warmup.unwrap_or(common.interval);
    check.timeout = misc_timeout(&own)?.or(common.timeout).unwrap_or(check.timeout);
    if let Kind::Http(http) = &check.kind {
        // keepalived gives each url its own time.
        let all = check.timeout.as_millis().saturating_mul(http.pages.len() as u64);
        check.timeout = Duration::from_millis(all.min(LONGEST_MS));
    }
    check.retry_interval = common.retry_interval.unwrap_or(Duration::from_secs(RETRY_S));
    // Programs are not tried again unless it is said.
    let retries = common.retry.unwrap_or(u32::from(!matches!(check.kind, Kind::Command(_))));
    check.fall = retries.saturating_add(1).min(100);
    check.assume_down = common.alpha;
    check.inhibit_on_failure = common.inhibit;
    if check.address.is_some()
        || check.leave.device.is_some()
        || check.leave.source.is_some()
        || check.leave.mark.is_some()
    {
        check.leave.via = Via::Kernel;
    }
    Ok(Some(check))
}

/// Takes a line about where a check's packets go; whether it is one.
fn packets(line: &Node, check: &mut Check, draft: &mut Draft) -> Result<bool, Wrong> {
    match line.key() {
        "connect_ip" => check.address = Some(line.parsed("address")?),
        "connect_port" => check.port = Some(line.parsed("port")?),
        "bindto" => check.leave.source = Some(line.parsed("address")?),
        "bind_if" => check.leave.device = Some(line.value()?.to_owned()),
        "fwmark" => check.leave.mark = Some(line.parsed("number")?),
        "bind_port" => {
            draft.miss(&line.place, "bind_port", "the kernel chooses the port that a check is sent from");
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn kind(node: &Node, own: &[&Node], common: &Common, draft: &mut Draft) -> Result<Option<Kind>, Wrong> {
    let line = |key: &str| own.iter().copied().find(|line| line.key() == key);
    let known: &[&str] = match node.key() {
        "HTTP_GET" | "SSL_GET" => &["url", "http_protocol", "enable_sni", "tls_compliant", "fast_recovery"],
        "DNS_CHECK" => &["type", "name"],
        "MISC_CHECK" => &["misc_path", "misc_timeout", "misc_dynamic", "user"],
        "UDP_CHECK" => &["payload", "require_reply", "min_reply_length", "max_reply_length"],
        "SMTP_CHECK" => &["helo_name", "host"],
        "FILE_CHECK" | "BFD_CHECK" => &["track_file", "name", "weight"],
        _ => &[],
    };
    for other in own.iter().filter(|line| !known.contains(&line.key())) {
        let what = format!("{} of {}", other.key(), node.key());
        draft.miss(&other.place, what, "the importer does not know it; it is left out");
    }
    Ok(Some(match node.key() {
        "HTTP_GET" | "SSL_GET" => Kind::Http(http(node, own, common, draft)?),
        "DNS_CHECK" => {
            let mut dns = Dns::default();
            if let Some(name) = line("name") {
                name.value()?.clone_into(&mut dns.name);
            }
            let wanted = line("type").map(Node::value).transpose()?.unwrap_or("SOA").to_uppercase();
            match Record::ALL.into_iter().find(|record| record.name() == wanted) {
                Some(record) => dns.record = record,
                None => draft.miss(&node.place, format!("DNS_CHECK of type {wanted}"), "it asks for SOA"),
            }
            Kind::Dns(dns)
        }
        "MISC_CHECK" => {
            let path = line("misc_path").ok_or_else(|| node.place.wrong("MISC_CHECK needs misc_path"))?;
            let user = line("user").map(Node::value).transpose()?.map(str::to_owned);
            Kind::Command(Command {
                command: program(path.values()),
                user: user.or_else(|| common.user.clone()),
                dynamic: line("misc_dynamic").is_some(),
                ..Command::default()
            })
        }
        "UDP_CHECK" => {
            let mut udp = Udp::default();
            if let Some(payload) = line("payload") {
                let text = payload.values().concat();
                let digits = hexadecimal(&text);
                udp.payload = digits
                    .ok_or_else(|| payload.place.wrong(format!("payload: {text:?} is not hexadecimal")))?;
            }
            if let Some(reply) = line("require_reply") {
                udp.require_reply = true;
                let text = reply.values().concat();
                let bytes = hexadecimal(&text);
                udp.expect = bytes.as_deref().filter(|bytes| !bytes.is_empty()).and_then(beginning);
                if udp.expect.is_none() && !text.is_empty() {
                    let what = format!("the reply {text} of UDP_CHECK");
                    draft.miss(&reply.place, what, "any reply will do; `expect` is what one must match");
                }
            }
            if let Some(length) = line("min_reply_length").or(line("max_reply_length")) {
                draft.miss(
                    &length.place,
                    "lengths of replies of UDP_CHECK",
                    "`expect` is what a reply must match",
                );
            }
            Kind::Udp(udp)
        }
        "SMTP_CHECK" => {
            let mut smtp = Smtp::default();
            if let Some(name) = line("helo_name") {
                name.value()?.clone_into(&mut smtp.helo);
            }
            if let Some(host) = line("host") {
                draft.miss(
                    &host.place,
                    "host of SMTP_CHECK",
                    "the server itself is asked; `address` and `port` are others",
                );
            }
            Kind::Smtp(smtp)
        }
        "PING_CHECK" => Kind::Icmp,
        "TCP_CHECK" => Kind::Tcp,
        "FILE_CHECK" => {
            let name = line("track_file").ok_or_else(|| node.place.wrong("FILE_CHECK needs track_file"))?;
            let known = common.tracked.get(name.value()?).cloned();
            let wrong = || name.place.wrong(format!("there is no track_file {}", name.words[1]));
            let mut file = known.ok_or_else(wrong)?;
            if let Some(line) = line("weight") {
                (file.weight, file.reverse) = weight(line)?;
            }
            Kind::File(file)
        }
        _ => {
            let name = line("name").map(Node::value).transpose()?.unwrap_or("peer");
            let path = format!("/run/lb/bfd/{}", name.replace('/', "-"));
            let nearest = format!(
                "BFD is spoken by BIRD or FRR here: have a script write the session's state, up or down, to {path}"
            );
            draft.miss(&node.place, format!("BFD_CHECK {name}"), nearest);
            Kind::File(File { path: path.into(), ..File::default() })
        }
    }))
}

fn http(node: &Node, own: &[&Node], common: &Common, draft: &mut Draft) -> Result<Http, Wrong> {
    let urls = own.iter().filter(|line| line.key() == "url");
    let pages: Result<Vec<Page>, Wrong> = urls.map(|url| page(url, common, draft)).collect();
    let mut pages = pages?;
    if pages.is_empty() {
        pages.push(Page { host: common.host.clone(), ..Page::default() });
    }
    if let Some(first) = own.iter().filter(|line| line.key() == "url").nth(MAX_TABLES) {
        let nearest = format!("the first {MAX_TABLES} are checked");
        draft.miss(&first.place, format!("more than {MAX_TABLES} urls of {}", node.key()), nearest);
        pages.truncate(MAX_TABLES);
    }
    let tls = (node.key() == "SSL_GET").then(Tls::default);
    Ok(Http { tls, pages })
}

fn page(url: &Node, common: &Common, draft: &mut Draft) -> Result<Page, Wrong> {
    let mut page = Page { host: common.host.clone(), ..Page::default() };
    for line in url.block()? {
        match line.key() {
            "path" => line.value()?.clone_into(&mut page.path),
            "virtualhost" => page.host = Some(line.value()?.to_owned()),
            "status_code" => page.status = codes(line)?,
            "regex" => {
                let text = line.value()?;
                let pattern = regex::bytes::Regex::new(text).map_err(|_| ());
                match pattern {
                    Ok(pattern) => page.body = Some(Pattern(pattern)),
                    Err(()) => draft.miss(
                        &line.place,
                        format!("regex {text:?}"),
                        "`body` takes the syntax of Rust's regex",
                    ),
                }
            }
            "digest" => {
                let digits = line.value()?.to_ascii_lowercase();
                let md5 = Digest::read(&digits).filter(|digest| matches!(digest, Digest::Md5(_)));
                let wrong = || line.place.wrong(format!("digest: {digits:?} is not 32 hexadecimal digits"));
                page.digest = Some(md5.ok_or_else(wrong)?);
            }
            other => {
                draft.miss(
                    &line.place,
                    format!("{other} of url"),
                    "the importer does not know it; it is left out",
                );
            }
        }
    }
    Ok(page)
}

/// `200`, `200-299`, or several of them.
fn codes(line: &Node) -> Result<Vec<(u16, u16)>, Wrong> {
    line.value()?;
    let ranges = line.values().iter().map(|word| {
        let (from, to) = word.split_once('-').unwrap_or((word, word));
        let range = from.parse().ok().zip(to.parse().ok());
        let range = range.filter(|(from, to)| from <= to && (100..=599).contains(from) && *to <= 599);
        range.ok_or_else(|| line.place.wrong(format!("status_code: {word:?} is no status code")))
    });
    ranges.collect()
}

/// What begins with these bytes.
fn beginning(bytes: &[u8]) -> Option<Pattern> {
    let text: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    regex::bytes::Regex::new(&format!("(?s-u)^{text}")).ok().map(Pattern)
}

fn misc_timeout(own: &[&Node]) -> Result<Option<Duration>, Wrong> {
    let line = own.iter().find(|line| line.key() == "misc_timeout");
    line.map(|line| seconds(line)).transpose()
}

/// The words of a program. One text is split at blanks, unless it needs a shell.
pub(super) fn program(words: &[String]) -> Vec<String> {
    let text = words.first().map_or("", String::as_str);
    if words.len() > 1 {
        return words.to_vec();
    }
    if text.contains(|c| "\"'|&;<>()$`\\*?[#~=%".contains(c)) {
        return ["/bin/sh", "-c", text].map(str::to_owned).to_vec();
    }
    text.split_whitespace().map(str::to_owned).collect()
}

/// A time of more than nothing, in seconds with fractions.
pub(super) fn seconds(node: &Node) -> Result<Duration, Wrong> {
    let duration = number(node)?;
    if duration == Duration::ZERO {
        return Err(node.place.wrong(format!("{}: 0 is no time", node.key())));
    }
    Ok(duration)
}

fn number(node: &Node) -> Result<Duration, Wrong> {
    let seconds: f64 = node.parsed("number of seconds")?;
    if !(0.0..=LONGEST_MS as f64 / 1_000.0).contains(&seconds) {
        return Err(node.place.wrong(format!("{}: {seconds} s is out of range", node.key())));
    }
    Ok(Duration::from_millis((seconds * 1_000.0).round() as u64))
}

/// A word that may have a truth behind it.
pub(super) fn flag(node: &Node) -> Result<bool, Wrong> {
    match node.values().first().map(String::as_str) {
        None | Some("true" | "on" | "yes") => Ok(true),
        Some("false" | "off" | "no") => Ok(false),
        Some(other) => Err(node.place.wrong(format!("{}: {other:?} is neither true nor false", node.key()))),
    }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).map(|d| d as u8))
        .collect::<Option<_>>()?;
    digits
        .len()
        .is_multiple_of(2)
        .then(|| digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
