//! Words of keepalived, HAProxy, ipvsadm and DPVS, and what they are here: for people who come from there and type what
//! they are used to.

/// What a word of theirs is.
enum Meaning {
    /// The same by another name, or in another place.
    Is(&'static str),
    /// Something else, as the rest of a sentence that begins with the word.
    Note(&'static str),
}

use Meaning::{Is, Note};

/// What is said of whatever decides which director serves.
const VRRP: Meaning =
    Note("stays in keepalived.conf, which sets the role of `[director]`; see `lb-app --example vrrp`");
const PERSISTENCE: Meaning = Note("is `persistence = { timeout = \"5m\" }` of a service here");
const ENGINE: Meaning = Note("is `persistence.by = \"sip-call-id\"` here, if it is sip");
const OPS: Meaning = Is("one_packet");
const LAYER_7: Meaning =
    Note("is of layer 7: lb-app passes packets on and reads no requests; keep HAProxy behind it");
const FWMARK: Meaning = Note("is `vips` and `ports` of one service here: all that is marked");
const PROXY: Meaning = Note("is `client_address = \"proxy-v1\"` here");
const PROXY_V2: Meaning = Note("is `client_address = \"proxy-v2\"` here");
const EMAIL: Meaning = Note("is not supported: let the program of `[health] hook` send mail");
const ALPHA: Meaning = Is("check.assume_down");

/// Keys of configurations, in lower case and with `_` for `-`.
const KEYS: &[(&str, Meaning)] = &[
    // keepalived
    ("virtual_server", Is("[[services]]")),
    ("virtual_server_group", Note("is `vips` and `ports` of one service here")),
    ("real_server", Is("[[services.servers]]")),
    ("lb_algo", Is("scheduler")),
    ("lvs_sched", Is("scheduler")),
    ("lb_kind", Is("method")),
    ("lvs_method", Is("method")),
    ("delay_loop", Is("check.interval")),
    ("persistence_timeout", Is("persistence.timeout")),
    ("persistence_granularity", Is("persistence.prefix")),
    ("persistence_engine", ENGINE),
    ("ops", OPS),
    ("alpha", ALPHA),
    ("omega", Note("is not needed: `health.quorum_down` is run when the quorum is lost")),
    ("ha_suspend", Note("is not supported yet: checks run whoever has the VIP")),
    ("quorum", Is("health.quorum")),
    ("hysteresis", Is("health.hysteresis")),
    ("quorum_up", Is("health.quorum_up")),
    ("quorum_down", Is("health.quorum_down")),
    ("sorry_server", Is("health.sorry_server")),
    ("sorry_server_inhibit", Is("health.sorry_server_inhibit")),
    ("sorry_server_lvs_method", Note("is not supported: the sorry server has the service's method")),
    ("inhibit_on_failure", Is("check.inhibit_on_failure")),
    ("notify_up", Is("[health] hook")),
    ("notify_down", Is("[health] hook")),
    ("smtp_alert", EMAIL),
    ("notification_email", EMAIL),
    ("smtp_server", EMAIL),
    ("virtualhost", Is("check.host")),
    ("connect_ip", Is("check.address")),
    ("connect_port", Is("check.port")),
    ("connect_timeout", Is("check.timeout")),
    ("bindto", Is("check.source")),
    ("bind_if", Is("check.device")),
    ("bind_port", Note("is not supported: the kernel chooses the port that a check is sent from")),
    ("delay_before_retry", Is("check.retry_interval")),
    ("retry", Note("is `check.fall` here, which counts the first failure as well: one more")),
    ("nb_get_retry", Note("is `check.fall` here, which counts the first failure as well: one more")),
    ("warmup", Is("check.warmup")),
    ("fwmark", FWMARK),
    ("status_code", Is("check.status")),
    (
        "url",
        Note("is `check.path`, `check.status`, `check.body` and `check.digest` here, or one of `check.urls`"),
    ),
    ("enable_sni", Note("is not needed: `check.sni` is `check.host`, if that is a name")),
    ("misc_path", Is("check.command")),
    ("misc_timeout", Is("check.timeout")),
    ("misc_dynamic", Is("check.dynamic")),
    ("track_file", Is("check.file")),
    ("file_check", Note("is `check = { type = \"file\" }` here, or `agent` beside another check")),
    (
        "bfd_check",
        Note("is `check = { type = \"file\" }` here: BIRD or FRR speak BFD, and a script writes the state"),
    ),
    ("tcp_check", Note("is `check = { type = \"tcp\" }` here")),
    ("http_get", Note("is `check = { type = \"http\" }` here")),
    ("ssl_get", Note("is `check = { type = \"https\" }` here")),
    ("smtp_check", Note("is `check = { type = \"smtp\" }` here")),
    ("helo_name", Is("check.helo")),
    ("dns_check", Note("is `check = { type = \"dns\" }` here")),
    ("udp_check", Note("is `check = { type = \"udp\" }` here")),
    ("ping_check", Note("is `check = { type = \"icmp\" }` here")),
    ("misc_check", Note("is `check = { type = \"command\" }` here")),
    ("uthreshold", Is("servers.upper_threshold")),
    ("lthreshold", Is("servers.lower_threshold")),
    ("vrrp_instance", VRRP),
    ("virtual_router_id", VRRP),
    ("virtual_ipaddress", Note("is the `vip` of a service here, or `[[vips]]` for what has none")),
    ("static_routes", Is("[[routes]]")),
    ("virtual_routes", Is("[[routes]]")),
    ("static_ipaddress", Note("is `addresses` of `[[ports]]` here")),
    ("global_defs", Note("is not needed")),
    // ipvsadm, and the kernel's settings
    ("tcp_service", Note("is `protocol = \"tcp\"`, `vip` and `port` of `[[services]]` here")),
    ("udp_service", Note("is `protocol = \"udp\"`, `vip` and `port` of `[[services]]` here")),
    ("fwmark_service", FWMARK),
    ("persistent", PERSISTENCE),
    ("netmask", Is("persistence.prefix")),
    ("pe", ENGINE),
    ("sched_flags", Is("flags")),
    ("masquerading", Note("is `method = \"nat\"` here")),
    ("gatewaying", Note("is `method = \"dr\"` here")),
    ("ipip", Note("is `method = \"tun\"` here")),
    ("u_threshold", Is("servers.upper_threshold")),
    ("l_threshold", Is("servers.lower_threshold")),
    ("tun_type", Is("tunnel")),
    ("tun_port", Is("tunnel_port")),
    ("tcpfin", Is("timeouts.fin")),
    ("expire_nodest_conn", Note("is not needed: connections of removed servers end with their next packet")),
    ("expire_quiescent_template", Is("persistence.expire_quiescent")),
    ("conn_reuse_mode", Note("is not needed: a SYN reopens only connections that are over")),
    // HAProxy
    ("frontend", Is("[[services]]")),
    ("backend", Is("[[services]]")),
    ("listen", Is("[[services]]")),
    ("bind", Note("is `vip` and `port` of `[[services]]` here")),
    ("balance", Is("scheduler")),
    ("server", Is("[[services.servers]]")),
    ("mode", Note("is not needed: lb-app passes packets on, as `mode tcp` passes bytes")),
    ("option", Note("is `check.type` here where it is about checks")),
    ("inter", Is("check.interval")),
    ("fastinter", Is("check.retry_interval")),
    ("addr", Is("check.address")),
    ("agent_check", Note("is `agent = { type = \"tcp\", port = 8100 }` of a service or server here")),
    ("agent_port", Note("is `port` of `agent` here")),
    ("agent_inter", Note("is `interval` of `agent` here")),
    ("agent_addr", Note("is `address` of `agent` here")),
    ("agent_send", Note("is `send` of `agent` here")),
    ("slowstart", Is("slow_start")),
    ("backup", Is("health.sorry_server")),
    ("disabled", Note("is `state = \"disabled\"` here")),
    ("maxconn", Is("servers.upper_threshold")),
    ("cookie", LAYER_7),
    ("acl", LAYER_7),
    ("use_backend", LAYER_7),
    ("http_request", LAYER_7),
    ("stick_table", PERSISTENCE),
    ("stick", PERSISTENCE),
    ("send_proxy", PROXY),
    ("send_proxy_v2", PROXY_V2),
    ("proxy_protocol", PROXY_V2),
    ("timeout_client", Is("timeouts.established")),
    ("timeout_server", Is("timeouts.established")),
    ("timeout_connect", Is("timeouts.syn")),
    (
        "nbthread",
        Note("is EAL's `-l` here: `lb-app -l 0-7 -- --conf lb.toml` has a worker on each but the first"),
    ),
    ("stats", Is("[metrics] listen")),
    // DPVS
    ("fwdmode", Is("method")),
    ("syn_proxy", Note("is not supported yet")),
    ("laddr_group_name", Is("local_addresses")),
    ("local_address_group", Note("is `local_addresses` of each `[[services]]` here")),
    ("laddr", Is("local_addresses")),
    ("toa", Note("is `client_address = \"toa\"` here")),
    ("uoa", Note("is not supported: `client_address = \"proxy-v2\"` tells servers of datagrams' clients")),
];

/// What stands for a value, and the value that it is here.
const VALUES: &[(&str, &str)] = &[
    ("masq", "nat"),
    ("masquerading", "nat"),
    ("masquerade", "nat"),
    ("gate", "dr"),
    ("gatewaying", "dr"),
    ("route", "dr"),
    ("ipip", "tun"),
    ("fnat", "fullnat"),
    ("dsr", "dr"),
    ("l3-dsr", "l3dsr"),
    ("tunneling", "tun"),
    ("roundrobin", "wrr"),
    ("static-rr", "wrr"),
    ("leastconn", "wlc"),
    ("source", "sh"),
    ("first", "ovf"),
    ("random", "twos"),
    ("fnat", "fullnat"),
    ("conhash", "mh"),
    ("maglev", "mh"),
    ("maint", "disabled"),
    ("maintenance", "disabled"),
    ("down", "disabled"),
    ("ready", "enabled"),
    ("up", "enabled"),
    ("tcp_check", "tcp"),
    ("http_get", "http"),
    ("httpchk", "http"),
    ("ssl_get", "https"),
    ("ping_check", "icmp"),
    ("ping", "icmp"),
    ("udp_check", "udp"),
    ("dns_check", "dns"),
    ("misc_check", "command"),
    ("smtp_check", "smtp"),
    ("smtpchk", "smtp"),
    ("external-check", "command"),
];

/// Commands of HAProxy's socket and of ipvsadm without dashes: the word, what it follows, and what it is here.
const COMMANDS: &[(&str, &str, &str)] = &[
    ("", "enable", "set server SERVICE ADDRESS state enabled"),
    ("", "disable", "set server SERVICE ADDRESS state disabled"),
    ("", "undrain", "set server SERVICE ADDRESS state enabled"),
    ("", "list", "show services"),
    ("", "ipvsadm", "show services nameless"),
    ("show", "stat", "show services stats"),
    ("show", "stats", "show services stats"),
    ("show", "servers", "show services"),
    ("show", "backend", "show services"),
    ("show", "sess", "show connections"),
    ("show", "sessions", "show connections"),
    ("show", "info", "show director"),
    ("show", "pools", "dump mempool"),
    ("show", "threads", "show workers"),
    ("show", "checks", "show health"),
    ("set", "weight", "set server SERVICE ADDRESS weight WEIGHT"),
    ("clear", "counters", "clear service stats all"),
];

/// What a key of somebody else's is here, as a remedy.
#[must_use]
pub fn key(word: &str) -> Option<String> {
    nearest(word).map(|nearest| format!("{word} {nearest}"))
}

/// The same without the word, which begins the sentence.
#[must_use]
pub fn nearest(word: &str) -> Option<String> {
    let normal = word.to_lowercase().replace('-', "_");
    let (_, meaning) = KEYS.iter().find(|(known, _)| *known == normal)?;
    Some(match meaning {
        Is(here) => format!("is `{here}` here"),
        Note(note) => (*note).to_owned(),
    })
}

/// Which of these values somebody else's word is.
#[must_use]
pub fn value<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let (_, here) = VALUES.iter().find(|(foreign, _)| *foreign == word.to_lowercase())?;
    known.iter().copied().find(|known| known == here)
}

/// What a word of somebody else's behind those words is here, as a command.
#[must_use]
pub fn command(path: &str, word: &str) -> Option<&'static str> {
    let found = COMMANDS.iter().find(|(behind, foreign, _)| *behind == path && *foreign == word);
    found.map(|(_, _, here)| *here)
}

/// Every place that keys are said to be at here.
pub fn places() -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter_map(|(_, meaning)| match meaning {
        Is(here) => Some(*here),
        Note(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::parse;

    #[test]
    fn each_word_is_there_once_and_is_found() {
        let mut words: Vec<&str> = KEYS.iter().map(|(word, _)| *word).collect();
        for word in &words {
            assert!(key(word).is_some_and(|remedy| remedy.starts_with(word)), "{word}");
        }
        words.sort_unstable();
        assert!(words.windows(2).all(|pair| pair[0] != pair[1]), "{words:?}");
        assert_eq!(key("Sched-Flags").as_deref(), Some("Sched-Flags is `flags` here"));
    }

    #[test]
    fn values_are_translated_only_where_they_can_stand() {
        assert_eq!(value("LeastConn", &["rr", "wlc"]), Some("wlc"));
        assert_eq!(value("leastconn", &["nat", "dr"]), None);
    }

    #[test]
    fn commands_exist() {
        for (_, _, here) in COMMANDS {
            let line = here.replace("SERVICE", "web").replace("ADDRESS", "192.0.2.1").replace("WEIGHT", "1");
            assert!(parse(&line).is_ok(), "{line}");
        }
        for (path, word, here) in COMMANDS {
            let line = format!("{path} {word}");
            let error = parse(line.trim()).expect_err(&line).to_string();
            assert!(error.contains(&format!("`{here}`")), "{line}: {error}");
        }
    }
}
