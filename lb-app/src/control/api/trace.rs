//! Stories of packets as they pass.

use super::{
    Answer, done,
    explain::{outcome, refusal, translate},
};
use crate::control::{live::running::Running, watch::trace::TraceSummary};
use lb_ctl::protocol::{
    Reply,
    trace::{Request, Stories, Story, Trace, Traces},
};
use std::time::Duration;

/// Stories on one page.
const PAGE: usize = 64;
/// How long a client waits for the first story of a page.
const WAIT: Duration = Duration::from_millis(250);

pub(super) fn answer(running: &Running, request: &Request) -> Answer {
    match request {
        Request::Add { filter, count } => {
            let count = count.unwrap_or(u64::MAX);
            let id = running.add_trace(filter, count).map_err(|error| refusal(&error))?;
            read(running, id)
        }
        Request::Read { id } => read(running, *id),
        Request::List => {
            let traces = running.traces().into_iter().map(list).collect();
            Ok(Reply::Traces(Traces { traces }))
        }
        Request::Remove { id } => running.remove_trace(*id).map(|()| done()).map_err(|error| refusal(&error)),
    }
}

fn read(running: &Running, id: u32) -> Answer {
    let (stories, summary, over) = running.read_trace(id, PAGE, WAIT).map_err(|error| refusal(&error))?;
    let snapshot = running.current().snapshot;
    let stories = stories.into_iter().map(|story| Story {
        at_ns: u64::try_from(story.when.as_nanos()).unwrap_or(u64::MAX),
        as_told: story.happened == story.explanation.outcome,
        happened: outcome(&story.happened, &snapshot),
        told: translate(&story.explanation, &snapshot),
    });
    Ok(Reply::Stories(Stories { id, stories: stories.collect(), missed: summary.missed, over }))
}

fn list(summary: TraceSummary) -> Trace {
    let TraceSummary { id, filter, count, met, missed } = summary;
    Trace { id, filter, count: (count != u64::MAX).then_some(count), met, missed }
}
