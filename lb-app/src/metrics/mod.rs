//! Metrics for Prometheus, over HTTP: `docs/metrics.md` lists them.
//!
//! On the same listener, if it is wanted, is the page for people: [`console`].
//!
//! [`facts`] is everything at one moment, [`text`] its form, [`gather`] where it comes from, [`names`] what things are
//! called in it, [`serve`] the way out, where [`seats`] are few.
//! Workers know nothing of it: what they count anyway is read, by a thread on the main lcore's CPU.

mod console;
mod facts;
pub(crate) mod gather;
mod ipvs;
mod names;
mod peers;
mod seats;
mod serve;
mod text;

#[cfg(test)]
mod tests;

pub(crate) use console::Ask;
pub(crate) use names::Names;
pub(crate) use serve::Exporter;
