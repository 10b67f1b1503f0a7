//! keepalived.conf.
//!
//! * [`blocks`]: the form of the file.
//! * [`services`]: `virtual_server` and what is in it.
//! * `checks`: checkers.
//! * [`rest`]: addresses, routes, VRRP and what concerns all.

pub(super) mod blocks;
mod checks;
mod rest;
mod services;

use super::{
    draft::{Draft, Wrong},
    files::Files,
};
use blocks::Unread;
use std::{collections::HashMap, rc::Rc};

/// Reads the files, one after the other.
pub(super) fn read(files: &dyn Files, paths: &[String]) -> Result<Draft, Wrong> {
    let mut draft = Draft::default();
    let mut nodes = Vec::new();
    for path in paths {
        let (more, unread) = blocks::read(files, path)?;
        nodes.extend(more);
        for (place, what) in unread {
            match what {
                Unread::OfHost(line) => draft.miss(
                    &place,
                    format!("{line:?}, which is for one host"),
                    "add it by hand where this is that host",
                ),
                Unread::NoFile(line) => draft.miss(
                    &place,
                    format!("{line}, where there is no file"),
                    "import it where those files are, if it should have some",
                ),
            }
        }
    }
    let mut groups = HashMap::new();
    for node in nodes.iter().filter(|node| is_group(node.key())) {
        groups.insert(node.value()?.to_owned(), node);
    }
    let defaults = (rest::script_user(&nodes), Rc::new(checks::tracked(&nodes)?));
    for node in &nodes {
        match node.key() {
            "virtual_server" => services::read(node, &groups, &defaults, &mut draft)?,
            key if is_group(key) => {}
            _ => rest::read(node, &mut draft)?,
        }
    }
    if !draft.services.is_empty() {
        draft.remarks.push(
            "Differs for every checked service: a server that fails 3 times within 5 minutes is held until it has \
             passed its checks for a minute; `flap_limit = 0` in its `health` turns that off."
                .to_owned(),
        );
    }
    rest::conclude(&nodes, &mut draft);
    Ok(draft)
}

/// Addresses by a name; those of DPVS's own keepalived are local ones of FullNAT.
fn is_group(key: &str) -> bool {
    matches!(key, "virtual_server_group" | "local_address_group" | "laddr_group")
}
