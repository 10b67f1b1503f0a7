//! What happens to the bytes of a packet: one method, one file.
//!
//! Everything here works on one frame whose headers have been read and checked; who gets the frame is decided
//! elsewhere.

pub mod dr;
pub mod embedded;
pub mod limiter;
pub mod nat;
pub mod reject;
pub mod tun;
