//! What happened.

use crate::control::live::running::Running;
use lb_ctl::protocol::{
    Reply,
    events::{PAGE, Request},
};

pub(super) fn answer(running: &Running, request: &Request) -> Reply {
    let &Request::List { after, run, latest } = request;
    Reply::Events(match after {
        Some(after) => running.journal.after(after, run),
        None => running.journal.latest(latest.unwrap_or(PAGE)),
    })
}
