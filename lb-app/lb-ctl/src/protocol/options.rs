//! Options of services and servers that requests set, by their keys.
//!
//! Which ones there are, `lb-core` says; what the shell has to know of them is in `schema/options.json`, which a test of
//! `lb-app` writes from there.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::LazyLock};

/// Options with their values, as a configuration file has them. What is `null` is not given.
pub type Options = BTreeMap<String, serde_json::Value>;

/// What values an option has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Number,
    /// A length of time, such as `500ms` or `1h30m`.
    Time,
    /// Text.
    Text,
}

/// An option as the shell knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    /// Its key.
    pub key: String,
    /// What the shell calls it.
    pub word: String,
    /// What values it has.
    pub shape: Shape,
    /// What stands for a value in help.
    pub placeholder: String,
    /// The values, if they are a few words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// What it is for, in a sentence.
    pub help: String,
}

/// The options that can be set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settable {
    /// Of a service.
    pub service: Vec<Described>,
    /// Of a server.
    pub server: Vec<Described>,
}

/// The options that can be set in this version.
pub static SETTABLE: LazyLock<Settable> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../schema/options.json")).expect("what a test has written")
});
