//! Lines that say what is different: of options, values and sets, whatever they are of.

use lb_core::service::option::{Effect, Opt, Value};
use std::{
    collections::BTreeSet,
    fmt::{self, Display},
};

/// One thing that is different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// How.
    pub(crate) kind: Kind,
    /// What, and from what to what.
    pub(crate) text: String,
    /// The same, if it is there and changes.
    change: Option<Change>,
}

/// What changes, and from what to what.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    what: String,
    before: String,
    after: String,
}

/// How something is different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is there, and changes.
    Changed,
}

impl Line {
    pub(super) fn new(kind: Kind, text: String) -> Self {
        Line { kind, text, change: None }
    }

    fn change(what: &str, before: &str, after: &str, remark: &str) -> Self {
        let text = format!("{what} {before} -> {after}{remark}");
        let change = Change { what: what.to_owned(), before: before.to_owned(), after: after.to_owned() };
        Line { kind: Kind::Changed, text, change: Some(change) }
    }

    /// The same of what an operator made of the file at run time and a reload keeps.
    pub(crate) fn kept(&self) -> String {
        match &self.change {
            Some(Change { what, before, after }) => match (what.strip_suffix(": state"), after.as_str()) {
                (Some(server), "drain") => {
                    format!("kept: {server}: drained by operator; the file says {before}")
                }
                (Some(server), state) => {
                    format!("kept: {server}: {state} by operator; the file says {before}")
                }
                _ => format!("kept: {what} {after}: set by operator; the file says {before}"),
            },
            None if self.kind == Kind::Removed => format!("kept: {}: removed by operator", self.text),
            None => format!("kept: {}: added by operator", self.text),
        }
    }
}

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.kind {
            Kind::Added => '+',
            Kind::Removed => '-',
            Kind::Changed => '~',
        };
        write!(f, "{mark} {}", self.text)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "calls read better without borrowing what they compute")]
pub(super) fn changed<T: PartialEq + Display>(lines: &mut Vec<Line>, what: &str, before: T, after: T) {
    if before != after {
        lines.push(Line::change(what, &before.to_string(), &after.to_string(), ""));
    }
}

/// The options of something that are different.
pub(super) fn options<P>(
    lines: &mut Vec<Line>,
    what: &str,
    options: &'static [Opt<P>],
    before: &P,
    after: &P,
) {
    options_of(lines, what, options, (before, after), |_| true);
}

/// The same of those whose keys are meant.
pub(super) fn options_of<P>(
    lines: &mut Vec<Line>,
    what: &str,
    options: &'static [Opt<P>],
    (before, after): (&P, &P),
    is_meant: impl Fn(&str) -> bool,
) {
    for option in options.iter().filter(|option| option.field.is_in_file() && is_meant(option.field.key)) {
        let remark = match option.field.effect {
            Effect::Live => "",
            Effect::EndsConnections => "; its connections end",
        };
        let values = ((option.get)(before), (option.get)(after));
        value(lines, &format!("{what}: {}", option.field.key), values, remark);
    }
}

/// A value that may be different: key by key where it is a table of the same type as before.
pub(super) fn value(lines: &mut Vec<Line>, what: &str, values: (Option<Value>, Option<Value>), remark: &str) {
    match values {
        (before, after) if before == after => {}
        (Some(Value::Table(before)), Some(Value::Table(after))) if of_type(&before) == of_type(&after) => {
            let gone = before.iter().filter(|(key, _)| of_key(&after, key).is_none());
            for (key, _) in after.iter().chain(gone) {
                let values = (of_key(&before, key).cloned(), of_key(&after, key).cloned());
                value(lines, &format!("{what}: {key}"), values, remark);
            }
        }
        (before, after) => {
            let plain = |value: Option<Value>| value.map_or("none".to_owned(), |value| value.plain());
            lines.push(Line::change(what, &plain(before), &plain(after), remark));
        }
    }
}

fn of_type<'a>(table: &'a [(&str, Value)]) -> Option<&'a Value> {
    of_key(table, "type")
}

fn of_key<'a>(table: &'a [(&str, Value)], key: &str) -> Option<&'a Value> {
    table.iter().find(|(other, _)| *other == key).map(|(_, value)| value)
}

pub(super) fn sets<T: Ord + Display>(lines: &mut Vec<Line>, what: &str, before: &[T], after: &[T]) {
    let (before, after): (BTreeSet<&T>, BTreeSet<&T>) = (before.iter().collect(), after.iter().collect());
    let line = |kind, one: &&T| Line::new(kind, format!("{what} {one}"));
    lines.extend(before.difference(&after).map(|gone| line(Kind::Removed, gone)));
    lines.extend(after.difference(&before).map(|new| line(Kind::Added, new)));
}
