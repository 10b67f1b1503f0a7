//! What runs and files: the configuration, which is read again and written back, and the connections between two runs.
//!
//! * [`difference`]: the differences between the running configuration and a file.
//! * `merge`: what becomes of what runs when the file changes.
//! * [`reload`]: the configuration file read again.
//! * [`save`]: what runs written back into it.
//! * `share`: which of several files says what.
//! * `rewrite`: the text of a configuration file, changed.
//! * `replace`: a file replaced in one step.
//! * [`watched`]: changes of the configuration file applied by themselves.
//! * [`state_file`]: connections on disk, from one run to the next.

pub(crate) mod difference;
mod merge;
pub(crate) mod reload;
pub(crate) mod replace;
mod rewrite;
pub(crate) mod save;
mod share;
pub(crate) mod state_file;
pub(crate) mod watched;

#[cfg(test)]
mod removed_tests;
