//! A line of text becomes a command.

use super::{
    tree::{Command, ShellLine},
    words,
};
use clap::{CommandFactory, Parser, error::ErrorKind};

/// Reads a line. `None` when there is nothing on it but a comment.
///
/// # Errors
/// clap's error.
pub fn parse(line: &str) -> Result<Option<Command>, clap::Error> {
    let words = words::split(line).map_err(wrong)?;
    if words.is_empty() {
        return Ok(None);
    }
    parse_words(words).map(Some)
}

/// Reads a command's words.
///
/// # Errors
/// clap's error.
pub fn parse_words(words: Vec<String>) -> Result<Command, clap::Error> {
    let words = words::resolve(&ShellLine::command(), words).map_err(wrong)?;
    ShellLine::try_parse_from(words).map(|line| line.command)
}

/// What is wrong, as an error of clap's.
#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
pub(crate) fn wrong(what: String) -> clap::Error {
    clap::Error::raw(ErrorKind::InvalidValue, format!("{what}\n"))
}

/// What stands before a question mark at the end of a line, if it asks what can follow.
#[must_use]
pub fn asked(line: &str) -> Option<&str> {
    let begun = line.trim_end().strip_suffix('?')?;
    // In quotation marks and in comments it is a character like any other.
    let marked = format!("{begun} x");
    let is_outside =
        words::split(begun).is_ok_and(|words| words::split(&marked).is_ok_and(|all| all.len() > words.len()));
    is_outside.then_some(begun)
}

#[cfg(test)]
mod tests {
    use super::{super::Step, *};
    use crate::protocol::{Protocol, Request, connections, director, persistence, ports, services, timeouts};
    use clap::CommandFactory;
    use std::collections::BTreeMap;

    fn request(line: &str) -> Request {
        match parse(line).unwrap_or_else(|error| panic!("{line}: {error}")).unwrap().step() {
            Step::Ask(request, _) => request,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn complaint(line: &str) -> String {
        crate::mistake::sentence(&parse(line).unwrap_err())
    }

    #[test]
    fn the_tree_is_sound() {
        ShellLine::command().debug_assert();
    }

    #[test]
    fn comments_and_blank_lines_are_nothing() {
        assert_eq!(parse("  # start").unwrap(), None);
        assert_eq!(parse("").unwrap(), None);
        assert_eq!(parse("start # now").unwrap(), Some(Command::Start));
    }

    #[test]
    fn testpmds_commands_are_known() {
        assert_eq!(request("show port stats all"), Request::Ports(ports::Request::Stats { port: None }));
        assert_eq!(
            request("show port info 1"),
            Request::Ports(ports::Request::Info { port: Some("1".into()) })
        );
        assert_eq!(request("show port 0 rss reta"), Request::Ports(ports::Request::Rss { port: "0".into() }));
        assert_eq!(request("show port 0 rss-hash"), Request::Ports(ports::Request::Rss { port: "0".into() }));
        assert_eq!(
            request("clear service stats web"),
            Request::Services(services::Request::Clear { service: Some("web".into()) })
        );
        assert_eq!(
            request("clear service stats all"),
            Request::Services(services::Request::Clear { service: None })
        );
        assert_eq!(
            request("clear port stats 1"),
            Request::Ports(ports::Request::Clear { port: Some("1".into()) })
        );
        assert_eq!(request("port stop 1"), Request::Ports(ports::Request::Stop { port: Some("1".into()) }));
        assert_eq!(request("set verbose 3"), Request::Director(director::Request::Verbose { level: 3 }));
        for line in [
            "start",
            "stop",
            "show config fwd",
            "show config rxtx",
            "show config cores",
            "show fwd stats all",
        ] {
            request(line);
        }
        for line in ["clear fwd stats all", "dump mempool", "show port xstats all", "show port summary all"] {
            request(line);
        }
        assert_eq!(parse("quit").unwrap(), Some(Command::Quit));
        assert_eq!(
            parse("load a.cmd").unwrap(),
            Some(Command::Load { file: "a.cmd".into(), keep_going: false })
        );
    }

    #[test]
    fn qualifiers_go_without_dashes() {
        let server = |weight: Option<u32>| services::Request::AddServer {
            service: "web".into(),
            address: "198.51.100.11".parse().unwrap(),
            port: Some(8080),
            options: BTreeMap::from_iter(weight.map(|weight| ("weight".to_owned(), weight.into()))),
        };
        assert_eq!(request("add server web 198.51.100.11:8080 weight 5"), Request::Services(server(Some(5))));
        assert_eq!(
            request("add server web 198.51.100.11:8080 --weight 5"),
            Request::Services(server(Some(5)))
        );
        assert_eq!(request("add server web 198.51.100.11:8080"), Request::Services(server(None)));
        let Request::Services(services::Request::Add(new)) =
            request("add service weight udp [2001:db8::1]:53 tun scheduler mh hash-port")
        else {
            panic!()
        };
        assert_eq!(
            (new.name.as_str(), new.protocol, new.port, &new.options["hash_port"]),
            ("weight", Protocol::Udp, 53, &true.into())
        );
    }

    #[test]
    fn connections_are_chosen_by_any_field() {
        let line = "show connections protocol tcp client 192.0.2.0/24 client-port 7 vip 192.0.2.100 vip-port 80 \
                    server 198.51.100.11 server-port 8080 service web method nat state established worker 1 age 5s \
                    idle 2m remaining 1h packets 3 bytes 4 limit 9";
        let Request::Connections(connections::Request::List { filter, cursor: None, limit }) = request(line)
        else {
            panic!()
        };
        assert_eq!(limit, Some(9));
        assert_eq!(filter.client, Some("192.0.2.0/24".parse().unwrap()));
        assert_eq!(filter.vip, Some("192.0.2.100/32".parse().unwrap()));
        assert_eq!(
            (filter.age_ms, filter.idle_ms, filter.remaining_ms),
            (Some(5_000), Some(120_000), Some(3_600_000))
        );
        assert_eq!((filter.worker, filter.packets, filter.bytes), (Some(1), Some(3), Some(4)));
        assert!(
            complaint("flush connections").starts_with("missing <all|"),
            "everything is said, not implied"
        );
        request("flush connections all");
        request("flush connections service web");
        assert!(complaint("flush persistence").starts_with("missing <all|"));
        let forget = |line: &str| match request(line) {
            Request::Persistence(persistence::Request::Forget(filter)) => filter,
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(forget("flush persistence all"), persistence::Filter::default());
        let of_web = persistence::Filter {
            service: Some("web".to_owned()),
            client: Some("203.0.113.0/24".parse().unwrap()),
        };
        assert_eq!(forget("flush persistence client 203.0.113.0/24 service web"), of_web);
        assert_eq!(forget("delete persistence 203.0.113.0/24 service web"), of_web);
        request("delete connection tcp 192.0.2.10:40000 192.0.2.100:80");
    }

    #[test]
    fn nothing_is_a_value_too() {
        for (line, key, value) in [
            ("set server web 198.51.100.11 quic-server-ids none", "quic_server_ids", "none"),
            ("set server web 198.51.100.11 description \"\"", "description", ""),
            ("set server web 198.51.100.11 description '' weight 2", "description", ""),
        ] {
            let Request::Services(services::Request::ChangeServer(change)) = request(line) else {
                panic!("{line}")
            };
            assert_eq!(change.options.get(key), Some(&value.into()), "{line}");
        }
        let Request::Services(services::Request::Change(change)) = request("set service web from all") else {
            panic!("another request")
        };
        assert_eq!(change.options.get("from"), Some(&"all".into()));
    }

    #[test]
    fn timeouts_have_units() {
        let set =
            |timeout_ms| timeouts::Request::Set { service: None, state: "established".into(), timeout_ms };
        assert_eq!(request("set timeout established 15m"), Request::Timeouts(set(Some(900_000))));
        assert_eq!(request("set timeout established 90"), Request::Timeouts(set(Some(90_000))));
        assert_eq!(request("set timeout established default"), Request::Timeouts(set(None)));
        assert!(complaint("set timeout established soon").contains("a number of seconds, or with a unit"));
    }

    #[test]
    fn mistakes_are_explained() {
        let said = [
            ("shwo", "unknown command \"shwo\": did you mean \"show\"?"),
            ("flush", "`flush` what? It takes connections, persistence"),
            ("add service \"web", "missing closing quotation mark \""),
            (
                "add server web 198.51.100.11:0",
                "invalid value '198.51.100.11:0' for '<ADDRESS[:PORT]>': expected an address or address and port, such as \
                 198.51.100.11:8080",
            ),
            ("add route default", "missing via <VIA>; see `help add route`"),
            (
                "set server web 198.51.100.11 state darin",
                "invalid value 'darin' for '--state <STATE>' [possible values: enabled, drain, disabled]; did you mean \
                 \"drain\"?",
            ),
            (
                "flush connections",
                "missing <all|protocol <PROTOCOL>|client <ADDRESS[/PREFIX]>|...>; see `help flush connections`",
            ),
            ("show services stats rate", "the argument '--stats' cannot be used with '--rate'"),
        ];
        for (line, expected) in said {
            let said = complaint(line);
            assert!(said.starts_with(expected) && !said.contains('\n'), "{line}: {said}");
        }
        assert!(complaint("set server web 198.51.100.11").contains("weight"));
        assert_eq!(complaint("show --help").lines().next(), Some("Show something"), "this was asked for");
    }

    #[test]
    fn a_question_mark_asks_what_can_follow() {
        assert_eq!(asked("show ?"), Some("show "));
        assert_eq!(asked("show serv? "), Some("show serv"));
        assert_eq!(asked("?"), Some(""));
        for line in ["load \"what?\"", "show # why?", "show", "load \"what?", ""] {
            assert_eq!(asked(line), None, "{line}");
        }
    }
}
