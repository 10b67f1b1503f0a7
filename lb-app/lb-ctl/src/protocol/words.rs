//! A request in words, for logs: `services change-server service=web address=198.51.100.11 weight=5`.

use super::Request;
use serde_json::Value;
use std::fmt::Write;

impl Request {
    /// What is asked for, on one line: words from the outermost inwards, then what has a value. What is not said is left
    /// out.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = String::new();
        // Plain data has no reason not to become JSON.
        if let Ok(value) = serde_json::to_value(self) {
            variant(&value, &mut words);
        }
        words
    }
}

/// A variant of an enumeration: its name, then what is in it.
fn variant(value: &Value, words: &mut String) {
    match value {
        Value::String(name) => words.push_str(name),
        Value::Object(inner) if inner.len() == 1 => {
            for (name, value) in inner {
                words.push_str(name);
                match value {
                    Value::Object(inner) if inner.values().all(Value::is_object) && inner.len() == 1 => {
                        words.push(' ');
                        variant(value, words);
                    }
                    Value::String(_) => {
                        words.push(' ');
                        variant(value, words);
                    }
                    _ => fields("", value, words),
                }
            }
        }
        _ => fields("", value, words),
    }
}

/// The fields of something, those of what is within it by their own names.
fn fields(name: &str, value: &Value, words: &mut String) {
    match value {
        Value::Null | Value::Bool(false) => {}
        Value::Object(inner) => inner.iter().for_each(|(name, value)| fields(name, value, words)),
        Value::Array(values) => values.iter().for_each(|value| fields(name, value, words)),
        Value::Bool(true) => {
            let _ = write!(words, " {name}");
        }
        Value::String(text)
            if !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control()) =>
        {
            let _ = write!(words, " {name}={text}");
        }
        // Text with spaces in its quotes, which also keep it on the line.
        value => {
            let _ = write!(words, " {name}={value}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(request: &str) -> String {
        serde_json::from_str::<Request>(request).unwrap().words()
    }

    #[test]
    fn requests_are_one_line_of_words() {
        assert_eq!(words(r#"{"director":"save"}"#), "director save");
        assert_eq!(
            words(r#"{"director":{"reload":{"confirm_within_ms":60000}}}"#),
            "director reload confirm_within_ms=60000"
        );
        assert_eq!(
            words(r#"{"services":{"change-server":{"service":"web","address":"198.51.100.11","weight":5}}}"#),
            "services change-server address=198.51.100.11 service=web weight=5"
        );
        assert_eq!(
            words(r#"{"services":{"remove":{"name":"web\nadmin did it"}}}"#),
            r#"services remove name="web\nadmin did it""#
        );
        assert_eq!(words(r#"{"ports":{"stop":{"port":"wan"}}}"#), "ports stop port=wan");
    }
}
