//! What an answer must match.

use lb_core::service::option::{Setting, Value};
use std::fmt;

/// A regular expression, over bytes.
#[derive(Clone)]
pub(crate) struct Pattern(pub(crate) regex::bytes::Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.0.as_str())
    }
}

impl Setting for Pattern {
    fn to_value(&self) -> Option<Value> {
        Some(Value::Text(self.0.as_str().to_owned()))
    }

    fn from_value(value: &Value) -> Option<Self> {
        String::from_value(value).and_then(|text| regex::bytes::Regex::new(&text).ok()).map(Pattern)
    }
}
