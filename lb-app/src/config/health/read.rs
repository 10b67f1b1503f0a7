//! Reading `check` and `health` tables.

use super::{
    Agent, Check, Command, Dns, File, Http, Kind, OwnCheck, Page, Pool, Smtp, Tls, Udp, Via, WhenAllFail,
};
use crate::config::{
    options::{Said, read},
    place::{At, Place},
    report::{Complaint, Problems},
    table::Table,
    values::word,
};
use lb_core::service::{option::Opt, plan::Method};
use std::{net::SocketAddr, sync::Arc};

/// What only packets that leave by the kernel can have.
const ONLY_KERNEL: [&str; 5] = ["netns", "device", "source", "mark", "address"];

/// Reads the `check` of a service or a server. `type = "none"` says that there is none.
pub(in crate::config) fn read_check(table: Option<Table>, problems: &Problems) -> OwnCheck {
    let mut table = table?;
    let kind = match kind_of(&mut table, &Kind::NAMES, "\"tcp\"")? {
        "none" => return Some(At { value: None, place: table.finish() }),
        "http" => Kind::Http(read_http(&mut table, false, problems)),
        "https" => Kind::Http(read_http(&mut table, true, problems)),
        "smtp" => Kind::Smtp(read_kind(&mut table, Smtp::OPTIONS, Smtp::default())),
        "icmp" => Kind::Icmp,
        "udp" => Kind::Udp(read_udp(&mut table, problems)),
        "dns" => Kind::Dns(read_kind(&mut table, Dns::OPTIONS, Dns::default())),
        "command" => Kind::Command(read_kind(&mut table, Command::OPTIONS, Command::default())),
        "file" => Kind::File(read_kind(&mut table, File::OPTIONS, File::default())),
        _ => Kind::Tcp,
    };
    Some(read_rest(table, Check::of(kind), problems))
}

/// Reads the `agent` of a service or a server. `type = "none"` says that there is none.
pub(in crate::config) fn read_agent(table: Option<Table>, problems: &Problems) -> OwnCheck {
    let mut table = table?;
    let kind = match kind_of(&mut table, &Kind::AGENTS, "\"tcp\"")? {
        "none" => return Some(At { value: None, place: table.finish() }),
        "file" => Kind::File(read_kind(&mut table, File::OPTIONS, File::default())),
        "command" => {
            let default = Command { dynamic: true, ..Command::default() };
            Kind::Command(read_kind(&mut table, Command::OPTIONS, default))
        }
        _ => {
            // It is a service of its own, whose port nobody can guess.
            if !table.has("port") {
                table.missing("port", "8100");
            }
            Kind::Agent(read_kind(&mut table, Agent::OPTIONS, Agent::default()))
        }
    };
    Some(read_rest(table, Check::agent(kind), problems))
}

/// The `type` of a check or an agent. Without it, the other keys cannot be checked.
fn kind_of(table: &mut Table, names: &[&'static str], example: &str) -> Option<&'static str> {
    let names: Vec<&'static str> = names.iter().copied().chain(["none"]).collect();
    table.require("type", example, word(&names, |name| name)).map(|name| name.value)
}

fn read_kind<P>(table: &mut Table, options: &'static [Opt<P>], mut kind: P) -> P {
    read(table, options, &mut kind);
    kind
}

fn read_rest(mut table: Table, mut check: Check, problems: &Problems) -> At<Option<Arc<Check>>> {
    let said: Vec<Said> =
        check.options().into_iter().map(|options| read(&mut table, options, &mut check)).collect();
    check_together_said(&check, &said, &table, problems);
    if check.leave.via == Via::Auto
        && ONLY_KERNEL.iter().any(|key| said.iter().any(|said| said.place(key).is_some()))
    {
        check.leave.via = Via::Kernel;
    }
    let place = table.finish();
    At { value: Some(Arc::new(check)), place }
}

/// Under NAT no packet goes to a server with the VIP in it.
pub(in crate::config) fn check_way(
    method: Option<Method>,
    check: &At<Option<Arc<Check>>>,
    problems: &Problems,
) {
    let At { value: Some(value), place } = check else { return };
    if value.leave.via == Via::Ports && value.to_vip && method.is_some_and(Method::rewrites_endpoints) {
        let what = "is \"vip\", which under nat is the director's own by `via = \"ports\"`";
        problems.add(&place.below("to"), Complaint::new(what, "use `to = \"server\"`"));
    }
}

/// What the keys of a `check` table must not say together.
fn check_together_said(check: &Check, said: &[Said], table: &Table, problems: &Problems) {
    let place = |key: &str| said.iter().find_map(|said| said.place(key));
    if let (true, Some(address)) = (check.to_vip, place("address")) {
        let complaint = Complaint::new("cannot be combined with `to = \"vip\"`", "remove one of the two");
        problems.add(address, complaint);
    }
    // By the director's own ports a packet goes where the server's traffic goes, and nothing can be said of it.
    if check.leave.via == Via::Ports {
        for key in ONLY_KERNEL {
            if place(key).is_some() {
                let complaint =
                    Complaint::new("cannot be combined with `via = \"ports\"`", "remove one of the two");
                problems.add(&table.place.below(key), complaint);
            }
        }
    }
}

/// Reads the `health` of a service, and where it says what. The sorry server is checked like the other servers.
pub(in crate::config) fn read_pool(table: Option<Table>) -> (Pool, Option<PoolPlaces>) {
    let mut pool = Pool::default();
    let Some(mut table) = table else { return (pool, None) };
    let said = read(&mut table, Pool::OPTIONS, &mut pool);
    if pool.sorry_server.is_some()
        && said.known("when_all_fail", ()).is_some()
        && said.place("when_all_fail").is_none()
    {
        pool.when_all_fail = WhenAllFail::Sorry;
    }
    let places = PoolPlaces {
        table: table.finish(),
        sorry: pool.sorry_server.and_then(|sorry| said.at("sorry_server", sorry.address)),
    };
    (pool, Some(places))
}

/// Where a `health` table is, and its sorry server.
pub(in crate::config) struct PoolPlaces {
    table: Place,
    /// The sorry server.
    pub(in crate::config) sorry: Option<At<SocketAddr>>,
}

/// What the keys of a `health` table must not mean together.
pub(in crate::config) fn check_together(pool: &Pool, places: Option<&PoolPlaces>, problems: &Problems) {
    let Some(PoolPlaces { table, .. }) = places else { return };
    if pool.hysteresis >= pool.quorum {
        let what = format!("{} is not less than the quorum {}", pool.hysteresis, pool.quorum);
        let complaint = Complaint::new(what, "use a smaller one, or a larger quorum");
        problems.add(&table.below("hysteresis"), complaint);
    }
    if pool.when_all_fail == WhenAllFail::Sorry && pool.sorry_server.is_none() {
        let example =
            "add for example `sorry_server = \"198.51.100.99:80\"`, or choose \"reject\" or \"keep\"";
        problems.add(&table.below("sorry_server"), Complaint::new("is missing", example));
    }
}

fn read_http(table: &mut Table, is_tls: bool, problems: &Problems) -> Http {
    let mut page = Page::default();
    let common = read(table, Page::OPTIONS, &mut page);
    let mut http = Http { pages: vec![page], ..Http::default() };
    let said = read(table, Http::OPTIONS, &mut http);
    if let (Some(_), Some(path)) = (said.place("urls"), common.place("path")) {
        let remedy = "remove it, or write it as one of the `urls`";
        problems.add(path, Complaint::new("cannot be combined with `urls`", remedy));
    }
    if is_tls {
        read(table, Tls::OPTIONS, http.tls.insert(Tls::default()));
    }
    http
}

fn read_udp(table: &mut Table, problems: &Problems) -> Udp {
    let mut udp = Udp::default();
    let said = read(table, Udp::OPTIONS, &mut udp);
    if let (Some(_), Some(hexadecimal)) = (said.place("payload"), said.place("payload_hex")) {
        problems.add(hexadecimal, Complaint::new("`payload` is set already", "remove one of the two"));
    }
    udp
}
