//! Imports point down only. What a module may know of, and how long a file may grow, is checked here and nowhere
//! else; to change the order, change the table and say why.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The modules of lb-core from the lowest to the highest. A module may import from the lines above its own in
/// this list, and from no other.
///
/// `sched` is below `service`, because a snapshot holds the scheduler of each service ready to pick; and `neigh`
/// above it, because a neighbour is a next hop of the snapshot's routing.
const LAYERS: &[&[&str]] = &[
    &["cast"],                           // numbers in other sizes
    &["ids", "limits", "named", "time"], // numbers, bounds, words and time: they know nothing
    &["wire"],                           // packet formats
    &["packet"],                         // what is asked of a packet buffer and of the world around a worker
    &["counters", "flow", "memory"],     // finding a flow, without knowing what it is
    &["conn", "explanation"],            // what is remembered of a connection
    &["sched"],                          // which server
    &["service"],                        // what the operator configured
    &["neigh"],                          // where next
    &["forward"],                        // what happens to the bytes
    &["decide"],                         // what is done with a packet, as a value
    &["worker"],                         // doing it, in order
    &["explain"],                        // saying it
];

/// A file of more lines than this wants splitting.
const LONGEST_FILE: usize = 600;

#[test]
fn imports_point_down() {
    let mut wrong = Vec::new();
    for path in sources(&crate_dir().join("src")) {
        let text = without_comments(&fs::read_to_string(&path).expect("a source file"));
        let Some(own) = module_of(&path) else { continue };
        let own_layer = layer(&own).unwrap_or_else(|| panic!("{own} is in no layer"));
        for module in imported(&text) {
            let is_below = layer(&module).is_some_and(|other| other < own_layer);
            if module != own && !is_below {
                wrong.push(format!("{}: {own} imports {module}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that do not point down:\n{}", wrong.join("\n"));
}

#[test]
fn every_module_has_its_layer() {
    let modules: BTreeSet<String> =
        sources(&crate_dir().join("src")).iter().filter_map(|path| module_of(path)).collect();
    let listed: BTreeSet<String> = LAYERS.concat().into_iter().map(String::from).collect();
    assert_eq!(modules, listed);
}

#[test]
fn the_lower_crates_know_none_of_ours() {
    let workspace = crate_dir().parent().expect("lb-core is in the workspace").to_path_buf();
    let manifest = fs::read_to_string(workspace.join("Cargo.toml")).expect("the workspace's manifest");
    let members = manifest.lines().find(|line| line.starts_with("members")).expect("members");
    let mut ours: BTreeSet<&str> = members.split('"').skip(1).step_by(2).collect();
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
        for path in sources(&workspace.join(name).join("src")) {
            let text = without_comments(&fs::read_to_string(&path).expect("a source file"));
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
        for path in sources(&crate_dir().join(directory)) {
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
    let text = "use crate::{\n  conn::{entry, state}, // crate::worker\n  time,\n  wire::tcp::{self, ACK}};
        let x = crate::sched::Turn; use super::super::neigh; use super::{limits, entry}; use super::Local;";
    let found: Vec<String> = imported(&without_comments(text)).into_iter().collect();
    assert_eq!(found, ["conn", "limits", "neigh", "sched", "time", "wire"]);
}

fn crate_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// The top-level module a file belongs to; `None` for the crate's root.
fn module_of(path: &Path) -> Option<String> {
    let inside = path.strip_prefix(crate_dir().join("src")).ok()?;
    let first = inside.components().next()?.as_os_str().to_str()?;
    let module = first.trim_end_matches(".rs");
    (module != "lib").then(|| module.to_string())
}

/// All Rust files under a directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a source directory") {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The layers that a text names, by a path from the crate's root or from a parent.
fn imported(text: &str) -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    for root in ["crate::", "super::"] {
        for (at, _) in text.match_indices(root) {
            modules.extend(heads(&text[at + root.len()..]));
        }
    }
    modules.retain(|module| layer(module).is_some());
    modules
}

/// The first names of a path, or of each path in a group of them.
fn heads(path: &str) -> Vec<String> {
    let name = |text: &str| {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
    };
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let mut depth = 0;
    let mut starts = vec![0];
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => starts.push(at + 1),
            _ => {}
        }
    }
    starts.into_iter().map(|at| name(&group[at..])).collect()
}
