//! Finding a connection by a packet's addresses and ports, its expiry, and its owner.
//!
//! Nothing here knows what a connection is: the table maps keys to numbers, the wheel keeps numbers in order of
//! time.

mod bits;
pub mod hashing;
pub mod key;
pub mod local_port;
pub mod owner;
pub mod prefetch;
pub mod table;
pub mod tags;
pub mod wheel;
pub mod zero_window;
