//! Metrics for Prometheus, over HTTP: `docs/metrics.md` lists them.
//!
//! On the same listener, if it is wanted, is the page for people: [`console`].
//!
//! [`facts`] is everything at one moment, [`gather`] where it comes from, [`names`] what things are called in it, [`text`]
//! its form, in which [`director`], [`workers`], [`ports`], [`peers`], [`ipvs`], [`health`] and [`servers`] each write what is
//! theirs and [`whole`] all of it, and [`serve`] the way out, where [`seats`] are few.
//! Workers know nothing of it: what they count anyway is read, by a thread on the main lcore's CPU.

mod console;
mod director;
mod facts;
pub(crate) mod gather;
mod health;
mod ipvs;
mod names;
mod peers;
mod ports;
mod seats;
mod serve;
mod servers;
mod text;
mod whole;
mod workers;

#[cfg(test)]
mod tests;

pub(crate) use console::Ask;
pub(crate) use names::Names;
pub(crate) use serve::Exporter;
