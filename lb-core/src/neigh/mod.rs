//! Neighbours: the next hops on attached networks, and their Ethernet addresses.

pub mod entry;
pub mod table;
pub mod waiting;

#[cfg(test)]
mod tests;
