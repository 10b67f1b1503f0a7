//! `ipvsadm` in its own words, for scripts that call it: by `lbctl -A ...`, or by a link of that name to lbctl.
//!
//! * [`grammar`]: what its options mean.
//! * [`run`]: doing it.
//! * `text`: what it prints.

pub mod grammar;
pub mod run;
mod text;

#[cfg(test)]
mod tests;
