//! clap's errors in one line.

use crate::foreign;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// What is wrong, and what to do about it. Help and versions are left as they are, since they were asked for.
#[must_use]
pub fn sentence(error: &clap::Error) -> String {
    if !error.use_stderr() {
        return error.to_string().trim_end().to_owned();
    }
    let text = error.to_string();
    // Paragraphs: what is wrong, advice, usage, a pointer to the help.
    let mut paragraphs = text.trim().split("\n\n");
    let first = paragraphs.next().unwrap_or_default();
    let joined: Vec<&str> = first.split_whitespace().collect();
    let joined = joined.join(" ");
    let what = joined.trim_start_matches("error: ");
    match error.kind() {
        ErrorKind::MissingRequiredArgument => {
            let missing: Vec<String> = match error.get(ContextKind::InvalidArg) {
                Some(ContextValue::Strings(missing)) => missing.iter().map(|one| written(one)).collect(),
                Some(ContextValue::String(missing)) => vec![written(missing)],
                _ => Vec::new(),
            };
            format!("missing {}{}", missing.join(" "), usage(error))
        }
        ErrorKind::InvalidValue => {
            let suggested = match (translated(error), error.get(ContextKind::SuggestedValue)) {
                (Some(here), _) => format!("; the nearest here is {here:?}"),
                (None, Some(ContextValue::String(near))) => format!("; did you mean {near:?}?"),
                _ => String::new(),
            };
            format!("{what}{suggested}")
        }
        _ => format!("{what}{}", usage(error)),
    }
}

/// What a value of another load balancer's is here.
fn translated(error: &clap::Error) -> Option<String> {
    let (Some(ContextValue::String(word)), Some(ContextValue::Strings(known))) =
        (error.get(ContextKind::InvalidValue), error.get(ContextKind::ValidValue))
    else {
        return None;
    };
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    foreign::value(word, &known).map(str::to_owned)
}

/// Where to read on: the help of the command that is in the usage.
fn usage(error: &clap::Error) -> String {
    let Some(ContextValue::StyledStr(usage)) = error.get(ContextKind::Usage) else { return String::new() };
    let usage = usage.to_string();
    let words = usage.trim_start_matches("Usage: ").split_whitespace().skip_while(|word| *word == "lbctl");
    let path: Vec<&str> = words.take_while(|word| !word.starts_with(['<', '[', '-'])).collect();
    if path.is_empty() { String::new() } else { format!("; see `help {}`", path.join(" ")) }
}

/// Most alternatives that are named.
const ALTERNATIVES: usize = 3;

/// What is missing, as it is written here: qualifiers without dashes, and not twenty of them.
fn written(missing: &str) -> String {
    let text = missing.replace("--", "");
    let alternatives: Vec<&str> = text.split('|').collect();
    if alternatives.len() <= ALTERNATIVES {
        return text;
    }
    format!("{}|...>", alternatives[..ALTERNATIVES].join("|"))
}
