//! Building blocks of the tests: a director with its configuration, frames for it, and a reader of what it sends.
//!
//! Frames are made and checked with etherparse, which shares nothing with the crate under test.

// Each test file is a program of its own and uses its own part of this.
#![allow(dead_code, unreachable_pub)]

pub mod any;
pub mod fragments;
pub mod frame;
pub mod frame6;
pub mod plan;
pub mod read;
pub mod sctp;
pub mod world;
