//! Stories of packets as they pass.

use super::{
    answer::{Answer, done},
    explain::{outcome, refusal, translate},
};
use crate::control::{plane::ControlPlane, watch::trace::TraceSummary};
use lb_ctl::protocol::{
    Reply,
    trace::{Request, Stories, Story, Trace, Traces},
};
use std::time::Duration;

/// Stories on one page.
const PAGE: usize = 64;
/// How long a client waits for the first story of a page.
const WAIT: Duration = Duration::from_millis(250);

pub(super) fn answer(plane: &ControlPlane, request: &Request) -> Answer {
    match request {
        Request::Add { filter, count } => {
            let count = count.unwrap_or(u64::MAX);
            let id =
                plane.watches.add_trace(&plane.running, filter, count).map_err(|error| refusal(&error))?;
            read(plane, id)
        }
        Request::Read { id } => read(plane, *id),
        Request::List => {
            let traces = plane.watches.traces().into_iter().map(list).collect();
            Ok(Reply::Traces(Traces { traces }))
        }
        Request::Remove { id } => {
            plane.watches.remove_trace(&plane.running, *id).map(|()| done()).map_err(|error| refusal(&error))
        }
    }
}

fn read(plane: &ControlPlane, id: u32) -> Answer {
    let (stories, summary, over) =
        plane.watches.read_trace(&plane.running, id, PAGE, WAIT).map_err(|error| refusal(&error))?;
    let snapshot = plane.running.current().snapshot;
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
