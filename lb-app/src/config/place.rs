//! Values that remember where in the file they were written.

use std::ops::Range;

/// Where something is in a configuration.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Bytes in the source text.
    pub(super) span: Range<usize>,
    /// Key path, as in `services[0].servers[1].weight`.
    pub(super) key: String,
}

impl Place {
    /// The same place with `key` below its path: for messages about a key that is missing there.
    pub(super) fn below(&self, key: &str) -> Place {
        let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        let key = if bare { key.to_owned() } else { format!("{key:?}") };
        let key = if self.key.is_empty() { key } else { format!("{}.{key}", self.key) };
        Place { span: self.span.clone(), key }
    }
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    /// What was written.
    pub(super) value: T,
    /// Where.
    pub(super) place: Place,
}

/// What became of a key that may be absent.
///
/// Checks that involve a bad value are skipped, because a second message about it would only distract.
#[derive(Clone, Debug)]
pub(super) enum Field<T> {
    /// The key is not there: the default applies.
    Absent,
    /// It is there but means nothing; that has been reported.
    Bad,
    /// It is there.
    Given(At<T>),
}

impl<T> Field<T> {
    /// The same with what `change` makes of the value.
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Field<U> {
        match self {
            Field::Absent => Field::Absent,
            Field::Bad => Field::Bad,
            Field::Given(At { value, place }) => Field::Given(At { value: change(value), place }),
        }
    }

    /// The value or its default; nothing if it is bad.
    pub(super) fn or(&self, default: T) -> Option<T>
    where
        T: Copy,
    {
        match self {
            Field::Absent => Some(default),
            Field::Bad => None,
            Field::Given(at) => Some(at.value),
        }
    }
}

/// The text of a value that may be missing; then the plan is never used.
pub(super) fn text(value: &Option<At<String>>) -> String {
    value.as_ref().map(|at| at.value.clone()).unwrap_or_default()
}
