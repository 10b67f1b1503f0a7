//! `ipvsadm` in its own words.
//!
//! * [`grammar`]: what its options mean.

pub mod grammar;
