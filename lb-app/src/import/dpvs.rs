//! DPVS: scripts that call dpip and its own ipvsadm, and dpvs.conf.

use super::{
    draft::{Draft, Place, Route, Wrong, default_route, proxy_version},
    files::Files,
    ipvsadm::Table,
    keepalived::blocks::{self, Node},
    script::{self, Call},
};
use ipnet::IpNet;
use lb_core::{conn::state::State, time::Duration};
use lb_ctl::ipvsadm::{
    act::{Act, Target},
    grammar,
};
use std::net::IpAddr;

/// Reads the files: scripts and dpvs.conf, in any order.
pub(super) fn read(files: &dyn Files, paths: &[String]) -> Result<Draft, Wrong> {
    let mut table = Table::default();
    for path in paths {
        let place = Place { file: path.as_str().into(), line: 1 };
        let text = files.read(path).map_err(|error| place.wrong(error))?;
        if is_configuration(&text) {
            configuration(files, path, table.draft_mut())?;
            continue;
        }
        for call in script::read(path, &text, "ipvsadm")? {
            match call.program.as_str() {
                "ipvsadm" => ipvsadm(call, &mut table)?,
                "dpip" => dpip(&call, table.draft_mut())?,
                other => table.other(&call, other),
            }
        }
    }
    Ok(table.draft())
}

/// dpvs.conf has blocks, and no calls.
fn is_configuration(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    lines.any(|line| {
        line.ends_with('{') && line.split_whitespace().next().is_some_and(|word| word.ends_with("_defs"))
    })
}

/// What DPVS's ipvsadm has beside IPVS's: commands and options, with whether a value follows, and the nearest thing.
const OWN_COMMANDS: [(&str, &str, &str); 11] = [
    ("-Q", "--del-laddr", "local addresses are those that were added"),
    ("-G", "--get-laddr", ""),
    ("-U", "--add-blklst", "no lists of clients here; filter before the director"),
    ("-U", "--add-deny", "no lists of clients here; filter before the director"),
    ("-V", "--del-blklst", "no lists of clients here; filter before the director"),
    ("-V", "--del-deny", "no lists of clients here; filter before the director"),
    ("-B", "--get-blklst", ""),
    ("-O", "--add-whtlst", "no lists of clients here; filter before the director"),
    ("-O", "--add-allow", "no lists of clients here; filter before the director"),
    ("-Y", "--del-whtlst", "no lists of clients here; filter before the director"),
    ("-W", "--get-whtlst", ""),
];
const OWN_OPTIONS: [(&str, &str, bool, &str); 6] = [
    ("-j", "--synproxy", true, "no SYN proxy; half-open connections make room first when the table is full"),
    ("-F", "--ifname", true, ""),
    (
        "",
        "--hash-target",
        true,
        "`mh` hashes the client's address; connections of QUIC follow their ID by `quic` of the service",
    ),
    ("", "--conn-timeout", true, "`timeouts` of the service"),
    ("", "--dest-check", true, "`check` of the service"),
    ("", "--expire-quiescent", false, ""),
];

/// A call of its ipvsadm: what is its own is noted and taken out, the rest is IPVS's.
fn ipvsadm(mut call: Call, table: &mut Table) -> Result<(), Wrong> {
    if call.words.iter().any(|word| word == "-P" || word == "--add-laddr") {
        return local_address(&call, table);
    }
    // Nothing else says which service it is, so nothing of it can be kept.
    if call.words.iter().any(|word| word == "-H" || word == "--match") {
        let nearest = if call.words.iter().any(|word| word == "-J" || word == "--snat") {
            "`[[snat]]` with its `sources`, the server as `addresses`, `ports` and `interface`"
        } else {
            "services by match are not supported; a service has `vips` and `ports`, and `[[snat]]` is for what servers send \
             by themselves"
        };
        table.draft_mut().miss(&call.place, format!("ipvsadm {}", call.words.join(" ")), nearest);
        return Ok(());
    }
    for (short, long, nearest) in OWN_COMMANDS {
        if call.words.iter().any(|word| word == short || word == long) {
            if !nearest.is_empty() {
                table.draft_mut().miss(&call.place, format!("ipvsadm {}", call.words.join(" ")), nearest);
            }
            return Ok(());
        }
    }
    if let Some(at) = call.words.iter().position(|word| word == "--proxy-protocol") {
        let taken: Vec<String> = call.words.drain(at..(at + 2).min(call.words.len())).collect();
        let told = taken.get(1).and_then(|word| proxy_version(word));
        match (told, target(&call)) {
            (Some(told), Some(target)) => table.client_address(target?, told),
            _ => {
                let nearest = "`client_address = \"proxy-v2\"` of the service";
                table.draft_mut().miss(&call.place, taken.join(" "), nearest);
            }
        }
    }
    for (short, long, takes_value, nearest) in OWN_OPTIONS {
        while let Some(at) =
            call.words.iter().position(|word| word == long || (!short.is_empty() && word == short))
        {
            let end = (at + 1 + usize::from(takes_value)).min(call.words.len());
            let taken: Vec<String> = call.words.drain(at..end).collect();
            if !nearest.is_empty() {
                table.draft_mut().miss(&call.place, taken.join(" "), nearest);
            }
        }
    }
    let is_server =
        call.words.iter().any(|word| matches!(word.as_str(), "-a" | "-e" | "--add-server" | "--edit-server"));
    let before = call.words.len();
    if is_server {
        call.words.retain(|word| word != "-b" && word != "--fullnat");
    }
    let full_nat = call.words.len() < before;
    table.act(&call, full_nat)
}

/// `ipvsadm --add-laddr -z ADDRESS -t|-u VIP:PORT -F INTERFACE`
fn local_address(call: &Call, table: &mut Table) -> Result<(), Wrong> {
    let Call { place, words, .. } = call;
    let behind = |names: [&str; 2]| {
        let at = words.iter().position(|word| names.contains(&word.as_str()));
        at.and_then(|at| words.get(at + 1)).map(String::as_str)
    };
    let address = behind(["-z", "--laddr"]).and_then(|address| address.parse::<IpAddr>().ok());
    let address = address.ok_or_else(|| place.wrong("--add-laddr needs an address: -z"))?;
    let target = target(call).ok_or_else(|| place.wrong("--add-laddr needs a service: -t or -u"))?;
    table.local_address(target?, address);
    Ok(())
}

/// Which service a call is about, as any other command says it.
fn target(call: &Call) -> Option<Result<Target, Wrong>> {
    let Call { place, words, .. } = call;
    let named = [["-t", "--tcp-service"], ["-u", "--udp-service"]].into_iter().find_map(|names| {
        let at = words.iter().position(|word| names.contains(&word.as_str()))?;
        Some(["-D", names[0], words.get(at + 1)?].map(str::to_owned))
    })?;
    Some(match grammar::parse(&named) {
        Ok(Act::DeleteService(target)) => Ok(target),
        Ok(_) => Err(place.wrong("names no service")),
        Err(what) => Err(place.wrong(what)),
    })
}

/// `dpip OBJECT VERB ...`
fn dpip(call: &Call, draft: &mut Draft) -> Result<(), Wrong> {
    let Call { place, words, .. } = call;
    // Flags for the family stand in front.
    let words: Vec<&str> =
        words.iter().map(String::as_str).filter(|word| !matches!(*word, "-6" | "-4")).collect();
    let behind =
        |key: &str| words.iter().position(|word| *word == key).and_then(|at| words.get(at + 1)).copied();
    let (object, verb) = (words.first().copied().unwrap_or(""), words.get(1).copied().unwrap_or(""));
    let argument = words.get(2).copied().unwrap_or("");
    let net = || {
        let net = argument.parse::<IpNet>().ok().or_else(|| argument.parse::<IpAddr>().ok().map(IpNet::from));
        net.ok_or_else(|| place.wrong(format!("dpip {object}: {argument:?} is no address or network")))
    };
    match (object, verb) {
        ("addr", "add") => {
            let net = net()?;
            let device = behind("dev").ok_or_else(|| place.wrong("dpip addr needs dev"))?.to_owned();
            if words.contains(&"sapool") {
                // A local address, of which --add-laddr says for which service.
            } else if net.prefix_len() < net.max_prefix_len() {
                draft.own.push((net, device));
            } else {
                draft.vips.push((net.addr(), format!("Of {device}, and no service's.")));
            }
        }
        ("route" | "route6", "add") => {
            let device = behind("dev").map(str::to_owned);
            let via = behind("via").map(|via| {
                via.parse::<IpAddr>().map_err(|_| place.wrong(format!("dpip route: {via:?} is no router")))
            });
            let via = via.transpose()?;
            let to = if argument == "default" { default_route(via) } else { net()? };
            match (via, device) {
                (Some(via), device) => {
                    draft.routes.push(Route { place: place.clone(), to, via, device });
                }
                (None, Some(device)) => draft.hints.push((to, device)),
                (None, None) => return Err(place.wrong("dpip route needs via or dev")),
            }
        }
        (_, "show" | "list" | "del" | "flush" | "") | ("link", "set") => {}
        ("vlan", "add") if vlan(argument, behind("link"), behind("id"), draft) => {}
        ("vlan", _) => {
            draft.miss(
                place,
                format!("dpip {}", words.join(" ")),
                "an interface in a VLAN is a table of [[interfaces]]",
            );
        }
        ("neigh", _) => {
            draft.miss(place, format!("dpip {}", words.join(" ")), "addresses are learned by ARP");
        }
        _ => draft.miss(
            place,
            format!("dpip {}", words.join(" ")),
            "the importer does not know it; it is left out",
        ),
    }
    Ok(())
}

/// `dpip vlan add NAME link DEVICE id NUMBER`. Whether it says all of that.
fn vlan(name: &str, link: Option<&str>, id: Option<&str>, draft: &mut Draft) -> bool {
    let (Some(link), Some(id)) = (link, id.and_then(|id| id.parse().ok())) else { return false };
    if name == "link" || name == link {
        return false;
    }
    draft.vlans.push((name.to_owned(), link.to_owned(), id));
    true
}

/// dpvs.conf: blocks like keepalived's, with `<init>` before what takes effect at start.
fn configuration(files: &dyn Files, path: &str, draft: &mut Draft) -> Result<(), Wrong> {
    let (nodes, _) = blocks::read(files, path)?;
    let workers = find_all(&nodes, "worker");
    let cpus: Vec<&str> = workers
        .iter()
        .filter_map(|worker| child(worker, "cpu_id"))
        .filter_map(|line| line.words.last().map(String::as_str))
        .collect();
    if !cpus.is_empty() {
        draft.remarks.push(format!(
            "Workers are lcores, the first of them for control: lb-app -l {} -- --conf FILE",
            cpus.join(",")
        ));
    }
    for line in find_all(&nodes, "conn_pool_size") {
        let nearest = "`connections` in `[workers]` is the size of each worker's table";
        draft.miss(&line.place, line.words.join(" "), nearest);
    }
    for line in find_all(&nodes, "synproxy") {
        draft.miss(&line.place, "synproxy", "half-open connections make room first when the table is full");
    }
    for protocol in ["tcp", "udp"] {
        for block in find_all(&nodes, protocol) {
            for timeout in child(block, "timeout").iter().flat_map(|timeout| timeout.block.iter().flatten()) {
                let key = key(timeout);
                let state = match (protocol, key) {
                    ("udp", "normal") => State::Udp,
                    ("tcp", "established") => State::Established,
                    ("tcp", "syn_sent") => State::SynSent,
                    ("tcp", "syn_recv") => State::SynRecv,
                    ("tcp", "fin_wait") => State::FinWait,
                    ("tcp", "time_wait") => State::TimeWait,
                    ("tcp", "close") => State::Close,
                    ("tcp", "close_wait") => State::CloseWait,
                    ("tcp", "last_ack") => State::LastAck,
                    _ => continue,
                };
                let text = timeout.words.last().map_or("", String::as_str);
                let seconds = text.parse::<u64>().ok().filter(|seconds| (1..=2_073_600).contains(seconds));
                let seconds =
                    seconds.ok_or_else(|| timeout.place.wrong(format!("{key}: {text:?} is no timeout")))?;
                draft.timeouts.set(state, Duration::from_secs(seconds));
            }
        }
    }
    Ok(())
}

/// The key of a line, without `<init>`.
fn key(node: &Node) -> &str {
    let mut words = node.words.iter().map(String::as_str).skip_while(|word| *word == "<init>");
    words.next().unwrap_or("")
}

fn child<'n>(node: &'n Node, wanted: &str) -> Option<&'n Node> {
    node.block.iter().flatten().find(|node| key(node) == wanted)
}

/// All lines with that key, however deep.
fn find_all<'n>(nodes: &'n [Node], wanted: &str) -> Vec<&'n Node> {
    let mut found = Vec::new();
    for node in nodes {
        if key(node) == wanted {
            found.push(node);
        }
        found.extend(find_all(node.block.as_deref().unwrap_or_default(), wanted));
    }
    found
}
