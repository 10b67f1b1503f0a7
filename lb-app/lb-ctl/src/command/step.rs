//! What a command comes to.

use super::top::TopArgs;
use crate::{
    protocol::{Request, capture},
    render::View,
};
use std::path::PathBuf;

/// What a command does.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "one at a time")]
pub enum Step {
    /// Ask the director, and show the answer in some way.
    Ask(Request, View),
    /// Run a file.
    Load(PathBuf, bool),
    /// The live view.
    Top(TopArgs),
    /// The latest so many events, and those that follow.
    Watch(u32),
    /// Packets, to standard output.
    Stream(capture::Request),
    /// Text that needs no director.
    Help(Vec<String>),
    /// End of the session.
    Quit,
}
