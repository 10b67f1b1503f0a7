//! Neighbours: the stations on attached networks that packets are sent to next, and their Ethernet addresses.

pub mod entry;
pub mod table;
pub mod waiting;

#[cfg(test)]
mod tests;
