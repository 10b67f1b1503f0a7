//! What the doctor finds.

use serde::Serialize;

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// It forwards, but slower than this machine could.
    Slow,
    /// It does not start, or does not forward everything.
    Wrong,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) subject: &'static str,
    pub(super) verdict: Verdict,
    /// What was found, in a sentence.
    pub(super) text: String,
    /// The command that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
}

impl Finding {
    pub(super) fn ok(subject: &'static str, text: impl Into<String>) -> Self {
        Finding { subject, verdict: Verdict::Ok, text: text.into(), remedy: None }
    }

    pub(super) fn slow(subject: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { subject, verdict: Verdict::Slow, text: text.into(), remedy: Some(remedy.into()) }
    }

    pub(super) fn wrong(subject: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { subject, verdict: Verdict::Wrong, text: text.into(), remedy: Some(remedy.into()) }
    }
}
