//! Whether what was imported can stand in a configuration: asked of the configuration's own reader, by itself, so that it
//! is refused at its place in the file that was imported.

use super::{
    draft::{Draft, Place, Wrong},
    text::{check_text, pool_text},
};
use crate::config::{
    self, Limits,
    health::{Check, Pool, WhenAllFail},
    source::Sources,
};

/// A configuration to put it into.
const AROUND: &str = "[[ports]]\nname = \"p\"\ndevice = \"d\"\naddresses = [\"192.0.2.1/24\"]\n[[services]]\nname = \"s\"\n\
                      vip = \"192.0.2.100\"\nport = 80\nprotocol = \"tcp\"\nmethod = \"dr\"\n";

/// Refuses the first value that a configuration cannot have.
pub(super) fn check(draft: &Draft) -> Result<(), Wrong> {
    for service in &draft.services {
        let pool = Pool { sorry_server: None, when_all_fail: WhenAllFail::Reject, ..service.pool.clone() };
        if pool != Pool::default() {
            ask(&service.place, &pool_text(&pool))?;
        }
        let mut last: Option<&Check> = None;
        for server in &service.servers {
            if let Some(check) = server.check.as_ref().filter(|check| last != Some(*check)) {
                ask(&server.place, &check_text(check))?;
                last = Some(check);
            }
        }
    }
    Ok(())
}

fn ask(place: &Place, table: &str) -> Result<(), Wrong> {
    let limits = Limits { workers: 1, available_bytes: u64::MAX };
    let Err(report) = config::check(&Sources::new("imported", format!("{AROUND}{table}")), limits) else {
        return Ok(());
    };
    let problem = report.problems.first();
    let said = problem
        .map(|problem| format!("{}: {}", problem.key.replace("services[0].", ""), problem.complaint.what));
    Err(place.wrong(said.unwrap_or_default()))
}
