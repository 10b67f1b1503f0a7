//! Connections: what is remembered of one, its states and when it is forgotten.

pub mod aside;
pub mod beside;
pub mod client_address;
pub mod connections;
pub mod datagram;
pub mod entry;
pub mod method;
pub mod reading;
pub mod saved;
pub mod sctp;
pub mod second;
pub mod standing;
pub mod state;
pub mod tcp;
pub mod timeouts;
pub mod tunnel;
