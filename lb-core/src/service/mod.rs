//! Virtual services and real servers, and everything else that the operator configures.
//!
//! A [`plan::Plan`] is what the operator wants, already validated; a [`snapshot::Snapshot`] is the same made quick
//! to look things up in. Workers see only snapshots, which never change.

pub mod address;
mod addresses;
mod behind;
mod build;
pub mod check;
pub mod from;
pub mod key;
mod lasting;
pub mod lookup;
pub mod marks;
pub mod module;
mod numbers;
pub mod option;
pub mod overlaps;
pub mod owners;
mod parts;
pub mod plan;
pub mod quic;
mod ranges;
pub mod reach;
pub mod routing;
mod sharing;
pub mod snapshot;
pub mod snat;
mod stations;
pub mod stays;

pub use crate::sched::load;
pub use build::footprint;
pub use lasting::Numbered;
