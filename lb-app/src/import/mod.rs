//! `--import`: today's configuration of another load balancer becomes one of ours.
//!
//! A reader for each makes a [`draft`] of what it understands and notes what has no equal; [`network`] finds ports and routes
//! for it, and [`text`] writes it. What cannot be read as what it is said to be is refused, with its place.
//!
//! * [`keepalived`], [`ipvsadm`], [`dpvs`]: the readers.
//! * [`script`]: shell scripts that only call programs.
//! * [`settle`]: what of it can be in a configuration.
//! * [`sound`]: whether what was read can stand in a configuration.
//! * [`files`]: where files come from.

mod dpvs;
mod draft;
mod files;
mod ipvsadm;
mod keepalived;
mod network;
mod script;
mod settle;
mod sound;
mod text;

#[cfg(test)]
mod tests;

use crate::{
    cli::From,
    config::{self, Limits, source::Sources},
};
use draft::Wrong;
use files::{Files, Host};
use std::path::PathBuf;

/// What was made, and what there is to say about it.
#[derive(Debug)]
pub(crate) struct Imported {
    /// The configuration.
    pub(crate) text: String,
    /// In a line.
    pub(crate) summary: String,
    /// Why it is not valid, which nobody expects.
    pub(crate) invalid: Option<String>,
}

/// Reads the files and makes a configuration of them.
///
/// # Errors
/// When a file is not what it is said to be.
pub(crate) fn import(from: From, paths: &[PathBuf]) -> Result<Imported, String> {
    let paths: Option<Vec<String>> = paths.iter().map(|path| path.to_str().map(str::to_owned)).collect();
    let paths = paths.ok_or_else(|| "names of files must be UTF-8".to_owned())?;
    read(&Host, from, &paths).map_err(|wrong| wrong.to_string())
}

fn read(files: &dyn Files, from: From, paths: &[String]) -> Result<Imported, Wrong> {
    let mut draft = match from {
        From::Keepalived => keepalived::read(files, paths)?,
        From::Ipvsadm => ipvsadm::read(files, paths)?,
        From::Dpvs => dpvs::read(files, paths)?,
    };
    sound::check(&draft)?;
    draft.settle();
    let network = network::network(&mut draft);
    draft.missing.sort_by_key(|missing| (missing.place.file.clone(), missing.place.line));
    let text = text::text(&draft, network, &paths.join(", "));
    let servers: usize = draft.services.iter().map(|service| service.servers.len()).sum();
    let summary = format!(
        "{} services with {servers} servers; {} things without an equal, which the comments list",
        draft.services.len(),
        draft.missing.len()
    );
    let limits = Limits { workers: 1, available_bytes: u64::MAX };
    let checked = config::check(&Sources::new("imported", text.as_str()), limits);
    Ok(Imported { text, summary, invalid: checked.err().map(|report| report.to_string()) })
}
