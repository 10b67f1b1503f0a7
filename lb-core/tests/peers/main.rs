//! Directors that tell one another of connections whose server does not follow from the configuration.

mod clients;
#[path = "../common/mod.rs"]
mod common;
mod ipvs;
mod net;
mod protocol;
mod recorded;
mod taking_over;
mod templates;
mod tenants;
mod with;
