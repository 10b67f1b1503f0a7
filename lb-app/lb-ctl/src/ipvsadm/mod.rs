//! `ipvsadm` in its own words, for scripts that call it: by `lbctl -A ...`, or by a link of that name to lbctl.
//!
//! * [`options`]: which there are, and which take a value.
//! * [`grammar`]: what they mean together: an [`act`].
//! * [`run`]: doing it.
//! * `text`: what it prints.

pub mod act;
pub mod grammar;
pub mod options;
pub mod run;
mod text;

#[cfg(test)]
mod tests;
