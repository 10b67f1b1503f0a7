//! What is written from the tables of options: the reference, and what the shell knows of them. With `UPDATE_EXPECTED=1` in
//! the environment both are written anew, to be reviewed.

use crate::config::{
    Announce, Control, File as ConfigFile, IpvsSync, Metrics, Sync,
    health::{
        Agent, Check, Command, Dns, File, Hooks, Http, Kind as Asks, Page, Passive, Pool, Smtp, Tls, Udp,
    },
    settings::{Tunnel, Workers},
};
use lb_core::{
    conn::timeouts::Timeouts,
    service::{
        option::{Field, Kind, Opt},
        plan::{
            DirectorPlan, Method, PersistencePlan, QuicConfig, QuicPlan, ServerPlan, ServicePlan,
            SnatModules, SnatPlan, VipPlan, timeouts::TIMEOUTS,
        },
    },
    time::Duration,
};
use lb_ctl::protocol::options::{Described, Settable, Shape};
use std::{fmt::Write, fs, net::Ipv4Addr, path::Path};

/// Compares a file of this workspace with what it should hold.
fn compare(path: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&path, expected).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "{} differs: write it anew with UPDATE_EXPECTED=1", path.display());
}

/// The rows of a table of options, in the order of its keys.
fn rows<P>(options: &'static [Opt<P>], default: &P) -> String {
    let mut text = "| key | type | default | meaning |\n|---|---|---|---|\n".to_owned();
    for Opt { field, get, .. } in options.iter().filter(|option| option.field.is_in_file()) {
        let default = match (field.is_required, field.default) {
            (true, _) => match field.instead {
                Some(other) => format!("required, or `{other}`"),
                None => "required".to_owned(),
            },
            (false, Some(text)) => text.to_owned(),
            (false, None) => get(default).map_or("none".to_owned(), |value| format!("`{value}`")),
        };
        writeln!(text, "| `{}` | {} | {default} | {} |", field.key, values(&field.kind), field.help).unwrap();
    }
    text
}

/// What values a kind has, in the reference's words.
fn values(kind: &Kind) -> String {
    match *kind {
        Kind::Flag => "`true`, `false`".to_owned(),
        Kind::Number { least, most } => format!("{least} to {most}"),
        Kind::Word(words) => words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", "),
        Kind::List(Kind::Name) => "list of names".to_owned(),
        Kind::Name => "up to 64 characters, no spaces".to_owned(),
        Kind::Text | Kind::Line | Kind::Payload => "text".to_owned(),
        Kind::Token => "word".to_owned(),
        Kind::Device => "up to 15 characters".to_owned(),
        Kind::UrlPath => "text that begins with `/`".to_owned(),
        Kind::SocketPath => "path, `\"none\"`".to_owned(),
        Kind::Directory | Kind::FilePath => "path".to_owned(),
        Kind::Domain => "domain name".to_owned(),
        Kind::Pattern => "regular expression".to_owned(),
        Kind::Digest => "32 or 64 hexadecimal digits".to_owned(),
        Kind::Hexadecimal => "hexadecimal digits".to_owned(),
        Kind::Key => "32 hexadecimal digits".to_owned(),
        Kind::QuicId => "pairs of hexadecimal digits".to_owned(),
        Kind::Timeout => "duration".to_owned(),
        Kind::Duration => "duration*".to_owned(),
        Kind::Address => "address".to_owned(),
        Kind::Network => "network".to_owned(),
        Kind::Endpoint | Kind::Listen => "address:port".to_owned(),
        Kind::StatusCodes => "codes and `\"from-to\"`".to_owned(),
        Kind::Program => "command".to_owned(),
        Kind::Ports => "port, `\"from-to\"`, `\"any\"`, list of these".to_owned(),
        Kind::List(kind) => format!("list of {}", values(kind)),
        Kind::Several(kind) => format!("{}, list of these", values(kind)),
        Kind::Table(_) => "table".to_owned(),
        Kind::Tables(_) => "list of tables".to_owned(),
    }
}

#[test]
fn the_reference_is_that_of_the_tables() {
    let service = ServicePlan::new("web", "tcp 192.0.2.100:80".parse().unwrap(), Method::Nat);
    let check = Check::new(Asks::Tcp, Duration::from_secs(5));
    let body = |rows: &str| rows.lines().skip(2).fold(String::new(), |text, row| text + row + "\n");
    let http = rows(Page::OPTIONS, &Page::default())
        + &body(&rows(Http::OPTIONS, &Http::default()))
        + &body(&rows(Tls::OPTIONS, &Tls::default()));
    let kinds: Vec<String> =
        Asks::NAMES.into_iter().chain(["none"]).map(|kind| format!("`\"{kind}\"`")).collect();
    let packets = body(&rows(Check::NETNS, &check))
        + &body(&rows(Check::PACKETS, &check))
        + &body(&rows(Check::PORTS, &check));
    let typed = |kinds: &[String], what: &str, rows: String| {
        let kind = format!("| `type` | {} | required | {what} |\n", kinds.join(", "));
        rows.replacen("|---|---|---|---|\n", &format!("|---|---|---|---|\n{kind}"), 1)
    };
    let checks = typed(&kinds, "The kind of check.", rows(Check::OPTIONS, &check) + &packets);
    let kinds: Vec<String> =
        Asks::AGENTS.into_iter().chain(["none"]).map(|kind| format!("`\"{kind}\"`")).collect();
    let agent = Check::agent(Asks::Agent(Agent::default()));
    let agents = typed(&kinds, "Where the agent is.", rows(Check::AGENT, &agent) + &packets);
    let health = "see [Health checks](#health-checks)";
    let sections = [
        ("timeouts", rows(TIMEOUTS, &Timeouts::default())),
        ("persistence", rows(PersistencePlan::OPTIONS, &PersistencePlan::default())),
        ("quic", rows(QuicPlan::OPTIONS, &QuicPlan::default())),
        ("quic configs", rows(QuicConfig::OPTIONS, &QuicConfig::default())),
        (
            "services",
            rows(ServicePlan::OPTIONS, &service)
                + &format!("| `check` | table | none | How its servers are checked; {health}. |\n")
                + &format!("| `agent` | table | none | Who says how much its servers get; {health}. |\n")
                + &format!(
                    "| `health` | table | see below | Quorum, sorry server and the like; {health}. |\n"
                ),
        ),
        (
            "servers",
            rows(ServerPlan::OPTIONS, &ServerPlan::new(Ipv4Addr::LOCALHOST, 80, 1))
                + "| `check` | table | the service's | Its own check; `{ type = \"none\" }` for none. |\n"
                + "| `agent` | table | the service's | Its own agent; `{ type = \"none\" }` for none. |\n",
        ),
        ("vips", rows(VipPlan::OPTIONS, &VipPlan::new(Ipv4Addr::LOCALHOST))),
        ("snat", rows(SnatPlan::OPTIONS, &SnatPlan::new(""))),
        ("snat modules", rows(SnatModules::OPTIONS, &SnatModules::default())),
        ("checks", checks),
        ("http", http),
        ("udp", rows(Udp::OPTIONS, &Udp::default())),
        ("dns", rows(Dns::OPTIONS, &Dns::default())),
        ("smtp", rows(Smtp::OPTIONS, &Smtp::default())),
        ("command", rows(Command::OPTIONS, &Command::default())),
        ("file", rows(File::OPTIONS, &File::default())),
        ("agents", agents),
        ("agent", rows(Agent::OPTIONS, &Agent::default())),
        ("pools", rows(Pool::OPTIONS, &Pool::default())),
        ("passive", rows(Passive::OPTIONS, &Passive::default())),
        ("hooks", rows(Hooks::OPTIONS, &Hooks::default())),
        ("control", rows(Control::OPTIONS, &Control::default())),
        ("config", rows(ConfigFile::OPTIONS, &ConfigFile::default())),
        ("announce", rows(Announce::OPTIONS, &Announce::default())),
        ("sync", rows(Sync::OPTIONS, &Sync::default())),
        ("ipvs_sync", rows(IpvsSync::OPTIONS, &IpvsSync::default())),
        ("director", rows(DirectorPlan::OPTIONS, &DirectorPlan::default())),
        ("workers", rows(Workers::OPTIONS, &Workers::default())),
        ("tunnel", rows(Tunnel::OPTIONS, &Tunnel::default())),
        ("metrics", rows(Metrics::OPTIONS, &Metrics::default())),
    ];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/README.md");
    let mut text = fs::read_to_string(path).unwrap();
    for (name, rows) in sections {
        let begin = format!("<!-- written from the options: {name} -->\n\n");
        let from = text.find(&begin).unwrap_or_else(|| panic!("no place for {name}")) + begin.len();
        let to = from + text[from..].find("\n<!-- end -->").expect("an end");
        text.replace_range(from..to, &rows);
    }
    compare("conf/README.md", &text);
}

/// The options of a table that commands can set.
fn settable<P>(options: &'static [Opt<P>]) -> Vec<Described> {
    let settable = options.iter().map(|option| &option.field).filter(|field| field.is_settable());
    settable.map(described).collect()
}

fn described(field: &Field) -> Described {
    let (shape, values) = match field.kind {
        Kind::Flag => (Shape::Flag, &[][..]),
        Kind::Number { .. } => (Shape::Number, &[][..]),
        Kind::Timeout | Kind::Duration => (Shape::Time, &[][..]),
        Kind::Word(words) => (Shape::Text, words),
        Kind::Name
        | Kind::Text
        | Kind::Line
        | Kind::Token
        | Kind::Device
        | Kind::UrlPath
        | Kind::SocketPath
        | Kind::Directory
        | Kind::FilePath
        | Kind::Domain
        | Kind::Pattern
        | Kind::Digest
        | Kind::Payload
        | Kind::Hexadecimal
        | Kind::Key
        | Kind::QuicId
        | Kind::Address
        | Kind::Network
        | Kind::Endpoint
        | Kind::Listen
        | Kind::Ports
        | Kind::List(_)
        | Kind::Several(_) => (Shape::Text, &[][..]),
        Kind::StatusCodes | Kind::Program | Kind::Table(_) | Kind::Tables(_) => {
            panic!("{}: no command can say a table", field.key)
        }
    };
    Described {
        key: field.key.to_owned(),
        word: field.key.replace('_', "-"),
        shape,
        placeholder: match (shape, field.kind) {
            (Shape::Flag, _) => "true|false".to_owned(),
            (Shape::Time, _) => "TIME".to_owned(),
            (_, Kind::List(element)) => {
                let (element, nothing) = match element {
                    Kind::Address => ("ADDRESS", "none"),
                    Kind::QuicId => ("ID", "none"),
                    Kind::Network => ("NETWORK", "all"),
                    Kind::Name => ("NAME", "all"),
                    _ => panic!("{}: what is its element called?", field.key),
                };
                let nothing = if field.is_required { String::new() } else { format!("|{nothing}") };
                format!("{element}[,{element}...]{nothing}")
            }
            (_, Kind::Ports) => "PORT|FROM-TO|any[,...]".to_owned(),
            (_, Kind::Several(_)) => format!("{0}[,{0}...]", field.key.to_uppercase().trim_end_matches('S')),
            (_, Kind::Line) => "TEXT|\"\"".to_owned(),
            _ => field.key.to_uppercase(),
        },
        values: values.iter().map(ToString::to_string).collect(),
        help: field.help.split(". ").next().unwrap_or_default().trim_end_matches('.').replace('`', ""),
    }
}

#[test]
fn the_shell_knows_the_options_that_can_be_set() {
    let settable =
        Settable { service: settable(ServicePlan::OPTIONS), server: settable(ServerPlan::OPTIONS) };
    let text = serde_json::to_string_pretty(&settable).unwrap() + "\n";
    compare("lb-app/lb-ctl/schema/options.json", &text);
}
