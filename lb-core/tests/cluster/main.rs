//! Whole clusters on simulated time: directors behind a router that spreads connections over them, servers, clients, and
//! what the directors tell one another over a network that loses, delays and reorders. One seed is one run.
//!
//! Everything that decides is the real code: workers with their tables, snapshots, and the protocol between peers. What is
//! simulated is what surrounds them. After each packet every director's accounts, loads and connections are checked
//! against each other (`common/world.rs`), and every frame's lengths and checksums.

#[path = "../common/mod.rs"]
mod common;
mod director;
mod events;
mod people;
mod random;
mod router;
mod runs;
mod world;
