//! ipvsadm's command line: what its options mean together, and which belong together.

use super::{
    act::{
        Act, Forward, Listing, NO_DAEMON, ServerOptions, ServiceOptions, Target, Transport, TunnelOptions,
    },
    options::{COMMANDS, Given, given},
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Reads the words behind the program's name.
///
/// # Errors
/// A sentence about the first thing that is wrong.
pub fn parse(words: &[String]) -> Result<Act, String> {
    act(&given(words)?)
}

fn act(given: &[Given]) -> Result<Act, String> {
    let is_version = given.iter().any(|(name, _)| *name == "version");
    let mut commands = given.iter().filter(|(name, _)| COMMANDS.contains(name));
    let command = match (commands.next(), commands.next()) {
        (Some((first, _)), Some((second, _))) => {
            return Err(format!("--{first} and --{second} are two commands; give one"));
        }
        (Some((name, _)), None) => *name,
        (None, _) if is_version => return Ok(Act::Version),
        // Without options it lists.
        (None, _) if given.is_empty() || given.iter().all(|(name, _)| LISTING.contains(name)) => "list",
        (None, _) => return Err("a command is missing, such as -A, -a or -L".to_owned()),
    };
    let allowed: &[&str] = match command {
        "add-service" | "edit-service" => SERVICE,
        "add-server" | "edit-server" => SERVER,
        "delete-service" | "zero" => TARGET,
        "delete-server" => {
            &["tcp-service", "udp-service", "sctp-service", "fwmark-service", "ipv6", "real-server"]
        }
        "list" => LIST,
        "start-daemon" | "stop-daemon" => DAEMON,
        "save" => &["numeric"],
        _ => &[],
    };
    if let Some((other, _)) = given.iter().find(|(name, _)| *name != command && !allowed.contains(name)) {
        return Err(format!("--{other} does not go with --{command}"));
    }
    if let Some((twice, _)) = given
        .iter()
        .enumerate()
        .find(|(at, (name, _))| given[..*at].iter().any(|(before, _)| before == name))
        .map(|(_, given)| given)
    {
        return Err(format!("--{twice} is given twice"));
    }
    let said = Said(given);
    let target = said.target()?;
    let needed = || target.ok_or_else(|| format!("--{command} needs a service: -t, -u or -f"));
    Ok(match command {
        "add-service" => Act::AddService(needed()?, said.service()?),
        "edit-service" => Act::EditService(needed()?, said.service()?),
        "delete-service" => Act::DeleteService(needed()?),
        "add-server" => {
            let (address, port) = said.server(command)?;
            Act::AddServer(needed()?, address, port, said.server_options()?)
        }
        "edit-server" => {
            let (address, port) = said.server(command)?;
            Act::EditServer(needed()?, address, port, said.server_options()?)
        }
        "delete-server" => {
            let (address, port) = said.server(command)?;
            Act::DeleteServer(needed()?, address, port)
        }
        "clear" => Act::Clear,
        "restore" => Act::Restore,
        "save" => Act::Save,
        "zero" => Act::Zero(target),
        "set" => {
            let values = said.values("set").iter().map(|value| number(value, u32::MAX, "--set"));
            let values: Vec<u32> = values.collect::<Result<_, _>>()?;
            Act::Timeouts(values.try_into().map_err(|_| "--set needs three numbers".to_owned())?)
        }
        "start-daemon" | "stop-daemon" => Act::Daemon,
        "help" => Act::Help,
        _ => Act::List(target, said.listing(target.is_some())?),
    })
}

const TARGET: &[&str] = &["tcp-service", "udp-service", "sctp-service", "fwmark-service", "ipv6"];
const SERVICE: &[&str] = &[
    "tcp-service",
    "udp-service",
    "sctp-service",
    "fwmark-service",
    "ipv6",
    "scheduler",
    "persistent",
    "netmask",
    "sched-flags",
    "pe",
    "ops",
];
const SERVER: &[&str] = &[
    "tcp-service",
    "udp-service",
    "sctp-service",
    "fwmark-service",
    "ipv6",
    "real-server",
    "gatewaying",
    "ipip",
    "masquerading",
    "tun-type",
    "tun-port",
    "tun-nocsum",
    "tun-csum",
    "tun-remcsum",
    "weight",
    "u-threshold",
    "l-threshold",
];
/// Types of tunnels: ipvsadm's, and GUE without its header, which it has no word for.
const TUNNELS: [&str; 4] = ["ipip", "gue", "gre", "gue1"];
const LISTING: &[&str] = &["numeric", "exact", "sort", "nosort"];
const LIST: &[&str] = &[
    "tcp-service",
    "udp-service",
    "sctp-service",
    "fwmark-service",
    "ipv6",
    "numeric",
    "exact",
    "sort",
    "nosort",
    "connection",
    "timeout",
    "daemon",
    "stats",
    "rate",
    "thresholds",
    "persistent-conn",
    "tun-info",
];
/// What `-L` shows instead of services and their servers.
const INSTEAD: [&str; 3] = ["connection", "timeout", "daemon"];
/// What `-L` shows of services and their servers.
const SHOWN: [&str; 5] = ["stats", "rate", "thresholds", "persistent-conn", "tun-info"];
const DAEMON: &[&str] =
    &["mcast-interface", "syncid", "sync-maxlen", "mcast-group", "mcast-port", "mcast-ttl", "ipv6"];

/// What was given.
struct Said<'g>(&'g [Given]);

impl Said<'_> {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(given, _)| *given == name)
    }

    fn values(&self, name: &str) -> &[String] {
        self.0.iter().find(|(given, _)| *given == name).map_or(&[], |(_, values)| values)
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.values(name).first().map(String::as_str)
    }

    fn target(&self) -> Result<Option<Target>, String> {
        let mut found = None;
        for (name, values) in self.0 {
            let transport = match *name {
                "tcp-service" => Transport::Tcp,
                "udp-service" => Transport::Udp,
                "sctp-service" => Transport::Sctp,
                "fwmark-service" => {
                    let mark = number(values.first().map_or("", String::as_str), u32::MAX, "-f")?;
                    if mark == 0 {
                        return Err("-f needs a mark above 0".to_owned());
                    }
                    found = once(found, Target::Mark(mark))?;
                    continue;
                }
                _ => continue,
            };
            let (address, port) = endpoint(values.first().map_or("", String::as_str), transport)?;
            found = once(found, Target::Address { transport, address, port: port.unwrap_or(0) })?;
        }
        if self.has("ipv6") && !matches!(found, None | Some(Target::Mark(_))) {
            return Err("--ipv6 is for -f; the address of a service says its family".to_owned());
        }
        Ok(found)
    }

    fn listing(&self, is_of_one: bool) -> Result<Listing, String> {
        let one = |names: &[&str]| -> Result<Option<String>, String> {
            let mut given = names.iter().filter(|name| self.has(name));
            match (given.next(), given.next()) {
                (Some(first), Some(second)) => Err(format!("--{first} and --{second} exclude one another")),
                (first, _) => Ok(first.map(|name| format!("--{name}"))),
            }
        };
        let shown = one(&SHOWN)?;
        if let Some(instead) = one(&INSTEAD)? {
            if let Some(shown) = shown {
                let remedy = match (instead.as_str(), shown.as_str()) {
                    ("--connection", "--persistent-conn") => {
                        ": `lbctl show persistence` has clients and their servers"
                    }
                    _ => "",
                };
                return Err(format!("{instead} and {shown} exclude one another{remedy}"));
            }
            if is_of_one {
                let remedy = match instead.as_str() {
                    "--connection" => "`lbctl show connections vip VIP:PORT` has those of one",
                    "--timeout" => "`lbctl show timeouts` has those of each",
                    _ => NO_DAEMON,
                };
                return Err(format!("{instead} is about all services: {remedy}"));
            }
        }
        Ok(Listing {
            connections: self.has("connection"),
            stats: self.has("stats"),
            rate: self.has("rate"),
            timeouts: self.has("timeout"),
            daemon: self.has("daemon"),
            thresholds: self.has("thresholds"),
            persistent: self.has("persistent-conn"),
            tunnels: self.has("tun-info"),
            exact: self.has("exact"),
            unsorted: self.has("nosort"),
        })
    }

    fn server(&self, command: &str) -> Result<(IpAddr, Option<u16>), String> {
        let server = self.value("real-server").ok_or_else(|| format!("--{command} needs a server: -r"))?;
        endpoint(server, Transport::Tcp)
    }

    fn service(&self) -> Result<ServiceOptions, String> {
        let persistent = match (self.has("persistent"), self.value("persistent")) {
            (false, _) => None,
            // ipvsadm's default.
            (true, None) => Some(300),
            (true, Some(seconds)) => {
                let seconds = number(seconds, 31 * 86_400, "-p")?;
                if seconds == 0 {
                    return Err("-p: 0 seconds are none; leave -p out".to_owned());
                }
                Some(seconds)
            }
        };
        let flags = self.value("sched-flags").unwrap_or_default();
        Ok(ServiceOptions {
            scheduler: self.value("scheduler").map(str::to_owned),
            flags: flags.split(',').filter(|flag| !flag.is_empty()).map(str::to_owned).collect(),
            persistent,
            netmask: self.value("netmask").map(str::to_owned),
            engine: self.value("pe").map(str::to_owned),
            one_packet: self.has("ops"),
        })
    }

    fn server_options(&self) -> Result<ServerOptions, String> {
        let ways = [
            ("masquerading", Forward::Masquerading),
            ("gatewaying", Forward::Gatewaying),
            ("ipip", Forward::Tunnel),
        ];
        let mut ways = ways.into_iter().filter(|(name, _)| self.has(name)).map(|(_, way)| way);
        let forward = ways.next();
        if ways.next().is_some() {
            return Err("-m, -g and -i exclude one another".to_owned());
        }
        let number =
            |name: &str, most: u32| self.value(name).map(|value| number(value, most, name)).transpose();
        Ok(ServerOptions {
            forward,
            weight: number("weight", 65_535)?,
            upper: number("u-threshold", u32::MAX)?.unwrap_or(0),
            lower: number("l-threshold", u32::MAX)?.unwrap_or(0),
            tunnel: self.tunnel(forward)?,
        })
    }

    fn tunnel(&self, forward: Option<Forward>) -> Result<TunnelOptions, String> {
        const ALL: [&str; 5] = ["tun-type", "tun-port", "tun-nocsum", "tun-csum", "tun-remcsum"];
        if forward != Some(Forward::Tunnel) && ALL.iter().any(|name| self.has(name)) {
            return Err("--tun-type and what goes with it are for -i".to_owned());
        }
        let kind = self.value("tun-type").map(str::to_owned);
        if let Some(kind) = kind.as_ref().filter(|kind| !TUNNELS.contains(&kind.as_str())) {
            return Err(format!("--tun-type: {kind:?} is none of {}", TUNNELS.join(", ")));
        }
        let sums = ["tun-nocsum", "tun-csum", "tun-remcsum"].map(|name| self.has(name));
        let [nocsum, csum, remote_checksum] = sums;
        if sums.iter().filter(|is_given| **is_given).count() > 1 {
            return Err("--tun-nocsum, --tun-csum and --tun-remcsum exclude one another".to_owned());
        }
        let is_gue = kind.as_ref().is_some_and(|kind| kind.starts_with("gue"));
        let port = self.value("tun-port").map(|port| number(port, 65_535, "--tun-port")).transpose()?;
        let port = port.and_then(|port| u16::try_from(port).ok());
        if port == Some(0) {
            return Err("--tun-port: 0 is no port".to_owned());
        }
        if !is_gue && (port.is_some() || remote_checksum) {
            let option = if remote_checksum { "--tun-remcsum" } else { "--tun-port" };
            return Err(format!("{option} is for --tun-type gue"));
        }
        if sums.contains(&true) && kind.as_ref().is_none_or(|kind| kind == "ipip") {
            return Err("checksums are for --tun-type gue and gre".to_owned());
        }
        let checksum = (nocsum || csum).then_some(csum);
        Ok(TunnelOptions { kind, port, checksum, remote_checksum })
    }
}

fn once(before: Option<Target>, target: Target) -> Result<Option<Target>, String> {
    if before.is_some() { Err("one service at a time: -t, -u or -f".to_owned()) } else { Ok(Some(target)) }
}

fn number(text: &str, most: u32, option: &str) -> Result<u32, String> {
    let number = text.parse::<u32>().ok().filter(|number| *number <= most);
    number.ok_or_else(|| format!("{option}: {text:?} is no number from 0 to {most}"))
}

/// Address and port as ipvsadm has them: `192.0.2.1:80`, `192.0.2.1:http`, `[2001:db8::1]:80`, or without a port.
fn endpoint(text: &str, transport: Transport) -> Result<(IpAddr, Option<u16>), String> {
    let wrong = || format!("{text:?} is no address with a port, such as 192.0.2.100:80");
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| wrong())?;
        let port = rest.strip_prefix(':').map(|port| port_of(port, transport)).transpose()?;
        return if port.is_none() && !rest.is_empty() { Err(wrong()) } else { Ok((address.into(), port)) };
    }
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Ok((address.into(), None));
    }
    let (address, port) = text.split_once(':').map_or((text, None), |(address, port)| (address, Some(port)));
    let parsed: Ipv4Addr = address.parse().map_err(|_| {
        let is_name = address.contains(|c: char| c.is_ascii_alphabetic());
        if is_name { format!("{address:?} is a name; write its address (ipvsadm -S -n)") } else { wrong() }
    })?;
    Ok((parsed.into(), port.map(|port| port_of(port, transport)).transpose()?))
}

/// A port by number or by one of the names that `ipvsadm -S` without `-n` writes most.
fn port_of(text: &str, transport: Transport) -> Result<u16, String> {
    const NAMES: [(&str, u16); 16] = [
        ("ftp", 21),
        ("ssh", 22),
        ("telnet", 23),
        ("smtp", 25),
        ("domain", 53),
        ("http", 80),
        ("pop3", 110),
        ("ntp", 123),
        ("imap2", 143),
        ("ldap", 389),
        ("https", 443),
        ("submission", 587),
        ("ldaps", 636),
        ("imaps", 993),
        ("pop3s", 995),
        ("mysql", 3306),
    ];
    let by_name = NAMES.iter().find(|(name, _)| *name == text).map(|(_, port)| *port);
    let remedy = match transport {
        Transport::Tcp | Transport::Sctp => "80",
        Transport::Udp => "53",
    };
    by_name
        .or_else(|| text.parse().ok())
        .ok_or_else(|| format!("{text:?} is no port; write its number, such as {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(line: &str) -> Result<Act, String> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn tcp(address: [u8; 4], port: u16) -> Target {
        Target::Address { transport: Transport::Tcp, address: address.into(), port }
    }

    #[test]
    fn short_long_and_joined_options_mean_the_same() {
        let web = tcp([192, 0, 2, 100], 80);
        let wanted = Act::AddService(
            web,
            ServiceOptions { scheduler: Some("wlc".to_owned()), persistent: Some(300), ..Default::default() },
        );
        for line in [
            "-A -t 192.0.2.100:80 -s wlc -p",
            "-At192.0.2.100:80 -swlc -p300",
            "--add-service --tcp-service=192.0.2.100:http --scheduler wlc --persistent 300",
        ] {
            assert_eq!(read(line).as_ref(), Ok(&wanted), "{line}");
        }
        let options = ServerOptions {
            forward: Some(Forward::Masquerading),
            weight: Some(3),
            upper: 9,
            lower: 7,
            tunnel: TunnelOptions::default(),
        };
        assert_eq!(
            read("-a -t 192.0.2.100:80 -r 198.51.100.11:8080 -m -w 3 -x 9 -y 7"),
            Ok(Act::AddServer(web, [198, 51, 100, 11].into(), Some(8080), options))
        );
        assert_eq!(
            read("-d -f 7 -r 198.51.100.11"),
            Ok(Act::DeleteServer(Target::Mark(7), [198, 51, 100, 11].into(), None))
        );
        let six =
            Target::Address { transport: Transport::Udp, address: "2001:db8::1".parse().unwrap(), port: 53 };
        assert_eq!(read("-D -u [2001:db8::1]:53"), Ok(Act::DeleteService(six)));
    }

    #[test]
    fn listings_are_known() {
        let list = |line: &str| match read(line) {
            Ok(Act::List(_, listing)) => listing,
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(list(""), Listing::default());
        assert_eq!(list("-n"), Listing::default());
        assert!(list("-Lnc").connections && list("-l -n --rate").rate && list("-L --stats --exact").exact);
        assert!(list("-L --timeout").timeouts && list("-L --daemon").daemon);
        assert_eq!(read("-Sn"), Ok(Act::Save));
        assert_eq!(read("-Z -t 192.0.2.100:80"), Ok(Act::Zero(Some(tcp([192, 0, 2, 100], 80)))));
        assert_eq!(read("--set 900 120 300"), Ok(Act::Timeouts([900, 120, 300])));
        assert_eq!(read("--start-daemon master --mcast-interface eth0 --syncid 3"), Ok(Act::Daemon));
    }

    #[test]
    fn mistakes_are_explained_in_a_line() {
        for (line, expected) in [
            ("-A", "--add-service needs a service: -t, -u or -f"),
            ("-A -t", "-t needs a value"),
            ("-A -t 192.0.2.100:80 -t 192.0.2.101:80", "--tcp-service is given twice"),
            ("-A -t 192.0.2.100:80 -u 192.0.2.101:80", "one service at a time: -t, -u or -f"),
            ("-A -D -t 192.0.2.100:80", "--add-service and --delete-service are two commands; give one"),
            ("-A -t www:80", "\"www\" is a name; write its address (ipvsadm -S -n)"),
            ("-A -t 192.0.2.100:99999", "\"99999\" is no port; write its number, such as 80"),
            ("-a -t 192.0.2.100:80", "--add-server needs a server: -r"),
            ("-a -t 192.0.2.100:80 -r 198.51.100.11 -m -g", "-m, -g and -i exclude one another"),
            (
                "-a -t 192.0.2.100:80 -r 198.51.100.11 -w 65536",
                "weight: \"65536\" is no number from 0 to 65535",
            ),
            ("-a -t 192.0.2.100:80 -r 198.51.100.11 -p", "--persistent does not go with --add-server"),
            (
                "-A -t 192.0.2.100:80 --schedulr wlc",
                "--schedulr is no option of ipvsadm: did you mean --scheduler?",
            ),
            ("-A -q", "-q is no option of ipvsadm"),
            ("-A web", "unexpected word \"web\""),
            ("-t 192.0.2.100:80", "a command is missing, such as -A, -a or -L"),
            ("--set 1 2", "--set needs a value"),
        ] {
            assert_eq!(read(line).unwrap_err(), expected, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_words_are_read_or_refused(
            words in prop::collection::vec(
                prop_oneof![
                    prop::sample::select(vec!["-A", "-a", "-t", "192.0.2.1:80", "-r", "-w", "-p", "--set", "-Ln", "[::1]:5", "-", "--", "-b"]),
                    Just("é"),
                ].prop_map(str::to_owned).boxed().prop_union("\\PC{0,6}".boxed()),
                0..8,
            ),
        ) {
            if let Err(sentence) = parse(&words) {
                prop_assert!(!sentence.is_empty());
            }
        }
    }
}
