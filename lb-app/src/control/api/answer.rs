//! What all subjects answer with: that it is done, or why it is not.

use crate::{
    control::{edit::change::ChangeError, file::difference::Difference, live::running::Running},
    dataplane::ask::Silent,
    journal::Happened,
};
use lb_core::service::plan::Plan;
use lb_ctl::{
    near::nearest,
    protocol::{Code, Done, Refusal, Reply, events::Kind},
};

/// The answer to one request.
pub(super) type Answer = Result<Reply, Refusal>;

/// Edits the plan for somebody. What `edit` refuses is refused with its own words.
pub(super) fn change(running: &Running, who: &str, edit: impl FnOnce(&mut Plan) -> Answer) -> Answer {
    let (mut refusal, mut lines) = (None, Vec::new());
    let outcome = running.change(|plan| {
        let before = plan.clone();
        let outcome = edit(plan).map_err(|why| {
            let error = ChangeError::refused(why.message.clone());
            refusal = Some(why);
            error
        })?;
        lines = Difference::of_plans(&before, plan);
        Ok(outcome)
    });
    let mut outcome = outcome.map_err(|error| refusal.unwrap_or_else(|| change_refused(&error)))?;
    if let Reply::Done(done) = &mut outcome {
        done.changed = Some(!lines.is_empty());
    }
    let text = format!("configuration {} is in effect", running.current().generation);
    let lines = lines.iter().map(ToString::to_string);
    running.journal.tell(Happened::new(Kind::Changed, text).by(who).details(lines));
    Ok(outcome)
}

pub(super) fn change_refused(error: &ChangeError) -> Refusal {
    let code = match error {
        ChangeError::Silent(_) => Code::Timeout,
        ChangeError::Refused(_) | ChangeError::Unsound(_) | ChangeError::Snapshot(_) => Code::Invalid,
    };
    Refusal::new(code, error.to_string())
}

#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
pub(super) fn timeout(silent: Silent) -> Refusal {
    Refusal::new(Code::Timeout, silent.to_string())
}

pub(super) fn not_found(what: &str, name: &str, known: impl IntoIterator<Item = String>) -> Refusal {
    /// Names in a message, at most.
    const MOST: usize = 20;
    let mut known: Vec<String> = known.into_iter().collect();
    let all: Vec<&str> = known.iter().map(String::as_str).collect();
    let near = nearest(name, &all).map_or_else(String::new, |near| format!(" did you mean {near:?}?"));
    known.truncate(MOST + 1);
    if known.len() > MOST {
        known[MOST] = "...".to_owned();
    }
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Refusal::new(Code::NotFound, format!("unknown {what} {name:?};{near} known: {known}"))
}

/// What a word names, among values with names.
pub(super) fn word<T: Copy>(
    what: &str,
    word: &str,
    all: &[T],
    name: fn(T) -> &'static str,
) -> Result<T, Refusal> {
    let found = all.iter().copied().find(|value| name(*value).eq_ignore_ascii_case(word));
    found.ok_or_else(|| not_found(what, word, all.iter().map(|value| name(*value).to_owned())))
}

pub(super) fn done() -> Reply {
    Reply::Done(Done::default())
}

/// The same where it is a question whether anything is different now.
pub(super) fn done_if(changed: bool) -> Reply {
    Reply::Done(Done { changed: Some(changed), ..Done::default() })
}

pub(super) fn done_with(note: impl Into<String>) -> Reply {
    Reply::Done(Done { notes: vec![note.into()], ..Done::default() })
}
