//! Imports point down only, in each of our crates. What a module may know of, and how long a file may grow, is checked
//! here and nowhere else; to change the order, change the table and say why.

#[path = "layers/imports.rs"]
mod imports;

use imports::{Sources, circles, rust_files};
use std::{collections::BTreeSet, fs, path::PathBuf};

/// A crate's modules from the lowest to the highest. What is in a line may import from the lines above it, and from no
/// other; what stands beside it in its line is not below it. A part of a module, `control::api`, may have a line of its
/// own.
type Layers = &'static [&'static [&'static str]];

/// `sched` is below `service`, because a snapshot holds the scheduler of each service ready to pick; and `neigh`
/// above it, because a neighbour is a next hop of the snapshot's routing.
const LB_CORE: Layers = &[
    &["cast"],                           // numbers in other sizes
    &["mix"],                            // numbers mixed, for hashes
    &["record"],                         // words that are written and read without a lock
    &["ids", "limits", "named", "time"], // numbers, bounds, words and time: they know nothing
    &["wire::checksum", "wire::protocol"],
    &["family"],                     // what IPv4 and IPv6 do differently
    &["wire"],                       // packet formats
    &["packet"],                     // what is asked of a packet buffer and of the world around a worker
    &["counters", "flow", "memory"], // finding a flow, without knowing what it is
    &["conn", "explanation"],        // what is remembered of a connection
    &["peers"],                      // what directors tell one another of connections
    &["module"],                     // what payload says of connections to come
    &["sched"],                      // which server
    &["service"],                    // what the operator configured
    &["neigh"],                      // where next
    &["forward"],                    // what happens to the bytes
    &["decide"],                     // what is done with a packet, as a value
    &["worker"],                     // doing it, in order
    &["explain"],                    // saying it
];

/// `render` is below `command`, because a command says how its answer is to be shown.
const LB_CTL: Layers = &[
    &["protocol", "version", "near", "foreign"], // what is said over the socket, and what words mean
    &["ipvsadm::act", "ipvsadm::options"],       // what ipvsadm is asked for, and its options
    &["ipvsadm::grammar"],                       // what they mean together
    &["transport"],                              // how it gets there
    &["mistake"],                                // what is wrong with a command
    &["failure"],                                // why a command did not do what it should
    &["render"],                                 // answers become text
    &["command"],                                // words become requests
    &["top", "follow", "stream"],                // the live view, events and packets as they come
    &["ipvsadm"],                                // what ipvsadm would do
    &["session"],                                // one command after the other
    &["shell"],                                  // the terminal
    &["completion", "man"],                      // what other shells and man show of it
    &["cli"],                                    // lbctl's command line
];

const LB_SYNC: Layers = &[&["tls", "file"], &["etcd"]];

/// `report` and `metrics` read what `control` knows, so it knows neither of them; `director`, which starts everything and
/// ends it, is above them all.
const LB_APP: Layers = &[
    &["dpdk", "journal", "log", "say", "systemd"], // the ways out of the process
    &["cli", "config"],                            // what the operator wants
    &["dataplane"],                                // what runs on lcores
    &["health"],                                   // checks of servers
    &["control::live"],                            // what runs
    &["control::edit"],                            // edits of the plan
    &["control::file", "control::watch"],
    &["control::announce", "control::sync"], // what routing daemons and peers are told
    &["control::plane"],                     // all of these together
    &["control::api"],                       // what clients ask of it
    &["control::clients"],                   // the ways in which they come
    &["metrics", "report"],
    &["director"], // starting, serving, ending
    &["import"],   // reading other load balancers' configurations instead
    &["doctor"],   // looking at the machine instead
    &["bundle"],   // everything, for a bug report
];

/// Crates, where their sources are, and whether their tests keep to the layers, too.
const CRATES: [(&str, Layers, bool); 4] = [
    ("lb-core/src", LB_CORE, true),
    ("lb-app/lb-ctl/src", LB_CTL, false),
    ("lb-app/lb-sync/src", LB_SYNC, false),
    ("lb-app/src", LB_APP, false),
];

/// A file of more lines than this wants splitting.
const LONGEST_FILE: usize = 600;

#[test]
fn imports_point_down() {
    let mut wrong = Vec::new();
    for (src, layers, tests) in CRATES {
        let sources = Sources::read(&workspace().join(src), tests);
        let layer = |file: &str| sources.module(file).and_then(|module| layer(layers, module));
        for ((from, to), name) in sources.imports() {
            let (Some(above), Some(below)) = (layer(&from), layer(&to)) else { continue };
            if below != above && below.0 >= above.0 {
                wrong.push(format!("{src}: {from} takes {name} from {to}"));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that do not point down:\n{}", wrong.join("\n"));
}

#[test]
fn files_do_not_import_one_another_in_a_circle() {
    for (src, ..) in CRATES {
        let circles = circles(&Sources::read(&workspace().join(src), false).imports());
        assert!(circles.is_empty(), "circles of files in {src}:\n{}", circles.join("\nand\n"));
    }
}

#[test]
fn every_module_has_its_layer() {
    for (src, layers, _) in CRATES {
        let sources = Sources::read(&workspace().join(src), false);
        let imports = sources.imports();
        let mut used = BTreeSet::new();
        for (file, module) in sources.files().filter(|(_, module)| !module.is_empty()) {
            match layer(layers, module) {
                Some((_, name)) => drop(used.insert(name)),
                // One that only lists its parts.
                None => {
                    let ties = imports.keys().any(|(from, to)| from == file || to == file);
                    assert!(!ties, "{src}: {file} is in no layer");
                }
            }
        }
        assert_eq!(used, layers.concat().into_iter().collect(), "{src}: layers without a module");
    }
}

#[test]
fn the_lower_crates_know_none_of_ours() {
    let workspace = workspace();
    let manifest = fs::read_to_string(workspace.join("Cargo.toml")).expect("the workspace's manifest");
    let members = manifest.lines().find(|line| line.starts_with("members")).expect("members");
    let mut ours: BTreeSet<&str> =
        members.split('"').skip(1).step_by(2).filter_map(|path| path.rsplit('/').next()).collect();
    // The package of the directory `tests`.
    ours.insert("lb-stories");
    for name in ["dpdk-sys", "lb-core"] {
        let manifest = fs::read_to_string(workspace.join(name).join("Cargo.toml")).expect("a manifest");
        let dependencies = manifest.lines().skip_while(|line| !line.contains("dependencies]"));
        for line in dependencies {
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            assert!(!ours.contains(dependency), "{name} depends on {dependency}");
            assert!(!line.contains("path ="), "{name} depends on a path: {line}");
        }
        for path in rust_files(&workspace.join(name).join("src")) {
            let text = fs::read_to_string(&path).expect("a source file");
            let text: String = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
            for other in ours.iter().filter(|other| **other != name && other.contains('-')) {
                let import = format!("{}::", other.replace('-', "_"));
                assert!(!text.contains(&import), "{} uses {import}", path.display());
            }
        }
    }
}

#[test]
fn files_are_short() {
    let mut long = Vec::new();
    for directory in ["src", "tests"] {
        for path in rust_files(&crate_dir().join(directory)) {
            let lines = fs::read_to_string(&path).expect("a source file").lines().count();
            if lines > LONGEST_FILE {
                long.push(format!("{}: {lines} lines", path.display()));
            }
        }
    }
    assert!(long.is_empty(), "files to split:\n{}", long.join("\n"));
}

#[test]
fn imports_are_found_however_they_are_written() {
    let src = std::env::temp_dir().join(format!("lb-imports-{}", std::process::id()));
    let files = [
        ("lib.rs", "pub mod conn; pub mod limits; pub mod neigh; pub mod wire;"),
        ("limits.rs", "pub const MOST: usize = 1; // use crate::neigh::Neighbour;"),
        ("wire/mod.rs", "pub mod arp; mod tcp; pub use tcp::{ACK, Header as TcpHeader};"),
        ("wire/tcp.rs", "pub const ACK: u8 = 16; pub struct Header;"),
        (
            "wire/arp.rs",
            "use super::{super::limits, ACK}; const X: usize = limits::MOST; const S: &str = \"crate::neigh::X\";",
        ),
        ("conn.rs", "use crate::{\n wire::{self, arp::{Arp, reply}, TcpHeader},\n limits::MOST as AT_MOST};"),
        (
            "neigh.rs",
            "fn f() { crate::conn::g::<u8>(); }\n#[cfg(test)]\nmod tests { use super::*; use crate::wire::ACK; }",
        ),
    ];
    fs::create_dir_all(src.join("wire")).expect("a directory");
    files.iter().for_each(|(name, text)| fs::write(src.join(name), text).expect("a file"));
    let found = |tests| -> Vec<String> {
        let imports = Sources::read(&src, tests).imports();
        imports.into_iter().map(|((from, to), name)| format!("{from} {to} {name}")).collect()
    };
    let expected = [
        "conn.rs limits.rs MOST",
        "conn.rs wire/arp.rs Arp",
        "conn.rs wire/tcp.rs Header",
        "neigh.rs conn.rs g",
        "wire/arp.rs limits.rs MOST",
        "wire/arp.rs wire/tcp.rs ACK",
    ];
    assert_eq!(found(false), expected);
    assert!(found(true).contains(&"neigh.rs wire/tcp.rs ACK".to_owned()), "{:?}", found(true));
    fs::write(src.join("limits.rs"), "use crate::conn::Connection; pub const MOST: usize = 1;")
        .expect("a file");
    let circles = circles(&Sources::read(&src, false).imports());
    assert_eq!(circles.len(), 1);
    assert!(circles[0].contains("limits.rs -> conn.rs: Connection"), "{circles:?}");
    fs::remove_dir_all(&src).expect("it was there");
}

fn crate_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn workspace() -> PathBuf {
    crate_dir().parent().expect("lb-core is in the workspace").to_path_buf()
}

/// The layer of a module, by its number and its name in the table: the name that says most.
fn layer(layers: Layers, module: &[String]) -> Option<(usize, &'static str)> {
    let path = module.join("::");
    let is_in =
        |name: &str| path == name || path.strip_prefix(name).is_some_and(|rest| rest.starts_with("::"));
    let named = layers.iter().enumerate().flat_map(|(at, names)| names.iter().map(move |name| (at, *name)));
    named.filter(|(_, name)| is_in(name)).max_by_key(|(_, name)| name.len())
}
