//! Looking at packets: explanations of those that might come, traces and captures of those that do.
//!
//! Workers know only what they watch for now ([`Taps`](crate::dataplane::tap::Taps)); each change gives them all of it anew. What is bounded is bounded
//! here: how many traces and captures there are, how many stories wait to be read, how much memory a capture has.

pub(crate) mod capture;
pub(crate) mod error;
pub(crate) mod explain;
mod pcapng;
mod place;
pub(crate) mod stream;
pub(crate) mod trace;
pub(crate) mod watches;
pub(crate) mod which;

pub(crate) use error::WatchError;
pub(crate) use watches::Watches;
