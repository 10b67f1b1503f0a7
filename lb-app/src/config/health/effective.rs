//! Checks as a configuration writes them, with every default.

use super::{Check, Kind, Pattern, Pool};
use std::{fmt::Display, str};

/// `check = ...` for one service or server.
pub(crate) fn inline_check(check: Option<&Check>) -> String {
    let Some(check) = check else { return "{ type = \"none\" }".to_owned() };
    let mut line = Line::default();
    line.text("type", check.kind.name());
    match &check.kind {
        Kind::Tcp | Kind::Icmp => (),
        Kind::Http(http) => {
            if let Some(tls) = &http.tls {
                line.optional("sni", tls.sni.as_ref());
                line.bare("verify", tls.verify);
                line.optional("ca", tls.ca.as_ref().map(|path| path.display()));
            }
            line.text("method", &http.method);
            line.text("path", &http.path);
            line.optional("host", http.host.as_ref());
            let ranges = http.status.iter().map(|(from, to)| match from == to {
                true => from.to_string(),
                false => format!("\"{from}-{to}\""),
            });
            line.bare("status", format!("[{}]", ranges.collect::<Vec<_>>().join(", ")));
            line.optional("body", http.body.as_ref().map(pattern));
        }
        Kind::Udp(udp) => {
            match str::from_utf8(&udp.payload) {
                Ok(text) => line.text("payload", text),
                Err(_) => line.text("payload_hex", hexadecimal(&udp.payload)),
            }
            line.bare("require_reply", udp.require_reply);
            line.optional("expect", udp.expect.as_ref().map(pattern));
        }
        Kind::Dns(dns) => {
            line.text("name", &dns.name);
            line.text("record", dns.record.name());
        }
        Kind::Command(command) => {
            line.bare("command", words(&command.command));
            line.optional("user", command.user.as_ref());
            line.bare("memory_mib", command.memory_mib);
        }
    }
    line.text("interval", check.interval);
    line.text("timeout", check.timeout);
    line.text("retry_interval", check.retry_interval);
    line.text("warmup", check.warmup);
    line.bare("rise", check.rise);
    line.bare("fall", check.fall);
    line.bare("assume_down", check.assume_down);
    line.bare("inhibit_on_failure", check.inhibit_on_failure);
    if !matches!(check.kind, Kind::Command(_)) {
        line.text("to", if check.to_vip { "vip" } else { "server" });
    }
    line.optional("address", check.address);
    if let Some(port) = check.port {
        line.bare("port", port);
    }
    if !matches!(check.kind, Kind::Command(_)) {
        line.text("via", if check.leave.ports { "ports" } else { "kernel" });
    }
    line.optional("netns", check.leave.netns.as_ref());
    line.optional("device", check.leave.device.as_ref());
    line.optional("source", check.leave.source);
    if let Some(mark) = check.leave.mark {
        line.bare("mark", mark);
    }
    line.finish()
}

/// `health = ...` of one service.
pub(crate) fn inline_pool(pool: &Pool) -> String {
    let mut line = Line::default();
    line.bare("quorum", pool.quorum);
    line.bare("hysteresis", pool.hysteresis);
    for (key, program) in [("quorum_up", &pool.quorum_up), ("quorum_down", &pool.quorum_down)] {
        if let Some(program) = program {
            line.bare(key, words(program));
        }
    }
    line.text("when_all_fail", pool.when_all_fail.name());
    line.optional("sorry_server", pool.sorry_server.map(|sorry| sorry.address));
    line.bare("sorry_server_inhibit", pool.sorry_server_inhibit);
    line.bare("flap_limit", pool.flap_limit);
    line.text("flap_window", pool.flap_window);
    line.text("flap_hold", pool.flap_hold);
    if let Some(passive) = &pool.passive {
        let mut inner = Line::default();
        inner.bare("failures", passive.failures);
        inner.text("within", passive.within);
        inner.text("hold", passive.hold);
        line.bare("passive", inner.finish());
    }
    line.finish()
}

/// A list of words, as TOML writes it.
pub(crate) fn words(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(quoted).collect();
    format!("[{}]", words.join(", "))
}

/// An inline table in the making.
#[derive(Default)]
struct Line(Vec<String>);

impl Line {
    fn bare(&mut self, key: &str, value: impl Display) {
        self.0.push(format!("{key} = {value}"));
    }

    fn text(&mut self, key: &str, value: impl Display) {
        self.bare(key, quoted(value));
    }

    fn optional(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    fn finish(self) -> String {
        format!("{{ {} }}", self.0.join(", "))
    }
}

fn pattern(pattern: &Pattern) -> &str {
    pattern.0.as_str()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn quoted(text: impl Display) -> String {
    // TOML's own writer may choose a form of several lines, which an inline table does not want.
    let mut quoted = String::from("\"");
    for c in text.to_string().chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
