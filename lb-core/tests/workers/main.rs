//! A director's workers from outside: plans, packets and time go in, and packets come out. A file for each thing that they
//! promise.

#[path = "../common/mod.rs"]
mod common;

mod associations;
mod calls;
mod connections;
mod exchange;
mod explain;
mod floods;
mod forged;
mod fragments;
mod frames;
mod ftp;
mod fullnat;
mod groups;
mod openings;
mod ownership;
mod persistence;
mod proxy;
mod quic;
mod restore;
mod scheduling;
mod snat;
mod tenants;
mod thresholds;
mod weights;
mod zero_window;
